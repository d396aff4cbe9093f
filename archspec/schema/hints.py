"""The help of what the schema refuses: what was probably meant at that place of a spec, and how it is written."""

from __future__ import annotations

import json
import re
from collections.abc import Collection

from archspec.errors import did_you_mean, listed, nearest
from archspec.ops import OPS
from archspec.ops.base import Op
from archspec.ops.fields import NO_TUPLES, Field, Padding, Sizes, hint
from archspec.ops.initial import OTHER_WORDS, SCHEMES, scheme_help
from archspec.ops.shape_help import input_help
from archspec.schema.rules import SCOPES, STEP_KEYS, Rule
from archspec.schema.violations import Path
from archspec.syntax import Yaml, YamlList, YamlMap, YamlScalar

MAX_GLIMPSE = 8
"""Entries of a list that a help looks at."""
_STEPS_WORDS = ("steps", "modules", "body")
_NETWORK_WORDS = {"spec": "network", "model": "network", "extends": "network", "outputs": "features"}
_BLOCK_WORDS = {"steps": "layers", "body": "layers", "args": "params", "arguments": "params", "input": "inputs"}

_NAME = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
_EXPRESSION = r"[A-Za-z_0-9.()\[\], +*/%-]*[+*/%-][A-Za-z_0-9.()\[\], +*/%-]*"
_BATCH_WORDS = ("n", "b", "bs", "batch", "batch_size", "none", "null", "?", "-1")


def unknown_key_help(path: Path, key: str, known: Collection[str]) -> str | None:
    """Return the help for a key that is unknown at `path`, where `known` ones could stand."""
    from archspec import vocabulary  # here, since most specs are right

    within = init_word(path)
    if within is not None:
        return _init_help(within, key, known)
    op = _op_at(path)
    if op is not None and key == "init":
        return f"`{op.op}` has no weights to draw"
    if op is not None:
        return NO_TUPLES if key.endswith(")") else vocabulary.argument_help(op, key)
    if path == ("defaults",):
        return vocabulary.op_help(key, ())
    if not path:
        return vocabulary.key_help(key, known)
    scope = path[-1]
    if isinstance(scope, str) and scope in SCOPES:
        return _scope_key_help(scope, key, known)
    if len(path) == 2 and path[0] == "blocks":
        meant = meant_key(path, key, known)
        if meant is None and "network" in known:
            return "the params of a network are arguments of the call"
        return f"did you mean `{meant}`?" if meant else "the arguments of a block stand under its `params:`"
    return did_you_mean(key, known)


def init_word(path: Path) -> str | None:
    """Return what the keys at a path are called that is in an `init:`, `op` or `scheme`; None if it is in none."""
    at = next((at for at in range(len(path) - 1, -1, -1) if path[at] == "init"), None)
    if at is None or path[:at] == ("blocks",) or at and path[at - 1] in ("params", "let", "defaults"):
        return None
    of_op = at > 1 and path[at - 1] in OPS and isinstance(path[at - 2], int)
    return "op" if at == len(path) - 1 and not of_op else "scheme"


def _init_help(within: str, key: str, known: Collection[str]) -> str | None:
    """Return the help for an op that `init:` does not know, or for a scheme that no tensor takes."""
    from archspec import vocabulary

    if within == "scheme":
        return scheme_help(key, tuple(known))
    if key in SCHEMES or key in OTHER_WORDS:
        return f"weights are drawn op by op: `init: {{conv: {{{key}: ...}}}}`"
    op = OPS.get(key)
    if op is None:
        return vocabulary.op_help(key, ())
    return f"`{key}` has an argument `init` of its own" if "init" in op.fields else f"`{key}` has no weights to draw"


def _scope_key_help(scope: str, key: str, known: Collection[str]) -> str | None:
    if key in _STEPS_WORDS:
        return "did you mean `layers`?"
    if key in OPS:
        return f"its steps are a list: `{scope}: [{key}: ...]`, or under `layers:`"
    return (
        f"available: {listed(list(known))}"
        if any(key in op.fields for op in OPS.values())
        else did_you_mean(key, known)
    )


def meant_key(path: Path, key: str, known: Collection[str]) -> str | None:
    """Return the key that is meant by one that is unknown."""
    if len(path) == 2 and path[0] == "blocks":
        if "network" in known:
            return _NETWORK_WORDS.get(key) or nearest(key, known)
        near = nearest(key, (*known, "network"))
        is_argument = any(key in op.fields for op in OPS.values())
        return {**_NETWORK_WORDS, **_BLOCK_WORDS}.get(key) or (None if is_argument else near)
    if path[-1:] and path[-1] in SCOPES and (key in OPS or key in _STEPS_WORDS):
        return "layers"
    return nearest(key, known)


