"""Each planted fault makes the checks of `verify` fail that should find it, and no others.

A few small networks here; `python tests/faults.py --all` goes through the zoo.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

import archspec

pytest.importorskip("torch")

from faults import FAULTS, failing, tried
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

NETWORKS: dict[str, Callable[[], archspec.Network]] = {
    "everything": lambda: archspec.loads(EVERYTHING),
    "lenet5": lambda: resized("lenet5"),
    "notes_efficient_block": lambda: archspec.load("notes_efficient_block", input=(64, 14, 14)),
    "mobilenet_v2": lambda: resized("mobilenet_v2"),
}
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
    if name == "everything":
        once = {f"{check}: flattened in another order, last place" for check in ("source", "compiled")}
        assert absent == once, "all others have been planted"
