"""Where the values of a `forward` come from, and which steps read them when."""

from __future__ import annotations

from collections.abc import Sequence

from archspec.backends.source.items import ClassPlan, IfItem, Item, LetItem, Val

_END = 1 << 60
"""The position of the return."""


class DataFlow:
    """The positions of steps, and who makes and reads each value. All by `id`; a condition stands after its steps."""

    def __init__(self, plan: ClassPlan) -> None:
        self.position: dict[int, int] = {}
        self.makers: dict[int, Item] = {}
        self.readers: dict[int, list[Item]] = {}
        self.uses: dict[int, list[int]] = {}
        self._follow(plan.items)
        for val in plan.results:
            self._use(val, _END)

    def _follow(self, items: Sequence[Item]) -> None:
        for item in items:
            if isinstance(item, LetItem):
                continue
            reads: Sequence[Val] = item.reads
            if isinstance(item, IfItem):
                assert item.passed is not None
                assert item.inner is not None
                self._follow(item.items)
                reads = (item.passed, item.inner)
            self.makers.update((id(val), item) for val in item.outs)
            position = self.position[id(item)] = len(self.position)
            for val in reads:
                self._use(val, position)
                self.readers.setdefault(id(val), []).append(item)

    def _use(self, val: Val, position: int) -> None:
        self.uses.setdefault(id(val), []).append(position)

    def is_read(self, val: Val) -> bool:
        """Whether anything reads a value."""
        return id(val) in self.uses

    def is_read_once(self, val: Val) -> bool:
        """Whether exactly one step reads a value, or the return does, and that once."""
        return len(self.uses.get(id(val), ())) == 1

    def last_use(self, val: Val) -> int:
        """The position of the last step that reads a value; -1 where none does."""
        return max(self.uses.get(id(val), [-1]))

    def sole_reader(self, val: Val) -> Item | None:
        """The step that reads a value, where nothing else does."""
        readers = self.readers.get(id(val), [])
        return readers[0] if len(readers) == 1 and self.is_read_once(val) else None

    def position_of_maker(self, val: Val) -> int:
        """The position of the step that makes a value."""
        return self.position[id(self.makers[id(val)])]
