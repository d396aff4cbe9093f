"""The rules of `init:` in typed form: for each tensor of an op, a scheme and the value that stands after it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from archspec.document import Library
from archspec.errors import Complaint, Diagnostic, listed
from archspec.graph import EMPTY
from archspec.ops import OPS
from archspec.ops.base import Op
from archspec.ops.initial import FANS, SCHEMES, draw_of, scheme_help
from archspec.program.compilation import Compilation, is_empty
from archspec.program.steps import NOTHING, InitRule, InitRules, OpRules, Value
from archspec.schema import drawable
from archspec.syntax import Yaml, YamlMap, YamlScalar

ENOUGH = 9
"""Axes that satisfy every scheme: how many a tensor has is known when its layer is."""

MakeValue = Callable[[Yaml], Value | None]


def init_rules(compilation: Compilation, entries: Mapping[str, Yaml]) -> InitRules:
    """Return the rules of an `init:` that names ops."""
    if not entries:
        return EMPTY
    compilation.draws = True
    return rules_by_op(entries, compilation.value, compilation.findings.add, compilation.document.broken)


def brought_rules(compilation: Compilation, library: Library) -> InitRules:
    """Return what an included file says about its blocks; of the document itself, nothing."""
    if library.sees_params or not library.init:
        return EMPTY
    if id(library) not in compilation.brought:
        compilation.brought[id(library)] = rules = init_rules(compilation, library.init)
        for rule in [rule for each in rules.values() for rule in each.values()]:
            if rule.value is not None and not rule.value.names <= {*FANS}:
                message = "the init of an included file cannot use params"
                compilation.findings.add(Diagnostic("expression", message, rule.span, help="a block's own `init:` can"))
    return compilation.brought[id(library)]


def op_rules(compilation: Compilation, op: type[Op], yaml: Yaml) -> OpRules:
    """Return the rules of the `init:` of a step."""
    compilation.draws = True
    if yaml in compilation.document.broken or is_empty(yaml):
        return EMPTY
    try:
        return rules_of(op, yaml, compilation.value)
    except Complaint as fault:
        compilation.findings.add(fault)
        return EMPTY


def rules_by_op(
    entries: Mapping[str, Yaml], value: MakeValue, complain: Callable[[Complaint], None], broken: Collection[Yaml]
) -> dict[str, OpRules]:
    """Return the rules of an `init:` that names ops. What is wrong with one is told, and it is left out."""
    found: dict[str, OpRules] = {}
    for name, yaml in entries.items():
        if name in OPS and drawable(OPS[name]) and yaml not in broken:
            try:
                found[name] = rules_of(OPS[name], yaml, value)
            except Complaint as fault:
                complain(fault)
    return found


def rules_of(op: type[Op], yaml: Yaml, value: MakeValue) -> OpRules:
    """Return the rules for the tensors of one op. Raises: Complaint if they are malformed."""
    main = next(iter(op.initial))
    found: dict[str, InitRule] = {}
    if not isinstance(yaml, YamlMap):
        return {main: _word(op.op, main, yaml, value)}
    schemes = [key for key in yaml.entries if key in SCHEMES]
    if len(schemes) > 1 or schemes and main in yaml.entries:
        keys = [*schemes, *(key for key in yaml.entries if key == main)]
        message = f"init: {op.op}: the {main} is drawn once, and here are {listed(keys)}"
        raise Complaint("argument", message, f"one scheme for the {main}", span=yaml.keys[keys[1]])
    for key, inner in yaml.entries.items():
        if key in SCHEMES:
            found[main] = _scheme(op.op, main, key, inner, value, yaml)
        elif key in op.initial:
            found[key] = _of_tensor(op.op, key, inner, value)
    return {name: found[name] for name in op.initial if name in found}


def _of_tensor(op: str, tensor: str, yaml: Yaml, value: MakeValue) -> InitRule:
    if isinstance(yaml, YamlMap) and yaml.entries:
        scheme, inner = next(iter(yaml.entries.items()))
        return _scheme(op, tensor, scheme, inner, value, yaml)
    return _word(op, tensor, yaml, value)


def _word(op: str, tensor: str, yaml: Yaml, value: MakeValue) -> InitRule:
    """Return the rule of a scheme without a value, of a number, or of an expression that is one."""
    word = yaml.value if isinstance(yaml, YamlScalar) else None
    if isinstance(word, str) and "$" not in word:
        if word not in SCHEMES:
            message = f"init: {op}: unknown scheme `{word}`"
            raise Complaint("value", message, scheme_help(word), span=yaml.span)
        return _checked(InitRule(op, tensor, word, None, yaml))
    return _checked(InitRule(op, tensor, "constant", value(yaml), yaml))


def _scheme(op: str, tensor: str, scheme: str, yaml: Yaml, value: MakeValue, around: YamlMap) -> InitRule:
    empty = isinstance(yaml, YamlScalar) and yaml.value is None
    return _checked(InitRule(op, tensor, scheme, None if empty else value(yaml), around if empty else yaml))


def _checked(rule: InitRule) -> InitRule:
    """Return a rule after a check of what no expression makes, for a tensor of as many axes as it takes."""
    if rule.value is None or rule.value.constant:
        try:
            draw_of(rule.scheme, rule.value.evaluate(NOTHING) if rule.value else None, ENOUGH)
        except Complaint as fault:
            raise fault.at(rule.span, f"init: {rule.op}: ") from None
    return rule
