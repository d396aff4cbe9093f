"""Drawings of graphs: scopes as boxes, and charts that Mermaid renders."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

import archspec
from archspec.report.drawing import (
    MERMAID_CHARACTERS,
    MERMAID_EDGES,
    as_dot,
    as_mermaid,
    mermaid_depth,
    mermaid_renders,
)

Run = Callable[..., tuple[int, str, str]]

NESTED = """\
name: nested
input: [4, 8, 8]
layers:
  - sequential:
      name: a
      layers:
        - conv: {name: b, filters: 4}
        - sequential: {name: c, layers: [relu, relu]}
        - add: {name: d, from: [b, c]}
  - add: {name: twice, from: [a, a]}
"""


def flat(layers: int) -> archspec.Graph:
    """A chain without scopes, with as many arrows as layers."""
    return archspec.loads(f"input: [4]\nlayers: [{', '.join(['relu'] * layers)}]").graph


def test_a_scope_can_be_drawn_as_one_box() -> None:
    graph = archspec.loads(NESTED).graph
    assert as_mermaid(graph, 1) == (
        "flowchart TD\n"
        '  n0(["input<br>4x8x8"])\n'
        '  n1["a<br>sequential, 4 layers"]\n'
        '  n2["twice<br>add"]\n'
        "  n0 -->|4x8x8| n1\n"
        "  n1 -->|4x8x8| n2\n"
        "  n1 -->|4x8x8| n2\n"
    )
    assert [line.strip() for line in as_dot(graph, 2).splitlines() if "->" in line or "subgraph" in line] == [
        'subgraph "cluster_a" {',
        '"input" -> "a.b" [label="4x8x8"]',
        '"a.b" -> "a.c" [label="4x8x8"]',
        '"a.b" -> "a.d" [label="4x8x8"]',
        '"a.c" -> "a.d" [label="4x8x8"]',
        '"a.d" -> "twice" [label="4x8x8"]',
        '"a.d" -> "twice" [label="4x8x8"]',
    ]
    assert '"a.c" [label="c\\nsequential, 2 layers"]' in as_dot(graph, 2)
    assert as_dot(graph, 3) == as_dot(graph)


def test_a_box_reads_a_value_once() -> None:
    """However many layers inside read it."""
    text = "input: [4]\nlayers:\n  - inline:\n      name: x\n      layers:\n"
    text += "        - relu: {name: p}\n        - relu: {name: q, from: input}\n        - add: [p, q]\n"
    graph = archspec.loads(text.replace("inline", "sequential")).graph
    assert as_mermaid(graph, 1).count("-->") == 1


def test_every_scope_has_an_id_of_its_own() -> None:
    text = "input: [4]\nlayers:\n"
    for outer, inner in (("a_b", "c"), ("a", "b_c"), ("a__b", "c"), ("a_", "b")):
        text += f"  - sequential:\n      name: {outer}\n      layers:\n"
        text += f"        - sequential: {{name: {inner}, layers: [relu, relu]}}\n"
    chart = as_mermaid(archspec.loads(text).graph)
    ids = re.findall(r'subgraph (\S+) \["(.*?)"\]', chart)
    assert len({number for number, _ in ids}) == len({path for _, path in ids}) == len(ids) == 8
    assert not {number for number, _ in ids} & set(re.findall(r"^ *(n\d+)", chart, re.M))


@pytest.mark.parametrize("name", archspec.list_specs())
def test_mermaid_renders_the_zoo(name: str) -> None:
    """As deep as its limits allow: no deeper level would do."""
    graph = archspec.load(name).graph
    depth = mermaid_depth(graph)
    assert mermaid_renders(as_mermaid(graph, depth))
    if depth is not None:
        assert not mermaid_renders(as_mermaid(graph, depth + 1))
        assert not mermaid_renders(as_mermaid(graph))


def test_the_limits_are_those_of_mermaid() -> None:
    """500 edges and 50,000 characters, as JavaScript counts them, are rendered; one more is not."""
    assert mermaid_renders(as_mermaid(flat(MERMAID_EDGES)))
    assert not mermaid_renders(as_mermaid(flat(MERMAID_EDGES + 1)))
    assert mermaid_renders("\U0001f600" * (MERMAID_CHARACTERS // 2))
    assert not mermaid_renders("\U0001f600" * (MERMAID_CHARACTERS // 2) + "x")


def test_the_command_folds_what_mermaid_does_not_render(command_line: Run) -> None:
    status, out, err = command_line("graph", "resnet152", "--format", "mermaid")
    assert (status, mermaid_renders(out)) == (0, True)
    assert err.startswith("warning[limit]: drawn down to level 2: by default Mermaid takes 500 arrows and 50,000 ")
    assert "--depth all draws every layer" in err
    status, out, err = command_line("graph", "resnet152", "--format", "mermaid", "--depth", "all")
    assert (status, out.count("-->")) == (0, 565)
    assert err.startswith("warning[limit]: Mermaid does not render this")
    assert command_line("graph", "resnet152", "--format", "mermaid", "--depth", "1")[2] == ""
    assert command_line("graph", "resnet18", "--format", "mermaid")[2] == ""


def test_a_chain_that_cannot_be_folded_is_drawn_all_the_same() -> None:
    assert mermaid_depth(flat(MERMAID_EDGES + 1)) is None


@pytest.mark.parametrize("options", [(), ("--hash",), ("--format", "dot", "--hash")])
def test_depth_is_for_drawings(options: tuple[str, ...], command_line: Run) -> None:
    status, out, err = command_line("graph", "lenet5", "--depth", "1", *options)
    assert (status, out) == (2, "")
    assert err == "error[usage]: --depth is for drawings\n   = help: --format dot or --format mermaid\n"
