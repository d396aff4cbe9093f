"""The spec as it was understood: the elaborated network, written as a spec again.

Nothing is left to a rule: every step has its name, every argument its value, and a comment tells where each comes from.
Blocks, repeats and conditions are gone; what they made stands as nested `sequential`s. A scope that reads several
values from outside cannot be one of those, and becomes a block with named inputs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from archspec.elaborate import Elaboration
from archspec.errors import printable
from archspec.graph import Graph, Node
from archspec.ops.fields import REQUIRED, Padding, Sizes

_COMMENT_COLUMN = 100


def show_spec(elaboration: Elaboration, overrides: Collection[str] = (), comments: bool = True) -> str:
    """The elaborated network as the text of a spec, which loads to an equal graph.

    Without `comments` it says nothing of the files that the network comes from, and is about half as long.
    """
    graph, document = elaboration.graph, elaboration.program.document
    root = _scopes(graph)
    writer = _Writer(graph, comments)
    layers = writer.steps(root, {name: name for name in graph.inputs}, "  ", top=True) or [_NO_LAYER]
    inputs: Any = {name: list(shape) for name, shape in graph.inputs.items()}
    lines = [
        *(_origin(elaboration, overrides) if comments else ()),
        f"name: {_flow(graph.name)}",
        *(f"{key}: {_flow(document.text(key))}" for key in ("description", "reference") if document.text(key)),
        f"input: {_flow(inputs['input'] if list(inputs) == ['input'] else inputs)}",
        *(["", "blocks:", *writer.blocks] if writer.blocks else []),
        "",
        "layers:",
        *layers,
        "",
        f"outputs: {_flow(graph.outputs)}",
    ]
    return "\n".join(lines) + "\n"


_NO_LAYER = "  - relu: {when: false}"
"""What stands for a network that gives its inputs as they are: a list of steps is not empty."""


def _origin(elaboration: Elaboration, overrides: Collection[str]) -> Iterable[str]:
    """Where the network comes from, and what its params are."""
    document = elaboration.program.document
    yield f"# {printable(document.name)}, as understood from {printable(document.source.name)}."
    for name, value in elaboration.params.items():
        declared = document.params[name]
        origin = f"given; {_flow(declared.plain())} at {declared.span}" if name in overrides else f"{declared.span}"
        yield f"#   {name} = {_flow(value)}  ({origin})"


@dataclass
class _Scope:
    """The nodes of one path prefix; the keys of `reads` are the values from outside that they read, in order."""

    path: str
    children: dict[str, Node | _Scope] = field(default_factory=dict)
    reads: dict[str, None] = field(default_factory=dict)
    paths: set[str] = field(default_factory=set)

    def last(self) -> str:
        """The path of the value that the scope gives: that of its last node."""
        child = next(reversed(self.children.values()))
        return child.path if isinstance(child, Node) else child.last()


def _scopes(graph: Graph) -> _Scope:
    root = _Scope("")
    for node in graph.nodes:
        *outer, name = node.path.split(".")
        trail = [root]
        for part in outer:
            here = trail[-1]
            inner = here.children.setdefault(part, _Scope(f"{here.path}.{part}" if here.path else part))
            assert isinstance(inner, _Scope)
            trail.append(inner)
        trail[-1].children[name] = node
        for scope in trail:
            scope.reads.update((path, None) for path in node.inputs if path not in scope.paths)
            scope.paths.add(node.path)
    return root


class _Writer:
    """Writes scopes as steps, and collects the blocks that some of them need."""

    def __init__(self, graph: Graph, comments: bool) -> None:
        self.graph = graph
        self.comments = comments
        self.blocks: list[str] = []
        self.count = 0

    def steps(self, scope: _Scope, names: Mapping[str, str], indent: str, top: bool = False) -> list[str]:
        """The steps of a scope. `names` tells what the values from outside are called within."""
        lines: list[str] = []
        previous = next(iter(self.graph.inputs)) if top else next(iter(scope.reads))
        for name, child in scope.children.items():
            reads = child.inputs if isinstance(child, Node) else tuple(child.reads)
            called = [names[path] if path in names else self._inside(scope, path) for path in reads]
            implied = len(reads) == 1 and reads[0] == previous
            if isinstance(child, Node):
                lines.append(self._op(name, child, None if implied else called, indent))
                previous = child.path
                continue
            lines += self._scope(name, child, None if implied else called, indent)
            previous = child.last()
        return lines

    @staticmethod
    def _inside(scope: _Scope, path: str) -> str:
        return path[len(scope.path) + 1 :] if scope.path else path

    def _scope(self, name: str, scope: _Scope, reads: list[str] | None, indent: str) -> list[str]:
        source = [] if reads is None else [f"from: {_flow(reads[0] if len(reads) == 1 else reads)}"]
        if len(scope.reads) == 1:
            head = [
                f"{indent}- sequential:",
                f"{indent}    name: {_flow(name)}",
                *(f"{indent}    {line}" for line in source),
            ]
            inner = self.steps(scope, dict.fromkeys(scope.reads, "input"), indent + "      ")
            return [*head, f"{indent}    layers:", *inner]
        self.count += 1
        block = f"scope_{self.count}"
        inputs = {path: f"value_{position}" for position, path in enumerate(scope.reads)}
        inner = self.steps(scope, inputs, "      ")
        self.blocks += [f"  {block}:", f"    inputs: {_flow(list(inputs.values()))}", "    layers:", *inner]
        return [f"{indent}- {block}: {{{', '.join([f'name: {_flow(name)}', *source])}}}"]

    def _op(self, name: str, node: Node, reads: list[str] | None, indent: str) -> str:
        source = {} if reads is None else {"from": reads[0] if len(reads) == 1 else reads}
        line = f"{indent}- {node.op.op}: {_flow({'name': name, **source, **_written(node)})}"
        return f"{line.ljust(_COMMENT_COLUMN)}  # {'; '.join(_origins(node))}" if self.comments else line


def _origins(node: Node) -> Iterable[str]:
    """Where the step and each of its arguments come from."""
    yield str(node.span)
    for name, origin in node.origins.items():
        if origin.origin == "defaults":
            yield f"{name}: defaults, {origin.span}"
    own = [
        name
        for name, declared in node.op.fields.items()
        if name not in node.origins and declared.default is not REQUIRED
    ]
    if own:
        yield f"{', '.join(own)}: the op's default"


def _written(node: Node) -> dict[str, Any]:
    """The arguments of a node, a size that all axes share as one number."""
    found = {name: value for name, value in node.op.args().items() if value is not None}
    for name, value in found.items():
        if isinstance(node.op.fields[name].kind, Sizes | Padding) and len(set(map(str, value))) == 1:
            found[name] = value[0] if isinstance(value[0], int) else value
    return found


_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_WORDS = {"null", "true", "false"}


def _flow(value: Any) -> str:
    """A value in YAML's flow style."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_flow(key)}: {_flow(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    # JSON's quoted text is YAML's, but for characters that a spec may not hold as they are.
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)
