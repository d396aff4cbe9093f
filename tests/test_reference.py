"""The zoo against torchvision, timm and Keras, to the last digit.

`reference/README.md` says where the figures come from.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import archspec

REFERENCE = Path(__file__).parent / "reference"

# The reference's file, the spec, and the parameters to load it with.
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "alexnet": ("alexnet_torchvision", {}),
    "googlenet_noaux": ("googlenet", {"aux_logits": False}),
    "timm_mobilenetv1_100": ("mobilenet_v1", {}),
    **{
        name: (name, {})
        for name in (
            *("vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"),
            *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2"),
            *(f"efficientnet_b{scale}" for scale in range(8)),
            *("mobilenet_v2", "squeezenet1_0"),
        )
    },
}
TORCHVISION = [name for name in NETWORKS if not name.startswith("timm")]

with open(REFERENCE / "torchvision.csv", encoding="utf-8", newline="") as file:
    TABLE = {row["name"]: row for row in csv.DictReader(file)}
SPECS = {"alexnet": "alexnet_torchvision"}  # where the spec is not called as in torchvision

# Keras' name, the spec, its parameters, and how many of Keras' running statistics it has more than the spec.
KERAS: list[tuple[str, str, dict[str, Any], int]] = [
    ("VGG16", "vgg16", {}, 0),
    ("MobileNet_0.25", "mobilenet_v1_025", {}, 0),
    ("MobileNet_0.5", "mobilenet_v1_050", {}, 0),
    ("MobileNet_0.75", "mobilenet_v1_075", {}, 0),
    ("MobileNet_1.0", "mobilenet_v1", {}, 0),
    ("MobileNet_0.5", "mobilenet_v1", {"alpha": 0.5}, 0),
    ("MobileNetV2", "mobilenet_v2", {}, 0),
    ("EfficientNetB2", "efficientnet_b2", {"resolution": 260}, 7),
    *((f"EfficientNetB{scale}", f"efficientnet_b{scale}", {}, 7) for scale in (0, 1, 3, 4, 5, 6, 7)),
]

# The notes' block, its spec and parameters.
NOTES: list[tuple[str, str, dict[str, Any]]] = [
    ("inception_module_28x28x192", "notes_inception", {}),
    ("inception_module_56x56x64", "notes_inception", {}),
    ("mobile_block_128_a1_56x56x64", "notes_mobile_block", {}),
    ("mobile_block_128_a2_56x56x64", "notes_mobile_block", {"alpha": 2.0, "multiplier": 2}),
    ("efficient_block_64_s1_56x56x64", "notes_efficient_block", {}),
    ("efficient_block_64_s2_56x56x64", "notes_efficient_block", {"stride": 2}),
    ("efficient_block_128_s1_56x56x64", "notes_efficient_block", {"filters": 128}),
    ("efficient_block_64_s2_57x57x64", "notes_efficient_block", {"stride": 2}),
]


@functools.cache
def reference(name: str) -> dict[str, Any]:
    return json.loads((REFERENCE / f"{name}.json").read_text(encoding="utf-8"))


@functools.cache
def network(name: str) -> archspec.Network:
    spec, params = NETWORKS[name]
    return archspec.load(spec, **params)


def sha256(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def output_shapes(net: archspec.Network) -> list[list[int]]:
    return [list(net.graph.node(path).shape) for path in net.graph.outputs.values()]


def calls(leaf_outputs: list[list[Any]]) -> dict[str, list[int]]:
    """Output shapes by the path a spec gives the call: the second one of `relu` is its `relu_2`."""
    seen: Counter[str] = Counter()
    shapes = {}
    for path, shape in leaf_outputs:
        seen[path] += 1
        shapes[path if seen[path] == 1 else f"{path}_{seen[path]}"] = shape
    return shapes


def channels_first(shape: list[int]) -> list[int]:
    """A shape of Keras' as a spec writes it."""
    return [shape[-1], *shape[:-1]]


def test_every_network_is_held_to_its_reference() -> None:
    files = {path.stem for path in REFERENCE.glob("*.json")}
    assert files == set(NETWORKS) | {"googlenet_aux", "keras_counts", "notes_blocks"}


@pytest.mark.parametrize("name", NETWORKS)
def test_totals(name: str) -> None:
    expected = reference(name)
    totals = network(name).analyze().totals
    assert totals.params == expected["params"]
    assert totals.buffers == expected["buffer_elements"]
    assert 2 * totals.macs == expected["flops_torch"]


def test_every_classification_network_of_torchvision_is_a_spec() -> None:
    assert len(TABLE) == 80
    assert {SPECS.get(name, name) for name in TABLE} <= {*archspec.list_specs()}


@pytest.mark.parametrize("name", TABLE)
def test_the_table_of_torchvision(name: str) -> None:
    row, net = TABLE[name], archspec.load(SPECS.get(name, name))
    totals, state_dict = net.analyze().totals, net.graph.state_dict()
    shapes = sorted(f"{key} {'x'.join(map(str, shape))}" for key, shape in state_dict.items())
    assert {
        "name": name,
        "input": " ".join("x".join(map(str, shape)) for shape in net.graph.inputs.values()),
        "params": str(totals.params),
        "buffer_elements": str(sum(map(math.prod, state_dict.values())) - totals.params),  # those that are kept
        "flops_torch": str(2 * totals.macs),
        "keys": str(len(state_dict)),
        "sha256_of_sorted_keys_and_shapes": sha256(shapes),
        "sha256_of_keys_in_order": sha256(state_dict),
    } == row


