"""Prove that a spec is the network that it was imported from, before anything is written.

The figures of both are compared on the meta device, then their outputs on the CPU, with weights that are drawn and
fitted so that every layer shows in the outputs (`archspec.backends.numerics`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import _pytree as pytree
from torch.utils.flop_counter import FlopCounterMode

from archspec.analysis.cost import cost
from archspec.backends.build import check_size
from archspec.backends.extras import reason
from archspec.backends.module import build_module
from archspec.backends.numerics import SEED, Disagreement, changes, draw_inputs, fit_weights, named
from archspec.backends.verify import Check, Verification, run_check
from archspec.graph import Graph
from archspec.importing.failures import not_run
from archspec.importing.sources import TorchModel, Undrawn, fixed_buffers
from archspec.network import Network, loads
from archspec.shapes import Lead, Shape, elements, shape_text

EXACT = 1e-7
"""How far outputs in float64 may be off, as a part of their norm, where other kernels round in another way.

Tables that a source computes in float32 keep their roundings in float64, and move outputs by 1e-8. An epsilon of 1e-6
in place of 1e-5 moves them by 1e-6.
"""

CLOSE = 1e-6
"""The same in float32, for a network that does not run in float64."""

MAX_BYTES = 8 * 2**30
"""Bytes of weights, of the spec's module and the source together, up to which outputs are compared."""


class Reference:
    """What a network in torch is: the figures to compare a spec with. It runs once, on fake tensors.

    Raises:
        UsageError: It does not run on its inputs.
    """

    def __init__(self, model: TorchModel) -> None:
        self.model = model
        self.batch = model.inputs[0].shape[0]
        self.state: dict[str, Shape] = {
            key: tuple(value.shape) for key, value in model.module.state_dict().items() if torch.is_tensor(value)
        }
        self.params = sum(value.numel() for value in model.module.parameters())
        counter = FlopCounterMode(display=False)
        outputs = self._run(counter)
        self.macs = counter.get_total_flops() // 2
        """Of the whole batch."""
        self.outputs: list[Shape] = [tuple(value.shape[1:]) for value in outputs]

    def _run(self, counter: FlopCounterMode) -> list[torch.Tensor]:
        inputs = self.model.inputs
        # The counter tells modules apart by gradients, which a weight that is an input of one would need in earnest.
        learned = [tensor for tensor in self.model.module.parameters() if tensor.requires_grad]
        for tensor in learned:
            tensor.requires_grad_(False)
        try:
            # As plain products: the counter does not know every fused kernel of the CPU.
            with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), _fake(inputs) as convert, counter:
                return tensors(self.model.module(*map(convert, inputs)))
        except Exception as error:  # whatever the network raises
            raise not_run(self.model.name, error, inputs) from error
        finally:
            for tensor in learned:
                tensor.requires_grad_(True)


@contextmanager
def _fake(inputs: tuple[torch.Tensor, ...]) -> Iterator[Callable[[torch.Tensor], torch.Tensor]]:
    """Let a module run without numbers; yields what its inputs become. On the meta device nothing needs to change."""
    if inputs[0].is_meta:
        yield lambda value: value
        return
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode:
        yield mode.from_tensor


def tensors(found: Any) -> list[torch.Tensor]:
    """Return the tensors that a forward returned, in whatever it put them."""
    return [value for value in pytree.tree_leaves(found) if isinstance(value, torch.Tensor)]


def prove(
    text: str,
    reference: Reference,
    *,
    outputs: bool = True,
    progress: Callable[[Check], None] | None = None,
) -> Verification:
    """Compare a spec with the network that it was imported from.

    - `spec`: it loads, without a finding.
    - `keys`: keys and shapes of the state_dict; `order`: the order of the keys.
    - `params`, `macs`: the figures of `analyze` against the source's parameters and `FlopCounterMode`.
    - `outputs`: their shapes, and their numbers from the same weights and inputs. The same bits in float32, or where
      the source runs other kernels than the spec's module, equal in float64.

    A check that could not see anything, since one before it failed, is left out.

    Args:
        text: The spec.
        reference: The network.
        outputs: Whether to compare numbers. That runs both networks on the CPU.
        progress: Called with each check when it is done.
    """
    checks = _Proof(text, reference, outputs)
    done = []
    for name, check in checks.steps():
        done.append(run_check(name, check))
        if progress:
            progress(done[-1])
        if not done[-1].passed and name in ("spec", "keys"):
            break
    return Verification(reference.model.name, tuple(done))


