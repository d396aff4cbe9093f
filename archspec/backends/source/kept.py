"""Which params of a spec stay arguments of the network's class: those whose other values need no other code.

The network is elaborated a second time, with other values for them; the planner then finds code that is right for both.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from archspec.backends.source.context import CannotPlan, NotKept
from archspec.backends.source.plan import Planner
from archspec.elaborate import Elaboration, elaborate
from archspec.expressions import Expression, Template, compile_text
from archspec.graph import Graph
from archspec.network import Network
from archspec.program.steps import CallStep, OpStep, Program, ScopeStep, Step, Value

HEAD = "num_classes"
"""The param that every network's class keeps, where it can."""


def planned(network: Network) -> Planner:
    """The classes, with as many params kept as arguments of the network's class as can be."""
    elaboration = network.elaboration
    traced = _traced(network, {})
    assert traced is not None, f"{network.name} is sound, but not when it is traced"
    wanted = _candidates(elaboration)
    choices = [wanted, [name for name in wanted if name == HEAD], []]
    for number, names in enumerate(choices):
        if names in choices[:number]:
            continue
        other = _traced(network, {name: _different(network.params[name]) for name in names}) if names else None
        if names and other is None:
            continue
        graphs = [traced, other] if other is not None else [traced]
        planner = Planner(graphs, elaboration.program.steps, network.description, names)
        try:
            planner.run()
        except (NotKept, CannotPlan):
            if not names:
                raise
            continue
        return planner
    raise AssertionError("a network without params always has its code")


def _traced(network: Network, values: Mapping[str, Any]) -> Graph | None:
    """The graph with what became of every step, and other `values` for some params; None where these do not fit."""
    program = network.elaboration.program
    shapes = {name: list(shape) for name, shape in network.graph.inputs.items()}
    result = elaborate(program.document, {**network.params, **values}, shapes, program, trace=True)
    return None if result.diagnostics else result.graph


def _different(value: Any) -> Any:
    """Another value for a param: what follows it in the graph then shows."""
    if isinstance(value, float):
        return value / 2 if value else 0.25
    return value + 8


def _candidates(elaboration: Elaboration) -> list[str]:
    """Params of one number, which only arguments of layers outside blocks use, in sums and products."""
    program = elaboration.program
    found = {
        name
        for name, value in elaboration.params.items()
        if type(value) in (int, float) and program.params[name].constant
    }
    derived = {name for value in program.params.values() for name in value.names}
    found -= derived
    for value, free in _values(program):
        if value.names & found and not (free and _plain(value)):
            found -= value.names
    return sorted(found, key=lambda name: (name != HEAD, list(elaboration.params).index(name)))


def _plain(value: Value) -> bool:
    """Whether a value is an expression that goes well with any number."""
    yaml = value.yaml.plain()
    parsed = compile_text(yaml) if isinstance(yaml, str) else None
    if isinstance(parsed, Template) or not isinstance(parsed, Expression):
        return False
    return not any(isinstance(node, ast.Call | ast.Subscript | ast.IfExp) for node in ast.walk(parsed.tree))


def _values(program: Program) -> Iterator[tuple[Value, bool]]:
    """Every value of the steps, and whether a param in it may vary."""
    document = program.document
    for key in ("input", "outputs"):
        if key in document.keys:
            yield Value(document.keys[key]), False
    yield from _step_values(program.steps, False)
    for block in program.blocks.values():
        yield from ((value, False) for value in block.params.values() if value is not None)
        yield from _step_values(block.steps, True)


def _step_values(steps: Sequence[Step], within: bool) -> Iterator[tuple[Value, bool]]:
    """As `_values`; `within` a block, only `num_classes` may vary."""
    for step in steps:
        fixed = [step.name, step.reads, step.when, step.repeat.count if step.repeat else None]
        yield from ((value, False) for value in fixed if value is not None)
        if isinstance(step, OpStep):
            for name, value in {**step.defaults, **step.arguments}.items():
                yield value, step.op.fields[name].free and (not within or value.names == {HEAD})
        elif isinstance(step, CallStep):
            yield from ((value, not within) for value in step.arguments.values())
        elif isinstance(step, ScopeStep):
            yield from ((value, False) for value in step.let.values())
            yield from _step_values(step.steps, within)
