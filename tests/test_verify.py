"""`verify` passes what agrees, and finds what does not."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

import archspec
from archspec.elaborate.interning import _interned
from archspec.ops.activation import ReLU
from archspec.ops.base import Call
from archspec.ops.conv import Conv
from archspec.ops.norm import BatchNorm

torch = pytest.importorskip("torch")

from archspec.backends.verify import verify  # noqa: E402

CHECKS = ["layers", "outputs", "params", "macs", "state_dict", "source", "compiled"]
NETWORKS: list[tuple[str, dict[str, Any]]] = [
    ("lenet5", {}),
    ("resnet18", {"input": (3, 64, 64)}),
    ("googlenet", {"input": (3, 64, 64), "aux_logits": True, "num_classes": 5}),
    ("notes_efficient_block", {}),
]

# Inductor takes long to compile: ten networks at small input, and with ARCHSPEC_ALL=1 larger ones.
NOTES = ("depthwise_separable", "efficient_block", "expansion_block", "inception", "mobile_block", "residual_block")
SMALL: list[tuple[str, dict[str, Any]]] = [
    ("lenet5", {}),
    ("lenet5", {"probabilities": True, "num_classes": 7}),
    ("lenet5_1998", {}),
    *((f"notes_{block}", {"input": (64, 14, 14)}) for block in NOTES),
    ("notes_residual_block", {"input": (64, 14, 14), "stride": 2, "filters": 128}),
    ("nin", {"input": (3, 64, 64)}),
    ("squeezenet1_0", {"input": (3, 64, 64)}),
]
LARGER = ("resnet18", "googlenet", "mobilenet_v2", "efficientnet_b0", "vgg11_bn")
INDUCTOR = SMALL + ([(name, {"input": (3, 64, 64)}) for name in LARGER] if os.environ.get("ARCHSPEC_ALL") else [])


@pytest.mark.parametrize(("name", "options"), NETWORKS, ids=[name for name, _ in NETWORKS])
def test_agrees(name: str, options: dict[str, Any]) -> None:
    seen: list[str] = []
    result = verify(archspec.load(name, **options), progress=lambda check: seen.append(check.name))
    assert result.passed, str(result)
    assert seen == [check.name for check in result.checks] == CHECKS
    assert len(str(result).splitlines()) == len(CHECKS), "one line a check"
    assert json.loads(json.dumps(result.to_dict()))["passed"] is True


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # torch's own code on the way to inductor
@pytest.mark.parametrize(("name", "options"), INDUCTOR, ids=[name for name, _ in INDUCTOR])
def test_agrees_with_inductor(name: str, options: dict[str, Any]) -> None:
    result = verify(archspec.load(name, **options), compiler="inductor")
    assert result.passed, str(result)


def test_leaves_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    verify(archspec.load("lenet5"), compiler="none")
    assert torch.equal(torch.rand(3), expected)


def failing(network: archspec.Network) -> dict[str, str]:
    return {check.name: check.detail for check in verify(network, compiler="none").checks if not check.passed}


@pytest.fixture(autouse=True)
def forget_ops() -> Iterator[None]:
    """Ops made while their class is patched are not for other tests."""
    yield
    _interned.cache_clear()


@pytest.fixture
def network() -> archspec.Network:
    """A network with ops of its own, which the tests may spoil."""
    layers = "[{conv: {filters: 4, kernel: 3}}, batch_norm, relu, flatten, linear: 2]"
    found = archspec.loads(f"name: small\ninput: [3, 8, 8]\nlayers: {layers}\n")
    for node in found.graph.nodes:
        node.op = type(node.op)(node.op.inputs, node.op.args())
    return found


def test_finds_a_wrong_shape(network: archspec.Network) -> None:
    vars(network.graph.node("conv").op)["output"] = (4, 9, 9)
    assert failing(network)["layers"] == "conv: 4x9x9 in the spec, 4x6x6 in torch"


def test_finds_wrong_params(network: archspec.Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conv, "weights", lambda self: {"weight": (4, 3, 3, 3)})
    found = failing(network)
    assert found["params"] == "params: 406 in the spec, 410 in torch"
    assert found["state_dict"] == "conv.bias: absent in the spec, 4 in torch"


def test_finds_wrong_macs(network: archspec.Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conv, "macs", lambda self: 1)
    expected = "macs: 289 in the spec, 4,176 in torch; conv: 1 in the spec, 3,888 in torch"
    assert failing(network) == {"macs": expected}


def test_finds_keys_in_another_order(network: archspec.Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BatchNorm, "weights", lambda self: {"bias": (4,), "weight": (4,)})
    message = "the keys are in another order: expected `batch_norm.bias`, got `batch_norm.weight`"
    assert failing(network) == {"state_dict": message}


SOURCE = """
import torch
from torch import nn


