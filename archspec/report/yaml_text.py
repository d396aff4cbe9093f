"""Values as the text of YAML, laid out as a person writes a spec."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

WIDTH = 120
"""How many columns a line has, if its parts allow it."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*|\$[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_PLAIN_LINE = re.compile(r"[A-Za-z$](?:(?!: | #)[ -~])*(?<![ :])")
"""What may stand without quotes where the rest of the line belongs to it."""
_WORDS = {"null", "true", "false"}


def flow(value: Any) -> str:
    """Return a value on one line, in YAML's flow style."""
    if isinstance(value, Mapping):
        entries = (f"{flow(key)}: " + ("" if item is None else flow(item)) for key, item in value.items())
        return f"{{{', '.join(entries)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(flow, value))}]"
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    # JSON's quoted text is YAML's, but for characters that a spec may not hold as they are.
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)


def block(value: Mapping[str, Any] | list[Any], width: int = WIDTH) -> list[str]:
    """Return a mapping or a list, which is not empty, as lines in block style."""
    if isinstance(value, Mapping):
        return [line for key, item in value.items() for line in entry(key, item, width)]
    found: list[str] = []
    for item in value:
        in_line = _fits(item, width - 2) and not (isinstance(item, Mapping) and len(item) == 1)
        first, *rest = [flow(item)] if in_line else block(item, width - 2)
        found += [f"- {first}", *(f"  {line}" for line in rest)]
    return found


def entry(key: str, value: Any, width: int = WIDTH) -> list[str]:
    """Return an entry of a mapping as lines. Steps always stand on lines of their own."""
    name = f"{flow(key)}:"
    if value is None:
        return [name]
    if isinstance(value, str) and _PLAIN_LINE.fullmatch(value) and value.lower() not in _WORDS:
        return [f"{name} {value}"]
    if _fits(value, width - len(name) - 1) and not (key == "layers" and value and isinstance(value, list)):
        return [f"{name} {flow(value)}"]
    return [name, *(f"  {line}" for line in block(value, width - 2))]


def _fits(value: Any, width: int) -> bool:
    """Return whether a value belongs on one line of this width: a scalar, or a collection easy to read there."""
    if not value or not isinstance(value, Mapping | list):
        return True
    return _is_flat(value) and len(flow(value)) <= width


def _is_flat(value: Any) -> bool:
    """Return whether no list in a value holds a mapping, and no mapping in it holds steps."""
    if isinstance(value, Mapping):
        return "layers" not in value and all(map(_is_flat, value.values()))
    return not isinstance(value, list) or not any(isinstance(item, Mapping) or not _is_flat(item) for item in value)
