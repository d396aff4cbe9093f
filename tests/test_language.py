"""The rules of the language, one small spec each: which layers it means, what they read, what shape they have."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

import archspec


def layers(text: str, **params: object) -> dict[str, tuple[str, ...]]:
    """Path and inputs of every layer that a spec's steps stand for."""
    head = "" if "input:" in text else "input: [4, 8, 8]\n"
    net = archspec.loads(head + dedent(text), **params)
    return {node.path: node.inputs for node in net.graph.nodes}


RULES: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "an unnamed step takes the op's name, then numbers from 2 on": (
        "layers: [relu, relu, tanh, relu]",
        {"relu": ("input",), "relu_2": ("relu",), "tanh": ("relu_2",), "relu_3": ("tanh",)},
    ),
    "an unnamed step never takes a name that is given already": (
        "layers: [relu, {relu: {name: relu_2}}, relu]",
        {"relu": ("input",), "relu_2": ("relu",), "relu_3": ("relu_2",)},
    ),
    "in a sequential, unnamed steps are called by their position": (
        "layers: [{sequential: {name: s, layers: [relu, {tanh: {name: t}}, relu]}}]",
        {"s.0": ("input",), "s.t": ("s.0",), "s.2": ("s.t",)},
    ),
    "a sequential may be a plain list": (
        "layers: [{sequential: [relu, tanh]}, relu]",
        {"sequential.0": ("input",), "sequential.1": ("sequential.0",), "relu": ("sequential.1",)},
    ),
    "inline splices its steps into the surrounding scope": (
        "layers: [{sequential: [{inline: [relu, tanh]}, relu]}]",
        {"sequential.0": ("input",), "sequential.1": ("sequential.0",), "sequential.2": ("sequential.1",)},
    ),
    "`input` within an inline is the surrounding scope's": (
        "layers: [relu, {inline: [tanh, {add: input}]}]",
        {"relu": ("input",), "tanh": ("relu",), "add": ("tanh", "input")},
    ),
    "`input` within a sequential is the sequential's": (
        "layers: [relu, {sequential: {name: s, layers: [tanh, {add: input}]}}]",
        {"relu": ("input",), "s.0": ("relu",), "s.1": ("s.0", "relu")},
    ),
    "names outside a sequential stay visible": (
        "layers: [{relu: {name: r}}, tanh, {sequential: {name: s, layers: [tanh, {add: r}]}}]",
        {"r": ("input",), "tanh": ("r",), "s.0": ("tanh",), "s.1": ("s.0", "r")},
    ),
    "a merge with one name adds the previous step": (
        "layers: [{relu: {name: a}}, tanh, {add: a}]",
        {"a": ("input",), "tanh": ("a",), "add": ("tanh", "a")},
    ),
    "a merge with a list reads the list": (
        "layers: [{relu: {name: a}}, {tanh: {name: b, from: input}}, {concat: [b, a, b]}]",
        {"a": ("input",), "b": ("input",), "concat": ("b", "a", "b")},
    ),
    "a dotted name reaches into a scope that stands before": (
        "layers: [{sequential: {name: s, layers: [relu, tanh]}}, {add: s.0}]",
        {"s.0": ("input",), "s.1": ("s.0",), "add": ("s.1", "s.0")},
    ),
    "the name of a scope is its last step": (
        "layers: [{sequential: {name: s, layers: [relu, tanh]}}, relu, {add: s}]",
        {"s.0": ("input",), "s.1": ("s.0",), "relu": ("s.1",), "add": ("relu", "s.1")},
    ),
    "who reads a step that is left out reads its first input": (
        "layers: [{relu: {name: a}}, {tanh: {name: b, from: input, when: false}}, tanh, {add: [a, b, tanh]}]",
        {"a": ("input",), "tanh": ("input",), "add": ("a", "input", "tanh")},
    ),
    "a step that is left out takes no number": (
        "layers: [{sequential: [{relu: {when: false}}, relu, {tanh: {name: t, when: false}}, tanh]}, relu]",
        {"sequential.0": ("input",), "sequential.1": ("sequential.0",), "relu": ("sequential.1",)},
    ),
    "repeat makes a chain": (
        "layers: [{relu: {repeat: 3}}]",
        {"relu": ("input",), "relu_2": ("relu",), "relu_3": ("relu_2",)},
    ),
    "repeat 0 leaves the step out": ("layers: [{relu: {repeat: 0}}, tanh]", {"tanh": ("input",)}),
    "a named repeat is a group": (
        "layers: [{relu: {name: r, repeat: 2}}, {add: r.0}]",
        {"r.0": ("input",), "r.1": ("r.0",), "add": ("r.1", "r.0")},
    ),
    "a name that uses `index` makes the copies siblings": (
        'layers: [{relu: {name: "r${index + 1}", repeat: 2}}, {add: r1}]',
        {"r1": ("input",), "r2": ("r1",), "add": ("r2", "r1")},
    ),
    "repeat over a list binds each entry": (
        "params: {ops: [{f: 2}, {f: 3}]}\nlayers: [{conv: {repeat: {s: $ops}, filters: $s.f}}]",
        {"conv": ("input",), "conv_2": ("conv",)},
    ),
    "copies of a merge keep the other values": (
        "layers: [{relu: {name: a}}, tanh, {add: {from: a, repeat: 2}}]",
        {"a": ("input",), "tanh": ("a",), "add": ("tanh", "a"), "add_2": ("add", "a")},
    ),
    "`when` is asked for every copy": (
        'layers: [{relu: {repeat: 3, name: r, when: "${index != 1}"}}]',
        {"r.0": ("input",), "r.1": ("r.0",)},
    ),
    "a block is a scope with its arguments": (
        "blocks: {b: {params: {f: , k: 1}, layers: [{conv: {filters: $f, kernel: $k}}, relu]}}\n"
        "layers: [{b: {name: x, f: 3}}, {b: {f: 2, k: 3}}]",
        {"x.conv": ("input",), "x.relu": ("x.conv",), "b.conv": ("x.relu",), "b.relu": ("b.conv",)},
    ),
    "a block may be called with its first argument alone": (
        "blocks: {b: {params: {f: }, layers: [{conv: $f}]}}\nlayers: [{b: 3}]",
        {"b.conv": ("input",)},
    ),
    "a block with several inputs": (
        "blocks: {b: {inputs: [x, skip], layers: [{relu: {from: x}}, {add: skip}]}}\n"
        "layers: [{relu: {name: r}}, {b: {from: [r, input]}}]",
        {"r": ("input",), "b.relu": ("r",), "b.add": ("b.relu", "input")},
    ),
    "several inputs": (
        "input: {left: [4, 8, 8], right: [4, 8, 8]}\nlayers: [{relu: {from: right}}, {add: left}]",
        {"relu": ("right",), "add": ("relu", "left")},
    ),
    "a quoted number is a name": (
        'layers: [{relu: {name: "7"}}, {add: {from: ["7", input]}}]',
        {"7": ("input",), "add": ("7", "input")},
    ),
    "names may hold expressions": (
        'params: {n: 2}\nlayers: [{relu: {name: "r$n"}}, {tanh: {from: "r${n}"}}]',
        {"r2": ("input",), "tanh": ("r2",)},
    ),
}


