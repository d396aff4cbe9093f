"""Modules that are called several times: which scopes share one, and what it reads and returns in every call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from archspec.graph import Node, Tree


class SharedScopes:
    """Which scopes call the module of another one.

    `owners` has the path of the scope that has the module, by the path of one that a `use` made; `uses` these by their
    owner; `alike` the scopes that stand for a scope in them, that of an owner or one inside it.
    """

    def __init__(self, tree: Tree[Node], nodes: Iterable[Node]) -> None:
        self.owners: dict[str, str] = {}
        for node in nodes:
            if node.weights_of is not None:
                for scope in node.scope.chain():
                    if scope.weights_of is not None:
                        self.owners[scope.path] = scope.weights_of
        self.uses: dict[str, list[Tree[Node]]] = {}
        self.alike: dict[str, list[Tree[Node]]] = {}
        if self.owners:
            self._enter(tree)

    def _enter(self, tree: Tree[Node]) -> None:
        for child in tree.children.values():
            if isinstance(child, Tree):
                owner = self.owners.get(child.path)
                if owner is not None:
                    self.uses.setdefault(owner, []).append(child)
                    self._pair(child, child.path, owner)
                self._enter(child)

    def _pair(self, tree: Tree[Node], path: str, owner: str) -> None:
        self.alike.setdefault(owner + tree.path[len(path) :], []).append(tree)
        for child in tree.children.values():
            if isinstance(child, Tree):
                self._pair(child, path, owner)


class Called(NamedTuple):
    """How a module that is called several times reads and returns.

    `places` are those, among all reads from outside in the order in which they stand, of the first of each input: two
    reads are one input if they are the same value in every call. `results` are paths within the scope.
    """

    places: tuple[int, ...]
    inputs: tuple[int, ...]
    results: tuple[str, ...]

    @classmethod
    def of(cls, scopes: Sequence[Tree[Node]], results: tuple[str, ...]) -> Called:
        """Return how the scopes share a module."""
        columns: dict[tuple[str, ...], int] = {}
        places: list[int] = []
        inputs: list[int] = []
        for place, column in enumerate(zip(*map(_outer_occurrences, scopes), strict=True)):
            if column not in columns:
                places.append(place)
            inputs.append(columns.setdefault(column, len(columns)))
        return cls(tuple(places), tuple(inputs), results)

    @property
    def names(self) -> list[str]:
        """What the inputs are called within the scope."""
        return [f"#{number}" for number in range(len(self.places))]

    def reads_of(self, scope: Tree[Node]) -> tuple[str, ...]:
        """Return the paths of what one of the scopes reads, input by input."""
        found = _outer_occurrences(scope)
        return tuple(found[place] for place in self.places)

    def body(self, scope: Tree[Node]) -> Tree[Node]:
        """Return the scope with its inputs in place of what it reads from outside."""
        inside = {node.path for node in scope.items()}
        inputs = iter(self.inputs)
        nodes = []
        for node in scope.items():
            reads = tuple(path if path in inside else f"#{next(inputs)}" for path in node.inputs)
            made = Node(node.path, node.op, reads, node.span, node.scope, node.origins, node.draws, node.weights_of)
            nodes.append(made)
        here = Tree.of(nodes)
        for part in scope.path.split("."):
            inner = here.children[part]
            assert isinstance(inner, Tree)
            here = inner
        return here


def _outer_occurrences(scope: Tree[Node]) -> list[str]:
    """Return what the nodes of a scope read from outside, as often as they read it."""
    inside = {node.path for node in scope.items()}
    return [path for node in scope.items() for path in node.inputs if path not in inside]


def inner_path(path: str, around: str) -> str:
    """Return a path as it is within the scope at `around`."""
    return path.removeprefix(f"{around}.") if around else path
