"""Rules of arithmetic between tensors and numbers, with broadcasting, and of sums and means."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import prod
from typing import Any

import torch

from archspec.importing.aten.common import (
    RULES,
    along,
    as_list,
    axis_or_unit,
    op_name,
    rule,
    to_shape,
    unary,
    unexpanded,
)
from archspec.importing.layouts import CannotExpressError, View, is_batch, plain
from archspec.importing.reader import Reader, Tensor, axis_name
from archspec.ops.fields import MAX_AXES

# Arithmetic.


def binary(reader: Reader, a: Any, b: Any, op: str, alpha: Any = 1) -> View:
    """Apply an op to two tensors, or to a tensor and a number; `alpha` is a factor of the second."""
    if isinstance(b, torch.Tensor) and b.numel() == 1:
        b = b.item()
    if isinstance(a, torch.Tensor) and a.numel() == 1:
        a = a.item()
    if alpha != 1:
        b = b * alpha if isinstance(b, (int, float)) else binary(reader, b, alpha, "multiply")
    if isinstance(a, (int, float)) or isinstance(b, (int, float)):
        view = reader.view(b if isinstance(a, (int, float)) else a)
        number: Any = a if isinstance(a, (int, float)) else b
        if not isinstance(a, (int, float)) and number == {"add": 0, "subtract": 0, "multiply": 1, "divide": 1}.get(op):
            return view
        reads: list[Any] = [number, view.value] if isinstance(a, (int, float)) else [view.value, number]
        if isinstance(a, (int, float)) and op in ("add", "multiply"):
            reads = reads[::-1]
        return view.on(reader.call(op, {}, reads).result(view.value.shape))
    left, right = unexpanded(reader.view(a)), unexpanded(reader.view(b))
    if left.arrangement() == right.arrangement() and left.value.shape == right.value.shape:
        return left.on(reader.call(op, {}, [left.value, right.value]).result(left.value.shape))
    return _broadcast(reader, left, right, op)


def _broadcast(reader: Reader, left: View, right: View, op: str) -> View:
    free = [view for view in (left, right) if not view.has_samples]
    if len(free) == 1:
        other = right if free[0] is left else left
        aligned = _aligned(reader, free[0], other)
        if aligned is not None:
            values = [aligned if free[0] is left else left.value, aligned if free[0] is right else right.value]
            return other.on(reader.call(op, {}, values).result(other.value.shape))
    if len(free) == 2:
        return _of_free(reader, left, right, op)
    if max(len(left.dims), len(right.dims)) > MAX_AXES + 1:
        return _of_many_axes(reader, left, right, op)
    # A rank that is missing is an axis of size 1 in front.
    rank = max(len(left.dims), len(right.dims))
    if not free and len(left.dims) != len(right.dims):
        raise CannotExpressError("an operand whose batch meets another axis")
    if free:
        left, right = (_stripped(view, rank) if view in free else view for view in (left, right))
    left, right = reader.spec(left), reader.spec(right)
    values = [left.value, right.value]
    like = left if left.has_samples or not right.has_samples else right
    arguments: dict[str, Any] = {}
    shapes = left.value.shape, right.value.shape
    if not free and shapes[0] != shapes[1] and (op != "multiply" or tuple(map(max, *shapes)) not in shapes):
        arguments["broadcast"] = True
    return reader.result(reader.call(op, arguments, values), like)


def _of_many_axes(reader: Reader, left: View, right: View, op: str) -> View:
    """Apply an op to views of more dimensions than a value may have axes: those that stretch alike are one."""
    rank = max(len(left.dims), len(right.dims))
    left, right = (view.with_dims([*[()] * (rank - len(view.dims)), *view.dims]) for view in (left, right))
    sizes = list(zip(left.shape, right.shape, strict=True))
    kinds = [(one == both, other == both) for one, other in sizes for both in [max(one, other)]]
    runs = [[at for at, _ in run] for _, run in groupby(enumerate(kinds), key=lambda entry: (not entry[0], entry[1]))]
    if len(runs) > MAX_AXES + 1:
        raise CannotExpressError("operands that stretch along many axes in turns")
    one, other = (
        to_shape(reader, view, [prod(view.shape[at] for at in run) for run in runs]) for view in (left, right)
    )
    return to_shape(reader, _broadcast(reader, one, other, op), [max(pair) for pair in sizes])


def _of_free(reader: Reader, left: View, right: View, op: str) -> View:
    """Apply an op to two free tensors, of which one is stretched, or both."""
    shape = tuple(torch.broadcast_shapes(left.shape, right.shape))  # type: ignore[no-untyped-call]
    batched = left.batch == 0 and len(left.dims) == len(shape) or right.batch == 0 and len(right.dims) == len(shape)
    if batched:
        left, right = (view if view.batch == 0 else _stripped(view, len(shape)) for view in (left, right))
    values = [reader.spec(view).value for view in (left, right)]
    own = shape[1:] if batched else shape
    stretched = op != "multiply" and own not in (value.shape for value in values)
    call = reader.call(op, {"broadcast": True} if stretched else {}, values)
    return plain(call.result(own), shape, 0 if batched else None, 1)


def _aligned(reader: Reader, free: View, other: View) -> Any:
    """Return a free tensor laid out as the value of a view of the same arrangement, if that fits without copies."""
    if not other.is_plain and len(free.axes) == 1 and sum(1 for dim in free.dims if dim and not is_batch(dim[0])) == 1:
        # one number for each step along one axis
        offset = len(other.dims) - len(free.dims)
        dim = next(at for at, each in enumerate(free.dims) if each and not is_batch(each[0])) + offset
        at = other.axis_of(dim) if dim >= 0 else None
        if at is not None and other.value.shape[at] == free.value.shape[0]:
            behind = len(other.axes) - 1 - at
            if not behind:
                return free.value
            shape = [free.value.shape[0], *[1] * behind]
            return reader.emit("reshape", {"shape": shape}, free.value, shape)
    return None


def _stripped(view: View, rank: int) -> View:
    """Return a free tensor without dimensions of size 1 in front that stand for the batch."""
    dims = list(view.dims)
    while len(dims) > rank - 1 and view.shape[len(view.dims) - len(dims)] == 1:
        dims.pop(0)
    if len(dims) > rank - 1:
        raise CannotExpressError("a free tensor with a number for each sample")
    return view.with_dims(dims)


for _name, _op in (
    ("mul", "multiply"),
    ("multiply", "multiply"),
    ("maximum", "maximum"),
    ("minimum", "minimum"),
):
    RULES[_name] = lambda reader, a, b, op=_op: binary(reader, a, b, op)


@rule("div", "divide", "true_divide")
def _div(reader: Reader, a: Any, b: Any, **options: Any) -> View:
    if options.get("rounding_mode"):
        raise CannotExpressError("a division that rounds")
    return binary(reader, a, b, "divide")


@rule("add", "add_")
def _add(reader: Reader, a: Any, b: Any, alpha: Any = 1) -> View:
    return binary(reader, a, b, "add", alpha)


@rule("sub", "subtract")
def _sub(reader: Reader, a: Any, b: Any, alpha: Any = 1) -> View:
    return binary(reader, a, b, "subtract", alpha)


@rule("addcmul")
def _addcmul(reader: Reader, x: Any, a: Any, b: Any, *, value: Any = 1) -> View:
    return binary(reader, x, binary(reader, a, b, "multiply"), "add", value)


@rule("rsub")
def _rsub(reader: Reader, a: Any, b: Any, alpha: Any = 1) -> View:
    return binary(reader, b, a, "subtract", alpha)


@rule("pow")
def _pow(reader: Reader, x: Any, exponent: Any) -> View:
    if not isinstance(exponent, (int, float)):
        raise CannotExpressError("a power of tensors")
    return unary(reader, x, "square") if exponent == 2 else unary(reader, x, "pow", {"exponent": exponent})


# Sums and means.


@rule("mean", "sum", "amax")
def _reduce(reader: Reader, x: Any, dims: Any = None, keep: bool = False, **_: Any) -> View:
    op = {"mean": "mean", "sum": "sum", "amax": "max"}[op_name(reader)]
    if dims is None:
        raise CannotExpressError("a reduction of the batch")
    return _reduced(reader, reader.view(x), op, as_list(dims), keep)


@rule("var")
def _var(reader: Reader, x: Any, dims: Any = None, unbiased: Any = None, keep: bool = False, **options: Any) -> View:
    """Write a variance as the mean of the squares of the differences from the mean."""
    keep = options.get("keepdim", keep)
    correction = options.get("correction", 1 if unbiased is None else int(unbiased))
    if dims is None:
        raise CannotExpressError("a reduction of the batch")
    view = reader.view(x)
    centre = _reduced(reader, view, "mean", as_list(dims), keep=True)
    apart = unary(reader, binary(reader, view, centre, "subtract"), "square")
    count = prod(view.shape[dim] for dim in as_list(dims))
    found = _reduced(reader, apart, "mean", as_list(dims), keep)
    return binary(reader, found, count / (count - correction), "multiply") if correction else found


def _reduced(reader: Reader, view: View, op: str, dims: Sequence[int], keep: bool) -> View:
    """Reduce dimensions, each of which is one axis of the value, to size 1 or to none."""
    wanted = [dim % len(view.dims) for dim in dims]
    wanted = [dim for dim in wanted if view.dims[dim]] or wanted
    if any(is_batch(axis) for dim in wanted for axis in view.dims[dim]):
        raise CannotExpressError("a reduction of the batch")
    if any(view.axis_of(dim) is None for dim in wanted):
        view = reader.spec(view)
    if len(wanted) == 1 and isinstance(_axis(axis_or_unit(view, wanted[0]), len(view.axes)), int):
        return _reduced_at_the_end(reader, view, op, wanted[0], keep)
    reduced = {axis_or_unit(view, dim) for dim in wanted}
    rank = len(view.axes)
    shape = [1 if at in reduced else size for at, size in enumerate(view.value.shape)]
    if op == "mean" and rank in (3, 4) and reduced == set(range(1, rank)):
        value = reader.emit("global_avg_pool", {}, view.value, shape)
    else:
        names = [_axis(at, rank) for at in sorted(reduced)]
        arguments: dict[str, Any] = {"axes": names if len(names) > 1 else names[0]}
        if not keep and len(reduced) < rank:
            shape = [size for at, size in enumerate(view.value.shape) if at not in reduced]
            axes = tuple(each for at, each in enumerate(view.axes) if at not in reduced)
            left = tuple(dim for at, dim in enumerate(view.dims) if at not in wanted)
            return View(reader.emit(op, arguments, view.value, shape), axes, left)
        value = reader.emit(op, {**arguments, "keep": True}, view.value, shape)
    found = View(
        value,
        tuple(() if at in reduced else each for at, each in enumerate(view.axes)),
        tuple(() if at in wanted else each for at, each in enumerate(view.dims)),
    )
    return found if keep else found.squeezed(wanted)


def _reduced_at_the_end(reader: Reader, view: View, op: str, dim: int, keep: bool) -> View:
    """Reduce an axis that has no name: as the last one, which has."""
    others = [at for at in range(len(view.dims)) if at != dim]
    moved = reader.spec(view.permuted([*others, dim]))
    found = _reduced(reader, moved, op, [len(others)], keep=False)
    return found.unsqueezed(dim) if keep else found


def _axis(at: int, rank: int) -> str | int:
    try:
        return axis_name(at, rank)
    except CannotExpressError:
        return at


@rule("max", "min")
def _max(reader: Reader, x: Any, dim: Any = None, keep: bool = False) -> Any:
    if isinstance(dim, (View, Tensor)):
        return binary(reader, x, dim, "maximum" if op_name(reader) == "max" else "minimum")
    if dim is None or op_name(reader) == "min":
        raise CannotExpressError("a reduction of everything")
    found = _reduced(reader, reader.view(x), "max", [dim], keep=True)
    return [found if keep else found.squeezed([dim]), None]


@rule("normalize")
def _normalize(reader: Reader, x: Any, dim: int, eps: float) -> View:
    view, at = along(reader, x, dim)
    return unary(reader, view, "normalize", {"axis": axis_name(at, len(view.axes)), "eps": eps})


@rule("linalg_vector_norm")
def _vector_norm(reader: Reader, x: Any, order: float = 2, dims: Any = None, keep: bool = False, **_: Any) -> View:
    if order != 2 or dims is None:
        raise CannotExpressError(f"a norm of order {order} over everything")
    total = _reduced(reader, unary(reader, x, "square"), "sum", as_list(dims), keep=True)
    root = unary(reader, total, "sqrt")
    return root if keep else root.squeezed(as_list(dims))
