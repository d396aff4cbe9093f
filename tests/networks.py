"""Networks of the zoo at inputs that are quick to compute."""

from __future__ import annotations

from typing import Any

import archspec

ZOO = archspec.list_specs()


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
