"""Rules of layers with weights: convolutions, linear layers, norms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from torch.export.graph_signature import InputKind

from archspec.importing.aten.arithmetic import binary
from archspec.importing.aten.common import (
    as_list,
    image,
    images_side_by_side,
    result_of_several,
    rule,
    shape_of,
    to_shape,
)
from archspec.importing.calls import Call, Value
from archspec.importing.layouts import CannotExpressError, View, axis_of_size, size_of
from archspec.importing.reader import Reader, Tensor
from archspec.shapes import same_padding


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
    filters, _, *kernel = shape_of(weight)
    view = reader.spec(x)
    several = images_side_by_side(reader, view)
    windows = {"stride": stride, "padding": padding, "dilation": dilation}
    if several is not None and not isinstance(padding, str):
        return _conv_of_several(reader, several, weight, bias, windows, groups)
    if view.batch == 0 and len(view.dims[0]) > 1 and len(view.dims) == 5 and not isinstance(padding, str):
        return _conv_of_groups(reader, view, weight, bias, windows, groups)
    view = image(reader, view)
    if isinstance(padding, str):
        padding = [0] if padding == "valid" else _same_padding(view.value.shape[1:], kernel, as_list(dilation))
    arguments: dict[str, Any] = {
        "kernel": kernel,
        "stride": as_list(stride),
        "padding": as_list(padding),
        "dilation": as_list(dilation),
    }
    channels = view.value.shape[0]
    if groups == channels and groups > 1:
        op, arguments = "depthwise_conv", {**arguments, "multiplier": filters // channels}
    else:
        op, arguments = "conv", {"filters": filters, **arguments, "groups": groups}
    return reader.result(_layer(reader, op, arguments, view, weight, bias), view)


def _conv_of_several(
    reader: Reader,
    view: View,
    weight: Any,
    bias: Any,
    windows: Mapping[str, Any],
    groups: int,
) -> View:
    """Write a convolution of several images of each sample as one over an axis more, along which its window is 1."""
    filters, channels, *kernel = shape_of(weight)
    shape = [filters, channels, 1, *kernel]
    given = [reader.emit("reshape", {"shape": shape}, _given(reader, weight), shape)]
    given += [_given(reader, bias)] if bias is not None else []
    arguments = {"filters": filters, "kernel": [1, *kernel], "groups": groups}
    for name, value in windows.items():
        each = as_list(value) * (len(kernel) if len(as_list(value)) == 1 else 1)
        arguments[name] = [0 if name == "padding" else 1, *each]
    return result_of_several(reader, reader.call("conv", arguments, [view.value, *given]), view)


def _conv_of_groups(
    reader: Reader, view: View, weight: Any, bias: Any, windows: Mapping[str, Any], groups: int
) -> View:
    """Write a convolution of several volumes of each sample as one of groups, each with the same weights."""
    filters, _, *kernel = shape_of(weight)
    samples, several = view.dims[0][:1], view.dims[0][1:]
    count, channels = size_of(several), view.dims[1]
    merged = reader.spec(view.with_dims([samples, (*several, *channels), *view.dims[2:]]))
    given = []
    for tensor in (weight, bias):
        if tensor is not None:
            value = _given(reader, tensor)
            shape = [value.shape[0] * count, *value.shape[1:]]
            given.append(reader.call("concat", {}, [value] * count).result(shape))
    arguments = {"filters": filters * count, "kernel": kernel, "groups": groups * count}
    arguments |= {name: as_list(value) for name, value in windows.items()}
    assert reader.node is not None
    _, out, *sizes = reader.node.meta["val"].shape
    value = reader.call("conv", arguments, [merged.value, *given]).result([out * count, *sizes])
    new = tuple(map(axis_of_size, (out, *sizes)))
    return View(value, ((*several, *new[0]), *new[1:]), (view.dims[0], *new))


def _layer(reader: Reader, op: str, arguments: dict[str, Any], view: View, weight: Any, bias: Any) -> Call:
    """Add the call of a layer. It owns its weights if one module holds them by these names; else it is given them."""
    given = [tensor for tensor in (weight, bias) if tensor is not None]
    if all(isinstance(tensor, Tensor) and tensor.kind is InputKind.PARAMETER for tensor in given):
        names = [tensor.path.rpartition(".")[2] for tensor in given]
        if names == ["weight", "bias"][: len(names)] and len({tensor.path.rpartition(".")[0] for tensor in given}) == 1:
            path = reader.weight_path(*given)
            arguments = {**arguments, "bias": bias is not None}
            return reader.call(op, arguments, [view.value], path=path, fixed=True)
    return reader.call(op, arguments, [view.value, *(_given(reader, tensor) for tensor in given)])


def _given(reader: Reader, tensor: Any) -> Value:
    """Return a weight that is computed, or that no module of a layer has, as a free tensor in torch's own shape."""
    view = reader.spec(tensor)
    if view.has_samples:
        raise CannotExpressError("a layer whose weights depend on the input")
    if view.value.shape != shape_of(tensor):
        raise CannotExpressError("a layer whose weights have one filter, and are computed")
    return view.value


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
    view = image(reader, x)
    _, filters, *kernel = shape_of(weight)
    arguments = {
        "filters": filters * groups,
        "kernel": kernel,
        "stride": as_list(stride),
        "padding": as_list(padding),
        "output_padding": as_list(output_padding),
        "dilation": as_list(dilation),
        "groups": groups,
    }
    return reader.result(_layer(reader, "conv_transpose", arguments, view, weight, bias), view)


