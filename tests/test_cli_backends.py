"""The commands that need torch: verify, weights, export, bench."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

import archspec  # noqa: E402
from archspec.backends.build import build  # noqa: E402
from archspec.backends.weights import load_weights, save_weights  # noqa: E402

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(command_line: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run the command line in an empty folder: status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    return command_line


# verify


def test_verify(run: Run) -> None:
    status, out, err = run("verify", "lenet5", "--compiler", "none")
    assert (status, err) == (0, "")
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["ok", check] for check in ("layers", "outputs", "params", "macs", "state_dict", "source")
    ]
    assert "416,520 = FlopCounterMode / 2" in out


def test_verify_several_as_json(run: Run) -> None:
    status, out, _ = run("verify", "lenet5", "lenet5_1998", "--compiler", "none", "--format", "json")
    assert status == 0
    assert [(result["name"], result["passed"]) for result in json.loads(out)] == [
        ("lenet5", True),
        ("lenet5_1998", True),
    ]


def test_verify_fails_with_status_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archspec.backends.source.generate_source", lambda network: "raise ValueError('\u202e')")
    status, out, _ = run("verify", "lenet5", "--compiler", "none")
    assert status == 1
    assert "FAIL  source" in out
    assert "ValueError: \\u202e\n" in out


# weights


def test_weights_that_fit(run: Run, tmp_path: Path) -> None:
    save_weights(build("lenet5"), "w.safetensors")
    assert run("weights", "lenet5", "w.safetensors") == (0, "loaded          10\n", "")
    status, out, _ = run("weights", "lenet5", "w.safetensors", "--format", "json")
    assert status == 0
    assert json.loads(out)["fits"] is True
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_weights_that_do_not_fit(run: Run) -> None:
    save_weights(build("lenet5", num_classes=3), "w.safetensors")
    status, out, err = run("weights", "lenet5", "w.safetensors")
    assert status == 1
    assert "wrong shape      2  output.weight (3x84 in the file, 10x84 in the model)" in out
    assert err.startswith("the weights do not fit")
    status, out, _ = run("weights", "lenet5", "w.safetensors", "--leave-out", "output")
    assert status == 0
    assert "left out         2  output.weight, output.bias" in out
    assert run("weights", "lenet5", "w.safetensors", "--set", "num_classes=3")[0] == 0


def test_a_file_of_weights_is_a_spec(run: Run) -> None:
    net = archspec.load("lenet5", num_classes=3)
    save_weights(build(net), "w.safetensors", net)
    assert run("graph", "w.safetensors") == run("graph", "lenet5", "--set", "num_classes=3")
    status, source, _ = run("show", "w.safetensors", "--source")
    assert (status, archspec.loads(source).graph.to_json()) == (0, net.graph.to_json())
    status, out, _ = run("weights", "w.safetensors", "w.safetensors")
    assert (status, out) == (0, "written for         lenet5\nloaded          10\n")


def test_weights_are_converted(run: Run, tmp_path: Path) -> None:
    """From a torch file with other names to safetensors under the network's own."""
    source = build("lenet5")
    names = {"c1": "features.0", "c3": "features.3"}
    state = {
        f"module.{names.get(module, module)}.{leaf}": tensor
        for (module, leaf), tensor in ((key.split("."), tensor) for key, tensor in source.state_dict().items())
    }
    torch.save({"state_dict": state | {"module.loss.weight": torch.ones(3)}}, "w.pth")
    torch_file = ("lenet5", "w.pth", "--file-format", "torch", "-o", "w.safetensors")

    status, _, err = run("weights", "lenet5", "w.pth")
    assert status == 1
    assert "(--file-format torch)" in err
    assert run("weights", *torch_file)[0] == 1
    assert not (tmp_path / "w.safetensors").exists()

    Path("names.json").write_text(json.dumps({f"module.{new}": old for old, new in names.items()}), encoding="utf-8")
    maps = ("--map", "names.json", "--map", "module=", "--drop", "module.loss")
    status, out, err = run("weights", *torch_file, *maps)
    assert (status, err) == (0, "")
    assert "ignored          1  module.loss.weight" in out
    target = build("lenet5")
    assert load_weights(target, "w.safetensors").fits
    assert all(torch.equal(tensor, source.state_dict()[key]) for key, tensor in target.state_dict().items())
    status, _, err = run("weights", *torch_file, *maps)
    assert (status, "exists" in err) == (2, True)
    assert run("weights", *torch_file, *maps, "--force")[0] == 0

    torch.save(state, "w.pth")
    assert run("weights", "lenet5", "w.pth", "--file-format", "torch", "--map", "by-position")[0] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--map", "by-position", "--map", "a=b"), "by-position stands alone"),
        (("--map", "nonsense"), "OLD=NEW, a JSON file, or by-position"),
        (("--map", "missing.json"), "missing.json: no such file"),
        (("--map", "list.json"), "expected one JSON object of old and new names"),
        (("--map", "broken.json"), "is not valid JSON"),
        (("--leave-out", "outptu"), "did you mean `output`"),
    ],
)
def test_weights_wrong_calls(options: tuple[str, ...], message: str, run: Run) -> None:
    save_weights(build("lenet5"), "w.safetensors")
    Path("list.json").write_text("[1]", encoding="utf-8")
    Path("broken.json").write_text("{", encoding="utf-8")
    status, _, err = run("weights", "lenet5", "w.safetensors", *options)
    assert (status, message in err) == (2, True), err


