"""What torch's constructors and functions take, in order, with their defaults, for the arguments that ops give.

A test holds this table against torch itself.
"""

from __future__ import annotations

from typing import Any, Final

REQUIRED: Final[Any] = object()
AS_KERNEL: Final[Any] = object()
"""The default of a pooling's stride: its kernel."""

_CONV = {
    "in_channels": REQUIRED,
    "out_channels": REQUIRED,
    "kernel_size": REQUIRED,
    "stride": 1,
    "padding": 0,
    "dilation": 1,
    "groups": 1,
    "bias": True,
}
_CONV_TRANSPOSE = {
    "in_channels": REQUIRED,
    "out_channels": REQUIRED,
    "kernel_size": REQUIRED,
    "stride": 1,
    "padding": 0,
    "output_padding": 0,
    "groups": 1,
    "bias": True,
    "dilation": 1,
}
_BATCH_NORM = {"num_features": REQUIRED, "eps": 1e-5, "momentum": 0.1, "affine": True}
_INSTANCE_NORM = {"num_features": REQUIRED, "eps": 1e-5, "momentum": 0.1, "affine": False}
_MAX_POOL = {"kernel_size": REQUIRED, "stride": AS_KERNEL, "padding": 0, "dilation": 1, "ceil_mode": False}
_AVG_POOL = {
    "kernel_size": REQUIRED,
    "stride": AS_KERNEL,
    "padding": 0,
    "ceil_mode": False,
    "count_include_pad": True,
}
_SIZE = {"output_size": REQUIRED}
_DROPOUT = {"p": 0.5}
_PADDING = {"padding": REQUIRED}


def _ranks(name: str, arguments: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name.replace("*", str(rank)): arguments for rank in (1, 2, 3)}


SIGNATURES: dict[str, dict[str, Any]] = {
    **_ranks("nn.Conv*d", _CONV),
    **_ranks("nn.ConvTranspose*d", _CONV_TRANSPOSE),
    **_ranks("nn.BatchNorm*d", _BATCH_NORM),
    **_ranks("nn.InstanceNorm*d", _INSTANCE_NORM),
    **_ranks("nn.MaxPool*d", _MAX_POOL),
    **_ranks("nn.AvgPool*d", _AVG_POOL),
    **_ranks("nn.AdaptiveAvgPool*d", _SIZE),
    **_ranks("nn.AdaptiveMaxPool*d", _SIZE),
    **_ranks("nn.Dropout*d", _DROPOUT),
    **_ranks("nn.ZeroPad*d", _PADDING),
    **_ranks("nn.ReflectionPad*d", _PADDING),
    **_ranks("nn.ReplicationPad*d", _PADDING),
    **_ranks("nn.CircularPad*d", _PADDING),
    **_ranks("nn.ConstantPad*d", {"padding": REQUIRED, "value": REQUIRED}),
    "nn.Linear": {"in_features": REQUIRED, "out_features": REQUIRED, "bias": True},
    "nn.LayerNorm": {"normalized_shape": REQUIRED, "eps": 1e-5, "elementwise_affine": True},
    "nn.GroupNorm": {"num_groups": REQUIRED, "num_channels": REQUIRED, "eps": 1e-5, "affine": True},
    "nn.LocalResponseNorm": {"size": REQUIRED, "alpha": 1e-4, "beta": 0.75, "k": 1.0},
    "nn.ReLU": {},
    "nn.ReLU6": {},
    "nn.LeakyReLU": {"negative_slope": 0.01},
    "nn.PReLU": {"num_parameters": 1, "init": 0.25},
    "nn.ELU": {"alpha": 1.0},
    "nn.SELU": {},
    "nn.GELU": {"approximate": "none"},
    "nn.SiLU": {},
    "nn.Mish": {},
    "nn.Sigmoid": {},
    "nn.Tanh": {},
    "nn.Hardsigmoid": {},
    "nn.Hardswish": {},
    "nn.Softplus": {"beta": 1.0, "threshold": 20.0},
    "nn.Softmax": {"dim": None},
    "nn.LogSoftmax": {"dim": None},
    "nn.Dropout": _DROPOUT,
    "nn.Flatten": {},
    "nn.Identity": {},
    "nn.ChannelShuffle": {"groups": REQUIRED},
    "nn.PixelShuffle": {"upscale_factor": REQUIRED},
    "nn.Upsample": {"scale_factor": REQUIRED, "mode": "nearest", "align_corners": None},
    "DropPath": {"rate": REQUIRED},
    "Scale": {"channels": REQUIRED, "init": 1.0},
    "torch.flatten": {"start_dim": 0, "end_dim": -1},
    "torch.reshape": {"shape": REQUIRED},
    "torch.permute": {"dims": REQUIRED},
    "torch.narrow": {"dim": REQUIRED, "start": REQUIRED, "length": REQUIRED},
    "torch.cat": {"dim": 0},
    "F.pad": {"pad": REQUIRED, "mode": "constant", "value": None},
}
"""Arguments by target. What is required is printed by position, and so is the first argument of any."""

KEYWORD_ONLY = frozenset({"scale_factor", "mode", "dim", "value", "align_corners"})
"""Arguments printed by name in any case, since their place says nothing."""

FUNCTIONS: dict[str, str] = {
    "nn.ReLU": "F.relu",
    "nn.ReLU6": "F.relu6",
    "nn.LeakyReLU": "F.leaky_relu",
    "nn.ELU": "F.elu",
    "nn.SELU": "F.selu",
    "nn.GELU": "F.gelu",
    "nn.SiLU": "F.silu",
    "nn.Mish": "F.mish",
    "nn.Sigmoid": "torch.sigmoid",
    "nn.Tanh": "torch.tanh",
    "nn.Hardsigmoid": "F.hardsigmoid",
    "nn.Hardswish": "F.hardswish",
    "nn.Softplus": "F.softplus",
    "nn.Softmax": "F.softmax",
    "nn.LogSoftmax": "F.log_softmax",
    **{f"nn.MaxPool{rank}d": f"F.max_pool{rank}d" for rank in (1, 2, 3)},
    **{f"nn.AvgPool{rank}d": f"F.avg_pool{rank}d" for rank in (1, 2, 3)},
    **{f"nn.AdaptiveAvgPool{rank}d": f"F.adaptive_avg_pool{rank}d" for rank in (1, 2, 3)},
    **{f"nn.AdaptiveMaxPool{rank}d": f"F.adaptive_max_pool{rank}d" for rank in (1, 2, 3)},
    "nn.LocalResponseNorm": "F.local_response_norm",
    "nn.Flatten": "torch.flatten",
    "nn.PixelShuffle": "F.pixel_shuffle",
    "nn.ChannelShuffle": "F.channel_shuffle",
}
"""Modules without state, and the functions that do the same: what `forward` of a person's class would call."""

LIGHT = frozenset(
    {
        *(f"nn.{kind}{rank}d" for kind in ("BatchNorm", "InstanceNorm", "Dropout") for rank in (1, 2, 3)),
        *("nn.LayerNorm", "nn.GroupNorm", "nn.LocalResponseNorm", "nn.PReLU", "nn.Dropout", "nn.Flatten"),
        *("nn.Softmax", "nn.LogSoftmax", "nn.Identity", "DropPath", "Scale"),
        *(target for target in FUNCTIONS if "Pool" not in target and "Shuffle" not in target),
    }
)
"""Modules that stand in one line of `forward` with the layer they follow."""
