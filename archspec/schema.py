"""The JSON Schema of a spec (draft-07), derived from the ops, and the check against it.

Editors read it through `# yaml-language-server: $schema=`; the compiler checks every file against the same document,
as shipped in `schema.json` (`archspec schema -o archspec/schema.json` writes it; a test holds it fresh). The schema is
kept flat, with `if`/`then` in place of alternatives, so that each violation names its exact place.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from itertools import islice
from typing import Any

from archspec.errors import MAX_FINDINGS, Diagnostic, did_you_mean, listed, nearest
from archspec.ops import OPS
from archspec.ops.base import Op
from archspec.ops.fields import REQUIRED, Choice, Field, hint, kind_of
from archspec.syntax import Yaml, YamlMap, find

EXPRESSION = r"\$"
FIGURES = ("params", "buffers", "macs", "flops", "layers", "depth")
DOCUMENT_KEYS = (
    *("archspec", "name", "description", "reference", "extends", "include"),
    *("input", "params", "defaults", "blocks", "layers", "outputs", "expect"),
)
STEP_KEYS = ("name", "from", "when", "repeat")
SCOPES = ("sequential", "inline")

_TYPE_WORDS = {
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "string": "text",
}


def schema() -> dict[str, Any]:
    """The JSON Schema of a spec, as plain data."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "archspec",
        "description": "A neural-network architecture, as archspec reads it.",
        "type": "object",
        "additionalProperties": False,
        "properties": _document(),
        "definitions": {**_definitions(), **{f"op.{name}": _op(op) for name, op in OPS.items()}},
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/definitions/{name}"}


def _text(doc: str) -> dict[str, Any]:
    return {"description": doc, "type": "string"}


