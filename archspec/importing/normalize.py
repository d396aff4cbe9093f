"""Rewrites of a program before it is given structure: each a rule of a few lines, in the order of `RULES`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from archspec.importing.calls import Call, Part, Program, Value
from archspec.shapes import same_padding


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
    readers = _readers(program)
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


def padding_at_its_layer(program: Program) -> None:
    """Pad in the layer that reads what was padded: zeros for a convolution, and nothing larger for a maximum."""
    readers = _readers(program)
    outputs = {*program.outputs.values()}
    for pad in [call for call in program.calls if call.op == "pad"]:
        result, read = pad.results[0], pad.reads[0]
        value = pad.arguments.get("value", 0)
        fitting = ("max_pool",) if value == float("-inf") else ("conv", "depthwise_conv") if not value else ()
        found = readers.get(result, [])
        if len(found) != 1 or result in outputs or "mode" in pad.arguments or not isinstance(read, Value):
            continue
        layer = found[0]
        if (
            layer.op not in fitting
            or len(layer.reads) > 1
            or layer.arguments.get("padding", 0) != 0
            or layer.arguments.get("ceil_mode")
        ):
            continue
        pairs = _pairs(pad.arguments["padding"], len(read.shape) - 1)
        layer.arguments["padding"] = _padding(layer, pairs, read.shape[1:])
        layer.reads = [read]
        program.calls.remove(pad)


def _pairs(padding: Any, rank: int) -> list[list[int]]:
    each = padding if isinstance(padding, list) else [padding] * rank
    return [list(pair) if isinstance(pair, list) else [pair, pair] for pair in each]


def _padding(layer: Call, pairs: list[list[int]], sizes: Sequence[int]) -> Any:
    """Return the padding of a layer in the shortest form: `same`, a number, one or a pair for each axis."""
    arguments = layer.arguments

    def each(name: str, default: Any) -> list[int]:
        value = arguments.get(name, default)
        return list(value) if isinstance(value, list) else [value] * len(sizes)

    kernel, dilation = each("kernel", 1), each("dilation", 1)
    stride = each("stride", 1) if "stride" in arguments or layer.op != "max_pool" else kernel
    same = [list(same_padding(*each)) for each in zip(sizes, kernel, stride, dilation, strict=True)]
    if pairs == same:
        return "same"
    if all(before == after for before, after in pairs):
        numbers = [before for before, _ in pairs]
        return numbers[0] if len({*numbers}) == 1 else numbers
    return pairs


def free_tensors_in_order(program: Program) -> None:
    """Put the parameters and buffers of each module in the order of the source's keys: they read nothing."""
    place = {key: number for number, key in enumerate(program.keys)}
    scopes: dict[tuple[Part, ...], list[Call]] = {}
    for call in program.calls:
        if call.op in ("parameter", "buffer") and call.path in place:
            scopes.setdefault(call.within, []).append(call)
    for calls in scopes.values():
        if all(place[one.path] < place[other.path] for one, other in pairwise(calls)):
            continue
        program.calls = [call for call in program.calls if call is calls[0] or call not in calls]
        at = program.calls.index(calls[0])
        program.calls[at : at + 1] = sorted(calls, key=lambda call: place[call.path])


def _readers(program: Program) -> dict[Value, list[Call]]:
    """Return the calls that read each value."""
    found: dict[Value, list[Call]] = {}
    for call in program.calls:
        for value in call.values:
            found.setdefault(value, []).append(call)
    return found


RULES: tuple[Callable[[Program], None], ...] = (
    padding_at_its_layer,
    concat_of_concat,
    concat_at_its_layer,
    free_tensors_in_order,
)
