"""Classes and template to the text of a file."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from archspec._data import templates_folder
from archspec.backends.source.build import Builder
from archspec.backends.source.context import CannotPlan, NotKept
from archspec.backends.source.forward import Forward
from archspec.backends.source.items import ClassPlan
from archspec.backends.source.plan import Planner
from archspec.backends.source.strings import docstring_lines
from archspec.backends.source.tidy import tidy
from archspec.elaborate import Elaboration, elaborate
from archspec.errors import UsageError
from archspec.expressions import Expression, Template, compile_text
from archspec.graph import Graph
from archspec.network import Network, load
from archspec.program import CallStep, OpStep, Program, ScopeStep, Step, Value
from archspec.shapes import Shape, shape_text

HEAD = "num_classes"
"""The param that every network's class keeps, where it can."""

_FREE_FIELDS = frozenset(
    {"filters", "units", "rate", "eps", "momentum", "init", "alpha", "beta", "k", "negative_slope"}
)


def generate(spec: str | os.PathLike[str] | Network, *, template: str | None = None, **params: Any) -> str:
    """Python source of a network: a spec by its path or name, with `params` set, or a `Network`."""
    network = spec if isinstance(spec, Network) else load(spec, **params)
    if isinstance(spec, Network) and params:
        raise UsageError("params cannot be set of a network that is loaded already", "give them to `load`")
    return generate_source(network, template)


def generate_source(network: Network, template: str | None = None) -> str:
    """Python source of a network. `template` is a jinja2 template file in place of `templates/module.py.jinja`."""
    planner = _planned(network)
    for plan in planner.classes:
        tidy(plan)
    hints = all(Builder(plan).fits_with_hints() for plan in planner.classes[:-1])
    classes = [_class(plan, planner, hints) for plan in planner.classes]
    code = "\n".join(line for part in classes for line in part["lines"])
    helpers = _helpers(planner.classes, code)
    graph = network.graph
    variables = {
        "name": network.name,
        "class_name": planner.classes[-1].name,
        "summary": docstring_lines(_sentence(network.description or network.name), 84),
        "reference": docstring_lines(f"Reference: {network.reference}", 84) if network.reference else [],
        "inputs": _shapes(graph.inputs),
        "outputs": _shapes({name: graph.shape(path) for name, path in graph.outputs.items()}),
        "params": sum(node.op.params for node in graph.nodes),
        "macs": sum(node.op.macs() for node in graph.nodes),
        "helpers": helpers,
        "classes": classes,
        "uses_functional": "F." in code and _mentions(code, "F"),
    }
    return _rendered(variables, template)


def _shapes(shapes: Mapping[str, Shape]) -> list[str]:
    """Shapes as text, with their names where there are several."""
    if len(shapes) == 1:
        return [shape_text(shape) for shape in shapes.values()]
    return [f"{' '.join(docstring_lines(name, 1000))} {shape_text(shape)}" for name, shape in shapes.items()]


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _mentions(code: str, name: str) -> bool:
    return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(ast.parse("class _:\n" + code)))


def _rendered(variables: Mapping[str, Any], template: str | None) -> str:
    import jinja2

    path = template if template is not None else os.path.join(templates_folder(), "module.py.jinja")
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path}: {getattr(error, 'strerror', None) or 'is no text'}", "name a jinja2 template"
        ) from None
    environment = jinja2.Environment(  # noqa: S701 - what it makes is Python, whose text is escaped in `strings.py`
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )
    try:
        return environment.from_string(text).render(variables)
    except jinja2.TemplateError as error:
        line = getattr(error, "lineno", None)
        raise UsageError(
            f"{path}{f':{line}' if line else ''}: {error.message}", "templates/README.md lists the names"
        ) from None


def _class(plan: ClassPlan, planner: Planner, hints: bool) -> dict[str, Any]:
    top = plan is planner.classes[-1]
    builder = Builder(plan, hints or top, frozenset(made.name for made in planner.classes))
    lines = builder.lines()
    if not plan.chain:
        forward = Forward(plan, builder, planner.tree.shapes[0] if top else None).lines()
        lines = [*lines, "", *forward] if lines else forward
    base = "nn.Sequential" if plan.chain else "nn.Module"
    return {"name": plan.name, "base": base, "lines": lines, "top": top}


# What stays an argument.


def _planned(network: Network) -> Planner:
    """The classes, with as many params kept as arguments of the network's class as can be."""
    elaboration = network.elaboration
    traced = _traced(network, {})
    assert traced is not None
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
    for step in steps:
        fixed = [step.name, step.reads, step.when, step.repeat.count if step.repeat else None]
        yield from ((value, False) for value in fixed if value is not None)
        if isinstance(step, OpStep):
            given = {**step.defaults, **step.arguments}
            yield from (
                (value, name in _FREE_FIELDS and (not within or value.names == {HEAD})) for name, value in given.items()
            )
        elif isinstance(step, CallStep):
            yield from ((value, not within) for value in step.arguments.values())
        elif isinstance(step, ScopeStep):
            yield from ((value, False) for value in step.let.values())
            yield from _step_values(step.steps, within)


# Copies of our own code.


def _helpers(classes: Sequence[ClassPlan], code: str) -> list[list[str]]:
    """Classes and functions that torch does not have, word for word."""
    found = []
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for name, file in (("DropPath", "layers.py"), ("Scale", "layers.py"), ("make_divisible", "../expressions.py")):
        if not _mentions(code, name):
            continue
        with open(os.path.join(folder, file), encoding="utf-8") as source:
            text = source.read()
        node = next(node for node in ast.parse(text).body if getattr(node, "name", None) == name)
        found.append(_without_asides(text.splitlines(), node))
    return found


def _without_asides(lines: list[str], node: Any) -> list[str]:
    """A copy with the first line of its docstring, and without its repr."""
    kept = lines[node.lineno - 1 : node.end_lineno]
    for part in reversed(node.body):
        start, end = part.lineno - node.lineno, part.end_lineno - node.lineno + 1
        if getattr(part, "name", None) == "extra_repr":
            del kept[start - 1 : end]
        elif isinstance(part, ast.Expr) and end - start > 1:
            kept[start:end] = [kept[start] + '"""']
    return kept
