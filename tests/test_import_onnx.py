"""ONNX files come back as specs that compute the same."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections import OrderedDict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from archspec.errors import SpecError, UsageError
from archspec.importing.imported import Imported, from_onnx


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


def export(module: nn.Module, shape: tuple[int, ...], path: Path, **options: Any) -> None:
    """Write a module as an ONNX file, with a batch of one and without the exporter's talk."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), (torch.zeros(1, *shape),), str(path), **{"dynamo": False, **options})


def spread(module: nn.Module) -> nn.Module:
    """Draw what initial weights have as one number everywhere, so that no two tensors are equal."""
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                tensor.add_(0.2 * torch.rand_like(tensor))
    return module


def keys(found: Imported) -> set[str]:
    return {key for key in found.network.graph.state_dict() if not key.endswith("num_batches_tracked")}


def blocks(found: Imported) -> int:
    return found.text.count("\n    layers:\n")


class Encoder(nn.Module):
    """Attention whose batch stands between the tokens and the heads, as in `nn.MultiheadAttention`."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(x).transpose(0, 1)
        x = x + self.attention(y, y, y, need_weights=False)[0].transpose(0, 1)
        return x + self.mlp(x)


def test_shapes_that_hold_a_batch_of_one(tmp_path: Path) -> None:
    module = spread(nn.Sequential(Encoder(), Encoder(), Encoder()))
    export(module, (5, 8), tmp_path / "net.onnx")
    found = from_onnx(tmp_path / "net.onnx")
    assert found.proved, found.proof
    assert not found.flat
    assert "- attention: {heads: 2}" in found.text
    assert "repeat: 3" in found.text
    renamed = {key.replace("in_proj_", "in_proj.") for key in module.state_dict()}
    assert keys(found) == renamed


@pytest.mark.parametrize("causal", [False, True])
def test_attention_with_a_mask_and_a_scale(tmp_path: Path, causal: bool) -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv = nn.Linear(8, 24)
            mask = torch.full((6, 6), float("-inf")).triu(1) if causal else torch.rand(6, 6)
            self.register_buffer("mask", mask)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            q, k, v = self.qkv(x).chunk(3, -1)
            return torch.softmax(q @ k.transpose(-2, -1) * 0.25 + self.mask, -1) @ v

    export(Attention(), (6, 8), tmp_path / "net.onnx")
    found = from_onnx(tmp_path / "net.onnx")
    assert found.proved, found.proof
    attention = next(node.op for node in found.network.graph.nodes if node.op.op == "attention")
    assert (attention.causal, attention.scale) == (causal, 0.25)
    assert ("mask" in found.text) is not causal


class Scaled(nn.Module):
    """A block with a tensor of its own, and linear layers over the channels of an image."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)
        self.layer_scale = nn.Parameter(torch.full((width, 1, 1), 0.1))
        nn.init.zeros_(self.up.bias)
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.conv.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.down(nn.functional.gelu(self.up(self.conv(x).permute(0, 2, 3, 1)))).permute(0, 3, 1, 2)
        return x + self.layer_scale * y


def test_equal_weights_are_not_one_weight(tmp_path: Path) -> None:
    """The exporter stores equal tensors once, under the name of one of them."""
    module = nn.Sequential(*[Scaled(6) for _ in range(4)])
    export(module, (6, 8, 8), tmp_path / "net.onnx")
    found = from_onnx(tmp_path / "net.onnx")
    assert found.proved, found.proof
    assert keys(found) == {*module.state_dict()}
    assert "repeat: 4" in found.text


def test_equal_statistics_are_not_one_tensor(tmp_path: Path) -> None:
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4), nn.ReLU()]
    module = nn.Sequential(*layers)
    export(module, (3, 8, 8), tmp_path / "net.onnx", dynamo=True, verbose=False)
    found = from_onnx(tmp_path / "net.onnx")
    assert found.proved, found.proof
    assert keys(found) == {key for key in module.state_dict() if not key.endswith("num_batches_tracked")}


