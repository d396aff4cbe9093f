"""Steps whose op or block is the value of an expression."""

# ruff: noqa: E501

from __future__ import annotations

import pytest

import archspec
from archspec import SpecError, loads

SPEC = """\
name: chosen
input: [8, 8, 8]
params: {act: relu, unit: basic, merge: add}
blocks:
  basic: {params: {filters: 8}, layers: [conv: {filters: $filters, bias: false}, $act]}
  wide: {params: {filters: 8, act: gelu}, layers: [conv: $filters, $act]}
  again: {params: {b: }, layers: [$b: {b: $b}]}
  merged: {inputs: [a, b], layers: [add: [a, b]]}
layers:
  - conv: {name: stem, filters: 8}
  - $act
  - $unit: {name: body, repeat: 2, filters: 8}
  - $merge: {from: [stem, body]}
  - linear: 3
"""


def paths(text: str, **params: object) -> dict[str, str]:
    return {node.path: node.op.op for node in loads(text, params=params).graph.nodes}


def only_error(text: str, **params: object) -> archspec.Diagnostic:
    with pytest.raises(SpecError) as caught:
        loads(text, params=params)
    (found,) = caught.value.diagnostics
    return found


def test_a_choice_is_the_op_itself() -> None:
    written = SPEC.replace("$act", "relu").replace("$unit", "basic").replace("$merge", "add")
    written = written.replace("params: {act: relu, unit: basic, merge: add}\n", "").replace("act: gelu", "act: 1")
    written = written.replace("  wide: {params: {filters: 8, act: 1}, layers: [conv: $filters, relu]}\n", "")
    assert loads(SPEC).graph.to_json() == loads(written).graph.to_json()


def test_choices_by_params() -> None:
    found = paths(SPEC, act="silu", unit="wide", merge="concat")
    assert found["silu"] == "silu"
    assert found["body.1.gelu"] == "gelu"
    assert found["concat"] == "concat"
    assert paths(SPEC, merge="merged")["merged.add"] == "add"


def test_copies_may_choose_differently() -> None:
    step = "  - $kind: {repeat: {kind: [relu, conv_unit, gelu]}}\n"
    text = SPEC.replace("blocks:\n", "blocks:\n  conv_unit: {layers: [conv: 8]}\n").replace("  - linear: 3\n", step)
    assert list(paths(text).values())[-3:] == ["relu", "conv", "gelu"]


def test_what_is_left_out_need_not_be_chosen() -> None:
    text = "input: [8]\nparams: {act: null}\nlayers: [linear: 3, $act: {when: '${act is not None}'}]"
    assert list(paths(text)) == ["linear"]
    assert list(paths(text.replace("null", "relu"))) == ["linear", "relu"]


@pytest.mark.parametrize(
    ("text", "params", "code", "place", "message", "note", "help"),
    [
        (SPEC.replace("relu", "rellu"), {}, "op", "5:82", "unknown op `rellu`", "`$act` is `rellu`, from <spec>:3:15", "`relu`"),
        (SPEC, {"unit": "swish"}, "op", "12:5", "unknown op `swish`", "`$unit` is `swish`", "`silu`"),
        (SPEC, {"unit": "linear"}, "argument", "12:36", "linear: unknown argument `filters`", "`$unit` is `linear`", "`units`"),
        (SPEC, {"unit": "inline"}, "op", "12:5", "`inline` cannot be chosen", "`$unit` is `inline`", "into a block"),
        (SPEC, {"merge": "relu"}, "argument", "13:20", "relu: expected one input, got 2", None, "merge them first"),
        (SPEC + "  - again: {b: again}\n", {}, "cycle", "7:35", "a block calls itself: `again`", "from <spec>:15:16", None),
        (SPEC.replace("linear: 3", "$n: 3").replace("{act", "{n: 3, act"), {}, "type", "14:5", "got the integer 3", None, "`identity`"),
        (SPEC.replace("linear: 3", "$linea: 3"), {}, "expression", "14:5", "unknown name `linea`", None, None),
        (
            SPEC.replace("linear: 3", "$op: {filters: 3, kernel: x}").replace("{act", "{op: conv, act"),
            {},
            *("type", "14:31", "conv: kernel: expected an integer or a list", "`$op` is `conv`, from <spec>:3:14", None),
        ),
    ],
)  # fmt: skip
def test_mistakes(
    text: str, params: dict[str, str], code: str, place: str, message: str, note: str | None, help: str | None
) -> None:
    with pytest.raises(SpecError) as caught:
        loads(text, params=params)
    found = caught.value.diagnostics[0]
    assert found.code == code
    assert f"{found.span.line}:{found.span.column}" == place
    assert message in found.message
    assert note is None or any(note in each for each in found.notes)
    assert help is None or help in (found.help or "")


def test_a_bundle_keeps_what_may_be_chosen() -> None:
    bundle = archspec.bundle(loads(SPEC)) if hasattr(archspec, "bundle") else None
    if bundle is not None:
        assert "again" in bundle


def test_source_of_a_choice() -> None:
    pytest.importorskip("torch")
    written = archspec.generate(loads(SPEC))
    assert "act" not in written.split("class Chosen(")[1].split("def forward")[0]
    assert "F.relu" in written
    text = SPEC.replace("  - linear: 3\n", "  - wide\n  - wide: {act: silu}\n")
    assert 'nn.GELU() if act == "gelu" else nn.SiLU()' in archspec.generate(loads(text))
