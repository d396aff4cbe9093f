"""The operators and functions of the language. Sizes are checked before the work is done."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from typing import Any

from archspec.errors import Complaint
from archspec.expressions.values import CONTAINERS, MAX_ITEMS, MAX_LENGTH, Budget, checked, weight


def _multiply(left: Any, right: Any) -> Any:
    for sequence, times in ((left, right), (right, left)):
        if isinstance(sequence, str | list) and isinstance(times, int):
            limit = MAX_LENGTH if isinstance(sequence, str) else MAX_ITEMS
            if len(sequence) * times > limit:
                raise Complaint("expression", f"the result is longer than {limit}")
    return left * right


def _power(left: Any, right: Any) -> Any:
    if (
        isinstance(left, int)
        and isinstance(right, int)
        and right > 0
        and left.bit_length() * right > 2 * 64
        and abs(left) > 1
    ):
        raise Complaint("limit", "the result exceeds the limit of 2**63")
    result = left**right
    if isinstance(result, complex):
        raise Complaint("expression", "the result is not a real number")
    return result


def _modulo(left: Any, right: Any) -> Any:
    if isinstance(left, str):
        raise Complaint("expression", "`%` takes numbers only", "write `${...}` inside the text")
    return left % right


ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
"""What costs nothing between two numbers: the way that most expressions go."""
BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    **ARITHMETIC,
    ast.Mult: _multiply,
    ast.Mod: _modulo,
    ast.Pow: _power,
}
UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}


MEMBERSHIP = (COMPARE[ast.In], COMPARE[ast.NotIn])
NUMBERS = frozenset({int, float, bool})
"""Types whose comparison costs nothing and cannot fail."""


def make_divisible(value: float, divisor: int = 8, min_ratio: float = 0.9) -> int:
    """Round to a multiple of `divisor`, but not below `min_ratio` of the value.

    Source: MobileNetV2, https://arxiv.org/abs/1801.04381
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < min_ratio * value else rounded


def _make_divisible(value: float, divisor: int = 8, min_ratio: float = 0.9) -> int:
    if type(divisor) is not int or divisor < 1:
        raise ValueError("make_divisible(...): expected a divisor of at least 1")
    return make_divisible(value, divisor, min_ratio)


def _sum(values: Any, start: float = 0) -> Any:
    if not isinstance(values, list) or any(isinstance(value, list) for value in (*values, start)):
        raise TypeError("sum(...): expected a list of numbers")
    return sum(values, start)


def _round(value: float, digits: int | None = None) -> Any:
    if digits is not None and abs(digits) > 300:
        raise ValueError("round(...): expected at most 300 digits")
    return round(value, digits)


def _range(*ends: Any) -> list[int]:
    if any(type(end) is not int for end in ends):
        raise TypeError("range(...): expected integers")
    numbers = range(*ends)
    if numbers[MAX_ITEMS:]:
        raise ValueError(f"range(...): the list has more than {MAX_ITEMS:,} values")
    return list(numbers)


def _zip(*lists: Any) -> list[list[Any]]:
    if not all(isinstance(each, list) for each in lists):
        raise TypeError("zip(...): expected lists")
    return [list(entry) for entry in zip(*lists, strict=False)]


def _enumerate(values: Any, start: Any = 0) -> list[list[Any]]:
    if not isinstance(values, list) or type(start) is not int:
        raise TypeError("enumerate(...): expected a list, and an integer to start from")
    return [[number, value] for number, value in enumerate(values, start)]


def _reversed(values: Any) -> list[Any]:
    if not isinstance(values, list):
        raise TypeError("reversed(...): expected a list")
    return values[::-1]


def _sorted(values: Any) -> list[Any]:
    if not isinstance(values, list) or not NUMBERS.issuperset(map(type, values)):
        raise TypeError("sorted(...): expected a list of numbers")
    return sorted(values)


