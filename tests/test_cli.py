"""The command line, as its user types it."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import archspec
from archspec.cli import COMMANDS

ROOT = Path(__file__).parent.parent
Run = Callable[..., tuple[int, str, str]]

BROKEN = """\
name: broken
input: [3, 8, 8]
layers:
  - conv: {filters: 4, kernel: 3, pading: 1}
  - relu
  - linear: 10
"""


@pytest.fixture
def run(command_line: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in this process: status, standard output, standard error."""
    monkeypatch.chdir(ROOT)
    return command_line


def test_analyze_prints_the_table(run: Run, golden: Callable[[str, str], None]) -> None:
    status, out, err = run("analyze", "resnet18")
    assert (status, err) == (0, "")
    golden("cli/analyze_resnet18.txt", out)


def test_analyze_takes_a_path(run: Run) -> None:
    assert run("analyze", "specs/vgg16.yaml")[1] == run("analyze", "vgg16")[1]


def test_analyze_json_is_the_documented_one(run: Run) -> None:
    status, out, _ = run("analyze", "resnet18", "--format", "json")
    data = json.loads(out)
    assert status == 0
    assert list(data)[:8] == ["archspec", "name", "input", "batch", "dtype", "conventions", "totals", "outputs"]
    assert data["conventions"] == {"macs": "conv+linear+attention", "flops": "2*macs+elementwise"}
    assert {**data["totals"], "params": 11689512, "buffers": 9620, "macs": 1814073344, "layers": 69} == data["totals"]
    first = data["layers"][0]
    assert first["path"] == "conv1"
    assert first["args"]["kernel"] == [7, 7]
    assert (first["params"], first["macs"], first["output_bytes"]) == (9408, 118013952, 3211264)
    assert first["input_shapes"] == [[3, 224, 224]]
    assert first["source"]["file"] == "specs/resnet18.yaml"
    assert data["outputs"] == {"fc": [1000]}


def test_analyze_scales_with_batch_and_dtype(run: Run) -> None:
    one = json.loads(run("analyze", "lenet5", "--format", "json")[1])["totals"]
    many = json.loads(run("analyze", "lenet5", "--batch", "8", "--dtype", "bfloat16", "--format", "json")[1])["totals"]
    assert many["macs"] == 8 * one["macs"]
    assert many["params"] == one["params"]
    assert many["weight_bytes"] * 2 == one["weight_bytes"]
    assert many["peak_activation_bytes"] == 4 * one["peak_activation_bytes"]


def test_analyze_csv_and_markdown_hold_every_layer(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(run("analyze", "lenet5", "--format", "csv")[1])))
    assert [row["layer"] for row in rows][:3] == ["c1", "relu", "s2"]
    assert sum(int(row["params"]) for row in rows) == 61706
    lines = run("analyze", "lenet5", "--format", "markdown")[1].splitlines()
    assert len(lines) == len(rows) + 2


def test_a_call_without_a_command_shows_the_help(run: Run) -> None:
    status, out, err = run()
    assert (status, err) == (2, "")
    assert out == run("--help")[1]


def test_analyze_compares_in_exact_figures(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(run("analyze", "vgg16", "resnet18", "--format", "csv")[1])))
    assert [row["network"] for row in rows] == ["vgg16", "resnet18"]
    assert (rows[1]["params"], rows[1]["macs"], rows[1]["depth"]) == ("11689512", "1814073344", "18")
    lines = run("analyze", "vgg16", "resnet18", "--format", "markdown")[1].splitlines()
    assert lines[3].startswith("| resnet18 | 3x224x224 | 69 | 18 | 11689512 |")


def test_analyze_sorts(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(run("analyze", "vgg16", "--sort", "params", "--format", "csv")[1])))
    assert [int(row["params"]) for row in rows] == sorted((int(row["params"]) for row in rows), reverse=True)
    out = run("analyze", "vgg16", "--sort", "params")[1]
    assert out.splitlines()[3].split()[:2] == ["classifier.0", "linear"]


@pytest.mark.parametrize(("depth", "rows"), [("1", 11), ("3", 70)])
def test_analyze_folds(run: Run, depth: str, rows: int) -> None:
    table = run("analyze", "resnet18", "--depth", depth)[1].split("\n\n")[1]
    assert len(table.splitlines()) == 1 + rows


