"""Rules about loops over tables: a row becomes variables, lists side by side are zipped, a number is `index`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import partial

from archspec.backends.source import trees
from archspec.backends.source.identifiers import numbered, value_name
from archspec.backends.source.plan.ir import ClassPlan, Copies, Instance, Leaf, Let, Loop, Statement, names_used, walk
from archspec.backends.source.polish.common import change_all, expressions_in, mentions
from archspec.backends.source.trees import equal

Key = str | int
"""The name of a column, or its place in a row that is a list."""

MAX_COLUMNS = 4
"""How many columns a table of tuples may have; one with more stays a list of mappings, if these fit on a line each."""

WIDTH = 76
"""Characters that a row of a table may have."""


def unpack_tables(plan: ClassPlan) -> None:
    """Write a list of mappings that only a loop reads as a list of tuples, each column a variable of the loop.

    So are lists of lists, whose columns are called like the arguments that they are given to.
    """
    for loop in [statement for statement in walk(plan.statements) if isinstance(statement, Loop)]:
        if len(loop.targets) != 1 or loop.is_range:
            continue
        target = loop.targets[0]
        rows = _rows(plan, loop)
        called: dict[Key, str] = {}
        if rows is None:
            rows = _bare_rows(plan, loop)
            called = _called(loop, target)
        elif len(rows[0]) > MAX_COLUMNS and _fit_as_mappings(rows):
            continue
        if rows is None or not rows[0] or not _only_columns(loop.statements, target, loop):
            continue
        columns = list(rows[0])
        used = _columns_used(loop, target)
        if any(type(column) is int and column not in called for column in used):
            continue
        kinds = plan.bindings.kinds
        names = {column: _free_column(plan, called.get(column, str(column))) for column in columns}
        taken = names_used(loop.statements) - {target}
        if any(name in taken for name in names.values()) or len(set(names.values())) != len(names):
            continue
        for name in names.values():
            kinds[name] = "loop"
        parts = {ast.dump(trees.item(trees.name(target), column)): trees.name(names[column]) for column in columns}
        for statement in walk(loop.statements):
            statement.change(partial(trees.replaced, parts=parts))
            if isinstance(statement.name, ast.expr):
                statement.name = trees.replaced(statement.name, parts=parts)
        if loop.counter:
            loop.counter.start, loop.counter.after = loop.counter.start, trees.replaced(loop.counter.after, parts=parts)
        loop.targets = [names[column] if column in used else f"_{names[column]}" for column in columns]
        _write_rows(plan, loop, [[row[column] for column in columns] for row in rows])


def _free_column(plan: ClassPlan, column: str) -> str:
    """Return the loop variable for a column; two loops may share one."""
    name = value_name(column if not column.isdecimal() else f"column{column}")
    return numbered(name, lambda each: not plan.bindings.kinds.get(each, "loop").startswith("loop"))


def _bare_rows(plan: ClassPlan, loop: Loop) -> list[dict[Key, ast.expr]] | None:
    """Return the rows of a table of equally long lists that only one loop reads; None for another table."""
    source = _own_source(plan, loop)
    lists = [row for row in source.elts if isinstance(row, ast.List | ast.Tuple)] if source is not None else []
    if source is None or len(lists) != len(source.elts) or len({len(row.elts) for row in lists}) != 1:
        return None
    return [dict(enumerate(row.elts)) for row in lists] if len(lists[0].elts) > 1 else None


def _called(loop: Loop, target: str) -> dict[Key, str]:
    """Return what to call columns without names: as the arguments that they are given to, or `repeats`."""
    found: dict[Key, str] = {}
    for statement in walk(loop.statements):
        given: dict[str, ast.expr] = {}
        if isinstance(statement, Instance):
            given = statement.arguments
        elif isinstance(statement, Leaf):
            given = {key: tree for call in statement.calls for key, tree in call.arguments.items()}
        elif isinstance(statement, Loop) and statement.is_range:
            given = {"repeats": statement.source}
        elif isinstance(statement, Copies):
            given = {"repeats": statement.count}
        for name, tree in given.items():
            read = {key for _, key in _columns(tree, target)}
            if len(read) == 1:
                found.setdefault(read.pop(), name)
    return found


def _own_source(plan: ClassPlan, loop: Loop) -> ast.List | None:
    """Return the list that a loop alone runs over; None if it is none, or others read it too."""
    source = loop.source
    if isinstance(source, ast.Name):
        table = _table(plan, source.id)
        if table is None or mentions(plan, source.id) != 1:
            return None
        source = table.value
    return source if isinstance(source, ast.List) and source.elts else None


def _rows(plan: ClassPlan, loop: Loop) -> list[dict[Key, ast.expr]] | None:
    """Return the rows of a table of mappings that only one loop reads; None for another table."""
    source = _own_source(plan, loop)
    if source is None:
        return None
    rows: list[dict[Key, ast.expr]] = []
    for row in source.elts:
        if not isinstance(row, ast.Dict):
            return None
        rows.append(
            {
                str(key.value): value
                for key, value in zip(row.keys, row.values, strict=True)
                if isinstance(key, ast.Constant)
            }
        )
    if any(list(row) != list(rows[0]) for row in rows):
        return None
    return rows


def _fit_as_mappings(rows: list[dict[Key, ast.expr]]) -> bool:
    """Return whether each row of a table fits on a line as a mapping."""
    return all(sum(len(str(key)) + 6 + len(ast.unparse(value)) for key, value in row.items()) <= WIDTH for row in rows)


def _only_columns(statements: Sequence[Statement], target: str, loop: Loop) -> bool:
    """Return whether a loop's variable stands only as `target["column"]`."""
    after = [loop.counter.after] if loop.counter else []
    for tree in [*expressions_in(statements), *after]:
        columns = {id(node.value) for node, _ in _columns(tree, target)}
        if any(isinstance(node, ast.Name) and node.id == target and id(node) not in columns for node in ast.walk(tree)):
            return False
    return True