@pytest.mark.parametrize("dynamo", [False, True])
def test_a_response_norm_is_one_op(tmp_path: Path, dynamo: bool) -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.LocalResponseNorm(5, 0.1, 0.6, 2.0), nn.Conv2d(8, 4, 1))
    export(module, (3, 8, 8), tmp_path / "net.onnx", dynamo=dynamo)
    found = from_onnx(tmp_path / "net.onnx")
    assert found.proved, found.proof
    assert "local_response_norm: {alpha: 0.1, beta: 0.6, k: 2.0}" in found.text


def test_a_response_norm_of_onnx(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, save

    node = helper.make_node("LRN", ["x"], ["y"], size=3, alpha=0.2, beta=0.5, bias=1.5)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 6, 4, 4]) for name in "xy")
    opset = helper.make_opsetid("", 18)
    save(helper.make_model(helper.make_graph([node], "net", [x], [y]), opset_imports=[opset]), tmp_path / "net.onnx")
    found = from_onnx(tmp_path / "net.onnx")
    assert found.proved, found.proof
    assert "local_response_norm: {size: 3, alpha: 0.2, beta: 0.5, k: 1.5}" in found.text


def test_what_cannot_be_expressed_is_told_once(tmp_path: Path) -> None:
    class Sorted(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = torch.cumsum(x, 1)
            return y.reshape(y.shape[0], -1) + 1

    export(Sorted(), (4, 4), tmp_path / "net.onnx")
    with pytest.raises(SpecError) as error:
        from_onnx(tmp_path / "net.onnx")
    assert [each.message for each in error.value.diagnostics] == ["`CumSum` (/CumSum): no op of archspec does this"]


def test_weights_in_another_file(tmp_path: Path) -> None:
    module = spread(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)))
    export(module, (3, 8, 8), tmp_path / "net.onnx", dynamo=True, verbose=False, external_data=True)
    found = from_onnx(tmp_path / "net.onnx")
    assert found.proved, found.proof
    assert torch.equal(found.weights["2.weight"], module[2].weight)
    (tmp_path / "net.onnx.data").unlink()
    with pytest.raises(UsageError, match="weights that the model keeps in another file are missing"):
        from_onnx(tmp_path / "net.onnx")


def test_a_step_without_a_name_behind_repeats_that_have_one(tmp_path: Path) -> None:
    """Copies under one name take one position."""
    stages = {name: nn.Sequential(*[Residual(4) for _ in range(3)]) for name in ("2", "3", "5")}
    steps = OrderedDict({"0": nn.Conv2d(3, 4, 3), **stages, "6": nn.Conv2d(4, 4, 1), "7": nn.ReLU()})
    export(spread(nn.Sequential(OrderedDict(body=nn.Sequential(steps)))), (3, 8, 8), tmp_path / "net.onnx")
    found = from_onnx(tmp_path / "net.onnx")
    assert found.proved, found.proof
    assert not found.flat
    assert found.text.count("repeat:") == 3


