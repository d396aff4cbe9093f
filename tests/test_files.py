"""Files: what is read is what was opened; results are written whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import archspec
from archspec import files
from archspec.errors import SpecError, UsageError
from archspec.files import opened, read, readable, remove_unfinished, replacing, write_text

SPEC = "input: [3]\nlayers: [relu]\n"
OUTSIDE = "input: [3]\nlayers: [tanh]\n"


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), MemoryError(), OSError(28, "No space left on device")])
def test_half_a_file_is_never_left(stop: BaseException, tmp_path: Path) -> None:
    """Whatever stops the writing, the file is the old one, and nothing else lies there."""
    path = tmp_path / "out.txt"
    path.write_text("mine")

    def write() -> None:
        with replacing(path, force=True) as temporary:
            Path(temporary).write_text("hal")
            raise stop

    with pytest.raises((SpecError, type(stop))) as caught:
        write()
    if isinstance(stop, OSError):
        assert str(caught.value) == f"error[file]: {path} cannot be written: no space left on device"
    assert path.read_text() == "mine"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.txt"]


def write_two(path: Path, text: str, force: bool = False) -> None:
    """Write a file and another one beside it."""
    with replacing(path, force) as temporary:
        for ending in ("", ".data"):
            Path(temporary + ending).write_text(text)


def test_further_files_go_beside_it_or_none_does(tmp_path: Path) -> None:
    (tmp_path / "net.data").write_text("mine")
    with pytest.raises(UsageError, match=r"net\.data exists"):
        write_two(tmp_path / "net", "new")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"net.data": "mine"}
    write_two(tmp_path / "net", "new", force=True)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"net.data": "new", "net": "new"}


def test_what_must_not_be_written_over(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("mine")
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "dangling").symlink_to(tmp_path / "new")
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.iterdir())
    for target, force, message in (
        (path, False, "exists"),
        (tmp_path / "link", True, "is a symbolic link"),
        (tmp_path / "dangling", True, "is a symbolic link"),
        (tmp_path / "pipe", True, "is not a regular file"),
        (tmp_path, True, "is a folder"),
        (tmp_path / "missing" / "out.txt", True, "no such folder"),
        (path / "out.txt", True, "no such folder"),
    ):
        with pytest.raises(UsageError, match=message):
            write_text(target, "theirs", force)
    assert (path.read_text(), sorted(tmp_path.iterdir())) == ("mine", before)


def test_what_the_system_refuses_is_told(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)
    with pytest.raises(SpecError, match=f"^error.file.: {path} cannot be written: file name too long$"):
        write_text(path, "text")
    assert not list(tmp_path.iterdir())
    longest = tmp_path / ("x" * 255)
    write_text(longest, "text\n")
    assert longest.read_bytes() == b"text\n"


# Writing: two at once, signals, permissions (row 67).


def test_one_of_two_writers_succeeds(tmp_path: Path) -> None:
    """Both have seen that nothing is there, and have written theirs; the second finds the first one's."""
    path = tmp_path / "out.txt"

    def write() -> None:
        with replacing(path) as second:
            write_text(path, "first")
            Path(second).write_text("second")

    with pytest.raises(UsageError, match="exists") as caught:
        write()
    assert caught.value.diagnostics[0].help == "--force, or force=True, replaces it"
    assert {entry.name: entry.read_text() for entry in tmp_path.iterdir()} == {"out.txt": "first"}


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_one_of_two_writers_succeeds_at_the_last_moment(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file appears after the last look, right before it is moved."""
    chmod, link = os.chmod, os.link

    def appear(*arguments: Any) -> None:
        chmod(*arguments)
        monkeypatch.setattr(files, "check_target", lambda path, force: None)
        (tmp_path / "net").write_text("theirs")

    def refuse(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", appear)
    monkeypatch.setattr(os, "link", link if links else refuse)
    with pytest.raises(UsageError, match=r"net exists"):
        write_two(tmp_path / "net", "mine")
    assert {entry.name: entry.read_text() for entry in tmp_path.iterdir()} == {"net": "theirs"}


def test_writing_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    write_text(tmp_path / "out.txt", "text")
    assert {entry.name: entry.read_text() for entry in tmp_path.iterdir()} == {"out.txt": "text"}


def test_many_writers(tmp_path: Path) -> None:
    """Of eight threads that write a file, one succeeds; the others are told that it is there."""
    for round in range(20):
        path, wrote, refused = tmp_path / f"{round}.txt", [], []
        start = threading.Barrier(8)

        def write(
            number: int, path: Path = path, start: Any = start, wrote: Any = wrote, refused: Any = refused
        ) -> None:
            start.wait()
            try:
                write_text(path, f"{number}")
                wrote.append(number)
            except UsageError:
                refused.append(number)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(wrote), len(refused), path.read_text()) == (1, 7, f"{wrote[0]}")
    assert len(list(tmp_path.iterdir())) == 20


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_any_new_file(mask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the umask, which all threads share, is never set: row 67."""
    before = os.umask(mask)
    try:
        monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask of the process was set"))
        (tmp_path / "new").write_text("text")
        with replacing(tmp_path / "out") as temporary:
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
    finally:
        monkeypatch.undo()
        os.umask(before)
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "new").stat().st_mode


