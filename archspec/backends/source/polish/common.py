"""What several rules ask of the statements of a class."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from functools import partial

from archspec.backends.source import trees
from archspec.backends.source.plan.ir import Branch, ClassPlan, Loop, Slot, Statement, walk


def reader_counts(plan: ClassPlan) -> Counter[Slot]:
    """Return how often each value is read."""
    found = Counter(plan.results)
    for each in walk(plan.statements):
        found.update(each.reads)
        if isinstance(each, Branch):
            found.update(slot for slot in (each.result, each.other_result) if slot is not None)
        if isinstance(each, Loop):
            found.update(slot for value in each.values for slot in (value.last, value.initial) if slot is not None)
    return found


def mentions(plan: ClassPlan, name: str) -> int:
    """Return how often the expressions of a class mention a name."""
    return sum(
        isinstance(node, ast.Name) and node.id == name
        for statement in walk(plan.statements)
        for tree in statement.expressions()
        for node in ast.walk(tree)
    )


def expressions_in(statements: Sequence[Statement]) -> list[ast.expr]:
    """Return the expressions of statements, those within them too."""
    return [tree for statement in walk(statements) for tree in statement.expressions()]


def change_all(statements: Sequence[Statement], names: dict[str, ast.expr]) -> None:
    """Put expressions in place of names, in statements and those within them."""
    for statement in walk(statements):
        statement.change(partial(trees.replaced, names=names))
        if isinstance(statement.name, ast.expr):
            statement.name = trees.replaced(statement.name, names)
