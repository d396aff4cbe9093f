"""Symbolic integers: numbers that remember the expression that gives them, so that generated source can print it.

The arithmetic of an op (a padding of half the kernel, the channels of a concatenation) is plain Python. Run on symbolic
integers, it gives each argument of the torch call both as a number and as an expression of what the op was given:

    >>> from archspec.ops import OPS
    >>> from archspec.ops.base import symbolic_calls
    >>> given = {"filters": symbolic(128, name("filters")), "kernel": symbolic(3, name("kernel")), "padding": "half"}
    >>> (call,), output = symbolic_calls(OPS["conv"], ((symbolic(64, name("width")), 56, 56),), given)
    >>> call.arguments["padding"], ast.unparse(tree_of(call.arguments["padding"]))
    (1, '(kernel - 1) // 2')
    >>> output
    (128, 56, 56)

A symbolic value equals the plain one, hashes like it and computes like it, so an op cannot tell the difference. What
is not computed with `+`, `-`, `*`, `//`, `%` and `divmod` is a plain number again.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterable
from typing import Any, Final

MAX_TERMS: Final = 32
"""Names and numbers in the longest expression that is remembered: nobody would read a longer one."""


class Sym(int):
    """An integer with the expression that gives it, a syntax tree of Python; None where that would be too long."""

    tree: ast.expr | None

    def __new__(cls, value: int, tree: ast.expr | None) -> Sym:
        made = super().__new__(cls, value)
        made.tree = tree
        return made

    def __add__(self, other: int) -> int:
        return _computed(operator.add, ast.Add(), self, other)

    def __radd__(self, other: int) -> int:
        return _computed(operator.add, ast.Add(), other, self)

    def __sub__(self, other: int) -> int:
        return _computed(operator.sub, ast.Sub(), self, other)

    def __rsub__(self, other: int) -> int:
        return _computed(operator.sub, ast.Sub(), other, self)

    def __mul__(self, other: int) -> int:
        return _computed(operator.mul, ast.Mult(), self, other)

    def __rmul__(self, other: int) -> int:
        return _computed(operator.mul, ast.Mult(), other, self)

    def __floordiv__(self, other: int) -> int:
        return _computed(operator.floordiv, ast.FloorDiv(), self, other)

    def __rfloordiv__(self, other: int) -> int:
        return _computed(operator.floordiv, ast.FloorDiv(), other, self)

    def __mod__(self, other: int) -> int:
        return _computed(operator.mod, ast.Mod(), self, other)

    def __rmod__(self, other: int) -> int:
        return _computed(operator.mod, ast.Mod(), other, self)

    def __divmod__(self, other: int) -> tuple[int, int]:
        return self // other, self % other

    def __rdivmod__(self, other: int) -> tuple[int, int]:
        return other // self, other % self

    def __neg__(self) -> int:
        return 0 - self

    def __pos__(self) -> int:
        return self


class SymFloat(float):
    """A float with the expression that gives it. What is computed from it is a plain float."""

    tree: ast.expr


class SymText(str):
    """Text with the expression that gives it. What is computed from it is plain text."""

    tree: ast.expr


class SymBool(int):
    """A truth value with the expression that gives it: Python's own cannot be extended."""

    tree: ast.expr


_CLASSES: dict[type, Any] = {float: SymFloat, str: SymText, bool: SymBool}


def name(text: str) -> ast.Name:
    """Return a name as an expression."""
    return ast.Name(text, ast.Load())


def symbolic(value: Any, tree: ast.expr) -> Any:
    """Return a value that remembers its expression; of a list, each item does. Nothing (`None`) stays what it is."""
    if isinstance(value, list | tuple):
        return [symbolic(item, ast.Subscript(tree, ast.Constant(at), ast.Load())) for at, item in enumerate(value)]
    if type(value) is int:
        return Sym(value, tree)
    if type(value) not in _CLASSES:
        return value
    made = _CLASSES[type(value)](value)
    made.tree = tree
    return made


