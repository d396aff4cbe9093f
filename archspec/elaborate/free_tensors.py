"""Free tensors: parameters and buffers that are steps, remembered for the steps that read them."""

from __future__ import annotations

from typing import Any

from archspec.elaborate.context import Context
from archspec.expressions import Environment
from archspec.ops.base import Op
from archspec.program.steps import OpStep


def known_free(context: Context, step: OpStep, environment: Environment) -> Op | None:
    """Return the free tensor that a step made of the same values before: thousands of numbers may be in it."""
    return context.free_ops.get(_key(step, environment)) if step.is_free and step.made else None


def keep_free(context: Context, step: OpStep, environment: Environment, path: str, op: Op) -> None:
    """Remember a free tensor, for the steps that read it and for the step's next use."""
    context.free[path] = op
    key = _key(step, environment) if step.made else None
    if key is not None:
        context.free_ops[key] = op


def _key(step: OpStep, environment: Environment) -> tuple[Any, ...] | None:
    """Return what a free tensor depends on; None if that is more than plain values."""
    if not step.is_free or step.defaults:
        return None
    names = sorted(set().union(*(value.names for _, value in step.made)))
    try:
        return (step, *(_hashable(environment.find(name)) for name in names))
    except TypeError:
        return None


def _hashable(value: Any) -> tuple[Any, ...]:
    """Return a number, text or a list of these as a key, in which 1, 1.0 and true differ. Raises: TypeError."""
    if isinstance(value, list):
        return list, *map(_hashable, value)
    if type(value) not in (int, float, str, bool):
        raise TypeError
    return type(value), value
