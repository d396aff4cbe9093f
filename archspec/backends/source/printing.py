"""Expressions and torch calls as code to lay out: what `__init__` and `forward` have in common."""

from __future__ import annotations

import ast
from typing import Any

from archspec.backends.source.expressions import literal, names_in, text
from archspec.backends.source.items import Item, OpItem
from archspec.backends.source.layout import Brackets, Doc, Named, Text
from archspec.ops.torch_api import AS_KERNEL, REQUIRED, SIGNATURES


def expression(tree: ast.expr) -> Doc:
    """An expression to lay out."""
    if isinstance(tree, ast.Tuple | ast.List) and len(tree.elts) > 1:
        head, tail = ("(", ")") if isinstance(tree, ast.Tuple) else ("[", "]")
        return Brackets(head, [expression(item) for item in tree.elts], tail)
    return Text(text(tree))


def call_arguments(target: str, arguments: dict[str, ast.expr], after_inputs: bool = False) -> list[Doc]:
    """The arguments of a torch call, without those at torch's default. A function's stand `after_inputs`.

    What is required is given by place, and so is a constructor's first argument; from the first gap on, all by name.
    What everybody knows the place of is given by place too, once it is no plain number.
    """
    found: list[Doc] = []
    by_place = True
    signature = SIGNATURES[target]
    for key, default in signature.parameters.items():
        tree = arguments.get(key)
        if tree is None or _is_default(tree, default, arguments):
            by_place = False
            continue
        first = not found and not after_inputs
        known = key in signature.by_place and not isinstance(tree, ast.Constant)
        by_place = by_place and key not in signature.by_name and (default is REQUIRED or first or known)
        found.append(expression(tree) if by_place else Named(f"{key}=", expression(tree)))
    return found


def _is_default(tree: ast.expr, default: Any, arguments: dict[str, ast.expr]) -> bool:
    if default is REQUIRED:
        return False
    if default is AS_KERNEL:
        return ast.dump(tree) == ast.dump(arguments["kernel_size"])
    return ast.dump(tree) == ast.dump(literal(default))


def is_function(item: Item) -> bool:
    """Whether `forward` calls a function for this op, and `__init__` knows nothing of it."""
    if not isinstance(item, OpItem):
        return False
    call = item.module_call()
    if call is None:
        return True
    constant = not any(names_in(tree) for tree in call.arguments.values())
    return not item.explicit and item.op.functional and constant
