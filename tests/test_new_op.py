"""An op is one class: ops that are defined here work everywhere, without another line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from jsonschema import Draft7Validator
from op_samples import Bad, Good, bad, good
from test_ops import test_agrees_with_torch as agrees_with_torch
from test_ops import test_canonical_arguments as canonical_arguments
from test_ops import test_refuses as refuses

import archspec
from archspec.backends.verify import verify
from archspec.ops import FAMILIES, OPS, registered, table
from archspec.ops.activation import _Activation
from archspec.ops.base import Call, Op
from archspec.ops.fields import Bool, Float, Int, arg
from archspec.report.op_reference import as_reference
from archspec.schema import schema
from archspec.shapes import Shape

torch = pytest.importorskip("torch")

CommandLine = Callable[..., tuple[int, str, str]]


class HardTanh(_Activation):
    """Identity between two bounds, and constant outside them (torch.nn.Hardtanh)."""

    op = "hard_tanh"
    torch = "nn.Hardtanh"
    also_called = ("clip", "htanh")
    color = "#ffeeaa"

    min_val: float = arg(Float(), "the lower bound", -1.0, also_called=("low",), free=True)
    max_val: float = arg(Float(), "the upper bound", 1.0, also_called=("high",), free=True)

    def infer(self) -> Shape:
        if self.min_val >= self.max_val:
            raise self.error("value", f"{self.max_val} is not above {self.min_val}", "max_val")
        return self.input


class Pointwise(Op):
    """A convolution of kernel 1, which mixes the channels of each position (torch.nn.Conv1d, Conv2d, Conv3d)."""

    op = "one_by_one"
    torch = "nn.Conv*d"
    ranks = (1, 2, 3)
    weighted = True

    times: int = arg(Int(1), "how many filters there are per channel")
    bias: bool = arg(Bool(), "whether a learned constant is added", True)

    def infer(self) -> Shape:
        return (self.channels * self.times, *self.spatial)

    def weights(self) -> dict[str, Shape]:
        weight: dict[str, Shape] = {"weight": (self.output[0], self.channels, *(1,) * self.rank)}
        return {**weight, "bias": (self.output[0],)} if self.bias else weight

    def macs(self) -> int:
        size = self.channels
        for axis in self.output:
            size *= axis
        return size

    def calls(self) -> tuple[Call, ...]:
        sizes = {"in_channels": self.channels, "out_channels": self.output[0], "kernel_size": 1}
        return (Call(self.torch_name, {**sizes, "bias": self.bias}),)


class Lessen(Op):
    """The first step less the others, of equal shape (-)."""

    op = "lessen"
    torch = "-"
    arity = None
    work_doc = "1 per element of the output, for each operand after the first"

    def infer(self) -> Shape:
        if len(set(self.inputs)) > 1:
            raise self.error("shape", f"operands differ: {self.operand(0)} and {self.operand(1)}")
        return self.input

    def flops(self) -> int:
        size = len(self.inputs) - 1
        for axis in self.output:
            size *= axis
        return size

    def calls(self) -> tuple[Call, ...]:
        return (Call("-"),)


class Case(NamedTuple):
    """An op, a network that uses it, and what is to be seen of it."""

    op: type[Op]
    spec: str
    wrong: tuple[str, str]
    error: str
    code: tuple[str, ...]
    params: int
    shown: str
    label: str
    good: list[Good]
    bad: list[Bad]


BLOCK = """\
name: net
input: [4, 8, 8]
params: {num_classes: 5}
blocks:
  unit:
    params: {filters: , low: -1.0, times: 2}
    layers:
      - conv: {name: conv, filters: $filters, kernel: 3, padding: half}
      - OP
      - batch_norm: {name: bn}
      - add: {name: sum, from: [bn, bn]}
layers:
  - unit: {name: one, filters: 4}
  - unit: {name: two, filters: 6, low: -0.5, times: 3}
  - global_avg_pool
  - flatten
  - linear: {name: head, units: $num_classes}
