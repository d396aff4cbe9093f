"""What torch's callables accept: parameters in order, their defaults, and the function form of a module.

This file is about torch and imports none of it; a test holds every entry against torch itself. An op names the
callables that it needs in its `Call`s, and code that prints a call reads here how people write it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

REQUIRED: Final[Any] = object()
"""The default of a parameter that has none."""
AS_KERNEL: Final[Any] = object()
"""The default of a pooling's stride: its kernel. (torch writes `None`.)"""


class Signature(NamedTuple):
    """The parameters of a torch callable in torch's order, each with its default.

    Those that no op needs (`device`, `dtype`, `return_indices`) are left out, and so are a function's input tensors.
    """

    parameters: Mapping[str, Any]
    by_name: tuple[str, ...] = ()
    """Parameters that people write by name although their place would do: `nn.Softmax(dim=1)`."""
    by_place: tuple[str, ...] = ()
    """Optional parameters whose order everybody knows: `nn.Conv2d(width, width, kernel, stride, kernel // 2)`."""
    always: tuple[str, ...] = ()
    """Parameters that people give at torch's default too: `F.normalize(x, dim=1)`."""


class Function(NamedTuple):
    """The function that computes what a module without state computes, with the same arguments by the same names."""

    name: str
    leading: tuple[Any, ...] = ()
    """What follows the input, by place, where the default of the module is not that of the function."""


OPERATORS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "@": operator.matmul,
    **{f"[{':, ' * axis}]": operator.getitem for axis in range(7)},
}
"""The operators that may stand between all inputs of an op, evaluated from left to right.

`[:, ]` is for an index along the second axis, `table[:, index]`.
"""


def numbers_of(arguments: Mapping[str, Any]) -> list[tuple[int, Any]]:
    """Return the numbers among the operands of an operator, each with its place: `{"operand_1": 2}` has 2 at 1."""
    return [(int(key.removeprefix("operand_")), value) for key, value in arguments.items()]


METHODS: Final = frozenset({"torch.amax", "torch.clamp", "torch.mean", "torch.pow", "torch.sum"})
"""Functions that people write as methods of what they read first: `x.mean(dim=1)`."""

IDENTITY: Final = "nn.Identity"
"""The module whose function form is its input."""


def _signature(
    *required: str,
    by_name: tuple[str, ...] = (),
    by_place: tuple[str, ...] = (),
    always: tuple[str, ...] = (),
    **optional: Any,
) -> Signature:
    return Signature({**dict.fromkeys(required, REQUIRED), **optional}, by_name, by_place, always)


def _ranked(name: str) -> list[str]:
    """Return the names that a `*` for the rank stands for."""
    return [name.replace("*", rank) for rank in "123"] if "*" in name else [name]


_CONV = _signature(
    *("in_channels", "out_channels", "kernel_size"),
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    bias=True,
    padding_mode="zeros",
    by_place=("stride", "padding"),
)
_CONV_TRANSPOSE = _signature(
    *("in_channels", "out_channels", "kernel_size"),
    stride=1,
    padding=0,
    output_padding=0,
    groups=1,
    bias=True,
    dilation=1,
)
_DROPOUT = _signature(p=0.5, inplace=False)
_PLAIN = _signature()
_IN_PLACE = _signature(inplace=False)
_PADDING = _signature("padding")
_REDUCTION = _signature("dim", keepdim=False, by_name=("dim",))

