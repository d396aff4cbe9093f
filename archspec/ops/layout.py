"""Ops that move numbers without changing them; beside an interpolating `upsample` they count no FLOPs."""

from __future__ import annotations

from math import floor
from typing import Any

from archspec.errors import Complaint
from archspec.ops.base import ANY_RANK, Call, Op
from archspec.ops.fields import (
    Axis,
    Bool,
    Choice,
    Factors,
    Float,
    Int,
    Integers,
    OneOrMore,
    Operand,
    Padding,
    Sizes,
    arg,
    axis_names,
    axis_position,
    torch_dim,
)
from archspec.ops.windows import (
    DILATION_WORDS,
    KERNEL_WORDS,
    PADDING_WORDS,
    STRIDE_WORDS,
    check_output,
    one_or_all,
    padded,
    padding_text,
    sizes_text,
    torch_order,
    window_text,
)
from archspec.shapes import HERE, Pair, Reach, Shape, elements, shape_text, window_out


def narrow(axis: str, rank: int, start: int, length: int) -> Call:
    """Return a call that takes a stretch of one axis."""
    return Call("torch.narrow", {"dim": torch_dim(axis, rank), "start": start, "length": length})


class Flatten(Op):
    """All axes in one (torch.nn.Flatten)."""

    op = "flatten"
    torch = "nn.Flatten"
    also_called = ("flat", "ravel", "vectorize", "vectorise", "to_vector", "flattened")
    ranks = ANY_RANK
    foreign_arguments = dict.fromkeys(("start_dim", "end_dim", "axis", "dim"), "it flattens all axes but the batch")
    functional = True
    without_module = True
    on_line_of_input = True

    def infer(self) -> Shape:
        return (elements(self.input),)

    def calls(self) -> tuple[Call, ...]:
        return (Call(self.torch_name),)


class Reshape(Op):
    """The same numbers in the same order, in another shape (torch.reshape)."""

    op = "reshape"
    torch = "torch.reshape"
    also_called = ("view", "unflatten", "squeeze", "unsqueeze", "expand_dims", "rearrange", "refold")
    ranks = ANY_RANK
    example = "[64, -1]"

    shape: Shape = arg(
        Integers(-1),
        "the shape without the batch; one axis may be -1, what is left for it",
        also_called=("size", "sizes", "dims", "new_shape", "target_shape", "output_shape", "to"),
    )

    def infer(self) -> Shape:
        if 0 in self.shape or self.shape.count(-1) > 1:
            raise self.error("value", "shape: expected sizes of at least 1, and at most one -1", "shape")
        known = elements(tuple(size for size in self.shape if size != -1))
        left, rest = divmod(elements(self.input), known)
        if rest or (left != 1 and -1 not in self.shape):
            goal = "x".join("?" if size == -1 else str(size) for size in self.shape)
            message = f"{shape_text(self.input)} ({elements(self.input)} numbers) does not fill {goal}"
            raise self.error("shape", message, "shape")
        self.shape = tuple(left if size == -1 else size for size in self.shape)
        return self.shape

    def surprise(self) -> Complaint | None:
        if len(self.output) != 2 or self.output[0] != 1 or self.rank < 2:
            return None
        message = f"{shape_text(self.input)} becomes {shape_text(self.output)}, with a first axis of 1"
        return self.error("shape", message, help="the batch is not written: `- flatten` gives features")

    def calls(self) -> tuple[Call, ...]:
        return (Call(self.torch_name, {"shape": (-1, *self.shape)}),)

    def summary(self) -> str:
        return shape_text(self.shape)


class Permute(Op):
    """The axes in another order (torch.permute)."""

    op = "permute"
    torch = "torch.permute"
    also_called = (
        "transpose",
        "permutation",
        "permute_axes",
        "swapaxes",
        "swap_axes",
        "swapdims",
        "movedim",
        "moveaxis",
    )
    ranks = ANY_RANK
    example = "[1, 2, 0]"

    order: Shape = arg(
        Integers(0),
        "the input's axes in their new order, counted from 0 for the channels",
        also_called=("dims", "axes", "axis", "perm", "permutation", "dim_order"),
    )

    def infer(self) -> Shape:
        if sorted(self.order) != list(range(len(self.input))):
            message = f"order: expected each of 0 to {self.rank} once, got {list(self.order)}"
            raise self.error("shape", message, "order", self._without_batch())
        return tuple(self.input[axis] for axis in self.order)

    def _without_batch(self) -> str | None:
        """Return the help for an order that counts the batch, as torch does."""
        if self.order[0] != 0 or sorted(self.order) != list(range(len(self.input) + 1)):
            return None
        return f"the batch is not counted: {[axis - 1 for axis in self.order[1:]]}"

    def calls(self) -> tuple[Call, ...]:
        return (Call(self.torch_name, {"dims": (0, *(1 + axis for axis in self.order))}),)

    def summary(self) -> str:
        return ", ".join(map(str, self.order))


