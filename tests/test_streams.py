"""How text reaches standard output and standard error: every command, in encodings that lack its characters."""

from __future__ import annotations

import ast
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
from archspec.cli import COMMANDS, main
from archspec.cli.streams import emit
from archspec.report.screen import fit_text

ROOT = Path(__file__).parent.parent
ENCODINGS = ("ascii", "latin-1", "cp1252", "cp437", "cp850", "koi8-r", "cp932")

NAME = "grün 中….yaml"
FOREIGN = """\
name: foreign
description: "Größe █ 中文 … \\u202e \\u0007 \U0001f600 'one' \\"two\\" {{ three }}"
params: {wide: 8}  # Maß
input: [3, 8, 8]
blocks:
  unit:
    layers:
      - conv: {filters: $wide, kernel: 3, padding: 1}
      - relu
layers:
  - unit: {repeat: 2, name: units}
"""

DOCUMENTS: dict[str, Callable[[str], object]] = {
    "analyze SPEC --format json": json.loads,
    "check SPEC --format json": json.loads,
    "show SPEC": lambda text: (archspec.loads(text).description, archspec.loads(text).graph.to_json()),
    "generate SPEC": lambda text: ast.dump(ast.parse(text)),
}
"""Commands whose output has a format, what text of a file it holds, and what reads it."""

TEXTS = [
    "analyze SPEC",
    "analyze SPEC --sort params",
    "analyze SPEC SPEC",
    "analyze SPEC --format csv",
    "analyze SPEC SPEC --format markdown",
    "check SPEC",
    "check SPEC --format github",
    "graph SPEC",
    "graph SPEC --hash",
    "graph SPEC --format dot",
    "graph SPEC --format mermaid",
    "list",
    "list --format json",
    "list --format markdown",
    "ops",
    "ops conv",
    "ops --format markdown",
    "schema",
    "completion bash",
    "--help",
    "--version",
    *(f"{name} --help" for name in COMMANDS),
]


class Stream(io.TextIOWrapper):
    """A standard stream of some encoding, which may be a terminal."""

    def __init__(self, encoding: str, terminal: bool = False) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors="strict", newline="\n")
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    def text(self) -> str:
        """What was written, decoded."""
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)  # type: ignore[attr-defined]


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Run the command line with streams of an encoding: status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    Path(NAME).write_text(FOREIGN, encoding="utf-8")

    def run(encoding: str, *arguments: str, terminal: bool = False) -> tuple[int, str, str]:
        out, err = Stream(encoding, terminal), Stream(encoding, terminal)
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert isinstance(stop.value.code, int)
        return stop.value.code, out.text(), err.text()

    return run


def words(command: str) -> list[str]:
    """The words of a command line, in which SPEC stands for the file."""
    return [NAME if word == "SPEC" else word for word in command.split()]


@pytest.mark.parametrize("command", DOCUMENTS)
def test_documents_are_ascii_where_the_encoding_is_not_unicode(call: Call, command: str) -> None:
    """So they are valid, and say the same, whatever they are decoded with."""
    read = DOCUMENTS[command]
    status, expected, err = call("utf-8", *words(command))
    assert (status, err, expected.isascii()) == (0, "", False)
    for encoding in ENCODINGS:
        status, found, err = call(encoding, *words(command))
        assert (status, err, found.isascii()) == (0, "", True)
        assert read(found) == read(expected)


@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
@pytest.mark.parametrize("command", TEXTS)
def test_texts_fit_every_encoding(call: Call, command: str, terminal: bool) -> None:
    """What they say is as in UTF-8, but for what the encoding lacks."""
    _, expected, _ = call("utf-8", *words(command), terminal=terminal)
    for encoding in ENCODINGS:
        status, out, err = call(encoding, *words(command), terminal=terminal)
        assert (status, err) == (0, "")
        plain = out.replace("\x1b[1m", "").replace("\x1b[0m", "")
        assert plain.replace("\n", "").isprintable()
        assert expected == out if expected.isascii() else len(expected.split("\n")) == len(out.split("\n"))


