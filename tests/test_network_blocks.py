"""A network as a block: what no feature needs is left out, and what is wrong with one is told at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

import archspec

INPUT = "input: [3, 32, 32]"
BLOCK = INPUT + "\nblocks:\n  body: {{network: {network}, features: [{features}]}}\nlayers:\n  - {step}\n"


def spec(network: str, features: str = "layer1", step: str = "body") -> str:
    return BLOCK.format(network=network, features=features, step=step)


def found(path_or_text: Path | str) -> tuple[str, str, str | None, int, int]:
    """The first finding: code, message, help, line and column."""
    with pytest.raises(archspec.SpecError) as caught:
        archspec.load(path_or_text) if isinstance(path_or_text, Path) else archspec.loads(path_or_text)
    first = caught.value.diagnostics[0]
    assert first.span is not None
    return first.code, first.message, first.help, first.span.line, first.span.column


def test_what_no_feature_needs_is_left_out() -> None:
    paths = [node.path for node in archspec.loads(spec("resnet18")).graph.nodes]
    assert paths[0] == "body.conv1"
    assert "body.layer1.1.conv2" in paths
    assert not [path for path in paths if path.startswith(("body.layer2", "body.fc"))]
    paths = [node.path for node in archspec.loads(spec("resnet18", "layer2.0.conv1")).graph.nodes]
    assert paths[-1] == "body.layer2.0.conv1"


def test_what_stands_behind_the_features_is_not_applied() -> None:
    """An input may be too small for the steps below."""
    text = spec("lenet5", "c1").replace(INPUT, "input: [1, 6, 6]")
    assert archspec.loads(text).graph.nodes[-1].path == "body.c1"
    assert found(text.replace("features: [c1]", "features: [c3]"))[0] == "shape"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (spec("resnet18", "layer9"), ("reference", "unknown feature `layer9`", "did you mean `layer1`?", 3, 40)),
        (
            spec("resnet81"),
            (
                "file",
                "unknown spec `resnet81`: it is neither beside this file nor in the zoo",
                "did you mean `resnet18`?",
                3,
                19,
            ),
        ),
        (
            spec("resnet18", step="body: {num_clases: 3}"),
            ("argument", "body: unknown argument `num_clases`", "did you mean `num_classes`?", 5, 12),
        ),
        (
            spec("resnet18", step="body: {num_classes: x}"),
            ("type", "body: `num_classes`: expected an integer, as its default is, got the text 'x'", None, 5, 25),
        ),
    ],
)
def test_what_is_wrong_with_a_call(text: str, expected: tuple[str, str, str | None, int, int]) -> None:
    assert found(text) == expected


def test_a_wrong_input_is_told_in_the_network() -> None:
    with pytest.raises(archspec.SpecError) as caught:
        archspec.loads(spec("resnet18").replace(INPUT, "input: [3]"))
    first = caught.value.diagnostics[0]
    assert (first.code, first.message) == ("shape", "conv: expected an input of 2 to 4 axes, channels first, got 3")
    assert first.span is not None
    assert first.span.source.name.endswith("resnet18.yaml")
    assert first.notes == ("in network resnet18, written for 3x224x224 and given 3, used as body at <spec>:5:5",)


@pytest.mark.parametrize("names", [["a"], ["a", "b"]])
def test_a_network_within_itself(tmp_path: Path, names: list[str]) -> None:
    for name, inner in zip(names, [*names[1:], names[0]], strict=True):
        (tmp_path / f"{name}.yaml").write_text(spec(f"{inner}.yaml", "body"), encoding="utf-8")
    way = " -> ".join(f"{name}.yaml" for name in [*names, names[0]])
    assert found(tmp_path / "a.yaml") == ("cycle", f"a network contains itself: {way}", None, 3, 19)


def test_a_network_outside_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "out.yaml").write_text("input: [3, 8, 8]\nlayers: [relu]\n", encoding="utf-8")
    (tmp_path / "inner" / "a.yaml").write_text(spec("../out.yaml", "relu"), encoding="utf-8")
    help = "a spec reads files in its own folder and below"
    expected = ("path", "../out.yaml is outside the folder of the spec", help, 3, 19)
    assert found(tmp_path / "inner" / "a.yaml") == expected


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (0, ("limit", "more than 64 files for one spec", None, 3, 19)),
        (30, ("depth", "scopes nested more than 30 levels deep", None, 5, 5)),
    ],
)
def test_a_long_chain_of_networks(tmp_path: Path, first: int, expected: tuple[str, str, None, int, int]) -> None:
    for number in range(70):
        (tmp_path / f"n{number}.yaml").write_text(spec(f"n{number + 1}.yaml", "body"), encoding="utf-8")
    (tmp_path / "n70.yaml").write_text(spec("resnet18"), encoding="utf-8")
    assert found(tmp_path / f"n{first}.yaml") == expected
