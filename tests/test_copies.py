"""Networks and errors that are pickled, copied, shown as a spec again, or loaded in many threads at once."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from bad_specs import CASES

import archspec
from archspec.document import parse_document
from archspec.elaborate import elaborate
from archspec.elaborate.limits import MAX_SCOPES
from archspec.expressions import UNKNOWN, compile_text
from archspec.graph import Graph
from archspec.report.spec import show_spec

COPIES: list[Callable[[Any], Any]] = [lambda value: pickle.loads(pickle.dumps(value)), copy.deepcopy]
each_copy = pytest.mark.parametrize("copied", COPIES, ids=["pickle", "deepcopy"])

SPEC = """\
input: {a: [3, 8, 8], b: [3]}
params: {n: 4, sizes: [[1, 2], {k: 3}], more: "${[n, n]}"}
blocks:
  unit:
    params: {filters: , k: $n}
    inputs: [x, y]
    layers: [{conv: {filters: $filters, from: x}}, {inline: [{relu: {when: "${k == sizes[1].k}"}}]}]
layers:
  - unit: {from: [a, b], filters: "${sizes[0][1]}", name: u}
  - unit: {from: [a, u.conv], filters: "${more[0]}", name: v}
  - linear: {units: $n, from: b}
outputs: [u, v, linear]
"""


def described(graph: Graph) -> list[Any]:
    """The graph with the places and scopes of its nodes, and what these were given."""
    nodes = [
        (str(node.span), {name: str(origin.span) for name, origin in node.origins.items()}, *scopes(node))
        for node in graph.nodes
    ]
    return [graph.to_dict(), nodes]


def scopes(node: Any) -> list[Any]:
    given = [(str(scope), scope.path, dict(scope.arguments)) for scope in node.scope.chain()]
    return [
        (text, path, {name: getattr(value, "path", value) for name, value in values.items()})
        for text, path, values in given
    ]


def same(found: archspec.Network, network: archspec.Network) -> None:
    assert found is not network
    assert described(found.graph) == described(network.graph)
    assert (found.params, found.overrides, found.overridden) == (network.params, network.overrides, network.overridden)
    assert [str(finding) for finding in found.check()] == [str(finding) for finding in network.check()]
    assert show_spec(found.elaboration) == show_spec(network.elaboration)


@each_copy
@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "googlenet"])
def test_a_network_of_the_zoo(name: str, copied: Callable[[Any], Any]) -> None:
    """Row 62."""
    network = archspec.load(name)
    same(copied(network), network)
    assert copied(network).analyze().to_dict() == copied(network.analyze()).to_dict() == network.analyze().to_dict()


@each_copy
def test_a_network_with_overrides(copied: Callable[[Any], Any]) -> None:
    network = archspec.loads(SPEC, input={"a": (3, 9, 9)}, n=3)
    found = copied(network)
    same(found, network)
    assert found.graph.inputs["a"] == (3, 9, 9)
    same(copied(found), network)


@each_copy
def test_a_graph_alone(copied: Callable[[Any], Any]) -> None:
    graph = archspec.loads(SPEC).graph
    assert graph.node("v.conv").shape == (4, 8, 8)  # which fills an index by path
    assert described(copied(graph)) == described(graph)
    assert copied(graph).node("v.conv").scope.path == "v"
    assert described(copied(copied(graph))) == described(graph)


@each_copy
def test_an_elaboration(copied: Callable[[Any], Any]) -> None:
    """Compiled expressions are compiled again."""
    found = copied(elaborate(parse_document(SPEC), trace=True))
    again = elaborate(found.program.document, {"n": 5}, program=found.program)
    assert described(again.graph) == described(archspec.loads(SPEC, n=5).graph)


@each_copy
def test_expressions_and_marks(copied: Callable[[Any], Any]) -> None:
    for text in ("$a", "${a + 1}", "a${a}b$a", "text"):
        found: Any = copied(compile_text(text))
        assert getattr(found, "names", None) == getattr(compile_text(text), "names", None)
    assert copied([UNKNOWN])[0] is UNKNOWN


@each_copy
def test_an_error_keeps_its_network(copied: Callable[[Any], Any]) -> None:
    with pytest.raises(archspec.SpecError) as caught:
        archspec.loads(
            "input: [3, 8, 8]\nparams: {p: $q}\nlayers:\n  - conv: 4\n  - relu: {when: $p}\n  - add: nothing\n"
        )
    found = copied(caught.value)
    assert str(found) == str(caught.value)
    assert described(found.partial.graph) == described(caught.value.partial.graph)
    assert found.partial.analyze().totals.params == 16


@each_copy
@pytest.mark.parametrize(
    "text",
    [
        f"input: [3]\nparams: {{p: {'[' * 97}1{']' * 97}}}\nlayers: [relu: {{when: '${{p == 1}}'}}, relu]\n",
        f"input: [3]\nparams: {{p: {'{a: ' * 97}1{'}' * 97}}}\nlayers: [relu: {{when: '${{p == 1}}'}}, relu]\n",
        f"input: [3]\nlayers: [{'sequential: [' * MAX_SCOPES}relu{']' * MAX_SCOPES}]\n",
        "input: [3]\nblocks:\n"
        + "".join(f"  b{n}: {{layers: [b{n + 1}]}}\n" for n in range(2_000))
        + "  b2000: {layers: [relu]}\nlayers: [relu]\n",
        "input: [3]\nlayers:\n" + "  - relu\n" * 5_000,
    ],
    ids=["lists", "mappings", "scopes", "blocks", "steps"],
)
def test_a_deep_network(text: str, copied: Callable[[Any], Any]) -> None:
    """However deep a spec is, its copy is not made by recursion without end."""
    network = archspec.loads(text)
    assert described(copied(network).graph) == described(network.graph)
    assert described(copied(network.graph)) == described(network.graph)


@each_copy
def test_every_wrong_spec(copied: Callable[[Any], Any]) -> None:
    for case in CASES[::7]:
        if len(case.text) < 10_000:
            with pytest.raises(archspec.SpecError) as caught:
                archspec.loads(case.spec())
            assert str(copied(caught.value)) == str(caught.value)


def test_in_another_process() -> None:
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).analyze(batch=2).totals.macs)"
    network = archspec.load("resnet18", num_classes=10)
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(network), capture_output=True, check=True)
    assert int(done.stdout) == network.analyze(batch=2).totals.macs


# Row 65.


@pytest.mark.parametrize(
    "layers",
    [
        "input: [3]\nlayers: [relu: {when: false}]\n",
        "input: [3, 4]\nlayers: [relu: {repeat: 0}]\noutputs: {x: input}\n",
        "input: {a: [3]}\nlayers: [sequential: {name: s, layers: [relu: {repeat: 0}]}, inline: [elu: {when: false}]]\n",
        "input: {a: [3], b: [4]}\nlayers: [relu: {when: false, from: a}]\noutputs: {x: a, y: b}\n",
    ],
)
def test_a_network_without_layers_is_shown_as_a_spec(layers: str) -> None:
    network = archspec.loads(layers, name="net.yaml")
    assert len(network.graph) == 0
    again = archspec.loads(show_spec(network.elaboration))
    assert again.graph.to_json() == network.graph.to_json()


# Row 59.

TEXTS = [
    SPEC,
    "input: [3]\nlayers: [relu: {repeat: 300}, linear: '${ 1 if True else 2 }']\n",
    "input: [3]\nlayers: [linear: '${1if True else 2}']\n",
    "input: [3]\nlayers: [rellu, linear: '${9**9**9}']\n",
]


def outcome(text: str) -> str:
    try:
        network = archspec.loads(text)
    except archspec.SpecError as error:
        return str(error)
    return network.graph.to_json() + str(network.analyze()) + show_spec(network.elaboration)


def load_much() -> None:
    compile_text.__globals__["compile_expression"].cache_clear()
    for text in TEXTS:
        outcome(text)
    for name in archspec.list_specs()[::5]:
        archspec.load(name).check()
    archspec.generate("resnet18")


def test_the_deepest_network_is_shown_as_a_spec() -> None:
    """Its scopes take as many levels of YAML as a spec may have, with the longest argument in the innermost."""
    blocks = "".join(f"  b{n}: {{layers: [b{n + 1}]}}\n" for n in range(MAX_SCOPES - 1))
    step = "conv: {filters: 3, kernel: 3, padding: [[1, 0], [0, 1]]}"
    text = f"input: [3, 8, 8]\nblocks:\n{blocks}  b{MAX_SCOPES - 1}: {{layers: [{step}]}}\nlayers: [b0]\n"
    network = archspec.loads(text)
    assert network.graph.nodes[0].path.count(".") == MAX_SCOPES
    shown = archspec.loads(show_spec(network.elaboration))
    assert shown.graph.to_json() == network.graph.to_json()


def test_nothing_global_changes_while_a_spec_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither warnings' filters, nor the collector, nor anything else that all threads share."""
    load_much()  # what is imported at its first use
    changed: list[str] = []
    with monkeypatch.context() as patch:
        for owner, names in (
            (warnings, ["simplefilter", "filterwarnings", "resetwarnings", "catch_warnings"]),
            (gc, ["enable", "disable", "freeze", "set_threshold", "collect"]),
            (sys, ["setrecursionlimit", "setswitchinterval"]),
            (os, ["chdir", "umask", "putenv"]),
        ):
            for name in names:
                call = getattr(owner, name)
                patch.setattr(owner, name, lambda *given, name=name, call=call: changed.append(name) or call(*given))
        load_much()
    assert changed == []


