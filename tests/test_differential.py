"""A thousand random networks through every path, with fixed seeds; `tests/differential.py` runs any number of them.

Spec shapes against the meta device, params, MACs against FlopCounterMode, state_dict, and the generated source against
the lowered module bit for bit, in evaluation and in training.
"""

from __future__ import annotations

import pytest
from differential import FAILURES, failed_checks, mismatches, shrink

import archspec
from archspec.backends import verify as verification

CHUNK = 50


@pytest.mark.parametrize("start", range(0, 1_000, CHUNK))
def test_all_paths_agree(start: int) -> None:
    assert mismatches(range(start, start + CHUNK)) == []


def test_past_failures_stay_mended() -> None:
    """Specs that once failed, shrunk."""
    for path in sorted(FAILURES.glob("*.yaml")):
        archspec.load(path)
        assert failed_checks(path.read_text(encoding="utf-8")) == set(), path


def test_a_mismatch_is_found_and_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong MAC count, as a mutation, does not pass; what is left of the spec is what it takes to show it."""

    def wrong(graph: archspec.Graph) -> str:
        if any(node.op.op == "tanh" for node in graph.nodes):
            raise verification._Disagreement("made up")
        return ""

    monkeypatch.setattr(verification, "_macs", wrong)
    text = "input: [4, 8, 8]\nlayers:\n  - conv: 4\n  - relu\n  - tanh\n  - batch_norm\n"
    assert failed_checks(text) == {"macs"}
    assert shrink(text, "macs") == "input: [4, 8, 8]\nlayers:\n  - tanh\n"
