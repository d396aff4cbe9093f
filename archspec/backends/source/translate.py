"""Expressions of a spec as expressions of generated code: almost word for word."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

from archspec.backends.source.context import MISSING, ClassContext, Context, LoopContext, plain, value_or_missing
from archspec.backends.source.expressions import Unprintable, literal, names_in, same, simplified, value_of
from archspec.errors import Complaint
from archspec.expressions import Environment, Expression, Tensor, UnknownShape, compile_text
from archspec.ops.symbolic import binary
from archspec.program.steps import Value
from archspec.syntax import YamlList, YamlScalar

Channels = Callable[[list[str]], list[ast.expr]]
"""Expressions for the channels of the value with these paths."""


def translated(
    tree: ast.expr, context: Context, active: Sequence[int], environments: dict[int, Environment], channels: Channels
) -> ast.expr:
    """An expression of the spec as code; Unprintable where it cannot be."""
    return _Translator(context, active, environments, channels).run(tree)


def tree_of(value: Value) -> ast.expr | None:
    """The syntax of a value of the spec, if code can hold it."""
    yaml = value.yaml
    if isinstance(yaml, YamlScalar):
        found = compile_text(yaml.value) if isinstance(yaml.value, str) else yaml.value
        if isinstance(found, Expression):
            return found.tree
        return ast.Constant(found) if found is None or isinstance(found, bool | int | float | str) else None
    if isinstance(yaml, YamlList):
        items = [tree_of(Value(item)) for item in yaml.items]
        if all(item is not None for item in items):
            return ast.Tuple([item for item in items if item is not None], ast.Load())
    return None


class _Translator:
    """Turns an expression of the spec into one of the code: what is constant in all rows becomes its value."""

    def __init__(
        self, context: Context, active: Sequence[int], environments: dict[int, Environment], channels: Channels
    ) -> None:
        self.context, self.active, self.environments, self.channels = context, active, environments, channels

    def run(self, tree: ast.expr) -> ast.expr:
        """The code of an expression or a part of it; Unprintable where the code cannot say it."""
        values = self._values(tree)
        if values is not None and not isinstance(values[0], Tensor | dict | list):
            if all(same(value, values[0]) for value in values) and not self._varies(tree):
                return literal(values[0])
        method = getattr(self, f"_{type(tree).__name__.lower()}", None)
        if method is None:
            raise Unprintable
        found: ast.expr = method(tree)
        return found

    def _varies(self, tree: ast.expr) -> bool:
        """Whether a name has other values in rows that are not at hand: those that a condition leaves out."""
        if len(self.active) == self.context.rows:
            return False
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(self.context, ClassContext):
                known = [value_or_missing(environment, node.id) for environment in self.context.environments]
                if any(value is not MISSING and not same(value, known[0]) for value in known):
                    return True
        return any(isinstance(node, ast.Attribute) for node in ast.walk(tree)) and self._sized(tree)

    def _sized(self, tree: ast.expr) -> bool:
        """Whether an expression asks for the channels of a value that differ in the code."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                bases = self._values(node.value)
                if bases and isinstance(bases[0], Tensor):
                    return any(names_in(found) for found in self.channels([base.path for base in bases]))
        return False

    def _values(self, tree: ast.expr) -> list[Any] | None:
        """The value of a part of the expression in every row, if this evaluator can tell."""
        try:
            return [self._value(tree, self.environments[row]) for row in self.active]
        except (Unprintable, Complaint, UnknownShape, LookupError, TypeError):
            return None

    def _value(self, tree: ast.expr, environment: Environment) -> Any:
        """The value in one scope, attributes and items of the spec's own values included."""

        def reach(part: ast.expr) -> Any:
            if isinstance(part, ast.Attribute):
                base = self._value(part.value, environment)
                return base.attribute(part.attr) if isinstance(base, Tensor) else base[part.attr]
            if isinstance(part, ast.Subscript) and not isinstance(part.slice, ast.Slice):
                return self._value(part.value, environment)[self._value(part.slice, environment)]
            raise Unprintable

        return value_of(tree, environment.lookup, reach)

    def _constant(self, tree: ast.Constant) -> ast.expr:
        return tree

    def _name(self, tree: ast.Name) -> ast.expr:
        values = self._values(tree)
        if values is None or any(isinstance(value, Tensor) for value in values):
            raise Unprintable
        return self.context.symbol(tree.id, self.active, [plain(value) for value in values])

    def _attribute(self, tree: ast.Attribute) -> ast.expr:
        values = self._values(tree)
        bases = self._values(tree.value)
        if values is None or bases is None:
            raise Unprintable
        if isinstance(bases[0], Tensor):
            if tree.attr != "channels":
                raise Unprintable
            for candidate in self.channels([base.path for base in bases]):
                if self.context.holds(candidate, self.active, values):
                    return candidate
            raise Unprintable
        return self._looped(tree.attr, values)

    def _subscript(self, tree: ast.Subscript) -> ast.expr:
        values = self._values(tree)
        base = tree.value.id if isinstance(tree.value, ast.Name) else ""
        if values is None or not base:
            raise Unprintable
        return self._looped(base.removesuffix("s") or base, values)

    def _looped(self, name: str, values: list[Any]) -> ast.expr:
        """Part of a list or mapping that a loop runs over: a column of its table."""
        context: Context = self.context
        if not isinstance(context, LoopContext):
            raise Unprintable
        active, wanted = self.active, [plain(value) for value in values]
        while isinstance(context, LoopContext) and (outer := context.projected(active, wanted)):
            assert context.parent is not None
            context, (active, wanted) = context.parent, outer
        if not isinstance(context, LoopContext):
            raise Unprintable
        return context.symbol(name, active, wanted)

    def _binop(self, tree: ast.BinOp) -> ast.expr:
        return binary(self.run(tree.left), tree.op, self.run(tree.right))

    def _unaryop(self, tree: ast.UnaryOp) -> ast.expr:
        return ast.UnaryOp(tree.op, self.run(tree.operand))

    def _boolop(self, tree: ast.BoolOp) -> ast.expr:
        return simplified(ast.BoolOp(tree.op, [self.run(value) for value in tree.values]))

    def _compare(self, tree: ast.Compare) -> ast.expr:
        return ast.Compare(self.run(tree.left), tree.ops, [self.run(item) for item in tree.comparators])

    def _ifexp(self, tree: ast.IfExp) -> ast.expr:
        return simplified(ast.IfExp(self.run(tree.test), self.run(tree.body), self.run(tree.orelse)))

    def _tuple(self, tree: ast.Tuple) -> ast.expr:
        return ast.Tuple([self.run(item) for item in tree.elts], ast.Load())

    def _list(self, tree: ast.List) -> ast.expr:
        return ast.Tuple([self.run(item) for item in tree.elts], ast.Load())

    def _call(self, tree: ast.Call) -> ast.expr:
        values = self._values(tree)
        if values is None:
            raise Unprintable
        if isinstance(tree.func, ast.Name) and tree.func.id in ("make_divisible", "int") and tree.args:
            exact = self._values(tree.args[0])
            if exact == values:  # the number is one already
                return self.run(_without_factor(tree.args[0], self._values))
        if isinstance(self.context, LoopContext):
            raise Unprintable  # its values are known: they stand in the table
        arguments = [self.run(item) for item in tree.args]
        keywords = [ast.keyword(item.arg, self.run(item.value)) for item in tree.keywords]
        return ast.Call(tree.func, arguments, keywords)


def _without_factor(tree: ast.expr, values: Callable[[ast.expr], list[Any] | None]) -> ast.expr:
    """`x * 1.0` as `x`."""
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Mult):
        for factor, rest in ((tree.left, tree.right), (tree.right, tree.left)):
            if all(value == 1 for value in values(factor) or [0]):
                return rest
    return tree