def test_analyze_compares(run: Run) -> None:
    status, out, _ = run("analyze", "vgg16", "vgg16_notes")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == ["network", "vgg16", "vgg16_notes"]
    assert "138,357,544" in out
    assert "48,160,936" in out


def test_analyze_input_and_set(run: Run) -> None:
    data = json.loads(
        run("analyze", "resnet18", "--input", "3x320x320", "--set", "num_classes=10", "--format", "json")[1]
    )
    assert data["input"] == {"input": [3, 320, 320]}
    assert data["totals"]["params"] == 11181642


def test_a_wrong_spec_still_gets_its_table(run: Run, tmp_path: Path) -> None:
    spec = tmp_path / "broken.yaml"
    spec.write_text("input: [3, 8, 8]\nlayers:\n  - conv: 4\n  - relu\n  - conv: {filters: 8, kernel: 9}\n  - relu\n")
    status, out, err = run("analyze", str(spec))
    assert status == 1
    assert f"{spec}:5:32" in err
    assert "conv  " in out


def test_check_reports_and_counts(run: Run, tmp_path: Path) -> None:
    spec = tmp_path / "broken.yaml"
    spec.write_text(BROKEN)
    status, out, err = run("check", "resnet18", str(spec))
    assert status == 1
    assert out.splitlines()[0].startswith("ok     resnet18")
    assert out.splitlines()[1].startswith(f"wrong  {spec}")
    assert "did you mean `padding`?" in err


def test_check_formats(run: Run, tmp_path: Path) -> None:
    spec = tmp_path / "broken.yaml"
    spec.write_text(BROKEN)
    found = json.loads(run("check", "--format", "json", str(spec))[1])
    assert found[0]["diagnostics"][0]["code"] == "argument"
    assert found[0]["diagnostics"][0]["source"] == {"file": str(spec), "line": 4, "column": 35}
    line = run("check", "--format", "github", str(spec))[1]
    assert line.startswith(f"::error file={spec},line=4,col=35,title=archspec argument::conv: unknown argument")


def test_check_holds_expect(run: Run, tmp_path: Path) -> None:
    spec = tmp_path / "net.yaml"
    spec.write_text("input: [8]\nlayers:\n  - linear: 4\nexpect:\n  params: 36\n  macs: '<= 31'\n  output: [4]\n")
    status, _, err = run("check", str(spec))
    assert status == 1
    assert "macs: expected <= 31, got 32" in err
    assert f"{spec}:6:9" in err


@pytest.mark.parametrize("format_", ["text", "json", "github"])
def test_no_file_name_and_no_text_steers_the_terminal(run: Run, tmp_path: Path, format_: str) -> None:
    """Nor does a file name that is no UTF-8 end in a traceback."""
    spec = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"\xff\xe2\x80\xae.yaml"))
    Path(spec).write_text('name: "\\u202e"\ninput: [8]\nlayers: [relu]\n', encoding="utf-8")
    status, out, err = run("check", "--format", format_, spec)
    assert status == 1
    assert (out + err).replace("\n", "").isprintable()
    if format_ == "json":
        assert json.loads(out)[0]["spec"] == spec


def test_no_name_steers_the_terminal(run: Run, tmp_path: Path) -> None:
    spec = tmp_path / "x.yaml"
    spec.write_text('name: "\\u202e"\ninput: [8]\nlayers: [relu]\n', encoding="utf-8")
    for specs in ([spec], [spec, spec]):
        for format_ in ("table", "json", "csv", "markdown"):
            out = run("analyze", *map(str, specs), "--format", format_)[1]
            assert "\\u202e" in out or len(specs) == 1  # a table of layers has no name
            assert out.replace("\n", "").isprintable()


def test_warnings_do_not_fail_unless_strict(run: Run, tmp_path: Path) -> None:
    spec = tmp_path / "net.yaml"
    spec.write_text("input: [8, 4, 4]\nlayers:\n  - global_avg_pool\n  - batch_norm\n")
    status, out, err = run("check", str(spec))
    assert status == 0
    assert out.startswith("warn")
    assert "warning[statistics]" in err
    assert run("check", "--strict", str(spec))[0] == 1


