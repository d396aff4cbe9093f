"""Completion in bash, zsh and fish: what their scripts are answered, and what a user gets who types.

Bash is typed at wherever it is installed; zsh and fish, which many machines lack, are tested by their answers too.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archspec.zoo import list_specs

Run = Callable[..., tuple[int, str, str]]

ROOT = Path(__file__).parent.parent
RESNETS = [name for name in list_specs() if name.startswith("resnet")]

PARAMS = """\
params: {width: 4, window: 3, act: relu}
input: [3, 8, 8]
layers:
  - conv: {filters: $width, kernel: $window}
  - $act
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a spec beside other files, and a command `archspec`."""
    (tmp_path / "resnet_mine.yaml").write_text(PARAMS, encoding="utf-8")
    (tmp_path / "two words.yaml").write_text(PARAMS, encoding="utf-8")
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "inner.yaml").write_text(PARAMS, encoding="utf-8")
    command = tmp_path / ".bin" / "archspec"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m archspec "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    return tmp_path


# What is answered.


def answer(folder: Path, shell: str, words: str, current: str) -> str:
    """What a script of `shell` gets for these words; `current` is the number of the last, or in fish that word."""
    environment = {**os.environ, "_ARCHSPEC_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": current}
    command = [str(folder / ".bin" / "archspec")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip("\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("archspec ana", ["analyze"]),
        ("archspec analyze resnet", [*RESNETS, "file:resnet"]),
        ("archspec analyze vgg16 resnet1", ["resnet101", "resnet152", "resnet18", "file:resnet1"]),
        ("archspec analyze nets/in", ["file:nets/in"]),
        ("archspec analyze resnet_mine.yaml --set w", ["width=", "window="]),
        ("archspec graph resnet18 --set ", ["num_classes=", "depths="]),
        ("archspec analyze resnet_mine.yaml resnet18 --set wi --batch", ["--batch"]),
        ("archspec analyze resnet_mine.yaml --set width=2 --set win", ["window="]),
        ("archspec analyze resnet_mine.yaml --set width=", []),
        ("archspec analyze nowhere.yaml --set ", []),
        ("archspec analyze resnet18 --dtype bf", ["bfloat16"]),
        ("archspec weights resnet18 w", ["file:w"]),
        ("archspec graph resnet18 -o x", ["file:x"]),
        ("archspec list lenet", ["lenet5", "lenet5_1998"]),
        ("archspec ops conv_", ["conv_transpose"]),
        ("archspec nonsense re", []),
    ],
)
def test_answers(folder: Path, shell: str, line: str, expected: list[str]) -> None:
    *_, last = line.split(" ")
    words = line if last else line.rstrip()
    lines = answer(folder, shell, words, last if shell == "fish" else str(line.count(" "))).splitlines()
    if shell == "zsh":
        items = [f"{kind},{value}" for kind, value in zip(lines[::3], lines[1::3], strict=True)]
    else:
        items = [line.partition("\t")[0] for line in lines]
    found = [item.removeprefix("plain,").replace("file,", "file:") for item in items]
    assert found == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--set", "width", "=", "2", "--set", "win"], ["plain,window="]),
        (["--set", "width", "="], []),
        (["--dtype", "=", "bf"], ["plain,bfloat16"]),
        (["--dtype", "="], ["plain,float64", "plain,float32"]),
    ],
)
def test_bash_splits_words_at_signs(folder: Path, words: list[str], expected: list[str]) -> None:
    line = ["archspec", "analyze", "resnet_mine.yaml", *words]
    found = answer(folder, "bash", "\n".join(line), str(len(line) - 1)).splitlines()
    assert [item.partition("\t")[0] for item in found][:2] == expected


def test_fish_gets_whole_words(folder: Path) -> None:
    found = answer(folder, "fish", "archspec analyze resnet18 --dtype=bf", "--dtype=bf")
    assert found == "plain,--dtype=bfloat16"


def test_params_are_told_with_their_defaults(folder: Path) -> None:
    assert answer(folder, "zsh", "archspec analyze resnet_mine.yaml --set a", "4") == "plain\nact=\nby default relu"


def test_the_script_needs_no_bash_to_be_printed(run_without_path: Run) -> None:
    status, out, err = run_without_path("completion", "bash")
    assert (status, err) == (0, "")
    assert out.startswith("_archspec_completion() {\n")


@pytest.fixture
def run_without_path(command_line: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line where no other program can be found."""
    monkeypatch.setenv("PATH", "")
    return command_line


# What a user gets who types.