class Bottleneck(nn.Module):
    """A residual block with a projection where it needs one."""

    def __init__(self, width: int, filters: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, filters, 1)
        self.conv2 = nn.Conv2d(filters, filters, 3, 2 if filters > width else 1, 1)
        if filters > width:
            self.project = nn.Conv2d(width, filters, 1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv2(torch.relu(self.conv1(x)))
        return torch.relu(y + (self.project(x) if hasattr(self, "project") else x))


class Halves(nn.Module):
    """A block that takes its input apart."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Conv2d(width // 2, width // 2, 3, padding=1), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = x.split(x.shape[1] // 2, 1)
        return torch.cat((left, self.branch(right)), 1)


def residual_network() -> nn.Module:
    stages = [nn.Sequential(Bottleneck(a, b), Bottleneck(b, b), Bottleneck(b, b)) for a, b in ((4, 8), (8, 12))]
    steps = OrderedDict(
        {"stem": nn.Conv2d(3, 4, 3, padding=1), "layer-1": stages[0], "layer-2": stages[1]}
        | {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "head": nn.Linear(12, 5)}
    )
    return spread(nn.Sequential(steps))


def rewrite(path: Path, *, nodes: bool = True, values: bool = False, op: str = "") -> None:
    """Take the names of nodes out of a file, or those of all of one op, and those of what is not input or output."""
    import onnx

    model = onnx.load(path)
    ends = {each.name for each in (*model.graph.input, *model.graph.output)}
    names: dict[str, str] = {}

    def named(name: str) -> str:
        return name if not values or not name or name in ends else names.setdefault(name, f"v{len(names)}")

    for node in model.graph.node:
        if nodes and node.op_type in (op or node.op_type):
            node.name = ""
        node.input[:], node.output[:] = map(named, node.input), map(named, node.output)
    for tensor in model.graph.initializer:
        tensor.name = named(tensor.name)
    onnx.save(model, path)


def test_scopes_from_the_names_of_weights(tmp_path: Path) -> None:
    module = residual_network()
    export(module, (3, 16, 16), tmp_path / "net.onnx")
    rewrite(tmp_path / "net.onnx")
    found = from_onnx(tmp_path / "net.onnx")
    assert found.proved, found.proof
    assert not found.flat
    assert keys(found) == {*module.state_dict()}
    assert blocks(found) == 1
    assert "repeat: 3" in found.text


def test_equal_weights_under_one_name_where_names_tell_the_scopes(tmp_path: Path) -> None:
    """A layer whose weights bear another layer's name stands between those that it reads and that read it."""
    import onnx

    export(nn.Sequential(OrderedDict(stem=Encoder(), body=Encoder())), (5, 8), tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    copies = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Identity"}
    for node in model.graph.node:
        node.input[:] = [copies.get(name, name) for name in node.input]
    kept = [node for node in model.graph.node if node.op_type != "Identity"]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    onnx.save(model, tmp_path / "net.onnx")
    rewrite(tmp_path / "net.onnx")
    found = from_onnx(tmp_path / "net.onnx")
    assert found.proved, found.proof
    assert not found.flat
    assert all(key.startswith(("stem.", "body.")) for key in keys(found))


def test_scopes_from_what_repeats(tmp_path: Path) -> None:
    export(residual_network(), (3, 16, 16), tmp_path / "net.onnx")
    rewrite(tmp_path / "net.onnx", values=True)
    found = from_onnx(tmp_path / "net.onnx")
    assert found.proved, found.proof
    assert not found.flat
    assert "input.channels != filters" in found.text
    assert found.text.count("- block: {") <= 4
    assert {f"stage1.{at}.conv_2.weight" for at in range(6)} < keys(found)


def test_blocks_without_a_skip_among_those_with_one(tmp_path: Path) -> None:
    class Inverted(nn.Module):
        def __init__(self, width: int, filters: int) -> None:
            super().__init__()
            self.up, self.down = nn.Conv2d(width, 3 * width, 1), nn.Conv2d(3 * width, filters, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.down(torch.relu(self.up(x)))
            return x + y if y.shape == x.shape else y

    widths = [3, 4, 4, 6, 6, 6, 8]
    module = spread(nn.Sequential(*[Inverted(a, b) for a, b in pairwise(widths)]))
    export(module, (3, 8, 8), tmp_path / "net.onnx")
    rewrite(tmp_path / "net.onnx", values=True)
    found = from_onnx(tmp_path / "net.onnx")
    assert found.proved, found.proof
    assert blocks(found) == 1
    assert {f"stage1.{at}.conv.weight" for at in range(6)} < keys(found)


@pytest.mark.parametrize("names", ["one node", "no node"])
def test_a_split_stands_with_what_reads_it(tmp_path: Path, names: str) -> None:
    module = spread(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Sequential(*[Halves(8) for _ in range(3)])))
    export(module, (3, 8, 8), tmp_path / "net.onnx")
    rewrite(tmp_path / "net.onnx", op="Split" if names == "one node" else "")
    found = from_onnx(tmp_path / "net.onnx")
    assert found.proved, found.proof
    assert not found.flat
    assert keys(found) == {*module.state_dict()}
    assert "repeat: 3" in found.text


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(UsageError, match="not a valid ONNX model"):
        from_onnx(path)
