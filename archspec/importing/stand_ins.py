"""Ops that stand in for modules while a network is traced: those that evaluation hides, or that torch takes apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import nn

NAMESPACE = "archspec_importing"


@torch.library.custom_op(f"{NAMESPACE}::drop_path", mutates_args=())
def drop_path(x: torch.Tensor, rate: float) -> torch.Tensor:
    """Stand for a module that drops whole samples while training."""
    return x.clone()


@drop_path.register_fake
def _(x: torch.Tensor, rate: float) -> torch.Tensor:
    return torch.empty_like(x)


@torch.library.custom_op(f"{NAMESPACE}::attention", mutates_args=())
def attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, dropout: float, bias: bool
) -> torch.Tensor:
    """Stand for `nn.MultiheadAttention`."""
    return torch.empty_like(query)


@attention.register_fake
def _(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, dropout: float, bias: bool
) -> torch.Tensor:
    return torch.empty_like(query)


@torch.library.custom_op(f"{NAMESPACE}::normalize", mutates_args=())
def normalize(x: torch.Tensor, dim: int, eps: float) -> torch.Tensor:
    """Stand for `F.normalize`."""
    return torch.empty_like(x)


@normalize.register_fake
def _(x: torch.Tensor, dim: int, eps: float) -> torch.Tensor:
    return torch.empty_like(x)


@torch.library.custom_op(f"{NAMESPACE}::window_partition", mutates_args=())
def window_partition(x: torch.Tensor, high: int, wide: int, last: bool, together: bool) -> torch.Tensor:
    """Stand for images that are cut into windows of `high * wide` places.

    Args:
        x: `[batch, height, width, channels]`, or the channels behind the batch.
        high: Rows of a window.
        wide: Columns of a window.
        last: Whether the channels stand last.
        together: Whether the windows of an image have an axis of their own, rather than each a place in the batch.
    """
    batch, height, width, channels = x.shape if last else (x.shape[0], x.shape[2], x.shape[3], x.shape[1])
    count = (height // high) * (width // wide)
    lead = (batch, count) if together else (batch * count,)
    return x.new_empty(*lead, high * wide, channels)


@window_partition.register_fake
def _(x: torch.Tensor, high: int, wide: int, last: bool, together: bool) -> torch.Tensor:
    batch, height, width, channels = x.shape if last else (x.shape[0], x.shape[2], x.shape[3], x.shape[1])
    count = (height // high) * (width // wide)
    lead = (batch, count) if together else (batch * count,)
    return x.new_empty(*lead, high * wide, channels)


@torch.library.custom_op(f"{NAMESPACE}::window_reverse", mutates_args=())
def window_reverse(x: torch.Tensor, high: int, wide: int, height: int, width: int, last: bool) -> torch.Tensor:
    """Stand for windows that are put together to images, with the channels last or behind the batch."""
    channels = x.shape[-1]
    batch = x.numel() // (height * width * channels)
    return x.new_empty(batch, *((height, width, channels) if last else (channels, height, width)))


@window_reverse.register_fake
def _(x: torch.Tensor, high: int, wide: int, height: int, width: int, last: bool) -> torch.Tensor:
    channels = x.shape[-1]
    batch = x.numel() // (height * width * channels)
    return x.new_empty(batch, *((height, width, channels) if last else (channels, height, width)))


def _drop_path(self: nn.Module, x: torch.Tensor) -> torch.Tensor:
    rate = getattr(self, "drop_prob", getattr(self, "p", 0.0))
    found: torch.Tensor = drop_path(x, float(rate or 0.0))
    return found


def _attention(
    self: nn.MultiheadAttention,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    key_padding_mask: Any = None,
    need_weights: bool = True,
    attn_mask: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[torch.Tensor, None]:
    if key_padding_mask is not None or attn_mask is not None or self.bias_k is not None:
        raise NotImplementedError("nn.MultiheadAttention with a mask, or with keys and values of its own")
    if not self.batch_first:
        query, key, value = (each.transpose(0, 1) for each in (query, key, value))
    found: torch.Tensor = attention(
        query, key, value, self.num_heads, float(self.dropout), self.in_proj_bias is not None
    )
    return (found if self.batch_first else found.transpose(0, 1)), None


@contextmanager
def standing_in(module: nn.Module) -> Iterator[None]:
    """Replace the forward methods of such modules for the time of a `with` block."""
    changed = []
    for inner in module.modules():
        replacement: Any = None
        if type(inner).__name__ in ("DropPath", "StochasticDepth") and getattr(inner, "mode", "row") == "row":
            replacement = _drop_path
        elif type(inner) is nn.MultiheadAttention:
            replacement = _attention
        if replacement is not None and "forward" not in vars(inner):
            inner.forward = MethodType(replacement, inner)
            changed.append(inner)
    try:
        yield
    finally:
        for inner in changed:
            del inner.forward
