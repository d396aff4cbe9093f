"""Steps to items: what stands under conditions, in repeats and in scopes. `modules.py` has the single ones."""

from __future__ import annotations

from collections.abc import Iterable

from archspec.backends.source.context import Candidate, CannotPlan
from archspec.backends.source.frame import Frame
from archspec.backends.source.items import ClassPlan, IfItem, Item, RunItem, SeqItem, Val
from archspec.backends.source.loops import LoopPlan
from archspec.backends.source.modules import child_name, let_items, op_item, use_item
from archspec.backends.source.structure import (
    Entries,
    Rows,
    Tree,
    by_step,
    constant_name,
    flat,
    is_empty,
    label_of,
    name_of,
    positional,
    scope_of,
)
from archspec.graph import Scope
from archspec.program.steps import CallStep, OpStep, ScopeStep, Step


class StepPlanner:
    """Turns the steps of a scope into items. Abstract: the planner of the whole network knows the classes.

    `class_of` has the classes that are there, by the ids of their scopes; `owner` is the scope that each row of the
    class at hand is.
    """

    tree: Tree
    class_of: dict[int, ClassPlan]
    owner: dict[int, Scope]

    def block_class(self, scope: Scope) -> ClassPlan:
        """The class of a block."""
        raise NotImplementedError

    def make_classes(
        self, scopes: list[Scope], steps: list[Step], name: str, inputs: list[str], unroll: bool = False
    ) -> None:
        """One class for these scopes, or several where they are too different."""
        raise NotImplementedError

    # Steps.

    def steps_of(self, steps: list[Step], placed: Entries, frame: Frame) -> list[Item]:
        """The items of the steps of a scope, which made `placed`."""
        _check_names(placed, frame.active)
        rows = {row: by_step(placed[row]) for row in frame.active}
        items: list[Item] = []
        for step in steps:
            entries = {row: rows[row].get(id(step), []) for row in frame.active}
            items += self._step(step, entries, frame)
        return items

    def _step(self, step: Step, entries: Entries, frame: Frame) -> list[Item]:
        """A step, whether or not it stands in all rows."""
        there = {row: [entry for entry in entries[row] if not is_empty(entry)] for row in entries}
        present = [row for row in frame.active if there[row]]
        if not present:
            ends = _ends(entries, frame.active, frame)
            before, frame.previous = frame.previous, frame.find_or_ghost(frame.active, ends)
            if frame.chain and frame.previous is not before:
                raise CannotPlan
            return []
        if len(present) < len(frame.active):
            return [self._conditional(step, entries, there, present, frame)]
        return self._present(step, there, frame)

    def _conditional(self, step: Step, entries: Entries, there: Entries, present: list[int], frame: Frame) -> Item:
        """A step that stands in some rows only."""
        absent = [row for row in frame.active if row not in present]
        label = constant_name(step) or step.label
        candidates: list[Candidate] = []
        if step.when is not None and step.repeat is None and all(entries[row] for row in frame.active):
            environments = {row: entries[row][0].environment for row in frame.active}
            candidates.append(lambda: frame.translated(step.when, environments))
        stands = [row in present for row in frame.active]
        test = frame.context.express(frame.active, stands, candidates, f"with_{label}")
        ends = _ends(entries, absent, frame)
        passed = frame.find_or_ghost(absent, ends)
        inner = frame.narrowed(present)
        before = frame.previous
        items = self._present(step, {row: there[row] for row in present}, inner)
        if frame.chain and passed is not before:
            raise CannotPlan
        result = inner.previous
        paths = {**{row: result.paths[row] for row in present}, **dict(zip(absent, ends, strict=True))}
        shape = result.shape if result.shape == passed.shape else None
        out = Val(paths, [*result.channels, *passed.channels], label, shape)
        frame.add(out)
        return IfItem(reads=[], outs=[out], test=test, items=items, inner=result, passed=passed)

    def _present(self, step: Step, there: Entries, frame: Frame) -> list[Item]:
        """A step that stands in all rows of the frame."""
        if step.repeat is None:
            if any(len(entries) != 1 for entries in there.values()):
                raise CannotPlan
            return self.single(step, {row: entries[0] for row, entries in there.items()}, frame)
        scopes = {row: entries[-1].made for row, entries in there.items()}
        if not step.siblings and all(isinstance(scope, Scope) and scope.kind == "repeat" for scope in scopes.values()):
            named: Rows = {row: entries[-1] for row, entries in there.items()}
            return self._container(step, named, frame)
        if frame.chain:
            mark = frame.mark()
            try:
                return self._loop(step, there, frame)
            except CannotPlan:
                frame.back(mark)
        return self._unrolled(step, there, frame)

    def _unrolled(self, step: Step, there: Entries, frame: Frame) -> list[Item]:
        """The copies of a step one by one, as many in every row."""
        if len({len(entries) for entries in there.values()}) != 1:
            raise CannotPlan
        items: list[Item] = []
        for position in range(len(there[frame.active[0]])):
            items += self.single(step, {row: entries[position] for row, entries in there.items()}, frame)
        return items

    def unrolled_all(self, placed: Entries, frame: Frame) -> list[Item]:
        """The copies of a named repeat one by one: `placed` is all that stands in its scope."""
        there = {row: [entry for entry in entries if not is_empty(entry)] for row, entries in placed.items()}
        step = there[0][0].step
        assert isinstance(step, Step)
        return self._unrolled(step, there, frame)

    def single(self, step: Step, placed: Rows, frame: Frame) -> list[Item]:
        """A step that stands once in every row."""
        if isinstance(step, ScopeStep) and step.is_inline:
            return self._inline(step, placed, frame)
        if isinstance(step, OpStep):
            return [op_item(step, placed, frame)]
        if isinstance(step, CallStep):
            plans = [self.block_class(scope_of(placed[row])) for row in frame.active]
            return [use_item(self.tree, step, placed, frame, plans)]
        return self._container(step, placed, frame)

    def _inline(self, step: ScopeStep, placed: Rows, frame: Frame) -> list[Item]:
        if any(placed[row].reads[0] != frame.previous.paths.get(row) for row in frame.active):
            if frame.chain:
                raise CannotPlan
            frame.previous = frame.find_or_ghost(frame.active, [placed[row].reads[0] for row in frame.active])
        items = let_items(step, placed, frame)
        items += self.steps_of(step.steps, {row: scope_of(placed[row]).items for row in frame.active}, frame)
        return items

    # Scopes that hold modules.

    def _container(self, step: Step, placed: Rows, frame: Frame) -> list[Item]:
        """A `sequential`, or the group of a named repeat: an nn.Sequential where it is a chain, else a class."""
        scopes = [scope_of(placed[row]) for row in frame.active]
        mark = frame.mark()
        try:
            if any(self.tree.exposed.get(id(scope)) for scope in scopes):
                raise CannotPlan
            return self._sequence(step, placed, scopes, frame)
        except CannotPlan:
            frame.back(mark)
        repeat = scopes[0].kind == "repeat"
        known = {id(self.class_of.get(id(scope))) for scope in scopes}
        if len(known) != 1 or id(scopes[0]) not in self.class_of:
            bound = step.repeat.binds if step.repeat else None
            name = constant_name(step) or bound or "layers"
            name = name if not name.isdecimal() else f"layers_{name}"
            steps = step.steps if isinstance(step, ScopeStep) else []
            self.make_classes(scopes, steps, name, [], unroll=repeat)
        plans = [self.class_of[id(scope)] for scope in scopes]
        return [use_item(self.tree, step, placed, frame, plans, repeat)]

    def _sequence(self, step: Step, placed: Rows, scopes: list[Scope], frame: Frame) -> list[Item]:
        """An nn.Sequential, and the local values before it."""
        entry = self._entry(placed, frame)
        named = not all(positional(scope.items) for scope in scopes)
        inner = Frame(frame.context, frame.active, [*frame.vals, entry], entry, chain=True, named=named)
        rows = {row: scope.items for row, scope in zip(frame.active, scopes, strict=True)}
        lets: list[Item] = []
        if scopes[0].kind == "repeat":
            items = self._loop(step, rows, inner)
        else:
            assert isinstance(step, ScopeStep)
            lets = let_items(step, placed, frame)
            items = self.steps_of(step.steps, rows, inner)
        ends = [placed[row].result for row in frame.active]
        if any(inner.previous.paths.get(row) != end for row, end in zip(frame.active, ends, strict=True)):
            raise CannotPlan
        last = inner.previous
        out = Val(dict(zip(frame.active, ends, strict=True)), last.channels, label_of(step), last.shape)
        name = child_name(step, placed, frame)
        frame.add(out)
        return [*lets, SeqItem(name=name, reads=[entry], outs=[out], items=items, named=named)]

    def _entry(self, placed: Rows, frame: Frame) -> Val:
        """The one value that a scope reads."""
        entry = frame.find(frame.active, [placed[row].reads[0] for row in frame.active])
        if len(placed[frame.active[0]].reads) != 1 or frame.chain and entry is not frame.previous:
            raise CannotPlan
        return entry

    # Loops.

    def _loop(self, step: Step, copies: Entries, frame: Frame) -> list[Item]:
        """Copies in a chain: written one by one where they are few or equal, else as a `for` loop."""
        copies = {row: [copy for copy in entries if not is_empty(copy)] for row, entries in copies.items()}
        if not all(copies.values()):
            raise CannotPlan
        if all(len(entries) == 1 for entries in copies.values()):
            return self.single(step, {row: entries[0] for row, entries in copies.items()}, frame)
        self._check_chain(copies, frame)
        loop = LoopPlan(self, step, copies, frame)
        loop.plan_body()
        runs = loop.runs()
        if runs is not None:
            frame.back(loop.mark)
            return self._runs(step, copies, runs, frame)
        return [loop.item()]

    def _check_chain(self, copies: Entries, frame: Frame) -> None:
        """CannotPlan where a copy reads anything but the one before, or something else reads what is in it."""
        for row, entries in copies.items():
            before = frame.previous.paths.get(row)
            for copy in entries:
                if copy.reads != (before,) or isinstance(copy.made, Scope) and self.tree.exposed.get(id(copy.made)):
                    raise CannotPlan
                before = copy.result

    def _runs(self, step: Step, copies: Entries, runs: list[int], frame: Frame) -> list[Item]:
        """Copies written as runs of equal ones; `runs` are their lengths."""
        items: list[Item] = []
        start = 0
        for count in runs:
            first = {row: entries[start] for row, entries in copies.items()}
            if start:
                paths = {row: first[row].reads[0] for row in frame.active}
                frame.add(Val(paths, frame.previous.channels, frame.previous.label, frame.previous.shape))
            (item,) = self.single(step, first, frame)
            items.append(item if count == 1 else RunItem(outs=item.outs, item=item, count=count))
            start += count
        ends = {row: entries[-1].result for row, entries in copies.items()}
        frame.add(Val(ends, frame.previous.channels, frame.previous.label, frame.previous.shape))
        return items


def _check_names(placed: Entries, rows: Iterable[int]) -> None:
    """Check that no two steps give themselves one name, as those may of which one stands in each row.

    Raises:
        CannotPlan: Two do; one class cannot have both.
    """
    owners: dict[str, int] = {}
    for row in rows:
        for entry in flat(placed[row]):
            assert isinstance(entry.step, Step)
            if entry.step.name is not None and owners.setdefault(name_of(entry), id(entry.step)) != id(entry.step):
                raise CannotPlan


def _ends(entries: Entries, rows: list[int], frame: Frame) -> list[str]:
    """What the next step reads in rows where a step is left out."""
    return [entries[row][-1].result if entries[row] else frame.previous.paths[row] for row in rows]
