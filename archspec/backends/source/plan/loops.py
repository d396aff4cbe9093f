"""Copies of a repeated step: written once if they are equal, one by one if they are few, else as a `for` loop."""

from __future__ import annotations

import ast
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from archspec.backends.source import trees
from archspec.backends.source.identifiers import plural
from archspec.backends.source.plan.axes import axis_names
from archspec.backends.source.plan.bindings import (
    MISSING,
    Binding,
    CannotPlan,
    LoopBindings,
    loop_kind,
    plain,
)
from archspec.backends.source.plan.cursor import Cursor, Sight, common_shape
from archspec.backends.source.plan.ir import (
    Carried,
    Copies,
    Counter,
    Loop,
    Slot,
    Statement,
    names_used,
)
from archspec.backends.source.trees import Unprintable, all_same, literal, names_in, same
from archspec.backends.source.uses.alike import content
from archspec.backends.source.uses.trace import name_of
from archspec.backends.source.uses.trace import walk as walk_applied
from archspec.graph import Applied, Node, Scope
from archspec.names import list_of
from archspec.program.steps import Step

if TYPE_CHECKING:
    from archspec.backends.source.plan.steps import StepPlanner

MAX_UNROLLED = 24
"""How many statements are written out where copies have names of their own; more become a loop over the names."""

Entries = Mapping[int, Sequence[Applied]]


class Unroll(Exception):
    """The copies of a step cannot be a loop; the class is planned again with them written out."""

    def __init__(self, step: Step) -> None:
        super().__init__(step)
        self.step = step


def plan_copies(planner: StepPlanner, step: Step, entries: Entries, cursor: Cursor) -> list[Statement]:
    """Return the statements of a step's copies."""
    counts = {len(copies) for copies in entries.values()}
    if step.is_free:
        return _one_by_one(planner, step, entries, cursor)
    if counts == {1}:
        return planner.single(step, {use: copies[0] for use, copies in entries.items()}, cursor)
    if step in cursor.unrolled:
        return _one_by_one(planner, step, entries, cursor)
    if cursor.chain and cursor.keyed and len(counts) == 1 and counts <= {2, 3, 4} and not _hold_copies(entries):
        return _one_by_one(planner, step, entries, cursor)
    if cursor.chain and not cursor.keyed:
        runs = _runs(entries)
        if runs is not None:
            return _equal_copies(planner, step, entries, runs, cursor)
    elif not cursor.chain and len(counts) == 1 and _size(entries) <= MAX_UNROLLED:
        return _one_by_one(planner, step, entries, cursor)
    if not cursor.chain and (_leak(planner, entries) or _draws_in_turns(entries)):
        return _one_by_one(planner, step, entries, cursor)
    try:
        return _Rolled(planner, step, entries, cursor).statements()
    except CannotPlan:
        raise Unroll(step) from None


def _one_by_one(planner: StepPlanner, step: Step, entries: Entries, cursor: Cursor) -> list[Statement]:
    """Return the copies written out, as many in every use."""
    if len({len(copies) for copies in entries.values()}) != 1:
        raise CannotPlan
    statements: list[Statement] = []
    for position in range(len(entries[cursor.active[0]])):
        statements += planner.single(step, {use: copies[position] for use, copies in entries.items()}, cursor)
    return statements


def _hold_copies(entries: Entries) -> bool:
    """Return whether there are copies of another step within each of the copies: as stages of a network have blocks."""
    return all(
        any(isinstance(each.step, Step) and each.step.repeat is not None for each in walk_applied(copy.made.items))
        for copies in entries.values()
        for copy in copies
        if isinstance(copy.made, Scope)
    )


def _size(entries: Entries) -> int:
    """Return how many statements the copies take when they are written out, those inside of modules not counted."""
    found = 0
    for copies in list(entries.values())[:1]:
        for copy in copies:
            found += _statements(copy)
    return found


def _statements(applied: Applied) -> int:
    made = applied.made
    if made is None:
        return 0
    if isinstance(made, Node) or made.kind != "inline":
        return 1
    return sum(map(_statements, made.items))


# Equal copies.


