"""Small networks, each around one thing that people write in PyTorch and that import has to understand."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 its usual name


class _Construct(nn.Module):
    """A network on images of 8 channels. Abstract."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)


class StandardizedWeights(_Construct):
    """A convolution whose weights are standardised, with a gain of its own and one single number."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 8, 3, 3))
        self.gain = nn.Parameter(torch.ones(6, 1, 1, 1))
        self.skip = nn.Parameter(torch.tensor(0.3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        rows = self.weight.reshape(1, 6, -1)
        gain = (self.gain * 0.7).view(-1)
        weight = F.batch_norm(rows, None, None, weight=gain, training=True, momentum=0.0).reshape_as(self.weight)
        return F.conv2d(x, weight, padding=1) * self.skip


class BlurPool(_Construct):
    """A convolution with a kernel that is kept, not learned."""

    def __init__(self) -> None:
        super().__init__()
        row = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", (row[:, None] * row)[None, None].repeat(8, 1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(F.pad(self.stem(x), (1, 1, 1, 1), mode="reflect"), self.kernel, stride=2, groups=8)


class OuterProduct(_Construct):
    """Two values of which each is stretched to the other."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return x.mean(1, keepdim=True) * x.mean((2, 3), keepdim=True)


class ManyAxes(_Construct):
    """More factors than a value of a spec may have axes, in another order."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).reshape(-1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2)
        return x.permute(0, 11, 2, 9, 4, 7, 6, 5, 8, 3, 10, 1).reshape(-1, 8, 16, 16)


class RelativeLogits(_Construct):
    """Products with a table that all heads share, shifted from relative to absolute positions by padding."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(31, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).reshape(-1, 2, 4, 16, 16).permute(0, 1, 3, 4, 2).reshape(-1, 16, 16, 4)
        x = (x @ self.table.transpose(0, 1)).reshape(-1, 16, 31)
        x = F.pad(F.pad(x, [0, 1]).flatten(1), [0, 15]).reshape(-1, 17, 31)[:, :16, 15:]
        return x.reshape(-1, 2, 16, 16, 16).permute(0, 1, 3, 2, 4)


class SharedMatrix(_Construct):
    """A matrix for each sample that meets the matrices of several heads."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).flatten(2)
        shared = x[:, :4] @ x[:, 4:].transpose(1, 2)
        return x.reshape(-1, 2, 4, 256).transpose(2, 3) @ shared.unsqueeze(1)


class OverlappingWindows(_Construct):
    """Windows that overlap, by Tensor.unfold."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.stem(x).unfold(2, 6, 5).unfold(3, 6, 5).flatten(2)


class Variance(_Construct):
    """Groups divided by their deviation."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        groups = x.reshape(-1, 2, 4, 16, 16)
        deviation = (groups.var((2, 3, 4), unbiased=False, keepdim=True) + 1e-5).sqrt()
        return x / deviation.expand_as(groups).reshape(-1, 8, 16, 16) + x.var(1, keepdim=True)


class Copies(_Construct):
    """Every second place of an odd number, rows that are repeated, and an empty slice among what is joined."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)[..., :15]
        x = torch.cat([x[:, :, :0], x.repeat_interleave(2, dim=2)], 2)
        return x[..., ::2].repeat(1, 1, 1, 2)


class WrittenOver(_Construct):
    """A part of a value that is written over."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).flatten(2) * 1.0
        x[:, 1:, 2:] += 2 * x[:, :7, :254]
        return x


class SharedKeys(_Construct):
    """Attention in which four heads of queries share one of keys and values."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        q = x.reshape(-1, 256, 4, 2).transpose(1, 2)
        k = x[..., :2].unsqueeze(1)
        return F.scaled_dot_product_attention(q, k, k)


class HeadsAsImages(_Construct):
    """Layers that work on the image of each head."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.Conv2d(4, 4, 3, 2, 1, groups=4)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.pool(self.stem(x).reshape(-1, 4, 16, 16)))
        return F.max_pool2d(x, 2).reshape(-1, 2, 4, 4, 4)


class HeadsAsVolumes(_Construct):
    """A convolution that works on the volume of each head, and rows that are repeated too often for an index."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.Conv3d(4, 4, 3, 1, 1, groups=4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.stem(x).reshape(-1, 4, 4, 8, 8))
        return x.reshape(-1, 2, 4, 256).repeat_interleave(2, dim=3)


class RowsOfAllSamples(_Construct):
    """A product whose rows are those of all samples, and a sum of more axes than a value of a spec may have."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(16, 16, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).permute(2, 0, 1, 3)
        rows = (x.reshape(16, -1, 16) @ self.table).reshape(16, -1, 2, 4, 5).permute(1, 2, 3, 0, 4)
        wide = rows.reshape(-1, 2, 4, 4, 4, 5)
        wide = wide[:, :, :, :, :, :, None, None, None] + wide[:, :, :, None, None, None, :, :, :1]
        return wide.flatten(2)


class NormWithoutBias(_Construct):
    """A group norm with a factor and no constant, and a constant that the source has once for each sample."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.rand(8))
        self.register_buffer("places", torch.arange(16.0), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        places = self.places.repeat(x.shape[0], 1)[:, None, None].sqrt()
        return F.group_norm(self.stem(x), 2, self.factor) + places


class Grid(_Construct):
    """Sines of positions, of which each channel tells of the row or of the column, once as tokens, once as an image."""

    def __init__(self) -> None:
        super().__init__()
        place = torch.arange(16)[:, None] / 3.0 ** torch.arange(24)
        rows, columns = place.sin()[:, None].expand(16, 16, -1), place.cos()[None].expand(16, 16, -1)
        self.register_buffer("grid", torch.cat([rows, columns], -1).flatten(0, 1), persistent=False)
        self.project = nn.Conv2d(48, 8, 1)
        self.widen = nn.Linear(8, 48)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        image = self.grid.reshape(1, 16, 16, 48).permute(0, 3, 1, 2).repeat(x.shape[0], 1, 1, 1)
        x = self.stem(x) + self.project(image)
        return self.widen(x.flatten(2).transpose(1, 2)) * self.grid


class ClassTokenBias(_Construct):
    """A bias for each way in which two positions lie to each other, with three more for the class token."""

    def __init__(self) -> None:
        super().__init__()
        side = 11
        y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        apart = torch.stack([y.flatten(), x.flatten()])
        apart = apart[:, :, None] - apart[:, None] + side - 1
        width, size = 2 * side - 1, (2 * side - 1) ** 2
        index = torch.zeros(side * side + 1, side * side + 1, dtype=torch.int64)
        index[1:, 1:] = apart[0] * width + apart[1]
        index[0], index[:, 0], index[0, 0] = size, size + 1, size + 2
        self.register_buffer("index", index, persistent=False)
        self.table = nn.Parameter(torch.randn(size + 3, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).flatten(2)[:, :, :244].reshape(-1, 8, 2, 122).mean(1)
        bias = self.table[self.index.view(-1)].view(122, 122, 2).permute(2, 0, 1)
        return x.unsqueeze(-1) * x.unsqueeze(-2) + bias


CONSTRUCTS: tuple[Any, ...] = tuple(_Construct.__subclasses__())
