"""Params and blocks that lead back to themselves, and the order of params that do not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from archspec.errors import Complaint
from archspec.program.compilation import Compilation
from archspec.program.steps import BlockProgram, CallStep, Value


def params_in_order(compilation: Compilation, params: dict[str, Value]) -> dict[str, Value]:
    """Return the params with each after those that it uses, else as they are declared; complain of cycles."""
    position = {name: number for number, name in enumerate(params)}
    uses = {
        name: sorted(value.names & params.keys(), key=position.__getitem__) if value.names else []
        for name, value in params.items()
    }
    ordered: dict[str, Value] = {}
    for start in params:
        trail: dict[str, Iterator[str]] = {} if start in ordered else {start: iter(uses[start])}
        while trail:
            name = next(reversed(trail))
            used = next(trail[name], None)
            if used is None:
                del trail[name]
                ordered[name] = params[name]
            elif used in trail:
                is_replaced = used == name and len(compilation.document.files) > 1
                words = partial(_param_cycle, trail, used, is_replaced)
                compilation.findings.add(Complaint.later("cycle", words, compilation.document.params[used].span))
                params[name] = Value(params[name].yaml, failed=True)  # and so is what uses it
            elif used not in ordered:
                trail[used] = iter(uses[used])
    return ordered


def find_block_cycles(compilation: Compilation, calls: dict[int, list[CallStep]]) -> None:
    """Complain of every call, of the `calls` of each block, that leads back to the block that it stands in."""
    done: set[int] = set()
    for start in compilation.blocks.values():
        _find_cycles(compilation, start, calls, done)


def _find_cycles(
    compilation: Compilation, start: BlockProgram, calls: dict[int, list[CallStep]], done: set[int]
) -> None:
    """Complain of every call that leads back to a block on the way to it."""
    trail = [(start, iter(calls.get(id(start), ())))]
    on_trail = {id(start)}
    while trail:
        program, left = trail[-1]
        step = next(left, None)
        if step is None:
            trail.pop()
            on_trail.discard(id(program))
            done.add(id(program))
            continue
        block = step.block
        if block is None:
            continue
        if id(block) in on_trail:
            compilation.findings.add(Complaint.later("cycle", partial(_cycle, trail, block), step.span))
            step.broken = True
        elif id(block) not in done:
            trail.append((block, iter(calls.get(id(block), ()))))
            on_trail.add(id(block))


def _cycle(trail: list[tuple[BlockProgram, Iterator[CallStep]]], block: BlockProgram) -> tuple[str, None]:
    """Return the message for a call of `block`, which stands on the trail of calls that lead to it."""
    way = [each for each, _ in trail]
    return f"a block calls itself: {_way([each.name for each in (*way[way.index(block) :], block)])}", None


def _param_cycle(trail: Iterable[str], used: str, is_replaced: bool) -> tuple[str, str | None]:
    """Return the message and the help for a param that uses `used`, which stands on the trail of params to it."""
    way = list(trail)
    help = "a param cannot use the value that it replaces" if is_replaced else None
    return f"a param leads back to itself: {_way([*way[way.index(used) :], used])}", help


def _way(names: list[str]) -> str:
    """Return names joined by arrows, those amid many left out."""
    quoted = [f"`{name}`" for name in names]
    if len(quoted) > 8:
        quoted[4:-3] = [f"({len(quoted) - 7} more)"]
    return " -> ".join(quoted)
