"""How much work and memory a spec can cause, counted: calls of functions and bytes, never seconds."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
from bad_specs import CASES, Bad

import archspec
from archspec import errors
from archspec.analysis import expectations
from archspec.document import _Reader
from archspec.errors import MAX_FINDINGS, Complaint, Findings, SpecError, UsageError
from archspec.expressions import MAX_DEPTH, Environment, compile_text
from archspec.program.steps import Value
from archspec.report.analyze import layers_table
from archspec.schema import schema
from archspec.schema.violations import violations
from archspec.syntax import MAX_VALUES, parse

CALLS = 400_000
"""Calls and returns that a load may take beside those for each character of its text."""
CALLS_A_CHARACTER = 80
LOOPS = {"33 copies that are left out": 7_000_000, "54 a block of mistakes in loops": 20_000_000}
"""Titles of short specs that stand for many layers: up to the limits of layers and conditions, so much is right."""
VALUES = {"48 one list under many names": 40_000_000, "49 a list that is put into others in a loop": 30_000_000}
"""And of those that make as many values as a spec may."""


def calls(action: Callable[[], Any]) -> int:
    """Run `action`, and count the calls and returns of functions, Python's own among them."""
    count = 0

    def event(*_: object) -> None:
        nonlocal count
        count += 1

    before = sys.getprofile()
    sys.setprofile(event)
    try:
        action()
    except SpecError:
        pass
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_work_grows_with_the_text_at_most(case: Bad) -> None:
    text = case.spec()
    allowed = CALLS + CALLS_A_CHARACTER * len(text)
    assert calls(lambda: archspec.loads(text)) < {**LOOPS, **VALUES}.get(case.title, allowed)


def test_unused_params_are_compared_with_a_few_names() -> None:
    """53: a suggestion for each finding that is told, over a bounded list."""
    text = "input: [3]\nlayers: [relu]\nparams:\n" + "".join(f"  param_{n}: 1\n" for n in range(8_000))
    assert calls(lambda: archspec.loads(text)) < CALLS_A_CHARACTER * len(text)


