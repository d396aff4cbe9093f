"""Each planted fault makes the checks of `verify` fail that should find it, and no others.

A few small networks here; `python tests/faults.py --all` goes through the zoo.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

import archspec

pytest.importorskip("torch")

from faults import FAULTS, TWISTS, failing, sound, tried
from networks import resized

# Whatever a fault can be planted in, twice where it makes a difference which one it is.
EVERYTHING = """
name: everything
input: {image: [3, 16, 16], more: [6]}
blocks:
  unit:
    params: {filters: 8}
    layers:
      - conv: {name: conv, filters: $filters, kernel: 3, padding: 1, bias: false}
      - batch_norm: {name: norm}
      - relu6
  gate:
    layers:
      - global_avg_pool
      - conv: {filters: 8}
      - sigmoid
      - multiply: [input, sigmoid]
  residual:
    layers:
      - unit: {name: unit}
      - gate: {name: gate}
      - drop_path: 0.4
      - add: [drop_path, input]
layers:
  - conv: {name: stem, from: image, filters: 8, kernel: 3, padding: 1}
  - local_response_norm
  - silu
  - residual: {repeat: 2}
  - local_response_norm
  - max_pool: {name: pool, kernel: 2}
  - unit: {name: left, from: pool, filters: 4}
  - conv: {name: right, from: pool, filters: 4, kernel: 3, padding: 1}
  - concat: {name: both, from: [left, right]}
  - max_pool: 2
  - avg_pool: 2
  - tanh
  - flatten
  - dropout: 0.3
  - linear: {name: hidden, units: 12}
  - concat: {name: joined, from: [hidden, more]}
  - tanh
  - dropout: 0.2
  - linear: {name: head, units: 5}
  - softmax: {name: probabilities}
  - log_softmax: {name: logarithms, from: head}
outputs: {first: probabilities, second: logarithms}
"""

# What attention, free tensors and shared modules add.
TOKENS = """
name: tokens
input: [4, 6, 6]
defaults: {layer_norm: {axis: last}, upsample: {scale: 2, mode: linear}}
blocks:
  mixer:
    layers:
      - layer_norm: {name: norm}
      - linear: {name: qkv, units: "${3 * input.features}"}
      - split: {parts: 3, axis: last}
      - attention: {heads: 2, causal: true}
      - parameter: {name: scale, shape: ["${input.features}"], init: {normal: 1}}
      - multiply: [attention, scale]
      - add: {name: mixed, from: [multiply, input]}
      - parameter: {name: table, shape: [5, "${input.features}"], init: {normal: 1}}
      - buffer: {name: places, values: "${[i % 5 for i in range(input.shape[0])]}"}
      - gather: {name: rows, from: [table, places]}
      - add: [mixed, rows]
layers:
  - conv: {name: twice, filters: 4, kernel: 3, padding: 1}
  - relu
  - use: twice
  - use: twice
  - upsample
  - avg_pool: 2
  - upsample
  - avg_pool: 2
  - to_tokens
  - linear: {name: wide, units: 8}
  - mixer: {repeat: 2}
"""

NETWORKS: dict[str, Callable[[], archspec.Network]] = {
    "everything": lambda: archspec.loads(EVERYTHING),
    "tokens": lambda: archspec.loads(TOKENS),
    "lenet5": lambda: resized("lenet5"),
    "notes_efficient_block": lambda: archspec.load("notes_efficient_block", input=(64, 14, 14)),
    "mobilenet_v2": lambda: resized("mobilenet_v2"),
}
IN_TOKENS = (
    "buffer of another value",
    "module for each use",
    "another weight at a second use",
    "flattened in another order, last place",
    "scale of attention",
    "dropped mask",
    "heads split otherwise",
    "free tensor of another value",
    "shifted index",
    "parts in another order",
    "other align corners",
)
"""What the names of the faults hold that have their place in `tokens` only."""
FADING = "mobilenet_v2"
"""Deep: with the weights that torch draws, its compiled graph could do anything in its first layers."""


@pytest.mark.parametrize("name", NETWORKS)
def test_faults(name: str) -> None:
    assert failing(NETWORKS[name]()) == {}
    absent, missed = set(), {}
    for fault in FAULTS:
        if name == FADING and not fault.name.endswith("first place"):
            continue
        found = tried(fault, NETWORKS[name]())
        if found is None:
            absent.add(fault.name)
        elif wrong := fault.missed_by(found):
            missed[fault.name] = wrong
    assert missed == {}
    in_tokens = {fault.name for fault in FAULTS if any(words in fault.name for words in IN_TOKENS)}
    if name == "everything":
        assert absent == in_tokens, "all others have been planted"
    if name == "tokens":
        assert not absent & in_tokens, "these have been planted here"


def test_a_fault_is_planted_where_it_shows() -> None:
    """Nobody sees equal branches swapped before an `add`, or another filter whose output ReLU sets to 0."""
    text = """
    input: [3, 6, 6]
    layers:
      - conv: {name: left, filters: 4, kernel: 3}
      - conv: {name: right, from: input, filters: 4, kernel: 3}
      - concat: {name: both, from: [left, right], axis: height}
      - conv: {name: mixed, filters: 5}
      - slice: {name: upper, axis: height, start: 0, stop: 4}
      - slice: {name: lower, from: mixed, axis: height, start: 4}
      - add: [upper, lower]
      - concat: {name: shown, from: [add, left]}
    """
    order = next(twist for twist in TWISTS if twist.name == "operands in another order")
    network = archspec.loads(text)
    assert sound(network).shows("source", order) == [1]
    assert sound(network).shows("compiled", order) == [1]
    first = {fault.name: fault for fault in FAULTS}["compiled: operands in another order, first place"]
    assert first.missed_by(tried(first, network) or {}) is None
