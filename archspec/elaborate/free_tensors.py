"""Free tensors: by what their numbers, of which there may be thousands, are found again once they are worked out."""

from __future__ import annotations

from typing import Any

from archspec.expressions import Environment
from archspec.program.steps import OpStep


def free_key(step: OpStep, environment: Environment) -> tuple[Any, ...] | None:
    """Return what the numbers of a free tensor are worked out from, by which they are found again.

    None for any other step, for one whose numbers are written out, and where they depend on more than plain values.
    """
    if not step.is_free or not step.made or step.defaults:
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