def test_weights_files_that_cannot_be_read(run: Run) -> None:
    Path("w.safetensors").write_bytes(b"nonsense")
    for file, message in (
        ("w.safetensors", "not a whole safetensors file"),
        ("none", "no such file"),
        (".", "is not a regular file"),
    ):
        status, out, err = run("weights", "lenet5", file)
        assert (status, out) == (1, "")
        assert message in err


def test_names_of_tensors_fit_every_encoding(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.torch import save_file

    save_file({"grün.…": torch.ones(1), "\x1b[31m": torch.ones(1)}, "w.safetensors")
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    monkeypatch.setattr("sys.stdout", out)
    assert run("weights", "lenet5", "w.safetensors")[0] == 1
    out.flush()
    shown = out.buffer.getvalue().decode()  # type: ignore[attr-defined]
    assert "unexpected       2  \\x1b[31m, gr\\xfcn....\n" in shown


# export


@pytest.mark.xdist_group("onnx")
def test_export(run: Run) -> None:
    pytest.importorskip("onnxscript")
    save_weights(build("lenet5"), "w.safetensors")
    options = ("--weights", "w.safetensors", "--dynamic-batch", "--opset", "18")
    status, out, err = run("export", "lenet5", "--onnx", "net.onnx", *options)
    assert (status, err) == (0, "")
    assert re.fullmatch(r"net\.onnx: opset 18, onnxruntime \S+ is off by \S+ of the output\n", out)
    assert Path("net.onnx").stat().st_size > 4 * 61_706
    status, _, err = run("export", "lenet5", "--onnx", "net.onnx")
    assert (status, "net.onnx exists" in err) == (2, True)
    net = archspec.load("lenet5")
    source = build(net)
    save_weights(source, "w.safetensors", net, force=True)
    assert run("export", "w.safetensors", "--onnx", "own.onnx")[0] == 0
    assert source.output.bias.detach().numpy().tobytes() in Path("own.onnx").read_bytes(), "those of the file"
    status, _, err = run("export", "lenet5", "--onnx", "new.onnx", "--weights", "net.onnx")
    assert (status, "not a whole safetensors file" in err) == (1, True)
    assert not Path("new.onnx").exists()


# bench


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[float | None], None]:
    """Make up how many cores other processes keep busy."""

    def set_(cores: float | None) -> None:
        monkeypatch.setattr("archspec.backends.bench.cpu_time", lambda: None)
        monkeypatch.setattr("archspec.backends.bench.load_average", lambda: cores)

    return set_


def test_bench(run: Run, load: Callable[[float | None], None]) -> None:
    options = ("bench", "lenet5", "--device", "cpu", "--batch", "1,3", "--steps", "2")
    load(None)
    status, out, err = run(*options)
    assert (status, err) == (0, "")
    header, _, titles, *rows = out.splitlines()
    assert header.startswith("inference on cpu")
    assert titles.split()[:3] == ["network", "batch", "mode"]
    assert [row.split()[:3] for row in rows] == [["lenet5", "1", "eager"], ["lenet5", "3", "eager"]]


def test_bench_tells_of_a_busy_machine(run: Run, load: Callable[[float | None], None]) -> None:
    options = ("bench", "lenet5", "--device", "cpu", "--steps", "2", "--threads", "1")
    load(99.0)
    note = "busy machine: other processes kept 99.0 of "
    status, out, err = run(*options)
    assert (status, err) == (0, "")
    assert out.split("\n\n")[-1].startswith(note), "a line under the table"
    status, out, err = run(*options, "--format", "csv")
    assert (status, len(out.splitlines())) == (0, 2)
    assert err.startswith(f"note: {note}")
    status, out, err = run(*options, "--format", "markdown")
    assert (status, err, out.split("\n\n")[-1].startswith(note)) == (0, "", True)
    data = json.loads(run(*options, "--format", "json")[1])
    assert (data["load"], data["busy"], data["attempts"], data["threads"]) == (99.0, True, 1, 1)


def test_bench_as_data(run: Run) -> None:
    options = ("bench", "lenet5", "lenet5_1998", "--device", "cpu", "--steps", "2", "--train")
    data = json.loads(run(*options, "--format", "json")[1])
    assert [timing["name"] for timing in data["timings"]] == ["lenet5", "lenet5_1998"]
    rows = list(csv.DictReader(io.StringIO(run(*options, "--format", "csv")[1])))
    assert [row["network"] for row in rows] == ["lenet5", "lenet5_1998"]
    assert run(*options, "--format", "markdown", "-o", "bench.md") == (0, "", "")
    assert Path("bench.md").read_text(encoding="utf-8").startswith("| network |")


@pytest.mark.parametrize("batch", ["0", "x", "1,", "-1", "1.5", ""])
def test_bench_wrong_batches(batch: str, run: Run) -> None:
    status, _, err = run("bench", "lenet5", "--batch", batch)
    assert (status, "numbers of samples" in err) == (2, True)


def test_bench_asks_for_its_file_before_it_measures(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("bench.json").write_text("mine", encoding="utf-8")
    monkeypatch.setattr("archspec.backends.bench.bench", lambda *args, **options: pytest.fail("measured"))
    status, _, err = run("bench", "lenet5", "--format", "json", "-o", "bench.json")
    assert (status, "bench.json exists" in err) == (2, True)
