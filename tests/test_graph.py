"""The graph as a data structure: its networkx view, its canonical form, its structural hash."""

from __future__ import annotations

import json
from typing import NamedTuple

import networkx as nx
import pytest

import archspec
from archspec.graph import Tree, outer_reads

GATED = """
input: [4, 8, 8]
blocks:
  both: {inputs: [x, y], layers: [relu: {from: y}, add: x]}
layers:
  - conv: {name: b, filters: 4}
  - conv: {name: a, filters: 4}
  - both: {name: gate, from: [b, a]}
"""

TWICE = """
input: [4, 8, 8]
layers:
  - conv: {name: a, filters: 4}
  - add: {name: twice, from: [a, a]}
"""


@pytest.mark.parametrize("name", ["resnet18", "googlenet_paper", "efficientnet_b0"])
def test_networkx_view(name: str) -> None:
    """Same nodes, same edges in order, and the graph work that networkx is for gives our own figures."""
    net = archspec.load(name)
    graph = net.graph.evaluation
    view = graph.to_networkx()
    assert isinstance(view, nx.MultiDiGraph)
    assert set(view) == {*graph.inputs, *(node.path for node in graph.nodes)}
    for node in graph.nodes:
        edges = sorted(view.in_edges(node.path, keys=True), key=lambda edge: edge[2])
        assert tuple(source for source, _, _ in edges) == node.inputs
    assert nx.is_directed_acyclic_graph(view)
    assert sum(view.nodes[path]["macs"] for path in view) == net.analyze().totals.macs
    weighted = {"conv", "depthwise_conv", "linear"}
    for _, target, data in view.edges(data=True):
        data["weight"] = view.nodes[target]["op"] in weighted
    assert nx.dag_longest_path_length(view) == net.analyze().totals.depth
    output = graph.outputs[next(iter(graph.outputs))]
    assert nx.ancestors(view, output) | {output} == set(view)


def test_tree() -> None:
    graph = archspec.load("resnet18").graph
    tree = graph.tree()
    assert list(tree.items()) == list(graph.nodes)
    assert list(tree.children)[3:6] == ["maxpool", "layer1", "layer2"]
    layer = tree.children["layer2"]
    assert isinstance(layer, Tree)
    block = layer.children["0"]
    assert isinstance(block, Tree)
    assert (layer.path, block.path, list(block.children)[-3:]) == (
        "layer2",
        "layer2.0",
        ["downsample", "add", "relu_2"],
    )
    assert outer_reads(tree) == ("input",)
    assert outer_reads(block) == ("layer1.1.relu_2",)
    gated = archspec.loads(GATED).graph.tree().children["gate"]
    assert isinstance(gated, Tree)
    assert outer_reads(gated) == ("a", "b"), "in the order in which they are read"


def test_what_is_no_tree() -> None:
    class Item(NamedTuple):
        path: str

    with pytest.raises(ValueError, match=r"a\.b is there twice"):
        Tree.of([Item("a.b"), Item("a.b")])
    with pytest.raises(ValueError, match=r"a\.b\.c lies inside a\.b, which is a node"):
        Tree.of([Item("a.b"), Item("a.b.c")])
    with pytest.raises(ValueError, match=r"a is there twice"):
        Tree.of([Item("a.b"), Item("a")])


def test_reading_a_value_twice_has_two_edges() -> None:
    view = archspec.loads(TWICE).graph.to_networkx()
    assert view.number_of_edges("a", "twice") == 2


def test_canonical_json_has_a_node_a_line() -> None:
    graph = archspec.load("vgg16").graph
    lines = graph.to_json().splitlines()
    assert sum('"path"' in line for line in lines) == len(graph)
    assert json.loads(graph.to_json()) == json.loads(json.dumps(graph.to_dict()))


def test_structural_hash_sees_structure_only() -> None:
    """Names, and the order of independent branches, do not count; edges, arguments and sharing do."""
    base = "input: [4, 8, 8]\nlayers:\n"
    branches = ("  - conv: {name: a, from: input, filters: 8}\n", "  - relu: {name: b, from: input}\n")
    end = "  - concat: [a, b]\n"

    def digest(text: str) -> str:
        return archspec.loads(text).graph.structural_hash()

    plain = digest(base + "".join(branches) + end)
    assert digest(base + "".join(reversed(branches)) + end) == plain
    assert digest(base + "".join(branches).replace("name: a", "name: z") + "  - concat: [z, b]\n") == plain
    assert digest(base + "".join(branches) + "  - concat: [b, a]\n") != plain
    assert digest(base + "".join(branches).replace("filters: 8", "filters: 4") + end) != plain
    assert digest(base.replace("8, 8", "9, 9") + "".join(branches) + end) != plain
    two = "  - relu: {name: a, from: input}\n  - relu: {name: b, from: input}\n  - add: [a, b]\n"
    one = "  - relu: {name: a, from: input}\n  - add: [a, a]\n"
    assert digest(base + two) != digest(base + one)


def test_nodes_know_where_they_come_from() -> None:
    node = archspec.load("resnet18").graph.node("layer2.1.conv1")
    assert str(node.span) == "specs/resnet18.yaml:22:9"
    assert [str(scope) for scope in node.scope.chain() if scope.block] == [
        "in block residual, copy 2 of 2, used as layer2 at specs/resnet18.yaml:43:5"
    ]
    assert node.origins["bias"].origin == "defaults"
    assert node.origins["filters"].origin == "step"
    assert "dilation" not in node.origins
