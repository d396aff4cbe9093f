"""What an `nn.Sequential` of a scope would hold: one module after another, each with the name of its step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from archspec.backends.source.uses.trace import flat, name_of
from archspec.graph import Applied, Node, Scope
from archspec.ops.base import Call

AS_MODULES = frozenset({"torch.permute", "F.pad", "torch.flatten"})
"""Functions that have a module of the same effect, ours or torch's."""


class Element(NamedTuple):
    """One module of a sequential: the torch call, or None for a scope. `stateful` if its name is in a key."""

    name: str
    call: Call | None
    stateful: bool


class Layout(NamedTuple):
    """How the modules of a chain are kept: by position or by name, with or without permutes that undo each other."""

    keyed: bool
    cancelled: bool


def chain_layout(scopes: Iterable[Scope]) -> Layout | None:
    """Return how scopes are an `nn.Sequential`; None if a step of one cannot be a module."""
    items = [scope.items for scope in scopes]
    for cancelled in (True, False):
        inside = [elements(each, cancelled) for each in items]
        if any(found is None for found in inside):
            return None
        if all(is_positional(found) for found in inside if found is not None):
            return Layout(False, cancelled)
    return Layout(True, False)


def elements(items: Iterable[Applied], cancelled: bool = True) -> list[Element] | None:
    """Return the modules of a scope in order; None if one of its steps cannot be a module.

    A layer norm between two permutes is one module. If `cancelled`, permutes that undo each other are left out.
    """
    found: list[Element] = []
    for applied in flat(items):
        made = applied.made
        if "." in name_of(applied):  # it stands in an nn.ModuleList
            return None
        if not isinstance(made, Node):
            found.append(Element(name_of(applied), None, True))
            continue
        stateful = bool(made.op.weights() or made.op.buffers())
        for call in made.op.calls():
            if not call.is_module and call.target not in AS_MODULES:
                return None
            element = Element(name_of(applied), call, stateful and call.is_module)
            if cancelled and found and undoes(found[-1].call, call):
                found.pop()
            else:
                found.append(element)
    return list(_fused(found))


def _fused(found: Sequence[Element]) -> Iterable[Element]:
    at = 0
    while at < len(found):
        around = [element.call.target if element.call else "" for element in found[at : at + 3]]
        if around == ["torch.permute", "nn.LayerNorm", "torch.permute"]:
            yield found[at + 1]
            at += 3
        else:
            yield found[at]
            at += 1


def undoes(first: Call | None, second: Call) -> bool:
    """Return whether two permutes in a row change nothing."""
    if first is None or first.target != "torch.permute" or second.target != "torch.permute":
        return False
    one, other = tuple(first.arguments["dims"]), tuple(second.arguments["dims"])
    return tuple(one[axis] for axis in other) == tuple(range(len(one)))


def is_positional(found: Sequence[Element]) -> bool:
    """Return whether every name that is in a key is the module's position, as `nn.Sequential` gives it."""
    return all(element.name == str(place) for place, element in enumerate(found) if element.stateful)
