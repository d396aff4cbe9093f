"""Initial weights: what `init:` says, module and generated source draw, number by number from the same seed."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import archspec
from archspec.errors import SpecError, UsageError
from archspec.graph import Graph
from archspec.ops import OPS
from archspec.report.bundle import bundle_spec
from archspec.report.spec import show_spec

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from archspec.backends.verify import _imported, _top_class  # noqa: E402


def build(spec: Any, seed: int = 0, **options: Any) -> Any:
    torch.manual_seed(seed)
    return archspec.build(spec, device="cpu", **options)


def written(network: archspec.Network, seed: int = 0) -> Any:
    """Return the module of the generated source."""
    with _imported(archspec.generate(network)) as source:
        torch.manual_seed(seed)
        return _top_class(source, network.graph)()


def differing(ours: nn.Module, theirs: nn.Module) -> list[str]:
    other = theirs.state_dict()
    assert list(other) == list(ours.state_dict())
    return [key for key, value in ours.state_dict().items() if not torch.equal(value, other[key])]


def rules(graph: Graph) -> dict[str, dict[str, Any]]:
    """Return how each layer is drawn, as a spec writes it."""
    return {
        node.path: {name: draw.written() for name, draw in node.draws.items()} for node in graph.nodes if node.draws
    }


def drawn(text: str, **params: Any) -> dict[str, dict[str, Any]]:
    return rules(archspec.loads(text, **params).graph)


# From the same seed.


def relu_networks(module: nn.Module) -> None:
    """Torchvision's ResNet, written out."""
    for m in module.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")


def mobilenet(module: nn.Module) -> None:
    for m in module.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out")
        elif isinstance(m, nn.Linear):
            nn.init.normal_(m.weight, 0, 0.01)
            nn.init.zeros_(m.bias)


def efficientnet(module: nn.Module) -> None:
    for m in module.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out")
            if m.bias is not None:
                nn.init.zeros_(m.bias)
        elif isinstance(m, nn.Linear):
            bound = 1.0 / math.sqrt(m.out_features)
            nn.init.uniform_(m.weight, -bound, bound)
            nn.init.zeros_(m.bias)


def squeezenet(module: Any) -> None:
    for m in module.modules():
        if isinstance(m, nn.Conv2d):
            if m is module.classifier[1]:
                nn.init.normal_(m.weight, mean=0.0, std=0.01)
            else:
                nn.init.kaiming_uniform_(m.weight)
            nn.init.constant_(m.bias, 0)


def googlenet(module: nn.Module) -> None:
    for m in module.modules():
        if isinstance(m, nn.Conv2d | nn.Linear):
            nn.init.trunc_normal_(m.weight, mean=0.0, std=0.01, a=-2, b=2)


@pytest.mark.parametrize(
    ("name", "loop"),
    [
        ("resnet18", relu_networks),
        ("mobilenet_v2", mobilenet),
        ("efficientnet_b0", efficientnet),
        ("squeezenet1_0", squeezenet),
        ("googlenet", googlenet),
        ("alexnet_torchvision", lambda module: None),
    ],
)
def test_the_zoo_starts_as_torchvision(name: str, loop: Callable[[nn.Module], None]) -> None:
    """Torch's defaults first, then torchvision's own loop over the modules: bit for bit."""
    ours, theirs = build(name), build(name, init="torch")
    loop(theirs)
    assert not differing(ours, theirs)
    assert not differing(ours, written(archspec.load(name)))


@pytest.mark.parametrize("name", ["vgg11", "vgg11_bn"])
def test_vgg_starts_as_torchvision(name: str) -> None:
    graph = archspec.load(name).graph
    conv, linear = {"weight": {"kaiming_normal": "fan_out"}, "bias": 0}, {"weight": {"normal": 0.01}, "bias": 0}
    wanted = {"conv": conv, "linear": linear}
    assert rules(graph) == {node.path: wanted[node.op.op] for node in graph.nodes if node.op.op in wanted}


def test_a_layer_within_an_attention_is_no_linear_of_the_spec() -> None:
    """Torch's `out_proj` is an `nn.Linear`, of which the loop in generated source takes no notice."""
    net = archspec.loads("""\
input: [4, 8]
init: {linear: {normal: 3, bias: 1}}
layers:
  - multi_head_attention: {name: mixed, heads: 2}
  - linear: {name: out_proj, units: 8}
""")
    ours = build(net)
    assert not differing(ours, written(net))
    assert float(ours.mixed.out_proj.weight.detach().abs().max()) < 1
    assert float(ours.out_proj.weight.detach().abs().max()) > 3


