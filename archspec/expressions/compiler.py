"""From a syntax tree to closures, node by node; what is not listed here is forbidden."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from functools import partial
from typing import Any

from archspec.errors import Complaint, did_you_mean, kind_of, listed
from archspec.expressions.environment import Environment, Tensor
from archspec.expressions.functions import (
    ARITHMETIC,
    BINARY,
    COMPARE,
    FUNCTIONS,
    KEYWORDS,
    MAKES_A_LIST,
    MEMBERSHIP,
    NOT_FUNCTIONS,
    NUMBERS,
    OF_ANYTHING,
    UNARY,
    attempt,
    guard,
    pay,
)
from archspec.expressions.values import CONTAINERS, checked, weight
from archspec.shapes import LIMIT

Evaluate = Callable[[Environment], Any]
_REAL = frozenset({int, float})


class Compiler:
    """Turns a syntax tree into closures; whatever it has no method for is forbidden."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.size = 0

    def compile(self, node: ast.AST) -> Evaluate:
        """Return the function that evaluates a node. Raises: Complaint if expressions do not have it."""
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            what = _WORDS.get(type(node).__name__, type(node).__name__)
            raise Complaint("expression", f"{what} is not allowed in an expression")
        self.size += 1
        found: Evaluate = method(node)
        return found

    def _constant(self, node: ast.Constant) -> Evaluate:
        value = node.value
        if value is not None and not isinstance(value, bool | int | float | str):
            raise Complaint("expression", f"{value!r} is not allowed in an expression")
        checked(value)
        return lambda _: value

    def _name(self, node: ast.Name) -> Evaluate:
        name = node.id
        if name.startswith("_"):
            raise Complaint("expression", f"`{name}`: names that start with `_` are not allowed")
        if name in FUNCTIONS:
            raise Complaint("expression", f"`{name}` is a function", f"call it: {name}(...)")
        self.names.add(name)
        return operator.methodcaller("lookup", name)  # a lambda would cost one more call

    def _attribute(self, node: ast.Attribute) -> Evaluate:
        name, inner = node.attr, self.compile(node.value)
        if name.startswith("_"):
            raise Complaint("expression", f"`.{name}`: attributes that start with `_` are not allowed")

        def evaluate(environment: Environment) -> Any:
            value = inner(environment)
            if isinstance(value, Tensor):
                return value.attribute(name)
            if not isinstance(value, dict):
                help = "an entry of a list is written `list[0]`" if isinstance(value, list) else None
                raise Complaint("expression", f"`.{name}`: only mappings and tensors have attributes", help)
            if name not in value:
                raise Complaint("expression", f"the mapping has no `{name}`", partial(did_you_mean, name, value))
            return value[name]

        return evaluate

    def _subscript(self, node: ast.Subscript) -> Evaluate:
        inner, index = self.compile(node.value), self.compile(node.slice)

        def evaluate(environment: Environment) -> Any:
            value, at = inner(environment), index(environment)
            if not isinstance(value, list | str | dict):
                raise Complaint("expression", "only lists, text and mappings can be indexed")
            if isinstance(at, slice):
                return guard(environment.budget, operator.getitem, value, at)
            return attempt(operator.getitem, value, at)

        return evaluate

    def _slice(self, node: ast.Slice) -> Evaluate:
        ends = [self.compile(end) if end else None for end in (node.lower, node.upper, node.step)]
        return lambda environment: slice(*(end(environment) if end else None for end in ends))

    def _list(self, node: ast.List) -> Evaluate:
        items = [self.compile(item) for item in node.elts]

        def evaluate(environment: Environment) -> Any:
            values = [item(environment) for item in items]
            environment.budget.spend(weight(values))
            return values

        return evaluate

    _tuple = _list

    def _binop(self, node: ast.BinOp) -> Evaluate:
        function = BINARY.get(type(node.op))
        if function is None:
            raise Complaint(
                "expression", f"the operator of `{ast.unparse(node)[:40]}` is not allowed", _operator_help(node)
            )
        left, right = self.compile(node.left), self.compile(node.right)
        quick = ARITHMETIC.get(type(node.op))

        def evaluate(environment: Environment) -> Any:
            first, second = left(environment), right(environment)
            if quick is not None and second and type(first) in _REAL and type(second) in _REAL:
                result = quick(first, second)
                if -LIMIT < result < LIMIT:
                    return result
            return guard(environment.budget, function, first, second)

        return evaluate

    def _unaryop(self, node: ast.UnaryOp) -> Evaluate:
        function = UNARY.get(type(node.op))
        if function is None:
            raise Complaint("expression", "the operator `~` is not allowed", "write `not`")
        operand = self.compile(node.operand)
        return lambda environment: guard(environment.budget, function, operand(environment))

    def _boolop(self, node: ast.BoolOp) -> Evaluate:
        values, stop_at = [self.compile(value) for value in node.values], isinstance(node.op, ast.Or)

        def evaluate(environment: Environment) -> Any:
            result = None
            for value in values:
                result = value(environment)
                if bool(result) is stop_at:
                    break
            return result

        return evaluate

    def _compare(self, node: ast.Compare) -> Evaluate:
        first = self.compile(node.left)
        rest = [(COMPARE[type(op)], self.compile(right)) for op, right in zip(node.ops, node.comparators, strict=True)]

        def evaluate(environment: Environment) -> Any:
            left = first(environment)
            for function, right in rest:
                value = right(environment)
                if type(left) in NUMBERS and type(value) in NUMBERS and function not in MEMBERSHIP:
                    holds = function(left, value)
                else:
                    pay(environment.budget, left, value)
                    _check_comparable(left, value)
                    holds = attempt(function, left, value)
                if not holds:
                    return False
                left = value
            return True

        return evaluate

    def _ifexp(self, node: ast.IfExp) -> Evaluate:
        test, body, other = self.compile(node.test), self.compile(node.body), self.compile(node.orelse)
        return lambda environment: body(environment) if test(environment) else other(environment)

    def _call(self, node: ast.Call) -> Evaluate:
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
            called = ast.unparse(node.func)[:40]
            raise Complaint("expression", f"unknown function `{called}(...)`", partial(_function_help, node.func))
        name = node.func.id
        function, cheap = FUNCTIONS[name], name not in MAKES_A_LIST
        arguments = [self.compile(argument) for argument in node.args]
        keywords: dict[str, Evaluate] = {}
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg not in KEYWORDS.get(name, ()):
                raise Complaint("expression", f"{name}(...): unknown argument `{keyword.arg or '**'}`")
            keywords[keyword.arg] = self.compile(keyword.value)

        def evaluate(environment: Environment) -> Any:
            values = [argument(environment) for argument in arguments]
            if keywords:
                named = {key: value(environment) for key, value in keywords.items()}
                return guard(environment.budget, function, *_numeric(name, values), **named)
            if cheap and NUMBERS.issuperset(map(type, values)):
                return attempt(function, *values)
            return guard(environment.budget, function, *_numeric(name, values))

        return evaluate

    def _listcomp(self, node: ast.ListComp | ast.GeneratorExp) -> Evaluate:
        loops: list[tuple[tuple[str, ...], bool, Evaluate, list[Evaluate]]] = []
        outer, size = self.names, self.size
        bound: set[str] = set()
        for loop in node.generators:
            targets = _targets(loop)
            self.names = set()
            source = self.compile(loop.iter)
            outer |= self.names - bound
            bound |= {*targets}
            self.names = set()
            several = not isinstance(loop.target, ast.Name)
            loops.append((targets, several, source, [self.compile(test) for test in loop.ifs]))
            outer |= self.names - bound
        self.names = set()
        element = self.compile(node.elt)
        self.names = outer | self.names - bound
        cost = self.size - size

        def run(environment: Environment, level: int, out: list[Any]) -> None:
            if level == len(loops):
                out.append(element(environment))
                return
            targets, several, source, tests = loops[level]
            values = source(environment)
            if not isinstance(values, list):
                raise Complaint(
                    "expression", "a comprehension needs a list to run over", "`range(n)` is the list of n numbers"
                )
            inner = Environment({}, environment)
            for value in values:
                environment.budget.spend(cost)
                if several:
                    _unpack(targets, value, inner.values)
                else:
                    inner.values[targets[0]] = value
                if all(test(inner) for test in tests):
                    run(inner, level + 1, out)

        def evaluate(environment: Environment) -> Any:
            out: list[Any] = []
            run(environment, 0, out)
            environment.budget.spend(weight(out))
            return out

        return evaluate

    _generatorexp = _listcomp


