"""Learned linear maps other than convolutions, and the map that changes nothing."""

from __future__ import annotations

from archspec.errors import Complaint
from archspec.ops.base import ANY_RANK, Call, Op
from archspec.ops.fields import Bool, Float, Int, arg
from archspec.ops.given_weights import TakesWeights
from archspec.ops.initial import UNIFORM_BY_FAN
from archspec.shapes import Shape, elements, shape_text


class Linear(TakesWeights):
    """Fully connected layer: every unit reads all features, that is the last axis (torch.nn.Linear).

    With `from: [x, weight]`, or `[x, weight, bias]`, it has no weights of its own, but reads free tensors of the shapes
    `[units, features]` and `[units]`, or what is computed from such (torch.nn.functional.linear).
    """

    op = "linear"
    torch = "nn.Linear"
    also_called = (
        *("dense", "fc", "fully_connected", "fullyconnected", "full", "inner_product", "innerproduct", "gemm"),
        *("affine", "dense_layer", "linear_layer", "fc_layer", "lin"),
    )
    ranks = ANY_RANK
    weighted = True
    initial = UNIFORM_BY_FAN
    color = "#d9d2e9"
    example = "1000"
    overwritable = True

    units: int = arg(
        Int(1),
        "output features",
        also_called=(
            *("out_features", "features", "num_units", "outputs", "num_output", "output_dim", "output_size", "out"),
            *("neurons", "nodes", "hidden", "hidden_size", "width", "size", "dim", "filters", "channels"),
            *("out_channels", "classes", "num_classes", "n"),
        ),
        free=True,
    )
    bias: bool = arg(
        Bool(),
        "whether a learned constant is added per unit",
        True,
        also_called=("use_bias", "with_bias", "has_bias", "bias_term", "biases"),
    )

    @property
    def features(self) -> int:
        """How many features each unit reads."""
        return self.input[-1]

    def infer(self) -> Shape:
        self.check_given()
        return (*self.input[:-1], self.units)

    def surprise(self) -> Complaint | None:
        if self.input[-1] != 1 or elements(self.input) == 1:
            return None
        message = f"it reads the last axis of {shape_text(self.input)}, which has a single value"
        return self.error("shape", message, help="put `- flatten` before it")

    def own_weights(self) -> dict[str, Shape]:
        weight: dict[str, Shape] = {"weight": (self.units, self.features)}
        return {**weight, "bias": (self.units,)} if self.bias else weight

    def macs(self) -> int:
        return elements(self.output) * self.features

    def calls(self) -> tuple[Call, ...]:
        if self.is_given_weights:
            return (Call("F.linear"),)
        arguments = {"in_features": self.features, "out_features": self.units, "bias": self.bias}
        return (Call(self.torch_name, arguments),)

    def summary(self) -> str:
        return str(self.units)


class Scale(Op):
    """A learned factor per channel, LayerScale (archspec.backends.layers.Scale).

    Source: Going deeper with Image Transformers, https://arxiv.org/abs/2103.17239
    """

    local = True
    op = "scale"
    torch = "Scale"
    also_called = ("layer_scale", "layerscale", "channel_scale", "gamma", "learned_scale")
    work = 1
    on_line_of_input = True

    init: float = arg(
        Float(),
        "the factor that training starts from",
        1.0,
        also_called=("initial", "init_value", "init_values", "layer_scale_init_value", "value", "gamma", "factor"),
        free=True,
    )

    def weights(self) -> dict[str, Shape]:
        return {"weight": (self.channels,)}

    def calls(self) -> tuple[Call, ...]:
        return (Call(self.torch_name, {"channels": self.channels, "init": self.init}),)


class Identity(Op):
    """Its input, unchanged (torch.nn.Identity)."""

    local = True
    op = "identity"
    torch = "nn.Identity"
    also_called = ("noop", "no_op", "pass", "passthrough", "pass_through", "nothing", "id")
    ranks = ANY_RANK
    functional = True
    on_line_of_input = True

    def calls(self) -> tuple[Call, ...]:
        return (Call(self.torch_name),)


OPS = (Linear, Scale, Identity)
