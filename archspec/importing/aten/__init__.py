"""What each op of ATen is in archspec: one rule an op, in `RULES`, each family in a file of its own.

A rule gets the reader and the arguments of the call. Tensors come as views, parameters and buffers as `Tensor`.
"""

from __future__ import annotations

from archspec.importing.aten import (
    activations,
    arithmetic,
    arranging,
    attention,
    layers,
    parts,
    pooling,
    tables,
)
from archspec.importing.aten.common import RULES

FAMILIES = (arranging, parts, layers, activations, arithmetic, pooling, attention, tables)
"""The files whose rules are in the table: importing them puts them there."""

__all__ = ["FAMILIES", "RULES"]
