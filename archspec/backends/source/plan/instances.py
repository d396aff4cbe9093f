"""Objects of a class of the file: the arguments that each is given, and the values that it returns."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from archspec.backends.source import trees
from archspec.backends.source.plan.bindings import MISSING, Candidate, CannotPlan
from archspec.backends.source.plan.cursor import Cursor, common_shape
from archspec.backends.source.plan.ir import ClassPlan, Instance, Let, Slot, Statement
from archspec.backends.source.plan.leaves import child_name, label_of
from archspec.backends.source.trees import literal, names_in, same
from archspec.graph import Applied, Scope
from archspec.program.steps import CallStep, Step

Uses = Mapping[int, Applied]


def instance(step: Step, applied: Uses, cursor: Cursor, classes: Sequence[tuple[ClassPlan, int]]) -> Statement:
    """Plan an object of the class that the scopes have, which must be one for all uses; `classes` has it for each."""
    plan = classes[0][0]
    if any(other is not plan for other, _ in classes):
        raise CannotPlan
    scopes = {use: _scope(applied[use]) for use in cursor.active}
    externals = {use: cursor.trace.externals(scope) for use, scope in scopes.items()}
    counts = {len(paths) for paths in externals.values()}
    if counts != {len(plan.inputs)}:
        raise CannotPlan
    reads = [
        cursor.find(cursor.active, [externals[use][place] for use in cursor.active])
        for place in range(len(plan.inputs))
    ]
    if cursor.chain and plan.exposed:
        raise CannotPlan
    made = Instance(child_name(step, applied, cursor), reads, [], True, plan=plan)
    _set_arguments(made, plan, [use for _, use in classes], step, applied, cursor)
    result = {use: applied[use].result for use in cursor.active}
    label = plan.labels[0] if plan.exposed else label_of(step)
    named = step.name is not None or plan.exposed != [] and plan.stands_for is not None
    made.outs = [_slot(result, plan.results[0], made, label, named, cursor)]
    for place, path in enumerate(plan.exposed, start=1):
        paths = {use: f"{scope.path}.{path}" for use, scope in scopes.items()}
        made.outs.append(_slot(paths, plan.results[place], made, plan.labels[place], True, cursor))
    for slot in made.outs[1:]:
        cursor.sight.add(slot)
    cursor.add(made.outs[0])
    return made


def _slot(paths: dict[int, str], inner: Slot, made: Instance, label: str, named: bool, cursor: Cursor) -> Slot:
    """Return a value that an object returns, its sizes in terms of where the object is made."""
    shapes = cursor.shapes(paths)
    shape = common_shape(shapes)
    sizes: list[ast.expr | None] = []
    for axis in range(len(shapes[0]) if len({len(each) for each in shapes}) == 1 else 0):
        values = [each[axis] for each in shapes]
        if shape is not None:
            sizes.append(literal(values[0]))
            continue
        tree = inner.sizes[axis] if axis < len(inner.sizes) else None
        outer = _outside(tree, made) if tree is not None else None
        known = cursor.bindings.named(cursor.active, values) if not isinstance(outer, ast.Name) else None
        holds = outer is not None and cursor.bindings.holds(outer, cursor.active, values)
        sizes.append(known or (outer if holds else None))
    return Slot(paths, tuple(sizes), label, named, shape)


def _outside(tree: ast.expr, made: Instance) -> ast.expr | None:
    """Return an expression of a class with the arguments of an object, or their defaults, in place of the names."""
    assert made.plan is not None
    for each in reversed(made.plan.statements):
        if isinstance(each, Let):  # which may replace an argument of its name: `m = k * 2 if m is None else m`
            tree = trees.replaced(tree, {each.target: each.value})
    given: dict[str, ast.expr] = {}
    for name in names_in(tree):
        binding = made.plan.arguments.get(name)
        if name in made.arguments:
            given[name] = made.arguments[name]
        elif binding is not None and binding.default is not MISSING:
            given[name] = literal(binding.default)
        else:
            return None
    return trees.replaced(tree, given)


def _set_arguments(
    made: Instance, plan: ClassPlan, uses: Sequence[int], step: Step, applied: Uses, cursor: Cursor
) -> None:
    """Give an object its arguments, but for those at their default; `uses` are those of the class."""
    for printed, binding in plan.arguments.items():
        origin = plan.bindings.origins.get(printed, "")
        values = [binding.values[use] for use in uses]
        candidates = _candidates(step, printed, origin, applied, made, values, cursor)
        tree = cursor.bindings.express(cursor.active, values, candidates, origin or printed)
        if binding.default is not MISSING and not names_in(tree) and same(values[0], binding.default):
            continue
        made.arguments[printed] = tree


def _candidates(
    step: Step, printed: str, origin: str, applied: Uses, made: Instance, values: list[Any], cursor: Cursor
) -> list[Candidate]:
    """Return ways to express an argument of an object, the best first."""
    assert made.plan is not None
    place = made.plan.size_arguments.get(printed)
    if place is not None:
        slot, axis = made.reads[place[0]], place[1]
        size = slot.sizes[axis] if axis < len(slot.sizes) else None
        return [] if size is None else [partial(_itself, size)]
    environments = {use: each.environment for use, each in applied.items()}
    if isinstance(step, CallStep) and step.block is not None and origin in step.block.params:
        value = step.arguments.get(origin) or step.block.params[origin]
        return [lambda: cursor.translated(value, environments)]
    if origin:
        return [partial(_symbol, cursor, origin, values)]
    return []


def _itself(tree: ast.expr) -> ast.expr:
    return tree


def _symbol(cursor: Cursor, spec_name: str, values: list[Any]) -> ast.expr:
    return cursor.bindings.symbol(spec_name, cursor.active, values)


def _scope(applied: Applied) -> Scope:
    if not isinstance(applied.made, Scope):
        raise CannotPlan
    return applied.made
