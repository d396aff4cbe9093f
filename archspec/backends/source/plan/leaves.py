"""Steps of one op: its torch calls, with the arguments that differ between its uses as expressions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from archspec.backends.source import trees
from archspec.backends.source.plan.bindings import Bindings, Candidate, CannotPlan, ClassBindings, plain
from archspec.backends.source.plan.cursor import Cursor, common_shape
from archspec.backends.source.plan.ir import Branch, CallPlan, Free, Leaf, Let, Name, Slot, Statement, entry_of
from archspec.backends.source.trees import Unprintable, all_same, literal, names_in
from archspec.backends.source.uses.trace import name_of
from archspec.errors import Complaint
from archspec.expressions import Expression, Template, compile_text
from archspec.graph import Applied, Node
from archspec.names import list_of
from archspec.ops.base import Call, Op, symbolic_calls
from archspec.ops.merge import number_operands
from archspec.ops.symbolic import symbolic, tree_of
from archspec.program.steps import ChoiceStep, OpStep, ScopeStep, Step, Value
from archspec.shapes import Shape

Uses = Mapping[int, Applied]
"""What one step made in every use."""


def leaf(step: OpStep, applied: Uses, cursor: Cursor) -> list[Statement]:
    """Plan an op. Uneven padding in some of the uses only becomes a statement of its own, under a condition."""
    if step.is_free:
        return [_free(step, applied, cursor)]
    reads = cursor.reads(applied)
    ops = _ops(applied)
    if any(each.more for each in applied.values()):
        ops = {use: op.whole() for use, op in ops.items()}
    calls = _calls(ops)
    fits = {tuple([op.fits(place) for place in range(len(reads))]) if op.leads else () for op in ops.values()}
    if len(fits) != 1:
        raise CannotPlan
    symbols = _Symbols(step, applied, reads, cursor)
    targets = {use: [call.target for call in sequence] for use, sequence in calls.items()}
    statements: list[Statement] = []
    first = targets[cursor.active[0]]
    if any(other != first for other in targets.values()):
        statements, reads, calls = _padding_apart(step, applied, reads, calls, cursor)
    paths = {use: each.result for use, each in applied.items()}
    out = Slot(paths, symbols.output(list(ops.values())), label_of(step), step.name is not None)
    out.shape = common_shape(op.output for op in ops.values())
    outs = [out, *_further(step, applied, ops, symbols)]
    stateful = any(op.weights() or op.buffers() for op in ops.values())
    test = statements[0].test if statements and isinstance(statements[0], Branch) else None
    planned = [
        _planned(position, calls, symbols, cursor, test, statements) for position in range(len(calls[cursor.active[0]]))
    ]
    name = child_name(step, applied, cursor, stateful)
    for slot in reversed(outs):
        cursor.add(slot)
    explicit = step.name is not None
    statements.append(Leaf(name, reads, outs, stateful, op=step.op, calls=planned, explicit=explicit, fits=fits.pop()))
    return statements


def _further(step: OpStep, applied: Uses, ops: Mapping[int, Op], symbols: _Symbols) -> Iterator[Slot]:
    """Yield the results of an op after the first, where it has several.

    Raises: CannotPlan if the uses differ in how many there are.
    """
    counts = {len(each.more) for each in applied.values()}
    if len(counts) > 1:
        raise CannotPlan
    for place in range(counts.pop()):
        paths = {use: each.more[place] for use, each in applied.items()}
        one = next(iter(ops.values())).results()[1 + place]
        parts = [type(op)(op.inputs, {**op.args(), **one}, leads=op.leads) for op in ops.values()]
        found = Slot(paths, symbols.output(parts, symbols.shape_of(one)), label_of(step), step.name is not None)
        found.shape = common_shape(part.output for part in parts)
        yield found


def _ops(applied: Uses) -> dict[int, Op]:
    """Return the op that a step made in each use."""
    return {use: each.made.op for use, each in applied.items() if isinstance(each.made, Node)}


def _free(step: OpStep, applied: Uses, cursor: Cursor) -> Free:
    """Plan a parameter or a buffer. The value before it stays the one that the next step reads."""
    ops = _ops(applied)
    calls = _calls(ops)
    symbols = _Symbols(step, applied, [], cursor)
    if not all_same([(op.lead, op.persistent) for op in ops.values()]):
        raise CannotPlan
    if any(len(sequence) != len(calls[cursor.active[0]]) for sequence in calls.values()):
        raise CannotPlan
    op = ops[cursor.active[0]]
    paths = {use: each.made.path for use, each in applied.items() if isinstance(each.made, Node)}
    out = Slot(paths, symbols.output(list(ops.values())), label_of(step), step.name is not None)
    out.shape = common_shape(each.output for each in ops.values())
    data = _computed(step, applied, symbols, calls, cursor)
    planned = [
        _planned(position, calls, symbols, cursor, None, [], {"data": data} if data is not None else {})
        for position in range(len(calls[cursor.active[0]]))
    ]
    name = child_name(step, applied, cursor)
    cursor.sight.add(out)
    return Free(name, [], [out], True, calls=planned, trained=bool(op.weights()), persistent=op.persistent)


def _computed(
    step: OpStep, applied: Uses, symbols: _Symbols, calls: Mapping[int, Sequence[Call]], cursor: Cursor
) -> ast.expr | None:
    """Return how the spec computes the numbers of a buffer, which differ or are too many to write out; else None."""
    value = step.arguments.get(symbols.field("data"))
    if value is None or value.constant:
        return None
    numbers = [plain(calls[use][0].arguments["data"]) for use in cursor.active]
    if all_same(numbers) and len(trees.text(literal(numbers[0]))) <= trees.WIDEST:
        return None
    try:
        tree = cursor.translated(value, {use: each.environment for use, each in applied.items()})
        if tree is None:
            return None
        for use in cursor.active:
            data = plain(calls[use][0].arguments["data"])
            found = plain(trees.value_of(tree, partial(cursor.bindings.lookup, use=use), MOST_WORK))
            if trees.same(data, (found,)):
                wrapped = True
            elif trees.same(data, found):
                wrapped = False
            else:
                return None
    except Unprintable:
        return None
    return ast.List([tree], ast.Load()) if wrapped else tree


MOST_WORK = 1_000_000
"""Steps that it may take to work out the numbers of a buffer."""


def _calls(ops: Mapping[int, Op]) -> dict[int, tuple[Call, ...]]:
    """Return the calls of each use's op; equal ops are asked once."""
    known: dict[int, tuple[Call, ...]] = {}
    found = {}
    for use, op in ops.items():
        if id(op) not in known:
            known[id(op)] = op.calls()
        found[use] = known[id(op)]
    return found


