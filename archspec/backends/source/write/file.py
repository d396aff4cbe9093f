"""A file: the template with the classes, and the helpers that they use."""

from __future__ import annotations

import ast
import inspect
import os
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from archspec._data import templates_folder
from archspec.backends.source.plan.ir import ClassPlan
from archspec.backends.source.strings import docstring_lines
from archspec.backends.source.write.forward_method import ForwardWriter
from archspec.backends.source.write.init_method import InitWriter
from archspec.errors import UsageError
from archspec.expressions import make_divisible
from archspec.network import Network
from archspec.ops.torch_api import LAYERS
from archspec.shapes import Shape, shape_text


def rendered(network: Network, classes: Sequence[ClassPlan], shapes: dict[str, Shape], template: str | None) -> str:
    """Return the text of the file. `template` is a jinja2 template file in place of `templates/module.py.jinja`."""
    taken = frozenset(plan.name for plan in classes)
    parts = [_class(plan, taken, shapes) for plan in classes]
    code = "\n".join(line for part in parts for line in part["lines"])
    names = _names(code)
    graph = network.graph
    variables = {
        "name": network.name,
        "class_name": classes[-1].name,
        "summary": docstring_lines(_summary(network), 84),
        "reference": docstring_lines(f"Reference: {network.reference}", 84) if network.reference else [],
        "inputs": _shapes(graph.inputs),
        "outputs": _shapes({name: graph.shape(path) for name, path in graph.outputs.items()}),
        "params": sum(node.op.params for node in graph.nodes),
        "macs": sum(node.op.macs() for node in graph.nodes),
        "helpers": _helpers(names | {part["base"] for part in parts}),
        "classes": parts,
        "uses_functional": "F" in names,
        "uses_math": "math" in names,
        "uses_ordered_dict": "OrderedDict" in names,
    }
    return _rendered(variables, template)


def _class(plan: ClassPlan, taken: frozenset[str], shapes: dict[str, Shape]) -> dict[str, Any]:
    """Return a class as the template has it."""
    init = InitWriter(plan, taken)
    lines = init.method()
    if plan.base != "Sequential":
        forward = ForwardWriter(plan, init, shapes if plan.is_network else None).method()
        lines = [*lines, "", *forward] if lines else forward
    return {"name": plan.name, "base": f"nn.{plan.base}", "lines": lines, "top": plan.is_network}


def _shapes(shapes: Mapping[str, Shape]) -> list[str]:
    """Return shapes as text, with their names if there are several."""
    if len(shapes) == 1:
        return [shape_text(shape) for shape in shapes.values()]
    return [f"{' '.join(docstring_lines(name, 1000))} {shape_text(shape)}" for name, shape in shapes.items()]


def _summary(network: Network) -> str:
    """Return the first sentence of the file's class."""
    summary = network.description.strip() or f"The network {network.name}"
    return summary if summary.endswith((".", "!", "?")) else f"{summary}."


def _names(code: str) -> set[str]:
    """Return the names that the classes use."""
    return {node.id for node in ast.walk(ast.parse("class _:\n" + code)) if isinstance(node, ast.Name)}


def _rendered(variables: Mapping[str, Any], template: str | None) -> str:
    """Return the text of the template. Raises: UsageError if it cannot be read or rendered."""
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
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UsageError(f"{path}: {reason}", "name a jinja2 template") from None


def _template_line(error: Exception) -> int | None:
    """Return the line of the template in which it failed: jinja2 names it in the traceback."""
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == "<template>"]
    return lines[-1] if lines else None


# Copies of our own code.


def _helpers(names: set[str]) -> list[list[str]]:
    """Return the classes and functions that torch does not have, as `archspec.backends.layers` has them."""
    layers = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "layers.py")  # imports torch
    files = {**dict.fromkeys(LAYERS, layers), "make_divisible": inspect.getfile(make_divisible)}
    found = []
    for name, file in files.items():
        if name not in names:
            continue
        with open(file, encoding="utf-8") as source:
            text = source.read()
        node = next(node for node in ast.parse(text).body if getattr(node, "name", None) == name)
        found.append(_without_asides(text.splitlines(), node))
    return found


def _without_asides(lines: list[str], node: Any) -> list[str]:
    """Return a copy with the first line of its docstring, and without its repr."""
    kept = lines[node.lineno - 1 : node.end_lineno]
    for part in reversed(node.body):
        start, end = part.lineno - node.lineno, part.end_lineno - node.lineno + 1
        if getattr(part, "name", None) == "extra_repr":
            del kept[start - 1 : end]
        elif isinstance(part, ast.Expr) and end - start > 1:
            kept[start:end] = [kept[start] + '"""']
    return kept
