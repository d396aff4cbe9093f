"""Networks in Python that tests import, and specs of them written by hand."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812


class Small(nn.Module):
    """What every check of the proof can see: a batch norm, two branches, a free parameter, a linear layer."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.left = nn.Conv2d(8, 4, 1)
        self.right = nn.Conv2d(8, 4, 3, padding=1)
        self.scale = nn.Parameter(torch.ones(8, 1, 1))
        self.head = nn.Linear(8, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.stem(x)))
        x = torch.cat([self.left(x), self.right(x)], 1) * self.scale
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


SMALL = """\
name: Small
input: [3, 16, 16]
layers:
  - parameter: {name: scale, shape: [8, 1, 1]}
  - conv: {name: stem, from: input, filters: 8, kernel: 3, stride: 2, padding: 1, bias: false}
  - batch_norm: {name: norm}
  - relu: {name: relu}
  - conv: {name: left, from: relu, filters: 4}
  - conv: {name: right, from: relu, filters: 4, kernel: 3, padding: 1}
  - concat: {name: both, from: [left, right]}
  - multiply: [both, scale]
  - global_avg_pool
  - flatten
  - linear: {name: head, units: 10}
"""


class OtherKernels(Small):
    """The same network, its batch norm written out: it rounds in another way."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, norm = self.stem(x), self.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        spread = torch.sqrt(norm.running_var + norm.eps)[:, None, None]
        x = (x - norm.running_mean[:, None, None]) / spread * norm.weight[:, None, None] + norm.bias[:, None, None]
        x = torch.cat([self.left(F.relu(x)), self.right(F.relu(x))], 1) * self.scale
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Residual(nn.Module):
    """A residual block with a projection where its shape changes."""

    def __init__(self, channels: int, filters: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != filters:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, filters, 1, stride, bias=False), nn.BatchNorm2d(filters))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class Net(nn.Module):
    """A residual network for small pictures."""

    def __init__(self, classes: int = 10, width: int = 16, depth: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = self._stage(width, width, depth, 1)
        self.layer2 = self._stage(width, 2 * width, depth, 2)
        self.layer3 = self._stage(2 * width, 4 * width, depth, 2)
        self.fc = nn.Linear(4 * width, classes)

    def _stage(self, channels: int, filters: int, depth: int, stride: int) -> nn.Sequential:
        rest = [Residual(filters, filters) for _ in range(depth - 1)]
        return nn.Sequential(Residual(channels, filters, stride), *rest)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class Decides(nn.Module):
    """Takes a decision by the numbers in a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        if x.sum() > 0:
            x = x.relu()
        return x


class NeedsNumbers(nn.Module):
    """Computes with numbers when it is made, which the meta device has none of."""

    def __init__(self) -> None:
        super().__init__()
        self.rates = [float(rate) for rate in torch.linspace(0, 0.5, 3)]
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).relu()


class Inexpressible(nn.Module):
    """Computes what no spec can say."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fft.fft2(self.conv(x)).abs().cumsum(1)


def fails() -> nn.Module:
    """Raise an error of its own."""
    raise ValueError("no such variant")


a_number = 3
