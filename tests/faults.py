"""Faults to plant in a network, each with the checks of `verify` that must find it: those, and no others.

    python tests/faults.py resnet18 googlenet      # the faults in these networks
    python tests/faults.py tests/specs/unseen/siamese.yaml
    python tests/faults.py --all                   # in every network of the zoo, at small inputs (hours)
    python tests/faults.py --all --per-check 1     # one fault that fits for each check, another choice in each network

A fault is planted in one of the things that `verify` compares: in what an op claims, in the module, in the class that
the generated source defines, or in the compiled graph. Faults of the arithmetic change one call of torch (`Twist`)
while the source or the compiled graph runs, so they do not depend on how either is written.
"""

from __future__ import annotations

import argparse
import copy
import inspect
import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from unittest import mock

import torch
from networks import ZOO, resized
from torch import nn
from torch.nn import functional as F  # noqa: N812 its usual name
from torch.overrides import TorchFunctionMode

import archspec
from archspec.backends import forward as lowering
from archspec.backends import verify as verification
from archspec.backends.numerics import Trial, prepare
from archspec.backends.source import generate_source
from archspec.graph import Graph, Node
from archspec.ops.base import Op
from archspec.shapes import Lead

ALL = ("layers", "outputs", "params", "macs", "state_dict", "source", "compiled")


class Absent(Exception):
    """The network has no place for this fault."""


@dataclass(frozen=True)
class Fault:
    """A way to plant a fault, and the checks that must fail."""

    name: str
    checks: frozenset[str]
    plant: Callable[[archspec.Network, ExitStack], None]
    """Plants the fault in a network, and leaves on the stack what takes it out; Absent where there is no place."""
    says: str
    """A part of what each of these checks says, as a regular expression."""
    visible: frozenset[str] = frozenset(ALL)
    """The checks to run: those that use the thing in which the fault is planted."""

    def missed_by(self, found: Mapping[str, str]) -> str | None:
        """Say what is wrong with the details of the checks that failed; None where they are right."""
        if set(found) != self.checks:
            return f"{', '.join(found) or 'nothing'} failed"
        others = [detail for detail in found.values() if not re.search(self.says, detail)]
        return others[0] if others else None


FAULTS: list[Fault] = []


