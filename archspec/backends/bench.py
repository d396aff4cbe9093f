"""How fast networks run: latency, throughput, memory.

What is compared runs in turns, a step of each after the other, so that a machine that slows down slows all of them.
Every step is waited for. The figures are medians and percentiles; no step is left out but those of the warm-up.

Percentiles show how the steps of one run differ, not what else the machine did meanwhile: other processes that keep
the cores busy make all steps slow alike. So the load is measured with the steps. If it leaves too few cores, the
measurement is repeated, and if that does not help, the result says so.
"""

from __future__ import annotations

import gc
import itertools
import math
import platform
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import torch
from torch import nn

from archspec.analysis.cost import cost
from archspec.backends.build import MODES, Spec, build, device_of, graph_of
from archspec.backends.contention import CpuTime, cores, cpu_time, load_average, load_between
from archspec.backends.extras import reason
from archspec.backends.numerics import SEED, Disagreement, compare, draw_inputs, named, prepare, seeded
from archspec.backends.peak import peak_above
from archspec.errors import SpecError, UsageError, did_you_mean
from archspec.graph import Graph
from archspec.network import InputShapes, together
from archspec.report.figures import significant_text
from archspec.report.table import Column, Table

EAGER = "eager"
BENCH_MODES = (EAGER, "compile", *MODES[1:])
TRAIN_FACTOR = 3
"""A training step computes the gradients by weights and by inputs too: as many MACs again for each."""
ATTEMPTS = 2
"""How often to measure at most, on a machine that others keep busy."""
SLACK = 0.25
"""Cores that other processes may keep busy without being noticed: an idle machine has some work too."""
SINGLE_STEPS = 5
"""Steps on one thread, to compare with."""
FASTER = 0.9
"""One thread is worth telling of if it takes at most this part of the time."""


@dataclass(frozen=True)
class Timing:
    """One network, batch and mode. Times in seconds, memory in bytes.

    `p10` and `p90` are measured times at or outside of these percentiles; a single step has neither.
    """

    name: str
    batch: int
    mode: str
    steps: int
    median: float
    p10: float | None
    p90: float | None
    images_per_second: float
    flops_per_second: float
    """2 * MACs of convolutions and linear layers, three times that for training, over the median."""
    peak_memory: int | None
    """Of the weights and one step, above what the process had before; None where the system does not say."""
    setup: float
    """The first step, with compilation."""
    single_thread: float | None = None
    """The median on one thread; None if there is only one, or if it was not measured, which needs eager steps on the
    CPU that are short beside the time to measure."""