def tree_of(value: Any) -> ast.expr | None:
    """Return the expression of a value, numbers that have none as themselves; None where no part of it has one."""
    if isinstance(value, Sym | SymFloat | SymText | SymBool):
        return value.tree
    if isinstance(value, tuple) and any(tree_of(item) is not None for item in value):
        return ast.Tuple([tree_of(item) or ast.Constant(item) for item in value], ast.Load())
    if isinstance(value, list) and any(tree_of(item) is not None for item in value):
        return ast.List([tree_of(item) or ast.Constant(item) for item in value], ast.Load())
    return None


def like(value: Any, given: Any) -> Any:
    """Return `value`, with the expression of `given` where that has one."""
    tree = tree_of(given)
    return value if tree is None else symbolic(value, tree)


def substituted(tree: ast.expr, replacement: Callable[[str], ast.expr]) -> ast.expr:
    """Return an expression of symbolic arithmetic with each name replaced.

    An item of a list is the item itself where the list is written out.
    """
    match tree:
        case ast.Name():
            return replacement(tree.id)
        case ast.BinOp():
            return binary(substituted(tree.left, replacement), tree.op, substituted(tree.right, replacement))
        case ast.UnaryOp():
            return ast.UnaryOp(tree.op, substituted(tree.operand, replacement))
        case ast.Tuple() | ast.List():
            return type(tree)([substituted(item, replacement) for item in tree.elts], ast.Load())
        case ast.Subscript(slice=ast.Constant(value=int(at))):
            items = substituted(tree.value, replacement)
            if isinstance(items, ast.Tuple | ast.List) and at < len(items.elts):
                return items.elts[at]
            return ast.Subscript(items, tree.slice, ast.Load())
    return tree


def binary(left: ast.expr, op: ast.operator, right: ast.expr) -> ast.expr:
    """Return `left op right` without what changes nothing: `x * 1`, `1 * x`, `x // 1`, `x + 0`, `0 + x`, `x - 0`."""
    one_left, one_right = _is_number(left, 1), _is_number(right, 1)
    zero_left, zero_right = _is_number(left, 0), _is_number(right, 0)
    match op:
        case ast.Mult() if one_left:
            return right
        case ast.Mult() | ast.FloorDiv() if one_right:
            return left
        case ast.Add() if zero_left:
            return right
        case ast.Add() | ast.Sub() if zero_right:
            return left
    return ast.BinOp(left, op, right)


def _is_number(tree: ast.expr, number: int) -> bool:
    return isinstance(tree, ast.Constant) and type(tree.value) is int and tree.value == number


# Arithmetic.


def _computed(compute: Callable[[int, int], int], op: ast.operator, left: object, right: object) -> int:
    """Compute `left op right`: a plain number where no name is left in the expression."""
    if not (isinstance(left, int) and isinstance(right, int)):
        return NotImplemented  # type: ignore[no-any-return]
    value = compute(int(left), int(right))
    terms = _term(left), _term(right)
    if terms[0] is None or terms[1] is None:
        return Sym(value, None)
    tree = _folded(terms[0], op, terms[1])
    if isinstance(tree, ast.Constant):
        return value
    return Sym(value, tree if _terms(tree) <= MAX_TERMS else None)


def _term(value: int) -> ast.expr | None:
    return value.tree if isinstance(value, Sym) else _number(int(value))


def _number(value: int) -> ast.expr:
    return ast.UnaryOp(ast.USub(), ast.Constant(-value)) if value < 0 else ast.Constant(value)


def _terms(tree: ast.expr) -> int:
    return sum(isinstance(node, ast.Name | ast.Constant) for node in ast.walk(tree))


