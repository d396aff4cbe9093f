"""For every op, uses of it that are right and uses that are wrong. `test_ops.py` holds them against torch.

A new op gets an entry here; the tests fail until it has one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from archspec.ops.base import Call
from archspec.shapes import Shape


class Good(NamedTuple):
    """A use that is right. torch says what comes out of it."""

    inputs: tuple[Shape, ...]
    arguments: dict[str, Any]


class Bad(NamedTuple):
    """A use that is wrong: the error's code, a part of its message, and the torch call that fails likewise, if any."""

    inputs: tuple[Shape, ...]
    arguments: dict[str, Any]
    code: str
    message: str
    torch: Call | None


class Samples(NamedTuple):
    """What is known of one op."""

    good: list[Good]
    bad: list[Bad]


def good(*inputs: Shape, **arguments: Any) -> Good:
    return Good(inputs, arguments)


def bad(code: str, message: str, *inputs: Shape, torch: Call | None = None, **arguments: Any) -> Bad:
    return Bad(inputs, arguments, code, message, torch)


def nn(name: str, **arguments: Any) -> Call:
    return Call(f"nn.{name}", arguments)


FEATURES, LINE, IMAGE, VOLUME = (12,), (12, 9), (12, 9, 8), (12, 5, 9, 8)
EVERY_RANK = [good(FEATURES), good(LINE), good(IMAGE), good(VOLUME)]
SPATIAL = [good(LINE), good(IMAGE), good(VOLUME)]
UNEVEN = [[0, 1], [2, 0]]
FIVE_AXES = bad("shape", "the input 2x3x4x5x6 is not", (2, 3, 4, 5, 6))
NO_FEATURES = bad("shape", "the input 12 is not", FEATURES)
TWO_INPUTS = bad("argument", "inputs given: 2, wanted: 1", IMAGE, IMAGE)

CONVOLUTION_BAD = [
    bad("shape", "is not 2-D (channels, length) or 3-D", FEATURES, kernel=1),
    bad("shape", "an input is empty: 12x0x8", (12, 0, 8), kernel=1),
    bad("type", "kernel: an integer, or one per spatial axis, is wanted, not the float 3.0", IMAGE, kernel=3.0),
    bad("type", "kernel: an integer, or one per spatial axis, is wanted, not the boolean true", IMAGE, kernel=True),
    bad("type", "kernel: an integer, or one per spatial axis, is wanted, not text '3'", IMAGE, kernel="3"),
    bad("type", "kernel: an integer is wanted, not the float 1.0", IMAGE, kernel=[1, 1.0]),
    bad("shape", "kernel: 3 sizes for an input with 2 spatial axes", IMAGE, kernel=[1, 1, 1]),
    bad("value", "kernel: 0 is below 1", IMAGE, kernel=0),
    bad("value", "stride: 0 is below 1", IMAGE, kernel=1, stride=0),
    bad("value", "dilation: -1 is below 1", IMAGE, kernel=1, dilation=-1),
    bad("value", "padding: -1 is below 0", IMAGE, kernel=1, padding=-1),
    bad("value", "'full' is not a padding", IMAGE, kernel=1, padding="full"),
    bad("type", "padding: a number, one per axis, ", IMAGE, kernel=1, padding=1.5),
    bad("shape", "padding: 1 paddings for an input with 2 spatial axes", IMAGE, kernel=1, padding=[1]),
    bad("value", "a padding pair has two numbers, not 3", IMAGE, kernel=1, padding=[[1, 1, 1], 0]),
    bad("limit", "is beyond the size limit", IMAGE, kernel=10**30),
    bad("type", "bias: true or false is wanted, not text 'no'", IMAGE, kernel=1, bias="no"),
    TWO_INPUTS,
]


def with_filters(samples: list[Bad]) -> list[Bad]:
    return [sample._replace(arguments={"filters": 6, **sample.arguments}) for sample in samples]


