"""Runs of steps that are alike, each reading the one before: one step with `repeat`, and what changes in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from archspec.importing.tree import SEQUENTIAL, Input, Made, Read, Step
from archspec.importing.values import VARYING, Alternating, First, Last, Linear, Listed, over_copies, same
from archspec.ops import OPS

Defaults = Callable[[str], dict[str, Any]]

_NUMBERED = re.compile(r"(.*?)(\d+)")


def fold(body: list[Step], pinned: set[Step], defaults: Defaults, moved: dict[Step, Step]) -> list[Step]:
    """Return a body in which runs of steps are one step each.

    Args:
        body: The steps of one scope.
        pinned: Steps within which something is read from outside of them.
        defaults: A function from the name of an op or block to the defaults of its arguments.
        moved: Where it is noted what stands for the last step of each run.
    """
    readers: dict[Step, list[Step]] = {}
    for step in body:
        for read in step.all_reads:
            if isinstance(read, Made):
                readers.setdefault(read.steps[0], []).append(step)
    found: list[Step] = []
    at = 0
    while at < len(body):
        end = at + 1
        while end < len(body) and _linked(body[end - 1], body[end], readers, pinned):
            end += 1
        chain = body[at:end]
        for first, last in _segments(chain, body, defaults):
            found.append(_folded(chain[first:last], body, defaults, moved) if last - first > 1 else chain[first])
        at = end
    for step in found:
        step.map_reads(lambda read: replaced(read, moved))
    return found


def replaced(read: Read, moved: dict[Step, Step]) -> Read:
    """Return a read of a step that another one stands for now."""
    if isinstance(read, Made) and any(step in moved for step in read.steps):
        return Made(tuple(moved.get(step, step) for step in read.steps), read.result)
    return read


def _linked(before: Step, step: Step, readers: dict[Step, list[Step]], pinned: set[Step]) -> bool:
    """Return whether two steps may be copies of one: the second reads the first, and nothing else does."""
    if before.op != step.op or before.body is not None or step.body is not None or before.op in ("use", SEQUENTIAL):
        return False
    if before.repeat is not None or step.repeat is not None or before in pinned or step in pinned:
        return False
    if before.op in OPS and not step.fixed:
        return False  # ops without weights are shorter one by one
    if not step.reads or not before.reads or readers.get(before, []) != [step]:
        return False
    if step.reads[0] != Made((before,)) or step.reads[1:] != before.reads[1:] or step.named != before.named:
        return False
    return same(before.when, step.when)


@dataclass(frozen=True)
class _Name:
    text: str
    fixed: bool
    position: bool
    cost: int


def _name(steps: Sequence[Step], body: Sequence[Step]) -> _Name | None:
    """Return the name of a run that gives each copy the name that it has."""
    if all(step.position for step in steps):
        return _Name("", True, True, 0)
    if not any(step.fixed for step in steps):
        return _Name("", False, False, 0)
    matches = [_NUMBERED.fullmatch(step.name) for step in steps]
    if not all(step.fixed for step in steps) or not all(matches):
        return None
    prefix, start = matches[0][1], int(matches[0][2])  # type: ignore[index]
    if any(m[1] != prefix or m[2] != str(start + at) for at, m in enumerate(matches)):  # type: ignore[index]
        return None
    if prefix.endswith(".") and start == 0 and sum(step.name.startswith(prefix) for step in body) == len(steps):
        return _Name(prefix[:-1], True, False, 1)
    number = "index" if not start else f"index + {start}"
    return _Name(f"{prefix}${{{number}}}", True, False, 6)


def _varied(steps: Sequence[Step], defaults: Defaults) -> dict[str, Any] | None:
    """Return the arguments of a run; None if one of them is missing in some copies and has no default."""
    own = defaults(steps[0].op)
    found = {}
    for name in dict.fromkeys(name for step in steps for name in step.arguments):
        values = [step.arguments.get(name, own.get(name)) for step in steps]
        if any(value is None for value in values) or any(isinstance(value, VARYING) for value in values):
            return None
        value = over_copies(values)
        if name not in own or not same(value, own[name]):
            found[name] = value
    return found


_COSTS = {First: 5, Linear: 4, Alternating: 6, Last: 7}


def _cost(arguments: dict[str, Any], defaults: dict[str, Any]) -> float:
    cost = 3.0
    for name, value in arguments.items():
        if name in defaults and same(value, defaults[name]):
            continue
        cost += 2
        if isinstance(value, Listed):
            cost += 5 + 2 * len(value.values)
        elif isinstance(value, VARYING):
            cost += _COSTS[type(value)]
    return cost


def _segments(chain: Sequence[Step], body: Sequence[Step], defaults: Defaults) -> list[tuple[int, int]]:
    """Cut a chain into runs such that the text is shortest."""
    own = defaults(chain[0].op)
    best: list[tuple[float, int]] = [(0.0, 0)]
    for end in range(1, len(chain) + 1):
        options = []
        for start in range(end):
            steps = chain[start:end]
            if len(steps) == 1:
                cost = _cost(steps[0].arguments, own) + 2
            else:
                name, arguments = _name(steps, body), _varied(steps, defaults)
                if name is None or arguments is None:
                    continue
                cost = _cost(arguments, own) + 3 + name.cost
            options.append((best[start][0] + cost, start))
        best.append(min(options))
    cuts = []
    end = len(chain)
    while end:
        start = best[end][1]
        cuts.append((start, end))
        end = start
    return cuts[::-1]


def _folded(steps: Sequence[Step], body: Sequence[Step], defaults: Defaults, moved: dict[Step, Step]) -> Step:
    first, last = steps[0], steps[-1]
    name, arguments = _name(steps, body), _varied(steps, defaults)
    assert name is not None
    assert arguments is not None
    step = Step(first.op, arguments, list(first.reads), name.text, name.fixed, dict(first.named), kind=first.kind)
    step.inputs, step.shape, step.when = first.inputs, last.shape, first.when
    step.repeat, step.position = len(steps), name.position
    moved[last] = step
    return step


def grouped(step: Step, is_block: Callable[[str], bool], pinned: set[Step], moved: dict[Step, Step]) -> Step:
    """Return a container of nothing but the copies of one step as that step repeated, under the container's name."""
    if step.op != SEQUENTIAL or step.kind != SEQUENTIAL or step.body is None or len(step.body) != 1:
        return step
    inner = step.body[0]
    if not inner.position or inner.reads != [Input(0)] or len(step.reads) != 1 or inner.named or inner.when is not None:
        return step
    if inner.repeat is None and (not is_block(inner.op) or inner in pinned):
        return step
    if inner.body is not None or step.position or not step.name:
        return step
    found = Step(inner.op, inner.arguments, list(step.reads), step.name, step.fixed, kind=inner.kind)
    found.inputs, found.shape, found.when = step.inputs, step.shape, step.when
    found.repeat = 1 if inner.repeat is None else inner.repeat
    moved[step] = found
    return found


def pinned_steps(reads: Iterable[Read]) -> set[Step]:
    """Return the steps that a read leads into or through."""
    return {step for read in reads if isinstance(read, Made) and len(read.steps) > 1 for step in read.steps}
