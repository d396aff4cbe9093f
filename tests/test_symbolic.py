"""Symbolic integers: the arithmetic of an op, run once on numbers that remember their expressions."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from functools import reduce
from math import prod
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from op_samples import SAMPLES, Good

from archspec.errors import Complaint
from archspec.ops import OPS
from archspec.ops.base import symbolic_calls
from archspec.ops.fields import Bool, Float, Int, Padding, Sizes
from archspec.ops.symbolic import MAX_TERMS, Sym, binary, name, substituted, symbolic, tree_of

GOOD = [pytest.param(op, use, id=f"{op}-{n}") for op in OPS for n, use in enumerate(SAMPLES[op].good)]


def value_of(tree: ast.expr, names: dict[str, Any]) -> Any:
    return eval(ast.unparse(tree), {"__builtins__": {}}, names)


def code(value: Any) -> Any:
    """The expression of a symbolic value as code; a plain value as it is."""
    tree = tree_of(value)
    return value if tree is None else ast.unparse(tree)


def run(op: str, *inputs: Any, **arguments: Any) -> tuple[list[dict[str, Any]], list[Any]]:
    """The arguments of the calls of an op, and its output, as code. Inputs are named `a`, `b`; arguments as fields."""
    shapes = tuple((Sym(shape[0], name(letter)), *shape[1:]) for letter, shape in zip("abc", inputs, strict=False))
    calls, output = symbolic_calls(OPS[op], shapes, {key: symbolic(v, name(key)) for key, v in arguments.items()})
    return [{key: code(value) for key, value in call.arguments.items()} for call in calls], list(map(code, output))


# Arithmetic.

OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "rest": lambda a, b: divmod(a, b)[0] - divmod(a, b)[1],
    "-()": lambda a, b: -(a - b),
    "ceil": lambda a, b: -(-a // b),
    "+()": lambda a, b: +a + b,
}
numbers = st.integers(-9, 9)
programs = st.lists(st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(0, 9), st.integers(0, 9)), max_size=8)


def compute(program: list[tuple[str, int, int]], values: list[int]) -> int:
    """Run straight-line code: each operation reads two of the values before it, modulo how many there are."""
    values = list(values)
    for symbol, left, right in program:
        values.append(OPERATIONS[symbol](values[left % len(values)], values[right % len(values)]))
    return values[-1]


@settings(max_examples=500)
@given(programs, st.tuples(numbers, numbers), st.tuples(numbers, numbers), numbers)
def test_arithmetic(program: list[tuple[str, int, int]], here: Any, there: Any, constant: int) -> None:
    """A value is the plain one, and its expression is right wherever the names have other values."""
    try:
        plain = compute(program, [*here, constant])
    except ZeroDivisionError:
        with pytest.raises(ZeroDivisionError):
            compute(program, [Sym(here[0], name("x")), Sym(here[1], name("y")), constant])
        return
    found = compute(program, [Sym(here[0], name("x")), Sym(here[1], name("y")), constant])
    assert (found, hash(found), str(found), f"{found}", found == plain) == (
        plain,
        hash(plain),
        str(plain),
        str(plain),
        1,
    )
    if not isinstance(found, Sym) or found.tree is None:
        return
    assert value_of(found.tree, {"x": here[0], "y": here[1]}) == plain
    try:
        wanted = compute(program, [*there, constant])
    except ZeroDivisionError:
        return
    assert value_of(found.tree, {"x": there[0], "y": there[1]}) == wanted


@pytest.mark.parametrize(
    ("compute", "text"),
    [
        (lambda x, y: 1 * x // 1 + 0, "x"),
        (lambda x, y: 2 + (x - 1), "x + 1"),
        (lambda x, y: x + 1 - 1, "x"),
        (lambda x, y: x * 7 * 7, "x * 49"),
        (lambda x, y: prod((7, 7, x)), "49 * x"),
        (lambda x, y: x + y + x, "2 * x + y"),
        (lambda x, y: y - x * 2 - 3 * x, "y - 5 * x"),
        (lambda x, y: 3 - x, "3 - x"),
        (lambda x, y: 3 - (x + 3), "-x"),
        (lambda x, y: -(x - y), "y - x"),
        (lambda x, y: -(-x // y), "-(-x // y)"),
        (lambda x, y: x - (y - 2), "x - y + 2"),
        (lambda x, y: (x + y) * (x - y) // 2 % 3, "(x + y) * (x - y) // 2 % 3"),
        (lambda x, y: x * y * 6 // (y * 4), "x * 3 // 2"),
        (lambda x, y: x * x * y // (x * y), "x"),
        (lambda x, y: x * y // (y * x * 2), 0),
        (lambda x, y: x // (x * 0 + 2), "x // 2"),
        (lambda x, y: x + True, "x + 1"),
        (lambda x, y: x - x, 0),
        (lambda x, y: x * 0, 0),
        (lambda x, y: x / y, 2.5),
        (lambda x, y: x * 1.5, 7.5),
        (lambda x, y: int(x) + abs(x), 10),
        (lambda x, y: max(x, 1), "x"),
    ],
)
def test_how_it_reads(compute: Callable[[int, int], Any], text: Any) -> None:
    found = code(compute(Sym(5, name("x")), Sym(2, name("y"))))
    assert (type(found), found) == (type(text), text)


def test_what_is_no_number() -> None:
    x: Any = Sym(5, name("x"))
    with pytest.raises(TypeError):
        x + "1"
    with pytest.raises(TypeError):
        [] - x
    assert "ab" * x == "ab" * 5
    assert list(range(x)) == [0, 1, 2, 3, 4]
    assert {5: "five"}[x] == "five"


def test_long_expressions_are_forgotten() -> None:
    """However many operands there are: no deep tree, and no expression of some of them only."""
    symbols = [Sym(2, name(f"x{n}")) for n in range(20_000)]
    few = sum(symbols[:MAX_TERMS])
    assert code(few) == " + ".join(f"x{n}" for n in range(MAX_TERMS))
    total = sum(symbols)
    for long in (total, 1 + total, -total, total - total, total // few, reduce(operator.mul, symbols[:50])):
        assert tree_of(long) is None
    assert (total, 1 + total, -total, total - total) == (40_000, 40_001, -40_000, 0)


# Values.


def test_only_integers_are_integers() -> None:
    symbol = name("x")
    for kind in (Int(), Sizes(0), Padding()):
        for wrong in (True, symbolic(True, symbol), 1.0, symbolic(1.0, symbol), symbolic("1", symbol)):
            with pytest.raises(Complaint):
                kind.parse(wrong, 2)
    for wrong in (True, symbolic(True, symbol), symbolic("1", symbol)):
        with pytest.raises(Complaint):
            Float().parse(wrong, 2)
    for wrong in (1, symbolic(1, symbol), symbolic("true", symbol)):
        with pytest.raises(Complaint):
            Bool().parse(wrong, 2)
    with pytest.raises(Complaint, match="expected at least 3, got 2"):
        Int(3).parse(symbolic(2, symbol), 2)
    assert symbolic(None, symbol) is None


def test_values_equal_the_plain_ones() -> None:
    for value in (3, 0.5, "half", True, False, [1, [2, 3]]):
        assert symbolic(value, name("x")) == value
    assert code(tuple(symbolic([1, 2], name("x")))) == "(x[0], x[1])"
    assert code((Sym(1, name("x")), 2)) == "(x, 2)"
    assert code((1, 2)) == (1, 2)


def test_substituted() -> None:
    tree = ast.parse("dilation * (kernel - 1) // 2 + size[1] + axes[0]", mode="eval").body
    places = {"dilation": "1", "kernel": "2 * k", "size": "(h, w + 1)", "axes": "axes"}
    found = substituted(tree, lambda found: ast.parse(places[found], mode="eval").body)
    assert ast.unparse(found) == "(2 * k - 1) // 2 + (w + 1) + axes[0]"


def test_a_product_with_one_and_a_float() -> None:
    one = ast.Constant(1.0)
    assert ast.unparse(binary(name("x"), ast.Mult(), one)) == "x * 1.0"
    assert ast.unparse(binary(name("x"), ast.Mult(), ast.Constant(True))) == "x * True"


# Ops.


@pytest.mark.parametrize(("op", "use"), GOOD)
def test_an_op_cannot_tell(op: str, use: Good) -> None:
    """Symbolic shapes and arguments give the numbers of the plain run, and each expression has the value beside it."""
    plain = OPS[op](use.inputs, use.arguments, leads=use.leads)
    names: dict[str, Any] = dict(use.arguments)
    inputs = []
    for number, shape in enumerate(use.inputs):
        inputs.append(tuple(Sym(size, name(f"size_{number}_{axis}")) for axis, size in enumerate(shape)))
        names |= {f"size_{number}_{axis}": size for axis, size in enumerate(shape)}
    arguments = {key: symbolic(value, name(key)) for key, value in use.arguments.items()}
    calls, output = symbolic_calls(OPS[op], tuple(inputs), arguments, use.leads)
    assert output == plain.output
    assert [(call.target, call.arguments) for call in calls] == [(c.target, c.arguments) for c in plain.calls()]
    values = [*output, *(value for call in calls for value in call.arguments.values())]
    for value in values:
        tree = tree_of(value)
        assert tree is None or value_of(tree, names) == value
    again = OPS[op](use.inputs, use.arguments, leads=use.leads)  # nothing symbolic stays behind
    held = [*again.output, *(value for call in again.calls() for value in call.arguments.values())]
    assert all(tree_of(value) is None for value in held)


@pytest.mark.parametrize("op", OPS)
def test_every_argument_is_traced(op: str) -> None:
    """What a call is given of a field that is no mere choice, of the channels too, is an expression in some sample."""
    choices = {"mode", "axis", "order", "approximate", "affine", "bias", "ceil_mode", "count_include_pad"}
    choices |= {"align_corners", "antialias", "like", "channels_at", "part"}
    choices |= {"axes", "batch", "broadcast", "persistent"}
    fields = set(OPS[op].fields) - choices
    seen: set[str] = set()
    for use in SAMPLES[op].good:
        arguments = {key: symbolic(value, name(key)) for key, value in use.arguments.items()}
        calls, output = symbolic_calls(OPS[op], use.inputs, arguments, use.leads)
        for value in (output, *(value for call in calls for value in call.arguments.values())):
            tree = tree_of(value)
            if tree is not None:
                seen |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert fields <= seen


IMAGE, FEATURES = (64, 56, 56), (64,)


def test_conv() -> None:
    (call,), output = run("conv", IMAGE, filters=128, kernel=3, padding="half", stride=2)
    traced = {"in_channels": "a", "out_channels": "filters", "kernel_size": "kernel", "stride": "stride"}
    assert call == {**traced, "padding": "(kernel - 1) // 2", "dilation": 1, "groups": 1, "bias": True}
    assert output[0] == "filters"
    (call,), _ = run("conv", IMAGE, filters=128, kernel=3, padding="half", dilation=2)
    assert call["padding"] == "dilation * (kernel - 1) // 2"
    (call,), output = run("conv", IMAGE, filters=128, kernel=5, padding="same", bias=False)
    assert call["padding"] == "(kernel - 1) // 2"
    assert call["bias"] == "bias"
    assert output == ["filters", 56, 56]
    (pad, call), _ = run("conv", (4, 16), filters=8, kernel=2, padding=[[1, 0]])
    assert pad["pad"] == "(padding[0][0], padding[0][1])"
    (call,), _ = run("conv", IMAGE, filters=8, kernel=[1, 3], padding=[0, 1])
    assert (call["kernel_size"], call["padding"]) == ("(kernel[0], kernel[1])", "(padding[0], padding[1])")


def test_what_followed_from_tables() -> None:
    (call,), output = run("depthwise_conv", IMAGE, kernel=3, multiplier=2)
    assert (call["in_channels"], call["out_channels"], call["groups"]) == ("a", "a * multiplier", "a")
    assert output[0] == "a * multiplier"
    assert run("depthwise_conv", IMAGE, kernel=3)[1][0] == "a"
    assert run("concat", IMAGE, IMAGE, IMAGE)[1] == ["a + b + c", 56, 56]
    assert run("concat", IMAGE, IMAGE, axis="height")[1] == ["a", 112, 56]
    assert run("flatten", IMAGE)[1] == ["a * 3136"]
    (call,), _ = run("max_pool", IMAGE, kernel=2)
    assert (call["kernel_size"], call["stride"]) == ("kernel", "kernel")
    (call,), output = run("linear", FEATURES, units=10)
    assert (call["in_features"], call["out_features"], output) == ("a", "units", ["units"])
    (call,), output = run("group_norm", IMAGE, groups=2, eps=1e-3, affine=False)
    assert call == {"num_groups": "groups", "num_channels": "a", "eps": "eps", "affine": "affine"}
    assert run("dropout", IMAGE, rate=0)[0] == [{"p": "rate"}]
    assert run("permute", IMAGE, order=[1, 2, 0])[1] == [56, 56, "a"]
    assert run("reshape", (64, 4), shape=[2, -1])[1] == ["shape[0]", "a * 4 // shape[0]"]
    assert run("slice", IMAGE, start=-4)[0][0] | {"dim": 0} == {"dim": 0, "start": "a + start", "length": "-start"}
    assert run("pixel_shuffle", IMAGE, factor=2)[1][0] == "a // (factor * factor)"
    assert run("upsample", IMAGE, scale=2, mode="nearest")[0] == [{"scale_factor": "scale", "mode": "mode"}]


def test_an_op_that_does_not_fit_says_so() -> None:
    with pytest.raises(Complaint, match="groups: expected a divisor of the 64 input channels, got 3"):
        run("conv", IMAGE, filters=6, groups=3)
