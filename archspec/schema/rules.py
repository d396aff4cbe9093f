"""The JSON Schema of a spec, made from the ops, as plain data.

They are kept flat, with `if`/`then` in place of alternatives, so that each violation names its exact place.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import cleandoc
from typing import Any

from archspec.ops import OPS
from archspec.ops.base import Op
from archspec.ops.fields import MAX_AXES, REQUIRED, Choice, Field, Operand
from archspec.ops.initial import SCHEMES

Rule = dict[str, Any]
Ops = Mapping[str, type[Op]]

EXPRESSION = r"\$"
FIGURES = ("params", "buffers", "macs", "flops", "layers", "depth")
DOCUMENT_KEYS = (
    *("archspec", "name", "description", "reference", "extends", "include"),
    *("input", "params", "defaults", "init", "blocks", "register", "layers", "outputs", "expect"),
)
STEP_KEYS = ("name", "from", "when", "repeat")
SCOPES = ("sequential", "inline")
TRAINING = "training"
"""The condition of an output that evaluation skips."""
USE = "use"
"""The key of a step that applies an earlier one again."""
FROM = "The step or steps it reads, by name; default: the previous step."


def schema(ops: Ops = OPS) -> Rule:
    """Return the JSON Schema of a spec, as plain data; or of one that uses no other ops than these."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "archspec",
        "description": "A neural-network architecture, as archspec reads it.",
        "type": "object",
        "additionalProperties": False,
        "properties": _document(),
        "definitions": {**_definitions(ops), **{f"op.{name}": _op(op) for name, op in ops.items()}},
    }


# Forms that several rules have.


def _ref(name: str) -> Rule:
    return {"$ref": f"#/definitions/{name}"}


def _text(doc: str) -> Rule:
    return {"description": doc, "type": "string"}


def _texts(doc: str) -> Rule:
    return {"description": doc, "type": "array", "items": {"type": "string"}}


def _if_mapping(then: Rule, otherwise: Rule) -> Rule:
    """Return the schema of a long form, which is a mapping, or a short form.

    `anyOf` would not tell which one was meant.
    """
    return {"if": {"type": "object"}, "then": then, "else": otherwise}


def _mapping(properties: Rule, required: list[str] | None = None) -> Rule:
    """Return the schema of a mapping with these keys only."""
    found: Rule = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**found, "required": required} if required else found


# The keys of a file.


def _document() -> Rule:
    return {
        "archspec": {"description": "Format version.", "const": 1},
        "name": _text("Name of the network, an identifier."),
        "description": _text("What it is, in a line."),
        "reference": _text("Where it comes from: a paper, an address."),
        "extends": _text("Another spec, by name or relative path; this file is laid over it."),
        "include": _ref("include"),
        "input": {
            "description": "Shape without the batch, channels first; or a mapping of names to shapes.",
            **_if_mapping({"additionalProperties": _ref("shape"), "minProperties": 1}, _ref("shape")),
        },
        "params": {
            "description": "Named values, in order; a value may use the ones before it.",
            "type": ["object", "null"],
        },
        "defaults": _ref("defaults"),
        "init": _ref("init"),
        "blocks": _ref("blocks"),
        "register": _ref("register"),
        "layers": {"description": "The network: a list of steps.", **_ref("steps")},
        "outputs": {
            "description": "Names of steps, as a list or a mapping; default: the last step.",
            "type": ["string", "array", "object"],
            "items": {"type": "string"},
            "additionalProperties": _ref("output"),
            "minItems": 1,
            "minProperties": 1,
        },
        "expect": _expect(),
    }


def _include() -> Rule:
    return {
        "description": "Files that only bring `blocks`, and `defaults` for those blocks; or what such a file holds.",
        "type": "array",
        "items": _ref("library"),
    }


def _library() -> Rule:
    """Return the schema of a library that is written where it is included."""
    keys = _mapping(
        {
            "description": _text("What the blocks are for, in a line."),
            "only": _texts("Names of the blocks that it brings; default: all."),
            "include": _ref("include"),
            "defaults": _ref("defaults"),
            "init": _ref("init"),
            "blocks": _ref("blocks"),
        }
    )
    return {**keys, "type": ["string", "object"]}


def _blocks() -> Rule:
    return {
        "description": "Named, parameterised groups of steps.",
        "type": ["object", "null"],
        "additionalProperties": _ref("block"),
    }


