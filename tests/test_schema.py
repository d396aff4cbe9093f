"""The JSON Schema, held against the reference validator."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import jsonschema
import jsonschema_rs
import pytest
from bad_specs import CASES
from random_specs import mutate, random_spec

import archspec
from archspec.document import zoo_files
from archspec.errors import Source
from archspec.files import read
from archspec.ops import OPS
from archspec.schema import schema
from archspec.schema.violations import violations
from archspec.syntax import parse

SCHEMA = json.loads(json.dumps(schema()))
REFERENCE = jsonschema.Draft7Validator(SCHEMA)
FAST = jsonschema_rs.validator_for(json.dumps(SCHEMA))


def document(step: Any) -> dict[str, Any]:
    return {"input": [3, 8, 8], "layers": [step]}


WRONG: list[Any] = [
    {"input": [3, 8, 8], "layers": []},
    {"input": [0, 8, 8], "layers": ["relu"]},
    {"input": [1, 2, 3, 4, 5], "layers": ["relu"]},
    {"inputs": [3, 8, 8], "layers": ["relu"]},
    {"input": [3, 8, 8], "layers": ["relu"], "archspec": 2},
    document({}),
    document({"relu": None, "conv": 3}),
    document({"conv": {"filters": "three"}}),
    document({"conv": {"filters": True}}),
    document({"conv": {"filters": 0}}),
    document({"conv": {"filters": 3, "kernell": 3}}),
    document({"conv": {"filters": 3, "padding": "sames"}}),
    document({"conv": {"filters": 3, "kernel": [1, "x"]}}),
    document({"dropout": 1.5}),
    document({"relu": 3}),
    document({"upsample": {"scale": 2, "mode": "nearestt"}}),
    document({"sequential": {"name": "a"}}),
    document({"inline": {"name": "a", "layers": ["relu"]}}),
    document({"relu": {"when": "yes"}}),
    document({"relu": {"repeat": -1}}),
    document({"relu": {"repeat": {"a": 1, "b": 2}}}),
    document({"relu": {"name": 0}}),
]


def test_it_is_a_schema() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_it_explains_every_op_and_argument() -> None:
    steps = SCHEMA["definitions"]["step"]["properties"]
    for name, op in OPS.items():
        assert steps[name]["description"]
        arguments = SCHEMA["definitions"][f"op.{name}"]["then"]["properties"]
        init = {"init"} if op.initial else set()
        fields = [name for name, field in op.fields.items() if not field.internal]
        assert {*fields, *init, "name", "from", "when", "repeat"} == set(arguments)
        assert all(arguments[field]["description"] for field in fields)


@pytest.mark.parametrize("name", archspec.list_specs())
def test_both_validators_accept_the_zoo(name: str) -> None:
    data = parse(read(zoo_files()[name])).plain()
    REFERENCE.validate(data)
    FAST.validate(data)


def broken_rules(text: str) -> None:
    """Hold where a document breaks the schema, and whether it does, against both validators."""
    try:
        document = parse(Source("x", text))
    except archspec.SpecError:
        return
    data = document.plain()
    found = {(violation.path, violation.keyword) for violation in violations(SCHEMA, document)}
    assert found == {(tuple(error.absolute_path), error.validator) for error in REFERENCE.iter_errors(data)}
    assert bool(found) is not FAST.is_valid(data)


@pytest.mark.parametrize("data", WRONG, ids=str)
def test_violations_of_a_few(data: Any) -> None:
    broken_rules(json.dumps(data))


def test_violations_of_wrong_specs() -> None:
    for case in CASES:
        if len(case.text) < 50_000:
            broken_rules(case.spec())


def test_violations_of_mutants() -> None:
    for seed in range(300):
        broken_rules(mutate(random_spec(seed), Random(seed)))


def test_a_word_and_a_line_break_is_not_the_word() -> None:
    """`$` of Python's patterns would let it pass."""
    data = document({"conv": {"filters": 3, "padding": "half\n"}})
    root = parse(Source("x", json.dumps(data)))
    assert not FAST.is_valid(data)
    assert [(found.keyword, found.path[-1]) for found in violations(SCHEMA, root)] == [("pattern", "padding")]


@pytest.mark.parametrize("data", WRONG, ids=str)
def test_both_validators_refuse(data: Any) -> None:
    assert not REFERENCE.is_valid(data)
    assert not FAST.is_valid(data)
    with pytest.raises(archspec.SpecError) as caught:
        archspec.loads(json.dumps(data))
    assert all(found.span for found in caught.value.diagnostics)
