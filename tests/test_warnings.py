"""Warnings about what is allowed, but surprises: specs that earn one, and specs that do not."""

from __future__ import annotations

from typing import NamedTuple

import pytest

import archspec


class Warns(NamedTuple):
    """A spec, and the one warning about it: its code, its place, parts of its message and of its help."""

    title: str
    text: str
    code: str
    place: tuple[int, int]
    message: str
    help: str


CASES = [
    Warns(
        "a convolution of tokens",
        "input: [4, 6, 6]\nlayers:\n  - conv: 8\n  - to_tokens\n  - gelu\n  - conv: 3\n",
        "shape",
        (6, 5),
        "conv: the tokens 36x8 are read as 36 channels of the length 8",
        "`- to_image` before it",
    ),
    Warns(
        "attention of an image",
        "input: [4, 6, 6]\nlayers:\n  - conv: {name: c, filters: 8}\n  - attention: [c, c, c]\n",
        "shape",
        (4, 5),
        "attention: the image 8x6x6 is read as 8 windows of 6 tokens",
        "`- to_tokens` before it",
    ),
    Warns(
        "a concat of one name",
        "input: [3, 8, 8]\nlayers:\n  - conv: {name: a, filters: 3}\n  - relu\n  - concat: a\n",
        "merge",
        (5, 13),
        "concat: one name puts the step before it first: `[relu, a]`",
        "write the order out: `concat: [relu, a]`, or `[a, relu]`",
    ),
    Warns(
        "a concat of one name with other arguments, in a block",
        "input: [3, 8, 8]\nblocks:\n  b:\n    layers: [relu, concat: {from: input, axis: height}]\nlayers: [b, b]\n",
        "merge",
        (4, 35),
        "`[relu, input]`",
        "`[input, relu]`",
    ),
    Warns(
        "an operand that is left out stands for the other",
        "input: [3, 8, 8]\nlayers:\n  - relu: {name: a}\n  - gelu: {name: b, when: false}\n  - add: [a, b]\n",
        "merge",
        (5, 10),
        "add: `b` is left out and stands for `a`, which is read twice",
        "leave the `add` out under the same `when`",
    ),
    Warns(
        "an operand that is left out stands for the step before",
        "input: [3, 8, 8]\nlayers:\n  - relu\n  - sigmoid: {name: gate, when: false}\n  - multiply: gate\n",
        "merge",
        (5, 15),
        "multiply: `gate` is left out and stands for `relu`",
        "leave the `multiply` out",
    ),
    Warns(
        "an input with a batch",
        "input: [1, 3, 32, 32]\nlayers:\n  - relu\n",
        "shape",
        (1, 8),
        "input: 1x3x32x32 is read as channels, depth, height, width",
        "the batch is not written: `input: [3, 32, 32]`",
    ),
    Warns(
        "an input with the channels at the end",
        "input: {image: [32, 48, 3]}\nlayers:\n  - relu\n",
        "shape",
        (1, 9),
        "input: 32x48x3 is read as channels, height, width",
        "channels come first: `input: [3, 32, 48]`",
    ),
    Warns(
        "a linear that reads one feature",
        "input: [3, 8, 8]\nlayers:\n  - global_avg_pool\n  - linear: 10\n",
        "shape",
        (4, 5),
        "linear: it reads the last axis of 3x1x1, which has a single value",
        "put `- flatten` before it",
    ),
    Warns(
        "a reshape with the batch",
        "input: [3, 8, 8]\nlayers:\n  - reshape: [-1, 192]\n",
        "shape",
        (3, 5),
        "reshape: 3x8x8 becomes 1x192, with a first axis of 1",
        "`- flatten` gives features",
    ),
    Warns(
        "a momentum as Keras has it",
        "input: [3, 8, 8]\nlayers:\n  - batch_norm: {momentum: 0.99}\n",
        "statistics",
        (3, 5),
        "batch_norm: the momentum 0.99 is the weight of the newest batch",
        "write 0.01",
    ),
]

FINE = [
    ("a concat of a list", "input: [3, 8, 8]\nlayers:\n  - relu\n  - concat: [relu, input]\n"),
    ("a concat with itself", "input: [3, 8, 8]\nlayers:\n  - relu: {name: a}\n  - concat: a\n"),
    ("an add of one name", "input: [3, 8, 8]\nlayers:\n  - relu\n  - add: input\n"),
    (
        "a shortcut that is left out",
        "input: [3, 8, 8]\nlayers:\n  - conv: {name: a, filters: 3}\n"
        "  - conv: {name: short, from: input, filters: 3, when: false}\n  - add: [a, short]\n",
    ),
    ("a value twice on purpose", "input: [3, 8, 8]\nlayers:\n  - relu: {name: a}\n  - add: [a, a]\n"),
    ("a volume", "input: [1, 16, 112, 112]\nlayers: [relu]\n"),
    ("an image", "input: [3, 224, 224]\nlayers: [relu]\n"),
    ("features of tokens", "input: [8, 16]\nlayers: [linear: 10]\n"),
    ("features as an image", "input: [784]\nlayers: [reshape: [1, 28, 28]]\n"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_warns(case: Warns) -> None:
    network = archspec.loads(case.text)
    (warning,) = network.check()
    assert (warning.severity, warning.code) == ("warning", case.code)
    assert warning.span
    assert (warning.span.line, warning.span.column) == case.place
    assert case.message in warning.message
    assert case.help in (warning.help or "")
    assert network.analyze().diagnostics == (warning,)


@pytest.mark.parametrize(("title", "text"), FINE, ids=[title for title, _ in FINE])
def test_does_not_warn(title: str, text: str) -> None:
    assert archspec.loads(text).check() == ()


def test_an_input_that_is_given_is_looked_at_too() -> None:
    (warning,) = archspec.loads("input: [3, 32, 32]\nlayers: [relu]\n", input=(1, 3, 64, 64)).check()
    assert warning.help == "the batch is not written: `input: [3, 64, 64]`"


def test_each_place_is_told_once() -> None:
    text = "input: [3, 4, 4]\nlayers:\n  - relu: {name: a}\n  - inline: {repeat: 5, layers: [relu, concat: a]}\n"
    assert [warning.code for warning in archspec.loads(text).check()] == ["merge"]


def test_the_zoo_has_no_warnings() -> None:
    """Two networks take statistics of one value per channel, as they are published: in a pooled branch, in a head."""
    found = [(name, warning.code) for name in archspec.list_specs() for warning in archspec.check(name)]
    assert found == [("deeplabv3_resnet50", "statistics"), ("inception_v3", "statistics")]