@rule("linear")
def _linear(reader: Reader, x: Any, weight: Any, bias: Any = None) -> View:
    return linear(reader, reader.view(x), reader.node.meta["val"].shape[-1], weight, bias)  # type: ignore[union-attr]


def linear(reader: Reader, view: View, units: int, weight: Any, bias: Any = None) -> View:
    """Write a linear layer, over the last axis of what it reads."""
    if not view.axes or not view.dims[-1] or view.dims[-1] != view.axes[-1]:
        view = reader.spec(view)
    call = _layer(reader, "linear", {"units": units}, view, weight, bias)
    new = axis_of_size(units)
    return View(call.result([*view.value.shape[:-1], units]), (*view.axes[:-1], new), (*view.dims[:-1], new))


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
    view = reader.view(x)
    if mean is None:
        return _standardized(reader, view, weight, bias, eps)
    if len(view.dims) == 2 and view.batch == 0 and len(view.dims[0]) > 1:
        view = reader.spec(view.permuted([1, 0])).permuted([1, 0])  # every token by itself, channels first
    elif len(view.dims) < 2 or view.batch != 0 or view.axis_of(1) != 0 or len(view.dims[0]) != 1:
        view = reader.spec(view)
        view = images_side_by_side(reader, view) or image(reader, view)
    path = reader.owner(*(tensor for tensor in (weight, bias, mean, variance) if tensor is not None))
    arguments = {"eps": eps, "momentum": momentum, "affine": weight is not None}
    call = reader.call("batch_norm", arguments, [view.value], path=path, fixed=True)
    return view.on(call.result(view.value.shape))


def _standardized(reader: Reader, view: View, weight: Any, bias: Any, eps: float) -> View:
    """Write a batch norm over a batch of one, without running statistics: how weights are standardised."""
    if view.has_samples or view.shape[0] != 1:
        raise CannotExpressError("a batch norm without running statistics")
    shape = view.shape
    rows = reader.spec(to_shape(reader, view, (shape[1], prod(shape[2:]))))
    arguments = {"eps": eps, "affine": False, "axis": "last"}
    found = rows.on(reader.call("layer_norm", arguments, [rows.value]).result(rows.value.shape))
    for op, tensor in (("multiply", weight), ("add", bias)):
        if tensor is not None:
            found = binary(reader, found, to_shape(reader, reader.view(tensor), (shape[1], 1)), op)
    return to_shape(reader, found, shape)


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
        return _norm_without_bias(reader, view, at, weight, op, arguments)
    path = reader.weight_path(*(t for t in (weight, bias) if t is not None)) if weight is not None else None
    call = reader.call(op, arguments, [view.value], path=path, fixed=weight is not None)
    return view.on(call.result(view.value.shape))


def _norm_without_bias(reader: Reader, view: View, at: int, weight: Any, op: str, arguments: dict[str, Any]) -> View:
    """Write a norm that has a factor and no constant: the norm, and the factor as a tensor of its module."""
    shape = view.value.shape
    with reader.inside(reader.weight_path(weight)):
        normed = reader.call(op, {**arguments, "affine": False}, [view.value], path="").result(shape)
        factor = reader.view(weight).value
        behind = len(view.axes) - 1 - at
        if behind:
            factor = reader.emit("reshape", {"shape": [shape[at], *[1] * behind]}, factor, [shape[at], *[1] * behind])
        return view.on(reader.call("multiply", {}, [normed, factor], path="").result(shape))


def _normalized(reader: Reader, x: Any, op: str, arguments: dict[str, Any], weight: Any, bias: Any) -> View:
    """Apply a norm of an image, with a factor and a constant or without."""
    view = image(reader, x)
    if weight is not None and bias is None:
        return _norm_without_bias(reader, view, 0, weight, op, arguments)
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
    view = image(reader, x)
    arguments = {"num_parameters": weight.fake.shape[0]}
    call = reader.call("prelu", arguments, [view.value], path=reader.weight_path(weight), fixed=True)
    return view.on(call.result(view.value.shape))
