"""ONNX files come back as specs that compute the same."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from archspec.errors import UsageError
from archspec.importing.imported import from_onnx


class Residual(nn.Module):
    """A block with an activation that ONNX writes as two nodes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.act = nn.SiLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.act(self.bn(self.conv(x)))


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        Residual(8),
        Residual(8),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.ConvTranspose2d(8, 4, 2, stride=2),
        nn.Upsample(scale_factor=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
        nn.Unflatten(1, (1, 5)),
        nn.Linear(5, 6),
        nn.PReLU(1),
    )


@pytest.mark.parametrize("batch", [1, None])
def test_a_network_comes_back(tmp_path: Path, batch: int | None) -> None:
    path = tmp_path / "small.onnx"
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network().eval(),
            (torch.zeros(1, 3, 16, 16),),
            str(path),
            dynamo=False,
            input_names=["x"],
            dynamic_axes=None if batch else {"x": {0: "n"}},
        )
    found = from_onnx(path)
    assert found.proved, found.proof
    assert "silu" in found.text


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(UsageError, match="not a valid ONNX model"):
        from_onnx(path)
