"""Steps to statements: what stands under conditions, in repeats and in scopes. `leaves.py` has the single ops."""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from archspec.backends.source.plan.bindings import Candidate, CannotPlan
from archspec.backends.source.plan.cursor import Cursor
from archspec.backends.source.plan.instances import instance
from archspec.backends.source.plan.ir import Branch, Chain, ClassPlan, Free, Let, Listing, Slot, Statement
from archspec.backends.source.plan.leaves import child_name, label_of, leaf
from archspec.backends.source.plan.loops import plan_copies
from archspec.backends.source.plan.reuse import remember, reuse
from archspec.backends.source.trees import Unprintable, all_same
from archspec.backends.source.uses.elements import Layout, chain_layout
from archspec.backends.source.uses.trace import Trace, by_step, chosen, environment_of, flat, is_empty, name_of
from archspec.graph import Applied, Node, Scope
from archspec.program.steps import CallStep, ChoiceStep, OpStep, ScopeStep, Step, UseStep

Uses = Mapping[int, Applied]
"""What one step made in every use."""

Entries = Mapping[int, Sequence[Applied]]
"""All that a step or a scope made in every use: a step that is repeated or left out, several things or nothing."""


class StepPlanner:
    """Turns the steps of a scope into statements. Abstract: the planner of the network knows the classes."""

    trace: Trace
    _class_of: dict[Scope, tuple[ClassPlan, int]]

    def class_of(self, scope: Scope) -> tuple[ClassPlan, int]:
        """Return the class of a scope, and which of its uses the scope is."""
        raise NotImplementedError

    def plan_scopes(self, scopes: list[Scope], step: Step) -> None:
        """Give scopes that one step made classes of their own."""
        raise NotImplementedError

    # Steps.

    def steps(self, steps: Sequence[Step], entries: Entries, cursor: Cursor) -> list[Statement]:
        """Return the statements of the steps of a scope, which made `entries`."""
        rows = {use: by_step(entries[use]) for use in cursor.active}
        statements: list[Statement] = []
        waiting = deque(steps)
        while waiting:
            step = waiting.popleft()
            there = _standing(step, rows, cursor.active)
            present = [use for use in cursor.active if there[use]]
            if not present:
                self._skip(step, rows, cursor)
            elif len(present) == len(cursor.active):
                statements += self._present(step, there, cursor)
            else:
                if step.is_free:
                    statements.append(self._free_if(step, there, present, rows, cursor))
                    continue
                others = self._alternatives(present, waiting, rows, cursor)
                for _ in others:
                    waiting.popleft()
                statements.append(self._conditional([step, *others], rows, cursor))
        return statements

    def _free_if(
        self,
        step: Step,
        there: Entries,
        present: Sequence[int],
        rows: Mapping[int, Mapping[Step, list[Applied]]],
        cursor: Cursor,
    ) -> Statement:
        """Return a free tensor that stands in some uses only."""
        test = self._condition(step, there, rows, cursor)
        (found,) = self._present(step, {use: there[use] for use in present}, cursor.narrowed(present))
        assert isinstance(found, Free)
        found.test = test
        return found

    def _skip(self, step: Step, rows: Mapping[int, Mapping[Step, list[Applied]]], cursor: Cursor) -> None:
        """Pass a step that stands nowhere: what follows reads what it would have read."""
        ends = _ends([step], rows, cursor.active, cursor)
        cursor.previous = cursor.find_or_lost(cursor.active, ends)

    def _alternatives(
        self,
        present: Sequence[int],
        following: Iterable[Step],
        rows: Mapping[int, Mapping[Step, list[Applied]]],
        cursor: Cursor,
    ) -> list[Step]:
        """Return the steps that stand where a step does not, one in each use; none if some use has neither."""
        missing = set(cursor.active) - set(present)
        found: list[Step] = []
        for step in following:
            standing = {use for use, made in _standing(step, rows, cursor.active).items() if made}
            if not standing or not standing <= missing or step.is_free:
                return []
            found.append(step)
            missing -= standing
            if not missing:
                return found
        return []

    def _conditional(
        self, steps: list[Step], rows: Mapping[int, Mapping[Step, list[Applied]]], cursor: Cursor
    ) -> Statement:
        """Return the branch of a step that stands in some uses only, `steps[1:]` standing in the others."""
        step, *others = steps
        there = _standing(step, rows, cursor.active)
        present = [use for use in cursor.active if there[use]]
        absent = [use for use in cursor.active if not there[use]]
        test = self._condition(step, there, rows, cursor)
        ends = dict(zip(absent, _ends(steps, rows, absent, cursor), strict=True))
        before = cursor.previous
        inner = cursor.narrowed(present)
        statements = self._present(step, {use: there[use] for use in present}, inner)
        otherwise: list[Statement] = []
        if others:
            other = cursor.narrowed(absent)
            other.previous = before
            if len(others) == 1:
                standing = _standing(others[0], rows, absent)
                otherwise = self._present(others[0], standing, other)
            else:
                otherwise = [self._conditional(others, rows, other)]
            passed = other.previous
        else:
            passed = cursor.find_or_lost(absent, list(ends.values()))
        result = inner.previous
        paths = {**{use: result.paths[use] for use in present}, **ends}
        label = label_of(step)
        out = Slot(paths, _joined_sizes(result, passed, paths, cursor), label, step.name is not None)
        out.shape = result.shape if result.shape == passed.shape else None
        cursor.add(out)
        return Branch(
            outs=[out],
            test=test,
            statements=statements,
            otherwise=otherwise,
            result=result,
            other_result=passed,
        )

    def _condition(
        self,
        step: Step,
        there: Entries,
        rows: Mapping[int, Mapping[Step, list[Applied]]],
        cursor: Cursor,
    ) -> ast.expr:
        """Return what to ask for a step: its own condition, or else whether it stands."""
        candidates: list[Candidate] = []
        entries = {use: rows[use].get(step, []) for use in cursor.active}
        if step.when is not None and step.repeat is None and all(entries.values()):
            environments = {use: entries[use][0].environment for use in cursor.active}
            candidates.append(lambda: cursor.translated(step.when, environments))
        stands = [bool(there[use]) for use in cursor.active]
        return cursor.bindings.express(cursor.active, stands, candidates, f"with_{label_of(step)}")

    def _present(self, step: Step, there: Entries, cursor: Cursor) -> list[Statement]:
        """Return the statements of a step that stands in all uses of the cursor."""
        if step.repeat is None:
            if any(len(made) != 1 for made in there.values()):
                raise CannotPlan
            return self.single(step, {use: made[0] for use, made in there.items()}, cursor)
        last = {use: made[-1] for use, made in there.items()}
        if not step.siblings and all(
            isinstance(each.made, Scope) and each.made.kind == "repeat" for each in last.values()
        ):
            return self._container(step, last, cursor)
        return plan_copies(self, step, there, cursor)

    def single(self, step: Step, applied: Uses, cursor: Cursor) -> list[Statement]:
        """Return the statements of a step that stands once in every use."""
        if isinstance(step, ChoiceStep):
            return self._chosen(step, applied, cursor)
        if isinstance(step, ScopeStep) and step.is_inline:
            return self._inline(step, applied, cursor)
        if isinstance(step, UseStep):
            return [reuse(step, applied, cursor, self._class_of)]
        if isinstance(step, OpStep):
            statements = leaf(step, applied, cursor)
        elif isinstance(step, CallStep):
            classes = [self.class_of(_scope(applied[use])) for use in cursor.active]
            statements = [instance(step, applied, cursor, classes)]
        else:
            return self._container(step, applied, cursor)
        remember(statements[-1], applied, cursor)
        return statements

    def _chosen(self, step: ChoiceStep, applied: Uses, cursor: Cursor) -> list[Statement]:
        """Return the statements of a step whose op or block the uses choose: a branch if they differ."""
        keys = {use: chosen(applied[use]) for use in cursor.active}
        key = keys[cursor.active[0]]
        present = [use for use in cursor.active if keys[use] == key]
        option = step.option(key).step
        if len(present) == len(cursor.active):
            return self.single(option, applied, cursor)
        environments = {use: applied[use].environment for use in cursor.active}

        def is_chosen() -> ast.expr | None:
            tree = cursor.translated(step.choice, environments)
            return None if tree is None else ast.Compare(tree, [ast.Eq()], [ast.Constant(key)])

        stands = [use in present for use in cursor.active]
        test = cursor.bindings.express(cursor.active, stands, [is_chosen], f"use_{key}")
        inner, other = (
            cursor.narrowed(uses) for uses in (present, [use for use in cursor.active if use not in present])
        )
        ways = [
            self.single(each, {use: applied[use] for use in way.active}, way)
            for each, way in ((option, inner), (step, other))
        ]
        paths = {use: applied[use].result for use in cursor.active}
        results = [way.find(way.active, [paths[use] for use in way.active]) for way in (inner, other)]
        out = Slot(paths, _joined_sizes(results[0], results[1], paths, cursor), label_of(option), step.name is not None)
        out.shape = results[0].shape if results[0].shape == results[1].shape else None
        cursor.add(out)
        branch = Branch(outs=[out], test=test, statements=ways[0], otherwise=ways[1])
        branch.result, branch.other_result = results
        return [branch]

    def _inline(self, step: ScopeStep, applied: Uses, cursor: Cursor) -> list[Statement]:
        if any(applied[use].reads[0] != cursor.previous.paths.get(use) for use in cursor.active):
            cursor.previous = cursor.find_or_lost(cursor.active, [applied[use].reads[0] for use in cursor.active])
        statements = lets(step, applied, cursor)
        entries = {use: _scope(applied[use]).items for use in cursor.active}
        return [*statements, *self.steps(step.steps, entries, cursor)]

    # Scopes that hold modules.

    def _container(self, step: Step, applied: Uses, cursor: Cursor) -> list[Statement]:
        """Return a `sequential` or a named repeat: an nn.Sequential, an nn.ModuleList, or a class of its own."""
        statements = self._holding(step, applied, cursor)
        remember(statements[-1], applied, cursor)
        return statements

    def _holding(self, step: Step, applied: Uses, cursor: Cursor) -> list[Statement]:
        scopes = [_scope(applied[use]) for use in cursor.active]
        layout = chain_layout(scopes) if all(map(self.trace.straight, scopes)) else None
        if layout is not None:
            return self._chain(step, applied, scopes, layout, cursor)
        if not cursor.chain and self._is_listing(scopes):
            return self._listing(step, applied, scopes, cursor)
        if len({scope.kind for scope in scopes}) != 1:
            raise CannotPlan
        self.plan_scopes(scopes, step)
        return [instance(step, applied, cursor, [self.class_of(scope) for scope in scopes])]

    def _chain(self, step: Step, applied: Uses, scopes: list[Scope], layout: Layout, cursor: Cursor) -> list[Statement]:
        """Return an nn.Sequential, and the local values before it."""
        entries = [self.trace.entry(scope) or "" for scope in scopes]
        entry = cursor.find(cursor.active, entries)
        statements: list[Statement] = []
        inner = cursor.within(entry, keyed=layout.keyed)
        rows = {use: scope.items for use, scope in zip(cursor.active, scopes, strict=True)}
        if scopes[0].kind == "repeat":
            body = plan_copies(self, step, {use: list(flat(items)) for use, items in rows.items()}, inner)
        else:
            assert isinstance(step, ScopeStep)
            statements = lets(step, applied, cursor)
            body = self.steps(step.steps, rows, inner)
        ends = {use: applied[use].result for use in cursor.active}
        last = inner.previous
        if any(last.paths.get(use) != end for use, end in ends.items()):
            raise CannotPlan
        name = child_name(step, applied, cursor)
        out = Slot(ends, last.sizes, label_of(step), step.name is not None, last.shape)
        cursor.add(out)
        made = Chain(name, [entry], [out], True, statements=body, keyed=layout.keyed, cancelled=layout.cancelled)
        return [*statements, made]

    def _is_listing(self, scopes: Sequence[Scope]) -> bool:
        """Return whether scopes are lists of modules that are called one by one: numbered, and in all uses the same."""
        for scope in scopes:
            if not is_numbered(scope) or scope.register or scope in self.trace.users:
                return False
            if any(isinstance(applied.step, Step) and applied.step.when is not None for applied in flat(scope.items)):
                return False
        counts = {len(list(flat(scope.items))) for scope in scopes}
        return len(counts) == 1

    def _listing(self, step: Step, applied: Uses, scopes: list[Scope], cursor: Cursor) -> list[Statement]:
        """Return an nn.ModuleList, whose modules stand in the flow around it."""
        rows = {use: scope.items for use, scope in zip(cursor.active, scopes, strict=True)}
        first = [self.trace.applied[scope].reads[0] for scope in scopes]
        cursor.previous = cursor.find_or_lost(cursor.active, first)
        statements: list[Statement] = []
        if scopes[0].kind == "repeat":
            copies = {use: list(flat(items)) for use, items in rows.items()}
            body: list[Statement] = []
            for position in range(len(copies[cursor.active[0]])):
                body += self.single(step, {use: made[position] for use, made in copies.items()}, cursor)
        else:
            assert isinstance(step, ScopeStep)
            statements = lets(step, applied, cursor)
            body = self.steps(step.steps, rows, cursor)
        result = cursor.find(cursor.active, [applied[use].result for use in cursor.active])
        cursor.previous = result
        return [*statements, Listing(child_name(step, applied, cursor), [], [], True, statements=body)]


