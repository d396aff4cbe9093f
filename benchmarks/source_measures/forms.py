"""Measures of forms: strings for numbers, permutes, conditions in two halves, loops, literals, types, widths."""

from __future__ import annotations

import ast
import math
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from types import FrameType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from source_measures.source import (
    Hit,
    Source,
    arguments,
    bodies,
    code,
    functions,
    loads,
    made_by,
    measure,
    methods,
    module_called,
    negated,
    own_attribute,
    reassigned,
    targets,
    variables,
)

LINE_LENGTH = 88
COPIES = 24
"""From how many copies of a repeat on a person would write a loop, although each has a name of its own in `forward`.

Such a loop needs `getattr` with a name that it makes, which TorchScript cannot compile and an editor cannot follow.
"""


# Row 1: strings for numbers.


def _uses(source: Source, attribute: str) -> Iterator[Hit]:
    """Yield every place that reads an attribute of that name."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and node.attr == attribute:
            yield Hit(node.lineno, code(node))


@measure(1, "`get_submodule`")
def get_submodule(source: Source) -> Iterable[Hit]:
    return _uses(source, "get_submodule")


@measure(1, "`add_module`")
def add_module(source: Source) -> Iterable[Hit]:
    return _uses(source, "add_module")


# Row 2: permutes.


class _Permutes(TorchFunctionMode):
    """Record the permutes that undo the permute which made what they read.

    `made` has the result, order and place of each by the id of its result; `hits` has a line for each pair of places.
    """

    def __init__(self, filename: str) -> None:
        super().__init__()
        self.filename = filename
        self.made: dict[int, tuple[torch.Tensor, tuple[int, ...], tuple[int, ...]]] = {}
        self.hits: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        order = self._order(func, args, kwargs or {})
        if order is not None and isinstance(result, torch.Tensor):
            place = self._place()
            before = self.made.get(id(args[0]))
            if before and [before[1][axis] for axis in order] == list(range(len(order))):
                self.hits[before[2], place] = place[0]
            self.made[id(result)] = result, order, place
        return result

    @staticmethod
    def _order(func: Any, args: Any, kwargs: Any) -> tuple[int, ...] | None:
        """Return the order of axes in the result of a permute or transpose, None for other functions."""
        name = getattr(func, "__name__", "")
        if name == "permute":
            axes = kwargs.get("dims", args[1] if len(args) == 2 else args[1:])
            rank = args[0].ndim
            return tuple(axis % rank for axis in axes)
        if name in ("transpose", "swapaxes", "swapdims"):
            first, second = (axis % args[0].ndim for axis in (*args[1:], *kwargs.values()))
            order = list(range(args[0].ndim))
            order[first], order[second] = order[second], order[first]
            return tuple(order)
        return None

    def _place(self) -> tuple[int, ...]:
        """Return the lines of the file that are being run, innermost first."""
        found: list[int] = []
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            if frame.f_code.co_filename == self.filename:
                found.append(frame.f_lineno)
            frame = frame.f_back
        return tuple(found) or (0,)


@measure(2, "permutes that undo the one before, through modules too")
def inverse_permutes(source: Source) -> Iterable[Hit]:
    if source.fault or source.network is None:
        return
    with _Permutes(source.filename) as permutes:
        source.build()(*source.inputs())
    helpers = {
        line
        for class_ in source.classes
        if "LayerNorm" in class_.name
        for line in range(class_.lineno, (class_.end_lineno or class_.lineno) + 1)
    }
    for (before, here), line in permutes.hits.items():
        if not (before[0] in helpers and here[0] in helpers):  # two layer norms in a row
            yield Hit(line, "undoes the permute before it")


@measure(2, "layer norms between two permutes, but for a helper class")
def permuted_norms(source: Source) -> Iterable[Hit]:
    for class_, forward in methods(source, "forward"):
        if "LayerNorm" in class_.name:
            continue
        norms = {name for name, made in made_by(class_).items() if code(made.func) == "nn.LayerNorm"}
        for node in ast.walk(forward):
            inner = _permuted(node)
            if isinstance(inner, ast.Call) and inner.args and _permuted(inner.args[0]):
                if module_called(inner) in norms or code(inner.func) == "F.layer_norm":
                    yield Hit(inner.lineno, code(node))


def _permuted(node: ast.AST) -> ast.expr | None:
    """Return what a call of `permute` permutes."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "permute":
        return node.func.value if code(node.func.value) != "torch" else node.args[0]
    return None


