"""Normalisations."""

from __future__ import annotations

from archspec.errors import Complaint
from archspec.ops.base import ANY_RANK, Call, Op
from archspec.ops.fields import Bool, Choice, Float, Int, arg
from archspec.ops.initial import ONES_AND_ZEROS
from archspec.shapes import HERE, Reach, Shape, elements

EPS_WORDS = ("epsilon", "variance_epsilon", "e")
AFFINE_WORDS = ("elementwise_affine", "learned", "learnable", "trainable", "scale", "center", "use_scale", "use_bias")
AXIS_WORDS = ("dim", "dimension", "along", "axes")
_AXIS_DOC = "what is normalised together: the `channels` of an image, or the `last` axis, the features of tokens"


class BatchNorm(Op):
    """Normalises each channel over the batch and the spatial axes (torch.nn.BatchNorm1d, BatchNorm2d, BatchNorm3d).

    Source: https://arxiv.org/abs/1502.03167
    """

    local = True
    op = "batch_norm"
    torch = "nn.BatchNorm*d"
    also_called = (
        *("bn", "batchnorm", "batchnorm1d", "batchnorm2d", "batchnorm3d", "batch_norm1d", "batch_norm2d"),
        *("batch_norm3d", "batch_normalization", "batch_normalisation", "batchnormalization", "bn1d", "bn2d", "bn3d"),
    )
    work = 2
    initial = ONES_AND_ZEROS
    batch_statistics = True
    on_line_of_input = True
    overwritable = True

    eps: float = arg(
        Float(0, 1, open_minimum=True),
        "added to the variance, against division by zero",
        1e-5,
        also_called=EPS_WORDS,
        free=True,
    )
    momentum: float = arg(
        Float(0, 1),
        "weight of the newest batch in the running statistics",
        0.1,
        also_called=("bn_momentum", "decay", "m"),
        free=True,
    )
    affine: bool = arg(
        Bool(), "whether a learned factor and constant per channel follow", True, also_called=AFFINE_WORDS
    )

    def surprise(self) -> Complaint | None:
        if self.momentum <= 0.5:
            return None
        message = f"the momentum {self.momentum:g} is the weight of the newest batch, not of the statistics so far"
        help = f"Keras counts the other way round: write {1 - self.momentum:.4g}"
        return self.error("statistics", message, help=help)

    def weights(self) -> dict[str, Shape]:
        return {"weight": (self.channels,), "bias": (self.channels,)} if self.affine else {}

    def buffers(self) -> dict[str, Shape]:
        return {"running_mean": (self.channels,), "running_var": (self.channels,), "num_batches_tracked": ()}

    def calls(self) -> tuple[Call, ...]:
        arguments = {"eps": self.eps, "momentum": self.momentum, "affine": self.affine}
        return (Call(self.torch_name, {"num_features": self.channels, **arguments}),)


class _SampleNorm(Op):
    """What the normalisations within one sample share. Abstract."""

    initial = ONES_AND_ZEROS
    on_line_of_input = True
    work_doc = "5 per element (mean, difference, square, its mean, scaling), and 2 more where affine"
    overwritable = True

    eps: float | None
    affine: bool

    def weights(self) -> dict[str, Shape]:
        return {"weight": (self.channels,), "bias": (self.channels,)} if self.affine else {}

    def flops(self) -> int:
        return (7 if self.affine else 5) * elements(self.output)


class _FeatureNorm(_SampleNorm):
    """What the normalisations of each position share. Abstract."""

    ranks = ANY_RANK

    axis: str

    @property
    def features(self) -> int:
        """How many numbers are normalised together."""
        return self.input[-1] if self.axis == "last" else self.channels

    def reach(self) -> tuple[Reach, ...] | None:
        return (HERE,) * self.rank if self.axis == "channels" else None

    def _around(self, norm: Call) -> tuple[Call, ...]:
        """Return the call of a norm over the last axis, with the axes permuted before and after it where need be."""
        if self.axis == "last" or not self.rank:
            return (norm,)
        last = self.rank + 1  # of the axes with the batch
        to_last = Call("torch.permute", {"dims": (0, *range(2, last + 1), 1)})
        to_first = Call("torch.permute", {"dims": (0, last, *range(1, last))})
        return to_last, norm, to_first


