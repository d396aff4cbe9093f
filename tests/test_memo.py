"""Scopes that are not worked out again (archspec/elaborate/memo.py) are what they would be if they were."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from bad_specs import CASES as WRONG
from bad_specs import WORK
from random_specs import mutate, random_spec

from archspec.document import parse_document
from archspec.elaborate import elaborate, elaborator, limits, op_steps
from archspec.errors import SpecError
from archspec.expressions import values
from archspec.graph import Graph

CASES = {
    "another source": """
        blocks: {unit: {layers: [relu, {add: input}]}}
        layers:
          - unit: {name: a}
          - unit: {name: b}
          - unit: {name: c, from: a}
          - add: b
    """,
    "a result that is what was read": """
        blocks: {unit: {params: {on: true}, layers: [{relu: {when: $on}}]}}
        layers: [{unit: {repeat: 3, on: "${index != 1}"}}, {unit: {on: false}}, {unit: {on: false}}]
    """,
    "names in scopes in scopes": """
        blocks:
          inner: {layers: [{relu: {name: x}}, {tanh: {name: y}}]}
          outer: {layers: [{inner: {name: i}}, {inner: {name: j}}, {add: i.x}]}
        layers:
          - outer: {name: a}
          - outer: {name: b}
          - add: a.i.y
          - add: b.j.x
          - outer: {name: c, from: b.i.x}
          - add: c.i.x
    """,
    "a name that stands for what was read": """
        blocks: {unit: {layers: [{tanh: {name: off, when: false}}, {relu: {name: on}}]}}
        layers: [{unit: {name: a}}, {unit: {name: b}}, {add: b.off}, {add: a.off}]
    """,
    "a step around a sequential": """
        layers:
          - inline:
              repeat: 3
              layers:
                - relu: {name: "r${index}"}
                - sequential: {name: "s${index}", layers: [tanh, {add: r0}]}
          - sequential: {repeat: 2, layers: [sigmoid, {add: s2}]}
    """,
    "a shape around a sequential": """
        layers:
          - sequential:
              repeat: 3
              layers:
                - conv: {name: c, filters: "${8 + index}", kernel: 1}
                - sequential: {name: s, layers: [{conv: {filters: 4, kernel: "${c.channels - 7}", padding: half}}]}
                - conv: 8
    """,
    "one, true and 1.0": """
        blocks: {unit: {params: {v: }, layers: [{leaky_relu: "${0.5 if v is True else v}"}]}}
        layers: [{unit: 1}, {unit: true}, {unit: 1.0}, {unit: true}, {unit: 1}]
    """,
    "a number of the repeat": """
        layers:
          - sequential:
              repeat: 3
              layers:
                - sequential: [{conv: "${4 + index}"}, {relu: {repeat: 2}}]
                - sequential: [{sequential: {repeat: "${index + 1}", layers: [{elu: "${1 + index}"}]}}, {conv: 8}]
    """,
    "let": """
        layers:
          - sequential:
              repeat: 4
              let: {n: "${index % 2}", m: "${n + 4}"}
              layers: [{sequential: {let: {n: "${n + m}"}, layers: [{conv: $n}, {conv: 8}]}}]
    """,
    "another shape": """
        blocks: {unit: {layers: [{conv: {filters: "${input.channels + 1}"}}, {sequential: [relu, relu]}]}}
        layers: [{unit: {repeat: 4}}]
    """,
    "values that cannot be keys": """
        blocks: {unit: {params: {sizes: }, layers: [{conv: {filters: "${sizes[0]}", kernel: $sizes, padding: half}}]}}
        layers: [{unit: {sizes: [3, 1]}}, {unit: {sizes: [3, 3]}}, {unit: {sizes: [3, 1]}}]
    """,
    "two zeros": """
        blocks:
          unit: {params: {v: }, layers: [{text: {t: "${v}x"}}]}
          text: {params: {t: }, layers: [{relu: {when: "${t[0] == '-'}"}}, tanh]}
        layers: [{unit: 0.0}, {unit: -0.0}]
    """,
    "several inputs": """
        blocks: {join: {inputs: [a, b], layers: [{relu: {from: b}}, {add: [a, relu]}]}}
        layers: [{relu: {name: r}}, {join: {from: [r, r]}}, {join: {from: [r, input]}}, {join: {from: [input, r]}}]
    """,
}


def described(graph: Graph) -> list[Any]:
    """The graph with the scopes and places of its nodes."""
    nodes = [
        (node.path, node.op, node.inputs, node.span, node.origins, [scope_text(scope) for scope in node.scope.chain()])
        for node in graph.nodes
    ]
    return [nodes, graph.outputs]


def scope_text(scope: Any) -> tuple[Any, ...]:
    return (str(scope), scope.path, scope.kind, dict(scope.arguments), scope.step, scope.definition)


@pytest.mark.parametrize("name", CASES)
def test_as_if_worked_out(name: str) -> None:
    document = parse_document(f"        input: [8, 6, 6]\n{CASES[name]}")
    found, traced = elaborate(document), elaborate(document, trace=True)
    assert {finding.code for finding in found.diagnostics} <= {"unused"}
    assert found.diagnostics == traced.diagnostics
    assert described(found.graph) == described(traced.graph)


def test_equal_scopes_are_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    applied = op_steps.applied
    monkeypatch.setattr(op_steps, "applied", lambda *given: asked.append(given) or applied(*given))
    blocks = "blocks: {unit: {params: {n: }, layers: [{conv: $n}, {sequential: [relu, tanh]}]}}"
    document = parse_document(f"input: [8, 6, 6]\n{blocks}\nlayers: [unit: {{repeat: 100, n: 8}}]\n")
    assert len(elaborate(document).graph) == 300
    assert len(asked) == 3


LIMITS = {
    "MAX_NODES": ("[relu, tanh]", 3),
    "MAX_SCOPE_COUNT": ("[sequential: [relu]]", 2),
    "MAX_CONDITIONS": ('[{relu: {repeat: 2, when: "${index == 0}"}}]', 2),
    "MAX_EDGES": ("[{add: [input, input]}]", 2),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_the_limits_count_what_is_not_worked_out(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What 50 copies need is refused at one less, reused or not."""
    layers, each = LIMITS[limit]
    text = f"input: [10]\nblocks: {{unit: {{layers: {layers}}}}}\nlayers: [{', '.join(['unit'] * 50)}]\n"
    for allowed, codes in ((50 * each, []), (50 * each - 1, ["limit"])):
        monkeypatch.setattr(limits, limit, allowed)
        for trace in (False, True):
            found = elaborate(parse_document(text), trace=trace)
            assert [finding.code for finding in found.diagnostics] == codes