def _defaults(ops: Ops) -> Rule:
    arguments = {
        name: {"type": "object", "additionalProperties": False, "properties": _arguments(op)}
        for name, op in ops.items()
    }
    return {
        "description": "Per op, arguments used where a step does not give them.",
        "type": ["object", "null"],
        "properties": arguments,
        "additionalProperties": False,
    }


# Initial weights.


def _init(ops: Ops) -> Rule:
    return {
        "description": "Per op, how initial weights are drawn: `{conv: {kaiming_normal: fan_out}}`.",
        "type": ["object", "null"],
        "properties": {name: _ref(f"init.{name}") for name, op in ops.items() if drawable(op)},
        "additionalProperties": False,
    }


def drawable(op: type[Op]) -> bool:
    """Return whether `init:` draws weights of the op: not where an argument of the op says how they start."""
    return bool(op.initial) and "init" not in op.fields


def _draws(op: type[Op]) -> Rule:
    """Return the schema of the rule for an op: a scheme, for its first tensor, or one for each tensor."""
    tensors = {name: {"description": f"Torch: {doc}.", **_ref("draw")} for name, doc in op.initial.items()}
    keys = {**_schemes(), **tensors}
    return {"description": "How its initial weights are drawn.", **_if_mapping(_mapping(keys), _scheme_word())}


def _schemes() -> Rule:
    return {
        name: {"description": f"{scheme.doc[0].upper()}{scheme.doc[1:]}; takes {scheme.takes}."}
        for name, scheme in SCHEMES.items()
    }


def _scheme_word() -> Rule:
    return {"type": ["number", "string"]}


def _draw() -> Rule:
    """Return the schema of how one tensor is drawn."""
    keys = {**_mapping(_schemes()), "minProperties": 1, "maxProperties": 1}
    return _if_mapping(keys, _scheme_word())


