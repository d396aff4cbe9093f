"""Rules of ops that only rearrange numbers, or leave them as they are: views, transposes, copies."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from archspec.importing.aten.common import (
    rule,
    to_shape,
)
from archspec.importing.aten.parts import cat
from archspec.importing.layouts import Axis, Batch, View, is_batch, plain, size_of
from archspec.importing.reader import Reader


@rule("contiguous", "clone", "alias", "detach", "lift_fresh_copy", "lift_fresh", "detach_", "_to_copy", "to", "type_as")
def _same(_reader: Reader, x: Any, *_: Any, **__: Any) -> Any:
    return x


@rule("view", "reshape", "_unsafe_view", "_reshape_alias", "flatten", "unflatten", "reshape_as", "view_as")
def _reshape(reader: Reader, x: Any, *_: Any) -> View:
    assert reader.node is not None
    view, shape = reader.view(x), tuple(reader.node.meta["val"].shape)
    if not view.has_samples and prod(shape) == reader.batch * prod(view.shape) and shape[0] == reader.batch:
        shape = (1, *shape[1:])  # the source has for each sample what is the same for all
    return to_shape(reader, view, shape)


@rule("permute")
def _permute(reader: Reader, x: Any, order: Sequence[int]) -> View:
    view = reader.view(x)
    return view.permuted([at % len(view.dims) for at in order])


@rule("transpose", "swapaxes", "swapdims")
def _transpose(reader: Reader, x: Any, a: int, b: int) -> View:
    view = reader.view(x)
    order = list(range(len(view.dims)))
    order[a], order[b] = order[b], order[a]
    return view.permuted(order)


@rule("t", "numpy_T", "mT")
def _t(reader: Reader, x: Any) -> View:
    return _transpose(reader, x, -2, -1) if len(reader.view(x).dims) > 1 else reader.view(x)


@rule("movedim")
def _movedim(reader: Reader, x: Any, source: Any, destination: Any) -> View:
    view = reader.view(x)
    sources = [at % len(view.dims) for at in (source if isinstance(source, list) else [source])]
    targets = [at % len(view.dims) for at in (destination if isinstance(destination, list) else [destination])]
    rest = [at for at in range(len(view.dims)) if at not in sources]
    for source_at, target in sorted(zip(sources, targets, strict=True), key=lambda pair: pair[1]):
        rest.insert(target, source_at)
    return view.permuted(rest)


@rule("window_partition")
def _window_partition(reader: Reader, x: Any, high: int, wide: int, last: bool, together: bool) -> View:
    view = reader.spec(x)
    height, width, channels = view.value.shape if last else (*view.value.shape[1:], view.value.shape[0])
    shape = [(height // high) * (width // wide), high * wide, channels]
    value = reader.emit("window_partition", _windows(high, wide, last), view.value, shape)
    lead = (view.shape[0], shape[0]) if together else (view.shape[0] * shape[0],)
    return plain(value, (*lead, *shape[1:]), 0, view.shape[0], view.has_samples)


@rule("window_reverse")
def _window_reverse(reader: Reader, x: Any, high: int, wide: int, height: int, width: int, last: bool) -> View:
    view = reader.spec(x)
    channels = view.value.shape[-1]
    cut = [(height // high) * (width // wide), high * wide, channels]
    windows = view.value if [*view.value.shape] == cut else reader.emit("reshape", {"shape": cut}, view.value, cut)
    shape = [height, width, channels] if last else [channels, height, width]
    arguments = {**_windows(high, wide, last), **({} if height == width else {"height": height})}
    value = reader.emit("window_reverse", arguments, windows, shape)
    batch = size_of(axis for axis in view.dims[0] if is_batch(axis))
    return plain(value, (batch, *shape), 0, batch, view.has_samples)


def _windows(high: int, wide: int, last: bool) -> dict[str, Any]:
    return {"size": [high, wide], **({"channels_at": "last"} if last else {})}


@rule("unsqueeze")
def _unsqueeze(reader: Reader, x: Any, dim: int) -> View:
    return reader.view(x).unsqueezed(dim)


@rule("squeeze")
def _squeeze(reader: Reader, x: Any, dim: Any = None) -> View:
    dims = None if dim is None else dim if isinstance(dim, list) else [dim]
    return reader.view(x).squeezed(dims)


@rule("repeat", "tile")
def _repeat(reader: Reader, x: Any, counts: Sequence[int]) -> View:
    view = reader.view(x)
    for _ in range(len(counts) - len(view.dims)):
        view = view.unsqueezed(0)
    counts = [*[1] * (len(view.dims) - len(counts)), *counts]
    if not view.has_samples and counts[0] == reader.batch and view.shape[0] == 1:
        counts[0] = 1  # for each sample the same
    for dim, count in enumerate(counts):
        if count > 1:
            view = cat(reader, [view] * count, dim)
    return view


@rule("expand", "expand_as", "broadcast_to")
def _expand(reader: Reader, x: Any, *_: Any, **__: Any) -> View:
    assert reader.node is not None
    view = reader.view(x)
    shape = tuple(reader.node.meta["val"].shape)
    dims = [*[()] * (len(shape) - len(view.dims)), *view.dims]
    found = []
    for at, (dim, size) in enumerate(zip(dims, shape, strict=True)):
        if size_of(dim) == size:
            found.append(dim)
        elif at == 0 and size == reader.batch and all(is_batch(axis) for axis in dim):
            found.append((Batch(size),))
        else:
            found.append((Axis(size),))  # copies, which only broadcasting can read
    return view.with_dims(found)