class Pad(Op):
    """Rows and columns added around the input (torch.nn.ZeroPad2d, ConstantPad2d, ReflectionPad2d, ...)."""

    op = "pad"
    torch = "nn.ZeroPad*d"
    also_called = (
        *("padding", "pad2d", "zero_pad", "zeropad", "zeropad2d", "zero_padding", "zeropadding", "zeropadding2d"),
        *("zero_padding2d", "constant_pad", "constantpad2d", "reflect_pad", "reflection_pad", "reflectionpad2d"),
        *("replicate_pad", "replication_pad", "replicationpad2d", "circular_pad", "circularpad2d"),
    )
    ranks = (1, 2, 3)
    example = "1"

    padding: tuple[Pair, ...] = arg(
        Padding(),
        "how much is added before and after: a number, per axis, or pairs",
        also_called=("pad", "pads", "paddings", "amount", "size", "width"),
    )
    mode: str = arg(
        Choice("constant", "reflect", "replicate", "circular"),
        "where the added numbers come from",
        "constant",
        also_called=("padding_mode", "pad_mode", "kind", "type", "method"),
    )
    value: float = arg(
        Float(),
        "the added number, where the mode is constant",
        0.0,
        also_called=("constant", "constant_value", "constant_values", "fill", "fill_value", "pad_value"),
    )

    def infer(self) -> Shape:
        if self.value and self.mode != "constant":
            raise self.error("argument", f"value: not allowed with mode `{self.mode}`", "value")
        spare = {"reflect": 1, "circular": 0}.get(self.mode)
        for size, pair in zip(self.spatial, self.padding, strict=True):
            if spare is not None and max(pair) > size - spare:
                raise self.error(
                    "shape",
                    f"padding: expected at most {size - spare} to {self.mode} from {size}, got {max(pair)}",
                    "padding",
                )
        return (self.channels, *padded(self.spatial, self.padding))

    def reach(self) -> tuple[Reach, ...] | None:
        return tuple([Reach(1, -low, -low) for low, _ in self.padding])

    def calls(self) -> tuple[Call, ...]:
        words = {"reflect": "Reflection", "replicate": "Replication", "circular": "Circular"}
        word = words.get(self.mode, "Constant" if self.value else "Zero")
        arguments: dict[str, Any] = {"padding": torch_order(self.padding)}
        if self.value:
            arguments["value"] = self.value
        return (Call(f"nn.{word}Pad{self.rank}d", arguments),)

    def summary(self) -> str:
        return padding_text(self.padding) + ("" if self.mode == "constant" else f", {self.mode}")


class Crop(Op):
    """Rows and columns cut from around the input (torch.narrow)."""

    op = "crop"
    torch = "torch.narrow"
    also_called = ("cropping", "cropping1d", "cropping2d", "cropping3d", "center_crop", "cut", "trim", "unpad")
    ranks = (1, 2, 3)
    functional = True
    example = "1"

    amount: tuple[Pair, ...] = arg(
        Padding(),
        "how much is cut before and after: a number, per axis, or pairs",
        also_called=("crop", "cropping", "crops", "margin", "margins", "padding", "border", "size"),
    )

    def infer(self) -> Shape:
        out = tuple(size - sum(pair) for size, pair in zip(self.spatial, self.amount, strict=True))
        if min(out) < 1:
            raise self.error("shape", f"amount: nothing is left of {shape_text(self.spatial)}", "amount")
        return (self.channels, *out)

    def reach(self) -> tuple[Reach, ...] | None:
        return tuple([Reach(1, low, low) for low, _ in self.amount])

    def calls(self) -> tuple[Call, ...]:
        names = axis_names(self.rank)
        cut = (axis for axis, pair in enumerate(self.amount, start=1) if any(pair))
        return tuple(narrow(names[axis], self.rank, self.amount[axis - 1][0], self.output[axis]) for axis in cut) or (
            Call("nn.Identity"),
        )

    def summary(self) -> str:
        return padding_text(self.amount)


