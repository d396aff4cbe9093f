"""The layers that torch does not have. Generated source holds copies of the classes that it uses, word for word."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812


class Attention(nn.Module):
    """Scaled dot-product attention of tokens `(N, ..., T, C)`, in heads.

    Source: Attention Is All You Need, https://arxiv.org/abs/1706.03762
    """

    def __init__(
        self,
        heads: int,
        causal: bool = False,
        scale: float | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.scale = scale
        self.dropout = dropout

    def forward(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        bias: torch.Tensor | None = None,
    ) -> torch.Tensor:
        if self.heads > 1:
            q = torch.unflatten(q, -1, [self.heads, -1]).transpose(-3, -2)
            k = torch.unflatten(k, -1, [self.heads, -1]).transpose(-3, -2)
            v = torch.unflatten(v, -1, [self.heads, -1]).transpose(-3, -2)
        x = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=bias,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=self.causal,
            scale=self.scale,
        )
        return x.transpose(-3, -2).flatten(-2) if self.heads > 1 else x

    def extra_repr(self) -> str:
        return f"heads={self.heads}, causal={self.causal}, scale={self.scale}, dropout={self.dropout}"


class DropPath(nn.Module):
    """Stochastic depth: in training, drop whole samples with probability `rate`.

    Source: Deep Networks with Stochastic Depth, https://arxiv.org/abs/1603.09382
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.rate == 0.0:
            return x
        keep = 1.0 - self.rate
        mask = x.new_empty([x.shape[0]] + [1] * (x.ndim - 1))
        return x * mask.bernoulli_(keep).div_(keep)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


class LayerNorm1d(nn.LayerNorm):
    """Layer normalisation over the channels of `(N, C, L)`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.permute(0, 2, 1)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 2, 1)


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation over the channels of `(N, C, H, W)`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.permute(0, 2, 3, 1)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class LayerNorm3d(nn.LayerNorm):
    """Layer normalisation over the channels of `(N, C, D, H, W)`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.permute(0, 2, 3, 4, 1)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 4, 1, 2, 3)


class Permute(nn.Module):
    """The axes in another order, as a module for `nn.Sequential`."""

    def __init__(self, dims: tuple[int, ...]) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(self.dims)

    def extra_repr(self) -> str:
        return f"dims={self.dims}"


class Scale(nn.Module):
    """Multiply each channel by a learned factor that starts at `init`.

    Source: Going deeper with Image Transformers, https://arxiv.org/abs/2103.17239
    """

    def __init__(self, channels: int, init: float = 1.0) -> None:
        super().__init__()
        self.init = init
        self.weight = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.constant_(self.weight, self.init)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight.view([-1] + [1] * (x.ndim - 2))

    def extra_repr(self) -> str:
        return f"{self.weight.numel()}, init={self.init}"


class WindowPartition(nn.Module):
    """Cut images `(N, H, W, C)` into windows of tokens, `(N, windows, h * w, C)`.

    Source: Swin Transformer, https://arxiv.org/abs/2103.14030
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, height, width, channels = x.shape
        h, w = self.size
        x = x.reshape(n, height // h, h, width // w, w, channels)
        return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)

    def extra_repr(self) -> str:
        return f"size={self.size}"


class WindowReverse(nn.Module):
    """Join windows of tokens `(N, windows, h * w, C)` to images `(N, height, W, C)`.

    Source: Swin Transformer, https://arxiv.org/abs/2103.14030
    """

    def __init__(self, size: tuple[int, int], height: int) -> None:
        super().__init__()
        self.size = size
        self.height = height

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, windows, _, channels = x.shape
        h, w = self.size
        rows = self.height // h
        x = x.reshape(n, rows, windows // rows, h, w, channels)
        return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)

    def extra_repr(self) -> str:
        return f"size={self.size}, height={self.height}"
