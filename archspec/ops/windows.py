"""Windows that slide over the spatial axes: what convolutions and poolings share."""

from __future__ import annotations

from archspec.ops.base import Call, Op
from archspec.ops.fields import PaddingValue
from archspec.shapes import Pair, Reach, Shape, half_padding, same_padding, shape_text

_COVER = "pad the input (`padding: half`), take a smaller kernel, or stride less before it"
KERNEL_WORDS = (
    *("kernel_size", "kernel_shape", "kernels", "ksize", "k", "size", "filter_size", "field"),
    *("window", "window_size", "pool_size"),
)
STRIDE_WORDS = ("strides", "step", "steps", "s", "subsample", "subsampling", "factor")
PADDING_WORDS = ("pad", "pads", "paddings", "p", "padding_size", "zero_padding")
DILATION_WORDS = ("dilations", "dilation_rate", "dilate", "atrous_rate", "rate", "d", "spacing")


def resolved_padding(op: Op, value: PaddingValue, kernel: Shape, stride: Shape, dilation: Shape) -> tuple[Pair, ...]:
    """Return `padding` as one pair per axis, with `half` and `same` worked out for the input of `op`."""
    if value == "half":
        return tuple(half_padding(k, d) for k, d in zip(kernel, dilation, strict=True))
    if value == "same":
        return tuple(same_padding(*axis) for axis in zip(op.spatial, kernel, stride, dilation, strict=True))
    assert isinstance(value, tuple)
    return value


def symmetric(padding: tuple[Pair, ...]) -> bool:
    """Tell whether torch's own `padding` argument can say it: both sides of each axis are equal."""
    return all(low == high for low, high in padding)


def padded(spatial: Shape, padding: tuple[Pair, ...]) -> Shape:
    """Return the spatial axes with their padding."""
    return tuple(size + low + high for size, (low, high) in zip(spatial, padding, strict=True))


def torch_order(padding: tuple[Pair, ...]) -> tuple[int, ...]:
    """Return the amounts as torch's padding functions and modules list them: the last axis first."""
    return tuple(amount for pair in reversed(padding) for amount in pair)


def pad_call(padding: tuple[Pair, ...], value: float = 0.0) -> Call:
    """Return a call that pads the spatial axes."""
    pad = {"pad": torch_order(padding)}
    return Call("F.pad", {**pad, "value": value} if value else pad)


def window_reach(kernel: Shape, stride: Shape, padding: tuple[Pair, ...], dilation: Shape) -> tuple[Reach, ...]:
    """Return what a place of the output reads, along each spatial axis."""
    axes = zip(kernel, stride, padding, dilation, strict=True)
    return tuple([Reach(s, -low, d * (k - 1) - low) for k, s, (low, _), d in axes])


def check_output(op: Op, out: Shape, kernel: Shape, padding: tuple[Pair, ...], dilation: Shape) -> None:
    """Check that the window fits into the padded input. Raises: Complaint if an axis of the output `out` is empty."""
    if min(out) >= 1:
        return
    reach = shape_text(tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)))
    size = shape_text(padded(op.spatial, padding))
    raise op.error("shape", f"the kernel covers {reach}, more than the padded input {size}", "kernel", _COVER)


def window_text(kernel: Shape, stride: Shape, dilation: Shape) -> str:
    """Return a window as a table shows it: `7x7/2`, with `d2` for a dilation."""
    text = shape_text(kernel)
    if set(stride) != {1}:
        text += f"/{sizes_text(stride)}"
    if set(dilation) != {1}:
        text += f" d{sizes_text(dilation)}"
    return text


def sizes_text(sizes: Shape) -> str:
    """Return `2` where all axes agree, else `2x1`."""
    return str(sizes[0]) if len(set(sizes)) == 1 else shape_text(sizes)


def padding_text(padding: tuple[Pair, ...]) -> str:
    """Return `1` where all sides agree, `1x2` where the axes differ, `0+1x0+1` where the two sides do."""
    sides = [str(low) if low == high else f"{low}+{high}" for low, high in padding]
    return sides[0] if len(set(padding)) == 1 else "x".join(sides)


def one_or_all(sizes: tuple[float, ...]) -> float | tuple[float, ...]:
    """Return a single number where all axes agree, as a person would write it."""
    return sizes[0] if len(set(sizes)) == 1 else sizes
