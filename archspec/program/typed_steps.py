"""Steps in typed form: each is an op, a call of a block, a scope, a `use` or a choice, with keys that all may carry."""

from __future__ import annotations

from copy import copy
from functools import lru_cache, partial
from itertools import islice

from archspec.document import Block, Library
from archspec.errors import (
    MAX_CANDIDATES,
    MAX_FINDINGS,
    Complaint,
    Diagnostic,
    Findings,
    Span,
    kind_of,
    listed,
    nearest,
)
from archspec.names import step_place_fault
from archspec.ops import OPS, table
from archspec.ops.base import Op
from archspec.program.blocks import block_program
from archspec.program.compilation import Compilation, is_empty
from archspec.program.initial import init_rules, op_rules
from archspec.program.register import registered_names
from archspec.program.steps import (
    NOTHING,
    RESERVED,
    BlockProgram,
    CallStep,
    ChoiceStep,
    OpStep,
    Option,
    Repeat,
    ScopeStep,
    Step,
    UseStep,
    Value,
)
from archspec.schema import SCOPES, STEP_KEYS, USE, call_help, drawable, validate_chosen
from archspec.syntax import Yaml, YamlList, YamlMap, YamlScalar

_OPERANDS = frozenset(name for op in OPS.values() for name in op.operand_fields())
"""The arguments of ops that name a step."""


def typed_steps(compilation: Compilation, steps: YamlList, library: Library) -> list[Step]:
    """Return steps in typed form."""
    return [_step(compilation, item, library) for item in steps.items]


def _step(compilation: Compilation, yaml: Yaml, library: Library) -> Step:
    key, body, span = _split(yaml)
    before = compilation.findings.count
    broken = yaml in compilation.document.broken
    if (
        len(compilation.findings) + len(compilation.document.diagnostics) >= MAX_FINDINGS
        or broken
        and (not key or isinstance(yaml, YamlMap) and len(yaml.entries) > 1)
    ):
        return Step(key, span, broken=True)
    step = _typed_step(compilation, key, body, span, library)
    step.broken = step.broken or broken
    if isinstance(step, ScopeStep):
        return step  # what is wrong inside is the matter of the steps inside
    step.broken = step.broken or compilation.findings.count > before
    return step


def _typed_step(compilation: Compilation, key: str, body: Yaml | None, span: Span, library: Library) -> Step:
    common, arguments = _common(body)
    step: Step
    if key in SCOPES:
        step = _scope_step(compilation, key, body, span, library, arguments)
    elif key == USE:
        step = _use_step(compilation, body, span, arguments)
    elif key in OPS:
        step = _op_step(compilation, key, body, span, library, arguments)
    elif key in library.blocks:
        step = _call_step(compilation, library.blocks[key], body, span, arguments)
    elif "$" in key:
        step = _choice_step(compilation, key, body, span, library, arguments)
    else:
        if "blocks" not in compilation.document.doubtful:
            compilation.findings.add(Complaint("op", f"unknown op `{key}`", partial(_op_help, key, library), span=span))
        if key not in compilation.meant and len(compilation.meant) < MAX_FINDINGS:
            compilation.meant[key] = _meant(key, library)
        step = Step(key, span, broken=True, meant=compilation.meant.get(key, key))
    _add_common(compilation, step, common)
    return step


def _add_common(compilation: Compilation, step: Step, common: dict[str, Yaml]) -> None:
    before = compilation.findings.count
    for key, yaml in common.items():
        if key == "repeat":
            step.repeat = _repeat(compilation, yaml)
        elif key == "from" and step.is_free:
            help = "the steps that need it name it in their `from`"
            message = f"{step.label}: a free tensor reads nothing"
            compilation.findings.add(Diagnostic("argument", message, yaml.span, help=help))
        else:
            setattr(step, "reads" if key == "from" else key, compilation.value(yaml))
    if step.name is not None and step.name.constant and step.name.yaml not in compilation.document.broken:
        step.fixed_name = str(step.name.evaluate(NOTHING))
        fault = step_place_fault(step.fixed_name)
        if fault:
            compilation.findings.add(fault.at(step.name.span))
    if step.is_free and step.repeat is not None and not step.siblings:
        help = f'give each copy a name: `name: "{step.fixed_name}${{index}}"`'
        compilation.findings.add(Diagnostic("name", f"{step.label}: the copies have one name", step.span, help=help))
    step.broken = step.broken or compilation.findings.count > before


def _repeat(compilation: Compilation, yaml: Yaml) -> Repeat | None:
    binds = None
    if isinstance(yaml, YamlMap) and len(yaml.entries) == 1:
        binds = next(iter(yaml.entries))
        compilation.check_value_name(binds, yaml.keys[binds], "repeat", RESERVED)
        yaml = yaml.entries[binds]
    count = compilation.value(yaml)
    return Repeat(count, binds) if count else None


