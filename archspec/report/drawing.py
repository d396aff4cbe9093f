"""A graph as Graphviz and Mermaid text. Names of a spec are quoted, never read as markup."""

from __future__ import annotations

from html import escape

from archspec.errors import printable
from archspec.graph import Graph, Node, Tree
from archspec.shapes import shape_text

_COLORS = {
    "conv": "#cfe2f3",
    "depthwise_conv": "#d0e0e3",
    "conv_transpose": "#cfe2f3",
    "linear": "#d9d2e9",
    "add": "#fce5cd",
    "multiply": "#fce5cd",
    "concat": "#fce5cd",
}


def as_dot(graph: Graph) -> str:
    """Graphviz DOT, scopes as clusters."""
    lines = [
        f"digraph {_quoted(graph.name)} {{",
        '  node [shape=box, style="rounded,filled", fillcolor="#f3f3f3", fontname="sans-serif", fontsize=10]',
        '  edge [fontname="sans-serif", fontsize=8, color="#666666"]',
    ]
    for name, shape in graph.inputs.items():
        lines.append(f"  {_quoted(name)} [label={_lines([name, shape_text(shape)])}, shape=ellipse]")
    lines += _dot_scope(graph.tree(), "  ")
    for node in graph.nodes:
        for source in node.inputs:
            lines.append(
                f"  {_quoted(source)} -> {_quoted(node.path)} [label={_quoted(shape_text(graph.shape(source)))}]"
            )
    for path in dict.fromkeys(graph.outputs.values()):
        lines.append(f"  {_quoted(path)} [penwidth=2]")
    return "\n".join([*lines, "}"]) + "\n"


def as_mermaid(graph: Graph) -> str:
    """A Mermaid flowchart, scopes as subgraphs."""
    numbers = {path: f"n{position}" for position, path in enumerate((*graph.inputs, *(n.path for n in graph.nodes)))}
    lines = ["flowchart TD"]
    for name, shape in graph.inputs.items():
        lines.append(f'  {numbers[name]}(["{_mermaid(name)}<br>{shape_text(shape)}"])')
    lines += _mermaid_scope(graph.tree(), "  ", numbers)
    for node in graph.nodes:
        for source in node.inputs:
            lines.append(f"  {numbers[source]} -->|{shape_text(graph.shape(source))}| {numbers[node.path]}")
    return "\n".join(lines) + "\n"


def _dot_scope(scope: Tree[Node], indent: str) -> list[str]:
    lines: list[str] = []
    for name, child in scope.children.items():
        if isinstance(child, Node):
            color = f', fillcolor="{_COLORS[child.op.op]}"' if child.op.op in _COLORS else ""
            lines.append(f"{indent}{_quoted(child.path)} [label={_lines(_label(name, child))}{color}]")
            continue
        lines.append(f"{indent}subgraph {_quoted(f'cluster_{child.path}')} {{")
        lines.append(f'{indent}  label={_quoted(child.path)}; color="#bbbbbb"; fontname="sans-serif"; fontsize=10')
        lines += [*_dot_scope(child, indent + "  "), f"{indent}}}"]
    return lines


def _mermaid_scope(scope: Tree[Node], indent: str, numbers: dict[str, str]) -> list[str]:
    lines: list[str] = []
    for name, child in scope.children.items():
        if isinstance(child, Node):
            lines.append(f'{indent}{numbers[child.path]}["{"<br>".join(map(_mermaid, _label(name, child)))}"]')
            continue
        number = child.path.replace(".", "_").replace("-", "__")
        lines.append(f'{indent}subgraph s_{number} ["{_mermaid(child.path)}"]')
        lines += [*_mermaid_scope(child, indent + "  ", numbers), f"{indent}end"]
    return lines


def _label(name: str, node: Node) -> list[str]:
    op = " ".join(filter(None, (node.op.op, node.op.summary())))
    return [name, op] if name != node.op.op else [op]


def _quoted(text: str) -> str:
    inner = printable(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inner}"'


def _lines(lines: list[str]) -> str:
    return '"' + "\\n".join(_quoted(line)[1:-1] for line in lines) + '"'


def _mermaid(text: str) -> str:
    return escape(printable(text)).replace("`", "&#96;")
