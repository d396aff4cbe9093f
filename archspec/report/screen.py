"""What text is shown on: how wide it is, which characters it has, and text written with those."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from archspec.errors import printable

BLOCKS = "█▉▊▋▌▍▎▏"
"""A character's width filled, from eight eighths down to one."""

_LOOK_ALIKES = (dict(zip(BLOCKS, ("#",) * 5 + ("",) * 3, strict=True)), {"…": "..."})
"""ASCII for the characters that reports use. Those of one group are replaced together, so that bars look alike."""


class Screen(NamedTuple):
    """Columns (None: as many as needed), an encoding, and how a line is made bold."""

    width: int | None = None
    encoding: str = "utf-8"
    bold: Callable[[str], str] = str

    def fit(self, text: str) -> str:
        """Return `text` as the screen can show it; see `fit_text`."""
        return fit_text(text, self.encoding)


UNLIMITED = Screen()
"""Every character, any width, and no bold lines: a file."""


def fit_text(text: str, encoding: str, keep: str = "") -> str:
    """Return `text` with characters of `encoding` only, none of which steers a terminal.

    What is not printable is shown as its escape, the characters of `keep` apart; see `encodable` for the rest.
    """
    return encodable(printable(text, keep), encoding)


def encodable(text: str, encoding: str) -> str:
    """Return `text` with ASCII bars and dots where `encoding` lacks those, and escapes for what else it lacks."""
    if text.isascii():
        return text
    text = text.translate(_replacements(encoding))
    return text if _holds(encoding, text) else text.encode(encoding, "backslashreplace").decode(encoding)


def _holds(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


@lru_cache
def _replacements(encoding: str) -> dict[int, str]:
    """Return the look-alikes of every group that the encoding does not hold as a whole."""
    lacking = (group for group in _LOOK_ALIKES if not _holds(encoding, "".join(group)))
    return {ord(character): plain for group in lacking for character, plain in group.items()}