def fault(*checks: str, says: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Put a function that plants a fault into the table; its name says what is wrong."""

    def add(plant: Callable[[archspec.Network, ExitStack], None]) -> Callable[..., None]:
        FAULTS.append(Fault(plant.__name__.replace("_", " "), frozenset(checks), plant, says))
        return plant

    return add


def failing(network: archspec.Network, checks: frozenset[str] = frozenset(ALL)) -> dict[str, str]:
    """Run those of `verify`'s checks; return the details of those that fail."""
    torch.compiler.reset()
    found = verification.checks_of(network, "aot_eager")
    done = [verification.run_check(name, check) for name, check in found.items() if name in checks]
    return {check.name: check.detail for check in done if not check.passed}


@contextmanager
def planted(fault: Fault, network: archspec.Network) -> Iterator[None]:
    """Plant a fault in a network that nothing else uses."""
    with ExitStack() as stack:
        fault.plant(network, stack)
        yield


# In what an op claims.


def claim(node: Node, **answers: Any) -> None:
    """Give a node an op of its own whose methods and properties give other answers."""
    op = object.__new__(type(node.op))
    # What the op counts and calls stays as it was, unless the fault is there.
    right = {"macs": node.op.macs(), "flops": node.op.flops(), "calls": node.op.calls()}
    vars(op).update(vars(node.op), params=node.op.params, buffer_elements=node.op.buffer_elements)
    vars(op).pop("figures", None)  # cached
    for name, answer in {**right, **answers}.items():
        vars(op)[name] = partial(_identity, answer) if callable(getattr(Op, name, None)) else answer
    node.op = op


def _identity(value: Any) -> Any:
    return value


def where(graph: Graph, fits: Callable[[Node], Any]) -> Node:
    """Find the first node that fits."""
    for node in graph.nodes:
        if fits(node):
            return node
    raise Absent


@fault("layers", says=r"^\S+: \S+ in the spec, \S+ in torch$")
def wrong_shape_of_a_layer(network: archspec.Network, stack: ExitStack) -> None:
    node = where(network.graph, lambda node: node.path not in network.graph.outputs.values())
    claim(node, output=(*node.shape[:-1], node.shape[-1] + 1))


@fault("layers", "outputs", says=r"^\S+: \S+ in the spec, \S+ in torch$")
def wrong_shape_of_an_output(network: archspec.Network, stack: ExitStack) -> None:
    node = network.graph.node(next(iter(network.graph.outputs.values())))
    claim(node, output=(*node.shape[:-1], node.shape[-1] + 1))


@fault("params", says=r"^params: [\d,]+ in the spec, [\d,]+ in torch$")
def parameters_miscounted(network: archspec.Network, stack: ExitStack) -> None:
    node = where(network.graph, lambda node: node.op.params)
    claim(node, params=node.op.params + 1)


@fault("params", says=r"^buffers: [\d,]+ in the spec, [\d,]+ in torch$")
def buffers_miscounted(network: archspec.Network, stack: ExitStack) -> None:
    node = network.graph.nodes[-1]
    claim(node, buffer_elements=node.op.buffer_elements + 1)


@fault("macs", says=r"^macs: [\d,]+ in the spec, [\d,]+ in torch; \S+: [\d,]+ in the spec")
def macs_miscounted(network: archspec.Network, stack: ExitStack) -> None:
    node = where(network.graph, lambda node: node.op.macs())
    claim(node, macs=node.op.macs() + 1)


@fault("macs", says=r"^(?!macs)\S+: [\d,]+ in the spec, [\d,]+ in torch; \S+: [\d,]+ in the spec")
def macs_of_two_layers_exchanged(network: archspec.Network, stack: ExitStack) -> None:
    # Torch counts by module, so a layer that is given its weights counts with the scope around it; and what free
    # tensors alone go into is done once, not for each sample.
    def counts_alone(node: Node) -> bool:
        return bool(node.op.weights()) and node.op.lead is Lead.BATCH

    one = where(network.graph, lambda node: node.op.macs() and counts_alone(node))
    other = where(network.graph, lambda node: node.op.macs() not in (0, one.op.macs()) and counts_alone(node))
    macs = one.op.macs(), other.op.macs()
    claim(one, macs=macs[1])
    claim(other, macs=macs[0])


@fault("state_dict", says=r"^\S+: absent in the spec, \S+ in torch$")
def missing_key(network: archspec.Network, stack: ExitStack) -> None:
    node = where(network.graph, lambda node: node.op.weights())
    claim(node, weights=dict(list(node.op.weights().items())[:-1]))


@fault("state_dict", says=r"^\S+\.mask: 1 in the spec, absent in torch$")
def additional_key(network: archspec.Network, stack: ExitStack) -> None:
    node = network.graph.nodes[0]
    claim(node, buffers={**node.op.buffers(), "mask": (1,)})


@fault("state_dict", says=r"^\S+\.weight: \S+ in the spec, \S+ in torch$")
def transposed_weight(network: archspec.Network, stack: ExitStack) -> None:
    node = where(network.graph, lambda node: any(len({*shape}) > 1 for shape in node.op.weights().values()))
    claim(node, weights={name: shape[::-1] for name, shape in node.op.weights().items()})


@fault("state_dict", says=r"^the keys are in another order: expected `\S+\.bias`, got `\S+\.weight`$")
def keys_of_a_layer_in_another_order(network: archspec.Network, stack: ExitStack) -> None:
    node = where(network.graph, lambda node: len(node.op.weights()) > 1)
    claim(node, weights=dict(list(node.op.weights().items())[::-1]))


@fault("state_dict", says=r"^the keys are in another order: expected")
def layers_in_another_order(network: archspec.Network, stack: ExitStack) -> None:
    right = network.graph.state_dict()
    if len({key.rpartition(".")[0] for key in right}) < 2:
        raise Absent
    reversed_ = dict(list(right.items())[::-1])
    stack.enter_context(mock.patch.object(network.graph, "state_dict", return_value=reversed_))


# In the module.


def lowered(stack: ExitStack, change: Callable[[lowering.Step], lowering.Step]) -> None:
    """Change the first step of a forward that `change` does not leave as it is."""
    stack.callback(lowering.class_of.cache_clear)
    lowering.class_of.cache_clear()
    forward = lowering._forward

    def changed(plan: lowering.Plan, *others: Any, **options: Any) -> Any:
        steps = list(plan.steps)
        for position, step in enumerate(steps):
            if (other := change(step)) != step:
                steps[position] = other
                break
        return forward(replace(plan, steps=tuple(steps)), *others, **options)

    stack.enter_context(mock.patch.object(lowering, "_forward", changed))


@fault("source", says=r"^evaluation: the output `\S+` of the source differs$")
def skip_edge_dropped_in_the_module(network: archspec.Network, stack: ExitStack) -> None:
    where(network.graph, lambda node: node.op.op == "add")
    lowered(stack, lambda step: replace(step, reads=step.reads[:1]) if step.target == "+" else step)


@fault("source", says=r"^evaluation: the output `\S+` of the source differs$")
def operands_of_a_concat_reversed_in_the_module(network: archspec.Network, stack: ExitStack) -> None:
    where(network.graph, lambda node: node.op.op == "concat")
    lowered(stack, lambda step: replace(step, reads=step.reads[::-1]) if step.target == "torch.cat" else step)


def returning(stack: ExitStack, change: Callable[[Any], Any]) -> None:
    """Change what the forward of the whole module returns, but not where features are asked for."""
    build = verification.build_module

    def changed(graph: Graph, features: Any = None, **options: Any) -> nn.Module:
        module = build(graph, features=features, **options)
        if features is None:
            module.register_forward_hook(lambda module, inputs, output: change(output))
        return module

    stack.enter_context(mock.patch.object(verification, "build_module", changed))


@fault("outputs", "source", says=r"in the spec, \S+ in torch|the output `\S+` of the source differs$")
def output_of_another_shape(network: archspec.Network, stack: ExitStack) -> None:
    def wider(found: Any) -> Any:
        if isinstance(found, torch.Tensor):
            return torch.cat([found, found], 1)
        return {name: torch.cat([value, value], 1) for name, value in found.items()}

    returning(stack, wider)


@fault("outputs", "source", "compiled", says=r"^expected the outputs .*, got .*other$")
def outputs_under_other_names(network: archspec.Network, stack: ExitStack) -> None:
    returning(stack, lambda found: {"other": found} if isinstance(found, torch.Tensor) else found | {"other": 1})


# In the class of the source.


def spoiled(stack: ExitStack, spoil: Callable[[nn.Module], Any]) -> None:
    """Spoil the instances of the class that the generated source defines; Absent where `spoil` says so."""
    find = verification._top_class

    def changed(*arguments: Any) -> Any:
        made = find(*arguments)

        def construct() -> nn.Module:
            module: nn.Module = made()
            spoil(module)
            return module

        return construct

    stack.enter_context(mock.patch.object(verification, "_top_class", changed))


in_source = partial(fault, "source")


@in_source(says=r"^the keys are in another order: expected")
def source_with_its_keys_in_another_order(network: archspec.Network, stack: ExitStack) -> None:
    def reverse(module: nn.Module) -> None:
        children = list(module._modules.items())
        module._modules.clear()
        module._modules.update(reversed(children))

    if len({node.path.split(".")[0] for node in network.graph.nodes if node.op.weights()}) < 2:
        raise Absent
    spoiled(stack, reverse)


@in_source(says=r"^another: absent in the spec, 1 in torch$")
def source_with_another_key(network: archspec.Network, stack: ExitStack) -> None:
    spoiled(stack, lambda module: module.register_buffer("another", torch.zeros(1)))


@in_source(says=r"\.bias: \S+ in the spec, absent in torch$")
def source_with_a_bias_less(network: archspec.Network, stack: ExitStack) -> None:
    node = where(network.graph, lambda node: "bias" in node.op.weights())
    spoiled(stack, lambda module: module.get_submodule(node.path).register_parameter("bias", None))


@in_source(says=r"^from one seed, `\S+` starts from other values in the source$")
def source_that_starts_from_other_weights(network: archspec.Network, stack: ExitStack) -> None:
    node = where(network.graph, lambda node: node.op.weights())

    def spoil(module: nn.Module) -> None:
        with torch.no_grad():
            module.get_submodule(node.path).weight.view(-1)[0] += 1e-3  # type: ignore[operator]

    spoiled(stack, spoil)


@in_source(says=r"^from one seed, `\S+` starts from other values in the source$")
def source_with_a_buffer_of_another_value(network: archspec.Network, stack: ExitStack) -> None:
    node = where(network.graph, lambda node: node.op.op == "buffer" and node.op.args()["persistent"])

    def spoil(module: nn.Module) -> None:
        scope, _, name = node.path.rpartition(".")
        buffer = module.get_submodule(scope).get_buffer(name)
        buffer.copy_(buffer.flatten().roll(1).view_as(buffer) + 1)

    spoiled(stack, spoil)


@in_source(says=r"^another_use\.\S+: absent in the spec, \S+ in torch")
def source_with_a_module_for_each_use(network: archspec.Network, stack: ExitStack) -> None:
    node = where(network.graph, lambda node: node.weights_of is not None and node.op.weights())

    def spoil(module: nn.Module) -> None:
        module.another_use = copy.deepcopy(module.get_submodule(str(node.weights_of)))

    spoiled(stack, spoil)


@in_source(says=r"^after training, `\S+\.running_mean` differs in the source$")
def source_with_another_momentum(network: archspec.Network, stack: ExitStack) -> None:
    node = where(network.graph, lambda node: node.op.op == "batch_norm")
    spoiled(stack, lambda module: setattr(module.get_submodule(node.path), "momentum", 0.2))


@in_source(says=r"^training: the output `\S+` of the source differs$")
def source_with_another_dropout_rate(network: archspec.Network, stack: ExitStack) -> None:
    node = where(network.graph, lambda node: node.op.op == "dropout" and node.op.args()["rate"] > 0)
    spoiled(stack, lambda module: setattr(module.get_submodule(node.path), "p", 0.05))


@in_source(says=r"^training: the output `\S+` of the source differs$")
def source_without_drop_path(network: archspec.Network, stack: ExitStack) -> None:
    node = where(network.graph, lambda node: node.op.op == "drop_path" and node.op.args()["rate"] > 0)
    spoiled(stack, lambda module: setattr(module.get_submodule(node.path), "rate", 0.0))


@in_source(says=r"^expected the outputs .*, got other$")
def source_with_other_names_of_outputs(network: archspec.Network, stack: ExitStack) -> None:
    spoiled(stack, lambda module: module.register_forward_hook(lambda module, inputs, output: {"other": output}))


# In the arithmetic of the source and of the compiled graph.

Arguments = dict[str, Any]
Change = Callable[[Callable[..., Any], Arguments], Any]

ATTENTION = tuple(inspect.signature(F.multi_head_attention_forward).parameters)
CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
MAX_POOL = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode")
AVG_POOL = ("input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
SIGNATURES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), CONVOLUTION),
    "scaled_dot_product_attention": ("query", "key", "value", "attn_mask", "dropout_p", "is_causal"),
    "multi_head_attention_forward": ATTENTION,
    "interpolate": ("input", "size", "scale_factor", "mode", "align_corners"),
    "narrow": ("input", "dim", "start", "length"),
    "chunk": ("input", "chunks", "dim"),
    "split": ("input", "split_size", "dim"),
    "__getitem__": ("input", "index"),
    "linear": ("input", "weight", "bias"),
    "batch_norm": ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
    "local_response_norm": ("input", "size", "alpha", "beta", "k"),
    "max_pool2d": MAX_POOL,
    "avg_pool2d": AVG_POOL,
    "adaptive_avg_pool2d": ("input", "output_size"),
    "layer_norm": ("input", "normalized_shape", "weight", "bias", "eps"),
    "dropout": ("input", "p", "training", "inplace"),
    "flatten": ("input", "start_dim", "end_dim"),
    "cat": ("tensors", "dim"),
    **dict.fromkeys(("add", "mul"), ("input", "other")),
    **dict.fromkeys(("relu", "relu6", "hardtanh", "silu", "sigmoid", "tanh"), ("input",)),
    **dict.fromkeys(("softmax", "log_softmax"), ("input", "dim")),
}
"""The names of the arguments that a call may give by their place."""


