"""How many layers a program makes at least, before any is made."""

from __future__ import annotations

from archspec.program.steps import NOTHING, CallStep, ScopeStep, Step


def oversized(steps: list[Step], limit: int, levels: int, conditional: bool = False) -> Step | None:
    """Return the step with which a network passes `limit` layers, whatever its params are; None if it may stay below.

    Scopes deeper than `levels` are refused anyhow, and count nothing. With `conditional`, every condition is taken to
    hold, and what an expression repeats is counted once.
    """
    counter, count = _Counter(conditional, levels), 0
    for step in steps:
        count += counter.count(step, 1)
        if count > limit:
            return step
    return None


class _Counter:
    """Counts layers without making any; each block once."""

    def __init__(self, conditional: bool, levels: int) -> None:
        self.conditional, self.levels = conditional, levels
        self.blocks: dict[int, int] = {}

    def count(self, step: Step, level: int) -> int:
        """Return how many layers a step makes."""
        if step.broken or level > self.levels or step.when is not None and not self.conditional:
            return 0
        if isinstance(step, ScopeStep):
            return self._copies(step) * self._sum(step.steps, level)
        if isinstance(step, CallStep) and step.block is not None:
            if id(step.block) not in self.blocks:
                self.blocks[id(step.block)] = self._sum(step.block.steps, level)
            return self._copies(step) * self.blocks[id(step.block)]
        return self._copies(step)

    def _sum(self, steps: list[Step], level: int) -> int:
        return sum([self.count(step, level + 1) for step in steps])

    def _copies(self, step: Step) -> int:
        if step.repeat is None:
            return 1
        if not step.repeat.count.constant:
            return int(self.conditional)
        count = step.repeat.count.evaluate(NOTHING)
        return len(count) if isinstance(count, list) else max(count, 0) if type(count) is int else 0