@pytest.mark.parametrize("title", RULES)
def test_rule(title: str) -> None:
    text, expected = RULES[title]
    assert layers(text) == expected


VALUES = {
    "`let` sees what stands before it and the scope's input": (
        "layers: [{sequential: {let: {a: '${input.channels * 2}', b: '${a + 1}'}, layers: [{conv: $b}]}}]",
        (9, 8, 8),
    ),
    "a tensor tells its axes": ("layers: [{conv: '${input.channels + input.height + input.width}'}]", (20, 8, 8)),
    "a step's name is a tensor": ("layers: [{conv: {name: c, filters: 5}}, {conv: '${c.channels * 2}'}]", (10, 8, 8)),
    "a value wins over a step of the same name": (
        "params: {c: 7}\nlayers: [{relu: {name: c}}, {conv: $c}]",
        (7, 8, 8),
    ),
    "params may use the ones before": ("params: {a: 3, b: '${a * 2}'}\nlayers: [{conv: $b}]", (6, 8, 8)),
    "a block sees the document's params": (
        "params: {f: 6}\nblocks: {b: {layers: [{conv: $f}]}}\nlayers: [b]",
        (6, 8, 8),
    ),
    "a default of a block may use its input": (
        "blocks: {b: {params: {f: '${input.channels * 3}'}, layers: [{conv: $f}]}}\nlayers: [b]",
        (12, 8, 8),
    ),
    "defaults hold where a step gives nothing": (
        "defaults: {conv: {kernel: 3, padding: 1}}\nlayers: [{conv: 2}, {conv: {filters: 3, padding: 0}}]",
        (3, 6, 6),
    ),
    "padding half": ("layers: [{conv: {filters: 2, kernel: 5, dilation: 2, padding: half}}]", (2, 8, 8)),
    "padding same, with a stride": ("layers: [{conv: {filters: 2, kernel: 3, stride: 3, padding: same}}]", (2, 3, 3)),
    "a pair of paddings an axis": ("layers: [{conv: {filters: 2, kernel: 2, padding: [[0, 1], [1, 0]]}}]", (2, 8, 8)),
    "a size an axis": ("layers: [{max_pool: {kernel: [2, 4]}}]", (4, 4, 2)),
    "1-D": ("input: [4, 9]\nlayers: [{conv: {filters: 2, kernel: 3}}]", (2, 7)),
    "3-D": ("input: [4, 9, 9, 9]\nlayers: [{conv: {filters: 2, kernel: 3}}]", (2, 7, 7, 7)),
    "1e-5 is a float": ("layers: [{batch_norm: {eps: 1e-5}}]", (4, 8, 8)),
}


