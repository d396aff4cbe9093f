"""Expressions of generated code as syntax trees: built, evaluated, simplified and printed; never passed to `eval`."""

from __future__ import annotations

import ast
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from archspec.backends.source.strings import quoted
from archspec.expressions.functions import ARITHMETIC, COMPARE, make_divisible

WIDEST = 72
"""Characters of the longest expression that is printed; a longer one is replaced by its value."""

LONG_FLOAT = 12
"""Characters of the longest float that is written as it is; a longer one is a fraction, if it is one."""

MAX_DENOMINATOR = 1000

Lookup = Callable[[str], Any]

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "min": min,
    "max": max,
    "sum": sum,
    "len": len,
    "abs": abs,
    "int": int,
    "round": round,
    "range": range,
    "zip": zip,
    "enumerate": enumerate,
    "reversed": lambda values: values[::-1],
    "sorted": sorted,
    "str": str,
    "make_divisible": make_divisible,
    "math.ceil": math.ceil,
    "math.floor": math.floor,
    "math.log": math.log,
    "math.log2": math.log2,
    "math.log10": math.log10,
}
"""What generated code may call, by the name under which it does."""

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    op: COMPARE[op] for op in (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn)
}
_PLAIN_TEXT = re.compile(r"[A-Za-z0-9_. +-]*")
MAX_WORK = 10_000
"""Steps that the evaluation of one expression may take: comprehensions over long lists are left as values."""


class Unprintable(Exception):
    """An expression that generated code does not hold: its value is printed instead."""


def same(left: Any, right: Any) -> bool:
    """Return whether two values are equal, keeping true, 1 and 1.0 apart, within lists and mappings too."""
    if isinstance(left, tuple | list) and isinstance(right, tuple | list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    return type(left) is type(right) and bool(left == right)


def all_same(values: Iterable[Any]) -> bool:
    """Return whether all values are the same as the first."""
    values = iter(values)
    first = next(values, None)
    return all(same(first, value) for value in values)


# Building.


def literal(value: Any) -> ast.expr:
    """Return a value as code. Raises: Unprintable if it has no literal."""
    if isinstance(value, tuple):
        return ast.Tuple([literal(item) for item in value], ast.Load())
    if isinstance(value, list):
        return ast.List([literal(item) for item in value], ast.Load())
    if isinstance(value, dict):
        return ast.Dict([ast.Constant(key) for key in value], [literal(item) for item in value.values()])
    if isinstance(value, float) and math.isinf(value):
        return ast.Call(name("float"), [ast.Constant("-inf" if value < 0 else "inf")], [])
    if isinstance(value, int | float) and not isinstance(value, bool) and value < 0:
        return ast.UnaryOp(ast.USub(), literal(-value))
    if isinstance(value, float) and len(repr(value)) > LONG_FLOAT:
        ratio = Fraction(value).limit_denominator(MAX_DENOMINATOR)
        if ratio.denominator > 1 and ratio.numerator / ratio.denominator == value:
            return ast.BinOp(ast.Constant(ratio.numerator), ast.Div(), ast.Constant(ratio.denominator))
    if value is None or isinstance(value, bool | int | float | str):
        return ast.Constant(value)
    raise Unprintable


def name(text: str) -> ast.Name:
    """Return a name as code."""
    return ast.Name(text, ast.Load())


def item(tree: ast.expr, key: Any) -> ast.expr:
    """Return `tree[key]`."""
    return ast.Subscript(tree, ast.Constant(key), ast.Load())


def binary(left: ast.expr, op: ast.operator, right: ast.expr) -> ast.expr:
    """Return `left op right`, simplified."""
    return simplified(ast.BinOp(left, op, right))


def negated(test: ast.expr) -> ast.expr:
    """Return the opposite of a condition."""
    opposite: dict[type[ast.cmpop], ast.cmpop] = {
        ast.Eq: ast.NotEq(),
        ast.NotEq: ast.Eq(),
        ast.Lt: ast.GtE(),
        ast.GtE: ast.Lt(),
        ast.Gt: ast.LtE(),
        ast.LtE: ast.Gt(),
    }
    match test:
        case ast.UnaryOp(op=ast.Not()):
            return test.operand
        case ast.Compare(ops=[op]) if type(op) in opposite:
            return ast.Compare(test.left, [opposite[type(op)]], test.comparators)
    return ast.UnaryOp(ast.Not(), test)


# Asking.


def names_in(tree: ast.AST) -> set[str]:
    """Return every name that an expression reads from around it: no functions, no loop variables of its own."""
    if isinstance(tree, ast.Constant):
        return set()
    if isinstance(tree, ast.Name):
        return {tree.id}
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    bound = {target.id for node in ast.walk(tree) if isinstance(node, ast.comprehension) for target in targets_of(node)}
    modules = {"math", "torch"}
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called}
    return found - bound - modules


