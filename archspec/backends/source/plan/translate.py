"""Expressions of a spec as expressions of generated code: almost word for word."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from archspec.backends.source import trees
from archspec.backends.source.plan.bindings import (
    MISSING,
    Bindings,
    ClassBindings,
    plain,
    value_in,
)
from archspec.backends.source.trees import Unprintable, all_same, literal, names_in, same, text
from archspec.errors import Complaint
from archspec.expressions import Environment, Expression, Tensor, UnknownShape, compile_text
from archspec.expressions.compiler import Compiler
from archspec.expressions.values import Budget
from archspec.program.steps import Value
from archspec.shapes import SPATIAL_AXES
from archspec.syntax import YamlList, YamlMap, YamlScalar

Sizes = Callable[[list[str]], tuple[ast.expr | None, ...]]
"""Gives the expressions for the axes of the value with these paths; empty if it is not in sight."""

_CALLED = {"ceil": "math.ceil", "floor": "math.floor", "log": "math.log"}
"""Functions of the language that Python calls otherwise."""

_ITERATORS = frozenset({"range", "zip", "enumerate", "reversed"})
"""Functions whose result is a list here, and none in Python."""


def translated(
    tree: ast.expr, bindings: Bindings, active: Sequence[int], environments: Mapping[int, Environment], sizes: Sizes
) -> ast.expr:
    """Return an expression of the spec as code. Raises: Unprintable if the code cannot say it."""
    translator = _Translator(bindings, active, environments, sizes)
    if any(isinstance(node, ast.comprehension) for node in ast.walk(tree)):
        bold = _Translator(bindings, active, environments, sizes, bold=True)
        values = bold.values(tree)
        found = bold.run(tree)
        if values is not None and bindings.holds(found, active, list(map(plain, values))):
            return found
    return translator.run(tree)


def syntax_of(value: Value) -> ast.expr | None:
    """Return the syntax of a value of the spec, if code can hold it."""
    yaml = value.yaml
    if isinstance(yaml, YamlScalar):
        found = compile_text(yaml.value) if isinstance(yaml.value, str) else yaml.value
        if isinstance(found, Expression):
            return found.tree
        return ast.Constant(found) if found is None or isinstance(found, bool | int | float | str) else None
    if isinstance(yaml, YamlList):
        items = [syntax_of(Value(item)) for item in yaml.items]
        if all(item is not None for item in items):
            return ast.List([item for item in items if item is not None], ast.Load())
    if isinstance(yaml, YamlMap):
        values = {key: syntax_of(Value(item)) for key, item in yaml.entries.items()}
        if all(item is not None for item in values.values()):
            return ast.Dict([ast.Constant(key) for key in values], [item for item in values.values() if item])
    return None


class _Translator:
    """Turns an expression of the spec into one of the code: what is constant in all uses becomes its value."""

    def __init__(
        self,
        bindings: Bindings,
        active: Sequence[int],
        environments: Mapping[int, Environment],
        sizes: Sizes,
        *,
        bold: bool = False,
    ) -> None:
        self.bindings, self.active, self.environments, self.sizes = bindings, active, environments, sizes
        self.bold = bold  # leave out roundings whose effect cannot be told; whoever asked for it tries the whole
        self.bound: set[str] = set()  # variables of comprehensions around
        self._values: dict[ast.expr, list[Any] | None] = {}

    def run(self, tree: ast.expr) -> ast.expr:
        """Return the code of an expression or of a part of it. Raises: Unprintable."""
        values = self.values(tree)
        if values is not None and not isinstance(values[0], Tensor | dict | list):
            if all_same(values) and not self._varies(tree):
                return literal(values[0])
        method = getattr(self, f"_{type(tree).__name__.lower()}", None)
        if method is None:
            raise Unprintable
        found: ast.expr = method(tree)
        return found

    def values(self, tree: ast.expr) -> list[Any] | None:
        """Return the value of a part of the expression in every use, if it can be told."""
        if self.bound and self.bound & names_in(tree):
            return None
        if tree not in self._values:
            self._values[tree] = self._evaluated(tree)
        return self._values[tree]

    def _evaluated(self, tree: ast.expr) -> list[Any] | None:
        """Return the values of an expression by the spec's own rules."""
        found: list[Any] = []
        try:
            evaluate = Compiler().compile(tree)
            for use in self.active:
                seen = Environment({}, self.environments[use])
                seen.budget = Budget()
                found.append(evaluate(seen))
        except (Complaint, UnknownShape):
            return None
        return found

    def _varies(self, tree: ast.expr) -> bool:
        """Return whether a name has other values in uses that a condition leaves out."""
        if len(self.active) == self.bindings.uses:
            return False
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(self.bindings, ClassBindings):
                known = [value_in(environment, node.id) for environment in self.bindings.environments]
                if any(value is not MISSING and not same(value, known[0]) for value in known):
                    return True
            if isinstance(node, ast.Attribute):
                bases = self.values(node.value)
                if bases and isinstance(bases[0], Tensor):
                    if any(size is not None and names_in(size) for size in self._sizes_of(bases)):
                        return True
        return False

    def _sizes_of(self, bases: list[Any]) -> tuple[ast.expr | None, ...]:
        return self.sizes([getattr(base, "path", "") for base in bases])

    # Node by node.

    def _constant(self, tree: ast.Constant) -> ast.expr:
        return tree

    def _name(self, tree: ast.Name) -> ast.expr:
        if tree.id in self.bound:
            return tree
        values = self.values(tree)
        if values is None or any(isinstance(value, Tensor) for value in values):
            raise Unprintable
        return self.bindings.symbol(tree.id, self.active, values)

    def _attribute(self, tree: ast.Attribute) -> ast.expr:
        bases = self.values(tree.value)
        if bases is not None and isinstance(bases[0], Tensor):
            return self._size(tree, bases)
        return trees.item(self.run(tree.value), tree.attr)

    def _size(self, tree: ast.Attribute, bases: list[Any]) -> ast.expr:
        """Return the code for a size of a tensor."""
        rank = len(bases[0].shape) - 1
        axes = ("channels", *SPATIAL_AXES.get(rank, ()))
        axis = rank if tree.attr == "features" else axes.index(tree.attr) if tree.attr in axes else rank + 1
        return self._axis(tree, bases, axis)

    def _axis(self, tree: ast.expr, bases: list[Any], axis: int) -> ast.expr:
        """Return the code for an axis of a tensor, which the spec asks for by `tree`."""
        values = self.values(tree)
        if values is None or isinstance(tree, ast.Attribute) and tree.attr == "shape":
            raise Unprintable
        sizes = self._sizes_of(bases)
        if 0 <= axis < len(sizes):
            size = sizes[axis]
            if size is not None and self.bindings.holds(size, self.active, values):
                return size
        if all_same(values):
            return literal(values[0])
        found = self.bindings.derived(self.active, values)
        if found is None:
            raise Unprintable
        return found

    def _subscript(self, tree: ast.Subscript) -> ast.expr:
        if isinstance(tree.slice, ast.Slice):
            ends = [None if end is None else self.run(end) for end in (tree.slice.lower, tree.slice.upper)]
            return ast.Subscript(self.run(tree.value), ast.Slice(*ends), ast.Load())
        match tree:
            case ast.Subscript(value=ast.Attribute(value=base, attr="shape"), slice=ast.Constant(value=int(axis))):
                bases = self.values(base)
                if bases is not None and isinstance(bases[0], Tensor):
                    return self._axis(tree, bases, axis)
        return ast.Subscript(self.run(tree.value), self.run(tree.slice), ast.Load())

    def _binop(self, tree: ast.BinOp) -> ast.expr:
        return trees.binary(self.run(tree.left), tree.op, self.run(tree.right))

    def _unaryop(self, tree: ast.UnaryOp) -> ast.expr:
        operand = self.run(tree.operand)
        return trees.negated(operand) if isinstance(tree.op, ast.Not) else ast.UnaryOp(tree.op, operand)

    def _boolop(self, tree: ast.BoolOp) -> ast.expr:
        return trees.simplified(ast.BoolOp(tree.op, [self.run(value) for value in tree.values]))

    def _compare(self, tree: ast.Compare) -> ast.expr:
        return ast.Compare(self.run(tree.left), tree.ops, [self.run(item) for item in tree.comparators])

    def _ifexp(self, tree: ast.IfExp) -> ast.expr:
        return trees.simplified(ast.IfExp(self.run(tree.test), self.run(tree.body), self.run(tree.orelse)))

    def _tuple(self, tree: ast.Tuple) -> ast.expr:
        return ast.Tuple([self.run(item) for item in tree.elts], ast.Load())

    def _list(self, tree: ast.List) -> ast.expr:
        return ast.Tuple([self.run(item) for item in tree.elts], ast.Load())

    def _listcomp(self, tree: ast.ListComp | ast.GeneratorExp) -> ast.expr:
        outer = set(self.bound)
        loops = []
        for loop in tree.generators:
            source = self._iterated(loop.iter)
            self.bound |= {target.id for target in trees.targets_of(loop)}
            loops.append(ast.comprehension(loop.target, source, [self.run(test) for test in loop.ifs], 0))
        found = type(tree)(self.run(tree.elt), loops)
        self.bound = outer
        return found

    _generatorexp = _listcomp

    def _iterated(self, tree: ast.expr) -> ast.expr:
        """Return what a comprehension runs over: no list has to be made of a range there."""
        match tree:
            case ast.Call(func=ast.Name(id="range" | "enumerate" | "reversed")):
                arguments = [self.run(argument) for argument in tree.args]
                return ast.Call(tree.func, arguments, [ast.keyword(k.arg, self.run(k.value)) for k in tree.keywords])
        return self.run(tree)

    def _call(self, tree: ast.Call) -> ast.expr:
        assert isinstance(tree.func, ast.Name)
        called = tree.func.id
        if called in _ITERATORS:
            raise Unprintable
        if called in ("make_divisible", "int", "round", "ceil", "floor") and tree.args:
            inner = _without_factor(tree.args[0], self.values)
            values, exact = self.values(tree), self.values(inner)
            if values is not None and same(exact, values):  # the number is one already
                return self.run(inner)
            if values is None and self.bold:
                return self.run(inner)
        part = _part_of(self.run(tree.args[0])) if called in ("int", "floor") and tree.args else None
        if part is not None:
            return part
        func: ast.expr = tree.func
        if called in _CALLED:
            module, _, name = _CALLED[called].partition(".")
            func = ast.Attribute(trees.name(module), name, ast.Load())
        arguments = [self.run(argument) for argument in tree.args]
        if called == "sum" and isinstance(arguments[0], ast.ListComp):
            arguments[0] = ast.GeneratorExp(arguments[0].elt, arguments[0].generators)
        if called == "log" and len(arguments) == 2 and text(arguments[1]) in ("2", "10"):
            func = ast.Attribute(trees.name("math"), f"log{text(arguments.pop())}", ast.Load())
        keywords = [ast.keyword(keyword.arg, self.run(keyword.value)) for keyword in tree.keywords]
        return ast.Call(func, arguments, keywords)


def _part_of(tree: ast.expr) -> ast.expr | None:
    """Return `x * 0.5` as `x // 2`, for the rounding around it; None unless the factor is 1/2, 1/4 or 1/8."""
    match tree:
        case ast.BinOp(left=rest, op=ast.Mult(), right=factor) | ast.BinOp(left=factor, op=ast.Mult(), right=rest):
            for parts in (2, 4, 8):
                if isinstance(factor, ast.Constant) and factor.value == 1 / parts:
                    return ast.BinOp(rest, ast.FloorDiv(), ast.Constant(parts))
    return None


def _without_factor(tree: ast.expr, values: Callable[[ast.expr], list[Any] | None]) -> ast.expr:
    """Return `x * 1.0` as `x`."""
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Mult):
        for factor, rest in ((tree.left, tree.right), (tree.right, tree.left)):
            if all(value == 1 for value in values(factor) or [0]):
                return rest
    return tree