EVERYTHING = """
name: everything
input: [3, 16, 16]
params: {num_classes: 10, spread: 0.3}
init:
  conv: {kaiming_normal: fan_out, bias: 0.1}
  depthwise_conv: {xavier_normal: 2}
  conv_transpose: {normal: "${(2 / fan_in) ** 0.5}", bias: {uniform: [-0.1, 0.2]}}
  linear: {uniform: "${1 / fan_out ** 0.5}", bias: {normal: [0.5, 0.25]}}
  layer_norm: {weight: {normal: [1, 0.02]}, bias: ones}
blocks:
  residual:
    params: {filters: , deep: false}
    init:
      depthwise_conv: {orthogonal: 0.7, bias: {trunc_normal: $spread}}
    layers:
      - conv: {name: conv1, filters: $filters, kernel: 3, padding: 1, bias: false}
      - batch_norm: {name: bn1}
      - relu
      - depthwise_conv: {name: conv2, kernel: 3, padding: 1}
      - batch_norm: {name: bn2, init: zeros}
      - conv: {name: extra, filters: $filters, when: $deep, init: {xavier_uniform: 1}}
      - add: input
layers:
  - conv: {name: stem, filters: 8}
  - batch_norm: {affine: false}
  - residual: {name: stage, repeat: 3, filters: 8, deep: "${index == 1}"}
  - depthwise_conv: {name: plain, kernel: 3, init: torch}
  - depthwise_conv: {name: drawn, kernel: 1}
  - conv: {name: head, filters: 8, init: {kaiming_uniform: {mode: fan_out, nonlinearity: sigmoid}}}
  - conv: {name: slope, filters: 8, init: {kaiming_normal: {a: 0.2}}}
  - conv_transpose: {filters: 8, kernel: 2}
  - layer_norm
  - sequential:
      name: tail
      init: {linear: {trunc_normal: 0.02}}
      layers:
        - global_avg_pool
        - flatten
        - linear: 12
        - relu
        - linear: {units: 12, init: {bias: {uniform: 0.5}}}
  - linear: {name: fc, units: $num_classes}
"""


def test_source_draws_the_same_numbers() -> None:
    """Every scheme, in every place where a rule may stand."""
    network = archspec.loads(EVERYTHING)
    schemes = {draw.scheme for node in network.graph.nodes for draw in node.draws.values()}
    assert schemes >= {"normal", "trunc_normal", "uniform", "constant", "zeros", "ones", "orthogonal"}
    assert {scheme for scheme in schemes if scheme.startswith(("kaiming", "xavier"))} == {
        *("kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform")
    }
    assert not differing(build(network, seed=7), written(network, seed=7))
    for name in ("source", "state_dict"):
        assert next(check for check in archspec.verify(network, compiler="none").checks if check.name == name).passed


def test_source_draws_for_other_values_of_its_arguments() -> None:
    """`num_classes` stays an argument, and the bound follows it; `spread`, which the loop does not see, does not."""
    network = archspec.loads(EVERYTHING)
    text = archspec.generate(network)
    assert "def __init__(self, num_classes: int = 10) -> None:" in text
    assert "bound = 1 / m.out_features**0.5" in text
    with _imported(text) as source:
        torch.manual_seed(0)
        theirs = _top_class(source, network.graph)(num_classes=4)
    assert not differing(build(archspec.loads(EVERYTHING, num_classes=4)), theirs)


def test_the_loop_in_the_source() -> None:
    text = archspec.generate(archspec.load("resnet18"))
    assert (
        """\
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")

"""
        in text
    )
    zero = archspec.loads(
        """
name: zero
extends: resnet18
blocks:
  residual:
    params: {filters: , stride: 1}
    layers:
      - conv: {name: conv1, filters: $filters, kernel: 3, stride: $stride, padding: 1}
      - batch_norm: {name: bn1}
      - relu
      - conv: {name: conv2, filters: $filters, kernel: 3, padding: 1}
      - batch_norm: {name: bn2, init: zeros}
      - sequential:
          name: downsample
          from: input
          when: ${stride != 1 or input.channels != filters}
          layers:
            - conv: {filters: $filters, stride: $stride}
            - batch_norm
      - add: [bn2, downsample]
      - relu
"""
    )
    lines = [line.strip() for line in archspec.generate(zero).splitlines()]
    at = lines.index('elif isinstance(m, nn.BatchNorm2d) and name.endswith(".bn2"):')
    assert lines[at + 1] == "nn.init.zeros_(m.weight)"
    assert "init" not in archspec.generate(archspec.load("lenet5")).replace("__init__", "")