def _document() -> dict[str, Any]:
    figure = {"type": ["integer", "string"], "description": "`11.69M`, `25557032` or `<= 600M`"}
    literal_shape = {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": 4}
    return {
        "archspec": {"description": "Format version.", "const": 1},
        "name": _text("Name of the network, an identifier."),
        "description": _text("What it is, in a line."),
        "reference": _text("Where it comes from: a paper, an address."),
        "extends": _text("Another spec, by name or relative path; this file is laid over it."),
        "include": {
            "description": "Files that only bring `blocks`, and `defaults` for those blocks.",
            "type": "array",
            "items": {"type": "string"},
        },
        "input": {
            "description": "Shape without the batch, channels first; or a mapping of names to shapes.",
            "if": {"type": "object"},
            "then": {"additionalProperties": _ref("shape"), "minProperties": 1},
            "else": _ref("shape"),
        },
        "params": {
            "description": "Named values, in order; a value may use the ones before it.",
            "type": ["object", "null"],
        },
        "defaults": {
            "description": "Per op, arguments used where a step does not give them.",
            "type": ["object", "null"],
            "properties": {
                name: {"type": "object", "additionalProperties": False, "properties": _arguments(op)}
                for name, op in OPS.items()
            },
            "additionalProperties": False,
        },
        "blocks": {
            "description": "Named, parameterised groups of steps.",
            "type": ["object", "null"],
            "additionalProperties": _ref("block"),
        },
        "layers": {"description": "The network: a list of steps.", **_ref("steps")},
        "outputs": {
            "description": "Names of steps, as a list or a mapping; default: the last step.",
            "type": ["string", "array", "object"],
            "items": {"type": "string"},
            "additionalProperties": {"type": "string"},
            "minItems": 1,
            "minProperties": 1,
        },
        "expect": {
            "description": "What must hold, checked by `archspec check`.",
            "type": "object",
            "additionalProperties": False,
            "properties": {
                **dict.fromkeys(FIGURES, figure),
                "output": {
                    "description": "Shape of the output; or a mapping of output names to shapes.",
                    "if": {"type": "object"},
                    "then": {"additionalProperties": literal_shape},
                    "else": literal_shape,
                },
            },
        },
    }


def _definitions() -> dict[str, Any]:
    size = {"type": ["integer", "string"], "minimum": 1, "pattern": EXPRESSION}
    scope_keys = {**_step_keys(), "let": _ref("let"), "layers": _ref("steps")}
    return {
        "shape": {"type": "array", "items": size, "minItems": 1, "maxItems": 4},
        "name": _text("Its name in the enclosing scope, and its module name."),
        "from": {
            "description": "The step or steps it reads, by name; default: the previous step.",
            "type": ["string", "array"],
            "items": {"type": "string"},
            "minItems": 1,
        },
        "when": {
            "description": "A condition; where it is false the step is left out.",
            "type": ["boolean", "string"],
            "pattern": EXPRESSION,
        },
        "repeat": {
            "description": "How many copies in a chain, or a list, one copy per entry; `{stage: $stages}` binds each.",
            "type": ["integer", "string", "array", "object"],
            "minimum": 0,
            "pattern": EXPRESSION,
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": {"type": ["integer", "string", "array"], "minimum": 0, "pattern": EXPRESSION},
        },
        "let": {"description": "Local values, in order.", "type": "object"},
        "steps": {"type": "array", "items": _ref("step"), "minItems": 1},
        "step": {
            "type": ["string", "object"],
            "minProperties": 1,
            "maxProperties": 1,
            "properties": {
                **{name: {"description": op.__doc__, **_ref(f"op.{name}")} for name, op in OPS.items()},
                "sequential": {
                    "description": "Steps in a scope of their own, named by position as in nn.Sequential.",
                    "if": {"type": "object"},
                    "then": _keys(scope_keys, required=["layers"]),
                    "else": _ref("steps"),
                },
                "inline": {
                    "description": "Steps spliced into the surrounding scope.",
                    "if": {"type": "object"},
                    "then": _keys({k: v for k, v in scope_keys.items() if k != "name"}, required=["layers"]),
                    "else": _ref("steps"),
                },
            },
            "additionalProperties": _ref("call"),
        },
        "call": {
            "description": "A call of a block, with its arguments.",
            "if": {"type": "object"},
            "then": {"properties": _step_keys()},
        },
        "block": {
            "type": "object",
            "required": ["layers"],
            "additionalProperties": False,
            "properties": {
                "description": _text("What the block is, in a line."),
                "params": {"description": "Its arguments; an empty value must be given.", "type": ["object", "null"]},
                "inputs": {
                    "description": "Names of its inputs, where it has several.",
                    "type": "array",
                    "items": {"type": "string"},
                    "minItems": 1,
                },
                "layers": _ref("steps"),
            },
        },
    }


def _keys(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**found, "required": required} if required else found


def _step_keys() -> dict[str, Any]:
    return {key: _ref(key) for key in STEP_KEYS}


def _op(op: type[Op]) -> dict[str, Any]:
    """An op's value: a mapping of arguments, or its first argument alone."""
    arguments = _arguments(op)
    first: dict[str, Any] = {"type": "null"}
    if op.arity is None:
        first = {k: v for k, v in _definitions_from().items() if k != "description"}
    elif arguments:
        first = {"if": {"type": "null"}, "else": next(iter(arguments.values()))}
    return {"if": {"type": "object"}, "then": _keys({**arguments, **_step_keys()}), "else": first}


def _definitions_from() -> dict[str, Any]:
    return {"type": ["string", "array", "null"], "items": {"type": "string"}, "minItems": 1}


def _arguments(op: type[Op]) -> dict[str, Any]:
    return {name: _argument(field) for name, field in op.fields.items()}


def _argument(field: Field) -> dict[str, Any]:
    """The literal values that an argument takes, or an expression in their place."""
    literal = field.kind.schema()
    doc: dict[str, Any] = {"description": field.doc[0].upper() + field.doc[1:] + "."}
    if field.default is not REQUIRED and field.default is not None:
        doc["default"] = field.default
    if isinstance(field.kind, Choice):
        return {**doc, "type": "string", "anyOf": [literal, {"pattern": EXPRESSION}]}
    return {**doc, **_or_expression(literal)}


def _or_expression(literal: dict[str, Any]) -> dict[str, Any]:
    types = literal["type"] if isinstance(literal["type"], list) else [literal["type"]]
    pattern = f"{literal['pattern']}|{EXPRESSION}" if "pattern" in literal else EXPRESSION
    found = {**literal, "type": [*(t for t in types if t != "string"), "string"], "pattern": pattern}
    if "items" in literal:
        found["items"] = _or_expression(literal["items"])
    return found


# The check.


@lru_cache(maxsize=1)
def _validator() -> Any:
    import jsonschema_rs

    with open(os.path.join(os.path.dirname(__file__), "schema.json"), encoding="utf-8") as file:
        return jsonschema_rs.validator_for(file.read())


def validate(document: YamlMap) -> tuple[list[Diagnostic], set[Yaml]]:
    """What the schema finds wrong with a document, in its order; and the values it is in.

    These are the wrong values themselves, the steps around them, and the values of the document's keys around those.
    """
    plain = document.plain()
    if _validator().is_valid(plain):
        return [], set()
    rules = schema()
    found: list[Diagnostic] = []
    broken: set[Yaml] = set()
    for error in _validator().iter_errors(plain):
        path = list(error.instance_path)
        value = find(document, path)
        found += _explain(rules, list(error.schema_path), path, value)
        broken |= {value, find(document, _step_on(path)), find(document, path[:1])}
        if len(found) > MAX_FINDINGS:
            break
    found.sort(key=lambda d: (d.span[1:3] if d.span else (0, 0), d.code != "type"))
    unique: dict[Any, Diagnostic] = {}
    for diagnostic in found:  # a value of the wrong type breaks other rules too
        unique.setdefault(diagnostic.span and diagnostic.span[1:3], diagnostic)
    return list(unique.values()), broken


def _step_on(path: list[Any]) -> list[Any]:
    """The path of the innermost step that a path leads into; empty, for the document, where there is none."""
    for at in range(len(path) - 1, 0, -1):
        if isinstance(path[at], int) and path[at - 1] in ("layers", *SCOPES):
            return path[: at + 1]
    return []


def _explain(rules: dict[str, Any], schema_path: list[Any], path: list[Any], value: Yaml) -> list[Diagnostic]:
    """One violation as the diagnostics that a person wants to read."""
    keyword = schema_path[-1]
    rule = _resolve(rules, schema_path[:-1])
    label = _label(path)
    if keyword == "additionalProperties":
        return _unknown_keys(rule, label, value)
    if keyword == "required":
        assert isinstance(value, YamlMap)
        known = rule["properties"]
        unknown = islice((key for key in value.entries if key not in known), MAX_FINDINGS)
        misspelt = {nearest(key, known) for key in unknown}
        missing = [key for key in rule["required"] if key not in value.entries and key not in misspelt]
        if not missing:
            return []
        message = f"{label or 'a spec'}: {listed(missing)} is missing"
        return [Diagnostic("argument", message, value.span)]
    if keyword in ("minProperties", "maxProperties") and "call" in str(rule.get("additionalProperties")):
        return [_not_one_key(value)]
    plain = value.plain()
    prefix = f"{label}: " if label else ""
    if keyword in ("type", "pattern", "const", "anyOf", "enum"):
        is_choice = "anyOf" in rule and isinstance(plain, str)
        message = f"{prefix}{_wanted(rule)} is wanted, not {kind_of(plain)}"
        return [
            Diagnostic(
                "value" if is_choice or keyword == "const" else "type", message, value.span, help=_help(rule, plain)
            )
        ]
    if keyword in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"):
        words = {
            "minimum": "below",
            "exclusiveMinimum": "not above",
            "maximum": "above",
            "exclusiveMaximum": "not below",
        }
        return [Diagnostic("value", f"{prefix}{plain} is {words[keyword]} {rule[keyword]:g}", value.span)]
    if keyword in ("minItems", "maxItems", "minProperties", "maxProperties"):
        bound = f"at {'least' if keyword.startswith('min') else 'most'} {rule[keyword]}"
        return [Diagnostic("value", f"{prefix}{len(plain)} entries given, {bound} wanted", value.span)]
    return [Diagnostic("document", f"{prefix}breaks the rule `{keyword}`", value.span)]  # no rule of ours comes here


def _resolve(rules: dict[str, Any], path: list[Any]) -> Any:
    here: Any = rules
    for step in path:
        if step == "$ref":
            here = rules["definitions"][here["$ref"].removeprefix("#/definitions/")]
        else:
            here = here[step]
    return here


def _label(path: list[Any]) -> str:
    """`conv: kernel` for the path to an argument: the keys after the last list position."""
    keys: list[str] = []
    for step in reversed(path):
        if isinstance(step, str):
            keys.insert(0, step)
        elif keys:
            break
    return ": ".join(keys)


def _unknown_keys(rule: dict[str, Any], label: str, value: Yaml) -> list[Diagnostic]:
    assert isinstance(value, YamlMap)
    known = list(rule.get("properties", ()))
    code = "op" if label == "defaults" else "argument" if label else "key"
    what = "op" if label == "defaults" else "argument" if label else "key"
    return [
        Diagnostic(
            code,
            f"{label + ': ' if label else ''}unknown {what} `{key}`",
            value.keys[key],
            help=did_you_mean(key, known),
        )
        for key in islice((key for key in value.entries if key not in known), MAX_FINDINGS)
    ]


def _not_one_key(value: Yaml) -> Diagnostic:
    assert isinstance(value, YamlMap)
    keys = list(value.entries)
    if not keys:
        return Diagnostic("op", "an empty step", value.span, help="a step is one op or block: `- relu`")
    op = keys[0]
    help = f"a step has one key; its arguments go inside: `{op}: {{{', '.join(f'{key}: ...' for key in keys[1:4])}}}`"
    second = next((key for key in keys[1:] if key in OPS), None)
    if second:
        help = f"a step has one key; start `{second}` on a line of its own, with `- `"
    return Diagnostic("op", f"a step with {len(keys)} keys: {listed(keys[:4])}", value.keys[keys[1]], help=help)


def _wanted(rule: dict[str, Any]) -> str:
    if "const" in rule:
        return f"{rule['const']}"
    if "anyOf" in rule:
        return f"one of {', '.join(rule['anyOf'][0]['enum'])}"
    types = rule.get("type", [])
    types = [types] if isinstance(types, str) else types
    words = [_TYPE_WORDS[t] for t in types if t in _TYPE_WORDS and not (t == "string" and "pattern" in rule)]
    alternatives = rule.get("pattern", "").removesuffix(f"|{EXPRESSION}")
    if alternatives.startswith("^("):
        words += [f"`{word}`" for word in alternatives[2:-2].split("|")]
    if not words:
        return "no value"
    return " or ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else words[0]


def _help(rule: dict[str, Any], plain: object) -> str | None:
    if isinstance(plain, str) and "anyOf" in rule:
        near = nearest(plain, rule["anyOf"][0]["enum"])
        return f"did you mean `{near}`?" if near else None
    if "anyOf" in rule:
        return None
    types = rule.get("type", [])
    if types == "string" or "string" in types and "pattern" not in rule:
        return f'in quotes it is text: "{json.dumps(plain)}"' if isinstance(plain, bool | int | float) else None
    return hint(plain)