def test_the_budget_counts_what_is_not_worked_out(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = '[{linear: "${sum([a for a in [1, 2, 3, 4]])}"}]'
    text = f"input: [10]\nblocks: {{unit: {{layers: {layers}}}}}\nlayers: [{', '.join(['unit'] * 10)}]\n"
    seen = []
    for allowed in range(0, 1200, 7):
        monkeypatch.setattr(limits, "MAX_TOTAL_STEPS", allowed)
        monkeypatch.setattr(values, "MAX_TOTAL_STEPS", allowed)
        codes, traced = (
            [finding.code for finding in elaborate(parse_document(text), trace=trace).diagnostics]
            for trace in (False, True)
        )
        assert codes == traced
        seen.append(codes)
    assert seen[0] == ["limit"]
    assert seen[-1] == []


def test_scopes_in_scopes_count_for_the_limits() -> None:
    """A scope that holds a reused one is as deep, and its paths are as long, as if that had been worked out."""
    chain = "relu"
    for level in range(10):
        chain = f"sequential: {{name: {'ab'[level % 2] * 90}, layers: [{chain}]}}"
    blocks = f"blocks: {{inner: {{layers: [{chain}]}}, outer: {{layers: [{{inner: {{name: i}}}}]}}}}"
    layers = f"[{{inner: {{name: u}}}}, {{outer: {{name: v}}}}, {{outer: {{name: {'w' * 100}}}}}]"
    document = parse_document(f"input: [8]\n{blocks}\nlayers: {layers}\n")
    assert [finding.code for finding in elaborate(document).diagnostics] == ["limit"]
    assert elaborate(document).diagnostics == elaborate(document, trace=True).diagnostics
    steps = ["relu", *[f"b{level}" for level in range(28)]]
    chain = ", ".join(f"b{level}: {{layers: [{step}]}}" for level, step in enumerate(steps))
    document = parse_document(f"input: [8]\nblocks: {{{chain}}}\nlayers: [b27, b28, sequential: [sequential: [b28]]]\n")
    assert [finding.code for finding in elaborate(document).diagnostics] == ["depth"]
    assert elaborate(document).diagnostics == elaborate(document, trace=True).diagnostics


@pytest.mark.parametrize("step", ["relu", "relu: {when: false}"])
def test_a_path_that_becomes_too_long(step: str) -> None:
    names = ["a" * 90, "b" * 90]
    inner = f"sequential: [{step}]"
    for level in range(10):
        inner = f"sequential: {{name: {names[level % 2]}, layers: [{inner}]}}"
    blocks = f"blocks: {{unit: {{layers: [{inner}]}}}}"
    fits = parse_document(f"input: [8]\n{blocks}\nlayers: [{{unit: {{name: u}}}}, {{unit: {{name: v}}}}]\n")
    assert elaborate(fits).diagnostics == ()
    long = "w" * 100
    document = parse_document(f"input: [8]\n{blocks}\nlayers: [{{unit: {{name: u}}}}, {{unit: {{name: {long}}}}}]\n")
    assert [finding.code for finding in elaborate(document).diagnostics] == ["limit"]
    assert elaborate(document).diagnostics == elaborate(document, trace=True).diagnostics


def told(text: str) -> tuple[Any, ...]:
    """What both ways find in a text, and what they make of it; nothing of a text that is no YAML."""
    try:
        document = parse_document(text)
    except SpecError:
        return (), ()
    return tuple(
        ([finding.render() for finding in found.diagnostics], described(found.graph))
        for found in (elaborate(document), elaborate(document, trace=True))
    )


def test_mistakes_are_found_either_way() -> None:
    """A scope with a mistake is not worked out again: what it holds, and what is said, is as if it had been."""
    for seed in range(400):
        once, traced = told(mutate(random_spec(seed), Random(seed)))
        assert once == traced, seed
    for case in WRONG:
        if case not in WORK:
            once, traced = told(case.spec())
            assert once == traced, case.title


@pytest.mark.parametrize(
    "leaf", ["rellu", "conv: 9", "relu: {when: $zz}", "add: zz", "relu: {slope: 1}", "relu: {name: x}"]
)
def test_blocks_of_mistakes_that_double(leaf: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks with a mistake in the innermost are worked out once, as those without."""
    ran = []
    run = elaborator.Elaborator.run
    monkeypatch.setattr(elaborator.Elaborator, "run", lambda *given: ran.append(given) or run(*given))
    blocks = "".join(f"  b{n}: {{layers: [b{n + 1}, b{n + 1}]}}\n" for n in range(15))
    text = (
        f"input: [3]\nblocks:\n{blocks}  b15:\n    layers:\n      - relu: {{name: x}}\n      - {leaf}\nlayers: [b0]\n"
    )
    (finding,) = elaborate(parse_document(text)).diagnostics
    assert finding.span
    assert finding.span.line == 21
    assert len(ran) < 100
