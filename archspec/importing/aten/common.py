"""What the rules of several families share: their table, and the ways to get at what an op reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from archspec.importing.calls import Call
from archspec.importing.layouts import CannotExpressError, View, axis_of_size, is_batch, plain, size_of
from archspec.importing.reader import Reader, Tensor
from archspec.importing.rules import Rule, registering

RULES: dict[str, Rule] = {}
"""The rule of each op, by its name without overload, and without the `_` of one that works in place."""

rule = registering(RULES)


def shape_of(tensor: Any) -> tuple[int, ...]:
    """Return the shape of a tensor as the source has it: of a weight, of a constant, or of what is computed."""
    if isinstance(tensor, Tensor):
        return tuple(tensor.fake.shape)
    return tuple(tensor.shape)


def unary(reader: Reader, x: Any, op: str, arguments: dict[str, Any] | None = None) -> View:
    """Apply an op that works element by element: its result is laid out as what it reads."""
    view = reader.view(x)
    return view.on(reader.emit(op, arguments or {}, view.value, view.value.shape))


def to_shape(reader: Reader, view: View, shape: Sequence[int]) -> View:
    """Return a view in another shape, laid out or reshaped first where its factors do not allow that."""
    try:
        return view.reshaped(shape)
    except CannotExpressError:
        pass
    view = reader.spec(view)
    try:
        return view.reshaped(shape)
    except CannotExpressError:
        # The numbers of several axes are dealt out anew: one axis first.
        batch = view.batch
        if batch != 0 or len(view.dims[0]) > 1 or shape[0] != view.shape[0]:
            raise
        sizes = [int(size) for size in shape[1:]]
        value = reader.emit("reshape", {"shape": sizes}, view.value, sizes)
        return plain(value, shape, 0, view.shape[0], samples=view.has_samples)


def unexpanded(view: View) -> View:
    """Return a view without copies along axes of size 1."""
    own = {axis for axes in view.axes for axis in axes}
    return view.with_dims(
        () if dim and all(not is_batch(axis) and axis not in own for axis in dim) else dim for dim in view.dims
    )


def unit_axis(view: View, dim: int) -> int:
    """Return the axis of size 1 that a dimension of size 1 is."""
    units = [at for at, each in enumerate(view.dims) if not each]
    axes = [at for at, each in enumerate(view.axes) if not each]
    if dim in units and units.index(dim) < len(axes):
        return axes[units.index(dim)]
    raise CannotExpressError("a part of a dimension that is none of the value's")


def axis_or_unit(view: View, dim: int) -> int:
    """Return the axis of the value that a dimension is, of size 1 or larger."""
    at = view.axis_of(dim)
    return unit_axis(view, dim) if at is None else at


def along(reader: Reader, x: Any, dim: int) -> tuple[View, int]:
    """Return a view of which a dimension is one axis, and that axis."""
    view = reader.view(x)
    dim %= len(view.dims)
    if any(is_batch(axis) for axis in view.dims[dim]):
        raise CannotExpressError("an op along the batch")
    if view.axis_of(dim) is None:
        view = reader.spec(view)
    return view, axis_or_unit(view, dim)


def op_name(reader: Reader) -> str:
    """Return the name of the op that the node calls, as in `aten.NAME.overload`."""
    return str(reader.node.target).split(".")[1]  # type: ignore[union-attr]


def as_list(value: Any) -> list[Any]:
    """Return a list, or a single value as one."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def images_side_by_side(reader: Reader, x: Any) -> View | None:
    """Return a view of several images of each sample, as heads have them: channels first, then which image it is.

    The view keeps the images in the dimension of the batch. None where the batch is alone there.
    """
    view = reader.spec(x)
    if view.batch != 0 or len(view.dims[0]) == 1 or len(view.dims) not in (3, 4):
        return None
    samples, several = view.dims[0][:1], view.dims[0][1:]
    moved = reader.spec(view.with_dims([samples, view.dims[1], several, *view.dims[2:]]))
    return moved.with_dims([(*samples, *several), moved.dims[1], *moved.dims[3:]])


def result_of_several(reader: Reader, call: Call, view: View) -> View:
    """Return the result of a layer on `images_side_by_side`, with the sizes that torch tells."""
    assert reader.node is not None
    sizes = tuple(reader.node.meta["val"].shape)[1:]
    new = tuple(map(axis_of_size, sizes))
    value = call.result([sizes[0], size_of(view.axes[1]), *sizes[1:]])
    return View(value, (new[0], view.axes[1], *new[1:]), (view.dims[0], *new))


def image(reader: Reader, x: Any) -> View:
    """Return a view of an image, channels first, with nothing but the batch in front."""
    view = reader.spec(x)
    if view.batch != 0 or len(view.dims[0]) != 1:
        raise CannotExpressError("a layer for images whose batch holds another axis")
    return view
