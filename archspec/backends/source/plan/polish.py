"""What a person would tidy up in a planned class: small rewrites from plan to plan, one rule a function.

`RULES` has them in the order in which they run. Each takes a class and changes its statements in place.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

from archspec.backends.source import trees
from archspec.backends.source.identifiers import numbered, value_name
from archspec.backends.source.plan.ir import (
    Branch,
    CallPlan,
    Chain,
    ClassPlan,
    Copies,
    Free,
    Instance,
    InTraining,
    Leaf,
    Let,
    Listing,
    Loop,
    Reuse,
    Slot,
    Statement,
    entry_of,
    names_used,
    walk,
)
from archspec.backends.source.trees import equal, names_in

Key = str | int
"""The name of a column, or its place in a row that is a list."""

OFTEN = 4
"""From how many places on an expression gets a name."""

SHORT = 44
"""Characters of a local value that may be written where it is used."""

MAX_COLUMNS = 4
"""How many columns a table of tuples may have; one with more stays a list of mappings, if these fit on a line each."""

MOST_OPERANDS = 100
"""How many values an operator may take in one statement."""

WIDTH = 76
"""Characters that a row of a table may have."""


def polish(plan: ClassPlan) -> None:
    """Apply all rules to a class."""
    for rule in RULES:
        rule(plan)


def cancel_permutes(plan: ClassPlan) -> None:
    """Leave out permutes in a row that undo each other."""
    counts = _reader_counts(plan)
    reused = {each.target for each in walk(plan.statements) if isinstance(each, Reuse)}

    def cancel(statements: list[Statement], allowed: bool) -> None:
        for before, after in pairwise(statements):
            if not isinstance(before, Leaf) or not isinstance(after, Leaf) or not before.calls or not after.calls:
                continue
            if before in reused or after in reused:  # they are called elsewhere as they are
                continue
            reads_only_it = after.reads == [before.out] and counts[before.out] == 1
            if allowed and reads_only_it and _undo(before.calls[-1], after.calls[0]):
                before.calls, after.calls = before.calls[:-1], after.calls[1:]
        for statement in statements:
            for inner in _bodies(statement):
                cancel(inner, statement.cancelled if isinstance(statement, Chain) else allowed)

    cancel(plan.statements, plan.cancelled)


def _reader_counts(plan: ClassPlan) -> Counter[Slot]:
    """Return how often each value is read."""
    found = Counter(plan.results)
    for each in walk(plan.statements):
        found.update(each.reads)
        if isinstance(each, Branch):
            found.update(slot for slot in (each.result, each.other_result) if slot is not None)
        if isinstance(each, Loop):
            found.update(slot for value in each.values for slot in (value.last, value.initial) if slot is not None)
    return found


def _undo(first: CallPlan, second: CallPlan) -> bool:
    if first.target != "torch.permute" or second.target != "torch.permute":
        return False
    one, other = (ast.literal_eval(call.arguments["dims"]) for call in (first, second))
    return tuple(one[axis] for axis in other) == tuple(range(len(one)))


def fuse_layer_norms(plan: ClassPlan) -> None:
    """Write a layer norm between two permutes as one module, `LayerNorm2d`."""
    for statement in walk(plan.statements):
        if not isinstance(statement, Leaf):
            continue
        targets = [call.target for call in statement.calls]
        if targets == ["torch.permute", "nn.LayerNorm", "torch.permute"]:
            rank = len(ast.literal_eval(statement.calls[0].arguments["dims"])) - 2
            norm = statement.calls[1]
            statement.calls = [CallPlan(f"LayerNorm{rank}d", norm.arguments)]


def join_branches(plan: ClassPlan) -> None:
    """Put neighbouring steps under one condition into one branch, but where they are registered in another order."""
    if plan.register:
        return

    def join(statements: list[Statement]) -> None:
        for place in range(len(statements) - 1, 0, -1):
            free, after = statements[place - 1], statements[place]
            if isinstance(free, Free) and free.test is not None and isinstance(after, Branch):
                if equal(free.test, after.test) and not after.otherwise:
                    free.test = None
                    after.statements.insert(0, statements.pop(place - 1))
        for place in range(len(statements) - 1, 0, -1):
            before, after = statements[place - 1], statements[place]
            if not (isinstance(before, Branch) and isinstance(after, Branch)):
                continue
            if after.other_result is not before.out or after.otherwise:
                continue
            if before.otherwise:
                _join_way(plan, statements, place)
                continue
            if not equal(before.test, after.test):
                continue
            if _reader_counts(plan)[before.out] > _reads_of(before, after):
                continue
            _rewire(after.statements, before.out, before.result)
            after.statements[:0] = before.statements
            after.other_result = before.other_result
            del statements[place - 1]
        for statement in statements:
            for inner in _bodies(statement):
                join(inner)

    join(plan.statements)


def _join_way(plan: ClassPlan, statements: list[Statement], place: int) -> None:
    """Put steps under a condition into the way of the branch before that is taken under the same condition."""
    before, after = statements[place - 1], statements[place]
    assert isinstance(before, Branch)
    assert isinstance(after, Branch)
    if _reader_counts(plan)[before.out] > _reads_of(before, after):
        return
    if equal(after.test, before.test):
        _rewire(after.statements, before.out, before.result)
        before.statements += after.statements
        before.result = after.result
    elif equal(after.test, trees.negated(before.test)):
        _rewire(after.statements, before.out, before.other_result)
        before.otherwise += after.statements
        before.other_result = after.result
    else:
        return
    before.outs = after.outs
    del statements[place]


def ask_plainly(plan: ClassPlan) -> None:
    """Ask `if a` rather than `if not a` where there is something to do either way."""
    for branch in walk(plan.statements):
        if isinstance(branch, Branch) and branch.otherwise and isinstance(branch.test, ast.UnaryOp):
            if any(isinstance(each, Branch) for each in branch.otherwise):  # an `elif`
                continue
            branch.test = trees.negated(branch.test)
            branch.statements, branch.otherwise = branch.otherwise, branch.statements
            branch.result, branch.other_result = branch.other_result, branch.result


def _reads_of(before: Branch, after: Branch) -> int:
    """Return how often the steps of a branch, and its way around them, read the result of the branch before."""
    inside = sum(statement.reads.count(before.out) for statement in walk(after.statements))
    return inside + sum(value is before.out for value in (after.other_result, after.result))


def _rewire(statements: Sequence[Statement], old: Slot, new: Slot | None) -> None:
    """Let steps read the result of one way of a branch in place of that of the branch."""
    assert new is not None
    for statement in walk(statements):
        statement.reads = [new if slot is old else slot for slot in statement.reads]
        if isinstance(statement, Branch) and statement.other_result is old:
            statement.other_result = new


def know_conditions(plan: ClassPlan) -> None:
    """Under a condition, write what an expression that asks for it again comes to."""

    def settle(statements: Sequence[Statement], known: dict[str, bool]) -> None:
        for statement in statements:
            if known:
                statement.change(partial(_settled, known=known))
            if isinstance(statement, Branch):
                key, opposite = ast.dump(statement.test), ast.dump(trees.negated(statement.test))
                settle(statement.statements, {**known, key: True, opposite: False})
                settle(statement.otherwise, {**known, key: False, opposite: True})
            else:
                for inner in _bodies(statement):
                    settle(inner, known)

    settle(plan.statements, {})


def _settled(tree: ast.expr, known: dict[str, bool]) -> ast.expr:
    return trees.replaced(tree, parts={key: ast.Constant(value) for key, value in known.items()})


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
        if table is None or _mentions(plan, source.id) != 1:
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


def _table(plan: ClassPlan, name: str) -> Let | None:
    return next(
        (each for each in walk(plan.statements) if isinstance(each, Let) and each.table and each.target == name), None
    )


def _mentions(plan: ClassPlan, name: str) -> int:
    return sum(
        isinstance(node, ast.Name) and node.id == name
        for statement in walk(plan.statements)
        for tree in statement.expressions()
        for node in ast.walk(tree)
    )


def _trees(statements: Sequence[Statement]) -> list[ast.expr]:
    return [tree for statement in walk(statements) for tree in statement.expressions()]


def _only_columns(statements: Sequence[Statement], target: str, loop: Loop) -> bool:
    """Return whether a loop's variable stands only as `target["column"]`."""
    after = [loop.counter.after] if loop.counter else []
    for tree in [*_trees(statements), *after]:
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
    return {key for tree in [*_trees(loop.statements), *after] for _, key in _columns(tree, target)}


