"""The closed table of ops.

To add an op: write one class in the file of its family, and name it in the tuple `OPS` at the end of that file. Nothing
else knows an op by name. To try one out first, or in a test, `registered` adds it for the time of a `with` block.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from archspec.ops import (
    activation,
    arithmetic,
    attention,
    conv,
    dropout,
    free,
    layout,
    linear,
    merge,
    norm,
    pool,
    tokens,
)
from archspec.ops.base import Op

FAMILIES: dict[str, tuple[type[Op], ...]] = {
    "convolution": conv.OPS,
    "linear": linear.OPS,
    "normalisation": norm.OPS,
    "activation": activation.OPS,
    "pooling": pool.OPS,
    "merge": merge.OPS,
    "arithmetic": arithmetic.OPS,
    "layout": layout.OPS,
    "attention": attention.OPS,
    "tokens": tokens.OPS,
    "dropout": dropout.OPS,
    "free tensors": free.OPS,
}
"""The ops by family, in the order in which the documentation lists them."""

OPS: dict[str, type[Op]] = {op.op: op for family in FAMILIES.values() for op in family}
"""Every op by its name in a spec."""


def table() -> tuple[type[Op], ...]:
    """Return every op at this moment, as a key for caches of what depends on them."""
    return tuple(OPS.values())


@contextmanager
def registered(*ops: type[Op], family: str = "custom") -> Iterator[None]:
    """Add ops to the table while a `with` block runs, in all threads.

    Schema, checks, reference and back ends know them there as they know any other op; a network that was loaded there
    keeps working afterwards.

        with registered(MyOp):
            archspec.load("mine.yaml").analyze()

    Raises: ValueError if an op has no name, or one that is taken.
    """
    names = [op.op for op in ops]
    for at, name in enumerate(names):
        if not name.isidentifier() or name in OPS or name in names[:at]:
            raise ValueError(f"an op needs a name of its own, got {name!r}")
    before = FAMILIES.get(family, ())
    OPS.update(zip(names, ops, strict=True))
    FAMILIES[family] = (*before, *ops)
    try:
        yield
    finally:
        for name in names:
            del OPS[name]
        if before:
            FAMILIES[family] = before
        else:
            del FAMILIES[family]


__all__ = ["FAMILIES", "OPS", "registered", "table"]