def _runs(entries: Entries) -> list[list[int]] | None:
    """Return the lengths of at most two runs of equal copies, in every use; None if there are more."""
    found: list[list[int]] = []
    for copies in entries.values():
        lengths = _run_lengths(copies)
        if lengths is None or found and len(lengths) != len(found[0]):
            return None
        found.append(lengths)
    if len(found[0]) == 2 and any(lengths[0] != 1 for lengths in found) and not all_same(found):
        return None
    return found


def _run_lengths(copies: Sequence[Applied]) -> list[int] | None:
    """Return the lengths of runs of equal copies; None if there are more than two."""
    lengths: list[int] = []
    before: Hashable = None
    for copy in copies:
        value = content(copy)
        if lengths and value == before:
            lengths[-1] += 1
        elif len(lengths) == 2:
            return None
        else:
            lengths.append(1)
        before = value
    return lengths


def _equal_copies(
    planner: StepPlanner, step: Step, entries: Entries, runs: list[list[int]], cursor: Cursor
) -> list[Statement]:
    """Return copies in a chain as runs of equal ones."""
    statements: list[Statement] = []
    starts = [0] * len(runs)
    for run in range(len(runs[0])):
        lengths = [lengths[run] for lengths in runs]
        first = {use: entries[use][start] for use, start in zip(cursor.active, starts, strict=True)}
        if run:
            before = cursor.previous
            paths = {use: first[use].reads[0] for use in cursor.active}
            cursor.add(replace(before, paths=paths))
        made = planner.single(step, first, cursor)
        if all_same(lengths) and lengths[0] == 1:
            statements += made
        else:
            count = _count(step, entries, lengths, cursor)
            for statement in made[:-1]:
                statements.append(statement)
            statements.append(Copies("", made[-1].reads, made[-1].outs, True, statement=made[-1], count=count))
        starts = [start + length for start, length in zip(starts, lengths, strict=True)]
    ends = {use: copies[-1].result for use, copies in entries.items()}
    cursor.add(replace(cursor.previous, paths=ends))
    return statements


def _count(step: Step, entries: Entries, counts: Sequence[int], cursor: Cursor) -> ast.expr:
    """Return how many copies there are."""
    environments = {use: _around(copies[0]) for use, copies in entries.items()}
    repeat = step.repeat

    def written() -> ast.expr | None:
        return cursor.translated(repeat.count, environments) if repeat else None

    def one_less() -> ast.expr | None:
        tree = written()
        return None if tree is None else ast.BinOp(tree, ast.Sub(), ast.Constant(1))

    return cursor.bindings.express(cursor.active, list(counts), [written, one_less], "count")


def _around(copy: Applied) -> Any:
    """Return what the expressions around a copy see."""
    return copy.environment.parent or copy.environment


# Loops.


def _draws_in_turns(entries: Entries) -> bool:
    """Return whether copies add to a list, and draw weights for more than that list: a list is drawn as a whole."""
    for copies in entries.values():
        for copy in copies[:1]:
            made = [each for each in walk_applied([copy]) if each.made is not None]
            lists = {list_of(name) for each in made if (name := name_of(each)) and list_of(name)}
            drawing = {
                list_of(name_of(each)) or each.made.path
                for each in made
                if isinstance(each.made, Node) and each.made.op.weighted
            }
            if lists and len(drawing) > 1:
                return True
    return False


def _leak(planner: StepPlanner, entries: Entries) -> bool:
    """Return whether something after the copies reads a value of a copy other than the last."""
    readers = planner.trace.readers
    for copies in entries.values():
        inside = {each.made.path for copy in copies for each in walk_applied([copy]) if isinstance(each.made, Node)}
        last = {each.made.path for each in walk_applied(copies[-1:]) if isinstance(each.made, Node)}
        for path in inside - last:
            if any(reader not in inside for reader in readers.get(path, ())):
                return True
    return False


class _CarryingSight(Sight):
    """The values in sight of a loop's body; one that the copy before has made is carried from round to round."""

    def __init__(self, loop: _Rolled) -> None:
        super().__init__(loop.outer.sight, loop.parent_uses)
        self.loop = loop

    def find(self, active: Sequence[int], paths: Sequence[str]) -> Slot | None:
        """Return the newest value that has these paths in these uses, carried if need be."""
        return super().find(active, paths) or self.loop.carry(active, paths)


