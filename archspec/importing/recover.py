"""A program back into a spec that people can read: scopes, blocks, params and repeats; the inverse of elaboration."""

from __future__ import annotations

from typing import Any

from archspec.importing.blocks import Structure, find_blocks
from archspec.importing.calls import Program
from archspec.importing.normalize import normalize
from archspec.importing.tree import Step, build_tree, walk
from archspec.importing.values import Code
from archspec.importing.writer import write
from archspec.ops import OPS


def recover(program: Program, *, flat: bool = False) -> str:
    """Return the text of a spec of the network that a program computes.

    Args:
        program: The calls of the network.
        flat: Whether to leave out blocks, params and repeats: the plain form, right by construction.
    """
    normalize(program)
    tree = build_tree(program)
    if flat:
        return write(Structure(tree, {}, tree.body, tree.outputs), {})
    structure = find_blocks(tree)
    params = _name_numbers(structure)
    return write(structure, params)


def _name_numbers(structure: Structure) -> dict[str, Any]:
    """Make params of the numbers that people change first: the classes, and how often blocks repeat."""
    found: dict[str, Any] = {}
    taken = {param.name for block in structure.blocks.values() for param in block.params}
    last = _last_weighted(structure)
    if last is not None and "num_classes" not in taken:
        name = "units" if "units" in last.arguments else "filters"
        found["num_classes"] = last.arguments[name]
        last.arguments[name] = Code("num_classes")
    repeated = [step for step in walk(structure.body) if isinstance(step.repeat, int) and step.op in structure.blocks]
    for op in dict.fromkeys(step.op for step in repeated):
        steps = [step for step in repeated if step.op == op]
        if len(steps) > 2 and "depths" not in taken | {*found}:
            found["depths"] = [step.repeat for step in steps]
            for at, step in enumerate(steps):
                step.repeat = Code(f"depths[{at}]")
    return found


def _last_weighted(structure: Structure) -> Step | None:
    """Return the layer that makes the network's only output, if its size stands there as a number."""
    if len(structure.outputs) != 1:
        return None
    steps = [step for step in walk(structure.body) if step.body is None and step.op in OPS and OPS[step.op].weighted]
    if not steps:
        return None
    last = steps[-1]
    size = last.arguments.get("units", last.arguments.get("filters"))
    return last if isinstance(size, int) and last.op in ("linear", "conv") else None
