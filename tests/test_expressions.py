"""`$name` and `${...}`: what they mean is what Python means by them, and nothing in them runs long or reaches out."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archspec.errors import Complaint
from archspec.expressions import (
    FUNCTIONS,
    MAX_ITEMS,
    UNKNOWN,
    Environment,
    Expression,
    Tensor,
    UnknownShape,
    compile_expression,
    compile_text,
    make_divisible,
)


class Record(dict[str, Any]):
    """A mapping with attributes, for Python's own eval."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


VALUES: dict[str, Any] = {
    "a": 3,
    "b": -2,
    "zero": 0,
    "x": 0.5,
    "yes": True,
    "s": "abc",
    "l": [4, 1, 3],
    "m": {"k": 7, "l": [1, 2]},
    "stages": [{"n": 1, "w": 8}, {"n": 3, "w": 16}],
    "none": None,
}
TENSORS = {"input": Tensor((3, 8, 6)), "line": Tensor((4, 9)), "flat": Tensor((10,)), "cube": Tensor((1, 2, 3, 4))}


def evaluate(text: str) -> Any:
    compiled = compile_text(text)
    environment = Environment(VALUES, tensors=TENSORS.get, visible=TENSORS.keys)
    return compiled if isinstance(compiled, str) else compiled.evaluate(environment)


def outcome(text: str) -> Any:
    """The value, or the error in its place."""
    try:
        return evaluate(text)
    except Complaint as error:
        return error


def fails(text: str) -> Complaint:
    with pytest.raises(Complaint) as caught:
        evaluate(text)
    return caught.value


# As Python understands them.


