"""Ops between images and tokens: a token is a position with its features, the last axis."""

from __future__ import annotations

from math import isqrt

from archspec.ops.base import ANY_RANK, Call, Op
from archspec.ops.fields import Axes, Choice, Int, OneOrMore, Sizes, arg
from archspec.ops.windows import sizes_text
from archspec.shapes import Shape, elements, shape_text

HEIGHT_WORDS = ("h", "rows", "out_height")
WIDTH_WORDS = ("w", "cols", "columns", "out_width")
_LAYOUT_WORDS = ("layout", "channels", "format")
_CHANNELS_DOC = "where the channels of the image stand: `first`, as everywhere, or `last`"


class ToTokens(Op):
    """The pixels of an image as tokens, row by row: `[C, H, W]` becomes `[H * W, C]` (torch.flatten, torch.transpose).

    Source: An Image is Worth 16x16 Words, https://arxiv.org/abs/2010.11929
    """

    op = "to_tokens"
    gives = "tokens"
    torch = "torch.transpose"
    also_called = (
        *("tokens", "tokenize", "tokenise", "flatten_spatial", "image_to_tokens", "to_sequence", "to_seq"),
        *("patches_to_tokens", "img2seq", "im2seq", "to_patches", "nchw_to_nlc", "flatten_patches"),
    )
    ranks = (1, 2, 3)
    methods = True
    on_line_of_input = True

    def infer(self) -> Shape:
        return (elements(self.spatial), self.channels)

    def calls(self) -> tuple[Call, ...]:
        transposed = Call("torch.transpose", {"dim0": 1, "dim1": 2})
        return (transposed,) if self.rank == 1 else (Call("torch.flatten", {"start_dim": 2}), transposed)


class ToImage(Op):
    """Tokens as the pixels of an image: `[H * W, C]` becomes `[C, H, W]` (torch.transpose, torch.reshape).

    They come row by row. With neither height nor width the image is a square.
    """

    op = "to_image"
    gives = "image"
    torch = "torch.transpose"
    also_called = (
        *("tokens_to_image", "image_from_tokens", "from_tokens", "unflatten_spatial", "to_map", "to_feature_map"),
        *("seq2img", "seq_to_image", "tokens_to_map", "nlc_to_nchw", "unpatchify", "to_grid"),
    )
    ranks = (1,)
    methods = True
    on_line_of_input = True
    example = "{height: 8}"

    height: int | None = arg(Int(1), "rows; by default what follows from the width", None, also_called=HEIGHT_WORDS)
    width: int | None = arg(Int(1), "columns; by default what follows from the height", None, also_called=WIDTH_WORDS)

    def infer(self) -> Shape:
        tokens, features = self.input
        height, width = image_sizes(self, tokens, self.height, self.width)
        return (features, height, width)

    def calls(self) -> tuple[Call, ...]:
        transposed = Call("torch.transpose", {"dim0": 1, "dim1": 2})
        return transposed, Call("torch.reshape", {"shape": (-1, *self.output)})

    def summary(self) -> str:
        return shape_text(self.output[1:])


def image_sizes(op: Op, count: int, height: int | None, width: int | None, what: str = "tokens") -> tuple[int, int]:
    """Return the height and the width of an image of `count` pixels. Raises: Complaint if there is no such image."""
    if height is None and width is None:
        height = isqrt(count)
        if height * height != count:
            help = "give the `height`: `to_image: {height: 7}`" if op.op == "to_image" else "give the `height`"
            raise op.error("shape", f"{count} {what} are not a square", "height", help)
        return height, height
    if height is None or width is None:
        given = width if height is None else height
        assert given is not None
        name = "width" if height is None else "height"
        if count % given:
            raise op.error("shape", f"{name}: expected a divisor of the {count} {what}, got {given}", name)
        other = count // given
        return (other, given) if height is None else (given, other)
    if height * width != count:
        raise op.error("shape", f"{height}x{width} has {height * width} {what}, the input has {count}", "height")
    return height, width


