"""Where planning stands: the uses in question, the values in sight, and the one before."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence

from archspec.backends.source.plan.bindings import CannotPlan, ClassBindings, LoopBindings
from archspec.backends.source.plan.ir import Slot
from archspec.backends.source.plan.translate import syntax_of, translated
from archspec.backends.source.uses.trace import Trace
from archspec.expressions import Environment
from archspec.graph import Applied, Scope
from archspec.program.steps import Step, Value
from archspec.shapes import Shape


class Sight:
    """The values that code can read at a point, found by what they are in some use.

    The body of a loop sees the values around it too; `parent_uses` says in which use of `parent` each of its own runs.
    """

    def __init__(self, parent: Sight | None = None, parent_uses: Sequence[int] = ()) -> None:
        self.parent, self.parent_uses = parent, parent_uses
        self._slots: dict[tuple[int, str], list[Slot]] = {}

    def add(self, slot: Slot) -> None:
        """Bring a value in sight."""
        for place in slot.paths.items():
            self._slots.setdefault(place, []).append(slot)

    def find(self, active: Sequence[int], paths: Sequence[str]) -> Slot | None:
        """Return the newest value that has these paths in these uses; None if there is none."""
        for slot in reversed(self._slots.get((active[0], paths[0]), ())):
            if not slot.lost and all(slot.paths.get(use) == path for use, path in zip(active, paths, strict=True)):
                return slot
        if self.parent is None:
            return None
        outer: dict[int, str] = {}
        for use, path in zip(active, paths, strict=True):
            if outer.setdefault(self.parent_uses[use], path) != path:
                return None
        return self.parent.find(list(outer), list(outer.values()))


class Cursor:
    """Where planning stands.

    `owners` are the scopes that the uses are, for the shapes of their values. In a `chain` every step is a module that
    reads the one before; `keyed` if the modules have names, not positions. The copies of steps in `unrolled` are
    written out.
    """

    def __init__(
        self,
        trace: Trace,
        bindings: ClassBindings | LoopBindings,
        active: Sequence[int],
        sight: Sight,
        previous: Slot,
        owners: Mapping[int, Scope],
        *,
        chain: bool = False,
        keyed: bool = False,
        unrolled: frozenset[Step] = frozenset(),
    ) -> None:
        self.trace, self.bindings, self.active, self.sight = trace, bindings, list(active), sight
        self.previous, self.owners, self.unrolled = previous, owners, unrolled
        self.chain, self.keyed = chain, keyed

    def narrowed(self, active: Sequence[int]) -> Cursor:
        """Return the cursor for some of the uses only."""
        return Cursor(
            self.trace,
            self.bindings,
            active,
            self.sight,
            self.previous,
            self.owners,
            chain=self.chain,
            keyed=self.keyed,
            unrolled=self.unrolled,
        )

    def within(self, entry: Slot, *, keyed: bool) -> Cursor:
        """Return a cursor for the inside of a chain that reads `entry`."""
        sight = Sight(self.sight, range(self.bindings.uses))
        sight.add(entry)
        return Cursor(
            self.trace,
            self.bindings,
            self.active,
            sight,
            entry,
            self.owners,
            chain=True,
            keyed=keyed,
            unrolled=self.unrolled,
        )

    def add(self, slot: Slot) -> None:
        """Bring the result of a step in sight, for the next to read."""
        self.sight.add(slot)
        self.previous = slot

    def find(self, active: Sequence[int], paths: Sequence[str]) -> Slot:
        """Return the value that has these paths in these uses. Raises: CannotPlan if none in sight has them all."""
        if all(self.previous.paths.get(use) == path for use, path in zip(active, paths, strict=True)):
            if not self.previous.lost:
                return self.previous
        found = self.sight.find(active, paths)
        if found is None:
            raise CannotPlan(f"no value in sight is {paths[0]}, and so on in every use")
        return found

    def find_or_lost(self, active: Sequence[int], paths: Sequence[str]) -> Slot:
        """Return the value that has these paths, or one that is out of reach: perhaps nothing reads it."""
        try:
            return self.find(active, paths)
        except CannotPlan:
            return Slot(dict(zip(active, paths, strict=True)), lost=True)

    def reads(self, applied: Mapping[int, Applied]) -> list[Slot]:
        """Return the values that a step reads, which it applied so in each use."""
        counts = {len(applied[use].reads) for use in self.active}
        if len(counts) != 1:
            raise CannotPlan("the uses read different numbers of values")
        return [self.find(self.active, [applied[use].reads[k] for use in self.active]) for k in range(counts.pop())]

    def shape(self, use: int, path: str) -> Shape:
        """Return the shape of a value in a use."""
        return self.trace.shape(self.owners[use], path)

    def shapes(self, paths: Mapping[int, str]) -> list[Shape]:
        """Return the shapes of a value in the uses that have it."""
        return [self.shape(use, path) for use, path in paths.items()]

    def sizes(self, paths: list[str]) -> tuple[ast.expr | None, ...]:
        """Return the expressions for the axes of the value with these paths; empty if it is not in sight."""
        try:
            return self.find(self.active, paths).sizes
        except CannotPlan:
            return ()

    def translated(self, value: Value | None, environments: Mapping[int, Environment]) -> ast.expr | None:
        """Return a value of the spec as code, `environments` being what it sees; None if it has no syntax.

        Raises: Unprintable if the code cannot say it.
        """
        tree = syntax_of(value) if value is not None else None
        return None if tree is None else self.translated_tree(tree, environments)

    def translated_tree(self, tree: ast.expr, environments: Mapping[int, Environment]) -> ast.expr:
        """Return an expression of the spec as code. Raises: Unprintable if the code cannot say it."""
        return translated(tree, self.bindings, self.active, environments, self.sizes)


def common_shape(shapes: Iterable[Shape]) -> Shape | None:
    """Return the shape that all are; None if they differ."""
    found = set(shapes)
    return found.pop() if len(found) == 1 else None
