"""The variables of a `forward`: which one holds which value, and what to call the next."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from archspec.backends.source.dataflow import DataFlow
from archspec.backends.source.items import IfItem, Item, OpItem, Val
from archspec.backends.source.naming import numbered, value_name


class Variables:
    """What holds each value at the point that has been written; a variable may hold several, one after the other."""

    def __init__(self, flow: DataFlow) -> None:
        self.flow = flow
        self.names: dict[int, str] = {}  # by the id of the value

    def __getitem__(self, val: Val) -> str:
        return self.names[id(val)]

    def __setitem__(self, val: Val, name: str) -> None:
        self.names[id(val)] = name

    def get(self, val: Val, default: str) -> str:
        """The variable of a value, or `default` where it has none yet."""
        return self.names.get(id(val), default)

    def is_needed_after(self, val: Val, position: int) -> bool:
        """Whether a later step reads what the variable of a value holds: the value itself, or another."""
        return self.flow.last_use(val) > position or self._others_hold(self[val], val, position)

    def _others_hold(self, name: str, val: Val, position: int) -> bool:
        return any(held == name and key != id(val) and self._is_live(key, position) for key, held in self.names.items())

    def _is_live(self, key: int, position: int) -> bool:
        return max(self.flow.uses.get(key, [-1])) > position

    def reused(self, operands: Sequence[Val], position: int) -> str | None:
        """The variable of the first operand, if nothing reads it any more."""
        if operands and not self.is_needed_after(operands[0], position):
            return self[operands[0]]
        return None

    def new(self, val: Val, item: Item, position: int, taken: Collection[str] = ()) -> str:
        """A variable for a value that `item` begins with: no name in `taken`, and none whose value is still read."""
        live = {held for key, held in self.names.items() if self._is_live(key, position)}
        return numbered(self._idea(val, item), lambda name: name in live or name in taken)

    def _idea(self, val: Val, item: Item) -> str:
        """What a person would call the value: by its step, or by what becomes of it."""
        label = value_name(item.attribute() or val.label)
        explicit = label.isidentifier() and (not isinstance(item, OpItem) or item.explicit)
        end, reader = val, self.flow.sole_reader(val)
        while reader is not None and not _merges(reader) and reader.reads[:1] == [end] and len(reader.outs) == 1:
            end, reader = reader.out, self.flow.sole_reader(reader.out)
        if any(isinstance(other, IfItem) and other.passed is end for other in self.flow.readers.get(id(end), ())):
            return "out"
        if isinstance(reader, OpItem) and reader.calls[0].is_operator:
            if isinstance(item, IfItem):
                return "shortcut"
            return "out" if reader.reads[0] is end or not explicit else label
        return label if explicit else "out"


def _merges(item: Item) -> bool:
    return isinstance(item, IfItem) or len(item.reads) > 1
