"""`$name` and `${...}`: a small, bounded subset of Python's expressions.

An expression is parsed by Python's own parser, checked node by node against a closed list, and compiled to closures.
Nothing is ever passed to `eval`. Every step draws on a budget, so that no expression runs long or makes large values.
"""

from __future__ import annotations

import ast
import math
import operator
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from archspec.errors import did_you_mean
from archspec.shapes import LIMIT, SPATIAL_AXES, Shape

MAX_LENGTH = 1_000
MAX_LEVELS = 32
MAX_ITEMS = 10_000
MAX_STEPS = 100_000
MAX_TOTAL_STEPS = 4_000_000


class ExpressionError(Exception):
    """An expression that is malformed, forbidden, too costly, or fails. The caller adds the place."""

    def __init__(self, message: str, help: str | None = None, code: str = "expression") -> None:
        super().__init__(message)
        self.message, self.help, self.code = message, help, code


class UnknownShape(Exception):
    """The expression asks for a value, or a tensor's shape, that is already in error; no second complaint is due."""


UNKNOWN: Any = object()
"""The value of a param that is in error."""


class Tensor:
    """What an expression sees of a tensor: `channels`, `height`, `width`, `depth`, `length` and `shape`."""

    __slots__ = ("shape",)

    def __init__(self, shape: Shape | None) -> None:
        self.shape = shape

    def attribute(self, name: str) -> Any:
        """The size called `name`."""
        if self.shape is None:
            raise UnknownShape
        if name == "shape":
            return list(self.shape)
        axes = ("channels", *SPATIAL_AXES.get(len(self.shape) - 1, ()))
        if name not in axes:
            raise ExpressionError(f"a {len(self.shape)}-D tensor has no `{name}`", did_you_mean(name, (*axes, "shape")))
        return self.shape[axes.index(name)]


class Budget:
    """How much work the expressions of one document may still do, in steps: this one, and all together."""

    __slots__ = ("steps", "total")

    def __init__(self) -> None:
        self.steps, self.total = MAX_STEPS, MAX_TOTAL_STEPS

    def spend(self, amount: int) -> None:
        """Take `amount` steps; ExpressionError where they are no longer there."""
        self.steps -= amount
        if self.steps < 0 or self.total < 0:
            raise ExpressionError("too much work for an expression", code="limit" if self.total < 0 else "expression")

    def renew(self) -> None:
        """Begin the next expression."""
        self.total -= MAX_STEPS - self.steps + 1
        self.steps = MAX_STEPS


class Scope:
    """The names an expression sees: `values` of its own, and those around it."""

    __slots__ = ("values", "parent", "tensors", "visible", "budget", "lossy")

    def __init__(
        self,
        values: dict[str, Any],
        parent: Scope | None = None,
        tensors: Callable[[str], Tensor | None] | None = None,
        visible: Callable[[], Iterable[str]] | None = None,
    ) -> None:
        self.values, self.parent, self.tensors, self.visible = values, parent, tensors, visible
        self.lossy = False  # whether names are missing that may have been meant to be here
        self.budget: Budget = parent.budget if parent else Budget()

    def lookup(self, name: str) -> Any:
        """The value of `name`: the innermost value, else the tensor of that name."""
        scope: Scope | None = self
        tensors, lossy = None, False
        while scope is not None:
            if name in scope.values:
                if scope.values[name] is UNKNOWN:
                    raise UnknownShape
                return scope.values[name]
            tensors = tensors or scope.tensors
            lossy |= scope.lossy
            scope = scope.parent
        found = tensors(name) if tensors else None
        if found is None:
            if lossy:
                raise UnknownShape
            raise ExpressionError(f"nothing here is called `{name}`", _name_help(name, self.names()))
        return found

    def names(self) -> Iterator[str]:
        """Every name in sight: of values, then of tensors."""
        scope: Scope | None = self
        visible: list[Callable[[], Iterable[str]]] = []
        while scope is not None:
            yield from scope.values
            visible += [scope.visible] if scope.visible else []
            scope = scope.parent
        if visible:
            yield from visible[0]()


def _name_help(name: str, known: Iterator[str]) -> str | None:
    words = {"true": "True", "false": "False", "null": "None", "none": "None"}
    if name in words:
        return f"inside an expression it is `{words[name]}`, as in Python"
    if name == "input":
        return "params and defaults see no tensors; of several inputs, each has a name of its own"
    return did_you_mean(name, dict.fromkeys([*known, *FUNCTIONS]))


