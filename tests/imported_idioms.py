"""What people write in several ops of PyTorch because it has no op for it, and what only looks like that."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 its usual name


class _Attention(nn.Module):
    """Tokens of 32 features, mapped to queries, keys and values of 4 heads. Abstract."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(32, 96)
        self.proj = nn.Linear(32, 32)

    def heads(self, x: torch.Tensor) -> Any:
        """Return queries, keys and values `[batch, heads, tokens, features]`."""
        return self.qkv(x).reshape(x.shape[0], 12, 3, 4, 8).permute(2, 0, 3, 1, 4).unbind(0)

    def joined(self, x: torch.Tensor) -> torch.Tensor:
        """Return the output of the heads, mapped."""
        return self.proj(x.transpose(1, 2).reshape(x.shape[0], 12, 32))


class _Biased(_Attention):
    """Attention with a bias for each head and pair of tokens. Abstract."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(1, 4, 12, 12))


class ScaledQueries(_Biased):
    """Queries are scaled, a bias is added, and the weights are dropped in training."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.heads(x)
        weights = ((q * 8**-0.5) @ k.transpose(-2, -1) + self.table).softmax(-1)
        return self.joined(F.dropout(weights, 0.1, self.training) @ v)


class ScaledScores(_Biased):
    """Scores are divided, by another number than usual."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.heads(x)
        return self.joined(torch.softmax(self.table + torch.matmul(q, k.mT) / 5, dim=3) @ v)


class Sums(_Biased):
    """Products as sums over letters, keys scaled."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.heads(x)
        weights = F.softmax(torch.einsum("b h i d, b h j d -> b h i j", q, k * 0.2) + self.table, dim=-1)
        return self.joined(torch.einsum("bhij,bhjd->bhid", weights, v))


class Cosine(_Biased):
    """Scores are cosines, with a factor for each head that is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.rand(4, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.heads(x)
        scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
        return self.joined((scores * self.factor.exp() + self.table).softmax(-1) @ v)


class Groups(_Attention):
    """Samples are joined with groups of tokens; a second bias is for each group, while scores are seen in groups."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(1, 4, 4, 4))
        self.of_groups = nn.Parameter(torch.randn(3, 4, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.reshape(-1, 4, 32)
        q, k, v = self.qkv(rows).reshape(-1, 4, 3, 4, 8).permute(2, 0, 3, 1, 4).unbind(0)
        scores = q @ k.transpose(-2, -1) + self.table
        scores = scores.view(x.shape[0], 3, 4, 4, 4) + self.of_groups.unsqueeze(1).unsqueeze(0)
        found = scores.view(-1, 4, 4, 4).softmax(-1) @ v
        return self.proj(found.transpose(1, 2).reshape(x.shape[0], 12, 32))


class ScaledBias(_Biased):
    """The bias is scaled with the scores: not what `attention` does."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.heads(x)
        return self.joined(((q @ k.mT + self.table) * 0.3).softmax(-1) @ v)


class OverQueries(_Attention):
    """Weights sum to one over the queries: not what `attention` does."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.heads(x)
        return self.joined((q @ k.mT * 8**-0.5).softmax(-2) @ v)


class ScoresKept(_Attention):
    """The scores are an output besides."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        q, k, v = self.heads(x)
        scores = q @ k.mT * 8**-0.5
        return self.joined(scores.softmax(-1) @ v), scores


class KeysWrittenOver(_Attention):
    """The keys are written over once the scores are known, and read again."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.heads(x)
        k = k.contiguous()
        scores = q @ k.mT
        k += 1.0
        return self.joined(scores.softmax(-1) @ v + k)


class _Image(nn.Module):
    """An image of 8 channels, with these last. Abstract."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(3, 8)

    def image(self, x: torch.Tensor) -> torch.Tensor:
        """Return `[batch, 12, 12, 8]`."""
        return self.stem(x.permute(0, 2, 3, 1))


class _Merged(_Image):
    """A layer behind places that were joined. Abstract."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(32, 8)


class Merged(_Merged):
    """Every other place, four times, side by side."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.image(x)
        parts = [x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]]
        return self.last(torch.cat(parts, -1))


class MergedByRows(_Merged):
    """Every other place, in the other order, and of the channels in front."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.image(x).permute(0, 3, 1, 2)
        parts = [x[..., 0::2, 0::2], x[..., 0::2, 1::2], x[..., 1::2, 0::2], x[..., 1::2, 1::2]]
        return self.last(torch.cat(parts, 1).permute(0, 2, 3, 1))


class MergedTwice(_Merged):
    """One of the four parts occurs twice, another not at all."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.image(x)
        parts = [x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 0::2], x[:, 1::2, 1::2]]
        return self.last(torch.cat(parts, -1))


class Windows(_Image):
    """Windows as samples, some of one image, and one that is the whole image."""

    size = (4, 6)

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.image(x)
        high, wide = self.size
        down, over = 12 // high, 12 // wide
        cut = x.view(-1, down, high, over, wide, 8).permute(0, 1, 3, 2, 4, 5).reshape(-1, high * wide, 8)
        cut = self.norm(cut) + cut.mean(1, keepdim=True)
        return cut.view(-1, down, over, high, wide, 8).permute(0, 1, 3, 2, 4, 5).reshape(x.shape)


class OneWindow(Windows):
    """The whole image is one window."""

    size = (12, 12)


class OneOfRowsAndColumns(Windows):
    """The whole image is one window, and windows keep rows and columns apart where they are cut."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.image(x)
        cut = x.view(-1, 1, 12, 1, 12, 8).permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, 12, 12, 8)
        cut = self.norm(cut.view(-1, 144, 8)).softmax(1)
        return cut.view(-1, 1, 1, 12, 12, 8).permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, 12, 12, 8)