def several_keys_help(step: Yaml) -> str:
    """Return the help for a step with several keys: arguments not indented, a `- ` missing, or its op as a value."""
    assert isinstance(step, YamlMap)
    op, *others = step.entries
    named = _step_with_its_op_as_a_value(step)
    if named:
        return named
    ops = [key for key in step.entries if key in OPS]
    if op in STEP_KEYS and len(ops) == 1:
        arguments = ", ".join(f"{key}: ..." for key in list(step.entries)[:4] if key != ops[0])
        return f"what belongs to a step goes inside: `{ops[0]}: {{{arguments}}}`"
    if "layers" in step.entries and op in STEP_KEYS:
        return f"a group of steps is an `inline`: `inline: {{{', '.join(f'{key}: ...' for key in step.entries)}}}`"
    second = next((key for key in others if key in OPS), None)
    if second:
        return f"start `{second}` on a line of its own, with `- `"
    arguments = ", ".join(f"{key}: ..." for key in others[:3])
    return f"the arguments of a step go inside: `{op}: {{{arguments}}}`"


def _step_with_its_op_as_a_value(step: YamlMap) -> str | None:
    """Return the help for `type: conv`, as Keras, Caffe and Darknet have it; None for any other step."""
    from archspec import vocabulary

    for key in ("type", "op", "layer", "class_name", "kind", "op_type"):
        value = step.get(key)
        if isinstance(value, YamlScalar) and isinstance(value.value, str):
            op = value.value if value.value in OPS else vocabulary.op_called(value.value) or value.value[:40]
            arguments = ", ".join(f"{name}: ..." for name in list(step.entries)[:4] if name != key)
            return f"a step has its op as its key: `{op}: {{{arguments}}}`"
    return None


def bound_help(path: Path, value: object) -> str | None:
    """Return the help for a number out of its bounds."""
    if path[:1] == ("input",) and path[-1] == 0:
        return "the batch is not written: `[3, 224, 224]`"
    op = _op_at(path[:-1]) or _op_at(path)
    if op is None:
        return None
    argument = path[-1] if path[-1] in op.fields else next(iter(op.fields), "")
    if argument == "rate" and isinstance(value, int | float) and 2 <= value <= 100:
        return f"a share, not a percentage: {value / 100:g}"
    if argument == "eps" and isinstance(value, int) and value > 1:
        return f"`{op.op}` knows its channels; the first argument is `eps`"
    return None


def count_help(path: Path, value: Yaml) -> str | None:
    """Return the help for a list or a mapping of the wrong length."""
    sizes = _glimpse(value)
    if path[:1] == ("input",) and isinstance(sizes, list) and len(sizes) == 5:
        return f"the batch is not written: `{_flow(sizes[1:])}`"
    while path and isinstance(path[-1], int) and path[-2:-1] != ("layers",):
        path = path[:-1]
    found = _argument_at(path)
    if found and isinstance(found[1].kind, Padding):
        return "one number for all sides, one per axis, or a pair per axis: `[[top, bottom], [left, right]]`"
    return "one number for all spatial axes, or one per axis" if found and isinstance(found[1].kind, Sizes) else None


def kind_help(rule: Rule, path: Path, value: Yaml) -> str | None:
    """Return the help for a value of the wrong type, or for a word that is not among the options."""
    return _kind_help(rule, path, _glimpse(value)) or _argument_doc(path)


def _glimpse(value: Yaml, depth: int = 2) -> object:
    """Return a value as plain data, however large it is: of a list or a mapping, what stands first in it."""
    if isinstance(value, YamlScalar):
        return value.value
    if isinstance(value, YamlList):
        return [_glimpse(item, depth - 1) for item in value.items[: MAX_GLIMPSE if depth else 0]]
    return {}


def _argument_doc(path: Path) -> str | None:
    """Return what the argument of an op means that a path leads to: `scale: how many times larger the output is`."""
    found = _argument_at(path)
    return f"{found[0]}: {found[1].doc}" if found else None


