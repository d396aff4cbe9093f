"""Views of values as torch and ONNX have them: each dimension is made of factors of the value's own axes and the batch.

Reshapes, transposes and the like only rearrange factors. Where an op needs a tensor of its own, the shortest ops that
get there are written: a `permute`, a `flatten`, a `channel_shuffle`. So whatever way a network shuffles its channels
or cuts its windows, what it does is told by one op.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

from archspec.importing.calls import Value
from archspec.ops.fields import MAX_AXES


class CannotExpressError(Exception):
    """A spec has no way to say what the source does; the text says why."""


class Axis:
    """A factor of an axis: equal sizes are not the same factor."""

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        self.size = size

    def __repr__(self) -> str:
        return str(self.size)


class Batch(Axis):
    """What stands for the batch among the factors of a dimension: the samples, or one for a tensor without a batch.

    A batch of one sample has the size of none, so `samples` says which it is; by default the size tells.
    """

    __slots__ = ("samples",)

    def __init__(self, size: int, samples: bool | None = None) -> None:
        super().__init__(size)
        self.samples = size > 1 if samples is None else samples


def is_batch(axis: Axis) -> bool:
    """Return whether a factor is the batch."""
    return isinstance(axis, Batch)


def axis_of_size(size: int) -> tuple[Axis, ...]:
    """Return the factors of a new axis: one, or none where its size is 1."""
    return (Axis(size),) if size > 1 else ()


def size_of(axes: Iterable[Axis]) -> int:
    """Return the product of factors."""
    return prod(axis.size for axis in axes)


Dims = tuple[tuple[Axis, ...], ...]
Emit = Callable[[str, dict[str, Any], Value, Sequence[int]], Value]
"""Adds a call of an op with arguments to a value, whose result has a shape; returns the result."""


@dataclass(frozen=True)
class View:
    """A tensor of the source: `dims` are its dimensions, `axes` those of the spec's value that it is a view of."""

    value: Value
    axes: Dims
    dims: Dims

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape as the source has it, the batch among it."""
        return tuple(map(size_of, self.dims))

    @property
    def batch(self) -> int | None:
        """The dimension in which the batch is."""
        return next((at for at, dim in enumerate(self.dims) if any(map(is_batch, dim))), None)

    @property
    def has_samples(self) -> bool:
        """Whether it has a batch of samples, and not just one in its place."""
        return any(isinstance(axis, Batch) and axis.samples for dim in self.dims for axis in dim)

    @property
    def spec_dims(self) -> Dims:
        """The dimensions without the batch."""
        found = []
        for dim in self.dims:
            rest = tuple(axis for axis in dim if not is_batch(axis))
            if len(rest) == len(dim) or rest:
                found.append(rest)
        return tuple(found)

    @property
    def is_plain(self) -> bool:
        """Whether the value has the dimensions, in their order."""
        return self.spec_dims == self.axes

    def with_dims(self, dims: Iterable[tuple[Axis, ...]]) -> View:
        """Return another view of the value."""
        return View(self.value, self.axes, tuple(dims))

    def on(self, value: Value) -> View:
        """Return the same view of another value of the same shape."""
        return View(value, self.axes, self.dims)

    def arrangement(self) -> tuple[Any, ...]:
        """Return where each factor of each dimension stands in the value: equal for views that are laid out alike."""
        place = {axis: (at, number) for at, axes in enumerate(self.axes) for number, axis in enumerate(axes)}
        return tuple(tuple((place.get(axis, "batch"), axis.size) for axis in dim) for dim in self.dims)

    # Rearranging.

    def permuted(self, order: Sequence[int]) -> View:
        """Return the view with its dimensions in another order."""
        return self.with_dims(self.dims[at] for at in order)

    def unsqueezed(self, at: int) -> View:
        """Return the view with a dimension of size 1 more."""
        at = at + len(self.dims) + 1 if at < 0 else at
        return self.with_dims((*self.dims[:at], (), *self.dims[at:]))

    def squeezed(self, dims: Iterable[int] | None = None) -> View:
        """Return the view without the dimensions of size 1 that are named, or without any."""
        gone = set(range(len(self.dims))) if dims is None else {at % len(self.dims) for at in dims}
        return self.with_dims(dim for at, dim in enumerate(self.dims) if at not in gone or dim)

    def reshaped(self, shape: Sequence[int]) -> View:
        """Return the view in another shape. Raises: CannotExpressError if a factor would be cut unevenly."""
        total = prod(self.shape)
        known = prod(size for size in shape if size != -1)
        sizes = [total // max(known, 1) if size == -1 else size for size in shape]
        view = self
        rest = [axis for dim in view.dims for axis in dim]
        dims: list[tuple[Axis, ...]] = []
        for size in sizes:
            dim: list[Axis] = []
            left = size
            while rest and is_batch(rest[0]) and rest[0].size == 1 and left == 1 and not dim:
                dim.append(rest.pop(0))
            while left > 1:
                if not rest:
                    raise CannotExpressError(f"a reshape of {self.shape} to {tuple(sizes)}")
                axis = rest.pop(0)
                if left % axis.size == 0:
                    dim.append(axis)
                    left //= axis.size
                elif axis.size % left == 0 and not is_batch(axis):
                    outer, inner = Axis(left), Axis(axis.size // left)
                    view = view._split(axis, outer, inner)
                    dims = [tuple(_swapped(old, axis, outer, inner)) for old in dims]
                    dim.append(outer)
                    rest.insert(0, inner)
                    left = 1
                else:
                    raise CannotExpressError(f"a reshape of {self.shape} to {tuple(sizes)}")
            while dim and rest and rest[0].size == 1 and not is_batch(rest[0]):
                dim.append(rest.pop(0))  # an axis that some op makes even of size 1
            dims.append(tuple(dim))
        if rest:
            dims[-1] = (*dims[-1], *rest)
        return view.with_dims(dims)

    def _split(self, axis: Axis, outer: Axis, inner: Axis) -> View:
        return View(
            self.value,
            tuple(tuple(_swapped(axes, axis, outer, inner)) for axes in self.axes),
            tuple(tuple(_swapped(dim, axis, outer, inner)) for dim in self.dims),
        )

    def axis_of(self, dim: int) -> int | None:
        """Return the axis of the value that a dimension is, if it is one as a whole."""
        wanted = self.dims[dim]
        if not wanted:
            return None
        return next((at for at, axes in enumerate(self.axes) if axes == wanted), None)

    def outermost_of(self, dim: int) -> int | None:
        """Return the axis of the value whose outermost factors a dimension is."""
        wanted = self.dims[dim]
        if not wanted:
            return None
        return next((at for at, axes in enumerate(self.axes) if axes[: len(wanted)] == wanted), None)


def _swapped(axes: Iterable[Axis], old: Axis, *new: Axis) -> Iterable[Axis]:
    for axis in axes:
        if axis is old:
            yield from new
        else:
            yield axis


def plain(value: Value, shape: Sequence[int], batch: int | None, size: int, samples: bool | None = None) -> View:
    """Return the view of a value that has the dimensions of the source, without the batch.

    Args:
        value: The value, whose shape is that of the source without the batch.
        shape: The shape of the source.
        batch: Which dimension holds the batch; None for none. If it is larger than the batch, it holds an axis besides.
        size: How many samples the batch has. A value of as many axes as the shape has one of size 1 besides.
        samples: Whether the batch holds samples; by default, whether it has several.
    """
    axes: list[tuple[Axis, ...]] = []
    dims: list[tuple[Axis, ...]] = []
    for at, length in enumerate(shape):
        if at != batch:
            axes.append(axis_of_size(length))
            dims.append(axes[-1])
        elif length == size and (len(value.shape) < len(shape) or len(shape) == 1):
            dims.append((Batch(size, samples),))
        else:
            axes.append((Axis(length // size),))
            dims.append((Batch(size, samples), *axes[-1]))
    if tuple(map(size_of, axes)) != value.shape:
        raise CannotExpressError(f"a result of shape {tuple(shape)}, where the spec has {value.shape}")
    return View(value, tuple(axes), tuple(dims))


def materialized(view: View, emit: Emit) -> View:
    """Return the view of a value that has its dimensions, written with the shortest ops if there is none yet.

    Raises: CannotExpressError if no op can arrange it so.
    """
    wanted = view.spec_dims
    if view.is_plain or not wanted and view.value.shape == (1,):
        return view
    have = [axis for axes in view.axes for axis in axes]
    want = [axis for dim in wanted for axis in dim]
    if {*have} != {*want} or len(have) != len(want):
        raise CannotExpressError(f"a view of {view.value.shape} as {view.shape}, which repeats or leaves out numbers")
    shape = list(map(size_of, wanted))
    named = _named(view.axes, wanted)
    if have == want and not _same_dims(view.axes, wanted):
        value = _in_shape(view.value, shape, emit)
    elif named is not None:
        value = emit(*named, view.value, shape)
    else:
        value = _by_permute(view, wanted, emit)
    return View(value, wanted, view.dims)


def _in_shape(value: Value, shape: list[int], emit: Emit) -> Value:
    """Return a value in another shape, its numbers in the same order."""
    return emit("flatten", {}, value, shape) if len(shape) == 1 else emit("reshape", {"shape": shape}, value, shape)


def named_op(view: View) -> str | None:
    """Return the op that alone arranges a view's value as the view has it, if it has a name for that purpose."""
    found = _named(view.axes, view.spec_dims)
    return found[0] if found is not None else None