class TokensAsOneWindow(Windows):
    """Tokens, which nothing cut from an image, are put together as one window."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.image(x).flatten(1, 2)).softmax(1)
        return x.view(-1, 1, 1, 12, 12, 8).permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, 12, 12, 8)


class WindowsTogether(_Image):
    """Windows with an axis of their own, of an image with its channels in front; one of them is the whole image."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.image(x).permute(0, 3, 1, 2)
        for size in (6, 12):
            side = 12 // size
            cut = x.reshape(-1, 8, side, size, side, size).permute(0, 2, 4, 3, 5, 1).reshape(-1, side**2, size**2, 8)
            cut = cut.softmax(-2)
            x = cut.reshape(-1, side, side, size, size, 8).permute(0, 5, 1, 3, 2, 4).reshape(-1, 8, 12, 12)
        return x


TOKENS, IMAGE = (2, 12, 32), (2, 3, 12, 12)

IDIOMS: tuple[tuple[Any, tuple[int, ...], str, str], ...] = (
    (ScaledQueries, TOKENS, r"attention: .*dropout: 0.1", "matmul|scale:|multiply"),
    (ScaledScores, TOKENS, r"attention: .*scale: 0.2", "matmul|divide"),
    (Sums, TOKENS, r"attention: .*scale: 0.2", "matmul|multiply"),
    (Cosine, TOKENS, r"normalize(.|\n)*normalize(.|\n)*attention: .*scale: 1.0", "matmul|sqrt|divide"),
    (Groups, TOKENS, r"attention: .*bias: add", "matmul|softmax"),
    (ScaledBias, TOKENS, "softmax", "attention"),
    (OverQueries, TOKENS, "softmax", "attention"),
    (ScoresKept, TOKENS, "softmax", "attention"),
    (KeysWrittenOver, TOKENS, "attention", "matmul"),
    (
        Merged,
        IMAGE,
        r"reshape: \[6, 2, 12, 8\]\n +- permute: \[0, 2, 1, 3\]\n +- reshape: \[6, 6, 32\]",
        "split|concat",
    ),
    (MergedByRows, IMAGE, "reshape", "split|concat"),
    (MergedTwice, IMAGE, "concat", "window"),
    (Windows, IMAGE, r"window_partition: .*\[4, 6\](.|\n)*window_reverse: .*\[4, 6\]", "permute: .*, 5|reshape"),
    (OneWindow, IMAGE, r"window_partition: .*12(.|\n)*window_reverse: .*12", "reshape"),
    (OneOfRowsAndColumns, IMAGE, r"window_partition: .*12(.|\n)*window_reverse: .*12", "permute: .*, 5"),
    (TokensAsOneWindow, IMAGE, r"window_reverse: .*12", "permute: .*, 5"),
    (WindowsTogether, IMAGE, r"window_partition: 6\n(.|\n)*window_partition: 12\n(.|\n)*window_reverse: 12", "reshape"),
)
"""Networks, with the shape of what they read, what their spec has, and what it has not."""
