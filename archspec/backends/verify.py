"""Check that graph, analysis, module, generated source and torch's own count of a network agree.

The first checks run on the meta device and compute nothing; the last two run the network on the CPU.
An ONNX file is compared when it is written: see `onnx.py`.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from archspec.analysis.cost import cost
from archspec.backends.build import COMPILERS, check_size
from archspec.backends.extras import reason
from archspec.backends.module import build_module
from archspec.backends.numerics import BATCH, Disagreement, Trial, named, prepare, seeded
from archspec.errors import SpecError, UsageError, did_you_mean
from archspec.graph import Graph
from archspec.network import Network
from archspec.shapes import Lead, Shape, shape_text


@dataclass(frozen=True)
class Check:
    """One comparison and its result in a few words."""

    name: str
    passed: bool
    detail: str

    def __str__(self) -> str:
        return f"{'ok  ' if self.passed else 'FAIL'}  {self.name:11} {self.detail}"


@dataclass(frozen=True)
class Verification:
    """The checks of a network."""

    name: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether all checks passed."""
        return all(check.passed for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain data."""
        checks = [asdict(check) for check in self.checks]
        return {"archspec": 1, "name": self.name, "passed": self.passed, "checks": checks}

    def __str__(self) -> str:
        return "\n".join(map(str, self.checks))


def verify(
    network: Network, *, compiler: str = "aot_eager", progress: Callable[[Check], None] | None = None
) -> Verification:
    """Compare what the spec says with what torch does, check by check.

    - `layers`: the shape of every layer.
    - `outputs`: names and shapes of what forward returns.
    - `params`, `macs`: the analysis against the module and `FlopCounterMode`.
    - `state_dict`: keys, shapes and their order.
    - `source`: the generated source starts from the same weights and computes the same bits, in evaluation and in
      training.
    - `compiled`: the network compiled as one graph computes the same, but for rounding.

    The last two compare numbers, with weights and inputs under which every layer shows (`archspec.backends.numerics`).
    Where an output hides something, because it is constant or nearly so, their result says what.

    Args:
        network: The network.
        compiler: What compiles the network: one of `COMPILERS`.
        progress: Called with each check when it is done.

    Raises:
        UsageError: The compiler is unknown.
    """
    if compiler not in COMPILERS:
        raise UsageError(f"unknown compiler {compiler!r}", did_you_mean(compiler, COMPILERS))
    done: list[Check] = []
    for name, check in checks_of(network, compiler).items():
        done.append(run_check(name, check))
        if progress:
            progress(done[-1])
    return Verification(network.graph.name, tuple(done))


def checks_of(network: Network, compiler: str) -> dict[str, Callable[[], str]]:
    """Return the checks of a network by name, in the order in which they run.

    Each returns its result in a few words, and raises where it fails.
    """
    graph = network.graph
    numbers = _Numbers(graph)
    checks = {
        "layers": lambda: _layers(graph),
        "outputs": lambda: _outputs(graph),
        "params": lambda: _params(graph),
        "macs": lambda: _macs(graph),
        "state_dict": lambda: _state_dict(graph),
        "source": lambda: _source(network, numbers),
    }
    return checks if compiler == "none" else {**checks, "compiled": lambda: _compiled(numbers, compiler)}


def run_check(name: str, check: Callable[[], str]) -> Check:
    """Run a check, and report whatever it raises as its failure."""
    try:
        return Check(name, True, check())
    except Disagreement as found:
        return Check(name, False, str(found))
    except SpecError as error:
        return Check(name, False, error.diagnostics[0].message)
    except Exception as error:  # any failure of torch or of the source is a finding about the network
        return Check(name, False, f"{type(error).__name__}: {reason(error)}")


# On the meta device.


def _meta(graph: Graph, features: list[str] | None = None) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    check_size(graph, "meta")
    with torch.device("meta"):
        return build_module(graph, features=features), tuple(torch.empty(BATCH, *s) for s in graph.inputs.values())


def _layers(graph: Graph) -> str:
    paths = [node.path for node in graph.nodes]
    if not paths:
        return "there are none"
    module, inputs = _meta(graph, paths)
    free = {node.path: node.op.lead for node in graph.nodes if node.op.lead is not Lead.BATCH}
    _agree({path: graph.shape(path) for path in paths}, _shapes(module(*inputs), free))
    return f"{len(paths)} shapes"


def _outputs(graph: Graph) -> str:
    module, inputs = _meta(graph)
    found = ""
    for mode in _modes(graph):
        outputs = graph.outputs if mode != "evaluation" else graph.evaluation.outputs
        wanted = {name: graph.shape(path) for name, path in outputs.items()}
        _agree(wanted, _shapes(named(module.train(mode != "evaluation")(*inputs), wanted)))
        found = found or ", ".join(
            f"{name} {shape_text(shape)}{' in training' if name in graph.training else ''}"
            for name, shape in wanted.items()
        )
    return found


def _modes(graph: Graph) -> tuple[str, ...]:
    """Return the modes in which a network is run: both, where they differ in their outputs."""
    return ("training", "evaluation") if graph.training else ("any",)


def _params(graph: Graph) -> str:
    module, _ = _meta(graph)
    totals = cost(graph).totals
    _agree(
        {"params": totals.params, "buffers": totals.buffers},
        {
            "params": sum(tensor.numel() for tensor in module.parameters()),
            "buffers": sum(tensor.numel() for tensor in module.buffers()),
        },
    )
    return f"{totals.params:,} and {totals.buffers:,} in buffers"


def _macs(graph: Graph) -> str:
    module, inputs = _meta(graph)
    for mode in _modes(graph):
        running = graph if mode != "evaluation" else graph.evaluation
        counter = FlopCounterMode(display=False)
        with counter:
            module.train(mode != "evaluation")(*inputs)
        macs = cost(graph, training=mode == "training").totals.macs
        once = sum(node.op.macs() for node in running.nodes if node.op.lead is not Lead.BATCH)  # for all samples
        wanted, found = {"macs": macs}, {"macs": (counter.get_total_flops() // 2 - once) // BATCH + once}
        for node in running.nodes:
            owner = node.weights_of or node.path
            counts = counter.get_flop_counts().get(f"{type(module).__name__}.{owner}")
            if counts is not None:
                wanted[owner] = wanted.get(owner, 0) + node.op.macs()
                found[owner] = sum(counts.values()) // 2 // (BATCH if node.op.lead is Lead.BATCH else 1)
        _agree(wanted, found)
    return f"{macs:,} = FlopCounterMode / 2"


def _state_dict(graph: Graph) -> str:
    module, _ = _meta(graph)
    found = _state_shapes(module)
    _same_state(graph.state_dict(), found)
    return f"{len(found)} keys, with their shapes and in their order"


# With numbers.


class _Numbers:
    """The network as a module on the CPU, made when a check first asks for it and shared by the checks."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    @cached_property
    def module(self) -> nn.Module:
        """The module as its constructors leave it, until `trial` is asked for."""
        check_size(self.graph, "cpu")
        with seeded():
            return build_module(self.graph, own_class=True)

    @cached_property
    def trial(self) -> Trial:
        """The module with weights and inputs under which every layer shows."""
        return prepare(self.graph, self.module)


def _source(network: Network, numbers: _Numbers) -> str:
    from archspec.backends.source import generate_source

    ours = numbers.module
    with _imported(generate_source(network)) as written:
        made = _top_class(written, network.graph)
        with seeded():
            theirs = made()
        _same_state(_state_shapes(ours), _state_shapes(theirs))
        _same_weights(ours, theirs)
        trial = numbers.trial
        theirs.load_state_dict(ours.state_dict())
        outputs = network.graph.outputs
        _same_bits(ours, theirs.eval(), trial.inputs, network.graph.evaluation.outputs, "evaluation")
        with _in_training(ours):
            _same_bits(ours, theirs.train(), trial.inputs, outputs, "training")
            _same_buffers(ours, theirs)
    return f"the same bits in evaluation and in training, {len(ours.state_dict())} tensors{trial.remarks}"


def _compiled(numbers: _Numbers, compiler: str) -> str:
    trial = numbers.trial
    with torch.no_grad():
        found = torch.compile(trial.module, fullgraph=True, backend=compiler)(*trial.inputs)
    try:
        furthest = trial.compare(found)
    except Disagreement as found:
        raise Disagreement(f"{compiler}: {found}") from None
    allowed = max(trial.tolerances.values())
    return f"{compiler}, one graph, off by {furthest:.1e}, where rounding allows {allowed:.1e}{trial.remarks}"


def _same_weights(ours: nn.Module, theirs: nn.Module) -> None:
    """Check that both modules, constructed from one seed, start from the same weights."""
    other = theirs.state_dict()
    for key, value in ours.state_dict().items():
        if not _equal(value, other[key]):
            raise Disagreement(f"from one seed, `{key}` starts from other values in the source")


def _same_bits(
    ours: nn.Module, theirs: nn.Module, inputs: tuple[torch.Tensor, ...], outputs: Iterable[str], where: str
) -> None:
    """Check that both modules return the same, run from one seed so that dropout drops the same in each."""
    found = []
    for module in (ours, theirs):
        with seeded(), torch.no_grad():
            found.append(named(module(*inputs), outputs))
    left, right = found
    for name, value in left.items():
        if not _equal(value, right[name]):
            raise Disagreement(f"{where}: the output `{name}` of the source differs")


def _same_buffers(ours: nn.Module, theirs: nn.Module) -> None:
    """Check that a step of training left the same statistics in both modules."""
    other = dict(theirs.named_buffers())
    for key, value in ours.named_buffers():
        if not _equal(value, other[key]):
            raise Disagreement(f"after training, `{key}` differs in the source")


def _equal(left: torch.Tensor, right: torch.Tensor) -> bool:
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    return bool(((left == right) | (left.isnan() & right.isnan())).all())


@contextmanager
def _in_training(module: nn.Module) -> Iterator[None]:
    """Put a module into training mode, and put mode and buffers back afterwards."""
    before = [buffer.clone() for buffer in module.buffers()]
    module.train()
    try:
        yield
    finally:
        module.eval()
        for buffer, value in zip(module.buffers(), before, strict=True):
            buffer.copy_(value)


@contextmanager
def _imported(text: str) -> Iterator[ModuleType]:
    """Import source as a module, from a temporary file."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "archspec_generated.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        spec = importlib.util.spec_from_file_location("archspec_generated", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        before = sys.dont_write_bytecode
        sys.dont_write_bytecode = True
        try:
            spec.loader.exec_module(module)
        finally:
            sys.dont_write_bytecode = before
        yield module


def _top_class(written: ModuleType, graph: Graph) -> type[nn.Module]:
    """Find the class of the whole network: the last one that the source defines."""
    classes = [
        value
        for value in vars(written).values()
        if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == written.__name__
    ]
    if not classes:
        raise Disagreement(f"the source of {graph.name} defines no module")
    return classes[-1]


# Comparison.


def _shapes(values: Mapping[str, torch.Tensor], leads: Mapping[str, Lead] | None = None) -> dict[str, Shape]:
    """Return the shapes without the batch, and check that the batch is what it was; `leads` tells where it is not."""
    found: dict[str, Shape] = {}
    for name, value in values.items():
        lead = (leads or {}).get(name, Lead.BATCH)
        batch = {Lead.BATCH: BATCH, Lead.ONE: 1}.get(lead)
        if batch is not None and value.shape[0] != batch:
            raise Disagreement(f"{name}: the batch of {batch} became {value.shape[0]}")
        found[name] = tuple(value.shape[0 if batch is None else 1 :])
    return found


def _state_shapes(module: nn.Module) -> dict[str, Shape]:
    return {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}


def _same_state(wanted: Mapping[str, Shape], found: Mapping[str, Shape]) -> None:
    """Check keys, shapes and the order of the keys."""
    _agree(wanted, found)
    for expected, key in zip(wanted, found, strict=True):
        if expected != key:
            raise Disagreement(f"the keys are in another order: expected `{expected}`, got `{key}`")


def _agree(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Raise a Disagreement that names the first few entries in which the two differ, if any."""
    wrong = [
        f"{key}: {_text(wanted.get(key))} in the spec, {_text(found.get(key))} in torch"
        for key in dict.fromkeys([*wanted, *found])
        if wanted.get(key) != found.get(key)
    ]
    if wrong:
        raise Disagreement("; ".join(wrong[:3]) + (f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""))


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return shape_text(value)
    return "absent" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
