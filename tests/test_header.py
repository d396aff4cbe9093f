"""The spec in the header of a file of weights. The header is anybody's text: it is read like any other spec."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest

import archspec
from archspec.header import MAX_HEADER
from archspec.report.bundle import bundle_spec

SPEC = """
name: two
description: "${nothing} # {{ 1 }} \\e[2J"
input: {image: [3, 8, 8], more: [5]}
blocks:
  gate:
    inputs: [x, y]
    layers:
      - linear: {name: fc, units: 5, from: x}
      - multiply: [fc, y]
layers:
  - conv: {name: conv, filters: 5, kernel: [3, 1], padding: same, from: image}
  - global_avg_pool
  - flatten
  - gate: {from: [flatten, more], repeat: 2, name: gates}
  - relu: {name: top}
outputs: {first: top, second: flatten}
"""


def with_header(path: Path, header: bytes, size: int | None = None) -> Path:
    """A file with this header, and its length or another before it."""
    path.write_bytes(struct.pack("<Q", len(header) if size is None else size) + header)
    return path


def with_spec(path: Path, spec: object) -> Path:
    return with_header(path, json.dumps({"__metadata__": {"spec": spec}}).encode())


def test_the_network_comes_out_of_the_header(tmp_path: Path) -> None:
    net = archspec.loads(SPEC.replace("repeat: 2, ", ""))
    path = with_spec(tmp_path / "two.safetensors", bundle_spec(net.elaboration, net.overrides))
    again = archspec.load(path)
    assert again.graph.to_json() == net.graph.to_json()
    assert (again.name, again.description) == (net.name, net.description)
    assert archspec.load(path, input={"image": (3, 20, 20)}).graph.inputs["image"] == (3, 20, 20)


def test_a_wrong_spec_is_shown_where_it_is_wrong(tmp_path: Path) -> None:
    path = with_spec(tmp_path / "x.safetensors", "input: [8]\nlayers:\n  - linear: {unit: 3}\n")
    with pytest.raises(archspec.SpecError) as caught:
        archspec.load(path)
    assert "did you mean `units`?" in str(caught.value)
    assert f" --> {path}:3:14\n" in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("", "document"),
        ("[" * 100_000, "depth"),
        ("\x1b[2J", "encoding"),
        ("\ud800", "encoding"),
        ("a: &a [*a, *a]", "alias"),
        ("x: !!python/object/apply:os.system [ls]", "tag"),
        ("extends: ./net.yaml", "path"),
        ("extends: /etc/passwd", "path"),
        ("# " + "x" * (1 << 20), "limit"),
        ("input: [8]\nlayers:\n  - linear: '${().__class__}'\n", "expression"),
    ],
)
def test_a_hostile_spec_is_as_harmless_as_in_a_file(spec: str, code: str, tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text("input: [8]\nlayers: [relu]\n")
    with pytest.raises(archspec.SpecError) as caught:
        archspec.load(with_spec(tmp_path / "x.safetensors", spec))
    assert caught.value.diagnostics[0].code == code
    assert "\x1b" not in str(caught.value)
    str(caught.value).encode()


NO_SAFETENSORS = "is not a safetensors file, or its header has more than 4 MiB"


@pytest.mark.parametrize(
    ("header", "size", "message"),
    [
        (b"", 1, NO_SAFETENSORS),
        (b"{}", 3, NO_SAFETENSORS),
        (b"{}", 2**62, NO_SAFETENSORS),
        (b"{}", MAX_HEADER + 1, NO_SAFETENSORS),
        (b"", None, "its header is not a JSON object"),
        (b"\xff\xfe{", None, "its header is not a JSON object"),
        (b"[" * 200_000, None, "its header is not a JSON object"),
        (b"[]", None, "its header is not a JSON object"),
        (b'{"a": ' + b"1" * 5000 + b"}", None, "its header is not a JSON object"),
        (b"{}", None, "but not the spec of their network"),
        (b'{"__metadata__": ["spec"]}', None, "but not the spec of their network"),
        (b'{"__metadata__": {"spec": {"input": [8]}}}', None, "but not the spec of their network"),
    ],
)
def test_what_holds_no_spec(header: bytes, size: int | None, message: str, tmp_path: Path) -> None:
    path = with_header(tmp_path / "x.safetensors", header, size)
    with pytest.raises(archspec.SpecError, match=message) as caught:
        archspec.load(path)
    assert [finding.code for finding in caught.value.diagnostics] == ["file"]
    assert str(path) in str(caught.value)


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "short.safetensors").write_bytes(b"1234567")
    (tmp_path / "folder.safetensors").mkdir()
    os.mkfifo(tmp_path / "pipe.safetensors")
    for name, message in (
        ("short", NO_SAFETENSORS),
        ("folder", "is not a regular file"),
        ("pipe", "is not a regular file"),
        ("missing", "no such file"),
    ):
        with pytest.raises(archspec.SpecError, match=message):
            archspec.load(tmp_path / f"{name}.safetensors")
