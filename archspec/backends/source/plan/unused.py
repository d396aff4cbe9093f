"""Local values that nothing uses are left out of a class, by its planner and once more when it is polished."""

from __future__ import annotations

from archspec.backends.source.plan.ir import ClassPlan, Let, Statement, names_used


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
        for inner in statement.bodies():
            dropped |= _drop(inner, used)
    return dropped
