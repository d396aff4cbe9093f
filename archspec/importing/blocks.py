"""Scopes of one class as calls of one block: from the innermost classes outwards, where that makes the spec shorter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from archspec.importing.alignment import NEUTRAL, DoNotAlignError, Hole, Template, align, key
from archspec.importing.holes import Param, Solution, solve
from archspec.importing.repeats import fold, grouped, pinned_steps, replaced
from archspec.importing.tree import SEQUENTIAL, Read, Step, Tree, walk
from archspec.importing.values import ABSENT, VARYING, Code, Spelled, code, same
from archspec.names import step_name_fault, value_name_fault
from archspec.ops import OPS
from archspec.program.steps import RESERVED

ONE_BLOCK = 0.6
"""What one block for a class counts, against several: readers know it by the class."""


@dataclass(eq=False)
class Block:
    """A block of the spec: its params, how many values it reads, its steps."""

    name: str
    params: list[Param]
    inputs: int
    body: list[Step]
    register: tuple[str, ...] = ()


@dataclass(eq=False)
class Structure:
    """A network as blocks and steps."""

    tree: Tree
    blocks: dict[str, Block]
    body: list[Step]
    outputs: dict[str, Read]


def find_blocks(tree: Tree) -> Structure:
    """Give a tree of steps its blocks and repeats."""
    return _Finder(tree).structure()


class _Finder:
    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.body = tree.body
        self.outputs = dict(tree.outputs)
        self.blocks: dict[str, Block] = {}
        self.sizes: dict[str, frozenset[str]] = {}
        """For each block, which of its params count channels or features."""

    def structure(self) -> Structure:
        for kind in self._kinds():
            uses = [step for step in walk(self.body) if step.kind == kind and step.body is not None]
            uses = [use for use in uses if not any(inner.kind == kind for inner in walk(use.body or []))]
            for use in uses:
                _without_positions(use)
            self._fold_all(uses)
            for group in self._groups(uses):
                self._make_block(kind, group)
            for use in uses:
                _with_positions(use)
        self.body = self._fold_body(self.body)
        return Structure(self.tree, self.blocks, self.body, self.outputs)

    def _kinds(self) -> list[str]:
        """Return the classes that occur several times, each after those within it."""
        levels: dict[str, int] = {}
        counts: dict[str, int] = {}

        def level(step: Step) -> int:
            inner = max((level(each) for each in step.body or [] if each.body is not None), default=0)
            if step.kind == SEQUENTIAL:
                return inner
            levels[step.kind] = max(levels.get(step.kind, 0), inner + 1)
            counts[step.kind] = counts.get(step.kind, 0) + 1
            return inner + 1

        for step in self.body:
            if step.body is not None:
                level(step)
        return sorted((kind for kind in levels if counts[kind] > 1), key=lambda kind: levels[kind])

    # Repeats.

    def _fold_all(self, scopes: list[Step]) -> None:
        moved: dict[Step, Step] = {}
        pinned = pinned_steps(self._all_reads())
        for scope in scopes:
            scope.body = self._folded(scope.body or [], pinned, moved)
        self._move(moved)

    def _fold_body(self, body: list[Step]) -> list[Step]:
        moved: dict[Step, Step] = {}
        found = self._folded(body, pinned_steps(self._all_reads()), moved)
        self.body = found
        self._move(moved)
        return found

    def _folded(self, body: list[Step], pinned: set[Step], moved: dict[Step, Step]) -> list[Step]:
        """Fold the runs of a body, innermost scopes first."""
        for at, step in enumerate(body):
            if step.body is not None:
                step.body = self._folded(step.body, pinned, moved)
                body[at] = grouped(step, self.blocks.__contains__, pinned, moved)
        for step in body:
            step.map_reads(lambda read: replaced(read, moved))
        return fold(body, pinned, self._defaults, moved)

    def _move(self, moved: dict[Step, Step]) -> None:
        if not moved:
            return
        for body in self._bodies():
            for step in walk(body):
                step.map_reads(lambda read: replaced(read, moved))
        self.outputs = {name: replaced(read, moved) for name, read in self.outputs.items()}

    def _bodies(self) -> Iterator[list[Step]]:
        yield self.body
        for block in self.blocks.values():
            yield block.body

    def _all_reads(self) -> Iterator[Read]:
        for body in self._bodies():
            for step in walk(body):
                yield from step.all_reads
        yield from self.outputs.values()

    def _defaults(self, op: str) -> dict[str, Any]:
        """Return the defaults of the arguments of an op or a block."""
        if op in self.blocks:
            return {param.name: param.default for param in self.blocks[op].params if param.default is not ABSENT}
        return op_defaults(op)

    # Blocks.

    def _groups(self, uses: list[Step]) -> Iterator[list[Step]]:
        """Yield groups of uses that are to be one block each: all together, or by what steps they have."""
        for together in _by(uses, lambda use: len(use.reads)).values():
            options = [[together], list(_by(together, _skeleton).values())]
            if len(options[1]) > 1:
                options.sort(key=lambda groups: self._cost_of_groups(groups) * (1 if len(groups) > 1 else ONE_BLOCK))
            yield from options[0]

    def _cost_of_groups(self, groups: list[list[Step]]) -> float:
        return sum(self._cost_of_group(group) for group in groups)

    def _cost_of_group(self, group: list[Step]) -> float:
        inline = sum(_cost(use.body or []) + 5 for use in group)
        if len(group) < 2:
            return inline
        try:
            template = align(group, self._defaults)
        except DoNotAlignError:
            return 10 * inline
        solution = solve(template, group, self.sizes)
        return min(inline, _cost_of_block(template, solution) + _cost_of_calls(solution, len(group)))

    def _make_block(self, kind: str, uses: list[Step]) -> None:
        if len(uses) < 2:
            return
        try:
            template = align(uses, self._defaults)
        except DoNotAlignError:
            return
        solution = solve(template, uses, self.sizes)
        inline = sum(_cost(use.body or []) + 5 for use in uses)
        if _cost_of_block(template, solution) + _cost_of_calls(solution, len(uses)) >= inline:
            return
        _fill(template, solution)
        register = max((use.register for use in uses), key=len)
        block = Block(self._name(kind), solution.params, len(uses[0].reads), template.body, register)
        self.blocks[block.name] = block
        self.sizes[block.name] = solution.sizes
        for at, use in enumerate(uses):
            use.op, use.body = block.name, None
            use.arguments = {
                param.name: param.values[at]
                for param in block.params
                if param.default is ABSENT or not same(param.values[at], param.default)
            }
        self._move(template.stands_for)

    def _name(self, kind: str) -> str:
        name = snake_case(kind)
        fault = value_name_fault(name, {*OPS, *RESERVED, SEQUENTIAL, "inline", "use"}) or step_name_fault(name)
        if fault is not None:
            name += "_block"
        found, number = name, 2
        while found in self.blocks:
            found, number = f"{name}_{number}", number + 1
        return found


def snake_case(name: str) -> str:
    """Return the name of a class as that of a block: `InvertedResidual` as `inverted_residual`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name.strip("_"))
    found = re.sub(r"\W", "_", words).lower()
    return found if found[:1].isalpha() else f"block_{found}"


