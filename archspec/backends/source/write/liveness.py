"""Which values of a `forward` are still needed where: positions of statements, who makes and reads each value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from archspec.backends.source.plan.ir import Branch, ClassPlan, InTraining, Let, Listing, Loop, Slot, Statement

END = 1 << 60
"""The position of the return."""


class Liveness:
    """Positions of statements in execution order; a branch or a loop stands behind what is within it.

    A value from outside of a loop that the loop reads is needed up to its end.
    """

    def __init__(self, plan: ClassPlan) -> None:
        self.position: dict[Statement, int] = {}
        self.maker: dict[Slot, Statement] = {}
        self.readers: dict[Slot, list[Statement]] = {}
        self._uses: dict[Slot, list[int]] = {}
        self._last: dict[Slot, int] = {}
        self._count = 0
        self._follow(plan.statements, [])
        for slot in plan.results:
            self._use(slot, END)

    def _follow(self, statements: Sequence[Statement], loops: list[set[Slot]]) -> None:
        for statement in statements:
            if isinstance(statement, Let):
                continue
            reads: list[Slot] = list(statement.reads)
            if isinstance(statement, Listing | InTraining):
                self._follow(statement.statements, loops)
            elif isinstance(statement, Branch):
                self._follow(statement.statements, loops)
                self._follow(statement.otherwise, loops)
                reads = [slot for slot in (statement.other_result, statement.result) if slot is not None]
            elif isinstance(statement, Loop):
                reads = self._loop(statement, loops)
            self.maker.update((slot, statement) for slot in statement.outs)
            self._count += 1
            self.position[statement] = self._count
            for slot in reads:
                self._use(slot, self._count)
                self.readers.setdefault(slot, []).append(statement)
                for outside in loops:
                    outside.add(slot)

    def _loop(self, loop: Loop, loops: list[set[Slot]]) -> list[Slot]:
        """Follow the body of a loop, and return what the loop reads: the starts of its values, what is around it."""
        inside: set[Slot] = set()
        self._follow(loop.statements, [*loops, inside])
        made = {slot for statement in _all(loop.statements) for slot in statement.outs}
        made |= {value.entry for value in loop.values}
        around = [slot for slot in inside if slot not in made]
        for value in loop.values:
            self._use(value.last, self._count + 1)
            self.readers.setdefault(value.last, []).append(loop)
            self.maker.setdefault(value.entry, loop)
        return [value.initial for value in loop.values if value.initial is not None] + around

    def _use(self, slot: Slot, position: int) -> None:
        self._uses.setdefault(slot, []).append(position)
        self._last[slot] = max(position, self._last.get(slot, -1))

    def is_read(self, slot: Slot) -> bool:
        """Return whether anything reads a value."""
        return slot in self._uses

    def count(self, slot: Slot) -> int:
        """Return how often a value is read, by statements and by the return."""
        return len(self._uses.get(slot, ()))

    def last_use(self, slot: Slot) -> int:
        """Return the position of the last statement that reads a value; -1 if none does."""
        return self._last.get(slot, -1)

    @contextmanager
    def without(self, left_out: Sequence[Statement], there: Sequence[Statement]) -> Iterator[None]:
        """Forget for a time that statements read values last, which `there`, the other way of a branch, reads too."""
        before = dict(self._last)
        others = {slot: self.position[each] for each in _all(left_out) if each in self.position for slot in each.reads}
        for each in _all(there):
            for slot in each.reads if each in self.position else ():
                if others.get(slot) == self._last.get(slot):
                    self._last[slot] = self.position[each]
        yield
        self._last = before

    def sole_reader(self, slot: Slot) -> Statement | None:
        """Return the statement that reads a value, if nothing else does."""
        readers = self.readers.get(slot, [])
        return readers[0] if len(readers) == 1 and self.count(slot) == 1 else None


def _all(statements: Sequence[Statement]) -> list[Statement]:
    found: list[Statement] = []
    for statement in statements:
        found.append(statement)
        if isinstance(statement, Branch | Loop | Listing | InTraining):
            found += _all(statement.inside())
    return found
