"""Generation: a network is traced, planned, polished and written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from archspec.backends.source.identifiers import Names, class_name
from archspec.backends.source.plan.bindings import CannotPlan, Open
from archspec.backends.source.plan.classes import Planner
from archspec.backends.source.plan.ir import ClassPlan
from archspec.backends.source.polish.rules import polish
from archspec.backends.source.uses.parameters import candidates, traced
from archspec.backends.source.write.file import rendered
from archspec.errors import UsageError
from archspec.network import InputShapes, Network, load, together
from archspec.ops.torch_api import LAYERS


def generate(
    spec: str | os.PathLike[str] | Network,
    /,
    *,
    template: str | None = None,
    input: InputShapes | None = None,
    params: Mapping[str, Any] | None = None,
    **named: Any,
) -> str:
    """Return the Python source of a network: of a spec by its path or name, loaded as by `load`, or of a `Network`."""
    given = together(params, named)
    if not isinstance(spec, Network):
        return generate_source(load(spec, input=input, params=given), template)
    if given or input is not None:
        raise UsageError("params cannot be set of a network that is loaded already", "give them to `load`")
    return generate_source(spec, template)


def generate_source(network: Network, template: str | None = None) -> str:
    """Return the Python source of a network.

    Args:
        network: The network, loaded.
        template: A jinja2 template file in place of `templates/module.py.jinja`.
    """
    classes = plan(network)
    for each in classes:
        polish(each)
    shapes = {**network.graph.inputs, **{node.path: node.shape for node in network.graph.nodes}}
    return rendered(network, classes, shapes, template)


def plan(network: Network) -> list[ClassPlan]:
    """Return the classes of a network as they are planned, before they are polished; the network's own is the last.

    As many params as can stay arguments of the network's class; each that cannot is left out by itself.
    """
    names = candidates(network.elaboration)
    top = class_name(network.name, network.description)
    while True:
        trace, kept = traced(network, names)
        planner = Planner(trace, network.elaboration.program, kept)
        try:
            classes = planner.network(top)
        except Open as error:
            if not names:
                raise
            blamed = {name for number, name in enumerate(kept, start=1) if number in error.networks}
            names = [name for name in kept if name not in (blamed or set(kept))]
            continue
        except CannotPlan:
            if not names:
                raise
            apart = [name for name in kept if len(kept) > 1 and _can_be_planned(network, name, top)]
            names = apart if len(apart) < len(names) else names[:-1]
            continue
        _name_classes(classes, network)
        return classes


def _can_be_planned(network: Network, name: str, top: str) -> bool:
    """Return whether the network can be planned with one param as an argument: its other value may change too much."""
    trace, kept = traced(network, [name])
    try:
        Planner(trace, network.elaboration.program, kept).network(top)
    except (CannotPlan, Open):
        return False
    return bool(kept)


def _name_classes(classes: list[ClassPlan], network: Network) -> None:
    """Give every class a name of its own, spelled as the network's own is."""
    top = classes[-1].name
    names = Names(frozenset({*LAYERS, "F", top}))
    taken = {name for plan in classes for name in plan.bindings.kinds}
    names.taken.update(taken)
    for each in classes[:-1]:
        if each.stands_for is not None:
            name = class_name(each.stands_for.name, each.stands_for.text("description") or "")
        else:
            name = class_name(each.name, f"{top} {network.description}")
        if name == top:
            name += "Block"
        each.name = names.unique(name)
