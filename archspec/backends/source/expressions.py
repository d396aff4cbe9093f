"""Expressions of generated code: Python's own syntax trees, evaluated and simplified here, never by `eval`."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from typing import Any

from archspec.backends.source.strings import quoted
from archspec.expressions.functions import ARITHMETIC, COMPARE, make_divisible

WIDEST = 60
"""Characters of the longest expression that is printed; a longer one is replaced by its value."""

Lookup = Callable[[str], Any]
Reach = Callable[[ast.expr], Any]

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    op: COMPARE[op] for op in (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "min": min,
    "max": max,
    "abs": abs,
    "int": int,
    "round": round,
    "make_divisible": make_divisible,
}
_PLAIN_TEXT = re.compile(r"[A-Za-z0-9_. +-]*")


class Unprintable(Exception):
    """An expression that generated code does not hold: its value is printed instead."""


def same(left: Any, right: Any) -> bool:
    """Equality that keeps true, 1 and 1.0 apart, within tuples too."""
    if isinstance(left, tuple | list) and isinstance(right, tuple | list):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and bool(left == right)


def literal(value: Any) -> ast.expr:
    """A value as code."""
    if isinstance(value, tuple):
        return ast.Tuple([literal(item) for item in value], ast.Load())
    if isinstance(value, list):
        return ast.List([literal(item) for item in value], ast.Load())
    if isinstance(value, int | float) and not isinstance(value, bool) and value < 0:
        return ast.UnaryOp(ast.USub(), ast.Constant(-value))
    if value is None or isinstance(value, bool | int | float | str):
        return ast.Constant(value)
    raise Unprintable


def names_in(tree: ast.AST) -> set[str]:
    """Every name that an expression mentions, without the functions that it calls."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called}


def evaluate(tree: ast.expr, lookup: Lookup, reach: Reach | None = None) -> Any:
    """The value of an expression, names looked up; Unprintable where it holds what generated code does not.

    `reach` gives the value of an attribute or an item, which generated code does not hold either.
    """

    def value(part: ast.expr) -> Any:
        return evaluate(part, lookup, reach)

    match tree:
        case ast.Attribute() | ast.Subscript() if reach is not None:
            return reach(tree)
        case ast.Constant():
            return tree.value
        case ast.Name():
            return lookup(tree.id)
        case ast.JoinedStr(values=parts):
            return "".join(map(str, map(value, parts)))
        case ast.FormattedValue(value=inner):
            return value(inner)
        case ast.Tuple():
            return tuple(map(value, tree.elts))
        case ast.List():
            return list(map(value, tree.elts))
        case ast.BinOp() if type(tree.op) in ARITHMETIC:
            return _arithmetic(tree.op, value(tree.left), value(tree.right))
        case ast.UnaryOp(op=ast.USub()):
            return -value(tree.operand)
        case ast.UnaryOp(op=ast.Not()):
            return not value(tree.operand)
        case ast.BoolOp():
            return _first_decisive(map(value, tree.values), isinstance(tree.op, ast.Or))
        case ast.Compare() if len(tree.ops) == 1 and type(tree.ops[0]) in _COMPARE:
            return _COMPARE[type(tree.ops[0])](value(tree.left), value(tree.comparators[0]))
        case ast.IfExp():
            return value(tree.body if value(tree.test) else tree.orelse)
        case ast.Call(func=ast.Name(id=called)) if called in _FUNCTIONS:
            arguments = list(map(value, tree.args))
            keywords = {str(item.arg): value(item.value) for item in tree.keywords}
            return _FUNCTIONS[called](*arguments, **keywords)
    raise Unprintable


def _arithmetic(op: ast.operator, left: Any, right: Any) -> Any:
    if not (isinstance(left, int | float) and isinstance(right, int | float)):
        raise Unprintable
    return ARITHMETIC[type(op)](left, right)


def _first_decisive(values: Iterable[Any], decisive: bool) -> Any:
    """What `or` (decided by what is true) or `and` gives; no value after the one that decides is worked out."""
    found: Any = None
    for found in values:
        if bool(found) is decisive:
            break
    return found


def value_of(tree: ast.expr, lookup: Lookup, reach: Reach | None = None) -> Any:
    """As `evaluate`; whatever fails is Unprintable."""
    try:
        return evaluate(tree, lookup, reach)
    except (ArithmeticError, TypeError, ValueError):
        raise Unprintable from None


def simplified(tree: ast.expr) -> ast.expr:
    """Without what changes nothing: `c and True`, `a if True else b`."""
    match tree:
        case ast.BoolOp():
            neutral = isinstance(tree.op, ast.And)
            rest_of = [v for v in tree.values if not (isinstance(v, ast.Constant) and v.value is neutral)]
            return rest_of[0] if len(rest_of) == 1 else ast.BoolOp(tree.op, rest_of) if rest_of else tree
        case ast.IfExp(test=ast.Constant(value=value)):
            return tree.body if value else tree.orelse
    return tree


def _part(tree: ast.expr) -> str:
    """Part of an f-string."""
    if isinstance(tree, ast.FormattedValue):
        return f"{{{text(tree.value)}}}"
    return str(tree.value) if isinstance(tree, ast.Constant) else ""


def text(tree: ast.expr) -> str:
    """An expression as `ruff format` writes it."""
    match tree:
        case ast.Constant(value=str(value)):
            return quoted(value)
        case ast.JoinedStr(values=values):
            return f'f"{"".join(map(_part, values))}"'
        case ast.Tuple(elts=[only]):
            return f"({text(only)},)"
        case ast.Tuple():
            return f"({', '.join(map(text, tree.elts))})"
        case ast.List():
            return f"[{', '.join(map(text, tree.elts))}]"
    if any(isinstance(node, ast.Constant) and isinstance(node.value, str) for node in ast.walk(tree)):
        strings = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        if not all(map(_PLAIN_TEXT.fullmatch, strings)):
            raise Unprintable
        return ast.unparse(tree).replace("'", '"')
    return ast.unparse(tree)
