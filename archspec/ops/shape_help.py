"""What to do about shapes that do not fit: steps that bring one to another, and inputs that look misread.

Whatever is advised must be true: a test puts the advised steps into a spec and finds the shapes equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from archspec.shapes import Pair, Shape, elements, shape_text

MAX_STRIDE = 4
"""The largest stride of a projection that is advised; a 1x1 convolution skips what lies between."""


class Step(NamedTuple):
    """An op with arguments, to be written as a step."""

    op: str
    arguments: Mapping[str, object]

    def text(self, reads: str | None = None) -> str:
        """Return the step as YAML, reading `reads` or else the step before."""
        arguments = {"from": _quoted(reads), **self.arguments} if reads is not None else self.arguments
        return f"{self.op}: {_yaml(arguments)}" if arguments else self.op


def bring(shape: Shape, goal: Shape) -> tuple[Step, ...] | None:
    """Return at most two steps that turn a value of `shape` into one of `goal`; None if there are no good ones."""
    if shape == goal:
        return ()
    if not shape or not goal:  # a single number
        return None
    if len(shape) != len(goal):
        return _to_rank(shape, goal)
    if len(shape) == 1:
        return (Step("linear", {"units": goal[0]}),)
    (channels, *sizes), (filters, *goals) = shape, goal
    project = (Step("conv", {"filters": filters}),) if channels != filters else ()
    if sizes == goals:
        return project
    strides = [-(-size // target) for size, target in zip(sizes, goals, strict=True)]
    strided = [-(-size // stride) for size, stride in zip(sizes, strides, strict=True)]
    if strided == goals and max(strides) <= MAX_STRIDE and set(goals) != {1}:
        return (Step("conv", {"filters": filters, "stride": _one_or_all(strides)}),)
    resize = _resize(sizes, goals)
    return (*project, *resize) if resize else None


def _to_rank(shape: Shape, goal: Shape) -> tuple[Step, ...] | None:
    """Return steps from `shape` to a `goal` with another number of axes."""
    if elements(shape) == elements(goal):
        return (Step("flatten", {}) if len(goal) == 1 else Step("reshape", {"shape": list(goal)}),)
    if len(goal) == 1:
        return (Step("global_avg_pool", {}), Step("flatten", {})) if shape[0] == goal[0] else None
    if len(shape) == 1 and set(goal[1:]) == {1}:
        return Step("linear", {"units": goal[0]}), Step("reshape", {"shape": list(goal)})
    if len(shape) == 1 and shape[0] == goal[0]:
        flat = (goal[0], *(1 for _ in goal[1:]))
        return Step("reshape", {"shape": list(flat)}), *(bring(flat, goal) or ())
    return None


def _resize(sizes: list[int], goals: list[int]) -> tuple[Step, ...]:
    """Return a step that changes the spatial axes only."""
    axes = list(zip(sizes, goals, strict=True))
    if all(target % size == 0 for size, target in axes):
        return (Step("upsample", {"scale": _one_or_all([target // size for size, target in axes])}),)
    if set(goals) == {1}:
        return (Step("global_avg_pool", {}),)
    if all(size % target == 0 for size, target in axes):
        return (Step("avg_pool", {"kernel": _one_or_all([size // target for size, target in axes])}),)
    if any(abs(size - target) > max(2, min(size, target) // 2) for size, target in axes):
        is_smaller = all(size >= target for size, target in axes)
        return (Step("adaptive_avg_pool", {"size": _one_or_all(goals)}),) if is_smaller else ()
    if all(size >= target for size, target in axes):
        return (Step("crop", {"amount": _pairs([size - target for size, target in axes])}),)
    if all(size <= target for size, target in axes):
        return (Step("pad", {"padding": _pairs([target - size for size, target in axes])}),)
    return ()


def equal_help(one: Shape, other: Shape, names: tuple[str, str]) -> str | None:
    """Return how to make two operands equal; the first is the main path, the second what joins it."""
    if len(one) == len(other) and one[1:] == other[1:]:
        return _advice([(names[1], one, bring(other, one))])
    (small, small_name), (large, large_name) = sorted(
        ((one, names[0]), (other, names[1])), key=lambda operand: (len(operand[0]), elements(operand[0][1:]))
    )
    up = (small_name, large, bring(small, large))
    if stretches(small, large):
        advice = _advice([up])
        return f"`broadcast: true` stretches axes of size 1, as `multiply` does{f'; or {advice}' if advice else ''}"
    down = (large_name, small, bring(large, small))
    return _advice([down, up] if len(one) == len(other) and one[0] == other[0] else [down] if down[2] else [up])


def same_size_help(one: Shape, other: Shape, names: tuple[str, str]) -> str | None:
    """Return how to give two operands the same spatial axes, whatever their channels."""
    ways = [
        (name, goal, bring(shape, goal))
        for shape, goal, name in (
            (one, (one[0], *other[1:]), names[0]),
            (other, (other[0], *one[1:]), names[1]),
        )
    ]
    ways.sort(key=lambda way: elements(way[1][1:]))
    return _advice(ways[1:] if 1 in map(elements, (one[1:], other[1:])) else ways)


def fit_help(shape: Shape, goal: Shape, name: str) -> str | None:
    """Return how to bring the operand `name` to `goal`."""
    return _advice([(name, goal, bring(shape, goal))])


def stretches(shape: Shape, whole: Shape) -> bool:
    """Tell whether `multiply` stretches `shape` to `whole`."""
    return len(shape) == len(whole) and all(size in (1, full) for size, full in zip(shape, whole, strict=True))


def _advice(ways: list[tuple[str, Shape, tuple[Step, ...] | None]]) -> str | None:
    """Return the ways that there are, in words: an operand, the shape to bring it to, the steps that do so."""
    texts = []
    for name, goal, steps in ways:
        if steps:
            first, *rest = steps
            written = ", then ".join(f"`{text}`" for text in [first.text(name), *(step.text() for step in rest)])
            texts.append(f"bring `{name}` to {shape_text(goal)} first: {written}")
    return "; or ".join(texts) or None


# Inputs that look misread.


def input_help(shape: Shape) -> str | None:
    """Return what is odd about the shape of a network's input: a batch in front, or the channels at the end."""
    if len(shape) == 4 and shape[1] in (1, 3) and shape[2] == shape[3] >= 16:
        return f"the batch is not written: `input: {list(shape[1:])}`"
    if len(shape) == 3 and shape[2] in (1, 3) and min(shape[:2]) >= 16:
        return f"channels come first: `input: {[shape[2], *shape[:2]]}`"
    return None


# As YAML.


def _yaml(value: object) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_yaml(item)}' for key, item in value.items())}}}"
    return f"[{', '.join(map(_yaml, value))}]" if isinstance(value, list) else str(value)


def _quoted(name: str) -> str:
    return f'"{name}"' if name.isdecimal() else name


def _one_or_all(sizes: list[int]) -> int | list[int]:
    return sizes[0] if len(set(sizes)) == 1 else sizes


def _pairs(amounts: list[int]) -> int | list[object]:
    """Return amounts as `crop` and `pad` take them, the odd one at the end."""
    pairs: list[Pair] = [(amount // 2, amount - amount // 2) for amount in amounts]
    if len({size for pair in pairs for size in pair}) == 1:
        return pairs[0][0]
    return [low if low == high else [low, high] for low, high in pairs]
