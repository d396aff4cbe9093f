"""Files: results written whole or not at all, and paths that can be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from archspec.errors import Diagnostic, SpecError, UsageError


def check_target(path: str | os.PathLike[str], force: bool = False) -> None:
    """UsageError where a result must not go to `path`: it exists (without `force`), is a link or a folder, or has no
    folder."""
    final = os.path.abspath(path)
    if os.path.islink(final):
        raise UsageError(f"{path} is a symbolic link", "name the file itself")
    if os.path.isdir(final):
        raise UsageError(f"{path} is a folder", "name a file")
    if os.path.exists(final) and not os.path.isfile(final):
        raise UsageError(f"{path} is no plain file", "name a file")
    if os.path.exists(final) and not force:
        raise UsageError(f"{path} exists", "--force, or force=True, replaces it")
    if not os.path.isdir(os.path.dirname(final)):
        raise UsageError(f"{os.path.dirname(final)}: no such folder", "make it first")


@contextmanager
def replacing(path: str | os.PathLike[str], force: bool = False) -> Iterator[str]:
    """A temporary path in a folder of its own beside `path`: what the body writes there takes its place at the end.

    If the body writes further files into that folder, these go beside `path`. UsageError as of `check_target`,
    SpecError where the system refuses. Where the body fails, nothing is left behind.
    """
    import tempfile  # needed here only, and slow to import

    check_target(path, force)
    folder, name = os.path.split(os.path.abspath(path))
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".archspec.") as temporary:
            yield os.path.join(temporary, name)
            # The file itself comes last: it speaks of the others.
            written = sorted(os.listdir(temporary), key=lambda each: each == name)
            mask = os.umask(0)
            os.umask(mask)
            for each in written:
                check_target(os.path.join(folder, each), force)
                # As any new file; safetensors makes private ones.
                os.chmod(os.path.join(temporary, each), 0o666 & ~mask)
            for each in written:
                os.replace(os.path.join(temporary, each), os.path.join(folder, each))
    except OSError as error:
        text = f"{os.fspath(path)} cannot be written: {(error.strerror or str(error)).lower()}"
        raise SpecError(Diagnostic("file", text)) from error


def write_text(path: str | os.PathLike[str], text: str, force: bool = False) -> None:
    """Write a text file whole or not at all; errors as of `replacing`."""
    with replacing(path, force) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)


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
