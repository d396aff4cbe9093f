"""Classes and template to the text of a file."""

from __future__ import annotations

import ast
import inspect
import os
import traceback
from collections.abc import Mapping
from typing import Any

from archspec._data import templates_folder
from archspec.backends.source.build import Builder
from archspec.backends.source.forward import Forward
from archspec.backends.source.items import ClassPlan
from archspec.backends.source.kept import planned
from archspec.backends.source.plan import Planner
from archspec.backends.source.strings import docstring_lines
from archspec.backends.source.tidy import tidy
from archspec.errors import UsageError
from archspec.expressions import make_divisible
from archspec.network import InputShapes, Network, load, together
from archspec.ops.torch_api import LAYERS
from archspec.shapes import Shape, shape_text


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
    """Python source of a network. `template` is a jinja2 template file in place of `templates/module.py.jinja`."""
    planner = planned(network)
    for plan in planner.classes:
        tidy(plan)
    hints = all(Builder(plan).fits_with_hints() for plan in planner.classes[:-1])
    classes = [_class(plan, planner, hints) for plan in planner.classes]
    code = "\n".join(line for part in classes for line in part["lines"])
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
        "helpers": _helpers(code),
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
    """Whether the classes use a name."""
    return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(ast.parse("class _:\n" + code)))


def _rendered(variables: Mapping[str, Any], template: str | None) -> str:
    """The text of the template; UsageError where it cannot be read or rendered."""
    import jinja2

    path = template if template is not None else os.path.join(templates_folder(), "module.py.jinja")
    text = _template_text(path)
    environment = jinja2.Environment(  # noqa: S701 - what it makes is Python, whose text is escaped in `strings.py`
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )
    try:
        return environment.from_string(text).render(variables)
    except Exception as error:  # a template is a program of the user's: whatever fails in it is its fault
        line = getattr(error, "lineno", None) or _template_line(error)
        message = error.message if isinstance(error, jinja2.TemplateError) else f"{type(error).__name__}: {error}"
        help = "templates/README.md lists the names"
        raise UsageError(f"{path}{f':{line}' if line else ''}: {message}", help) from None


def _template_text(path: str) -> str:
    if os.path.exists(path) and not os.path.isfile(path):
        raise UsageError(f"{path} is not a regular file", "name a jinja2 template")
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is no text"
        raise UsageError(f"{path}: {reason}", "name a jinja2 template") from None


def _template_line(error: Exception) -> int | None:
    """The line of the template in which it failed: jinja2 names it in the traceback."""
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == "<template>"]
    return lines[-1] if lines else None


def _class(plan: ClassPlan, planner: Planner, hints: bool) -> dict[str, Any]:
    """A class as the template has it; `hints`: with type hints in `__init__`."""
    top = plan is planner.classes[-1]
    builder = Builder(plan, hints or top, frozenset(made.name for made in planner.classes))
    lines = builder.lines()
    if not plan.chain:
        forward = Forward(plan, builder, planner.tree.shapes[0] if top else None).lines()
        lines = [*lines, "", *forward] if lines else forward
    base = "nn.Sequential" if plan.chain else "nn.Module"
    return {"name": plan.name, "base": base, "lines": lines, "top": top}


# Copies of our own code.


def _helpers(code: str) -> list[list[str]]:
    """Classes and functions that torch does not have, word for word."""
    layers = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "layers.py")  # imports torch
    files = {**dict.fromkeys(LAYERS, layers), "make_divisible": inspect.getfile(make_divisible)}
    found = []
    for name, file in files.items():
        if not _mentions(code, name):
            continue
        with open(file, encoding="utf-8") as source:
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
