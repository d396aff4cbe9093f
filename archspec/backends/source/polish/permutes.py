"""Rules about permutes: those that undo each other go, and a layer norm between two becomes one module."""

from __future__ import annotations

import ast
from itertools import pairwise

from archspec.backends.source.plan.ir import CallPlan, Chain, ClassPlan, Leaf, Reuse, Statement, walk
from archspec.backends.source.polish.common import reader_counts


def cancel_permutes(plan: ClassPlan) -> None:
    """Leave out permutes in a row that undo each other."""
    counts = reader_counts(plan)
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
            for inner in statement.bodies():
                cancel(inner, statement.cancelled if isinstance(statement, Chain) else allowed)

    cancel(plan.statements, plan.cancelled)


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
