"""Repeats as loops."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from archspec.backends.source.context import ClassContext, LoopContext, Variable, known
from archspec.backends.source.expressions import literal, names_in, same, value_of
from archspec.backends.source.frame import Frame
from archspec.backends.source.items import Item, LoopItem, OpItem, UseItem, Val, used_names
from archspec.backends.source.structure import Entries, Rows, common_shape, table_name
from archspec.ops.symbolic import name as name_tree
from archspec.program.steps import Step
from archspec.shapes import Shape

if TYPE_CHECKING:
    from archspec.backends.source.steps import StepPlanner


class LoopPlan:
    """One `for` loop in the making: first `plan_body`, then `runs` or `item`.

    It stands in `outer`, where a row has several copies; each of them is a row of the loop's body. `placed` has the
    copies by their rows in the body, and `body_rows` these rows by those of `outer`.
    """

    def __init__(self, planner: StepPlanner, step: Step, copies: Entries, outer: Frame) -> None:
        self.planner, self.step, self.copies, self.outer = planner, step, copies, outer
        self.placed: Rows = {}
        self.body_rows: dict[int, range] = {}
        for row in outer.active:
            start = len(self.placed)
            self.placed.update(enumerate(copies[row], start))
            self.body_rows[row] = range(start, len(self.placed))
        self.rows = range(len(self.placed))
        self.outer_rows = [row for row, inside in self.body_rows.items() for _ in inside]
        self.context = LoopContext(outer.context, self.outer_rows, [copy.environment for copy in self.placed.values()])
        self.items: list[Item] = []
        self.mark = outer.mark()
        self.carried = ""
        self.index = ""

    # The body.

    def plan_body(self) -> None:
        """Plan one copy, with the rows of all."""
        self._bind_index()
        entry = self._entry()
        seen = [
            Val(
                {k: val.paths[row] for k, row in enumerate(self.outer_rows) if row in val.paths},
                val.channels,
                val.label,
                val.shape,
            )
            for val in self.outer.vals
        ]
        self.frame = Frame(self.context, self.rows, [*seen, entry], entry, chain=True, named=self.outer.named)
        self.items = self.planner.single(self.step, self.placed, self.frame)

    def _bind_index(self) -> None:
        """Give the copies' numbers a name, where no copy of a row is left out."""
        numbers = [[copy.copy[0] if copy.copy else -1 for copy in self.copies[row]] for row in self.outer.active]
        if all(found == list(range(len(found))) for found in numbers):
            self.index = self._class().free_name("index", "loop")
            self.context.bind("index", self.index, self.rows, [number for found in numbers for number in found])

    def _entry(self) -> Val:
        """What a copy reads: the value before the loop, or the result of the copy before."""
        shapes = [self._shape(k, copy.reads[0]) for k, copy in self.placed.items()]
        sizes = [shape[0] for shape in shapes]
        if self.context.projected(self.rows, sizes) is not None:
            channels = list(self.outer.previous.channels) or [literal(sizes[0])]
        else:
            self._carry(sizes)
            channels = [name_tree(self.carried)]
        return Val({k: copy.reads[0] for k, copy in self.placed.items()}, channels, shape=common_shape(shapes))

    def _carry(self, sizes: list[int]) -> None:
        """Have a variable for the channels that a copy reads, which is set anew after each; a loop before may have it
        already."""
        kinds = self._class().kinds
        before = (tree.id for tree in self.outer.previous.channels if isinstance(tree, ast.Name))
        known = [name for name in before if kinds.get(name) == "carried"]
        self.carried = known[0] if known else self._class().free_name("channels", "carried")
        self.context.bind("", self.carried, self.rows, sizes)

    def _class(self) -> ClassContext:
        context: Any = self.context
        while not isinstance(context, ClassContext):
            context = context.parent
        return context

    # Runs of equal copies.

    def runs(self) -> list[int] | None:
        """Lengths of the runs of equal copies, the same in every row, where there are at most two."""
        if len(self.items) != 1 or not isinstance(self.items[0], OpItem | UseItem) or self.outer.named:
            return None
        trees = list(self.items[0].trees())
        found = {
            _run_lengths([[self._value(tree, k) for tree in trees] for k in inside])
            for inside in self.body_rows.values()
        }
        lengths = found.pop()
        return list(lengths) if not found and len(lengths) <= 2 else None

    def _value(self, tree: ast.expr, row: int) -> Any:
        return value_of(tree, lambda name: self.context.lookup(name, row))

    # The loop.

    def item(self) -> Item:
        """The loop. It runs over a table of what differs between the copies, or over a range where nothing does."""
        found = LoopItem(items=self.items)
        used = used_names(self.items)
        if self.carried in used:
            found.carried = self._carried()
            used |= names_in(found.carried[2])
        columns = [column for column in self.context.columns if column.printed in used]
        found.index = self.index if self.index in used else ""
        found.targets = [column.printed for column in columns]
        if columns:
            found.table = table_name(self.step)
            found.source = self.outer.context.express(self.outer.active, self._tables(columns), [], found.table)
        else:
            found.source = self._count()
        out = self._result(found)
        found.outs = [out]
        self.outer.add(out)
        return found

    def _carried(self) -> tuple[str, ast.expr, ast.expr]:
        """The variable that is carried from copy to copy, its value before the loop, and after each copy."""
        outer = self.outer
        first = [self._shape(self.body_rows[row][0], self.copies[row][0].reads[0])[0] for row in outer.active]
        start = outer.context.express(outer.active, first, known(outer.previous.channels), "in_channels")
        after = [self._shape(k, copy.result)[0] for k, copy in self.placed.items()]
        end = self.context.express(self.rows, after, known(self.frame.previous.channels), "out_channels")
        return self.carried, start, end

    def _tables(self, columns: Sequence[Variable]) -> list[tuple[Any, ...]]:
        """The table of each row of `outer`: a tuple for each copy, or a value where there is one column."""
        entries = list(zip(*(column.fill() for column in columns), strict=True))
        if len(columns) == 1:
            entries = [value for (value,) in entries]
        return [tuple(entries[k] for k in self.body_rows[row]) for row in self.outer.active]

    def _count(self) -> ast.expr:
        """How many copies there are."""
        outer, repeat = self.outer, self.step.repeat
        counts = [len(self.copies[row]) for row in outer.active]
        environments = {
            row: self.copies[row][0].environment.parent or self.copies[row][0].environment for row in outer.active
        }
        return outer.context.express(
            outer.active, counts, [lambda: outer.translated(repeat.count if repeat else None, environments)], "count"
        )

    def _result(self, loop: LoopItem) -> Val:
        """The result of the last copy; what the code after the loop knows of the loop's variables."""
        outer, out = self.outer, self.frame.previous
        ends = {row: self.copies[row][-1].result for row in outer.active}
        shapes = [self._shape(self.body_rows[row][0], path) for row, path in ends.items()]
        sizes = [shape[0] for shape in shapes]
        channels = list(out.channels)
        if loop.carried:
            outer.context.bind("", self.carried, outer.active, sizes)
            channels = [name_tree(self.carried)]
        if self.index:
            for around in self.context.enclosing():
                around.printed.pop(self.index, None)
        if all(size == sizes[0] for size in sizes):
            channels = [literal(sizes[0])]
        return Val(ends, channels, out.label, common_shape(shapes))

    # Shapes.

    def _shape(self, row: int, path: str) -> Shape:
        """The shape of a value in a row of the body."""
        context: LoopContext | ClassContext | None = self.context
        while isinstance(context, LoopContext):
            row = context.parent_rows[row]
            context = context.parent
        return self.planner.tree.shape(self.planner.owner[row], path)


def _run_lengths(values: Sequence[Any]) -> tuple[int, ...]:
    lengths = [1]
    for before, value in pairwise(values):
        if same(before, value):
            lengths[-1] += 1
        else:
            lengths.append(1)
    return tuple(lengths)
