"""What a person would tidy up in a planned class: values named once that stand in many places, and the reverse."""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Callable, Sequence

from archspec.backends.source.expressions import names_in
from archspec.backends.source.items import (
    ClassPlan,
    IfItem,
    Item,
    LetItem,
    LoopItem,
    OpItem,
    UseItem,
    walk,
)
from archspec.backends.source.naming import numbered

OFTEN = 4
"""From how many places on an expression gets a name."""

Change = Callable[[ast.expr], ast.expr]


def tidy(plan: ClassPlan) -> None:
    """Write a value that is used once where it is used, and give a name to an expression that is used often."""
    _inline(plan)
    _name(plan)


def _change(items: Sequence[Item], change: Change) -> None:
    """Change every expression in the steps, but for the names of modules."""
    for item in walk(items):
        match item:
            case UseItem():
                item.arguments = {name: change(tree) for name, tree in item.arguments.items()}
            case OpItem():
                for call in item.calls:
                    call.arguments = {name: change(tree) for name, tree in call.arguments.items()}
            case IfItem():
                item.test = change(item.test)
            case LetItem():
                item.value = change(item.value)
            case LoopItem():
                item.source = change(item.source)
                if item.carried:
                    name, start, end = item.carried
                    item.carried = (name, change(start), change(end))


class _Replace(ast.NodeTransformer):
    """Puts `new` in place of every part that reads `old`."""

    def __init__(self, old: str, new: ast.expr) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.expr) and ast.unparse(node) == self.old:
            return self.new
        return self.generic_visit(node)


def _replacing(old: str, new: ast.expr) -> Change:
    def change(tree: ast.expr) -> ast.expr:
        if old not in ast.unparse(tree):
            return tree
        found = _Replace(old, new).visit(copy.deepcopy(tree))
        assert isinstance(found, ast.expr)
        return found

    return change


def _inline(plan: ClassPlan) -> None:
    """Local values that are used once, and hold nothing that changes on the way, go where they are used."""
    for let in [item for item in walk(plan.items) if isinstance(item, LetItem)]:
        uses = sum(
            isinstance(node, ast.Name) and node.id == let.target
            for item in walk(plan.items)
            for tree in item.trees()
            for node in ast.walk(tree)
        )
        if uses == 1 and names_in(let.value) <= plan.arguments.keys() | _lets(plan):
            _change(plan.items, _replacing(let.target, let.value))


def _lets(plan: ClassPlan) -> set[str]:
    """Local values that are set once."""
    targets = Counter(item.target for item in walk(plan.items) if isinstance(item, LetItem))
    return {target for target, count in targets.items() if count == 1}


def _name(plan: ClassPlan) -> None:
    """Sums and products of arguments that stand in many places."""
    while True:
        counts = Counter(
            ast.unparse(node)
            for item in walk(plan.items)
            for tree in item.trees()
            for node in ast.walk(tree)
            if isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Add | ast.Sub | ast.Mult)
            and names_in(node) <= plan.arguments.keys()
        )
        often = [(code, count) for code, count in counts.items() if count >= OFTEN]
        if not often:
            return
        code, _ = max(often, key=lambda entry: (len(entry[0]), entry[1]))
        result = plan.results[0].channels
        base = "out_channels" if result and ast.unparse(result[0]) == code else "hidden"
        name = numbered(base, plan.context.kinds.__contains__)
        plan.context.kinds[name] = "let"
        _change(plan.items, _replacing(code, ast.Name(name, ast.Load())))
        plan.items.insert(0, LetItem(target=name, value=ast.parse(code, mode="eval").body))
