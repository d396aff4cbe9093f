"""What messages advise is true: the advised steps make shapes equal, the words that they name are there."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import archspec
from archspec import vocabulary
from archspec.document import zoo_files
from archspec.errors import Diagnostic, SpecError
from archspec.expressions import FUNCTIONS
from archspec.names import step_name_fault, value_name_fault
from archspec.ops import OPS
from archspec.schema import DOCUMENT_KEYS, SCOPES, STEP_KEYS, USE
from archspec.shapes import Shape, shape_text

# Shapes.


def two(merge: str, one: Shape, other: Shape, more: str = "", names: tuple[str, str] = ("a", "b")) -> str:
    """A spec that merges two inputs of these shapes, the second one after the steps of `more`."""
    return f"input: {{a: {list(one)}, b: {list(other)}}}\nlayers:\n{more}  - {merge}: [{', '.join(names)}]\n"


def finding(text: str) -> Diagnostic:
    """The one finding about a spec."""
    with pytest.raises(SpecError) as caught:
        archspec.loads(text)
    (only,) = caught.value.diagnostics
    return only


WAY = re.compile(r"bring `(\w+)` to ([0-9x]+) first: (`[^`]+`(?:, then `[^`]+`)*)")


def ways(help: str) -> list[tuple[str, str, list[str]]]:
    """What a help says to do: the operand, the shape that it is brought to, and the steps for that."""
    return [(name, goal, re.findall("`([^`]+)`", steps)) for name, goal, steps in WAY.findall(help)]


def steps_text(steps: list[str], name: str) -> str:
    """Steps as lines of a spec, the last of them with a name."""
    found = [yaml.safe_load(step) for step in steps]
    key, body = (found[-1], {}) if isinstance(found[-1], str) else next(iter(found[-1].items()))
    found[-1] = {key: {**body, "name": name}}
    return "".join(f"  - {yaml.safe_dump(step, default_flow_style=True).strip()}\n" for step in found)


SIZES = st.one_of(st.integers(1, 64), st.sampled_from([1, 7, 8, 13, 14, 15, 16, 25, 26, 28, 32, 56, 64, 112, 224]))


def shapes(rank: int) -> st.SearchStrategy[Shape]:
    """Shapes, often with the same size in all axes."""
    square = SIZES.map(lambda size: (size,) * rank)
    spatial = st.one_of(square, st.tuples(*[SIZES] * rank))
    return st.tuples(st.sampled_from([1, 3, 8, 16, 64]), spatial).map(lambda both: (both[0], *both[1]))


ANY = st.integers(0, 3).flatmap(shapes)
PAIRS = st.one_of(st.tuples(ANY, ANY), st.integers(0, 3).flatmap(lambda rank: st.tuples(shapes(rank), shapes(rank))))


@pytest.mark.parametrize("merge", ["add", "multiply", "concat"])
@settings(max_examples=400, deadline=None)
@given(pair=PAIRS)
def test_what_is_advised_makes_the_operands_fit(merge: str, pair: tuple[Shape, Shape]) -> None:
    try:
        archspec.loads(two(merge, *pair))
    except SpecError as error:
        (told,) = error.diagnostics
    else:
        assume(False)
    assert told.code == "shape"
    for name, goal, steps in ways(told.help or ""):
        names = ("new", "b") if name == "a" else ("a", "new")
        network = archspec.loads(two(merge, *pair, steps_text(steps, "new"), names))
        assert shape_text(network.graph.node("new").shape) == goal
        conv = next((node for node in network.graph.nodes if node.op.op == "conv"), None)
        assert conv is None or max(conv.op.stride) <= 4  # type: ignore[attr-defined]
    if told.help and "`broadcast: true`" in told.help:
        archspec.loads(two("multiply", *pair))
        archspec.loads(two("add", *pair).replace("add: [a, b]", "add: {from: [a, b], broadcast: true}"))


def same_rank(pair: tuple[Shape, Shape]) -> bool:
    return len(pair[0]) == len(pair[1])


@settings(max_examples=200, deadline=None)
@given(pair=PAIRS.filter(same_rank).filter(lambda pair: pair[0] != pair[1]))
def test_there_is_advice_for_sizes_that_are_near(pair: tuple[Shape, Shape]) -> None:
    """Of two shapes of one rank, one can be brought to the other unless one is larger here and smaller there."""
    signs = {(one > other) - (one < other) for one, other in zip(pair[0][1:], pair[1][1:], strict=True)}
    assume({1, -1} != signs - {0})
    assert ways(finding(two("add", *pair)).help or "")


@pytest.mark.parametrize(
    ("one", "other", "help"),
    [
        ((16, 32, 32), (3, 32, 32), "bring `b` to 16x32x32 first: `conv: {from: b, filters: 16}`"),
        ((16, 16, 16), (3, 32, 32), "bring `b` to 16x16x16 first: `conv: {from: b, filters: 16, stride: 2}`"),
        ((16, 8, 16), (3, 32, 32), "bring `b` to 16x8x16 first: `conv: {from: b, filters: 16, stride: [4, 2]}`"),
        (
            (256, 16, 16),
            (256, 32, 32),
            "bring `b` to 256x16x16 first: `conv: {from: b, filters: 256, stride: 2}`; "
            "or bring `a` to 256x32x32 first: `upsample: {from: a, scale: 2}`",
        ),
        (
            (64, 1, 1),
            (64, 32, 32),
            "`broadcast: true` stretches axes of size 1, as `multiply` does; "
            "or bring `a` to 64x32x32 first: `upsample: {from: a, scale: 32}`",
        ),
        (
            (64, 26, 26),
            (64, 25, 25),
            "bring `a` to 64x25x25 first: `crop: {from: a, amount: [[0, 1], [0, 1]]}`; "
            "or bring `b` to 64x26x26 first: `pad: {from: b, padding: [[0, 1], [0, 1]]}`",
        ),
        ((16,), (10,), "bring `b` to 16 first: `linear: {from: b, units: 16}`"),
        ((64,), (64, 7, 7), "bring `b` to 64 first: `global_avg_pool: {from: b}`, then `flatten`"),
        ((784,), (16, 7, 7), "bring `b` to 784 first: `flatten: {from: b}`"),
        ((8, 64, 8), (8, 8, 64), None),
    ],
)
def test_advice_for_add(one: Shape, other: Shape, help: str | None) -> None:
    assert finding(two("add", one, other)).help == help


@pytest.mark.parametrize(
    ("merge", "one", "other", "help"),
    [
        ("multiply", (64, 32, 32), (64,), "bring `b` to 64x1x1 first: `reshape: {from: b, shape: [64, 1, 1]}`"),
        ("multiply", (64, 32, 32), (16, 1, 1), "bring `b` to 64x1x1 first: `conv: {from: b, filters: 64}`"),
        ("concat", (8, 4, 4), (12,), "bring `a` to 128 first: `flatten: {from: a}`"),
        (
            "concat",
            (8, 64, 64),
            (16, 56, 56),
            "bring `a` to 8x56x56 first: `crop: {from: a, amount: 4}`; "
            "or bring `b` to 16x64x64 first: `pad: {from: b, padding: 4}`",
        ),
    ],
)
def test_advice_for_other_merges(merge: str, one: Shape, other: Shape, help: str) -> None:
    assert finding(two(merge, one, other)).help == help


WINDOWS = st.one_of(
    st.builds("conv: {{name: s#, filters: 8, kernel: {}}}".format, st.sampled_from([1, 3, 5, [3, 1]])),
    st.builds("conv: {{name: s#, filters: 8, kernel: 3, stride: {}}}".format, st.sampled_from([1, 2])),
    st.sampled_from(["max_pool: {name: s#, kernel: 3, stride: 1}", "relu: {name: s#}", "batch_norm: {name: s#}"]),
)


@settings(max_examples=200, deadline=None)
@given(main=st.lists(WINDOWS, min_size=1, max_size=3), side=st.lists(WINDOWS, max_size=2))
def test_a_padding_that_is_advised_makes_them_fit(main: list[str], side: list[str]) -> None:
    def spec(padded: set[str]) -> str:
        lines = [text.replace("#", str(number)) for number, text in enumerate([*main, *side])]
        for number, line in enumerate(lines):
            start = line.index("{") + 1
            source = "from: stem, " if number in (0, len(main)) else ""
            padding = "padding: half, " if f"s{number}" in padded else ""
            lines[number] = f"  - {line[:start]}{source}{padding}{line[start:]}\n"
        ends = [f"s{len(main) - 1}", f"s{len(lines) - 1}" if side else "stem"]
        stem = "  - conv: {name: stem, filters: 8}\n"
        return f"input: [3, 40, 40]\nlayers:\n{stem}{''.join(lines)}  - add: [{', '.join(ends)}]\n"

    try:
        archspec.loads(spec(set()))
        assume(False)
    except SpecError as error:
        told = error.diagnostics[0]
    assume(told.help and told.help.startswith("`padding: half`") and told.help.endswith("fit"))
    archspec.loads(spec(set(re.findall(r"`(s\d+)`", told.help or ""))))


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_a_padding_that_was_left_out_is_told(kernel: int) -> None:
    text = f"input: [8, 32, 32]\nlayers:\n  - conv: {{filters: 8, kernel: {kernel}}}\n  - relu\n  - add: input\n"
    assert finding(text).help == "`padding: half` on `conv` makes them fit"
    other = finding(text.replace("filters: 8", "filters: 16")).help
    assert other == (
        "`padding: half` on `conv` keeps the sizes; then "
        "bring `input` to 16x32x32 first: `conv: {from: input, filters: 16}`"
    )


# Words.

SENTENCES = {
    sentence
    for table in (
        vocabulary.MISSING_OPS,
        vocabulary.MISSING_ARGUMENTS,
        vocabulary.MISSING_KEYS,
        *(dict.fromkeys(op.foreign_arguments.values(), ()) for op in OPS.values()),
    )
    for sentence in table
}
NAMES = {*OPS, *SCOPES, USE, *STEP_KEYS, *DOCUMENT_KEYS, *(name for op in OPS.values() for name in op.fields)}


@pytest.mark.parametrize("sentence", sorted(SENTENCES))
def test_a_sentence_names_what_is_there(sentence: str) -> None:
    """So that a sentence goes when what it says is missing comes."""
    for quoted in re.findall("`([^`]*)`", sentence):
        if quoted == "{word}" or "archspec" in quoted:
            continue
        text = quoted.removeprefix("- ").replace("${...}", "x").replace("[...]", "[x]").replace("...", "x")
        found: Any = yaml.safe_load(text)
        key = next(iter(found)) if isinstance(found, dict) else found
        assert key in NAMES or isinstance(found, list), quoted
    for path in re.findall(r"specs/(\w+)\.yaml", sentence):
        assert path in zoo_files()


def test_what_is_there_is_not_said_to_be_missing() -> None:
    missing = {word for words in vocabulary.MISSING_OPS.values() for word in words.split()}
    assert not missing & set(OPS)
    arguments = {word for words in vocabulary.MISSING_ARGUMENTS.values() for word in words.split()}
    for op in OPS.values():
        for word in arguments & set(op.fields):
            assert vocabulary.argument_help(op, word) == f"did you mean `{word}`?"


@pytest.mark.parametrize("op", OPS)
def test_other_words_lead_to_the_op(op: str) -> None:
    cls = OPS[op]
    for word in (*cls.also_called, op.upper(), f"nn.{op.title().replace('_', '')}", f"{op}2d"):
        here = vocabulary.op_called(word)
        assert here == op or word not in cls.also_called and here in OPS, word
    for name, field in cls.fields.items():
        for word in field.also_called:
            assert word not in cls.fields
            assert vocabulary.argument_help(cls, word) == f"did you mean `{name}`?"


def test_keys_of_other_frameworks() -> None:
    for here, words in vocabulary.DOCUMENT_WORDS.items():
        assert here in DOCUMENT_KEYS
        for word in set(words.split()) - set(DOCUMENT_KEYS):
            assert vocabulary.key_help(word, DOCUMENT_KEYS) == f"did you mean `{here}`?"
    assert set(vocabulary.STEP_WORDS) == set(STEP_KEYS)


@given(st.text(max_size=30))
def test_a_name_that_is_suggested_is_valid(name: str) -> None:
    for fault in (step_name_fault, value_name_fault):
        found = fault(name)
        near = re.fullmatch(r"did you mean `(.*)`\?|write `(.*)`, say", found.help or "") if found else None
        if near:
            again = fault(near[1] or near[2])
            assert again is None or name in FUNCTIONS
