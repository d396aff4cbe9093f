"""The plan of generated source: what a class is planned to hold, and what each polish rule does to it.

A pair of files in tests/fixtures/plans is a spec and its plan. `make golden` writes the plans anew; read the diff.
"""

from __future__ import annotations

import difflib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from archspec.backends.source.__main__ import printed
from archspec.backends.source.generator import plan
from archspec.backends.source.plan.polish import RULES
from archspec.network import loads

FOLDER = Path(__file__).parent / "fixtures/plans"
FIXTURES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("name", FIXTURES)
def test_plan(name: str, golden: Callable[[str | Path, str], None]) -> None:
    golden(FOLDER / f"{name}.plan", printed(str(FOLDER / f"{name}.yaml")))


def test_no_stale_plan() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.plan")) == FIXTURES


def test_a_plan_is_printed_from_a_shell() -> None:
    command = [sys.executable, "-m", "archspec.backends.source", str(FOLDER / "two_ways.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == (FOLDER / "two_ways.plan").read_text(encoding="utf-8")


class Case(NamedTuple):
    """A spec, and the lines that a rule takes from its plan (`-`) and puts in it (`+`); none if it leaves it alone."""

    rule: str
    spec: str
    change: str = ""


UNIT = """
input: [8, 6, 6]
blocks: {unit: {params: {PARAMS}, layers: [LAYERS]}}
layers: [USES]
"""


def unit(params: str, layers: str, *uses: str) -> str:
    """A network of uses of one block."""
    text = UNIT.replace("PARAMS", params).replace("LAYERS", layers)
    return text.replace("USES", ", ".join(f"{{unit: {{{use}}}}}" for use in uses))


CASES = [
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{'changes' if case.change else 'leaves'}")
def test_rule(case: Case) -> None:
    before, after = [], []
    for each in plan(loads(case.spec)):
        for rule in RULES:
            if rule.__name__ == case.rule:
                before += str(each).splitlines()
            rule(each)
            if rule.__name__ == case.rule:
                after += str(each).splitlines()
    lines = difflib.ndiff(before, after)
    found = "".join(f"{line[0]} {line[2:].strip()}\n" for line in lines if line[0] in "+-")
    assert found == case.change.lstrip("\n")


def test_every_rule_is_tested() -> None:
    for changes in (True, False):
        assert {case.rule for case in CASES if bool(case.change) == changes} == {rule.__name__ for rule in RULES}