WINDOW_GOOD = [
    good(LINE, kernel=3),
    good(LINE, kernel=4, stride=3, padding=2),
    good(LINE, kernel=[3], stride=[2], padding=[[0, 1]]),
    good(LINE, kernel=4, stride=2, padding="same"),
    good(IMAGE, kernel=2),
    good(IMAGE, kernel=[2, 3], stride=[3, 1], padding=[1, 0]),
    good(IMAGE, kernel=3, stride=2, padding="half"),
    good(IMAGE, kernel=3, stride=2, padding="same"),
    good(IMAGE, kernel=4, stride=1, padding=[[1, 2], [2, 0]]),
    good(VOLUME, kernel=3, stride=2, padding=1),
    good(VOLUME, kernel=[1, 3, 2], stride=[1, 2, 3], padding="same"),
    good(VOLUME, kernel=2, padding=[[0, 1], [1, 1], [1, 0]]),
]

POOL_GOOD = [
    *WINDOW_GOOD,
    good(LINE, kernel=4, stride=3, ceil_mode=True),
    good(IMAGE, kernel=3, stride=2, ceil_mode=True),
    good(IMAGE, kernel=2, stride=5, padding=1, ceil_mode=True),
    good(IMAGE, kernel=3, stride=3, padding=[[0, 1], [1, 0]], ceil_mode=True),
    good((12, 2, 2), kernel=3, stride=2, ceil_mode=True),
    good(VOLUME, kernel=2, stride=3, padding=1, ceil_mode=True),
]


def pool_bad(kind: str) -> list[Bad]:
    def pool(**arguments: Any) -> Call:
        return nn(f"{kind}Pool2d", **arguments)

    return [
        NO_FEATURES._replace(arguments={"kernel": 1}),
        TWO_INPUTS._replace(arguments={"kernel": 1}),
        bad("argument", "needs `kernel`: window size", IMAGE),
        bad("value", "kernel: 0 is below 1", IMAGE, kernel=0),
        bad("value", "stride: 0 is below 1", IMAGE, kernel=2, stride=0),
        bad("type", "ceil_mode: true or false is wanted, not the integer 1", IMAGE, kernel=2, ceil_mode=1),
        bad(
            "shape",
            "padding 2 is over half of the kernel 3",
            IMAGE,
            kernel=3,
            padding=2,
            torch=pool(kernel_size=3, padding=2),
        ),
        bad("shape", "padding 2 is over half of the kernel 3", IMAGE, kernel=3, padding=[[0, 2], [0, 1]]),
        bad(
            "shape",
            "the kernel reaches over 10x10, but the padded input is only 9x8",
            IMAGE,
            kernel=10,
            torch=pool(kernel_size=10),
        ),
        bad(
            "shape",
            "the kernel reaches over 10x10, but the padded input is only 9x8",
            IMAGE,
            kernel=10,
            stride=1,
            ceil_mode=True,
            torch=pool(kernel_size=10, stride=1, ceil_mode=True),
        ),
    ]