def _moved(rank: int, position: int, start: int) -> tuple[Reach, ...]:
    """Return what a part reads that begins at a place of the axis at a position of the shape."""
    return tuple([Reach(1, start, start) if number == position else HERE for number in range(1, rank + 1)])


class Slice(Op):
    """A stretch of one axis, as Python's `x[start:stop]` (torch.narrow)."""

    op = "slice"
    torch = "torch.narrow"
    also_called = ("narrow", "strided_slice", "index_select", "select", "take", "subset")
    ranks = ANY_RANK
    example = "{start: 0, stop: 1}"

    start: int = arg(
        Int(),
        "the first that is kept; negative numbers count from the end",
        also_called=("begin", "first", "offset", "low"),
    )
    stop: int | None = arg(
        Int(),
        "the first that is no longer kept; by default all that follow are",
        None,
        also_called=("end", "to", "until", "last", "high"),
    )
    axis: str = arg(Axis(), "the axis that is cut", "channels", also_called=("dim", "dimension", "along"))

    @property
    def position(self) -> int:
        """Where the axis stands in a shape."""
        return axis_position(self.axis, self.rank)

    def infer(self) -> Shape:
        at = self.position
        size = self.input[at]
        start, stop = _from_zero(self.start, size), size if self.stop is None else _from_zero(self.stop, size)
        if stop <= start:
            text = f"[{self.start}:{'' if self.stop is None else self.stop}]"
            raise self.error("shape", f"the slice {text} of {size} ({self.axis}) is empty", "start")
        if any(edge is not None and not -size <= edge <= size for edge in (self.start, self.stop)):
            start, stop = int(start), int(stop)  # what is cut short at the end of an axis follows from no expression
        self.start, self.stop = start, stop
        return (*self.input[:at], stop - start, *self.input[at + 1 :])

    def reach(self) -> tuple[Reach, ...] | None:
        return _moved(self.rank, self.position, self.start)

    def calls(self) -> tuple[Call, ...]:
        return (narrow(self.axis, self.rank, self.start, self.output[self.position]),)

    def summary(self) -> str:
        return f"{self.start}:{self.stop}" + ("" if self.axis == "channels" else f", axis={self.axis}")


def _from_zero(position: int, size: int) -> int:
    """Return a position within an axis counted from its start, as Python's slices read it."""
    return min(position, size) if position >= 0 else max(size + position, 0)


class ChannelShuffle(Op):
    """Channels dealt out anew, so that groups of channels mix (torch.nn.ChannelShuffle).

    Source: ShuffleNet, https://arxiv.org/abs/1707.01083
    """

    local = True
    op = "channel_shuffle"
    torch = "nn.ChannelShuffle"
    also_called = ("channelshuffle", "shuffle", "shuffle_channels", "shuffle_channel")
    ranks = (1, 2, 3)
    functional = True
    example = "2"

    groups: int = arg(
        Int(1), "how many groups the channels come from", also_called=("group", "num_groups", "n_groups", "g")
    )

    def infer(self) -> Shape:
        if self.channels % self.groups:
            message = f"groups: expected a divisor of the {self.channels} channels, got {self.groups}"
            raise self.error("shape", message, "groups")
        return self.input

    def calls(self) -> tuple[Call, ...]:
        return (Call(self.torch_name, {"groups": self.groups}),)

    def summary(self) -> str:
        return f"{self.groups} groups"


