"""A graph as Graphviz and Mermaid text. Names of a spec are quoted, never read as markup."""

from __future__ import annotations

from html import escape

from archspec.errors import printable
from archspec.graph import Graph, Node
from archspec.shapes import shape_text


def as_dot(graph: Graph) -> str:
    """Graphviz DOT, scopes as clusters."""
    lines = [
        f"digraph {_quoted(graph.name)} {{",
        '  node [shape=box, style="rounded,filled", fillcolor="#f3f3f3", fontname="sans-serif", fontsize=10]',
        '  edge [fontname="sans-serif", fontsize=8, color="#666666"]',
    ]
    for name, shape in graph.inputs.items():
        lines.append(f"  {_quoted(name)} [label={_lines([name, shape_text(shape)])}, shape=ellipse]")
    lines += _dot_scope(graph, _tree(graph), "", "  ")
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
    lines += _mermaid_scope(graph, _tree(graph), "", "  ", numbers)
    for node in graph.nodes:
        for source in node.inputs:
            lines.append(f"  {numbers[source]} -->|{shape_text(graph.shape(source))}| {numbers[node.path]}")
    return "\n".join(lines) + "\n"


Tree = dict[str, "Tree | Node"]


def _tree(graph: Graph) -> Tree:
    """The nodes by the parts of their paths."""
    root: Tree = {}
    for node in graph.nodes:
        here = root
        *outer, name = node.path.split(".")
        for part in outer:
            inner = here.setdefault(part, {})
            assert isinstance(inner, dict)
            here = inner
        here[name] = node
    return root


def _dot_scope(graph: Graph, scope: Tree, path: str, indent: str) -> list[str]:
    lines: list[str] = []
    for name, child in scope.items():
        inner = f"{path}.{name}" if path else name
        if isinstance(child, Node):
            color = f', fillcolor="{child.op.color}"' if child.op.color else ""
            lines.append(f"{indent}{_quoted(inner)} [label={_lines(_label(name, child))}{color}]")
            continue
        lines.append(f"{indent}subgraph {_quoted(f'cluster_{inner}')} {{")
        lines.append(f'{indent}  label={_quoted(inner)}; color="#bbbbbb"; fontname="sans-serif"; fontsize=10')
        lines += [*_dot_scope(graph, child, inner, indent + "  "), f"{indent}}}"]
    return lines


def _mermaid_scope(graph: Graph, scope: Tree, path: str, indent: str, numbers: dict[str, str]) -> list[str]:
    lines: list[str] = []
    for name, child in scope.items():
        inner = f"{path}.{name}" if path else name
        if isinstance(child, Node):
            lines.append(f'{indent}{numbers[inner]}["{"<br>".join(map(_mermaid, _label(name, child)))}"]')
            continue
        lines.append(f'{indent}subgraph s_{inner.replace(".", "_").replace("-", "__")} ["{_mermaid(inner)}"]')
        lines += [*_mermaid_scope(graph, child, inner, indent + "  ", numbers), f"{indent}end"]
    return lines


def _label(name: str, node: Node) -> list[str]:
    return [name, node.op.label()] if name != node.op.op else [node.op.label()]


def _quoted(text: str) -> str:
    inner = printable(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inner}"'


def _lines(lines: list[str]) -> str:
    return '"' + "\\n".join(_quoted(line)[1:-1] for line in lines) + '"'


def _mermaid(text: str) -> str:
    return escape(printable(text)).replace("`", "&#96;")