def _planned(
    position: int,
    calls: Mapping[int, Sequence[Call]],
    symbols: _Symbols,
    cursor: Cursor,
    padded: ast.expr | None,
    statements: list[Statement],
    known: Mapping[str, ast.expr] = MappingProxyType({}),
) -> CallPlan:
    """Return one call with its arguments as code; what has to stand before it goes to `statements`.

    `padded` is the condition under which a pad stands before, `known` has the code of some arguments.
    """
    rows = {use: sequence[position] for use, sequence in calls.items()}
    first = rows[cursor.active[0]]
    if any(call.target != first.target or call.arguments.keys() != first.arguments.keys() for call in rows.values()):
        raise CannotPlan
    form = (first.reads, first.options, first.item, first.size_of)
    if any((call.reads, call.options, call.item, call.size_of) != form for call in rows.values()):
        raise CannotPlan
    found = CallPlan(first.target, {}, first.listed, *form)
    for key in first.arguments:
        if key in known:
            found.arguments[key] = known[key]
            continue
        values = [rows[use].arguments[key] for use in cursor.active]
        candidates = symbols.candidates(len(calls[cursor.active[0]]) - position, key)
        if padded is not None and key == "padding":
            candidates = [*candidates, partial(_either, padded, values, cursor)]
        each_axis = _each_axis(values)
        tree = cursor.bindings.expressed(cursor.active, each_axis, candidates) if each_axis else None
        if tree is None and key == "padding" and "kernel_size" in found.arguments:
            tree = _half_or_given(found.arguments["kernel_size"], values, candidates, cursor, statements)
        found.arguments[key] = tree or cursor.bindings.express(cursor.active, values, candidates, symbols.field(key))
    return found


