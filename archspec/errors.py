"""Findings: what is wrong with a spec, where, and how to fix it; and the known word nearest to a misspelt one.

A `Diagnostic` is one finding with a stable code and, where there is a place to point at, a `Span`.
A `SpecError` carries every finding of a failed call, not just the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

CODES = {
    "alias": "an anchor, alias or merge key; use `blocks` and `params` instead",
    "argument": "an argument that is unknown, missing or not allowed",
    "block": "a block that has the name of an op, or is defined twice",
    "cycle": "something that leads back to itself: blocks, params, `extends`, `include`",
    "depth": "nesting deeper than the limit",
    "document": "a file that is not one YAML mapping with `input` and `layers`",
    "duplicate": "a key that is given twice in one mapping",
    "encoding": "text that is not valid UTF-8, or has control characters",
    "expect": "a figure that differs from `expect`",
    "expression": "a `$name` or `${...}` that is malformed, forbidden, too costly, or fails",
    "file": "a file that cannot be read or written",
    "import": "something of an imported network that a spec cannot express",
    "key": "a mapping key that is unknown or not text",
    "limit": "a number, file or network beyond the size limits",
    "merge": "warning: a merge that reads other values than it seems to",
    "name": "a name that is not valid, or already taken",
    "number": "NaN or infinity",
    "op": "an unknown op or block, or a step of another form",
    "path": "a file outside the folder tree of the spec",
    "reference": "a `from` or output that does not name an earlier step",
    "shape": "shapes that do not fit",
    "statistics": "warning: batch statistics over a single value",
    "syntax": "text that is not YAML",
    "tag": "a YAML tag",
    "type": "a value of the wrong type",
    "unused": "a step or input that reaches no output, a param that no expression mentions",
    "usage": "a wrong call: an unknown option, or a value that does not fit",
    "value": "a value out of its bounds",
}

MAX_FINDINGS = 100
"""How many mistakes of one spec are reported."""

MAX_TEXT = 1_000
"""Characters of a message or a help text."""
MAX_CANDIDATES = 500
"""How many known words a misspelt one is compared with."""
MAX_WORD = 50
"""Characters of a word that is compared: names are shorter, and the comparison is quadratic."""


class Source:
    """A spec's text and the name under which messages show it."""

    __slots__ = ("name", "text", "_lines")

    def __init__(self, name: str, text: str = "") -> None:
        self.name = name
        self.text = text
        self._lines: list[str] | None = None

    def line(self, number: int) -> str:
        """Line `number`, counted from 1; empty where there is none."""
        if self._lines is None:
            self._lines = self.text.splitlines()
        return self._lines[number - 1] if 0 < number <= len(self._lines) else ""

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.name, self.text))

    def __repr__(self) -> str:
        return f"Source({self.name!r})"


class Span(NamedTuple):
    """A place in a spec: line and column from 1, and how many characters it covers."""

    source: Source
    line: int
    column: int
    width: int = 1

    @classmethod
    def behind(cls, source: Source, before: str) -> Span:
        """Return the place right behind `before`, which the source starts with."""
        lines = f"{before}|".splitlines()
        return cls(source, len(lines), len(lines[-1]))

    def __str__(self) -> str:
        return f"{printable(self.source.name)}:{self.line}:{self.column}"

    def to_dict(self) -> dict[str, Any]:
        """Return the place as plain data: file, line, column."""
        return {"file": self.source.name, "line": self.line, "column": self.column}


