"""Files: opened once and then looked at; results written whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from archspec.errors import Diagnostic, Source, Span, SpecError, UsageError

MAX_BYTES = 1 << 20
"""Bytes of a spec's file."""

# Without O_NONBLOCK, opening a pipe waits for somebody to write; with O_NOCTTY, a terminal does not become ours.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)


@contextmanager
def opened(
    path: str | os.PathLike[str], shown: str | None = None, allow: Callable[[str], None] | None = None
) -> Iterator[BinaryIO]:
    """Open a regular file for reading.

    What stands at a path may change at any time, so the path is opened first, and then it is the open file that is
    looked at.

    Args:
        path: The file.
        shown: What messages call it.
        allow: Is told the real path of the open file, links followed, and raises if it must not be read.

    Raises:
        SpecError: There is no such file, it is not a regular one, or the system refuses.
    """
    name = shown or os.fspath(path)
    try:
        descriptor = os.open(path, _READ)
    except OSError as error:
        raise SpecError(Diagnostic("file", f"{name}: {(error.strerror or str(error)).lower()}")) from None
    except ValueError:  # a NUL or a surrogate in the path
        raise SpecError(Diagnostic("file", f"{name}: not a valid file name")) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SpecError(Diagnostic("file", f"{name} is not a regular file"))
    with os.fdopen(descriptor, "rb") as file:
        if allow is not None:
            allow(_real_path(descriptor, os.fspath(path), name))
        yield file


def _real_path(descriptor: int, path: str, name: str) -> str:
    """Return the real path of an open file."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:  # a system that does not tell: the path leads to the open file still, or it has been changed
        try:
            real = os.path.realpath(path)
            if os.path.samestat(os.fstat(descriptor), os.stat(real, follow_symlinks=False)):
                return real
        except OSError:
            pass
        raise SpecError(Diagnostic("file", f"{name} changed while it was read")) from None


def read(path: str | os.PathLike[str], shown: str | None = None, allow: Callable[[str], None] | None = None) -> Source:
    """Return the text of a spec's file; arguments and errors as of `opened`, and the text must be small and UTF-8."""
    source = Source(shown or os.fspath(path))
    with opened(path, source.name, allow) as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise SpecError(Diagnostic("limit", f"{source.name} is larger than 1 MiB"))
    return Source(source.name, _decoded(source, data))


def _decoded(source: Source, data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise SpecError(
            Diagnostic("encoding", "expected UTF-8, got UTF-16", Span(source, 1, 1), help="save the file as UTF-8")
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = Span.behind(source, data[: error.start].decode("utf-8-sig", "replace"))
        message = f"the byte 0x{data[error.start]:02x} is not valid UTF-8"
        raise SpecError(Diagnostic("encoding", message, place, help="save the file as UTF-8")) from None


def readable(path: str | os.PathLike[str]) -> str:
    """Return `path` as text, for a library that opens it itself. Raises: SpecError as of `opened`."""
    with opened(path):
        return os.fspath(path)


# Results.


def check_target(path: str | os.PathLike[str], force: bool = False) -> None:
    """Check that a result may go to `path`.

    Raises:
        UsageError: There is a file (without `force`), a link or a folder, or the folder around it is missing.
    """
    final = os.path.abspath(path)
    if os.path.islink(final):
        raise UsageError(f"{path} is a symbolic link", "name the file itself")
    if os.path.isdir(final):
        raise UsageError(f"{path} is a folder", "name a file")
    if os.path.exists(final) and not os.path.isfile(final):
        raise UsageError(f"{path} is not a regular file", "name a file")
    if os.path.exists(final) and not force:
        raise _exists(path)
    if not os.path.isdir(os.path.dirname(final)):
        raise UsageError(f"{os.path.dirname(final)}: no such folder", "make it first")


def _exists(path: str | os.PathLike[str]) -> UsageError:
    return UsageError(f"{path} exists", "--force, or force=True, replaces it")


@contextmanager
def replacing(path: str | os.PathLike[str], force: bool = False) -> Iterator[str]:
    """Yield a temporary path in a folder of its own beside `path`: what the body writes there takes its place.

    If the body writes further files into that folder, these go beside `path`. Where the body fails, nothing is left
    behind. Without `force`, of several who write the same file one succeeds.

    Raises:
        UsageError: As of `check_target`, before the body or after it.
        SpecError: The system refuses.
    """
    check_target(path, force)
    folder, name = os.path.split(os.path.abspath(path))
    try:
        with _folder_for_now(folder) as temporary:
            mode = _mode_of_new_files(temporary)
            yield os.path.join(temporary, name)
            # The file itself comes last: it speaks of the others.
            written = sorted(os.listdir(temporary), key=lambda each: each == name)
            for each in written:
                check_target(os.path.join(folder, each), force)
                os.chmod(os.path.join(temporary, each), mode)  # safetensors makes private files
            _move(temporary, folder, written, force)
    except OSError as error:
        text = f"{os.fspath(path)} cannot be written: {(error.strerror or str(error)).lower()}"
        raise SpecError(Diagnostic("file", text)) from error


_unfinished: set[str] = set()
"""The folders that results are being written into."""


@contextmanager
def _folder_for_now(parent: str) -> Iterator[str]:
    path = os.path.join(parent, f".archspec.{os.urandom(8).hex()}")
    _unfinished.add(path)  # first: a signal may come at any time
    try:
        os.mkdir(path, 0o700)
        yield path
    finally:
        _remove(path)
        _unfinished.discard(path)


def remove_unfinished() -> None:
    """Remove what is being written, for a process that ends here and now: see `archspec.cli`."""
    for path in [*_unfinished]:
        _remove(path)


def _remove(folder: str) -> None:
    """Remove a folder of files. It imports nothing: a signal may come amid an import of the same module."""
    with suppress(OSError):
        for file in os.listdir(folder):
            os.unlink(os.path.join(folder, file))
        os.rmdir(folder)


def _mode_of_new_files(folder: str) -> int:
    """Return the permissions that a new file has. The umask can be read by setting it only, for all threads."""
    path = os.path.join(folder, "mode")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
        os.remove(path)


def _move(source: str, target: str, names: list[str], force: bool) -> None:
    """Move files from one folder to another. Without `force` all or none: a file that is there already stays."""
    done: list[str] = []
    try:
        for name in names:
            final = os.path.join(target, name)
            if force:
                os.replace(os.path.join(source, name), final)
                continue
            _move_anew(os.path.join(source, name), final)
            done.append(final)
    except FileExistsError:
        for final in done:
            os.remove(final)
        raise _exists(os.path.join(target, name)) from None


def _move_anew(source: str, final: str) -> None:
    """Move a file to where none is. Raises: FileExistsError if there is one, in which case that stays."""
    try:
        os.link(source, final)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: whoever makes the empty file first may replace it
        os.close(os.open(final, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        os.replace(source, final)


def write_text(path: str | os.PathLike[str], text: str, force: bool = False) -> None:
    """Write a text file whole or not at all; errors as of `replacing`."""
    with replacing(path, force) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
