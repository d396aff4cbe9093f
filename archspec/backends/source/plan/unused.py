"""Local values and columns of loops that nothing uses are left out, by the planner and once more in polishing."""

from __future__ import annotations

import ast

from archspec.backends.source import trees
from archspec.backends.source.plan.ir import ClassPlan, Let, Loop, Statement, names_used, walk


def drop_unused(plan: ClassPlan) -> None:
    """Leave out local values that nothing uses, and columns of what loops run over."""
    while True:
        used = names_used(plan.statements)
        if not _drop(plan.statements, used):
            break
    for loop in walk(plan.statements):
        if isinstance(loop, Loop):
            _drop_columns(loop)


def _drop_columns(loop: Loop) -> None:
    """Leave out the columns of a loop that nothing in it uses; a loop over none of its columns is one over numbers."""
    used = names_used(loop.statements) | (trees.names_in(loop.counter.after) if loop.counter else set())
    kept = [place for place, target in enumerate(loop.targets) if target in used or target.startswith("_")]
    if len(kept) == len(loop.targets):
        return
    match loop.source:
        case ast.Call(func=ast.Name(id="zip"), args=sources) if kept:
            loop.source = ast.Call(loop.source.func, [sources[place] for place in kept], loop.source.keywords)
            if len(kept) == 1:
                loop.source = sources[kept[0]]
        case ast.List(elts=rows) if not kept:
            loop.source = ast.Constant(len(rows) + (loop.first if loop.index else 0))
            loop.is_range, loop.first = True, loop.first if loop.index else 0
        case ast.List(elts=rows) if all(isinstance(row, ast.Tuple) for row in rows):
            columns = [[row.elts[place] for place in kept] for row in rows if isinstance(row, ast.Tuple)]
            whole = [row[0] if len(row) == 1 else ast.Tuple(row, ast.Load()) for row in columns]
            loop.source = ast.List(whole, ast.Load())
        case _:
            return
    loop.targets = [loop.targets[place] for place in kept]


def _drop(statements: list[Statement], used: set[str]) -> bool:
    kept = [each for each in statements if not (isinstance(each, Let) and each.target not in used)]
    dropped = len(kept) < len(statements)
    statements[:] = kept
    for statement in statements:
        for inner in statement.bodies():
            dropped |= _drop(inner, used)
    return dropped