@dataclass(frozen=True)
class Twist:
    """A change of one call of torch: of its arguments, or of the function."""

    name: str
    functions: tuple[str, ...]
    change: Change
    again: bool = False
    """Whether it fits only calls whose weight another call has used before."""

    def result(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Arguments, known: frozenset[int]) -> Any:
        """Return what the changed call gives; Absent for calls to leave alone. `known` are the weights used before."""
        name = getattr(func, "__name__", "")
        if name not in self.functions or self.again and not weights_in(args, kwargs) & known:
            raise Absent
        assert len(args) <= len(SIGNATURES[name]), f"{name} is given more than its signature here has"
        return self.change(func, {**dict(zip(SIGNATURES[name], args, strict=False)), **kwargs})


def weights_in(args: tuple[Any, ...], kwargs: Arguments) -> frozenset[int]:
    """Return which parameters of at least two axes a call is given."""
    given = [*args, *kwargs.values()]
    return frozenset(id(each) for each in given if isinstance(each, nn.Parameter) and each.ndim > 1)


TWISTS: list[Twist] = []


def twist(*functions: str, again: bool = False) -> Callable[[Change], Change]:
    """Put a change of calls of these functions into the table; its name says what is wrong."""

    def add(change: Change) -> Change:
        TWISTS.append(Twist(change.__name__.replace("_", " "), functions, change, again))
        return change

    return add