def _targets(loop: ast.comprehension) -> tuple[str, ...]:
    """Return the names that a `for` binds. Raises: Complaint if it binds anything else."""
    parts = loop.target.elts if isinstance(loop.target, ast.Tuple | ast.List) else [loop.target]
    names = tuple(part.id for part in parts if isinstance(part, ast.Name))
    if loop.is_async or len(names) < len(parts) or not names or any(name.startswith("_") for name in names):
        help = "`x for x in list`, or `i, x for i, x in enumerate(list)` for entries that are lists"
        raise Complaint("expression", "a comprehension takes plain names", help)
    reserved = next((name for name in names if name in FUNCTIONS), None)
    if reserved is not None:
        raise Complaint("expression", f"`{reserved}` is a function", f"write `{reserved}_`, say")
    if len(set(names)) < len(names):
        raise Complaint("expression", "a comprehension binds a name twice")
    return names


def _unpack(names: tuple[str, ...], entry: Any, values: dict[str, Any]) -> None:
    """Bind `names` to the values of one entry. Raises: Complaint if there are not as many."""
    if not isinstance(entry, list) or len(entry) != len(names):
        got = f"{len(entry)} values" if isinstance(entry, list) else kind_of(entry)
        raise Complaint("expression", f"`for {', '.join(names)}`: expected entries of {len(names)} values, got {got}")
    values.update(zip(names, entry, strict=True))