Evaluate = Callable[[Scope], Any]


class Expression:
    """A compiled expression; `names` are those it mentions, `tree` is its syntax, for back ends that print it."""

    __slots__ = ("text", "names", "tree", "_run", "_size")

    def __init__(self, text: str, run: Evaluate, names: frozenset[str], tree: ast.expr, size: int) -> None:
        self.text, self.names, self.tree, self._run, self._size = text, names, tree, run, size

    def evaluate(self, scope: Scope) -> Any:
        """Its value in `scope`; ExpressionError where it has none."""
        if type(self.tree) is ast.Name:
            return scope.lookup(self.tree.id)
        scope.budget.renew()
        scope.budget.spend(self._size)
        return self._run(scope)


class Template:
    """Text with `${...}` or `$name` inside: a list of literal parts and expressions."""

    __slots__ = ("parts", "names")

    def __init__(self, parts: tuple[str | Expression, ...]) -> None:
        self.parts = parts
        self.names: frozenset[str] = frozenset().union(*(p.names for p in parts if isinstance(p, Expression)))

    def evaluate(self, scope: Scope) -> str:
        """The text with every expression's value in its place."""
        parts = (part if isinstance(part, str) else _as_text(part.evaluate(scope)) for part in self.parts)
        return str(checked("".join(parts)))


_REFERENCE = re.compile(r"\$\$|\$\{|\$([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)")


def compile_text(text: str) -> str | Expression | Template:
    """Text of a spec as what it stands for: itself, one expression that keeps its type, or text around expressions.

    `$$` is a literal dollar. Raises ExpressionError.
    """
    return _compile_text(text) if "$" in text else text


@lru_cache(maxsize=4096)
def _compile_text(text: str) -> str | Expression | Template:
    if len(text) > 4 * MAX_LENGTH:
        raise ExpressionError(f"text with expressions of {len(text)} characters; the limit is {4 * MAX_LENGTH}")
    parts: list[str | Expression] = []
    at = 0
    while found := _REFERENCE.search(text, at):
        if found.start() > at:
            parts.append(text[at : found.start()])
        at = found.end()
        if found.group() == "$$":
            parts.append("$")
        elif found.group() == "${":
            end = _closing_brace(text, at)
            parts.append(compile_expression(text[at:end].strip()))
            at = end + 1
        else:
            parts.append(compile_expression(found.group(1)))
    if at < len(text):
        parts.append(text[at:])
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, str) for part in parts):
        return "".join(part for part in parts if isinstance(part, str))
    return Template(tuple(parts))


def _closing_brace(text: str, start: int) -> int:
    quote, depth = "", 0
    for at in range(start, len(text)):
        character = text[at]
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == "{":
            depth += 1
        elif character == "}":
            if not depth:
                return at
            depth -= 1
    raise ExpressionError("`${` has no closing `}`", "quote the whole value if it stands inside `{...}`")


@lru_cache(maxsize=4096)
def compile_expression(text: str) -> Expression:
    """The text between the braces as an Expression. Raises ExpressionError."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"an expression of {len(text)} characters; the limit is {MAX_LENGTH}")
    if not text:
        raise ExpressionError("`${}` holds no expression")
    if "\\" in text or "\n" in text or "\r" in text:
        raise ExpressionError("an expression holds no backslash and no line break")
    if not text.isascii():  # Python takes look-alikes of ASCII letters for the letters
        raise ExpressionError("an expression is plain ASCII")
    _check_brackets(text)
    try:
        tree = _parsed(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        detail = error.msg if isinstance(error, SyntaxError) else "too deep"
        raise ExpressionError(f"`{text[:60]}` is no expression: {detail}") from None
    if len(text) > MAX_LEVELS:  # each level takes a character
        _check_levels(tree)
    compiler = _Compiler()
    evaluate = compiler.compile(tree)
    return Expression(text, evaluate, frozenset(compiler.names), tree, compiler.size)


_NUMBER_AND_LETTER = re.compile(r"(?<!\w)[0-9.]+[A-Za-z_]")


def _parsed(text: str) -> ast.expr:
    if not _NUMBER_AND_LETTER.search(text):
        return ast.parse(text, mode="eval").body
    with (
        warnings.catch_warnings()
    ):  # `1if x else 2` is deprecated; the filters are global, so leave them alone if possible
        warnings.simplefilter("ignore")
        return ast.parse(text, mode="eval").body


def _check_brackets(text: str) -> None:
    depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if depth > MAX_LEVELS:
            raise ExpressionError(f"nested more than {MAX_LEVELS} levels deep")


def _check_levels(tree: ast.expr) -> None:
    level: list[ast.AST] = [tree]
    for _ in range(MAX_LEVELS):
        level = [
            child
            for node in level
            for child in ast.iter_child_nodes(node)
            if isinstance(child, ast.expr | ast.comprehension)
        ]
        if not level:
            return
    raise ExpressionError(f"nested more than {MAX_LEVELS} levels deep")


def checked(value: Any) -> Any:
    """`value`, if it is within the bounds of a spec's values."""
    if type(value) is int:
        if not -LIMIT < value < LIMIT:
            raise ExpressionError("the result is beyond the size limit of 2**63", code="limit")
    elif type(value) is float:
        if not math.isfinite(value):
            raise ExpressionError("the result is not a finite number")
    elif isinstance(value, str):
        if len(value) > MAX_LENGTH:
            raise ExpressionError(f"text longer than {MAX_LENGTH} characters")
    return value


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ExpressionError("only text and numbers can stand inside text")
    return str(value)