@pytest.mark.parametrize(
    "text",
    [
        next(case for case in CASES if case.title == "54 a block of mistakes that is called 16,000 times").spec(),
        "input: [3]\nlayers: [relu]\n" + "".join(f"kez{n}: 1\n" for n in range(20_000)),
        "input: [3]\nlayers: [relu]\nparams:\n" + "".join(f"  param_{n}: 1\n" for n in range(8_000)),
        "input: [3]\nlayers:\n" + "".join(f"  - op_{n}\n" for n in range(20_000)),
        "input: [3]\nlayers:\n" + "".join(f"  - relu: {{from: step_{n}}}\n" for n in range(5_000)),
        "input: [3]\nlayers:\n" + "".join(f"  - relu: {{slope_{n}: 1}}\n" for n in range(5_000)),
        "input: [3]\nlayers:\n" + "".join(f"  - linear: $unit_{n}\n" for n in range(5_000)),
        "input: [3]\nblocks: {b: {params: {n: 1}, layers: [relu]}}\nlayers:\n"
        + "".join(f"  - b: {{m_{n}: 1}}\n" for n in range(5_000)),
    ],
    ids=["a block", "keys", "params", "ops", "names of steps", "arguments", "names of values", "arguments of a block"],
)
def test_suggestions_are_worked_out_for_findings_that_are_told(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """52 to 54. Twice as many for an unknown op or key: what it may have meant hides what would follow from it."""
    asked: list[str] = []
    nearest = errors.nearest
    for module in [module for name, module in sys.modules.items() if name.startswith("archspec")]:
        if getattr(module, "nearest", None) is nearest:
            monkeypatch.setattr(module, "nearest", lambda word, known: asked.append(word) or nearest(word, known))
    with pytest.raises(SpecError) as caught:
        archspec.loads(text)
    assert 0 < len(caught.value.diagnostics) <= MAX_FINDINGS + 1
    assert 0 < len(asked) <= 2 * len(caught.value.diagnostics)


def test_a_suggestion_looks_at_few_and_short_words() -> None:
    many = [f"{'x' * 45}{n}" for n in range(100_000)]
    assert calls(lambda: errors.did_you_mean("x" * 900_000, many)) < 200_000
    assert errors.nearest("relo", [*["y" * 60] * 10, "relu"]) == "relu"
    assert errors.nearest("relo", [*["y"] * errors.MAX_CANDIDATES, "relu"]) is None


def test_findings_are_kept_once_and_few() -> None:
    """A finding is kept before its words are worked out."""
    source = errors.Source("x", "")
    asked: list[int] = []

    def words(line: int) -> tuple[str, str | None]:
        asked.append(line)
        return f"wrong {line}", None

    def notes() -> tuple[str, ...]:
        asked.append(-1)
        return ("a note",)

    findings = Findings()
    for line in [1, 1, *range(1_000)]:
        span = errors.Span(source, line, 1)
        findings.add(Complaint.later("value", lambda line=line: words(line), span).at(span, "a prefix"), notes)
    assert (len(findings), findings.count, findings.full) == (MAX_FINDINGS + 1, 1_002, True)
    assert (findings.found[0].message, findings.found[0].notes) == ("wrong 1", ("a note",))
    assert len(asked) == 2 * (MAX_FINDINGS + 1)
    assert findings.found[-1].message == f"wrong {MAX_FINDINGS}"


MISTAKES_ON_A_LINE = [
    "{conv: a}, ",
    "{conv: $}, ",
    "{conv: $a},",
    "{conv: 10},",
    "{relu: 1}, ",
    "[1,2,3,4], ",
    "{a, b},    ",
]


@pytest.mark.parametrize("item", MISTAKES_ON_A_LINE)
def test_mistakes_on_one_line_take_little_memory(item: str) -> None:
    """70: some eight times what the text takes as located values."""
    text = f"input: [3]\nlayers: [{item * 10_000}relu]\n"
    archspec.load("lenet5")
    gc.collect()
    tracemalloc.start()
    with pytest.raises(SpecError):
        archspec.loads(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 << 20


def test_violations_stop_when_there_are_enough() -> None:
    """70: the schema finds one after the other, not 500,000 at once."""
    document = parse(errors.Source("x", f"input: [3]\nlayers: [{'3,' * 100_000}3]\n"))
    assert calls(lambda: list(islice(violations(schema(), document), MAX_FINDINGS))) < 30_000


def test_sort_adds_up_once() -> None:
    """57."""
    costs = archspec.loads("input: [3]\nlayers: [relu: {repeat: 2000}]\n").analyze()
    assert calls(lambda: layers_table(costs, sort="macs")) < 500 * 2_000


def test_a_figure_is_looked_at_if_it_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """51: no regular expression runs over 32,000 blanks."""
    seen: list[int] = []

    class Pattern:
        def fullmatch(self, text: str) -> None:
            seen.append(len(text))

    monkeypatch.setattr(expectations, "_FIGURE", Pattern())
    for figure in (" " * 32_000 + "x", "<= 1" + " " * 32_000 + "M", "9" * 5_000, " 11.69M "):
        text = f'input: [3]\nlayers: [relu]\nexpect: {{params: "{figure}"}}\n'
        (finding,) = archspec.loads(text).check()
        assert (finding.code, finding.span and finding.span.column) == ("expect", 18)
        assert "expected a figure" in finding.message
    assert seen == [1, 6]


# Values that a caller gives.


def nested(levels: int) -> list[Any]:
    value: list[Any] = [1]
    for _ in range(levels):
        value = [value]
    return value


def doubled(levels: int) -> list[Any]:
    value: list[Any] = [1, 1]
    for _ in range(levels):
        value = [value, value]
    return value


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (nested(5_000), f"param `p`: the value is nested more than {MAX_DEPTH} levels deep"),
        (CYCLE, f"param `p`: the value is nested more than {MAX_DEPTH} levels deep"),
        ({"a": CYCLE}, f"param `p`: the value is nested more than {MAX_DEPTH} levels deep"),
        (doubled(40), "param `p`: the list has more than 1,048,576 values"),
        ("x" * 5_000, "param `p`: expected plain data, got str 'xxx"),
        (10**5_000, "param `p`: expected plain data, got int <int>"),
    ],
    ids=["deep", "a list in itself", "a mapping", "doubled", "long text", "a long integer"],
)
def test_a_param_of_a_caller_is_weighed_first(value: Any, message: str) -> None:
    text = "input: [3]\nparams: {p: }\nlayers: [linear: $p]\n"
    with pytest.raises(UsageError) as caught:
        archspec.loads(text, p=value)
    assert caught.value.diagnostics[0].message.startswith(message)


def test_a_shape_of_a_caller_is_shown_whatever_it_is() -> None:
    with pytest.raises(UsageError, match="positive sizes, got <tuple>"):
        archspec.load("lenet5", input=(10**5_000,))


