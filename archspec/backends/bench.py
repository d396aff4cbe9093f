"""How fast networks run: latency, throughput, memory.

What is compared runs in turns, a step of each after the other, so that a machine that slows down slows all of them.
Every step is waited for. The figures are medians and percentiles; no step is left out but those of the warm-up.
"""

from __future__ import annotations

import gc
import itertools
import math
import platform
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from statistics import quantiles
from typing import Any

import torch
from torch import nn

from archspec.analysis.cost import cost
from archspec.backends.build import MODES, Spec, build, device_of, graph_of
from archspec.backends.extras import reason
from archspec.backends.numerics import SEED, Disagreement, compare, draw_inputs, named, prepare
from archspec.backends.peak import peak_above
from archspec.errors import SpecError, UsageError, did_you_mean
from archspec.graph import Graph
from archspec.report.table import Column, Table

EAGER = "eager"
BENCH_MODES = (EAGER, "compile", *MODES[1:])
TRAIN_FACTOR = 3
"""A training step computes the gradients by weights and by inputs too: as many MACs again for each."""


@dataclass(frozen=True)
class Timing:
    """One network, batch and mode. Times in seconds, memory in bytes."""

    name: str
    batch: int
    mode: str
    steps: int
    median: float
    p10: float
    p90: float
    images_per_second: float
    flops_per_second: float
    """2 * MACs of convolutions and linear layers, three times that for training, over the median."""
    peak_memory: int | None
    """Of the weights and one step, above what the process had before; None where the system does not say."""
    setup: float
    """The first step, with compilation."""


@dataclass(frozen=True)
class Benchmark:
    """What was measured, on what."""

    device: str
    dtype: str
    train: bool
    torch: str
    threads: int
    timings: tuple[Timing, ...]

    def to_dict(self) -> dict[str, Any]:
        """The result as plain data."""
        return {"archspec": 1, **asdict(self), "timings": [asdict(timing) for timing in self.timings]}

    def table(self) -> Table:
        """A row for each network, batch and mode."""
        columns = ("network", "batch", "mode", "median ms", "p10", "p90", "images/s", "GFLOP/s", "peak MB", "steps")
        table = Table(tuple(Column(title, right=position not in (0, 2)) for position, title in enumerate(columns)))
        for timing in self.timings:
            memory = "-" if timing.peak_memory is None else f"{timing.peak_memory / 1e6:,.1f}"
            times = (f"{1e3 * value:,.3f}" for value in (timing.median, timing.p10, timing.p90))
            rates = (f"{timing.images_per_second:,.1f}", f"{timing.flops_per_second / 1e9:,.1f}")
            table.rows.append((timing.name, str(timing.batch), timing.mode, *times, *rates, memory, str(timing.steps)))
        return table

    def header(self) -> str:
        """One line: the device and the settings."""
        what = "training steps, forward and backward" if self.train else "inference"
        return f"{what} on {self.device}, {self.dtype}, torch {self.torch}, {self.threads} threads"


@dataclass
class _Candidate:
    """One thing to measure: `step` runs it once."""

    graph: Graph
    batch: int
    mode: str
    step: Callable[[], None]
    setup: float = 0.0
    memory: int | None = None
    times: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.graph.name}, batch {self.batch}, {self.mode}"


