"""The weights and inputs of numeric comparisons: every layer shows in the outputs, and what cannot show is said."""

from __future__ import annotations

from typing import Any

import pytest
from networks import ZOO, resized

import archspec

torch = pytest.importorskip("torch")

from archspec.backends.module import build_module  # noqa: E402
from archspec.backends.numerics import (  # noqa: E402
    BATCH,
    Disagreement,
    Trial,
    changes,
    compare,
    draw_inputs,
    fit_weights,
    named,
    prepare,
)

# All kinds of layers with weights, in one, two and three dimensions, with and without biases and norms; factors that
# start at 0 or near it; gates; what drops something in training; several inputs and outputs.
KINDS = """
name: kinds
input: {line: [6, 32], image: [3, 12, 12], volume: [2, 6, 6, 6], code: [5]}
layers:
  - conv: {name: conv1d, from: line, filters: 8, kernel: 3}
  - group_norm: 2
  - tanh
  - conv: {name: dilated, filters: 4, kernel: 3, dilation: 2, bias: false}
  - leaky_relu
  - global_max_pool
  - flatten: {name: one}
  - depthwise_conv: {name: wise, from: image, kernel: 3, multiplier: 2, bias: false}
  - relu
  - conv_transpose: {name: wider, filters: 6, kernel: 3, stride: 2, groups: 2, bias: false}
  - instance_norm: {affine: true}
  - prelu: {num_parameters: 6}
  - scale: {name: small, init: 1.0e-6}
  - drop_path: 0.5
  - relu6
  - layer_norm: {name: norm}
  - global_avg_pool
  - conv: {filters: 6, name: squeeze}
  - hardsigmoid
  - multiply: [norm, hardsigmoid]
  - adaptive_avg_pool: {name: pooled, size: 2}
  - flatten: {name: two}
  - conv: {name: conv3d, from: volume, filters: 4, kernel: 3}
  - batch_norm: {affine: false}
  - selu
  - conv_transpose: {name: back, filters: 2, kernel: 2}
  - local_response_norm
  - flatten: {name: three}
  - dropout: 0.9
  - linear: {name: gauge, units: 1, bias: false}
  - relu: {name: level}
  - concat: [one, two, level, code]
  - linear: {name: hidden, units: 16}
  - batch_norm: {name: last}
  - sigmoid
  - linear: {name: head, units: 3, bias: false}
  - softmax: {name: probabilities}
outputs: {answer: probabilities, side: two}
"""


def effects(trial: Trial) -> dict[str, float]:
    """How far the outputs move, as a part of their norm, for each parameter that moves by its own norm.

    An estimate to first order: the gradients of random sums of the outputs.
    """
    generator = torch.Generator().manual_seed(1)
    outputs = named(trial.module(*trial.inputs), trial.outputs)
    parameters = dict(trial.module.named_parameters())
    found = dict.fromkeys(parameters, 0.0)
    for _ in range(3):
        for value in outputs.values():
            total = (value * torch.randn(value.shape, generator=generator)).sum() / value.detach().norm()
            slopes = torch.autograd.grad(total, list(parameters.values()), retain_graph=True, materialize_grads=True)
            for (name, parameter), slope in zip(parameters.items(), slopes, strict=True):
                found[name] = max(found[name], float(slope.norm() * parameter.detach().norm()))
    return found


NETWORKS = (
    *("lenet5_1998", "googlenet_paper", "nin", "squeezenet1_0", "vgg11", "notes_mobile_block"),
    *("mobilenet_v2", "efficientnet_b0", "efficientnet_b4", "resnet152", "kinds"),
)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_shows(name: str) -> None:
    """A parameter that is off by a tenth moves the outputs by far more than rounding may."""
    graph = (archspec.loads(KINDS) if name == "kinds" else resized(name)).graph
    trial = prepare(graph)
    assert trial.blind == ()
    found = effects(trial)
    assert len(found) == len([key for node in graph.nodes for key in node.op.weights()])
    hidden = {key: effect for key, effect in found.items() if 0.1 * effect < 10 * max(trial.tolerances.values())}
    assert hidden == {}
    assert max(trial.tolerances.values()) < 2e-4


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if position % 8 == 0 else pytest.mark.whole) for position, name in enumerate(ZOO)],
)
def test_every_network_of_the_zoo_shows_its_input_and_first_layer(name: str) -> None:
    trial = prepare(resized(name).graph)
    assert trial.blind == ()
    assert max(trial.tolerances.values()) < 2e-4


def test_the_weights_that_torch_draws_hide_a_deep_network() -> None:
    graph = resized("mobilenet_v2").graph
    trial = prepare(graph, build_module(graph, init="torch"), fit=False)
    first, second = trial.blind
    assert first.startswith("`classifier.1` hardly depends on the input (it moves by")
    assert second.startswith("`classifier.1` hardly depends on `features.0.0` (it moves by")
    assert trial.remarks == f"; {first}; {second}"


@pytest.mark.parametrize(
    ("layers", "blind"),
    [
        ("[{conv: 4}]", ()),
        ("[relu]", ()),
        ("[{softmax: {axis: width}}]", ("`softmax` does not depend on the input",)),
        ("[{conv: 1}, softmax]", ("`softmax` does not depend on the input", "`softmax` does not depend on `conv`")),
        ("[{conv: {filters: 1, bias: false}}, relu, {conv: {filters: 1, bias: false}}, relu]", ()),
        ("[{batch_norm: {name: bn}}, {conv: {name: late, filters: 1}}, softmax]", ("the input", "`late`")),
        ("[sigmoid, prelu]", ("`prelu` does not depend on `prelu`",)),
        ("[{sigmoid: {repeat: 20}}]", ("`sigmoid_20` hardly depends on the input (it moves by 6e-08)",)),
    ],
    ids=["conv", "no weights", "constant", "conv of a constant", "dead or not", "first layer", "unused", "fading"],
)
def test_says_what_cannot_show(layers: str, blind: tuple[str, ...]) -> None:
    trial = prepare(archspec.loads(f"input: [3, 8, 1]\nlayers: {layers}\n").graph)
    assert len(trial.blind) == len(blind)
    assert all(found.endswith(expected) for found, expected in zip(trial.blind, blind, strict=True)), trial.blind