def _scope_step(
    compilation: Compilation, key: str, body: Yaml | None, span: Span, library: Library, arguments: dict[str, Yaml]
) -> ScopeStep:
    step = ScopeStep(key, span)
    init = arguments.get("init")
    if isinstance(init, YamlMap):
        step.init = init_rules(compilation, init.entries)
    layers = body if isinstance(body, YamlList) else arguments.get("layers")
    let = arguments.get("let")
    if isinstance(let, YamlMap):
        before = compilation.findings.count
        step.let = compilation.values(let.entries, let.keys, "let")
        step.broken = compilation.findings.count > before
    if body is None:
        compilation.findings.add(
            Diagnostic("argument", f"{key}: missing argument `layers`", span, help=f"`{key}: [...]`")
        )
        step.broken = True
    if isinstance(layers, YamlList):
        step.steps = typed_steps(compilation, layers, library)
        step.register = registered_names(compilation, arguments.get("register"), step.steps)
    step.settle()
    return step


def _use_step(compilation: Compilation, body: Yaml | None, span: Span, arguments: dict[str, Yaml]) -> UseStep:
    """Return a `use`: its one argument is the name of the step that it applies again."""
    compilation.has_uses = True
    step = UseStep(USE, span)
    target = arguments.get("step") if isinstance(body, YamlMap) else body
    if target is None or is_empty(target):
        if not isinstance(body, YamlMap) or "step" in body.entries:  # the schema asks for the key
            help = "`use: NAME` applies the step NAME again, with the same weights"
            compilation.findings.add(Diagnostic("argument", f"{USE}: missing argument `step`", span, help=help))
        step.broken = True
        return step
    step.target = compilation.value(target)
    step.broken = step.target is None
    step.meant = step.stem
    return step


def _op_step(
    compilation: Compilation, key: str, body: Yaml | None, span: Span, library: Library, arguments: dict[str, Yaml]
) -> OpStep:
    step = OpStep(key, span, op=OPS[key])
    if body is not None and not isinstance(body, YamlMap) and not is_empty(body):
        if step.op.reads_several():
            step.reads = compilation.value(body)
        else:
            arguments = {next(iter(step.op.fields), ""): body}
    init = arguments.pop("init", None) if drawable(step.op) else None
    if init is not None:
        step.init = op_rules(compilation, step.op, init)
    defaults = library.defaults.get(key, {})
    for name, yaml in arguments.items():
        step.arguments[name] = compilation.value(yaml) or Value(yaml, failed=True)
    written = {name: yaml for name, yaml in defaults.items() if name not in arguments and name in step.op.fields}
    if written:
        step.defaults = {
            name: default_value(compilation, yaml, library) or Value(yaml, failed=True)
            for name, yaml in written.items()
        }
        step.broken |= not compilation.document.broken.isdisjoint(written.values())
    missing = [name for name in step.op.required() if name not in arguments and name not in defaults]
    if missing and ("defaults" in compilation.document.doubtful or arguments.keys() - step.op.fields.keys()):
        step.broken = True  # an argument is misspelt, here or in the defaults; that has been said
    elif missing:
        docs = "; ".join(f"{name}: {step.op.fields[name].doc}" for name in missing)
        compilation.findings.add(Diagnostic("argument", f"{key}: missing argument {listed(missing)}", span, help=docs))
    step.settle()
    return step


def _choice_step(
    compilation: Compilation, key: str, body: Yaml | None, span: Span, library: Library, arguments: dict[str, Yaml]
) -> ChoiceStep:
    """Return a step whose op or block is known when it is elaborated; `_option` then makes it."""
    place = YamlScalar(key, span.source, span.line, span.column, span.width)
    step = ChoiceStep(key, span, choice=compilation.value(place) or Value(place, failed=True))
    if body is not None and not isinstance(body, YamlMap) and not is_empty(body):
        arguments, step.plain = {"": body}, False
    step.plain &= _OPERANDS.isdisjoint(arguments)
    step.arguments = {name: compilation.value(yaml) or Value(yaml, failed=True) for name, yaml in arguments.items()}
    operands = [step.arguments[name] for name in _operand_names(table()) & step.arguments.keys()]
    step.plain &= all(value.constant and not isinstance(value.evaluate(NOTHING), str) for value in operands)
    step.blocks = tuple([block_program(compilation, block) for block in library.blocks.values()])
    step.compile = partial(_option, compilation, body, span, library)
    return step


