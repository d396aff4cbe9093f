"""What is wrong with a network, collected while it is elaborated."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from archspec.elaborate.limits import TooLarge
from archspec.errors import MAX_FINDINGS, Complaint, Diagnostic, Span
from archspec.expressions import UnknownShape
from archspec.graph import Scope

T = TypeVar("T")


class Findings:
    """Mistakes, at most one for a place: what else is found there follows from the first."""

    def __init__(self, diagnostics: Iterable[Diagnostic] = ()) -> None:
        self.found: list[Diagnostic] = []
        self.warnings: list[Diagnostic] = []
        self.places: set[tuple[Any, ...]] = set()
        self.warned: set[tuple[Any, ...]] = set()
        for diagnostic in diagnostics:
            self._add(diagnostic)

    def complain(self, fault: Complaint, scope: Scope | None = None) -> None:
        """Tell of a mistake in the scope `scope`; TooLarge where it is one too many."""
        if _place(fault.span, fault.message) in self.places:
            return
        self._add(fault.diagnostic(_notes(scope)))
        if len(self.found) > MAX_FINDINGS:
            raise TooLarge

    def warn(self, fault: Complaint, scope: Scope | None = None) -> None:
        """Tell of what is allowed in the scope `scope`, but may surprise; once for a place."""
        place = _place(fault.span, fault.message)
        if place not in self.warned and len(self.warned) < MAX_FINDINGS:
            self.warned.add(place)
            self.warnings.append(replace(fault.diagnostic(_notes(scope)), severity="warning"))

    def _add(self, diagnostic: Diagnostic) -> None:
        place = _place(diagnostic.span, diagnostic.message)
        if place not in self.places:
            self.places.add(place)
            self.found.append(diagnostic)

    def guarded(self, action: Callable[[], T], scope: Scope | None = None) -> T | None:
        """The result of `action`; None where it fails, which is told."""
        try:
            return action()
        except Complaint as fault:
            self.complain(fault, scope)
        except UnknownShape:
            pass
        return None

    def only(self, code: str) -> bool:
        """Whether nothing was found, or what has this code."""
        return all(diagnostic.code == code for diagnostic in self.found)

    def told(self) -> tuple[Diagnostic, ...]:
        """The findings as they stand in the files, no more than a person can read."""
        # What is not used may have been meant where a mistake stands.
        found = [diagnostic for diagnostic in self.found if diagnostic.code != "unused"] or self.found
        files = {diagnostic.span.source.name: None for diagnostic in found if diagnostic.span}
        order = {name: position for position, name in enumerate(files)}
        places = [(order[d.span.source.name], d.span.line, d.span.column) if d.span else (-1, 0, 0) for d in found]
        told = [found[position] for position in sorted(range(len(found)), key=places.__getitem__)]
        if len(told) > MAX_FINDINGS:
            told[MAX_FINDINGS:] = [Diagnostic("limit", f"more than {MAX_FINDINGS} mistakes; these are the first")]
        return tuple(told)

    def __len__(self) -> int:
        return len(self.found)


def _notes(scope: Scope | None) -> tuple[str, ...]:
    return tuple(str(each) for each in scope.chain() if each.block or each.copy) if scope else ()


def _place(span: Span | None, message: str) -> tuple[Any, ...]:
    return (span.source.name, span.line, span.column) if span else (message,)