class WindowPartition(Op):
    """An image cut into windows, each a list of tokens (archspec.backends.layers.WindowPartition).

    `[C, H, W]` becomes `[windows, h * w, C]`, row by row. Source: Swin Transformer, https://arxiv.org/abs/2103.14030
    """

    op = "window_partition"
    gives = "tokens"
    torch = "WindowPartition"
    also_called = ("windowpartition", "partition", "to_windows", "partition_windows", "window_split", "windows")
    ranks = (2,)
    example = "7"

    size: Shape = arg(
        Sizes(1), "height and width of a window", also_called=("window_size", "window", "kernel", "partition_size")
    )
    channels_at: str = arg(
        Choice("first", "last"), _CHANNELS_DOC, "first", also_called=("layout", "channels", "format")
    )

    def infer(self) -> Shape:
        height, width, channels = self.input if self.channels_at == "last" else (*self.spatial, self.channels)
        for name, size, window in (("height", height, self.size[0]), ("width", width, self.size[1])):
            if size % window:
                help = f"`pad` or resize the image to a multiple of {window} first"
                raise self.error("shape", f"size: windows of {window} do not divide the {name} {size}", "size", help)
        windows = (height // self.size[0]) * (width // self.size[1])
        return (windows, elements(self.size), channels)

    def calls(self) -> tuple[Call, ...]:
        cut = Call("WindowPartition", {"size": self.size})
        return (cut,) if self.channels_at == "last" else (Call("torch.permute", {"dims": (0, 2, 3, 1)}), cut)

    def summary(self) -> str:
        return sizes_text(self.size) if len(set(self.size)) > 1 else f"{self.size[0]}x{self.size[0]}"


class WindowReverse(Op):
    """Windows put together to the image that they were cut from (archspec.backends.layers.WindowReverse).

    `[windows, h * w, C]` becomes `[C, H, W]`; with neither height nor width the image is a square.
    """

    op = "window_reverse"
    torch = "WindowReverse"
    also_called = (
        *("windowreverse", "window_unpartition", "unpartition", "from_windows", "window_departition", "window_merge"),
        *("merge_windows", "reverse_windows", "windows_to_image"),
    )
    ranks = (2,)
    example = "{size: [7, 2], height: 56}"

    size: Shape = arg(
        Sizes(1), "height and width of a window", also_called=("window_size", "window", "kernel", "partition_size")
    )
    height: int | None = arg(
        Int(1), "rows of the image; by default what follows from the width", None, also_called=HEIGHT_WORDS
    )
    width: int | None = arg(
        Int(1), "columns of the image; by default what follows from the height", None, also_called=WIDTH_WORDS
    )
    channels_at: str = arg(
        Choice("first", "last"), _CHANNELS_DOC, "first", also_called=("layout", "channels", "format")
    )

    def infer(self) -> Shape:
        windows, tokens, features = self.input
        if tokens != elements(self.size):
            message = f"size: {shape_text(self.size)} has {elements(self.size)} tokens, the windows have {tokens}"
            raise self.error("shape", message, "size")
        height, width = image_sizes(self, windows * tokens, self.height, self.width, "pixels")
        for name, size, window in (("height", height, self.size[0]), ("width", width, self.size[1])):
            if size % window:
                raise self.error("shape", f"{name}: expected a multiple of {window}, got {size}", name)
        return (height, width, features) if self.channels_at == "last" else (features, height, width)

    def calls(self) -> tuple[Call, ...]:
        height = self.output[0] if self.channels_at == "last" else self.output[1]
        joined = Call("WindowReverse", {"size": self.size, "height": height})
        return (joined,) if self.channels_at == "last" else (joined, Call("torch.permute", {"dims": (0, 3, 1, 2)}))

    def summary(self) -> str:
        return shape_text(self.output)


class Roll(Op):
    """Numbers moved along axes; what leaves at one end comes in at the other (torch.roll)."""

    op = "roll"
    torch = "torch.roll"
    also_called = ("cyclic_shift", "shift", "circular_shift", "rotate", "temporal_shift")
    ranks = ANY_RANK
    example = "{shifts: 1, axes: last}"

    shifts: tuple[int, ...] = arg(
        OneOrMore(),
        "how far, an integer per axis; negative towards the start",
        also_called=("shift", "amount", "offset", "by", "shift_size"),
    )
    axes: tuple[int, ...] = arg(
        Axes(), "the axes, by name, or by number from 0 for the channels", also_called=("axis", "dims", "dim", "along")
    )

    def infer(self) -> Shape:
        if len(self.shifts) != len(self.axes):
            message = f"shifts: expected {len(self.axes)}, one per axis, got {len(self.shifts)}"
            raise self.error("shape", message, "shifts")
        return self.input

    def calls(self) -> tuple[Call, ...]:
        one = len(self.axes) == 1
        shifts, dims = self.shifts, tuple(1 + axis for axis in self.axes)
        return (Call(self.torch_name, {"shifts": shifts[0] if one else shifts, "dims": dims[0] if one else dims}),)

    def summary(self) -> str:
        pairs = zip(self.axes, self.shifts, strict=True)
        return ", ".join(f"axis {axis} by {shift}" for axis, shift in pairs)


OPS = (ToTokens, ToImage, WindowPartition, WindowReverse, Roll)
