"""Traced networks: what each step made, in which scope, reading what.

A trace is an elaboration that keeps what became of every step. The back end traces a network once as it is, and once
more for each param that may stay an argument of the generated class, with another value: code must be right for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from archspec.expressions import Environment
from archspec.graph import Applied, Graph, Node, Scope
from archspec.program.steps import BlockProgram, ScopeStep, Step, UseStep
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
        self.owners: dict[Scope, Scope] = {}
        """By a scope that a `use` made, or one inside it, the scope that has the modules."""
        self.users: dict[Scope, list[Scope]] = {}
        """The scopes that a `use` made, by the scope that has the modules."""
        self._leads = [{node.path: node.op.lead for node in graph.nodes if node.op.lead < 2} for graph in graphs]
        self._externals: dict[Scope, tuple[str, ...]] = {}
        self._straight: dict[Scope, bool] = {}
        for number, (graph, root) in enumerate(zip(graphs, self.roots, strict=True)):
            self._shapes.append({**graph.inputs, **{node.path: node.shape for node in graph.nodes}})
            self._enter(root, number)
            if any(node.weights_of is not None for node in graph.nodes):
                self._pair_shared(root)
        for graph, root in zip(graphs, self.roots, strict=True):
            self._expose(graph, root)
        self._expose_shared()
        self._read_into = {scope.definition for scope in self.exposed}
        for node in graphs[0].nodes:
            for path in node.inputs:
                self.readers.setdefault(path, []).append(node.path)
        for name, path in graphs[0].outputs.items():
            self.readers.setdefault(path, []).append(f"output {name}")

    def _enter(self, root: Scope, number: int) -> None:
        stack = [root]
        again: set[Scope] = set()  # what a `use` made, which has no code of its own
        while stack:
            scope = stack.pop()
            self.network[scope] = number
            inner = []
            for applied in scope.items:
                if isinstance(applied.made, Scope):
                    self.applied[applied.made] = applied
                    inner.append(applied.made)
                    if scope in again or applied.made.weights_of is not None:
                        again.add(applied.made)
                    elif isinstance(applied.made.definition, BlockProgram):
                        self.blocks.setdefault(applied.made.definition, []).append(applied.made)
            stack.extend(reversed(inner))

    def _pair_shared(self, root: Scope) -> None:
        """Find the scope that has the modules for each one that calls them again."""
        scopes = [each.made for each in walk(root.items) if isinstance(each.made, Scope) and each.made.kind != "inline"]
        at = {scope.path: scope for scope in scopes}
        for scope in scopes:
            if scope.weights_of is None:
                continue
            self.users.setdefault(at[scope.weights_of], []).append(scope)
            prefix = f"{scope.path}."
            for inner in scopes:
                if inner is scope or inner.path.startswith(prefix) and inner.weights_of is None:
                    self.owners[inner] = at[scope.weights_of + inner.path[len(scope.path) :]]

    def _expose_shared(self) -> None:
        """Have a scope give what is read in any that calls its modules again."""
        changed = bool(self.owners)
        while changed:
            changed = False
            for scope, owner in self.owners.items():
                for path in self.exposed.get(scope, ()):
                    same = owner.path + path[len(scope.path) :]
                    found = self.exposed.setdefault(owner, [])
                    if same not in found:
                        found.append(same)
                        changed = True

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
        owner = self.owners.get(scope, scope)
        alike = [owner, *self.users.get(owner, ())]
        if scope not in alike:
            return tuple(dict.fromkeys(self._occurrences(scope)))
        # Two reads are one argument if they are the same value in every call.
        calls = list(zip(*map(self._occurrences, alike), strict=True))
        place = alike.index(scope)
        return tuple(call[place] for call in dict.fromkeys(calls))

    def _occurrences(self, scope: Scope) -> list[str]:
        """Return the values outside of a scope as often as its steps read them."""
        inside: set[str] = set()
        found: list[str] = []
        for each in walk(scope.items):
            if isinstance(each.made, Node):
                found += [path for path in each.reads if path not in inside]
                inside.update((each.made.path, *each.more))
            elif each.made is not None and each.made.kind == "block" and not is_empty(each):
                found += [path for path in each.reads if path not in inside]
        result = self.applied[scope].result
        return found if result in inside else [*found, result]

    def straight(self, scope: Scope) -> bool:
        """Return whether a scope is a chain: one value goes in, every step reads the one before, the last comes out."""
        if scope not in self._straight:
            self._straight[scope] = self._is_straight(scope)
        return self._straight[scope]

    def _is_straight(self, scope: Scope) -> bool:
        applied = self.applied[scope]
        if self.exposed.get(scope) or scope.register:
            return False
        previous = self.entry(scope)
        if previous is None:
            return False
        for each in flat(scope.items):
            if each.reads != (previous,) or isinstance(each.step, UseStep):
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

        A value that a network within gives has the name that it gives it.

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
            if len(scope.gives) > 1 and (scope is around or scope not in outer):
                names = [name for name, each in scope.gives.items() if each == path and name.isidentifier()]
                if names:
                    return names[0]
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
