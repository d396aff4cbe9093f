"""What is wrong with a network, collected while it is elaborated."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from archspec.elaborate.limits import TooLarge
from archspec.errors import MAX_FINDINGS, Complaint, Diagnostic, Findings
from archspec.expressions import UnknownShape
from archspec.graph import Scope

T = TypeVar("T")


class ScopedFindings(Findings):
    """Findings that name the scopes around them; TooLarge ends the elaboration once there are too many.

    `warnings` are findings too, about what is allowed, but may surprise.
    """

    def __init__(self, diagnostics: Iterable[Diagnostic] = ()) -> None:
        super().__init__(diagnostics)
        self.warnings = Findings()

    def complain(self, fault: Complaint, scope: Scope | None = None) -> None:
        """Tell of a mistake in the scope `scope`. Raises: TooLarge if it is one too many, or beyond a limit."""
        self.add(fault, partial(_notes, scope))
        if self.full or fault.final:
            raise TooLarge

    def warn(self, fault: Complaint, scope: Scope | None = None) -> None:
        """Tell of what is allowed in the scope `scope`, but may surprise; once for a place."""
        self.warnings.add(fault, partial(_notes, scope))

    def warned(self) -> tuple[Diagnostic, ...]:
        """Return the warnings."""
        return tuple([replace(found, severity="warning") for found in self.warnings.found[:MAX_FINDINGS]])

    def guarded(self, action: Callable[[], T], scope: Scope | None = None) -> T | None:
        """Return the result of `action`; None where it fails, which is told."""
        try:
            return action()
        except Complaint as fault:
            self.complain(fault, scope)
        except UnknownShape:
            pass
        return None

    def only(self, code: str) -> bool:
        """Return whether nothing was found, or what has this code."""
        return all(diagnostic.code == code for diagnostic in self.found)

    def told(self) -> tuple[Diagnostic, ...]:
        """Return the findings as they stand in the files, no more than a person can read."""
        # What is not used may have been meant where a mistake stands.
        found = [diagnostic for diagnostic in self.found if diagnostic.code != "unused"] or self.found
        files = {diagnostic.span.source.name: None for diagnostic in found if diagnostic.span}
        order = {name: position for position, name in enumerate(files)}
        places = [(order[d.span.source.name], d.span.line, d.span.column) if d.span else (-1, 0, 0) for d in found]
        told = [found[position] for position in sorted(range(len(found)), key=places.__getitem__)]
        if len(told) > MAX_FINDINGS:
            told[MAX_FINDINGS:] = [Diagnostic("limit", f"more than {MAX_FINDINGS} mistakes; these are the first")]
        return tuple(told)


def _notes(scope: Scope | None) -> tuple[str, ...]:
    """Return what tells the scopes around a mistake: the blocks and the copies of repeats."""
    return tuple(str(each) for each in scope.chain() if each.block or each.copy) if scope else ()