def _write_rows(plan: ClassPlan, loop: Loop, rows: list[list[ast.expr]]) -> None:
    single = len(rows[0]) == 1
    source = ast.List([row[0] if single else ast.Tuple(row, ast.Load()) for row in rows], ast.Load())
    table = _table(plan, loop.source.id) if isinstance(loop.source, ast.Name) else None
    if table is not None:
        table.value = source
    else:
        loop.source = source


def name_indices(plan: ClassPlan) -> None:
    """Call the number of a copy `index` unless a loop around it does."""

    def rename(statements: Sequence[Statement], around: bool) -> None:
        for statement in statements:
            if not isinstance(statement, Loop):
                for inner in _bodies(statement):
                    rename(inner, around)
                continue
            if statement.index in ("i", "j", "k") and not around and not _holds_index(statement):
                _change_all(statement.statements, {statement.index: trees.name("index")})
                if statement.counter:
                    after = trees.replaced(statement.counter.after, {statement.index: trees.name("index")})
                    statement.counter.after = after
                statement.index = "index"
            rename(statement.statements, around or statement.index == "index")

    rename(plan.statements, False)


def _holds_index(loop: Loop) -> bool:
    return any(isinstance(each, Loop) and each.index == "index" for each in walk(loop.statements))


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
    for tree in [*_trees(loop.statements), *after]:
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


