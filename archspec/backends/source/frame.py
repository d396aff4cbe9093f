"""Where steps are planned."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import Any

from archspec.backends.source.context import CannotPlan, ClassContext, LoopContext
from archspec.backends.source.items import Val


class Frame:
    """Where steps are planned: the rows at hand, and the values in sight."""

    def __init__(
        self,
        context: ClassContext | LoopContext,
        active: Sequence[int],
        vals: list[Val],
        previous: Val,
        *,
        chain: bool,
        named: bool = False,
    ) -> None:
        self.context, self.active, self.vals, self.previous = context, list(active), vals, previous
        self.chain, self.named = chain, named

    def find(self, rows: Iterable[int], paths: Iterable[str]) -> Val:
        wanted = list(zip(rows, paths, strict=True))
        for val in (self.previous, *reversed(self.vals)):
            if not val.ghost and all(val.paths.get(row) == path for row, path in wanted):
                return val
        raise CannotPlan

    def find_or_ghost(self, rows: list[int], paths: list[str]) -> Val:
        """As `find`, for a value that perhaps nothing reads."""
        try:
            return self.find(rows, paths)
        except CannotPlan:
            return Val(dict(zip(rows, paths, strict=True)), ghost=True)

    def channels(self, active: Sequence[int]) -> Any:
        def found(paths: list[str]) -> list[ast.expr]:
            try:
                return self.find(active, paths).channels
            except CannotPlan:
                return []

        return found

    def under(self, active: Sequence[int]) -> Frame:
        return Frame(self.context, active, self.vals, self.previous, chain=self.chain, named=self.named)

    def mark(self) -> Any:
        """Where planning stands, to come back to."""
        return len(self.vals), self.previous, self.context.snapshot()

    def back(self, mark: Any) -> None:
        """Forget what was planned since."""
        del self.vals[mark[0] :]
        self.previous = mark[1]
        self.context.restore(mark[2])

    def add(self, val: Val) -> Val:
        self.vals.append(val)
        self.previous = val
        return val
