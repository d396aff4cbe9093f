"""Measures of values: arguments that say the same twice, tables and numbers, params that are lost."""

from __future__ import annotations

import ast
import functools
import inspect
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import archspec
from source_measures.source import (
    WORD,
    Hit,
    Source,
    arguments,
    code,
    functions,
    letters,
    measure,
    methods,
    negated,
    reassigned,
    stem,
    targets,
)

TABLE_COLUMNS = 4
"""How many columns a table may have as bare tuples; more of them want names."""
FLOAT_DIGITS = 12


# Rows 6 and 7: arguments that say the same twice.


@contextmanager
def _recorded(source: Source) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """Record the arguments of every construction of a class of the file."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    before = {}
    for class_, _ in methods(source, "__init__"):
        made = source.namespace[class_.name]
        before[made] = made.__init__
        made.__init__ = _recording(made.__init__, found[class_.name])
    try:
        yield found
    finally:
        for made, init in before.items():
            made.__init__ = init


def _recording(init: Callable[..., None], rows: list[dict[str, Any]]) -> Callable[..., None]:
    signature = inspect.signature(init)

    @functools.wraps(init)
    def recording(self: Any, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        rows.append(dict(list(bound.arguments.items())[1:]))
        init(self, *args, **kwargs)

    return recording


def constructions(source: Source) -> dict[str, list[dict[str, Any]]]:
    """Return the arguments of all constructions by class: with the network's arguments as they are, then each doubled.

    Two arguments that are equal by chance part when an argument of the network changes.
    """
    if source.fault:
        return {}
    with _recorded(source) as found:
        top = source.namespace[source.classes[-1].name]
        defaults = {name: p.default for name, p in inspect.signature(top.__init__).parameters.items() if name != "self"}
        source.build()
        rows = {name: list(values) for name, values in found.items()}
        for name, default in defaults.items():
            if type(default) is int and default > 0:
                for values in found.values():
                    values.clear()
                try:
                    source.build(**{name: 2 * default})
                except Exception:  # not every value is possible
                    continue
                for class_, values in found.items():
                    rows[class_] += values
    rows.pop(source.classes[-1].name, None)
    return {class_: values for class_, values in rows.items() if values}


def _columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return the values of every argument, one for each construction; tuples where some are tuples."""
    found = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        lengths = {len(value) for value in values if isinstance(value, tuple)}
        if lengths:
            size = max(lengths)
            values = [value if isinstance(value, tuple) else (value,) * size for value in values]
        found[name] = values
    return found


def _is_explicit(source: Source, argument: str) -> bool:
    """Return whether calls in the spec give an argument, whose name may have got a `_` so that it is no other's."""
    params = {param for block in source.blocks.values() for param in block.get("params") or ()}
    known = {letters(name) for name in source.explicit}
    return (argument in params and argument in source.explicit) or letters(argument) in known


def _line_of(source: Source, class_: str) -> int:
    return next(node.lineno for node in source.classes if node.name == class_)


@measure(7, "arguments that always equal another one")
def equal_arguments(source: Source) -> Iterable[Hit]:
    for class_, rows in constructions(source).items():
        columns = _columns(rows)
        for position, (second, values) in enumerate(columns.items()):
            for first in list(columns)[:position]:
                both_explicit = _is_explicit(source, first) and _is_explicit(source, second)
                if values == columns[first] and _varies(values) and not both_explicit:
                    yield Hit(_line_of(source, class_), f"{class_}: {second} = {first}")
                    break


def _varies(values: list[Any]) -> bool:
    return len(set(map(repr, values))) > 1