def _half_or_given(
    kernel: ast.expr,
    values: Sequence[Any],
    candidates: Sequence[Candidate],
    cursor: Cursor,
    statements: list[Statement],
) -> ast.expr | None:
    """Return a padding that is half the kernel in most uses as an argument that may be left out; None if it is not."""
    bindings = cursor.bindings
    if not isinstance(bindings, ClassBindings) or bindings.kept is not None or len(cursor.active) < bindings.uses:
        return None
    if not names_in(kernel) or not all(type(value) is int for value in values) or all_same(values):
        return None
    half = ast.BinOp(kernel, ast.FloorDiv(), ast.Constant(2))
    given = [not bindings.holds(half, [use], [value]) for use, value in zip(cursor.active, values, strict=True)]
    if not any(given) or 2 * sum(given) > len(given) or bindings.expressed(cursor.active, values, candidates):
        return None
    own = [value if here else None for value, here in zip(values, given, strict=True)]
    argument = bindings.add_argument("padding", "", cursor.active, own)
    assert isinstance(argument, ast.Name)
    bindings.arguments[argument.id].default = None
    bindings.bind("", argument.id, cursor.active, values)
    is_none = ast.Compare(argument, [ast.Is()], [ast.Constant(None)])
    statements.append(Let(target=argument.id, value=ast.IfExp(is_none, half, argument)))
    return argument


def _each_axis(values: Sequence[Any]) -> list[Any] | None:
    """Return sizes for each axis in every use, if some uses have these and others one number for all axes."""
    lengths = {len(value) for value in values if isinstance(value, tuple)}
    if len(lengths) != 1 or not any(type(value) is int for value in values):
        return None
    (length,) = lengths
    return [(value,) * length if type(value) is int else value for value in values]


def _either(test: ast.expr, values: Sequence[Any], cursor: Cursor) -> ast.expr | None:
    """Return `a if test else b`, if the values are one of two by a condition."""
    held: dict[bool, list[Any]] = {True: [], False: []}
    for use, value in zip(cursor.active, values, strict=True):
        held[bool(trees.value_of(test, lambda name, use=use: cursor.bindings.lookup(name, use)))].append(plain(value))  # type: ignore[misc]
    if not all(held.values()) or not all(map(all_same, held.values())):
        return None
    return ast.IfExp(test, literal(held[True][0]), literal(held[False][0]))


def _padding_apart(
    step: OpStep, applied: Uses, reads: list[Slot], calls: dict[int, tuple[Call, ...]], cursor: Cursor
) -> tuple[list[Statement], list[Slot], dict[int, tuple[Call, ...]]]:
    """Return the pad that only some uses have as a statement under a condition, and what is left.

    Raises: CannotPlan if the calls differ in more than that.
    """
    padded = [use for use in cursor.active if calls[use][0].target == "F.pad"]
    rest = {use: calls[use][1:] if use in padded else calls[use] for use in cursor.active}
    targets = [[call.target for call in sequence] for sequence in rest.values()]
    if any(other != targets[0] for other in targets) or len(reads) != 1:
        raise CannotPlan
    test = cursor.bindings.express(cursor.active, [use in padded for use in cursor.active], [], f"pad_{step.label}")
    arguments: dict[str, ast.expr] = {}
    first = calls[padded[0]][0]
    for key in first.arguments:
        values = [calls[use][0].arguments[key] for use in padded]
        arguments[key] = cursor.bindings.express(padded, values, [], "pad")
    inner = Slot({use: f"{applied[use].result}#padded" for use in padded}, reads[0].sizes, "padded")
    out = Slot({use: f"{applied[use].result}#in" for use in cursor.active}, reads[0].sizes, "padded")
    pad = Leaf("", reads, [inner], op=step.op, calls=[CallPlan("F.pad", arguments)])
    branch = Branch("", [], [out], test=test, statements=[pad], result=inner, other_result=reads[0])
    return [branch], [out], rest


