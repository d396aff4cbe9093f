"""Which params of a spec may stay arguments of the network's class: each by itself, if the code fits other values.

The network is traced once more for each of them, with another value; the planner then finds code that is right for all.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from archspec.backends.source.uses.trace import Trace
from archspec.elaborate import Elaboration, elaborate
from archspec.expressions import Expression, Template, compile_text
from archspec.graph import Graph
from archspec.network import Network
from archspec.program.steps import CallStep, ChoiceStep, OpStep, Program, ScopeStep, Step, UseStep, Value

HEAD = "num_classes"
"""The param that every network's class keeps, where it can; of others, only rates of dropout go into blocks."""


def traced(network: Network, names: Sequence[str]) -> tuple[Trace, dict[str, list[Any]]]:
    """Return the trace of a network with variants for params, and the values of these params in each variant.

    A param whose other value does not fit the network is left out.
    """
    graph = _graph(network, {})
    assert graph is not None, f"{network.name} is sound, but not when it is traced"
    graphs, kept = [graph], []
    for name in names:
        other = _graph(network, {name: _different(network.params[name])})
        if other is not None and _drawn_alike(graph, other):
            graphs.append(other)
            kept.append(name)
    values = {
        name: [network.params[name]]
        + [_different(network.params[name]) if name == other else network.params[name] for other in kept]
        for name in kept
    }
    return Trace(graphs), values


def _graph(network: Network, values: Mapping[str, Any]) -> Graph | None:
    """Return the graph with what became of every step; None if other `values` for some params do not fit."""
    program = network.elaboration.program
    shapes = {name: list(shape) for name, shape in network.graph.inputs.items()}
    result = elaborate(program.document, {**network.params, **values}, shapes, program, trace=True)
    return None if result.diagnostics else result.graph


def _drawn_alike(graph: Graph, other: Graph) -> bool:
    """Return whether one loop draws the weights of both: it does not see the params."""
    rules = {node.path: {name: draw.rule for name, draw in node.draws.items()} for node in graph.nodes if node.draws}
    return all(
        rules.get(node.path, {}) == {name: draw.rule for name, draw in node.draws.items()} for node in other.nodes
    )


def _different(value: Any) -> Any:
    """Return another value for a param: what follows it in the graph then shows.

    An integer keeps what divides it, and becomes so large that no slice is cut short any more at the end of an axis.
    """
    if isinstance(value, float):
        return value / 2 if value else 0.25
    return value + 1024


def candidates(elaboration: Elaboration) -> list[str]:
    """Return the params of one number that only free arguments of layers use, in sums and products."""
    program = elaboration.program
    found = {
        name
        for name, value in elaboration.params.items()
        if type(value) in (int, float) and program.params[name].constant
    }
    behind = _behind(program)
    for value, free in _values(program):
        names = value.names.union(*(behind.get(name, ()) for name in value.names))
        if names & found and not (free and _is_plain(value)):
            found -= names
    return sorted(found, key=lambda name: (name != HEAD, list(elaboration.params).index(name)))


def _behind(program: Program) -> dict[str, set[str]]:
    """Return the params that each other param follows from."""
    found: dict[str, set[str]] = {}
    for name, value in program.params.items():
        found[name] = set(value.names).union(*(found.get(other, ()) for other in value.names))
    return found


def _is_plain(value: Value) -> bool:
    """Return whether a value is an expression that goes well with any number."""
    yaml = value.yaml.plain()
    parsed = compile_text(yaml) if isinstance(yaml, str) else None
    if isinstance(parsed, Template) or not isinstance(parsed, Expression):
        return False
    return not any(isinstance(node, ast.Call | ast.Subscript | ast.IfExp) for node in ast.walk(parsed.tree))


def _values(program: Program) -> Iterator[tuple[Value, bool]]:
    """Yield every value of the steps, and whether a param in it may vary."""
    document = program.document
    for key in ("input", "outputs"):
        if key in document.keys:
            yield Value(document.keys[key]), False
    for value in program.params.values():
        yield value, True
    yield from _step_values(program.steps, False)
    for block in program.blocks.values():
        if block.network is not None:
            continue  # it sees its own params only
        own = set(block.params)
        yield from ((value, False) for value in block.params.values() if value is not None)
        yield from (each for each in _step_values(block.steps, True) if not each[0].names <= own)


def _step_values(steps: Sequence[Step], within: bool) -> Iterator[tuple[Value, bool]]:
    """Yield the same of steps; `within` a block, only `num_classes` and what dropout is given may vary."""
    for step in steps:
        fixed = [step.name, step.reads, step.when, step.repeat.count if step.repeat else None]
        yield from ((value, False) for value in fixed if value is not None)
        if isinstance(step, UseStep) and step.target is not None:
            yield step.target, False
        elif isinstance(step, OpStep):
            for name, value in {**step.defaults, **step.arguments}.items():
                handed_on = not within or value.names == {HEAD} or step.op.__module__.endswith(".dropout")
                yield value, step.op.fields[name].free and handed_on
        elif isinstance(step, CallStep):
            yield from ((value, not within) for value in step.arguments.values())
        elif isinstance(step, ChoiceStep):
            yield from ((value, False) for value in [step.choice] if value is not None)
            yield from _step_values([option.step for option in step.options.values()], within)
        elif isinstance(step, ScopeStep):
            yield from ((value, not within) for value in step.let.values())
            yield from _step_values(step.steps, within)
