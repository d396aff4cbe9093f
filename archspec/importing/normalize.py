"""Rewrites of a program before it is given structure: each a rule of a few lines, in the order of `RULES`."""

from __future__ import annotations

from collections.abc import Callable

from archspec.importing.calls import Call, Program, Value


def normalize(program: Program) -> None:
    """Apply every rule."""
    for rule in RULES:
        rule(program)


def concat_of_concat(program: Program) -> None:
    """Read an earlier concat instead of its operands: dense connectivity joins all values before, time and again."""
    known: dict[tuple[str, tuple[Value, ...]], Value] = {}
    for call in program.calls:
        if call.op != "concat":
            continue
        axis = str(call.arguments.get("axis", ""))
        operands = tuple(read for read in call.reads if isinstance(read, Value))
        for size in range(len(operands) - 1, 1, -1):
            if (axis, operands[:size]) in known:
                call.reads = [known[axis, operands[:size]], *operands[size:]]
                break
        known[axis, operands] = call.results[0]


def concat_at_its_layer(program: Program) -> None:
    """Move a concat of what a module reads and what it makes into the module, if nothing else reads the latter.

    So a layer of a dense block ends with the concat that the next one begins with, and all layers are alike.
    """
    readers: dict[Value, list[Call]] = {}
    for call in program.calls:
        for read in (*call.reads, *call.named.values()):
            if isinstance(read, Value):
                readers.setdefault(read, []).append(call)
    outputs = {*program.outputs.values()}
    for call in list(program.calls):
        if call.op != "concat" or len(call.reads) != 2:
            continue
        for before, made in (call.reads, call.reads[::-1]):
            if isinstance(made, Value) and isinstance(before, Value) and made.call is not None:
                if made not in outputs and _move(program, call, before, made, readers):
                    break


def _move(program: Program, call: Call, before: Value, made: Value, readers: dict[Value, list[Call]]) -> bool:
    assert made.call is not None
    depth = 0
    while depth < len(call.within) and call.within[: depth + 1] == made.call.within[: depth + 1]:
        depth += 1
    if len(made.call.within) <= depth:
        return False
    scope = made.call.within[: depth + 1]
    inside = [each for each in program.calls if each.within[: depth + 1] == scope]
    if any(reader is not call and reader not in inside for reader in readers.get(made, [])):
        return False
    if not any(before in each.reads for each in inside):
        return False
    last = program.calls.index(inside[-1])
    if before.call is not None and program.calls.index(before.call) > last:
        return False
    program.calls.remove(call)
    program.calls.insert(program.calls.index(inside[-1]) + 1, call)
    call.within, call.path = scope, ""
    return True


RULES: tuple[Callable[[Program], None], ...] = (concat_of_concat, concat_at_its_layer)
