"""Rules of tables that are read by an index, and of tensors that are made or written over."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import Any

import torch

from archspec.importing.aten.arithmetic import binary
from archspec.importing.aten.common import (
    op_name,
    rule,
)
from archspec.importing.aten.parts import cat, rows_at, slice_of
from archspec.importing.layouts import Axis, CannotExpressError, View, is_batch, plain
from archspec.importing.reader import MAX_BUFFER, Reader


@rule("index")
def _index(reader: Reader, x: Any, indices: Sequence[Any]) -> View:
    given = [(at, each) for at, each in enumerate(indices) if each is not None]
    if len(given) != 1:
        raise CannotExpressError("an index along several axes")
    dim, index = given[0]
    numbers = reader.constant(index)
    if numbers is None or numbers.dtype is torch.bool:
        raise CannotExpressError("an index that depends on the input")
    view = _without_unit_batch(reader.spec(x), dim)
    if any(is_batch(axis) for axis in view.dims[dim]):
        raise CannotExpressError("an index along the batch")
    at = view.axis_of(dim)
    if at is None:
        raise CannotExpressError("an index along a part of an axis")
    if numbers.numel() > MAX_BUFFER:
        return _gather_by_axes(reader, view, dim, at, numbers)
    where = reader.view(reader.stored(index, numbers))
    shape = [*view.value.shape[:at], *where.value.shape, *view.value.shape[at + 1 :]]
    call = reader.call("gather", {"axis": at}, [view.value, where.value])
    torch_shape = (*view.shape[:dim], *where.value.shape, *view.shape[dim + 1 :])
    size = reader.batch if view.has_samples else 1
    found = plain(call.result(shape), torch_shape, view.batch, size, samples=view.has_samples)
    return found.reshaped((*view.shape[:dim], *numbers.shape, *view.shape[dim + 1 :]))


def _gather_by_axes(reader: Reader, view: View, dim: int, at: int, numbers: torch.Tensor) -> View:
    """Read a table by row and by column, where an index over pairs of positions of an image is too large to write.

    So one bias for each way in which two positions lie to each other is found by how far apart they are in height, and
    then by how far apart in width.
    """
    found = _rows_and_columns(numbers, view.value.shape[at])
    if found is None:
        bordered = _gather_with_borders(reader, view, dim, at, numbers)
        if bordered is not None:
            return bordered
        raise CannotExpressError(f"an index of {numbers.numel():,} numbers, of which a list has {MAX_BUFFER:,}")
    rows, columns, width = found
    value, shape = view.value, list(view.value.shape)
    before, after = shape[:at], shape[at + 1 :]
    sizes = [*before, shape[at] // width, width, *after]
    value = reader.emit("reshape", {"shape": sizes}, value, sizes)
    for number, index in enumerate((rows, columns)):
        where = reader.view(index.flatten())
        sizes = list(value.shape)
        sizes[at + number] = index.numel()
        value = reader.call("gather", {"axis": at + number}, [value, where.value]).result(sizes)
    high, wide = rows.shape[0], columns.shape[0]
    factors = tuple(Axis(size) for size in (high, high, wide, wide))
    axes = (*view.axes[:at], factors[:2], factors[2:], *view.axes[at + 1 :])
    pair = ((factors[0], factors[2]), (factors[1], factors[3]))
    dims = (*view.dims[:dim], *pair, *view.dims[dim + 1 :])
    return View(value, axes, dims).reshaped((*view.shape[:dim], *numbers.shape, *view.shape[dim + 1 :]))


def _gather_with_borders(reader: Reader, view: View, dim: int, at: int, numbers: torch.Tensor) -> View | None:
    """Read a table as `_gather_by_axes` does where a class token stands before the positions of the image."""
    count = isqrt(numbers.numel())
    if count * count != numbers.numel():
        return None
    pairs = numbers.reshape(count, count)
    inside = int(pairs[1:, 1:].max()) + 1  # the table has rows of its own for the class token
    if _rows_and_columns(pairs[1:, 1:], inside) is None:
        return None

    def found(part: torch.Tensor) -> View:
        rows = rows_at(reader, view, dim, part.flatten().tolist())
        return rows.reshaped((*view.shape[:dim], *part.shape, *view.shape[dim + 1 :]))

    table = slice_of(reader, view, dim, 0, inside)
    inner = _gather_by_axes(reader, table, dim, at, pairs[1:, 1:])
    below = cat(reader, [found(pairs[1:, :1]), inner], dim + 1)
    whole = cat(reader, [found(pairs[:1]), below], dim)
    return whole.reshaped((*view.shape[:dim], *numbers.shape, *view.shape[dim + 1 :]))


def _rows_and_columns(numbers: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor, int] | None:
    """Return an index over pairs of positions as one over pairs of rows, one over pairs of columns, and the width."""
    count = isqrt(numbers.numel())
    if count * count != numbers.numel():
        return None
    for high in (each for each in range(2, count) if count % each == 0):
        wide = count // high
        pairs = numbers.reshape(high, wide, high, wide).permute(0, 2, 1, 3)
        for width in (each for each in range(1, size + 1) if size % each == 0):
            rows, columns = pairs // width, pairs % width
            if bool((rows == rows[:, :, :1, :1]).all()) and bool((columns == columns[:1, :1]).all()):
                return rows[:, :, 0, 0], columns[0, 0], width
    return None


def _without_unit_batch(view: View, dim: int) -> View:
    """Return a view of what has no batch without the 1 that stands for it in a dimension of other factors."""
    rest = tuple(axis for axis in view.dims[dim] if not is_batch(axis))
    if view.has_samples or not rest:
        return view
    return view.with_dims(rest if at == dim else each for at, each in enumerate(view.dims))


@rule("zero")
def _zero(reader: Reader, x: Any) -> None:
    """Set a part of a copy to zero: what reads the copy from here on reads it multiplied by zeros and ones."""
    node = reader.node
    assert node is not None
    parts: list[Any] = []
    base: Any = node.args[0]
    while str(base.target).startswith(("aten.slice.", "aten.select.")):
        parts.append(base)
        base = base.args[0]
    alone = all(len(part.users) == 1 for part in parts) and not node.users
    if not parts or not alone or not str(base.target).startswith("aten.clone.") or next(iter(base.users)) != parts[-1]:
        raise CannotExpressError("numbers that are written over")
    kept = torch.ones(tuple(base.meta["val"].shape), dtype=base.meta["val"].dtype)
    left = kept
    for part in reversed(parts):
        left = part.target(left, *part.args[1:], **part.kwargs)
    left.zero_()
    reader.values[base] = binary(reader, reader.values[base], kept, "multiply")


@rule("copy")
def _copy(reader: Reader, x: Any, source: Any, *_: Any) -> View:
    """Write over a part of a tensor: what reads it from here on reads its other parts and the new one side by side."""
    node = reader.node
    assert node is not None
    parts: list[Any] = []
    base: Any = node.args[0]
    while str(base.target).startswith("aten.slice."):
        parts.append(base)
        base = base.args[0]
    if any(len(part.args) > 4 for part in parts) or not isinstance(reader.values.get(base), View):
        raise CannotExpressError("numbers that are written over")

    def written(old: View, slices: Sequence[Any]) -> View:
        if not slices:
            return reader.view(source)
        _, dim, start, stop = (*slices[0].args, None)[:4]
        dim %= len(old.dims)
        size = old.shape[dim]
        first = min(size, start + size if start < 0 else start)
        last = size if stop is None else min(size, stop + size if stop < 0 else stop)
        middle = written(slice_of(reader, old, dim, first, last), slices[1:])
        pieces = [slice_of(reader, old, dim, 0, first)] if first else []
        pieces += [middle, *([slice_of(reader, old, dim, last, size)] if last < size else [])]
        return cat(reader, pieces, dim) if len(pieces) > 1 else middle

    reader.values[base] = written(reader.view(reader.values[base]), parts[::-1])
    return reader.view(source)


@rule("index_select")
def _index_select(reader: Reader, x: Any, dim: int, index: Any) -> View:
    return _index(reader, x, [*[None] * (dim % len(reader.view(x).dims)), index])


@rule("new_zeros", "zeros_like", "new_ones", "ones_like", "new_full", "full_like", "new_empty", "empty_like")
def _filled(reader: Reader, x: Any, *given: Any, **_: Any) -> torch.Tensor:
    assert reader.node is not None
    fake = reader.node.meta["val"]
    name = op_name(reader)
    value = given[-1] if "full" in name else 1 if "ones" in name else 0
    return torch.full(tuple(fake.shape), value, dtype=fake.dtype)


@rule("_assert_tensor_metadata", "_assert_async", "_assert_scalar", "sym_constrain_range_for_size")
def _nothing(_reader: Reader, *_: Any, **__: Any) -> None:
    return None
