"""The examples run, shortened."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

ROOT = Path(__file__).parent.parent


def digits(*command: str) -> float:
    """The accuracy that the example reaches."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found = re.search(r"^accuracy (0\.\d+|1\.0+) on 359 held-out digits$", done.stdout, re.MULTILINE)
    assert found, done.stdout
    return float(found[1])


def test_digits_are_learnt(tmp_path: Path) -> None:
    weights = str(tmp_path / "digits.safetensors")
    assert digits(sys.executable, "examples/train_digits.py", "--epochs", "10", "-o", weights) >= 0.98
    import archspec
    from archspec.backends.build import build
    from archspec.backends.weights import load_weights

    assert load_weights(build(archspec.load("lenet5")), weights).fits


def test_digits_are_learnt_by_two_processes() -> None:
    launch = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    assert digits(*launch, "examples/train_digits.py", "--epochs", "6") >= 0.95
