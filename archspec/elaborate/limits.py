"""The limits of a network, and how much of each has been spent while it is elaborated.

Beyond one of them the elaboration ends: what a network is in a part of it says little of the rest, and may take long.
"""

from __future__ import annotations

from types import TracebackType
from typing import NamedTuple

from archspec.errors import Complaint, Span
from archspec.expressions import MAX_TOTAL_STEPS
from archspec.expressions.values import Budget

MAX_NODES = 1_000_000
"""Layers and scopes, those that are left out included."""
MAX_SCOPE_COUNT = 100_000
"""Blocks and `sequential`s, each copy of one included. A scope takes ten times what a layer takes."""
MAX_CONDITIONS = 200_000
"""Copies of repeated steps whose condition is asked one by one."""
MAX_EDGES = 4_000_000
MAX_SCOPES = 30
"""How deep blocks, `sequential` and `inline` may stand in one another. `show` writes three levels of YAML for each."""
MAX_PATH = 1_000
"""Characters in the path of a scope."""


MAX_FAILURES = 100
"""How often a step is found wrong before it is left alone: the other times are as these."""


class TooLarge(Exception):
    """The network, or the number of its mistakes, is beyond the limits; elaboration ends."""


class Spent(NamedTuple):
    """What one scope spends: nodes, conditions, edges and expression steps, and how far it reaches.

    `levels` counts the scopes that stand in one another in it, `reach` how many characters the longest path in it has
    more than its own.
    """

    nodes: int
    scopes: int
    conditions: int
    edges: int
    steps: int
    levels: int
    reach: int


class Limits:
    """Counters of what a network has spent. `budget` counts the steps of its expressions."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.nodes = self.scopes = self.conditions = self.edges = 0
        self.level = self.deepest = self.longest = 0

    def exceeded_by(self, nodes: int) -> bool:
        """Return whether `nodes` more layers and scopes would be too many."""
        return self.nodes + nodes > MAX_NODES

    def add_scopes(self, count: int, span: Span) -> None:
        """Count scopes. Raises: Complaint if there are too many."""
        self.scopes += count
        self.check_scopes(0, span)

    def check_scopes(self, more: int, span: Span) -> None:
        """Check whether there may be that many more scopes. Raises: Complaint if that is too many."""
        if self.scopes + more > MAX_SCOPE_COUNT:
            message = f"the network has more than {MAX_SCOPE_COUNT:,} blocks and `sequential`s"
            raise Complaint("limit", message, span=span, final=True)

    def add_edges(self, count: int, span: Span) -> None:
        """Count edges that a step reads. Raises: Complaint if there are too many."""
        self.edges += count
        if self.edges > MAX_EDGES:
            raise Complaint("limit", f"the network has more than {MAX_EDGES:,} edges", span=span, final=True)

    def add_conditions(self, count: int, span: Span) -> None:
        """Count conditions that are asked. Raises: Complaint if there are too many."""
        self.conditions += count
        if self.conditions > MAX_CONDITIONS:
            raise Complaint("limit", f"more than {MAX_CONDITIONS:,} copies with a condition", span=span, final=True)

    def add_path(self, path: str, span: Span) -> None:
        """Note the path of a scope. Raises: Complaint if it is too long."""
        self.longest = max(self.longest, len(path))
        if len(path) > MAX_PATH:
            raise Complaint("limit", f"a path of more than {MAX_PATH:,} characters", span=span, final=True)

    def enter(self, span: Span) -> None:
        """Go one scope deeper; `leave` comes back. Raises: Complaint if that is too deep."""
        if self.level >= MAX_SCOPES:
            raise Complaint("depth", f"scopes nested more than {MAX_SCOPES} levels deep", span=span, final=True)
        self.level += 1
        self.deepest = max(self.deepest, self.level)

    def leave(self) -> None:
        """Come back from the scope that `enter` went into."""
        self.level -= 1

    def measure(self, path: str) -> Measurement:
        """Measure what the scope at `path` spends: `with limits.measure(path) as measurement: ...`."""
        return Measurement(self, path)

    def allow(self, spent: Spent, path: str) -> bool:
        """Return whether a scope at `path` that spends this much passes no limit."""
        return (
            self.nodes + spent.nodes <= MAX_NODES
            and self.scopes + spent.scopes <= MAX_SCOPE_COUNT
            and self.conditions + spent.conditions <= MAX_CONDITIONS
            and self.edges + spent.edges <= MAX_EDGES
            and self.budget.used + spent.steps <= MAX_TOTAL_STEPS
            and self.level + spent.levels <= MAX_SCOPES
            and len(path) + spent.reach <= MAX_PATH
        )

    def charge(self, spent: Spent, path: str) -> None:
        """Count a scope at `path` that is copied instead of elaborated."""
        self.deepest = max(self.deepest, self.level + spent.levels)
        self.longest = max(self.longest, len(path) + spent.reach)
        self.nodes += spent.nodes
        self.scopes += spent.scopes
        self.conditions += spent.conditions
        self.edges += spent.edges
        self.budget.charge(spent.steps)


class Measurement:
    """What is spent between entering and leaving a `with`; `spent` is there afterwards."""

    __slots__ = ("limits", "path", "before", "deepest", "longest", "spent")

    def __init__(self, limits: Limits, path: str) -> None:
        self.limits, self.path = limits, path

    def __enter__(self) -> Measurement:
        limits = self.limits
        self.before = (limits.nodes, limits.scopes, limits.conditions, limits.edges, limits.budget.used)
        self.deepest, self.longest = limits.deepest, limits.longest
        limits.deepest, limits.longest = limits.level, len(self.path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        limits = self.limits
        nodes, scopes, conditions, edges, steps = self.before
        self.spent = Spent(
            limits.nodes - nodes,
            limits.scopes - scopes,
            limits.conditions - conditions,
            limits.edges - edges,
            limits.budget.used - steps,
            limits.deepest - limits.level,
            limits.longest - len(self.path),
        )
        limits.deepest = max(self.deepest, limits.deepest)
        limits.longest = max(self.longest, limits.longest)
