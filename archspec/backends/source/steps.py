"""Steps to items."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from archspec.backends.source.calls import plan_calls
from archspec.backends.source.context import MISSING, Candidate, CannotPlan, given
from archspec.backends.source.expressions import Unprintable, literal, names_in, same
from archspec.backends.source.frame import Frame
from archspec.backends.source.items import (
    ClassPlan,
    IfItem,
    Item,
    LetItem,
    OpItem,
    RunItem,
    SeqItem,
    UseItem,
    Val,
    result_channels,
)
from archspec.backends.source.loops import LoopPlan
from archspec.backends.source.structure import (
    Rows,
    Tree,
    by_step,
    common_shape,
    constant_name,
    group_of,
    is_empty,
    label_of,
    name_of,
    positional,
    scope_of,
)
from archspec.backends.source.translate import translated, tree_of
from archspec.expressions import Expression, Scope, compile_text
from archspec.graph import Group, Node, Placed
from archspec.program import CallStep, OpStep, ScopeStep, Step, Value


class StepPlanner:
    """Turns the steps of a scope into items. Abstract: the planner of the whole network knows the classes.

    `owner` is the scope that each row of the class at hand is.
    """

    tree: Tree
    made: dict[int, ClassPlan]
    owner: dict[int, Group]

    def block_class(self, group: Group) -> ClassPlan:
        """The class of a block."""
        raise NotImplementedError

    def make_classes(
        self, groups: list[Group], steps: list[Step], name: str, inputs: list[str], unroll: bool = False
    ) -> None:
        """One class for these scopes, or several where they are too different."""
        raise NotImplementedError

    # Steps.

    def steps_of(self, steps: list[Step], placed: dict[int, list[Placed]], frame: Frame) -> list[Item]:
        rows = {row: by_step(placed[row]) for row in frame.active}
        items: list[Item] = []
        for step in steps:
            entries = {row: rows[row].get(id(step), []) for row in frame.active}
            items += self._step(step, entries, frame)
        return items

    def _step(self, step: Step, entries: dict[int, list[Placed]], frame: Frame) -> list[Item]:
        there = {row: [entry for entry in entries[row] if not is_empty(entry)] for row in entries}
        present = [row for row in frame.active if there[row]]
        if not present:
            ends = [entries[row][-1].result if entries[row] else frame.previous.paths[row] for row in frame.active]
            before, frame.previous = frame.previous, frame.find_or_ghost(frame.active, ends)
            if frame.chain and frame.previous is not before:
                raise CannotPlan
            return []
        if len(present) < len(frame.active):
            return [self._conditional(step, entries, there, present, frame)]
        return self._present(step, there, frame)

    def _conditional(
        self,
        step: Step,
        entries: dict[int, list[Placed]],
        there: dict[int, list[Placed]],
        present: list[int],
        frame: Frame,
    ) -> Item:
        absent = [row for row in frame.active if row not in present]
        candidates: list[Candidate] = []
        if step.when is not None and step.repeat is None and all(entries[row] for row in frame.active):
            scopes = {row: entries[row][0].scope for row in frame.active}
            candidates.append(lambda: self.translated(step.when, frame.active, scopes, frame))
        label = constant_name(step) or step.label
        test = frame.context.express(
            frame.active, [row in present for row in frame.active], candidates, f"with_{label}"
        )
        ends = [entries[row][-1].result if entries[row] else frame.previous.paths[row] for row in absent]
        passed = frame.find_or_ghost(absent, ends)
        inner = frame.under(present)
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

    def _present(self, step: Step, there: dict[int, list[Placed]], frame: Frame) -> list[Item]:
        if step.repeat is None:
            if any(len(entries) != 1 for entries in there.values()):
                raise CannotPlan
            return self.single(step, {row: entries[0] for row, entries in there.items()}, frame)
        groups = {row: entries[-1].what for row, entries in there.items()}
        if not step.siblings and all(isinstance(group, Group) and group.kind == "repeat" for group in groups.values()):
            named: Rows = {row: entries[-1] for row, entries in there.items()}
            return self._container(step, named, frame)
        if frame.chain:
            mark = frame.mark()
            try:
                return self._loop(step, there, frame)
            except CannotPlan:
                frame.back(mark)
        return self._unrolled(step, there, frame)

    def _unrolled(self, step: Step, there: dict[int, list[Placed]], frame: Frame) -> list[Item]:
        if len({len(entries) for entries in there.values()}) != 1:
            raise CannotPlan
        items: list[Item] = []
        for position in range(len(there[frame.active[0]])):
            items += self.single(step, {row: entries[position] for row, entries in there.items()}, frame)
        return items

    def unrolled_all(self, placed: dict[int, list[Placed]], frame: Frame) -> list[Item]:
        there = {row: [entry for entry in entries if not is_empty(entry)] for row, entries in placed.items()}
        step = there[0][0].step
        assert isinstance(step, Step)
        return self._unrolled(step, there, frame)

    def single(self, step: Step, placed: Rows, frame: Frame) -> list[Item]:
        if isinstance(step, ScopeStep) and step.is_inline:
            return self._inline(step, placed, frame)
        if isinstance(step, OpStep):
            return [self._op(step, placed, frame)]
        if isinstance(step, CallStep):
            return [self._use(step, placed, frame, [self.block_class(group_of(placed[row])) for row in frame.active])]
        return self._container(step, placed, frame)

    def translated(
        self, value: Value | None, active: Sequence[int], scopes: dict[int, Scope], frame: Frame
    ) -> ast.expr | None:
        tree = tree_of(value) if value is not None else None
        if tree is None:
            return None
        return translated(tree, frame.context, active, scopes, frame.channels(active))

    def _reads(self, placed: Rows, frame: Frame) -> list[Val]:
        counts = {len(placed[row].reads) for row in frame.active}
        if len(counts) != 1:
            raise CannotPlan
        found = [frame.find(frame.active, [placed[row].reads[k] for row in frame.active]) for k in range(counts.pop())]
        if frame.chain and found != [frame.previous]:
            raise CannotPlan
        return found

    def _child_name(self, step: Step, placed: Rows, frame: Frame) -> ast.expr | str:
        if frame.chain and not frame.named:
            return ""
        names = [name_of(placed[row]) for row in frame.active]
        if len(set(names)) == 1:
            return names[0]
        if not frame.chain:
            raise CannotPlan

        def template() -> ast.expr | None:
            found = compile_text(str(step.name.yaml.plain())) if step.name is not None else ""
            parts = [found] if isinstance(found, Expression) else getattr(found, "parts", [])
            scopes = {row: placed[row].scope for row in frame.active}
            sizes = frame.channels(frame.active)
            values: list[ast.expr] = [
                ast.Constant(part)
                if isinstance(part, str)
                else ast.FormattedValue(translated(part.tree, frame.context, frame.active, scopes, sizes), -1)
                for part in parts
            ]
            return ast.JoinedStr(values) if values else None

        return frame.context.express(frame.active, names, [template], "name")

    def _op(self, step: OpStep, placed: Rows, frame: Frame) -> Item:
        reads = self._reads(placed, frame)
        nodes = {row: placed[row].what for row in frame.active}
        ops = [node.op for node in nodes.values() if isinstance(node, Node)]
        scopes = {row: placed[row].scope for row in frame.active}

        def as_code(value: Value) -> ast.expr | None:
            return self.translated(value, frame.active, scopes, frame)

        calls, sizes = plan_calls(step, ops, reads, frame.context, frame.active, as_code)
        if frame.chain and (len(calls) != 1 or not calls[0].is_module):
            raise CannotPlan
        out = Val(
            {row: placed[row].result for row in frame.active},
            sizes,
            label_of(step),
            common_shape([op.output for op in ops]),
        )
        explicit = step.name is not None or frame.chain
        try:
            name = self._child_name(step, placed, frame)
        except CannotPlan:
            if any(op.weights() or op.buffers() for op in ops) or explicit:
                raise
            name = name_of(placed[frame.active[0]])
        frame.add(out)
        return OpItem(name=name, reads=reads, outs=[out], calls=calls, explicit=explicit)

    def _inline(self, step: ScopeStep, placed: Rows, frame: Frame) -> list[Item]:
        if any(placed[row].reads[0] != frame.previous.paths.get(row) for row in frame.active):
            if frame.chain:
                raise CannotPlan
            frame.previous = frame.find_or_ghost(frame.active, [placed[row].reads[0] for row in frame.active])
        items = self._lets(step, placed, frame)
        items += self.steps_of(step.steps, {row: group_of(placed[row]).items for row in frame.active}, frame)
        return items

    def _lets(self, step: ScopeStep, placed: Rows, frame: Frame) -> list[Item]:
        """Local values that differ between the rows, and that the code can work out."""
        found: list[Item] = []
        scopes = {row: scope_of(group_of(placed[row])) for row in frame.active}
        for spec_name, value in step.let.items():
            values = [scopes[row].values.get(spec_name) for row in frame.active]
            if any(not isinstance(item, int | float | str) for item in values) or all(
                same(v, values[0]) for v in values
            ):
                continue
            try:
                tree = self.translated(value, frame.active, scopes, frame)
            except Unprintable:
                continue
            if tree is None or not frame.context.holds(tree, frame.active, values):
                continue
            if isinstance(tree, ast.Name):
                frame.context.alias(spec_name, tree.id)
                continue
            printed = frame.context.free_name(spec_name, "let")
            frame.context.bind(spec_name, printed, frame.active, values)
            found.append(LetItem(target=printed, value=tree))
        return found

    # Scopes that hold modules.

    def _container(self, step: Step, placed: Rows, frame: Frame) -> list[Item]:
        """A `sequential`, or the group of a named repeat: an nn.Sequential where it is a chain, else a class."""
        groups = [group_of(placed[row]) for row in frame.active]
        mark = frame.mark()
        try:
            if any(self.tree.exposed.get(id(group)) for group in groups):
                raise CannotPlan
            return self._sequence(step, placed, groups, frame)
        except CannotPlan:
            frame.back(mark)
        repeat = groups[0].kind == "repeat"
        plans = {id(self.made.get(id(group))) for group in groups}
        if len(plans) != 1 or id(groups[0]) not in self.made:
            bound = step.repeat.binds if step.repeat else None
            name = constant_name(step) or bound or "layers"
            name = name if not name.isdecimal() else f"layers_{name}"
            steps = step.steps if isinstance(step, ScopeStep) else []
            self.make_classes(groups, steps, name, [], unroll=repeat)
        return [self._use(step, placed, frame, [self.made[id(group)] for group in groups], repeat)]

    def _sequence(self, step: Step, placed: Rows, groups: list[Group], frame: Frame) -> list[Item]:
        entry = self._entry(placed, groups, frame)
        named = not all(positional(group.items) for group in groups)
        inner = Frame(frame.context, frame.active, [*frame.vals, entry], entry, chain=True, named=named)
        rows = {row: group.items for row, group in zip(frame.active, groups, strict=True)}
        lets: list[Item] = []
        if groups[0].kind == "repeat":
            items = self._loop(step, rows, inner)
        else:
            assert isinstance(step, ScopeStep)
            lets = self._lets(step, placed, frame)
            items = self.steps_of(step.steps, rows, inner)
        ends = [placed[row].result for row in frame.active]
        if any(inner.previous.paths.get(row) != end for row, end in zip(frame.active, ends, strict=True)):
            raise CannotPlan
        last = inner.previous
        out = Val(dict(zip(frame.active, ends, strict=True)), last.channels, label_of(step), last.shape)
        name = self._child_name(step, placed, frame)
        frame.add(out)
        return [*lets, SeqItem(name=name, reads=[entry], outs=[out], items=items, named=named)]

    def _entry(self, placed: Rows, groups: list[Group], frame: Frame) -> Val:
        entry = frame.find(frame.active, [placed[row].reads[0] for row in frame.active])
        if len(placed[frame.active[0]].reads) != 1 or frame.chain and entry is not frame.previous:
            raise CannotPlan
        return entry

    def _use(self, step: Step, placed: Rows, frame: Frame, plans: list[ClassPlan], repeat: bool = False) -> Item:
        plan = plans[0]
        if any(other is not plan for other in plans):
            raise CannotPlan
        groups = {row: group_of(placed[row]) for row in frame.active}
        if repeat or groups[frame.active[0]].kind != "block":
            inputs = {row: self.tree.externals(groups[row]) for row in frame.active}
            entered = {row: placed[row]._replace(reads=inputs[row]) for row in frame.active}
        else:
            entered = placed
        reads = self._reads(entered, frame)
        if frame.chain and plan.exposed:
            raise CannotPlan
        item = UseItem(plan=plan, reads=reads, name=self._child_name(step, placed, frame))
        of = [plan.row_of[id(groups[row])] for row in frame.active]
        for printed, variable in plan.arguments.items():
            values = [variable.values[row] for row in of]
            candidates = self._argument_candidates(step, plan.origin[printed], placed, reads, frame, values)
            label = plan.origin[printed] if not plan.origin[printed].startswith(" ") else ""
            tree = frame.context.express(frame.active, values, candidates, label or printed)
            if variable.default is not MISSING and not names_in(tree) and same(values[0], variable.default):
                continue
            item.arguments[printed] = tree
        ends = [placed[row].result for row in frame.active]
        shape = common_shape([self.tree.shape(groups[row], placed[row].result) for row in frame.active])
        sizes = result_channels(plan, item.arguments)
        out = Val(dict(zip(frame.active, ends, strict=True)), sizes, label_of(step), shape)
        item.outs = [out]
        for path in plan.exposed:
            paths = {row: f"{groups[row].path}.{path}" for row in frame.active}
            shapes = [self.tree.shape(groups[row], paths[row]) for row in frame.active]
            sized = [literal(shapes[0][0])] if common_shape(shapes) else []
            val = Val(paths, sized, path.rpartition(".")[2], common_shape(shapes))
            item.outs.append(val)
            frame.vals.append(val)
        frame.add(out)
        return item

    def _argument_candidates(
        self, step: Step, origin: str, placed: Rows, reads: list[Val], frame: Frame, values: list[Any]
    ) -> list[Candidate]:
        if origin.startswith(" "):
            return given(reads[int(origin)].channels)
        scopes = {row: placed[row].scope for row in frame.active}
        if isinstance(step, CallStep) and step.block is not None and origin in step.block.params:
            value = step.arguments.get(origin) or step.block.params[origin]
            return [lambda: self.translated(value, frame.active, scopes, frame)]
        if origin:
            return [lambda: frame.context.symbol(origin, frame.active, values)]
        return []

    # Loops.

    def _loop(self, step: Step, copies: dict[int, list[Placed]], frame: Frame) -> list[Item]:
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

    def _check_chain(self, copies: dict[int, list[Placed]], frame: Frame) -> None:
        for row, entries in copies.items():
            before = frame.previous.paths.get(row)
            for copy in entries:
                if copy.reads != (before,) or isinstance(copy.what, Group) and self.tree.exposed.get(id(copy.what)):
                    raise CannotPlan
                before = copy.result

    def _runs(self, step: Step, copies: dict[int, list[Placed]], runs: list[int], frame: Frame) -> list[Item]:
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
