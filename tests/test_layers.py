"""The floors of the package: a file imports from lower floors only, and packages of one floor not each other."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "archspec"
SOURCE = PACKAGE / "backends" / "source"
ROW = re.compile(r"^\| (\d+) \| ((?:`[\w.]+`(?:, )?)+) \|", re.M)


def floors() -> dict[str, int]:
    """Return the floor of each module right under `archspec` and `source`, as the tables of docs/design.md have it."""
    text = (PACKAGE.parent / "docs" / "design.md").read_text(encoding="utf-8")
    return {module.strip("`"): int(floor) for floor, modules in ROW.findall(text) for module in modules.split(", ")}


FLOOR = floors()
ONLY_IN = {"torch": ("backends", "importing"), "safetensors": ("backends",), "jinja2": ("backends",)}
FILES = sorted(PACKAGE.rglob("*.py"))


def unit(file: Path) -> str:
    """The module or package right under archspec that a file belongs to."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything imported, wherever in the file: in functions and for type checkers too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}:{node.lineno}: a relative import; write the full name"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_down(file: Path) -> None:
    own = unit(file)
    assert own in FLOOR, f"archspec/{own} stands on no floor: give it one in docs/design.md"
    for line, name in imports(file):
        root, _, rest = name.partition(".")
        where = f"{file}:{line}: {name}"
        assert own in ONLY_IN.get(root, (own,)), f"{where}: only {ONLY_IN[root]} of archspec import {root}"
        if root == "archspec":
            part = rest.split(".")[0]
            other = part if part in FLOOR or (PACKAGE / part).with_suffix(".py").exists() else "__init__"
            assert other in FLOOR, f"{where}: archspec/{other} stands on no floor"
            assert other == own or FLOOR[other] < FLOOR[own], f"{where}: {other} does not stand below {own}"


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda file: str(file.relative_to(SOURCE)))
def test_imports_go_down_in_source(file: Path) -> None:
    """What is traced knows nothing of plans, and plans nothing of how they are written."""
    own = "source." + file.relative_to(SOURCE).parts[0].removesuffix(".py")
    assert own in FLOOR, f"archspec/backends/{own} stands on no floor: give it one in docs/design.md"
    for line, name in imports(file):
        package, _, rest = name.partition("archspec.backends.source.")
        if not package and rest:
            part = rest.split(".")[0]
            exists = (SOURCE / part).is_dir() or (SOURCE / part).with_suffix(".py").exists()
            other = f"source.{part if exists else '__init__'}"
            assert other == own or FLOOR[other] < FLOOR[own], f"{file}:{line}: {name}: {other} is not below {own}"


def test_no_cycles() -> None:
    """The files of a package import one another in one direction only."""
    files = {".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts): file for file in FILES}
    files = {name.removesuffix(".__init__"): file for name, file in files.items() if SOURCE not in file.parents}
    above: dict[str, set[str]] = {}
    for own, file in files.items():
        names = {name for _, name in imports(file)}
        above[own] = {name if name in files else name.rpartition(".")[0] for name in names} & files.keys() - {own}
    try:
        TopologicalSorter(above).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize("code", ["import archspec", "from archspec.cli import main; main(['analyze', 'resnet18'])"])
def test_light_to_start(code: str) -> None:
    heavy = {"torch", "jinja2", "networkx", "jsonschema", "numpy"}
    report = f"import atexit, sys; atexit.register(lambda: print({heavy} & set(sys.modules), file=sys.stderr))"
    done = subprocess.run([sys.executable, "-c", f"{report}\n{code}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "set()\n"
