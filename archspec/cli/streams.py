"""Standard output and standard error: the one place that decides how text reaches them.

Whatever a spec, a file or the command line holds, it cannot steer the terminal and does not end in an encoding error:
a character that is not printable, or that the stream's encoding lacks, is shown as an escape.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable
from typing import Any, Literal

import click

from archspec.errors import Diagnostic, UsageError, printable
from archspec.files import write_text
from archspec.report.screen import UNLIMITED, Screen, encodable, fit_text

Form = Literal["text", "json", "code", "file"]
"""What a result is, and so how a stream that lacks a character shows it.

A `text` for people keeps the stream's encoding and has escapes for the rest. Documents are UTF-8 by their formats.
Where the stream is not, they become ASCII, which is UTF-8 too: `json` with `\\u00e9`, and `code`, which is YAML or
Python, with `\\xe9` in its quotes. A `file`, a spec as somebody wrote it, stays UTF-8 unless a terminal shows it.
"""

_STYLE = r"(\x1b\[[\d;]*m)"
_JOINERS = "\u200c\u200d"
"""Without width, and part of Persian words and of emoji."""


def open_closed_streams() -> None:
    """Give the null device to each standard stream that the caller has closed.

    Otherwise the next file to be opened takes its number, and what a C library prints ends up in that file.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)


def is_terminal(stream: Any) -> bool:
    """Return whether a standard stream is a terminal; False where it is closed."""
    return stream is not None and stream.isatty()


def screen(output: str | None = None) -> Screen:
    """Return what a result is shown on: the terminal or pipe that standard output is, or the file `output`."""
    stream = sys.stdout
    if output is not None or stream is None:
        return UNLIMITED
    return Screen(_width() if stream.isatty() else None, _encoding(stream), _bold if _has_color(stream) else str)


def emit(text: str, output: str | None = None, force: bool = False, form: Form = "text") -> None:
    """Write a result to standard output, or as UTF-8 to the file `output`."""
    if output is not None:
        write_text(output, text if text.endswith("\n") else text + "\n", force)
        return
    stream = sys.stdout
    if stream is None:
        raise UsageError("standard output is closed", "redirect it to a file or to /dev/null")
    text = text.rstrip("\n")
    if form == "file" and not stream.isatty() and hasattr(stream, "buffer"):
        click.echo(_harmless(text).encode())  # a spec is UTF-8, whatever the locale
    else:
        click.echo(_fit(text, form, stream), color=_has_color(stream))


def print_error(text: str) -> None:
    """Write a line to standard error; if that fails, there is nobody to tell."""
    _write_error(_fit(text, "text", sys.stderr) + "\n")


def print_diagnostics(diagnostics: Iterable[Diagnostic]) -> None:
    """Write findings to standard error, with colour if that is a terminal."""
    for diagnostic in diagnostics:
        lines = diagnostic.render().split("\n")
        if _has_color(sys.stderr):
            lines = [_colored_head(lines[0], diagnostic.severity), *map(_colored, lines[1:])]
        print_error("\n".join([*lines, ""] if diagnostic.span else lines))


def show_progress(text: str) -> None:
    """Replace the last line of standard error, which is a terminal, by `text`."""
    _write_error(f"\r\x1b[K{_fit(text, 'text', sys.stderr)}")


def to_json(data: object) -> str:
    """Return JSON as a person can read it: letters as they are, what could steer a terminal as its escape."""
    return _json(json.dumps(data, indent=1, ensure_ascii=False), "utf-8")


# How a stream is.


def _has_color(stream: Any) -> bool:
    """Return whether to write colour: to a terminal, and not if NO_COLOR is set (https://no-color.org)."""
    return not os.environ.get("NO_COLOR") and is_terminal(stream)


def _width() -> int:
    import shutil  # slow to import

    return shutil.get_terminal_size().columns


def _encoding(stream: Any) -> str:
    return getattr(stream, "encoding", None) or "utf-8"


def _write_error(text: str) -> None:
    if sys.stderr is None:
        return
    try:
        click.echo(text, file=sys.stderr, nl=False, color=_has_color(sys.stderr))
    except OSError:
        sys.stderr = None  # what Python has for a closed stream


# How text is.


def _fit(text: str, form: Form, stream: Any) -> str:
    """Return `text` as `stream` can hold it."""
    encoding = _encoding(stream)
    if form == "json":
        return _json(text, encoding)
    if form == "code":
        text = printable(text, "\n\t")
        return text if _is_unicode(encoding) else text.encode("ascii", "backslashreplace").decode()
    if form == "file":
        return encodable(_harmless(text), encoding)
    parts = re.split(_STYLE, text) if _has_color(stream) else [text]
    return "".join(part if position % 2 else fit_text(part, encoding, "\n") for position, part in enumerate(parts))


def _json(text: str, encoding: str) -> str:
    """Escape what is in the way inside of a JSON text, which is between quotes."""

    def stays(part: str) -> bool:
        return part.isprintable() and (part.isascii() or _is_unicode(encoding))

    lines = text.split("\n")
    return "\n".join(
        line if stays(line) else "".join(c if stays(c) else json.dumps(c)[1:-1] for c in line) for line in lines
    )


def _is_unicode(encoding: str) -> bool:
    return encoding.lower().startswith(("utf", "cp65001"))


def _harmless(text: str) -> str:
    """Escape what could steer a terminal, and keep the rest: other blanks, joiners, and the file's line endings."""
    lines = text.split("\n")
    return "\n".join(line if line.isprintable() else _harmless_line(line) for line in lines)


def _harmless_line(line: str) -> str:
    import unicodedata

    end = "\r" if line.endswith("\r") else ""
    line = line.removesuffix("\r")
    return printable(line, "\t" + _JOINERS + "".join(c for c in set(line) if unicodedata.category(c) == "Zs")) + end


def _bold(text: str) -> str:
    return click.style(text, bold=True)


def _colored_head(line: str, severity: str) -> str:
    label, colon, message = line.partition(":")
    return click.style(label, fg="red" if severity == "error" else "yellow", bold=True) + _bold(colon + message)


def _colored(line: str) -> str:
    for sign, color in (("-->", "blue"), ("= help:", "cyan")):
        before, found, after = line.partition(sign)
        if found and not before.strip():
            return before + click.style(found, fg=color) + after
    return line
