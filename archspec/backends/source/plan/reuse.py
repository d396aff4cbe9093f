"""Modules that are called again: a `use` of the spec."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from archspec.backends.source.plan.bindings import CannotPlan
from archspec.backends.source.plan.cursor import Cursor, common_shape
from archspec.backends.source.plan.ir import CallPlan, ClassPlan, Leaf, Reuse, Slot, Statement
from archspec.backends.source.trees import Unprintable, all_same, literal
from archspec.graph import Applied, Node, Scope
from archspec.program.steps import UseStep

Uses = Mapping[int, Applied]


def remember(statement: Statement, applied: Uses, cursor: Cursor) -> None:
    """Keep which statement makes the module of a step, for a `use` in the same class."""
    if cursor.chain:
        return  # it is a part of another module, which is kept itself
    for use in cursor.active:
        made = applied[use].made
        if made is not None:
            network = cursor.trace.network[cursor.owners[use]]
            cursor.bindings.of_class.statements[network, made.path] = statement


def reuse(step: UseStep, applied: Uses, cursor: Cursor, class_of: Mapping[Scope, tuple[ClassPlan, int]]) -> Statement:
    """Plan another call of a module. Raises: CannotPlan if the uses call different ones."""
    found = [_target(applied[use], use, cursor) for use in cursor.active]
    statement, path = found[0]
    if any(other != (statement, path) for other in found):
        raise CannotPlan("the uses call different modules again")
    made = {use: applied[use].made for use in cursor.active}
    result = {use: applied[use].result for use in cursor.active}
    if isinstance(made[cursor.active[0]], Node):
        reads = cursor.reads(applied)
        out = _slot(result, step, applied, statement if not path else None, cursor)
        node = made[cursor.active[0]]
        assert isinstance(node, Node)
        ops = [each.op for each in made.values() if isinstance(each, Node)]
        fits = {tuple([op.fits(place) for place in range(len(reads))]) if op.leads else () for op in ops}
        if len(fits) != 1:
            raise CannotPlan("some of the uses read a value without a batch")
        more = _further(step, applied, cursor)
        for slot in reversed([out, *more]):
            cursor.add(slot)
        if more or path and not node.op.weights() and not node.op.buffers():
            calls, explicit = _own_calls(made), step.name is not None
            return Leaf("", reads, [out, *more], op=type(node.op), calls=calls, explicit=explicit, fits=fits.pop())
        call = next((call for call in node.op.calls() if call.is_module), None) if path else None
        form = CallPlan("", {}, False, call.reads, call.options, call.item) if call is not None else None
        return Reuse("", reads, [out], target=statement, path=path, fits=fits.pop(), call=form)
    scopes = {use: scope for use, scope in made.items() if isinstance(scope, Scope)}
    externals = {use: cursor.trace.externals(scope) for use, scope in scopes.items()}
    if len({len(paths) for paths in externals.values()}) != 1:
        raise CannotPlan("the uses read different numbers of values")
    count = len(externals[cursor.active[0]])
    reads = [cursor.find(cursor.active, [externals[use][place] for use in cursor.active]) for place in range(count)]
    owner = cursor.trace.owners[scopes[cursor.active[0]]]
    plan = class_of[owner][0] if owner in class_of else None
    outs = [_slot(result, step, applied, statement if not path else None, cursor)]
    for place, inner in enumerate(plan.exposed if plan is not None else (), start=1):
        paths = {use: f"{scope.path}.{inner}" for use, scope in scopes.items()}
        slot = _slot(paths, step, applied, None, cursor)
        assert plan is not None
        slot.label, slot.named = f"{outs[0].label}_{plan.labels[place]}", True
        outs.append(slot)
        cursor.sight.add(slot)
    cursor.add(outs[0])
    return Reuse("", reads, outs, target=statement, path=path, plan=plan)


def _target(applied: Applied, use: int, cursor: Cursor) -> tuple[Statement, str]:
    """Return the statement that makes the module, and the code for where it is inside."""
    made = applied.made
    owner = made.weights_of if made is not None else None
    if owner is None:
        raise CannotPlan
    network, known = cursor.trace.network[cursor.owners[use]], cursor.bindings.of_class.statements
    parts = owner.split(".")
    for count in range(len(parts), 0, -1):
        statement = known.get((network, ".".join(parts[:count])))
        if statement is not None:
            inner = [f"[{part}]" if part.isdecimal() else f".{part}" for part in parts[count:]]
            return statement, "".join(inner)
    raise CannotPlan(f"no statement of the class makes {owner}")


def _further(step: UseStep, applied: Uses, cursor: Cursor) -> list[Slot]:
    """Return the results of an op after the first, where it has several. Raises: CannotPlan if the uses differ."""
    counts = {len(each.more) for each in applied.values()}
    if len(counts) > 1:
        raise CannotPlan("the uses have different numbers of results")
    places = range(counts.pop())
    return [
        _slot({use: each.more[place] for use, each in applied.items()}, step, applied, None, cursor) for place in places
    ]


def _own_calls(made: Mapping[int, Node | Scope | None]) -> list[CallPlan]:
    """Return the calls of an op without state, whose function may stand anywhere."""
    calls = [node.op.whole().calls() for node in made.values() if isinstance(node, Node)]
    if not all_same([str(each) for each in calls]):
        raise CannotPlan
    try:
        return [
            CallPlan(
                call.target,
                {key: literal(value) for key, value in call.arguments.items()},
                *(call.listed, call.reads, call.options, call.item, call.size_of),
            )
            for call in calls[0]
        ]
    except Unprintable:
        raise CannotPlan from None


def _slot(paths: dict[int, str], step: UseStep, applied: Uses, target: Statement | None, cursor: Cursor) -> Slot:
    """Return a value that a module returns when it is called again: of the same channels as before."""
    shapes = cursor.shapes(paths)
    shape = common_shape(shapes)
    before: Sequence[ast.expr | None] = target.outs[0].sizes if target is not None and target.outs else ()
    sizes: list[ast.expr | None] = []
    for axis in range(len(shapes[0]) if len({len(each) for each in shapes}) == 1 else 0):
        values = [each[axis] for each in shapes]
        tree = before[axis] if axis < len(before) else None
        holds = tree is not None and cursor.bindings.holds(tree, list(paths), values)
        sizes.append(literal(values[0]) if all_same(values) else tree if holds else None)
    made = applied[cursor.active[0]].made
    label = step.fixed_name or (made.path.rpartition(".")[2] if made is not None else "")
    return Slot(paths, tuple(sizes), label, step.name is not None, shape)
