"""Giving a network its structure back: the layers of a spec, without its blocks and params, as a spec again."""

from __future__ import annotations

import re

import pytest
import random_specs
from graph_programs import program_of

import archspec
from archspec.importing.recover import recover
from archspec.importing.values import (
    ABSENT,
    Alternating,
    Code,
    First,
    Last,
    Linear,
    Listed,
    Spelled,
    numbers_apart,
    over_copies,
    rounded,
)

LINES = {
    "resnet152": 65,
    "efficientnet_b7": 110,
    "densenet201": 50,
    "vit_l_16": 60,
    "convnext_large": 75,
    "regnet_y_16gf": 80,
    "googlenet": 105,
}
"""How many lines a spec may have that is as readable as one written by hand."""

NAMES = [*archspec.list_specs()]


def recovered(network: archspec.Network, *, flat: bool = False) -> archspec.Network:
    """The network after its layers were given structure; checked to be the same in keys, shapes, params and MACs."""
    found = archspec.loads(recover(program_of(network.graph), flat=flat))
    assert found.graph.state_dict() == network.graph.state_dict()
    mine, theirs = found.analyze().totals, network.analyze().totals
    assert (mine.params, mine.buffers, mine.macs) == (theirs.params, theirs.buffers, theirs.macs)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_zoo_comes_back(name: str) -> None:
    found = recovered(archspec.load(name))
    assert list(found.graph.state_dict()) == list(archspec.load(name).graph.state_dict())


@pytest.mark.parametrize("start", range(0, 100, 10))
@pytest.mark.parametrize("flat", [False, True], ids=["structured", "flat"])
def test_random_networks_come_back(start: int, flat: bool) -> None:
    for seed in range(start, start + 10):
        recovered(archspec.loads(random_specs.random_spec(seed)), flat=flat)


@pytest.mark.parametrize(("name", "most"), LINES.items())
def test_specs_are_short(name: str, most: int) -> None:
    assert recover(program_of(archspec.load(name).graph)).count("\n") <= most


def test_one_family_has_the_same_blocks() -> None:
    found = []
    for number in range(8):
        text = recover(program_of(archspec.load(f"efficientnet_b{number}").graph))
        found.append(re.findall(r"^  (\w+):$", text, re.M))
    assert all(names == found[0] for names in found)
    assert {"conv_unit", "squeeze_excite", "mbconv"} <= {*found[0]}


def test_a_fault_in_a_program_shows() -> None:
    network = archspec.load("resnet18")
    program = program_of(network.graph)
    strided = next(call for call in program.calls if call.path == "layer2.0.conv1")
    strided.arguments["stride"] = 1
    with pytest.raises(archspec.SpecError, match="operands differ"):
        archspec.loads(recover(program))


def test_the_projection_follows_from_the_shapes() -> None:
    text = recover(program_of(archspec.load("resnet50").graph))
    assert 'when: "${stride != 1 or input.channels != filters * 4}"' in text
    assert "params: {num_classes: 1000, depths: [3, 4, 6, 3]}" in text
    # so it survives another width and depth
    wider = text.replace("filters: 128", "filters: 96").replace("depths: [3, 4, 6, 3]", "depths: [1, 2, 2, 1]")
    assert archspec.loads(wider.replace("num_classes: 1000", "num_classes: 7")).graph.shape("fc") == (7,)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([1, 1, 1], 1),
        ([2, 1, 1], First(2, 1)),
        ([2, 1], First(2, 1)),
        ([0.0, 0.1, 0.2], Linear(0.0, 0.1)),
        ([ABSENT, 0.1, 0.2], Linear(0.0, 0.1)),
        ([ABSENT, 3, ABSENT], 3),
        ([0, 3, 0, 3], Alternating(0, 3)),
        ([1, 5, 2], Listed((1, 5, 2))),
        ([True, False, False], First(True, False)),
    ],
)
def test_what_changes_from_copy_to_copy(values: list[object], found: object) -> None:
    assert over_copies(values) == found


def test_rounded_rates_still_grow_by_steps() -> None:
    rates = [rounded(0.5 * place / 23) for place in range(4, 22)]
    assert isinstance(over_copies(rates), Linear)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (First(False, True), "index > 0"),
        (First(True, False), "index == 0"),
        (First(2, 1), "2 if index == 0 else 1"),
        (Alternating(False, True), "index % 2 == 1"),
        (Last(1, 2, 4), "2 if index == 3 else 1"),
        (Last(False, True, Code("depths[0]")), "index == depths[0] - 1"),
        (Spelled((Code("range("), Code("input.channels // 2"), Code(")"))), "range(input.channels // 2)"),
        (Spelled((Code("[1.0] * "), Code("input.channels // 2"), Code(""))), "[1.0] * (input.channels // 2)"),
    ],
)
def test_the_text_of_a_value(value: First | Last | Alternating | Spelled, code: str) -> None:
    assert value.code == code


def test_expressions_that_differ_in_whole_numbers_only() -> None:
    one, other = Code("[2.0 * (i >= 11) for i in range(14)]"), Code("[2.0 * (i >= 25) for i in range(28)]")
    assert numbers_apart([one, other]) == [
        ["[2.0 * (i >= ", 11, ") for i in range(", 14, ")]"],
        ["[2.0 * (i >= ", 25, ") for i in range(", 28, ")]"],
    ]
    assert numbers_apart([one, Code("[3.0 * (i >= 11) for i in range(14)]")]) is None


STAGES = """
name: stages
input: [3, 16, 16]
blocks:
  unit:
    params: {filters: , kernel: 3}
    layers:
      - conv: {name: conv, filters: $filters, kernel: $kernel, padding: half}
      - batch_norm: {name: norm}
      - relu
layers:
  - unit: {name: one, repeat: 4, filters: 8, kernel: "${5 if index == 3 else 3}"}
  - unit: {name: two, repeat: 3, filters: 16, kernel: "${5 if index == 2 else 3}"}
  - unit: {name: three, repeat: 5, filters: 24, kernel: "${5 if index == 4 else 3}"}
"""


def test_the_last_copy_stays_the_last_at_another_depth() -> None:
    text = recover(program_of(archspec.loads(STAGES).graph))
    assert "depths: [4, 3, 5]" in text
    deeper = archspec.loads(text.replace("depths: [4, 3, 5]", "depths: [6, 3, 5]")).graph.state_dict()
    sizes = [deeper[f"one.{number}.conv.weight"][2] for number in range(6)]
    assert sizes == [3, 3, 3, 3, 3, 5]


ROWS = """
name: rows
input: [8, 16, 16]
blocks:
  rows:
    params: {count: }
    layers:
      - reshape: ["${count}", 16, "${input.channels}"]
      - linear: {name: fc, units: $input.channels}
      - reshape: ["${input.channels}", "${4 * count}", 4]
layers:
  - rows: {name: one, count: 16}
  - max_pool: {kernel: [1, 2]}
  - reshape: [8, 32, 4]
  - rows: {name: two, count: 8}
  - rows: {name: three, count: 8}
"""


def test_a_reshape_finds_the_size_that_nothing_tells() -> None:
    text = recover(program_of(archspec.loads(ROWS).graph))
    assert "reshape: [-1, 16, 8]" in text
    assert "reshape: [8, -1, 4]" in text
    assert "params:" not in text