class Twisted(TorchFunctionMode):
    """While it is active, the call number `position` of those that a twist fits is changed; `count` counts them."""

    def __init__(self, twist: Twist, position: int | None) -> None:
        super().__init__()
        self.twist, self.position = twist, position
        self.count = 0
        self.known: frozenset[int] = frozenset()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        try:
            wrong = self.twist.result(func, args, given, self.known)
        except Absent:
            return func(*args, **given)
        finally:
            self.known |= weights_in(args, given)
        self.count += 1
        return wrong if self.count - 1 == self.position else func(*args, **given)


def called(func: Callable[..., Any], given: Arguments, **changed: Any) -> Any:
    """Call a function, or a method of a tensor, with some arguments changed."""
    first, *others = (changed.get(name, value) for name, value in given.items())
    names = list(given)[1:]
    return func(first, **dict(zip(names, others, strict=True)), **{k: v for k, v in changed.items() if k not in given})


@twist("conv2d", "linear")
def one_wrong_filter(func: Any, given: Arguments) -> Any:
    weight = given["weight"].clone()
    weight[0] *= 1.5
    return called(func, given, weight=weight)


@twist("conv1d", "conv2d", "conv3d", "linear", again=True)
def another_weight_at_a_second_use(func: Any, given: Arguments) -> Any:
    return called(func, given, weight=1.5 * given["weight"].flip(0))


