"""The networks that come with archspec."""

from __future__ import annotations

from archspec.document import zoo_files


def list_specs() -> tuple[str, ...]:
    """Return the names of the zoo's specs, in alphabetical order."""
    return tuple(zoo_files())
