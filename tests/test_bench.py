"""`bench` measures what it says, and refuses what it cannot measure."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import archspec
from archspec.report.table import as_text

torch = pytest.importorskip("torch")

from archspec.backends import bench as measuring  # noqa: E402
from archspec.backends import contention  # noqa: E402
from archspec.backends.bench import Timing, bench  # noqa: E402
from archspec.backends.contention import CpuTime, load_between  # noqa: E402
from archspec.backends.peak import peak_above  # noqa: E402


@pytest.mark.parametrize("train", [False, True], ids=["inference", "training"])
def test_figures_hang_together(train: bool) -> None:
    result = bench(["lenet5", "notes_inception"], device="cpu", batches=(1, 4), steps=6, train=train)
    assert [(t.name, t.batch, t.steps) for t in result.timings] == [
        ("lenet5", 1, 6),
        ("lenet5", 4, 6),
        ("notes_inception", 1, 6),
        ("notes_inception", 4, 6),
    ]
    for timing in result.timings:
        macs = archspec.load(timing.name).analyze().totals.macs
        assert timing.p10 is not None
        assert timing.p90 is not None
        assert 0 < timing.p10 <= timing.median <= timing.p90
        assert timing.images_per_second == pytest.approx(timing.batch / timing.median)
        work = 2 * macs * timing.batch * (3 if train else 1)
        assert timing.flops_per_second == pytest.approx(work / timing.median)
    data = json.loads(json.dumps(result.to_dict()))
    assert (data["archspec"], data["train"], data["dtype"]) == (1, train, "float32")
    assert len(data["timings"]) == 4
    lines = as_text(result.table()).splitlines()
    assert len(lines) == 5
    assert lines[0].split() == "network batch mode median ms p10 p90 images/s GFLOP/s peak MB steps".split()
    assert ("training" if train else "inference") in result.header()


def test_takes_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    timed = measuring._timed
    monkeypatch.setattr(measuring, "_timed", lambda c, place: (order.append(c.graph.name), timed(c, place))[1])
    seen: list[tuple[int, int]] = []
    bench(["lenet5", "lenet5_1998"], device="cpu", steps=3, progress=lambda done, total, _: seen.append((done, total)))
    assert order == ["lenet5", "lenet5_1998"] * 3
    assert seen == [(0, 0)] * 2 + [(done, 6) for done in range(1, 7)]


def test_dtype_memory_format_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[Any] = []
    step = measuring._step
    monkeypatch.setattr(measuring, "_step", lambda *given: (measured.extend(given), step(*given))[1])
    result = bench(
        archspec.load("notes_residual_block"),
        device="cpu",
        dtype="bfloat16",
        memory_format="channels_last",
        seconds=0.05,
    )
    (timing,) = result.timings
    assert timing.steps >= 5
    assert result.dtype == "bfloat16"
    module, inputs, train = measured
    assert train is False
    for tensor in (*inputs, *(parameter for parameter in module.parameters() if parameter.ndim == 4)):
        assert tensor.dtype is torch.bfloat16
        assert tensor.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is read where Linux shows it")
def test_peak_memory() -> None:
    kept: list[Any] = []

    def step() -> None:
        first = torch.ones(32 << 20, dtype=torch.uint8)
        second = torch.ones(32 << 20, dtype=torch.uint8)
        del first, second
        kept.append(torch.ones(1))

    peak = peak_above(step, torch.device("cpu"))
    assert peak == pytest.approx(64 << 20, rel=0.1)
    assert peak_above(step, torch.device("meta")) is None


# A machine that others use too: the clock and the load are made up.


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Two cores; `machine(loads, step)` gives the cores that others keep busy in each attempt, and a step's seconds."""

    def make(loads: Sequence[float | None], step: Callable[[], float] = lambda: 0.001) -> None:
        seconds, busy, attempts = 0.0, 0.0, iter(loads)

        def cpu_time() -> CpuTime | None:
            return None if loads[0] is None else CpuTime(seconds, busy, 0.0)

        def measure(*arguments: Any) -> Any:
            nonlocal busy
            load = next(attempts)
            before = seconds
            times = measured(*arguments)
            busy += (load or 0) * (seconds - before)
            return times

        def timed(*_: object) -> float:
            nonlocal seconds
            seconds += step()
            return step()

        measured = measuring._in_turns
        monkeypatch.setattr(measuring, "cores", lambda: {0, 1})
        monkeypatch.setattr(measuring, "cpu_time", cpu_time)
        monkeypatch.setattr(measuring, "load_average", lambda: None)
        monkeypatch.setattr(measuring, "_in_turns", measure)
        monkeypatch.setattr(measuring, "_timed", timed)

    return make


