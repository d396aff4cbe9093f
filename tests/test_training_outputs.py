"""Outputs that only training asks for: auxiliary heads, which evaluation skips."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

import archspec
from archspec.analysis.cost import cost
from archspec.errors import SpecError
from archspec.report.spec import show_spec

AUX = """\
name: aux
input: [3, 16, 16]
params: {num_classes: 5, deep: true}
blocks:
  head: {layers: [global_avg_pool, flatten, dropout: 0.5, linear: $num_classes]}
  body:
    layers:
      - conv: {name: c1, filters: 8, kernel: 3, padding: 1}
      - relu
      - conv: {name: side, filters: 4, kernel: 3, padding: 1}
      - conv: {name: c2, from: relu, filters: 8, kernel: 3, padding: 1}
layers:
  - body
  - head: {name: aux1, from: body.side}
  - conv: {name: last, from: body, filters: 6, kernel: 3}
  - head: {name: aux2, when: $deep}
  - head: {name: fc, from: last}
outputs: {fc: fc, aux1: {from: aux1, when: training}, aux2: {from: aux2, when: training}}
"""


def test_figures_are_those_of_evaluation_by_default() -> None:
    network = archspec.loads(AUX)
    graph = network.graph
    assert (list(graph.outputs), sorted(graph.training)) == (["fc", "aux1", "aux2"], ["aux1", "aux2"])
    assert list(graph.evaluation.outputs) == ["fc"]
    assert not [node for node in graph.evaluation.nodes if node.path.startswith(("aux", "body.side"))]
    evaluation, training = network.analyze(), network.analyze(training=True)
    assert evaluation.totals.params == training.totals.params
    assert training.totals.macs - evaluation.totals.macs == 4 * 8 * 9 * 256 + 4 * 5 + 6 * 5
    assert (evaluation.to_dict()["conventions"]["mode"], list(evaluation.outputs)) == ("evaluation", ["fc"])
    assert (training.to_dict()["conventions"]["mode"], len(training.outputs)) == ("training", 3)
    skipped = [layer["path"] for layer in evaluation.to_dict()["layers"] if layer.get("training_only")]
    assert skipped == [layer.path for layer in evaluation.layers if layer.path.startswith(("aux", "body.side"))]
    assert "skipped" in str(evaluation)
    assert "mode" not in archspec.analyze("lenet5").to_dict()["conventions"]


def test_an_output_goes_with_its_step() -> None:
    assert list(archspec.loads(AUX, deep=False).graph.outputs) == ["fc", "aux1"]


def test_the_spec_that_is_shown_says_the_same() -> None:
    network = archspec.loads(AUX)
    again = archspec.loads(show_spec(network.elaboration)).graph
    assert (again.to_dict()["training"], again.outputs) == (["aux1", "aux2"], network.graph.outputs)
    assert json.loads(network.graph.to_json()) == network.graph.to_dict()


ERRORS = [
    ("{fc: fc, aux: {from: aux1, when: trainning}}", "value", "outputs: aux: when: expected `training`, got the text"),
    ("{fc: fc, aux: {from: aux3, when: training}}", "reference", "unknown step `aux3`"),
    ("{fc: fc, aux: {form: aux1, when: training}}", "argument", "outputs: aux: unknown argument `form`"),
    ("{fc: {from: fc, when: training}}", "value", "outputs: expected one that evaluation gives too"),
]


@pytest.mark.parametrize(("outputs", "code", "message"), ERRORS)
def test_what_is_wrong(outputs: str, code: str, message: str) -> None:
    lines = AUX.splitlines()
    lines[-1] = f"outputs: {outputs}"
    with pytest.raises(SpecError) as error:
        archspec.loads("\n".join(lines))
    found = next(each for each in error.value.diagnostics if each.code == code)
    assert found.message.startswith(message)
    assert found.help
    assert found.span is not None
    assert found.span.line == len(lines)


# With torch.


def test_the_module_gives_a_dict_in_training_and_the_tensor_in_evaluation() -> None:
    torch = pytest.importorskip("torch")
    network = archspec.loads(AUX)
    module = archspec.build(network)
    x = torch.randn(2, 3, 16, 16)
    assert {name: tuple(value.shape) for name, value in module(x).items()} == dict.fromkeys(
        ("fc", "aux1", "aux2"), (2, 5)
    )
    calls: list[str] = []
    for name, layer in module.named_modules():
        layer.register_forward_hook(lambda *_, name=name: calls.append(name))
    module.eval()
    assert module(x).shape == (2, 5)
    assert not [name for name in calls if name.startswith("aux") or name == "body.side"]
    assert list(archspec.build(network, features=["aux1"]).eval()(x)) == ["aux1"]
    several = archspec.loads(AUX.replace("outputs: {fc: fc,", "outputs: {fc: fc, last: last,"))
    assert list(archspec.build(several).eval()(x)) == ["fc", "last"]


@pytest.mark.parametrize("training", [True, False])
def test_macs_are_those_that_torch_counts(training: bool) -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    network = archspec.loads(AUX)
    counter = FlopCounterMode(display=False)
    with counter:
        archspec.build(network).train(training)(torch.randn(2, 3, 16, 16))
    assert cost(network.graph, training=training).totals.macs == counter.get_total_flops() // 4


def test_source_asks_whether_it_trains() -> None:
    pytest.importorskip("torch")
    from archspec.backends.verify import verify

    network = archspec.loads(AUX)
    source = archspec.generate(network)
    assert "        if self.training:\n            aux1 = self.aux1(side)" in source
    assert "        if self.training:\n            return {" in source
    assert source.rstrip().endswith("        return fc")
    found = verify(network)
    assert found.passed, str(found)


def test_onnx_has_the_outputs_of_evaluation(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    archspec.export_onnx(archspec.loads(AUX), tmp_path / "aux.onnx")
    assert [output.name for output in onnx.load(tmp_path / "aux.onnx").graph.output] == ["fc"]


def test_inception_v3_is_torchvisions() -> None:
    """`params`, `flops_torch` and the hash of keys and shapes as torchvision 0.29.1 has them."""
    network = archspec.load("inception_v3")
    totals = network.analyze().totals
    assert (totals.params, totals.buffers, 2 * totals.macs) == (27_161_264, 36_320, 11_426_432_192)
    keys = network.graph.state_dict()
    assert len(keys) == 580
    text = "\n".join(f"{key} {'x'.join(map(str, shape))}" for key, shape in sorted(keys.items()))
    digest = "bb1903caf15217f2426a9bea1cad946d86526f853ff09fb5d7d93fa275bfda5b"
    assert hashlib.sha256(text.encode()).hexdigest() == digest
    assert list(archspec.load("inception_v3", aux_logits=False).graph.outputs) == ["logits"]
