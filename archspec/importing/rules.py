"""Tables of rules: what an operation of a source is, by its name there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Rule = Callable[..., Any]
Function = TypeVar("Function", bound=Rule)


def registering(table: dict[str, Rule]) -> Callable[..., Callable[[Function], Function]]:
    """Return a decorator that puts a function into a table, under each of the names that it is given."""

    def under(*names: str) -> Callable[[Function], Function]:
        def register(function: Function) -> Function:
            table.update(dict.fromkeys(names, function))
            return function

        return register

    return under
