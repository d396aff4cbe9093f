"""Params of a call: by name or in a mapping, with any name that a spec gives them, in every function and command."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import archspec
from archspec.network import together

NAMES = [
    *("spec", "specs", "text", "name", "params", "named", "batch", "batches", "dtype", "device", "features", "compile"),
    *(
        "memory_format",
        "init",
        "template",
        "modes",
        "train",
        "seconds",
        "steps",
        "warmup",
        "progress",
        "self",
        "document",
    ),
]
SPEC = (
    f"name: net\ninput: [8]\nparams: {{{', '.join(f'{name}: 1' for name in NAMES)}}}\n"
    f"layers: [linear: '${{{' + '.join(NAMES)}}}']\n"
)
SET = {name: 2**position for position, name in enumerate(NAMES)}
UNITS = sum(SET.values())


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file whose params are called like arguments."""
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(SPEC, encoding="utf-8")
    return "net.yaml"


def units(result: Any) -> int:
    """How many units the layer of a network, a report or a module has."""
    if isinstance(result, archspec.Network):
        return result.graph.node("linear").shape[0]
    if isinstance(result, archspec.Report):
        return result.layers[0].output_shape[0]
    return int(result.linear.out_features)


CALLS: list[Callable[..., Any]] = [
    archspec.load,
    lambda spec, /, **more: archspec.loads(SPEC, **more),
    archspec.analyze,
    lambda spec, /, **more: archspec.build(spec, device="meta", **more),
    lambda spec, /, **more: archspec.compile(spec, device="meta", **more),
]


@pytest.mark.parametrize("call", CALLS, ids=["load", "loads", "analyze", "build", "compile"])
def test_a_mapping_takes_any_name(call: Callable[..., Any], spec: str) -> None:
    """Row 58."""
    assert units(call(spec, params=SET)) == UNITS
    assert units(call(spec, params={"device": 5}, spec=3, input=(4,), self=2)) == len(NAMES) - 3 + 5 + 3 + 2
    with pytest.raises(archspec.UsageError, match="net: unknown param `input`"):
        call(spec, params={"input": 3})
    with pytest.raises(archspec.UsageError, match="param `spec` is given twice"):
        call(spec, params={"spec": 3}, spec=4)
    with pytest.raises(archspec.UsageError, match="params: expected a mapping of names to values, got 3") as caught:
        call(spec, params=3)
    assert caught.value.diagnostics[0].help == "a param called `params` is given as `params={'params': ...}`"


def test_check(spec: str) -> None:
    Path(spec).write_text(SPEC + "expect: {layers: 2}\n", encoding="utf-8")
    assert [finding.code for finding in archspec.check(spec)] == ["expect"]
    assert archspec.check(spec, params=SET, input=(4,)) == ()  # `expect` speaks of the spec as written
    assert [finding.code for finding in archspec.check(spec, spec=-200)] == ["value"]
    with pytest.raises(archspec.UsageError, match="unknown param `zz`"):
        archspec.check(spec, zz=1)


def test_generate(spec: str) -> None:
    assert f"nn.Linear(9, {UNITS})" in archspec.generate(spec, params=SET, input=(9,)).replace("num_classes", "")
    assert "nn.Linear(8, 26)" in archspec.generate(spec, spec=4)
    with pytest.raises(archspec.UsageError, match="a network that is loaded already"):
        archspec.generate(archspec.load(spec), input=(9,))


def test_bench(spec: str) -> None:
    small = {"steps": 3, "seconds": 2}
    result = archspec.bench([spec, spec], params=small, text=4, input=(9,), device="cpu", steps=1, warmup=1)
    assert [timing.name for timing in result.timings] == ["net", "net"]
    with pytest.raises(archspec.UsageError, match="a loaded network has its params"):
        archspec.bench(archspec.load(spec), text=4, steps=1)


@pytest.mark.parametrize("command", ["analyze", "show", "graph", "generate"])
def test_the_command_line(command: str, spec: str, command_line: Callable[..., tuple[int, str, str]]) -> None:
    options = [part for name, value in SET.items() for part in ("--set", f"{name}={value}")]
    status, out, err = command_line(command, spec, *options, *(["--format", "json"] if command == "analyze" else []))
    assert (status, err) == (0, "")
    assert str(UNITS) in out
    if command == "analyze":
        assert json.loads(out)["layers"][0]["output_shape"] == [UNITS]
    status, out, err = command_line(command, spec, "--set", "input=4")
    assert (status, out) == (2, "")
    assert "net: unknown param `input`" in err


def test_every_function_takes_params_alike() -> None:
    """What takes params of a spec takes them by name and as `params`, the spec by position only."""
    for name in ("load", "loads", "analyze", "check", "build", "generate", "bench"):
        signature = inspect.signature(getattr(archspec, name)).parameters
        first, *rest = signature.values()
        assert first.kind is first.POSITIONAL_ONLY, name
        assert {"input", "params", "named"} <= signature.keys(), name
        assert all(parameter.kind in (first.KEYWORD_ONLY, first.VAR_KEYWORD) for parameter in rest), name


def test_together() -> None:
    assert together(None, {"a": 1}) == together({"a": 1}, {}) == {"a": 1}
    assert list(together({"b": 1, "a": 2}, {"c": 3})) == ["b", "a", "c"]
