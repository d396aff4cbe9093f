"""`bench` measures what it says, and refuses what it cannot measure."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

import archspec
from archspec.report.table import as_text

torch = pytest.importorskip("torch")

from archspec.backends import bench as measuring  # noqa: E402
from archspec.backends.bench import bench  # noqa: E402
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modes": ["fast"]}, "'fast' is no mode"),
        ({"batches": [0]}, "nothing to measure"),
        ({"batches": []}, "nothing to measure"),
        ({"steps": 0}, "nothing to measure"),
        ({"seconds": float("nan")}, "seconds: nan is no time"),
        ({"seconds": float("inf")}, "seconds: inf is no time"),
        ({"batches": [10**11]}, "lenet5, batch 100000000000, eager does not run here: .*memory"),
        ({"device": "meta"}, "the meta device computes nothing"),
        ({"dtype": "int8"}, "dtype: 'int8' cannot be used"),
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
