"""The check of a document against the schema, with each violation as the finding that a person wants to read."""

from __future__ import annotations

from functools import lru_cache, partial
from itertools import islice
from typing import Any

from archspec.errors import MAX_FINDINGS, Complaint, Diagnostic, Findings, kind_of, listed
from archspec.ops import table
from archspec.ops.base import Op
from archspec.schema.hints import (
    bound_help,
    count_help,
    init_word,
    kind_help,
    meant_key,
    several_keys_help,
    unknown_key_help,
)
from archspec.schema.rules import EXPRESSION, SCOPES, Rule, schema
from archspec.schema.violations import Path, Violation, size, violations
from archspec.syntax import Yaml, YamlList, YamlMap, YamlScalar, find

_TYPE_WORDS = {
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "string": "text",
}
_BOUND_WORDS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
}


@lru_cache(maxsize=64)
def _validator(ops: tuple[type[Op], ...]) -> Any:
    """Return the compiled schema of specs that use no other ops than these."""
    import jsonschema_rs

    return jsonschema_rs.validator_for(schema({op.op: op for op in ops}))


def validate(document: YamlMap) -> tuple[list[Diagnostic], set[Yaml]]:
    """Return what the schema finds wrong with a document, in its order; and the values it is in.

    These are the wrong values themselves, the steps around them, and the values of the document's keys around those.
    """
    keys = _keys(document)
    # The schema of all ops takes several milliseconds to compile, which is a good part of a start.
    if _validator(tuple(op for op in table() if op.op in keys)).is_valid(document.plain()):
        return [], set()
    found: list[Complaint] = []
    broken: set[Yaml] = set()
    for violation in violations(schema(), document):
        found += _explain(violation)
        path = violation.path
        broken |= {violation.value, find(document, _step_on(path)), find(document, path[:1])}
        if len(found) > MAX_FINDINGS:
            break
    found.sort(key=lambda fault: (fault.span[1:3] if fault.span else (0, 0), fault.code != "type"))
    findings = Findings()  # a value of the wrong type breaks other rules too
    for fault in found:
        findings.add(fault)
    return findings.found, broken


def validate_chosen(op: str, body: Yaml) -> list[Complaint]:
    """Return what the schema finds wrong with the value of a step whose key is an expression that gives `op`."""
    rules = _rules(table())
    start = rules["definitions"][f"op.{op}"]
    return [fault for violation in violations(rules, body, start, ("layers", 0, op)) for fault in _explain(violation)]


@lru_cache(maxsize=2)
def _rules(_ops: tuple[type[Op], ...]) -> Rule:
    return schema()


def _keys(document: YamlMap) -> set[str]:
    """Return every key in a document, however deep."""
    found: set[str] = set()
    todo: list[Yaml] = [document]
    while todo:
        value = todo.pop()
        if isinstance(value, YamlMap):
            found.update(value.entries)
            todo += value.entries.values()
        elif isinstance(value, YamlList):
            todo += value.items
    return found


def _step_on(path: Path) -> Path:
    """Return the path of the innermost step that a path leads into; empty, for the document, if there is none."""
    for at in range(len(path) - 1, 0, -1):
        if isinstance(path[at], int) and path[at - 1] in ("layers", *SCOPES):
            return path[: at + 1]
    return ()


# Findings.


def _explain(violation: Violation) -> list[Complaint]:
    """Return the complaints that one violation is: one, but of keys one for each."""
    rule, keyword, value, path = violation
    label = _label(path)
    prefix = f"{label}: " if label else ""
    if keyword == "additionalProperties":
        return _unknown_keys(rule, path, label, value)
    if keyword == "required":
        return _missing_keys(rule, path, label, value)
    if keyword in ("minProperties", "maxProperties") and "call" in str(rule.get("additionalProperties")):
        return [_not_one_key(value)]
    if keyword in _BOUND_WORDS:
        message = f"{prefix}expected {_BOUND_WORDS[keyword]} {rule[keyword]:g}, got {value.plain()}"
        return [Complaint("value", message, partial(bound_help, path, value.plain()), span=value.span)]
    if keyword in ("minItems", "maxItems", "minProperties", "maxProperties"):
        bound = f"at {'least' if keyword.startswith('min') else 'most'} {rule[keyword]}"
        entries = "entry" if rule[keyword] == 1 else "entries"
        message = f"{prefix}expected {bound} {entries}, got {size(value)}"
        return [Complaint("value", message, partial(count_help, path, value), span=value.span)]
    return [_wrong_kind(rule, keyword, prefix, value, path)]


