"""Random specs: valid ones mean what the language says and survive `show`; broken ones give errors with a place."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from random import Random
from typing import Any

import pytest
from random_specs import OPS, Spec, interpret, mutate, random_data, random_spec, written

import archspec
from archspec.elaborate import elaborate
from archspec.errors import CODES, SpecError, UsageError
from archspec.graph import Graph, Node
from archspec.report.spec import show_spec

VALID = [range(start, start + 100) for start in range(0, 2_000, 100)]
MUTANTS = [range(start, start + 200) for start in range(0, 4_000, 200)]


def batch(seeds: range) -> str:
    return f"{seeds[0]}-{seeds[-1]}"


def described(graph: Graph) -> dict[str, Any]:
    """All that a graph is, but for places."""
    return {
        "name": graph.name,
        "inputs": list(graph.inputs.items()),
        "nodes": [
            (node.path, node.op.op, node.op.args(), node.inputs, node.shape, node.weights_of) for node in graph.nodes
        ],
        "draws": [{name: draw.written() for name, draw in node.draws.items()} for node in graph.nodes],
        "outputs": list(graph.outputs.items()),
        "training": graph.training,
    }


@pytest.mark.parametrize("seeds", VALID, ids=batch)
def test_valid(seeds: range) -> None:
    for seed in seeds:
        data = random_data(seed)
        text = written(data, seed)
        try:
            check_valid(seed, data, text)
        except (AssertionError, SpecError) as error:
            pytest.fail(f"seed {seed}: {error}\n{text}")


def check_valid(seed: int, data: Spec, text: str) -> None:
    net = archspec.loads(text)
    assert [finding for finding in net.check() if finding.severity == "error"] == []
    expected = interpret(data)
    assert described(net.graph) == {
        "name": "random",
        "inputs": list(expected.inputs.items()),
        "nodes": [
            (node.path, node.op.op, node.op.args(), node.inputs, node.op.output, node.weights_of)
            for node in expected.nodes
        ],
        "draws": [node.draws for node in expected.nodes],
        "outputs": list(expected.outputs.items()),
        "training": frozenset(expected.training),
    }
    traced = elaborate(net.document, trace=True).graph  # works out what is otherwise reused
    assert [*map(placed, net.graph.nodes)] == [*map(placed, traced.nodes)]
    again = archspec.loads(show_spec(net.elaboration))
    assert described(again.graph) == described(net.graph)
    assert list(again.graph.state_dict()) == list(net.graph.state_dict())
    assert again.analyze().totals == net.analyze().totals
    digest = net.graph.structural_hash()
    assert again.graph.structural_hash() == digest
    assert renamed(net.graph, Random(seed)).structural_hash() == digest
    assert json.loads(net.graph.to_json()) == net.graph.to_dict()


def placed(node: Node) -> list[Any]:
    """A node, with where it comes from."""
    scopes = [(str(scope), scope.path, scope.weights_of) for scope in node.scope.chain()]
    return [node.path, node.op, node.inputs, node.span, node.origins, node.draws, scopes, node.weights_of]


def renamed(graph: Graph, random: Random) -> Graph:
    """The graph with other names, its nodes in another order that data flow allows."""
    names = {path: f"n{random.random()}" for path in (*graph.inputs, *(node.path for node in graph.nodes))}
    left, known, nodes = list(graph.nodes), set(graph.inputs), []
    while left:
        node = random.choice([node for node in left if known.issuperset(node.inputs)])
        left.remove(node)
        known.add(node.path)
        sources = tuple(names[path] for path in node.inputs)
        owner = None if node.weights_of is None else names[node.weights_of]
        nodes.append(Node(names[node.path], node.op, sources, node.span, node.scope, node.origins, node.draws, owner))
    inputs = {names[name]: shape for name, shape in graph.inputs.items()}
    outputs = {f"o{name}": names[path] for name, path in graph.outputs.items()}
    return Graph("other", inputs, tuple(nodes), outputs, {f"o{name}" for name in graph.training})


@lru_cache(maxsize=1)
def original(seed: int) -> str:
    return random_spec(seed)


@pytest.mark.parametrize("seeds", MUTANTS, ids=batch)
def test_mutated(seeds: range) -> None:
    """Another spec, or an error with a known code and a place: never another exception."""
    for seed in seeds:
        text = mutate(original(seed // 4), Random(seed))
        try:
            archspec.loads(text).check()
        except UsageError as error:
            pytest.fail(f"seed {seed}: {error!r}\n{text}")
        except SpecError as error:
            for fault in faults(error, text):
                pytest.fail(f"seed {seed}: {fault}\n{error}\n{text}")
        except Exception as error:
            pytest.fail(f"seed {seed}: {error!r}\n{text}")


def faults(error: SpecError, text: str) -> Iterator[str]:
    """What is wrong with the findings about a text."""
    lines = text.splitlines() or [""]
    for finding in error.diagnostics:
        if finding.code not in CODES or finding.code == "usage":
            yield f"the code {finding.code}"
        if finding.span is None:
            yield "no place"
        elif not (1 <= finding.span.line <= len(lines) + 1 and finding.span.column >= 1):
            yield f"a place beyond the text: {finding.span}"
        if any(word in finding.message for word in ("Ref'", "object at 0x", "<class", "breaks the rule")):
            yield f"a message of the compiler's own: {finding.message}"
        json.dumps(finding.to_dict())
    places = Counter((f.span.line, f.span.column) for f in error.diagnostics if f.span)
    if places and max(places.values()) > 1:
        yield "two findings at one place"


def test_the_generator_uses_the_whole_language() -> None:
    seen: Counter[str] = Counter()
    for seed in range(450):
        data = random_data(seed)
        seen.update(list(data))
        seen.update(node.op.op for node in interpret(data).nodes)
        text = str(data)
        words = (
            "'from'",
            "'when'",
            "'repeat'",
            "'let'",
            "'name'",
            "'inline'",
            "'sequential'",
            "'inputs'",
            "'stage'",
            "$kind_",
            "../",
            "'list.",
            "enumerate",
            "'use'",
        )
        words += ("training",)
        seen.update(word for word in (*words, "${index", "$widths", "$stages", ".channels") if word in text)
    assert set(OPS) <= set(seen)
    assert min(seen.values()) >= 3
    assert {"params", "defaults", "blocks", "outputs", "'let'", "'inputs'", "$stages"} <= set(seen)


def test_the_generator_is_deterministic() -> None:
    assert random_spec(7) == random_spec(7) != random_spec(8)
    assert mutate(random_spec(7), Random(1)) == mutate(random_spec(7), Random(1))
