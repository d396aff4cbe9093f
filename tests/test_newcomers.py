"""The specs of tests/specs/timm, written by a new user from the docs, have timm's figures and keys."""

from __future__ import annotations

from pathlib import Path

import pytest

import archspec

FOLDER = Path(__file__).parent / "specs/timm"
KEYS = {"edgenext_x_small": 214, "levit_128": 400, "mixnet_s": 396}
"""How many keys the state_dict of timm 1.0.31 has."""


@pytest.mark.parametrize("name", KEYS)
def test_figures_of_timm(name: str) -> None:
    network = archspec.load(str(FOLDER / f"{name}.yaml"))
    network.check()
    pytest.importorskip("torch")
    assert len(archspec.build(network).state_dict()) == KEYS[name]
