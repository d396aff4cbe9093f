"""Steps that are used again: their weights stand there once, their work is done each time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import archspec
from archspec.elaborate import elaborate
from archspec.errors import SpecError
from archspec.report.bundle import bundle_spec
from archspec.report.drawing import as_dot
from archspec.report.spec import show_spec

UNSEEN = Path(__file__).parent / "specs/unseen"

SIAMESE = """\
name: siamese
input: {left: [1, 12, 12], right: [1, 12, 12]}
blocks:
  encoder:
    layers:
      - conv: {filters: 4, kernel: 3}
      - batch_norm
      - relu: {name: act}
      - global_avg_pool
      - flatten
layers:
  - encoder: {from: left}
  - use: {step: encoder, from: right}
  - concat: [encoder, encoder_2]
  - linear: {name: fc, units: 1}
"""

NESTED = """\
name: nested
input: {a: [4, 8, 8], b: [4, 6, 6]}
params: {filters: 4}
blocks:
  pair:
    inputs: [x, y]
    layers:
      - conv: {name: c, from: x, filters: $filters, kernel: 3, padding: 1}
      - batch_norm: {name: n}
      - use: {step: c, name: d, from: y}
      - use: n
      - add: [n, n_2]
  stack:
    layers:
      - pair: {name: p, from: [x, input]}
      - use: {step: p, name: q, from: [p, input]}
      - use: {step: p, from: [q, p]}
      - add: [p, q]
      - concat: [q.d, p_2.c, add]
    inputs: [x]
layers:
  - stack: {name: s, from: a}
  - use: {step: s, name: t, from: b}
  - stack: {name: u, from: b}
  - use: {step: s.p.c, name: w, from: a}
  - conv: {name: z, from: t.q.d, filters: 12}
  - use: {step: z, from: w}
  - add: [t, u, z]
outputs: {out: add, left: s, mid: s.p_2.c, deep: u.p.d, other: z_2}
"""
"""Uses in what is used, values read from inside of them, a block that gets one value twice and then two."""

LOOPS = """\
name: loops
input: [8, 12, 12]
params: {classes: 3, copies: 30}
blocks:
  unit:
    params: {twice: false, stride: 1}
    layers:
      - conv: {name: c1, filters: 8, kernel: 3, padding: 1, stride: $stride}
      - batch_norm: {name: bn}
      - conv: {name: c2, filters: 8, kernel: 3, padding: 1}
      - use: {step: c2, when: $twice}
      - use: bn
      - relu
layers:
  - unit
  - unit: {twice: true}
  - unit: {name: layer, repeat: 3, stride: "${2 if index == 0 else 1}"}
  - sequential:
      name: tail
      layers:
        - conv: {filters: 8, kernel: 3, padding: 1}
        - relu
        - use: "0"
        - use: "1"
  - use: {step: tail, repeat: $copies}
  - use: layer.1
  - inline:
      repeat: 13
      layers:
        - use: tail.0
        - relu
  - max_pool: {name: pool, kernel: 2}
  - use: pool
  - flatten
  - linear: {name: fc, units: $classes}