# Row 5: two halves of one condition.


@measure(5, "`if a:` followed by `if not a:`, or by `if a:` again")
def split_conditions(source: Source) -> Iterable[Hit]:
    for body in bodies(source):
        for first, second in pairwise(body):
            if isinstance(first, ast.If) and isinstance(second, ast.If) and not first.orelse and not second.orelse:
                tests = (negated(first.test), code(first.test))
                if code(second.test) in tests and not reassigned(first.test, first):
                    yield Hit(second.lineno, f"if {code(second.test)}")


# Row 10: copies written out.


@measure(10, f"repeats of {COPIES} copies and more that are written out")
def written_out(source: Source) -> Iterable[Hit]:
    for _, init in methods(source, "__init__"):
        copies: dict[tuple[str, str, frozenset[str]], list[int]] = defaultdict(list)
        for node in ast.walk(init):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                name = own_attribute(node.targets[0])
                match = re.fullmatch(r"(.*?[^0-9])([0-9]+)", name or "")
                if match:
                    places = source.places.get(match[0], frozenset())
                    copies[match[1], code(node.value.func), places].append(node.lineno)
        for (prefix, called, _), found in copies.items():
            if len(found) >= COPIES:
                yield Hit(found[0], f"{len(found)} of self.{prefix}... = {called}(...)")


# Row 11: odd forms.


@measure(11, "infinities written as a number that is too large")
def infinite_literals(source: Source) -> Iterable[Hit]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float) and math.isinf(node.value):
            yield Hit(node.lineno, ast.get_source_segment(source.text, node) or "inf")


@measure(11, "paddings of equal numbers where one would do")
def equal_paddings(source: Source) -> Iterable[Hit]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and re.fullmatch(r"nn\.\w+Pad[123]d", code(node.func)):
            sizes = node.args[0] if node.args else None
            if isinstance(sizes, ast.Tuple) and len({code(size) for size in sizes.elts}) == 1:
                yield Hit(node.lineno, code(node))


@measure(11, "`torch.narrow`")
def narrow(source: Source) -> Iterable[Hit]:
    return _uses(source, "narrow")


@measure(11, "variables used once that wrap another one")
def wrappers(source: Source) -> Iterable[Hit]:
    for function in functions(source):
        read = loads(function)
        stores = Counter(name for _, name in variables(function))
        for node in ast.walk(function):
            if not isinstance(node, ast.Assign | ast.AnnAssign) or not isinstance(
                target := next(targets(node)), ast.Name
            ):
                continue
            name, value = target.id, node.value
            alone = isinstance(value, ast.Name) or (isinstance(value, ast.List | ast.Tuple) and len(value.elts) == 1)
            if alone and read[name] == 1 and stores[name] == 1:
                yield Hit(node.lineno, code(node))


# Row 12: two forms for one thing.


@measure(12, "loops that only append, which is what comprehensions say elsewhere")
def append_loops(source: Source) -> Iterable[Hit]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.For) and len(node.body) == 1 and isinstance(node.body[0], ast.Expr):
            call = node.body[0].value
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "append":
                yield Hit(node.lineno, f"for {code(node.target)} in {code(node.iter)}")


# Row 13: types and widths.


@measure(13, "arguments and returns without a type")
def untyped(source: Source) -> Iterable[Hit]:
    for function in functions(source):
        for arg in arguments(function):
            if arg.annotation is None:
                yield Hit(arg.lineno, f"{function.name}: {arg.arg}")
        if function.returns is None:
            yield Hit(function.lineno, f"{function.name}: what it returns")


@measure(13, f"lines of more than {LINE_LENGTH} columns")
def long_lines(source: Source) -> Iterable[Hit]:
    for number, line in enumerate(source.text.splitlines(), 1):
        if len(line) > LINE_LENGTH:
            yield Hit(number, f"{len(line)} columns")
