"""A graph as Graphviz and Mermaid text. Names of a spec are quoted, never read as markup."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from archspec.analysis.cost import cost
from archspec.errors import printable
from archspec.graph import Graph, Node, Tree
from archspec.shapes import shape_text

MERMAID_EDGES = 500
MERMAID_CHARACTERS = 50_000
"""What Mermaid renders by default. The page sets other limits, `maxEdges` and `maxTextSize`; a diagram cannot."""


@dataclass(frozen=True)
class Box:
    """A layer, or a scope that is drawn as one: its path and the lines in its box."""

    path: str
    lines: tuple[str, ...]
    color: str | None = None


@dataclass(frozen=True)
class Drawing:
    """What is drawn of a graph: boxes by their paths, and arrows as (from, to, shape)."""

    name: str
    inputs: dict[str, str]
    boxes: dict[str, Box]
    arrows: tuple[tuple[str, str, str], ...]
    outputs: tuple[str, ...]


def draw(graph: Graph, depth: int | None = None) -> Drawing:
    """Return the drawing of a graph, each scope `depth` levels down as one box (None: every layer)."""
    inside: dict[str, list[Node]] = {}
    for node in graph.nodes:
        inside.setdefault(_cut(node.path, depth), []).append(node)
    kinds = cost(graph).scopes
    boxes: dict[str, Box] = {}
    for path, nodes in inside.items():
        name, first = path.rpartition(".")[2], nodes[0]
        if first.path == path:
            boxes[path] = Box(path, _label(name, first), first.op.color)
        else:
            owner = next((scope.weights_of for scope in first.scope.chain() if scope.path == path), None)
            more = () if owner is None else (f"weights of {owner}",)
            boxes[path] = Box(path, (name, f"{kinds[path]}, {len(nodes)} layer{'s' if len(nodes) != 1 else ''}", *more))
    arrows: dict[tuple[object, ...], tuple[str, str, str]] = {}
    for node in graph.nodes:
        for position, source in enumerate(node.inputs):
            start, end = _cut(source, depth), _cut(node.path, depth)
            arrow = (start, end, shape_text(graph.shape(source)))
            if end == node.path:
                arrows[node.path, position] = arrow  # a layer that reads a value twice has two arrows
            elif start != end:
                arrows[arrow] = arrow
    outputs = dict.fromkeys(_cut(path, depth) for path in graph.outputs.values())
    inputs = {name: shape_text(shape) for name, shape in graph.inputs.items()}
    return Drawing(graph.name, inputs, boxes, tuple(arrows.values()), tuple(outputs))


def _cut(path: str, depth: int | None) -> str:
    return path if depth is None else ".".join(path.split(".")[:depth])


def as_dot(graph: Graph, depth: int | None = None) -> str:
    """Return Graphviz DOT, scopes as clusters, or as one box each `depth` levels down."""
    drawing = draw(graph, depth)
    lines = [
        f"digraph {_quoted(drawing.name)} {{",
        '  node [shape=box, style="rounded,filled", fillcolor="#f3f3f3", fontname="sans-serif", fontsize=10]',
        '  edge [fontname="sans-serif", fontsize=8, color="#666666"]',
    ]
    for name, shape in drawing.inputs.items():
        lines.append(f"  {_quoted(name)} [label={_lines((name, shape))}, shape=ellipse]")
    lines += _dot_scope(Tree.of(drawing.boxes.values()), "  ")
    for start, end, shape in drawing.arrows:
        lines.append(f"  {_quoted(start)} -> {_quoted(end)} [label={_quoted(shape)}]")
    for path in drawing.outputs:
        lines.append(f"  {_quoted(path)} [penwidth=2]")
    return "\n".join([*lines, "}"]) + "\n"


def as_mermaid(graph: Graph, depth: int | None = None) -> str:
    """Return a Mermaid flowchart, scopes as subgraphs, or as one box each `depth` levels down."""
    drawing = draw(graph, depth)
    ids = {path: f"n{position}" for position, path in enumerate((*drawing.inputs, *drawing.boxes))}
    lines = ["flowchart TD"]
    for name, shape in drawing.inputs.items():
        lines.append(f'  {ids[name]}(["{_mermaid(name)}<br>{shape}"])')
    lines += _mermaid_scope(Tree.of(drawing.boxes.values()), "  ", ids, itertools.count())
    for start, end, shape in drawing.arrows:
        lines.append(f"  {ids[start]} -->|{shape}| {ids[end]}")
    return "\n".join(lines) + "\n"


def mermaid_renders(chart: str) -> bool:
    """Return whether Mermaid renders a chart of `as_mermaid` with its default limits."""
    characters = len(chart.encode("utf-16-le")) // 2  # as JavaScript counts them
    return chart.count(" -->|") <= MERMAID_EDGES and characters <= MERMAID_CHARACTERS


def mermaid_depth(graph: Graph) -> int | None:
    """Return the greatest depth at which Mermaid renders the chart; None if it renders every layer, or nothing."""
    deepest = max((node.path.count(".") for node in graph.nodes), default=0)
    depths = (None, *range(deepest, 0, -1))
    return next((depth for depth in depths if mermaid_renders(as_mermaid(graph, depth))), None)


def _dot_scope(scope: Tree[Box], indent: str) -> list[str]:
    lines: list[str] = []
    for child in scope.children.values():
        if isinstance(child, Box):
            color = f', fillcolor="{child.color}"' if child.color else ""
            lines.append(f"{indent}{_quoted(child.path)} [label={_lines(child.lines)}{color}]")
            continue
        lines.append(f"{indent}subgraph {_quoted(f'cluster_{child.path}')} {{")
        lines.append(f'{indent}  label={_quoted(child.path)}; color="#bbbbbb"; fontname="sans-serif"; fontsize=10')
        lines += [*_dot_scope(child, indent + "  "), f"{indent}}}"]
    return lines


def _mermaid_scope(scope: Tree[Box], indent: str, ids: dict[str, str], count: Iterator[int]) -> list[str]:
    lines: list[str] = []
    for child in scope.children.values():
        if isinstance(child, Box):
            lines.append(f'{indent}{ids[child.path]}["{"<br>".join(map(_mermaid, child.lines))}"]')
            continue
        lines.append(f'{indent}subgraph s{next(count)} ["{_mermaid(child.path)}"]')
        lines += [*_mermaid_scope(child, indent + "  ", ids, count), f"{indent}end"]
    return lines


def _label(name: str, node: Node) -> tuple[str, ...]:
    lines = (name, node.op.label()) if name != node.op.op else (node.op.label(),)
    return lines if node.weights_of is None else (*lines, f"weights of {node.weights_of}")


def _quoted(text: str) -> str:
    inner = printable(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inner}"'


def _lines(lines: tuple[str, ...]) -> str:
    return '"' + "\\n".join(_quoted(line)[1:-1] for line in lines) + '"'


def _mermaid(text: str) -> str:
    return escape(printable(text)).replace("`", "&#96;")