WRITER = """
import sys, threading
from archspec.cli import tidy_end
from archspec.files import replacing
with tidy_end(), replacing(sys.argv[1]) as temporary:
    with open(temporary, "w") as file:
        file.write("half of it")
    print("writing", flush=True)
    threading.Event().wait(60)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing_behind(number: signal.Signals, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "out")], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(number)
        assert process.wait(60) == -number
    assert list(tmp_path.iterdir()) == []


def test_what_is_unfinished_is_removed_amid_any_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal may come while any module is half imported."""
    with replacing(tmp_path / "out") as temporary:
        Path(temporary).write_text("half of it")
        with monkeypatch.context() as patch:
            for name in [name for name in sys.modules if not name.startswith("archspec")]:
                patch.setitem(sys.modules, name, ModuleType(name))
            remove_unfinished()
        assert list(tmp_path.iterdir()) == []
        Path(temporary).parent.mkdir()


def test_what_a_killed_process_left_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = tmp_path / ".archspec.abc123"
    stale.mkdir()
    (stale / "out.yaml").write_text("half")
    write_text(tmp_path / "out.yaml", SPEC)
    monkeypatch.chdir(tmp_path)
    assert len(archspec.load("out.yaml").graph) == 1
    assert (stale / "out.yaml").read_text() == "half"


# Reading: what stands at a path may be swapped (rows 60 and 68).


def swapped(monkeypatch: pytest.MonkeyPatch, path: Path, swap: Callable[[], None]) -> None:
    """Let `swap` happen right before `path` is opened, after all that was looked at before."""
    open_, done = os.open, []

    def open_after(opened: Any, flags: int, *rest: Any, **named: Any) -> int:
        if os.path.abspath(opened) == str(path) and not done:
            done.append(path)
            path.unlink()
            swap()
        return open_(opened, flags, *rest, **named)

    monkeypatch.setattr(os, "open", open_after)


@pytest.mark.parametrize("key", ["extends: base.yaml", "include: [base.yaml]", "extends: base"])
def test_a_file_swapped_for_a_link_is_not_read(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "specs"
    folder.mkdir()
    (tmp_path / "secret.yaml").write_text(OUTSIDE)
    base, net = folder / "base.yaml", folder / "net.yaml"
    base.write_text(SPEC)
    net.write_text(f"{key}\nname: net\n")
    swapped(monkeypatch, base, lambda: base.symlink_to(tmp_path / "secret.yaml"))
    with pytest.raises(SpecError) as caught:
        archspec.load(net)
    (finding,) = caught.value.diagnostics
    assert (finding.code, finding.span and finding.span.line) == ("path", 1)
    assert "is outside the folder of the spec" in finding.message


def test_a_folder_swapped_for_a_link_is_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner, outer = tmp_path / "specs" / "parts", tmp_path / "outside"
    inner.mkdir(parents=True)
    outer.mkdir()
    (inner / "base.yaml").write_text(SPEC)
    (outer / "base.yaml").write_text(OUTSIDE)
    (tmp_path / "specs" / "net.yaml").write_text("extends: parts/base.yaml\n")

    def swap() -> None:
        inner.rmdir()
        inner.symlink_to(outer)

    swapped(monkeypatch, inner / "base.yaml", swap)
    with pytest.raises(SpecError, match="is outside the folder of the spec"):
        archspec.load(tmp_path / "specs" / "net.yaml")


def test_a_system_that_does_not_tell_what_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without /proc, the path must lead to the open file still."""

    def refuse(*_: Any) -> str:
        raise FileNotFoundError(2, "No such file or directory")

    (tmp_path / "secret.yaml").write_text(OUTSIDE)
    path, seen = tmp_path / "net.yaml", []
    path.write_text(SPEC)
    (tmp_path / "link.yaml").symlink_to(path)
    monkeypatch.setattr(os, "readlink", refuse)
    realpath = os.path.realpath
    monkeypatch.setattr(os.path, "realpath", lambda given: str(path) if "link" in str(given) else realpath(given))
    assert read(tmp_path / "link.yaml", allow=seen.append).text == SPEC
    assert seen == [str(path)]
    swapped(monkeypatch, path, lambda: path.symlink_to(tmp_path / "secret.yaml"))
    monkeypatch.setattr(os.path, "realpath", str)
    with pytest.raises(SpecError, match=r"net\.yaml changed while it was read"):
        read(path, allow=seen.append)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names")
@pytest.mark.parametrize("call", [archspec.load, readable, read])
def test_a_file_swapped_for_a_pipe_does_not_wait(
    call: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(SPEC)
    swapped(monkeypatch, path, lambda: os.mkfifo(path))
    with pytest.raises(SpecError, match=r"net\.yaml is not a regular file"):
        call(path)


def test_a_file_that_is_gone_is_an_error_with_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / "base.yaml"
    base.write_text(SPEC)
    (tmp_path / "net.yaml").write_text("extends: base.yaml\n")
    swapped(monkeypatch, base, lambda: None)
    with pytest.raises(SpecError, match=r"base\.yaml: no such file or directory") as caught:
        archspec.load(tmp_path / "net.yaml")
    assert str(caught.value.diagnostics[0].span) == f"{tmp_path / 'net.yaml'}:1:10"


def test_what_is_not_read_is_closed(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else None
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(SpecError), opened(path):
            pass
    assert before is None or len(os.listdir("/proc/self/fd")) == len(before)


# Names of the zoo (row 69).


def test_what_stands_here_hides_no_network_of_the_zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lenet5").mkdir()
    (tmp_path / "resnet18").write_text(SPEC)
    (tmp_path / "mine").write_text(SPEC)
    assert archspec.load("lenet5").name == "lenet5"
    assert len(archspec.load("resnet18").graph) == 69
    assert len(archspec.load("./resnet18").graph) == len(archspec.load("mine").graph) == 1
    (tmp_path / "net.yaml").write_text("extends: lenet5\n")
    (tmp_path / "lenet5.yaml").mkdir()
    assert len(archspec.load("net.yaml").graph) == len(archspec.load("lenet5").graph)