class PixelShuffle(Op):
    """Blocks of channels laid out as pixels of a larger image (torch.nn.PixelShuffle).

    Source: https://arxiv.org/abs/1609.05158
    """

    op = "pixel_shuffle"
    torch = "nn.PixelShuffle"
    also_called = (
        *("pixelshuffle", "depth_to_space", "depthtospace", "subpixel", "sub_pixel", "subpixel_conv"),
        *("sub_pixel_conv", "periodic_shuffle"),
    )
    ranks = (2,)
    functional = True
    example = "2"

    factor: int = arg(
        Int(1),
        "how many times higher and wider the output is",
        also_called=("upscale_factor", "scale_factor", "scale", "upscale", "block_size", "r"),
    )

    def infer(self) -> Shape:
        channels, rest = divmod(self.channels, self.factor * self.factor)
        if rest:
            message = f"factor: expected a multiple of {self.factor**2} channels (factor squared), got {self.channels}"
            raise self.error("shape", message, "factor")
        return (channels, *(size * self.factor for size in self.spatial))

    def reach(self) -> tuple[Reach, ...] | None:
        from fractions import Fraction

        return (Reach(Fraction(1, self.factor), Fraction(1 - self.factor, self.factor), 0),) * self.rank

    def calls(self) -> tuple[Call, ...]:
        return (Call(self.torch_name, {"upscale_factor": self.factor}),)

    def summary(self) -> str:
        return f"x{self.factor}"