def _label(path: Path) -> str:
    """Return `conv: kernel` for the path to an argument: the keys after the last list position."""
    keys: list[str] = []
    for step in reversed(path):
        if isinstance(step, str):
            keys.insert(0, step)
        elif keys:
            break
    return ": ".join(keys)


def _unknown_keys(rule: Rule, path: Path, label: str, value: Yaml) -> list[Complaint]:
    assert isinstance(value, YamlMap)
    known = rule.get("properties", {})
    what = init_word(path) or ("op" if label == "defaults" else "argument" if label else "key")
    code = "argument" if what == "scheme" else what
    return [
        Complaint(
            code,
            f"{label + ': ' if label else ''}unknown {what} `{key}`",
            partial(unknown_key_help, path, key, known),
            span=value.keys[key],
        )
        for key in islice((key for key in value.entries if key not in known), MAX_FINDINGS)
    ]


def _missing_keys(rule: Rule, path: Path, label: str, value: Yaml) -> list[Complaint]:
    """Return the complaint of keys that are missing; none where a key is there but misspelt, which is one already."""
    assert isinstance(value, YamlMap)
    known = rule["properties"]
    unknown = islice((key for key in value.entries if key not in known), MAX_FINDINGS)
    misspelt = {meant_key(path, key, known) for key in unknown}
    missing = [key for key in rule["required"] if key not in value.entries and key not in misspelt]
    if not missing or "network" in misspelt:  # a block that is a network needs nothing else
        return []
    prefix = f"{label}: " if label else ""
    return [Complaint("argument", f"{prefix}missing argument {listed(missing)}", span=value.span)]


def _not_one_key(value: Yaml) -> Complaint:
    assert isinstance(value, YamlMap)
    keys = list(value.entries)
    if not keys:
        return Complaint("op", "expected an op or a block, got an empty step", "a step: `- relu`", span=value.span)
    message = f"expected a step with one key, got {len(keys)}: {listed(keys[:4])}"
    return Complaint("op", message, partial(several_keys_help, value), span=value.keys[keys[1]])


def _wrong_kind(rule: Rule, keyword: str, prefix: str, value: Yaml, path: Path) -> Complaint:
    """Return the complaint of a value of the wrong type, or of a word that is none of those to choose from."""
    plain = value.value if isinstance(value, YamlScalar) else {} if isinstance(value, YamlMap) else []
    is_choice = "anyOf" in rule and isinstance(plain, str)
    code = "value" if is_choice or keyword == "const" else "type"
    message = f"{prefix}expected {_expected(rule)}, got {kind_of(plain)}"
    return Complaint(code, message, partial(kind_help, rule, path, value), span=value.span)


def _expected(rule: Rule) -> str:
    """Return what a rule asks for, in words."""
    if "const" in rule:
        return f"{rule['const']}"
    if "anyOf" in rule:
        words = rule["anyOf"][0]["enum"]
        return f"one of {', '.join(words)}" if len(words) > 1 else f"`{words[0]}`"
    types = rule.get("type", [])
    types = [types] if isinstance(types, str) else types
    words = [_TYPE_WORDS[t] for t in types if t in _TYPE_WORDS and not (t == "string" and "pattern" in rule)]
    alternatives = rule.get("pattern", "").removesuffix(f"|{EXPRESSION}")
    if alternatives.startswith("^("):
        words += [f"`{word}`" for word in alternatives[2:-2].split("|")]
    if not words:
        return "no value"
    return " or ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else words[0]
