"""Networks of the zoo at inputs that are quick to compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import archspec
from archspec.document import zoo_files

ZOO = archspec.list_specs()
VARIANTS = tuple(name for name, path in zoo_files().items() if Path(path).parent.name not in ("specs", "notes"))
"""Networks that only set the params of another one."""


def sampled(*always: str) -> list[Any]:
    """Return the networks of the zoo as parameters of a test, variants with --whole only but for those named."""
    return [
        pytest.param(name, marks=pytest.mark.whole if name in VARIANTS and name not in always else ()) for name in ZOO
    ]


def resized(name: str, size: int = 64, **params: Any) -> archspec.Network:
    """Load a network of the zoo at a small input; at its own where it has no room for a smaller one."""
    own = archspec.load(name, **params)
    channels, *spatial = own.graph.inputs["input"]
    for smaller in (size, 2 * size):
        if smaller < min(spatial):
            try:
                return archspec.load(name, input=(channels, smaller, smaller), **params)
            except archspec.SpecError:
                continue
    return own
