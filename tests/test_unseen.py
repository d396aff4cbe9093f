"""The specs of tests/specs/unseen: they hold what they say, and their source computes what their graphs do."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

import archspec

pytest.importorskip("torch")
from archspec.backends.verify import verify

FOLDER = Path(__file__).parent / "specs/unseen"
SPECS = {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}

QUICK = {
    (1, 8000): "m5_audio",
    (1, 37, 53): "unet_odd",
    (3, 16, 16): "cyclegan_generator",
    (3, 28, 28): "convmixer_768_32",
    (
        3,
        32,
        32,
    ): "deeplabv3_resnet50 densenet121 ese_vovnet19b_dw mnasnet1_0 mobilenet_v3_small peleenet regnet_x_400mf "
    "repvgg_a0 res2net50 res2net50_26w_4s seresnext50_32x4d shufflenet_v2_x1_0",
    (3, 64, 64): "cbam_resnet50 convnext_tiny darknet53 efficientnet_v2_s ghostnet_100 hrnet_small "
    "inception_resnet_cells mixer_s16 resnet50_fpn segnet stacked_hourglass unet_lists unet_loop yolov5n",
    (3, 96, 96): "xception",
    (3, 4, 16, 16): "r2plus1d_18",
    (256, 100): "wavenet",
}
"""Inputs at which networks compute quickly."""
INPUTS = {name: list(shape) for shape, names in QUICK.items() for name in names.split()}

TORCHVISION = {
    "densenet121": "1fe00a8008e9a5300f53c3de99f196a94c8dcc12e0ba932e8108b929bb45ec55",
    "efficientnet_v2_s": "a1f14179873bb3d2be2f93821a716e68afa3425f1c5d9f5b19bc78cad1158ff1",
    "inception_v3": "bb1903caf15217f2426a9bea1cad946d86526f853ff09fb5d7d93fa275bfda5b",
    "mnasnet1_0": "e90157b78cfec32428b787058cd448b1d08608f35045da473fd4fc81d31aa75b",
    "mobilenet_v3_small": "6353e9f51ee2108d8e1943cb29e8631c645ac76f42d51cf2824cf34086035190",
    "regnet_x_400mf": "9be77a4f2be89474b06194b4d3207515ad10f885ae8262b6e03b31d3ec6678bb",
    "shufflenet_v2_x1_0": "bf479090b753ddd36f844d6aeafa430c4be50cab0f39331dd9f4a55c072e4999",
}
"""SHA-256 of the sorted keys and shapes of torchvision's state dicts, a line `key 64x3x7x7` each."""


@pytest.mark.parametrize("name", SPECS)
def test_holds_what_it_expects(name: str) -> None:
    assert [str(finding) for finding in archspec.check(SPECS[name]) if finding.severity == "error"] == []


@pytest.mark.parametrize("name", TORCHVISION)
def test_names_match_torchvision(name: str) -> None:
    keys = archspec.load(SPECS[name]).graph.state_dict()
    text = "\n".join(f"{key} {'x'.join(map(str, shape))}" for key, shape in sorted(keys.items()))
    assert hashlib.sha256(text.encode()).hexdigest() == TORCHVISION[name]


@pytest.mark.parametrize("name", SPECS)
def test_verifies(name: str) -> None:
    """Shapes, counts, keys and the bits of the generated source."""
    network = archspec.load(SPECS[name], input=INPUTS.get(name))
    assert [str(check) for check in verify(network, compiler="none").checks if not check.passed] == []


def test_the_readme_describes_every_spec() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == list(SPECS)
