"""Every spec of the zoo: it stands for itself, and its parameters do what they say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import archspec

SPECS = Path(__file__).parent.parent / "specs"
FILES = {path.stem: path for path in sorted(SPECS.rglob("*.yaml"))}
OTHERS = ("fcn_resnet50", "deeplabv3_resnet50", "resnet50_fpn", "wavenet", "dcgan_generator")
"""Networks that give images, sequences or features, not classes."""
CLASSIFIERS = [name for name in FILES if not name.startswith("notes_") and name not in OTHERS]
WITH_PROBABILITIES = [name for name in FILES if name.startswith(("lenet", "alexnet", "vgg"))]

# Networks without a reference in another library: measured once with torch's flop counter, from a module that was
# written by hand. 60,965,224 and 6,998,552 are also the published counts of AlexNet and
# GoogLeNet.
BY_HAND = {
    "lenet5": (61_706, 416_520),
    "lenet5_1998": (61_706, 416_520),
    "alexnet": (60_965_224, 724_406_816),
    "nin": (7_595_176, 1_100_188_800),
    "googlenet_paper": (6_998_552, 1_582_671_872),
    "vgg16_notes": (48_160_936, 6_578_274_304),
    "notes_residual_block": (74_112, 231_211_008),
    "notes_depthwise_separable": (8_960, 27_496_448),
    "notes_expansion_block": (54_272, 164_978_688),
}


def ops(net: archspec.Network) -> Counter[str]:
    return Counter(node.op.op for node in net.graph.nodes)


def output_shapes(net: archspec.Network) -> list[tuple[int, ...]]:
    return [net.graph.node(path).shape for path in net.graph.evaluation.outputs.values()]


def skips(net: archspec.Network) -> bool:
    """Whether some addition reads the input itself."""
    return any("input" in node.inputs for node in net.graph.nodes if node.op.op == "add")


def params(name: str, **values: Any) -> int:
    return archspec.load(name, **values).analyze().totals.params


def test_the_zoo_is_complete() -> None:
    assert len(FILES) == len(list(SPECS.rglob("*.yaml"))), "each name stands there once"
    assert sorted(archspec.list_specs()) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
def test_loads_and_holds_what_it_expects(name: str) -> None:
    found = [finding.code for finding in archspec.load(name).check()]
    assert found == (["statistics"] if name in ("inception_v3", "deeplabv3_resnet50") else [])  # a pixel per channel


@pytest.mark.parametrize("name", FILES)
def test_says_what_it_is(name: str) -> None:
    net = archspec.load(name)
    assert net.name == name
    assert net.description
    assert "\n" not in net.description
    assert "https://" in net.reference
    assert {"params", "macs"} <= set(net.document.expect)


@pytest.mark.parametrize("name", FILES)
def test_editors_find_the_schema(name: str) -> None:
    first = FILES[name].read_text(encoding="utf-8").splitlines()[0]
    schema = (FILES[name].parent / first.removeprefix("# yaml-language-server: $schema=")).resolve()
    assert schema == SPECS.parent.resolve() / "archspec" / "schema.json"


def test_descriptions_tell_the_networks_apart() -> None:
    descriptions = Counter(archspec.load(name).description for name in FILES)
    assert max(descriptions.values()) == 1


@pytest.mark.parametrize("name", BY_HAND)
def test_figures_measured_by_hand(name: str) -> None:
    totals = archspec.load(name).analyze().totals
    assert (totals.params, totals.macs) == BY_HAND[name]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_take_another_number_of_classes(name: str) -> None:
    net = archspec.load(name, num_classes=7)
    assert output_shapes(net) == [(7,)]
    final = {net.graph.node(path).op.op for path in net.graph.outputs.values()}
    assert "softmax" not in final, "a classifier ends in logits"


@pytest.mark.parametrize("name", WITH_PROBABILITIES)
def test_probabilities_add_one_softmax(name: str) -> None:
    logits, probabilities = archspec.load(name), archspec.load(name, probabilities=True)
    assert ops(probabilities) - ops(logits) == Counter({"softmax": 1})
    assert len(probabilities.graph.nodes) == len(logits.graph.nodes) + 1
    assert output_shapes(probabilities) == output_shapes(logits)
    assert probabilities.graph.nodes[-1].op.op == "softmax"


def test_googlenet_heads_are_outputs_of_training() -> None:
    assert list(archspec.load("googlenet", aux_logits=False).graph.outputs) == ["fc"]
    for name in ("googlenet", "googlenet_paper"):
        net = archspec.load(name, aux_logits=True, num_classes=10)
        assert list(net.graph.outputs) == ["fc", "aux1", "aux2"]
        assert list(net.graph.evaluation.outputs) == ["fc"]
        assert {net.graph.node(path).shape for path in net.graph.outputs.values()} == {(10,)}


def test_googlenet_of_the_paper_has_no_batch_norm() -> None:
    kinds = ops(archspec.load("googlenet_paper"))
    assert kinds["batch_norm"] == 0
    assert kinds["local_response_norm"] == 2
    assert params("googlenet_paper", aux_logits=True) == 13_378_280  # Caffe's model as it is trained


def test_alexnet_groups_halve_three_convolutions() -> None:
    halves = 48 * 256 * 5**2 + 192 * 384 * 3**2 + 192 * 256 * 3**2
    assert params("alexnet", groups=1) == params("alexnet") + halves


@pytest.mark.parametrize("name", ["vgg11", "vgg13", "vgg16", "vgg19"])
def test_vgg_with_and_without_batch_norm_is_one_parameter(name: str) -> None:
    assert params(name, batch_norm=True) == params(f"{name}_bn")
    assert params(f"{name}_bn", batch_norm=False) == params(name)


def test_the_vgg16_of_the_notes_differs_in_its_widths_alone() -> None:
    notes, paper = archspec.load("vgg16_notes"), archspec.load("vgg16")
    filters = [node.shape[0] for node in notes.graph.nodes if node.op.op == "conv"]
    assert filters == [64] * 2 + [128] * 11
    assert [node.path for node in notes.graph.nodes] == [node.path for node in paper.graph.nodes]
    assert [node.shape[1:] for node in notes.graph.nodes if len(node.shape) == 3] == [
        node.shape[1:] for node in paper.graph.nodes if len(node.shape) == 3
    ]


def test_resnet_depths_are_a_parameter() -> None:
    assert params("resnet18", depths=[3, 4, 6, 3]) == params("resnet34")
    assert params("resnet50", depths=[3, 4, 23, 3]) == params("resnet101")
    assert params("resnet50", width=2) == params("wide_resnet50_2")


@pytest.mark.parametrize(("name", "alpha"), [("025", 0.25), ("050", 0.5), ("075", 0.75)])
def test_mobilenet_v1_alpha(name: str, alpha: float) -> None:
    assert params("mobilenet_v1", alpha=alpha) == params(f"mobilenet_v1_{name}")


def test_mobilenet_v1_resolution_changes_the_work_and_not_the_weights() -> None:
    small, full = (archspec.load("mobilenet_v1", resolution=size).analyze().totals for size in (128, 224))
    assert small.params == full.params
    assert small.macs < full.macs


@pytest.mark.parametrize("width", [0.35, 0.5, 0.75, 1.4])
def test_mobilenet_v2_width(width: float) -> None:
    net = archspec.load("mobilenet_v2", width=width)
    filters = [node.shape[0] for node in net.graph.nodes if node.op.op == "conv"]
    assert all(count % 8 == 0 for count in filters)
    assert filters[-1] == max(1280, 1792 if width == 1.4 else 0)


def test_efficientnets_are_one_file_scaled() -> None:
    scaled = {"width": 2.0, "depth": 3.1, "resolution": 600}
    ours, b7 = archspec.load("efficientnet_b0", **scaled), archspec.load("efficientnet_b7")
    assert ours.graph.state_dict() == b7.graph.state_dict()
    assert ours.analyze().totals == b7.analyze().totals


def test_efficientnet_drops_paths_more_the_deeper_they_lie() -> None:
    nodes = archspec.load("efficientnet_b0").graph.nodes
    rates = [node.op.rate for node in nodes if node.op.op == "drop_path"]
    assert rates == pytest.approx([0.2 * block / 16 for block in (2, 4, 6, 7, 9, 10, 12, 13, 14)])


def test_batch_norm_as_torchvision_sets_it() -> None:
    wanted = {"resnet18": (1e-5, 0.1), "googlenet": (1e-3, 0.1), "efficientnet_b4": (1e-5, 0.1)}
    wanted |= {f"efficientnet_b{scale}": (1e-3, 0.01) for scale in (5, 6, 7)}
    for name, (eps, momentum) in wanted.items():
        norms = [node.op for node in archspec.load(name).graph.nodes if node.op.op == "batch_norm"]
        assert {(norm.eps, norm.momentum) for norm in norms} == {(eps, momentum)}, name


def test_larger_efficientnets_drop_more() -> None:
    heads = [archspec.load(f"efficientnet_b{scale}").graph.node("classifier.0").op.rate for scale in range(8)]
    assert heads == [0.2, 0.2, 0.3, 0.3, 0.4, 0.4, 0.5, 0.5]


@pytest.mark.parametrize("name", ["notes_residual_block", "notes_efficient_block", "notes_expansion_block"])
def test_a_skip_edge_needs_equal_shapes(name: str) -> None:
    same, smaller = archspec.load(name), archspec.load(name, stride=2, filters=128)
    assert output_shapes(same) == [(64, 56, 56)]
    assert output_shapes(smaller) == [(128, 28, 28)]
    assert skips(same)
    assert not skips(smaller)
