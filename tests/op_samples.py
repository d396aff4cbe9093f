"""For every op, uses of it that are right and uses that are wrong. `test_ops.py` holds them against torch.

A new op gets an entry here; the tests fail until it has one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from archspec.ops.base import Call
from archspec.shapes import Lead, Shape


class Good(NamedTuple):
    """A use that is right. torch says what comes out of it."""

    inputs: tuple[Shape, ...]
    arguments: dict[str, Any]
    leads: tuple[Lead, ...] = ()


class Bad(NamedTuple):
    """A use that is wrong: the error's code, a part of its message, and the torch call that fails likewise, if any."""

    inputs: tuple[Shape, ...]
    arguments: dict[str, Any]
    code: str
    message: str
    torch: Call | None
    leads: tuple[Lead, ...] = ()


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
FIVE, SIX = (2, 3, 4, 5, 6), (2, 3, 2, 4, 3, 5)
UP_TO_VOLUME = [good(FEATURES), good(LINE), good(IMAGE), good(VOLUME)]
EVERY_RANK = [*UP_TO_VOLUME, good(FIVE), good(SIX)]
SPATIAL = [good(LINE), good(IMAGE), good(VOLUME)]
UNEVEN = [[0, 1], [2, 0]]
FIVE_AXES = bad("shape", "axes, channels first, got 2x3x4x5x6", FIVE)
SEVEN_AXES = bad("shape", "expected an input of 1 to 6 axes, channels first, got 2x2x2x2x2x2x2", (2,) * 7)
NO_FEATURES = bad("shape", "axes, channels first, got 12", FEATURES)
TWO_INPUTS = bad("argument", "expected one input, got 2", IMAGE, IMAGE)

RANKS = (FEATURES, LINE, IMAGE, VOLUME, FIVE, SIX)
ELEMENTWISE = [
    *(good(shape, shape) for shape in RANKS),
    good(IMAGE, (12, 1, 1), broadcast=True),
    good((12, 1, 1), (1, 9, 8), broadcast=True),
    good(IMAGE, (12, 1, 1))._replace(leads=(Lead.BATCH, Lead.NONE)),
    good(IMAGE, (8,))._replace(leads=(Lead.BATCH, Lead.ONE)),
    good(IMAGE, IMAGE, numbers=[None, 2, None]),
    good(IMAGE, numbers=[0.5, None]),
]

