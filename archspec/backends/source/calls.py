"""The torch calls of an op, with the arguments that differ between its rows as expressions.

The op itself tells where each argument comes from: its own arithmetic is run on symbolic integers, named after its
fields and the channels of its inputs. What stands for these names where the op is used is put in their place.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, NamedTuple

from archspec.backends.source.context import CannotPlan, Context
from archspec.backends.source.expressions import Unprintable, literal, names_in
from archspec.errors import Complaint
from archspec.expressions import Environment, UnknownShape
from archspec.ops.base import Call, Op, symbolic_calls
from archspec.ops.symbolic import Sym, name, substituted, symbolic, tree_of
from archspec.program.steps import OpStep, Value
from archspec.shapes import Shape

if TYPE_CHECKING:
    from archspec.backends.source.items import Val


@dataclass
class CallPlan:
    """A torch call with its arguments as code; `listed` where it takes what it reads as one list."""

    target: str
    arguments: dict[str, ast.expr] = field(default_factory=dict)
    listed: bool = False

    @property
    def is_module(self) -> bool:
        """Whether it constructs a module."""
        return Call(self.target).is_module

    @property
    def is_operator(self) -> bool:
        """Whether an operator stands between all that it reads."""
        return Call(self.target).is_operator


Translate = Callable[[Value], "ast.expr | None"]
"""A value of the spec as code, if code can hold it."""

Replaced = Callable[[], ast.expr]
"""An expression of the op in terms of the code; Unprintable where code cannot hold it."""


class Symbolic(NamedTuple):
    """The calls and the output of an op, as expressions of its fields and of the sizes that it reads.

    `0.1` stands for axis 1 of the first input.
    """

    calls: tuple[Call, ...]
    output: Shape


def plan_calls(
    step: OpStep,
    ops: Sequence[Op],
    environments: Sequence[Environment],
    reads: Sequence[Val],
    context: Context,
    active: Sequence[int],
    translate: Translate,
) -> tuple[list[CallPlan], list[list[ast.expr]]]:
    """Return the calls of an op, and expressions for the size of each axis of its result.

    Of each row there are the op and what its arguments see.
    """
    by_op: dict[int, tuple[Call, ...]] = {}
    rows = [by_op[id(op)] if id(op) in by_op else by_op.setdefault(id(op), op.calls()) for op in ops]
    if any([call.target for call in row] != [call.target for call in rows[0]] for row in rows):
        raise CannotPlan
    sources = _Sources(step, ops, environments, reads, translate)
    plans: list[CallPlan] = []
    for position, first in enumerate(rows[0]):
        plan = CallPlan(first.target, listed=first.listed)
        if any(row[position].arguments.keys() != first.arguments.keys() for row in rows):
            raise CannotPlan
        for key in first.arguments:
            values = [row[position].arguments[key] for row in rows]
            plan.arguments[key] = context.constant(active, values) or context.express(
                active, values, sources.candidates(position, key), sources.field_of(position, key)
            )
        plans.append(plan)
    axes = range(min(len(op.output) for op in ops))
    return plans, [sources.sizes(axis, plans) for axis in axes]


class _Sources:
    """Where the arguments of the calls of one op come from."""

    def __init__(
        self,
        step: OpStep,
        ops: Sequence[Op],
        environments: Sequence[Environment],
        reads: Sequence[Val],
        translate: Translate,
    ) -> None:
        self.step, self.ops, self.environments, self.reads, self.translate = step, ops, environments, reads, translate
        self.given = {**step.defaults, **step.arguments}

    @cached_property
    def runs(self) -> list[Symbolic]:
        """The ops of the first row and of the last, run on symbolic integers: the others hardly ever differ."""
        ends = {id(self.ops[at]): (self.ops[at], self.environments[at]) for at in (0, -1)}
        return [run for op, environment in ends.values() if (run := self._run(op, environment)) is not None]

    def _run(self, op: Op, environment: Environment) -> Symbolic | None:
        inputs = tuple(
            tuple(Sym(size, name(f"{number}.{axis}")) if val.sizes(axis) else size for axis, size in enumerate(shape))
            for number, (shape, val) in enumerate(zip(op.inputs, self.reads, strict=True))
        )
        try:
            values = {key: symbolic(value.evaluate(environment), name(key)) for key, value in self.given.items()}
            calls, output = symbolic_calls(type(op), inputs, values)
        except (Complaint, UnknownShape):
            return None
        # A default of the document sees its params only, which may have other values in this place.
        return Symbolic(calls, output) if (calls, output) == (op.calls(), op.output) else None

    def candidates(self, position: int, key: str) -> Iterator[Replaced]:
        """Yield ways to express an argument of a torch call, best first."""
        seen: set[str] = set()
        for run in self.runs:
            tree = tree_of(run.calls[position].arguments[key])
            if tree is not None and (text := ast.dump(tree)) not in seen:
                seen.add(text)
                yield from self._in_place(tree)

    def field_of(self, position: int, key: str) -> str:
        """Return the field that an argument of torch is, or torch's own name for it where it is none."""
        if key in self.step.op.fields or not self.runs:
            return key
        tree = tree_of(self.runs[0].calls[position].arguments[key])
        return (_name_of(tree) if tree is not None else "") or key

    def sizes(self, axis: int, plans: Sequence[CallPlan]) -> list[ast.expr]:
        """Return expressions for the size of an axis of the result."""
        outs = [op.output[axis] for op in self.ops]
        if all(size == outs[0] for size in outs):
            return [] if axis else [literal(outs[0])]
        found = self._computed(axis, plans)
        for number, val in enumerate(self.reads if axis == 0 else ()):
            if all(op.inputs[number][0] == op.output[0] for op in self.ops):
                found += val.channels
        return found

    def _computed(self, axis: int, plans: Sequence[CallPlan]) -> list[ast.expr]:
        """Return expressions for what the op computes: an argument of a call, or a sum or product."""
        trees = {ast.dump(tree): tree for run in self.runs if (tree := tree_of(run.output[axis])) is not None}
        if len(trees) != 1:
            return []
        (dump, tree), *_ = trees.items()
        if not isinstance(tree, ast.Name) or not _is_size(tree.id):  # else what it reads, as it is
            for call, plan in zip(self.runs[0].calls, plans, strict=True):
                for key, value in call.arguments.items():
                    if (other := tree_of(value)) is not None and ast.dump(other) == dump:
                        return [plan.arguments[key]]
        found: list[ast.expr] = []
        for candidate in self._in_place(tree):
            with suppress(Unprintable):
                found.append(candidate())
        return found

    def _in_place(self, tree: ast.expr) -> Iterator[Replaced]:
        """Yield what stands for an expression of fields and sizes where the op is used."""
        sizes = [self._sizes_of(found) for found in names_in(tree) if _is_size(found)]
        for choice in range(max(map(len, sizes), default=1)):
            yield from (partial(self._replaced, variant, choice) for variant in _variants(tree))

    def _sizes_of(self, found: str) -> list[ast.expr]:
        number, _, axis = found.partition(".")
        return self.reads[int(number)].sizes(int(axis))

    def _replaced(self, tree: ast.expr, choice: int) -> ast.expr:
        def replacement(found: str) -> ast.expr:
            if _is_size(found):
                sizes = self._sizes_of(found)
                return sizes[min(choice, len(sizes) - 1)]
            translated = self.translate(self.given[found])
            if translated is None:
                raise Unprintable
            return translated

        return substituted(tree, replacement)


def _is_size(found: str) -> bool:
    """Tell whether a name stands for an axis of an input; else it is a field."""
    return not found.isidentifier()


def _variants(tree: ast.expr) -> Iterator[ast.expr]:
    """Yield shorter forms of an expression that people prefer where they hold, and itself."""
    match tree:
        case ast.BinOp(ast.BinOp(rest, ast.Sub(), ast.Constant(1)), ast.FloorDiv(), divisor):
            yield ast.BinOp(rest, ast.FloorDiv(), divisor)  # half of an odd kernel
    yield tree


def _name_of(tree: ast.expr) -> str:
    """Return the field that an expression passes on, or whose items it lists; empty where it computes."""
    match tree:
        case ast.Name(id=found) if not _is_size(found):
            return found
        case ast.Subscript(value=value):
            return _name_of(value)
        case ast.Tuple(elts=items):
            names = {_name_of(item) for item in items}
            return names.pop() if len(names) == 1 else ""
    return ""