class LayerNorm(_FeatureNorm):
    """Normalises each position over the channels, or each token over its features (torch.nn.LayerNorm).

    Source: https://arxiv.org/abs/1607.06450
    """

    op = "layer_norm"
    torch = "nn.LayerNorm"
    also_called = (
        *("ln", "layernorm", "layernorm2d", "layer_norm2d", "layer_normalization", "layer_normalisation"),
        *("layernormalization", "channel_norm"),
    )

    eps: float = arg(
        Float(0, 1, open_minimum=True),
        "added to the variance, against division by zero",
        1e-5,
        also_called=EPS_WORDS,
        free=True,
    )
    affine: bool = arg(
        Bool(), "whether a learned factor and constant per channel follow", True, also_called=AFFINE_WORDS
    )
    axis: str = arg(Choice("channels", "last"), _AXIS_DOC, "channels", also_called=AXIS_WORDS)

    def weights(self) -> dict[str, Shape]:
        return {"weight": (self.features,), "bias": (self.features,)} if self.affine else {}

    def calls(self) -> tuple[Call, ...]:
        arguments = {"normalized_shape": self.features, "eps": self.eps, "elementwise_affine": self.affine}
        return self._around(Call(self.torch_name, arguments))


class RMSNorm(_FeatureNorm):
    """Divides each position by the root of its mean square, without centring it (torch.nn.RMSNorm).

    Source: https://arxiv.org/abs/1910.07467
    """

    op = "rms_norm"
    torch = "nn.RMSNorm"
    also_called = ("rmsnorm", "rms", "root_mean_square_norm", "rms_normalization", "rms_layer_norm")
    work_doc = "3 per element (square, its mean, scaling), and 1 more where affine"

    eps: float | None = arg(
        Float(0, 1, open_minimum=True),
        "added to the mean square; by default the smallest step of the numbers' type",
        None,
        also_called=EPS_WORDS,
    )
    affine: bool = arg(Bool(), "whether a learned factor per channel follows", True, also_called=AFFINE_WORDS)
    axis: str = arg(Choice("channels", "last"), _AXIS_DOC, "channels", also_called=AXIS_WORDS)

    @property
    def in_chain(self) -> bool:  # type: ignore[override] # it is one module only where no axes are permuted
        return len(self.calls()) == 1

    def weights(self) -> dict[str, Shape]:
        return {"weight": (self.features,)} if self.affine else {}

    def flops(self) -> int:
        return (4 if self.affine else 3) * elements(self.output)

    def calls(self) -> tuple[Call, ...]:
        arguments = {"normalized_shape": self.features, "eps": self.eps, "elementwise_affine": self.affine}
        return self._around(Call(self.torch_name, arguments))


class GroupNorm(_SampleNorm):
    """Normalises each sample over groups of channels and the spatial axes (torch.nn.GroupNorm).

    Source: https://arxiv.org/abs/1803.08494
    """

    op = "group_norm"
    torch = "nn.GroupNorm"
    also_called = ("gn", "groupnorm", "group_normalization", "group_normalisation", "groupnormalization")
    example = "2"

    groups: int = arg(
        Int(1),
        "groups of channels that are normalised together",
        also_called=("group", "num_groups", "n_groups", "group_count", "g"),
    )
    eps: float = arg(
        Float(0, 1, open_minimum=True),
        "added to the variance, against division by zero",
        1e-5,
        also_called=EPS_WORDS,
        free=True,
    )
    affine: bool = arg(
        Bool(), "whether a learned factor and constant per channel follow", True, also_called=AFFINE_WORDS
    )

    def infer(self) -> Shape:
        if self.channels % self.groups:
            message = f"groups: expected a divisor of the {self.channels} channels, got {self.groups}"
            raise self.error("shape", message, "groups")
        if elements(self.input) == self.groups:
            raise self.error("shape", "groups: a group of a single value has no variance", "groups")
        return self.input

    def calls(self) -> tuple[Call, ...]:
        arguments = {"num_groups": self.groups, "num_channels": self.channels, "eps": self.eps, "affine": self.affine}
        return (Call(self.torch_name, arguments),)

    def summary(self) -> str:
        return f"{self.groups} groups"