class _Rolled:
    """One loop in the making. Each copy in each use of the code around it is a use of the loop's body."""

    def __init__(self, planner: StepPlanner, step: Step, entries: Entries, outer: Cursor) -> None:
        self.planner, self.step, self.outer = planner, step, outer
        self.copies: list[Applied] = []
        self.parent_uses: list[int] = []
        self.first: list[int] = []
        for use in outer.active:
            self.first.append(len(self.copies))
            self.copies += entries[use]
            self.parent_uses += [use] * len(entries[use])
        self.entries = entries
        self.last = [start + len(entries[use]) - 1 for start, use in zip(self.first, outer.active, strict=True)]
        self.uses = range(len(self.copies))
        self.bindings = LoopBindings(outer.bindings, self.parent_uses, [copy.environment for copy in self.copies])
        self.values: list[Carried] = []
        self.counter = ""
        self.index = ""
        self.start = 0
        self.targets: list[Binding] = []

    def statements(self) -> list[Statement]:
        """Return the loop, after planning one copy with the uses of all."""
        self._bind_index()
        self._bind_entries()
        entry = self._entry()
        sight = _CarryingSight(self)
        sight.add(entry.entry)
        owners = {use: self.outer.owners[parent] for use, parent in enumerate(self.parent_uses)}
        cursor = Cursor(
            self.outer.trace,
            self.bindings,
            self.uses,
            sight,
            entry.entry,
            owners,
            chain=self.outer.chain,
            keyed=self.outer.keyed,
            unrolled=self.outer.unrolled,
        )
        body = self.planner.single(self.step, dict(enumerate(self.copies)), cursor)
        entry.last = cursor.find(self.uses, [copy.result for copy in self.copies])
        self._close(sight)
        loop = Loop(statements=body, values=self.values, first=self.start)
        self._set_source(loop, body)
        self._set_outs(loop, entry)
        return [loop]

    # Names of the loop.

    def _bind_index(self) -> None:
        """Give the numbers of the copies a name, if they follow each other in every use."""
        numbers = [[copy.copy[0] if copy.copy else -1 for copy in self.entries[use]] for use in self.outer.active]
        starts = {found[0] for found in numbers}
        if len(starts) == 1 and all(found == list(range(found[0], found[0] + len(found))) for found in numbers):
            self.start = starts.pop()
            self.index = self.bindings.free_name("index", loop_kind([0]))
            self.bindings.bind("index", self.index, self.uses, [number for found in numbers for number in found])

    def _bind_entries(self) -> None:
        """Give the entry of a list that each copy stands for its name."""
        binds = self.step.repeat.binds if self.step.repeat else None
        if binds is None:
            return
        values = [copy.environment.values.get(binds) for copy in self.copies]
        if all(same(value, number) for value, number in zip(values, self._numbers(), strict=True)):
            self.bindings.by_spec[binds] = self.bindings.by_name[self.index]
            return
        printed = self.bindings.free_name(binds, loop_kind(values))
        self.targets.append(self.bindings.bind(binds, printed, self.uses, values))

    def _numbers(self) -> list[Any]:
        return self.bindings.by_name[self.index].values if self.index else [MISSING] * len(self.copies)

    # Values that go from round to round.

    def _entry(self) -> Carried:
        """Return the value that a copy reads first: the one before the loop, then the result of the copy before."""
        slot = Slot({use: copy.reads[0] for use, copy in enumerate(self.copies)}, label=self.outer.previous.label)
        shapes = [self._shape(use, path) for use, path in slot.paths.items()]
        slot.shape = common_shape(shapes)
        initial = self.outer.find(self.outer.active, [self.copies[first].reads[0] for first in self.first])
        slot.sizes = self._entry_sizes(shapes, initial)
        found = Carried(slot, slot, initial, slot)
        self.values.append(found)
        return found

    def _entry_sizes(self, shapes: list[tuple[int, ...]], initial: Slot) -> tuple[ast.expr | None, ...]:
        if len({len(shape) for shape in shapes}) != 1:
            return ()
        found: list[ast.expr | None] = []
        for axis in range(len(shapes[0])):
            values = [shape[axis] for shape in shapes]
            outer = initial.sizes[axis] if axis < len(initial.sizes) else None
            if outer is not None and self.bindings.holds(outer, self.uses, values):
                found.append(outer)
            elif all_same(values):
                found.append(literal(values[0]))
            elif axis == 0:
                name = "height" if axis_names("in", shapes)[0] == "height" else "channels"
                found.append(self._around_loop(values) or self._count_channels(name, values, initial))
            else:
                found.append(None)
        return tuple(found)

    def _around_loop(self, values: list[int]) -> ast.expr | None:
        """Return how sizes that the copies do not differ in follow from names around the loop."""
        outer = self.bindings.projected(self.uses, values)
        return None if outer is None else self.outer.bindings.derived(*outer)

    def _count_channels(self, name: str, values: list[int], initial: Slot) -> ast.expr:
        """Have a variable for the first axis of what a copy reads; a loop before may have it already."""
        kinds = self.bindings.of_class.kinds
        before = initial.sizes[0] if initial.sizes else None
        if isinstance(before, ast.Name) and kinds.get(before.id) == "carried":
            self.counter = before.id
        else:
            self.counter = self.bindings.free_name(name, "carried")
        self.bindings.bind("", self.counter, self.uses, values)
        return trees.name(self.counter)

    def carry(self, active: Sequence[int], paths: Sequence[str]) -> Slot | None:
        """Return a value that the copy before has made; for a first copy, one from before the loop."""
        before: dict[int, str] = {}
        for use, path in zip(active, paths, strict=True):
            if use in self.first:
                before[self.parent_uses[use]] = path
        initial = None
        if before:
            if set(before) != set(self.outer.active):
                return None
            initial = self.outer.sight.find(list(before), list(before.values()))
            if initial is None:
                return None
        slot = Slot(dict(zip(active, paths, strict=True)))
        shapes = [self._shape(use, path) for use, path in slot.paths.items()]
        slot.shape = common_shape(shapes)
        slot.sizes = tuple(literal(size) for size in slot.shape) if slot.shape else ()
        self.values.append(Carried(slot, slot, initial, slot))
        return slot

    def _close(self, sight: Sight) -> None:
        """Find out what every carried value is at the end of a round.

        Raises: CannotPlan if it is nothing of the body.
        """
        for value in self.values[1:]:
            wanted = {use - 1: path for use, path in value.entry.paths.items() if use not in self.first}
            last = Sight.find(sight, list(wanted), list(wanted.values()))
            if last is None or last is value.entry:
                raise CannotPlan
            value.last = last
            value.entry.label, value.entry.named = last.label, last.named

    # The source.

    def _set_source(self, loop: Loop, body: list[Statement]) -> None:
        """Say what the loop runs over: the spec's own list, a table of what differs, or numbers."""
        used = names_used(body)
        if self.counter and self.counter in used:
            loop.counter = self._counter()
            used |= names_in(loop.counter.after)
        loop.index = self.index if self.index in used else ""
        entries = [target for target in self.targets if target.name in used]
        columns = [column for column in self.bindings.columns if column.name in used]
        loop.targets = [binding.name for binding in (*entries, *columns)]
        sources = [self._entries_source(target) for target in entries]
        sources += [self._table(column) for column in columns] if entries else self._tables(columns)
        if not sources:
            loop.is_range = True
            loop.source = self._length()
            if loop.first and not loop.index:
                loop.first = 0
        elif len(sources) == 1:
            loop.source = sources[0]
        else:
            strict = ast.keyword("strict", ast.Constant(True))
            loop.source = ast.Call(trees.name("zip"), sources, [strict])

    def _entries_source(self, target: Binding) -> ast.expr:
        """Return the list that the spec repeats over."""
        values = [list(target.values[start : end + 1]) for start, end in zip(self.first, self.last, strict=True)]
        environments = {use: _around(self.entries[use][0]) for use in self.outer.active}
        repeat = self.step.repeat
        try:
            tree = self.outer.translated(repeat.count, environments) if repeat else None
            if tree is not None and self.outer.bindings.holds(tree, self.outer.active, list(map(plain, values))):
                return tree
        except Unprintable:
            pass
        return self._literal_table(values, target.name)

    def _table(self, column: Binding) -> ast.expr:
        filled = column.filled()
        values = [
            [filled[use] for use in range(start, end + 1)] for start, end in zip(self.first, self.last, strict=True)
        ]
        return self._literal_table(values, plural(column.name))

    def _tables(self, columns: Sequence[Binding]) -> list[ast.expr]:
        """Return one table of several columns: a tuple for each copy."""
        if len(columns) < 2:
            return [self._table(column) for column in columns]
        rows = list(zip(*(column.filled() for column in columns), strict=True))
        values = [rows[start : end + 1] for start, end in zip(self.first, self.last, strict=True)]
        return [self._literal_table(values, "settings")]

    def _literal_table(self, values: list[list[Any]], name: str) -> ast.expr:
        """Return a list as it is, or what the uses have in its place."""
        if all_same(values) and len(self.outer.active) == self.outer.bindings.uses:
            return ast.List([literal(plain_entry(entry)) for entry in values[0]], ast.Load())
        return self.outer.bindings.express(self.outer.active, [tuple(value) for value in values], [], name)

    def _counter(self) -> Counter:
        """Return the channels that go from copy to copy."""
        outer = self.outer
        entry = self.values[0]
        starts = [self._shape(first, self.copies[first].reads[0])[0] for first in self.first]
        initial = entry.initial.sizes[0] if entry.initial and entry.initial.sizes else None
        candidates = [lambda: initial] if initial is not None else []
        start = outer.bindings.express(outer.active, starts, candidates, "in_channels")
        after = [self._shape(use, copy.result)[0] for use, copy in enumerate(self.copies)]
        last = entry.last.sizes[0] if entry.last.sizes else None
        ends = [lambda: last] if last is not None else []
        return Counter(self.counter, start, self.bindings.express(self.uses, after, ends, "out_channels"))

    def _length(self) -> ast.expr:
        """Return the number behind the last of a range."""
        lengths = [len(self.entries[use]) + (self.start if self.index else 0) for use in self.outer.active]
        return _count(self.step, self.entries, lengths, self.outer)

    # What comes out.

    def _set_outs(self, loop: Loop, entry: Carried) -> None:
        """Bring what the last copy has made in sight of the code after the loop."""
        for value in self.values:
            value.out = self._out(value.last)
            loop.outs.append(value.out)
            self.outer.sight.add(value.out)
        if loop.counter:
            sizes = [self._shape(use, self.copies[use].result)[0] for use in self.last]
            self.outer.bindings.bind("", self.counter, self.outer.active, sizes)
        if self.index:
            here: Any = self.bindings.parent
            while here is not None:
                here.by_name.pop(self.index, None)
                here = here.parent
        loop.reads = [value.initial for value in self.values if value.initial is not None]
        self.outer.previous = entry.out

    def _out(self, inner: Slot) -> Slot:
        """Return a value of the last copy, as the code after the loop sees it."""
        paths = {self.parent_uses[use]: inner.paths[use] for use in self.last if use in inner.paths}
        if len(paths) != len(self.last):
            raise CannotPlan
        shapes = [self._shape(use, inner.paths[use]) for use in self.last]
        sizes: list[ast.expr | None] = []
        for axis in range(len(shapes[0]) if len({len(shape) for shape in shapes}) == 1 else 0):
            values = [shape[axis] for shape in shapes]
            tree = inner.sizes[axis] if axis < len(inner.sizes) else None
            if all_same(values):
                sizes.append(literal(values[0]))
            elif axis == 0 and self.counter:
                sizes.append(trees.name(self.counter))
            elif tree is not None and self.outer.bindings.holds(tree, self.outer.active, values):
                sizes.append(tree)
            else:
                sizes.append(None)
        return Slot(paths, tuple(sizes), inner.label, inner.named, common_shape(shapes))

    def _shape(self, use: int, path: str) -> tuple[int, ...]:
        return self.outer.shape(self.parent_uses[use], path)


def plain_entry(entry: Any) -> Any:
    """Return an entry of a list as code has it: mappings stay mappings, lists within become tuples."""
    if isinstance(entry, dict):
        return {key: plain_entry(value) for key, value in entry.items()}
    if isinstance(entry, list):
        return [plain_entry(value) for value in entry]
    return entry
