"""Convolutions."""

from __future__ import annotations

from math import prod
from typing import Any

from archspec.ops.base import Call, Op
from archspec.ops.fields import Bool, Int, Padding, Sizes, arg
from archspec.ops.windows import check_output, one_or_all, pad_call, resolved_padding, symmetric, window_text
from archspec.shapes import Pair, Shape, elements, shape_text, window_out


class _Convolution(Op):
    """What the convolutions share. Abstract."""

    ranks = (1, 2, 3)
    weighted = True

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

    def check_groups(self) -> None:
        """Both channel counts must divide into the groups (torch.nn.Conv2d)."""
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
        return (self.out_channels, *out)

    def weights(self) -> dict[str, Shape]:
        weight = {"weight": (self.out_channels, self.channels // self.group_count, *self.kernel)}
        return {**weight, "bias": (self.out_channels,)} if self.bias else weight

    def macs(self) -> int:
        return elements(self.output) * (self.channels // self.group_count) * prod(self.kernel)

    def calls(self) -> tuple[Call, ...]:
        even = symmetric(self.padding)
        arguments: dict[str, Any] = {
            "in_channels": self.channels,
            "out_channels": self.out_channels,
            "kernel_size": one_or_all(self.kernel),
            "stride": one_or_all(self.stride),
            "padding": one_or_all(tuple(low for low, _ in self.padding)) if even else 0,
            "dilation": one_or_all(self.dilation),
            "groups": self.group_count,
            "bias": self.bias,
        }
        conv = Call(self.torch_name, arguments)
        return (conv,) if even else (pad_call(self.padding), conv)

    def summary(self) -> str:
        groups = f", {self.group_count} groups" if self.group_count > 1 else ""
        return f"{window_text(self.kernel, self.stride, self.dilation)}, {self.out_channels}{groups}"


class Conv(_Convolution):
    """Convolution over one to three spatial axes (torch.nn.Conv1d, Conv2d, Conv3d)."""

    op = "conv"
    torch = "nn.Conv*d"
    also_called = ("convolution", "conv2d")

    filters: int = arg(Int(1), "output channels", also_called=("out_channels", "num_output"))
    kernel: Shape = arg(Sizes(1), "window size", 1, also_called=("kernel_size",))
    stride: Shape = arg(Sizes(1), "step of the window", 1, also_called=("step", "strides"))
    padding: tuple[Pair, ...] = arg(Padding("half", "same"), "zeros added around the input", 0)
    dilation: Shape = arg(Sizes(1), "spacing between the taps of the window", 1)
    groups: int = arg(Int(1), "groups of channels that do not mix", 1)
    bias: bool = arg(
        Bool(), "whether a learned constant is added per filter", True, also_called=("use_bias", "bias_term")
    )

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
    also_called = ("depthwise", "dwconv")

    kernel: Shape = arg(Sizes(1), "window size")
    stride: Shape = arg(Sizes(1), "step of the window", 1, also_called=("step", "strides"))
    padding: tuple[Pair, ...] = arg(Padding("half", "same"), "zeros added around the input", 0)
    dilation: Shape = arg(Sizes(1), "spacing between the taps of the window", 1)
    multiplier: int = arg(Int(1), "filters per input channel", 1)
    bias: bool = arg(
        Bool(), "whether a learned constant is added per filter", True, also_called=("use_bias", "bias_term")
    )

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
    also_called = ("deconv", "deconvolution", "transposed_conv", "conv2d_transpose")

    filters: int = arg(Int(1), "output channels", also_called=("out_channels", "num_output"))
    kernel: Shape = arg(Sizes(1), "window size")
    stride: Shape = arg(Sizes(1), "factor by which the output grows", 1)
    padding: tuple[Pair, ...] = arg(Padding("half"), "rows and columns cut from each side of the output", 0)
    output_padding: Shape = arg(Sizes(0), "rows and columns added at the end of the output", 0)
    dilation: Shape = arg(Sizes(1), "spacing between the taps of the window", 1)
    groups: int = arg(Int(1), "groups of channels that do not mix", 1)
    bias: bool = arg(
        Bool(), "whether a learned constant is added per filter", True, also_called=("use_bias", "bias_term")
    )

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
        return (self.filters, *out)

    def weights(self) -> dict[str, Shape]:
        weight = {"weight": (self.channels, self.filters // self.groups, *self.kernel)}
        return {**weight, "bias": (self.filters,)} if self.bias else weight

    def macs(self) -> int:
        return elements(self.input) * (self.filters // self.groups) * prod(self.kernel)

    def calls(self) -> tuple[Call, ...]:
        arguments: dict[str, Any] = {
            "in_channels": self.channels,
            "out_channels": self.filters,
            "kernel_size": one_or_all(self.kernel),
            "stride": one_or_all(self.stride),
            "padding": one_or_all(tuple(low for low, _ in self.padding)),
            "output_padding": one_or_all(self.output_padding),
            "groups": self.groups,
            "bias": self.bias,
            "dilation": one_or_all(self.dilation),
        }
        return (Call(self.torch_name, arguments),)


OPS = (Conv, DepthwiseConv, ConvTranspose)
