"""The closed table of ops. An op is listed at the end of its file, and nowhere else."""

from __future__ import annotations

from archspec.ops import activation, conv, dropout, layout, linear, merge, norm, pool
from archspec.ops.base import Op

FAMILIES: dict[str, tuple[type[Op], ...]] = {
    "convolution": conv.OPS,
    "linear": linear.OPS,
    "normalisation": norm.OPS,
    "activation": activation.OPS,
    "pooling": pool.OPS,
    "merge": merge.OPS,
    "layout": layout.OPS,
    "dropout": dropout.OPS,
}
"""The ops by family, in the order in which the documentation lists them."""

OPS: dict[str, type[Op]] = {op.op: op for family in FAMILIES.values() for op in family}
"""Every op by its name in a spec."""

__all__ = ["FAMILIES", "OPS"]
