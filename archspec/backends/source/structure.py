"""Questions about the structure of a graph: what the steps of a spec made, in which scope, reading what."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from archspec.backends.source.context import CannotPlan
from archspec.backends.source.translate import tree_of
from archspec.expressions import Environment
from archspec.graph import Applied, Graph, Node, Scope
from archspec.program.steps import ScopeStep, Step
from archspec.shapes import Shape

Rows = dict[int, Applied]
"""What one step made in every row."""

Entries = dict[int, list[Applied]]
"""All that a step or a scope made in every row: a step that is repeated or left out, several things or nothing."""


class Tree:
    """The scopes of the network, and of the same network with other values of what is kept.

    By the ids of scopes: `placed` says where each stands, `home` of which graph it is, `exposed` which values in it
    are read outside it. `blocks` has the scopes of each block, by the id of its definition.
    """

    def __init__(self, graphs: Sequence[Graph]) -> None:
        self.graphs = graphs
        self.roots = [root_of(graph) for graph in graphs]
        self.shapes: list[dict[str, Shape]] = [
            {**graph.inputs, **{node.path: node.shape for node in graph.nodes}} for graph in graphs
        ]
        self.placed: dict[int, Applied] = {}
        self.home: dict[int, int] = {}
        self.blocks: dict[int, list[Scope]] = {}
        for number, root in enumerate(self.roots):
            self._walk(root, number)
        self.exposed = self._exposures()

    def _walk(self, root: Scope, number: int) -> None:
        """Enter the scopes of a graph, in their order."""
        stack = [root]
        while stack:
            scope = stack.pop()
            self.home[id(scope)] = number
            inner = []
            for placed in scope.items:
                if isinstance(placed.made, Scope):
                    self.placed[id(placed.made)] = placed
                    inner.append(placed.made)
                    if placed.made.kind == "block":
                        self.blocks.setdefault(id(placed.made.definition), []).append(placed.made)
            stack.extend(reversed(inner))

    def shape(self, scope: Scope, path: str) -> Shape:
        """The shape of a value of the graph that a scope belongs to."""
        return self.shapes[self.home[id(scope)]][path]

    def _exposures(self) -> dict[int, list[str]]:
        """Of each scope, the values other than its result that are read outside it."""
        found: dict[int, list[str]] = {}
        for graph, root in zip(self.graphs, self.roots, strict=True):
            homes = {node.path: node.scope for node in graph.nodes}
            reads = [(path, node.scope) for node in graph.nodes for path in node.inputs]
            reads += [(path, root) for path in graph.outputs.values()]
            reads += self._scope_reads(root)
            for path, reader in reads:
                scope = homes.get(path)
                if scope is None or scope is reader:
                    continue
                around = {id(inner) for inner in reader.chain()}
                for inner in scope.chain():
                    if id(inner) in around or inner.kind == "inline":
                        continue
                    placed = self.placed.get(id(inner))
                    if placed is not None and placed.result != path and path not in found.setdefault(id(inner), []):
                        found[id(inner)].append(path)
        return found

    def _scope_reads(self, root: Scope) -> Iterator[tuple[str, Scope]]:
        """What blocks are given, used or not, and what scopes pass on."""
        stack = [root]
        while stack:
            scope = stack.pop()
            for placed in scope.items:
                if isinstance(placed.made, Scope):
                    stack.append(placed.made)
                    if placed.made.kind != "inline" and not is_empty(placed):
                        yield placed.result, placed.made
                    if placed.made.kind == "block" and not is_empty(placed):
                        yield from ((path, scope) for path in placed.reads)

    def externals(self, scope: Scope) -> tuple[str, ...]:
        """What the steps of a scope read from outside, in order of the first read."""
        inside: set[str] = set()
        found: dict[str, None] = {}
        stack = [iter(scope.items)]
        while stack:
            for placed in stack[-1]:
                if isinstance(placed.made, Node):
                    inside.add(placed.made.path)
                    found.update(dict.fromkeys(path for path in placed.reads if path not in inside))
                elif placed.made is not None:
                    if placed.made.kind == "block" and not is_empty(placed):  # it is given all its inputs, used or not
                        found.update(dict.fromkeys(path for path in placed.reads if path not in inside))
                    stack.append(iter(placed.made.items))
                    break
            else:
                stack.pop()
        result = self.placed[id(scope)].result
        if result not in inside:
            found[result] = None
        return tuple(found)


def root_of(graph: Graph) -> Scope:
    """The scope of a whole network."""
    if not graph.nodes:
        return Scope("network", "", None)
    scope = graph.nodes[0].scope
    while scope.parent is not None:
        scope = scope.parent
    return scope


def environment_of(scope: Scope) -> Environment:
    """The names that the steps of a scope see."""
    return scope.environment or Environment({})


def scope_of(placed: Applied) -> Scope:
    """The scope that a step made; CannotPlan where it made none."""
    if not isinstance(placed.made, Scope):
        raise CannotPlan
    return placed.made


def by_step(items: Iterable[Applied]) -> dict[int, list[Applied]]:
    """What each step made, by the id of the step."""
    found: dict[int, list[Applied]] = {}
    for placed in items:
        found.setdefault(id(placed.step), []).append(placed)
    return found


def is_empty(placed: Applied) -> bool:
    """Whether no module and no operation came of it."""
    if placed.made is None:
        return True
    return isinstance(placed.made, Scope) and all(is_empty(inner) for inner in placed.made.items)


def flat(items: Iterable[Applied]) -> Iterator[Applied]:
    """What stands in a scope, with `inline` opened."""
    for placed in items:
        if isinstance(placed.made, Scope) and placed.made.kind == "inline":
            yield from flat(placed.made.items)
        elif not is_empty(placed):
            yield placed


def name_of(placed: Applied) -> str:
    """The last part of a path: the name as a module."""
    return placed.made.path.rpartition(".")[2] if placed.made is not None else ""


def positional(items: Iterable[Applied]) -> bool:
    """Whether the names are positions, as nn.Sequential gives them."""
    return all(name_of(placed) == str(number) for number, placed in enumerate(flat(items)))


def all_steps(steps: Iterable[Step]) -> Iterator[Step]:
    """The steps of a scope, with `inline` opened."""
    for step in steps:
        yield step
        if isinstance(step, ScopeStep) and step.is_inline:
            yield from all_steps(step.steps)


def constant_name(step: Step) -> str:
    """The name that the spec gives a step; empty where it gives none, or one with expressions in it."""
    if step.name is None or not step.name.constant:
        return ""
    return str(step.name.yaml.plain())


def label_of(step: Step) -> str:
    """What to call the result of a step."""
    if isinstance(step, ScopeStep):
        return constant_name(step) or (step.repeat.binds if step.repeat else "") or "layers"
    return constant_name(step) or step.label


def common_shape(shapes: Sequence[Shape]) -> Shape | None:
    """The shape, where all are the same."""
    return shapes[0] if all(shape == shapes[0] for shape in shapes) else None


def table_name(step: Step) -> str:
    """What to call the table of a loop: as the spec calls the list that it repeats over."""
    repeat = step.repeat
    if repeat is not None:
        tree = tree_of(repeat.count)
        if isinstance(tree, ast.Name):
            return tree.id
    return "settings"


def structure(scope: Scope) -> Any:
    """What must agree for one class: which steps stand, how often, under which names, reading what."""
    return _signature(scope, whole=False)


def everything_in(scope: Scope) -> Any:
    """All that a scope is, but for where it stands."""
    return _signature(scope, whole=True)


def _signature(scope: Scope, whole: bool) -> Any:
    """What stands in a scope, comparable between scopes; `whole`: with its ops, and what stands in blocks."""
    outside: dict[str, int] = {}

    def relative(path: str) -> Any:
        return path[len(scope.path) :] if path.startswith(f"{scope.path}.") else outside.setdefault(path, len(outside))

    def entry(placed: Applied) -> Any:
        here = (id(placed.step), name_of(placed), tuple(map(relative, placed.reads)), relative(placed.result))
        if isinstance(placed.made, Scope) and (whole or placed.made.kind != "block"):
            return (*here, tuple(map(entry, placed.made.items)))
        if isinstance(placed.made, Node) and whole:
            return (*here, str(placed.made.op.calls()))
        return here

    return tuple(map(entry, scope.items))
