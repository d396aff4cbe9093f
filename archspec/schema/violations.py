"""Where a document breaks the schema: one violation after the other, as long as somebody asks.

jsonschema-rs tells in microseconds whether a document is valid, but makes every violation at once, each with a copy of
what is wrong: of a file of 1 MiB, hundreds of megabytes. This walk keeps to the few keywords that `rules.py` writes; a
test holds it against jsonschema.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from archspec.schema.rules import Rule
from archspec.syntax import Yaml, YamlList, YamlMap, YamlScalar

Path = tuple[str | int, ...]


class Violation(NamedTuple):
    """One broken rule: its keyword, the value that breaks it, and the path to that from the document."""

    rule: Rule
    keyword: str
    value: Yaml
    path: Path


def violations(rules: Rule, document: Yaml, start: Rule | None = None, path: Path = ()) -> Iterator[Violation]:
    """Yield what breaks the schema `rules`, in the order of the document; of a part at `path`, the rule `start`."""
    todo: list[Iterator[tuple[Rule, Yaml, Path]]] = [iter([(start or rules, document, path)])]
    while todo:
        entry = next(todo[-1], None)
        if entry is None:
            todo.pop()
            continue
        rule, value, path = entry
        rule = _applicable(rules, rule, value)
        for keyword in _broken(rule, value):
            yield Violation(rule, keyword, value, path)
        todo.append(_children(rule, value, path))


def size(value: Yaml) -> int:
    """Return how many entries a list or mapping has."""
    return len(value.items) if isinstance(value, YamlList) else len(value.entries) if isinstance(value, YamlMap) else 0


def _applicable(rules: Rule, rule: Rule, value: Yaml) -> Rule:
    """Return the rule that holds of a value, references and conditions followed."""
    while True:
        if "$ref" in rule:
            name = rule["$ref"].removeprefix("#/definitions/")
            rule = rules if name == "#" else rules["definitions"][name]
        elif "if" in rule:
            rule = rule.get("then" if next(_broken(rule["if"], value), None) is None else "else", {})
        else:
            return rule


def _children(rule: Rule, value: Yaml, path: Path) -> Iterator[tuple[Rule, Yaml, Path]]:
    """Yield the values in a list or mapping that have a rule, each with that and its path."""
    if isinstance(value, YamlList):
        if "items" in rule:
            for position, item in enumerate(value.items):
                yield rule["items"], item, (*path, position)
    elif isinstance(value, YamlMap):
        known, others = rule.get("properties", {}), rule.get("additionalProperties")
        for key, item in value.entries.items():
            inner = known.get(key, others)
            if isinstance(inner, dict):
                yield inner, item, (*path, key)


def _broken(rule: Rule, value: Yaml) -> Iterator[str]:
    """Yield the keywords of a rule that a value breaks."""
    if "type" in rule:
        types = rule["type"] if isinstance(rule["type"], list) else [rule["type"]]
        if not any(_is(value, kind) for kind in types):
            yield "type"
    if "const" in rule and not (_is(value, "number") and value.plain() == rule["const"]):
        yield "const"
    if "enum" in rule and not (isinstance(value, YamlScalar) and value.value in rule["enum"]):
        yield "enum"
    if "anyOf" in rule and not any(next(_broken(option, value), None) is None for option in rule["anyOf"]):
        yield "anyOf"
    if isinstance(value, YamlScalar):
        yield from _broken_by_scalar(rule, value.value)
    else:
        yield from _broken_by_size(rule, size(value), "Items" if isinstance(value, YamlList) else "Properties")
    if isinstance(value, YamlMap):
        if rule.get("additionalProperties") is False and not value.entries.keys() <= rule.get("properties", {}).keys():
            yield "additionalProperties"
        if not value.entries.keys() >= set(rule.get("required", ())):
            yield "required"


def _broken_by_size(rule: Rule, count: int, what: str) -> Iterator[str]:
    if count < rule.get(f"min{what}", 0):
        yield f"min{what}"
    if count > rule.get(f"max{what}", count):
        yield f"max{what}"


def _broken_by_scalar(rule: Rule, found: object) -> Iterator[str]:
    if isinstance(found, str):
        if "pattern" in rule and not _pattern(rule["pattern"]).search(found):
            yield "pattern"
    elif isinstance(found, int | float) and not isinstance(found, bool):
        if found < rule.get("minimum", found):
            yield "minimum"
        if found > rule.get("maximum", found):
            yield "maximum"
        if "exclusiveMinimum" in rule and found <= rule["exclusiveMinimum"]:
            yield "exclusiveMinimum"
        if "exclusiveMaximum" in rule and found >= rule["exclusiveMaximum"]:
            yield "exclusiveMaximum"


def _is(value: Yaml, kind: str) -> bool:
    """Return whether a value is of a type of JSON Schema, for which 3.0 is an integer."""
    if not isinstance(value, YamlScalar):
        return kind == ("array" if isinstance(value, YamlList) else "object")
    found = value.value
    if found is None or isinstance(found, bool | str):
        return kind == ("null" if found is None else "boolean" if isinstance(found, bool) else "string")
    return kind == "number" or kind == "integer" and (isinstance(found, int) or found.is_integer())


@lru_cache(maxsize=64)
def _pattern(text: str) -> re.Pattern[str]:
    """Return a pattern of the schema, in which `$` means the very end."""
    return re.compile(re.sub(r"(?<!\\)\$", r"\\Z", text))