@twist("conv2d", "linear")
def missing_bias(func: Any, given: Arguments) -> Any:
    if given["bias"] is None:
        raise Absent
    return called(func, given, bias=None)


@twist("conv2d", "linear")
def half_precision(func: Any, given: Arguments) -> Any:
    return called(func, given, input=given["input"].bfloat16().to(given["input"].dtype))


@twist("conv2d")
def flipped_kernel(func: Any, given: Arguments) -> Any:
    if given["weight"].shape[-1] == 1 or given["input"].shape[-1] == 1:  # the other taps lie on the padding
        raise Absent
    return called(func, given, weight=given["weight"].flip(-1))


@twist("conv2d")
def wrong_padding(func: Any, given: Arguments) -> Any:
    padding = given["padding"]
    if not any(padding):
        raise Absent
    edges = [amount for size in reversed(padding) for amount in (size, size)]
    padded = F.pad(given["input"], edges, mode="replicate")
    return called(func, given, input=padded, padding=0)


@twist("linear")
def units_in_another_order(func: Any, given: Arguments) -> Any:
    return called(func, given, weight=given["weight"].roll(1, 0))


@twist("batch_norm")
def another_eps(func: Any, given: Arguments) -> Any:
    return called(func, given, eps=100 * given["eps"])


@twist("batch_norm")
def weight_and_bias_of_a_norm_exchanged(func: Any, given: Arguments) -> Any:
    return called(func, given, weight=given["bias"], bias=given["weight"])


@twist("batch_norm")
def statistics_of_the_batch(func: Any, given: Arguments) -> Any:
    return called(func, given, running_mean=None, running_var=None, training=True)


@twist("local_response_norm")
def another_neighbourhood(func: Any, given: Arguments) -> Any:
    return called(func, given, size=given["size"] - 2)


@twist("relu", "relu6", "hardtanh", "silu", "sigmoid", "tanh")
def another_activation(func: Any, given: Arguments) -> Any:
    others = {"relu": F.leaky_relu, "silu": F.gelu, "sigmoid": F.hardsigmoid, "tanh": F.softsign}
    return others.get(func.__name__, F.relu)(given["input"])  # relu6 without its limit