def bench(
    specs: Spec | Sequence[Spec],
    *,
    device: str | None = None,
    dtype: str = "float32",
    batches: Iterable[int] = (1,),
    modes: Iterable[str] = (EAGER,),
    train: bool = False,
    memory_format: str | None = None,
    seconds: float = 2.0,
    steps: int | None = None,
    warmup: int = 3,
    progress: Callable[[int, int, str], None] | None = None,
) -> Benchmark:
    """Measure one or several networks in every batch size and mode, each for about `seconds`, or for `steps` steps.

    `device` is by default the GPU where there is one; `modes` are of `BENCH_MODES`. `train` measures forward and
    backward of the outputs' sum in training mode, else it is a forward in evaluation mode. Batch norm and dropout run
    as they do there; the input is random. `progress` is told steps done, steps in all (0: not known yet), and what
    runs. UsageError where the call is wrong, or torch cannot run or compile a network so.
    """
    many: Sequence[Any] = [specs] if isinstance(specs, (str, Graph)) or not isinstance(specs, Sequence) else specs
    batches, modes = tuple(batches), tuple(modes)
    for mode in modes:
        if mode not in BENCH_MODES:
            raise UsageError(f"{mode!r} is no mode", did_you_mean(mode, BENCH_MODES))
    if not many or not batches or not modes or min(batches) < 1 or (steps is not None and steps < 1):
        raise UsageError("nothing to measure: networks, batches and steps of at least 1, and modes are wanted")
    if not 0 < seconds < math.inf:
        raise UsageError(f"seconds: {seconds} is no time to measure for")
    place = device_of(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if place.type == "meta":
        raise UsageError("the meta device computes nothing")
    options: dict[str, Any] = {"device": place, "dtype": dtype, "memory_format": memory_format}
    candidates = [
        _prepared(graph, batch, mode, train, options, warmup, progress or _silent)
        for graph, batch, mode in itertools.product(map(graph_of, many), batches, modes)
    ]
    _measure(candidates, place, seconds, steps, progress or _silent)
    timings = tuple(_timing(candidate, train) for candidate in candidates)
    return Benchmark(_device_name(place), dtype, train, torch.__version__, torch.get_num_threads(), timings)


def _silent(done: int, total: int, what: str) -> None:
    pass


def _prepared(
    graph: Graph,
    batch: int,
    mode: str,
    train: bool,
    options: dict[str, Any],
    warmup: int,
    progress: Callable[[int, int, str], None],
) -> _Candidate:
    """A candidate that has been built, compiled, warmed up, and whose memory is known."""
    place: torch.device = options["device"]
    candidate = _Candidate(graph, batch, mode, lambda: None)
    progress(0, 0, f"preparing {candidate.name}")
    how: bool | str = mode != EAGER if mode in (EAGER, "compile") else mode
    with _findings(candidate.name):
        eager = build(graph, **options)
        trial = prepare(graph, eager)
        module = build(graph, compile=how, **options) if how else eager
        module.load_state_dict(eager.state_dict())
        inputs = _inputs(graph, batch, eager, options["memory_format"])
        candidate.step = _step(module.train(train), inputs, train)
        begin = time.perf_counter()
        candidate.step()
        _synchronize(place)
        candidate.setup = time.perf_counter() - begin
        if how and not train:
            with torch.no_grad():
                expected, found = (named(each(*inputs), graph.outputs) for each in (eager, module))
            compare(expected, found, trial.tolerances)
            del expected, found
        for _ in range(warmup):
            candidate.step()
        weights = sum(t.numel() * t.element_size() for t in (*module.parameters(), *module.buffers()))
        above = peak_above(candidate.step, place)
    candidate.memory = None if above is None else above + weights
    return candidate


def _inputs(graph: Graph, batch: int, like: nn.Module, memory_format: str) -> tuple[torch.Tensor, ...]:
    """Draw inputs on the device and in the dtype of a module."""
    inputs = draw_inputs(graph, batch, torch.Generator().manual_seed(SEED), like=like)
    if memory_format != "channels_last":
        return inputs
    return tuple(x.to(memory_format=torch.channels_last) if x.ndim == 4 else x for x in inputs)


def _step(module: nn.Module, inputs: tuple[torch.Tensor, ...], train: bool) -> Callable[[], None]:
    def infer() -> None:
        with torch.no_grad():
            module(*inputs)

    def learn() -> None:
        module.zero_grad(set_to_none=True)
        found = module(*inputs)
        results: list[torch.Tensor] = list(found.values()) if isinstance(found, dict) else [found]
        loss = sum((result.float().sum() for result in results), torch.zeros((), device=inputs[0].device))
        loss.backward()  # type: ignore[no-untyped-call]

    return learn if train else infer


def _measure(
    candidates: list[_Candidate],
    place: torch.device,
    seconds: float,
    steps: int | None,
    progress: Callable[[int, int, str], None],
) -> None:
    """Run the candidates in turns until each has its steps."""
    wanted = [steps or _steps_in(candidate, place, seconds) for candidate in candidates]
    total, done = sum(wanted), 0
    gc.collect()
    gc.disable()  # a collection would fall into somebody's step
    try:
        for turn in range(max(wanted)):
            for candidate, count in zip(candidates, wanted, strict=True):
                if turn >= count:
                    continue
                candidate.times.append(_timed(candidate, place))
                done += 1
                progress(done, total, candidate.name)
    finally:
        gc.enable()


def _steps_in(candidate: _Candidate, place: torch.device, seconds: float) -> int:
    """How many steps fit into `seconds`, and at least 5."""
    return max(5, min(10_000, int(seconds / max(min(_timed(candidate, place) for _ in range(2)), 1e-6))))


def _timed(candidate: _Candidate, place: torch.device) -> float:
    _synchronize(place)
    begin = time.perf_counter()
    candidate.step()
    _synchronize(place)
    return time.perf_counter() - begin


def _timing(candidate: _Candidate, train: bool) -> Timing:
    times = candidate.times
    tenths = quantiles(times, n=10, method="inclusive") if len(times) > 1 else times * 9
    median = tenths[4]
    flops = 2 * cost(candidate.graph).totals.macs * candidate.batch * (TRAIN_FACTOR if train else 1)
    return Timing(
        name=candidate.graph.name,
        batch=candidate.batch,
        mode=candidate.mode,
        steps=len(times),
        median=median,
        p10=tenths[0],
        p90=tenths[8],
        images_per_second=candidate.batch / median,
        flops_per_second=flops / median,
        peak_memory=candidate.memory,
        setup=candidate.setup,
    )


# The machine.


@contextmanager
def _findings(name: str) -> Iterator[None]:
    """UsageError where torch cannot run or compile something."""
    with warnings.catch_warnings():
        # What falls back to eager must not be measured as compiled.
        warnings.filterwarnings("error", message="not compiled", category=RuntimeWarning)
        try:
            yield
        except SpecError:
            raise
        except Disagreement as found:
            raise UsageError(f"{name} does not compute what the network does: {found}") from None
        except Exception as error:  # torch's errors, and those of its compilers, have no common class
            raise UsageError(f"{name} does not run here: {reason(error)}") from error


def _synchronize(place: torch.device) -> None:
    if place.type == "cuda":
        torch.cuda.synchronize(place)


def _device_name(place: torch.device) -> str:
    if place.type == "cuda":
        return torch.cuda.get_device_name(place)
    return f"{place.type} ({platform.processor() or platform.machine()})"