class Small(nn.Sequential):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.batch_norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU()
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(144, 2)
"""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (SOURCE, None),
        (SOURCE.replace("ReLU", "SiLU"), "evaluation: the output `linear` of the source differs"),
        (SOURCE.replace("(4)", "(4, momentum=0.2)"), "after training, `batch_norm.running_mean` differs in the source"),
        (SOURCE.replace("144, 2", "144, 3"), "linear.weight: 2x144 in the spec, 3x144 in torch; linear.bias: 2 in the"),
        (SOURCE + "        self.conv.bias.data[0] = 0\n", "from one seed, `conv.bias` starts from other values in the"),
        (SOURCE + "    def forward(self, x):\n        return x, x\n", "expected 1 outputs, got 2"),
        ("", "the source of small defines no module"),
        ("import nonsense", "ModuleNotFoundError: No module named 'nonsense'"),
        ("class", "SyntaxError: invalid syntax"),
    ],
    ids=["right", "op", "momentum", "shape", "weights", "outputs", "empty", "import", "syntax"],
)
def test_finds_source_that_does_something_else(
    source: str, message: str | None, network: archspec.Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archspec.backends.source.generate_source", lambda network: source)
    found = failing(network)
    assert list(found) == (["source"] if message else [])
    assert found.get("source", "").startswith(message or "")


def test_finds_what_torch_refuses(network: archspec.Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReLU, "calls", lambda self: (Call("nn.GroupNorm", {"num_groups": 3, "num_channels": 4}),))
    found = failing(network)
    assert found["layers"] == "ValueError: num_channels (4) must be divisible by num_groups (3)"


def test_finds_a_compiled_network_that_is_off(network: archspec.Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a compiler of torch that takes one function for another."""

    def leaky(captured: Any, inputs: list[Any]) -> Any:
        (relu,) = captured.graph.find_nodes(op="call_function", target=torch.nn.functional.relu)
        relu.target = torch.nn.functional.leaky_relu
        captured.recompile()
        return captured.forward

    compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda module, **options: compile(module, **{**options, "backend": leaky}))
    compiled = verify(network).checks[-1]
    assert not compiled.passed
    off = r"aot_eager: `linear` is off by \d\.\de-0[23] of its norm, where rounding allows \d\.\de-06"
    assert re.fullmatch(rf"FAIL  compiled    {off}", str(compiled)), str(compiled)


def test_finds_a_network_that_is_not_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    network = archspec.loads("name: log\ninput: [8]\nlayers: [relu]\n")
    monkeypatch.setattr(ReLU, "calls", lambda self: (Call("torch.log"),))
    (compiled,) = [check for check in verify(network).checks if check.name == "compiled"]
    assert (compiled.passed, compiled.detail) == (False, "aot_eager: `relu` is not finite")


def test_says_what_it_cannot_see() -> None:
    """A constant network passes, and the result says that this means little."""
    network = archspec.loads("name: constant\ninput: [3, 8, 8]\nlayers: [{conv: 1}, softmax]\n")
    result = verify(network)
    assert result.passed
    blind = "; `softmax` does not depend on the input; `softmax` does not depend on `conv`"
    assert [check.detail.endswith(blind) for check in result.checks] == [False] * 5 + [True] * 2


def test_a_network_too_large_to_run_fails_only_where_it_runs() -> None:
    net = archspec.loads("name: large\ninput: [8]\nlayers: [linear: 900000000000000]\n")
    found = {check.name: check.detail for check in verify(net).checks if not check.passed}
    assert list(found) == ["source", "compiled"]
    assert all("the weights take" in detail for detail in found.values())


def test_unknown_compiler(network: archspec.Network) -> None:
    with pytest.raises(archspec.UsageError, match=r"unknown compiler 'inductr'(.|\n)*did you mean `inductor`"):
        verify(network, compiler="inductr")
