"""Repeats as loops."""

from __future__ import annotations

import ast
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from archspec.backends.source.context import Candidate, ClassContext, LoopContext, given
from archspec.backends.source.expressions import literal, names_in, same, value_of
from archspec.backends.source.expressions import name as name_tree
from archspec.backends.source.frame import Frame
from archspec.backends.source.items import Item, LoopItem, OpItem, UseItem, Val, used_names
from archspec.backends.source.structure import common_shape, table_name
from archspec.expressions import Scope
from archspec.graph import Placed
from archspec.program import Step
from archspec.shapes import Shape

if TYPE_CHECKING:
    from archspec.backends.source.steps import StepPlanner


class LoopPlan:
    """One `for` loop in the making."""

    def __init__(self, planner: StepPlanner, step: Step, copies: dict[int, list[Placed]], frame: Frame) -> None:
        self.planner, self.step, self.copies, self.outer = planner, step, copies, frame
        self.flat = [(row, copy) for row in frame.active for copy in copies[row]]
        up = [row for row, _ in self.flat]
        self.context = LoopContext(frame.context, up, [copy.scope for _, copy in self.flat])
        self.rows = range(len(self.flat))
        self.items: list[Item] = []
        self.mark = frame.mark()
        self.carried = ""
        self.index = ""
        self.inside = {k: copy for k, (_, copy) in enumerate(self.flat)}

    def _root_row(self, row: int) -> int:
        context: LoopContext | ClassContext | None = self.context
        while isinstance(context, LoopContext):
            row = context.parent_rows[row]
            context = context.parent
        return row

    def size(self, row: int, path: str) -> Shape:
        owner = self.planner.owner[self._root_row(row)]
        return self.planner.tree.shape(owner, path)

    def plan_body(self) -> None:
        context, outer = self.context, self.outer
        positions = {row: [copy.copy[0] if copy.copy else -1 for copy in self.copies[row]] for row in outer.active}
        if all(found == list(range(len(found))) for found in positions.values()):
            self.index = self._class().free_name("index", "loop")
            context.bind("index", self.index, self.rows, [k for found in positions.values() for k in found])
        entry = Val({k: copy.reads[0] for k, copy in self.inside.items()})
        shapes = [self.size(k, copy.reads[0]) for k, copy in self.inside.items()]
        entry.shape = common_shape(shapes)
        sizes = [shape[0] for shape in shapes]
        if context.projected(self.rows, sizes) is not None:
            entry.channels = list(outer.previous.channels) or [literal(sizes[0])]
        else:
            assert context.parent is not None
            known = [
                tree.id
                for tree in outer.previous.channels
                if isinstance(tree, ast.Name) and self._class().kinds.get(tree.id) == "carried"
            ]
            self.carried = known[0] if known else self._class().free_name("channels", "carried")
            context.bind("", self.carried, self.rows, sizes)
            entry.channels = [name_tree(self.carried)]
        seen = [
            Val(
                {k: val.paths[row] for k, (row, _) in enumerate(self.flat) if row in val.paths},
                val.channels,
                val.label,
                val.shape,
            )
            for val in outer.vals
        ]
        self.frame = Frame(context, self.rows, [*seen, entry], entry, chain=True, named=outer.named)
        self.items = self.planner.single(self.step, self.inside, self.frame)

    def _class(self) -> ClassContext:
        context: Any = self.context
        while not isinstance(context, ClassContext):
            context = context.parent
        return context

    def runs(self) -> list[int] | None:
        """Lengths of the runs of equal copies, the same in every row, where there are at most two."""
        if len(self.items) != 1 or not isinstance(self.items[0], OpItem | UseItem) or self.outer.named:
            return None
        trees = list(self.items[0].trees())
        found: set[tuple[int, ...]] = set()
        start = 0
        for row in self.outer.active:
            count = len(self.copies[row])
            values = [[self._value(tree, k) for tree in trees] for k in range(start, start + count)]
            start += count
            lengths = [1]
            for before, value in pairwise(values):
                if same(before, value):
                    lengths[-1] += 1
                else:
                    lengths.append(1)
            found.add(tuple(lengths))
        lengths_found = found.pop()
        return list(lengths_found) if not found and len(lengths_found) <= 2 else None

    def _value(self, tree: ast.expr, row: int) -> Any:
        return value_of(tree, lambda name: self.context.lookup(name, row))

    def item(self) -> Item:
        context, outer = self.context, self.outer
        out = self.frame.previous
        used = used_names(self.items)
        found = LoopItem(items=self.items)
        after = [self.size(k, copy.result)[0] for k, copy in self.inside.items()]
        if self.carried in used:
            firsts = [self._size_of_first(row) for row in outer.active]
            start = outer.context.express(outer.active, firsts, given(outer.previous.channels), "in_channels")
            end = context.express(self.rows, after, given(out.channels), "out_channels")
            found.carried = (self.carried, start, end)
            used |= names_in(end)
        columns = [column for column in context.columns if column.printed in used]
        found.index = self.index if self.index in used else ""
        found.targets = [column.printed for column in columns]
        if columns:
            table = list(zip(*(column.fill() for column in columns), strict=True))
            rows: list[Any] = []
            start_at = 0
            for row in outer.active:
                count = len(self.copies[row])
                rows.append(
                    tuple(value[0] if len(columns) == 1 else value for value in table[start_at : start_at + count])
                )
                start_at += count
            found.table = table_name(self.step)
            found.source = outer.context.express(outer.active, rows, [], found.table)
        else:
            counts = [len(self.copies[row]) for row in outer.active]
            repeat = self.step.repeat
            scopes = {row: self._outer_scope(row) for row in outer.active}
            candidates: list[Candidate] = [
                lambda: self.planner.translated(repeat.count if repeat else None, outer.active, scopes, outer)
            ]
            found.source = outer.context.express(outer.active, counts, candidates, "count")
        ends = {row: self.copies[row][-1].result for row in outer.active}
        finals = [self._final(row, after) for row in outer.active]
        sizes = list(out.channels)
        if found.carried:
            outer.context.bind("", self.carried, outer.active, finals)
            sizes = [name_tree(self.carried)]
        if self.index:
            for around in context.enclosing():
                around.printed.pop(self.index, None)
        if all(size == finals[0] for size in finals):
            sizes = [literal(finals[0])]
        found.outs = [Val(ends, sizes, out.label, common_shape([self._last_shape(row) for row in outer.active]))]
        outer.add(found.outs[0])
        return found

    def _outer_scope(self, row: int) -> Scope:
        parent = self.copies[row][0].scope.parent
        return parent if parent is not None else self.copies[row][0].scope

    def _first_row(self, row: int) -> int:
        return next(k for k, (up, _) in enumerate(self.flat) if up == row)

    def _size_of_first(self, row: int) -> int:
        return self.size(self._first_row(row), self.copies[row][0].reads[0])[0]

    def _last_shape(self, row: int) -> Shape:
        return self.size(self._first_row(row), self.copies[row][-1].result)

    def _final(self, row: int, after: list[int]) -> int:
        return self._last_shape(row)[0]