@dataclass(frozen=True)
class Diagnostic:
    """One finding. `severity` is `error` or `warning`; `code` is a key of `CODES`."""

    code: str
    message: str
    span: Span | None = None
    notes: tuple[str, ...] = ()
    help: str | None = None
    severity: str = "error"

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"{self.code!r} is not a diagnostic code")
        for name, text in (("message", self.message), ("help", self.help)):
            if text and len(text) > MAX_TEXT:  # a spec may hold a word of a million letters
                object.__setattr__(self, name, f"{text[:MAX_TEXT]}...")

    def render(self) -> str:
        """Return the finding as plain text, with the line it points at."""
        lines = [f"{self.severity}[{self.code}]: {printable(self.message)}"]
        if self.span:
            lines += self._excerpt(self.span)
        lines += [f"   = {printable(note)}" for note in self.notes]
        if self.help:
            lines.append(f"   = help: {printable(self.help)}")
        return "\n".join(lines)

    @staticmethod
    def _excerpt(span: Span) -> list[str]:
        text = span.source.line(span.line)
        if not text:
            return [f"  --> {span}"]
        start, gutter = 0, len(str(span.line))
        if len(text) > 160:  # keep the place in view on very long lines
            start = max(0, span.column - 60)
            text = text[start : start + 160]
        column = span.column - 1 - start
        marked = printable(text[column : column + span.width])
        before = "".join("\t" if c == "\t" else " " * len(printable(c)) for c in text[:column])
        shown = printable(text, keep="\t")
        return [
            f"{' ' * gutter} --> {span}",
            f"{' ' * gutter} |",
            f"{span.line} | {shown}",
            f"{' ' * gutter} | {before}{'^' * max(1, len(marked))}",
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as plain data, for JSON."""
        return {
            "severity": self.severity,
            "code": self.code,
            "message": self.message,
            "notes": list(self.notes),
            "help": self.help,
            "source": self.span.to_dict() if self.span else None,
        }


Help = str | Callable[[], str | None] | None
"""A help text, or what works it out: a suggestion takes longer than the finding that it is for."""


class Complaint(Exception):
    """One thing that is wrong, inside of the compiler: it becomes a `Diagnostic` once its place is known.

    `argument` names the argument of an op that is to blame, where there is one. `final` tells that the spec is beyond a
    limit, and that nothing more is looked at. The same mistake may be met a million times, so what takes long to say is
    worked out by `diagnostic`, for a complaint that is told.
    """

    def __init__(
        self,
        code: str,
        message: str,
        help: Help = None,
        *,
        span: Span | None = None,
        argument: str | None = None,
        final: bool = False,
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.help, self.span = code, message, help, span
        self.argument, self.final = argument, final
        self.words: Callable[[], tuple[str, str | None]] | None = None
        self.notes: tuple[str, ...] = ()
        """What the finding says of itself, before the scopes around it."""

    @classmethod
    def later(cls, code: str, words: Callable[[], tuple[str, str | None]], span: Span) -> Complaint:
        """Return a complaint whose message and help are worked out only if it is told."""
        found = cls(code, "", span=span)
        found.words = words
        return found

    def at(self, span: Span | None, prefix: str = "") -> Complaint:
        """Return the complaint located at `span`, its message behind `prefix`; a place that it has already is kept."""
        if self.words is not None:
            return self  # it has a place
        place = self.span or span
        message = prefix + self.message
        found = Complaint(self.code, message, self.help, span=place, argument=self.argument, final=self.final)
        found.notes = self.notes
        return found

    def diagnostic(self, notes: tuple[str, ...] = ()) -> Diagnostic:
        """Return the finding to tell the user."""
        message, help = self.words() if self.words is not None else (self.message, self.help)
        return Diagnostic(self.code, message, self.span, (*self.notes, *notes), help() if callable(help) else help)


class Findings:
    """What is wrong with one spec: one finding for a place, and no more of them than a person can read.

    Every stage keeps its findings here. What else is found at a place follows from the first mistake there. The words
    of a finding are worked out when it is kept, so that this work is bounded by `MAX_FINDINGS` however often a mistake
    is met. One finding more than that is kept, to show that there are more.
    """

    def __init__(self, diagnostics: Iterable[Diagnostic] = ()) -> None:
        self.found: list[Diagnostic] = []
        self.count = 0
        """How many were added, kept or not."""
        self._places: set[object] = set()
        for diagnostic in diagnostics:
            self.add(diagnostic)

    @property
    def full(self) -> bool:
        """Whether no more are kept."""
        return len(self.found) > MAX_FINDINGS

    def add(self, finding: Diagnostic | Complaint, notes: Callable[[], tuple[str, ...]] = tuple) -> None:
        """Keep a finding, unless there is one at its place or there are enough; `notes` makes those of a complaint."""
        self.count += 1
        span = finding.span
        place = (span.source.name, span.line, span.column) if span else finding.message
        if self.full or place in self._places:
            return
        self._places.add(place)
        self.found.append(finding if isinstance(finding, Diagnostic) else finding.diagnostic(notes()))

    def __len__(self) -> int:
        return len(self.found)


class SpecError(Exception):
    """A spec that is wrong, or cannot be read.

    `diagnostics` holds every finding; `partial` the network as far as it is sound, where there is that much.
    """

    def __init__(self, diagnostics: Iterable[Diagnostic] | Diagnostic, partial: Any = None) -> None:
        found = (diagnostics,) if isinstance(diagnostics, Diagnostic) else tuple(diagnostics)
        self.diagnostics: tuple[Diagnostic, ...] = found
        self.partial = partial
        super().__init__("\n\n".join(d.render() for d in found))

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.diagnostics, self.partial))


class UsageError(SpecError):
    """A call that is wrong whatever the spec says (exit status 2 on the command line)."""

    def __init__(self, message: str, help: str | None = None) -> None:
        super().__init__(Diagnostic("usage", message, help=help))

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.diagnostics[0].message, self.diagnostics[0].help))


def printable(text: str, keep: str = "") -> str:
    """Return `text` with every character that could steer a terminal as its escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _escape(c) for c in text)


