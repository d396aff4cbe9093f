"""What users install: the wheel, built through the sdist, in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from archspec._version import __version__

ROOT = Path(__file__).parent.parent
DATA = ("specs", "templates")
pytestmark = pytest.mark.xdist_group("packaging")  # one worker builds, once


def run(*command: str | Path, cwd: Path) -> str:
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of a new environment that holds the wheel and what it depends on, so no torch."""
    folder = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    bin = folder / ("Scripts" if os.name == "nt" else "bin")
    constraints = ROOT / "constraints.txt"
    run(bin / "python", "-m", "pip", "install", "--quiet", "--constraint", constraints, wheel, cwd=folder)
    return bin


def test_wheel_holds_what_git_tracks(wheel: Path) -> None:
    try:
        tracked = set(run("git", "ls-files", "-z", "archspec", *DATA, cwd=ROOT).split("\0")) - {""}
    except FileNotFoundError:
        pytest.fail("this test compares the wheel with `git ls-files`: install git")
    names = zipfile.ZipFile(wheel).namelist()
    package = [name for name in names if name.startswith("archspec/")]
    shipped = {name.removeprefix("archspec/") if name.split("/")[1] in DATA else name for name in package}
    assert shipped - tracked == set(), "shipped, but not tracked by git: `git add` or remove them"
    assert tracked - shipped == set(), "tracked by git, but not shipped"
    assert "archspec/py.typed" in shipped
    assert {name.split("/")[0] for name in names} == {"archspec", f"archspec_nn-{__version__}.dist-info"}


def test_installed_command_analyzes(scripts: Path, tmp_path: Path) -> None:
    assert "11,689,512" in run(scripts / "archspec", "analyze", "resnet18", cwd=tmp_path)


def test_installed_command_lists_the_zoo(scripts: Path, tmp_path: Path) -> None:
    zoo = {path.stem for path in (ROOT / "specs").rglob("*.yaml")}
    listed = set(run(scripts / "archspec", "list", "--all", cwd=tmp_path).split())
    assert zoo
    assert zoo <= listed