def is_numbered(scope: Scope) -> bool:
    """Return whether the modules of a scope are numbered in order; a function may leave a gap."""
    names = [name_of(applied) for applied in flat(scope.items) if _makes_module(applied)]
    if any(isinstance(applied.made, Node) and applied.made.is_free for applied in flat(scope.items)):
        return False
    if not names or not all(name.isdecimal() and len(name) < 6 for name in names):
        return False
    numbers = [int(name) for name in names]
    return numbers == sorted(set(numbers)) and numbers[-1] < 2 * len(numbers) + 4


def _makes_module(applied: Applied) -> bool:
    made = applied.made
    if isinstance(applied.step, UseStep):
        return False
    return not isinstance(made, Node) or any(call.is_module for call in made.op.calls())


def lets(step: ScopeStep, applied: Uses, cursor: Cursor) -> list[Statement]:
    """Return the local values of a scope that differ between the uses, and that the code can work out."""
    found: list[Statement] = []
    environments = {use: environment_of(_scope(each)) for use, each in applied.items()}
    for spec_name, value in step.let.items():
        values = [environments[use].values.get(spec_name) for use in cursor.active]
        if any(not isinstance(each, bool | int | float | str) for each in values):
            continue
        if all_same(values) and len(cursor.active) == cursor.bindings.uses:
            continue
        try:
            tree = cursor.translated(value, environments)
        except Unprintable:
            continue
        if tree is None or not cursor.bindings.holds(tree, cursor.active, values):
            continue
        printed = cursor.bindings.of_class.free_name(spec_name, "let")
        cursor.bindings.bind(spec_name, printed, cursor.active, values)
        found.append(Let(target=printed, value=tree))
    return found


