"""Compare the outputs of two computations of a network, with weights and inputs under which every layer shows.

Verify, bench and the ONNX export use it.

With the weights that torch's constructors draw, the signal of a deep network fades in evaluation: its outputs are
nearly the same for every input, whatever the layers do, and a comparison of outputs compares nothing. `prepare` fits
the weights to the inputs, layer by layer, and measures what a comparison of the outputs can see.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from archspec.backends.module import build_module, needed
from archspec.graph import Graph

BATCH = 2
SEED = 0

ROUNDINGS = 8
"""How many times the effect of one rounding a right result may be off. Inductor was seen off by up to 3 times that."""

VISIBLE = 10
"""How many times the tolerance a fault in the first layer, or another input, must move an output to be seen."""

FAULT = 0.1
"""The size of that fault, as a part of the weights."""

GAINS = (0.5, 4.0)
"""The scales that channels are given: of a few, one is large enough to reach the limit of a ReLU6."""

PRIOR = 32
"""How many values of the whole tensor count beside those of a channel when its mean and variance are estimated.

A batch of 2 has few values for a channel of 1x1 or 2x2. Without the prior, layers fitted to so few values amplify
rounding: the outputs of EfficientNet-B7 at 64x64 then move by 6e-3 of their norm, with it by 2e-6.
"""

LEAST_PRIOR = 0.1
"""The least weight of the prior, so that no layer amplifies a nearly constant channel."""

PERIOD = 1_000_003
"""How many random numbers a tensor has at most before they repeat: a prime, so that no two rows are alike."""


class Disagreement(Exception):
    """Two computations that should agree do not."""


@dataclass(frozen=True)
class Trial:
    """A network with weights and inputs, and what a comparison of its outputs can see."""

    module: nn.Module
    """In evaluation mode."""
    inputs: tuple[torch.Tensor, ...]
    outputs: dict[str, torch.Tensor]
    tolerances: dict[str, float]
    """How far each output of an equally exact computation may be off, as a part of its norm."""
    blind: tuple[str, ...]
    """A sentence for each thing that the outputs do not show; empty for a network whose layers all matter."""

    def compare(self, found: Any) -> float:
        """Compare what another computation of this network returned with the outputs.

        Returns:
            How far the worst output is off, as a part of its norm.

        Raises:
            Disagreement: An output is off by more than its tolerance, or not finite.
        """
        return compare(self.outputs, named(found, self.outputs), self.tolerances)

    @property
    def remarks(self) -> str:
        """What the outputs do not show, to append to the result of a comparison."""
        return "".join(f"; {sentence}" for sentence in self.blind)


def prepare(graph: Graph, module: nn.Module | None = None, *, fit: bool = True, seed: int = SEED) -> Trial:
    """Give a network weights and inputs under which each of its layers shows in its outputs.

    The same seed gives the same trial. torch's random state stays as it was.

    Args:
        graph: The network.
        module: The network as a module, on any device and in any dtype, which is put into evaluation mode; a new one
            on the CPU by default. Its forward returns the outputs as that of `build_module` does.
        fit: Whether to draw the weights. Without it the module keeps those it has.
        seed: Seed of the weights and inputs.
    """
    generator = torch.Generator().manual_seed(seed)
    if module is None:
        with torch.random.fork_rng(devices=[]):
            module = build_module(graph, own_class=True)
    module.eval()
    inputs = draw_inputs(graph, BATCH, generator, like=module)
    with torch.no_grad():
        if fit:
            fit_weights(module, inputs, generator)
        outputs = named(module(*inputs), graph.evaluation.outputs)
        tolerances = {
            name: ROUNDINGS * max(change, rounding(outputs[name]))
            for name, change in changes(outputs, _rounded(module, inputs, outputs, generator)).items()
        }
        blind = _blind(graph.evaluation, module, inputs, outputs, tolerances, generator)
    return Trial(module, inputs, outputs, tolerances, blind)


def draw_inputs(
    graph: Graph, batch: int, generator: torch.Generator, *, like: nn.Module | None = None
) -> tuple[torch.Tensor, ...]:
    """Draw inputs whose samples differ: noise, around a mean of its own for each sample and channel.

    Samples of plain noise look alike to a network that averages them. Device and dtype are those of `like`, by default
    the CPU and float32.
    """
    example = torch.empty(0) if like is None else next(_floating(like.state_dict().values()), torch.empty(0))
    found = []
    for shape in graph.inputs.values():
        noise = torch.randn(batch, *shape, generator=generator)
        means = torch.randn(batch, shape[0], *[1] * (len(shape) - 1), generator=generator)
        found.append((noise + means).to(device=example.device, dtype=example.dtype))
    return tuple(found)


def named(found: Any, names: Iterable[str]) -> dict[str, torch.Tensor]:
    """Name the outputs that a forward returned: one tensor, several in order, or a dict.

    Raises:
        Disagreement: There are more or fewer, or they have other names.
    """
    names = list(names)
    if isinstance(found, torch.Tensor):
        found = [found]
    if not isinstance(found, Mapping):
        if len(found) != len(names):
            raise Disagreement(f"expected {len(names)} outputs, got {len(found)}")
        return dict(zip(names, found, strict=True))
    if list(found) != names:
        raise Disagreement(f"expected the outputs {', '.join(names)}, got {', '.join(map(str, found))}")
    return dict(found)


def changes(left: Mapping[str, torch.Tensor], right: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Measure how far outputs are from those on the left, as parts of the norms on the left."""
    return {name: _change(left[name], right[name]) for name in left}


