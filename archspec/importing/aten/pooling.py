"""Rules of pooling and of other sizes of an image."""

from __future__ import annotations

from functools import partial
from typing import Any

from archspec.importing.aten.common import (
    RULES,
    as_list,
    image,
    images_side_by_side,
    result_of_several,
    rule,
)
from archspec.importing.layouts import CannotExpressError, View
from archspec.importing.reader import Reader


def _pool(reader: Reader, x: Any, op: str, arguments: dict[str, Any]) -> View:
    view = reader.spec(x)
    several = images_side_by_side(reader, view) if "kernel" in arguments else None
    if several is not None:
        rank = len(several.dims) - 2
        for name, neutral in (("kernel", 1), ("stride", 1), ("padding", 0), ("dilation", 1)):
            if arguments.get(name) is not None:
                given = arguments[name] * (rank if len(arguments[name]) == 1 else 1)
                arguments[name] = [neutral, *given]
        return result_of_several(reader, reader.call(op, arguments, [several.value]), several)
    view = image(reader, view)
    return reader.result(reader.call(op, arguments, [view.value]), view)


def _stride(kernel: list[Any], stride: Any) -> Any:
    given = as_list(stride) if stride not in (None, [], ()) else kernel
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
    kernel = as_list(kernel)
    arguments = {
        "kernel": kernel,
        "stride": _stride(kernel, stride),
        "padding": as_list(padding),
        "ceil_mode": ceil,
        "dilation": as_list(dilation),
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
    kernel = as_list(kernel)
    arguments = {
        "kernel": kernel,
        "stride": _stride(kernel, stride),
        "padding": as_list(padding),
        "ceil_mode": ceil,
        "count_include_pad": count,
    }
    return _pool(reader, x, "avg_pool", arguments)


def _adaptive(reader: Reader, x: Any, size: Any, op: str) -> View:
    view = image(reader, x)
    sizes = [view.value.shape[at + 1] if each is None else each for at, each in enumerate(as_list(size))]
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
    view = image(reader, x)
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