def targets_of(loop: ast.comprehension) -> list[ast.Name]:
    """Return the names that a `for` of a comprehension binds."""
    return [node for node in ast.walk(loop.target) if isinstance(node, ast.Name)]


def is_constant(tree: ast.expr) -> bool:
    """Return whether an expression reads no name."""
    return not names_in(tree)


def equal(left: ast.AST, right: ast.AST) -> bool:
    """Return whether two expressions are written alike."""
    return left is right or ast.dump(left) == ast.dump(right)


def equal_sums(left: ast.expr, right: ast.expr) -> bool:
    """Return whether two expressions are the same sum, whatever the order of terms and of factors."""
    sums: list[Counter[str]] = []
    for tree in (left, right):
        terms: Counter[str] = Counter()
        for factor, base in _terms(tree):
            terms[ast.dump(base)] += factor
        sums.append(terms)
    return sums[0] == sums[1]


# Evaluating.


class _Evaluator:
    """Works out one expression; `work` bounds its steps."""

    def __init__(self, lookup: Lookup, most: int) -> None:
        self.lookup, self.most = lookup, most
        self.bound: dict[str, Any] = {}
        self.work = 0

    def value(self, tree: ast.expr) -> Any:
        self.work += 1
        if self.work > self.most:
            raise Unprintable
        match tree:
            case ast.Constant():
                return tree.value
            case ast.Name():
                return self.bound[tree.id] if tree.id in self.bound else self.lookup(tree.id)
            case ast.Tuple():
                return tuple(map(self.value, tree.elts))
            case ast.List():
                return list(map(self.value, tree.elts))
            case ast.Dict():
                return {
                    self.value(key): self.value(value)
                    for key, value in zip(tree.keys, tree.values, strict=True)
                    if key is not None
                }
            case ast.Subscript(slice=ast.Slice(lower=lower, upper=upper, step=step)):
                ends = [None if end is None else self.value(end) for end in (lower, upper, step)]
                return self.value(tree.value)[slice(*ends)]
            case ast.Subscript():
                return self.value(tree.value)[self.value(tree.slice)]
            case ast.BinOp() if type(tree.op) in ARITHMETIC:
                return _arithmetic(ARITHMETIC[type(tree.op)], self.value(tree.left), self.value(tree.right))
            case ast.BinOp(op=ast.Pow()):
                return _power(self.value(tree.left), self.value(tree.right))
            case ast.UnaryOp(op=ast.USub()):
                return -self.value(tree.operand)
            case ast.UnaryOp(op=ast.Not()):
                return not self.value(tree.operand)
            case ast.BoolOp():
                return self._first_decisive(tree.values, isinstance(tree.op, ast.Or))
            case ast.Compare() if all(type(op) in _COMPARE for op in tree.ops):
                return self._compare(tree)
            case ast.IfExp():
                return self.value(tree.body if self.value(tree.test) else tree.orelse)
            case ast.JoinedStr(values=parts):
                return "".join(str(self.value(part)) for part in parts)
            case ast.FormattedValue(value=inner):
                return self.value(inner)
            case ast.ListComp() | ast.GeneratorExp():
                return self._comprehension(tree)
            case ast.Call(func=func) if (called := ast.unparse(func)) in FUNCTIONS:
                arguments = list(map(self.value, tree.args))
                keywords = {str(keyword.arg): self.value(keyword.value) for keyword in tree.keywords}
                found = FUNCTIONS[called](*arguments, **keywords)
                return list(found) if called in ("range", "zip", "enumerate") else found
            case ast.Call(func=ast.Name(id="float"), args=[ast.Constant(value=("inf" | "-inf") as text)]):
                return float(text)
        raise Unprintable

    def _first_decisive(self, trees: Iterable[ast.expr], decisive: bool) -> Any:
        """Return what `or` (decided by what is true) or `and` gives; later values are not worked out."""
        found: Any = None
        for tree in trees:
            found = self.value(tree)
            if bool(found) is decisive:
                break
        return found

    def _compare(self, tree: ast.Compare) -> bool:
        left = self.value(tree.left)
        for op, comparator in zip(tree.ops, tree.comparators, strict=True):
            right = self.value(comparator)
            if not _COMPARE[type(op)](left, right):
                return False
            left = right
        return True

    def _comprehension(self, tree: ast.ListComp | ast.GeneratorExp) -> list[Any]:
        found: list[Any] = []

        def run(level: int) -> None:
            if level == len(tree.generators):
                found.append(self.value(tree.elt))
                return
            loop = tree.generators[level]
            names = [target.id for target in targets_of(loop)]
            hidden = {name: self.bound[name] for name in names if name in self.bound}
            for entry in self.value(loop.iter):
                values = [entry] if isinstance(loop.target, ast.Name) else entry
                self.bound.update(zip(names, values, strict=True))
                if all(self.value(test) for test in loop.ifs):
                    run(level + 1)
            for name in names:
                self.bound.pop(name, None)
            self.bound.update(hidden)

        run(0)
        return found


