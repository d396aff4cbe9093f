"""Free tensors and arithmetic: what they mean, what torch makes of them, and what bad input gets."""

from __future__ import annotations

import pytest

import archspec
from archspec.errors import SpecError
from archspec.graph import Graph
from archspec.shapes import Lead

torch = pytest.importorskip("torch")

VIT = """\
name: vit
input: [3, 16, 16]
params: {dim: 8}
blocks:
  block:
    params: {scaled: true}
    layers:
      - linear: {name: mlp, units: $dim}
      - parameter: {name: gamma, shape: [$dim], init: 0.5, when: $scaled}
      - multiply: {from: [mlp, gamma], when: $scaled}
      - add: input
layers:
  - conv: {name: patches, filters: $dim, kernel: 4, stride: 4}
  - reshape: ["$dim", 16]
  - permute: {name: tokens, order: [1, 0]}
  - buffer: {name: kept, values: [[1, 2, 3, 4, 5, 6, 7, 8]], batch: true}
  - parameter: {name: class_token, shape: [1, $dim], batch: true, init: {trunc_normal: 0.02}}
  - parameter: {name: registers, shape: [2, $dim], init: {normal: 0.02}}
  - concat: [class_token, registers, tokens]
  - buffer: {name: grid, values: 0.25, shape: [19, 1], persistent: false}
  - add: [concat, grid, kept]
  - block
  - block: {scaled: false}
  - multiply: 2
  - subtract: {from: [1, multiply]}
"""


def graph(layers: str, input: str = "[8, 4, 4]") -> Graph:
    return archspec.loads(f"input: {input}\nlayers:\n{layers}").graph


def build(text: str) -> tuple[archspec.Network, torch.nn.Module]:
    torch.manual_seed(0)
    network = archspec.loads(text)
    return network, archspec.build(network)


def test_keys_and_their_order() -> None:
    """A module's own parameters come first, then its buffers, then its children; a buffer may not be kept."""
    network, module = build(VIT)
    state = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    assert list(network.graph.state_dict().items()) == list(state.items())
    assert list(state.items())[:3] == [("class_token", (1, 1, 8)), ("registers", (2, 8)), ("kept", (1, 1, 8))]
    assert "block.gamma" in state
    assert "block_2.gamma" not in state
    assert list(state)[3:7] == ["patches.weight", "patches.bias", "block.gamma", "block.mlp.weight"]
    assert module.kept.dtype is torch.int64
    assert network.analyze().totals.buffers == 8 + 19
    assert network.analyze().totals.params == sum(each.numel() for each in module.parameters())


def test_what_is_computed() -> None:
    """The network by hand, from the tensors of the module."""
    _, module = build(VIT)
    x = torch.randn(3, 3, 16, 16)
    tokens = module.patches(x).reshape(3, 8, 16).permute(0, 2, 1)
    tokens = torch.cat([module.class_token.expand(3, 1, 8), module.registers.expand(3, 2, 8), tokens], 1)
    tokens = tokens + module.grid + module.kept
    tokens = module.block.mlp(tokens) * module.block.gamma + tokens
    tokens = module.block_2.mlp(tokens) + tokens
    assert torch.equal(module(x), 1 - tokens * 2)


def test_initial_values() -> None:
    text = "input: [4]\nlayers:\n" + "".join(
        f"  - parameter: {{name: p{n}, shape: [4, 1000, 1], init: {init}}}\n"
        for n, init in enumerate(["zeros", "ones", "2.5", "{normal: 0.02}", "{trunc_normal: 3.0}"])
    )
    _, module = build(
        text + "  - reshape: [4, 1, 1]\n  - add: {from: [reshape, p0, p1, p2, p3, p4], broadcast: true}\n"
    )
    assert [float(getattr(module, f"p{n}").detach().mean()) for n in range(3)] == [0, 1, 2.5]
    assert 0.018 < float(module.p3.detach().std()) < 0.022
    assert 1.1 < float(module.p4.detach().std()) < 1.5  # cut at -2 and 2: not that of the distribution
    assert float(module.p4.detach().abs().max()) <= 2