def compare(
    left: Mapping[str, torch.Tensor], right: Mapping[str, torch.Tensor], tolerances: Mapping[str, float]
) -> float:
    """Compare outputs with those on the left.

    Returns:
        How far the worst of them is off, as a part of its norm.

    Raises:
        Disagreement: One is off by more than its tolerance, of another shape, or not finite.
    """
    for name, value in left.items():
        if value.shape != right[name].shape:
            raise Disagreement(f"`{name}` has the shape {tuple(right[name].shape)} instead of {tuple(value.shape)}")
        if not bool(torch.isfinite(value).all()):
            raise Disagreement(f"`{name}` is not finite")
    found = changes(left, right)
    for name, change in found.items():
        if not change <= tolerances[name]:
            text = f"`{name}` is off by {change:.1e} of its norm"
            raise Disagreement(f"{text}, where rounding allows {tolerances[name]:.1e}")
    return max(found.values(), default=0.0)


# Weights.


def fit_weights(module: nn.Module, inputs: tuple[torch.Tensor, ...], generator: torch.Generator) -> None:
    """Draw all weights, and fit them to the inputs so that the signal keeps its scale from layer to layer.

    One forward in evaluation mode: each convolution and linear layer is scaled to the inputs that it gets, and moved
    where it has a bias; each batch norm takes the statistics of its inputs. Factors that start at 0 or near it are
    drawn like all others. A layer that is called several times is fitted to its first inputs.
    Source: All you need is a good init, https://arxiv.org/abs/1511.06422
    """
    training = module.training
    for layer in module.modules():
        own = dict(layer.named_parameters(recurse=False))
        is_layer = type(layer).__module__.startswith(("torch.", "archspec.backends.layers"))
        for name, parameter in own.items():
            parameter.copy_(_drawn(name if is_layer else FREE, parameter.shape, generator))
        if not is_layer:
            continue
        weight, bias = own.get("weight"), own.get("bias")
        if weight is not None and bias is not None and weight.ndim == 1:  # of a norm: in proportion
            bias.mul_(weight.abs())
    with ExitStack() as hooks:
        for layer in module.modules():
            if isinstance(layer, (_ConvNd, nn.Linear)):
                hooks.callback(layer.register_forward_hook(_Fit(generator)).remove)
            elif isinstance(layer, _BatchNorm) and layer.running_mean is not None:
                hooks.callback(layer.register_forward_pre_hook(_Statistics()).remove)
        module.eval()(*inputs)
    module.train(training)


FREE = "free"
"""The name that a free parameter is drawn under: it belongs to no layer, and is added or multiplied."""