def _kind_help(rule: Rule, path: Path, value: object) -> str | None:
    from archspec import vocabulary

    if path[:1] == ("input",):
        return _input_help(path, value)
    within = init_word(path[:-1]) if path[-1:] != ("init",) else init_word(path)
    if within is not None:
        by_op = within == "op" and path[-1] == "init"
        return "by op: `{conv: {kaiming_normal: fan_out}}`" if by_op else "a number, or a scheme: `{normal: 0.01}`"
    if len(path) > 1 and path[-1] in SCOPES and isinstance(path[-2], int) and isinstance(value, str):
        return f"its steps are a list: `{path[-1]}: [{value[:40]}]`"
    if path == ("include",):
        return f"write a list: `[{str(value)[:40]}]`"
    if len(path) == 2 and path[0] == "blocks":
        return "the steps of a block go under its `layers:`"
    if path[-1:] == ("params",):
        return "a mapping of names to values: `{width: 64}`"
    if path[-1:] == ("layers",):
        return "each step starts with `- `, its op or block as its key" if value is not None else "`layers: [...]`"
    if path and isinstance(path[-1], int) and path[-2:-1] and path[-2] in ("layers", *SCOPES):
        return _step_help(value)
    merge = _merge_at(path)
    if merge is not None:
        return _merge_help(merge, value)
    if path[-1:] == ("from",) or len(path) > 1 and path[-2] == "from":
        return _from_help(value)
    if path[-1:] == ("outputs",):
        return "an output is the name of a step" if not isinstance(value, str) else None
    if "anyOf" in rule:
        options = rule["anyOf"][0]["enum"]
        if "channels" in options and isinstance(value, int) and not isinstance(value, bool):
            return "an axis is called by its name; torch's axis 1 is `channels`"
        return vocabulary.choice_help(value, options) if isinstance(value, str) else None
    if path[-1:] == ("when",) and isinstance(value, str) and " " in value:
        return "a condition stands in `${...}` as a whole: `${a == b}`"
    if path[-1:] == ("repeat",) and isinstance(value, str) and re.fullmatch(r"range\([0-9]{1,9}\)", value):
        return f"write the number: {value[6:-1]}"
    types = rule.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types == ["null"]:
        return _no_argument_help(path, value)
    if "string" in types and "pattern" not in rule:
        return f'in quotes it is text: "{json.dumps(value)}"' if isinstance(value, bool | int | float) else None
    return _literal_help(types, rule.get("pattern", ""), path, value)


def _literal_help(types: list[str], pattern: str, path: Path, value: object) -> str | None:
    """Return the help where a number, true or false, or a list should stand."""
    from archspec import vocabulary

    if isinstance(value, list) and "array" not in types:
        return _list_help(path, value)
    if isinstance(value, int) and not isinstance(value, bool) and "boolean" in types:
        return f"write `{'true' if value else 'false'}`" if value in (0, 1) else None
    found = hint(value, "array" in types)
    if found or not isinstance(value, str):
        return found
    if "same" in pattern or "half" in pattern:
        if value.lower() in ("valid", "none", "no"):
            return "no padding is `0`"
        if value.lower() == "causal":
            return "pad in a step of its own before it: `- pad: {padding: [[2, 0]]}` for a kernel of 3"
        word = vocabulary.choice_help(value, [word for word in ("half", "same") if word in pattern])
        if word:
            return word
    if value.lower() in ("true", "false", "t", "f"):
        return (
            f"without quotes, {value.lower()} is a boolean" if len(value) > 1 else f"write `{_BOOLEANS[value.lower()]}`"
        )
    if re.fullmatch(_NAME, value):
        return f"the value of a param is written `${value[:40]}`"
    if re.fullmatch(_EXPRESSION, value) and len(value) < 100 and re.search("[A-Za-z0-9]", value):
        return f'an expression is written "${{{value}}}"'
    return None


_BOOLEANS = {"t": "true", "f": "false"}


def _input_help(path: Path, value: object) -> str | None:
    """Return the help for an input that is not a list of sizes, or for a size that is not a number."""
    if len(path) > 1:
        if isinstance(value, str) and value.lower() in _BATCH_WORDS or value is None or value == -1:
            return "the batch is not written: `[3, 224, 224]`" if path[-1] == 0 else "every size is a number or `$name`"
        if isinstance(path[-1], int):
            return _literal_help(["integer", "string"], "", path, value)
        if _written_sizes(value) is None:
            return "a mapping names several inputs: `{left: [3, 224, 224], right: [12]}`"
    if isinstance(value, str):
        if "$" in value:
            return "each size may be an expression, the whole list may not: `[3, $size, $size]`"
        sizes = _written_sizes(value)
        if sizes:
            odd = input_help(tuple(sizes))
            return odd or f"write a list: `{_flow(sizes)}`"
    return "a shape without the batch, channels first: `[3, 224, 224]`"


def _written_sizes(value: object) -> list[int] | None:
    """Return the sizes of a shape that is written as text, such as `3x224x224`; None of any other value."""
    if not isinstance(value, str) or not re.fullmatch(r"[\[(]?[0-9 ,x*]+[\])]?", value, re.I):
        return None
    return [int(size) for size in re.findall("[0-9]{1,9}", value)] or None