def test_generated_source() -> None:
    """As a person writes it: attributes, an expansion for the batch, and formulas on one line."""
    text = archspec.generate(archspec.loads(VIT))
    for line in (
        "nn.init.trunc_normal_(torch.empty(1, 1, 8), std=0.02)",
        "self.registers = nn.Parameter(nn.init.normal_(torch.empty(2, 8), std=0.02))",
        'self.register_buffer("grid", torch.full((19, 1), 0.25), persistent=False)',
        'self.register_buffer("kept", torch.tensor([[[1, 2, 3, 4, 5, 6, 7, 8]]]))',
        "self.gamma = None",
        "self.gamma = nn.Parameter(torch.full((8,), 0.5))",
        "if self.gamma is not None:",
        "self.class_token.expand(tokens.shape[0], -1, -1),",
        "self.registers.expand(tokens.shape[0], -1, -1),",
        "x = self.block_2(x) * 2",
        "return 1 - x",
    ):
        assert line in text, line


@pytest.mark.parametrize(
    ("layers", "code"),
    [
        ("  - mean: {axes: [height, width], keep: true}", "x.mean(dim=(2, 3), keepdim=True)"),
        ("  - max: {axes: channels}", "x.amax(dim=1)"),
        ("  - normalize", "F.normalize(x, dim=1)"),
        ("  - multiply: 0.17", "x * 0.17"),
        ("  - divide: {from: [1, input]}", "1 / x"),
        ("  - neg", "-x"),
        ("  - clamp: {min: 0, max: 6}", "x.clamp(min=0, max=6)"),
        ("  - pow: 2\n  - multiply: 3\n  - add: 1.0e-6", "x.pow(2) * 3 + 1e-6"),
        ("  - add: 1\n  - multiply: 2", "(x + 1) * 2"),
        ("  - add: 1\n  - divide: {from: [2, add]}\n  - subtract: {from: [3, divide]}", "3 - 2 / (x + 1)"),
        ("  - subtract: 1\n  - subtract: {from: [3, subtract]}", "3 - (x - 1)"),
        ("  - parameter: {name: w, shape: [8, 4, 2]}\n  - matmul: [input, w]", "x @ self.w"),
        ("  - maximum: 0.5", "x.clamp(min=0.5)"),
        ("  - exp\n  - minimum: [exp, input]", "torch.minimum(out, x)"),
    ],
)
def test_how_arithmetic_reads(layers: str, code: str) -> None:
    assert f"return {code}  # " in archspec.generate(archspec.loads(f"input: [8, 4, 4]\nlayers:\n{layers}\n"))


def test_a_number_from_a_param() -> None:
    """It stays an expression of the class, in an attribute that forward reads."""
    text = """\
input: [8, 4, 4]
blocks:
  scaled:
    params: {by: }
    layers: [multiply: $by, add: [multiply, 1]]
layers: [scaled: 2, scaled: 3]
"""
    code = archspec.generate(archspec.loads(text))
    assert "self.by = by" in code
    assert "return x * self.by + 1" in code


def test_leads() -> None:
    """A value of free tensors alone has no batch, until an op that is not elementwise reads it."""
    found = graph(
        "  - parameter: {name: a, shape: [4]}\n  - parameter: {name: b, shape: [4, 4], batch: true}\n"
        "  - exp: {name: c, from: a}\n  - multiply: {name: d, from: [b, c]}\n"
        "  - reshape: {name: e, from: c, shape: [1, 4]}\n"
        "  - multiply: [input, d, e]\n"
    )
    leads = {node.path: node.op.lead for node in found.nodes}
    assert [leads[name] for name in "abcde"] == [Lead.NONE, Lead.ONE, Lead.NONE, Lead.ONE, Lead.ONE]
    assert leads["multiply"] is Lead.BATCH


def test_equal_scopes_keep_their_leads() -> None:
    """A block that is given a parameter is another one than the same block given a value of equal shape."""
    text = """\
input: [8, 4, 4]
blocks: {b: {layers: [relu, {exp: {name: e}}]}}
layers:
  - parameter: {name: p, shape: [8, 4, 4]}
  - b: {name: one, from: input}
  - b: {name: two, from: p}
  - add: [one, two]
"""
    network, module = build(text)
    assert [network.graph.node(path).op.lead for path in ("one.e", "two.e")] == [Lead.BATCH, Lead.NONE]
    x = torch.randn(2, 8, 4, 4)
    assert torch.equal(module(x), x.relu().exp() + module.p.relu().exp())


