"""A thousand random networks through every path, with fixed seeds; `tests/differential.py` runs any number of them.

Spec shapes against the meta device, params, MACs against FlopCounterMode, state_dict, and the generated source against
the lowered module bit for bit, in evaluation and in training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from differential import FAILURES, failed_checks, mismatches, shrink

import archspec
from archspec.backends import forward as lowering
from archspec.backends import verify as verification
from archspec.backends.forward import Plan, Step
from archspec.backends.numerics import Disagreement

CHUNK = 50


@pytest.mark.parametrize("start", range(0, 1_000, CHUNK))
def test_all_paths_agree(start: int) -> None:
    assert mismatches(range(start, start + CHUNK)) == []


PAST = sorted(FAILURES.glob("*.yaml"))


def test_past_failures_stay_mended() -> None:
    """Specs that once failed, shrunk."""
    assert PAST, "tests/failures holds specs"
    failed = {path.name: failed_checks(path.read_text(encoding="utf-8")) for path in PAST if archspec.load(path)}
    assert failed == {path.name: set() for path in PAST}


def changed(plan: Plan, change: Callable[[Step], Step]) -> Plan:
    return replace(plan, steps=tuple(map(change, plan.steps)))


LOWERED_WRONG: dict[str, Callable[[Plan], Plan]] = {
    "concat_order": lambda plan: changed(plan, lambda s: replace(s, reads=s.reads[::-1]) if s.listed else s),
    "operand_twice": lambda plan: changed(
        plan, lambda s: replace(s, reads=tuple(dict.fromkeys(s.reads))) if s.target in "+*" else s
    ),
    "results_of_a_scope": lambda plan: plan if plan.names else replace(plan, returns=plan.returns[::-1]),
    "inputs_of_a_scope": lambda plan: changed(
        plan, lambda s: replace(s, reads=s.reads[::-1]) if s.arguments is None else s
    ),
    "uneven_padding": lambda plan: changed(
        plan,
        lambda s: replace(s, arguments=(("pad", dict(s.arguments or ())["pad"][::-1]),)) if "pad" in s.target else s,
    ),
}


@pytest.mark.parametrize("name", LOWERED_WRONG)
def test_past_failures_can_fail(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lowered wrongly as it once was, each of them fails."""
    forward = lowering._forward
    lowering.class_of.cache_clear()
    monkeypatch.setattr(lowering, "_forward", lambda plan: forward(LOWERED_WRONG[name](plan)))
    assert "source" in failed_checks((FAILURES / f"{name}.yaml").read_text(encoding="utf-8"))
    lowering.class_of.cache_clear()


def test_a_mismatch_is_found_and_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong MAC count, as a mutation, does not pass; what is left of the spec is what it takes to show it."""

    def wrong(graph: archspec.Graph) -> str:
        if any(node.op.op == "tanh" for node in graph.nodes):
            raise Disagreement("made up")
        return ""

    monkeypatch.setattr(verification, "_macs", wrong)
    text = "input: [4, 8, 8]\nlayers:\n  - conv: 4\n  - relu\n  - tanh\n  - batch_norm\n"
    assert failed_checks(text) == {"macs"}
    assert shrink(text, "macs") == "input: [4, 8, 8]\nlayers:\n  - tanh\n"
