"""Ops that drop something at random while training, and change nothing otherwise. They count no FLOPs."""

from __future__ import annotations

from archspec.ops.base import ANY_RANK, Call, Op
from archspec.ops.fields import Float, arg

RATE_WORDS = ("p", "prob", "probability", "ratio", "drop", "drop_rate", "drop_prob", "dropout", "dropout_rate")


class _Dropout(Op):
    """What the dropouts share. Abstract."""

    local = True
    on_line_of_input = True
    foreign_arguments = dict.fromkeys(
        ("keep_prob", "keep_rate", "keep"), "`rate` is the share that is dropped: 1 - {word}"
    )

    rate: float

    def calls(self) -> tuple[Call, ...]:
        return (Call(self.torch_name, {"p": self.rate}),)

    def summary(self) -> str:
        return f"p={self.rate}"


class Dropout(_Dropout):
    """Sets single numbers to 0 at random while training (torch.nn.Dropout).

    Source: https://jmlr.org/papers/v15/srivastava14a.html
    """

    op = "dropout"
    torch = "nn.Dropout"
    also_called = ("drop", "drop_out")
    ranks = ANY_RANK

    rate: float = arg(Float(0, 1), "probability that a number is dropped", 0.5, also_called=RATE_WORDS, free=True)


class SpatialDropout(_Dropout):
    """Sets whole channels to 0 at random while training (torch.nn.Dropout1d, Dropout2d, Dropout3d).

    Source: Efficient Object Localization Using Convolutional Networks, https://arxiv.org/abs/1411.4280
    """

    op = "spatial_dropout"
    torch = "nn.Dropout*d"
    also_called = (
        *("dropout1d", "dropout2d", "dropout3d", "dropout_1d", "dropout_2d", "dropout_3d", "channel_dropout"),
        *("feature_dropout", "spatialdropout", "spatialdropout1d", "spatialdropout2d", "spatialdropout3d"),
    )
    ranks = (1, 2, 3)

    rate: float = arg(Float(0, 1), "probability that a channel is dropped", 0.5, also_called=RATE_WORDS, free=True)


class DropPath(_Dropout):
    """Sets the whole of a sample to 0 at random while training: stochastic depth (archspec.backends.layers.DropPath).

    Source: Deep Networks with Stochastic Depth, https://arxiv.org/abs/1603.09382
    """

    op = "drop_path"
    torch = "DropPath"
    also_called = ("droppath", "stochastic_depth", "stochasticdepth", "drop_connect", "dropconnect", "path_drop")
    ranks = ANY_RANK
    example = "0.2"

    rate: float = arg(
        Float(0, 1, open_maximum=True),
        "probability that a sample skips the branch",
        also_called=(*RATE_WORDS, "drop_path", "drop_path_rate", "stochastic_depth_prob"),
        free=True,
    )

    def calls(self) -> tuple[Call, ...]:
        return (Call(self.torch_name, {"rate": self.rate}),)


OPS = (Dropout, SpatialDropout, DropPath)
