"""The elaborated network written as a spec again: what `archspec show` prints.

Nothing is left to a rule: every step has its name, every argument its value, and a comment tells where each comes from.
Blocks, repeats and conditions are gone; what they made stands as nested `sequential`s. A scope that reads several
values from outside cannot be one of those, and becomes a block with named inputs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from archspec.elaborate import Elaboration
from archspec.errors import printable
from archspec.graph import Graph, Node, Tree, outer_reads
from archspec.ops import OPS
from archspec.ops.fields import REQUIRED, Factors, Padding, Sizes
from archspec.ops.initial import Draw
from archspec.report.yaml_text import flow
from archspec.sharing import Called, SharedScopes, inner_path

_COMMENT_COLUMN = 100


def show_spec(elaboration: Elaboration, overrides: Collection[str] = ()) -> str:
    """Return the elaborated network as the text of a spec, which loads to an equal graph."""
    graph, document = elaboration.graph, elaboration.program.document
    tree = graph.tree()
    shared = _shared_draws(graph)
    writer = _Writer(shared, SharedScopes(tree, graph.nodes), graph.register)
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
        *(["", "init:", *(f"  {op}: {flow(_rule(op, draws))}" for op, draws in shared.items())] if shared else []),
        *(["", "blocks:", *writer.blocks] if writer.blocks else []),
        "",
        *writer.register(tree),
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

    def __init__(
        self,
        draws: Mapping[str, Mapping[str, Draw]],
        scopes: SharedScopes,
        registered: Mapping[str, Sequence[str]],
    ) -> None:
        self.shared, self.scopes, self.registered = draws, scopes, registered
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
            if isinstance(child, Node) and child.is_free and child.weights_of is None:
                lines.append(self._op(name, child, None, indent))
                continue
            reads = child.inputs if isinstance(child, Node) else self._reads(child)
            called = [names[path] if path in names else self._inside(scope, path) for path in reads]
            numbered = isinstance(child, Node) and child.op.takes_numbers
            source = None if reads == (previous,) and not numbered else called
            owner = child.weights_of if isinstance(child, Node) else self.scopes.owners.get(child.path)
            if owner is not None:
                lines.append(self._use(name, inner_path(owner, scope.path), source, child, indent))
                *_, last = [child] if isinstance(child, Node) else child.items()
                previous = last.path
            elif isinstance(child, Node):
                lines.append(self._op(name, child, source, indent))
                previous = child.path
            else:
                lines += self._scope(name, child, reads, source, indent)
                *_, previous = [previous, *(node.path for node in child.items() if not node.is_free)]
        return lines

    def register(self, scope: Tree[Node]) -> list[str]:
        """Return the line that says which modules of a scope are registered first, if anything does."""
        names = self.registered.get(scope.path)
        return [f"register: {flow(list(names))}"] if names else []

    @staticmethod
    def _inside(scope: Tree[Node], path: str) -> str:
        return path[len(scope.path) + 1 :] if scope.path else path

    def _reads(self, scope: Tree[Node]) -> tuple[str, ...]:
        """Return what a scope reads from outside; one that a `use` made, as that which it uses."""
        owner = self.scopes.owners.get(scope.path, scope.path)
        if owner in self.calls:
            return self.calls[owner].reads_of(scope)
        uses = self.scopes.uses.get(owner)
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
        register = self.register(scope)
        source = [] if called is None else [f"from: {flow(called[0] if len(called) == 1 else called)}"]
        if len(reads) == 1:
            head = [
                f"{indent}- sequential:",
                f"{indent}    name: {flow(name)}",
                *(f"{indent}    {line}" for line in (*source, *register)),
            ]
            inner = self.steps(scope, {reads[0]: "input"}, reads[0], indent + "      ")
            return [*head, f"{indent}    layers:", *inner]
        self.count += 1
        block = f"scope_{self.count}"
        inputs = {path: f"value_{position}" for position, path in enumerate(reads)}
        inner = self.steps(scope, inputs, reads[0], "      ")
        head = [f"inputs: {flow(list(inputs.values()))}", *register, "layers:"]
        self.blocks += [f"  {block}:", *(f"    {line}" for line in head), *inner]
        return [f"{indent}- {block}: {{{', '.join([f'name: {flow(name)}', *source])}}}"]

    def _op(self, name: str, node: Node, reads: list[str] | None, indent: str) -> str:
        numbers = getattr(node.op, "numbers", None) if node.op.takes_numbers else None
        source: dict[str, Any] = {}
        if numbers is not None:
            tensors = iter(reads or ())
            source = {"from": [next(tensors) if number is None else number for number in numbers]}
        elif reads is not None:
            operands = [each for each in node.op.operand_fields() if getattr(node.op, each) is not None]
            inputs, further = reads[: len(reads) - len(operands)], reads[len(reads) - len(operands) :]
            source = {"from": inputs[0] if len(inputs) == 1 else inputs, **dict(zip(operands, further, strict=True))}
        own = {tensor: draw for tensor, draw in node.draws.items() if tensor not in self.shared.get(node.op.op, ())}
        init = {"init": _rule(node.op.op, own)} if own else {}
        written = {key: value for key, value in _written(node).items() if key not in source}
        line = f"{indent}- {node.op.op}: {flow({'name': name, **source, **written, **init})}"
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
    fields = node.op.fields
    found = {name: value for name, value in node.op.args().items() if value is not None and not fields[name].internal}
    for name, value in found.items():
        if isinstance(node.op.fields[name].kind, Factors | Padding | Sizes) and len(set(map(str, value))) == 1:
            found[name] = value[0] if isinstance(value[0], int | float) else value
    return found


# Initial weights.


def _shared_draws(graph: Graph) -> dict[str, dict[str, Draw]]:
    """Return how tensors are drawn that every layer of an op draws alike: said once, at the top."""
    found: dict[str, dict[str, Draw | None]] = {}
    mixed: set[tuple[str, str]] = set()
    for node in graph.nodes:
        own = node.op.initial and node.weights_of is None
        for tensor in node.op.initial.keys() & node.op.weights().keys() if own else ():
            draw = node.draws.get(tensor)
            if found.setdefault(node.op.op, {}).setdefault(tensor, draw) != draw:
                mixed.add((node.op.op, tensor))
    shared = {
        op: {tensor: draw for tensor, draw in draws.items() if draw is not None and (op, tensor) not in mixed}
        for op, draws in found.items()
    }
    return {op: draws for op, draws in shared.items() if draws}


def _rule(op: str, draws: Mapping[str, Draw]) -> Any:
    """Return how tensors are drawn as a spec writes it."""
    main = next(iter(OPS[op].initial))
    found: dict[str, Any] = {}
    for tensor in (name for name in OPS[op].initial if name in draws):
        written = draws[tensor].written()
        if tensor == main and len(draws) == 1:
            return written
        found.update(written if tensor == main and isinstance(written, dict) else {tensor: written})
    return found