class _Proof:
    """The checks of one spec."""

    def __init__(self, text: str, reference: Reference, outputs: bool) -> None:
        self.text, self.reference, self.compares = text, reference, outputs

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Return the checks, in the order in which they run."""
        return [
            ("spec", self.spec),
            ("keys", self.keys),
            ("order", self.order),
            ("params", self.params),
            ("macs", self.macs),
            ("outputs", self.outputs),
        ]

    def spec(self) -> str:
        network = loaded(self.text)
        self.graph = network.graph
        return f"{len(self.graph.nodes)} layers in {spec_lines(self.text)} lines"

    def keys(self) -> str:
        same_keys(self.graph.state_dict(), self.reference.state)
        return f"{len(self.reference.state)} keys, with their shapes"

    def order(self) -> str:
        for ours, theirs in zip(self.graph.state_dict(), self.reference.state, strict=True):
            if ours != theirs:
                raise Disagreement(f"`{ours}` in the spec stands where the source has `{theirs}`")
        return "that of the source"

    def params(self) -> str:
        params = cost(self.graph).totals.params
        _same("params", params, self.reference.params)
        return f"{params:,}"

    def macs(self) -> str:
        graph, batch = self.graph.evaluation, self.reference.batch
        macs = cost(graph).totals.macs
        once = sum(node.op.macs() for node in graph.nodes if node.op.lead is not Lead.BATCH)  # for all samples
        if self.reference.macs != batch * macs:  # the source may do for each sample what the spec does once
            _same("MACs", macs, (self.reference.macs - once) // batch + once)
        return f"{macs:,} = FlopCounterMode / 2"

    def outputs(self) -> str:
        graph = self.graph.evaluation
        found = [graph.shape(path) for path in graph.outputs.values()]
        if found != self.reference.outputs:
            raise Disagreement(f"{_shapes(found)} in the spec, {_shapes(self.reference.outputs)} in the source")
        shapes = ", ".join(f"{name} {shape_text(graph.shape(path))}" for name, path in graph.outputs.items())
        if not self.compares:
            return f"{shapes}; numbers were not compared"
        return f"{shapes}: {_compare(self.graph, self.reference)}"


def _shapes(shapes: list[Shape]) -> str:
    return ", ".join(map(shape_text, shapes)) or "none"


def _same(what: str, ours: int, theirs: int) -> None:
    if ours != theirs:
        raise Disagreement(f"{ours:,} {what} in the spec, {theirs:,} in the source")


def loaded(text: str) -> Network:
    """Return the network of a spec. Raises: SpecError if it is wrong."""
    return loads(text, name="the spec")


def spec_lines(text: str) -> int:
    """Count the lines of a spec that say something."""
    return sum(1 for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))


def same_keys(ours: Mapping[str, Shape], theirs: Mapping[str, Shape]) -> None:
    """Check the keys and shapes of a state_dict, in any order. Raises: Disagreement with the first few that differ."""
    wrong = [
        f"{key}: {_shape(ours.get(key))} in the spec, {_shape(theirs.get(key))} in the source"
        for key in dict.fromkeys([*theirs, *ours])
        if ours.get(key) != theirs.get(key)
    ]
    if wrong:
        raise Disagreement("; ".join(wrong[:3]) + (f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""))


def _shape(shape: Shape | None) -> str:
    return "absent" if shape is None else shape_text(shape) or "a number"


# Numbers.


def _compare(graph: Graph, reference: Reference) -> str:
    """Run both networks with the same weights and inputs. Raises: Disagreement where their outputs differ."""
    size = 8 * sum(map(elements, reference.state.values()))
    if size > MAX_BYTES:
        return f"numbers were not compared, which takes {size / 2**30:.0f} GiB for the weights"
    check_size(graph, "cpu")
    with Undrawn():  # type: ignore[no-untyped-call]
        ours = build_module(graph, init="torch").eval()
    theirs = reference.model.remake() if reference.model.remake else reference.model.module
    generator = torch.Generator().manual_seed(SEED)
    inputs = draw_inputs(graph, max(2, reference.batch), generator)
    with torch.no_grad():
        fit_weights(ours, inputs, generator)
    parts = [torch.split(value, reference.batch) for value in inputs]
    pair = _Pair(ours, theirs, list(zip(*parts, strict=True)), list(graph.evaluation.outputs))
    left, right = pair.run(torch.float32)
    for name, value in zip(pair.names, left, strict=True):
        if not bool(torch.isfinite(value).all()):
            raise Disagreement(f"`{name}` of the spec is not finite")
    if all(map(torch.equal, left, right)):
        return "the same bits"
    single = _furthest(left, right)
    text = f"off by {single:.1e} of their norm in float32"
    try:
        double = _furthest(*pair.run(torch.float64))
    except Exception as error:  # a network that makes tensors of float32 as it runs
        if not single <= CLOSE:
            raise Disagreement(f"{text}; it does not run in float64: {reason(error)}") from None
        return text
    text += f", by {double:.1e} in float64"
    if not double <= EXACT:
        raise Disagreement(text)
    return text


@dataclass(frozen=True)
class _Pair:
    """The spec's module, fitted, and the source's, to be run with the weights of the first on the same inputs."""

    ours: nn.Module
    theirs: nn.Module
    inputs: list[tuple[torch.Tensor, ...]]
    """For each run: the source may have a batch that is fixed."""
    names: list[str]

    def run(self, dtype: torch.dtype) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Return the outputs of both, in the order of the names."""
        statistics = dict(self.ours.named_buffers()).keys() - fixed_buffers(self.ours)
        state = {key: _floats(value, dtype) for key, value in self.ours.state_dict().items()}
        # Tables and masks are part of what a network is: each has its own.
        own = {key: _floats(value, dtype) for key, value in self.theirs.named_buffers() if key not in statistics}
        left: list[list[torch.Tensor]] = []
        right: list[list[torch.Tensor]] = []
        with torch.no_grad():
            for inputs in self.inputs:
                given = [tuple(_floats(value, dtype).clone() for value in inputs) for _ in range(2)]
                found = torch.func.functional_call(self.ours, state, given[0])
                left.append(list(named(found, self.names).values()))
                right.append(tensors(torch.func.functional_call(self.theirs, {**state, **own}, given[1])))
        return [torch.cat(each) for each in zip(*left, strict=True)], [
            torch.cat(each) for each in zip(*right, strict=True)
        ]


def _floats(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return value.to(dtype) if value.is_floating_point() else value


def _furthest(left: list[torch.Tensor], right: list[torch.Tensor]) -> float:
    """Return how far the worst output is off, as a part of its norm."""
    names = [str(place) for place in range(len(left))]
    return max(changes(dict(zip(names, left, strict=True)), dict(zip(names, right, strict=True))).values(), default=0.0)
