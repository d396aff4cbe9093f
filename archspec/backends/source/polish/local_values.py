"""Rules about local values of `__init__`: which a person would give a name, and which not."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from functools import partial

from archspec.backends.source import trees
from archspec.backends.source.plan.bindings import is_size
from archspec.backends.source.plan.ir import ClassPlan, Instance, Let, Loop, Statement, names_used, walk
from archspec.backends.source.polish.common import change_all, expressions_in, mentions
from archspec.backends.source.trees import names_in

OFTEN = 4
"""From how many places on an expression gets a name."""

SHORT = 44
"""Characters of a local value that may be written where it is used."""


def inline_once(plan: ClassPlan) -> None:
    """Write a short local value that is used once where it is used, unless what it reads changes on the way.

    What stands before a loop stays there.
    """

    def inline(statements: list[Statement]) -> None:
        for place, let in enumerate(statements):
            if not isinstance(let, Let) or let.table or let.target in names_in(let.value):
                continue
            if mentions(plan, let.target) == 1:
                rest = statements[place + 1 :]
                short = len(trees.text(let.value)) <= SHORT and not any(
                    isinstance(node, ast.comprehension) for node in ast.walk(let.value)
                )
                settled = set(plan.arguments) | _set_once(plan)
                if short and names_in(let.value) <= settled and not _stands_in_loop(rest, let.target):
                    change_all(rest, {let.target: let.value})
        for statement in statements:
            for inner in statement.bodies():
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


def name_often(plan: ClassPlan) -> None:
    """Give a sum or product of arguments that stands in many places of a block's class a name."""
    while not plan.is_network:
        counts = Counter(
            ast.unparse(node)
            for tree in expressions_in(plan.statements)
            for node in ast.walk(tree)
            if _is_worth_a_name(node) and names_in(node) and names_in(node) <= plan.arguments.keys()
        )
        often = [(code, count) for code, count in counts.items() if count >= OFTEN]
        if not often:
            return
        code, _ = max(often, key=lambda entry: (len(entry[0]), entry[1]))
        sizes = plan.results[0].sizes
        is_result = bool(sizes) and sizes[0] is not None and ast.unparse(sizes[0]) == code
        base = _of_rows(plan, code, is_result) or ("out_channels" if is_result else _called(plan, code) or "hidden")
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


def _of_rows(plan: ClassPlan, code: str, is_result: bool) -> str:
    """Return what to call a part of the height of what a class reads, where that is its first axis; else nothing."""
    if plan.size_arguments.get("height", ()) != (0, 0) or not names_in(ast.parse(code)) <= {"height", "width"}:
        return ""
    return "out_height" if is_result else _called(plan, code) or "rows"


def _called(plan: ClassPlan, code: str) -> str:
    """Return the argument that most objects which are given an expression have it for; empty if it is a size."""
    names = Counter(
        name
        for each in walk(plan.statements)
        if isinstance(each, Instance)
        for name, tree in each.arguments.items()
        if ast.unparse(tree) == code
    )
    name = max(names, key=lambda each: names[each], default="")
    return "" if is_size(name) or name in plan.bindings.kinds else name


def _is_worth_a_name(node: ast.AST) -> bool:
    """Return whether an expression is a sum, a product, a part of something, or one of two of them."""
    if isinstance(node, ast.IfExp):
        return all(isinstance(way, ast.Name) or _is_worth_a_name(way) for way in (node.body, node.orelse))
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.FloorDiv)