@pytest.mark.parametrize(
    ("layers", "code", "place", "message", "help"),
    [
        (
            "  - parameter: {name: g, shape: [8]}\n  - relu\n  - multiply: g\n",
            *("shape", 5, "multiply: 8 (g) does not fit 8x4x4 (relu)"),
            "one number per channel has the shape [8, 1, 1]",
        ),
        (
            "  - parameter: {name: g, shape: [2, 4, 4]}\n  - relu\n  - add: g\n",
            *("shape", 5, "add: 2x4x4 (g) does not fit 8x4x4 (relu)"),
            "`shape: [8, 4, 4]` fits",
        ),
        (
            "  - parameter: {name: g, shape: [1], when: false}\n  - relu\n  - add: g\n",
            *("reference", 5, "`g` is left out, and stands for no other value", "under the same `when`"),
        ),
        (
            "  - parameter: {name: g, shape: [1], from: input}\n  - relu\n  - add: g\n",
            *("argument", 3, "parameter: a free tensor reads nothing", "name it in their `from`"),
        ),
        (
            "  - parameter: {name: t, shape: [3]}\n  - buffer: {name: i, values: [0, 3]}\n"
            "  - gather: {name: q, from: [t, i]}\n  - relu: {from: input}\n  - multiply: [relu, q]\n",
            *("value", 5, "gather: the index 3 is beyond the 3 rows of the table", ""),
        ),
        (
            "  - parameter: {name: t, shape: [3]}\n  - buffer: {name: i, values: [0, 0.5]}\n"
            "  - gather: {name: q, from: [t, i]}\n  - relu: {from: input}\n  - multiply: [relu, q]\n",
            *("type", 5, "gather: expected an index of integers, got a buffer of floats", "no point"),
        ),
        (
            "  - buffer: {name: g, values: 2, shape: [4]}\n  - linear: {name: a, from: g, units: 4}\n"
            "  - relu: {from: input}\n  - multiply: [relu, a]\n",
            *("type", 4, "linear: expected floats, got the integers of 4", "`2.0`"),
        ),
        (
            "  - parameter: {name: w, shape: [4, 8, 3]}\n  - conv: {from: [input, w], filters: 4, kernel: 3}\n",
            *("shape", 4, "weight: expected [4, 8, 3, 3], got 4x8x3 (w)", ""),
        ),
        (
            "  - relu\n  - conv: {from: [input, relu], filters: 4}\n",
            *("shape", 4, "weight: expected a free tensor, got 8x4x4 (relu)", "merge what it is to read"),
        ),
        (
            "  - parameter: {name: w, shape: [4, 8, 2, 2]}\n"
            "  - conv: {from: [input, w], filters: 4, kernel: 2, padding: same}\n",
            *("value", 4, "padding: expected the same number on both sides", "put a `pad` before it"),
        ),
        (
            "  - parameter: {name: w, shape: [4, 8, 1, 1]}\n  - parameter: {name: b, shape: [4]}\n"
            "  - conv: {from: [input, w, b], filters: 4, bias: false}\n",
            *("argument", 5, "expected no third input, since `bias` is false", ""),
        ),
        (
            "  - parameter: {name: t, shape: [3]}\n  - buffer: {name: i, values: [0, 1]}\n  - neg: {name: n, from: i}\n"
            "  - gather: {name: q, from: [t, n]}\n  - relu: {from: input}\n  - multiply: [relu, q]\n",
            *("type", 6, "gather: expected an index of integers, got what is computed of free tensors", "no point"),
        ),
        (
            "  - parameter: {name: g, shape: [1], repeat: 2}\n  - relu\n  - add: g\n",
            *("name", 3, "parameter: the copies have one name", '`name: "g${index}"`'),
        ),
        (
            "  - parameter: {name: g, shape: []}\n  - sigmoid: {name: s, from: g}\n  - multiply: [input, s]\n",
            *("shape", 4, "sigmoid: expected an input of 1 to 6 axes, channels first, got scalar", ""),
        ),
        ("  - relu\n  - add: [1, 2]\n", "argument", 4, "add: expected a tensor among the operands", "${...}"),
        ("  - relu\n  - add: [1]\n", "argument", 4, "add: expected two or more operands, got 1", "`add: NUMBER`"),
        ("  - relu\n  - concat: [relu, 2]\n", "type", 4, "concat: expected text, got the integer 2", ""),
        (
            "  - global_avg_pool\n  - divide: [input, global_avg_pool]\n",
            *("shape", 4, "divide: operands differ: 8x4x4 (input) and 8x1x1", "`broadcast: true` stretches"),
        ),
    ],
)
def test_errors(layers: str, code: str, place: int, message: str, help: str) -> None:
    with pytest.raises(SpecError) as caught:
        graph(layers)
    first = caught.value.diagnostics[0]
    assert (first.code, first.span and first.span.line) == (code, place)
    assert message in first.message
    assert help in (first.help or "")