_MODULES = {
    "nn.Conv*d": _CONV,
    "nn.ConvTranspose*d": _CONV_TRANSPOSE,
    "nn.MultiheadAttention": _signature(
        *("embed_dim", "num_heads"), dropout=0.0, bias=True, kdim=None, vdim=None, batch_first=False
    ),
    "nn.Linear": _signature("in_features", "out_features", bias=True),
    # Normalisations.
    "nn.BatchNorm*d": _signature("num_features", eps=1e-5, momentum=0.1, affine=True, track_running_stats=True),
    "nn.InstanceNorm*d": _signature("num_features", eps=1e-5, momentum=0.1, affine=False, track_running_stats=False),
    "nn.LayerNorm": _signature("normalized_shape", eps=1e-5, elementwise_affine=True, bias=True),
    "nn.RMSNorm": _signature("normalized_shape", eps=None, elementwise_affine=True),
    "nn.GroupNorm": _signature("num_groups", "num_channels", eps=1e-5, affine=True),
    "nn.LocalResponseNorm": _signature("size", alpha=1e-4, beta=0.75, k=1.0),
    # Activations.
    "nn.ReLU": _IN_PLACE,
    "nn.ReLU6": _IN_PLACE,
    "nn.LeakyReLU": _signature(negative_slope=0.01, inplace=False),
    "nn.PReLU": _signature(num_parameters=1, init=0.25),
    "nn.RReLU": _signature(lower=1 / 8, upper=1 / 3, inplace=False),
    "nn.ELU": _signature(alpha=1.0, inplace=False),
    "nn.CELU": _signature(alpha=1.0, inplace=False),
    "nn.SELU": _IN_PLACE,
    "nn.GELU": _signature(approximate="none"),
    "nn.SiLU": _IN_PLACE,
    "nn.Mish": _IN_PLACE,
    "nn.Sigmoid": _PLAIN,
    "nn.LogSigmoid": _PLAIN,
    "nn.Tanh": _PLAIN,
    "nn.Hardsigmoid": _IN_PLACE,
    "nn.Hardswish": _IN_PLACE,
    "nn.Hardtanh": _signature(min_val=-1.0, max_val=1.0, inplace=False),
    "nn.Hardshrink": _signature(lambd=0.5),
    "nn.Softshrink": _signature(lambd=0.5),
    "nn.Tanhshrink": _PLAIN,
    "nn.Threshold": _signature("threshold", "value", inplace=False, by_name=("value",)),
    "nn.Softplus": _signature(beta=1.0, threshold=20.0),
    "nn.Softsign": _PLAIN,
    "nn.Softmax": _signature(dim=None, by_name=("dim",)),
    "nn.Softmin": _signature(dim=None, by_name=("dim",)),
    "nn.LogSoftmax": _signature(dim=None, by_name=("dim",)),
    "nn.GLU": _signature(dim=-1, by_name=("dim",)),
    # Poolings.
    "nn.MaxPool*d": _signature("kernel_size", stride=AS_KERNEL, padding=0, dilation=1, ceil_mode=False),
    "nn.AvgPool*d": _signature("kernel_size", stride=AS_KERNEL, padding=0, ceil_mode=False, count_include_pad=True),
    "nn.LPPool*d": _signature("norm_type", "kernel_size", stride=AS_KERNEL, ceil_mode=False),
    "nn.AdaptiveAvgPool*d": _signature("output_size"),
    "nn.AdaptiveMaxPool*d": _signature("output_size"),
    # Layout.
    "nn.ZeroPad*d": _PADDING,
    "nn.ReflectionPad*d": _PADDING,
    "nn.ReplicationPad*d": _PADDING,
    "nn.CircularPad*d": _PADDING,
    "nn.ConstantPad*d": _signature("padding", "value", by_name=("value",)),
    "nn.Flatten": _signature(start_dim=1, end_dim=-1),
    "nn.Unflatten": _signature("dim", "unflattened_size"),
    "nn.Fold": _signature("output_size", "kernel_size", dilation=1, padding=0, stride=1),
    "nn.Unfold": _signature("kernel_size", dilation=1, padding=0, stride=1),
    "nn.ChannelShuffle": _signature("groups"),
    "nn.PixelShuffle": _signature("upscale_factor"),
    "nn.PixelUnshuffle": _signature("downscale_factor"),
    "nn.Upsample": _signature(size=None, scale_factor=None, mode="nearest", align_corners=None),
    # Dropouts, and nothing at all.
    "nn.Dropout": _DROPOUT,
    "nn.Dropout*d": _DROPOUT,
    "nn.AlphaDropout": _DROPOUT,
    "nn.FeatureAlphaDropout": _DROPOUT,
    IDENTITY: _PLAIN,
}

_FUNCTION_FORMS = {
    "nn.LocalResponseNorm": Function("F.local_response_norm"),
    "nn.ReLU": Function("F.relu"),
    "nn.ReLU6": Function("F.relu6"),
    "nn.LeakyReLU": Function("F.leaky_relu"),
    "nn.ELU": Function("F.elu"),
    "nn.CELU": Function("F.celu"),
    "nn.SELU": Function("F.selu"),
    "nn.GELU": Function("F.gelu"),
    "nn.SiLU": Function("F.silu"),
    "nn.Mish": Function("F.mish"),
    "nn.Sigmoid": Function("torch.sigmoid"),
    "nn.LogSigmoid": Function("F.logsigmoid"),
    "nn.Tanh": Function("torch.tanh"),
    "nn.Hardsigmoid": Function("F.hardsigmoid"),
    "nn.Hardswish": Function("F.hardswish"),
    "nn.Hardtanh": Function("F.hardtanh"),
    "nn.Hardshrink": Function("F.hardshrink"),
    "nn.Softshrink": Function("F.softshrink"),
    "nn.Tanhshrink": Function("F.tanhshrink"),
    "nn.Threshold": Function("F.threshold"),
    "nn.Softplus": Function("F.softplus"),
    "nn.Softsign": Function("F.softsign"),
    "nn.Softmax": Function("F.softmax"),
    "nn.Softmin": Function("F.softmin"),
    "nn.LogSoftmax": Function("F.log_softmax"),
    "nn.GLU": Function("F.glu"),
    "nn.MaxPool*d": Function("F.max_pool*d"),
    "nn.AvgPool*d": Function("F.avg_pool*d"),
    "nn.LPPool*d": Function("F.lp_pool*d"),
    "nn.AdaptiveAvgPool*d": Function("F.adaptive_avg_pool*d"),
    "nn.AdaptiveMaxPool*d": Function("F.adaptive_max_pool*d"),
    "nn.Flatten": Function("torch.flatten", leading=(1,)),
    "nn.Fold": Function("F.fold"),
    "nn.Unfold": Function("F.unfold"),
    "nn.ChannelShuffle": Function("F.channel_shuffle"),
    "nn.PixelShuffle": Function("F.pixel_shuffle"),
    "nn.PixelUnshuffle": Function("F.pixel_unshuffle"),
}