class _Symbols:
    """The arguments of one op as expressions, by running its own arithmetic on symbolic numbers."""

    def __init__(self, step: OpStep, applied: Uses, reads: list[Slot], cursor: Cursor) -> None:
        self.step, self.cursor = step, cursor
        self.calls: tuple[Call, ...] = ()
        self.shape: Shape = ()
        use = _telling(applied, cursor.active)
        inputs = tuple(self._input(slot, path, use) for slot, path in zip(reads, applied[use].reads, strict=True))
        arguments = dict(step.constants)
        environments = {each: applied[each].environment for each in cursor.active}
        for name, value in step.made:
            arguments[name] = self._argument(value, use, environments, name in step.defaults)
        numbers = self._numbers(use, environments)
        if numbers is not None:
            arguments["numbers"] = numbers
        made = applied[use].made
        leads = made.op.leads if isinstance(made, Node) else ()
        self.given = inputs, arguments, leads
        try:
            self.calls, self.shape = symbolic_calls(step.op, inputs, arguments, leads)
        except (Complaint, TypeError, ValueError):
            self.calls = ()

    def shape_of(self, result: Mapping[str, Any]) -> Shape:
        """Return the shape of one result of an op that has several."""
        inputs, arguments, leads = self.given
        try:
            return symbolic_calls(self.step.op, inputs, {**arguments, **result}, leads)[1]
        except (Complaint, TypeError, ValueError):
            return ()

    def _input(self, slot: Slot, path: str, use: int) -> Shape:
        shape = self.cursor.shape(use, path)
        sizes = slot.sizes or (None,) * len(shape)
        return tuple(
            _remembering(size, tree, self.cursor.bindings, use) for size, tree in zip(shape, sizes, strict=True)
        )

    def _numbers(self, use: int, environments: Mapping[int, Any]) -> list[Any] | None:
        """Return the numbers among the operands, those remembering their expressions that have some."""
        reads = self.step.reads
        if reads is None or not self.step.takes_numbers:
            return None
        numbers = number_operands(reads.evaluate(environments[use]))
        if numbers is None or reads.constant:
            return numbers
        try:
            tree = self.cursor.translated(reads, environments)
        except Unprintable:
            return numbers
        trees_ = tree.elts if isinstance(tree, ast.List | ast.Tuple) else [None, tree]
        if len(trees_) != len(numbers):
            return numbers
        return [
            symbolic(number, tree) if number is not None and tree is not None and names_in(tree) else number
            for number, tree in zip(numbers, trees_, strict=True)
        ]

    def _argument(self, value: Value, use: int, environments: Mapping[int, Any], default: bool) -> Any:
        """Return an argument that remembers its expression; a plain one if the code cannot say it."""
        cursor = self.cursor
        if default:
            root = cursor.trace.roots[cursor.trace.network[cursor.owners[use]]].environment
            environments = dict.fromkeys(cursor.active, root)
        plain_value = value.evaluate(environments[use])
        try:
            tree = cursor.translated(value, environments)
        except Unprintable:
            return plain_value
        return plain_value if tree is None else _spread(plain_value, tree)

    def candidates(self, from_end: int, key: str) -> list[Candidate]:
        """Return ways to express an argument of a torch call, which is counted from the last, the best first."""
        if from_end > len(self.calls):
            return []
        tree = tree_of(self.calls[-from_end].arguments.get(key))
        if tree is None or not names_in(tree):
            return []
        return [partial(_halved, tree), lambda: tree]

    def field(self, key: str) -> str:
        """Return what the spec calls an argument of a torch call."""
        for name, declared in self.step.op.fields.items():
            if key == name or key in declared.also_called:
                return name
        return {"in_channels": "in_channels", "num_features": "in_channels"}.get(key, key)

    def output(self, ops: Sequence[Op], shape: Shape | None = None) -> tuple[ast.expr | None, ...]:
        """Return the expressions of the output's axes; None for those that the code cannot say."""
        shape = self.shape if shape is None else shape
        found: list[ast.expr | None] = []
        rank = len(ops[0].output)
        if any(len(op.output) != rank for op in ops):
            return ()
        for axis in range(rank):
            values = [op.output[axis] for op in ops]
            tree = tree_of(shape[axis]) if axis < len(shape) else None
            if all_same(values):
                found.append(literal(int(values[0])))
            elif tree is not None and self.cursor.bindings.holds(tree, self.cursor.active, values):
                found.append(tree)
            else:
                found.append(None)
        return tuple(found)


def _telling(applied: Uses, active: Sequence[int]) -> int:
    """Return the use whose calls tell most: lists of equal sizes are one number in them, whatever the spec says."""

    def lists(use: int) -> int:
        made = applied[use].made
        calls = made.op.calls() if isinstance(made, Node) else ()
        return sum(isinstance(value, tuple) for call in calls for value in call.arguments.values())

    return max(active, key=lists) if len(active) > 1 else active[0]


