"""Activation functions, with the arguments that torch gives them."""

from __future__ import annotations

from archspec.ops.base import ANY_RANK, Call, Op
from archspec.ops.fields import Axis, Choice, Float, Int, arg, torch_dim
from archspec.shapes import HERE, Reach, Shape


class _Activation(Op):
    """A torch module that takes exactly the arguments of the op. Abstract."""

    local = True
    work = 1
    broadcasts = True
    ranks = ANY_RANK
    functional = True
    on_line_of_input = True

    def calls(self) -> tuple[Call, ...]:
        return (Call(self.torch_name, {name: getattr(self, name) for name in self.fields}),)


class _InPlaceActivation(_Activation):
    """An activation that can overwrite its input without a change of any bit, those of gradients included. Abstract.

    ELU and SELU are not among them: in place, torch works out their gradient from the result, rounded otherwise.
    """

    def overwrites(self) -> bool:
        return True


class ReLU(_InPlaceActivation):
    """Rectified linear unit: the positive part, max(x, 0) (torch.nn.ReLU).

    Source: https://icml.cc/Conferences/2010/papers/432.pdf
    """

    op = "relu"
    torch = "nn.ReLU"
    also_called = ("rectifier", "rectified_linear", "rectified_linear_unit")


class ReLU6(_InPlaceActivation):
    """Rectified linear unit that stops at 6, min(max(x, 0), 6) (torch.nn.ReLU6).

    Source: https://www.cs.toronto.edu/~kriz/conv-cifar10-aug2010.pdf
    """

    op = "relu6"
    torch = "nn.ReLU6"
    also_called = ("relu_6", "clipped_relu")


class LeakyReLU(_InPlaceActivation):
    """Rectified linear unit with a small slope for negative numbers (torch.nn.LeakyReLU).

    Source: https://ai.stanford.edu/~amaas/papers/relu_hybrid_icml2013_final.pdf
    """

    op = "leaky_relu"
    torch = "nn.LeakyReLU"
    also_called = ("lrelu", "leakyrelu", "leaky")

    negative_slope: float = arg(
        Float(), "slope for negative numbers", 0.01, also_called=("slope", "alpha", "leak", "leakiness"), free=True
    )

    def overwrites(self) -> bool:
        return self.negative_slope >= 0  # else the result hides the sign of the input, which the gradient needs


class PReLU(_Activation):
    """Rectified linear unit with a learned slope for negative numbers (torch.nn.PReLU).

    Source: https://arxiv.org/abs/1502.01852
    """

    op = "prelu"
    torch = "nn.PReLU"
    also_called = ("p_relu", "parametric_relu", "parametrized_relu")
    broadcasts = False
    functional = False

    num_parameters: int = arg(
        Int(1),
        "how many slopes are learned: 1, or one per channel",
        1,
        also_called=("num_params", "parameters", "num_weights", "channels", "slopes"),
    )
    init: float = arg(
        Float(),
        "the slope that training starts from",
        0.25,
        also_called=("initial", "init_value", "alpha", "slope", "negative_slope"),
        free=True,
    )

    def infer(self) -> Shape:
        if self.num_parameters not in (1, self.channels):
            message = f"num_parameters: expected 1 or {self.channels}, one per channel, got {self.num_parameters}"
            raise self.error("shape", message, "num_parameters")
        return self.input

    def weights(self) -> dict[str, Shape]:
        return {"weight": (self.num_parameters,)}


class ELU(_Activation):
    """Exponential linear unit: alpha * (exp(x) - 1) for negative numbers (torch.nn.ELU).

    Source: https://arxiv.org/abs/1511.07289
    """

    op = "elu"
    torch = "nn.ELU"
    also_called = ("exponential_linear", "exponential_linear_unit")

    alpha: float = arg(
        Float(), "the negative of the limit for negative numbers", 1.0, also_called=("a", "scale"), free=True
    )


class SELU(_Activation):
    """Exponential linear unit scaled so that activations normalise themselves (torch.nn.SELU).

    Source: https://arxiv.org/abs/1706.02515
    """

    op = "selu"
    torch = "nn.SELU"
    also_called = ("scaled_elu", "scaled_exponential_linear")