SAMPLES: dict[str, Samples] = {
    "conv": Samples(
        [
            *(good(*use.inputs, filters=6, **use.arguments) for use in WINDOW_GOOD),
            good(LINE, filters=5),
            good(IMAGE, filters=8, kernel=3, padding=1, groups=4, bias=False),
            good(IMAGE, filters=12, kernel=3, padding="same", groups=12),
            good(IMAGE, filters=7, kernel=3, dilation=[2, 3], padding="half"),
            good(IMAGE, filters=7, kernel=[2, 3], dilation=2, stride=2, padding="same"),
            good(IMAGE, filters=7, kernel=3, padding=5),
            good(VOLUME, filters=6, kernel=3, padding=2, dilation=2, groups=3, bias=False),
        ],
        [
            *with_filters(CONVOLUTION_BAD),
            bad("argument", "conv needs `filters`: output channels", IMAGE, kernel=3),
            bad("value", "filters: -1 is below 1", IMAGE, filters=-1),
            bad("type", "filters: an integer is wanted, not nothing", IMAGE, filters=None),
            bad(
                "shape",
                "6 filters do not divide into 4 groups",
                IMAGE,
                filters=6,
                groups=4,
                torch=nn("Conv2d", in_channels=12, out_channels=6, kernel_size=1, groups=4),
            ),
            bad(
                "shape",
                "12 input channels do not divide into 5 groups",
                IMAGE,
                filters=5,
                groups=5,
                torch=nn("Conv2d", in_channels=12, out_channels=5, kernel_size=1, groups=5),
            ),
            bad(
                "shape",
                "the kernel reaches over 13x13, but the padded input is only 11x10",
                IMAGE,
                filters=1,
                kernel=7,
                dilation=2,
                padding=1,
                torch=nn("Conv2d", in_channels=12, out_channels=1, kernel_size=7, dilation=2, padding=1),
            ),
        ],
    ),
    "depthwise_conv": Samples(
        [
            *WINDOW_GOOD,
            good(IMAGE, kernel=3, padding=1, multiplier=2, bias=False),
            good(VOLUME, kernel=3, dilation=2, padding="half"),
        ],
        [
            *CONVOLUTION_BAD,
            bad("argument", "depthwise_conv needs `kernel`: window size", IMAGE),
            bad("value", "multiplier: 0 is below 1", IMAGE, kernel=3, multiplier=0),
            bad("limit", "the output 55340232221128654860x9x8 is beyond", IMAGE, kernel=1, multiplier=2**62 + 1),
        ],
    ),
    "conv_transpose": Samples(
        [
            good(LINE, filters=5, kernel=3),
            good(LINE, filters=5, kernel=4, stride=3, padding=2, output_padding=2),
            good(IMAGE, filters=6, kernel=2, stride=2),
            good(IMAGE, filters=6, kernel=[2, 3], stride=[2, 1], padding=[1, 0], groups=3, bias=False),
            good(IMAGE, filters=6, kernel=3, stride=2, padding="half", output_padding=[1, 0]),
            good(IMAGE, filters=6, kernel=3, dilation=3, output_padding=2),
            good(VOLUME, filters=4, kernel=3, stride=2, padding=1, output_padding=1, dilation=2, groups=4),
        ],
        [
            *(sample for sample in with_filters(CONVOLUTION_BAD) if sample.arguments.get("padding") != "same"),
            bad("argument", "conv_transpose needs `filters`: output channels", IMAGE, kernel=3),
            bad("argument", "conv_transpose needs `kernel`: window size", IMAGE, filters=6),
            bad("value", "'same' is not a padding", IMAGE, filters=6, kernel=3, padding="same"),
            bad("value", "torch cuts both sides equally", IMAGE, filters=6, kernel=3, padding=UNEVEN),
            bad("shape", "6 filters do not divide into 4 groups", IMAGE, filters=6, kernel=1, groups=4),
            bad(
                "value",
                "output_padding 2 is not below the stride or the dilation",
                IMAGE,
                filters=6,
                kernel=3,
                stride=2,
                output_padding=2,
                torch=nn("ConvTranspose2d", in_channels=12, out_channels=6, kernel_size=3, stride=2, output_padding=2),
            ),
            bad(
                "shape",
                "the padding leaves no output: -1x-2",
                IMAGE,
                filters=6,
                kernel=1,
                padding=5,
                torch=nn("ConvTranspose2d", in_channels=12, out_channels=6, kernel_size=1, padding=5),
            ),
        ],
    ),
    "linear": Samples(
        [
            good(FEATURES, units=10),
            good(FEATURES, units=1, bias=False),
            good(LINE, units=10),
            good(IMAGE, units=3, bias=False),
            good(VOLUME, units=3),
        ],
        [
            bad("argument", "linear needs `units`: output features", FEATURES),
            bad("value", "units: 0 is below 1", FEATURES, units=0),
            bad("type", "units: an integer is wanted, not the float 10.0", FEATURES, units=10.0),
            bad("limit", "units: 9223372036854775808 is beyond", FEATURES, units=2**63),
            FIVE_AXES._replace(arguments={"units": 1}),
        ],
    ),
    "scale": Samples(
        [*EVERY_RANK, good(IMAGE, init=1e-6), good(IMAGE, init=0)],
        [
            bad("type", "init: a number is wanted, not text 'ones'", IMAGE, init="ones"),
            bad("number", "init: inf is not a finite number", IMAGE, init=float("inf")),
            bad("number", "init: nan is not a finite number", IMAGE, init=float("nan")),
            bad("limit", "is beyond the size limit", IMAGE, init=10**400),
        ],
    ),
    "identity": Samples(EVERY_RANK, [FIVE_AXES, TWO_INPUTS]),
    "batch_norm": Samples(
        [*EVERY_RANK, good(IMAGE, eps=1e-3, momentum=0.01), good(LINE, affine=False), good((12, 1, 1), momentum=1)],
        [
            bad("value", "eps: 0 is not above 0", IMAGE, eps=0),
            bad("value", "eps: -1 is not above 0", IMAGE, eps=-1),
            bad("type", "eps: a number is wanted, not text 'small'", IMAGE, eps="small"),
            bad("value", "momentum: 1.5 is above 1", IMAGE, momentum=1.5),
            bad("type", "affine: true or false is wanted, not text 'yes'", IMAGE, affine="yes"),
        ],
    ),
    "layer_norm": Samples(
        [*EVERY_RANK, good(IMAGE, eps=1e-6, affine=False)],
        [bad("value", "eps: -1e-06 is not above 0", IMAGE, eps=-1e-6), FIVE_AXES],
    ),
    "group_norm": Samples(
        [
            *(use._replace(arguments={"groups": 4}) for use in EVERY_RANK),
            good(IMAGE, groups=1, eps=1e-3),
            good(IMAGE, groups=12, affine=False),
        ],
        [
            bad("argument", "group_norm needs `groups`", IMAGE),
            bad(
                "shape",
                "12 channels do not divide into 5 groups",
                IMAGE,
                groups=5,
                torch=nn("GroupNorm", num_groups=5, num_channels=12),
            ),
            bad("shape", "a group of a single value has no variance", (12, 1, 1), groups=12),
            bad("value", "groups: 0 is below 1", IMAGE, groups=0),
        ],
    ),
    "instance_norm": Samples(
        [*SPATIAL, good(IMAGE, eps=1e-3, affine=True), good((12, 1, 2))],
        [
            NO_FEATURES,
            bad(
                "shape",
                "a channel of a single value has no variance",
                (12, 1, 1),
                torch=nn("InstanceNorm2d", num_features=12),
            ),
        ],
    ),
    "local_response_norm": Samples(
        [*SPATIAL, good(IMAGE, size=4, alpha=2e-5, beta=0.5, k=2), good(IMAGE, size=99)],
        [
            NO_FEATURES._replace(torch=nn("LocalResponseNorm", size=5)),
            bad("value", "size: 0 is below 1", IMAGE, size=0),
            bad("value", "alpha: -0.1 is below 0", IMAGE, alpha=-0.1),
        ],
    ),
    **dict.fromkeys(
        ("relu", "relu6", "selu", "silu", "mish", "sigmoid", "tanh", "hardsigmoid", "hardswish"),
        Samples(EVERY_RANK, [FIVE_AXES, TWO_INPUTS]),
    ),
    "leaky_relu": Samples(
        [*EVERY_RANK, good(IMAGE, negative_slope=0.2)],
        [bad("type", "negative_slope: a number is wanted", IMAGE, negative_slope="steep")],
    ),
    "prelu": Samples(
        [*EVERY_RANK, good(IMAGE, num_parameters=12), good(FEATURES, num_parameters=12, init=0)],
        [
            bad(
                "shape",
                "num_parameters is 1 or the number of channels, 12, not 3",
                IMAGE,
                num_parameters=3,
                torch=nn("PReLU", num_parameters=3),
            ),
            bad("value", "num_parameters: 0 is below 1", IMAGE, num_parameters=0),
        ],
    ),
    "elu": Samples([*EVERY_RANK, good(IMAGE, alpha=0.5)], [bad("type", "alpha: a number", IMAGE, alpha=True)]),
    "gelu": Samples(
        [*EVERY_RANK, good(IMAGE, approximate="tanh")],
        [
            bad(
                "value",
                "approximate: 'erf' is not one of none, tanh",
                IMAGE,
                approximate="erf",
                torch=nn("GELU", approximate="erf"),
            ),
            bad("type", "approximate: one of none, tanh is wanted, not the boolean true", IMAGE, approximate=True),
        ],
    ),
    "softplus": Samples(
        [*EVERY_RANK, good(IMAGE, beta=2, threshold=10)], [bad("value", "beta: 0 is not above 0", IMAGE, beta=0)]
    ),
    **dict.fromkeys(
        ("softmax", "log_softmax"),
        Samples(
            [
                *EVERY_RANK,
                good(LINE, axis="length"),
                good(IMAGE, axis="width"),
                good(VOLUME, axis="depth"),
                good(VOLUME, axis="height"),
            ],
            [
                bad("shape", "axis: the input has no axis depth; it has channels, height, width", IMAGE, axis="depth"),
                bad("shape", "it has channels", FEATURES, axis="length", torch=nn("Softmax", dim=2)),
                bad("value", "axis: 'batch' is not one of channels, depth", IMAGE, axis="batch"),
                bad("type", "not the integer 1", IMAGE, axis=1),
            ],
        ),
    ),
    "max_pool": Samples(
        [
            *POOL_GOOD,
            good(IMAGE, kernel=3, stride=1, padding=1, dilation=2),
            good(VOLUME, kernel=2, stride=2, dilation=[1, 2, 3], ceil_mode=True),
        ],
        [
            *pool_bad("Max"),
            bad(
                "shape",
                "padding 2 is over half of the kernel 3",
                IMAGE,
                kernel=3,
                dilation=2,
                padding="half",
                torch=nn("MaxPool2d", kernel_size=3, dilation=2, padding=2),
            ),
        ],
    ),
    "avg_pool": Samples(
        [
            *POOL_GOOD,
            good(IMAGE, kernel=3, stride=2, padding="same", count_include_pad=True),
            good(IMAGE, kernel=3, stride=2, padding=1, count_include_pad=False),
        ],
        [
            *pool_bad("Avg"),
            bad(
                "value",
                "the padding 0x0+1 is uneven, and torch cannot leave it out of the mean",
                IMAGE,
                kernel=3,
                stride=2,
                padding=[0, [0, 1]],
                count_include_pad=False,
            ),
            bad(
                "shape",
                "torch wants a kernel within the input in 3-D; 3 is not",
                (12, 2, 9, 8),
                kernel=3,
                padding=1,
                torch=nn("AvgPool3d", kernel_size=3, padding=1),
            ),
        ],
    ),
    **dict.fromkeys(("global_avg_pool", "global_max_pool"), Samples(SPATIAL, [NO_FEATURES, FIVE_AXES, TWO_INPUTS])),
    **dict.fromkeys(
        ("adaptive_avg_pool", "adaptive_max_pool"),
        Samples(
            [good(LINE, size=4), good(IMAGE, size=[4, 1]), good(IMAGE, size=11), good(VOLUME, size=[2, 3, 8])],
            [
                bad("argument", "needs `size`: spatial size of the output", IMAGE),
                bad("value", "size: 0 is below 1", IMAGE, size=0),
                bad("shape", "size: 3 sizes for an input with 2 spatial axes", IMAGE, size=[1, 1, 1]),
                NO_FEATURES._replace(arguments={"size": 1}),
            ],
        ),
    ),
    "add": Samples(
        [good(FEATURES, FEATURES), good(LINE, LINE), good(IMAGE, IMAGE, IMAGE), good(VOLUME, VOLUME)],
        [
            bad("shape", "add: operands differ: 64x56x56 and 128x28x28", (64, 56, 56), (128, 28, 28), torch=Call("+")),
            bad("shape", "operands differ: 8x4x4 and 1x1x1", (8, 4, 4), (1, 1, 1)),
            bad("shape", "operands differ: 12x9x8 and 12", IMAGE, FEATURES),
            bad("argument", "inputs given: 1, wanted: two or more", IMAGE),
        ],
    ),
    "multiply": Samples(
        [
            good(FEATURES, FEATURES),
            good(LINE, (12, 1)),
            good(IMAGE, (12, 1, 1)),
            good((1, 9, 8), IMAGE, (1, 1, 1)),
            good(VOLUME, (12, 5, 1, 1), VOLUME),
            good((1, 1, 1), (1, 1, 1)),
        ],
        [
            bad("shape", "operands do not fit: 12x9x8 and 6x1x1", IMAGE, (6, 1, 1), torch=Call("*")),
            bad("shape", "operands do not fit: 1x9x8 and 12x1x1", (12, 1, 1), (1, 9, 8)),
            bad("shape", "operands do not fit: 12x9x8 and 12", IMAGE, FEATURES),
            bad("argument", "inputs given: 1, wanted: two or more", IMAGE),
        ],
    ),
    "concat": Samples(
        [
            good(FEATURES, (5,)),
            good(LINE, (12, 4), axis="length"),
            good(IMAGE, (1, 9, 8), IMAGE),
            good(IMAGE, (12, 9, 3), axis="width"),
            good(VOLUME, (12, 1, 9, 8), axis="depth"),
        ],
        [
            bad(
                "shape",
                "operands differ beside the channels: 12x9x8 and 12x9x7",
                IMAGE,
                (12, 9, 7),
                torch=Call("torch.cat", {"dim": 1}, listed=True),
            ),
            bad("shape", "operands differ beside the height: 12x9x8 and 11x9x8", IMAGE, (11, 9, 8), axis="height"),
            bad("shape", "operands differ beside the channels: 12x9x8 and 12x9", IMAGE, LINE),
            bad("shape", "axis: the input has no axis length", IMAGE, IMAGE, axis="length"),
            bad("argument", "inputs given: 1, wanted: two or more", IMAGE),
        ],
    ),
    "flatten": Samples(EVERY_RANK, [FIVE_AXES, bad("limit", "beyond the size limit", (2**40, 2**40))]),
    "reshape": Samples(
        [
            good(FEATURES, shape=[3, 4]),
            good(LINE, shape=[-1]),
            good(IMAGE, shape=[2, -1, 9, 8]),
            good(VOLUME, shape=[60, 72]),
            good(FEATURES, shape=[12, -1]),
        ],
        [
            bad("argument", "reshape needs `shape`", IMAGE),
            bad("type", "shape: a list of integers is wanted, not the integer 864", IMAGE, shape=864),
            bad(
                "shape",
                "12x9x8 does not fill 12x70",
                IMAGE,
                shape=[12, 70],
                torch=Call("torch.reshape", {"shape": (-1, 12, 70)}),
            ),
            bad("shape", "12x9x8 does not fill 7x?", IMAGE, shape=[7, -1]),
            bad("shape", "12 does not fill 6", FEATURES, shape=[6]),
            bad("value", "at most one -1", IMAGE, shape=[-1, -1]),
            bad("value", "sizes of at least 1 are wanted", IMAGE, shape=[0, -1]),
            bad("value", "shape: -2 is below -1", IMAGE, shape=[-2, 8]),
            bad("shape", "shape: 5 axes; a shape has 1 to 4", IMAGE, shape=[3, 4, 3, 3, 8]),
            bad("shape", "shape: 0 axes; a shape has 1 to 4", IMAGE, shape=[]),
        ],
    ),
    "permute": Samples(
        [
            good(FEATURES, order=[0]),
            good(LINE, order=[1, 0]),
            good(IMAGE, order=[1, 2, 0]),
            good(VOLUME, order=[3, 0, 2, 1]),
        ],
        [
            bad("argument", "permute needs `order`", IMAGE),
            bad("value", "order: -1 is below 0", LINE, order=[-1, 0]),
            bad(
                "shape",
                "order: [0, 1] is not each of 0 to 2 once",
                IMAGE,
                order=[0, 1],
                torch=Call("torch.permute", {"dims": (0, 1, 2)}),
            ),
            bad(
                "shape",
                "order: [1, 1] is not each of 0 to 1 once",
                LINE,
                order=[1, 1],
                torch=Call("torch.permute", {"dims": (0, 2, 2)}),
            ),
            bad("type", "order: a list of integers is wanted", IMAGE, order="102"),
        ],
    ),
    "pad": Samples(
        [
            good(LINE, padding=1),
            good(LINE, padding=[[0, 3]], mode="replicate"),
            good(LINE, padding=8, mode="reflect"),
            good(IMAGE, padding=UNEVEN),
            good(IMAGE, padding=[3, 1], value=-1.5),
            good(IMAGE, padding=[[9, 0], [0, 8]], mode="circular"),
            good(IMAGE, padding=[[0, 0], [7, 2]], mode="reflect", value=0),
            good(VOLUME, padding=[1, 2, 3]),
            good(VOLUME, padding=[[4, 1], 0, [0, 7]], mode="reflect"),
            good(VOLUME, padding=20, mode="replicate"),
            good(VOLUME, padding=[0, 1, 0], mode="circular"),
            good(VOLUME, padding=0, value=1),
        ],
        [
            bad("argument", "pad needs `padding`", IMAGE),
            NO_FEATURES._replace(arguments={"padding": 1}),
            bad(
                "shape",
                "padding 9 is too much to reflect from 9",
                LINE,
                padding=[[0, 9]],
                mode="reflect",
                torch=nn("ReflectionPad1d", padding=(0, 9)),
            ),
            bad(
                "shape",
                "padding 9 is too much to circular from 8",
                IMAGE,
                padding=9,
                mode="circular",
                torch=nn("CircularPad2d", padding=9),
            ),
            bad(
                "argument",
                "value: mode reflect takes none",
                IMAGE,
                padding=1,
                mode="reflect",
                value=1,
                torch=Call("F.pad", {"pad": (1, 1, 1, 1), "mode": "reflect", "value": 1.0}),
            ),
            bad("value", "mode: 'mirror' is not one of constant, reflect", IMAGE, padding=1, mode="mirror"),
            bad("type", "padding: a number, one per axis, ", IMAGE, padding="same"),
            bad("value", "padding: -1 is below 0", IMAGE, padding=-1),
        ],
    ),
    "crop": Samples(
        [
            good(LINE, amount=4),
            good(IMAGE, amount=UNEVEN),
            good(IMAGE, amount=0),
            good(IMAGE, amount=[0, 3]),
            good(VOLUME, amount=[[0, 1], 2, [0, 0]]),
        ],
        [
            bad("argument", "crop needs `amount`", IMAGE),
            bad("shape", "nothing is left of 9x8", IMAGE, amount=4),
            bad("value", "amount: -1 is below 0", IMAGE, amount=-1),
            NO_FEATURES._replace(arguments={"amount": 1}),
        ],
    ),
    "slice": Samples(
        [
            good(FEATURES, start=2),
            good(LINE, start=-3, axis="length"),
            good(IMAGE, start=0, stop=-1),
            good(IMAGE, start=1, stop=100, axis="height"),
            good(IMAGE, start=-100, stop=1),
            good(VOLUME, start=1, stop=3, axis="depth"),
            good(VOLUME, start=0, stop=None, axis="width"),
        ],
        [
            bad("argument", "slice needs `start`", IMAGE),
            bad("type", "start: an integer is wanted, not nothing", IMAGE, start=None),
            bad("type", "stop: an integer is wanted, not the float 2.0", IMAGE, start=0, stop=2.0),
            bad("shape", "[5:5] of 12 (channels) is empty", IMAGE, start=5, stop=5),
            bad("shape", "[3:-9] of 12 (channels) is empty", IMAGE, start=3, stop=-9),
            bad("shape", "[9:] of 9 (height) is empty", IMAGE, start=9, axis="height"),
            bad("shape", "axis: the input has no axis length", IMAGE, start=0, axis="length"),
        ],
    ),
    "channel_shuffle": Samples(
        [good(LINE, groups=3), good(IMAGE, groups=4), good(VOLUME, groups=1), good(IMAGE, groups=12)],
        [
            bad("argument", "channel_shuffle needs `groups`", IMAGE),
            NO_FEATURES._replace(arguments={"groups": 1}, torch=nn("ChannelShuffle", groups=1)),
            bad(
                "shape",
                "12 channels do not divide into 5 groups",
                IMAGE,
                groups=5,
                torch=nn("ChannelShuffle", groups=5),
            ),
            bad("value", "groups: 0 is below 1", IMAGE, groups=0),
        ],
    ),
    "pixel_shuffle": Samples(
        [good(IMAGE, factor=2), good(IMAGE, factor=1), good((18, 3, 4), factor=3)],
        [
            bad("argument", "pixel_shuffle needs `factor`", IMAGE),
            bad("shape", "the input 12x9 is not 3-D (channels, height, width)", LINE, factor=2),
            bad(
                "shape",
                "12 channels are no multiple of factor squared, 9",
                IMAGE,
                factor=3,
                torch=nn("PixelShuffle", upscale_factor=3),
            ),
            bad("value", "factor: 0 is below 1", IMAGE, factor=0),
        ],
    ),
    "upsample": Samples(
        [
            good(LINE, scale=2),
            good(LINE, scale=3, mode="linear", align_corners=True),
            good(IMAGE, scale=[2, 3]),
            good(IMAGE, scale=2, mode="nearest-exact"),
            good(IMAGE, scale=2, mode="linear"),
            good(IMAGE, scale=[1, 4], mode="cubic", align_corners=True),
            good(VOLUME, scale=[1, 2, 3], mode="linear"),
            good(VOLUME, scale=2, mode="nearest", align_corners=False),
        ],
        [
            bad("argument", "upsample needs `scale`", IMAGE),
            bad("value", "scale: 0 is below 1", IMAGE, scale=0),
            bad("type", "scale: an integer, or one per spatial axis, is wanted, not the float 1.5", IMAGE, scale=1.5),
            bad(
                "shape",
                "mode: cubic is for 2 spatial axes",
                VOLUME,
                scale=2,
                mode="cubic",
                torch=nn("Upsample", scale_factor=2, mode="bicubic"),
            ),
            bad(
                "argument",
                "align_corners: mode nearest takes none",
                IMAGE,
                scale=2,
                align_corners=True,
                torch=nn("Upsample", scale_factor=2, mode="nearest", align_corners=True),
            ),
            bad(
                "value",
                "mode: 'bilinear' is not one of nearest, nearest-exact, linear",
                IMAGE,
                scale=2,
                mode="bilinear",
            ),
            NO_FEATURES._replace(arguments={"scale": 2}),
        ],
    ),
    "dropout": Samples(
        [*EVERY_RANK, good(FEATURES, rate=0), good(FEATURES, rate=1)],
        [
            bad("value", "rate: 1.5 is above 1", IMAGE, rate=1.5, torch=nn("Dropout", p=1.5)),
            bad("value", "rate: -0.1 is below 0", IMAGE, rate=-0.1, torch=nn("Dropout", p=-0.1)),
            bad("type", "rate: a number is wanted, not text 'half'", IMAGE, rate="half"),
        ],
    ),
    "spatial_dropout": Samples(
        [*SPATIAL, good(IMAGE, rate=0.2)],
        [
            NO_FEATURES,
            bad("value", "rate: 2 is above 1", IMAGE, rate=2, torch=nn("Dropout2d", p=2)),
        ],
    ),
    "drop_path": Samples(
        [use._replace(arguments={"rate": 0.2}) for use in EVERY_RANK] + [good(IMAGE, rate=0)],
        [
            bad("argument", "drop_path needs `rate`", IMAGE),
            bad("value", "rate: 1 is not below 1", IMAGE, rate=1),
            bad("value", "rate: -0.1 is below 0", IMAGE, rate=-0.1),
        ],
    ),
}