def _remembering(size: int, tree: ast.expr | None, bindings: Bindings, use: int) -> int:
    """Return a size that remembers its expression, if that is right here."""
    if tree is None or not names_in(tree):
        return size
    try:
        value = trees.value_of(tree, lambda name: bindings.lookup(name, use))
    except Unprintable:
        return size
    found: int = symbolic(size, tree) if value == size else size
    return found


def _spread(value: Any, tree: ast.expr) -> Any:
    """Return a value that remembers its expression, each item of a list its own."""
    if isinstance(value, list) and isinstance(tree, ast.Tuple | ast.List) and len(tree.elts) == len(value):
        return [_spread(item, element) for item, element in zip(value, tree.elts, strict=True)]
    return symbolic(value, tree) if names_in(tree) else value


def _halved(tree: ast.expr) -> ast.expr | None:
    """Return `(kernel - 1) // 2` as `kernel // 2`, which is the same for odd kernels."""
    match tree:
        case ast.BinOp(
            left=ast.BinOp(left=kernel, op=ast.Sub(), right=ast.Constant(value=1)),
            op=ast.FloorDiv(),
            right=ast.Constant(value=2),
        ):
            return ast.BinOp(kernel, ast.FloorDiv(), ast.Constant(2))
        case ast.Tuple():
            halves = [_halved(item) or item for item in tree.elts]
            return ast.Tuple(halves, ast.Load())
    return None


# Names.


def label_of(step: Step) -> str:
    """Return what to call the result of a step."""
    if step.name is not None and step.fixed_name is None:
        stem = _stem(step)
        if stem:
            return stem
    if step.fixed_name and list_of(step.fixed_name):
        return list_of(step.fixed_name).removesuffix("s") + step.fixed_name.rpartition(".")[2]
    if isinstance(step, ScopeStep):
        return step.fixed_name or (step.repeat.binds if step.repeat else "") or "layers"
    if isinstance(step, ChoiceStep) and not step.fixed_name:
        return re.sub(r"\W+", "_", step.label).strip("_") or "step"
    return step.fixed_name or step.label


def _stem(step: Step) -> str:
    """Return the text that a name with expressions starts with."""
    assert step.name is not None
    found = compile_text(str(step.name.yaml.plain()))
    parts = found.parts if isinstance(found, Template) else ()
    if not parts or not isinstance(parts[0], str):
        return ""
    return parts[0][:-1].removesuffix("s") if parts[0].endswith(".") else parts[0].rstrip("_")


def child_name(step: Step, applied: Uses, cursor: Cursor, stateful: bool = True) -> Name:
    """Return the name of a step as a module; an expression if it differs between the copies of a loop.

    Raises: CannotPlan if the uses differ in a name that is part of a key.
    """
    if cursor.chain and not cursor.keyed:
        return ""
    names = [name_of(applied[use]) for use in cursor.active]
    if all_same(names):
        return names[0]
    template = cursor.bindings.expressed(cursor.active, names, [lambda: _name_template(step, applied, cursor)])
    if template is not None and ("." not in names[0] or entry_of(template) is not None):
        return template
    if stateful:
        raise CannotPlan
    return step.label if names[0].isdecimal() else names[0]


def _name_template(step: Step, applied: Uses, cursor: Cursor) -> ast.expr | None:
    """Return a name with expressions in it as an f-string."""
    found = compile_text(str(step.name.yaml.plain())) if step.name is not None else ""
    parts = [found] if isinstance(found, Expression) else found.parts if isinstance(found, Template) else []
    environments = {use: each.environment for use, each in applied.items()}
    values: list[ast.expr] = []
    for part in parts:
        if isinstance(part, str):
            values.append(ast.Constant(part))
        else:
            value = cursor.translated_tree(part.tree, environments)
            match value:
                case ast.Constant(value=int() | str() as plain_value):
                    values.append(ast.Constant(str(plain_value)))
                case _:
                    values.append(ast.FormattedValue(value, -1))
    return ast.JoinedStr(_joined(values)) if values else None


def _joined(parts: list[ast.expr]) -> list[ast.expr]:
    """Return the parts of an f-string with texts that stand side by side as one."""
    found: list[ast.expr] = []
    for part in parts:
        last = found[-1] if found else None
        if isinstance(part, ast.Constant) and isinstance(last, ast.Constant):
            found[-1] = ast.Constant(f"{last.value!s}{part.value!s}")
        else:
            found.append(part)
    return found