def _scope(applied: Applied) -> Scope:
    """Return the scope that a step made."""
    if not isinstance(applied.made, Scope):
        raise CannotPlan
    return applied.made


def _standing(
    step: Step, rows: Mapping[int, Mapping[Step, list[Applied]]], active: Sequence[int]
) -> dict[int, list[Applied]]:
    """Return what a step made in every use, without what is empty."""
    return {use: [each for each in rows[use].get(step, ()) if not is_empty(each)] for use in active}


def _ends(
    steps: Sequence[Step], rows: Mapping[int, Mapping[Step, list[Applied]]], active: Sequence[int], cursor: Cursor
) -> list[str]:
    """Return the path of the value that follows steps in every use; where they made nothing, that of the one before."""
    found = []
    for use in active:
        end = cursor.previous.paths.get(use, "")
        for step in steps:
            for applied in rows[use].get(step, ())[-1:]:
                end = applied.result
        found.append(end)
    return found


def _joined_sizes(result: Slot, passed: Slot, paths: Mapping[int, str], cursor: Cursor) -> tuple[ast.expr | None, ...]:
    """Return the expressions of a value that comes from either of two ways: those of a way that are right for both."""
    shapes = cursor.shapes(paths)
    if len({len(shape) for shape in shapes}) != 1:
        return ()
    found: list[ast.expr | None] = []
    for axis in range(len(shapes[0])):
        values = [shape[axis] for shape in shapes]
        trees = [slot.sizes[axis] for slot in (result, passed) if axis < len(slot.sizes)]
        found.append(
            next(
                (tree for tree in trees if tree is not None and cursor.bindings.holds(tree, list(paths), values)), None
            )
        )
    return tuple(found)
