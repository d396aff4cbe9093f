"""The layers that torch does not have. Generated source holds copies of the classes that it uses, word for word."""

from __future__ import annotations

import torch
from torch import nn


class DropPath(nn.Module):
    """Zero a whole sample with probability `rate` while training (stochastic depth).

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