def test_bars_and_dots_are_ascii_where_the_encoding_lacks_them(call: Call) -> None:
    command = ("analyze", "resnet18", "--depth", "2")
    rows = {code: call(code, *command)[1].split("\n\n")[1].splitlines() for code in ("utf-8", *ENCODINGS)}
    for encoding, lines in rows.items():
        dots = "…" if encoding in ("utf-8", "cp1252", "cp932") else "..."
        bar = "███" if encoding == "utf-8" else "###"
        copies = next(line for line in lines if line.startswith("  0 "))
        assert copies.startswith(f"  0 {dots} 1  residual"), encoding
        assert copies.endswith(f" 25.5% {bar}"), encoding
        for column in ("op", "output"):  # which are aligned to the left
            assert all(line[lines[0].index(f" {column} ") :][:2].strip() for line in lines), (encoding, column)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_messages_fit_every_encoding(call: Call, encoding: str) -> None:
    Path(NAME).write_text("input: [8]\nlayers:\n  - grün: 3  # \U0001f600 中\n", encoding="utf-8")
    status, _out, err = call(encoding, "check", NAME)
    assert status == 1
    assert err.startswith("error[op]: ")
    assert err.replace("\n", "").isprintable()
    assert ("\\u4e2d" in err) == (encoding != "cp932")


@pytest.mark.parametrize(
    "words",
    [
        ["--中\x1b[31m"],
        ["中\x1b[31m"],
        ["analyze", "--dtype", "中\x1b[31m"],
        ["analyze", "中\udcff.yaml"],
        ["ops", "中\x07"],
    ],
)
def test_wrong_calls_fit_every_encoding(call: Call, words: list[str]) -> None:
    for encoding in (*ENCODINGS, "utf-8"):
        status, out, err = call(encoding, *words)
        assert (status, out) == (1 if words[-1].endswith(".yaml") else 2, "")
        assert err.startswith("error[")
        assert err.replace("\n", "").isprintable()


