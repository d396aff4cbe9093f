"""The rules that tidy up a planned class, in the order in which they run.

Each takes a class and changes its statements in place.
"""

from __future__ import annotations

from collections.abc import Callable

from archspec.backends.source.plan.ir import ClassPlan
from archspec.backends.source.plan.unused import drop_unused
from archspec.backends.source.polish.branches import ask_plainly, join_branches, know_conditions
from archspec.backends.source.polish.flow import gather_lists, part_long_sums, skip_in_evaluation
from archspec.backends.source.polish.local_values import inline_once, name_often
from archspec.backends.source.polish.permutes import cancel_permutes, fuse_layer_norms
from archspec.backends.source.polish.tables import name_indices, unpack_tables, zip_lists

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


def polish(plan: ClassPlan) -> None:
    """Apply all rules to a class."""
    for rule in RULES:
        rule(plan)