def _expect() -> Rule:
    figure = {"type": ["integer", "string"], "description": "`11.69M`, `25557032` or `<= 600M`"}
    shape = {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": MAX_AXES}
    output = {
        "description": "Shape of the output; or a mapping of output names to shapes.",
        **_if_mapping({"additionalProperties": shape}, shape),
    }
    return {
        "description": "What must hold, checked by `archspec check`.",
        **_mapping({**dict.fromkeys(FIGURES, figure), "output": output}),
    }


# Blocks and steps.


def _definitions(ops: Ops) -> Rule:
    """Return the definitions that many places share, without those of the ops."""
    size = {"type": ["integer", "string"], "minimum": 1, "pattern": EXPRESSION}
    return {
        "shape": {"type": "array", "items": size, "minItems": 1, "maxItems": 4},
        **_step_key_definitions(),
        "let": {"description": "Local values, in order.", "type": "object"},
        "register": {
            **_texts("Steps whose modules are registered first, in this order; the others follow as they run."),
            "minItems": 1,
        },
        "output": _output(),
        "steps": {"type": "array", "items": _ref("step"), "minItems": 1},
        "step": _step(ops),
        "call": {
            "description": "A call of a block, with its arguments.",
            "if": {"type": "object"},
            # The key may choose a merge, which takes numbers; given to a block they are refused when it is elaborated.
            "then": {"properties": {**_step_keys(), "from": {"description": FROM, **_operands(numbers=True)}}},
        },
        "block": _block(),
        "blocks": _blocks(),
        "defaults": _defaults(ops),
        "init": _init(ops),
        "draw": _draw(),
        **{f"init.{name}": _draws(op) for name, op in ops.items() if drawable(op)},
        "include": _include(),
        "library": _library(),
    }


def _output() -> Rule:
    when = {"description": "When it is an output: in training only.", "type": "string", "anyOf": [{"enum": [TRAINING]}]}
    long = _mapping({"from": _text("The name of a step."), "when": when}, required=["from"])
    return {
        "description": "The name of a step; or with `when: training`, for an output that evaluation skips.",
        **_if_mapping(long, {"type": "string"}),
    }


def _step_key_definitions() -> Rule:
    return {
        "name": _text("Its name in the enclosing scope, and its module name."),
        "from": {
            "description": FROM,
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
    }


def _step_keys() -> Rule:
    return {key: _ref(key) for key in STEP_KEYS}


def _step(ops: Ops) -> Rule:
    """Return the schema of a step: a mapping of one key, which is an op, a scope or a block."""
    steps = {name: {"description": cleandoc(op.__doc__ or ""), **_ref(f"op.{name}")} for name, op in ops.items()}
    keys = {**_step_keys(), "let": _ref("let"), "init": _ref("init"), "layers": _ref("steps")}
    use = {
        "description": "An earlier step of the same scope, applied again with the same weights.",
        **_if_mapping(
            _mapping({"step": _text("The name of the step."), **_step_keys()}, required=["step"]),
            {"type": ["string", "null"]},
        ),
    }
    unnamed = {key: rule for key, rule in keys.items() if key != "name"}
    sequential = {
        "description": "Steps in a scope of their own, named by position as in nn.Sequential.",
        **_if_mapping(_mapping({**keys, "register": _ref("register")}, required=["layers"]), _ref("steps")),
    }
    inline = {
        "description": "Steps spliced into the surrounding scope.",
        **_if_mapping(_mapping(unnamed, required=["layers"]), _ref("steps")),
    }
    return {
        "type": ["string", "object"],
        "minProperties": 1,
        "maxProperties": 1,
        "properties": {**steps, "sequential": sequential, "inline": inline, USE: use},
        "additionalProperties": _ref("call"),
    }


def _block() -> Rule:
    """Return the schema of a block: steps, or a network."""
    description = _text("What the block is, in a line.")
    steps = _mapping(
        {
            "description": description,
            "params": {"description": "Its arguments; an empty value must be given.", "type": ["object", "null"]},
            "inputs": {**_texts("Names of its inputs, where it has several."), "minItems": 1},
            "init": _ref("init"),
            "register": _ref("register"),
            "layers": _ref("steps"),
        },
        required=["layers"],
    )
    network = _mapping(
        {
            "description": description,
            "network": {
                "description": "A spec, by name or relative path, or written here; its params are arguments.",
                **_if_mapping({"$ref": "#"}, {"type": ["string", "object"]}),
            },
            "features": {
                "description": "Steps of the network whose values are read, as a list or a mapping; default: outputs.",
                "type": ["string", "array", "object"],
                "items": {"type": "string"},
                "additionalProperties": {"type": "string"},
                "minItems": 1,
                "minProperties": 1,
            },
        },
        required=["network"],
    )
    return {"if": {"type": "object", "required": ["network"]}, "then": network, "else": steps}


# Ops.


def _op(op: type[Op]) -> Rule:
    """Return the schema of an op's value: its arguments, its first argument alone, or the names that a merge reads."""
    arguments = _arguments(op)
    first: Rule = {"type": "null"}
    if op.reads_several():
        first = _operands(numbers=op.takes_numbers)
    elif arguments:
        first = {"if": {"type": "null"}, "else": next(iter(arguments.values()))}
    keys = _step_keys()
    if op.takes_numbers:
        keys["from"] = {"description": FROM, **_operands(numbers=op.takes_numbers)}
    init = {"init": _ref(f"init.{op.op}")} if drawable(op) else {}
    return _if_mapping(_mapping({**arguments, **init, **keys}), first)


def _operands(*, numbers: bool) -> Rule:
    """Return the schema of what a merge reads: names, and numbers where it takes some."""
    item: Rule = {"type": ["string", "number"]} if numbers else {"type": "string"}
    kinds = ["string", "array", *(["number"] if numbers else [])]
    return {"type": [*kinds, "null"], "items": item, "minItems": 1}


def _arguments(op: type[Op]) -> Rule:
    return {name: _argument(field) for name, field in op.fields.items() if not field.internal}


def _argument(field: Field) -> Rule:
    """Return the schema of an argument: literal values, or an expression."""
    literal = field.kind.schema()
    doc: Rule = {"description": field.doc[0].upper() + field.doc[1:] + "."}
    if field.default is not REQUIRED and field.default is not None:
        doc["default"] = field.default
    if isinstance(field.kind, Operand):
        return {**doc, **literal}
    if isinstance(field.kind, Choice):
        return {**doc, "type": "string", "anyOf": [literal, {"pattern": EXPRESSION}]}
    return {**doc, **_or_expression(literal)}


def _or_expression(literal: Rule) -> Rule:
    types = literal["type"] if isinstance(literal["type"], list) else [literal["type"]]
    pattern = f"{literal['pattern']}|{EXPRESSION}" if "pattern" in literal else EXPRESSION
    found = {**literal, "type": [*(t for t in types if t != "string"), "string"], "pattern": pattern}
    if "items" in literal:
        found["items"] = _or_expression(literal["items"])
    return found