"""


def loaded(text: str) -> archspec.Network:
    network = archspec.loads(text)
    assert [finding for finding in network.check() if finding.severity == "error"] == []
    return network


def test_weights_count_once_and_work_each_time() -> None:
    network = loaded(SIAMESE)
    nodes = {node.path: node for node in network.graph.nodes}
    assert nodes["encoder_2.conv"].weights_of == "encoder.conv"
    assert nodes["encoder.conv"].weights_of is None
    assert [*network.graph.state_dict()][:3] == [
        "encoder.conv.weight",
        "encoder.conv.bias",
        "encoder.batch_norm.weight",
    ]
    assert not [key for key in network.graph.state_dict() if key.startswith("encoder_2")]
    report = network.analyze()
    assert report.totals.params == 4 * 9 + 4 + 8 + 8 + 1
    assert report.totals.buffers == 4 + 4 + 1
    assert report.totals.macs == 2 * 4 * 9 * 100 + 8
    rows = {layer["path"]: layer for layer in report.to_dict()["layers"]}
    assert (rows["encoder_2.conv"]["params"], rows["encoder_2.conv"]["weights_of"]) == (0, "encoder.conv")
    assert "weights_of" not in rows["encoder.conv"]
    assert re.search(r"^encoder_2 .* shared ", str(report), re.M)
    assert "weights of encoder" in as_dot(network.graph)


def test_sharing_is_a_part_of_the_structure() -> None:
    apart = SIAMESE.replace("use: {step: encoder, from: right}", "encoder: {from: right}")
    assert loaded(SIAMESE).graph.structural_hash() != loaded(apart).graph.structural_hash()


@pytest.mark.parametrize("text", [SIAMESE, NESTED, LOOPS], ids=["siamese", "nested", "loops"])
def test_a_network_is_the_same_shown_bundled_and_worked_out_anew(text: str) -> None:
    network = loaded(text)
    wanted = [(node.path, node.inputs, node.op, node.weights_of) for node in network.graph.nodes]
    others = [
        elaborate(network.document, trace=True).graph,
        loaded(show_spec(network.elaboration)).graph,
        loaded(bundle_spec(network.elaboration, {})).graph,
    ]
    for graph in others:
        assert [(node.path, node.inputs, node.op, node.weights_of) for node in graph.nodes] == wanted
        assert graph.structural_hash() == network.graph.structural_hash()


def test_equal_scopes_share_within_themselves_only() -> None:
    """What is copied from an equal scope has the weights of its own copy, and what a `use` makes is never copied."""
    network = loaded(NESTED)
    owners = {node.path: node.weights_of for node in network.graph.nodes}
    assert owners["u.p.d"] == "u.p.c"
    assert owners["u.q.d"] == "u.p.c"
    assert owners["t.q.d"] == "s.p.c"
    assert owners["w"] == "s.p.c"
    assert owners["u.p.c"] is None


# What does not fit.

HEAD = """\
input: [3, 32, 32]
params: {flag: false}
layers:
  - conv: {name: head, filters: 8, kernel: 3, padding: 1}
  - relu
  - batch_norm: {name: norm, when: $flag}
"""
ERRORS = [
    ("use: haed", "reference", "unknown step `haed`", "did you mean `head`?"),
    (
        "use: later}, {conv: {name: later, filters: 3}",
        "reference",
        "`later` is not defined before this step",
        "a step reads only what stands above it",
    ),
    ("use: norm", "reference", "use: `norm` is left out, so nothing has its weights", "leave the `use` out under"),
    ("use: {step: me, name: me}", "reference", "use: `me` is this step itself", "name the step that has the weights"),
    ("use: input", "reference", "use: `input` is an input, not a step", "applies a step that stands above it"),
    ("use: head.conv", "reference", "use: unknown step `conv` in `head`", "`head` is a single step"),
    ("sequential: [use: head]", "reference", "use: `head` stands outside of this scope", "in the scope of that step"),
    (
        "use: head",
        "shape",
        "use: on 8x32x32, `head` would need a weight of 8x8x3x3, and has one of 8x3x3x3",
        "give it what has the same channels",
    ),
    (
        "use: {step: head, from: input, repeat: 2, name: a}",
        "name",
        "use: the copies of a `use` have no group to be in",
        'write `name: "NAME${index}"`',
    ),
    ("use: {step: head, form: input}", "argument", "use: unknown argument `form`", "did you mean `from`?"),
    ("use", "argument", "use: missing argument `step`", "`use: NAME` applies the step NAME again"),
    (
        "use: {step: head, from: [input, relu]}",
        "shape",
        "use: `head`: conv: weight: expected a free tensor, got 8x32x32",
        "merge what it is to read",
    ),
    ("reuse: head", "op", "unknown op `reuse`", "`use: NAME` applies the step NAME again"),
]


@pytest.mark.parametrize(("step", "code", "message", "help"), ERRORS, ids=[case[0] for case in ERRORS])
def test_what_cannot_be_used(step: str, code: str, message: str, help: str) -> None:
    with pytest.raises(SpecError) as error:
        archspec.loads(_with(step))
    (found,) = [each for each in error.value.diagnostics if each.code != "unused"]
    assert (found.code, found.message) == (code, message)
    assert help in (found.help or "")
    assert found.span is not None
    assert found.span.line == 7


def _with(step: str) -> str:
    """The network with a step at its end, or with several."""
    first, *rest = step.split("}, {")
    return HEAD + "".join(f"  - {each}\n" for each in [first, *rest])


def test_the_same_steps_must_stand() -> None:
    text = """\
