"""Set and check the params and inputs of a network, and find its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import isfinite
from typing import Any

from archspec.document import Document
from archspec.elaborate.findings import ScopedFindings
from archspec.elaborate.namespace import ABSENT_REF, Namespace, Ref, left_out, name_expected, several_results
from archspec.errors import Complaint, Span, UsageError, brief, did_you_mean, kind_of, listed
from archspec.expressions import CONTAINERS, MAX_TEXT, UNKNOWN, Environment, UnknownShape, weight
from archspec.files import MAX_BYTES
from archspec.graph import Graph, Node, copied
from archspec.names import output_name_fault, step_name_fault, value_name_fault
from archspec.ops.fields import Int, axis_names
from archspec.ops.shape_help import input_help
from archspec.program import Program
from archspec.program.steps import RESERVED, BlockProgram, CallStep, Value
from archspec.shapes import LIMIT, MAX_INPUT_AXES, Lead, Shape, shape_text
from archspec.syntax import Yaml, YamlList, YamlMap, YamlScalar

InputShape = tuple[int, ...] | list[int]


def check_keys(document: Document, findings: ScopedFindings) -> None:
    """Check that a spec has an `input` and `layers`, and that its name is an identifier."""
    name = document.keys.get("name")
    fault = value_name_fault(name.value) if isinstance(name, YamlScalar) and isinstance(name.value, str) else None
    if name and fault:
        findings.complain(fault.at(name.span, "name: "))
    for key, help in (("input", "`input: [3, 224, 224]`"), ("layers", "`layers: [...]` is the network")):
        if key not in document.keys and key not in document.doubtful:
            findings.complain(Complaint("document", f"missing key `{key}`", help, span=Span(document.source, 1, 1)))


# Params.


def set_params(program: Program, overrides: Mapping[str, Any], findings: ScopedFindings) -> Environment:
    """Return the params, with `overrides` in place of the declared ones; UNKNOWN for one in error.

    UsageError where an override names what is not there or has the wrong type.
    """
    declared = program.params
    found = Environment({})
    found.lossy = "params" in program.document.doubtful
    for name in overrides:
        if name not in declared and not found.lossy:
            raise UsageError(f"{program.document.name}: unknown param `{name}`", did_you_mean(name, declared))
    for name, value in declared.items():
        default = UNKNOWN
        try:
            default = _evaluated(value, found)
        except Complaint as fault:
            findings.complain(fault)
        except UnknownShape:
            pass
        found.values[name] = _same_kind(name, overrides[name], default) if name in overrides else default
    return found


def given_params(block: BlockProgram, step: CallStep, arguments: Mapping[str, Any], found: Environment) -> Environment:
    """Return the params of a network that is a block, in `found`: a call's arguments in place of the declared ones.

    Raises:
        Complaint: An argument is not of the kind of the declared value.
    """
    for name, value in block.params.items():
        assert value is not None  # the params of a network have values
        default = _evaluated(value, found)
        if name in arguments:
            try:
                default = _same_kind(name, arguments[name], default)
            except UsageError as error:
                (diagnostic,) = error.diagnostics
                words = f"{step.label}: {diagnostic.message.removeprefix('param ')}"
                raise Complaint("type", words, diagnostic.help, span=step.arguments[name].span) from None
        found.values[name] = default
    return found


def _evaluated(value: Value, known: Environment) -> Any:
    """Return the value of a param, paid for: whoever loads the network gets a copy."""
    found = value.evaluate(known)
    if isinstance(found, CONTAINERS) and not value.constant:
        try:
            known.budget.begin(weight(found))
        except Complaint as error:
            raise error.at(value.span) from None
    return found


def _same_kind(name: str, value: Any, default: Any) -> Any:
    """Return an overriding value. Raises: UsageError if it is not of the kind of the declared one."""
    value = list(value) if isinstance(value, tuple) else value
    try:
        weight([value], MAX_BYTES)  # before anything runs through it
    except Complaint as error:
        raise UsageError(f"param `{name}`: {error.message}") from None
    value = copied(value)
    if not _is_plain(value):
        help = "text, true or false, numbers within the limits, lists and mappings of them"
        raise UsageError(f"param `{name}`: expected plain data, got {type(value).__name__} {brief(value)}", help)
    if default is None or default is UNKNOWN or type(value) is type(default):
        return value
    if isinstance(default, float) and type(value) is int:
        return float(value)
    raise UsageError(f"param `{name}`: expected {_type_of(default)}, as its default is, got {kind_of(value)}")


def _type_of(value: Any) -> str:
    """Return the type of a param in words: `an integer`."""
    words = {
        bool: "true or false",
        int: "an integer",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "a mapping",
    }
    return words[type(value)]


def _is_plain(value: Any) -> bool:
    """Return whether YAML could have written a value."""
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(map(_is_plain, value.values()))
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if type(value) is int:
        return -LIMIT < value < LIMIT
    if isinstance(value, str):
        return len(value) <= MAX_TEXT
    return value is None or isinstance(value, bool) or type(value) is float and isfinite(value)


# Inputs.


def input_shapes(
    document: Document,
    params: Environment,
    override: InputShape | Mapping[str, InputShape] | None,
    findings: ScopedFindings,
) -> dict[str, Shape | None]:
    """Return the shape of each input, that of `override` in place of the declared one; None where it is in error.

    Raises:
        UsageError: An override names what is not there, or is not a shape.
    """
    shapes = _overridden(document, params, override, findings)
    yaml = document.keys.get("input")
    for name, shape in shapes.items():
        odd = input_help(shape) if shape is not None else None
        if shape is not None and odd is not None and yaml is not None:
            at = yaml.keys[name] if isinstance(yaml, YamlMap) else yaml.span
            message = f"input: {shape_text(shape)} is read as {', '.join(axis_names(len(shape) - 1))}"
            findings.warn(Complaint("shape", message, odd, span=at))
    return shapes


def _overridden(
    document: Document,
    params: Environment,
    override: InputShape | Mapping[str, InputShape] | None,
    findings: ScopedFindings,
) -> dict[str, Shape | None]:
    declared = findings.guarded(partial(declared_inputs, document, params, findings)) or {"input": None}
    if override is None:
        return declared
    if not isinstance(override, Mapping):
        if len(declared) != 1:
            raise UsageError(f"{document.name} has several inputs: {listed(tuple(declared))}", "name the one you mean")
        override = {next(iter(declared)): override}
    for name, shape in override.items():
        if name not in declared:
            raise UsageError(f"{document.name}: unknown input `{name}`", did_you_mean(str(name), declared))
        origins: object = shape
        sizes = origins if isinstance(origins, tuple | list) else ()
        if not 1 <= len(sizes) <= MAX_INPUT_AXES or any(
            type(size) is not int or not 0 < size < LIMIT for size in sizes
        ):
            message = f"input: expected 1 to {MAX_INPUT_AXES} positive sizes, got {brief(shape)}"
            raise UsageError(message, "a shape without the batch, channels first: 3x224x224")
    return {name: tuple(override[name]) if name in override else shape for name, shape in declared.items()}


def declared_inputs(document: Document, params: Environment, findings: ScopedFindings) -> dict[str, Shape | None]:
    """Return the shape of each input as the spec declares it; None if it is in error."""
    yaml = document.keys.get("input")
    if yaml is None:
        return {"input": None}
    broken = yaml in document.broken  # the schema has said so
    if not isinstance(yaml, YamlMap):
        return {"input": None if broken else _shape(yaml, params, findings)}
    for name in yaml.entries:
        fault = value_name_fault(name, RESERVED) or step_name_fault(name)
        if fault and name != "input":
            findings.complain(fault.at(yaml.keys[name], "input: "))
    shapes = {name: None if broken else _shape(item, params, findings) for name, item in yaml.entries.items()}
    return shapes or {"input": None}


def _shape(yaml: Yaml, params: Environment, findings: ScopedFindings) -> Shape | None:
    """Return the input shape that is written at a place; None if it is in error."""
    if not isinstance(yaml, YamlList):
        return None
    sizes = [findings.guarded(partial(_size, item, params)) for item in yaml.items]
    found = tuple(size for size in sizes if size is not None)
    return found if len(found) == len(sizes) else None


def _size(yaml: Yaml, params: Environment) -> int:
    try:
        return Int(1).parse(Value(yaml).evaluate(params), 0)
    except Complaint as error:
        raise error.at(yaml.span, "input: ") from None


# Outputs.


def outputs(
    document: Document, namespace: Namespace, environment: Environment, last: Ref, findings: ScopedFindings
) -> dict[str, str]:
    """Return the path of each output; without `outputs`, that of the last step."""
    yaml = document.keys.get("outputs")
    if yaml is None:
        if last.parts:
            name = namespace.called(last)
            findings.complain(several_results(last, name, document.keys["layers"].span))
            return {}
        if last is ABSENT_REF and namespace.steps:
            findings.complain(left_out(None, namespace.steps[-1].span))
        return {last.path: last.path} if last.shape is not None else {}
    if yaml in document.broken:
        return {}
    found: dict[str, str] = {}
    for name, target, at in named_outputs(yaml, environment):
        ref = findings.guarded(partial(namespace.named, target, at, "outputs"))
        if ref is not None and ref.parts:
            findings.complain(several_results(ref, target, at))
            continue
        fault = output_name_fault(name)
        if fault and (ref is None or ref.path != name):  # a path is a name, however long: that of the default is one
            findings.complain(fault.at(at, "outputs: "))
        if ref is ABSENT_REF:
            findings.complain(left_out(target, at))
        elif ref is not None and ref.shape is not None and ref.lead is not Lead.BATCH:
            message = f"outputs: `{name}` follows from free tensors only, not from the input"
            findings.complain(Complaint("shape", message, "name a step that reads the input", span=at))
        elif ref is not None and ref.shape is not None:
            found[name] = ref.path
    return found


def named_outputs(yaml: Yaml, environment: Environment) -> list[tuple[str, Any, Span]]:
    """Return name, target and place of each output."""
    if isinstance(yaml, YamlMap):
        return [(name, Value(item).evaluate(environment), item.span) for name, item in yaml.entries.items()]
    if isinstance(yaml, YamlList):
        targets = [(Value(item).evaluate(environment), item.span) for item in yaml.items]
    else:
        value = Value(yaml).evaluate(environment)
        targets = [(item, yaml.span) for item in (value if isinstance(value, list) else [value])]
    if not targets:
        raise Complaint("value", "outputs: expected at least one name, got none", span=yaml.span)
    for target, at in targets:
        if not isinstance(target, str):
            raise name_expected("outputs", target, at)
    return [(target, target, at) for target, at in targets]


def check_unused(document: Document, graph: Graph, findings: ScopedFindings) -> None:
    """Complain of inputs and last steps whose value reaches no output."""
    unused = graph.unused()
    read = {source for node in graph.nodes for source in node.inputs} if unused else set()
    for path in unused:
        if path in graph.inputs:
            yaml = document.keys["input"]
            at = yaml.keys[path] if isinstance(yaml, YamlMap) else yaml.span
            findings.complain(Complaint("unused", f"unused input `{path}`: it reaches no output", span=at))
        elif path not in read and _complain_of_network(graph.node(path), findings):
            pass
        elif path not in read:
            node = graph.node(path)
            help = "read it in a later step, name it in `outputs`, or take it out"
            message = f"unused step `{path}`: it reaches no output"
            findings.complain(Complaint("unused", message, help, span=node.span), node.scope)


def _complain_of_network(node: Node, findings: ScopedFindings) -> bool:
    """Complain of a value of a network that is a block, if nothing reads what `node` makes. Return whether so."""
    scope = next((each for each in node.scope.chain() if each.is_network), None)
    name = next((name for name, path in scope.gives.items() if path == node.path), None) if scope is not None else None
    if scope is None or name is None:
        return False
    message = f"unused value `{scope.path}.{name}`: it reaches no output"
    help = "`features` of the block names the values that are read: leave it out there"
    findings.complain(Complaint("unused", message, help, span=scope.span), scope.parent)
    return True
