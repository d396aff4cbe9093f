"""Whether everything that archspec makes of a network agrees: graph, analysis, module, generated source, torch's own
count.

The first checks run on the meta device and compute nothing; the last two run the network on the CPU.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from archspec.analysis.cost import cost
from archspec.backends.build import COMPILERS, check_size
from archspec.backends.extras import reason
from archspec.backends.module import build_module
from archspec.errors import SpecError, UsageError, did_you_mean
from archspec.graph import Graph
from archspec.network import Network
from archspec.shapes import Shape, shape_text

TOLERANCE = 1e-4
"""How far a compiled network's output may be from the eager one's, of its norm (float32)."""

BATCH = 2
SEED = 0


@dataclass(frozen=True)
class Check:
    """One thing that was compared, and what came of it in a few words."""

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
        """Whether all of them passed."""
        return all(check.passed for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """The result as plain data."""
        checks = [asdict(check) for check in self.checks]
        return {"archspec": 1, "name": self.name, "passed": self.passed, "checks": checks}

    def __str__(self) -> str:
        return "\n".join(map(str, self.checks))


class _Disagreement(Exception):
    """What a check found."""


def verify(
    network: Network, *, compiler: str = "aot_eager", progress: Callable[[Check], None] | None = None
) -> Verification:
    """Compare what the spec says with what torch does, check by check.

    `layers`: the shape of every layer; `outputs`: names and shapes of what forward returns; `params`, `macs`: the
    analysis against the module and `FlopCounterMode`; `state_dict`: keys, shapes and their order; `source`: the
    generated source gives the same bits in evaluation and in training; `compiled`: so does the network compiled as one
    graph by `compiler` (one of `COMPILERS`), within `TOLERANCE`. `progress` is given each check when it is done.
    UsageError where `compiler` is unknown.
    """
    if compiler not in COMPILERS:
        raise UsageError(f"{compiler!r} is no compiler", did_you_mean(compiler, COMPILERS))
    graph = network.graph
    checks: list[tuple[str, Callable[[], str]]] = [
        ("layers", lambda: _layers(graph)),
        ("outputs", lambda: _outputs(graph)),
        ("params", lambda: _params(graph)),
        ("macs", lambda: _macs(graph)),
        ("state_dict", lambda: _state_dict(graph)),
        ("source", lambda: _source(network)),
    ]
    if compiler != "none":
        checks.append(("compiled", lambda: _compiled(graph, compiler)))
    done: list[Check] = []
    for name, check in checks:
        done.append(_run(name, check))
        if progress:
            progress(done[-1])
    return Verification(graph.name, tuple(done))


def _run(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except _Disagreement as found:
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
    _agree({path: graph.shape(path) for path in paths}, _shapes(module(*inputs)))
    return f"{len(paths)} shapes"


def _outputs(graph: Graph) -> str:
    module, inputs = _meta(graph)
    found = module(*inputs)
    shapes = _shapes(found if isinstance(found, Mapping) else dict.fromkeys(graph.outputs, found))
    wanted = {name: graph.shape(path) for name, path in graph.outputs.items()}
    _agree(wanted, shapes)
    return ", ".join(f"{name} {shape_text(shape)}" for name, shape in wanted.items())


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
    counter = FlopCounterMode(display=False)
    with counter:
        module(*inputs)
    macs = cost(graph).totals.macs
    _agree({"macs": macs}, {"macs": counter.get_total_flops() // 2 // BATCH})
    return f"{macs:,} = FlopCounterMode / 2"


def _state_dict(graph: Graph) -> str:
    module, _ = _meta(graph)
    found = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    wanted = graph.state_dict()
    _agree(wanted, found)
    if list(wanted) != list(found):
        raise _Disagreement("the order of the keys differs")
    return f"{len(found)} keys, with their shapes and in their order"


# With numbers.


def _source(network: Network) -> str:
    from archspec.backends.source import generate_source

    graph = network.graph
    check_size(graph, "cpu")
    with _seeded(), _imported(generate_source(network)) as written:
        ours = build_module(graph)
        theirs = _top_class(written, graph)()
        state = ours.state_dict()
        _agree(_state_shapes(ours), _state_shapes(theirs))
        theirs.load_state_dict(state)
        inputs = _inputs(graph)
        for training in (False, True):
            left, right = (_run_seeded(module.train(training), inputs) for module in (ours, theirs))
            _same_bits(left, right, "training" if training else "evaluation")
        _same_bits(list(ours.state_dict().values()), list(theirs.state_dict().values()), "the statistics of training")
    return f"the same bits in evaluation and in training, {len(state)} tensors loaded strictly"


def _compiled(graph: Graph, compiler: str) -> str:
    check_size(graph, "cpu")
    with _seeded(), torch.no_grad():
        module = build_module(graph, own_class=True)
        inputs = _inputs(graph)
        module(*inputs)  # in training, so that batch norm has statistics of these inputs
        module.eval()
        eager = _values(module(*inputs))
        compiled = _values(torch.compile(module, fullgraph=True, backend=compiler)(*inputs))
    furthest = 0.0
    for ours, theirs in zip(eager, compiled, strict=True):
        if not bool(torch.isfinite(ours).all()):
            raise _Disagreement("the eager output is not finite")
        furthest = max(furthest, float((ours - theirs).norm() / ours.norm().clamp_min(1e-12)))
    if not furthest <= TOLERANCE:
        raise _Disagreement(f"{compiler}: off by {furthest:.1e} of the output, {TOLERANCE:.0e} is allowed")
    return f"{compiler}, one graph, off by {furthest:.1e} of the output"


def _run_seeded(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    torch.manual_seed(SEED)  # so that dropout drops the same
    with torch.no_grad():
        return _values(module(*inputs))


def _inputs(graph: Graph) -> tuple[torch.Tensor, ...]:
    return tuple(torch.randn(BATCH, *shape) for shape in graph.inputs.values())


def _values(result: Any) -> list[torch.Tensor]:
    """What a forward returned, as a list: one tensor, a tuple of them, or a dict."""
    if isinstance(result, torch.Tensor):
        return [result]
    return list(result.values()) if isinstance(result, Mapping) else list(result)


def _same_bits(ours: list[torch.Tensor], theirs: list[torch.Tensor], where: str) -> None:
    if len(ours) != len(theirs):
        raise _Disagreement(f"{where}: {len(ours)} results, and {len(theirs)} of the source")
    for position, (left, right) in enumerate(zip(ours, theirs, strict=True)):
        if left.shape != right.shape or left.dtype != right.dtype or not _equal(left, right):
            raise _Disagreement(f"{where}: result {position} of the source is another")


def _equal(left: torch.Tensor, right: torch.Tensor) -> bool:
    return bool(((left == right) | (left.isnan() & right.isnan())).all())


@contextmanager
def _seeded() -> Iterator[None]:
    """Random numbers from a seed of its own, the caller's left as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        yield