def test_params_are_copies() -> None:
    """Lists are shared inside of a spec; what a caller does to his copy reaches no other load, and no expression."""
    params = "{p: [1, [2]], q: $p, r: [$p, $p], s: '${[p, q]}'}"
    text = f"input: [3]\nparams: {params}\nlayers: [linear: '${{r[1][1][0]}}', relu: {{when: '${{s == 1}}'}}]\n"
    net = archspec.loads(text)
    for value in net.params.values():
        value.clear()
    again = archspec.loads(text)
    assert again.params == {"p": [1, [2]], "q": [1, [2]], "r": [[1, [2]]] * 2, "s": [[1, [2]]] * 2}
    assert again.params["p"][1] is not again.params["q"][1]
    assert net.graph.node("linear").op.args() == again.graph.node("linear").op.args()


# What a text may hold.


@pytest.mark.parametrize(
    ("place", "item"), [("layers: [{0}]", "{a},"), ("include: [{0}]", "[],"), ("params: {{p: [{0}]}}", "1,")]
)
def test_a_text_holds_a_bounded_number_of_values(place: str, item: str) -> None:
    """Four characters can make three values: what a file of 1 MiB holds is counted, and the rest is not read."""
    text = "input: [3]\n" + place.format(item * (1_000_000 // len(item))) + "\n"
    found: list[SpecError] = []

    def load() -> None:
        with pytest.raises(SpecError) as caught:
            archspec.loads(text)
        found.append(caught.value)

    assert calls(load) < 48 * MAX_VALUES
    (finding,) = found[0].diagnostics
    assert (finding.code, finding.message) == ("limit", f"more than {MAX_VALUES:,} keys and values in one text")
    assert finding.span is not None
    assert finding.span.column > MAX_VALUES


def test_a_text_may_hold_so_many_values() -> None:
    """Of a list with what is around it: six keys and values, and the document."""
    ones = (MAX_VALUES - 6) * [1]
    assert len(parse(errors.Source("x", f"input: [3]\nlayers: {ones}\n")).plain()["layers"]) == MAX_VALUES - 6
    with pytest.raises(SpecError, match="more than 250,000 keys and values"):
        parse(errors.Source("x", f"input: [3]\nlayers: {[1, *ones]}\n"))


def test_entries_of_include_are_read_while_their_findings_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []
    include = _Reader._included_here
    monkeypatch.setattr(
        _Reader, "_included_here", lambda self, item, *rest: read.append(item) or include(self, item, *rest)
    )
    with pytest.raises(SpecError):
        archspec.loads(f"input: [3]\ninclude: [{'{a: 1}, ' * 5_000}]\nlayers: [relu]\n")
    assert len(read) <= MAX_FINDINGS


# What expressions may do.

IN_LOOP = """
input: [3]
layers:
  - inline:
      repeat: 30000
      let:
{0}
      layers: [relu]
"""


@pytest.mark.parametrize(
    ("entry", "most"),
    [("'${{p{0} + 1}}'", 600_000), ("'x${{p{0}}}'", 1_400_000), ("'x$p{0}$index'", 1_400_000)],
    ids=["short expressions", "texts", "texts of two"],
)
def test_an_expression_costs_something_however_short_it_is(
    entry: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making and keeping a value takes more than its operations: a text of a name alone was free."""
    done: list[int] = []
    evaluate = Value._evaluate
    monkeypatch.setattr(Value, "_evaluate", lambda *given: done.append(1) or evaluate(*given))
    values = ["p0: $index", *(f"p{n}: {entry.format(n - 1)}" for n in range(1, 70))]
    with pytest.raises(SpecError, match="too much work for the expressions of one spec"):
        archspec.loads(IN_LOOP.format("\n".join(f"        {line}" for line in values)))
    assert len(done) < most


def test_a_long_text_costs_what_it_takes() -> None:
    environment = Environment({"p": "x" * 90})
    before = environment.budget.used
    compile_text("${p}" + "y" * 900).evaluate(environment)
    assert environment.budget.used - before > 990 // 16


def test_free_tensors_of_equal_values() -> None:
    """The numbers of a free tensor are worked out once for equal values, of which lists are some; 1 and 1.0 differ."""

    def work(values: str) -> int:
        blocks = "".join(f"  - one: {{by: {values.format(n)}, other: {n}}}\n" for n in range(1, 11))
        return calls(
            lambda: archspec.loads(
                'input: [300]\nparams: {places: "${[i for i in range(300)]}"}\nblocks:\n  one:\n'
                "    params: {by: , other: }\n    layers:\n"
                '      - buffer: {name: b, values: "${[i * by for i in places]}"}\n'
                f"      - add: {{from: [input, b]}}\n      - multiply: $other\nlayers:\n{blocks}"
            )
        )

    assert 2 * work("1") < work("{}")