def joined(*parts: str | st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Texts made of fixed and random parts."""
    return st.tuples(*(st.just(part) if isinstance(part, str) else part for part in parts)).map("".join)


def operators(*words: str) -> st.SearchStrategy[str]:
    return st.sampled_from([f" {word} " for word in words])


ATOMS = st.one_of(
    st.sampled_from(
        ["a", "b", "zero", "x", "yes", "m.k", "m['k']", "l[0]", "l[-1]", "stages[1].w", "len(l)", "len(s)"]
    ),
    st.integers(0, 30).map(str),
    st.sampled_from(["1.5", "0.25", "2.0", "1e3", "True", "False", "None", "'abc'", '"b"', "s"]),
)
LISTS = st.sampled_from(
    ["l", "m.l", "[1, 2, 3]", "[]", "l[1:]", "l[:-1]", "l[::-1]", "[x, a]", "[t.n for t in stages]"]
)


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    some = joined("(", inner, ")")
    return st.one_of(
        joined(some, operators("+", "-", "*", "/", "//", "%"), some),
        joined(some, operators("<", "<=", ">", ">=", "==", "!="), some, operators("<", "=="), some),
        joined(some, operators("and", "or"), some),
        joined(some, " if ", some, " else ", some),
        joined(some, " ** ", st.integers(0, 3).map(str)),
        joined(st.sampled_from(["-", "+", "not "]), some),
        joined(some, operators("in", "not in"), LISTS),
        joined(st.sampled_from(["min", "max"]), "(", some, ", ", some, ")"),
        joined(st.sampled_from(["min", "max", "sum", "len"]), "(", LISTS, ")"),
        joined(st.sampled_from(["abs", "int", "round", "ceil", "floor"]), "(", some, ")"),
        joined("[", some, " for i in ", LISTS, " if i", operators("<", "!="), some, "]"),
        joined("sum([i * j for i in ", LISTS, " for j in ", LISTS, " if i != j])"),
        joined("[", some, ", ", some, "]"),
        joined("round(", some, ", 2)"),
        joined("make_divisible(", some, ", 4)"),
    )


EXPRESSIONS = st.recursive(ATOMS, compound, max_leaves=8)


@settings(max_examples=1500, deadline=None)
@given(EXPRESSIONS)
def test_as_python(text: str) -> None:
    names = {name: Record(value) if isinstance(value, dict) else value for name, value in VALUES.items()}
    names["stages"] = [Record(stage) for stage in VALUES["stages"]]
    functions = {**FUNCTIONS, "min": min, "max": max, "sum": sum}
    try:
        expected = eval(text, {"__builtins__": {}, **functions, **names})
    except Exception:
        expected = Complaint
    found = outcome(f"${{{text}}}")
    if isinstance(found, Complaint):
        # Text where a number is expected, and what is beyond the limits, are errors here and not in Python.
        stricter = (
            "levels deep",
            "expected numbers",
            "takes numbers only",
            "exceeds the",
            "finite",
            "list of numbers",
            "real number",
        )
        assert expected is Complaint or any(word in found.message for word in stricter), (text, expected, found)
        return
    assert expected is not Complaint, (text, found)
    assert (found, type(found)) == (expected, type(expected)), text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("", ""),
        ("$a", 3),
        ("$l", [4, 1, 3]),
        ("$m.k", 7),
        ("$m.l", [1, 2]),
        ("${a}", 3),
        ("${ a }", 3),
        ("$$", "$"),
        ("$$a", "$a"),
        ("$$$a", "$3"),
        ("$${a}", "${a}"),
        ("$", "$"),
        ("a$", "a$"),
        ("$5", "$5"),
        ("5 $ each", "5 $ each"),
        ("x${a}y$b.", "x3y-2."),
        ("$a$b", "3-2"),
        ("layer${a + 1}", "layer4"),
        ("${s}_${x}", "abc_0.5"),
        ("${'}'}", "}"),
        ('${"a}b"}', "a}b"),
        ("${'it' + \"'s\"}", "it's"),
        ("$input.channels", 3),
        ("${input.height * input.width}", 48),
        ("${input.shape}", [3, 8, 6]),
        ("${input.shape[1:]}", [8, 6]),
        ("$line.length", 9),
        ("$flat.channels", 10),
        ("${[cube.depth, cube.height, cube.width]}", [2, 3, 4]),
        ("${sum(t.n for t in stages)}", 4),
        ("${[t.w for t in stages if t.n > 1]}", [16]),
        ("${none is None}", True),
        ("${'a' in s}", True),
        ("${2 if yes else 1}", 2),
        ("${0 and 1 / 0}", 0),
        ("${1 if True else 1 / 0}", 1),
        ("${2 ** 62}", 2**62),
        ("${2 ** -1}", 0.5),
        ("${-7 // 2}", -4),
        ("${round(2.5)}", 2),
        ("${1 < 2 < 3}", True),
        ("${make_divisible(30)}", 32),
        ("${make_divisible(30, divisor=4, min_ratio=0.9)}", 32),
        ("${[] + [1]}", [1]),
        ("${(1, 2)}", [1, 2]),
    ],
)
def test_values(text: str, value: Any) -> None:
    found = evaluate(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${", "no closing `}`"),
        ("a ${b", "no closing `}`"),
        ("${'}", "no closing `}`"),
        ("${}", "got nothing"),
        ("${a b}", "is not a valid expression"),
        ("${a\nb}", "a line break is not allowed"),
        ("${a\\}", "a backslash or"),
        ("${é}", "plain ASCII"),
        ("$q", "unknown name `q`"),
        ("$m.q", "the mapping has no `q`"),
        ("${m['q']}", "the mapping has no key 'q'"),
        ("$a.real", "only mappings and tensors have attributes"),
        ("$input.length", "a tensor of 3x8x6 has no `length`"),
        ("$line.height", "a tensor of 4x9 has no `height`"),
        ("${input[0]}", "only lists, text and mappings can be indexed"),
        ("x$l", "expected text or a number inside text"),
        ("x$yes", "expected text or a number inside text"),
        ("x$input", "expected text or a number inside text"),
        ("${min}", "`min` is a function"),
        ("${open('x')}", "unknown function"),
        ("${__import__('os')}", "unknown function"),
        ("${_x}", "are not allowed"),
        ("${s.upper()}", "unknown function"),
        ("${s.__len__}", "are not allowed"),
        ("${[x for x in 5]}", "needs a list"),
        ("${[x for x, y in l]}", "expected entries of 2 values, got the integer 4"),
        ("${[x for x, *y in l]}", "takes plain names"),
        ("${[x for _ in l]}", "takes plain names"),
        ("${{1: 2}}", "a mapping is not allowed"),
        ("${{1, 2}}", "a set is not allowed"),
        ("${~a}", "`~` is not allowed"),
        ("${a @ b}", "operator"),
        ("${a | b}", "operator"),
        ("${...}", "is not allowed"),
        ("${b'a'}", "is not allowed"),
        ("${1j}", "is not allowed"),
        ("${min()}", "min"),
        ("${min([])}", "empty"),
        ("${max('a', 'b')}", "expected numbers"),
        ("${int('3')}", "expected numbers"),
        ("${sum([[1], [2]])}", "a list of numbers"),
        ("${(-8) ** 0.5}", "not a real number"),
        ("${make_divisible(3, 0)}", "at least 1"),
        ("${make_divisible(3, 0.5)}", "at least 1"),
        ("${round(1.5, 400)}", "300 digits"),
        ("${yield 1}", "is not a valid expression"),
        ("${await a}", "is not allowed"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    error = fails(text)
    assert message in error.message
    assert "Tensor" not in error.message


@pytest.mark.parametrize(
    "text",
    [
        "9**9**9",
        "1 << 10**9",
        "9**4000000",
        "2.0**1024",
        "'a' * 10**9",
        "10**9 * 'a'",
        "[0] * 10**9",
        "[[0] * 9999] * 9999",
        "10**18 * 10**18",
        "1" * 999,
        "(" * 300 + "1" + ")" * 300,
        "[" * 300 + "]" * 300,
        "-" * 900 + "1",
        "not " * 240 + "1",
        "+".join("1" * 300),
        "1 if 1 else " * 40 + "1",
        "l" + "[0]" * 100,
        "m" + ".k" * 100,
        "min(" * 40 + "1" + ")" * 40,
        "[1 for a in [0]*999 for b in [0]*999 for c in [0]*999]",
        "[[1 for a in [0]*9999 if l] for b in [0]*9999]",
        "sum([sum([0]*9999) for a in [0]*9999])",
        "[1 for a in [0]*9999 if m == m]",
        "[s * 333 in s * 333 for a in [0]*9999]",
        "[min([0]*9999) for a in [0]*9999]",
        "[[0]*9999 == [0]*9999 for a in [0]*9999]",
        "1e308 * 10",
        "-1e308 * 10",
        "1e999 - 1e999",
        "int(1e300)",
    ],
)
def test_no_great_work(text: str) -> None:
    began = time.process_time()
    fails(f"${{{text}}}")
    assert time.process_time() - began < 1


def test_the_work_of_a_whole_spec_is_bounded() -> None:
    environment = Environment({})
    expression = compile_text("${sum([1 for a in [0]*200 for b in [0]*20])}")
    assert isinstance(expression, Expression)
    began = time.process_time()

    def work() -> None:
        for _ in range(10_000):
            expression.evaluate(environment)

    with pytest.raises(Complaint) as caught:
        work()
    assert caught.value.code == "limit"
    assert time.process_time() - began < 20


@settings(max_examples=500, deadline=None)
@given(st.text(st.sampled_from("abmlsx0123456789+-*/%()[]{}.,<>=! '\"_:if else for in not$#@~^&|\\\n"), max_size=40))
def test_nothing_but_an_expression_error(text: str) -> None:
    for given_text in (f"${{{text}}}", text, f"${text}"):
        found = outcome(given_text)
        assert not isinstance(found, Complaint) or found.message.isprintable()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a + b.c", {"a", "b"}),
        ("[x for x in l if x > a]", {"l", "a"}),
        ("[x for x in x]", {"x"}),
        ("[x for x in l] + [x]", {"l", "x"}),
        ("[y for x in l for y in [x, z]]", {"l", "z"}),
        ("[[x for x in y] for y in l]", {"l"}),
        ("min(a, 2)", {"a"}),
        ("input.shape[index]", {"input", "index"}),
    ],
)
def test_the_names_that_an_expression_mentions(text: str, names: set[str]) -> None:
    assert compile_expression(text).names == names


def test_names() -> None:
    outer = Environment({"a": 1, "b": 2}, tensors=TENSORS.get)
    inner = Environment({"b": 3}, outer)
    assert [inner.lookup(name) for name in "ab"] == [1, 3]
    assert inner.lookup("line") is TENSORS["line"]
    assert fails("$aa").diagnostic().help == "did you mean `a`?"
    assert fails("${inptu.channels}").diagnostic().help == "did you mean `input`?"
    assert fails("${lne}").diagnostic().help == "did you mean `line`?"
    assert fails("${mim(1, 2)}").diagnostic().help == "did you mean `min`?"
    assert fails("${false}").diagnostic().help == "in an expression it is `False`, as in Python"


def test_what_is_in_error_already_is_passed_over() -> None:
    environment = Environment({"lost": UNKNOWN}, tensors={"t": Tensor(None)}.get)
    for text in ("$lost", "${lost + 1}", "$t.channels", "${t.shape}"):
        compiled = compile_text(text)
        assert isinstance(compiled, Expression)
        with pytest.raises(UnknownShape):
            compiled.evaluate(environment)


def test_limit_of_a_list_is_exact() -> None:
    assert len(evaluate(f"${{[0] * {MAX_ITEMS}}}")) == MAX_ITEMS
    assert "longer than" in fails(f"${{[0] * {MAX_ITEMS + 1}}}").message


@given(st.floats(0.01, 1e6), st.integers(1, 64), st.floats(0, 1))
def test_make_divisible(value: float, divisor: int, ratio: float) -> None:
    found = make_divisible(value, divisor, ratio)
    assert found % divisor == 0
    assert found >= max(divisor, math.floor(ratio * value))
    assert abs(found - value) <= divisor


def test_make_divisible_as_mobilenet_has_it() -> None:
    def torchvision(value: float, divisor: int) -> int:
        found = max(divisor, int(value + divisor / 2) // divisor * divisor)
        return found + divisor if found < 0.9 * value else found

    assert all(make_divisible(v / 7, d) == torchvision(v / 7, d) for v in range(3000) for d in (1, 4, 8))
