"""Rules about steps under conditions: neighbours join, and what a condition says is not asked again."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import partial

from archspec.backends.source import trees
from archspec.backends.source.plan.ir import Branch, ClassPlan, Free, Slot, Statement, walk
from archspec.backends.source.polish.common import reader_counts
from archspec.backends.source.trees import equal


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
            if reader_counts(plan)[before.out] > _reads_of(before, after):
                continue
            _rewire(after.statements, before.out, before.result)
            after.statements[:0] = before.statements
            after.other_result = before.other_result
            del statements[place - 1]
        for statement in statements:
            for inner in statement.bodies():
                join(inner)

    join(plan.statements)


def _join_way(plan: ClassPlan, statements: list[Statement], place: int) -> None:
    """Put steps under a condition into the way of the branch before that is taken under the same condition."""
    before, after = statements[place - 1], statements[place]
    assert isinstance(before, Branch)
    assert isinstance(after, Branch)
    if reader_counts(plan)[before.out] > _reads_of(before, after):
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
                for inner in statement.bodies():
                    settle(inner, known)

    settle(plan.statements, {})


def _settled(tree: ast.expr, known: dict[str, bool]) -> ast.expr:
    return trees.replaced(tree, parts={key: ast.Constant(value) for key, value in known.items()})
