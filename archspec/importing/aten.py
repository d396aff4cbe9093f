"""What each op of ATen is in archspec: one rule an op, in `RULES`.

A rule gets the reader and the arguments of the call. Tensors come as views, parameters and buffers as `Tensor`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import isqrt, prod
from typing import Any

import torch

from archspec.importing.layouts import Axis, Batch, CannotExpressError, View, is_batch, plain, size_of
from archspec.importing.reader import MAX_BUFFER, Reader, Tensor, axis_name
from archspec.importing.rules import Rule, registering
from archspec.shapes import same_padding

RULES: dict[str, Rule] = {}
"""The rule of each op, by its name without overload, and without the `_` of one that works in place."""

rule = registering(RULES)


def _unary(reader: Reader, x: Any, op: str, arguments: dict[str, Any] | None = None) -> View:
    """Apply an op that works element by element: its result is laid out as what it reads."""
    view = reader.view(x)
    return view.on(reader.emit(op, arguments or {}, view.value, view.value.shape))


# Arranging.


@rule("contiguous", "clone", "alias", "detach", "lift_fresh_copy", "lift_fresh", "detach_", "_to_copy", "to", "type_as")
def _same(_reader: Reader, x: Any, *_: Any, **__: Any) -> Any:
    return x


@rule("view", "reshape", "_unsafe_view", "_reshape_alias", "flatten", "unflatten", "reshape_as", "view_as")
def _reshape(reader: Reader, x: Any, *_: Any) -> View:
    assert reader.node is not None
    return _to_shape(reader, reader.view(x), tuple(reader.node.meta["val"].shape))


def _to_shape(reader: Reader, view: View, shape: Sequence[int]) -> View:
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
        return plain(value, shape, 0, view.shape[0])


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


@rule("unsqueeze")
def _unsqueeze(reader: Reader, x: Any, dim: int) -> View:
    return reader.view(x).unsqueezed(dim)


@rule("squeeze")
def _squeeze(reader: Reader, x: Any, dim: Any = None) -> View:
    dims = None if dim is None else dim if isinstance(dim, list) else [dim]
    return reader.view(x).squeezed(dims)


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


def _unexpanded(view: View) -> View:
    """Return a view without copies along axes of size 1."""
    own = {axis for axes in view.axes for axis in axes}
    return view.with_dims(
        () if dim and all(not is_batch(axis) and axis not in own for axis in dim) else dim for dim in view.dims
    )


# Parts.


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
        at = _unit_axis(view, dim)
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
        new: tuple[Axis, ...] = (Axis(size),) if size > 1 else ()
        shape = list(view.value.shape)
        shape[at] = size * inside
        axes = tuple((*new, *inner) if number == at else each for number, each in enumerate(view.axes))
        dims = tuple(new if number == dim else each for number, each in enumerate(view.dims))
        found.append(View(call.result(shape), axes, dims))
    return found


def _unit_axis(view: View, dim: int) -> int:
    """Return the axis of size 1 that a dimension of size 1 is."""
    units = [at for at, each in enumerate(view.dims) if not each]
    axes = [at for at, each in enumerate(view.axes) if not each]
    if dim in units and units.index(dim) < len(axes):
        return axes[units.index(dim)]
    raise CannotExpressError("a part of a dimension that is none of the value's")


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
def _slice(reader: Reader, x: Any, dim: int = 0, start: Any = None, stop: Any = None, step: int = 1) -> View:
    view = reader.view(x)
    dim %= len(view.dims)
    size = view.shape[dim]
    first = 0 if start is None else min(size, start + size if start < 0 else start)
    last = size if stop is None else min(size, stop + size if stop < 0 else stop)
    if step == 1 and first == 0 and last == size:
        return view
    if step != 1:
        if size % step or first >= step or last <= size - step + first:
            raise CannotExpressError(f"every {step}th of {size}")
        shape = view.shape
        folded = _to_shape(reader, view, (*shape[:dim], size // step, step, *shape[dim + 1 :]))
        order = [dim + 1, *(at for at in range(len(folded.dims)) if at != dim + 1)]
        moved = folded.permuted(order)
        key: Any = (view, dim, step)
        if key not in reader.halves:
            reader.halves[key] = _part(reader, reader.spec(moved), 0, "split", {}, [1] * step)
        found: View = reader.halves[key][first].squeezed([0])
        return found
    arguments = {"start": first, **({"stop": last} if last < size else {})}
    return _part(reader, view, dim, "slice", arguments, [last - first])[0]


@rule("narrow")
def _narrow(reader: Reader, x: Any, dim: int, start: int, length: int) -> View:
    return _slice(reader, x, dim, start, start + length)


@rule("cat", "concat")
def _cat(reader: Reader, tensors: Sequence[Any], dim: int = 0) -> View:
    assert reader.node is not None
    views = [reader.view(tensor) for tensor in tensors]
    if len(views) == 1:
        return views[0]
    dim %= len(views[0].dims)
    alike = all(_same_but(view, views[0], dim) for view in views)
    if not alike or views[0].axis_of(dim) is None:
        views = [reader.spec(_unexpanded(view)) for view in views]
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
    return _cat(reader, [reader.spec(view) for view in views], dim)


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
    if None in at or 0 in at or len(view.axes) not in (2, 3, 4):
        # The padded dimensions last, all others in front.
        batch = view.batch
        others = [dim for dim in range(len(view.dims)) if dim not in padded and dim != batch]
        order = [*([batch] if batch is not None else []), *others, *sorted(padded)]
        moved = view.permuted(order)
        if len(others) != 1:
            raise CannotExpressError("padding of an axis that is not spatial")
        view = reader.spec(moved).permuted([order.index(dim) for dim in range(len(order))])
        at = {view.axis_of(dim): pair for dim, pair in padded.items()}
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


# Layers with weights.


def _numbers(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _image(reader: Reader, x: Any) -> View:
    """Return a view of an image, channels first, with nothing but the batch in front."""
    view = reader.spec(x)
    if view.batch != 0 or len(view.dims[0]) != 1:
        raise CannotExpressError("a layer for images whose batch holds another axis")
    return view


@rule("conv1d", "conv2d", "conv3d")
def _conv(
    reader: Reader,
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> View:
    path = reader.weight_path(weight, *([bias] if bias is not None else []))
    view = _image(reader, x)
    filters, _, *kernel = weight.fake.shape
    if isinstance(padding, str):
        padding = [0] if padding == "valid" else _same_padding(view.value.shape[1:], kernel, _numbers(dilation))
    arguments: dict[str, Any] = {
        "kernel": kernel,
        "stride": _numbers(stride),
        "padding": _numbers(padding),
        "dilation": _numbers(dilation),
        "bias": bias is not None,
    }
    channels = view.value.shape[0]
    if groups == channels and groups > 1:
        op, arguments = "depthwise_conv", {**arguments, "multiplier": filters // channels}
    else:
        op, arguments = "conv", {"filters": filters, **arguments, "groups": groups}
    return reader.result(reader.call(op, arguments, [view.value], path=path, fixed=True), view)


def _same_padding(sizes: Sequence[int], kernel: Sequence[int], dilation: Sequence[int]) -> list[list[int]]:
    each = [*dilation] * (len(kernel) // len(dilation))
    return [list(same_padding(size, k, 1, d)) for size, k, d in zip(sizes, kernel, each, strict=True)]


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def _conv_transpose(
    reader: Reader,
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> View:
    path = reader.weight_path(weight, *([bias] if bias is not None else []))
    view = _image(reader, x)
    arguments = {
        "filters": weight.fake.shape[1] * groups,
        "kernel": list(weight.fake.shape[2:]),
        "stride": _numbers(stride),
        "padding": _numbers(padding),
        "output_padding": _numbers(output_padding),
        "dilation": _numbers(dilation),
        "groups": groups,
        "bias": bias is not None,
    }
    return reader.result(reader.call("conv_transpose", arguments, [view.value], path=path, fixed=True), view)


@rule("linear")
def _linear(reader: Reader, x: Any, weight: Any, bias: Any = None) -> View:
    view = reader.view(x)
    units = reader.node.meta["val"].shape[-1]  # type: ignore[union-attr]
    if not view.axes or not view.dims[-1] or view.dims[-1] != view.axes[-1]:
        view = reader.spec(view)
    named = isinstance(weight, Tensor) and (bias is None or isinstance(bias, Tensor))
    own = named and {t.path.rpartition(".")[2] for t in (weight, bias) if t is not None} <= {"weight", "bias"}
    shape = [*view.value.shape[:-1], units]
    if own and weight.path.endswith(".weight"):
        path = reader.weight_path(weight, *([bias] if bias is not None else []))
        call = reader.call("linear", {"units": units, "bias": bias is not None}, [view.value], path=path, fixed=True)
    else:
        reads = [reader.spec(t).value for t in (weight, bias) if t is not None]
        call = reader.call("linear", {"units": units}, [view.value, *reads])
    new = (Axis(units),) if units > 1 else ()
    return View(call.result(shape), (*view.axes[:-1], new), (*view.dims[:-1], new))


@rule("batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm")
def _batch_norm(
    reader: Reader,
    x: Any,
    weight: Any,
    bias: Any,
    mean: Any,
    variance: Any,
    training: bool,
    momentum: float,
    eps: float,
    *_: Any,
) -> View:
    if mean is None:
        raise CannotExpressError("a batch norm without running statistics")
    view = reader.view(x)
    if len(view.dims) == 2 and view.batch == 0 and len(view.dims[0]) > 1:
        view = reader.spec(view.permuted([1, 0])).permuted([1, 0])  # every token by itself, channels first
    elif len(view.dims) < 2 or view.batch != 0 or view.axis_of(1) != 0 or len(view.dims[0]) != 1:
        view = _image(reader, view)
    path = reader.owner(*(tensor for tensor in (weight, bias, mean, variance) if tensor is not None))
    arguments = {"eps": eps, "momentum": momentum, "affine": weight is not None}
    call = reader.call("batch_norm", arguments, [view.value], path=path, fixed=True)
    return view.on(call.result(view.value.shape))


@rule("layer_norm", "rms_norm", "_fused_rms_norm")
def _layer_norm(reader: Reader, x: Any, shape: Sequence[int], weight: Any = None, *rest: Any) -> View:
    name = str(reader.node.target)  # type: ignore[union-attr]
    op = "rms_norm" if "rms" in name else "layer_norm"
    bias = rest[0] if op == "layer_norm" and rest else None
    eps = rest[-1] if op == "rms_norm" and rest else rest[1] if len(rest) > 1 else 1e-5
    if len(shape) != 1:
        raise CannotExpressError("a layer norm over several axes")
    view = reader.view(x)
    at = view.axis_of(len(view.dims) - 1)
    if at is None or at not in (0, len(view.axes) - 1):
        view = reader.spec(view)
        at = len(view.axes) - 1
    arguments: dict[str, Any] = {"affine": weight is not None}
    if eps is not None:
        arguments["eps"] = eps
    if at and at == len(view.axes) - 1:
        arguments["axis"] = "last"
    if bias is None and weight is not None and op == "layer_norm":
        return _norm_without_bias(reader, view, at, weight, arguments)
    path = reader.weight_path(*(t for t in (weight, bias) if t is not None)) if weight is not None else None
    call = reader.call(op, arguments, [view.value], path=path, fixed=weight is not None)
    return view.on(call.result(view.value.shape))


def _norm_without_bias(reader: Reader, view: View, at: int, weight: Any, arguments: dict[str, Any]) -> View:
    """Write a layer norm that has a factor and no constant: the norm, and the factor as a tensor of its module."""
    shape = view.value.shape
    with reader.inside(reader.weight_path(weight)):
        normed = reader.call("layer_norm", {**arguments, "affine": False}, [view.value], path="").result(shape)
        factor = reader.view(weight).value
        behind = len(view.axes) - 1 - at
        if behind:
            factor = reader.emit("reshape", {"shape": [shape[at], *[1] * behind]}, factor, [shape[at], *[1] * behind])
        return view.on(reader.call("multiply", {}, [normed, factor], path="").result(shape))


def _normalized(reader: Reader, x: Any, op: str, arguments: dict[str, Any], weight: Any, bias: Any) -> View:
    """Apply a norm of an image, with a factor and a constant or without."""
    view = _image(reader, x)
    path = reader.weight_path(weight, bias) if weight is not None else None
    arguments = {**arguments, "affine": weight is not None}
    call = reader.call(op, arguments, [view.value], path=path, fixed=weight is not None)
    return view.on(call.result(view.value.shape))


@rule("group_norm")
def _group_norm(
    reader: Reader, x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, *_: Any
) -> View:
    return _normalized(reader, x, "group_norm", {"groups": groups, "eps": eps}, weight, bias)


@rule("instance_norm")
def _instance_norm(
    reader: Reader, x: Any, weight: Any, bias: Any, mean: Any, variance: Any, use: bool, m: float, eps: float, *_: Any
) -> View:
    if mean is not None:
        raise CannotExpressError("an instance norm with running statistics")
    return _normalized(reader, x, "instance_norm", {"eps": eps}, weight, bias)


@rule("prelu")
def _prelu(reader: Reader, x: Any, weight: Any) -> View:
    view = _image(reader, x)
    arguments = {"num_parameters": weight.fake.shape[0]}
    call = reader.call("prelu", arguments, [view.value], path=reader.weight_path(weight), fixed=True)
    return view.on(call.result(view.value.shape))


# Activations.

for _name in ("relu", "relu6", "sigmoid", "tanh", "silu", "mish", "hardswish", "hardsigmoid", "selu"):
    RULES[_name] = lambda reader, x, op=_name: _unary(reader, x, op)
for _name in ("neg", "exp", "log", "sqrt", "square", "abs", "sin", "cos"):
    RULES[_name] = lambda reader, x, op=_name: _unary(reader, x, op)


@rule("rsqrt")
def _rsqrt(reader: Reader, x: Any) -> View:
    return _unary(reader, x, "pow", {"exponent": -0.5})


@rule("reciprocal")
def _reciprocal(reader: Reader, x: Any) -> View:
    return _unary(reader, x, "pow", {"exponent": -1})


@rule("gelu")
def _gelu(reader: Reader, x: Any, approximate: str = "none") -> View:
    return _unary(reader, x, "gelu", {"approximate": approximate})


@rule("hardtanh")
def _hardtanh(reader: Reader, x: Any, low: float = -1.0, high: float = 1.0) -> View:
    if (low, high) == (0.0, 6.0):
        return _unary(reader, x, "relu6")
    return _unary(reader, x, "clamp", {"min": low, "max": high})


@rule("clamp", "clip")
def _clamp(reader: Reader, x: Any, min: Any = None, max: Any = None) -> View:
    if isinstance(min, View) or isinstance(max, View):
        raise CannotExpressError("a clamp between tensors")
    return _unary(reader, x, "clamp", {"min": min, "max": max})


@rule("clamp_min")
def _clamp_min(reader: Reader, x: Any, low: float) -> View:
    return _unary(reader, x, "clamp", {"min": low})


@rule("clamp_max")
def _clamp_max(reader: Reader, x: Any, high: float) -> View:
    return _unary(reader, x, "clamp", {"max": high})


@rule("leaky_relu")
def _leaky_relu(reader: Reader, x: Any, slope: float = 0.01) -> View:
    return _unary(reader, x, "leaky_relu", {"negative_slope": slope})


@rule("elu")
def _elu(reader: Reader, x: Any, alpha: float = 1.0, *_: Any) -> View:
    return _unary(reader, x, "elu", {"alpha": alpha})


@rule("softplus")
def _softplus(reader: Reader, x: Any, beta: float = 1, threshold: float = 20) -> View:
    return _unary(reader, x, "softplus", {"beta": beta, "threshold": threshold})


@rule("softmax", "log_softmax", "_softmax")
def _softmax(reader: Reader, x: Any, dim: int, *_: Any) -> View:
    op = "log_softmax" if "log" in str(reader.node.target) else "softmax"  # type: ignore[union-attr]
    view, at = _along(reader, x, dim)
    return view.on(reader.emit(op, {"axis": axis_name(at, len(view.axes))}, view.value, view.value.shape))


def _along(reader: Reader, x: Any, dim: int) -> tuple[View, int]:
    """Return a view of which a dimension is one axis, and that axis."""
    view = reader.view(x)
    dim %= len(view.dims)
    if any(is_batch(axis) for axis in view.dims[dim]):
        raise CannotExpressError("an op along the batch")
    if view.axis_of(dim) is None:
        view = reader.spec(view)
    return view, _axis_or_unit(view, dim)


# Dropout.


@rule("dropout", "native_dropout", "alpha_dropout")
def _dropout(reader: Reader, x: Any, rate: float = 0.5, *_: Any) -> View:
    return _unary(reader, x, "dropout", {"rate": rate}) if rate or reader.in_sequential() else reader.view(x)


@rule("feature_dropout")
def _feature_dropout(reader: Reader, x: Any, rate: float = 0.5, *_: Any) -> View:
    view = _image(reader, x)
    return _unary(reader, view, "spatial_dropout", {"rate": rate}) if rate else view


@rule("drop_path")
def _drop_path(reader: Reader, x: Any, rate: float) -> View:
    return _unary(reader, x, "drop_path", {"rate": rate}) if rate else reader.view(x)


# Arithmetic.


def _binary(reader: Reader, a: Any, b: Any, op: str, alpha: Any = 1) -> View:
    if isinstance(b, torch.Tensor) and b.numel() == 1:
        b = b.item()
    if isinstance(a, torch.Tensor) and a.numel() == 1:
        a = a.item()
    if alpha != 1:
        b = b * alpha if isinstance(b, (int, float)) else _binary(reader, b, alpha, "multiply")
    if isinstance(a, (int, float)) or isinstance(b, (int, float)):
        view = reader.view(b if isinstance(a, (int, float)) else a)
        number: Any = a if isinstance(a, (int, float)) else b
        if not isinstance(a, (int, float)) and number == {"add": 0, "subtract": 0, "multiply": 1, "divide": 1}.get(op):
            return view
        reads: list[Any] = [number, view.value] if isinstance(a, (int, float)) else [view.value, number]
        if isinstance(a, (int, float)) and op in ("add", "multiply"):
            reads = reads[::-1]
        return view.on(reader.call(op, {}, reads).result(view.value.shape))
    left, right = _unexpanded(reader.view(a)), _unexpanded(reader.view(b))
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
    if op != "multiply" and not free and left.value.shape != right.value.shape:
        arguments["broadcast"] = True
    return reader.result(reader.call(op, arguments, values), like)


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
    RULES[_name] = lambda reader, a, b, op=_op: _binary(reader, a, b, op)


@rule("div", "divide", "true_divide")
def _div(reader: Reader, a: Any, b: Any, **options: Any) -> View:
    if options.get("rounding_mode"):
        raise CannotExpressError("a division that rounds")
    return _binary(reader, a, b, "divide")


@rule("add", "add_")
def _add(reader: Reader, a: Any, b: Any, alpha: Any = 1) -> View:
    return _binary(reader, a, b, "add", alpha)


@rule("sub", "subtract")
def _sub(reader: Reader, a: Any, b: Any, alpha: Any = 1) -> View:
    return _binary(reader, a, b, "subtract", alpha)


@rule("addcmul")
def _addcmul(reader: Reader, x: Any, a: Any, b: Any, *, value: Any = 1) -> View:
    return _binary(reader, x, _binary(reader, a, b, "multiply"), "add", value)


@rule("rsub")
def _rsub(reader: Reader, a: Any, b: Any, alpha: Any = 1) -> View:
    return _binary(reader, b, a, "subtract", alpha)


@rule("pow")
def _pow(reader: Reader, x: Any, exponent: Any) -> View:
    if not isinstance(exponent, (int, float)):
        raise CannotExpressError("a power of tensors")
    return _unary(reader, x, "square") if exponent == 2 else _unary(reader, x, "pow", {"exponent": exponent})


# Sums and means.


@rule("mean", "sum", "amax")
def _reduce(reader: Reader, x: Any, dims: Any = None, keep: bool = False, **_: Any) -> View:
    op = {"mean": "mean", "sum": "sum", "amax": "max"}[_name_of(reader)]
    if dims is None:
        raise CannotExpressError("a reduction of the batch")
    return _reduced(reader, reader.view(x), op, _numbers(dims), keep)


def _reduced(reader: Reader, view: View, op: str, dims: Sequence[int], keep: bool) -> View:
    """Reduce dimensions, each of which is one axis of the value, to size 1 or to none."""
    wanted = [dim % len(view.dims) for dim in dims]
    wanted = [dim for dim in wanted if view.dims[dim]] or wanted
    if any(is_batch(axis) for dim in wanted for axis in view.dims[dim]):
        raise CannotExpressError("a reduction of the batch")
    if any(view.axis_of(dim) is None for dim in wanted):
        view = reader.spec(view)
    reduced = {_axis_or_unit(view, dim) for dim in wanted}
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


def _axis_or_unit(view: View, dim: int) -> int:
    """Return the axis of the value that a dimension is, of size 1 or larger."""
    at = view.axis_of(dim)
    return _unit_axis(view, dim) if at is None else at


def _axis(at: int, rank: int) -> str | int:
    try:
        return axis_name(at, rank)
    except CannotExpressError:
        return at


def _name_of(reader: Reader) -> str:
    return str(reader.node.target).split(".")[1]  # type: ignore[union-attr]


@rule("max", "min")
def _max(reader: Reader, x: Any, dim: Any = None, keep: bool = False) -> Any:
    if isinstance(dim, (View, Tensor)):
        return _binary(reader, x, dim, "maximum" if _name_of(reader) == "max" else "minimum")
    if dim is None or _name_of(reader) == "min":
        raise CannotExpressError("a reduction of everything")
    found = _reduced(reader, reader.view(x), "max", [dim], keep=True)
    return [found if keep else found.squeezed([dim]), None]


@rule("linalg_vector_norm")
def _vector_norm(reader: Reader, x: Any, order: float = 2, dims: Any = None, keep: bool = False, **_: Any) -> View:
    if order != 2 or dims is None:
        raise CannotExpressError(f"a norm of order {order} over everything")
    total = _reduced(reader, _unary(reader, x, "square"), "sum", _numbers(dims), keep=True)
    root = _unary(reader, total, "sqrt")
    return root if keep else root.squeezed(_numbers(dims))


# Pooling and sizes.


def _pool(reader: Reader, x: Any, op: str, arguments: dict[str, Any]) -> View:
    view = _image(reader, x)
    return reader.result(reader.call(op, arguments, [view.value]), view)


def _stride(kernel: list[Any], stride: Any) -> Any:
    given = _numbers(stride) if stride not in (None, [], ()) else kernel
    return None if given == kernel else given


def _max_pool(
    reader: Reader,
    x: Any,
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil: bool = False,
) -> View:
    kernel = _numbers(kernel)
    arguments = {
        "kernel": kernel,
        "stride": _stride(kernel, stride),
        "padding": _numbers(padding),
        "ceil_mode": ceil,
        "dilation": _numbers(dilation),
    }
    return _pool(reader, x, "max_pool", arguments)


def _avg_pool(
    reader: Reader,
    x: Any,
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil: bool = False,
    count: bool = True,
    divisor: Any = None,
) -> View:
    if divisor is not None:
        raise CannotExpressError("an average with a divisor of its own")
    kernel = _numbers(kernel)
    arguments = {
        "kernel": kernel,
        "stride": _stride(kernel, stride),
        "padding": _numbers(padding),
        "ceil_mode": ceil,
        "count_include_pad": count,
    }
    return _pool(reader, x, "avg_pool", arguments)


def _adaptive(reader: Reader, x: Any, size: Any, op: str) -> View:
    view = _image(reader, x)
    sizes = [view.value.shape[at + 1] if each is None else each for at, each in enumerate(_numbers(size))]
    if sizes == list(view.value.shape[1:]) and any(each > 1 for each in sizes):
        return view
    if all(each == 1 for each in sizes):
        return _pool(reader, view, f"global_{op}_pool", {})
    return _pool(reader, view, f"adaptive_{op}_pool", {"size": sizes})


for _rank in (1, 2, 3):
    RULES[f"max_pool{_rank}d"] = _max_pool
    RULES[f"avg_pool{_rank}d"] = _avg_pool
    RULES[f"adaptive_avg_pool{_rank}d"] = partial(_adaptive, op="avg")
    RULES[f"max_pool{_rank}d_with_indices"] = lambda reader, *given: [_max_pool(reader, *given), None]
    RULES[f"adaptive_max_pool{_rank}d"] = lambda reader, x, size: [_adaptive(reader, x, size, "max"), None]


def _upsample(reader: Reader, x: Any, size: Any, *rest: Any, mode: str) -> View:
    view = _image(reader, x)
    align = bool(rest[0]) if rest and isinstance(rest[0], bool) else False
    out = list(reader.node.meta["val"].shape[2:])  # type: ignore[union-attr]
    ratios = [a / b for a, b in zip(out, view.value.shape[1:], strict=True)]
    arguments: dict[str, Any] = {"mode": mode, "align_corners": align}
    if all(ratio == ratios[0] and ratio >= 1 and ratio == int(ratio) for ratio in ratios):
        arguments["scale"] = int(ratios[0])
    else:
        arguments["size"] = out
    if "_aa" in str(reader.node.target):  # type: ignore[union-attr]
        arguments["antialias"] = True
    if out == list(view.value.shape[1:]):
        return view
    return reader.result(reader.call("upsample", arguments, [view.value]), view)


for _name, _mode in (
    ("nearest1d", "nearest"),
    ("nearest2d", "nearest"),
    ("nearest3d", "nearest"),
    ("linear1d", "linear"),
    ("bilinear2d", "linear"),
    ("_bilinear2d_aa", "linear"),
    ("trilinear3d", "linear"),
    ("bicubic2d", "cubic"),
    ("_bicubic2d_aa", "cubic"),
    ("_nearest_exact2d", "nearest-exact"),
):
    _key = f"_upsample{_name}" if _name.startswith("_") else f"upsample_{_name}"
    RULES[_key] = partial(_upsample, mode=_mode)


@rule("pixel_shuffle")
def _pixel_shuffle(reader: Reader, x: Any, factor: int) -> View:
    return _pool(reader, x, "pixel_shuffle", {"factor": factor})


@rule("channel_shuffle")
def _channel_shuffle(reader: Reader, x: Any, groups: int) -> View:
    return _pool(reader, x, "channel_shuffle", {"groups": groups})


@rule("im2col")
def _unfold(reader: Reader, x: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> View:
    arguments = {"kernel": kernel, "dilation": dilation, "padding": padding, "stride": stride}
    return _pool(reader, x, "unfold", arguments)


# Attention.


@rule("matmul", "bmm", "mm")
def _matmul(reader: Reader, a: Any, b: Any) -> View:
    assert reader.node is not None
    return _product(reader, a, b, tuple(reader.node.meta["val"].shape))


def _product(reader: Reader, a: Any, b: Any, shape: Sequence[int]) -> View:
    left, right = reader.spec(_unexpanded(reader.view(a))), reader.spec(_unexpanded(reader.view(b)))
    if min(len(left.axes), len(right.axes)) < 2:
        raise CannotExpressError("a product of vectors")
    if left.value.shape[:-2] != right.value.shape[:-2]:
        raise CannotExpressError("a product whose leading axes differ")
    like = left if left.has_samples else right
    if like.batch in (len(like.dims) - 1, len(like.dims) - 2):
        raise CannotExpressError("a product over the batch")
    return reader.shaped(reader.call("matmul", {}, [left.value, right.value]), shape, like)


@rule("einsum")
def _einsum(reader: Reader, equation: str, operands: Sequence[Any], **_: Any) -> View:
    """Write a sum of products of two tensors as a `matmul`: letters of one are rows or columns, those of both lead."""
    inputs, _arrow, result = equation.replace(" ", "").partition("->")
    letters = inputs.split(",")
    if len(letters) != 2 or not result or "." in equation:
        raise CannotExpressError(f"the sum {equation}")
    left, right = letters
    shared = [letter for letter in left if letter in right and letter in result]
    summed = [letter for letter in left if letter in right and letter not in result]
    rows = [letter for letter in left if letter not in right]
    columns = [letter for letter in right if letter not in left]
    if not summed or len({*left}) < len(left) or len({*right}) < len(right) or {*rows, *columns} - {*result}:
        raise CannotExpressError(f"the sum {equation}")
    views = [reader.view(operand) for operand in operands]
    size = {letter: views[at].shape[number] for at, word in enumerate(letters) for number, letter in enumerate(word)}
    batched = [letter for letter in rows if any(map(is_batch, views[0].dims[left.index(letter)]))]
    lead = [*batched, *shared]
    rest = [letter for letter in rows if letter not in batched]
    a = views[0].permuted([left.index(letter) for letter in (*lead, *rest, *summed)])
    b = views[1].permuted([right.index(letter) for letter in (*shared, *summed, *columns)])
    high, deep, wide = (prod(size[letter] for letter in group) for group in (rest, summed, columns))
    a = _to_shape(reader, a, (*(size[letter] for letter in lead), high, deep))
    b = _to_shape(reader, b, (*(size[letter] for letter in shared), deep, wide))
    found = _product(reader, a, b, (*(size[letter] for letter in lead), high, wide))
    order = [*lead, *rest, *columns]
    found = found.reshaped([size[letter] for letter in order])
    return found.permuted([order.index(letter) for letter in result])


@rule("scaled_dot_product_attention")
def _attention(
    reader: Reader,
    q: Any,
    k: Any,
    v: Any,
    mask: Any = None,
    dropout: float = 0.0,
    causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> View:
    views = [_unexpanded(reader.view(each)) for each in (q, k, v)]
    if enable_gqa:
        raise CannotExpressError("attention with fewer heads of keys than of queries")
    default = views[0].shape[-1] ** -0.5
    arguments: dict[str, Any] = {"causal": causal, "dropout": dropout}
    if scale is not None and abs(scale - default) > 1e-9:
        arguments["scale"] = scale
    heads = _heads(views)
    if heads is None:
        views = [reader.spec(view) for view in views]
    else:
        arguments["heads"] = heads
    named = {} if mask is None else {"bias": _mask(reader, mask, views[0], heads)}
    call = reader.call("attention", arguments, [view.value for view in views])
    call.named = named
    if heads is not None:
        first, last = views[0], views[2]
        value = call.result([*first.value.shape[:-1], last.value.shape[-1]])
        width = Axis(last.axes[-1][-1].size)
        axes = (*first.axes[:-1], (first.axes[-1][0], width))
        return View(value, axes, (*first.dims[:-1], (width,)))
    return reader.result(call, views[0])


def _heads(views: list[View]) -> int | None:
    """Return into how many heads queries, keys and values are split, if their values hold them side by side."""
    found = set()
    for view in views:
        if len(view.axes) < 2 or len(view.axes[-1]) != 2 or len(view.dims) < 3:
            return None
        heads, width = view.axes[-1]
        if view.dims[-3] != (heads,) or view.dims[-1] != (width,) or view.dims[-2] != view.axes[-2]:
            return None
        before = tuple(dim for dim in view.dims[:-3])
        rest = View(view.value, view.axes, before).spec_dims
        if rest != view.axes[:-2]:
            return None
        found.add(heads.size)
    return found.pop() if len(found) == 1 else None


def _mask(reader: Reader, mask: Any, queries: View, heads: int | None) -> Any:
    """Return what is added to the products, in the shape that `attention` reads: heads behind the leading axes."""
    view = reader.spec(_unexpanded(reader.view(mask)))
    shape = list(view.value.shape)
    rank = len(queries.axes) + (1 if heads is not None else 0)
    while len(shape) > rank and shape[0] == 1:
        shape.pop(0)
    shape = [*[1] * (rank - len(shape)), *shape]
    if shape != list(view.value.shape):
        return reader.emit("reshape", {"shape": shape}, view.value, shape)
    return view.value


@rule("attention")
def _multi_head_attention(reader: Reader, q: Any, k: Any, v: Any, heads: int, dropout: float, bias: bool) -> View:
    views = [reader.spec(each) for each in (q, k, v)]
    path = reader.place()
    reads = [view.value for view in views]
    if reads[1] is reads[2]:
        reads = reads[:1] if reads[0] is reads[1] else reads[:2]
    call = reader.call(
        "multi_head_attention", {"heads": heads, "bias": bias, "dropout": dropout}, reads, path=path, fixed=True
    )
    return views[0].on(call.result(views[0].value.shape))


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
    found = plain(call.result(shape), torch_shape, view.batch, reader.batch if view.has_samples else 1)
    return found.reshaped((*view.shape[:dim], *numbers.shape, *view.shape[dim + 1 :]))


def _gather_by_axes(reader: Reader, view: View, dim: int, at: int, numbers: torch.Tensor) -> View:
    """Read a table by row and by column, where an index over pairs of positions of an image is too large to write.

    So one bias for each way in which two positions lie to each other is found by how far apart they are in height, and
    then by how far apart in width.
    """
    found = _rows_and_columns(numbers, view.value.shape[at])
    if found is None:
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
    reader.values[base] = _binary(reader, reader.values[base], kept, "multiply")


@rule("index_select")
def _index_select(reader: Reader, x: Any, dim: int, index: Any) -> View:
    return _index(reader, x, [*[None] * (dim % len(reader.view(x).dims)), index])


@rule("new_zeros", "zeros_like", "new_ones", "ones_like", "new_full", "full_like", "new_empty", "empty_like")
def _filled(reader: Reader, x: Any, *given: Any, **_: Any) -> torch.Tensor:
    assert reader.node is not None
    fake = reader.node.meta["val"]
    name = _name_of(reader)
    value = given[-1] if "full" in name else 1 if "ones" in name else 0
    return torch.full(tuple(fake.shape), value, dtype=fake.dtype)


@rule("_assert_tensor_metadata", "_assert_async", "_assert_scalar", "sym_constrain_range_for_size")
def _nothing(_reader: Reader, *_: Any, **__: Any) -> None:
    return None