@pytest.mark.parametrize("name", NETWORKS)
def test_input_and_output(name: str) -> None:
    expected = reference(name)
    assert [list(shape) for shape in network(name).graph.inputs.values()] == [expected["input"]]
    assert output_shapes(network(name)) == [expected["output"]]


@pytest.mark.parametrize("name", NETWORKS)
def test_state_dict_keys_shapes_and_their_order(name: str) -> None:
    ours = [[key, list(shape)] for key, shape in network(name).graph.state_dict().items()]
    assert ours == reference(name)["state_dict"]


@pytest.mark.parametrize("name", TORCHVISION)
def test_every_module_of_torchvision_is_a_layer_of_the_same_shape(name: str) -> None:
    ours = {node.path: list(node.shape) for node in network(name).graph.nodes}
    theirs = calls(reference(name)["leaf_outputs"])
    assert {path: ours.get(path) for path in theirs} == theirs


def test_mobilenet_v1_layers_against_timm() -> None:
    expected = reference("timm_mobilenetv1_100")
    ours = {node.path: list(node.shape) for node in network("timm_mobilenetv1_100").graph.nodes}
    weighted = {key.rpartition(".")[0] for key, _ in expected["state_dict"]}

    convs = {path: shape for path, shape in expected["leaf_outputs"] if path in weighted}
    norms = dict(expected["nonleaf_with_own_state_outputs"])  # BatchNormAct2d: batch norm and activation in one
    assert len(convs) == 1 + 2 * 13 + 1
    assert len(norms) == 1 + 2 * 13
    assert convs.keys() | norms.keys() == weighted
    for path, shape in (convs | norms).items():
        assert ours[path] == shape, path


def test_googlenet_with_its_auxiliary_heads() -> None:
    expected = reference("googlenet_aux")
    net = archspec.load("googlenet")
    graph, totals = net.graph, net.analyze().totals
    assert [[key, list(shape)] for key, shape in graph.state_dict().items()] == expected["state_dict"]
    assert (totals.params, totals.buffers) == (expected["params"], expected["buffer_elements"])

    heads = [4 * 4 * channels * 128 + 2048 * 1024 + 1024 * 1000 for channels in (512, 528)]
    assert totals.macs == expected["flops_torch"] // 2
    assert net.analyze(training=True).totals.macs == totals.macs + sum(heads)
    assert list(graph.outputs) == ["fc", "aux1", "aux2"]
    assert output_shapes(net) == [[1000]] * 3


@pytest.mark.parametrize(("keras", "spec", "params", "further_statistics"), KERAS)
def test_keras_counts(keras: str, spec: str, params: dict[str, Any], further_statistics: int) -> None:
    expected = reference("keras_counts")[keras]
    net = archspec.load(spec, **params)
    totals = net.analyze().totals
    assert [list(shape) for shape in net.graph.inputs.values()] == [channels_first(expected["input"])]
    assert totals.params == expected["trainable"]
    assert 2 * totals.macs == expected["flops_torch"]
    assert totals.buffers == expected["non_trainable"] - further_statistics + expected["num_batches_tracked"]


@pytest.mark.parametrize(("block", "spec", "params"), NOTES)
def test_blocks_as_the_notes_write_them(block: str, spec: str, params: dict[str, Any]) -> None:
    expected = reference("notes_blocks")[block]
    net = archspec.load(spec, input=channels_first(expected["input"]), **params)
    report = net.analyze()
    assert report.totals.params == expected["trainable"]
    assert report.totals.macs == expected["macs"]
    assert output_shapes(net) == [channels_first(expected["output"])]

    weights = Counter(
        (count, *channels_first(shape))
        for kind, shape, count in expected["layers"]
        if kind in ("Conv2D", "DepthwiseConv2D")
    )
    convs = [layer for layer in report.layers if layer.op in ("conv", "depthwise_conv")]
    assert Counter((conv.params, *conv.output_shape) for conv in convs) == weights


def test_every_block_of_the_notes_that_can_be_built_is_tested() -> None:
    blocks = reference("notes_blocks")
    assert {block for block, _, _ in NOTES} == {name for name, block in blocks.items() if "error" not in block}


def test_alpha_scales_the_filters_where_the_notes_fail() -> None:
    assert "error" in reference("notes_blocks")["mobile_block_128_a0.5_56x56x64"]
    assert output_shapes(archspec.load("notes_mobile_block", alpha=0.5)) == [[64, 56, 56]]
    doubled_once = archspec.load("notes_mobile_block", alpha=2.0)
    assert output_shapes(doubled_once) == [[256, 56, 56]]
    doubled_twice = reference("notes_blocks")["mobile_block_128_a2_56x56x64"]
    assert doubled_once.analyze().totals.macs < doubled_twice["macs"]