def _weight(value: Any) -> int:
    """How many values a list or mapping holds, those within them included; counting ends at the limit."""
    stack, count = [value], 0
    while stack:
        items = stack.pop()
        count += len(items)
        if count > MAX_ITEMS:
            raise ExpressionError(f"a list of more than {MAX_ITEMS} values")
        inner = items.values() if isinstance(items, Mapping) else items
        stack.extend(item for item in inner if isinstance(item, list | Mapping))
    return count


# Operators. Sizes are checked before the work is done.


def _multiply(left: Any, right: Any) -> Any:
    for sequence, times in ((left, right), (right, left)):
        if isinstance(sequence, str | list) and isinstance(times, int):
            limit = MAX_LENGTH if isinstance(sequence, str) else MAX_ITEMS
            if len(sequence) * times > limit:
                raise ExpressionError(f"a result longer than {limit}")
    return left * right


def _power(left: Any, right: Any) -> Any:
    if (
        isinstance(left, int)
        and isinstance(right, int)
        and right > 0
        and left.bit_length() * right > 2 * 64
        and abs(left) > 1
    ):
        raise ExpressionError("the result is beyond the size limit of 2**63", code="limit")
    result = left**right
    if isinstance(result, complex):
        raise ExpressionError("the result is not a real number")
    return result


def _modulo(left: Any, right: Any) -> Any:
    if isinstance(left, str):
        raise ExpressionError("`%` is for numbers; write `${...}` inside the text")
    return left % right


_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: _multiply,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: _modulo,
    ast.Pow: _power,
}
_EXACT: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}
"""What cannot fail between two integers, and costs nothing: the way that most expressions go."""
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
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


_MEMBERSHIP = (_COMPARE[ast.In], _COMPARE[ast.NotIn])
_NUMBERS = frozenset({int, float, bool})
"""Types whose comparison costs nothing and cannot fail."""


def make_divisible(value: float, divisor: int = 8, min_ratio: float = 0.9) -> int:
    """The multiple of `divisor` nearest to `value`, at least `min_ratio` of it (Sandler et al. 2018, MobileNetV2)."""
    if type(divisor) is not int or divisor < 1:
        raise ValueError("make_divisible(...): the divisor is an integer of at least 1")
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < min_ratio * value else rounded


def _sum(values: Any, start: float = 0) -> Any:
    if not isinstance(values, list) or any(isinstance(value, list) for value in (*values, start)):
        raise TypeError("sum(...) takes a list of numbers")
    return sum(values, start)


def _round(value: float, digits: int | None = None) -> Any:
    if digits is not None and abs(digits) > 300:
        raise ValueError("round(...) takes at most 300 digits")
    return round(value, digits)


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
    "make_divisible": make_divisible,
}
_KEYWORDS = {"make_divisible": {"divisor", "min_ratio"}}