@pytest.mark.parametrize(
    ("threads", "loads", "expected"),
    [
        (1, [0.9], (0.9, False, 1)),
        (1, [1.5, 0.4], (0.4, False, 2)),
        (1, [1.5, 1.9], (1.5, True, 2)),
        (2, [0.2], (0.2, False, 1)),
        (2, [0.5, 1.0], (0.5, True, 2)),
        (2, [None], (None, False, 1)),
    ],
)
def test_a_busy_machine(
    machine: Callable[..., None], threads: int, loads: list[float | None], expected: tuple[float | None, bool, int]
) -> None:
    """It is measured again, the attempt with the least load counts, and if that is too much the result says so."""
    machine(loads)
    result = bench("lenet5", device="cpu", seconds=1, threads=threads)
    load, busy, attempts = expected
    assert result.load == pytest.approx(load)
    assert (result.busy, result.attempts, result.cores, result.threads) == (busy, attempts, 2, threads)
    assert {key: result.to_dict()[key] for key in ("busy", "attempts")} == {"busy": busy, "attempts": attempts}
    text = "busy machine: other processes kept {:.1f} of 2 cores working, these times are too long (measured twice)"
    assert result.notes() == ([text.format(load)] if busy else [])


def test_a_number_of_steps_is_measured_once(machine: Callable[..., None]) -> None:
    machine([1.9])
    result = bench("lenet5", device="cpu", steps=1000, threads=2)
    assert (result.load, result.busy, result.attempts) == (pytest.approx(1.9), True, 1)


def test_too_short_to_tell_the_load(machine: Callable[..., None]) -> None:
    """Then it is not measured again, since that would tell no more."""
    machine([2.0])
    result = bench("lenet5", device="cpu", seconds=0.01)
    assert (result.load, result.busy, result.attempts) == (None, False, 1)


def test_the_load_average_where_the_system_says_no_more(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine([None])
    monkeypatch.setattr(measuring, "load_average", lambda: 3.5)
    result = bench("lenet5", device="cpu", seconds=1)
    assert (result.load, result.busy, result.attempts) == (3.5, True, 1), "the average would be the same again"


def test_load_between_two_moments() -> None:
    """Of 3 CPU seconds in 2, 1 was our own."""
    assert load_between(CpuTime(10, 100, 5), CpuTime(12, 103, 6)) == 1.0
    assert load_between(CpuTime(10, 100, 5), CpuTime(12, 101, 7)) == 0.0, "ticks are coarse"
    assert load_between(CpuTime(10, 100, 5), CpuTime(10.2, 101, 5)) is None
    assert load_between(None, CpuTime(12, 103, 6)) is None


def test_cpu_time_is_that_of_our_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    lines = [f"cpu{core} {ticks} 0 {ticks} 7777 8888 0 {ticks} {ticks} 55 0" for core in range(4)]
    (tmp_path / "stat").write_text("\n".join(["cpu  9 9 9 9 9 9 9 9 9 9", *lines, "intr 1"]), encoding="ascii")
    monkeypatch.setattr(contention, "STAT", str(tmp_path / "stat"))
    monkeypatch.setattr(contention, "cores", lambda: {1, 3})
    found = contention.cpu_time()
    assert found is not None
    assert found.everybody == 8.0, "user, system, softirq and steal of two cores; neither idle, iowait nor guests"
    monkeypatch.setattr(contention, "STAT", str(tmp_path / "missing"))
    assert contention.cpu_time() is None


def test_one_thread_that_is_faster(machine: Callable[..., None]) -> None:
    machine([0.0], step=lambda: 0.2 if torch.get_num_threads() > 1 else 0.0006)
    result = bench("lenet5", device="cpu", steps=2, threads=2)
    assert result.timings[0].single_thread == 0.0006
    assert result.notes() == ["lenet5, batch 1, eager is faster on one thread: 0.600 ms instead of 200 ms"]


@pytest.mark.parametrize(
    ("step", "threads", "expected"),
    [
        (lambda: 0.002, 2, 0.002),
        (lambda: 3.0, 2, None),
        (lambda: 0.9 if torch.get_num_threads() > 1 else 1.0, 2, None),
        (lambda: 0.002, 1, None),
    ],
    ids=["as fast", "too slow", "too slow on one", "only one"],
)
def test_one_thread_that_is_no_news(
    machine: Callable[..., None], step: Callable[[], float], threads: int, expected: float | None
) -> None:
    machine([0.0], step)
    result = bench("lenet5", device="cpu", steps=2, threads=threads)
    assert result.timings[0].single_thread == expected
    assert result.notes() == []


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([5.0], (None, 5.0, None)),
        ([1.0, 9.0], (1.0, 5.0, 9.0)),
        ([3.0, 1.0, 2.0, 9.0, 4.0, 5.0], (1.0, 3.5, 9.0)),
        ([float(number) for number in range(21)], (2.0, 10.0, 18.0)),
    ],
)
def test_percentiles_are_measured_times(times: list[float], expected: tuple[float | None, float, float | None]) -> None:
    candidate = measuring._Candidate(archspec.load("lenet5").graph, 1, "eager", lambda: None, times=times)
    timing = measuring._timing(candidate, train=False)
    assert (timing.p10, timing.median, timing.p90) == expected


