"""What an expression may make: the bounds of values, and how it fails."""

from __future__ import annotations

import math
from typing import Any, NoReturn

from archspec.errors import Complaint
from archspec.shapes import LIMIT

MAX_LENGTH = 1_000
"""Characters of an expression, and of text that one makes."""
MAX_TEXT = 4_000
"""Characters of text that stands for a value in a spec."""
MAX_ITEMS = 10_000
"""Values in a list or mapping that an expression makes; one that stands in several places counts in each."""
MAX_DEPTH = 100
"""Levels of lists and mappings in one another."""
MAX_STEPS = 100_000
MAX_TOTAL_STEPS = 4_000_000
CONTAINERS = (list, dict)
CONTAINER_STEPS = 4
"""What a list or mapping costs beside its values: memory, mostly."""
EVALUATION_STEPS = 4
"""What an expression costs beside its operations, however short it is."""


class UnknownShape(Exception):
    """The expression asks for a value, or a tensor's shape, that is already in error; no second complaint is due."""


class _Mark:
    """What stands for a value where there is none. It is found again by its name, so a copy is the mark itself."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return self.name


UNKNOWN: Any = _Mark("UNKNOWN")
"""The value of a param that is in error."""
MISSING: Any = _Mark("MISSING")
"""What stands for the value of a name that is not there."""


def checked(value: Any) -> Any:
    """Return `value`. Raises: Complaint if it is beyond the bounds of a spec's values."""
    if type(value) is int:
        if not -LIMIT < value < LIMIT:
            raise Complaint("limit", "the result exceeds the limit of 2**63")
    elif type(value) is float:
        if not math.isfinite(value):
            raise Complaint("expression", "the result is not a finite number")
    elif isinstance(value, str):
        if len(value) > MAX_LENGTH:
            raise Complaint("expression", f"the text is longer than {MAX_LENGTH} characters")
    return value


def as_text(value: Any) -> str:
    """Return a value as it is written inside text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Complaint("expression", "expected text or a number inside text")
    return str(value)


def weight(value: Any, most: int = MAX_ITEMS) -> int:
    """Return the steps that it takes to make, copy, compare or print a list or mapping, with all that is in it.

    Every value of a spec has a bounded weight and depth, so whatever runs through one may recurse.

    Raises:
        Complaint: The value holds more than `most` values, or is deeper than `MAX_DEPTH`. Counting ends there, so a
            list that holds itself is safe.
    """
    count = containers = depth = 0
    level = [value]
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise Complaint("expression", f"the value is nested more than {MAX_DEPTH} levels deep")
        inner: list[Any] = []
        for items in level:
            count += len(items)
            if count > most:
                raise Complaint("expression", f"the list has more than {most:,} values")
            parts = items.values() if isinstance(items, dict) else items
            inner += [part for part in parts if isinstance(part, CONTAINERS)]
        containers += len(level)
        level = inner
    return count + CONTAINER_STEPS * containers


def text_steps(text: str) -> int:
    """Return the steps that it takes to make and keep a text, short or long."""
    return 2 + len(text) // 16


class Budget:
    """How much work the expressions of one document may still do, in steps: this one, and all together."""

    __slots__ = ("steps", "total")

    def __init__(self) -> None:
        self.steps, self.total = MAX_STEPS, MAX_TOTAL_STEPS

    def spend(self, amount: int) -> None:
        """Take `amount` steps; Complaint where they are no longer there."""
        self.steps -= amount
        if self.steps < 0 or self.total < 0:
            self._refuse()

    def begin(self, amount: int) -> None:
        """Begin the next expression, which takes `amount` steps at once."""
        self.total -= MAX_STEPS - self.steps + 1
        self.steps = MAX_STEPS - amount
        if self.steps < 0 or self.total < 0:
            self._refuse()

    @property
    def used(self) -> int:
        """How many steps have been taken, all together."""
        return MAX_TOTAL_STEPS - self.total + MAX_STEPS - self.steps

    def charge(self, amount: int) -> None:
        """Count `amount` steps that were spared."""
        self.total -= amount

    def _refuse(self) -> NoReturn:
        if self.total >= 0:
            raise Complaint("expression", "too much work for an expression")
        raise Complaint("limit", "too much work for the expressions of one spec", final=True)
