"""`register:`, where torch's modules stand in another order than they run."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

import archspec
from archspec.backends.source import generate
from archspec.report.bundle import bundle_spec
from archspec.report.spec import show_spec

torch = pytest.importorskip("torch")

NETWORK = """\
name: reordered
input: [8, 16, 16]
register: [head, blocks]
blocks:
  unit:
    params: {width: , extra: true}
    register: [norm, conv, down]
    layers:
      - conv: {name: conv, filters: $width, kernel: 3, padding: 1}
      - conv: {name: down, filters: $width, when: $extra}
      - batch_norm: {name: norm, when: $extra}
      - relu
  pair:
    register: [ups, beta, downs]
    layers:
      - parameter: {name: alpha, shape: [16, 1], init: {normal: 1}}
      - parameter: {name: beta, shape: [16, 1], init: {normal: 1}}
      - inline:
          repeat: 2
          layers:
            - conv: {name: downs.$index, filters: 8}
            - relu
            - linear: {name: ups.$index, units: 16}
      - multiply: alpha
      - multiply: beta
layers:
  - pair: {name: pair}
  - sequential:
      name: blocks
      register: ["1"]
      layers: [conv: 8, batch_norm, relu]
  - unit: {name: a, width: 8}
  - unit: {name: b, width: 16, extra: false}
  - unit: {name: copies, repeat: 2, width: 16}
  - global_avg_pool
  - flatten
  - linear: {name: head, units: 10}
"""
ORDER = [
    "head.weight",
    "head.bias",
    *(f"blocks.1.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")),
    *("blocks.0.weight", "blocks.0.bias", "pair.beta", "pair.alpha"),
    *(
        f"pair.{layers}.{number}.{name}"
        for layers in ("ups", "downs")
        for number in "01"
        for name in ("weight", "bias")
    ),
]


@pytest.fixture(scope="module")
def network() -> archspec.Network:
    return archspec.loads(NETWORK)


def seeded(make: Any) -> Any:
    torch.manual_seed(0)
    return make().eval()


def test_the_steps_named_come_first(network: archspec.Network) -> None:
    keys = list(network.graph.state_dict())
    assert keys[: len(ORDER)] == ORDER
    assert [key for key in keys if key.startswith("a.")][0::7] == ["a.norm.weight", "a.down.weight"]
    assert [key for key in keys if key.startswith("b.")] == ["b.conv.weight", "b.conv.bias"]
    assert [key.split(".")[2] for key in keys if key.startswith("copies.1.")][::5] == ["norm", "conv"]


def test_module_and_source_register_and_draw_alike(network: archspec.Network) -> None:
    made = seeded(lambda: archspec.build(network))
    space: dict[str, Any] = {"__name__": "generated"}
    exec(generate(network), space)
    written = seeded(space["Reordered"])
    keys = list(network.graph.state_dict())
    assert list(made.state_dict()) == list(written.state_dict()) == keys
    for key, value in made.state_dict().items():
        assert torch.equal(value, written.state_dict()[key]), key
    x = torch.randn(2, 8, 16, 16)
    assert torch.equal(made(x), written(x))
    again = pickle.loads(pickle.dumps(made))
    assert list(again.state_dict()) == keys
    assert torch.equal(again(x), made(x))


def test_only_the_order_differs_from_the_same_network_without_it(network: archspec.Network) -> None:
    lines = [line for line in NETWORK.splitlines() if "register:" not in line]
    plain = archspec.loads("\n".join(lines))
    assert plain.graph.state_dict() == network.graph.state_dict()
    assert list(plain.graph.state_dict()) != list(network.graph.state_dict())
    assert plain.graph.structural_hash() == network.graph.structural_hash()
    assert plain.graph.to_json() != network.graph.to_json()


@pytest.mark.parametrize("bundle", [False, True])
def test_show_keeps_it(network: archspec.Network, bundle: bool) -> None:
    text = bundle_spec(network.elaboration, {}) if bundle else show_spec(network.elaboration)
    again = archspec.loads(text)
    assert again.graph.to_json() == network.graph.to_json()
    assert list(again.graph.state_dict()) == list(network.graph.state_dict())


def test_source_assigns_in_that_order(network: archspec.Network) -> None:
    text = generate(network)
    _, _, pair = text.partition("class Pair(")
    assert (
        pair.index("self.ups =") < pair.index("self.beta =") < pair.index("self.downs =") < pair.index("self.alpha =")
    )
    _, _, unit = text.partition("class Unit(")
    assert unit.index("self.norm =") < unit.index("self.conv =")


def test_layers_of_one_s_own_drop_what_the_extended_file_registers(tmp_path: Path) -> None:
    layers = "layers: [linear: {name: a, units: 4}, linear: {name: b, units: 4}]\n"
    (tmp_path / "base.yaml").write_text(f"input: [4]\nregister: [b]\n{layers}")
    texts = {"inherited": "", "replaced": "register: [a]\n", "dropped": layers.replace("b,", "c,")}
    first = {}
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(f"extends: base\n{text}")
        first[name] = next(iter(archspec.load(tmp_path / f"{name}.yaml").graph.state_dict()))
    assert first == {"inherited": "b.weight", "replaced": "a.weight", "dropped": "a.weight"}


@pytest.mark.parametrize(
    ("register", "message", "help"),
    [
        ("[a, nrom]", "register: no step here is called `nrom`", "did you mean `norm`?"),
        ("[a, a]", "register: `a` stands here twice", None),
        ("[copy0]", "register: no step here is called `copy0`", None),
        ("[]", "register: ", None),
        ("[3]", "register: ", None),
        ("a", "register: ", None),
    ],
)
def test_what_is_wrong(register: str, message: str, help: str | None) -> None:
    text = f"""\
input: [4, 8, 8]
register: {register}
layers:
  - conv: {{name: a, filters: 4}}
  - batch_norm: {{name: norm}}
  - conv: {{name: "copy${{index}}", filters: 4, repeat: 2}}
"""
    with pytest.raises(archspec.SpecError) as caught:
        archspec.loads(text)
    (found,) = caught.value.diagnostics
    assert found.message.startswith(message)
    assert help is None or found.help == help
    assert found.span.line == 2


@pytest.mark.parametrize("scope", ["inline", "conv"])
def test_where_it_does_not_stand(scope: str) -> None:
    layers = "layers: [relu]" if scope == "inline" else "filters: 4"
    with pytest.raises(archspec.SpecError, match="register"):
        archspec.loads(f"input: [4, 8, 8]\nlayers:\n  - {scope}: {{register: [relu], {layers}}}\n")