def inline_once(plan: ClassPlan) -> None:
    """Write a short local value that is used once where it is used, unless what it reads changes on the way.

    What stands before a loop stays there.
    """

    def inline(statements: list[Statement]) -> None:
        for place, let in enumerate(statements):
            if not isinstance(let, Let) or let.table or let.target in names_in(let.value):
                continue
            if _mentions(plan, let.target) == 1:
                rest = statements[place + 1 :]
                short = len(trees.text(let.value)) <= SHORT and not any(
                    isinstance(node, ast.comprehension) for node in ast.walk(let.value)
                )
                settled = set(plan.arguments) | _set_once(plan)
                if short and names_in(let.value) <= settled and not _stands_in_loop(rest, let.target):
                    _change_all(rest, {let.target: let.value})
        for statement in statements:
            for inner in _bodies(statement):
                inline(inner)

    inline(plan.statements)


def _stands_in_loop(statements: Sequence[Statement], name: str) -> bool:
    """Return whether a name is used within a loop among statements."""
    loops = [statement for statement in walk(statements) if isinstance(statement, Loop)]
    return any(name in names_used(loop.statements) for loop in loops)


def _set_once(plan: ClassPlan) -> set[str]:
    targets = Counter(statement.target for statement in walk(plan.statements) if isinstance(statement, Let))
    loops = {
        name
        for statement in walk(plan.statements)
        if isinstance(statement, Loop)
        for name in (*statement.targets, statement.index)
    }
    return {target for target, count in targets.items() if count == 1} | loops


def _change_all(statements: Sequence[Statement], names: dict[str, ast.expr]) -> None:
    for statement in walk(statements):
        statement.change(partial(trees.replaced, names=names))
        if isinstance(statement.name, ast.expr):
            statement.name = trees.replaced(statement.name, names)


def name_often(plan: ClassPlan) -> None:
    """Give a sum or product of arguments that stands in many places of a block's class a name."""
    while not plan.is_network:
        counts = Counter(
            ast.unparse(node)
            for tree in _trees(plan.statements)
            for node in ast.walk(tree)
            if _is_worth_a_name(node) and names_in(node) and names_in(node) <= plan.arguments.keys()
        )
        often = [(code, count) for code, count in counts.items() if count >= OFTEN]
        if not often:
            return
        code, _ = max(often, key=lambda entry: (len(entry[0]), entry[1]))
        sizes = plan.results[0].sizes
        is_result = bool(sizes) and sizes[0] is not None and ast.unparse(sizes[0]) == code
        base = "out_channels" if is_result else "hidden"
        if base in plan.bindings.kinds:
            return
        plan.bindings.kinds[base] = "let"
        value = ast.parse(code, mode="eval").body
        parts = {ast.dump(value): trees.name(base)}
        for statement in walk(plan.statements):
            statement.change(partial(trees.replaced, parts=parts))
        settled = [
            place + 1
            for place, let in enumerate(plan.statements)
            if isinstance(let, Let) and let.target in names_in(value)  # an argument that may be left out
        ]
        plan.statements.insert(max(settled, default=0), Let(target=base, value=value))


