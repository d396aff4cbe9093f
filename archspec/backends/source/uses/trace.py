"""Traced networks: what each step made, in which scope, reading what.

A trace is an elaboration that keeps what became of every step. The back end traces a network once as it is, and once
more for each param that may stay an argument of the generated class, with another value: code must be right for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from archspec.expressions import Environment
from archspec.graph import Applied, Graph, Node, Scope
from archspec.program.steps import BlockProgram, ScopeStep, Step
from archspec.shapes import Lead, Shape


class Trace:
    """The scopes of traced networks.

    `applied` has the application that made a scope, `network` the number of the network that a scope is in, `blocks`
    the scopes of each block in order, `exposed` the values in a scope, not its result, that are read outside, and
    `readers` the paths of the nodes that read a value of the first network.
    """

    def __init__(self, graphs: Sequence[Graph]) -> None:
        self.graphs = graphs
        self.roots = [root_of(graph) for graph in graphs]
        self.applied: dict[Scope, Applied] = {}
        self.network: dict[Scope, int] = {}
        self.blocks: dict[BlockProgram, list[Scope]] = {}
        self.exposed: dict[Scope, list[str]] = {}
        self.homes = [{node.path: node.scope for node in graph.nodes} for graph in graphs]
        self.readers: dict[str, list[str]] = {}
        self._shapes: list[dict[str, Shape]] = []
        self._leads = [{node.path: node.op.lead for node in graph.nodes if node.op.lead < 2} for graph in graphs]
        self._externals: dict[Scope, tuple[str, ...]] = {}
        self._straight: dict[Scope, bool] = {}
        for number, (graph, root) in enumerate(zip(graphs, self.roots, strict=True)):
            self._shapes.append({**graph.inputs, **{node.path: node.shape for node in graph.nodes}})
            self._enter(root, number)
        for graph, root in zip(graphs, self.roots, strict=True):
            self._expose(graph, root)
        self._read_into = {scope.definition for scope in self.exposed}
        for node in graphs[0].nodes:
            for path in node.inputs:
                self.readers.setdefault(path, []).append(node.path)
        for name, path in graphs[0].outputs.items():
            self.readers.setdefault(path, []).append(f"output {name}")

    def _enter(self, root: Scope, number: int) -> None:
        stack = [root]
        while stack:
            scope = stack.pop()
            self.network[scope] = number
            inner = []
            for applied in scope.items:
                if isinstance(applied.made, Scope):
                    self.applied[applied.made] = applied
                    inner.append(applied.made)
                    if isinstance(applied.made.definition, BlockProgram):
                        self.blocks.setdefault(applied.made.definition, []).append(applied.made)
            stack.extend(reversed(inner))

    def shape(self, scope: Scope, path: str) -> Shape:
        """Return the shape of a value of the network that a scope is in."""
        return self._shapes[self.network[scope]][path]

    def lead(self, scope: Scope, path: str) -> Lead:
        """Return what stands before the shape of a value."""
        return self._leads[self.network[scope]].get(path, Lead.BATCH)

    # What is read where.

    def _expose(self, graph: Graph, root: Scope) -> None:
        homes = {node.path: node.scope for node in graph.nodes}
        for path, reader in _reads(graph, root):
            home = homes.get(path)
            if home is None or home is reader:
                continue
            around = set(reader.chain())
            for scope in home.chain():
                if scope in around or scope.kind == "inline":
                    continue
                applied = self.applied.get(scope)
                if applied is not None and applied.result != path:
                    exposed = self.exposed.setdefault(scope, [])
                    if path not in exposed:
                        exposed.append(path)

    def externals(self, scope: Scope) -> tuple[str, ...]:
        """Return the values outside of a scope that its steps read, in order of the first read.

        A block is given all its inputs, used or not.
        """
        if scope not in self._externals:
            self._externals[scope] = self._find_externals(scope)
        return self._externals[scope]

    def _find_externals(self, scope: Scope) -> tuple[str, ...]:
        applied = self.applied[scope]
        if scope.kind == "block":
            return applied.reads
        inside: set[str] = set()
        found: dict[str, None] = {}
        for each in walk(scope.items):
            if isinstance(each.made, Node):
                found.update(dict.fromkeys(path for path in each.reads if path not in inside))
                inside.update((each.made.path, *each.more))
            elif each.made is not None and each.made.kind == "block" and not is_empty(each):
                found.update(dict.fromkeys(path for path in each.reads if path not in inside))
        if applied.result not in inside:
            found[applied.result] = None
        return tuple(found)

    def straight(self, scope: Scope) -> bool:
        """Return whether a scope is a chain: one value goes in, every step reads the one before, the last comes out."""
        if scope not in self._straight:
            self._straight[scope] = self._is_straight(scope)
        return self._straight[scope]

    def _is_straight(self, scope: Scope) -> bool:
        applied = self.applied[scope]
        if self.exposed.get(scope):
            return False
        previous = self.entry(scope)
        if previous is None:
            return False
        for each in flat(scope.items):
            if each.reads != (previous,):
                return False
            made = each.made
            if isinstance(made, Node) and not made.op.in_chain:
                return False
            if isinstance(made, Scope) and (self.returns_several(made) or self.externals(made) != (previous,)):
                return False
            previous = each.result
        return previous == applied.result

    def returns_several(self, scope: Scope) -> bool:
        """Return whether something reads more of a scope than its result, or of another use of its block."""
        if isinstance(scope.definition, BlockProgram):
            return scope.definition in self._read_into
        return bool(self.exposed.get(scope))

    def label(self, network: int, path: str, around: Scope) -> str:
        """Return what to call a value that is read outside of its scope: the largest scope that it is the result of.

        Args:
            network: The number of the network.
            path: The value.
            around: A scope; those that it stands in do not count.
        """
        home = self.homes[network].get(path)
        *_, before, found = ["", *path.split(".")]
        if found.isdecimal() and before and not before.isdecimal():
            found = f"{before.removesuffix('s')}{found}"
        outer = set(around.chain())
        for scope in home.chain() if home is not None else ():
            applied = self.applied.get(scope)
            if scope in outer or applied is None or applied.result != path:
                break
            if scope.kind != "inline":
                found = scope.path.rpartition(".")[2]
                if found.isdecimal() and scope.parent is not None:
                    found = f"{scope.parent.path.rpartition('.')[2].removesuffix('s')}{found}"
        return found

    def entry(self, scope: Scope) -> str | None:
        """Return the one value that a scope reads from outside; None if it reads several."""
        paths = self.externals(scope) or self.applied[scope].reads[:1]
        return paths[0] if len(paths) == 1 else None


def _reads(graph: Graph, root: Scope) -> Iterator[tuple[str, Scope]]:
    """Yield every value that is read, and the scope that reads it: nodes, blocks that are given it, results."""
    for node in graph.nodes:
        for path in node.inputs:
            yield path, node.scope
    for path in graph.outputs.values():
        yield path, root
    stack = [root]
    while stack:
        scope = stack.pop()
        for applied in scope.items:
            if isinstance(applied.made, Scope):
                stack.append(applied.made)
                if applied.made.kind != "inline" and not is_empty(applied):
                    yield applied.result, applied.made
                    if applied.made.kind == "block":
                        for path in applied.reads:
                            yield path, scope


def root_of(graph: Graph) -> Scope:
    """Return the scope of a whole network."""
    if not graph.nodes:
        return Scope("network", "", None)
    scope = graph.nodes[0].scope
    while scope.parent is not None:
        scope = scope.parent
    return scope


def environment_of(scope: Scope) -> Environment:
    """Return what the expressions of a scope's steps see."""
    return scope.environment or Environment({})