def _check_comparable(*values: Any) -> None:
    """Refuse tensors: an expression sees their sizes, not which they are."""
    stack = list(values)
    while stack:
        value = stack.pop()
        if isinstance(value, Tensor):
            help = "compare their sizes: `a.shape == b.shape`"
            raise Complaint("expression", "tensors cannot be compared", help)
        if isinstance(value, CONTAINERS):
            stack += value.values() if isinstance(value, dict) else value


def _operator_help(node: ast.BinOp) -> str | None:
    words = {
        ast.BitXor: "a power is written `**`",
        ast.BitAnd: "write `and`",
        ast.BitOr: "write `or`",
        ast.LShift: "write `* 2 ** n`",
        ast.RShift: "write `// 2 ** n`",
    }
    return words.get(type(node.op))


def _function_help(function: ast.expr) -> str | None:
    """Return the help for a call of what is not a function here."""
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)
    if name is None:
        return None
    if isinstance(function, ast.Attribute) and name in FUNCTIONS:  # math.ceil
        return f"did you mean `{name}(...)`?"
    if name in NOT_FUNCTIONS:
        return NOT_FUNCTIONS[name]
    if isinstance(function, ast.Attribute):
        return f"values have no methods; the functions are {listed(tuple(FUNCTIONS))}"
    return did_you_mean(name, FUNCTIONS) or f"the functions are {listed(tuple(FUNCTIONS))}"


def _numeric(name: str, values: list[Any]) -> list[Any]:
    """Return the arguments of the function `name`, if it takes them."""
    if name in OF_ANYTHING and any(isinstance(value, Tensor) for value in values):
        what = "a list, a mapping or text" if name == "len" else "text or a number" if name == "str" else "a list"
        help = "a tensor has `shape`, `channels` and the like"
        raise Complaint("expression", f"{name}(...): expected {what}, got a tensor", help)
    if name not in OF_ANYTHING and any(isinstance(value, str | Tensor) for value in values):
        raise Complaint("expression", f"{name}(...): expected numbers or lists of them")
    return values


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