def test_show_source_is_the_file_where_no_terminal_shows_it(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding in (*ENCODINGS, "utf-8"):
        monkeypatch.setattr(sys, "stdout", out := Stream(encoding))
        with pytest.raises(SystemExit):
            main(["show", NAME, "--source"])
        assert out.buffer.getvalue().decode() == FOREIGN  # type: ignore[attr-defined]
        status, shown, _ = call(encoding, "show", NAME, "--source", terminal=True)
        assert status == 0
        assert shown.replace("\n", "").isprintable()


@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
def test_show_source_does_not_steer_the_terminal(call: Call, terminal: bool) -> None:
    text = "name: x\n# \x1b[31m\x07\x7f\x85\u2028\u202e\ue000 \u3000\u200d\t.\r\ninput: [8]\r\nlayers: [relu]\n"
    Path("steers.yaml").write_bytes(text.encode())
    status, out, err = call("utf-8", "show", "steers.yaml", "--source", terminal=terminal)
    assert (status, err) == (0, "")
    escaped = r"\x1b[31m\x07\x7f\x85\u2028\u202e\ue000"
    assert out == f"name: x\n# {escaped} \u3000\u200d\t.\r\ninput: [8]\r\nlayers: [relu]\n"


def test_show_source_of_half_a_character(call: Call) -> None:
    """JSON can write one, UTF-8 cannot."""
    header = json.dumps({"__metadata__": {"spec": "name: a\ud800\ninput: [8]\nlayers: [relu]\n"}}).encode()
    Path("half.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    for options in ([], ["-o", "out.yaml"]):
        status, out, err = call("utf-8", "show", "half.safetensors", "--source", *options)
        assert (status, out) == (1, "")
        assert err == "error[encoding]: half.safetensors: the character U+D800 has no place in a spec\n"
    assert not Path("out.yaml").exists()


def test_show_source_into_a_file_is_exact(call: Call) -> None:
    text = "name: x\n# \x1b\x07 \u202e\r\ninput: [8]\nlayers: [relu]\n"
    Path("steers.yaml").write_bytes(text.encode())
    assert call("latin-1", "show", "steers.yaml", "--source", "-o", "copy.yaml") == (0, "", "")
    assert Path("copy.yaml").read_bytes() == text.encode()


# Streams that are closed, broken or full.


def process(command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell, in which `archspec` is the command line."""
    environment = {**os.environ, **variables}
    line = re.sub("^archspec", f'"{sys.executable}" -m archspec', command)
    return subprocess.run(
        line, shell=True, cwd=ROOT, env=environment, capture_output=True, check=False, encoding="latin-1"
    )


CLOSED = "error[usage]: standard output is closed\n   = help: redirect it to a file or to /dev/null\n"


@pytest.mark.parametrize("command", ["analyze lenet5", "check lenet5", "graph lenet5", "show lenet5 --source", "list"])
def test_closed_standard_output(command: str) -> None:
    done = process(f"archspec {command} >&-")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", CLOSED)


def test_closed_standard_output_is_not_needed_for_a_file(tmp_path: Path) -> None:
    """And what a library prints goes nowhere: the number of the output is taken, so no other file can have it."""
    target = tmp_path / "graph.json"
    code = "import atexit, os; from archspec.cli import main; atexit.register(os.write, 1, b'noise'); "
    code += f"main(['graph', 'lenet5', '-o', '{target}'])"
    done = process(f'"{sys.executable}" -c "{code}" >&- <&-')
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(target.read_text(encoding="utf-8"))["name"] == "lenet5"


@pytest.mark.parametrize("where", ["2>&-", "2>/dev/full"])
def test_standard_error_that_takes_nothing(where: str) -> None:
    for command, status in (("check lenet5", 0), ("check nowhere.yaml", 1), ("analyze", 2), ("nonsense", 2)):
        done = process(f"archspec {command} {where}")
        assert (done.returncode, done.stderr) == (status, ""), command
    assert process(f"archspec check lenet5 >&- {where}").returncode == 2


def test_the_encoding_of_the_environment() -> None:
    done = process("archspec analyze resnet18", PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stderr) == (0, "")
    assert " 25.5% ###\n" in done.stdout


# The rules themselves.


def test_one_module_writes() -> None:
    """Nobody else prints: a new command that does forgets the encoding."""
    writers = {"echo", "print", "secho", "write", "writelines", "show"}
    owners = {"click", "sys.stdout", "sys.stderr", "stdout", "stderr"}
    for file in sorted((ROOT / "archspec").rglob("*.py")):
        if file.name in ("streams.py", "__main__.py"):  # the second is for developers: it prints a plan of source
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                owner, _, name = ast.unparse(node.func).rpartition(".")
                writes = name in writers and owner in owners or (name == "print" and not owner)
                assert not writes, f"{file}:{node.lineno}: only archspec/cli/streams.py writes to a stream"


@pytest.mark.parametrize(("terminal", "shown"), [(False, "\\x1b[1mbold\\x07\n"), (True, "\x1b[1mbold\\x07\n")])
def test_styles_are_for_terminals(monkeypatch: pytest.MonkeyPatch, terminal: bool, shown: str) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", out := Stream("utf-8", terminal))
    emit("\x1b[1mbold\x07")
    assert out.text() == shown


def test_fit_text() -> None:
    assert fit_text("a…\x1b", "ascii") == "a...\\x1b"
    assert fit_text("█▌▎é", "latin-1") == "##é"
    assert fit_text("█▌▎é", "cp437") == "##é", "cp437 has two of the three: bars of one kind are better"
    assert fit_text("é\udc80", "cp932") == "\\xe9\\udc80"
    assert fit_text("é…█", "utf-8") == "é…█"