def test_a_number_and_a_word_are_refused_without_a_warning() -> None:
    with pytest.raises(archspec.SpecError) as caught:
        archspec.loads(TEXTS[2])
    (finding,) = caught.value.diagnostics
    assert finding.message == "`1if` is neither a number nor a name"
    assert finding.help == "write `1 if`"
    assert (finding.span.line, finding.span.column) == (2, 18) if finding.span else False


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${1 if True else 2}", 1),
        ("${0x1f or 2}", 31),
        ("${1_0 + 1e1}", 20),
        ("${'1if' + \"2or\"}", "1if2or"),
        ("${[b1or for b1or in [7]][0]}", 7),
        ("${[5][0]if True else 2}", 5),
    ],
)
def test_numbers_beside_words(text: str, value: Any) -> None:
    network = archspec.loads(f"input: [3]\nparams:\n  p: >-\n    {text}\nlayers: [relu: {{when: '${{p == p}}'}}]\n")
    assert network.params == {"p": value}


def test_eight_threads() -> None:
    expected = [outcome(text) for text in TEXTS]
    wrong: list[str] = []
    filters, enabled, start = list(warnings.filters), gc.isenabled(), threading.Barrier(8)

    def work(offset: int) -> None:
        start.wait()
        for turn in range(20):
            position = (turn + offset) % len(TEXTS)
            compile_text.__globals__["_compile_text"].cache_clear()
            compile_text.__globals__["compile_expression"].cache_clear()
            if outcome(TEXTS[position]) != expected[position]:
                wrong.append(TEXTS[position])

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(8)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []
    assert (list(warnings.filters), gc.isenabled()) == (filters, enabled)


FORK = """
import gc, os, sys, threading
import archspec
text = "input: [3, {}, 9]\\nlayers: [conv: {{repeat: 20, filters: '${{index + 1}}', kernel: 1}}]\\n"
archspec.loads(text.format(5)).analyze()
stop, started = threading.Event(), threading.Barrier(3)
def work(size):
    started.wait()
    while not stop.is_set():
        size += 2
        archspec.loads(text.format(size)).analyze()
threads = [threading.Thread(target=work, args=(size,)) for size in (1000, 1001)]
for thread in threads:
    thread.start()
started.wait()
sys.setswitchinterval(1e-6)
wrong = 0
for size in range(10, 110):
    child = os.fork()
    if not child:
        archspec.loads(text.format(size)).analyze()
        os._exit(0 if gc.isenabled() else 1)
    wrong += os.waitpid(child, 0)[1] != 0
stop.set()
for thread in threads:
    thread.join()
sys.exit(wrong)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes that fork")
def test_a_fork_while_others_load() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK], capture_output=True, timeout=120, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