@pytest.mark.parametrize("title", VALUES)
def test_value(title: str) -> None:
    text, expected = VALUES[title]
    head = "" if "input:" in text else "input: [4, 8, 8]\n"
    graph = archspec.loads(head + text).graph
    assert graph.nodes[-1].shape == expected


def codes(text: str) -> list[str]:
    with pytest.raises(archspec.SpecError) as caught:
        archspec.loads("input: [4, 8, 8]\n" + text)
    return [found.code for found in caught.value.diagnostics]


def test_a_block_sees_nothing_else_of_its_caller() -> None:
    steps = "layers:\n  - relu: {name: r}\n  - sequential: {let: {f: 3}, layers: [b]}\n"
    assert codes("blocks: {b: {layers: [{add: r}]}}\n" + steps) == ["reference"]
    assert codes("blocks: {b: {layers: [{conv: $f}]}}\n" + steps) == ["expression"]


def test_outputs() -> None:
    base = "input: [4, 8, 8]\nparams: {both: true}\nlayers: [{relu: {name: a}}, {tanh: {name: b}}]\noutputs: "
    assert archspec.loads(base.replace("params: {both: true}\n", "") + "[b, a]").graph.outputs == {"b": "b", "a": "a"}
    assert archspec.loads(base.replace("params: {both: true}\n", "") + "{x: a, y: b}").graph.outputs == {"x": "a", "y": "b"}
    text = base + "\"${['a', 'b'] if both else ['b']}\""
    assert list(archspec.loads(text).graph.outputs) == ["a", "b"]
    assert list(archspec.loads(text, both=False).graph.outputs) == ["b"]


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(dedent(text), encoding="utf-8")


def test_extends_lays_one_file_over_another(tmp_path: Path) -> None:
    write(
        tmp_path,
        base="""
            input: [4, 8, 8]
            params: {f: 2, g: "${f * 2}"}
            defaults: {conv: {kernel: 3, padding: 1}}
            blocks: {b: {layers: [{conv: $f}]}}
            layers: [b, {conv: $g}]
            expect: {params: 1}
        """,
        child="""
            extends: base
            params: {f: 5}
            defaults: {conv: {bias: false}}
            blocks: {b: {layers: [{conv: $f}, relu]}}
        """,
    )
    net = archspec.load(tmp_path / "child.yaml")
    assert [node.path for node in net.graph.nodes] == ["b.conv", "b.relu", "conv"]
    assert [node.shape for node in net.graph.nodes][-1] == (10, 8, 8)
    assert {node.op.args()["bias"] for node in net.graph.nodes if node.op.op == "conv"} == {False}
    assert net.check() == (), "what is expected of the base is not expected of what extends it"
    assert net.name == "child"


def test_included_blocks_see_their_arguments_only(tmp_path: Path) -> None:
    write(
        tmp_path,
        parts="""
            defaults: {conv: {bias: false}}
            blocks: {b: {params: {f: }, layers: [{conv: $f}]}}
        """,
        leaky="blocks: {b: {layers: [{conv: $f}]}}",
        good="input: [4, 8, 8]\ninclude: [parts.yaml]\nlayers: [{b: {f: 3}}, {conv: 2}]\n",
        bad="input: [4, 8, 8]\nparams: {f: 3}\ninclude: [leaky.yaml]\nlayers: [b, {conv: $f}]\n",
    )
    first, second = archspec.load(tmp_path / "good.yaml").graph.nodes
    assert (first.op.args()["bias"], second.op.args()["bias"]) == (False, True)
    with pytest.raises(archspec.SpecError, match=r"nothing here is called `f`"):
        archspec.load(tmp_path / "bad.yaml")


def test_a_misspelt_param_of_an_extending_file_is_found(tmp_path: Path) -> None:
    write(tmp_path, mine="extends: resnet18\nparams: {num_clases: 10}\n")
    with pytest.raises(archspec.SpecError, match="did you mean `num_classes`"):
        archspec.load(tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    ("figure", "holds"),
    [
        ("32", True),
        ("33", False),
        ("'32'", True),
        ("0.03K", True),
        ("0.031K", False),
        ("0.032K", True),
        ("<= 32", True),
        ("'< 32'", False),
        ("'>= 0.00M'", True),
    ],
)
def test_expect_holds_at_the_precision_written(figure: str, holds: bool) -> None:
    net = archspec.loads(f"input: [8]\nlayers:\n  - linear: {{units: 4, bias: false}}\nexpect: {{macs: {figure}}}\n")
    assert [found.code for found in net.check()] == ([] if holds else ["expect"])


def test_a_dollar_can_be_written() -> None:
    assert codes("layers: [{relu: {name: a$$b}}]") == ["name"]
