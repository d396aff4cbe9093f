"""The elaborated network written as a spec again: what `archspec show` prints.

Nothing is left to a rule: every step has its name, every argument its value, and a comment tells where each comes from.
Blocks, repeats and conditions are gone; what they made stands as nested `sequential`s. A scope that reads several
values from outside cannot be one of those, and becomes a block with named inputs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from archspec.elaborate import Elaboration
from archspec.errors import printable
from archspec.graph import Node, Tree, outer_reads
from archspec.ops.fields import REQUIRED, Padding, Sizes
from archspec.report.yaml_text import flow
from archspec.sharing import Called, SharedScopes, inner_path

_COMMENT_COLUMN = 100


def show_spec(elaboration: Elaboration, overrides: Collection[str] = ()) -> str:
    """Return the elaborated network as the text of a spec, which loads to an equal graph."""
    graph, document = elaboration.graph, elaboration.program.document
    tree = graph.tree()
    writer = _Writer(SharedScopes(tree, graph.nodes))
    names = {name: name for name in graph.inputs}
    layers = writer.steps(tree, names, next(iter(names)), "  ") or [_NO_LAYER]
    outputs = {
        name: {"from": path, "when": "training"} if name in graph.training else path
        for name, path in graph.outputs.items()
    }
    inputs: Any = {name: list(shape) for name, shape in graph.inputs.items()}
    lines = [
        *_origin(elaboration, overrides),
        f"name: {flow(graph.name)}",
        *(f"{key}: {flow(document.text(key))}" for key in ("description", "reference") if document.text(key)),
        f"input: {flow(inputs['input'] if list(inputs) == ['input'] else inputs)}",
        *(["", "blocks:", *writer.blocks] if writer.blocks else []),
        "",
        "layers:",
        *layers,
        "",
        f"outputs: {flow(outputs)}",
    ]
    return "\n".join(lines) + "\n"


_NO_LAYER = "  - relu: {when: false}"
"""What stands for a network that gives its inputs as they are: a list of steps is not empty."""


def _origin(elaboration: Elaboration, overrides: Collection[str]) -> Iterable[str]:
    """Yield comments: where the network comes from, and what its params are."""
    document = elaboration.program.document
    yield f"# {printable(document.name)}, as understood from {printable(document.source.name)}."
    for name, value in elaboration.params.items():
        declared = document.params[name]
        origin = f"given; {flow(declared.plain())} at {declared.span}" if name in overrides else f"{declared.span}"
        yield f"#   {name} = {flow(value)}  ({origin})"


class _Writer:
    """Writes scopes as steps, and collects the blocks that some of them need."""

    def __init__(self, shared: SharedScopes) -> None:
        self.shared = shared
        self.calls: dict[str, Called] = {}
        self.blocks: list[str] = []
        self.count = 0

    def steps(self, scope: Tree[Node], names: Mapping[str, str], previous: str, indent: str) -> list[str]:
        """Return the steps of a scope as lines.

        Args:
            scope: The scope.
            names: What the values from outside are called within.
            previous: The path of the value that the first step reads if nothing else is said.
            indent: What every line starts with.
        """
        lines: list[str] = []
        for name, child in scope.children.items():
            reads = child.inputs if isinstance(child, Node) else self._reads(child)
            called = [names[path] if path in names else self._inside(scope, path) for path in reads]
            source = None if reads == (previous,) else called
            owner = child.weights_of if isinstance(child, Node) else self.shared.owners.get(child.path)
            if owner is not None:
                lines.append(self._use(name, inner_path(owner, scope.path), source, child, indent))
                *_, last = [child] if isinstance(child, Node) else child.items()
                previous = last.path
            elif isinstance(child, Node):
                lines.append(self._op(name, child, source, indent))
                previous = child.path
            else:
                lines += self._scope(name, child, reads, source, indent)
                *_, last = child.items()
                previous = last.path
        return lines

    @staticmethod
    def _inside(scope: Tree[Node], path: str) -> str:
        return path[len(scope.path) + 1 :] if scope.path else path

    def _reads(self, scope: Tree[Node]) -> tuple[str, ...]:
        """Return what a scope reads from outside; one that a `use` made, as that which it uses."""
        owner = self.shared.owners.get(scope.path, scope.path)
        if owner in self.calls:
            return self.calls[owner].reads_of(scope)
        uses = self.shared.uses.get(owner)
        if not uses:
            return outer_reads(scope)
        self.calls[owner] = Called.of([scope, *uses], ())
        return self.calls[owner].reads_of(scope)

    @staticmethod
    def _use(name: str, owner: str, called: list[str] | None, made: Node | Tree[Node], indent: str) -> str:
        """Return the line of a step that applies an earlier one again."""
        source = {} if called is None else {"from": called[0] if len(called) == 1 else called}
        line = f"{indent}- use: {flow({'step': owner, 'name': name, **source})}"
        node = made if isinstance(made, Node) else next(made.items())
        at = node.span
        if isinstance(made, Tree):
            at = next((scope.span for scope in node.scope.chain() if scope.path == made.path and scope.span), at)
        return f"{line.ljust(_COMMENT_COLUMN)}  # {at}"

    def _scope(
        self, name: str, scope: Tree[Node], reads: tuple[str, ...], called: list[str] | None, indent: str
    ) -> list[str]:
        if scope.path in self.calls:
            shared = self.calls[scope.path]
            scope, reads = shared.body(scope), tuple(shared.names)
        source = [] if called is None else [f"from: {flow(called[0] if len(called) == 1 else called)}"]
        if len(reads) == 1:
            head = [
                f"{indent}- sequential:",
                f"{indent}    name: {flow(name)}",
                *(f"{indent}    {line}" for line in source),
            ]
            inner = self.steps(scope, {reads[0]: "input"}, reads[0], indent + "      ")
            return [*head, f"{indent}    layers:", *inner]
        self.count += 1
        block = f"scope_{self.count}"
        inputs = {path: f"value_{position}" for position, path in enumerate(reads)}
        inner = self.steps(scope, inputs, reads[0], "      ")
        self.blocks += [f"  {block}:", f"    inputs: {flow(list(inputs.values()))}", "    layers:", *inner]
        return [f"{indent}- {block}: {{{', '.join([f'name: {flow(name)}', *source])}}}"]

    def _op(self, name: str, node: Node, reads: list[str] | None, indent: str) -> str:
        source = {} if reads is None else {"from": reads[0] if len(reads) == 1 else reads}
        line = f"{indent}- {node.op.op}: {flow({'name': name, **source, **_written(node)})}"
        return f"{line.ljust(_COMMENT_COLUMN)}  # {'; '.join(_origins(node))}"


def _origins(node: Node) -> Iterable[str]:
    """Yield comments: where the step and each of its arguments come from."""
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
    """Return the arguments of a node, a size that all axes share as one number."""
    found = {name: value for name, value in node.op.args().items() if value is not None}
    for name, value in found.items():
        if isinstance(node.op.fields[name].kind, Sizes | Padding) and len(set(map(str, value))) == 1:
            found[name] = value[0] if isinstance(value[0], int) else value
    return found