def _str(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError("str(...): expected text or a number")
    return str(value)


def _log(value: float, *base: float) -> float:
    if value <= 0 or base and (base[0] <= 0 or base[0] == 1):
        raise ValueError("log(...): expected a number above 0, and a base above 0 that is not 1")
    if base and base[0] in _LOGARITHMS:
        return _LOGARITHMS[base[0]](value)
    return math.log(value, *base)


_LOGARITHMS: dict[float, Callable[[float], float]] = {2: math.log2, 10: math.log10}
"""What is exact to the last bit, by its base."""


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "min": min,
    "max": max,
    "sum": _sum,
    "len": len,
    "abs": abs,
    "int": int,
    "round": _round,
    "ceil": math.ceil,
    "floor": math.floor,
    "log": _log,
    "make_divisible": _make_divisible,
    "range": _range,
    "zip": _zip,
    "enumerate": _enumerate,
    "reversed": _reversed,
    "sorted": _sorted,
    "str": _str,
}
OF_ANYTHING = frozenset({"len", "zip", "enumerate", "reversed", "str"})
"""Functions that take text, or lists of anything; the others take numbers and lists of them."""
MAKES_A_LIST = frozenset({"range"})
"""Functions that make a list of numbers, which has to be paid for."""
NOT_FUNCTIONS = {
    "list": "`range`, `zip`, `enumerate`, `reversed` and `sorted` give lists already",
    "tuple": "a list is written `[a, b]`; `(a, b)` is the same",
    "join": "text is joined by `+`, lists too",
    "map": "write a comprehension: `[f(x) for x in list]`",
    "filter": "write a comprehension: `[x for x in list if c]`",
    "sqrt": "write `x ** 0.5`",
    "pow": "write `x ** y`",
    "square": "write `x ** 2`",
    "exp": "write `2.718281828459045 ** x`",
    "float": "write `x * 1.0`; an integer is taken wherever a float is",
    "format": "text around an expression makes text of it: `layer${index}`",
    "bool": "a comparison is true or false: `x != 0`",
    "div": "write `x / y`, or `x // y` for an integer",
    "size": "a tensor has `shape`, `channels`, `height`, `width`, `depth`, `length` and `features`",
    "any": "write `sum(x for x in list) > 0`",
    "prod": "write the product out: `x * y`",
}
"""What to write instead of functions of Python, math and torch that expressions do not have."""
KEYWORDS = {"make_divisible": {"divisor", "min_ratio"}, "enumerate": {"start"}}


def guard(budget: Budget, function: Callable[..., Any], *values: Any, **keywords: Any) -> Any:
    """Return `function(*values)`, paid for and with its result checked. Raises: Complaint if it fails."""
    pay(budget, *values)
    result = attempt(function, *values, **keywords)
    if type(result) is list:
        budget.spend(weight(result))
    return result


def pay(budget: Budget, *values: Any) -> None:
    """Spend what it takes to look at every part of `values`. Raises: Complaint if that is too much."""
    for value in values:
        if type(value) in NUMBERS:
            continue
        if isinstance(value, CONTAINERS):
            budget.spend(weight(value))
        elif isinstance(value, str):
            budget.spend(len(checked(value)) // 32)


def attempt(function: Callable[..., Any], *values: Any, **keywords: Any) -> Any:
    """Return `function(*values)`, with its result checked. Raises: Complaint if it fails."""
    try:
        result = function(*values, **keywords)
    except ZeroDivisionError:
        raise Complaint("expression", "division by zero") from None
    except OverflowError:
        raise Complaint("expression", "the result exceeds the range of a float") from None
    except IndexError:
        raise Complaint("expression", "the index is out of range") from None
    except KeyError as error:
        raise Complaint("expression", f"the mapping has no key {error}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise Complaint("expression", _plain_message(error)) from None
    return checked(result)


def _plain_message(error: Exception) -> str:
    return re.sub("'(Ref|Tensor)'", "a tensor", str(error)).replace("'NoneType'", "nothing")