def _option(compilation: Compilation, body: Yaml | None, span: Span, library: Library, key: str) -> Option:
    """Return the step that a choice of `key` is, checked as one that was written so."""
    if key not in OPS and key not in library.blocks:
        broken = Step(key, span, broken=True)
        if "blocks" in compilation.document.doubtful:
            return Option(broken)
        if key in SCOPES:
            help = "put its steps into a block, and choose that"
            return Option(broken, (Complaint("op", f"`{key}` cannot be chosen", help, span=span),))
        help_later = partial(_op_help, key, library)
        return Option(broken, (Complaint("op", f"unknown op `{key[:100]}`", help_later, span=span),))
    other = copy(compilation)
    other.findings, other.calls = Findings(), []
    faults = validate_chosen(key, body) if key in OPS and body is not None else []
    step = _typed_step(other, key, body, span, library)
    found = [Complaint(fault.code, fault.message, fault.help, span=fault.span) for fault in other.findings.found]
    step.broken = step.broken or bool(faults or found)
    return Option(step, tuple(faults or found))


def default_value(compilation: Compilation, yaml: Yaml, library: Library) -> Value | None:
    """Return a value of `defaults`, made at the first call; None if it is wrong, which is reported once."""
    if yaml not in compilation.defaults:
        value = compilation.defaults[yaml] = compilation.value(yaml)
        if value and value.names and not library.sees_params:
            message = "the defaults of an included file cannot use params"
            compilation.findings.add(Diagnostic("expression", message, yaml.span))
            compilation.defaults[yaml] = None
    return compilation.defaults[yaml]


def _call_step(
    compilation: Compilation, block: Block, body: Yaml | None, span: Span, arguments: dict[str, Yaml]
) -> CallStep:
    program = block_program(compilation, block)
    step = CallStep(block.name, span, block=program)
    compilation.calls.append(step)
    keys = ("params", "inputs", "layers", "network", "features")
    parts = (block.yaml, *(block.yaml.get(key) for key in keys))
    if any(part in compilation.document.broken for part in parts) or block.is_network and program.network is None:
        step.broken = True
        return step
    if body is not None and not isinstance(body, YamlMap) and not is_empty(body):
        if not program.params or block.is_network:
            help = "what it reads is named by `from`" if isinstance(body, YamlList) else None
            what = kind_of(body.value) if isinstance(body, YamlScalar) else "a list"
            wanted_words = "arguments by name" if program.params else "no argument"
            message = f"{block.name}: expected {wanted_words}, got {what}"
            compilation.findings.add(Diagnostic("argument", message, body.span, help=help))
            return step
        arguments = {next(iter(program.params)): body}
    assert body is None or isinstance(body, YamlMap) or len(arguments) <= 1
    for name, yaml in arguments.items():
        if name not in program.params:
            at = body.keys[name] if isinstance(body, YamlMap) else span
            message = f"{block.name}: unknown argument `{name}`"
            compilation.findings.add(Complaint("argument", message, partial(_argument_help, name, program), span=at))
        step.arguments[name] = compilation.value(yaml) or Value(yaml, failed=True)
    wanted = [name for name, value in program.params.items() if value is None]
    missing = [name for name in wanted if name not in arguments]
    if missing and not arguments.keys() - program.params.keys():
        compilation.findings.add(Diagnostic("argument", f"{block.name}: missing argument {listed(missing)}", span))
    return step


@lru_cache(maxsize=8)
def _operand_names(ops: tuple[type[Op], ...]) -> frozenset[str]:
    """Return the arguments that name a step, of any op."""
    return frozenset(name for op in ops for name in op.operand_fields())


# What is asked of the vocabulary only where a spec is wrong.


def _op_help(key: str, library: Library) -> str | None:
    from archspec.vocabulary import op_help

    return call_help(key) or op_help(key, list(islice(library.blocks, MAX_CANDIDATES)))


def _meant(key: str, library: Library) -> str:
    """Return the op or block that a misspelt or foreign word stands for."""
    from archspec.vocabulary import op_called

    return op_called(key) or nearest(key, (*OPS, *SCOPES, *islice(library.blocks, MAX_CANDIDATES))) or key


def _argument_help(name: str, program: BlockProgram) -> str | None:
    from archspec.vocabulary import block_argument_help

    return block_argument_help(list(islice(program.params, MAX_CANDIDATES)), name)


def _split(yaml: Yaml) -> tuple[str, Yaml | None, Span]:
    """Return the key of a step, its value, and the place of the key."""
    if isinstance(yaml, YamlMap) and yaml.entries:
        key, body = next(iter(yaml.entries.items()))
        return key, body, yaml.keys[key]
    if isinstance(yaml, YamlScalar) and isinstance(yaml.value, str):
        return yaml.value, None, yaml.span
    return "", None, yaml.span


def _common(body: Yaml | None) -> tuple[dict[str, Yaml], dict[str, Yaml]]:
    """Return the keys that every step may carry, and the rest."""
    if not isinstance(body, YamlMap):
        return {}, {}
    entries = body.entries.items()
    common = {key: yaml for key, yaml in entries if key in STEP_KEYS and not is_empty(yaml)}
    return common, {key: yaml for key, yaml in entries if key not in STEP_KEYS}
