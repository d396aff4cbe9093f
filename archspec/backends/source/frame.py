"""Where steps are planned."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import Any

from archspec.backends.source.context import CannotPlan, ClassContext, LoopContext
from archspec.backends.source.items import Val
from archspec.backends.source.translate import translated, tree_of
from archspec.expressions import Environment
from archspec.program.steps import Value


class Frame:
    """Where steps are planned: the rows at hand (`active`), the values in sight, and the one before (`previous`).

    In a `chain`, every step reads the one before and nothing else; `named` where its modules have names other than
    their positions.
    """

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
        """The value that has these paths in these rows; CannotPlan where none in sight has them all."""
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

    def channels(self, paths: list[str]) -> list[ast.expr]:
        """Expressions for the channels of the value with these paths; none where it is not in sight."""
        try:
            return self.find(self.active, paths).channels
        except CannotPlan:
            return []

    def translated(self, value: Value | None, environments: dict[int, Environment]) -> ast.expr | None:
        """A value of the spec as code; `environments` are what it sees, by row. None where it has no syntax."""
        tree = tree_of(value) if value is not None else None
        return None if tree is None else translated(tree, self.context, self.active, environments, self.channels)

    def narrowed(self, active: Sequence[int]) -> Frame:
        """The same for some of the rows only."""
        return Frame(self.context, active, self.vals, self.previous, chain=self.chain, named=self.named)

    def mark(self) -> Any:
        """Where planning stands, to come back to."""
        return len(self.vals), self.previous, self.context.snapshot()

    def back(self, mark: Any) -> None:
        """Forget what was planned since."""
        del self.vals[mark[0] :]
        self.previous = mark[1]
        self.context.restore(mark[2])

    def add(self, val: Val) -> None:
        """Bring the result of a step in sight, for the next to read."""
        self.vals.append(val)
        self.previous = val
