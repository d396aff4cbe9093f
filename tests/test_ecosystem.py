"""A built module is a module like any other: TorchScript, torch.fx and what stands on it take it as it is.

`python -m pytest tests/test_ecosystem.py --whole` runs over the whole zoo, where this otherwise takes a sample.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from op_samples import SAMPLES
from random_specs import random_spec
from test_module import inputs, one_op, resized, values

import archspec
from archspec.backends.module import build_module
from archspec.graph import Graph
from archspec.ops import OPS

torch = pytest.importorskip("torch")
from torch import fx, nn  # noqa: E402

HERE = Path(__file__).parent
UNSEEN = {f"unseen/{path.stem}": path for path in sorted((HERE / "specs" / "unseen").glob("*.yaml"))}
SCRIPT_WARNS = pytest.mark.filterwarnings(
    "ignore:`torch.jit:DeprecationWarning",
    "ignore:Converting a tensor:torch.jit.TracerWarning:torch.nn",  # of batch norm, in torch's own code
)
QUANTISATION_WARNS = pytest.mark.filterwarnings(
    "ignore:torch.ao.quantization is deprecated:DeprecationWarning",
    "ignore:must run observer before calling calculate_qparams:UserWarning",
    "ignore:Please use quant_min and quant_max:UserWarning",
    "ignore:`_aminmax`:UserWarning",
    "ignore:torch.quantize_per_tensor:UserWarning",
)


def sampled(names: Iterable[str], *always: str) -> list[Any]:
    """Parameters of a test: `always`, and with --whole all the others."""
    return [pytest.param(name, marks=() if name in always else pytest.mark.whole) for name in names]


def small(name: str) -> Graph:
    """A network of the zoo or of tests/specs/unseen, at a small input where it has one."""
    if name in UNSEEN:
        size = {"unseen/wavenet": None, "unseen/xception": (96, 96)}.get(name, (64, 64))
        net = archspec.load(UNSEEN[name])
        (input_name, shape), *_ = net.graph.inputs.items()
        return net.graph if size is None else archspec.load(UNSEEN[name], input={input_name: (shape[0], *size)}).graph
    return resized(name, 32, **({"aux_logits": True} if name == "googlenet" else {})).graph


def converted(kind: str, module: Any, given: list[Any]) -> Any:
    if kind == "script":
        return torch.jit.script(module)
    if kind == "trace":
        return torch.jit.trace(module, tuple(given), strict=False, check_trace=False)
    return fx.symbolic_trace(module)


def check_same(graph: Graph, *kinds: str) -> None:
    """Each form of the module computes what the module does, in evaluation and in training."""
    module, given = build_module(graph), inputs(graph)
    state = {key: tensor.clone() for key, tensor in module.state_dict().items()}

    def results(run: Callable[..., Any]) -> list[Any]:
        module.load_state_dict(state)
        torch.manual_seed(0)  # so that dropout drops the same
        with torch.no_grad():
            return [value.clone() for value in values(run(*given))]

    for training in (False, True):
        expected = results(module.train(training))
        for kind in kinds:
            other = converted(kind, module, given)
            found = results(other)
            for ours, theirs in zip(expected, found, strict=True):
                assert torch.equal(theirs.nan_to_num(), ours.nan_to_num()), f"{kind}, training: {training}"
            keys = {key.replace("_holder.", "") for key in other.state_dict()}
            passing = {node.path for node in graph.nodes if not node.op.persistent}  # TorchScript and fx keep these
            # What is traced in evaluation has not the heads that only training runs.
            kept = (
                set(state) if training or kind == "script" else set(graph.evaluation.state_dict()) | keys & set(state)
            )
            assert keys - passing == kept, kind


@SCRIPT_WARNS
@pytest.mark.parametrize(
    "name",
    sampled(
        (*archspec.list_specs(), *UNSEEN),
        *("lenet5", "resnet18", "googlenet", "unseen/convnext_tiny", "notes_efficient_block", "notes_inception"),
    ),
)
def test_script_trace_and_fx(name: str) -> None:
    graph = small(name)
    # TorchScript has one type for what a forward returns; outputs for training make it two.
    check_same(graph, *(() if graph.training else ("script",)), "trace", "fx")


@SCRIPT_WARNS
@pytest.mark.parametrize("op", OPS)
def test_script_and_fx_of_every_op(op: str) -> None:
    for sample in range(len(SAMPLES[op].good)):
        graph = one_op(op, sample)
        # TorchScript cannot compile torch's own attention without biases: it asks None for its dtype.
        plain = any(node.op.op == "multi_head_attention" and not node.op.args()["bias"] for node in graph.nodes)
        check_same(graph, *(() if plain else ("script",)), "fx")


@SCRIPT_WARNS
@pytest.mark.parametrize("seeds", [range(20), pytest.param(range(20, 320), marks=pytest.mark.whole)], ids=str)
def test_script_and_fx_of_random_networks(seeds: range) -> None:
    for seed in seeds:
        graph = archspec.loads(random_spec(seed)).graph
        # TorchScript has one type for what a forward returns; outputs for training make it two.
        check_same(graph, *(() if graph.training else ("script",)), "fx")


# What stands on torch.fx.


def of_one_image(names: Iterable[str]) -> list[str]:
    return [name for name in names if list(small(name).inputs) == ["input"]]


def quantised(module: nn.Module, given: Any, training: bool) -> Any:
    """A module after post-training quantisation, or after training that is aware of it."""
    from torch.ao import quantization
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx, prepare_qat_fx

    module.train(training)
    if training:
        prepared = prepare_qat_fx(module, quantization.get_default_qat_qconfig_mapping("x86"), (given,))
    else:
        prepared = prepare_fx(module, quantization.get_default_qconfig_mapping("x86"), (given,))
    prepared(given)
    return convert_fx(prepared.eval())


@QUANTISATION_WARNS
@pytest.mark.parametrize("training", [True, False], ids=["aware training", "after training"])
@pytest.mark.parametrize("name", sampled(archspec.list_specs(), "lenet5", "notes_efficient_block"))
def test_quantisation_in_fx(name: str, training: bool) -> None:
    graph = small(name)
    given = inputs(graph)
    module = build_module(graph)
    found = quantised(module, given[0], training)
    kinds = {type(layer).__module__ for layer in found.modules()}
    assert any(kind.startswith("torch.ao.nn") for kind in kinds), "something of it computes in integers"
    with torch.no_grad():
        for ours, theirs in zip(values(module.eval()(*given)), values(found(*given)), strict=True):
            assert theirs.shape == ours.shape
            assert theirs.isfinite().all()


@pytest.mark.whole
@pytest.mark.filterwarnings("ignore:NOTE. The nodes obtained by tracing:UserWarning")
@pytest.mark.parametrize("name", archspec.list_specs())
def test_feature_extraction_of_torchvision(name: str) -> None:
    """`create_feature_extractor` gives the values that `features=` does.

    With activations in place, what a convolution gives is overwritten there, as in torchvision's own networks. It has
    names of its own for what ends in a number, and DropPath is no node of a graph in evaluation mode.
    """
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    sys.path.insert(0, str(HERE.parent / "benchmarks"))
    from rivals import torchvision  # type: ignore[import-not-found]

    torchvision()
    from torchvision.models.feature_extraction import create_feature_extractor

    graph = small(name)
    middle = graph.nodes[len(graph.nodes) // 2 :]
    path = next(node.path for node in middle if node.op.op != "drop_path" and not re.search(r"_\d+\b", node.path))
    module = build_module(graph, inplace=False).eval()
    wanted = build_module(graph, features=[path]).eval()
    wanted.load_state_dict({key: module.state_dict()[key] for key in wanted.state_dict()})
    given = inputs(graph)
    with torch.no_grad():
        found = create_feature_extractor(module, return_nodes=[path])(*given)
        assert torch.equal(found[path], wanted(*given)[path])


# The children.


def test_children_are_those_that_torchvision_has() -> None:
    """A `flatten` is no child of the network, so that a slice of the children computes what it does there."""
    module = archspec.build("resnet18", input=(3, 64, 64)).eval()
    layers = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool", "fc"]
    assert [name for name, _ in module.named_children()] == layers
    assert nn.Sequential(*list(module.children())[:-2])(torch.rand(1, 3, 64, 64)).shape == (1, 512, 2, 2)
    assert archspec.build("resnet18", features=["flatten"])(torch.rand(1, 3, 64, 64))["flatten"].shape == (1, 512)


def test_a_flatten_with_a_name_or_a_place_is_a_child() -> None:
    text = """
    input: [2, 3, 3]
    layers:
      - sequential: [relu, flatten]
      - reshape: [2, 3, 3]
      - flatten: {name: flat}
      - reshape: {name: shaped, shape: [2, 3, 3]}
      - flatten
      - reshape: [18, 1]
      - flatten
    """
    module = archspec.build(archspec.loads(text))
    assert [name for name, _ in module.named_modules()] == ["", "sequential", "sequential.0", "sequential.1", "flat"]
    seen: list[Any] = []
    module.flat.register_forward_hook(lambda *call: seen.append(call[2].shape))
    assert module(torch.rand(4, 2, 3, 3)).shape == (4, 18)
    assert seen == [(4, 18)]
