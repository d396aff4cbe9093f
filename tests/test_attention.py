"""Tokens and attention: whole networks against torch, the numbers of the ops, and what generated source looks like."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

import archspec
from archspec.report.spec import show_spec

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402, N812
from torch import nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402
from torch_calls import execute  # noqa: E402

from archspec.ops import OPS  # noqa: E402

ENCODER_BLOCK = """\
name: encoder_block
input: [50, 96]
params: {heads: 4, mlp_dim: 192}
defaults:
  layer_norm: {axis: last, eps: 1e-6}
layers:
  - layer_norm: {name: ln_1}
  - multi_head_attention: {name: self_attention, heads: $heads}
  - add: {name: residual, from: [self_attention, input]}
  - layer_norm: {name: ln_2}
  - sequential:
      name: mlp
      layers: [linear: $mlp_dim, gelu, dropout: 0.0, linear: $input.features, dropout: 0.0]
  - add: [residual, mlp]
"""

DECODER = """\
name: decoder
input: {x: [12, 32], memory: [7, 24]}
defaults: {layer_norm: {axis: last}, rms_norm: {axis: last, eps: 1e-6}}
blocks:
  decoder_layer:
    inputs: [x, memory]
    params: {heads: }
    layers:
      - rms_norm: {name: norm1, from: x}
      - linear: {name: qkv, units: "${3 * x.features}"}
      - split: {parts: 3, axis: last}
      - attention: {heads: $heads, causal: true}
      - linear: {name: proj, units: $x.features}
      - add: {name: h, from: [proj, x]}
      - layer_norm: {name: norm2}
      - multi_head_attention: {name: cross, from: [norm2, memory], heads: $heads}
      - add: h
layers:
  - decoder_layer: {name: layers, from: [x, memory], heads: 4, repeat: 2}
  - slice: {start: 2, axis: last}
  - softmax: {axis: last}
"""

SWIN = """\
name: swin
input: [16, 8, 8]
defaults: {layer_norm: {axis: last}}
blocks:
  swin_block:
    params: {heads: , shift: 0}
    layers:
      - layer_norm: {name: norm1}
      - roll: {shifts: ["${-shift}", "${-shift}"], axes: [0, 1], when: "${shift > 0}"}
      - window_partition: {size: 4, channels_at: last}
      - linear: {name: qkv, units: "${3 * input.features}"}
      - split: {parts: 3, axis: last}
      - attention: {heads: $heads}
      - linear: {name: proj, units: $input.features}
      - window_reverse: {size: 4, channels_at: last}
      - roll: {shifts: ["$shift", "$shift"], axes: [0, 1], when: "${shift > 0}"}
      - add: input
layers:
  - permute: [1, 2, 0]
  - swin_block: {heads: 4}
  - swin_block: {heads: 4, shift: 2}
  - permute: [2, 0, 1]
  - upsample: {name: smaller, scale: 0.5, mode: linear, antialias: true}
  - upsample: {name: back, like: swin_block_2, mode: linear, when: false}
  - to_tokens
  - to_image: {width: 2}
"""

SPLIT = """\
name: parts
input: [10, 6, 6]
blocks:
  unit:
    params: {left: 3}
    layers:
      - split: {name: halves, sizes: ["$left", "${input.channels - left}"]}
      - conv: {name: one, from: halves.0, filters: 4}
      - conv: {name: two, from: halves.1, filters: 6}
      - concat: [one, two]
layers:
  - unit: {left: 4}
  - unit
  - sequential:
      name: gate
      layers:
        - conv: 8
        - split: {parts: 2}
        - multiply: ["1.0", "1.1"]
  - upsample: {name: up, size: [9, 7]}
  - max_pool: 2
  - upsample: {like: up}
