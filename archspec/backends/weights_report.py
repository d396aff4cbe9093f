"""The report of what of a file of weights goes into a model, and what does not."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from archspec.errors import Diagnostic, SpecError, printable

_SHOWN = 8
"""How many names a line lists."""


@dataclass(frozen=True)
class Mismatch:
    """A tensor whose shape or dtype is not the model's; both as text."""

    key: str
    file: str
    model: str

    def __str__(self) -> str:
        return f"{self.key} ({self.file} in the file, {self.model} in the model)"


@dataclass(frozen=True)
class WeightsReport:
    """What of a file goes into a model.

    `missing`, `loaded`, `kept`, `parametrized` and `left_out` are keys of the model, `unexpected` and `ignored` of the
    file, `renamed` pairs of both.
    """

    path: str
    loaded: tuple[str, ...]
    missing: tuple[str, ...] = ()
    """In the model, but not in the file."""
    unexpected: tuple[str, ...] = ()
    """In the file, but not in the model."""
    reshaped: tuple[Mismatch, ...] = ()
    """Loaded, though the shapes differ in axes of 1 or by a `flatten`; not a fault."""
    wrong_shape: tuple[Mismatch, ...] = ()
    wrong_dtype: tuple[Mismatch, ...] = ()
    left_out: tuple[str, ...] = ()
    """Not loaded on purpose (`leave_out`)."""
    parametrized: tuple[str, ...] = ()
    """Loaded through a parametrisation (torch.nn.utils.parametrize), which may make other numbers of them."""
    ignored: tuple[str, ...] = ()
    """The file's tensors that belong there, that the name map drops, or that a network of features has no place for."""
    kept: tuple[str, ...] = ()
    """Batch norm's counters, which old files do not have; not a fault, as in torch."""
    renamed: tuple[tuple[str, str], ...] = ()
    """Names in the file, and what they are called in the model, where these differ."""
    not_finite: tuple[str, ...] = ()
    """Keys of the model that get a NaN or an infinity; not a fault, since the file may mean it."""
    network: str | None = None
    """The name of the network that the file was written for, where its header tells."""

    @property
    def fits(self) -> bool:
        """Whether there is nothing to complain about."""
        return not (self.missing or self.unexpected or self.wrong_shape or self.wrong_dtype)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {**asdict(self), "fits": self.fits}

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Return one finding for each kind of fault."""
        faults: list[tuple[str, str, tuple[object, ...], str | None]] = [
            ("key", "missing in the file", self.missing, "`leave_out` keeps a new head; `map` renames"),
            ("key", "unexpected in the file", self.unexpected, "`map` renames or drops names"),
            ("shape", "of another shape", self.wrong_shape, "`leave_out` keeps a new head"),
            ("type", "of another dtype", self.wrong_dtype, "`cast` converts between floating-point types"),
        ]
        notes = (f"the file holds weights of {self.network}",) if self.network else ()
        return tuple(
            Diagnostic(code, f"{self.path}: {len(found)} {what}: {_some(found)}", notes=notes, help=help)
            for code, what, found, help in faults
            if found
        )

    def __str__(self) -> str:
        parts = {
            "loaded": self.loaded,
            "missing": self.missing,
            "unexpected": self.unexpected,
            "reshaped": self.reshaped,
            "parametrized": self.parametrized,
            "wrong shape": self.wrong_shape,
            "wrong dtype": self.wrong_dtype,
            "left out": self.left_out,
            "ignored": self.ignored,
            "kept": self.kept,
            "not finite": self.not_finite,
        }
        lines = [f"{'written for':18}  {self.network}"] if self.network else []
        lines += [
            f"{what:12}{len(found):6}" + (f"  {_some(found)}" if what != "loaded" else "")
            for what, found in parts.items()
            if found or what == "loaded"
        ]
        return "\n".join(lines)


class WeightsError(SpecError):
    """A file whose weights do not fit; `report` says how. The model is as it was."""

    def __init__(self, report: WeightsReport) -> None:
        super().__init__(report.diagnostics())
        self.report = report

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.report,)


def _some(found: tuple[object, ...]) -> str:
    more = len(found) - _SHOWN
    return ", ".join(printable(str(name)) for name in found[:_SHOWN]) + (f", and {more} more" if more > 0 else "")