class Split(Op):
    """Several stretches of one axis, each a value of its own: `split.0`, `split.1`, ... (torch.chunk, torch.split)."""

    op = "split"
    torch = "torch.chunk"
    also_called = ("chunk", "chunks", "unbind", "tensor_split", "split_channels", "channel_split", "divide_channels")
    ranks = ANY_RANK
    in_chain = False
    methods = True
    on_line_of_input = True
    example = "{parts: 2, part: 0}"
    foreign_arguments = dict.fromkeys(("start", "stop"), "`slice` takes one stretch")

    parts: int | None = arg(
        Int(1),
        "into how many equal parts",
        None,
        also_called=("chunks", "n", "num", "sections", "num_chunks", "number", "count"),
    )
    sizes: tuple[int, ...] | None = arg(
        OneOrMore(1),
        "the size of each part, where they are not equal",
        None,
        also_called=("split_sizes", "lengths", "split_size_or_sections", "size"),
    )
    axis: str = arg(Axis(), "the axis that is cut", "channels", also_called=("dim", "dimension", "along"))
    part: int | None = arg(
        Int(0), "the one part that is kept, from 0; by default all are", None, also_called=("index", "only", "keep")
    )

    @property
    def position(self) -> int:
        """Where the axis stands in a shape."""
        return axis_position(self.axis, self.rank)

    def infer(self) -> Shape:
        lengths = self._lengths()
        if self.part is not None and self.part >= len(lengths):
            message = f"part: expected at most {len(lengths) - 1}, counted from 0, got {self.part}"
            raise self.error("value", message, "part")
        at = self.position
        return (*self.input[:at], lengths[self.part or 0], *self.input[at + 1 :])

    def _lengths(self) -> tuple[int, ...]:
        """Return the size of each part. Raises: Complaint if they are not what the axis has."""
        size = self.input[self.position]
        if self.sizes is not None and self.parts is not None:
            raise self.error("argument", "expected `parts` or `sizes`, got both", "sizes")
        if self.sizes is not None:
            if sum(self.sizes) != size:
                total = " + ".join(map(str, self.sizes))
                message = f"sizes: expected a sum of {size} ({self.axis}), got {total} = {sum(self.sizes)}"
                raise self.error("shape", message, "sizes")
            return self.sizes
        if self.parts is None:
            raise self.error("argument", "missing argument `parts`, or `sizes`", help="`split: {parts: 3, axis: last}`")
        if size % self.parts:
            message = f"parts: expected a divisor of {size} ({self.axis}), got {self.parts}"
            raise self.error("shape", message, "parts", "`sizes` gives each part its size")
        return (size // self.parts,) * int(self.parts)

    def results(self) -> tuple[dict[str, Any], ...]:
        return tuple({"part": part} for part in range(len(self._lengths()))) if self.part is None else ()

    def whole(self) -> Split:
        arguments = {name: value for name, value in self.args().items() if name != "part"}
        return Split(self.inputs, arguments, leads=self.leads)

    def calls(self) -> tuple[Call, ...]:
        dim = {"dim": torch_dim(self.axis, self.rank)}
        lengths = self._lengths()
        if self.part is not None:
            return (narrow(self.axis, self.rank, sum(lengths[: self.part]), lengths[self.part]),)
        if self.sizes is None:
            return (Call("torch.chunk", {"chunks": self.parts, **dim}),)
        return (Call("torch.split", {"split_size_or_sections": list(self.sizes), **dim}),)

    def reach(self) -> tuple[Reach, ...] | None:
        return _moved(self.rank, self.position, sum(self._lengths()[: self.part or 0]))

    def summary(self) -> str:
        lengths = self._lengths()
        start = sum(lengths[: self.part or 0])
        where = f", axis={self.axis}" if self.axis != "channels" else ""
        return f"{start}:{start + lengths[self.part or 0]}{where}"


class Upsample(Op):
    """A larger image, by repeating or interpolating (torch.nn.Upsample)."""

    op = "upsample"
    wants = gives = "image"
    torch = "nn.Upsample"
    also_called = (
        *("resize", "interpolate", "interpolation", "upsampling", "upsampling1d", "upsampling2d", "upsampling3d"),
        *("upsample1d", "upsample2d", "upsample3d", "up_sampling", "up_sampling2d", "upscale", "up", "zoom", "unpool"),
        *("resize_nearest", "resize_bilinear", "bilinear", "nearest"),
    )
    ranks = (1, 2, 3)
    example = "2"
    work_doc = (
        "2 per element and neighbour: 2, 4 or 8 neighbours by rank for linear, 16 for cubic, 0 for the nearest modes; "
        "with `antialias`, more where the image gets smaller"
    )

    scale: tuple[float, ...] | None = arg(
        Factors(),
        "how many times larger the output is; below 1, it is smaller",
        None,
        also_called=("scale_factor", "scale_factors", "factor", "factors", "upscale", "stride", "times"),
    )
    size: Shape | None = arg(
        Sizes(1),
        "the size of the output, in place of a scale",
        None,
        also_called=("output_size", "sizes", "out_size", "target_size", "target", "to", "shape"),
    )
    like: str | None = arg(
        Operand(),
        "the step whose spatial size the output gets, in place of a scale",
        None,
        also_called=("size_of", "size_like", "as", "match", "same_as", "like_step"),
    )
    mode: str = arg(
        Choice("nearest", "nearest-exact", "linear", "cubic"),
        "how the numbers in between are found",
        "nearest",
        also_called=("interpolation", "interp", "method", "resample", "kind", "type"),
    )
    align_corners: bool = arg(
        Bool(),
        "whether the corner pixels keep their values (linear and cubic)",
        False,
        also_called=("align", "corners", "aligned"),
    )

    antialias: bool = arg(
        Bool(),
        "whether a smaller image is a mean of the larger one (linear and cubic, of images)",
        False,
        also_called=("anti_alias", "anti_aliasing", "antialiased"),
    )

    def infer(self) -> Shape:
        if self.mode == "cubic" and self.rank != 2:
            raise self.error("shape", f"mode: `cubic` needs 2 spatial axes, got {self.rank}", "mode")
        for name in ("align_corners", "antialias"):
            if getattr(self, name) and self.mode.startswith("nearest"):
                raise self.error("argument", f"{name}: not allowed with mode `{self.mode}`", name)
        if self.antialias and self.rank != 2:
            raise self.error("shape", f"antialias: needs 2 spatial axes, got {self.rank}", "antialias")
        return (self.channels, *self._sizes())

    def _sizes(self) -> Shape:
        """Return the spatial axes of the output. Raises: Complaint if not exactly one argument says them."""
        given = [name for name in ("scale", "size", "like") if getattr(self, name) is not None]
        if len(given) != 1:
            got = " and ".join(f"`{name}`" for name in given) or "none of them"
            name = given[-1] if given else None
            raise self.error("argument", f"expected one of `scale`, `size` and `like`, got {got}", name)
        if self.size is not None:
            return self.size
        if self.scale is not None:
            out = tuple(_scaled(size, scale) for size, scale in zip(self.spatial, self.scale, strict=True))
            if min(out) < 1:
                message = f"scale: nothing is left of {shape_text(self.spatial)}, got {sizes_text(out)}"
                raise self.error("shape", message, "scale")
            return out
        if len(self.inputs) < 2:
            raise self.error("argument", "like: expected a second input, got none", "like")
        self.like = "1"
        other = self.inputs[1]
        if len(other) != len(self.input):
            message = f"like: expected a value of {len(self.input)} axes, got {self.operand(1)}"
            raise self.error("shape", message, "like")
        return other[1:]

    def reach(self) -> tuple[Reach, ...] | None:
        if self.antialias:
            return None
        from fractions import Fraction

        found = []
        scales = self.scale or (None,) * self.rank
        for size, out, scale in zip(self.spatial, self.output[1:], scales, strict=True):
            step, start = Fraction(size, out) if scale is None else 1 / Fraction(str(scale)), Fraction(0)
            if self.align_corners:
                step = Fraction(size - 1, out - 1) if out > 1 else Fraction(0)
            elif self.mode != "nearest":
                start = (step - 1) / 2 if self.mode != "nearest-exact" else step / 2
            # Where a place lies between two, the neighbours on both sides are read.
            between = max(step.denominator, start.denominator)
            beyond = Fraction(between - 1, between) + (self.mode == "cubic")
            found.append(Reach(step, start - beyond, start + (0 if self.mode.startswith("nearest") else beyond)))
        return tuple(found)

    def flops(self) -> int:
        taps = {"linear": 2, "cubic": 4}.get(self.mode, 0)
        neighbours = 1
        for size, out in zip(self.spatial, self.output[1:], strict=True):
            neighbours *= -(-taps * max(size, out) // out) if self.antialias else taps
        return 2 * neighbours * elements(self.output)

    def calls(self) -> tuple[Call, ...]:
        linear = ("linear", "bilinear", "trilinear")[self.rank - 1]
        arguments: dict[str, Any] = {"mode": {"linear": linear, "cubic": "bicubic"}.get(self.mode, self.mode)}
        if self.align_corners:
            arguments["align_corners"] = True
        if self.antialias:
            arguments["antialias"] = True
        if self.like is not None:
            return (Call("F.interpolate", arguments, reads=(0,), size_of=1),)
        if self.scale is None:
            arguments = {"size": one_or_all(self.output[1:]), **arguments}
        else:
            arguments = {"scale_factor": one_or_all(self.scale), **arguments}
        return (Call("F.interpolate" if self.antialias else self.torch_name, arguments),)

    def summary(self) -> str:
        size = f"x{sizes_text(self.scale)}" if self.scale is not None else shape_text(self.output[1:])  # type: ignore[arg-type]
        return size + ("" if self.mode == "nearest" else f", {self.mode}")


def _scaled(size: int, scale: float) -> int:
    """Return a size times a factor, as torch rounds it."""
    return size * scale if isinstance(scale, int) else floor(float(size) * scale)


class Unfold(Op):
    """The windows of an image side by side: `[C, H, W]` becomes `[C * kernel, windows]` (torch.nn.Unfold)."""

    op = "unfold"
    torch = "nn.Unfold"
    also_called = ("im2col", "extract_patches", "extract_image_patches", "sliding_windows", "image_to_patches")
    ranks = (2,)
    functional = True

    kernel: Shape = arg(Sizes(1), "size of the window", also_called=KERNEL_WORDS)
    stride: Shape = arg(Sizes(1), "step of the window", 1, also_called=STRIDE_WORDS)
    padding: Shape = arg(Sizes(0), "rows and columns of zeros on both sides", 0, also_called=PADDING_WORDS)
    dilation: Shape = arg(Sizes(1), "distance between the numbers of a window", 1, also_called=DILATION_WORDS)

    def infer(self) -> Shape:
        pairs = tuple((size, size) for size in self.padding)
        axes = zip(self.spatial, self.kernel, self.stride, pairs, self.dilation, strict=True)
        out = tuple(window_out(*axis) for axis in axes)
        check_output(self, out, self.kernel, pairs, self.dilation)
        return (self.channels * elements(self.kernel), elements(out))

    def calls(self) -> tuple[Call, ...]:
        names = {"kernel_size": self.kernel, "dilation": self.dilation, "padding": self.padding, "stride": self.stride}
        return (Call(self.torch_name, {name: one_or_all(value) for name, value in names.items()}),)

    def summary(self) -> str:
        return window_text(self.kernel, self.stride, self.dilation)


OPS = (Flatten, Reshape, Permute, Pad, Crop, Slice, Split, ChannelShuffle, PixelShuffle, Upsample, Unfold)
