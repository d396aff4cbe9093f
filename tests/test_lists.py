"""Names that are made: lists of steps, names of the scope around, lists that expressions make."""

# ruff: noqa: E501

from __future__ import annotations

import pytest

from archspec import SpecError, loads

TURNS = """\
name: turns
input: [8, 8, 8]
params: {n: 3}
layers:
  - inline:
      repeat: $n
      layers:
        - conv: {name: "convs.${index}", filters: 8}
        - batch_norm: {name: "bns.${index}"}
        - add: {name: "sums${index}", from: ["bns.${index}", "sums${index - 1}"], when: "${index > 0}"}
        - relu: {name: "sums0", from: bns.0, when: "${index == 0}"}
outputs: "${['sums' + str(i) for i in range(n)]}"
"""


def keys(text: str) -> list[str]:
    return list(loads(text).graph.state_dict())


def wrong(layers: str, head: str = "input: [8, 8, 8]\n") -> tuple[str, str, str]:
    """Return place, message and help of the one thing that is wrong with a network of these layers."""
    with pytest.raises(SpecError) as caught:
        loads(f"{head}layers:\n" + "".join(f"  - {line}\n" for line in layers.split("\n")))
    found = next(each for each in caught.value.diagnostics)
    return f"{found.span.line}:{found.span.column}", found.message, found.help or ""


def test_lists_take_turns() -> None:
    graph = loads(TURNS).graph
    assert [node.path for node in graph.nodes][:6] == ["convs.0", "bns.0", "sums0", "convs.1", "bns.1", "sums1"]
    weights = [key for key in graph.state_dict() if key.endswith("weight")]
    assert weights == [f"{name}.{number}.weight" for name in ("convs", "bns") for number in range(3)]
    assert list(graph.outputs) == ["sums0", "sums1", "sums2"]


def test_lists_in_the_module_and_in_source() -> None:
    torch = pytest.importorskip("torch")
    import archspec
    from archspec.backends.verify import verify

    network = loads(TURNS)
    module = archspec.build(network)
    assert isinstance(module.convs, torch.nn.ModuleList)
    assert isinstance(module.bns[2], torch.nn.BatchNorm2d)
    assert list(module.state_dict()) == list(network.graph.state_dict())
    assert [str(check) for check in verify(network, compiler="none").checks if not check.passed] == []
    source = archspec.generate(network)
    assert "self.convs = nn.ModuleList(nn.Conv2d(8, 8, 1) for _ in range(3))" in source
    assert "self.bns[2](self.convs[2](" in source


def test_a_list_that_a_loop_or_a_condition_fills() -> None:
    pytest.importorskip("torch")
    import archspec
    from archspec.backends.verify import verify

    layers = '- inline: {repeat: 30, layers: [conv: {name: "convs.${index}", filters: "${8 + index}"}, batch_norm: {name: "bns.${index}"}]}\n'
    block = f"  tail:\n    params: {{n: 1}}\n    layers:\n      {layers.replace('30', '$n').replace('8 + index', '8')}"
    text = f"input: [8, 8, 8]\nblocks:\n{block}      - relu\nlayers:\n  - tail\n  - tail: {{n: 3}}\n  {layers}"
    text += "  - conv: {name: heads.0, filters: 8, when: false}\n  - relu: {name: heads.0, when: true}\n  - conv: {name: heads.1, filters: 8}\n"
    network = loads(text)
    assert [str(check) for check in verify(network, compiler="none").checks if not check.passed] == []
    assert "self.convs.append(nn.Conv2d(" in archspec.generate(network)


def test_seeds_draw_lists_as_wholes() -> None:
    """The weights are drawn in the order of their keys, in the module as in the source."""
    torch = pytest.importorskip("torch")
    import archspec

    text = 'input: [8, 8, 8]\nlayers: [inline: {repeat: 2, layers: [conv: {name: "a.${index}", filters: 8}, conv: {name: "b.${index}", filters: 8}]}]'
    torch.manual_seed(0)
    module = archspec.build(loads(text))
    torch.manual_seed(0)
    first, second = torch.nn.Conv2d(8, 8, 1), torch.nn.Conv2d(8, 8, 1)
    assert torch.equal(module.a[0].weight, first.weight)
    assert torch.equal(module.a[1].weight, second.weight)


