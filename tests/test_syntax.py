"""YAML text to located values: YAML 1.2's scalars, places, and agreement with PyYAML where the two versions agree."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from archspec.errors import Source, SpecError
from archspec.syntax import MAX_DEPTH, Yaml, YamlList, YamlMap, YamlScalar, find, parse, parse_value

SCALARS: list[tuple[str, Any]] = [
    *((word, None) for word in ("", "~", "null", "Null", "NULL")),
    *((word, True) for word in ("true", "True", "TRUE")),
    *((word, False) for word in ("false", "False", "FALSE")),
    *((word, word) for word in ("yes", "no", "on", "off", "y", "n", "Yes", "NO", "tRUE", "nULL", "None", "nil")),
    ("0", 0),
    ("-0", 0),
    ("+12", 12),
    ("-19", -19),
    ("0o17", 15),
    ("0x1F", 31),
    ("0xff", 255),
    (str(2**63 - 1), 2**63 - 1),
    (str(-(2**63) + 1), -(2**63) + 1),
    *(
        (word, word)
        for word in ("010", "00", "-07", "0o8", "0b11", "-0x1", "1_000", "3:4", "12:30:45", "1,000", "--1", "+")
    ),
    ("1.5", 1.5),
    (".5", 0.5),
    ("-.5", -0.5),
    ("5.", 5.0),
    ("1e-5", 1e-5),
    ("1E+5", 1e5),
    ("1e5", 100000.0),
    ("-2.50e-3", -0.0025),
    ("0.0", 0.0),
    *(
        (word, word)
        for word in ("1.2.3", "1e", "e5", ".", "..", "1_0.5", "0x1.8p3", "1e5e5", "01.5", "inf", "nan", "1 2")
    ),
    ("2001-12-14", "2001-12-14"),
    ("2001-12-14T21:59:43Z", "2001-12-14T21:59:43Z"),
    ('"1"', "1"),
    ("'true'", "true"),
    ('""', ""),
    ("''", ""),
    ("=", "="),
    ("<", "<"),
    ("abc def", "abc def"),
    ("a#b", "a#b"),
    ("a #b", "a"),
    ("$x.y", "$x.y"),
    ("${a + b}", "${a + b}"),
    (r'"\u00e9\x41\n"', "éA\n"),
    ("'it''s'", "it's"),
    ("|\n  a\n  b\n", "a\nb\n"),
    (">\n  a\n  b\n", "a b\n"),
    ("|-\n  1\n", "1"),
    ("[]", []),
    ("{}", {}),
    ("[1, [2.5, {a: null}], 'b']", [1, [2.5, {"a": None}], "b"]),
    ("{a: , b: 1}", {"a": None, "b": 1}),
    ("- a\n- - b\n  - c\n-", ["a", ["b", "c"], None]),
]


@pytest.mark.parametrize(("text", "value"), SCALARS, ids=[text for text, _ in SCALARS])
def test_values(text: str, value: Any) -> None:
    found = parse_value(Source("x", text))
    assert found == value
    assert type(found) is type(value)


WRONG = [
    ".inf",
    "-.Inf",
    "+.INF",
    ".nan",
    ".NaN",
    ".NAN",
    "1e999",
    "-1e999",
    str(2**63),
    str(-(2**63)),
    "0x" + "f" * 17,
    "9" * 9999,
]


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:20])
def test_numbers_out_of_bounds(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_value(Source("x", f"[1, {text}]"))
    assert [(d.code, str(d.span)) for d in caught.value.diagnostics] in ([("number", "x:1:5")], [("limit", "x:1:5")])


WORDS = st.text(st.sampled_from("abcdefgxyzABC_ éß漢"), max_size=12)
KEYS = st.text(st.sampled_from("abcdefgxyz_"), min_size=1, max_size=6).filter(
    lambda key: key not in ("y", "n", "yes", "no", "on", "off")
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    WORDS,
)
DOCUMENTS = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=25
)


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS, st.sampled_from([None, True, False]), st.sampled_from([20, 80]))
def test_round_trip_of_what_pyyaml_writes(data: Any, style: bool | None, width: int) -> None:
    text = yaml.dump(data, Dumper=yaml.SafeDumper, default_flow_style=style, width=width, allow_unicode=True)
    if "&id" not in text:  # PyYAML writes an alias where a value is the same object twice
        assert parse_value(Source("x", text)) == data


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"], exclude_characters="\ufeff"))


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        LEAVES | TEXTS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
        max_leaves=25,
    )
)
def test_json_is_yaml(data: Any) -> None:
    assert parse_value(Source("x", json.dumps(data, ensure_ascii=False, indent=1))) == data
    text = json.dumps(data)
    if (
        "\\ud8" not in text and "\\ud9" not in text and "\\uda" not in text and "\\udb" not in text
    ):  # libyaml knows no pairs
        assert parse_value(Source("x", text)) == data


def places(node: Yaml) -> dict[str, tuple[int, int, int]]:
    """Line, column and width of every value and key."""
    found: dict[str, tuple[int, int, int]] = {}

    def walk(here: Yaml, path: str) -> None:
        found[path] = (here.line, here.column, here.width)
        if isinstance(here, YamlList):
            for position, item in enumerate(here.items):
                walk(item, f"{path}/{position}")
        elif isinstance(here, YamlMap):
            for key, item in here.entries.items():
                found[f"{path}/{key}?"] = here.keys[key][1:]
                walk(item, f"{path}/{key}")

    walk(node, "")
    return found


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_places(line_end: str) -> None:
    text = "# é\na:\n  - 10\n  - {bc: \"x y\", é: [1,\n     2]}\n'd e': |\n  text\nf:\n"
    assert places(parse(Source("x", text.replace("\n", line_end)))) == {
        "": (2, 1, 1),
        "/a?": (2, 1, 1),
        "/a": (3, 3, 1),
        "/a/0": (3, 5, 2),
        "/a/1": (4, 5, 1),
        "/a/1/bc?": (4, 6, 2),
        "/a/1/bc": (4, 10, 5),
        "/a/1/é?": (4, 17, 1),
        "/a/1/é": (4, 20, 1),
        "/a/1/é/0": (4, 21, 1),
        "/a/1/é/1": (5, 6, 1),
        "/d e?": (6, 1, 5),
        "/d e": (6, 8, 1),
        "/f?": (8, 1, 1),
        "/f": (8, 3, 1),
    }


def test_find_goes_as_far_down_as_the_path_leads() -> None:
    root = parse(Source("x", "a: [1, {b: 2}]"))
    assert find(root, ["a", 1, "b"]).plain() == 2
    assert find(root, ["a", 1, "c"]).plain() == {"b": 2}
    assert find(root, ["a", 9]).plain() == [1, {"b": 2}]
    assert find(root, []) is root
    assert isinstance(find(root, ["a", 0]), YamlScalar)


def test_depth_limit_is_exact() -> None:
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    parse_value(Source("x", deep))
    with pytest.raises(SpecError, match="more than 100 levels"):
        parse_value(Source("x", f"[{deep}]"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("%YAML 1.2\n---\na: 1\n", {"a": 1}),
        ("---\na: 1\n...\n", {"a": 1}),
        ("# only\na: 1 # this\n", {"a": 1}),
        ("? a\n: 1\n", {"a": 1}),
        ('"a": 1\n', {"a": 1}),
        ('"": 1\n', {"": 1}),
        ('"1": 1\n"true": 2\n', {"1": 1, "true": 2}),
        ('"<<": {b: 1}\n', {"<<": {"b": 1}}),
        ("yes: 1\n2001-01-01: 2\n", {"yes": 1, "2001-01-01": 2}),
    ],
)
def test_documents(text: str, value: Any) -> None:
    assert parse(Source("x", text)).plain() == value