STANDARDIZED = """\
input: [4, 6, 6]
layers:
  - parameter: {{name: own, shape: {shape}, init: {{normal: 1}}}}
  - parameter: {{name: offset, shape: [6], init: {{normal: 1}}}}
  - reshape: {{name: rows, from: own, shape: {rows}}}
  - layer_norm: {{name: standard, from: rows, axis: last, affine: false}}
  - reshape: {{name: weight, from: standard, shape: {shape}}}
  - {op}: {{name: layer, from: [input, weight, offset], {arguments}}}
"""


@pytest.mark.parametrize(
    ("op", "shape", "arguments", "made"),
    [
        (
            "conv",
            [6, 2, 3, 3],
            "filters: 6, kernel: 3, stride: 2, padding: 1, groups: 2",
            "Conv2d(4, 6, 3, 2, 1, 1, 2)",
        ),
        ("conv_transpose", [4, 6, 3, 3], "filters: 6, kernel: 3, stride: 2", "ConvTranspose2d(4, 6, 3, 2)"),
        ("linear", [6, 6], "units: 6", "Linear(6, 6)"),
    ],
)
def test_a_layer_is_given_weights_that_are_computed(op: str, shape: list[int], arguments: str, made: str) -> None:
    """It computes what torch's own module computes with these weights, and owns none itself."""
    rows = [shape[0], torch.Size(shape[1:]).numel()]
    network, module = build(STANDARDIZED.format(op=op, shape=shape, rows=rows, arguments=arguments))
    assert [*module.state_dict()] == ["own", "offset"]
    layer = eval(f"torch.nn.{made}")
    weight = torch.nn.functional.layer_norm(module.own.flatten(1), rows[1:]).reshape(shape)
    layer.load_state_dict({"weight": weight, "bias": module.offset})
    x = torch.randn(2, 4, 6, 6)
    torch.testing.assert_close(module(x), layer(x))
    assert archspec.verify(network).passed


def test_a_single_number_is_learned() -> None:
    """Its key has no axes, as torch's own has none; it fits any value."""
    network, module = build(
        "input: [3, 4, 4]\nlayers:\n  - parameter: {name: gain, shape: [], init: 0.25}\n  - multiply: gain\n"
    )
    assert network.graph.state_dict() == {"gain": ()}
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(module(x), 0.25 * x)
    assert archspec.verify(network).passed


def test_an_output_depends_on_the_input() -> None:
    with pytest.raises(SpecError, match="`g` follows from free tensors only"):
        archspec.loads("input: [8]\nlayers: [relu, parameter: {name: g, shape: [8]}]\noutputs: [relu, g]\n")


def test_what_has_no_batch_is_counted_once() -> None:
    """The work on free tensors alone is done once for all samples, as torch does it: `verify` compares the two."""
    net = archspec.loads(
        """\
input: [4, 6]
layers:
  - buffer: {name: grid, values: [[0.5, 1.0], [1.0, 2.0]], batch: true}
  - sequential: {name: mlp, from: grid, layers: [linear: 8, relu, linear: 6]}
  - slice: {start: 0, stop: 1}
  - add: {from: [input, slice], broadcast: true}
  - linear: 2
"""
    )
    once, each = 2 * (2 * 8 + 8 * 6), 4 * 6 * 2
    assert net.analyze().totals.macs == once + each
    assert net.analyze(batch=3).totals.macs == once + 3 * each
    assert archspec.verify(net, compiler="none").passed
