"""Rules of ops that take tensors apart, join them, move their numbers along axes, or pad them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

import torch

from archspec.importing.aten.common import (
    RULES,
    along,
    rule,
    to_shape,
    unexpanded,
    unit_axis,
)
from archspec.importing.constants import SPELLED_OUT
from archspec.importing.layouts import Axis, CannotExpressError, View, axis_of_size, is_batch, size_of
from archspec.importing.reader import Reader, axis_name

EMPTY: Any = object()
"""A slice of no size: what joins it leaves it out."""


def _part(reader: Reader, view: View, dim: int, op: str, arguments: dict[str, Any], sizes: list[int]) -> list[View]:
    """Cut a dimension into pieces of sizes, with an op that takes the axis; each piece is a view."""
    dim %= len(view.dims)
    if any(is_batch(axis) for axis in view.dims[dim]):
        raise CannotExpressError("parts of the batch")
    at = view.outermost_of(dim)
    if at is None and view.dims[dim]:
        view = reader.spec(view)
        at = view.outermost_of(dim)
    if at is None:
        at = unit_axis(view, dim)
    count = len(view.dims[dim])
    inner = view.axes[at][count:]
    inside = size_of(inner)
    try:
        name = axis_name(at, len(view.axes))
    except CannotExpressError:
        order = [dim, *(each for each in range(len(view.dims)) if each != dim)]
        back = [order.index(each) for each in range(len(order))]
        moved = reader.spec(view.permuted(order))
        return [piece.permuted(back) for piece in _part(reader, moved, 0, op, arguments, sizes)]
    given = dict(arguments)
    if op == "split" and len(set(sizes)) == 1:
        given["parts"] = len(sizes)
    elif op == "split":
        given["sizes"] = [size * inside for size in sizes]
    else:
        given = {key: value * inside for key, value in arguments.items()}
    call = reader.call(op, {**given, "axis": name}, [view.value])
    found = []
    for size in sizes:
        new = axis_of_size(size)
        shape = list(view.value.shape)
        shape[at] = size * inside
        axes = tuple((*new, *inner) if number == at else each for number, each in enumerate(view.axes))
        dims = tuple(new if number == dim else each for number, each in enumerate(view.dims))
        found.append(View(call.result(shape), axes, dims))
    return found


@rule("split", "split_with_sizes", "chunk", "tensor_split")
def _split(reader: Reader, x: Any, *_: Any, **options: Any) -> list[View]:
    assert reader.node is not None
    view = reader.view(x)
    dim = _dim_of(reader, options)
    sizes = [tensor.shape[dim] for tensor in reader.node.meta["val"]]
    return [view] if len(sizes) == 1 else _part(reader, view, dim, "split", {}, sizes)


def _dim_of(reader: Reader, options: dict[str, Any]) -> int:
    assert reader.node is not None
    arguments = reader.node.args
    return int(options.get("dim", arguments[2] if len(arguments) > 2 else 0))  # type: ignore[arg-type]


@rule("unbind")
def _unbind(reader: Reader, x: Any, dim: int = 0) -> list[View]:
    view = reader.view(x)
    dim %= len(view.dims)
    pieces = _part(reader, view, dim, "split", {}, [1] * view.shape[dim]) if view.shape[dim] > 1 else [view]
    return [piece.with_dims(each for at, each in enumerate(piece.dims) if at != dim) for piece in pieces]


@rule("select")
def _select(reader: Reader, x: Any, dim: int, index: int) -> View:
    view = reader.view(x)
    dim %= len(view.dims)
    size = view.shape[dim]
    index %= size
    if _selects_all(reader, size):
        key = (reader.node.args[0], dim)  # type: ignore[union-attr]
        if key not in reader.halves:
            reader.halves[key] = _part(reader, view, dim, "split", {}, [1] * size)
        piece = reader.halves[key][index]
    elif size == 1:
        piece = view
    else:
        start = {"start": index, "stop": index + 1} if index + 1 < size else {"start": index}
        piece = _part(reader, view, dim, "slice", start, [1])[0]
    return piece.with_dims(each for at, each in enumerate(piece.dims) if at != dim)


def _selects_all(reader: Reader, size: int) -> bool:
    """Return whether the source is selected from at every place of the dimension, by as many nodes."""
    assert reader.node is not None
    source = reader.node.args[0]
    places = {
        int(user.args[2]) % size  # type: ignore[arg-type]
        for user in source.users  # type: ignore[union-attr]
        if user.target == reader.node.target and int(user.args[1]) == int(reader.node.args[1])  # type: ignore[arg-type]
    }
    return size > 1 and places == set(range(size))


@rule("slice")
def slice_of(reader: Reader, x: Any, dim: int = 0, start: Any = None, stop: Any = None, step: int = 1) -> Any:
    """Write a part of a dimension, or every `step`th place of it; `EMPTY` for none."""
    view = reader.view(x)
    dim %= len(view.dims)
    size = view.shape[dim]
    first = 0 if start is None else min(size, start + size if start < 0 else start)
    last = size if stop is None else min(size, stop + size if stop < 0 else stop)
    if step == 1 and first == 0 and last == size:
        return view
    if first >= last:
        return EMPTY
    if step != 1:
        if size % step or first >= step or last <= size - step + first:
            return rows_at(reader, view, dim, list(range(first, last, step)))
        shape = view.shape
        folded = to_shape(reader, view, (*shape[:dim], size // step, step, *shape[dim + 1 :]))
        order = [dim + 1, *(at for at in range(len(folded.dims)) if at != dim + 1)]
        moved = folded.permuted(order)
        if not _slices_again(reader, step):
            only = _part(reader, reader.spec(moved), 0, "slice", {"start": first, "stop": first + 1}, [1])[0]
            return only.squeezed([0])
        key: Any = (view, dim, step)
        if key not in reader.halves:
            reader.halves[key] = _part(reader, reader.spec(moved), 0, "split", {}, [1] * step)
        found: View = reader.halves[key][first].squeezed([0])
        return found
    arguments = {"start": first, **({"stop": last} if last < size else {})}
    return _part(reader, view, dim, "slice", arguments, [last - first])[0]


def rows_at(reader: Reader, view: View, dim: int, places: Sequence[int]) -> View:
    """Return what stands at places along a dimension."""
    view, at = along(reader, view, dim)
    where = reader.view(torch.tensor(places))
    shape = [*view.value.shape[:at], len(places), *view.value.shape[at + 1 :]]
    value = reader.call("gather", {"axis": at}, [view.value, where.value]).result(shape)
    new = axis_of_size(len(places))
    axes = (*view.axes[:at], new, *view.axes[at + 1 :])
    return View(value, axes, (*view.dims[:dim], new, *view.dims[dim + 1 :]))


@rule("repeat_interleave")
def _repeat_interleave(reader: Reader, x: Any, count: Any, dim: int | None = None, **_: Any) -> View:
    view = reader.view(x)
    if not isinstance(count, int) or dim is None:
        raise CannotExpressError("copies whose number depends on a tensor")
    dim %= len(view.dims)
    if dim != view.batch and view.shape[dim] * count <= SPELLED_OUT:
        return rows_at(reader, view, dim, [place for place in range(view.shape[dim]) for _ in range(count)])
    new = Axis(count)  # copies, which only broadcasting can read
    return view.with_dims((*view.dims[:dim], (*view.dims[dim], new), *view.dims[dim + 1 :]))


@rule("unfold")
def _unfold(reader: Reader, x: Any, dim: int, size: int, step: int) -> View:
    """Write windows along a dimension, that may overlap, as rows found by an index."""
    view = reader.view(x)
    dim %= len(view.dims)
    count = (view.shape[dim] - size) // step + 1
    found = rows_at(reader, view, dim, [step * window + place for window in range(count) for place in range(size)])
    cut = found.reshaped((*view.shape[:dim], count, size, *view.shape[dim + 1 :]))
    return cut.permuted([*(at for at in range(len(cut.dims)) if at != dim + 1), dim + 1])


def _slices_again(reader: Reader, step: int) -> bool:
    """Return whether the source is sliced with the same steps, from another start."""
    assert reader.node is not None
    source: Any = reader.node.args[0]
    others = [user for user in source.users if user.target == reader.node.target and len(user.args) > 4]
    return any(user is not reader.node and user.args[4] == step for user in others)


@rule("narrow")
def _narrow(reader: Reader, x: Any, dim: int, start: int, length: int) -> Any:
    return slice_of(reader, x, dim, start, start + length)


@rule("cat", "concat")
def cat(reader: Reader, tensors: Sequence[Any], dim: int = 0) -> View:
    """Write tensors side by side."""
    assert reader.node is not None
    views = [reader.view(tensor) for tensor in tensors if tensor is not EMPTY]
    if len(views) == 1:
        return views[0]
    dim %= len(views[0].dims)
    alike = all(_same_but(view, views[0], dim) for view in views)
    if not alike or views[0].axis_of(dim) is None:
        views = [reader.spec(unexpanded(view)) for view in views]
    first = next((view for view in views if view.has_samples), views[0])
    at = first.axis_of(dim) if first.dims[dim] else None
    if at is None:
        at = sum(1 for each in range(dim) if each != first.batch)
    name = axis_name(at, len(first.axes))
    size = sum(view.value.shape[at] for view in views)
    shape = list(first.value.shape)
    shape[at] = size
    value = reader.call("concat", {"axis": name}, [view.value for view in views]).result(shape)
    new = (Axis(size),)
    axes = tuple(new if number == at else each for number, each in enumerate(first.axes))
    dims = tuple(new if number == dim else each for number, each in enumerate(first.dims))
    return View(value, axes, dims)


def _same_but(view: View, other: View, dim: int) -> bool:
    if len(view.dims) != len(other.dims) or view.axis_of(dim) != other.axis_of(dim):
        return False
    mine, theirs = list(view.arrangement()), list(other.arrangement())
    del mine[dim], theirs[dim]
    return mine == theirs and len(view.axes) == len(other.axes)


@rule("stack")
def _stack(reader: Reader, tensors: Sequence[Any], dim: int = 0) -> View:
    views = [reader.spec(tensor).unsqueezed(dim) for tensor in tensors]
    return cat(reader, [reader.spec(view) for view in views], dim)


@rule("roll")
def _roll(reader: Reader, x: Any, shifts: Any, dims: Any = ()) -> View:
    view = reader.view(x)
    shifts = shifts if isinstance(shifts, list) else [shifts]
    dims = [dim % len(view.dims) for dim in (dims if isinstance(dims, list) else [dims])]
    if any(view.axis_of(dim) is None for dim in dims):
        view = reader.spec(view)
    axes = [view.axis_of(dim) for dim in dims]
    moved = [(shift, at) for shift, at in zip(shifts, axes, strict=True) if at is not None]
    if not moved:
        return view
    arguments = {"shifts": [shift for shift, _ in moved], "axes": [at for _, at in moved]}
    return view.on(reader.emit("roll", arguments, view.value, view.value.shape))


def _are_spatial(view: View, places: Iterable[int | None]) -> bool:
    """Return whether axes of a value are spatial ones, which `pad` takes."""
    return len(view.axes) in (2, 3, 4) and all(place for place in places)


@rule("constant_pad_nd", "pad")
def _pad(reader: Reader, x: Any, amounts: Sequence[int], *rest: Any) -> View:
    mode, value = "constant", 0.0
    for each in rest:
        mode, value = (each, value) if isinstance(each, str) else (mode, float(each or 0.0))
    if not any(amounts):
        return reader.view(x)
    view = reader.view(x)
    pairs = [list(pair) for pair in zip(amounts[::2], amounts[1::2], strict=True)]
    padded = {len(view.dims) - 1 - number: pair for number, pair in enumerate(pairs) if any(pair)}
    at = {view.axis_of(dim): pair for dim, pair in padded.items()}
    if not _are_spatial(view, at):
        view = reader.spec(view)
        at = {view.axis_of(dim): pair for dim, pair in padded.items()}
    if not _are_spatial(view, at):
        # The padded dimensions last, all others in front, as one.
        batch = view.batch
        others = [dim for dim in range(len(view.dims)) if dim not in padded and dim != batch]
        if not others:
            raise CannotExpressError("padding of an axis that is not spatial")
        order = [*([batch] if batch is not None else []), *others, *sorted(padded)]
        back = [order.index(dim) for dim in range(len(order))]
        if len(others) == 1:
            view = reader.spec(view.permuted(order)).permuted(back)
            at = {view.axis_of(dim): pair for dim, pair in padded.items()}
        else:
            moved = view.permuted(order)
            sizes = [view.shape[dim] for dim in others]
            start = len(order) - len(padded) - len(others)
            folded = to_shape(reader, moved, (*moved.shape[:start], prod(sizes), *moved.shape[start + len(others) :]))
            given = [number for dim in sorted(padded, reverse=True) for number in padded[dim]]
            found = _pad(reader, folded, given, *rest)
            return found.reshaped((*found.shape[:start], *sizes, *found.shape[start + 1 :])).permuted(back)
    arguments: dict[str, Any]
    spatial = [at.get(number, [0, 0]) for number in range(1, len(view.axes))]
    if any(min(pair) < 0 for pair in spatial) and any(max(pair) > 0 for pair in spatial):
        smaller = _pad(reader, view, [min(0, a) for a in amounts])
        return _pad(reader, smaller, [max(0, a) for a in amounts], *rest)
    if any(min(pair) < 0 for pair in spatial):
        op, arguments = "crop", {"amount": [[-a, -b] for a, b in spatial]}
    else:
        op, arguments = "pad", {"padding": spatial if any(a != b for a, b in spatial) else [a for a, _ in spatial]}
        if mode != "constant":
            arguments["mode"] = mode
        elif value:
            arguments["value"] = value
    shape = [view.value.shape[0], *(s + sum(p) for s, p in zip(view.value.shape[1:], spatial, strict=True))]
    values = reader.emit(op, arguments, view.value, shape)
    fresh = tuple(
        (Axis(size),) if number in at else axes
        for number, (axes, size) in enumerate(zip(view.axes, shape, strict=True))
    )
    swap = {view.axes[number]: fresh[number] for number in at if number is not None}
    return View(values, fresh, tuple(swap.get(dim, dim) for dim in view.dims))


for _mode in ("reflection", "replication", "circular"):
    for _rank in (1, 2, 3):
        _word = {"reflection": "reflect", "replication": "replicate"}.get(_mode, _mode)
        RULES[f"{_mode}_pad{_rank}d"] = lambda reader, x, amounts, mode=_word: _pad(reader, x, amounts, mode)
