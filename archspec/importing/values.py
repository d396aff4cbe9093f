"""Values of arguments that are more than plain data: expressions, and what changes from copy to copy of a repeat."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple


class Code(str):
    """The text of an expression of the language, without `${}`."""

    __slots__ = ()


class Exact(float):
    """A number that is part of what is computed: to be written to the last bit, where a rate may be rounded."""

    __slots__ = ()


class Spelled(NamedTuple):
    """An expression in pieces: text, and between its pieces what stands for a number of it."""

    pieces: tuple[Any, ...]

    @property
    def code(self) -> str:
        """The expression."""
        found = ""
        for at, piece in enumerate(self.pieces):
            text = code(piece)
            alone = found.endswith("(") and str(self.pieces[at + 1])[:1] == ")" if at % 2 else True
            found += text if alone or re.fullmatch(r"[\w.\[\]]+", text) else f"({text})"
        return found


class First(NamedTuple):
    """One value for the first copy, another for the rest."""

    first: Any
    rest: Any

    @property
    def code(self) -> str:
        """The expression, of `index`."""
        return _either("index == 0", "index > 0", self.first, self.rest)


class Last(NamedTuple):
    """One value for all copies but the last."""

    rest: Any
    last: Any
    count: Any

    @property
    def code(self) -> str:
        """The expression, of `index`."""
        last = self.count - 1 if isinstance(self.count, int) else f"{code(self.count)} - 1"
        return _either(f"index == {last}", f"index != {last}", self.last, self.rest)


class Linear(NamedTuple):
    """A value that grows by the same step from copy to copy."""

    start: Any
    step: Any

    @property
    def code(self) -> str:
        """The expression, of `index`."""
        start, step = self
        if not isinstance(step, (int, float)):
            return f"{code(start)} + {code(step)} * index"
        factor = "index" if step == 1 else f"{rounded(step)!r} * index"
        if isinstance(start, Code):
            return f"{start} + {factor}" if step >= 0 else f"{start} - {-step!r} * index"
        if not start:
            return factor
        if step and isinstance(start, float) and abs(start / step - round(start / step)) < 1e-4:
            return f"{rounded(step)!r} * (index + {round(start / step)})"
        return f"{factor} + {rounded(start)!r}"


class Alternating(NamedTuple):
    """Two values in turns."""

    even: Any
    odd: Any

    @property
    def code(self) -> str:
        """The expression, of `index`."""
        return _either("index % 2 == 0", "index % 2 == 1", self.even, self.odd)


class Listed(NamedTuple):
    """A value for each copy."""

    values: tuple[Any, ...]

    @property
    def code(self) -> str:
        """The expression, of `index`."""
        return f"[{', '.join(map(code, self.values))}][index]"


_NUMBER = re.compile(r"(?<![\w.])(\d+)(?![\w.])")


def numbers_apart(texts: Sequence[Code]) -> list[list[Any]] | None:
    """Return expressions in pieces, text and whole numbers in turns; None if more than their numbers differs."""
    split = [_NUMBER.split(text) for text in texts]
    if any(pieces[::2] != split[0][::2] for pieces in split):
        return None
    return [[int(piece) if at % 2 else Code(piece) for at, piece in enumerate(pieces)] for pieces in split]


VARYING = (First, Last, Linear, Alternating, Listed)


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Any = _Absent()
"""A value that does not matter: the step that it is for is left out."""

_RELATIVE = 1e-6
"""How far numbers may lie from a line that they were computed from in single precision."""


def over_copies(values: Sequence[Any]) -> Any:
    """Return how a value changes from copy to copy, in the shortest form; the value itself where it does not."""
    known = [(at, value) for at, value in enumerate(values) if value is not ABSENT]
    if not known:
        return ABSENT
    if all(same(value, known[0][1]) for _, value in known):
        return known[0][1]
    line = _line(known)
    if line is not None and (isinstance(line.step, float) or len(known) > 2):
        return line
    values = _filled(values)
    first, count = values[0], len(values)
    if count > 2 and all(same(value, values[1]) for value in values[1:]) or count == 2:
        return First(first, values[1])
    if all(same(value, values[at % 2]) for at, value in enumerate(values)):
        return Alternating(values[0], values[1])
    if all(same(value, first) for value in values[:-1]):
        return Last(first, values[-1], count)
    return Listed(tuple(values))


def same(left: Any, right: Any) -> bool:
    """Return whether two values are equal, and of one type: 1 is not True."""
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return (
            type(left) is type(right)
            and len(left) == len(right)
            and all(same(a, b) for a, b in zip(left, right, strict=True))
        )
    return type(left) is type(right) and bool(left == right)


def alike(left: Any, right: Any) -> bool:
    """Return whether two values are the same, floats but for the noise of single precision."""
    if isinstance(left, float) and isinstance(right, float) and not isinstance(left, Exact):
        return abs(left - right) <= _RELATIVE * max(abs(left), abs(right))
    return same(left, right)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _line(known: Sequence[tuple[int, Any]]) -> Linear | None:
    """Return the line through numbers at places, if there is one."""
    if not all(_is_number(value) and not isinstance(value, Exact) for _, value in known):
        return None
    (first, start), (last, end) = known[0], known[-1]
    if all(isinstance(value, int) for _, value in known):
        if (end - start) % (last - first):
            return None
        slope: Any = (end - start) // (last - first)
        found = Linear(start - slope * first, slope)
        return found if all(value == found.start + at * slope for at, value in known) else None
    slope = (end - start) / (last - first)
    found = Linear(start - slope * first, slope)
    scale = max(abs(value) for _, value in known)
    # Two roundings: that of the value, and that of the ends of the line.
    if all(abs(value - (found.start + at * slope)) <= 2 * _RELATIVE * scale for at, value in known):
        return Linear(0.0, slope) if abs(found.start) <= _RELATIVE * scale else found
    return None


def _filled(values: Sequence[Any]) -> list[Any]:
    """Return values with those that do not matter as the next one that does."""
    found = list(values)
    for at in range(len(found) - 2, -1, -1):
        if found[at] is ABSENT:
            found[at] = found[at + 1]
    for at in range(1, len(found)):
        if found[at] is ABSENT:
            found[at] = found[at - 1]
    return found


def text(value: Any) -> Any:
    """Return a value as the spec has it: plain data, `$name`, or `${...}`."""
    if isinstance(value, (*VARYING, Spelled)):
        return text(Code(code(value)))
    if isinstance(value, Code):
        return f"${value}" if _is_name(value) else f"${{{value}}}"
    if isinstance(value, list):
        return [text(item) for item in value]
    if isinstance(value, dict):
        return {key: text(item) for key, item in value.items()}
    return value.replace("$", "$$") if isinstance(value, str) else value


def code(value: Any) -> str:
    """Return a value as an expression has it."""
    if isinstance(value, Code):
        return str(value)
    if isinstance(value, (*VARYING, Spelled)):
        return value.code
    if isinstance(value, list):
        return f"[{', '.join(map(code, value))}]"
    return repr(value)


def _either(condition: str, opposite: str, value: Any, other: Any) -> str:
    """Return an expression of a value where a condition holds and another one elsewhere."""
    if value is True and other is False:
        return condition
    if value is False and other is True:
        return opposite
    return f"{code(value)} if {condition} else {code(other)}"


def rounded(value: Any) -> Any:
    """Return a float without the noise of single precision."""
    if not isinstance(value, float) or isinstance(value, Exact):
        return value
    short = float(f"{value:.6g}")
    return short if abs(short - value) <= _RELATIVE * abs(value) else value


def _is_name(value: str) -> bool:
    return all(part.isidentifier() for part in value.split(".")) and value.isascii()