class _Compiler:
    """Turns a syntax tree into closures; whatever it has no method for is forbidden."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.size = 0

    def compile(self, node: ast.AST) -> Evaluate:
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            raise ExpressionError(
                f"{_WORDS.get(type(node).__name__, type(node).__name__)} has no place in an expression"
            )
        self.size += 1
        found: Evaluate = method(node)
        return found

    def _constant(self, node: ast.Constant) -> Evaluate:
        value = node.value
        if value is not None and not isinstance(value, bool | int | float | str):
            raise ExpressionError(f"{value!r} has no place in an expression")
        checked(value)
        return lambda scope: value

    def _name(self, node: ast.Name) -> Evaluate:
        name = node.id
        if name.startswith("_"):
            raise ExpressionError(f"`{name}`: names that start with `_` are out of bounds")
        if name in FUNCTIONS:
            raise ExpressionError(f"`{name}` is a function", f"call it: {name}(...)")
        self.names.add(name)
        return lambda scope: scope.lookup(name)

    def _attribute(self, node: ast.Attribute) -> Evaluate:
        name, inner = node.attr, self.compile(node.value)
        if name.startswith("_"):
            raise ExpressionError(f"`.{name}`: attributes that start with `_` are out of bounds")

        def evaluate(scope: Scope) -> Any:
            value = inner(scope)
            if isinstance(value, Tensor):
                return value.attribute(name)
            if not isinstance(value, Mapping):
                raise ExpressionError(f"`.{name}`: only mappings and tensors have attributes")
            if name not in value:
                raise ExpressionError(f"the mapping has no `{name}`", did_you_mean(name, value))
            return value[name]

        return evaluate

    def _subscript(self, node: ast.Subscript) -> Evaluate:
        inner, index = self.compile(node.value), self.compile(node.slice)

        def evaluate(scope: Scope) -> Any:
            value, at = inner(scope), index(scope)
            if isinstance(value, Tensor) or not isinstance(value, list | str | Mapping):
                raise ExpressionError("only lists, text and mappings can be indexed")
            if isinstance(at, slice):
                return _guard(scope, operator.getitem, value, at)
            return _attempt(operator.getitem, value, at)

        return evaluate

    def _slice(self, node: ast.Slice) -> Evaluate:
        ends = [self.compile(end) if end else None for end in (node.lower, node.upper, node.step)]
        return lambda scope: slice(*(end(scope) if end else None for end in ends))

    def _list(self, node: ast.List) -> Evaluate:
        items = [self.compile(item) for item in node.elts]

        def evaluate(scope: Scope) -> Any:
            values = [item(scope) for item in items]
            scope.budget.spend(_weight(values))
            return values

        return evaluate

    _tuple = _list

    def _binop(self, node: ast.BinOp) -> Evaluate:
        function = _BINARY.get(type(node.op))
        if function is None:
            raise ExpressionError(f"the operator of `{ast.unparse(node)[:40]}` has no place in an expression")
        left, right = self.compile(node.left), self.compile(node.right)
        exact = _EXACT.get(type(node.op))

        def evaluate(scope: Scope) -> Any:
            first, second = left(scope), right(scope)
            if exact is not None and type(first) is int and type(second) is int:
                result = exact(first, second)
                if -LIMIT < result < LIMIT:
                    return result
            return _guard(scope, function, first, second)

        return evaluate

    def _unaryop(self, node: ast.UnaryOp) -> Evaluate:
        function = _UNARY.get(type(node.op))
        if function is None:
            raise ExpressionError("`~` has no place in an expression")
        operand = self.compile(node.operand)
        return lambda scope: _guard(scope, function, operand(scope))

    def _boolop(self, node: ast.BoolOp) -> Evaluate:
        values, stop_at = [self.compile(value) for value in node.values], isinstance(node.op, ast.Or)

        def evaluate(scope: Scope) -> Any:
            result = None
            for value in values:
                result = value(scope)
                if bool(result) is stop_at:
                    break
            return result

        return evaluate

    def _compare(self, node: ast.Compare) -> Evaluate:
        first = self.compile(node.left)
        rest = [(_COMPARE[type(op)], self.compile(right)) for op, right in zip(node.ops, node.comparators, strict=True)]

        def evaluate(scope: Scope) -> Any:
            left = first(scope)
            for function, right in rest:
                value = right(scope)
                plain = type(left) in _NUMBERS and type(value) in _NUMBERS and function not in _MEMBERSHIP
                if not (function(left, value) if plain else _guard(scope, function, left, value)):
                    return False
                left = value
            return True

        return evaluate

    def _ifexp(self, node: ast.IfExp) -> Evaluate:
        test, body, other = self.compile(node.test), self.compile(node.body), self.compile(node.orelse)
        return lambda scope: body(scope) if test(scope) else other(scope)

    def _call(self, node: ast.Call) -> Evaluate:
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
            called = ast.unparse(node.func)[:40]
            help = did_you_mean(called, FUNCTIONS) if isinstance(node.func, ast.Name) else None
            raise ExpressionError(f"`{called}(...)` is no function of the language", help)
        name = node.func.id
        function = FUNCTIONS[name]
        arguments = [self.compile(argument) for argument in node.args]
        keywords: dict[str, Evaluate] = {}
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg not in _KEYWORDS.get(name, ()):
                raise ExpressionError(f"{name}(...) takes no argument `{keyword.arg or '**'}`")
            keywords[keyword.arg] = self.compile(keyword.value)

        def evaluate(scope: Scope) -> Any:
            values = [argument(scope) for argument in arguments]
            if name != "len" and any(isinstance(value, (str, Tensor)) for value in values):
                raise ExpressionError(f"{name}(...) takes numbers or lists of them")
            if not keywords:
                return _guard(scope, function, *values)
            return _guard(scope, function, *values, **{key: value(scope) for key, value in keywords.items()})

        return evaluate

    def _listcomp(self, node: ast.ListComp | ast.GeneratorExp) -> Evaluate:
        loops: list[tuple[str, Evaluate, list[Evaluate]]] = []
        outer, size = self.names, self.size
        bound: set[str] = set()
        for loop in node.generators:
            if not isinstance(loop.target, ast.Name) or loop.is_async or loop.target.id.startswith("_"):
                raise ExpressionError("a comprehension binds one plain name: `x for x in list`")
            self.names = set()
            source = self.compile(loop.iter)
            outer |= self.names - bound
            bound.add(loop.target.id)
            self.names = set()
            loops.append((loop.target.id, source, [self.compile(test) for test in loop.ifs]))
            outer |= self.names - bound
        self.names = set()
        element = self.compile(node.elt)
        self.names = outer | self.names - bound
        cost = self.size - size

        def run(scope: Scope, level: int, out: list[Any]) -> None:
            if level == len(loops):
                out.append(element(scope))
                return
            name, source, tests = loops[level]
            values = source(scope)
            if not isinstance(values, list):
                raise ExpressionError("a comprehension runs over a list")
            inner = Scope({}, scope)
            for value in values:
                scope.budget.spend(cost)
                inner.values[name] = value
                if all(test(inner) for test in tests):
                    run(inner, level + 1, out)

        def evaluate(scope: Scope) -> Any:
            out: list[Any] = []
            run(scope, 0, out)
            scope.budget.spend(_weight(out))
            return out

        return evaluate

    _generatorexp = _listcomp


_WORDS = {
    "Lambda": "a lambda",
    "NamedExpr": "`:=`",
    "JoinedStr": "an f-string",
    "Dict": "a mapping",
    "Set": "a set",
    "Await": "`await`",
    "Starred": "`*`",
    "DictComp": "a mapping",
    "SetComp": "a set",
}


def _guard(scope: Scope, function: Callable[..., Any], *values: Any, **keywords: Any) -> Any:
    """`function(*values)`, paid for, with its result checked and its failure as an ExpressionError."""
    for value in values:
        if type(value) in _NUMBERS:
            continue
        if isinstance(value, (list, Mapping)):
            scope.budget.spend(_weight(value))
        elif isinstance(value, str):
            scope.budget.spend(len(checked(value)) // 32)
    result = _attempt(function, *values, **keywords)
    if type(result) is list:
        scope.budget.spend(_weight(result))
    return result


def _attempt(function: Callable[..., Any], *values: Any, **keywords: Any) -> Any:
    try:
        result = function(*values, **keywords)
    except ZeroDivisionError:
        raise ExpressionError("division by zero") from None
    except OverflowError:
        raise ExpressionError("the result is beyond the size limit") from None
    except IndexError:
        raise ExpressionError("the list has no such position") from None
    except KeyError as error:
        raise ExpressionError(f"the mapping has no {error}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise ExpressionError(_plain_message(error)) from None
    return checked(result)


def _plain_message(error: Exception) -> str:
    return re.sub("'(Ref|Tensor)'", "a tensor", str(error)).replace("'NoneType'", "nothing")