@dataclass(frozen=True)
class Benchmark:
    """What was measured, on what, and whether the machine had time for it."""

    device: str
    dtype: str
    train: bool
    torch: str
    threads: int
    cores: int
    """How many cores the process may run on."""
    load: float | None
    """How many of them other processes kept busy meanwhile; None if the system does not say."""
    busy: bool
    """Whether the load left fewer cores than were needed: then the machine is to blame for the times too."""
    attempts: int
    """How often it was measured; the timings are those of the attempt with the least load."""
    timings: tuple[Timing, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain data."""
        return {"archspec": 1, **asdict(self), "timings": [asdict(timing) for timing in self.timings]}

    def table(self, exact: bool = False) -> Table:
        """Return a row for each network, batch and mode; `exact` for machines, as plain decimals."""
        columns = ("network", "batch", "mode", "median ms", "p10", "p90", "images/s", "GFLOP/s", "peak MB", "steps")
        table = Table(tuple(Column(title, right=position not in (0, 2)) for position, title in enumerate(columns)))
        for timing in self.timings:
            times = (None if value is None else 1e3 * value for value in (timing.median, timing.p10, timing.p90))
            memory = None if timing.peak_memory is None else timing.peak_memory / 1e6
            figures = (*times, timing.images_per_second, timing.flops_per_second / 1e9, memory)
            written = ("-" if figure is None else _decimal(figure, exact) for figure in figures)
            table.rows.append((timing.name, str(timing.batch), timing.mode, *written, str(timing.steps)))
        return table

    def header(self) -> str:
        """Return a line with the device and the settings."""
        what = "training steps, forward and backward" if self.train else "inference"
        threads = f"{self.threads} thread{'s' if self.threads != 1 else ''}"
        return f"{what} on {self.device}, {self.dtype}, torch {self.torch}, {threads}"

    def notes(self) -> list[str]:
        """Return what a reader of the table must know besides: a busy machine, fewer threads that are faster."""
        found = []
        if self.busy:
            found.append(
                f"busy machine: other processes kept {self.load:.1f} of {self.cores} cores working, these times are "
                f"too long (measured {'twice' if self.attempts > 1 else 'once'})"
            )
        for timing in self.timings:
            if timing.single_thread is not None and timing.single_thread <= FASTER * timing.median:
                single, several = significant_text(1e3 * timing.single_thread), significant_text(1e3 * timing.median)
                found.append(
                    f"{timing.name}, batch {timing.batch}, {timing.mode} is faster on one thread: {single} ms "
                    f"instead of {several} ms"
                )
        return found


def _decimal(figure: float, exact: bool) -> str:
    return f"{figure:.6g}" if exact else significant_text(figure)


@dataclass
class _Candidate:
    """One thing to measure: `step` runs it once."""

    graph: Graph
    batch: int
    mode: str
    step: Callable[[], None]
    setup: float = 0.0
    memory: int | None = None
    single_thread: float | None = None
    times: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.graph.name}, batch {self.batch}, {self.mode}"


def bench(
    specs: Spec | Sequence[Spec],
    /,
    *,
    input: InputShapes | None = None,
    params: Mapping[str, Any] | None = None,
    device: str | None = None,
    dtype: str = "float32",
    batches: Iterable[int] = (1,),
    modes: Iterable[str] = (EAGER,),
    train: bool = False,
    memory_format: str | None = None,
    seconds: float = 2.0,
    steps: int | None = None,
    warmup: int = 3,
    threads: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    **named: Any,
) -> Benchmark:
    """Measure one or several networks in every batch size and mode, each for about `seconds`, or for `steps` steps.

    Args:
        specs: One network, or several to compare.
        device: By default the GPU if there is one.
        dtype: The type of weights and inputs.
        batches: Numbers of samples.
        modes: Of `BENCH_MODES`.
        input: Another input shape for every spec, as in `load`.
        train: Measure forward and backward of the outputs' sum in training mode, instead of a forward in evaluation
            mode. Batch norm and dropout run as they do there; the input is random.
        memory_format: As for `build`.
        seconds: How long to measure each network, batch and mode, at least 5 steps.
        steps: How many steps to measure of each instead; then nothing is measured again.
        warmup: Steps before that, besides the first.
        threads: How many threads torch uses meanwhile on the CPU; by default as many as it has been told to.
        params: Params that override those of every spec, as in `load`.
        named: The same by name.
        progress: Told steps done, steps in all (0: not known yet), and what runs.

    Returns:
        The timings. The caller's random state and number of threads are left as they were.

    Raises:
        UsageError: The call is wrong, or torch cannot run or compile a network so.
    """
    many: Sequence[Any] = [specs] if isinstance(specs, (str, Graph)) or not isinstance(specs, Sequence) else specs
    batches, modes = tuple(batches), tuple(modes)
    for mode in modes:
        if mode not in BENCH_MODES:
            raise UsageError(f"unknown mode {mode!r}", did_you_mean(mode, BENCH_MODES))
    if not many or not batches or not modes or min(batches) < 1 or (steps is not None and steps < 1):
        raise UsageError("nothing to measure: expected networks, modes, and batches and steps of at least 1")
    if not 0 < seconds < math.inf:
        raise UsageError(f"seconds: expected a positive number, got {seconds}")
    if threads is not None and threads < 1:
        raise UsageError(f"threads: expected at least 1, got {threads}")
    place = device_of(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if place.type == "meta":
        raise UsageError("the meta device computes nothing")
    options: dict[str, Any] = {"device": place, "dtype": dtype, "memory_format": memory_format}
    report = progress or _silent
    before, average = cpu_time(), load_average()
    given = together(params, named)
    graphs = [graph_of(spec, input, given) for spec in many]
    with _threads(threads), seeded(device=place):
        candidates = [
            _prepared(graph, batch, mode, train, options, warmup, report)
            for graph, batch, mode in itertools.product(graphs, batches, modes)
        ]
        counts = [steps or _steps_in(candidate, place, seconds) for candidate in candidates]
        used = torch.get_num_threads()
        attempts = [_measure(candidates, counts, place, before, average, report)]
        while attempts[-1].repeat and steps is None and len(attempts) < ATTEMPTS:
            attempts.append(_measure(candidates, counts, place, before, average, report))
        best = min(attempts, key=lambda attempt: attempt.load or 0.0)
        for candidate, times in zip(candidates, best.times, strict=True):
            candidate.times = times
            if used > 1 and place.type == "cpu" and candidate.mode == EAGER:
                candidate.single_thread = _on_one_thread(candidate, place, seconds)
    return Benchmark(
        device=_device_name(place),
        dtype=dtype,
        train=train,
        torch=torch.__version__,
        threads=used,
        cores=len(cores()),
        load=best.load,
        busy=best.busy,
        attempts=len(attempts),
        timings=tuple(_timing(candidate, train) for candidate in candidates),
    )


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
    """Return a candidate that is built, compiled and warmed up, and whose memory is known."""
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
                expected, found = (named(each(*inputs), graph.evaluation.outputs) for each in (eager, module))
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


@dataclass(frozen=True)
class _Attempt:
    """The times of each candidate, the load, whether that was too much, and whether it may be less the next time."""

    times: list[list[float]]
    load: float | None
    busy: bool
    repeat: bool


def _measure(
    candidates: list[_Candidate],
    counts: list[int],
    place: torch.device,
    before: CpuTime | None,
    average: float | None,
    progress: Callable[[int, int, str], None],
) -> _Attempt:
    """Measure the candidates, and the load meanwhile.

    If that was too short to tell, the load is that since `before`, or else its `average` until then.
    """
    begin = cpu_time()
    times = _in_turns(candidates, counts, place, progress)
    end = cpu_time()
    now = load_between(begin, end)
    loads = (now, load_between(before, end), average if end is None else None)
    load = next((load for load in loads if load is not None), None)
    needed = torch.get_num_threads() if place.type == "cpu" else 1
    busy = load is not None and needed + load > len(cores()) + SLACK
    return _Attempt(times, load, busy, repeat=busy and now is not None)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause Python's garbage collector."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _in_turns(
    candidates: list[_Candidate], counts: list[int], place: torch.device, progress: Callable[[int, int, str], None]
) -> list[list[float]]:
    """Run the candidates in turns until each has its steps, and return how long these took."""
    times: list[list[float]] = [[] for _ in candidates]
    total, done = sum(counts), 0
    gc.collect()
    with _collector_paused():  # a collection would fall into somebody's step
        for turn in range(max(counts)):
            for candidate, count, own in zip(candidates, counts, times, strict=True):
                if turn < count:
                    own.append(_timed(candidate, place))
                    done += 1
                    progress(done, total, candidate.name)
    return times


def _steps_in(candidate: _Candidate, place: torch.device, seconds: float) -> int:
    """Return how many steps fit into `seconds`, and at least 5."""
    return max(5, min(10_000, int(seconds / max(min(_timed(candidate, place) for _ in range(2)), 1e-6))))


def _on_one_thread(candidate: _Candidate, place: torch.device, seconds: float) -> float | None:
    """Return the median of a few steps on one thread; None if they take longer than `seconds`, or may do so."""
    if torch.get_num_threads() * median(candidate.times) > seconds:
        return None
    with _threads(1):
        if SINGLE_STEPS * _timed(candidate, place) > seconds:
            return None
        return median(_timed(candidate, place) for _ in range(SINGLE_STEPS))


def _timed(candidate: _Candidate, place: torch.device) -> float:
    _synchronize(place)
    begin = time.perf_counter()
    candidate.step()
    _synchronize(place)
    return time.perf_counter() - begin


def _timing(candidate: _Candidate, train: bool) -> Timing:
    times = sorted(candidate.times)
    middle, last = median(times), len(times) - 1
    flops = 2 * cost(candidate.graph).totals.macs * candidate.batch * (TRAIN_FACTOR if train else 1)
    return Timing(
        name=candidate.graph.name,
        batch=candidate.batch,
        mode=candidate.mode,
        steps=len(times),
        median=middle,
        p10=times[last // 10] if last else None,
        p90=times[-(last // 10) - 1] if last else None,
        images_per_second=candidate.batch / middle,
        flops_per_second=flops / middle,
        peak_memory=candidate.memory,
        setup=candidate.setup,
        single_thread=candidate.single_thread,
    )


# The machine.


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Let torch use `count` threads (None: as many as before), and afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _findings(name: str) -> Iterator[None]:
    """Raise a UsageError if torch cannot run or compile something."""
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