def test_the_loop_passes_over_modules_within_a_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer may hold a linear layer of its own, as torch's attention does: a rule for `linear` is not about it."""
    monkeypatch.setattr(OPS["batch_norm"], "submodules", {"inner": "nn.Linear"})
    text = "input: [4]\ninit: {linear: {normal: 1}}\nlayers: [linear: 4, batch_norm, linear: 5]\n"
    lines = [line.strip() for line in archspec.generate(archspec.loads(text)).splitlines()]
    at = lines.index('if isinstance(m, nn.Linear) and name != "batch_norm.inner":')
    assert lines[at - 1 : at + 2 : 2] == [
        "for name, m in self.named_modules():",
        "nn.init.normal_(m.weight, std=1)",
    ]


def test_other_seeds_and_torchs_own() -> None:
    assert not differing(build(archspec.loads(EVERYTHING), 3), build(archspec.loads(EVERYTHING), 3))
    assert differing(build(archspec.loads(EVERYTHING), 3), build(archspec.loads(EVERYTHING), 4))
    plain = build(archspec.loads(EVERYTHING), init="torch")
    torch.manual_seed(0)
    assert torch.equal(plain.stem.weight, nn.Conv2d(3, 8, 1).weight)
    with pytest.raises(UsageError, match="unknown init 'spek'") as found:
        archspec.build("lenet5", init="spek")
    assert found.value.diagnostics[0].help == "did you mean `spec`?"


# The distributions.


@pytest.mark.parametrize(
    ("rule", "mean", "std", "limit"),
    [
        ("{normal: 0.02}", 0, 0.02, math.inf),
        ("{normal: [0.5, 0.02]}", 0.5, 0.02, math.inf),
        ("{trunc_normal: 2}", 0, 2 * 0.5396, 2),
        ("{uniform: 0.3}", 0, 0.3 / 3**0.5, 0.3),
        ("{uniform: [0.1, 0.5]}", 0.3, 0.4 / 12**0.5, 0.5),
        ("kaiming_normal", 0, (2 / (32 * 9)) ** 0.5, math.inf),
        ("{kaiming_normal: fan_out}", 0, (2 / (64 * 9)) ** 0.5, math.inf),
        ("{kaiming_uniform: fan_in}", 0, (2 / (32 * 9)) ** 0.5, (6 / (32 * 9)) ** 0.5),
        ("{kaiming_uniform: {mode: fan_out, nonlinearity: sigmoid}}", 0, 1 / (64 * 9) ** 0.5, (3 / (64 * 9)) ** 0.5),
        ("{kaiming_normal: {a: 1}}", 0, 1 / (32 * 9) ** 0.5, math.inf),
        ("{xavier_normal: 3}", 0, 3 * (2 / (96 * 9)) ** 0.5, math.inf),
        ("xavier_uniform", 0, (2 / (96 * 9)) ** 0.5, (6 / (96 * 9)) ** 0.5),
        ('{normal: "${(2 / fan_out) ** 0.5}"}', 0, (2 / (64 * 9)) ** 0.5, math.inf),
        ("torch", 0, 1 / (3 * 32 * 9) ** 0.5, 1 / (32 * 9) ** 0.5),
        ("ones", 1, 0, 1),
        ("0.25", 0.25, 0, 0.25),
    ],
)
def test_moments(rule: str, mean: float, std: float, limit: float) -> None:
    """Mean and deviation within five standard errors of the sample; nothing beyond the limit."""
    text = f"input: [32, 8, 8]\ninit: {{conv: {rule}}}\nlayers: [conv: {{filters: 64, kernel: 3}}]\n"
    weight = build(archspec.loads(text)).conv.weight.detach().double()
    count = weight.numel()
    assert float(weight.mean()) == pytest.approx(mean, abs=5 * std / count**0.5)
    assert float(weight.std()) == pytest.approx(std, rel=5 / (2 * count) ** 0.5)
    assert float(weight.abs().max()) <= limit * (1 + 1e-6)


def test_orthogonal() -> None:
    text = "input: [8]\nlayers: [linear: {units: 8, init: {orthogonal: 2}}]\n"
    weight = build(archspec.loads(text)).linear.weight.detach()
    assert torch.allclose(weight @ weight.T, 4 * torch.eye(8), atol=1e-5)


# Which rule holds.

