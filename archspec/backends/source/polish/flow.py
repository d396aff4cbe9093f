"""Rules about how values flow: modules in lists, very long sums, steps that only training needs."""

from __future__ import annotations

from dataclasses import replace

from archspec.backends.source.plan.ir import (
    Branch,
    ClassPlan,
    InTraining,
    Leaf,
    Let,
    Listing,
    Loop,
    Slot,
    Statement,
    entry_of,
    walk,
)

MOST_OPERANDS = 100
"""How many values an operator may take in one statement."""


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
            for inner in statements[place].bodies():
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