def test_the_table_has_significant_digits() -> None:
    timing = Timing("net", 1, "eager", 1, 1.2345678, None, None, 0.81, 2.5e3, None, 0.0)
    shown = measuring.Benchmark("cpu", "float32", False, "2", 1, 1, None, False, 1, (timing,))
    assert shown.table().rows == [("net", "1", "eager", "1,235", "-", "-", "0.810", "0.00000250", "-", "1")]
    assert shown.table(exact=True).rows[0][3:8] == ("1234.57", "-", "-", "0.81", "2.5e-06")


def test_the_callers_threads_stay() -> None:
    torch.set_num_threads(2)
    try:
        assert bench("lenet5", device="cpu", steps=1, threads=1).threads == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_the_callers_random_state_stays() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    bench("lenet5", device="cpu", steps=1, warmup=0, train=True)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 0}, "threads: expected at least 1, got 0"),
        ({"modes": ["fast"]}, "unknown mode 'fast'"),
        ({"batches": [0]}, "nothing to measure"),
        ({"batches": []}, "nothing to measure"),
        ({"steps": 0}, "nothing to measure"),
        ({"seconds": float("nan")}, "seconds: expected a positive number, got nan"),
        ({"seconds": float("inf")}, "seconds: expected a positive number, got inf"),
        ({"batches": [10**11]}, "lenet5, batch 100000000000, eager does not run here: .*memory"),
        ({"device": "meta"}, "the meta device computes nothing"),
        ({"dtype": "int8"}, "unknown dtype 'int8'"),
        ({"device": "gpu"}, "the device gpu cannot be used"),
        ({"device": "cuda:99"}, "the device cuda:99 cannot be used"),
    ],
)
def test_wrong_calls(options: dict[str, Any], message: str) -> None:
    with pytest.raises(archspec.UsageError, match=message):
        bench("lenet5", **{"device": "cpu", **options})


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # torch's own code on the way to inductor
def test_what_was_not_compiled_is_not_called_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import compile_fx

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(compile_fx, "compile_fx", fails)
    with pytest.raises(archspec.UsageError, match=r"lenet5, batch 1, compile does not run here: .*no C\+\+ compiler"):
        bench("lenet5", device="cpu", modes=["compile"])


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # torch's own code on the way to inductor
def test_what_computes_something_else_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import compile_fx

    def leaky(captured: Any, *_: object, **__: object) -> Any:
        for relu in captured.graph.find_nodes(op="call_function", target=torch.nn.functional.relu):
            relu.target = torch.nn.functional.leaky_relu
        captured.recompile()
        return captured.forward

    monkeypatch.setattr(compile_fx, "compile_fx", leaky)
    off = r"lenet5, batch 1, compile does not compute what the network does: `output` is off by \d"
    with pytest.raises(archspec.UsageError, match=off):
        bench("lenet5", device="cpu", modes=["eager", "compile"])
    bench("lenet5", device="cpu", modes=["compile"], train=True, steps=1)