PLACES = """
input: [3, 8, 8]
init: {conv: {normal: 1, bias: 1}, linear: {normal: 1}}
blocks:
  inner:
    layers: [conv: {name: c, filters: 3}]
  outer:
    init: {conv: {normal: 2}}
    layers:
      - conv: {name: a, filters: 3}
      - inner
      - conv: {name: b, filters: 3, init: {normal: 3}}
      - sequential: {name: s, init: {conv: {normal: 4}}, layers: [conv: 3, inner]}
      - inline: {init: {conv: {normal: 5}}, layers: [conv: {name: i, filters: 3, init: {bias: 5}}]}
      - conv: {name: t, filters: 3, init: torch}
layers:
  - conv: {name: first, filters: 3}
  - outer
  - inner
"""


def test_the_nearest_rule_holds() -> None:
    """Step over scopes, inner scopes over outer ones, these over the top; each tensor by itself."""
    found = {path: (rule.get("weight", {}).get("normal"), rule["bias"]) for path, rule in drawn(PLACES).items()}
    assert found == {
        "first": (1, 1),
        "outer.a": (2, 1),
        "outer.inner.c": (2, 1),
        "outer.b": (3, 1),
        "outer.s.0": (4, 1),
        "outer.s.1.c": (4, 1),
        "outer.i": (5, 5),
        "outer.t": (None, 1),
        "inner.c": (1, 1),
    }


def test_values_follow_the_copies_of_a_block() -> None:
    text = """
input: [3, 8, 8]
params: {depth: 4, scheme: {xavier_normal: 2}}
blocks:
  unit:
    params: {std: 0.5}
    init: {conv: {normal: $std}}
    layers:
      - sequential:
          - conv: 3
          - conv: {filters: 3, kernel: "${1 if std < 0.5 else 3}", init: {bias: "${std / fan_in}"}}
layers:
  - unit: {repeat: $depth, std: "${1 / (index + 1)}"}
  - conv: {filters: 3, init: $scheme}
"""
    found = drawn(text)
    assert [found[f"unit{n}.sequential.0"]["weight"] for n in ("", "_2", "_3")] == [
        {"normal": 1 / n} for n in (1, 2, 3)
    ]
    assert found["unit_2.sequential.1"] == {"weight": {"normal": 0.5}, "bias": 0.5 / 27}
    assert found["unit_4.sequential.1"] == {"weight": {"normal": 0.25}, "bias": 0.25 / 3}
    assert found["conv"] == {"weight": {"xavier_normal": 2}}
    assert drawn(text, depth=1, params={"scheme": {"orthogonal": 1}})["conv"] == {"weight": {"orthogonal": 1}}


def test_extends_and_include(tmp_path: Path) -> None:
    """`extends` lays rules over each other op by op; an included file speaks of its own blocks only."""
    (tmp_path / "library.yaml").write_text(
        "init: {conv: {normal: 7}}\nblocks:\n  unit:\n    layers: [conv: 3, linear: 4]\n"
        "  own:\n    init: {conv: {normal: 8}}\n    layers: [conv: 3]\n"
    )
    (tmp_path / "base.yaml").write_text(
        "input: [3, 8, 8]\ninclude: [library.yaml]\ninit: {conv: {normal: 1, bias: 1}, linear: {normal: 2}}\n"
        "layers: [conv: 3, unit, own]\n"
    )
    (tmp_path / "net.yaml").write_text("extends: base.yaml\ninit: {conv: {xavier_normal: 3}}\n")
    base, net = (archspec.load(tmp_path / f"{name}.yaml") for name in ("base", "net"))
    assert rules(base.graph) == {
        "conv": {"weight": {"normal": 1}, "bias": 1},
        "unit.conv": {"weight": {"normal": 7}, "bias": 1},
        "unit.linear": {"weight": {"normal": 2}},
        "own.conv": {"weight": {"normal": 8}, "bias": 1},
    }
    assert rules(net.graph)["conv"] == {"weight": {"xavier_normal": 3}}
    for network in (base, net):
        assert drawn(bundle_spec(network.elaboration, {})) == rules(network.graph)


@pytest.mark.parametrize("text", [EVERYTHING, PLACES])
def test_shown_bundled_and_pickled(text: str) -> None:
    network = archspec.loads(text)
    wanted = rules(network.graph)
    assert wanted
    assert drawn(show_spec(network.elaboration)) == wanted
    assert drawn(bundle_spec(network.elaboration, {})) == wanted
    for other in (pickle.loads(pickle.dumps(network)), copy.deepcopy(network)):
        assert rules(other.graph) == wanted


