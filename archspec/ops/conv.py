"""Convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, ClassVar

from archspec.ops.base import Call
from archspec.ops.fields import Bool, Int, Padding, Sizes, arg
from archspec.ops.given_weights import TakesWeights
from archspec.ops.initial import UNIFORM_BY_FAN
from archspec.ops.windows import (
    DILATION_WORDS,
    KERNEL_WORDS,
    PADDING_WORDS,
    STRIDE_WORDS,
    check_output,
    one_or_all,
    pad_call,
    resolved_padding,
    symmetric,
    window_reach,
    window_text,
)
from archspec.shapes import Pair, Reach, Shape, elements, shape_text, window_out

FILTER_WORDS = (
    *("out_channels", "output_channels", "channels", "num_filters", "out_filters", "out", "outputs", "num_output"),
    *("features", "out_features", "planes", "width", "units", "c_out", "nf", "n"),
)
GROUP_WORDS = ("group", "num_groups", "n_groups", "cardinality")
BIAS_WORDS = ("use_bias", "with_bias", "has_bias", "bias_term", "biases")


class _Convolution(TakesWeights):
    """What the convolutions share. Abstract."""

    wants = gives = "image"
    ranks = (1, 2, 3)
    weighted = True
    initial = UNIFORM_BY_FAN
    color = "#cfe2f3"
    overwritable = True

    function: ClassVar[str] = "F.conv*d"
    """The function that is called where it is given weights."""
    kernel: Shape
    stride: Shape
    padding: tuple[Pair, ...]
    dilation: Shape
    bias: bool

    @property
    def out_channels(self) -> int:
        """Channels of the output."""
        raise NotImplementedError

    @property
    def group_count(self) -> int:
        """How many groups the channels are split into."""
        raise NotImplementedError

    def check_given(self) -> None:
        super().check_given()
        if self.is_given_weights and not symmetric(self.padding):
            message = "padding: expected the same number on both sides of an axis where the weights are given"
            raise self.error("value", message, "padding", "put a `pad` before it")

    def check_groups(self) -> None:
        """Check that both channel counts divide into the groups, as torch.nn.Conv2d does."""
        for channels, of in ((self.channels, "input channels"), (self.out_channels, "filters")):
            if channels % self.group_count:
                message = f"groups: expected a divisor of the {channels} {of}, got {self.group_count}"
                raise self.error("shape", message, "groups")

    def infer(self) -> Shape:
        self.padding = resolved_padding(self, self.padding, self.kernel, self.stride, self.dilation)
        self.check_groups()
        axes = zip(self.spatial, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        out = tuple(window_out(*axis) for axis in axes)
        check_output(self, out, self.kernel, self.padding, self.dilation)
        self.check_given()
        return (self.out_channels, *out)

    def reach(self) -> tuple[Reach, ...] | None:
        return window_reach(self.kernel, self.stride, self.padding, self.dilation)

    def own_weights(self) -> dict[str, Shape]:
        weight = {"weight": (self.out_channels, self.channels // self.group_count, *self.kernel)}
        return {**weight, "bias": (self.out_channels,)} if self.bias else weight

    def macs(self) -> int:
        return elements(self.output) * (self.channels // self.group_count) * prod(self.kernel)

    def calls(self) -> tuple[Call, ...]:
        even = symmetric(self.padding)
        arguments: dict[str, Any] = {
            "stride": one_or_all(self.stride),
            "padding": one_or_all(tuple(low for low, _ in self.padding)) if even else 0,
            "dilation": one_or_all(self.dilation),
            "groups": self.group_count,
        }
        conv = self.call(arguments)
        return (conv,) if even else (pad_call(self.padding), conv)

    def call(self, arguments: Mapping[str, Any]) -> Call:
        """Return the call of its module, or of the function where it is given weights, with these arguments."""
        if self.is_given_weights:
            return Call(self.function.replace("*", str(self.rank)), arguments)
        own = {
            "in_channels": self.channels,
            "out_channels": self.out_channels,
            "kernel_size": one_or_all(self.kernel),
            **arguments,
            "bias": self.bias,
        }
        return Call(self.torch_name, own)

    def summary(self) -> str:
        groups = f", {self.group_count} groups" if self.group_count > 1 else ""
        return f"{window_text(self.kernel, self.stride, self.dilation)}, {self.out_channels}{groups}"


class Conv(_Convolution):
    """Convolution over one to three spatial axes (torch.nn.Conv1d, Conv2d, Conv3d).

    With `from: [x, weight]`, or `[x, weight, bias]`, it has no weights of its own, but reads free tensors, or what is
    computed from such, as weights that are standardised: `[filters, channels / groups, *kernel]` and `[filters]`.
    """

    op = "conv"
    torch = "nn.Conv*d"
    also_called = (
        *("convolution", "conv1d", "conv2d", "conv3d", "convolution1d", "convolution2d", "convolution3d"),
        *("convolutional", "group_conv", "grouped_conv", "pointwise", "pointwise_conv", "dilated_conv", "atrous_conv"),
    )
    example = "64"

    filters: int = arg(Int(1), "output channels", also_called=FILTER_WORDS, free=True)
    kernel: Shape = arg(Sizes(1), "window size", 1, also_called=KERNEL_WORDS)
    stride: Shape = arg(Sizes(1), "step of the window", 1, also_called=STRIDE_WORDS)
    padding: tuple[Pair, ...] = arg(
        Padding("half", "same"), "zeros added around the input", 0, also_called=PADDING_WORDS
    )
    dilation: Shape = arg(Sizes(1), "spacing between the taps of the window", 1, also_called=DILATION_WORDS)
    groups: int = arg(Int(1), "groups of channels that do not mix", 1, also_called=GROUP_WORDS)
    bias: bool = arg(Bool(), "whether a learned constant is added per filter", True, also_called=BIAS_WORDS)

    @property
    def out_channels(self) -> int:
        return self.filters

    @property
    def group_count(self) -> int:
        return self.groups


class DepthwiseConv(_Convolution):
    """Convolution that filters each channel by itself (torch.nn.Conv2d with groups equal to the channels).

    Source: MobileNets, https://arxiv.org/abs/1704.04861
    """

    op = "depthwise_conv"
    torch = "nn.Conv*d"
    also_called = (
        *("depthwise", "depthwise_conv1d", "depthwise_conv2d", "depthwise_conv3d", "depthwise_convolution"),
        *("depthwiseconv", "depthwiseconv2d", "dwconv", "dw_conv", "conv_dw", "convdw", "channelwise_conv"),
    )
    color = "#d0e0e3"
    example = "3"

    kernel: Shape = arg(Sizes(1), "window size", also_called=KERNEL_WORDS)
    stride: Shape = arg(Sizes(1), "step of the window", 1, also_called=STRIDE_WORDS)
    padding: tuple[Pair, ...] = arg(
        Padding("half", "same"), "zeros added around the input", 0, also_called=PADDING_WORDS
    )
    dilation: Shape = arg(Sizes(1), "spacing between the taps of the window", 1, also_called=DILATION_WORDS)
    multiplier: int = arg(
        Int(1),
        "filters per input channel",
        1,
        also_called=("depth_multiplier", "channel_multiplier", "depthwise_multiplier", "mult"),
    )
    bias: bool = arg(Bool(), "whether a learned constant is added per filter", True, also_called=BIAS_WORDS)

    @property
    def out_channels(self) -> int:
        return self.channels * self.multiplier

    @property
    def group_count(self) -> int:
        return self.channels

    def summary(self) -> str:
        times = f", x{self.multiplier}" if self.multiplier > 1 else ""
        return f"{window_text(self.kernel, self.stride, self.dilation)}{times}"


class ConvTranspose(_Convolution):
    """Transposed convolution, which undoes the downsampling of a convolution (torch.nn.ConvTranspose2d)."""

    op = "conv_transpose"
    torch = "nn.ConvTranspose*d"
    function = "F.conv_transpose*d"
    also_called = (
        *("deconv", "deconvolution", "deconv1d", "deconv2d", "deconv3d", "upconv", "up_conv", "upconvolution"),
        *("convtranspose", "convtranspose1d", "convtranspose2d", "convtranspose3d", "conv_transpose1d"),
        *("conv_transpose2d", "conv_transpose3d", "conv1d_transpose", "conv2d_transpose", "conv3d_transpose"),
        *("transposed_conv", "transpose_conv", "transposed_convolution", "fractionally_strided_conv"),
    )
    example = "{filters: 64, kernel: 2, stride: 2}"

    filters: int = arg(Int(1), "output channels", also_called=FILTER_WORDS, free=True)
    kernel: Shape = arg(Sizes(1), "window size", also_called=KERNEL_WORDS)
    stride: Shape = arg(Sizes(1), "factor by which the output grows", 1, also_called=STRIDE_WORDS)
    padding: tuple[Pair, ...] = arg(
        Padding("half"), "rows and columns cut from each side of the output", 0, also_called=PADDING_WORDS
    )
    output_padding: Shape = arg(
        Sizes(0),
        "rows and columns added at the end of the output",
        0,
        also_called=("out_padding", "output_pad", "out_pad", "adj"),
    )
    dilation: Shape = arg(Sizes(1), "spacing between the taps of the window", 1, also_called=DILATION_WORDS)
    groups: int = arg(Int(1), "groups of channels that do not mix", 1, also_called=GROUP_WORDS)
    bias: bool = arg(Bool(), "whether a learned constant is added per filter", True, also_called=BIAS_WORDS)

    @property
    def out_channels(self) -> int:
        return self.filters

    @property
    def group_count(self) -> int:
        return self.groups

    def infer(self) -> Shape:
        self.padding = resolved_padding(self, self.padding, self.kernel, self.stride, self.dilation)
        self.check_groups()
        if not symmetric(self.padding):
            raise self.error("value", "padding: expected the same number on both sides of an axis", "padding")
        for extra, stride, dilation in zip(self.output_padding, self.stride, self.dilation, strict=True):
            if extra >= max(stride, dilation):
                message = f"output_padding: expected less than the stride or the dilation, got {extra}"
                raise self.error("value", message, "output_padding")
        windows = zip(self.kernel, self.stride, self.dilation, strict=True)
        full = ((n - 1) * s + d * (k - 1) + 1 for n, (k, s, d) in zip(self.spatial, windows, strict=True))
        trims = zip(full, self.padding, self.output_padding, strict=True)
        out = tuple(size - low - high + extra for size, (low, high), extra in trims)
        if min(out) < 1:
            raise self.error("shape", f"the padding leaves no output: {shape_text(out)}", "padding")
        self.check_given()
        return (self.filters, *out)

    def reach(self) -> tuple[Reach, ...] | None:
        from fractions import Fraction

        axes = zip(self.kernel, self.stride, self.padding, self.dilation, strict=True)
        return tuple(
            [Reach(Fraction(1, s), Fraction(low - d * (k - 1), s), Fraction(low, s)) for k, s, (low, _), d in axes]
        )

    def own_weights(self) -> dict[str, Shape]:
        weight = {"weight": (self.channels, self.filters // self.groups, *self.kernel)}
        return {**weight, "bias": (self.filters,)} if self.bias else weight

    def macs(self) -> int:
        return elements(self.input) * (self.filters // self.groups) * prod(self.kernel)

    def calls(self) -> tuple[Call, ...]:
        arguments: dict[str, Any] = {
            "stride": one_or_all(self.stride),
            "padding": one_or_all(tuple(low for low, _ in self.padding)),
            "output_padding": one_or_all(self.output_padding),
            "groups": self.groups,
            "dilation": one_or_all(self.dilation),
        }
        return (self.call(arguments),)


OPS = (Conv, DepthwiseConv, ConvTranspose)