class GELU(_Activation):
    """Gaussian error linear unit: x times the normal distribution's share below x (torch.nn.GELU).

    Source: https://arxiv.org/abs/1606.08415
    """

    op = "gelu"
    torch = "nn.GELU"
    also_called = ("gaussian_error_linear", "gaussian_error_linear_unit")

    approximate: str = arg(
        Choice("none", "tanh"),
        "`tanh` for the faster approximation",
        "none",
        also_called=("approx", "approximation", "tanh"),
    )


class SiLU(_InPlaceActivation):
    """Sigmoid linear unit, also called swish: x * sigmoid(x) (torch.nn.SiLU).

    Source: https://arxiv.org/abs/1702.03118
    """

    op = "silu"
    torch = "nn.SiLU"
    also_called = ("swish", "sigmoid_linear", "sigmoid_linear_unit")


class Mish(_InPlaceActivation):
    """Self-regularised smooth activation: x * tanh(softplus(x)) (torch.nn.Mish).

    Source: https://arxiv.org/abs/1908.08681
    """

    op = "mish"
    torch = "nn.Mish"
    also_called = ("self_regularized_relu",)


class Sigmoid(_Activation):
    """Logistic function: 1 / (1 + exp(-x)), between 0 and 1 (torch.nn.Sigmoid)."""

    op = "sigmoid"
    torch = "nn.Sigmoid"
    also_called = ("logistic", "logistic_sigmoid", "sigm", "expit")


class Tanh(_Activation):
    """Hyperbolic tangent, between -1 and 1 (torch.nn.Tanh)."""

    op = "tanh"
    torch = "nn.Tanh"
    also_called = ("hyperbolic_tangent", "tan_h")


class HardSigmoid(_InPlaceActivation):
    """Piecewise linear sigmoid: relu6(x + 3) / 6 (torch.nn.Hardsigmoid).

    Source: MobileNetV3, https://arxiv.org/abs/1905.02244
    """

    op = "hardsigmoid"
    torch = "nn.Hardsigmoid"
    also_called = ("hard_sigmoid", "h_sigmoid", "hsigmoid")


class HardSwish(_InPlaceActivation):
    """Piecewise quadratic swish: x * relu6(x + 3) / 6 (torch.nn.Hardswish).

    Source: MobileNetV3, https://arxiv.org/abs/1905.02244
    """

    op = "hardswish"
    torch = "nn.Hardswish"
    also_called = ("hard_swish", "h_swish", "hswish", "hard_silu", "hardsilu")


class Softplus(_Activation):
    """Smooth rectified linear unit: log(1 + exp(beta * x)) / beta (torch.nn.Softplus)."""

    op = "softplus"
    torch = "nn.Softplus"
    also_called = ("soft_plus", "smooth_relu", "softrelu")

    beta: float = arg(
        Float(0, open_minimum=True), "sharpness of the bend", 1.0, also_called=("b", "sharpness"), free=True
    )
    threshold: float = arg(
        Float(), "where beta * x is above it, x itself is the result", 20.0, also_called=("thresh", "limit")
    )


class _Softmax(Op):
    """What the softmaxes share. Abstract."""

    work = 5
    ranks = ANY_RANK
    functional = True
    on_line_of_input = True
    work_doc = "5 per element: maximum, difference, exponential, sum, and the division or logarithm"

    axis: str = arg(
        Axis(), "the axis along which the results are a distribution", "channels", also_called=("dim", "dimension")
    )

    def reach(self) -> tuple[Reach, ...] | None:
        return (HERE,) * self.rank if self.axis == "channels" else None

    def calls(self) -> tuple[Call, ...]:
        return (Call(self.torch_name, {"dim": torch_dim(self.axis, self.rank)}),)


class Softmax(_Softmax):
    """Probabilities that sum up to 1 along an axis (torch.nn.Softmax)."""

    op = "softmax"
    torch = "nn.Softmax"
    also_called = ("soft_max", "normalized_exponential")


class LogSoftmax(_Softmax):
    """Logarithms of the probabilities that softmax gives (torch.nn.LogSoftmax)."""

    op = "log_softmax"
    torch = "nn.LogSoftmax"
    also_called = ("logsoftmax", "log_soft_max")


OPS = (
    ReLU,
    ReLU6,
    LeakyReLU,
    PReLU,
    ELU,
    SELU,
    GELU,
    SiLU,
    Mish,
    Sigmoid,
    Tanh,
    HardSigmoid,
    HardSwish,
    Softplus,
    Softmax,
    LogSoftmax,
)
