"""Ops that drop something at random while training, and change nothing otherwise. They count no FLOPs."""

from __future__ import annotations

from archspec.ops.base import Call, Op
from archspec.ops.fields import Float, arg


class _Dropout(Op):
    """What the dropouts share. Abstract."""

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

    rate: float = arg(Float(0, 1), "probability that a number is dropped", 0.5, also_called=("p", "prob"))


class SpatialDropout(_Dropout):
    """Sets whole channels to 0 at random while training (torch.nn.Dropout1d, Dropout2d, Dropout3d).

    Source: Efficient Object Localization Using Convolutional Networks, https://arxiv.org/abs/1411.4280
    """

    op = "spatial_dropout"
    torch = "nn.Dropout*d"
    also_called = ("dropout2d",)
    ranks = (1, 2, 3)

    rate: float = arg(Float(0, 1), "probability that a channel is dropped", 0.5)


class DropPath(_Dropout):
    """Sets the whole of a sample to 0 at random while training: stochastic depth (archspec.backends.layers.DropPath).

    Source: Deep Networks with Stochastic Depth, https://arxiv.org/abs/1603.09382
    """

    op = "drop_path"
    torch = "DropPath"
    also_called = ("stochastic_depth",)

    rate: float = arg(Float(0, 1, open_maximum=True), "probability that a sample skips the branch")

    def calls(self) -> tuple[Call, ...]:
        return (Call(self.torch_name, {"rate": self.rate}),)


OPS = (Dropout, SpatialDropout, DropPath)
