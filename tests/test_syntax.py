"""YAML as archspec reads it: the 1.2 core schema, places, and a plain subset of the rest."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from archspec.errors import Source, SpecError
from archspec.syntax import YamlMap, YamlScalar, parse, parse_value

SCALARS: dict[str, Any] = {
    "1": 1,
    "-17": -17,
    "+3": 3,
    "0": 0,
    "0o17": 15,
    "0xfF": 255,
    "1.5": 1.5,
    "-.5": -0.5,
    "1e-5": 1e-5,
    "5E3": 5000.0,
    "1.": 1.0,
    "true": True,
    "False": False,
    "null": None,
    "~": None,
    "": None,
    "yes": "yes",
    "no": "no",
    "on": "on",
    "010": "010",
    "1_000": "1_000",
    "3:4": "3:4",
    "0b11": "0b11",
    "2026-11-22": "2026-11-22",
    "1.2.3": "1.2.3",
    "'1'": "1",
    '"true"': "true",
    "=": "=",
    "nan": "nan",
}


@pytest.mark.parametrize("text", SCALARS)
def test_scalars_are_those_of_yaml_1_2(text: str) -> None:
    value = parse(Source("t", f"key: {text}\n")).plain()["key"]
    assert value == SCALARS[text]
    assert type(value) is type(SCALARS[text])


def test_values_know_their_places() -> None:
    root = parse(Source("t", "a: 1\nlist:\n  - x: [10, twenty]\n"))
    assert [span[1:] for span in root.keys.values()] == [(1, 1, 1), (2, 1, 4)]
    first = root.entries["list"].items[0]  # type: ignore[attr-defined]
    assert isinstance(first, YamlMap)
    twenty = first.entries["x"].items[1]  # type: ignore[attr-defined]
    assert isinstance(twenty, YamlScalar)
    assert tuple(twenty.span[1:]) == (3, 13, 6)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXT, PLAIN, min_size=1, max_size=4), st.booleans())
def test_plain_documents_come_back(data: dict[str, Any], flow: bool) -> None:
    """What another library writes, with every text quoted, is read as it was."""
    text = yaml.dump(data, default_style='"' if flow else None, default_flow_style=flow, allow_unicode=False)
    if flow:  # every scalar is quoted and tagged by PyYAML where it is no text; write those plainly
        text = yaml.dump(data, Dumper=_Quoted, default_flow_style=True, width=10_000)
        assert parse(Source("t", text)).plain() == data
    else:
        text = yaml.dump(data, Dumper=_Quoted, default_flow_style=False)
        assert parse_value(Source("t", text)) == data


def _dotted(number: str) -> str:
    """A number as both YAML 1.1 and 1.2 take it for a float: with a point."""
    return number if "." in number else number.replace("e", ".0e")


class _Quoted(yaml.SafeDumper):
    """Writes text in double quotes, and floats as YAML 1.2 reads them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Quoted.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))
_Quoted.add_representer(
    float,
    lambda dumper, number: dumper.represent_scalar("tag:yaml.org,2002:float", _dotted(repr(number))),
)


@pytest.mark.parametrize("text", ["﻿a: 1\n", "a: 1\r\nb: 2\r\n", "%YAML 1.2\n---\na: 1\n", "a: 1\n...\n"])
def test_harmless_forms_are_accepted(text: str) -> None:
    assert parse(Source("t", text.removeprefix("﻿"))).plain()["a"] == 1


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("a: &x 1\n", "alias", 1, 4),
        ("a: *x\n", "alias", 1, 4),
        ("a: {<<: 1}\n", "alias", 1, 5),
        ("a: !!binary x\n", "tag", 1, 4),
        ("a: 1\na: 2\n", "duplicate", 2, 1),
        ("1: a\n", "key", 1, 1),
        ("[a]: 1\n", "key", 1, 1),
        ("a: .inf\n", "number", 1, 4),
        ("a: 1e999\n", "number", 1, 4),
        ("a: 9223372036854775808\n", "limit", 1, 4),
        ("a: 1\n---\nb: 2\n", "document", 2, 1),
        ("- a\n", "document", 1, 1),
        ("", "document", 1, 1),
        ("a:\n\t- b\n", "syntax", 2, 1),
        ("a: \x07\n", "encoding", 1, 4),
        ("a: " + "[" * 200 + "\n", "depth", 1, 103),
    ],
)
def test_what_a_spec_may_not_hold(text: str, code: str, line: int, column: int) -> None:
    with pytest.raises(SpecError) as caught:
        parse(Source("t", text))
    found = caught.value.diagnostics[-1]
    assert (found.code, found.span and found.span[1:3]) == (code, (line, column))