def test_nothing_to_compare() -> None:
    trial = prepare(archspec.loads("input: [4]\nlayers: [{relu: {when: false}}]\n").graph)
    assert trial.blind == ()
    assert torch.equal(*trial.outputs.values(), *trial.inputs)


def test_the_same_seed_gives_the_same_trial_and_random_numbers_stay() -> None:
    graph = archspec.loads(KINDS).graph
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, same, other = prepare(graph), prepare(graph), prepare(graph, seed=1)
    assert torch.equal(torch.rand(3), expected)
    assert one.tolerances == same.tolerances
    for key, value in one.module.state_dict().items():
        assert torch.equal(value, same.module.state_dict()[key]), key
    assert all(torch.equal(*pair) for pair in zip(one.inputs, same.inputs, strict=True))
    assert not any(torch.equal(*pair) for pair in zip(one.inputs, other.inputs, strict=True))
    assert not torch.equal(one.outputs["answer"], other.outputs["answer"])


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_stays_and_factors_of_zero_do_not(training: bool) -> None:
    graph = archspec.loads(KINDS).graph
    module = build_module(graph).train(training)
    module.wider.to(memory_format=torch.channels_last)  # whose weight then has no plain view
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        generator = torch.Generator().manual_seed(0)
        fit_weights(module, draw_inputs(graph, BATCH, generator), generator)
    assert module.training is training
    assert all(child.training is training for child in module.modules())
    assert all(parameter.abs().max() > 0.01 for parameter in module.parameters())
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in module.modules())


@pytest.mark.parametrize(
    ("dtype", "least", "most"), [("float64", 1e-16, 1e-13), ("float32", 1e-7, 1e-4), ("bfloat16", 0.01, 0.5)]
)
def test_tolerances_follow_the_dtype(dtype: str, least: float, most: float) -> None:
    graph = resized("resnet18").graph
    trial = prepare(graph, build_module(graph).to(getattr(torch, dtype)))
    assert {str(value.dtype) for value in trial.inputs} == {f"torch.{dtype}"}
    assert all(least < tolerance < most for tolerance in trial.tolerances.values())


def test_a_right_result_in_another_precision_is_within_the_tolerance() -> None:
    """The tolerance is what rounding explains: float64 agrees with float32, bfloat16 does not."""
    graph = resized("resnet18").graph
    trial = prepare(graph)
    state = trial.module.state_dict()
    for dtype, agrees in ((torch.float64, True), (torch.bfloat16, False)):
        module = build_module(graph).to(dtype).eval()
        module.load_state_dict(state)
        with torch.no_grad():
            found = module(*(value.to(dtype) for value in trial.inputs)).float()
        if agrees:
            assert 0 < trial.compare(found) <= trial.tolerances["fc"]
            continue
        with pytest.raises(Disagreement, match=r"^`fc` is off by .* of its norm, where rounding allows"):
            trial.compare(found)


ONE = {"a": torch.tensor([3.0, 4.0])}


@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        (ONE, {"a": torch.tensor([3.0, 4.5])}, r"^`a` is off by 1\.0e-01 of its norm, where rounding allows 5\.0e-02$"),
        (ONE, {"a": torch.tensor([3.0, float("nan")])}, r"^`a` is off by inf of its norm"),
        (ONE, {"a": torch.tensor([3.0, float("inf")])}, r"^`a` is off by inf of its norm"),
        (ONE, {"a": torch.zeros(1, 2)}, r"^`a` has the shape \(1, 2\) instead of \(2,\)$"),
        ({"a": torch.tensor([float("nan")])}, {"a": torch.tensor([float("nan")])}, r"^`a` is not finite$"),
        ({"a": torch.zeros(2)}, {"a": torch.tensor([0.0, 1e-30])}, r"^`a` is off by inf of its norm"),
    ],
    ids=["off", "nan", "inf", "shape", "not finite", "not zero"],
)
def test_what_disagrees(left: dict[str, Any], right: dict[str, Any], message: str) -> None:
    with pytest.raises(Disagreement, match=message):
        compare(left, right, {"a": 0.05})
    assert compare(left | {"a": torch.zeros(2)}, {"a": torch.zeros(2)}, {"a": 0.05}) == 0


def test_changes_are_parts_of_the_norm() -> None:
    found = changes({**ONE, "b": torch.ones(4)}, {"a": torch.tensor([3.0, 4.5]), "b": torch.ones(4)})
    assert found == {"a": pytest.approx(0.1), "b": 0.0}


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (torch.zeros(1), "^expected 2 outputs, got 1$"),
        ([torch.zeros(1)] * 3, "^expected 2 outputs, got 3$"),
        ({"b": torch.zeros(1), "a": torch.zeros(1)}, "^expected the outputs a, b, got b, a$"),
        ({"a": torch.zeros(1)}, "^expected the outputs a, b, got a$"),
    ],
)
def test_outputs_that_are_not_those(found: Any, message: str) -> None:
    with pytest.raises(Disagreement, match=message):
        named(found, ["a", "b"])
    assert named([1, 2], ["a", "b"]) == named({"a": 1, "b": 2}, ["a", "b"]) == {"a": 1, "b": 2}
