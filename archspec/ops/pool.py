"""Poolings."""

from __future__ import annotations

from math import prod
from typing import Any

from archspec.ops.base import Call, Op
from archspec.ops.fields import Bool, Padding, Sizes, arg
from archspec.ops.windows import (
    DILATION_WORDS,
    KERNEL_WORDS,
    PADDING_WORDS,
    STRIDE_WORDS,
    check_output,
    one_or_all,
    pad_call,
    padded,
    padding_text,
    resolved_padding,
    sizes_text,
    symmetric,
    window_reach,
    window_text,
)
from archspec.shapes import Pair, Reach, Shape, adaptive_taps, ceil_window_out, elements, window_out


class _WindowPool(Op):
    """What the poolings with a sliding window share. Abstract."""

    wants = gives = "image"
    ranks = (1, 2, 3)
    work_doc = "1 per tap of the windows: the kernel's size per element of the output"
    functional = True
    example = "3"

    kernel: Shape = arg(Sizes(1), "window size", also_called=KERNEL_WORDS)
    stride: Shape = arg(
        Sizes(1),
        "step of the window; by default the kernel, so that windows do not overlap",
        None,
        also_called=STRIDE_WORDS,
    )
    padding: tuple[Pair, ...] = arg(
        Padding("half", "same"), "padding around the input, at most half of the kernel", 0, also_called=PADDING_WORDS
    )
    ceil_mode: bool = arg(
        Bool(),
        "whether a last window may reach beyond the input",
        False,
        also_called=("ceil", "ceiling", "round_up", "use_ceil"),
    )

    @property
    def spacing(self) -> Shape:
        """The dilation per axis."""
        return (1,) * self.rank

    def reach(self) -> tuple[Reach, ...] | None:
        return window_reach(self.kernel, self.stride, self.padding, self.spacing)

    @property
    def torch_sees(self) -> tuple[Shape, tuple[Pair, ...]]:
        """The spatial axes and the padding that torch's pooling is given: none where it is uneven."""
        if symmetric(self.padding):
            return self.spatial, self.padding
        return padded(self.spatial, self.padding), ((0, 0),) * self.rank

    def infer(self) -> Shape:
        self.stride = self.stride or self.kernel
        self.padding = resolved_padding(self, self.padding, self.kernel, self.stride, self.spacing)
        for pair, kernel in zip(self.padding, self.kernel, strict=True):
            if max(pair) > kernel // 2:
                raise self.error(
                    "shape", f"padding: expected at most half of the kernel {kernel}, got {max(pair)}", "padding"
                )
        window = ceil_window_out if self.ceil_mode else window_out
        sizes, padding = self.torch_sees
        axes = zip(sizes, self.kernel, self.stride, padding, self.spacing, strict=True)
        out = tuple(window(*axis) for axis in axes)
        check_output(self, out, self.kernel, self.padding, self.spacing)
        return (self.channels, *out)

    def flops(self) -> int:
        return elements(self.output) * prod(self.kernel)

    def pool_arguments(self) -> dict[str, Any]:
        """Return the arguments that the torch modules share."""
        return {
            "kernel_size": one_or_all(self.kernel),
            "stride": one_or_all(self.stride),
            "padding": one_or_all(tuple(low for low, _ in self.torch_sees[1])),
            "ceil_mode": self.ceil_mode,
        }

    def summary(self) -> str:
        padding = f", padding {padding_text(self.padding)}" if any(map(any, self.padding)) else ""
        return window_text(self.kernel, self.stride, self.spacing) + padding + (", ceil" if self.ceil_mode else "")


class MaxPool(_WindowPool):
    """The largest number in each window (torch.nn.MaxPool1d, MaxPool2d, MaxPool3d)."""

    op = "max_pool"
    torch = "nn.MaxPool*d"
    also_called = (
        *("maxpool", "maxpool1d", "maxpool2d", "maxpool3d", "max_pool1d", "max_pool2d", "max_pool3d", "maxpooling"),
        *("max_pooling", "max_pooling1d", "max_pooling2d", "max_pooling3d", "maxpooling1d", "maxpooling2d"),
        *("maxpooling3d", "pool", "pooling"),
    )

    dilation: Shape = arg(Sizes(1), "spacing between the taps of the window", 1, also_called=DILATION_WORDS)

    @property
    def spacing(self) -> Shape:
        return self.dilation

    def calls(self) -> tuple[Call, ...]:
        pool = Call(self.torch_name, {**self.pool_arguments(), "dilation": one_or_all(self.dilation)})
        return (pool,) if symmetric(self.padding) else (pad_call(self.padding, float("-inf")), pool)