"""


def network(step: str) -> str:
    """A network with the op in a block that is used twice, with other arguments each time."""
    return BLOCK.replace("- OP", f"- {step}")


CASES = [
    Case(
        HardTanh,
        network("hard_tanh: {min_val: $low, max_val: 2.5}\n      - hard_tanh: {max_val: 0.5}"),
        ("max_val: 2.5", "max_val: -3.0"),
        "hard_tanh: -3.0 is not above -1.0",
        (
            "self.hard_tanh = nn.Hardtanh(low, max_val=2.5)",
            "F.hardtanh(self.hard_tanh(self.conv(x)), max_val=0.5)",
        ),
        4 * 4 * 9 + 4 + 4 * 6 * 9 + 6 + 20 + 35,
        "- hard_tanh: {name: hard_tanh, min_val: -0.5, max_val: 2.5}",
        "hard_tanh min_val=-0.5, max_val=2.5",
        [good((12, 5)), good((3,), min_val=-2, max_val=0.5), good((12, 9, 8)), good((2, 5, 9, 8))],
        [bad("value", "1.0 is not above 2", (3,), min_val=2)],
    ),
    Case(
        Pointwise,
        network("one_by_one: {name: mix, times: $times, bias: false}"),
        ("times: $times", "times: 0"),
        "one_by_one: times",
        ("self.mix = nn.Conv2d(filters, filters * times, 1, bias=False)",),
        4 * 4 * 9 + 4 + 4 * 8 + 8 * 6 * 9 + 6 + 6 * 18 + 2 * (8 + 18) + 18 * 5 + 5,
        "- one_by_one: {name: mix, times: 3, bias: false}",
        "one_by_one times=3, bias=false",
        [good((12, 5), times=2), good((12, 9, 8), times=1, bias=False), good((2, 5, 9, 8), times=3)],
        [bad("shape", "channels first, got 12", (12,), times=1), bad("argument", "times", (12, 5))],
    ),
    Case(
        Lessen,
        network("lessen: {name: less, from: [conv, conv, conv]}"),
        ("from: [conv, conv, conv]", "from: [conv, input]"),
        "lessen: operands differ: 6x8x8 (conv) and 4x8x8 (input)",
        ("self.bn(conv - conv - conv)",),
        4 * 4 * 9 + 4 + 4 * 6 * 9 + 6 + 20 + 35,
        "- lessen: {name: less, from: [conv, conv, conv]}",
        "lessen",
        [good((3,), (3,)), good((4, 5), (4, 5), (4, 5)), good((4, 5, 3), (4, 5, 3)), good((2, 2, 2, 2), (2, 2, 2, 2))],
        [bad("shape", "operands differ: 3 and 4", (3,), (4,))],
    ),
]
EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: case.op.op)


@pytest.fixture
def spec(tmp_path: Path, case: Case) -> Iterator[str]:
    path = tmp_path / "net.yaml"
    path.write_text(case.spec, encoding="utf-8")
    with registered(case.op):
        yield str(path)


@EACH
def test_the_contract(case: Case) -> None:
    """What holds for the ops of the table, by the same tests."""
    for use in case.good:
        agrees_with_torch(case.op, use)
        canonical_arguments(case.op, use)
    for use in case.bad:
        refuses(case.op, use)


@EACH
def test_schema(case: Case) -> None:
    plain = yaml.safe_load(case.spec)
    wrong = yaml.safe_load(case.spec.replace(f"{case.op.op}: {{", f"{case.op.op}: {{nothing: 1, "))
    assert f"op.{case.op.op}" not in schema()["definitions"]
    with registered(case.op):
        validator = Draft7Validator(json.loads(json.dumps(schema())))
    assert validator.is_valid(plain)
    assert not validator.is_valid(wrong)


@EACH
def test_check(case: Case, spec: str, command_line: CommandLine) -> None:
    status, out, _ = command_line("check", spec)
    assert (status, out.count("OK") + out.count("ok")) == (0, 1)
    Path(spec).write_text(case.spec.replace(*case.wrong), encoding="utf-8")
    status, out, err = command_line("check", spec)
    assert status == 1
    assert case.error in out + err
    line = case.spec[: case.spec.index(case.wrong[0])].count("\n") + 1
    assert f"net.yaml:{line}:" in out + err
    Path(spec).write_text(case.spec.replace(f"{case.op.op}: {{", f"{case.op.op}: {{nothing: 1, "), encoding="utf-8")
    status, out, err = command_line("check", spec)
    assert (status, "unknown argument `nothing`" in out + err) == (1, True)


@EACH
def test_analyze(case: Case, spec: str, command_line: CommandLine) -> None:
    status, out, _ = command_line("analyze", spec, "--format", "json")
    found = json.loads(out)
    assert (status, found["totals"]["params"]) == (0, case.params)
    assert case.op.op in out


@EACH
def test_show(case: Case, spec: str, command_line: CommandLine) -> None:
    status, out, _ = command_line("show", spec)
    assert status == 0
    assert case.shown in out
    assert archspec.loads(out).graph.structural_hash() == archspec.load(spec).graph.structural_hash()


@EACH
def test_build_and_generate(case: Case, spec: str, command_line: CommandLine, tmp_path: Path) -> None:
    net = archspec.load(spec)
    module = archspec.build(net)
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    assert shapes == net.graph.state_dict()
    target = tmp_path / "net.py"
    assert command_line("generate", spec, "-o", str(target))[0] == 0
    text = target.read_text(encoding="utf-8")
    for line in case.code:
        assert line in text
    assert "num_classes: int = 5" in text
    found: dict[str, Any] = {"__name__": "generated"}
    exec(compile(text, "net.py", "exec"), found)
    written = found["Net"]()
    written.load_state_dict(module.state_dict())
    x = torch.randn(2, 4, 8, 8)
    assert torch.equal(written.eval()(x), module.eval()(x))


@EACH
def test_verify(case: Case, spec: str) -> None:
    report = verify(archspec.load(spec), compiler="none")
    assert [check.name for check in report.checks if not check.passed] == []
    assert len(report.checks) >= 4


@EACH
def test_drawing(case: Case, spec: str, command_line: CommandLine) -> None:
    for format_ in ("dot", "mermaid"):
        status, out, _ = command_line("graph", spec, "--format", format_)
        assert status == 0
        assert case.label in out
    dot = command_line("graph", spec, "--format", "dot")[1]
    assert dot.count('fillcolor="#ffeeaa"') == (4 if case.op is HardTanh else 0)


@EACH
def test_reference(case: Case, spec: str, command_line: CommandLine) -> None:
    status, out, _ = command_line("ops", case.op.op)
    assert status == 0
    assert (case.op.__doc__ or "").splitlines()[0] in out
    assert case.op.op in command_line("ops")[1]
    reference = as_reference()
    assert f"## Custom\n\n### {case.op.op}\n" in reference
    assert ("Also called: clip, htanh." in reference) == (case.op is HardTanh)


def test_a_param_stays_open_where_the_field_is_free() -> None:
    text = "name: net\ninput: [4]\nparams: {bound: 2.5}\nlayers: [{linear: 3}, {hard_tanh: {max_val: $bound}}]\n"
    with registered(HardTanh):
        assert "def __init__(self, bound: float = 2.5) -> None:" in archspec.generate(archspec.loads(text))


# The table.


@contextmanager
def unchanged() -> Iterator[None]:
    before = (dict(OPS), dict(FAMILIES), table(), schema())
    yield
    assert (OPS, FAMILIES, table(), schema()) == before


def test_registered_for_a_time(tmp_path: Path) -> None:
    """Whatever was loaded before or after does not know it; and the next op of that name is another one."""
    text, wrong = tmp_path / "right.yaml", tmp_path / "wrong.yaml"
    text.write_text("input: [4]\nlayers: [{hard_tanh: {max_val: 3}}]\n", encoding="utf-8")
    wrong.write_text("input: [4]\nlayers: [{hard_tanh: {maxval: 3}}]\n", encoding="utf-8")

    class Other(_Activation):
        """Another op of the same name (torch.nn.Softshrink)."""

        op = "hard_tanh"
        torch = "nn.Softshrink"

        max_val: float = arg(Float(), "the bound", 0.5)

        def calls(self) -> tuple[Call, ...]:
            return (Call("nn.Softshrink", {"lambd": self.max_val}),)

    with unchanged():
        for _ in range(2):
            for each in (text, wrong):
                with pytest.raises(archspec.SpecError, match="unknown op `hard_tanh`"):
                    archspec.load(each)
            with registered(HardTanh, family="activation"):
                with pytest.raises(archspec.SpecError, match="unknown argument `maxval`"):
                    archspec.load(wrong)
                assert FAMILIES["activation"][-1] is HardTanh
                first = archspec.load(text)
                assert type(first.graph.nodes[0].op) is HardTanh
            with registered(Other):
                assert type(archspec.load(text).graph.nodes[0].op) is Other
    assert first.graph.nodes[0].op.calls()[0].target == "nn.Hardtanh"
    assert "F.hardtanh" in archspec.generate(first)  # a network that is there keeps working


@pytest.mark.parametrize("ops", [(HardTanh, HardTanh), (OPS["relu"],), (_Activation,)])
def test_a_name_is_given_once(ops: tuple[type[Op], ...]) -> None:
    with unchanged(), pytest.raises(ValueError, match="needs a name of its own, got "), registered(*ops):
        pass


def test_the_table_is_restored_after_an_error() -> None:
    with unchanged(), pytest.raises(RuntimeError), registered(HardTanh):
        raise RuntimeError


# What torch is not known to take is found where the op is written, not when code is generated.


def test_a_module_that_is_not_known() -> None:
    message = "soft: `nn.SoftThing` has no entry in archspec/ops/torch_api.py"
    with pytest.raises(TypeError, match=re.escape(message)):

        class Soft(_Activation):
            op = "soft"
            torch = "nn.SoftThing"


def test_a_function_form_that_is_not_known() -> None:
    message = "slow is functional, but archspec/ops/torch_api.py has no function for `nn.PReLU`"
    with pytest.raises(TypeError, match=re.escape(message)):

        class Slow(_Activation):
            op = "slow"
            torch = "nn.PReLU"


def test_a_call_of_what_is_not_known() -> None:
    with pytest.raises(LookupError, match=re.escape("`nn.Nothing` has no entry in archspec/ops/torch_api.py")):
        Call("nn.Nothing")
    with pytest.raises(LookupError, match=re.escape("`nn.Hardtanh` has no argument `bound`")):
        Call("nn.Hardtanh", {"bound": 1.0})