@contextmanager
def _imported(text: str) -> Iterator[ModuleType]:
    """Source as a module, imported from a temporary file."""
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
    """The class of the whole network: the last one that the source defines."""
    classes = [
        value
        for value in vars(written).values()
        if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == written.__name__
    ]
    if not classes:
        raise _Disagreement(f"the source of {graph.name} defines no module")
    return classes[-1]


# Comparison.


def _shapes(values: Mapping[str, torch.Tensor]) -> dict[str, Shape]:
    """Shapes without the batch, which must be what it was."""
    for name, value in values.items():
        if value.shape[0] != BATCH:
            raise _Disagreement(f"{name}: the batch of {BATCH} became {value.shape[0]}")
    return {name: tuple(value.shape[1:]) for name, value in values.items()}


def _state_shapes(module: nn.Module) -> dict[str, Shape]:
    return {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}


def _agree(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """_Disagreement that names the first few entries in which the two differ."""
    wrong = [
        f"{key}: {_text(wanted.get(key))} in the spec, {_text(found.get(key))} in torch"
        for key in dict.fromkeys([*wanted, *found])
        if wanted.get(key) != found.get(key)
    ]
    if wrong:
        raise _Disagreement("; ".join(wrong[:3]) + (f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""))


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return shape_text(value)
    return "absent" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
