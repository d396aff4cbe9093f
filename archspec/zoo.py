"""The networks that come with archspec."""

from __future__ import annotations

import os

from archspec.document import Document, zoo_files


def list_specs() -> tuple[str, ...]:
    """Return the names of the zoo's specs, in alphabetical order."""
    return tuple(zoo_files())


def family(document: Document) -> str:
    """Return the name of the spec at the head of a zoo spec's family, which extends no other."""
    head = document.bases[-1] if document.bases else document.source.name
    return os.path.splitext(os.path.basename(head))[0]