def _columns(tree: ast.expr, target: str) -> Iterator[tuple[ast.Subscript, Key]]:
    """Yield where an expression reads `target["column"]`, and which column it is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == target:
            if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str | int):
                yield node, node.slice.value


def _columns_used(loop: Loop, target: str) -> set[Key]:
    after = [loop.counter.after] if loop.counter else []
    return {key for tree in [*expressions_in(loop.statements), *after] for _, key in _columns(tree, target)}


def _write_rows(plan: ClassPlan, loop: Loop, rows: list[list[ast.expr]]) -> None:
    single = len(rows[0]) == 1
    source = ast.List([row[0] if single else ast.Tuple(row, ast.Load()) for row in rows], ast.Load())
    table = _table(plan, loop.source.id) if isinstance(loop.source, ast.Name) else None
    if table is not None:
        table.value = source
    else:
        loop.source = source


def zip_lists(plan: ClassPlan) -> None:
    """Run over lists side by side, where the number of a copy only looks up the others."""
    for loop in [statement for statement in walk(plan.statements) if isinstance(statement, Loop)]:
        if not loop.index or loop.first or loop.is_range or not isinstance(loop.source, ast.Name | ast.List):
            continue
        looked_up = _looked_up(plan, loop)
        if not looked_up:
            continue
        names: dict[str, str] = {}
        parts: dict[str, ast.expr] = {}
        for table in looked_up:
            entry = table.removesuffix("s") if table.endswith("s") and len(table) > 2 else f"{table}_entry"
            let = next(
                (e for e in loop.statements if isinstance(e, Let) and _is_lookup(e.value, table, loop.index)), None
            )
            name = let.target if let is not None else entry
            if not plan.bindings.kinds.get(name, "loop").startswith(("loop", "let")) or name in loop.targets:
                return
            names[table] = name
            parts[ast.dump(ast.Subscript(trees.name(table), trees.name(loop.index), ast.Load()))] = trees.name(name)
            plan.bindings.kinds[name] = "loop"
            if let is not None:
                loop.statements.remove(let)
        for statement in walk(loop.statements):
            statement.change(partial(trees.replaced, parts=parts))
            if isinstance(statement.name, ast.expr):
                statement.name = trees.replaced(statement.name, parts=parts)
        if loop.counter:
            loop.counter.after = trees.replaced(loop.counter.after, parts=parts)
        loop.index = ""
        loop.targets = [*names.values(), *loop.targets]
        strict = ast.keyword("strict", ast.Constant(True))
        loop.source = ast.Call(trees.name("zip"), [*map(trees.name, names), loop.source], [strict])


def _looked_up(plan: ClassPlan, loop: Loop) -> list[str]:
    """Return the tables that a loop looks up by its number, if that is all that the number is for."""
    length = _table_length(plan, loop.source)
    after = [loop.counter.after] if loop.counter else []
    found: dict[str, None] = {}
    for tree in [*expressions_in(loop.statements), *after]:
        counted = 0
        for node in ast.walk(tree):
            if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
                if _is_lookup(node, node.value.id, loop.index):
                    if length is None or _table_length(plan, node.value) != length:
                        return []
                    found[node.value.id] = None
                    counted += 1
        if sum(isinstance(node, ast.Name) and node.id == loop.index for node in ast.walk(tree)) != counted:
            return []
    return list(found)


def _is_lookup(tree: ast.expr, table: str, index: str) -> bool:
    return equal(tree, ast.Subscript(trees.name(table), trees.name(index), ast.Load()))


def _table_length(plan: ClassPlan, source: ast.expr) -> int | None:
    if isinstance(source, ast.Name):
        table = _table(plan, source.id)
        return len(table.value.elts) if table is not None and isinstance(table.value, ast.List) else None
    return len(source.elts) if isinstance(source, ast.List) else None


def _table(plan: ClassPlan, name: str) -> Let | None:
    return next(
        (each for each in walk(plan.statements) if isinstance(each, Let) and each.table and each.target == name), None
    )


def name_indices(plan: ClassPlan) -> None:
    """Call the number of a copy what the spec calls it, else `index` unless a loop around it does."""

    def rename(statements: Sequence[Statement], around: bool) -> None:
        for statement in statements:
            if not isinstance(statement, Loop):
                for inner in statement.bodies():
                    rename(inner, around)
                continue
            _take_name(plan, statement)
            if statement.index in ("i", "j", "k") and not around and not _holds_index(statement):
                change_all(statement.statements, {statement.index: trees.name("index")})
                if statement.counter:
                    after = trees.replaced(statement.counter.after, {statement.index: trees.name("index")})
                    statement.counter.after = after
                statement.index = "index"
            rename(statement.statements, around or statement.index == "index")

    rename(plan.statements, False)


def _take_name(plan: ClassPlan, loop: Loop) -> None:
    """Give the number of a copy the name of a local value that is nothing else."""
    alias = next(
        (each for each in loop.statements if isinstance(each, Let) and equal(each.value, trees.name(loop.index))), None
    )
    if not loop.index or alias is None or _sets(plan, alias.target) != 1:
        return
    loop.statements.remove(alias)
    change_all(loop.statements, {loop.index: trees.name(alias.target)})
    if loop.counter:
        loop.counter.after = trees.replaced(loop.counter.after, {loop.index: trees.name(alias.target)})
    loop.index = alias.target


def _sets(plan: ClassPlan, name: str) -> int:
    return sum(isinstance(each, Let) and each.target == name for each in walk(plan.statements))


def _holds_index(loop: Loop) -> bool:
    return any(isinstance(each, Loop) and each.index == "index" for each in walk(loop.statements))