def test_reads_from_the_scope_around() -> None:
    text = """\
input: [8, 8, 8]
layers:
  - conv: {name: conv, filters: 4}
  - sequential:
      name: stem
      layers:
        - conv: {name: conv, filters: 8}
        - sequential: {name: inner, layers: [{conv: {name: conv, filters: 16}}, {concat: [conv, ../conv, ../../conv, ../input]}]}
"""
    node = loads(text).graph.node("stem.inner.1")
    assert node.inputs == ("stem.inner.conv", "stem.conv", "conv", "conv")
    with_copy = (
        text + "  - sequential: {name: other, layers: [{conv: {name: conv, filters: 2}}, {concat: [conv, ../conv]}]}\n"
    )
    assert loads(with_copy).graph.node("other.1").inputs == ("other.conv", "conv")


@pytest.mark.parametrize(
    ("layers", "place", "message", "help"),
    [
        ("conv: {name: a.1, filters: 8}", "3:18", "`a.1` leaves a gap in the list `a`", "`a.0` is next"),
        ("relu: {name: a.0}\nrelu: {name: a.2}", "4:18", "`a.2` leaves a gap in the list `a`", "`a.1` is next"),
        ("relu: {name: a.0}\nrelu: {name: a.0}", "4:18", "duplicate name `a.0`", "a name of its own"),
        ("relu: {name: a}\nrelu: {name: a.0}", "4:18", "`a.0`: `a` is a step already", "rename the step `a`"),
        ("relu: {name: a.0}\nrelu: {name: a}", "4:18", "`a` is a list of steps already", "`a.0`"),
        ("relu: {name: a.0}\nrelu: {from: a}", "4:18", "`a` is a list of steps, not a step", "`a.0`"),
        ("relu: {name: a.0}\nrelu: {from: a.1}", "4:18", "unknown step `1` in the list `a`", "`a.0`"),
        ("relu: {name: train.0}", "3:18", "`train` is an attribute of every nn.Module", "`train_`"),
        ("relu: {name: a.b.0}", "3:18", "'a.b.0' is not a valid name", ""),
        ("relu: {name: a.00}", "3:18", "'a.00' is not a valid name", ""),
        ("relu: {name: 0.1}", "3:18", "", ""),
        ("relu: {from: ../input}", "3:18", "`../input`: no scope around this one is in sight", "write `input`"),
        ("sequential: [{relu: {from: ../nope}}]", "3:32", "unknown step `nope`", ""),
    ],
)  # fmt: skip
def test_mistakes(layers: str, place: str, message: str, help: str) -> None:
    found = wrong(layers.replace("0.1}", "'0.1'}"))
    assert found[0] == place
    assert message in found[1]
    assert help in found[2]


def test_a_block_sees_no_scope_around() -> None:
    found = wrong("b", "input: [8]\nblocks: {b: {layers: [{relu: {from: ../input}}]}}\n")
    assert "no scope around" in found[1]
    assert "`inputs: [x, skip]`" in found[2]


def test_a_step_that_is_left_out_may_name_what_is_not_there() -> None:
    text = "input: [8]\nlayers: [{relu: {name: a}}, {add: {from: [a, '${\"b\" + str(1)}'], when: false}}, {tanh: {from: [a]}}]"
    assert len(loads(text).graph.nodes) == 2
    assert "unknown step `b1`" in wrong("relu: {name: a}\nadd: {from: [a, \"${'b' + str(1)}\"]}")[1]
    assert "unknown step `b`" in wrong("relu: {name: a}\nadd: {from: [a, b], when: false}")[1]
