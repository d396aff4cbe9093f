"""Learned linear maps that are no convolutions, and the map that changes nothing."""

from __future__ import annotations

from archspec.ops.base import Call, Op
from archspec.ops.fields import Bool, Float, Int, arg
from archspec.shapes import Shape, elements


class Linear(Op):
    """Fully connected layer: every unit reads all features, that is the last axis (torch.nn.Linear)."""

    op = "linear"
    torch = "nn.Linear"
    also_called = ("dense", "fc", "fully_connected", "inner_product", "gemm")
    weighted = True

    units: int = arg(Int(1), "output features", also_called=("out_features", "num_output"))
    bias: bool = arg(Bool(), "whether a learned constant is added per unit", True)

    @property
    def features(self) -> int:
        """How many features each unit reads."""
        return self.input[-1]

    def infer(self) -> Shape:
        return (*self.input[:-1], self.units)

    def weights(self) -> dict[str, Shape]:
        weight: dict[str, Shape] = {"weight": (self.units, self.features)}
        return {**weight, "bias": (self.units,)} if self.bias else weight

    def macs(self) -> int:
        return elements(self.output) * self.features

    def calls(self) -> tuple[Call, ...]:
        arguments = {"in_features": self.features, "out_features": self.units, "bias": self.bias}
        return (Call(self.torch_name, arguments),)

    def summary(self) -> str:
        return str(self.units)


class Scale(Op):
    """A learned factor per channel, LayerScale (archspec.backends.layers.Scale).

    Source: Going deeper with Image Transformers, https://arxiv.org/abs/2103.17239
    """

    op = "scale"
    torch = "Scale"
    work = 1

    init: float = arg(Float(), "the factor that training starts from", 1.0)

    def weights(self) -> dict[str, Shape]:
        return {"weight": (self.channels,)}

    def calls(self) -> tuple[Call, ...]:
        return (Call(self.torch_name, {"channels": self.channels, "init": self.init}),)


class Identity(Op):
    """Its input, unchanged (torch.nn.Identity)."""

    op = "identity"
    torch = "nn.Identity"

    def calls(self) -> tuple[Call, ...]:
        return (Call(self.torch_name),)


OPS = (Linear, Scale, Identity)