def _relation(values: list[Any], others: list[Any]) -> str | None:
    """Return how integers follow from others: `* 2`, `// 2`, or as the padding of a kernel."""
    if not all(type(value) is int for value in (*values, *others)) or not _varies(others):
        return None
    pairs = list(zip(values, others, strict=True))
    if all(value == other for value, other in pairs):
        return ""
    factors = {value // other for value, other in pairs if other}
    divisors = {other // value for value, other in pairs if value}
    for factor in factors:
        if factor > 1 and all(value == other * factor for value, other in pairs):
            return f" * {factor}"
    for divisor in {2, *divisors}:
        if divisor > 1 and all(value == other // divisor for value, other in pairs):
            return f" // {divisor}"
    return " - 1) // 2" if all(value == (other - 1) // 2 for value, other in pairs) else None


@measure(6, "arguments that always follow from another one: a factor of it, half a kernel, a list with it")
def derived_arguments(source: Source) -> Iterable[Hit]:
    for class_, rows in constructions(source).items():
        columns = _columns(rows)
        for name, values in columns.items():
            if _is_explicit(source, name) or not _varies(values) or re.search("(channels|features)(_[0-9]+)?$", name):
                continue
            for other, given in columns.items():
                if other != name and (how := _follows(values, given)):
                    yield Hit(_line_of(source, class_), f"{class_}: {name} = {other}{how}")
                    break


def _follows(values: list[Any], others: list[Any]) -> str | None:
    if not all(isinstance(value, tuple) for value in values):
        return _relation(values, others)
    if len({len(value) for value in values}) > 1:
        return None
    axes = [list(axis) for axis in zip(*values, strict=True)]
    relations = [_relation(axis, others) for axis in axes if _varies(axis)]
    return " in a list" if relations and all(relation is not None for relation in relations) else None


@measure(7, "sums of equal operands, `a + a`")
def repeated_operands(source: Source) -> Iterable[Hit]:
    for function in functions(source):
        if function.name == "forward":
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
                left = node.left.right if isinstance(node.left, ast.BinOp) else node.left
                if code(left) == code(node.right) and not isinstance(left, ast.Constant):
                    yield Hit(node.lineno, code(node))


@measure(7, "conditions that are asked where they are known")
def known_conditions(source: Source) -> Iterable[Hit]:
    def visit(node: ast.AST, known: frozenset[str]) -> Iterator[Hit]:
        """Yield what asks again inside a node; `known` are conditions that have been asked around it."""
        if isinstance(node, ast.If | ast.IfExp):
            test = code(node.test)
            if test in known:
                yield Hit(node.lineno, f"{test} is known here")
            inside = known | {test, negated(node.test)}
            if isinstance(node, ast.If) and reassigned(node.test, node):
                inside = known
            parts = [node.body, node.orelse] if isinstance(node, ast.IfExp) else [*node.body, *node.orelse]
            for part in parts:
                yield from visit(part, inside)
            return
        if isinstance(node, ast.FunctionDef):
            known = frozenset()
        for child in ast.iter_child_nodes(node):
            yield from visit(child, known)

    return visit(source.tree, frozenset())


# Row 8: tables and numbers.


class _Table(NamedTuple):
    """A literal list of rows, and the variable that holds it."""

    name: str | None
    node: ast.expr
    rows: list[ast.expr]


def _tables(source: Source) -> Iterator[_Table]:
    """Yield the literal lists of rows; `name` is None where a loop has one in its head."""
    name: str | None
    value: ast.expr | None
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(target := next(targets(node)), ast.Name):
            name, value = target.id, node.value
        elif isinstance(node, ast.For):
            name, value = None, node.iter
            if isinstance(value, ast.Call) and value.args:
                value = value.args[0]
        else:
            continue
        if isinstance(value, ast.List | ast.Tuple) and value.elts:
            yield _Table(name, value, value.elts)


def _is_row(node: ast.expr, columns: int) -> bool:
    if not isinstance(node, ast.Tuple | ast.List) or len(node.elts) != columns or columns < 2:
        return False
    return all(not isinstance(part, ast.Call | ast.Starred) for part in ast.walk(node))


def _comments(source: Source) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source.text).readline)
    return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}


def _record_tables(source: Source) -> Iterator[tuple[_Table, int]]:
    """Yield tables whose rows are tuples of one length, with that length."""
    for table in _tables(source):
        first = table.rows[0]
        columns = len(first.elts) if isinstance(first, ast.Tuple | ast.List) else 0
        if len(table.rows) > 1 and all(_is_row(row, columns) for row in table.rows):
            yield table, columns


@measure(8, "tables without a comment that names their columns")
def unlabelled_tables(source: Source) -> Iterable[Hit]:
    comments = _comments(source)
    for table, columns in _record_tables(source):
        line = table.node.lineno
        near = " ".join(comments.get(number, "") for number in (line - 1, line, line + 1))
        if table.name is not None and len(WORD.findall(near)) < columns:
            yield Hit(line, table.name)


@measure(8, f"tables of more than {TABLE_COLUMNS} columns in bare tuples")
def wide_tables(source: Source) -> Iterable[Hit]:
    for table, columns in _record_tables(source):
        if columns > TABLE_COLUMNS:
            yield Hit(table.node.lineno, f"{table.name}: {columns} columns")


@measure(8, "tables called like a list of the spec that hold something else")
def misnamed_tables(source: Source) -> Iterable[Hit]:
    params = source.network.params if source.network else {}
    for table in _tables(source):
        param = table.name and next((name for name in (table.name, stem(table.name)) if name in params), None)
        if not param:
            continue
        if not isinstance(params[param], list | tuple):
            yield Hit(table.node.lineno, f"{table.name} is no list in the spec")
            continue
        try:
            found = [list(map(_plain, ast.literal_eval(row))) if _is_list(row) else _row(row) for row in table.rows]
        except ValueError:  # made by expressions
            continue
        if found != [_plain(value) for value in params[param]]:
            yield Hit(table.node.lineno, f"{table.name} is not the spec's {param}")


def _is_list(row: ast.expr) -> bool:
    return isinstance(row, ast.Tuple | ast.List)


def _row(row: ast.expr) -> Any:
    return _plain(ast.literal_eval(row))


def _plain(value: Any) -> Any:
    """Return a value with mappings and tuples as lists of their values."""
    if hasattr(value, "values"):
        return [_plain(item) for item in value.values()]
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


@measure(8, f"floats of more than {FLOAT_DIGITS} digits")
def long_floats(source: Source) -> Iterable[Hit]:
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type == tokenize.NUMBER and not token.string.isdigit():
            digits = re.sub(r"[eE].*|[._]", "", token.string).lstrip("0")
            if len(digits) > FLOAT_DIGITS:
                yield Hit(token.start[0], token.string)


# Row 15: params that are lost.

PASSED_ON = ("filters", "units", "rate")
"""Arguments of ops through which a param of the network is sure to be able to pass."""


def _params(source: Source) -> Iterator[tuple[str, bool]]:
    """Yield the params that change values alone, and whether they are handed to layers as they are."""
    network = source.network
    if network is None:
        return
    nodes = network.graph.nodes
    for name, value in network.params.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        changed = 2 * value if value and isinstance(value, int) else value / 2 or 0.25
        try:
            others = archspec.Network(network.document, {**network.overrides, name: changed}).graph.nodes
        except archspec.SpecError:
            continue
        if [(n.path, n.op.op, n.inputs) for n in nodes] != [(n.path, n.op.op, n.inputs) for n in others]:
            continue
        pairs = [(n.op.args(), other.op.args()) for n, other in zip(nodes, others, strict=True)]
        changes = {
            (key, args[key] == value and others[key] == changed)
            for args, others in pairs
            for key in args
            if args[key] != others[key]
        }
        if changes:
            yield name, all(key in PASSED_ON and as_it_is for key, as_it_is in changes) and _alone(source, name)


def _alone(source: Source, param: str) -> bool:
    """Whether every mention of a param is all of a value."""
    texts = [text for _, text in source.network.document.files] if source.network else []
    mentions = sum(len(re.findall(rf"\$[^\n,]*\b{param}\b", text)) for text in texts)
    return mentions == sum(len(re.findall(rf"\$(?:{param}\b|{{{param}}})(?![\w.])", text)) for text in texts)


def _kept(source: Source) -> set[str]:
    inits = [init for class_, init in methods(source, "__init__") if class_ is source.classes[-1]]
    return {arg.arg.rstrip("_") for init in inits for arg in arguments(init)}


@measure(15, "params handed to layers as they are that are no argument of the network")
def lost_params(source: Source) -> Iterable[Hit]:
    for name, as_it_is in _params(source):
        if as_it_is and name not in _kept(source):
            yield Hit(source.classes[-1].lineno, name)


@measure(15, "other params that change values alone and are no argument of the network", must_be_zero=False)
def fixed_params(source: Source) -> Iterable[Hit]:
    for name, as_it_is in _params(source):
        if not as_it_is and name not in _kept(source):
            yield Hit(source.classes[-1].lineno, name)