def _by_permute(view: View, wanted: Dims, emit: Emit) -> Value:
    """Rearrange with a `permute`, and a `reshape` before or behind it where factors of one axis part or meet."""
    value = view.value
    shape = list(map(size_of, wanted))
    if _same_dims(view.axes, wanted):
        left = list(range(len(view.axes)))
        order = []
        for dim in wanted:
            at = next(at for at in left if view.axes[at] == dim)
            left.remove(at)
            order.append(at)
        return emit("permute", {"order": order}, value, shape)
    want = [axis for dim in wanted for axis in dim]
    parts = _parts([axis for axes in view.axes for axis in axes], want)
    if len(parts) > MAX_AXES:
        value = _by_turns(value, parts, want, emit)
        return value if list(value.shape) == shape else _in_shape(value, shape, emit)
    sizes = list(map(size_of, parts))
    if sizes != list(value.shape):
        value = emit("reshape", {"shape": sizes}, value, sizes)
    order = sorted(range(len(parts)), key=lambda at: want.index(parts[at][0]))
    moved = [sizes[at] for at in order]
    value = emit("permute", {"order": order}, value, moved)
    return value if moved == shape else _in_shape(value, shape, emit)


def _by_turns(value: Value, parts: list[tuple[Axis, ...]], want: list[Axis], emit: Emit) -> Value:
    """Rearrange more factors than a value may have axes: one run of them after the other is moved to its place."""
    wanted = sorted(parts, key=lambda part: want.index(part[0]))
    for at, part in enumerate(wanted):
        now = parts.index(part)
        if now == at:
            continue
        end = now + 1
        while end < len(parts) and parts[end] is wanted[at + end - now]:
            end += 1
        runs = [parts[:at], parts[at:now], parts[now:end], parts[end:]]
        sizes = [prod(map(size_of, run)) for run in runs if run]
        if sizes != list(value.shape):
            value = emit("reshape", {"shape": sizes}, value, sizes)
        order = [*range(bool(at)), bool(at) + 1, int(bool(at)), *range(bool(at) + 2, len(sizes))]
        moved = [sizes[place] for place in order]
        value = emit("permute", {"order": order}, value, moved)
        parts = [*runs[0], *runs[2], *runs[1], *runs[3]]
    return value