def _arithmetic(function: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    numbers = isinstance(left, int | float) and isinstance(right, int | float)
    if not numbers and not (isinstance(left, str) and isinstance(right, str)):
        raise Unprintable
    return function(left, right)


def _power(left: Any, right: Any) -> Any:
    if not (isinstance(left, int | float) and isinstance(right, int | float)) or abs(right) > 64 or abs(left) > 2**32:
        raise Unprintable
    return left**right


def value_of(tree: ast.expr, lookup: Lookup, most: int = MAX_WORK) -> Any:
    """Return the value of an expression whose names `lookup` gives, in at most `most` steps.

    Raises: Unprintable if it holds what generated code does not, or fails.
    """
    try:
        return _Evaluator(lookup, most).value(tree)
    except (ArithmeticError, TypeError, ValueError, LookupError):
        raise Unprintable from None


# Simplifying.


def simplified(tree: ast.expr) -> ast.expr:
    """Return the tree without what changes nothing: `x * 1`, `x + 0`, `x + x`, `c and True`."""
    match tree:
        case ast.BinOp(op=ast.Mult(), left=ast.Constant(value=1), right=rest) if _is_whole(tree.left):
            return rest
        case ast.BinOp(op=ast.Mult() | ast.FloorDiv(), left=rest, right=ast.Constant(value=1)) if _is_whole(tree.right):
            return rest
        case ast.BinOp(
            op=ast.Mult(),
            left=ast.Constant(value=int(one)),
            right=ast.BinOp(op=ast.Mult(), left=ast.Constant(value=int(other)), right=rest),
        ):
            return ast.BinOp(ast.Constant(one * other), ast.Mult(), rest)
        case ast.BinOp(op=ast.Add() | ast.Sub(), left=rest, right=ast.Constant(value=0)) if _is_whole(tree.right):
            return rest
        case ast.BinOp(op=ast.Add(), left=ast.Constant(value=0), right=rest) if _is_whole(tree.left):
            return rest
        case ast.BinOp(op=ast.Add(), left=low, right=ast.BinOp(op=ast.Sub(), left=high, right=base)) if equal(
            low, base
        ):
            return high
        case ast.BinOp(op=ast.Add()):
            return _collected(tree)
        case ast.BoolOp():
            neutral = isinstance(tree.op, ast.And)
            values = [
                value for value in tree.values if not (isinstance(value, ast.Constant) and value.value is neutral)
            ]
            return values[0] if len(values) == 1 else ast.BoolOp(tree.op, values) if values else tree
        case ast.UnaryOp(op=ast.Not(), operand=ast.Compare(ops=[_])):
            return negated(tree.operand)
        case ast.UnaryOp(op=ast.Not(), operand=ast.Constant(value=bool(value))):
            return ast.Constant(not value)
        case ast.IfExp(test=ast.Constant(value=value)):
            return tree.body if value else tree.orelse
        case ast.IfExp() if equal(tree.body, tree.orelse):
            return tree.body
    return tree


def _collected(tree: ast.BinOp) -> ast.expr:
    """Return a sum with equal terms taken together: `x + x` as `2 * x`."""
    terms: list[tuple[int, ast.expr]] = []
    factor_last = any(
        isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult) and isinstance(node.right, ast.Constant)
        for node in ast.walk(tree)
    )
    for factor, base in _terms(tree):
        known = next((place for place, (_, other) in enumerate(terms) if equal(base, other)), None)
        if known is None:
            terms.append((factor, base))
        else:
            terms[known] = (terms[known][0] + factor, base)
    if len(terms) == len(list(_terms(tree))):
        return tree
    found: ast.expr | None = None
    for factor, base in terms:
        if isinstance(base, ast.Constant) and type(base.value) is int:
            term: ast.expr = ast.Constant(factor * base.value)
        else:
            left, right = (base, ast.Constant(factor)) if factor_last else (ast.Constant(factor), base)
            term = base if factor == 1 else ast.BinOp(left, ast.Mult(), right)
        found = term if found is None else ast.BinOp(found, ast.Add(), term)
    assert found is not None
    return found


