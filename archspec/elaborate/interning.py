"""Equal ops on equal shapes are one object: what follows from them is worked out once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from archspec.errors import Complaint
from archspec.ops.base import Op
from archspec.shapes import Lead, Shape

_PLAIN = frozenset({int, float, bool, str, type(None)})


def applied(op: type[Op], shapes: tuple[Shape, ...], arguments: Mapping[str, Any], leads: tuple[Lead, ...] = ()) -> Op:
    """Apply `op` to inputs of these shapes, plain integers all. Raises: Complaint if it does not fit."""
    names, values = tuple(arguments), tuple(arguments.values())
    types = tuple(map(type, values))  # 1, 1.0 and true are equal, but not the same
    if _PLAIN.issuperset(types):
        return _interned(op, shapes, names, values, types, leads)  # type: ignore[arg-type] # mypy: the hash of an instance
    if not any(map(_bulky, values)):
        try:
            frozen = tuple(map(_frozen, values))
            return _interned(op, shapes, names, frozen, tuple(map(_type, values)), leads)  # type: ignore[arg-type]
        except Complaint:
            pass  # it speaks of tuples, where the spec has lists
    return op(shapes, arguments, leads=leads)


@lru_cache(maxsize=4096)
def _interned(
    op: type[Op],
    shapes: tuple[Shape, ...],
    names: tuple[str, ...],
    values: tuple[Any, ...],
    types: tuple[Any, ...],  # noqa: ARG001 for the cache
    leads: tuple[Lead, ...],
) -> Op:
    return op(shapes, dict(zip(names, values, strict=True)), leads=leads)


def _bulky(value: Any, levels: int = 2) -> bool:
    """Return whether a value is larger than an argument of an op can be: a pair for each axis is the largest."""
    if isinstance(value, list):
        return not levels or len(value) > 8 or any(_bulky(item, levels - 1) for item in value)
    return isinstance(value, dict)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _type(value: Any) -> Any:
    return tuple(map(_type, value)) if isinstance(value, list) else type(value)