class AvgPool(_WindowPool):
    """The mean of each window (torch.nn.AvgPool1d, AvgPool2d, AvgPool3d)."""

    op = "avg_pool"
    torch = "nn.AvgPool*d"
    also_called = (
        *("avgpool", "avgpool1d", "avgpool2d", "avgpool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "average_pool"),
        *("average_pooling", "average_pooling1d", "average_pooling2d", "average_pooling3d", "averagepooling1d"),
        *("averagepooling2d", "averagepooling3d", "averagepool", "avg_pooling", "avgpooling", "mean_pool"),
        *("mean_pooling", "subsample", "subsampling"),
    )

    count_include_pad: bool = arg(
        Bool(),
        "whether the zeros of the padding count in the mean",
        True,
        also_called=("include_pad", "include_padding", "count_pad", "count_padding"),
    )

    def infer(self) -> Shape:
        output = super().infer()
        if not symmetric(self.padding) and not self.count_include_pad:
            message = f"padding: an uneven one, {padding_text(self.padding)}, cannot be left out of the mean"
            raise self.error("value", message, "padding", "pad evenly, or set `count_include_pad: true`")
        if self.rank == 3 and any(n < k for n, k in zip(self.torch_sees[0], self.kernel, strict=True)):
            size = sizes_text(self.kernel)
            message = f"the kernel {size} is larger than the input, which 3-D pooling does not allow even with padding"
            raise self.error("shape", message, "kernel")
        return output

    def calls(self) -> tuple[Call, ...]:
        pool = Call(self.torch_name, {**self.pool_arguments(), "count_include_pad": self.count_include_pad})
        return (pool,) if symmetric(self.padding) else (pad_call(self.padding), pool)


class _AdaptivePool(Op):
    """What the poolings to a given size share. Abstract."""

    wants = gives = "image"
    ranks = (1, 2, 3)
    work_doc = "1 per tap of the windows, which overlap where the sizes do not divide"
    functional = True
    on_line_of_reader = True

    @property
    def out(self) -> Shape:
        """The spatial axes of the output."""
        raise NotImplementedError

    def infer(self) -> Shape:
        return (self.channels, *self.out)

    def flops(self) -> int:
        return self.channels * prod(adaptive_taps(size, out) for size, out in zip(self.spatial, self.out, strict=True))

    def calls(self) -> tuple[Call, ...]:
        return (Call(self.torch_name, {"output_size": one_or_all(self.out)}),)


class _GlobalPool(_AdaptivePool):
    """What the poolings to a single value per channel share. Abstract."""

    @property
    def out(self) -> Shape:
        return (1,) * self.rank


class GlobalAvgPool(_GlobalPool):
    """The mean of each channel, keeping the spatial axes at 1 (torch.nn.AdaptiveAvgPool2d(1)).

    Source: Network In Network, https://arxiv.org/abs/1312.4400
    """

    op = "global_avg_pool"
    torch = "nn.AdaptiveAvgPool*d"
    also_called = (
        *("gap", "global_pool", "global_pooling", "global_average_pool", "global_average_pooling", "globalavgpool"),
        *("global_avg_pooling", "globalaveragepool", "globalaveragepooling", "globalaveragepooling1d"),
        *("globalaveragepooling2d", "globalaveragepooling3d", "global_average_pooling2d", "global_avg_pool2d"),
        *("global_mean_pool", "global_mean"),
    )


class GlobalMaxPool(_GlobalPool):
    """The largest number of each channel, keeping the spatial axes at 1 (torch.nn.AdaptiveMaxPool2d(1))."""

    op = "global_max_pool"
    torch = "nn.AdaptiveMaxPool*d"
    also_called = (
        *("gmp", "global_max_pooling", "globalmaxpool", "globalmaxpooling", "globalmaxpooling1d"),
        *("globalmaxpooling2d", "globalmaxpooling3d", "global_max_pooling2d", "global_max_pool2d", "global_max"),
    )


class _SizedPool(_AdaptivePool):
    """What the poolings with a `size` share. Abstract."""

    example = "7"

    size: Shape = arg(
        Sizes(1),
        "spatial size of the output",
        also_called=("output_size", "out_size", "target_size", "output", "out", "shape", "bins"),
    )

    @property
    def out(self) -> Shape:
        return self.size

    def reach(self) -> tuple[Reach, ...] | None:
        from fractions import Fraction

        found = []
        for size, out in zip(self.spatial, self.out, strict=True):
            step = Fraction(size, out)
            beyond = Fraction(step.denominator - 1, step.denominator)  # a window starts and ends at whole places
            found.append(Reach(step, -beyond, step - 1 + beyond))
        return tuple(found)

    def summary(self) -> str:
        return sizes_text(self.size)


class AdaptiveAvgPool(_SizedPool):
    """Means over as many windows as the output has elements (torch.nn.AdaptiveAvgPool1d, AdaptiveAvgPool2d, ...)."""

    op = "adaptive_avg_pool"
    torch = "nn.AdaptiveAvgPool*d"
    also_called = (
        *("adaptive_pool", "adaptive_pooling", "adaptive_average_pool", "adaptive_average_pooling"),
        *("adaptiveavgpool", "adaptiveavgpool1d", "adaptiveavgpool2d", "adaptiveavgpool3d", "adaptive_avg_pool1d"),
        *("adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_avg_pooling", "adaptive_mean_pool"),
    )


class AdaptiveMaxPool(_SizedPool):
    """Maxima over as many windows as the output has elements (torch.nn.AdaptiveMaxPool1d, AdaptiveMaxPool2d, ...)."""

    op = "adaptive_max_pool"
    torch = "nn.AdaptiveMaxPool*d"
    also_called = (
        *("adaptive_max_pooling", "adaptivemaxpool", "adaptivemaxpool1d", "adaptivemaxpool2d", "adaptivemaxpool3d"),
        *("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"),
    )


OPS = (MaxPool, AvgPool, GlobalAvgPool, GlobalMaxPool, AdaptiveAvgPool, AdaptiveMaxPool)