def _terms(tree: ast.expr) -> Iterator[tuple[int, ast.expr]]:
    """Yield the terms of a sum, each with its whole factor."""
    match tree:
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            yield from _terms(left)
            yield from _terms(right)
        case ast.BinOp(op=ast.Mult(), left=ast.Constant(value=int(factor)), right=base):
            yield factor, base
        case ast.BinOp(op=ast.Mult(), left=base, right=ast.Constant(value=int(factor))):
            yield factor, base
        case _:
            yield 1, tree


def _is_whole(tree: ast.expr) -> bool:
    return isinstance(tree, ast.Constant) and type(tree.value) is int


class _Replace(ast.NodeTransformer):
    """Puts expressions in place of names, or of parts that are written alike."""

    def __init__(self, names: Mapping[str, ast.expr], parts: Mapping[str, ast.expr]) -> None:
        self.names, self.parts = names, parts

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Name) and node.id in self.names:
            return self.names[node.id]
        if self.parts and isinstance(node, ast.expr) and (key := ast.dump(node)) in self.parts:
            return self.parts[key]
        copied = type(node)(**dict(ast.iter_fields(node)))
        found = self.generic_visit(_copy_lists(copied))
        return simplified(found) if isinstance(found, ast.expr) else found


def _copy_lists(node: ast.AST) -> ast.AST:
    for field, value in ast.iter_fields(node):
        if isinstance(value, list):
            setattr(node, field, list(value))
    return node


def replaced(
    tree: ast.expr, names: Mapping[str, ast.expr] | None = None, parts: Mapping[str, ast.expr] | None = None
) -> ast.expr:
    """Return the tree with `names` replaced, and `parts` (by their `ast.dump`); the given tree stays as it is."""
    found: ast.expr = _Replace(names or {}, parts or {}).visit(tree)
    return found


# Printing.


def text(tree: ast.expr) -> str:
    """Return an expression as `ruff format` writes it. Raises: Unprintable if a string in it needs care."""
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
        case ast.Dict():
            pairs = zip(tree.keys, tree.values, strict=True)
            return f"{{{', '.join(f'{text(key)}: {text(value)}' for key, value in pairs if key)}}}"
    strings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    if not all(map(_PLAIN_TEXT.fullmatch, strings)):
        raise Unprintable
    code = ast.unparse(tree)
    if not strings:
        code = _EXPONENT.sub(r"\1e-\2", code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Slice):
            code = _spaced(code, node)
    return _hugged(_bare_generators(code.replace("'", '"') if strings else code))


def _spaced(code: str, part: ast.Slice) -> str:
    """Return code with spaces around the colon of a slice, where a bound is more than a name: `[: stage + 1]`."""
    bounds = [part.lower, part.upper]
    if part.step is not None or all(each is None or isinstance(each, ast.Name | ast.Constant) for each in bounds):
        return code
    lower, upper = ("" if each is None else ast.unparse(each) for each in bounds)
    return code.replace(f"[{lower}:{upper}]", f"[{f'{lower} : {upper}'.strip()}]")


_EXPONENT = re.compile(r"(\d)e-0(\d)\b")
"""A small number as Python shows it, which people write without the zero: 1e-6."""

_POWER = re.compile(r"(?<![\w.\])])([\w.]+) \*\* (-?[\w.]+)(?![\w.(\[])")


def _hugged(code: str) -> str:
    """Return code with powers of simple operands written as `ruff format` does: `2**index`."""
    return _POWER.sub(r"\1**\2", code) if "**" in code else code


def _bare_generators(code: str) -> str:
    """Return code with generators as only arguments without brackets of their own: `sum(x for x in y)`."""
    at = 0
    while (at := code.find("((", at)) >= 0:
        depth = 0
        for end in range(at, len(code)):
            depth += (code[end] == "(") - (code[end] == ")")
            if depth == 1 and code[end] == ")":
                break
        inner = code[at + 2 : end]
        if code[end : end + 2] == "))" and " for " in inner and code[at - 1 : at].isalnum():
            code = f"{code[:at]}({inner}){code[end + 2 :]}"
        at += 1
    return code


def _part(tree: ast.expr) -> str:
    """Return part of an f-string."""
    if isinstance(tree, ast.FormattedValue):
        return f"{{{text(tree.value)}}}"
    return str(tree.value) if isinstance(tree, ast.Constant) else ""