@contextlib.contextmanager
def terminal(folder: Path, command: list[str]) -> Iterator[Callable[[str, str], str]]:
    """An interactive shell, as a function that types a text and returns what is shown until another shows."""
    fcntl = pytest.importorskip("fcntl", reason="a terminal to type at needs a POSIX system")
    import pty
    import struct
    import termios

    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed: nobody types at it here")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("_ARCHSPEC")} | {
        "PATH": f"{folder / '.bin'}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "INPUTRC": os.devnull,
        "TERM": "dumb",
    }
    primary, secondary = pty.openpty()
    fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 500, 0, 0))
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        start_new_session=True,
    )
    os.close(secondary)

    def typed(text: str, until: str) -> str:
        os.write(primary, text.encode())
        shown, end = "", time.monotonic() + 60
        while until not in shown:
            assert time.monotonic() < end, f"{command[0]} shows only {shown!r}"
            if select.select([primary], [], [], 1)[0]:
                shown += os.read(primary, 1 << 16).decode(errors="replace")
        return shown

    try:
        yield typed
    finally:
        process.kill()
        process.wait()
        os.close(primary)


def script(folder: Path, shell: str) -> str:
    """The file that `archspec completion` writes for a shell."""
    target = folder / f".completion.{shell}"
    command = [str(folder / ".bin" / "archspec"), "completion", shell]
    target.write_text(subprocess.run(command, capture_output=True, text=True, check=True).stdout, encoding="utf-8")
    return str(target)


TO_START, TO_END, INSERT_ALL = "\x01", "\x05", "\x1b*"

LINES = [
    ("ana\tresnet15\t", ["analyze", "resnet152"]),
    ("analyze two\t", ["analyze", "two words.yaml"]),
    ("analyze nets\tin\t--depth 1", ["analyze", "nets/inner.yaml", "--depth", "1"]),
    ("check resnet_m\t--str\t", ["check", "resnet_mine.yaml", "--strict"]),
    ("show resnet_m\t--set wid\t8 --set win\t5", ["show", "resnet_mine.yaml", "--set", "width=8", "--set", "window=5"]),
    ("analyze resnet18 --dtype=bf\t", ["analyze", "resnet18", "--dtype=bfloat16"]),
    ("nonsense resnet15\tx", ["nonsense", "resnet15x"]),
]
"""What is typed behind `archspec`, and the words that it makes."""


def completed(folder: Path, shell: list[str], set_up: str, line: str) -> list[str]:
    """The words of a command line when all its keys are typed: the shell prints them instead of running it."""
    with terminal(folder, shell) as typed:
        typed(f"{set_up} source {script(folder, shell[0])}; echo rea''dy\n", "ready")
        shown = typed(f"archspec {line}{TO_START}printf '<%s>' {TO_END}; echo do''ne\n", "done")
    printed = re.search("<archspec>((?:<[^>]*>)*)done", shown)
    assert printed, shown
    assert "error" not in shown
    return printed[1][1:-1].split("><")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        *LINES,
        (f"analyze resnet{INSERT_ALL}", ["analyze", *RESNETS, "resnet_mine.yaml"]),
        (f"graph resnet_mine.yaml --set w{INSERT_ALL}", ["graph", "resnet_mine.yaml", "--set", "width=", "window="]),
    ],
)
def test_bash(folder: Path, line: str, expected: list[str]) -> None:
    assert completed(folder, ["bash", "--noprofile", "--norc", "-i"], "", line) == expected


@pytest.mark.parametrize(("line", "expected"), LINES)
def test_zsh(folder: Path, line: str, expected: list[str]) -> None:
    assert completed(folder, ["zsh", "-f", "-i"], "autoload -Uz compinit; compinit -u -D;", line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("archspec analyze resnet", {*RESNETS, "resnet_mine.yaml"}),
        ("archspec analyze resnet_mine.yaml --set w", {"width=", "window="}),
        ("archspec analyze resnet18 --dtype=bf", {"--dtype=bfloat16"}),
        ("archspec analyze nets/", {"nets/inner.yaml"}),
        ("archspec nonsense resnet15", set()),
    ],
)
def test_fish(folder: Path, line: str, expected: set[str]) -> None:
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed: nobody asks it here")
    environment = {**os.environ, "PATH": f"{folder / '.bin'}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder)}
    command = ["fish", "--no-config", "-c", f"source {script(folder, 'fish')}; complete -C '{line}'"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    assert {item.partition("\t")[0] for item in done.stdout.splitlines()} == expected
    assert done.stderr == ""
