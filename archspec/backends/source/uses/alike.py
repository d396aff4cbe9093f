"""Which uses of a block are alike: equal ones are planned once, those that differ too much get their own classes."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

from archspec.backends.source.uses.trace import Trace, chosen, name_of
from archspec.expressions import Tensor
from archspec.graph import Applied, Node, Scope
from archspec.ops.base import Op
from archspec.program.steps import ChoiceStep


def distinct(trace: Trace, scopes: Sequence[Scope]) -> tuple[list[Scope], dict[Scope, int]]:
    """Return one scope for each way in which scopes of a block differ, and the position of every scope's own."""
    places: dict[Hashable, int] = {}
    found: list[Scope] = []
    index: dict[Scope, int] = {}
    for scope in scopes:
        place = places.setdefault(_use_key(trace, scope), len(found))
        if place == len(found):
            found.append(scope)
        index[scope] = place
    return found, index


def _use_key(trace: Trace, scope: Scope) -> Hashable:
    """Return all that a use of a block depends on: params, arguments, shapes that it reads, what is read of it."""
    values = scope.environment.values if scope.environment else {}
    arguments = tuple((name, _frozen(value)) for name, value in values.items())
    reads = trace.externals(scope)
    shapes = tuple((trace.shape(scope, path), trace.lead(scope, path), reads.index(path)) for path in reads)
    exposed = tuple(path[len(scope.path) :] for path in trace.exposed.get(scope, ()))
    return trace.network[scope], arguments, shapes, exposed


def _frozen(value: Any) -> Hashable:
    """Return a value of the spec in a form that tells 1, 1.0 and true apart."""
    if isinstance(value, Tensor):
        return ("tensor", value.shape)
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    if isinstance(value, dict):
        return tuple((key, _frozen(item)) for key, item in value.items())
    return type(value).__name__, repr(value)


def split(scopes: Iterable[Scope], closely: bool) -> list[list[Scope]]:
    """Return scopes grouped by what stands in them: which steps, how often, under which names, reading what.

    `closely` compares the ops with their arguments too, and what stands in the blocks within.
    """
    groups: dict[Hashable, list[Scope]] = {}
    for scope in scopes:
        groups.setdefault(_signature(scope, closely), []).append(scope)
    return list(groups.values())


_signatures: WeakKeyDictionary[Scope, dict[bool, Hashable]] = WeakKeyDictionary()


def _signature(scope: Scope, closely: bool) -> Hashable:
    known = _signatures.setdefault(scope, {})
    if closely not in known:
        known[closely] = _worked_out(scope, closely)
    return known[closely]


@lru_cache(maxsize=4096)
def _calls(op: Op) -> str:
    """Return the torch calls of an op as text."""
    return str(op.calls())


def _worked_out(scope: Scope, closely: bool) -> Hashable:
    outside: dict[str, int] = {}

    def relative(path: str) -> Hashable:
        return path[len(scope.path) :] if path.startswith(f"{scope.path}.") else outside.setdefault(path, len(outside))

    def entry(applied: Applied) -> Hashable:
        reads = tuple(map(relative, applied.reads))
        made = applied.made
        name = "" if isinstance(made, Scope) and made.kind == "inline" else name_of(applied)
        here: tuple[Hashable, ...] = (id(applied.step), name, reads, relative(applied.result))
        if isinstance(applied.step, ChoiceStep):
            here = (*here, chosen(applied))
        if isinstance(made, Scope) and (closely or made.kind != "block"):
            return (*here, tuple(map(entry, made.items)))
        if isinstance(made, Node) and closely:
            return (*here, _calls(made.op))
        return here

    return tuple(map(entry, scope.items))


def content(applied: Applied) -> Hashable:
    """Return what a step made, comparable between copies: the torch calls in it, not where they stand."""
    made = applied.made
    if isinstance(made, Node):
        return _calls(made.op)
    return None if made is None else _signature(made, closely=True)