def _folded(left: ast.expr, op: ast.operator, right: ast.expr) -> ast.expr:
    """Do as `binary`, and combine like terms: `x - 1 + 2` is `x + 1`, `x + x` is `2 * x`, `x * 7 * 7` is `x * 49`.

    That is exact for integers only.
    """
    match op:
        case ast.Add() | ast.Sub():
            return _sum(ast.BinOp(left, op, right))
        case ast.Mult():
            (base, factor), (other, more) = _without_factor(left), _without_factor(right)
            if base is None and more != 1 or other is None:
                base, factor = other if base is None else base, factor * more
                return ast.Constant(factor) if base is None or not factor else binary(base, op, ast.Constant(factor))
        case ast.FloorDiv():
            left, right = _without_common_factors(left, right)
            if isinstance(left, ast.Constant) and isinstance(right, ast.Constant) and right.value:
                return ast.Constant(left.value // right.value)  # type: ignore[operator]
    return binary(left, op, right)


def _without_common_factors(left: ast.expr, right: ast.expr) -> tuple[ast.expr, ast.expr]:
    """Return a dividend and a divisor without the factors that both have: `a * b * 6 // (a * 4)` is `b * 3 // 2`.

    That is exact for rounded quotients of integers too.
    """
    (names, number), (others, divisor) = _factors(left), _factors(right)
    if not divisor:
        return left, right
    for key in [key for key in others if key in names]:
        del names[key], others[key]
    common = math.gcd(number, divisor)
    return _product(names.values(), number // common), _product(others.values(), divisor // common)


def _factors(tree: ast.expr) -> tuple[dict[tuple[str, int], ast.expr], int]:
    """Return the factors of a product, each by its text and how many equal ones are before it, and its number."""
    found: dict[tuple[str, int], ast.expr] = {}
    number, rest = 1, [tree]
    while rest:
        match rest.pop():
            case ast.Constant(value=int(value)):
                number *= value
            case ast.BinOp(op=ast.Mult(), left=first, right=second):
                rest += [second, first]
            case factor:
                key = ast.dump(factor)
                found[key, sum(other == key for other, _ in found)] = factor
    return found, number


def _product(factors: Iterable[ast.expr], number: int) -> ast.expr:
    """Return a product, its number last."""
    found: ast.expr = ast.Constant(1)
    for factor in factors:
        found = binary(found, ast.Mult(), factor)
    return binary(found, ast.Mult(), _number(number))


def _without_factor(tree: ast.expr) -> tuple[ast.expr | None, int]:
    """Split a product into what stands before the number that ends it, and that number: `x * 7` into `x` and 7."""
    match tree:
        case ast.Constant(value=int(number)):
            return None, number
        case ast.BinOp(op=ast.Mult(), right=ast.Constant(value=int(number))):
            return tree.left, number
    return tree, 1


def _sum(tree: ast.expr) -> ast.expr:
    """Write a sum with each term once, what is added first and the number last."""
    terms: dict[str, tuple[ast.expr, int]] = {}
    number = _collect(tree, 1, terms)
    added = [_times(term, factor) for term, factor in terms.values() if factor > 0]
    taken = [_times(term, -factor) for term, factor in terms.values() if factor < 0]
    if not added and (number or not taken):
        added, number = [_number(number)], 0
    found = added[0] if added else ast.UnaryOp(ast.USub(), taken.pop(0))
    for term in added[1:]:
        found = ast.BinOp(found, ast.Add(), term)
    for term in taken:
        found = ast.BinOp(found, ast.Sub(), term)
    return binary(found, ast.Sub() if number < 0 else ast.Add(), ast.Constant(abs(number)))


def _collect(tree: ast.expr, sign: int, terms: dict[str, tuple[ast.expr, int]]) -> int:
    """Add the terms of a sum to `terms`, each with its factor, and return the number in it."""
    factor = sign
    match tree:
        case ast.Constant(value=int(number)):
            return sign * number
        case ast.BinOp(op=ast.Add() | ast.Sub() as op):
            number = _collect(tree.left, sign, terms)
            return number + _collect(tree.right, sign if isinstance(op, ast.Add) else -sign, terms)
        case ast.UnaryOp(op=ast.USub()):
            return _collect(tree.operand, -sign, terms)
        case ast.BinOp(op=ast.Mult(), left=ast.Constant(value=int(number))):
            tree, factor = tree.right, sign * number
        case ast.BinOp(op=ast.Mult(), right=ast.Constant(value=int(number))):
            tree, factor = tree.left, sign * number
    key = ast.dump(tree)
    terms[key] = tree, terms.get(key, (tree, 0))[1] + factor
    return 0


def _times(tree: ast.expr, factor: int) -> ast.expr:
    return binary(ast.Constant(factor), ast.Mult(), tree)