CONVOLUTION_BAD = [
    bad("shape", "expected an input of 2 to 4 axes, channels first, got 12", FEATURES, kernel=1),
    bad("shape", "expected inputs that are not empty, got 12x0x8", (12, 0, 8), kernel=1),
    bad("type", "kernel: expected an integer, or one per spatial axis, got the float 3.0", IMAGE, kernel=3.0),
    bad("type", "kernel: expected an integer, or one per spatial axis, got the boolean true", IMAGE, kernel=True),
    bad("type", "kernel: expected an integer, or one per spatial axis, got the text '3'", IMAGE, kernel="3"),
    bad("type", "kernel: expected an integer, got the float 1.0", IMAGE, kernel=[1, 1.0]),
    bad("shape", "kernel: expected 2 entries (height, width), got a list of 3", IMAGE, kernel=[1, 1, 1]),
    bad("value", "kernel: expected at least 1, got 0", IMAGE, kernel=0),
    bad("value", "stride: expected at least 1, got 0", IMAGE, kernel=1, stride=0),
    bad("value", "dilation: expected at least 1, got -1", IMAGE, kernel=1, dilation=-1),
    bad("value", "padding: expected at least 0, got -1", IMAGE, kernel=1, padding=-1),
    bad("value", "got the text 'full'", IMAGE, kernel=1, padding="full"),
    bad("type", "padding: expected a number, one per axis, ", IMAGE, kernel=1, padding=1.5),
    bad("shape", "padding: expected 2 entries (height, width), got a list of 1", IMAGE, kernel=1, padding=[1]),
    bad("value", "padding: expected a pair [before, after], got a list of 3", IMAGE, kernel=1, padding=[[1, 1, 1], 0]),
    bad("limit", "exceeds the limit", IMAGE, kernel=10**30),
    bad("type", "bias: expected true or false, got the text 'no'", IMAGE, kernel=1, bias="no"),
    bad("shape", "weight: expected a free tensor, got 12x9x8", IMAGE, IMAGE, kernel=1),
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
        bad("argument", "missing argument `kernel`", IMAGE),
        bad("value", "kernel: expected at least 1, got 0", IMAGE, kernel=0),
        bad("value", "stride: expected at least 1, got 0", IMAGE, kernel=2, stride=0),
        bad("type", "ceil_mode: expected true or false, got the integer 1", IMAGE, kernel=2, ceil_mode=1),
        bad(
            "shape",
            "padding: expected at most half of the kernel 3, got 2",
            IMAGE,
            kernel=3,
            padding=2,
            torch=pool(kernel_size=3, padding=2),
        ),
        bad(
            "shape", "padding: expected at most half of the kernel 3, got 2", IMAGE, kernel=3, padding=[[0, 2], [0, 1]]
        ),
        bad(
            "shape",
            "the kernel covers 10x10, more than the padded input 9x8",
            IMAGE,
            kernel=10,
            torch=pool(kernel_size=10),
        ),
        bad(
            "shape",
            "the kernel covers 10x10, more than the padded input 9x8",
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
            good(IMAGE, (6, 4, 3, 3), filters=6, kernel=3, groups=3, stride=2)._replace(leads=(Lead.BATCH, Lead.NONE)),
            good(LINE, (5, 12, 1), (5,), filters=5)._replace(leads=(Lead.BATCH, Lead.NONE, Lead.NONE)),
        ],
        [
            *with_filters(CONVOLUTION_BAD),
            bad("argument", "conv: missing argument `filters`", IMAGE, kernel=3),
            bad("value", "filters: expected at least 1, got -1", IMAGE, filters=-1),
            bad("type", "filters: expected an integer, got nothing", IMAGE, filters=None),
            bad(
                "shape",
                "groups: expected a divisor of the 6 filters, got 4",
                IMAGE,
                filters=6,
                groups=4,
                torch=nn("Conv2d", in_channels=12, out_channels=6, kernel_size=1, groups=4),
            ),
            bad(
                "shape",
                "groups: expected a divisor of the 12 input channels, got 5",
                IMAGE,
                filters=5,
                groups=5,
                torch=nn("Conv2d", in_channels=12, out_channels=5, kernel_size=1, groups=5),
            ),
            bad(
                "shape",
                "the kernel covers 13x13, more than the padded input 11x10",
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
            good(IMAGE, (12, 1, 3, 3), (12,), kernel=3)._replace(leads=(Lead.BATCH, Lead.NONE, Lead.NONE)),
        ],
        [
            *CONVOLUTION_BAD,
            bad("argument", "depthwise_conv: missing argument `kernel`", IMAGE),
            bad("value", "multiplier: expected at least 1, got 0", IMAGE, kernel=3, multiplier=0),
            bad("limit", "the output 55340232221128654860x9x8 exceeds", IMAGE, kernel=1, multiplier=2**62 + 1),
        ],
    ),
    "conv_transpose": Samples(
        [
            good(LINE, filters=5, kernel=3),
            good(LINE, filters=5, kernel=4, stride=3, padding=2, output_padding=2),
            good(IMAGE, filters=6, kernel=2, stride=2),
            good(IMAGE, (12, 2, 2, 2), filters=6, kernel=2, stride=2, groups=3)._replace(leads=(Lead.BATCH, Lead.NONE)),
            good(IMAGE, filters=6, kernel=[2, 3], stride=[2, 1], padding=[1, 0], groups=3, bias=False),
            good(IMAGE, filters=6, kernel=3, stride=2, padding="half", output_padding=[1, 0]),
            good(IMAGE, filters=6, kernel=3, dilation=3, output_padding=2),
            good(VOLUME, filters=4, kernel=3, stride=2, padding=1, output_padding=1, dilation=2, groups=4),
        ],
        [
            *(sample for sample in with_filters(CONVOLUTION_BAD) if sample.arguments.get("padding") != "same"),
            bad("argument", "conv_transpose: missing argument `filters`", IMAGE, kernel=3),
            bad("argument", "conv_transpose: missing argument `kernel`", IMAGE, filters=6),
            bad("value", "got the text 'same'", IMAGE, filters=6, kernel=3, padding="same"),
            bad("value", "padding: expected the same number on both sides", IMAGE, filters=6, kernel=3, padding=UNEVEN),
            bad("shape", "groups: expected a divisor of the 6 filters, got 4", IMAGE, filters=6, kernel=1, groups=4),
            bad(
                "value",
                "output_padding: expected less than the stride or the dilation, got 2",
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
            good(FIVE, units=2),
            good(SIX, units=2),
            good(LINE, (3, 9), units=3)._replace(leads=(Lead.BATCH, Lead.NONE)),
            good(FEATURES, (3, 12), (3,), units=3)._replace(leads=(Lead.BATCH, Lead.NONE, Lead.NONE)),
        ],
        [
            bad("shape", "weight: expected a free tensor, got 3x9", LINE, (3, 9), units=3),
            bad("shape", "weight: expected [4, 9], got 3x9", LINE, (3, 9), units=4)._replace(
                leads=(Lead.BATCH, Lead.NONE)
            ),
            bad("shape", "bias: expected [3], got 4", LINE, (3, 9), (4,), units=3)._replace(
                leads=(Lead.BATCH, Lead.NONE, Lead.NONE)
            ),
            bad(
                "argument", "expected no third input, since `bias` is false", LINE, (3, 9), (3,), units=3, bias=False
            )._replace(leads=(Lead.BATCH, Lead.NONE, Lead.NONE)),
            bad("argument", "linear: missing argument `units`", FEATURES),
            bad("value", "units: expected at least 1, got 0", FEATURES, units=0),
            bad("type", "units: expected an integer, got the float 10.0", FEATURES, units=10.0),
            bad("limit", "units: 9223372036854775808 exceeds", FEATURES, units=2**63),
            SEVEN_AXES._replace(arguments={"units": 1}),
        ],
    ),
    "scale": Samples(
        [*UP_TO_VOLUME, good(IMAGE, init=1e-6), good(IMAGE, init=0)],
        [
            bad("type", "init: expected a number, got the text 'ones'", IMAGE, init="ones"),
            bad("number", "init: expected a finite number, got inf", IMAGE, init=float("inf")),
            bad("number", "init: expected a finite number, got nan", IMAGE, init=float("nan")),
            bad("limit", "exceeds the limit", IMAGE, init=10**400),
        ],
    ),
    "identity": Samples(EVERY_RANK, [SEVEN_AXES, TWO_INPUTS]),
    "batch_norm": Samples(
        [*UP_TO_VOLUME, good(IMAGE, eps=1e-3, momentum=0.01), good(LINE, affine=False), good((12, 1, 1), momentum=1)],
        [
            bad("value", "eps: expected more than 0, got 0", IMAGE, eps=0),
            bad("value", "eps: expected more than 0, got -1", IMAGE, eps=-1),
            bad("type", "eps: expected a number, got the text 'small'", IMAGE, eps="small"),
            bad("value", "momentum: expected at most 1, got 1.5", IMAGE, momentum=1.5),
            bad("type", "affine: expected true or false, got the text 'yes'", IMAGE, affine="yes"),
        ],
    ),
    "layer_norm": Samples(
        [
            *EVERY_RANK,
            good(IMAGE, eps=1e-6, affine=False),
            good(FEATURES, axis="last"),
            good(LINE, axis="last"),
            good(FIVE, axis="last", affine=False),
        ],
        [
            bad("value", "eps: expected more than 0, got -1e-06", IMAGE, eps=-1e-6),
            bad("value", "axis: expected one of channels, last, got the text 'height'", IMAGE, axis="height"),
            SEVEN_AXES,
        ],
    ),
    "rms_norm": Samples(
        [*EVERY_RANK, good(IMAGE, eps=1e-6, affine=False), good(LINE, axis="last"), good(SIX, axis="last")],
        [
            bad("value", "eps: expected more than 0, got 0", IMAGE, eps=0),
            bad("value", "axis: expected one of channels, last, got the text 'width'", IMAGE, axis="width"),
            SEVEN_AXES,
        ],
    ),
    "group_norm": Samples(
        [
            *(use._replace(arguments={"groups": 4}) for use in UP_TO_VOLUME),
            good(IMAGE, groups=1, eps=1e-3),
            good(IMAGE, groups=12, affine=False),
        ],
        [
            bad("argument", "group_norm: missing argument `groups`", IMAGE),
            bad(
                "shape",
                "groups: expected a divisor of the 12 channels, got 5",
                IMAGE,
                groups=5,
                torch=nn("GroupNorm", num_groups=5, num_channels=12),
            ),
            bad("shape", "a group of a single value has no variance", (12, 1, 1), groups=12),
            bad("value", "groups: expected at least 1, got 0", IMAGE, groups=0),
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
            bad("value", "size: expected at least 1, got 0", IMAGE, size=0),
            bad("value", "alpha: expected at least 0, got -0.1", IMAGE, alpha=-0.1),
        ],
    ),
    **dict.fromkeys(
        ("relu", "relu6", "selu", "silu", "mish", "sigmoid", "tanh", "hardsigmoid", "hardswish"),
        Samples(EVERY_RANK, [SEVEN_AXES, TWO_INPUTS]),
    ),
    "leaky_relu": Samples(
        [*EVERY_RANK, good(IMAGE, negative_slope=0.2)],
        [bad("type", "negative_slope: expected a number", IMAGE, negative_slope="steep")],
    ),
    "prelu": Samples(
        [*EVERY_RANK, good(IMAGE, num_parameters=12), good(FEATURES, num_parameters=12, init=0)],
        [
            bad(
                "shape",
                "num_parameters: expected 1 or 12, one per channel, got 3",
                IMAGE,
                num_parameters=3,
                torch=nn("PReLU", num_parameters=3),
            ),
            bad("value", "num_parameters: expected at least 1, got 0", IMAGE, num_parameters=0),
        ],
    ),
    "elu": Samples([*EVERY_RANK, good(IMAGE, alpha=0.5)], [bad("type", "alpha: expected a number", IMAGE, alpha=True)]),
    "gelu": Samples(
        [*EVERY_RANK, good(IMAGE, approximate="tanh")],
        [
            bad(
                "value",
                "approximate: expected one of none, tanh, got the text 'erf'",
                IMAGE,
                approximate="erf",
                torch=nn("GELU", approximate="erf"),
            ),
            bad("type", "approximate: expected one of none, tanh, got the boolean true", IMAGE, approximate=True),
        ],
    ),
    "softplus": Samples(
        [*EVERY_RANK, good(IMAGE, beta=2, threshold=10)],
        [bad("value", "beta: expected more than 0, got 0", IMAGE, beta=0)],
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
                good(FEATURES, axis="last"),
                good(FIVE, axis="last"),
            ],
            [
                bad(
                    "shape",
                    "axis: expected an axis of the input (channels, height, width, last), got `depth`",
                    IMAGE,
                    axis="depth",
                ),
                bad(
                    "shape",
                    "expected an axis of the input (channels, last)",
                    FEATURES,
                    axis="length",
                    torch=nn("Softmax", dim=2),
                ),
                bad("value", "axis: expected one of channels, depth", IMAGE, axis="batch"),
                bad("type", "got the integer 1", IMAGE, axis=1),
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
                "padding: expected at most half of the kernel 3, got 2",
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
                "padding: an uneven one, 0x0+1, cannot be left out of the mean",
                IMAGE,
                kernel=3,
                stride=2,
                padding=[0, [0, 1]],
                count_include_pad=False,
            ),
            bad(
                "shape",
                "the kernel 3 is larger than the input",
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
                bad("argument", "missing argument `size`", IMAGE),
                bad("value", "size: expected at least 1, got 0", IMAGE, size=0),
                bad("shape", "size: expected 2 entries (height, width), got a list of 3", IMAGE, size=[1, 1, 1]),
                NO_FEATURES._replace(arguments={"size": 1}),
            ],
        ),
    ),
    "add": Samples(
        [*ELEMENTWISE, good(IMAGE, IMAGE, IMAGE)],
        [
            bad("shape", "add: operands differ: 64x56x56 and 128x28x28", (64, 56, 56), (128, 28, 28), torch=Call("+")),
            bad("shape", "operands differ in more than axes of size 1", IMAGE, (6, 1, 1), broadcast=True),
            bad("shape", "12 does not fit 12x9x8", IMAGE, FEATURES)._replace(leads=(Lead.BATCH, Lead.NONE)),
            bad("shape", "2x12x9x8 does not fit 12x9x8", IMAGE, (2, *IMAGE))._replace(leads=(Lead.BATCH, Lead.NONE)),
            bad("type", "numbers: expected a number, got the text 'x'", IMAGE, numbers=[None, "x"]),
            bad("shape", "operands differ: 8x4x4 and 1x1x1", (8, 4, 4), (1, 1, 1)),
            bad("shape", "operands differ: 12x9x8 and 12", IMAGE, FEATURES),
            bad("argument", "expected two or more inputs, got 1", IMAGE),
        ],
    ),
    "subtract": Samples(ELEMENTWISE, [bad("shape", "subtract: operands differ: 12x9x8 and 12x9", IMAGE, LINE)]),
    "divide": Samples(ELEMENTWISE, [bad("shape", "divide: operands differ: 12x9x8 and 12x9", IMAGE, LINE)]),
    "minimum": Samples(
        [*ELEMENTWISE[:-2], good(IMAGE, numbers=[None, 6])],
        [bad("argument", "expected two operands, got 3", IMAGE, IMAGE, IMAGE)],
    ),
    "maximum": Samples(
        [*ELEMENTWISE[:-2], good(IMAGE, numbers=[None, 0.5])],
        [bad("argument", "expected two operands, got 3", IMAGE, IMAGE, numbers=[None, 1, None])],
    ),
    **{
        name: Samples(EVERY_RANK, [SEVEN_AXES, TWO_INPUTS])
        for name in ("neg", "exp", "sin", "cos", "log", "sqrt", "square", "abs")
    },
    "pow": Samples(
        [good(shape, exponent=power) for shape, power in zip(RANKS, (2, 0.5, -1, 3, 1, 4), strict=True)],
        [
            bad("argument", "missing argument `exponent`", IMAGE),
            bad("type", "exponent: expected a number, got the text 'two'", IMAGE, exponent="two"),
        ],
    ),
    "clamp": Samples(
        [
            good(FEATURES, min=0),
            good(LINE, max=6.0),
            good(IMAGE, min=-1, max=1),
            good(VOLUME, max=0),
            good(FIVE, min=0),
            good(SIX, max=1),
        ],
        [
            bad("argument", "expected `min`, `max` or both, got neither", IMAGE),
            bad("value", "expected `min` below `max`, got 2 and 1", IMAGE, min=2, max=1),
        ],
    ),
    **{
        name: Samples(
            [
                good(FEATURES, axes="channels", keep=True),
                good(LINE, axes="length"),
                good(IMAGE, axes=["width", "height"]),
                good(IMAGE, axes=["channels"], keep=True),
                good(VOLUME, axes=["height", "depth"], keep=True),
                good(FIVE, axes="last"),
                good(SIX, axes=["channels", "last"], keep=True),
            ],
            [
                bad("argument", "missing argument `axes`", IMAGE),
                bad("shape", "no axis is left", FEATURES, axes="channels"),
                bad("shape", "expected an axis of the input (channels, length, last), got `width`", LINE, axes="width"),
                bad("value", "expected each axis once, got width, width", IMAGE, axes=["width", "width"]),
                bad("value", "expected at least one axis, got an empty list", IMAGE, axes=[]),
                bad(
                    "type",
                    "axes: expected one of channels, depth, height, width, length, last, got the integer 2",
                    IMAGE,
                    axes=2,
                ),
            ],
        )
        for name in ("mean", "max", "sum")
    },
    "normalize": Samples(
        [*EVERY_RANK, good(IMAGE, axis="width", p=1, eps=1e-6)],
        [bad("value", "p: expected more than 0, got 0", IMAGE, p=0)],
    ),
    "matmul": Samples(
        [
            good((5, 7), (7, 3)),
            good((2, 5, 7), (2, 7, 3)),
            good((4, 2, 5, 7), (4, 2, 7, 3)),
            good((2, 4, 2, 5, 7), (2, 4, 2, 7, 3)),
            good((2, 1, 4, 2, 5, 7), (2, 1, 4, 2, 7, 3)),
        ],
        [
            bad("shape", "the last axis of 5x7 is not the one before the last of 3x7", (5, 7), (3, 7), torch=Call("@")),
            bad("shape", "operands differ in an axis before the last two: 2x5x7 and 7x3", (2, 5, 7), (7, 3)),
            bad("argument", "expected two inputs, got 3", (5, 7), (7, 3), (3, 2)),
            bad("argument", "got free tensors only", (5, 7), (7, 3))._replace(leads=(Lead.NONE, Lead.NONE)),
        ],
    ),
    "multiply": Samples(
        [
            good(IMAGE, numbers=[None, 0.5]),
            good(FEATURES, FEATURES),
            good(LINE, (12, 1)),
            good(IMAGE, (12, 1, 1)),
            good((1, 9, 8), IMAGE, (1, 1, 1)),
            good((1, 9, 8), (12, 1, 1), broadcast=True),
            good(VOLUME, (12, 5, 1, 1), VOLUME),
            good(FIVE, (1, 3, 1, 1, 6)),
            good(SIX, SIX),
            good((1, 1, 1), (1, 1, 1)),
        ],
        [
            bad(
                "shape",
                "operands differ in more than axes of size 1: 12x9x8 and 6x1x1",
                IMAGE,
                (6, 1, 1),
                torch=Call("*"),
            ),
            bad("shape", "operands differ in more than axes of size 1: 1x9x8 and 12x1x1", (12, 1, 1), (1, 9, 8)),
            bad("shape", "operands differ in more than axes of size 1: 12x9x8 and 12", IMAGE, FEATURES),
            bad("argument", "expected two or more inputs, got 1", IMAGE),
        ],
    ),
    "concat": Samples(
        [
            good(FEATURES, (5,)),
            good(LINE, (12, 4), axis="length"),
            good(IMAGE, (1, 9, 8), IMAGE),
            good(IMAGE, (12, 9, 3), axis="width"),
            good(VOLUME, (12, 1, 9, 8), axis="depth"),
            good(FIVE, (2, 3, 4, 5, 1), axis="last"),
            good(SIX, (1, *SIX[1:])),
        ],
        [
            bad(
                "shape",
                "operands differ in an axis other than the channels: 12x9x8 and 12x9x7",
                IMAGE,
                (12, 9, 7),
                torch=Call("torch.cat", {"dim": 1}, listed=True),
            ),
            bad(
                "shape",
                "operands differ in an axis other than the height: 12x9x8 and 11x9x8",
                IMAGE,
                (11, 9, 8),
                axis="height",
            ),
            bad("shape", "operands differ in an axis other than the channels: 12x9x8 and 12x9", IMAGE, LINE),
            bad(
                "shape",
                "axis: expected an axis of the input (channels, height, width, last), got `length`",
                IMAGE,
                IMAGE,
                axis="length",
            ),
            bad("argument", "expected two or more inputs, got 1", IMAGE),
        ],
    ),
    "flatten": Samples(EVERY_RANK, [SEVEN_AXES, bad("limit", "exceeds the limit", (2**40, 2**40))]),
    "reshape": Samples(
        [
            good(FEATURES, shape=[3, 4]),
            good(LINE, shape=[-1]),
            good(IMAGE, shape=[2, -1, 9, 8]),
            good(VOLUME, shape=[60, 72]),
            good(FEATURES, shape=[12, -1]),
            good(IMAGE, shape=[3, 4, 3, 3, 8]),
            good(FIVE, shape=[-1, 6]),
            good(SIX, shape=[2, 3, 2, 4, -1]),
        ],
        [
            bad("argument", "reshape: missing argument `shape`", IMAGE),
            bad("type", "shape: expected a list of integers, got the integer 864", IMAGE, shape=864),
            bad(
                "shape",
                "12x9x8 (864 numbers) does not fill 12x70",
                IMAGE,
                shape=[12, 70],
                torch=Call("torch.reshape", {"shape": (-1, 12, 70)}),
            ),
            bad("shape", "12x9x8 (864 numbers) does not fill 7x?", IMAGE, shape=[7, -1]),
            bad("shape", "12 (12 numbers) does not fill 6", FEATURES, shape=[6]),
            bad("value", "at most one -1", IMAGE, shape=[-1, -1]),
            bad("value", "expected sizes of at least 1", IMAGE, shape=[0, -1]),
            bad("value", "shape: expected at least -1, got -2", IMAGE, shape=[-2, 8]),
            bad("shape", "shape: expected 1 to 6 axes, got 7", IMAGE, shape=[3, 4, 3, 3, 2, 2, 2]),
            bad("shape", "shape: expected 1 to 6 axes, got 0", IMAGE, shape=[]),
        ],
    ),
    "permute": Samples(
        [
            good(FEATURES, order=[0]),
            good(LINE, order=[1, 0]),
            good(IMAGE, order=[1, 2, 0]),
            good(VOLUME, order=[3, 0, 2, 1]),
            good(FIVE, order=[0, 2, 1, 4, 3]),
            good(SIX, order=[0, 2, 1, 3, 5, 4]),
        ],
        [
            bad("argument", "permute: missing argument `order`", IMAGE),
            bad("value", "order: expected at least 0, got -1", LINE, order=[-1, 0]),
            bad(
                "shape",
                "order: expected each of 0 to 2 once, got [0, 1]",
                IMAGE,
                order=[0, 1],
                torch=Call("torch.permute", {"dims": (0, 1, 2)}),
            ),
            bad(
                "shape",
                "order: expected each of 0 to 1 once, got [1, 1]",
                LINE,
                order=[1, 1],
                torch=Call("torch.permute", {"dims": (0, 2, 2)}),
            ),
            bad("type", "order: expected a list of integers", IMAGE, order="102"),
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
            bad("argument", "pad: missing argument `padding`", IMAGE),
            NO_FEATURES._replace(arguments={"padding": 1}),
            bad(
                "shape",
                "padding: expected at most 8 to reflect from 9, got 9",
                LINE,
                padding=[[0, 9]],
                mode="reflect",
                torch=nn("ReflectionPad1d", padding=(0, 9)),
            ),
            bad(
                "shape",
                "padding: expected at most 8 to circular from 8, got 9",
                IMAGE,
                padding=9,
                mode="circular",
                torch=nn("CircularPad2d", padding=9),
            ),
            bad(
                "argument",
                "value: not allowed with mode `reflect`",
                IMAGE,
                padding=1,
                mode="reflect",
                value=1,
                torch=Call("F.pad", {"pad": (1, 1, 1, 1), "mode": "reflect", "value": 1.0}),
            ),
            bad("value", "mode: expected one of constant, reflect", IMAGE, padding=1, mode="mirror"),
            bad("type", "padding: expected a number, one per axis, ", IMAGE, padding="same"),
            bad("value", "padding: expected at least 0, got -1", IMAGE, padding=-1),
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
            bad("argument", "crop: missing argument `amount`", IMAGE),
            bad("shape", "nothing is left of 9x8", IMAGE, amount=4),
            bad("value", "amount: expected at least 0, got -1", IMAGE, amount=-1),
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
            good(FIVE, start=1, axis="last"),
            good(SIX, start=0, stop=1),
        ],
        [
            bad("argument", "slice: missing argument `start`", IMAGE),
            bad("type", "start: expected an integer, got nothing", IMAGE, start=None),
            bad("type", "stop: expected an integer, got the float 2.0", IMAGE, start=0, stop=2.0),
            bad("shape", "[5:5] of 12 (channels) is empty", IMAGE, start=5, stop=5),
            bad("shape", "[3:-9] of 12 (channels) is empty", IMAGE, start=3, stop=-9),
            bad("shape", "[9:] of 9 (height) is empty", IMAGE, start=9, axis="height"),
            bad(
                "shape",
                "axis: expected an axis of the input (channels, height, width, last), got `length`",
                IMAGE,
                start=0,
                axis="length",
            ),
        ],
    ),
    "split": Samples(
        [
            good(FEATURES, parts=3, part=1),
            good(LINE, parts=3, part=2, axis="length"),
            good(IMAGE, parts=4, part=0, axis="last"),
            good(IMAGE, sizes=[5, 7], part=1),
            good(VOLUME, parts=1, part=0, axis="depth"),
            good(FIVE, parts=3, part=2, axis="last"),
            good(SIX, sizes=[1, 2, 2], part=2, axis="last"),
        ],
        [
            bad("argument", "split: missing argument `parts`, or `sizes`", IMAGE),
            bad("argument", "expected `parts` or `sizes`, got both", IMAGE, parts=2, sizes=[6, 6]),
            bad("shape", "parts: expected a divisor of 8 (last), got 3", IMAGE, parts=3, axis="last"),
            bad(
                "shape",
                "sizes: expected a sum of 12 (channels), got 5 + 5 = 10",
                IMAGE,
                sizes=[5, 5],
                torch=Call("torch.split", {"split_size_or_sections": (5, 5), "dim": 1}),
            ),
            bad("value", "part: expected at most 2, counted from 0, got 3", IMAGE, parts=3, part=3),
            bad("value", "parts: expected at least 1, got 0", IMAGE, parts=0),
            bad("value", "sizes: expected at least 1, got 0", IMAGE, sizes=[0, 12]),
        ],
    ),
    "channel_shuffle": Samples(
        [good(LINE, groups=3), good(IMAGE, groups=4), good(VOLUME, groups=1), good(IMAGE, groups=12)],
        [
            bad("argument", "channel_shuffle: missing argument `groups`", IMAGE),
            NO_FEATURES._replace(arguments={"groups": 1}, torch=nn("ChannelShuffle", groups=1)),
            bad(
                "shape",
                "groups: expected a divisor of the 12 channels, got 5",
                IMAGE,
                groups=5,
                torch=nn("ChannelShuffle", groups=5),
            ),
            bad("value", "groups: expected at least 1, got 0", IMAGE, groups=0),
        ],
    ),
    "pixel_shuffle": Samples(
        [good(IMAGE, factor=2), good(IMAGE, factor=1), good((18, 3, 4), factor=3)],
        [
            bad("argument", "pixel_shuffle: missing argument `factor`", IMAGE),
            bad("shape", "expected an input of 3 axes, channels first, got 12x9", LINE, factor=2),
            bad(
                "shape",
                "expected a multiple of 9 channels (factor squared), got 12",
                IMAGE,
                factor=3,
                torch=nn("PixelShuffle", upscale_factor=3),
            ),
            bad("value", "factor: expected at least 1, got 0", IMAGE, factor=0),
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
            good(IMAGE, scale=1.5),
            good(IMAGE, scale=[0.5, 1.3], mode="linear"),
            good(IMAGE, scale=0.3, mode="linear", antialias=True),
            good(LINE, size=5, mode="linear"),
            good(IMAGE, size=[20, 3], mode="cubic", antialias=True),
            good(VOLUME, size=[1, 20, 8]),
            good(IMAGE, (3, 4, 5), like="skip"),
            good(LINE, (1, 30), like="skip", mode="linear", align_corners=True),
        ],
        [
            bad("argument", "expected one of `scale`, `size` and `like`, got none of them", IMAGE),
            bad(
                "argument", "expected one of `scale`, `size` and `like`, got `scale` and `size`", IMAGE, scale=2, size=3
            ),
            bad("value", "scale: expected at least 1, got 0", IMAGE, scale=0),
            bad("value", "scale: expected more than 0, got -0.5", IMAGE, scale=-0.5),
            bad("type", "scale: expected a number, or one per spatial axis, got the text '2x'", IMAGE, scale="2x"),
            bad(
                "shape",
                "scale: nothing is left of 9x8, got 0",
                IMAGE,
                scale=0.1,
                torch=nn("Upsample", scale_factor=0.1),
            ),
            bad("shape", "like: expected a value of 3 axes, got 12x9", IMAGE, LINE, like="skip"),
            bad("argument", "like: expected a second input, got none", IMAGE, like="skip"),
            bad("argument", "antialias: not allowed with mode `nearest`", IMAGE, scale=2, antialias=True),
            bad(
                "shape",
                "antialias: needs 2 spatial axes, got 1",
                LINE,
                scale=2,
                mode="linear",
                antialias=True,
                torch=Call("F.interpolate", {"scale_factor": 2, "mode": "linear", "antialias": True}),
            ),
            bad(
                "shape",
                "mode: `cubic` needs 2 spatial axes",
                VOLUME,
                scale=2,
                mode="cubic",
                torch=nn("Upsample", scale_factor=2, mode="bicubic"),
            ),
            bad(
                "argument",
                "align_corners: not allowed with mode `nearest`",
                IMAGE,
                scale=2,
                align_corners=True,
                torch=nn("Upsample", scale_factor=2, mode="nearest", align_corners=True),
            ),
            bad(
                "value",
                "mode: expected one of nearest, nearest-exact, linear",
                IMAGE,
                scale=2,
                mode="bilinear",
            ),
            NO_FEATURES._replace(arguments={"scale": 2}),
        ],
    ),
    "unfold": Samples(
        [
            good(IMAGE, kernel=3),
            good(IMAGE, kernel=[2, 3], stride=2, padding=[1, 0]),
            good(IMAGE, kernel=2, dilation=[3, 1]),
        ],
        [
            bad("argument", "unfold: missing argument `kernel`", IMAGE),
            bad("shape", "expected an input of 3 axes", LINE, kernel=1),
            bad(
                "shape",
                "the kernel covers 10x10, more than the padded input 9x8",
                IMAGE,
                kernel=10,
                torch=nn("Unfold", kernel_size=10),
            ),
        ],
    ),
    "to_tokens": Samples(SPATIAL, [NO_FEATURES, FIVE_AXES, TWO_INPUTS]),
    "to_image": Samples(
        [good((9, 5)), good((12, 5), height=3), good((12, 5), width=6), good((12, 5), height=4, width=3)],
        [
            bad("shape", "to_image: 12 tokens are not a square", (12, 5)),
            bad("shape", "height: expected a divisor of the 12 tokens, got 5", (12, 5), height=5),
            bad("shape", "width: expected a divisor of the 12 tokens, got 7", (12, 5), width=7),
            bad("shape", "4x4 has 16 tokens, the input has 12", (12, 5), height=4, width=4),
            bad("value", "height: expected at least 1, got 0", (12, 5), height=0),
            NO_FEATURES,
        ],
    ),
    "window_partition": Samples(
        [good((5, 6, 4), size=2), good((5, 6, 4), size=[3, 2]), good((6, 4, 5), size=[3, 2], channels_at="last")],
        [
            bad("argument", "window_partition: missing argument `size`", IMAGE),
            bad("shape", "size: windows of 4 do not divide the height 9", IMAGE, size=4),
            bad("shape", "size: windows of 3 do not divide the width 8", IMAGE, size=3),
            bad("value", "channels_at: expected one of first, last", IMAGE, size=1, channels_at="middle"),
            NO_FEATURES._replace(arguments={"size": 1}),
        ],
    ),
    "window_reverse": Samples(
        [
            good((9, 4, 5), size=2),
            good((6, 6, 5), size=[3, 2], height=6),
            good((6, 6, 5), size=[3, 2], width=4),
            good((6, 6, 5), size=[3, 2], height=9, width=4, channels_at="last"),
        ],
        [
            bad("argument", "window_reverse: missing argument `size`", (9, 4, 5)),
            bad("shape", "size: 3x3 has 9 tokens, the windows have 4", (9, 4, 5), size=3),
            bad("shape", "window_reverse: 24 pixels are not a square", (6, 4, 5), size=2),
            bad("shape", "height: expected a multiple of 2, got 3", (6, 4, 5), size=2, height=3),
            bad("shape", "height: expected a divisor of the 24 pixels, got 5", (6, 4, 5), size=2, height=5),
        ],
    ),
    "roll": Samples(
        [
            good(FEATURES, shifts=1, axes="channels"),
            good(LINE, shifts=-2, axes="last"),
            good(IMAGE, shifts=[-3, 3], axes=["height", "width"]),
            good(IMAGE, shifts=[1, 20], axes=[0, 2]),
            good(VOLUME, shifts=[1], axes="depth"),
            good(FIVE, shifts=[1, 1], axes=[1, "last"]),
            good(SIX, shifts=1, axes=4),
        ],
        [
            bad("argument", "roll: missing argument `shifts`", IMAGE, axes=0),
            bad("argument", "roll: missing argument `axes`", IMAGE, shifts=1),
            bad(
                "shape",
                "shifts: expected 2, one per axis, got 1",
                IMAGE,
                shifts=1,
                axes=[0, 1],
                torch=Call("torch.roll", {"shifts": (1,), "dims": (1, 2)}),
            ),
            bad("shape", "axes: expected an axis from 0 to 2, got 3", IMAGE, shifts=1, axes=3),
            bad("value", "axes: expected each axis once, got 2, width", IMAGE, shifts=[1, 2], axes=[2, "width"]),
            bad(
                "shape",
                "axes: expected an axis of the input (channels, length, last), got `width`",
                LINE,
                shifts=1,
                axes="width",
            ),
            bad(
                "type",
                "axes: expected an axis or a list of them, by name or number from 0, got",
                IMAGE,
                shifts=1,
                axes=1.5,
            ),
        ],
    ),
    "attention": Samples(
        [
            good((5, 8), (5, 8), (5, 8)),
            good((5, 8), (5, 8), (5, 8), heads=4, causal=True, dropout=0.1),
            good((5, 8), (7, 8), (7, 6), heads=2, scale=0.5),
            good((5, 8), (7, 8), (7, 6), causal=True, scale=1),
            good((5, 8), (7, 8), (7, 8), (2, 5, 7), heads=2, bias="table"),
            good((5, 8), (7, 8), (7, 8), (1, 7), bias="table", dropout=0.5),
            good((3, 5, 8), (3, 5, 8), (3, 5, 8), heads=2),
            good((3, 5, 8), (3, 5, 8), (3, 5, 8), (1, 2, 5, 5), heads=2, bias="table"),
            good((2, 3, 5, 8), (2, 3, 5, 8), (2, 3, 5, 8), heads=2),
            good((2, 2, 3, 5, 8), (2, 2, 3, 5, 8), (2, 2, 3, 5, 8)),
        ],
        [
            bad("argument", "attention: expected three inputs (q, k, v), got 1", (5, 8)),
            bad("shape", "heads: expected a divisor of the 8 features, got 3", *[(5, 8)] * 3, heads=3),
            bad(
                "shape",
                "heads: expected a divisor of the 6 features of the values, got 4",
                *[(5, 8)] * 2,
                (5, 6),
                heads=4,
            ),
            bad(
                "shape",
                "expected as many features in the keys as in the queries: 5x8 and 5x6",
                (5, 8),
                (5, 6),
                (5, 8),
                torch=Call("F.scaled_dot_product_attention"),
            ),
            bad("shape", "expected a value for each key: 7x8 and 5x8", (5, 8), (7, 8), (5, 8)),
            bad("shape", "queries and keys differ in the axes before the tokens", (3, 5, 8), (2, 5, 8), (2, 5, 8)),
            bad("argument", "bias: not allowed with `causal`", *[(5, 8)] * 3, (5, 5), causal=True, bias="table"),
            bad("shape", "bias: expected 2x5x5 or axes of 1, got 5x5", *[(5, 8)] * 3, (5, 5), heads=2, bias="table"),
            bad("argument", "bias: expected a fourth input, got none", *[(5, 8)] * 3, bias="table"),
            bad("argument", "expected three inputs (q, k, v), got 4", *[(5, 8)] * 4),
            bad("type", "bias: expected the name of a step, got the boolean true", *[(5, 8)] * 3, bias=True),
            bad("value", "dropout: expected at most 1, got 2", *[(5, 8)] * 3, dropout=2),
            bad("shape", "expected an input of 2 to 5 axes", *[FEATURES] * 3),
        ],
    ),
    "multi_head_attention": Samples(
        [
            good((5, 8), heads=2),
            good((5, 8), (7, 8), heads=4, bias=False),
            good((5, 8), (7, 6), heads=1, dropout=0.5),
            good((5, 8), (7, 8), (7, 6), heads=2),
        ],
        [
            bad("argument", "multi_head_attention: missing argument `heads`", (5, 8)),
            bad(
                "shape",
                "heads: expected a divisor of the 8 features, got 3",
                (5, 8),
                heads=3,
            ),
            bad("shape", "expected tokens, `[tokens, features]`, got 12x9x8", IMAGE, heads=2),
            bad("shape", "expected tokens, `[tokens, features]`, got 12x9x8", (5, 8), IMAGE, heads=2),
            bad("shape", "expected a value for each key: 7x8 and 6x8", (5, 8), (7, 8), (6, 8), heads=2),
            bad("argument", "expected one or two or three inputs (query, key, value), got 4", *[(5, 8)] * 4, heads=2),
            bad("shape", "expected an input of 2 axes", FEATURES, heads=2),
        ],
    ),
    "dropout": Samples(
        [*EVERY_RANK, good(FEATURES, rate=0), good(FEATURES, rate=1)],
        [
            bad("value", "rate: expected at most 1, got 1.5", IMAGE, rate=1.5, torch=nn("Dropout", p=1.5)),
            bad("value", "rate: expected at least 0, got -0.1", IMAGE, rate=-0.1, torch=nn("Dropout", p=-0.1)),
            bad("type", "rate: expected a number, got the text 'half'", IMAGE, rate="half"),
        ],
    ),
    "spatial_dropout": Samples(
        [*SPATIAL, good(IMAGE, rate=0.2)],
        [
            NO_FEATURES,
            bad("value", "rate: expected at most 1, got 2", IMAGE, rate=2, torch=nn("Dropout2d", p=2)),
        ],
    ),
    "drop_path": Samples(
        [use._replace(arguments={"rate": 0.2}) for use in EVERY_RANK] + [good(IMAGE, rate=0)],
        [
            bad("argument", "drop_path: missing argument `rate`", IMAGE),
            bad("value", "rate: expected less than 1, got 1", IMAGE, rate=1),
            bad("value", "rate: expected at least 0, got -0.1", IMAGE, rate=-0.1),
        ],
    ),
    "parameter": Samples(
        [
            good(shape=[12]),
            good(shape=[], init=0.5),
            good(shape=[12, 1, 1], init=1),
            good(shape=[1, 12], init="ones", batch=True),
            good(shape=[5, 12], init={"normal": 0.02}, batch=True),
            good(shape=[5, 12], init={"trunc_normal": 0.02}),
        ],
        [
            bad("argument", "missing argument `shape`"),
            bad("argument", "expected no input, got 1", IMAGE, shape=[12]),
            bad("value", "init: expected a number, zeros, ones, {normal: STD}", shape=[12], init="uniform"),
            bad("value", "init: expected a number, zeros, ones, {normal: STD}", shape=[12], init={"kaiming": 1}),
            bad("value", "init: expected more than 0, got 0", shape=[12], init={"normal": 0}),
            bad("value", "shape: expected at least 1, got 0", shape=[0]),
        ],
    ),
    "buffer": Samples(
        [
            good(values=[1.0, 2.5]),
            good(values=[[0, 1], [2, 3]], persistent=False),
            good(values=[[0.5]], batch=True),
            good(values=0.5, shape=[3, 1, 1]),
            good(values=2),
        ],
        [
            bad("argument", "missing argument `values`"),
            bad("value", "values: lists of one depth differ in length", values=[[1, 2], [3]]),
            bad("value", "values: expected a number, or lists of numbers, got an empty list", values=[[]]),
            bad("shape", "the values have the shape [2], not [3]", values=[1, 2], shape=[3]),
            bad("type", "values: expected a number, or lists of numbers, got the text 'x'", values="x"),
        ],
    ),
    "gather": Samples(
        [
            good((4, 3), (2,))._replace(leads=(Lead.NONE, Lead.NONE)),
            good((4,), (2, 5))._replace(leads=(Lead.NONE, Lead.NONE)),
            good((4, 2, 3), (2,))._replace(leads=(Lead.NONE, Lead.NONE)),
            good((4, 2, 3, 2), (2,))._replace(leads=(Lead.NONE, Lead.NONE)),
            good(FIVE, (2,))._replace(leads=(Lead.NONE, Lead.NONE)),
            good(SIX, (2,))._replace(leads=(Lead.NONE, Lead.NONE)),
            good((4, 3), (2, 5))._replace(leads=(Lead.ONE, Lead.NONE)),
            good((4, 3), (2,))._replace(leads=(Lead.BATCH, Lead.NONE)),
            good((4, 3), (2, 5), axis=1)._replace(leads=(Lead.NONE, Lead.NONE)),
            good((4, 3, 2), (2,), axis="last")._replace(leads=(Lead.ONE, Lead.NONE)),
            good((4, 3), (2,))._replace(leads=(Lead.ONE, Lead.NONE)),
        ],
        [
            bad("shape", "expected an index as it is stored", (4, 3), (2,)),
            bad("argument", "expected a table and an index, got 3 inputs", (4, 3), (2,), (2,)),
        ],
    ),
}