def op_defaults(op: str) -> dict[str, Any]:
    """Return the defaults of an op's arguments; none for what is not an op."""
    if op not in OPS:
        return {}
    fields = OPS[op].fields.items()
    return {
        name: field.default
        for name, field in fields
        if not field.internal and isinstance(field.default, (int, float, str, bool))
    }


def _without_positions(scope: Step) -> None:
    """Give steps their numbers as names: in a block, a step is not called by its position."""
    for step in scope.body or []:
        step.position = False


def _with_positions(scope: Step) -> None:
    """Leave out the names of steps again that are their positions, in a scope that no block was made of."""
    position = 0
    for step in scope.body or []:
        step.position = step.name == str(position)
        if step.repeat is not None and not isinstance(step.repeat, int):
            return
        position += 1 if step.repeat is None or step.name else step.repeat


def _by(steps: Sequence[Step], of: Any) -> dict[Any, list[Step]]:
    found: dict[Any, list[Step]] = {}
    for step in steps:
        found.setdefault(of(step), []).append(step)
    return found


def _skeleton(step: Step) -> Any:
    """Return the steps of a scope without their numbers, and without those that may do nothing."""
    steps = [inner for inner in step.body or [] if inner.op not in NEUTRAL]
    return tuple((key(inner), _skeleton(inner) if inner.body is not None else ()) for inner in steps)


# Filling in.


def _fill(template: Template, solution: Solution) -> None:
    fills = solution.fills
    for step in walk(template.body):
        step.arguments = {name: _filled(value, fills) for name, value in step.arguments.items()}
        step.repeat = _filled(step.repeat, fills)
        step.map_reads(lambda read: _filled(read, fills))
        if isinstance(step.op, Hole):
            step.op = fills[step.op]
        if step in solution.conditions:
            step.when = solution.conditions[step]


def _filled(value: Any, fills: dict[Hole, Any]) -> Any:
    if isinstance(value, Hole):
        return fills[value]
    if isinstance(value, Spelled):
        return Code(Spelled(tuple(_filled(piece, fills) for piece in value.pieces)).code)
    if isinstance(value, VARYING):
        return type(value)(*(_filled(part, fills) for part in value))
    if isinstance(value, list):
        return [_filled(part, fills) for part in value]
    return value


# What text costs, in tokens.

_TOKEN = re.compile(r"[\w.]+|[^\w\s]")


def tokens(value: Any) -> int:
    """Return how many tokens a value has in the spec."""
    if isinstance(value, Hole):
        return 1
    if isinstance(value, Spelled):
        return sum(map(tokens, value.pieces))
    if isinstance(value, VARYING):
        return sum(map(tokens, value)) + 6
    if isinstance(value, list):
        return sum(map(tokens, value)) + 2 + len(value)
    return len(_TOKEN.findall(code(value)))


def _cost(body: Sequence[Step]) -> float:
    found = 0.0
    for step in body:
        found += 2 + (2 if step.name and step.fixed and not step.position else 0)
        found += sum(2 + tokens(value) for value in step.arguments.values())
        if step.when is not None:
            found += 2 + tokens(step.when)
        if step.repeat is not None:
            found += 2 + tokens(step.repeat)
        if len(step.reads) > 1:
            found += 2 * len(step.reads)
        if step.body is not None:
            found += 4 + _cost(step.body)
    return found


def _cost_of_block(template: Template, solution: Solution) -> float:
    found = 6 + _cost(template.body) + 3 * len(solution.params)
    found += sum(tokens(fill) for fill in solution.fills.values())
    return found + sum(2 + tokens(text) for text in solution.conditions.values())


def _cost_of_calls(solution: Solution, uses: int) -> float:
    found = 4.0 * uses
    for param in solution.params:
        changes = sum(not same(a, b) for a, b in zip(param.values, param.values[1:], strict=False))
        given = sum(param.default is ABSENT or not same(value, param.default) for value in param.values)
        found += min(given, 2 * changes + 1) * 3
    return found
