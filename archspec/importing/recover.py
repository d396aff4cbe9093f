"""A program back into a spec that people can read: scopes, blocks, params and repeats; the inverse of elaboration."""

from __future__ import annotations

from typing import Any

from archspec.importing.blocks import Structure, find_blocks
from archspec.importing.calls import Program
from archspec.importing.normalize import normalize
from archspec.importing.tree import Made, Step, build_tree, walk
from archspec.importing.values import Code, Last
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
    heads = _heads(structure)
    sizes = {head.arguments[_size_of(head)] for head in heads}
    if len(sizes) == 1 and "num_classes" not in taken:
        found["num_classes"] = sizes.pop()
        for head in heads:
            head.arguments[_size_of(head)] = Code("num_classes")
    repeated = [step for step in walk(structure.body) if isinstance(step.repeat, int) and step.op in structure.blocks]
    for op in dict.fromkeys(step.op for step in repeated):
        steps = [step for step in repeated if step.op == op]
        if len(steps) > 2 and "depths" not in taken | {*found}:
            found["depths"] = [step.repeat for step in steps]
            for at, step in enumerate(steps):
                _count(step, Code(f"depths[{at}]"))
    return found


def _count(step: Step, count: Code) -> None:
    """Repeat a step as often as a param says: what is told of its last copy follows."""
    step.repeat = count
    step.arguments = {
        name: Last(value.rest, value.last, count) if isinstance(value, Last) else value
        for name, value in step.arguments.items()
    }


def _size_of(head: Step) -> str:
    return "units" if "units" in head.arguments else "filters"


def _heads(structure: Structure) -> list[Step]:
    """Return the layers that make the outputs, if there is one, and others in training only; those that are numbers."""
    training = structure.tree.program.training_only
    bodies = [structure.body]
    for name, read in structure.outputs.items():
        if name not in training:
            continue
        step = read.steps[-1] if isinstance(read, Made) else None
        if step is None or step.op not in structure.blocks:
            return []
        bodies.append(structure.blocks[step.op].body)
    if len(structure.outputs) - len(training) != 1:
        return []
    found = []
    for body in bodies:
        steps = [step for step in walk(body) if step.body is None and step.op in OPS and OPS[step.op].weighted]
        last = steps[-1] if steps else None
        if last is None or last.op not in ("linear", "conv") or not isinstance(last.arguments[_size_of(last)], int):
            return []
        found.append(last)
    return list(dict.fromkeys(found))
