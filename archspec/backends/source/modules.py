"""Items of one step each: an op, an object of a class, local values."""

from __future__ import annotations

import ast
from typing import Any

from archspec.backends.source.calls import plan_calls
from archspec.backends.source.context import MISSING, Candidate, CannotPlan, known
from archspec.backends.source.expressions import Unprintable, literal, names_in, same
from archspec.backends.source.frame import Frame
from archspec.backends.source.items import ClassPlan, Item, LetItem, OpItem, UseItem, Val, result_channels
from archspec.backends.source.structure import Rows, Tree, common_shape, environment_of, label_of, name_of, scope_of
from archspec.backends.source.translate import translated
from archspec.expressions import Expression, compile_text
from archspec.graph import Node
from archspec.program.steps import CallStep, OpStep, ScopeStep, Step, Value


def op_item(step: OpStep, placed: Rows, frame: Frame) -> Item:
    """An op, its torch calls with their arguments."""
    reads = _reads(placed, frame)
    ops = [entry.made.op for entry in placed.values() if isinstance(entry.made, Node)]
    environments = {row: entry.environment for row, entry in placed.items()}
    seen = list(environments.values())

    def as_code(value: Value) -> ast.expr | None:
        return frame.translated(value, environments)

    calls, sizes = plan_calls(step, ops, seen, reads, frame.context, frame.active, as_code)
    if frame.chain and (len(calls) != 1 or not calls[0].is_module):
        raise CannotPlan
    paths = {row: entry.result for row, entry in placed.items()}
    others = {axis: trees for axis, trees in enumerate(sizes) if axis and trees}
    out = Val(paths, sizes[0], label_of(step), common_shape([op.output for op in ops]), others=others)
    explicit = step.name is not None or frame.chain
    try:
        name = child_name(step, placed, frame)
    except CannotPlan:
        if any(op.weights() or op.buffers() for op in ops) or explicit:
            raise
        name = name_of(placed[frame.active[0]])  # no key of the state_dict has it
    frame.add(out)
    return OpItem(name=name, reads=reads, outs=[out], op=step.op, calls=calls, explicit=explicit)


def let_items(step: ScopeStep, placed: Rows, frame: Frame) -> list[Item]:
    """Local values that differ between the rows, and that the code can work out."""
    found: list[Item] = []
    environments = {row: environment_of(scope_of(entry)) for row, entry in placed.items()}
    for spec_name, value in step.let.items():
        values = [environments[row].values.get(spec_name) for row in frame.active]
        if any(not isinstance(item, int | float | str) for item in values):
            continue
        if all(same(item, values[0]) for item in values):
            continue
        try:
            tree = frame.translated(value, environments)
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


def child_name(step: Step, placed: Rows, frame: Frame) -> ast.expr | str:
    """The name of a step as a module; an expression where a chain's rows differ in it."""
    if frame.chain and not frame.named:
        return ""
    names = [name_of(placed[row]) for row in frame.active]
    if len(set(names)) == 1:
        return names[0]
    if not frame.chain:
        raise CannotPlan
    return frame.context.express(frame.active, names, [lambda: _name_template(step, placed, frame)], "name")


def _name_template(step: Step, placed: Rows, frame: Frame) -> ast.expr | None:
    """A name with expressions in it, as an f-string."""
    found = compile_text(str(step.name.yaml.plain())) if step.name is not None else ""
    parts = [found] if isinstance(found, Expression) else getattr(found, "parts", [])
    environments = {row: entry.environment for row, entry in placed.items()}
    values: list[ast.expr] = []
    for part in parts:
        if isinstance(part, str):
            values.append(ast.Constant(part))
        else:
            tree = translated(part.tree, frame.context, frame.active, environments, frame.channels)
            values.append(ast.FormattedValue(tree, -1))
    return ast.JoinedStr(values) if values else None


def _reads(placed: Rows, frame: Frame) -> list[Val]:
    counts = {len(placed[row].reads) for row in frame.active}
    if len(counts) != 1:
        raise CannotPlan
    found = [frame.find(frame.active, [placed[row].reads[k] for row in frame.active]) for k in range(counts.pop())]
    if frame.chain and found != [frame.previous]:
        raise CannotPlan
    return found


# Objects of a class.


def use_item(tree: Tree, step: Step, placed: Rows, frame: Frame, plans: list[ClassPlan], repeat: bool = False) -> Item:
    """An object of the class that the scopes have, which must be one for all rows; `repeat`: of a named repeat."""
    plan = plans[0]
    if any(other is not plan for other in plans):
        raise CannotPlan
    scopes = {row: scope_of(placed[row]) for row in frame.active}
    entered = placed
    if repeat or scopes[frame.active[0]].kind != "block":  # whose steps read what is around them as they like
        entered = {row: placed[row]._replace(reads=tree.externals(scopes[row])) for row in frame.active}
    reads = _reads(entered, frame)
    if frame.chain and plan.exposed:
        raise CannotPlan
    item = UseItem(plan=plan, reads=reads, name=child_name(step, placed, frame))
    rows = [plan.row_of[id(scopes[row])] for row in frame.active]
    _set_arguments(item, plan, rows, step, placed, frame)
    shape = common_shape([tree.shape(scopes[row], placed[row].result) for row in frame.active])
    paths = {row: placed[row].result for row in frame.active}
    out = Val(paths, result_channels(plan, item.arguments), label_of(step), shape)
    item.outs = [out]
    for path in plan.exposed:
        paths = {row: f"{scopes[row].path}.{path}" for row in frame.active}
        shapes = [tree.shape(scopes[row], paths[row]) for row in frame.active]
        channels = [literal(shapes[0][0])] if common_shape(shapes) else []
        item.outs.append(Val(paths, channels, path.rpartition(".")[2], common_shape(shapes)))
    frame.vals += item.outs[1:]
    frame.add(out)
    return item


def _set_arguments(item: UseItem, plan: ClassPlan, rows: list[int], step: Step, placed: Rows, frame: Frame) -> None:
    """Give an object its arguments, but for those at their default; `rows` are those of the class."""
    for printed, variable in plan.arguments.items():
        origin = plan.origin[printed]
        values = [variable.values[row] for row in rows]
        candidates = _argument_candidates(step, origin, placed, item.reads, frame, values)
        label = origin if not origin.startswith(" ") else ""
        tree = frame.context.express(frame.active, values, candidates, label or printed)
        if variable.default is not MISSING and not names_in(tree) and same(values[0], variable.default):
            continue
        item.arguments[printed] = tree


def _argument_candidates(
    step: Step, origin: str, placed: Rows, reads: list[Val], frame: Frame, values: list[Any]
) -> list[Candidate]:
    if origin.startswith(" "):
        return known(reads[int(origin)].channels)
    environments = {row: entry.environment for row, entry in placed.items()}
    if isinstance(step, CallStep) and step.block is not None and origin in step.block.params:
        value = step.arguments.get(origin) or step.block.params[origin]
        return [lambda: frame.translated(value, environments)]
    if origin:
        return [lambda: frame.context.symbol(origin, frame.active, values)]
    return []
