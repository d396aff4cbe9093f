"""Elaboration beside the rules of the language: what is left of a network with mistakes, limits, what a trace keeps."""

from __future__ import annotations

from typing import Any

import pytest

import archspec
from archspec.document import parse_document
from archspec.elaborate import Elaboration, elaborate, limits
from archspec.errors import MAX_FINDINGS
from archspec.graph import Node, Scope


def elaborated(text: str, **options: Any) -> Elaboration:
    return elaborate(parse_document(f"input: [8, 6, 6]\n{text}"), **options)


def codes(found: Elaboration) -> list[str]:
    return [finding.code for finding in found.diagnostics]


def paths(found: Elaboration) -> list[str]:
    return [node.path for node in found.graph.nodes]


# Mistakes.


@pytest.mark.parametrize(
    ("steps", "code", "left"),
    [
        ("{conv: {filters: four}}, {relu: {from: input}}", "type", "sequential.1"),
        ("{conv: {filters: '${1 // 0}'}}, {relu: {from: input}}", "expression", "sequential.1"),
        ("{conv: {filters: '${1 // index}', repeat: [1, 2]}}, {relu: {from: input}}", "expression", "sequential.2"),
        ("{conv: {filters: 4, from: nothing}}, {relu: {from: input}}", "reference", "sequential.1"),
        ("{relu: {name: a, from: nothing}}, {add: [input, input]}, {tanh: {from: a}}", "reference", "sequential.1"),
    ],
    ids=["schema", "expression", "a copy", "reference", "named"],
)
def test_a_step_in_error_has_its_position(steps: str, code: str, left: str) -> None:
    """What stands behind it is called as if nothing were wrong."""
    found = elaborated(f"layers: [{{sequential: [{steps}]}}]\n")
    assert codes(found) == [code]
    assert paths(found) == [left]


def test_a_step_in_error_has_its_name() -> None:
    """Its name, and the one that a misspelt op would have given it, are known: whoever reads it is not told off."""
    for step, name in (("conv: {name: a, filters: x}", "a"), ("rellu", "relu"), ("conv: {filters: x}", "conv")):
        found = elaborated(f"layers: [{step if ':' not in step else f'{{{step}}}'}, {{tanh: {{from: {name}}}}}]\n")
        assert len(codes(found)) == 1, step


@pytest.mark.parametrize(
    ("given", "code"),
    [("${1 + 1}", "type"), ("${[1, 2]}", "argument"), ("${[3]}", "type"), ("${['relu']}", None)],
)
def test_what_from_may_come_to(given: str, code: str | None) -> None:
    found = elaborated(f'layers: [relu, {{tanh: {{from: "{given}"}}}}]\n')
    assert codes(found) == ([] if code is None else [code])
    places = [(finding.span.line, finding.span.column) for finding in found.diagnostics if finding.span]
    assert places == ([] if code is None else [(2, 30)])


def test_the_last_mistake_that_is_told_does_not_end_the_rest() -> None:
    wrong = ", ".join(["{max_pool: {kernel: 9, from: input}}"] * MAX_FINDINGS)
    found = elaborated(f"layers: [{wrong}, {{relu: {{from: input}}}}]\n")
    assert (len(found.diagnostics), paths(found)) == (MAX_FINDINGS, ["relu"])
    found = elaborated(f"layers: [{wrong}, {{max_pool: {{kernel: 9, from: input}}}}]\n")
    assert codes(found) == [*codes(found)[:MAX_FINDINGS], "limit"]


# Limits.


@pytest.mark.parametrize(
    "step",
    ["{relu: {when: '${input.channels > 9}'}}", "{relu: {repeat: '${input.channels - 8}'}}", "{relu: {when: false}}"],
)
def test_what_is_left_out_counts(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = ", ".join([step] * 10)
    for allowed, expected in ((11, []), (10, ["limit"])):
        monkeypatch.setattr(limits, "MAX_NODES", allowed)
        assert codes(elaborated(f"layers: [{steps}, tanh]\n")) == expected


def test_copies_beyond_the_limit_are_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_NODES", 10)
    found = elaborated("layers:\n  - tanh\n  - relu: {repeat: 10}\n")
    assert codes(found) == ["limit"]
    assert str(found.diagnostics[0].span) == "<spec>:4:20"
    assert paths(found) == ["tanh"]


# What a trace keeps.

TRACED = """
blocks:
  unit:
    params: {on: true}
    layers:
      - relu: {name: r, when: $on}
      - tanh
layers:
  - unit: {name: u, repeat: 2, on: "${index == 1}"}
  - inline: [conv: 4]
  - gelu: {when: false}
  - add: [conv, conv]
"""


def kept(scope: Scope) -> list[Any]:
    """What a scope keeps of its steps: their labels, what they made, what they read and what that came to."""
    found: list[Any] = []
    for item in scope.items:
        made = item.made.path if isinstance(item.made, (Node, Scope)) else None
        found.append((item.step.label, made, item.reads, item.result, item.copy))  # type: ignore[attr-defined]
        if isinstance(item.made, Scope):
            found.append(kept(item.made))
    return found


def test_what_a_trace_keeps() -> None:
    traced = elaborated(TRACED, trace=True)
    assert codes(traced) == []
    root = traced.graph.nodes[-1].scope
    assert kept(root) == [
        ("unit", "u", ("input",), "u.1.tanh", None),
        [
            ("unit", "u.0", ("input",), "u.0.tanh", (0, 2)),
            [("relu", None, ("input",), "input", None), ("tanh", "u.0.tanh", ("input",), "u.0.tanh", None)],
            ("unit", "u.1", ("u.0.tanh",), "u.1.tanh", (1, 2)),
            [("relu", "u.1.r", ("u.0.tanh",), "u.1.r", None), ("tanh", "u.1.tanh", ("u.1.r",), "u.1.tanh", None)],
        ],
        ("inline", "", ("u.1.tanh",), "conv", None),
        [("conv", "conv", ("u.1.tanh",), "conv", None)],
        ("gelu", None, ("conv",), "conv", None),
        ("add", "add", ("conv", "conv"), "add", None),
    ]
    group, unit = (item.made for item in root.items[:1]), traced.graph.node("u.1.r").scope
    (group,) = group
    assert isinstance(group, Scope)
    assert (group.kind, str(group.span), group.copy) == ("repeat", "<spec>:10:5", None)
    assert (unit.kind, unit.path, unit.block, unit.copy, dict(unit.arguments)) == (
        *("block", "u.1", "unit", (1, 2)),
        {"on": True},
    )


def test_without_a_trace_nothing_is_kept() -> None:
    for node in elaborated(TRACED).graph.nodes:
        assert all(scope.items == [] for scope in node.scope.chain())


def test_places_of_repeats_are_known() -> None:
    net = archspec.loads("input: [3]\nlayers:\n  - sequential: {name: g, repeat: 2, layers: [relu]}\n")
    (_, group) = net.graph.nodes[0].scope.chain()
    assert (group.kind, str(group.span)) == ("repeat", "<spec>:3:5")