# What bad rules get.


@pytest.mark.parametrize(
    ("init", "code", "place", "message", "help"),
    [
        (
            "{conv: kaming_normal}",
            "value",
            (2, 14),
            "init: conv: unknown scheme `kaming_normal`",
            "did you mean `kaiming_normal`?",
        ),
        (
            "{conv: {he_normal: fan_in}}",
            "argument",
            (2, 15),
            "init: conv: unknown scheme `he_normal`",
            "did you mean `kaiming_normal`?",
        ),
        (
            "{conv: {bias: glorot}}",
            "value",
            (2, 21),
            "init: conv: unknown scheme `glorot`",
            "did you mean `xavier_uniform`?",
        ),
        (
            "{conv: {constant: 1}}",
            "argument",
            (2, 15),
            "init: conv: unknown scheme `constant`",
            "a constant is written as its number: `bias: 0.1`",
        ),
        (
            "{conv: {kaiming_normal: fanout}}",
            "value",
            (2, 31),
            "init: conv: kaiming_normal: mode: expected one of fan_in, fan_out, got `fanout`",
            "did you mean `fan_out`?",
        ),
        ("{conv: {normal: -1}}", "value", (2, 23), "init: conv: normal: std: expected at least 0, got -1", None),
        (
            "{conv: {normal: '${1 - fan_in}'}}",
            "value",
            (2, 23),
            "init: conv: weight: normal: std: expected at least 0, got -2",
            None,
        ),
        (
            "{conv: normal}",
            "argument",
            (2, 14),
            "init: conv: `normal` needs `std`, or `[mean, std]`",
            "write `{normal: 0.01}`",
        ),
        (
            "{conv: {uniform: [1, 0]}}",
            "value",
            (2, 24),
            "init: conv: uniform: expected `[low, high]`, got [1, 0]",
            "write [0, 1]",
        ),
        (
            "{conv: {bias: orthogonal}}",
            "shape",
            (2, 21),
            "init: conv: bias: `orthogonal` needs a tensor of two axes or more, and this one has one axis",
            "`normal`, `uniform`, `zeros`, `ones` or a number draw any tensor",
        ),
        (
            "{conv: {bias: '${fan_in}', normal: 1}, batch_norm: {normal: '${1 / fan_in}'}}",
            "expression",
            (2, 67),
            "init: batch_norm: its weight has one axis, and so no `fan_in` and `fan_out`",
            "a number, or an expression without them",
        ),
        (
            "{conv: {normal: 1, uniform: 1}}",
            "argument",
            (2, 26),
            "init: conv: the weight is drawn once, and here are `normal` and `uniform`",
            "one scheme for the weight",
        ),
        ("{relu: zeros}", "op", (2, 8), "init: unknown op `relu`", "`relu` has no weights to draw"),
        ("{scale: zeros}", "op", (2, 8), "init: unknown op `scale`", "`scale` has an argument `init` of its own"),
        ("{dense: zeros}", "op", (2, 8), "init: unknown op `dense`", "did you mean `linear`?"),
        (
            "{normal: 1}",
            "op",
            (2, 8),
            "init: unknown op `normal`",
            "weights are drawn op by op: `init: {conv: {normal: ...}}`",
        ),
        (
            "zeros",
            "type",
            (2, 7),
            "init: expected a mapping, got the text 'zeros'",
            "by op: `{conv: {kaiming_normal: fan_out}}`",
        ),
        ("{conv: $missing}", "expression", (2, 14), "unknown name `missing`", None),
    ],
)
def test_bad_rules(init: str, code: str, place: tuple[int, int], message: str, help: str | None) -> None:
    text = f"input: [3, 8, 8]\ninit: {init}\nlayers: [conv: 8, batch_norm, relu]\n"
    with pytest.raises(SpecError) as found:
        archspec.loads(text)
    (fault,) = found.value.diagnostics
    assert fault.span is not None
    assert (fault.code, (fault.span.line, fault.span.column), fault.message) == (code, place, message)
    if help is not None:
        assert fault.help == help


def test_a_rule_on_a_step_without_weights() -> None:
    with pytest.raises(SpecError) as found:
        archspec.loads("input: [3, 8, 8]\nlayers: [relu: {init: zeros}]\n")
    (fault,) = found.value.diagnostics
    assert (fault.message, fault.help) == ("relu: unknown argument `init`", "`relu` has no weights to draw")
