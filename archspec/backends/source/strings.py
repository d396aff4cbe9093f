"""Text of a spec in generated code: only ever a literal."""

from __future__ import annotations

import textwrap


def escaped(text: str) -> str:
    """Text for within a string literal with double quotes: printable characters, the others as escapes."""
    found = []
    for character in text:
        if character in '\\"':
            found.append(f"\\{character}")
        elif character.isprintable():
            found.append(character)
        else:
            found.append(character.encode("unicode_escape").decode("ascii"))
    return "".join(found)


def quoted(text: str) -> str:
    """Text as a string literal, in the quotes that `ruff format` chooses."""
    if '"' in text and "'" not in text:
        return "'" + escaped(text).replace('\\"', '"') + "'"
    return f'"{escaped(text)}"'


def docstring_lines(text: str, width: int, first: int = 0) -> list[str]:
    """Return text as lines for within a docstring: one paragraph, without what could end it.

    The first line is at most `first` wide, if that is given.
    """
    line = " ".join(text.split())
    safe = "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in line.replace("\\", "\\\\")
    )
    safe = safe.replace('"""', '\\"\\"\\"')
    indent = " " * (width - first if first else 0)
    lines = textwrap.wrap(safe, width, initial_indent=indent, break_long_words=False, break_on_hyphens=False)
    return [lines[0][len(indent) :], *lines[1:]] if lines else []