def _drawn(name: str, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Draw a parameter by its shape: matrices of unit gain, biases around 0, factors of either sign away from 0."""
    if len(shape) > 1 and name != FREE:
        fan_in = max(1, shape.numel() // shape[0])
        return _uniform(shape, generator).mul_((3 / fan_in) ** 0.5)
    if name.endswith("bias"):
        return torch.randn(shape, generator=generator)
    return (_gains(shape.numel(), generator) * _signs(shape.numel(), generator)).view(shape)


def _uniform(shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Draw numbers between -1 and 1; those of a large tensor repeat, which takes a tenth of the time."""
    count = shape.numel()
    numbers = torch.empty(min(count, PERIOD)).uniform_(-1, 1, generator=generator)
    return numbers.repeat(-(-count // PERIOD))[:count].view(shape) if count > PERIOD else numbers.view(shape)


def _gains(count: int, generator: torch.Generator) -> torch.Tensor:
    """Draw scales that are spread evenly over `GAINS`, on a logarithmic scale, in a random order."""
    low, high = GAINS
    places = torch.randperm(count, generator=generator) + torch.empty(count).uniform_(generator=generator)
    return low * (high / low) ** (places / count)


class _Fit:
    """A forward hook that fits a convolution or linear layer to what it returned, and returns what it returns then."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self.done = False

    def __call__(self, layer: nn.Module, _: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        if self.done:
            return output
        self.done = True
        assert isinstance(layer, (_ConvNd, nn.Linear))
        axis = output.ndim - 1 if isinstance(layer, nn.Linear) else 1
        bias = layer.bias
        values = _precise(output)
        if bias is not None:
            values = values - _precise(bias).view(_along(axis, output.ndim))
        mean, variance = _statistics(values, axis, centred=bias is not None)
        gains = _gains(output.shape[axis], self.generator)
        shift = torch.zeros_like(mean)
        factor = gains.to(mean.device) / variance.sqrt()
        if bias is not None:
            shift = torch.randn(mean.shape, generator=self.generator).mul_(gains).to(mean.device) - mean * factor
            bias.copy_(shift)
        else:
            # A channel that hardly changes sign cannot be moved to 0: a ReLU would pass all of it or nothing.
            turned = _signs(len(mean), self.generator).to(mean.device) * torch.where(mean < 0, -1, 1)
            factor = torch.where(mean.square() > variance / 2, turned, 1) * factor
        weight = layer.weight
        if isinstance(layer, _ConvTransposeNd):  # (inputs, outputs of a group, ...)
            grouped = factor.view(layer.groups, 1, -1).expand(-1, len(weight) // layer.groups, -1)
            weight.mul_(grouped.reshape(len(weight), -1, *[1] * (weight.ndim - 2)))
        else:
            weight.mul_(factor.view(_along(0, weight.ndim)))
        view = _along(axis, output.ndim)
        return (values * factor.view(view) + shift.view(view)).to(output.dtype)


def _signs(count: int, generator: torch.Generator) -> torch.Tensor:
    """Draw signs, half of them negative: of channels with one sign, a ReLU then passes some and stops others."""
    return 1 - 2 * (torch.randperm(count, generator=generator) % 2)


class _Statistics:
    """A hook that has a batch norm take the statistics of the first inputs that it gets."""

    def __init__(self) -> None:
        self.done = False

    def __call__(self, layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if not self.done:
            self.done = True
            _take_statistics(layer, inputs)


def _take_statistics(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
    """Give a batch norm the statistics of its inputs."""
    assert isinstance(layer, _BatchNorm)
    assert layer.running_mean is not None
    assert layer.running_var is not None
    mean, variance = _statistics(_precise(inputs[0]), 1, centred=True)
    layer.running_mean.copy_(mean)
    layer.running_var.copy_(variance)
    if layer.num_batches_tracked is not None:
        layer.num_batches_tracked.fill_(1)


def _statistics(values: torch.Tensor, axis: int, *, centred: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Estimate mean and variance of each channel, or its mean square where it cannot be centred."""
    others = [other for other in range(values.ndim) if other != axis]
    count = values.numel() // values.shape[axis]
    mean, square = values.mean(others), values.square().mean(others)
    weight = max(LEAST_PRIOR, PRIOR / (count + PRIOR))
    own = square - mean.square() if centred else square
    variance = (1 - weight) * own.clamp_min(0) + weight * square.mean()
    variance = torch.where(variance > 0, variance, torch.ones_like(variance))
    return mean * (1 - weight) if centred else mean, variance


def _along(axis: int, ndim: int) -> list[int]:
    """Return the shape that lays a vector along an axis."""
    return [-1 if position == axis else 1 for position in range(ndim)]


# What a comparison can see.


def rounding(value: torch.Tensor) -> float:
    """Return the relative spacing of numbers that computations with this tensor round to."""
    switches = (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
    if value.device.type == "cuda" and value.dtype is torch.float32 and any(switches):
        return 2.0**-10  # TensorFloat-32
    return torch.finfo(value.dtype).eps


def _rounded(
    module: nn.Module,
    inputs: tuple[torch.Tensor, ...],
    outputs: Mapping[str, torch.Tensor],
    generator: torch.Generator,
) -> dict[str, torch.Tensor]:
    """Compute the outputs with every weight and input moved by up to one rounding.

    A computation in another order, or with steps fused, is the exact one of weights that are off by a few roundings:
    how far the outputs move is how far rounding can make two right computations differ.
    """

    def moved(value: torch.Tensor) -> torch.Tensor:
        if not value.is_floating_point():
            return value
        noise = _precise(_uniform(value.shape, generator).to(value.device), like=value)
        return noise.mul_(rounding(value)).add_(1).mul_(value).to(value.dtype)

    state = {name: moved(value) for name, value in module.state_dict().items()}
    return named(torch.func.functional_call(module, state, tuple(map(moved, inputs))), outputs)


def _blind(
    graph: Graph,
    module: nn.Module,
    inputs: tuple[torch.Tensor, ...],
    outputs: Mapping[str, torch.Tensor],
    tolerances: Mapping[str, float],
    generator: torch.Generator,
) -> tuple[str, ...]:
    """Say what the outputs do not show: another input, and another first layer."""
    # The other samples are other inputs.
    other = changes(outputs, {name: value.flip(0) for name, value in outputs.items()})
    first = _first_layers(graph)
    state = module.state_dict()
    weights = {}
    for path in dict.fromkeys(first.values()):
        node = graph.node(path)
        for key in map(node.key, node.op.weights()):
            value = _precise(state[key])
            noise = torch.randn(value.shape, generator=generator).to(value.device)
            weights[key] = (value + FAULT * value.square().mean().sqrt() * noise).to(inputs[0].dtype)
    fault = changes(outputs, named(torch.func.functional_call(module, weights, inputs), outputs))
    found = []
    for name in outputs:
        for change, what in ((other[name], "the input"), (fault[name], f"`{first.get(name)}`")):
            if change <= VISIBLE * tolerances[name] and (what == "the input" or name in first):
                hardly = f"hardly depends on {what} (it moves by {change:.0e})"
                found.append(f"`{name}` {hardly if change else f'does not depend on {what}'}")
    return tuple(found)


def _first_layers(graph: Graph) -> dict[str, str]:
    """Find the first convolution or linear layer of each output, or the first layer with weights if it has neither."""
    found = {}
    for name, path in graph.outputs.items():
        nodes = [node for node in needed(graph, [path]) if node.op.weights()]
        if nodes:
            found[name] = next((node for node in nodes if node.op.weighted), nodes[0]).path
    return found


def _change(left: torch.Tensor, right: torch.Tensor) -> float:
    left, right = _precise(left), _precise(right)
    if torch.equal(left, right):
        return 0.0
    norm = float(left.norm())
    change = float((left - right).norm()) / norm if norm else float("inf")
    return float("inf") if math.isnan(change) else change


def _precise(value: torch.Tensor, *, like: torch.Tensor | None = None) -> torch.Tensor:
    """Return the tensor in float32, or in float64 where it (or `like`) is in that."""
    return value.detach().to(torch.promote_types((value if like is None else like).dtype, torch.float32))


def _floating(tensors: Any) -> Iterator[torch.Tensor]:
    return (tensor for tensor in tensors if tensor.is_floating_point())


@contextmanager
def seeded(seed: int = SEED, device: torch.device | None = None) -> Iterator[None]:
    """Seed torch's random numbers, on the CPU and on `device`, and put the caller's state back afterwards."""
    devices = [device.index or 0] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)  # that of the CPU only: torch.manual_seed would seed every GPU
        for each in devices:
            torch.cuda.default_generators[each].manual_seed(seed)
        yield


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, and each of its modules back into its own afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