input: [4, 8, 8]
blocks:
  unit: {layers: [conv: {name: c, filters: 4, kernel: 3}, relu: {when: "${c.height > 4}"}]}
layers:
  - unit: {name: a}
  - use: a
"""
    with pytest.raises(SpecError, match=r"use: `a\.relu` would not stand on 4x6x6"):
        archspec.loads(text)
    pooled = text.replace('relu: {when: "${c.height > 4}"}', 'avg_pool: {kernel: "${c.height // 2}", stride: 1}')
    with pytest.raises(SpecError, match=r"`a\.avg_pool` would be another layer: its kernel_size 1, not 3"):
        archspec.loads(pooled)


# With torch.


def test_the_module_calls_one_child_twice() -> None:
    torch = pytest.importorskip("torch")
    module = archspec.build(loaded(SIAMESE))
    assert [name for name, _ in module.named_children()] == ["encoder", "fc"]
    calls: list[str] = []
    module.encoder.register_forward_hook(lambda *_: calls.append("encoder"))
    module(torch.randn(2, 1, 12, 12), torch.randn(2, 1, 12, 12))
    assert calls == ["encoder", "encoder"]
    assert module.encoder.batch_norm.num_batches_tracked == 2


def test_features_of_a_second_use_need_the_first_module_only() -> None:
    torch = pytest.importorskip("torch")
    network = loaded(SIAMESE)
    left, right = torch.randn(2, 1, 12, 12), torch.randn(2, 1, 12, 12)
    module = archspec.build(network, features=["encoder_2.act"])
    assert {key.split(".")[0] for key in module.state_dict()} == {"encoder"}
    calls: list[int] = []
    module.encoder.register_forward_hook(lambda *_: calls.append(1))
    other = archspec.build(network, features=["encoder.act"])
    other.load_state_dict(module.state_dict())
    module.eval()
    other.eval()
    assert torch.equal(module(left, right)["encoder_2.act"], other(right, left)["encoder.act"])
    assert len(calls) == 1


@pytest.mark.parametrize("text", [NESTED, LOOPS], ids=["nested", "loops"])
def test_module_and_source_agree(text: str) -> None:
    pytest.importorskip("torch")
    from archspec.backends.verify import verify

    found = verify(loaded(text), compiler="aot_eager")
    assert found.passed, str(found)


def test_source_calls_the_same_attribute_again() -> None:
    source = archspec.generate(loaded(SIAMESE))
    assert "left = self.encoder(left)" in source
    assert "right = self.encoder(right)" in source
    loops = archspec.generate(loaded(LOOPS))
    assert "for _ in range(30):\n            x = self.tail(x)" in loops
    assert "self.layer[1](x)" in loops


# Planted faults: a check that sees nothing is none.


def test_weights_of_its_own_are_a_fault_that_verify_sees() -> None:
    pytest.importorskip("torch")
    from archspec.backends.verify import checks_of, run_check

    network = loaded(SIAMESE)
    node = next(node for node in network.graph.nodes if node.path == "encoder_2.conv")
    node.weights_of = None  # as if the step stood there with weights of its own
    failed = {name for name, check in checks_of(network, "none").items() if not run_check(name, check).passed}
    assert {"params", "state_dict"} <= failed
