"""What an expression may make: the bounds of values, and how it fails."""

from __future__ import annotations

import math
from typing import Any, NoReturn

from archspec.errors import Complaint
from archspec.shapes import LIMIT

MAX_LENGTH = 1_000
MAX_ITEMS = 10_000
MAX_STEPS = 100_000
MAX_TOTAL_STEPS = 4_000_000


class UnknownShape(Exception):
    """The expression asks for a value, or a tensor's shape, that is already in error; no second complaint is due."""


UNKNOWN: Any = object()
"""The value of a param that is in error."""
MISSING: Any = object()
"""What stands for the value of a name that is not there."""


def checked(value: Any) -> Any:
    """`value`, if it is within the bounds of a spec's values."""
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
    """A value that stands inside text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Complaint("expression", "expected text or a number inside text")
    return str(value)


def weight(value: Any) -> int:
    """How many values a list or mapping holds, those within them included; counting ends at the limit."""
    stack, count = [value], 0
    while stack:
        items = stack.pop()
        count += len(items)
        if count > MAX_ITEMS:
            raise Complaint("expression", f"the list has more than {MAX_ITEMS} values")
        inner = items.values() if isinstance(items, dict) else items
        stack.extend(item for item in inner if isinstance(item, list | dict))
    return count


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
        raise Complaint("limit" if self.total < 0 else "expression", "too much work for an expression")