def test_list_has_a_line_a_family(run: Run) -> None:
    status, out, _ = run("list")
    assert status == 0
    first = [line.split()[0] for line in out.splitlines() if line]
    assert "resnet18" in first
    assert "notes_inception" in first
    assert "resnet50" not in first
    (resnets,) = [line for line in out.splitlines() if line.startswith("resnet18 ")]
    assert re.search(r" 13 +11.7M - 126.9M +1.814G - 22.753G +ResNet-18, ", resnets)
    everything = run("list", "--all")[1].splitlines()[1:]
    assert [line.split()[0] for line in everything] == list(archspec.list_specs())


def test_list_searches(run: Run) -> None:
    def found(*words: str) -> list[str]:
        return [row["name"] for row in json.loads(run("list", *words, "--format", "json")[1])]

    assert found() == list(archspec.list_specs())
    assert found("resnet34", "VGG11") == ["resnet34", "vgg11", "vgg11_bn"]
    assert found("densenet121") == ["densenet121", "densenet161", "densenet169", "densenet201"], "the head of a family"
    described = ["notes_efficient_block", "regnet_x_400mf", "regnet_y_400mf", "seresnet50"]
    assert found("excitation") == described, "in descriptions"
    data = json.loads(run("list", "ResNet34", "--format", "json")[1])
    assert [(row["name"], row["family"]) for row in data] == [("resnet34", "resnet18")]
    data = json.loads(run("list", "resnet50", "--format", "json")[1])
    data = [row for row in data if row["name"] in ("resnet50", "wide_resnet50_2", "fcn_resnet50")]
    assert [row["family"] for row in data] == ["fcn_resnet50", "resnet18", "resnet18"]
    data = data[1:]
    assert data[0]["params"] == 25557032


def test_ops_explains(run: Run) -> None:
    assert "conv_transpose" in run("ops")[1]
    assert "output channels" in run("ops", "conv")[1]
    status, _, err = run("ops", "convv")
    assert status == 2
    assert "did you mean `conv`?" in err


def test_graph_formats(run: Run) -> None:
    assert json.loads(run("graph", "lenet5")[1])["name"] == "lenet5"
    assert run("graph", "lenet5", "--format", "dot")[1].startswith('digraph "lenet5" {')
    assert run("graph", "lenet5", "--format", "mermaid")[1].startswith("flowchart TD")
    assert run("graph", "vgg16", "--hash")[1] == run("graph", "specs/vgg16.yaml", "--hash")[1]