def tensors(given: Arguments) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both operands; Absent where one is a number."""
    one, other = given["input"], given["other"]
    if not isinstance(one, torch.Tensor) or not isinstance(other, torch.Tensor):
        raise Absent
    return one, other


@twist("add")
def dropped_skip_edge(func: Any, given: Arguments) -> Any:
    return tensors(given)[0].expand(torch.broadcast_shapes(*[each.shape for each in tensors(given)]))


@twist("mul")
def dropped_gate(func: Any, given: Arguments) -> Any:
    return max(tensors(given), key=torch.Tensor.numel)


@twist("cat")
def operands_in_another_order(func: Any, given: Arguments) -> Any:
    return called(func, given, tensors=given["tensors"][::-1])


@twist("dropout")
def dropout_in_evaluation(func: Any, given: Arguments) -> Any:
    return called(func, given, p=0.5, training=True)


@twist("max_pool2d")
def means_for_maxima(func: Any, given: Arguments) -> Any:
    return F.avg_pool2d(**{name: given[name] for name in AVG_POOL if name in given})


@twist("avg_pool2d", "adaptive_avg_pool2d")
def maxima_for_means(func: Any, given: Arguments) -> Any:
    if given["input"][0, 0].numel() == 1:
        raise Absent
    if func.__name__ == "adaptive_avg_pool2d":
        return F.adaptive_max_pool2d(**given)
    return F.max_pool2d(**{name: given[name] for name in MAX_POOL if name in given})


@twist("flatten")
def flattened_in_another_order(func: Any, given: Arguments) -> Any:
    axes = given.get("start_dim", 0), given.get("end_dim", -1)
    return called(func, given, input=given["input"].transpose(*axes))


@twist("scaled_dot_product_attention", "multi_head_attention_forward")
def another_scale_of_attention(func: Any, given: Arguments) -> Any:
    if "in_proj_weight" not in given:
        return called(func, given, query=1.5 * given["query"])
    part = given["embed_dim_to_check"]
    factor = torch.ones_like(given["in_proj_weight"][:, :1])
    factor[:part] = 1.5
    return called(func, given, in_proj_weight=factor * given["in_proj_weight"])


@twist("scaled_dot_product_attention", "multi_head_attention_forward")
def dropped_mask(func: Any, given: Arguments) -> Any:
    if given.get("attn_mask") is None and not given.get("is_causal"):
        raise Absent
    return called(func, given, attn_mask=None, is_causal=False)


@twist("scaled_dot_product_attention", "multi_head_attention_forward")
def heads_split_otherwise(func: Any, given: Arguments) -> Any:
    if "num_heads" in given:
        heads = given["num_heads"]
        fewer = heads // 2 if heads % 2 == 0 else 1
        return called(func, given, num_heads=fewer if fewer < heads else given["embed_dim_to_check"])
    if given["query"].ndim < 4 or given["query"].shape[1] == 1:
        raise Absent
    mixed = {}
    for name in ("query", "key", "value"):  # as if the features of a head stood apart, not side by side
        head_first = given[name].transpose(1, 2)
        mixed[name] = head_first.reshape(*head_first.shape[:2], *head_first.shape[:1:-1]).permute(0, 3, 1, 2)
    return called(func, given, **mixed)


@twist("add", "mul")
def free_tensor_of_another_value(func: Any, given: Arguments) -> Any:
    one, other = tensors(given)
    if isinstance(one, nn.Parameter) is isinstance(other, nn.Parameter):
        raise Absent
    if isinstance(one, nn.Parameter):
        return called(func, given, input=one.flatten().roll(1).view_as(one))
    return called(func, given, other=other.flatten().roll(1).view_as(other))


@twist("__getitem__")
def shifted_index(func: Any, given: Arguments) -> Any:
    index = given["index"]
    if not isinstance(index, torch.Tensor) or index.is_floating_point():
        raise Absent
    return func(given["input"], index.flatten().roll(1).view_as(index))


@twist("chunk", "split", "narrow", "__getitem__")
def parts_in_another_order(func: Any, given: Arguments) -> Any:
    if func.__name__ == "narrow":
        return called(func, given, input=given["input"].roll(given["length"], given["dim"]))
    if func.__name__ == "__getitem__":
        index = given["index"] if isinstance(given["index"], tuple) else (given["index"],)
        cut = [axis for axis, part in enumerate(index) if isinstance(part, int) or part != slice(None)]
        if any(part is Ellipsis or isinstance(part, torch.Tensor) for part in index) or len(cut) != 1:
            raise Absent
        part, size = index[cut[0]], given["input"].shape[cut[0]]
        length = 1 if isinstance(part, int) else len(range(*part.indices(size)))
        return func(given["input"].roll(length, cut[0]), given["index"])
    parts = func(*given.values())
    if len({part.shape for part in parts}) > 1:
        raise Absent
    return parts[::-1]


@twist("interpolate")
def other_align_corners(func: Any, given: Arguments) -> Any:
    if given.get("mode", "nearest") not in ("bilinear", "linear", "trilinear", "bicubic"):
        raise Absent
    return called(func, given, align_corners=not given.get("align_corners"))


@twist("softmax", "log_softmax")
def another_temperature(func: Any, given: Arguments) -> Any:
    return called(func, given, input=1.01 * given["input"])


Run = Callable[[], Any]


@dataclass(frozen=True)
class Sound:
    """A network without a fault: what is the same for every twist of it.

    `runs` compute the network in float64, as the source does and as the compiled graph does.
    """

    trial: Trial
    source: str
    captured: Callable[..., Any]
    values: tuple[Any, ...]
    runs: dict[str, Run]
    places: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    """The places that have been asked for, by the thing that runs and the twist."""

    def shows(self, what: str, twist: Twist) -> list[int]:
        """Return the first and the last place at which a twist changes what is computed, if there are such places.

        Some change nothing: of two branches with the same weights the order does not matter, and a filter that a ReLU
        lets nothing of through may be any. In float64, what changes nothing is told from what changes little.
        """
        key = (what, twist.name)
        if key not in self.places:
            with torch.no_grad(), Twisted(twist, None) as counted:
                found = self.runs[what]()
            right = flattened(found)
            places = range(counted.count)
            first = next((place for place in places if self._changes(what, twist, place, right)), None)
            last = next((place for place in reversed(places) if self._changes(what, twist, place, right)), None)
            self.places[key] = [place for place in dict.fromkeys((first, last)) if place is not None]
        return self.places[key]

    def _changes(self, what: str, twist: Twist, place: int, right: torch.Tensor) -> bool:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), Twisted(twist, place):
            outputs = self.runs[what]()
        found = flattened(outputs)
        return found.shape != right.shape or not float((found - right).norm()) <= 1e-10 * float(right.norm())


def flattened(found: Any) -> torch.Tensor:
    """Return all outputs of a forward as one row of numbers."""
    if isinstance(found, torch.Tensor):
        return found.flatten()
    return torch.cat([each.flatten() for each in (found.values() if isinstance(found, Mapping) else found)])


def doubled(value: Any) -> Any:
    """Return a tensor of floats in float64, a parameter as a parameter."""
    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        return value
    return nn.Parameter(value.detach().double()) if isinstance(value, nn.Parameter) else value.double()


_SOUND: dict[str, Sound] = {}
"""Of the network that was last asked for: every fault needs it."""


COMPILE = torch.compile


def sound(network: archspec.Network) -> Sound:
    """Compile a network without a fault."""
    key = network.graph.to_json()
    if key not in _SOUND:
        seen: list[Any] = []

        def keep(captured: torch.fx.GraphModule, inputs: list[Any]) -> Any:
            def run(*values: Any) -> Any:
                seen.extend([captured.forward, values])
                return captured.forward(*values)

            return run

        trial = prepare(network.graph)
        source = generate_source(network)
        torch.compiler.reset()
        with torch.no_grad():
            COMPILE(trial.module, fullgraph=True, backend=keep)(*trial.inputs)
        with verification._imported(source) as written:
            module = verification._top_class(written, network.graph)()
        module.load_state_dict(trial.module.state_dict())
        module.eval().double()
        known: dict[int, Any] = {}  # a weight that stands twice among the values stays one
        values = [known.setdefault(id(value), doubled(value)) for value in seen[1]]
        runs = {"source": partial(module, *map(doubled, trial.inputs)), "compiled": partial(seen[0], *values)}
        _SOUND.clear()
        _SOUND[key] = Sound(trial, source, seen[0], seen[1], runs)
    return _SOUND[key]


def reused(network: archspec.Network, stack: ExitStack) -> None:
    """Let `verify` use the trial and the source of the network without a fault, which are the same."""
    trial = sound(network).trial

    def prepare(graph: Graph, module: nn.Module) -> Trial:
        module.load_state_dict(trial.module.state_dict())
        return replace(trial, module=module.eval())

    stack.enter_context(mock.patch.object(verification, "prepare", prepare))
    stack.enter_context(mock.patch("archspec.backends.source.generate_source", return_value=sound(network).source))


def twisted(what: str, twist: Twist, last: bool, network: archspec.Network) -> Twisted:
    """Return a twist of the first or the last call that it fits and where it shows."""
    places = sound(network).shows(what, twist)
    if len(places) <= last:
        raise Absent
    return Twisted(twist, places[last])


def twisted_source(twist: Twist, last: bool, network: archspec.Network, stack: ExitStack) -> None:
    """Change a call while the module of the source runs."""
    twisted("source", twist, last, network)
    reused(network, stack)

    def spoil(module: nn.Module) -> None:
        forward = module.forward

        def changed(*inputs: torch.Tensor) -> Any:
            with twisted("source", twist, last, network):
                return forward(*inputs)

        module.forward = changed  # type: ignore[method-assign]

    spoiled(stack, spoil)


def twisted_graph(twist: Twist, last: bool, network: archspec.Network, stack: ExitStack) -> None:
    """Change a call while the compiled graph runs; its values are those of the same trial, made once."""
    mode = twisted("compiled", twist, last, network)
    reused(network, stack)

    def compile(module: nn.Module, **options: Any) -> Any:
        def run(*inputs: torch.Tensor) -> Any:
            with mode:
                return sound(network).captured(*sound(network).values)

        return run

    stack.enter_context(mock.patch.object(torch, "compile", compile))


for each in TWISTS:
    for last in (False, True):
        for check, plant in (("source", twisted_source), ("compiled", twisted_graph)):
            name = f"{check}: {each.name}, {'last' if last else 'first'} place"
            says = r"`\S+` of the source differs$" if check == "source" else r"`\S+` is off by \S+ of its norm"
            FAULTS.append(Fault(name, frozenset({check}), partial(plant, each, last), says, frozenset({check})))


# The table.


def tried(fault: Fault, network: archspec.Network) -> dict[str, str] | None:
    """Plant a fault in a network that nothing else uses.

    Returns:
        The details of the checks that fail; None where the network has no place for the fault.
    """
    try:
        with planted(fault, network):
            return failing(network, fault.visible)
    except Absent:
        return None


def chosen(name: str, per_check: int | None) -> Iterator[Iterator[Fault]]:
    """Give rows of faults to try in a network: of each row `per_check` that have a place, or all of one row.

    The order within a row hangs on the name of the network alone, so that a run can be done again.
    """
    if per_check is None:
        yield iter(FAULTS)
        return
    for check in ALL:
        row = [fault for fault in FAULTS if check in fault.checks]
        yield iter(random.Random(f"{name} {check}").sample(row, len(row)))


def loaded(name: str) -> archspec.Network:
    """Load a network of the zoo at a small input, or the spec in a file as it is."""
    return archspec.load(name) if name.endswith(".yaml") else resized(name)


def main() -> int:
    """Print a row for each fault: in how many networks it was caught, and where not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", help="names of the zoo, or files")
    parser.add_argument("--all", action="store_true", help="every network of the zoo")
    parser.add_argument("--per-check", type=int, metavar="N", help="only N faults for each check, chosen by name")
    options = parser.parse_args()
    names = ZOO if options.all else options.networks
    caught = {fault.name: 0 for fault in FAULTS}
    rows: dict[str, list[str]] = {fault.name: [] for fault in FAULTS}
    for name in names:
        missed: list[str] = []
        planted = 0
        begin = time.perf_counter()
        if without := failing(loaded(name)):
            print(f"{name} fails without a fault: {without}")
            return 1
        for row in chosen(name, options.per_check):
            fitting = 0
            for fault in row:
                # Tracing takes most of the time, and is planted in by the twists only, which have their own.
                with mock.patch.object(torch, "compile", lambda module, **options: module):
                    found = tried(fault, loaded(name))
                if found is None:
                    continue
                if (wrong := fault.missed_by(found)) is None:
                    caught[fault.name] += 1
                else:
                    rows[fault.name].append(f"{name} ({wrong})")
                    missed.append(f"{fault.name} ({wrong})")
                fitting += 1
                if fitting == options.per_check:
                    break
            planted += fitting
        took = time.perf_counter() - begin
        says = "; ".join(missed) or "nothing"
        print(f"{name}: {took:.0f} s, {planted} planted, missed: {says}", file=sys.stderr, flush=True)
    print(f"{'fault':75} {'fails':26} caught  missed")
    for fault in FAULTS:
        missed = rows[fault.name]
        total = caught[fault.name] + len(missed)
        checks = ", ".join(check for check in ALL if check in fault.checks)
        print(f"{fault.name:75} {checks:26} {caught[fault.name]:3} of {total:3}  {'; '.join(missed)}")
    found_all, missed_all = sum(caught.values()), sum(map(len, rows.values()))
    print(f"{len(FAULTS)} faults, {len(names)} networks: {found_all} of {found_all + missed_all} caught")
    return 1 if any(rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