def walk(items: Iterable[Applied]) -> Iterator[Applied]:
    """Yield applications in execution order, those inside of scopes after their scope."""
    stack = [iter(items)]
    while stack:
        for applied in stack[-1]:
            yield applied
            if isinstance(applied.made, Scope):
                stack.append(iter(applied.made.items))
                break
        else:
            stack.pop()


def is_empty(applied: Applied) -> bool:
    """Return whether a step made no module and no operation."""
    if isinstance(applied.made, Node):
        return False
    return not any(isinstance(each.made, Node) for each in walk([applied]))


def flat(items: Iterable[Applied]) -> Iterator[Applied]:
    """Yield what stands in a scope, with `inline` opened and what is empty left out."""
    for applied in items:
        if isinstance(applied.made, Scope) and applied.made.kind == "inline":
            yield from flat(applied.made.items)
        elif not is_empty(applied):
            yield applied


def name_of(applied: Applied) -> str:
    """Return the name of what a step made as a module of the scope that it stands in; in a list, `convs.0`."""
    made: Node | Scope | None = applied.made
    if isinstance(made, Node) and applied.more:
        made = made.scope  # that of its results
    if made is None:
        return ""
    home = made.scope if isinstance(made, Node) else made.parent
    return made.path[len(home.path) + 1 :] if home is not None and home.path else made.path


def by_step(items: Iterable[Applied]) -> dict[Step, list[Applied]]:
    """Return what each step made."""
    found: dict[Step, list[Applied]] = {}
    for applied in items:
        assert isinstance(applied.step, Step)
        found.setdefault(applied.step, []).append(applied)
    return found


def chosen(applied: Applied) -> str:
    """Return the op or block that a step of a choice made."""
    made = applied.made
    return made.op.op if isinstance(made, Node) else (made.block or "") if made is not None else ""


def all_steps(steps: Iterable[Step]) -> Iterator[Step]:
    """Yield the steps of a scope, with `inline` opened."""
    for step in steps:
        yield step
        if isinstance(step, ScopeStep) and step.is_inline:
            yield from all_steps(step.steps)


def constant_name(step: Step) -> str:
    """Return the name that the spec gives a step; empty if it gives none, or one with expressions in it."""
    return step.fixed_name or ""
