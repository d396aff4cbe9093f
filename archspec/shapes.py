"""Shapes and window arithmetic, in exact integers.

A shape never holds the batch: `(features,)`, `(C, L)`, `(C, H, W)` or `(C, D, H, W)`; tokens are `(T, features)`.
"""

from __future__ import annotations

from enum import IntEnum
from math import gcd, prod
from typing import Any, NamedTuple

Shape = tuple[int, ...]
Pair = tuple[int, int]


class Reach(NamedTuple):
    """What a place of an output reads along an axis: the places `place * step + low` to `place * step + high`.

    All three are integers, or fractions where an output is larger than what it is made of.
    """

    step: Any
    low: Any
    high: Any


HERE = Reach(1, 0, 0)
"""The same place alone."""


class Lead(IntEnum):
    """What stands before the shape of a tensor: the batch, an axis of size 1, or nothing.

    Free tensors have no batch. What is computed from them alone has none either.
    """

    NONE = 0
    ONE = 1
    BATCH = 2


LIMIT = 2**63
"""Integers of a spec stay below this, in both directions."""

SPATIAL_AXES: dict[int, tuple[str, ...]] = {
    0: (),
    1: ("length",),
    2: ("height", "width"),
    3: ("depth", "height", "width"),
    4: (),
    5: (),
}
"""The names of the axes behind the channels, by their number; those of more than three have none."""

MAX_INPUT_AXES = 4
"""How many axes an input of a network may have, the channels included."""


def elements(shape: Shape) -> int:
    """Return how many numbers a tensor of this shape holds; 1 for the empty shape, as in torch."""
    return prod(shape)


def shape_text(shape: Shape) -> str:
    """Return `64x56x56`, as the command line and the messages write a shape."""
    return "x".join(map(str, shape)) if shape else "scalar"


def window_out(size: int, kernel: int, stride: int, padding: Pair, dilation: int) -> int:
    """Output size of a window that slides over one axis (torch.nn.Conv2d); below 1 where it does not fit."""
    return (size + padding[0] + padding[1] - dilation * (kernel - 1) - 1) // stride + 1


def ceil_window_out(size: int, kernel: int, stride: int, padding: Pair, dilation: int) -> int:
    """Do as `window_out`, rounded up, but no window may start beyond the input (torch.nn.MaxPool2d, ceil_mode)."""
    reach = size + padding[0] + padding[1] - dilation * (kernel - 1) - 1
    out = -(-reach // stride) + 1
    return out - 1 if (out - 1) * stride >= size + padding[0] else out


def half_padding(kernel: int, dilation: int) -> Pair:
    """Return `dilation * (kernel - 1) // 2` for both sides."""
    amount = dilation * (kernel - 1) // 2
    return amount, amount


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> Pair:
    """TensorFlow's SAME: output `ceil(size / stride)`, the odd pixel at the end."""
    out = -(-size // stride)
    total = max(0, (out - 1) * stride + dilation * (kernel - 1) + 1 - size)
    return total // 2, total - total // 2


def adaptive_taps(size: int, out: int) -> int:
    """Return how many inputs the windows of an adaptive pooling read along one axis, counted with overlaps."""
    return size + out - gcd(size, out)