"""

NETWORKS = {"encoder_block": ENCODER_BLOCK, "decoder": DECODER, "swin": SWIN, "parts": SPLIT}


def torchvision_block() -> Any:
    """The encoder block of torchvision's ViT, written out where torchvision is not installed."""

    class EncoderBlock(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ln_1 = nn.LayerNorm(96, eps=1e-6)
            self.self_attention = nn.MultiheadAttention(96, 4, dropout=0.0, batch_first=True)
            self.ln_2 = nn.LayerNorm(96, eps=1e-6)
            self.mlp = nn.Sequential(
                nn.Linear(96, 192), nn.GELU(), nn.Dropout(0.0), nn.Linear(192, 96), nn.Dropout(0.0)
            )

        def forward(self, x: Any) -> Any:
            y = self.ln_1(x)
            y, _ = self.self_attention(y, y, y, need_weights=False)
            y = y + x
            return y + self.mlp(self.ln_2(y))

    return EncoderBlock()


def test_encoder_block_is_torchvisions() -> None:
    """Keys in their order, and the same bits in evaluation and in training."""
    network = archspec.loads(ENCODER_BLOCK)
    theirs, ours = torchvision_block(), archspec.build(network)
    assert list(ours.state_dict()) == list(theirs.state_dict()) == list(network.graph.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 50, 96)
    assert torch.equal(ours(x), theirs(x))
    with torch.no_grad():
        assert torch.equal(ours.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize("name", NETWORKS)
def test_counts_what_torch_counts(name: str) -> None:
    network = archspec.loads(NETWORKS[name])
    with torch.device("meta"):
        module = archspec.build(network, device="meta")
        inputs = [torch.empty(1, *shape) for shape in network.graph.inputs.values()]
    counter = FlopCounterMode(display=False)
    with counter:
        module(*inputs)
    assert counter.get_total_flops() == 2 * network.analyze().totals.macs


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", NETWORKS)
def test_every_path(name: str) -> None:
    """`verify`, TorchScript, torch.fx, and the spec as understood."""
    network = archspec.loads(NETWORKS[name])
    for check in archspec.verify(network).checks:
        assert check.passed, check
    module = archspec.build(network).eval()
    inputs = [torch.randn(2, *shape) for shape in network.graph.inputs.values()]
    expected = module(*inputs)
    assert torch.allclose(torch.jit.script(module)(*inputs), expected, atol=1e-6)
    assert torch.allclose(torch.fx.symbolic_trace(module)(*inputs), expected, atol=1e-6)
    again = archspec.loads(show_spec(network.elaboration))
    assert again.graph.to_dict()["nodes"] == network.graph.to_dict()["nodes"]


@pytest.mark.parametrize("name", ["decoder", "swin"])
def test_onnx(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from archspec.backends.onnx import export_onnx

    export = export_onnx(archspec.loads(NETWORKS[name]), tmp_path / "net.onnx", dynamic_batch=True)
    assert export.deviation is not None
    assert export.deviation < 1e-5


# What generated source looks like.


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("encoder_block", ["self.self_attention(out, out, out, need_weights=False)[0]"]),
        (
            "decoder",
            [
                "q, k, v = self.qkv(out).chunk(3, dim=-1)",
                "self.cross(norm2, memory, memory, need_weights=False)[0]",
                "F.softmax(x[..., 2:], dim=-1)",
            ],
        ),
        ("swin", ["x.flatten(2).transpose(1, 2)", ".transpose(1, 2).reshape(-1, 16, 8, 2)", "torch.roll(out, "]),
        (
            "parts",
            [
                "one, two = torch.split(x, self.halves_sizes, dim=1)",
                "x1, x2 = self.gate[0](x).chunk(2, dim=1)",
                "size=up.shape[2:]",
            ],
        ),
    ],
)
def test_source_reads_as_written_by_hand(name: str, lines: list[str]) -> None:
    source = archspec.generate(archspec.loads(NETWORKS[name]))
    for line in lines:
        assert line in source, source


def test_one_head_is_a_plain_function() -> None:
    text = "input: [6, 8]\nlayers:\n- linear: 24\n- split: {parts: 3, axis: last}\n- attention: {causal: true}\n"
    source = archspec.generate(archspec.loads(text))
    assert "F.scaled_dot_product_attention(q, k, v, is_causal=True)" in source
    assert "class Attention" not in source


# Numbers.


def run(name: str, *inputs: Any, **arguments: Any) -> Any:
    return execute(OPS[name](tuple(tuple(x.shape[1:]) for x in inputs), arguments).calls(), list(inputs))[0]


def by_hand(q: Any, k: Any, v: Any, heads: int, bias: Any = 0) -> Any:
    """Attention written out, for inputs of any number of axes."""
    parts = []
    for a, b, c in zip(q.chunk(heads, -1), k.chunk(heads, -1), v.chunk(heads, -1), strict=True):
        parts.append((a @ b.transpose(-1, -2) / a.shape[-1] ** 0.5, c))
    scores = torch.stack([score for score, _ in parts], dim=-3) + bias
    return torch.cat([scores.softmax(-1)[..., n, :, :] @ c for n, (_, c) in enumerate(parts)], dim=-1)


def test_attention_values() -> None:
    q, k, v = torch.randn(2, 5, 8), torch.randn(2, 7, 8), torch.randn(2, 7, 12)
    assert torch.allclose(run("attention", q, k, v, heads=4), by_hand(q, k, v, 4), atol=1e-6)
    bias = torch.randn(2, 4, 5, 7)
    assert torch.allclose(run("attention", q, k, v, bias, heads=4, bias="b"), by_hand(q, k, v, 4, bias), atol=1e-6)
    windows = torch.randn(2, 3, 5, 8)
    found = run("attention", windows, windows, windows, heads=2)
    assert torch.allclose(found, by_hand(windows, windows, windows, 2), atol=1e-6)
    later = torch.full((5, 5), float("-inf")).triu(1)
    x = torch.randn(2, 5, 8)
    assert torch.allclose(run("attention", x, x, x, heads=2, causal=True), by_hand(x, x, x, 2, later), atol=1e-6)
    scaled = run("attention", x, x, x, scale=2)
    assert torch.allclose(scaled, (x @ x.transpose(1, 2) * 2).softmax(-1) @ x, atol=1e-6)


def test_dropout_of_attention_is_for_training() -> None:
    network = archspec.loads("input: [6, 8]\nlayers: [attention: {from: [input, input, input], dropout: 0.9}]\n")
    module, x = archspec.build(network), torch.randn(4, 6, 8)
    assert not torch.allclose(module(x), by_hand(x, x, x, 1))
    assert torch.allclose(module.eval()(x), by_hand(x, x, x, 1), atol=1e-6)


def test_token_values() -> None:
    x = torch.randn(2, 3, 4, 6)
    tokens = run("to_tokens", x)
    assert torch.equal(tokens[:, 7], x[:, :, 1, 1])
    assert torch.equal(run("to_image", tokens, width=6), x)
    windows = run("window_partition", x, size=[2, 3])
    assert torch.equal(windows[:, 1, 4], x[:, :, 1, 4])  # the second window of the first row, its row 1, column 1
    assert torch.equal(run("window_reverse", windows, size=[2, 3], height=4), x)
    last = x.permute(0, 2, 3, 1)
    assert torch.equal(run("window_partition", last, size=[2, 3], channels_at="last"), windows)
    assert torch.equal(run("roll", x, shifts=[1, -2], axes=["height", 2]), torch.roll(x, (1, -2), (2, 3)))
    assert torch.equal(run("unfold", x, kernel=2), F.unfold(x, 2))
    assert torch.equal(run("slice", x, start=1, axis="last"), x[..., 1:])
    assert torch.allclose(run("rms_norm", tokens, axis="last", eps=1e-6), F.rms_norm(tokens, (3,), eps=1e-6))
    norm = x / (x.square().mean(1, keepdim=True) + 1e-6).sqrt()
    assert torch.allclose(run("rms_norm", x, eps=1e-6), norm, atol=1e-6)


def test_split_values() -> None:
    x = torch.randn(2, 6, 4)
    for part, expected in enumerate(x.chunk(2, dim=-1)):
        assert torch.equal(run("split", x, parts=2, axis="last", part=part), expected)
    (whole,) = OPS["split"](((6, 4),), {"sizes": [1, 5]}).calls()
    assert (whole.target, whole.arguments) == ("torch.split", {"split_size_or_sections": [1, 5], "dim": 1})


def test_a_split_is_one_node_for_each_part() -> None:
    text = "input: [6, 8]\nlayers:\n- split: {name: s, parts: 2}\n- add: [s.0, s.1]\n"
    nodes = archspec.loads(text).graph.nodes
    assert [(node.path, node.op.op, node.inputs) for node in nodes] == [
        ("s.0", "split", ("input",)),
        ("s.1", "split", ("input",)),
        ("add", "add", ("s.0", "s.1")),
    ]
    assert [node.op.args()["part"] for node in nodes[:2]] == [0, 1]


@pytest.mark.parametrize("split", ["{parts: 3, part: 1}", "{name: s, parts: 1}", "{sizes: [2, 4], part: 1}"])
def test_one_part_is_a_slice(split: str) -> None:
    network = archspec.loads(f"input: [6, 8]\nlayers:\n- split: {split}\n- gelu{': {from: s.0}' * ('s,' in split)}\n")
    assert all(check.passed for check in archspec.verify(network, compiler="none").checks)


def test_features_are_the_last_axis() -> None:
    text = "input: [6, 8]\nlayers:\n- linear: '${input.features * 2}'\n- linear: $linear.features\n"
    assert archspec.loads(text).graph.nodes[-1].shape == (6, 16)


def test_what_archspec_is_for() -> None:
    for op, words in {"lstm": "values flow forward", "embedding": "compute with numbers"}.items():
        with pytest.raises(archspec.SpecError) as caught:
            archspec.loads(f"input: [6, 8]\nlayers:\n- {op}: 8\n")
        assert words in str(caught.value.diagnostics[0].help)


def _loaded(source: str) -> Any:
    """Import generated source."""
    spec = importlib.util.spec_from_loader("generated_attention", loader=None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["generated_attention"] = module
    exec(source, module.__dict__)
    return module


def test_generated_source_takes_another_image_size() -> None:
    """`like` reads the size of the other value, as a person would write it."""
    text = "name: net\ninput: [4, 8, 8]\nlayers:\n- conv: {name: a, filters: 4}\n- max_pool: 2\n- upsample: {like: a}\n"
    net = _loaded(archspec.generate(archspec.loads(text))).Net()
    assert net(torch.zeros(1, 4, 11, 13)).shape == (1, 4, 11, 13)