def brief(value: object, most: int = 60) -> str:
    """Return what a caller gave, as a message shows it: whatever it is, and however large."""
    try:
        text = repr(value)
    except Exception:  # an integer of 5,000 digits, or an object with a faulty `__repr__`
        text = f"<{type(value).__name__}>"
    return text if len(text) <= most else f"{text[:most]}..."


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word most like `word`, or None where nothing comes close.

    It looks at the first `MAX_CANDIDATES` words, and at no long ones.
    """
    import difflib

    matcher = difflib.SequenceMatcher(b=word[:MAX_WORD].lower())

    def likeness(candidate: str, measure: Callable[[], float]) -> float:
        matcher.set_seq1(candidate.lower())
        return measure()

    # The exact measure takes long; a quick one finds those that are worth it.
    candidates = [candidate for candidate in islice(known, MAX_CANDIDATES) if len(candidate) <= MAX_WORD]
    candidates.sort(key=lambda candidate: -likeness(candidate, matcher.quick_ratio))
    best = max(candidates[:10], key=lambda candidate: likeness(candidate, matcher.ratio), default="")
    return best if best and likeness(best, matcher.ratio) >= 0.6 else None


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return a help text for a misspelt word: the nearest known one, or a short list of them all.

    It takes milliseconds: a `Complaint` takes it as `partial(did_you_mean, word, known)`.
    """
    known = list(dict.fromkeys(islice(known, MAX_CANDIDATES)))
    near = nearest(word, known)
    if near:
        return f"did you mean `{near}`?"
    if 0 < len(known) <= 16:
        return f"available: {listed(known)}"
    return None


def listed(words: Sequence[str]) -> str:
    """Return `a, b and c`, each in backquotes."""
    quoted = [f"`{word}`" for word in words]
    if len(quoted) < 2:
        return "".join(quoted)
    return f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def kind_of(value: object) -> str:
    """Return a value as messages name it: `the text 'abc'`, `the float 2.5`, `a list`."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, int):
        return f"the integer {value}"
    if isinstance(value, float):
        return f"the float {value}"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    return "a mapping" if isinstance(value, Mapping) else "a list" if isinstance(value, Sequence) else "a tensor"