def _is_worth_a_name(node: ast.AST) -> bool:
    """Return whether an expression is a sum, a product, a part of something, or one of two of them."""
    if isinstance(node, ast.IfExp):
        return all(isinstance(way, ast.Name) or _is_worth_a_name(way) for way in (node.body, node.orelse))
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.FloorDiv)


def drop_unused(plan: ClassPlan) -> None:
    """Leave out local values that nothing uses."""
    while True:
        used = names_used(plan.statements)
        if not _drop(plan.statements, used):
            return


def _drop(statements: list[Statement], used: set[str]) -> bool:
    kept = [each for each in statements if not (isinstance(each, Let) and each.target not in used)]
    dropped = len(kept) < len(statements)
    statements[:] = kept
    for statement in statements:
        for inner in _bodies(statement):
            dropped |= _drop(inner, used)
    return dropped


def _bodies(statement: Statement) -> list[list[Statement]]:
    """Return the lists of statements within a statement."""
    if isinstance(statement, Branch):
        return [statement.statements, statement.otherwise]
    return [statement.statements] if isinstance(statement, Chain | Listing | Loop | InTraining) else []


def gather_lists(plan: ClassPlan) -> None:
    """Make an nn.ModuleList of modules that stand in a list, where they all follow one another."""
    entries: dict[str, list[Statement]] = {}
    for statement in walk(plan.statements):
        entry = entry_of(statement.name)
        if entry is not None:
            entries.setdefault(entry[0], []).append(statement)
    for name, found in entries.items():
        start = next((place for place, each in enumerate(plan.statements) if each is found[0]), len(plan.statements))
        if plan.statements[start : start + len(found)] != found or not all(isinstance(e.name, str) for e in found):
            continue
        for each in found:
            each.name = str(each.name).rpartition(".")[2]
        plan.statements[start : start + len(found)] = [Listing(name, [], [], True, statements=found)]


def part_long_sums(plan: ClassPlan) -> None:
    """Work out an operator between very many values in several steps: Python compiles no expression of any depth."""

    def part(statements: list[Statement]) -> None:
        for place in reversed(range(len(statements))):
            for inner in _bodies(statements[place]):
                part(inner)
            whole = statements[place]
            if not isinstance(whole, Leaf) or len(whole.reads) <= MOST_OPERANDS or not whole.calls[0].is_operator:
                continue
            if whole.calls[0].arguments:
                continue
            first, steps = whole.reads[0], []
            for start in range(1, len(whole.reads), MOST_OPERANDS):
                reads = [first, *whole.reads[start : start + MOST_OPERANDS]]
                first = Slot({})
                steps.append(replace(whole, reads=reads, outs=[first], calls=whole.calls[:1]))
            steps[-1].outs, steps[-1].calls = whole.outs, whole.calls
            statements[place : place + 1] = steps

    part(plan.statements)


def skip_in_evaluation(plan: ClassPlan) -> None:
    """Put the steps that only outputs for training need under `if self.training`."""
    if not plan.training:
        return
    assert plan.outputs is not None
    live = {slot for name, slot in zip(plan.outputs, plan.results, strict=True) if name not in plan.training}
    statements: list[Statement] = []
    for statement in reversed(plan.statements):
        inner = list(walk([statement]))
        made = {slot for each in inner for slot in each.outs}
        if isinstance(statement, Let) or made & live:
            live.update(slot for each in inner for slot in _reads(each))
            statements.append(statement)
        elif statements and isinstance(statements[-1], InTraining):
            statements[-1].statements.insert(0, statement)
        else:
            statements.append(InTraining(statements=[statement]))
    plan.statements = statements[::-1]


def _reads(statement: Statement) -> list[Slot]:
    """Return what a statement reads, the values in which its ways or rounds start and end among them."""
    found = list(statement.reads)
    if isinstance(statement, Branch):
        found += [slot for slot in (statement.result, statement.other_result) if slot is not None]
    elif isinstance(statement, Loop):
        found += [slot for value in statement.values for slot in (value.initial, value.last) if slot is not None]
    return found


RULES: tuple[Callable[[ClassPlan], None], ...] = (
    cancel_permutes,
    fuse_layer_norms,
    join_branches,
    ask_plainly,
    know_conditions,
    unpack_tables,
    zip_lists,
    name_indices,
    inline_once,
    name_often,
    drop_unused,
    part_long_sums,
    gather_lists,
    skip_in_evaluation,
)