class InstanceNorm(_SampleNorm):
    """Normalises each channel of each sample over the spatial axes (torch.nn.InstanceNorm1d, InstanceNorm2d, ...).

    Source: https://arxiv.org/abs/1607.08022
    """

    op = "instance_norm"
    torch = "nn.InstanceNorm*d"
    also_called = (
        *("instancenorm", "instancenorm1d", "instancenorm2d", "instancenorm3d", "instance_norm1d"),
        *("instance_norm2d", "instance_norm3d", "instance_normalization", "instance_normalisation"),
        *("instancenormalization", "inorm", "contrast_norm"),
    )
    ranks = (1, 2, 3)

    eps: float = arg(
        Float(0, 1, open_minimum=True),
        "added to the variance, against division by zero",
        1e-5,
        also_called=EPS_WORDS,
        free=True,
    )
    affine: bool = arg(
        Bool(), "whether a learned factor and constant per channel follow", False, also_called=AFFINE_WORDS
    )

    def infer(self) -> Shape:
        if elements(self.spatial) == 1:
            raise self.error("shape", "a channel of a single value has no variance")
        return self.input

    def calls(self) -> tuple[Call, ...]:
        return (Call(self.torch_name, {"num_features": self.channels, "eps": self.eps, "affine": self.affine}),)


class LocalResponseNorm(Op):
    """Divides by the activity of the neighbouring channels (torch.nn.LocalResponseNorm).

    Source: AlexNet,
    https://proceedings.neurips.cc/paper/2012/hash/c399862d3b9d6b76c8436e924a68c45b-Abstract.html
    """

    local = True
    op = "local_response_norm"
    torch = "nn.LocalResponseNorm"
    also_called = (
        *("lrn", "localresponsenorm", "local_response_normalization", "local_response_normalisation"),
        *("response_norm", "cross_map_lrn", "crossmaplrn2d"),
    )
    functional = True
    on_line_of_input = True
    ranks = (1, 2, 3)
    work_doc = "per element, 1 for each of the `size` neighbours and 5 more (square, factor, constant, power, division)"

    size: int = arg(
        Int(1),
        "how many neighbouring channels are summed up",
        5,
        also_called=("n", "local_size", "window", "neighbours", "neighbors", "depth"),
    )
    alpha: float = arg(Float(0), "factor of the mean square", 1e-4, also_called=("a", "factor"), free=True)
    beta: float = arg(Float(0), "exponent", 0.75, also_called=("b", "exponent", "power"), free=True)
    k: float = arg(Float(0), "added to the scaled mean square", 1.0, also_called=("bias", "constant"), free=True)

    def flops(self) -> int:
        return (self.size + 5) * elements(self.output)

    def calls(self) -> tuple[Call, ...]:
        norm = Call(self.torch_name, {"size": self.size, "alpha": self.alpha, "beta": self.beta, "k": self.k})
        if self.rank < 3:
            return (norm,)
        # In 3-D, torch views its input, which must be contiguous; after a permute it is not. This copies only then.
        whole = Call("torch.reshape", {"shape": (-1, *self.input)})
        return Call("torch.flatten", {"start_dim": 1}), whole, norm

    def summary(self) -> str:
        return f"size={self.size}"


OPS = (BatchNorm, LayerNorm, RMSNorm, GroupNorm, InstanceNorm, LocalResponseNorm)