FUNCTIONS: Final[dict[str, Function]] = {
    module: Function(name, form.leading)
    for modules, form in _FUNCTION_FORMS.items()
    for module, name in zip(_ranked(modules), _ranked(form.name), strict=True)
}
"""The function form of each module without state, by the name of the module."""

_FUNCTIONS_BY_NAME = {
    **dict.fromkeys(
        ("abs", "ceil", "cos", "erf", "exp", "expm1", "floor", "log", "log1p", "neg", "reciprocal", "round"), _PLAIN
    ),
    **dict.fromkeys(("rsqrt", "sigmoid", "sign", "sin", "sqrt", "square", "tanh"), _PLAIN),
    **dict.fromkeys(("matmul", "maximum", "minimum"), _PLAIN),
    "clamp": _signature(min=None, max=None),
    "pow": _signature("exponent"),
    "amax": _signature(dim=None, keepdim=False, by_name=("dim",)),
    "mean": _REDUCTION,
    "sum": _REDUCTION,
    "chunk": _signature("chunks", dim=0),
    "split": _signature("split_size_or_sections", dim=0),
    "cat": _signature(dim=0),
    "stack": _signature(dim=0),
    "flatten": _signature(start_dim=0, end_dim=-1),
    "flip": _signature("dims"),
    "narrow": _signature("dim", "start", "length"),
    "permute": _signature("dims"),
    "reshape": _signature("shape"),
    "roll": _signature("shifts", dims=None),
    "squeeze": _signature("dim"),
    "transpose": _signature("dim0", "dim1"),
    "unflatten": _signature("dim", "sizes"),
    "unsqueeze": _signature("dim"),
}

_FREE = {
    "nn.Parameter": _signature(data=None, requires_grad=True),
    "nn.init.normal_": _signature(mean=0.0, std=1.0),
    "nn.init.trunc_normal_": _signature(mean=0.0, std=1.0),
    "torch.empty": _signature("size"),
    "torch.full": _signature("size", "fill_value"),
    "torch.ones": _signature("size"),
    "torch.tensor": _signature("data"),
    "torch.zeros": _signature("size"),
}
"""What makes a free tensor."""

_LAYER_NORM = _signature("normalized_shape", eps=1e-5, elementwise_affine=True)

LAYERS: Final[dict[str, Signature]] = {
    "Attention": _signature("heads", causal=False, scale=None, dropout=0.0),
    "DropPath": _signature("rate"),
    "LayerNorm1d": _LAYER_NORM,
    "LayerNorm2d": _LAYER_NORM,
    "LayerNorm3d": _LAYER_NORM,
    "Permute": _signature("dims"),
    "Scale": _signature("channels", init=1.0),
    "WindowPartition": _signature("size"),
    "WindowReverse": _signature("size", "height"),
}
"""The layers of `archspec.backends.layers`, which torch lacks."""

_WINDOW: dict[str, Any] = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
_TRANSPOSED: dict[str, Any] = {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1, "dilation": 1}

SIGNATURES: Final[dict[str, Signature]] = {
    **{name: signature for names, signature in _MODULES.items() for name in _ranked(names)},
    **{f"torch.{name}": signature for name, signature in _FUNCTIONS_BY_NAME.items()},
    **_FREE,
    "F.interpolate": _signature(size=None, scale_factor=None, mode="nearest", align_corners=None, antialias=False),
    "F.normalize": _signature(p=2.0, dim=1, eps=1e-12, always=("dim",)),
    "F.linear": _PLAIN,
    **dict.fromkeys(_ranked("F.conv*d"), Signature(_WINDOW, by_name=(*_WINDOW,))),
    **dict.fromkeys(_ranked("F.conv_transpose*d"), Signature(_TRANSPOSED, by_name=(*_TRANSPOSED,))),
    "F.scaled_dot_product_attention": _signature(dropout_p=0.0, is_causal=False, scale=None, by_name=("scale",)),
    "F.pad": _signature("pad", mode="constant", value=None),
    **LAYERS,
}
"""Every callable that a `Call` may name, but for the operators."""
for _module, _function in FUNCTIONS.items():
    SIGNATURES.setdefault(_function.name, SIGNATURES[_module])