def test_show_is_a_spec(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "shown.yaml"
    assert run("show", "resnet18", "--set", "num_classes=10", "-o", str(target))[0] == 0
    assert "num_classes = 10  (given; 1000 at specs/resnet18.yaml" in target.read_text()
    mine = run("graph", str(target))[1]
    assert mine == run("graph", "resnet18", "--set", "num_classes=10")[1]


def test_show_source_is_the_file(run: Run) -> None:
    assert run("show", "resnet18", "--source")[1] == (ROOT / "specs/resnet18.yaml").read_text(encoding="utf-8")
    assert run("show", "resnet18", "--source", "--set", "num_classes=10")[0] == 2


def test_schema_is_json(run: Run) -> None:
    assert json.loads(run("schema")[1])["$schema"] == "http://json-schema.org/draft-07/schema#"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help(run: Run, name: str) -> None:
    status, out, _ = run(name, "--help")
    assert status == 0
    assert out.startswith(f"Usage: archspec {name}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["analyze"], "Missing argument 'SPEC...'"),
        (["analyze", "--batchs", "8"], "unknown option '--batchs'\n   = help: did you mean `--batch`?"),
        (["analyze", "--zzz", "8"], "unknown option '--zzz'\n   = help: archspec analyze --help"),
        (["completion"], "Missing argument '{bash|zsh|fish}'. Choose from: bash, zsh, fish\n"),
        (["export", "resnet18", "--onnx"], "archspec export --help"),
        (["help"], "= help: archspec --help"),
        (["resnet18"], "= help: archspec analyze resnet18"),
        (
            ["list", "resnett18"],
            "no network has 'resnett18' in its name, description or reference\n   = help: did you mean `resnet18`?",
        ),
        (["ops", "conv", "--format", "markdown"], "leave out OP"),
        (["analyze", "resnet18", "--sort", "macs", "--format", "json"], "--sort orders the layers of one network"),
        (["analyze", "resnet18", "vgg16", "--sort", "macs"], "--sort orders the layers of one network"),
        (["analyse", "resnet18"], "did you mean `analyze`?"),
        (["specs/resnet18.yaml"], "archspec analyze specs/resnet18.yaml"),
        (["analyze", "resnet18", "--set", "num_clases=10"], "did you mean `num_classes`?"),
        (
            ["analyze", "resnet18", "--set", "num_classes=ten"],
            "expected an integer, as its default is, got the text 'ten'",
        ),
        (["analyze", "resnet18", "--set", "num_classes=1.5"], "got the float 1.5"),
        (["analyze", "resnet18", "--set", "num_classes"], "write --set name=value"),
        (["analyze", "resnet18", "--set", "num_classes=!!python/object/apply:os.system [ls]"], "tag"),
        (["analyze", "resnet18", "--input", "3x0x0"], "--input: expected a shape"),
        (["analyze", "resnet18", "--input", "3xaxb"], "--input: expected a shape"),
        (["analyze", "resnet18", "--input", "picture=3x8x8"], "unknown input `picture`"),
        (["analyze", "resnet18", "--batch", "0"], "--batch"),
        (["analyze", "resnet18", "--dtype", "float33"], "float33"),
        (["analyze", "resnet18", "--depth", "0"], "--depth 0"),
    ],
)
def test_a_wrong_call_has_status_2(run: Run, arguments: list[str], message: str) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("spec", ["resnet19", "missing.yaml", "/dev/zero", "."])
def test_what_is_no_spec_has_status_1(run: Run, spec: str) -> None:
    status, out, err = run("analyze", spec)
    assert (status, out) == (1, "")
    assert err.startswith("error[file]")


def test_output_is_never_overwritten_by_accident(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    target.write_text("mine")
    link = tmp_path / "link.txt"
    link.symlink_to(target)
    for path in (target, link, tmp_path, tmp_path / "nowhere" / "out.txt"):
        status, _, err = run("graph", "lenet5", "-o", str(path))
        assert status == 2, path
        assert err.startswith("error[usage]")
    assert target.read_text() == "mine"
    assert run("graph", "lenet5", "-o", str(link), "--force")[0] == 2
    assert run("graph", "lenet5", "-o", str(target), "--force")[0] == 0
    assert json.loads(target.read_text())["name"] == "lenet5"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.txt", "out.txt"]


def _process(*arguments: str, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "archspec", *arguments]
    return subprocess.Popen(command, cwd=ROOT, text=True, stderr=subprocess.PIPE, **options)  # type: ignore[call-overload,no-any-return]


def test_a_closed_pipe_ends_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = _process("analyze", "efficientnet_b7", "--depth", "all", stdout=writer)
    os.close(writer)
    assert process.communicate(timeout=60)[1] == ""


def test_a_full_disk_is_an_error() -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        process = _process("graph", "efficientnet_b7", stdout=full)
        err = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert err == "error[usage]: no space left on device\n"


def test_ctrl_c_has_status_130() -> None:
    """Amid the work: where the network is elaborated, the process gets the signal that Ctrl-C sends."""
    code = (
        "import os, signal, archspec.network\n"
        "from archspec.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "archspec.network.elaborate = lambda *_, **__: os.kill(os.getpid(), signal.SIGINT)\n"
        "main(['analyze', 'lenet5'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", "")


@pytest.mark.parametrize("no_color", [False, True])
def test_colour_only_on_a_terminal(no_color: bool) -> None:
    pty = pytest.importorskip("pty", reason="a terminal to write to needs a POSIX system")
    primary, secondary = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | (
        {"NO_COLOR": "1"} if no_color else {}
    )
    process = _process("analyze", "lenet5", stdout=secondary, env={**environment, "COLUMNS": "80", "TERM": "xterm"})
    process.communicate(timeout=60)
    os.close(secondary)
    text = os.read(primary, 1 << 16).decode()
    os.close(primary)
    assert ("\x1b[" in text) is not no_color
    assert max(map(len, text.replace("\x1b[1m", "").replace("\x1b[0m", "").split("\r\n")[:15])) <= 80
