"""Result files, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from archspec.errors import Diagnostic, SpecError, UsageError


@contextmanager
def replacing(path: str | os.PathLike[str], force: bool = False) -> Iterator[str]:
    """A temporary path in a folder of its own beside `path`: what the body writes there takes its place at the end.

    UsageError where `path` exists (without `force`), is a link or a folder, or has no folder. Where the body fails,
    nothing is left behind.
    """
    final = os.path.abspath(os.fspath(path))
    folder, name = os.path.split(final)
    if os.path.islink(final):
        raise UsageError(f"{path} is a symbolic link", "name the file itself")
    if os.path.exists(final) and not os.path.isfile(final):
        raise UsageError(f"{path} is no plain file", "name a file")
    if os.path.exists(final) and not force:
        raise UsageError(f"{path} exists", "--force, or force=True, replaces it")
    if not os.path.isdir(folder):
        raise UsageError(f"{folder}: no such folder", "make it first")
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}.") as temporary:
        written = os.path.join(temporary, name)
        yield written
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(written, 0o666 & ~mask)  # as any new file; safetensors makes private ones
        os.replace(written, final)


def readable(path: str | os.PathLike[str]) -> str:
    """`path` as text, if it is a plain file; SpecError where it is none, before anything waits for a pipe."""
    text = os.fspath(path)
    if not os.path.exists(text):
        raise SpecError(Diagnostic("file", f"{text}: no such file"))
    if not os.path.isfile(text):
        raise SpecError(Diagnostic("file", f"{text} is no plain file"))
    if not os.access(text, os.R_OK):
        raise SpecError(Diagnostic("file", f"{text}: no permission to read it"))
    return text