def _same_dims(axes: Dims, wanted: Dims) -> bool:
    return len(axes) == len(wanted) and sorted(map(_ids, axes)) == sorted(map(_ids, wanted))


def _ids(dim: tuple[Axis, ...]) -> tuple[int, ...]:
    return tuple(map(id, dim))


def _parts(have: list[Axis], want: list[Axis]) -> list[tuple[Axis, ...]]:
    """Return the factors of a value in runs that stay together in the wanted order."""
    after = dict(pairwise(want))
    parts: list[list[Axis]] = []
    for axis in have:
        if parts and after.get(parts[-1][-1]) is axis:
            parts[-1].append(axis)
        else:
            parts.append([axis])
    return [tuple(part) for part in parts]


def _named(axes: Dims, wanted: Dims) -> tuple[str, dict[str, Any]] | None:
    """Return the op that rearranges axes into wanted dimensions, if one does it alone."""
    if len(axes) in (3, 4) and len(wanted) == 2 and wanted == (sum(axes[1:], ()), axes[0]):
        return "to_tokens", {}
    if len(axes) == 2 and len(wanted) == 3 and wanted[0] == axes[1] and (*wanted[1], *wanted[2]) == axes[0]:
        height, width = map(size_of, wanted[1:])
        return "to_image", {} if height == width else {"height": height}
    if len(axes) > 1 and len(axes) == len(wanted) and axes[1:] == wanted[1:]:
        channels = axes[0]
        if len(channels) == 2 and wanted[0] == channels[::-1]:
            return "channel_shuffle", {"groups": channels[0].size}
    if len(axes) == len(wanted) == 3:
        channels, rows, columns = axes
        if len(channels) == 3 and wanted == (channels[:1], (*rows, channels[1]), (*columns, channels[2])):
            if channels[1].size == channels[2].size:
                return "pixel_shuffle", {"factor": channels[1].size}
        window = _window(axes, wanted)
        if window is not None:
            return "window_partition", window
        window = _window(wanted, axes)
        if window is not None:
            place = 0 if "channels_at" in window else 1
            height, width = map(size_of, wanted[place : place + 2])
            return "window_reverse", window if height == width else {**window, "height": height}
    return None


def _window(image: Dims, windows: Dims) -> dict[str, Any] | None:
    """Return the arguments of the op that cuts an image into windows, if these are the windows."""
    for last in (True, False):
        rows, columns, channels = image if last else (image[1], image[2], image[0])
        for at in range(1, len(rows)):
            for to in range(1, len(columns)):
                if windows == ((*rows[:at], *columns[:to]), (*rows[at:], *columns[to:]), channels):
                    high, wide = (size_of(rows[at:]), size_of(columns[to:]))
                    size: Any = high if high == wide else [high, wide]
                    return {"size": size, "channels_at": "last"} if last else {"size": size}
    return None
