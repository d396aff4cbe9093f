"""The torch calls of an op, with the arguments that differ between its rows as expressions."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from archspec.backends.source.context import Candidate, CannotPlan, Context, known
from archspec.backends.source.expressions import binary, literal, same
from archspec.ops.base import Call, Op
from archspec.program.steps import OpStep, Value
from archspec.shapes import elements

if TYPE_CHECKING:
    from archspec.backends.source.items import Val

_CHANNELS = frozenset({"in_channels", "num_features", "num_channels", "channels", "normalized_shape", "in_features"})
_FIELD_NAMES = {
    "out_channels": "filters",
    "out_features": "units",
    "kernel_size": "kernel",
    "p": "rate",
    "num_groups": "groups",
    "output_size": "size",
    "scale_factor": "scale",
    "upscale_factor": "factor",
    "elementwise_affine": "affine",
}
"""Arguments of torch whose name in a spec is another."""


@dataclass
class CallPlan:
    """A torch call with its arguments as code; `listed` where it takes what it reads as one list."""

    target: str
    arguments: dict[str, ast.expr] = field(default_factory=dict)
    listed: bool = False

    @property
    def is_module(self) -> bool:
        """Whether it constructs a module."""
        return self.target.startswith("nn.") or self.target.isidentifier()


Translate = Callable[[Value], "ast.expr | None"]
"""A value of the spec as code, if code can hold it."""


def plan_calls(
    step: OpStep, ops: list[Op], reads: list[Val], context: Context, active: Sequence[int], translate: Translate
) -> tuple[list[CallPlan], list[ast.expr]]:
    """The calls of an op, and expressions for the channels of its result."""
    by_op: dict[int, tuple[Call, ...]] = {}
    rows = [by_op[id(op)] if id(op) in by_op else by_op.setdefault(id(op), op.calls()) for op in ops]
    if any([call.target for call in row] != [call.target for call in rows[0]] for row in rows):
        raise CannotPlan
    found: list[CallPlan] = []
    sources = _Arguments(step, ops, reads, translate)
    for position, first in enumerate(rows[0]):
        plan = CallPlan(first.target, listed=first.listed)
        if any(row[position].arguments.keys() != first.arguments.keys() for row in rows):
            raise CannotPlan
        for key in first.arguments:
            values = [row[position].arguments[key] for row in rows]
            name = _FIELD_NAMES.get(key, key)
            plan.arguments[key] = context.express(active, values, sources.candidates(key), name)
        found.append(plan)
    return found, sources.channels(found)


class _Arguments:
    """Where the arguments of one op come from."""

    def __init__(self, step: OpStep, ops: list[Op], reads: list[Val], translate: Translate) -> None:
        self.step, self.ops, self.reads, self.translate = step, ops, reads, translate

    def candidates(self, key: str) -> list[Candidate]:
        """Ways to express an argument of the torch call, best first."""
        depthwise = self.step.label == "depthwise_conv"
        if key in _CHANNELS or depthwise and key == "groups":
            return self._channels()
        if depthwise and key == "out_channels":
            times = self._field("multiplier")
            return [*self._channels(), *(lambda c=c: _product(c(), times()) for c in self._channels())]
        if key == "padding":
            kernel = self._field("kernel")
            return [self._field(key), lambda: _half(kernel()), lambda: _half(_minus_one(kernel()))]
        if key == "stride" and self._value("stride") is None:
            return [self._field("kernel")]
        return [self._field(_FIELD_NAMES.get(key, key))]

    def _channels(self) -> list[Candidate]:
        return known(self.reads[0].channels)

    def _value(self, name: str) -> Value | None:
        return self.step.arguments.get(name) or self.step.defaults.get(name)

    def _field(self, name: str) -> Candidate:
        value = self._value(name)
        if value is not None:
            return lambda: self.translate(value)
        declared = self.step.op.fields.get(name)
        default = declared.default if declared else None
        return lambda: literal(default) if isinstance(default, int | float | str) else None

    def channels(self, calls: list[CallPlan]) -> list[ast.expr]:
        """Expressions for the channels of the result."""
        outs = [op.output[0] for op in self.ops]
        if all(size == outs[0] for size in outs):
            return [literal(outs[0])]
        for call in calls:
            for key in ("out_channels", "out_features"):
                if key in call.arguments and (key == "out_channels" or self.ops[0].rank == 0):
                    return [call.arguments[key]]
        if self.step.label == "concat" and all(self._axis(op) == 0 for op in self.ops):
            total: ast.expr | None = None
            for val in self.reads:
                if not val.channels:
                    return []
                total = val.channels[0] if total is None else binary(total, ast.Add(), val.channels[0])
            return [total] if total else []
        if self.step.label == "flatten":
            areas = [elements(op.spatial) for op in self.ops]
            if all(same(area, areas[0]) for area in areas):
                return [binary(tree, ast.Mult(), literal(areas[0])) for tree in self.reads[0].channels]
            return []
        return [tree for val in self.reads for tree in val.channels]

    @staticmethod
    def _axis(op: Op) -> Any:
        return getattr(op, "position", None)


def _product(left: ast.expr | None, right: ast.expr | None) -> ast.expr | None:
    return binary(left, ast.Mult(), right) if left and right else None


def _half(tree: ast.expr | None) -> ast.expr | None:
    return binary(tree, ast.FloorDiv(), literal(2)) if tree else None


def _minus_one(tree: ast.expr | None) -> ast.expr | None:
    return binary(tree, ast.Sub(), literal(1)) if tree else None
