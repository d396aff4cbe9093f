"""Golden files: what the zoo compiles to, and what the command line prints. `make golden` writes them anew."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from networks import VARIANTS

import archspec
from archspec.report.drawing import as_dot, as_mermaid
from archspec.report.op_reference import as_reference
from archspec.schema import schema

ROOT = Path(__file__).parent.parent
Golden = Callable[[str, str], None]


FAMILIES = [name for name in archspec.list_specs() if name not in VARIANTS]


@pytest.mark.parametrize("name", FAMILIES)
def test_graph(name: str, golden: Golden) -> None:
    """The canonical JSON of the networks of the zoo."""
    text = archspec.load(name).graph.to_json()
    assert json.loads(text)["name"] == name
    golden(f"graphs/{name}.json", text)


def test_graphs_of_variants(golden: Golden) -> None:
    """The SHA-256 of that of networks which only set params of another one."""
    texts = {name: archspec.load(name).graph.to_json() for name in VARIANTS}
    lines = [f"{name} {hashlib.sha256(text.encode()).hexdigest()}\n" for name, text in texts.items()]
    golden("graphs_of_variants.txt", "".join(lines))


def test_no_stale_graph() -> None:
    assert {path.stem for path in (ROOT / "tests/golden/graphs").iterdir()} == set(FAMILIES)


@pytest.mark.parametrize(("format_", "draw"), [("dot", as_dot), ("mmd", as_mermaid)])
def test_drawing(format_: str, draw: Callable[[archspec.Graph], str], golden: Golden) -> None:
    golden(f"drawings/notes_inception.{format_}", draw(archspec.load("notes_inception").graph))


def test_schema_is_fresh() -> None:
    """`make docs` writes it."""
    shipped = json.loads((ROOT / "archspec/schema.json").read_text(encoding="utf-8"))
    assert shipped == json.loads(json.dumps(schema()))


def test_op_reference_is_fresh() -> None:
    """`make docs` writes it."""
    assert (ROOT / "docs/ops.md").read_text(encoding="utf-8") == as_reference()
