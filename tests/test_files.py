"""Result files: written whole or not at all (attack_cases.md, rows 45 and 47)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from archspec.errors import SpecError, UsageError
from archspec.files import replacing, write_text


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


def test_further_files_go_beside_it_or_none_does(tmp_path: Path) -> None:
    def write(force: bool) -> None:
        with replacing(tmp_path / "net", force) as temporary:
            for ending in ("", ".data"):
                Path(temporary + ending).write_text("new")

    (tmp_path / "net.data").write_text("mine")
    with pytest.raises(UsageError, match=r"net\.data exists"):
        write(force=False)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"net.data": "mine"}
    write(force=True)
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
        (tmp_path / "pipe", True, "is no plain file"),
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
