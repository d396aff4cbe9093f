"""The specs of tests/specs/timm have timm's figures and keys; what a network as a block leaves out and refuses."""

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


BLOCK = "input: [3, 32, 32]\nblocks:\n  body: {network: %s, features: [%s]}\nlayers:\n  - body\n"


def test_what_no_feature_needs_is_left_out() -> None:
    paths = [node.path for node in archspec.loads(BLOCK % ("resnet18", "layer1")).graph.nodes]
    assert "body.layer1.1.conv2" in paths
    assert not [path for path in paths if path.startswith(("body.layer2", "body.fc"))]


@pytest.mark.parametrize("others", [["a"], ["b", "a"]])
def test_a_network_within_itself(tmp_path: Path, others: list[str]) -> None:
    for name, inner in zip(["a", "b"], others, strict=False):
        (tmp_path / f"{name}.yaml").write_text(BLOCK % (f"{inner}.yaml", "body"))
    with pytest.raises(archspec.SpecError) as caught:
        archspec.load(str(tmp_path / "a.yaml"))
    assert [finding.code for finding in caught.value.diagnostics] == ["cycle"]


def test_a_network_outside_of_the_folder(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "out.yaml").write_text("input: [3, 8, 8]\nlayers: [relu]\n")
    (inner / "a.yaml").write_text(BLOCK % ("../out.yaml", "relu"))
    with pytest.raises(archspec.SpecError, match="out"):
        archspec.load(str(inner / "a.yaml"))


def test_a_feature_that_is_not_there() -> None:
    with pytest.raises(archspec.SpecError, match="layer9"):
        archspec.loads(BLOCK % ("resnet18", "layer9"))