def _step_help(value: object) -> str | None:
    """Return the help for a step that is neither text nor a mapping."""
    if isinstance(value, list):
        words = [item for item in value if isinstance(item, str)]
        if words and any(isinstance(item, int | list) for item in value):
            return "a step has its op as its key, and arguments by name: `conv: {filters: 64, kernel: 3}`"
        return "a group of steps is a `sequential: [...]`, or a block"
    return "a step is an op or a block: `- relu`, `- conv: {filters: 64, kernel: 3}`"


def _merge_help(op: type[Op], value: object) -> str | None:
    """Return the help for what a merge cannot read."""
    if isinstance(value, float) or isinstance(value, int) and not isinstance(value, bool) and value > 1:
        instead = op.instead_of_number.replace("{value}", str(value))
        if instead:
            return f"`{op.op}` reads steps, not numbers; {instead}"
    return _from_help(value)


def _from_help(value: object) -> str | None:
    """Return the help for what is not the name of a step."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            return (
                "steps are read by name, not counted back: give the step a `name`; without `from`, it is the one before"
            )
        return f'steps are read by name; in quotes it is the step at that position of a `sequential`: "{value}"'
    if isinstance(value, list) and value:
        return "a list of names: `[left, right]`"
    return "a step is read by its name: `conv1`" if not isinstance(value, str) else None


def _no_argument_help(path: Path, value: object) -> str | None:
    """Return the help for an argument of an op that takes none."""
    op = _op_at(path)
    if op is None:
        return None
    if isinstance(value, bool):
        return f"write `- {op.op}`; a condition is `{op.op}: {{when: {str(value).lower()}}}`"
    if isinstance(value, str) and re.fullmatch(_NAME, value) and not value.startswith("inplace"):
        return f"what it reads is named by `from`: `{op.op}: {{from: {value[:40]}}}`"
    if isinstance(value, list) and len(value) > 1 and all(isinstance(item, str) for item in value):
        return "an op reads one step; merge them first: `add`, `multiply` or `concat`"
    return f"`{op.op}` takes no argument: write `- {op.op}`"


def _list_help(path: Path, value: list[object]) -> str | None:
    """Return the help for a list of arguments, as torch's constructors take them, where one belongs."""
    op = _op_at(path)
    if op is None or not 1 < len(value) <= len(op.fields) or not all(isinstance(item, int | float) for item in value):
        return None
    return f"arguments are given by name: `{op.op}: {_flow(dict(zip(op.fields, value, strict=False)))}`"


def call_help(text: str) -> str | None:
    """Return the help for a step that is written like a call: `conv(64, 3)`, `conv 64`; None for any other text."""
    from archspec import vocabulary

    word, arguments = re.match(r"([A-Za-z0-9_.]*)(.*)", text[:200], re.S).groups()  # type: ignore[union-attr]
    op = OPS.get(word) or OPS.get(vocabulary.op_called(word) or "")
    if op is None or not arguments.strip():
        return None
    values = re.findall(r"[0-9]+(?:[.][0-9]+)?", arguments.partition("=")[0])
    if word not in OPS and next(iter(op.fields), "") in ("filters", "units"):
        values = values[1:]  # torch's constructors take the input channels first
    written = ", ".join(f"{name}: {value}" for name, value in zip(op.fields, values, strict=False))
    if not written or next(iter(op.fields)) == "eps":
        return f"did you mean `{op.op}`?"
    return f"arguments are given by name: `{op.op}: {{{written}}}`"


# Where a path leads.


def _op_at(path: Path) -> type[Op] | None:
    """Return the op whose value, or whose defaults, the path leads to."""
    if (
        len(path) >= 2
        and isinstance(path[-1], str)
        and path[-1] in OPS
        and (path[-2] == "defaults" or isinstance(path[-2], int))
    ):
        return OPS[path[-1]]
    return None


def _argument_at(path: Path) -> tuple[str, Field] | None:
    """Return the argument of an op that the path leads to, the first one where that stands alone."""
    op = _op_at(path[:-1]) or _op_at(path)
    if op is None or not op.fields:
        return None
    name = path[-1] if path[-1] in op.fields else next(iter(op.fields))
    return name, op.fields[name]


def _merge_at(path: Path) -> type[Op] | None:
    """Return the merge whose operands the path leads to: `add: ...`, `add: {from: ...}`, or an item of the list."""
    for end in (path, path[:-1], path[:-2]):
        op = _op_at(end)
        if op is not None:
            return (
                op
                if op.reads_several() and all(key == "from" or isinstance(key, int) for key in path[len(end) :])
                else None
            )
    return None


def _flow(value: object) -> str:
    """Return plain data as YAML on one line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_flow(item)}' for key, item in value.items())}}}"
    return f"[{', '.join(map(_flow, value))}]" if isinstance(value, list) else json.dumps(value)
