"""The steps of a spec in typed form, checked as far as that goes without running them.

Ops and blocks are looked up, expressions compiled, argument names checked: once, however often a step is repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from archspec.document import Block, Document, Library
from archspec.errors import MAX_FINDINGS, Diagnostic, Span, did_you_mean, listed
from archspec.expressions import FUNCTIONS, Expression, ExpressionError, Scope, Template, UnknownShape, compile_text
from archspec.graph import Given
from archspec.names import step_name_fault, value_name_fault
from archspec.ops import OPS
from archspec.ops.base import Op
from archspec.schema import SCOPES, STEP_KEYS
from archspec.syntax import Yaml, YamlList, YamlMap, YamlScalar

MAX_SCOPES = 64
"""How deep blocks, `sequential` and `inline` may stand in one another."""

RESERVED = frozenset({"input", "index", *FUNCTIONS})
"""Value names that mean something in every expression."""


_NOTHING = Scope({})


class Fault(Exception):
    """One thing that is wrong, at a place; the elaborator adds the scopes around it."""

    def __init__(self, code: str, message: str, span: Span | None, help: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.span, self.help = code, message, span, help


class _Failed:
    """An expression that is in error."""

    def evaluate(self, scope: Scope) -> Any:
        raise UnknownShape


_FAILED = _Failed()


class Value:
    """A value of the spec: a constant, or something that an expression in it makes anew for every copy."""

    __slots__ = ("yaml", "constant", "names", "_compiled", "_size")

    def __init__(self, yaml: Yaml, failed: bool = False) -> None:
        """The value that `yaml` stands for; Fault where an expression in it is none. A `failed` one is never known."""
        self.yaml = yaml
        self.names: set[str] = set()
        self._size = 0
        self._compiled = (_FAILED, yaml) if failed else self._compile(yaml)
        self.constant = not self._has_expression(self._compiled)

    @property
    def span(self) -> Span:
        """Where it stands."""
        return self.yaml.span

    def _compile(self, yaml: Yaml) -> Any:
        self._size += 1
        if isinstance(yaml, YamlList):
            return [self._compile(item) for item in yaml.items]
        if isinstance(yaml, YamlMap):
            return {key: self._compile(item) for key, item in yaml.entries.items()}
        assert isinstance(yaml, YamlScalar)
        if not isinstance(yaml.value, str):
            return yaml.value
        try:
            found = compile_text(yaml.value)
        except ExpressionError as error:
            raise Fault(error.code, error.message, yaml.span, error.help) from None
        if isinstance(found, str):
            return found
        self.names |= found.names
        return found, yaml

    @staticmethod
    def _has_expression(compiled: Any) -> bool:
        if isinstance(compiled, tuple):
            return True
        if isinstance(compiled, list):
            return any(map(Value._has_expression, compiled))
        return isinstance(compiled, dict) and any(map(Value._has_expression, compiled.values()))

    def evaluate(self, scope: Scope) -> Any:
        """The value as plain data; Fault where an expression fails, UnknownShape where it asks for what is in error."""
        if self.constant:
            return self._compiled
        if self._size > 100:
            self._pay(scope)
        return self._evaluate(self._compiled, scope)

    def _pay(self, scope: Scope) -> None:
        """A large list is made anew each time, for one expression in it."""
        scope.budget.renew()
        try:
            scope.budget.spend(self._size)
        except ExpressionError as error:
            raise Fault(error.code, error.message, self.span, error.help) from None

    def _evaluate(self, compiled: Any, scope: Scope) -> Any:
        if isinstance(compiled, tuple):
            expression: Expression | Template | _Failed = compiled[0]
            try:
                return expression.evaluate(scope)
            except ExpressionError as error:
                raise Fault(error.code, error.message, compiled[1].span, error.help) from None
        if isinstance(compiled, list):
            return [self._evaluate(item, scope) for item in compiled]
        if isinstance(compiled, dict):
            return {key: self._evaluate(item, scope) for key, item in compiled.items()}
        return compiled


@dataclass
class Repeat:
    """How often a step stands, and the name that each entry is bound to."""

    count: Value
    binds: str | None


@dataclass
class Step:
    """What every step may carry. Abstract: an `OpStep`, `CallStep` or `ScopeStep`.

    `span` is the place of its key. A `broken` step has an error of its own; it is not run.
    """

    label: str
    span: Span
    name: Value | None = None
    reads: Value | None = None
    when: Value | None = None
    repeat: Repeat | None = None
    broken: bool = False

    @property
    def siblings(self) -> bool:
        """Whether copies stand side by side: without a name, or with one that tells them apart."""
        if self.name is None:
            return True
        return "index" in self.name.names or self.repeat is not None and self.repeat.binds in self.name.names


@dataclass
class OpStep(Step):
    """An op with its arguments; `defaults` are those of the document, for arguments that the step does not give."""

    op: type[Op] = Op
    arguments: dict[str, Value] = field(default_factory=dict)
    defaults: dict[str, Value] = field(default_factory=dict)

    given: dict[str, Given] = field(default_factory=dict)
    """Where each argument was written."""
    constants: dict[str, Any] | None = None
    """All its arguments, where no expression is among them; `key` is their text."""
    key: str = ""

    def settle(self) -> None:
        """Fill in what follows from the arguments."""
        values = {**self.defaults, **self.arguments}
        self.given = {
            name: Given("step" if name in self.arguments else "defaults", value.span) for name, value in values.items()
        }
        if all(value.constant for value in values.values()):
            self.constants = {name: value.evaluate(_NOTHING) for name, value in values.items()}
            self.key = str(self.constants)


@dataclass
class CallStep(Step):
    """A call of a block."""

    block: BlockProgram | None = None
    arguments: dict[str, Value] = field(default_factory=dict)


@dataclass
class ScopeStep(Step):
    """A `sequential` or an `inline`."""

    let: dict[str, Value] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    @property
    def is_inline(self) -> bool:
        """Whether its steps are spliced into the surrounding scope."""
        return self.label == "inline"


@dataclass
class BlockProgram:
    """A block with typed steps. `params` without a default hold None."""

    block: Block
    params: dict[str, Value | None] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    steps: list[Step] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The block's name."""
        return self.block.name


@dataclass
class Program:
    """A document in typed form."""

    document: Document
    params: dict[str, Value] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    blocks: dict[str, BlockProgram] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)


def compile_program(document: Document) -> Program:
    """The typed form of a document; what is wrong stands in `diagnostics`, the steps concerned are `broken`."""
    return _Compiler(document).program()


def oversized(steps: list[Step], limit: int, conditional: bool = False) -> Step | None:
    """The step with which a network passes `limit` layers, whatever its params are; None where it may stay below.

    With `conditional`, every condition is taken to hold, and what an expression repeats is counted once.
    """
    counter, count = _Counter(conditional), 0
    for step in steps:
        count += counter.count(step, 1)
        if count > limit:
            return step
    return None


class _Counter:
    """Counts layers without making any; each block once."""

    def __init__(self, conditional: bool) -> None:
        self.conditional = conditional
        self.blocks: dict[int, int] = {}

    def count(self, step: Step, level: int) -> int:
        """How many layers a step makes."""
        if step.broken or level > MAX_SCOPES or step.when is not None and not self.conditional:
            return 0
        if isinstance(step, ScopeStep):
            return self._copies(step) * self._sum(step.steps, level)
        if isinstance(step, CallStep) and step.block is not None:
            if id(step.block) not in self.blocks:
                self.blocks[id(step.block)] = self._sum(step.block.steps, level)
            return self._copies(step) * self.blocks[id(step.block)]
        return self._copies(step)

    def _sum(self, steps: list[Step], level: int) -> int:
        return sum([self.count(step, level + 1) for step in steps])

    def _copies(self, step: Step) -> int:
        if step.repeat is None:
            return 1
        if not step.repeat.count.constant:
            return int(self.conditional)
        count = step.repeat.count.evaluate(_NOTHING)
        return len(count) if isinstance(count, list) else max(count, 0) if type(count) is int else 0


class _Compiler:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.found: list[Diagnostic] = []
        self.blocks: dict[int, BlockProgram] = {}
        self.waiting: list[BlockProgram] = []
        self.calls: list[CallStep] = []
        self.defaults: dict[Yaml, Value | None] = {}
        self.mentioned: set[str] = set()

    def program(self) -> Program:
        library = self.document.library
        program = Program(self.document, diagnostics=self.found)
        program.params = self._values(self.document.params, self.document.param_keys, "param")
        program.blocks = {name: self._block(block) for name, block in library.blocks.items()}
        for arguments in library.defaults.values():
            for yaml in arguments.values():
                self._default(yaml, library)
        layers = self.document.keys.get("layers")
        if isinstance(layers, YamlList):
            program.steps = self._steps(layers, library)
        self._fill_blocks()
        self._check_params_used()
        return program

    def _check_params_used(self) -> None:
        """A param of this file that nothing mentions is a misspelt one; those of an extended one are its own matter."""
        for key in ("input", "outputs"):
            yaml = self.document.keys.get(key)
            if yaml is not None:
                self._value(yaml)
        if self.found or self.document.diagnostics:
            return  # what is wrong may have hidden its use
        for name, yaml in self.document.params.items():
            if name not in self.mentioned and yaml.source is self.document.source:
                help = did_you_mean(name, [other for other in self.document.params if other != name])
                span = self.document.param_keys[name]
                self.found.append(Diagnostic("unused", f"no expression mentions the param `{name}`", span, help=help))

    def _fill_blocks(self) -> None:
        """The steps of every block, one block after the other, and which blocks they call."""
        calls: dict[int, list[CallStep]] = {}
        while self.waiting:
            program = self.waiting.pop()
            self.calls = calls[id(program)] = []
            layers = program.block.yaml.get("layers")
            if isinstance(layers, YamlList):
                program.steps = self._steps(layers, program.block.library)
        done: set[int] = set()
        for start in self.blocks.values():
            self._find_cycles(start, calls, done)

    def _find_cycles(self, start: BlockProgram, calls: dict[int, list[CallStep]], done: set[int]) -> None:
        """Complain of every call that leads back to a block on the way to it."""
        trail = [(start, iter(calls[id(start)]))]
        on_trail = {id(start)}
        while trail:
            program, left = trail[-1]
            step = next(left, None)
            if step is None:
                trail.pop()
                on_trail.discard(id(program))
                done.add(id(program))
                continue
            block = step.block
            if block is None:
                continue
            if id(block) in on_trail:
                way = [each for each, _ in trail]
                first = next(position for position, each in enumerate(way) if each is block)
                names = " -> ".join(f"`{each.name}`" for each in (*way[first:], block))
                self.found.append(Diagnostic("cycle", f"a block leads back to itself: {names}", step.span))
                step.broken = True
            elif id(block) not in done:
                trail.append((block, iter(calls[id(block)])))
                on_trail.add(id(block))

    def _complain(self, fault: Fault) -> None:
        self.found.append(Diagnostic(fault.code, fault.message, fault.span, help=fault.help))

    def _value(self, yaml: Yaml) -> Value | None:
        try:
            value = Value(yaml)
        except Fault as fault:
            self._complain(fault)
            return None
        self.mentioned |= value.names
        return value

    def _values(
        self, entries: Mapping[str, Yaml], keys: Mapping[str, Span], what: str, taken: frozenset[str] = RESERVED
    ) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for name, yaml in entries.items():
            self._check_value_name(name, keys[name], what, taken)
            found[name] = self._value(yaml) or Value(yaml, failed=True)
        return found

    # Blocks.

    def _block(self, block: Block) -> BlockProgram:
        """The block in typed form, made when first asked for."""
        known = self.blocks.get(id(block))
        if known is not None:
            return known
        program = self.blocks[id(block)] = BlockProgram(block)
        self._check_block_name(block)
        params, inputs = block.yaml.get("params"), block.yaml.get("inputs")
        if isinstance(params, YamlMap):
            taken = RESERVED | {*STEP_KEYS}
            values = self._values(params.entries, params.keys, f"block {block.name}", taken)
            program.params = {name: None if _empty(params.entries[name]) else value for name, value in values.items()}
        if isinstance(inputs, YamlList):
            names = [item for item in inputs.items if isinstance(item, YamlScalar) and isinstance(item.value, str)]
            program.inputs = tuple(item.value for item in names)
            for position, item in enumerate(names):
                self._check_value_name(item.value, item.span, f"block {block.name}", RESERVED)
                if item.value in (*program.params, *program.inputs[:position]):
                    self.found.append(Diagnostic("name", f"the name `{item.value}` stands twice", item.span))
        self.waiting.append(program)
        return program

    def _check_value_name(self, name: str, span: Span, what: str, taken: frozenset[str]) -> None:
        fault = value_name_fault(name, taken)
        if fault:
            self.found.append(Diagnostic("name", f"{what}: {fault}", span))

    def _check_block_name(self, block: Block) -> None:
        if block.name in OPS or block.name in SCOPES:
            self.found.append(
                Diagnostic("block", f"`{block.name}` is an op", block.span, help="give the block another name")
            )
        else:
            fault = value_name_fault(block.name) or step_name_fault(block.name)
            if fault:
                self.found.append(Diagnostic("name", f"block: {fault}", block.span))

    # Steps.

    def _steps(self, steps: YamlList, library: Library) -> list[Step]:
        return [self._step(item, library) for item in steps.items]

    def _step(self, yaml: Yaml, library: Library) -> Step:
        key, body, span = _split(yaml)
        before = len(self.found)
        broken = yaml in self.document.broken
        if (
            before + len(self.document.diagnostics) >= MAX_FINDINGS
            or broken
            and (not key or isinstance(yaml, YamlMap) and len(yaml.entries) > 1)
        ):
            return Step(key, span, broken=True)
        step = self._typed_step(key, body, span, library)
        step.broken = step.broken or broken
        if isinstance(step, ScopeStep):
            return step  # what is wrong inside is the matter of the steps inside
        step.broken = step.broken or len(self.found) > before
        return step

    def _typed_step(self, key: str, body: Yaml | None, span: Span, library: Library) -> Step:
        common, arguments = _common(body)
        step: Step
        if key in SCOPES:
            step = self._scope_step(key, body, span, library, arguments)
        elif key in OPS:
            step = self._op_step(key, body, span, library, arguments)
        elif key in library.blocks:
            step = self._call_step(library.blocks[key], body, span, arguments)
        else:
            known = (*OPS, *library.blocks, *SCOPES)
            if "blocks" not in self.document.doubtful:
                self.found.append(Diagnostic("op", f"unknown op or block `{key}`", span, help=did_you_mean(key, known)))
            step = Step(key, span, broken=True)
        self._add_common(step, common)
        return step

    def _add_common(self, step: Step, common: dict[str, Yaml]) -> None:
        before = len(self.found)
        for key, yaml in common.items():
            if key == "repeat":
                step.repeat = self._repeat(yaml)
            else:
                setattr(step, "reads" if key == "from" else key, self._value(yaml))
        if step.name is not None and step.name.constant and step.name.yaml not in self.document.broken:
            fault = step_name_fault(str(step.name.evaluate(_NOTHING)))
            if fault:
                self.found.append(Diagnostic("name", fault, step.name.span))
        step.broken = step.broken or len(self.found) > before

    def _repeat(self, yaml: Yaml) -> Repeat | None:
        binds = None
        if isinstance(yaml, YamlMap) and len(yaml.entries) == 1:
            binds = next(iter(yaml.entries))
            self._check_value_name(binds, yaml.keys[binds], "repeat", RESERVED)
            yaml = yaml.entries[binds]
        count = self._value(yaml)
        return Repeat(count, binds) if count else None

    def _scope_step(
        self, key: str, body: Yaml | None, span: Span, library: Library, arguments: dict[str, Yaml]
    ) -> ScopeStep:
        step = ScopeStep(key, span)
        layers = body if isinstance(body, YamlList) else arguments.get("layers")
        let = arguments.get("let")
        if isinstance(let, YamlMap):
            before = len(self.found)
            step.let = self._values(let.entries, let.keys, "let")
            step.broken = len(self.found) > before
        if body is None:
            self.found.append(Diagnostic("argument", f"{key} needs steps", span, help=f"`{key}: [...]`"))
            step.broken = True
        if isinstance(layers, YamlList):
            step.steps = self._steps(layers, library)
        return step

    def _op_step(self, key: str, body: Yaml | None, span: Span, library: Library, arguments: dict[str, Yaml]) -> OpStep:
        step = OpStep(key, span, op=OPS[key])
        if body is not None and not isinstance(body, YamlMap) and not _empty(body):
            if step.op.arity is None:
                step.reads = self._value(body)
            else:
                arguments = {next(iter(step.op.fields), ""): body}
        defaults = library.defaults.get(key, {})
        for name, yaml in arguments.items():
            step.arguments[name] = self._value(yaml) or Value(yaml, failed=True)
        for name, yaml in defaults.items():
            if name not in arguments and name in step.op.fields:
                step.defaults[name] = self._default(yaml, library) or Value(yaml, failed=True)
                step.broken |= yaml in self.document.broken
        missing = [name for name in step.op.required() if name not in arguments and name not in defaults]
        if missing and ("defaults" in self.document.doubtful or arguments.keys() - step.op.fields.keys()):
            step.broken = True  # an argument is misspelt, here or in the defaults; that has been said
        elif missing:
            docs = "; ".join(f"{name}: {step.op.fields[name].doc}" for name in missing)
            self.found.append(Diagnostic("argument", f"{key} needs {listed(missing)}", span, help=docs))
        step.settle()
        return step

    def _default(self, yaml: Yaml, library: Library) -> Value | None:
        """A value of `defaults`, made when first asked for; None where it is wrong, which is told once."""
        if yaml not in self.defaults:
            value = self.defaults[yaml] = self._value(yaml)
            if value and value.names and not library.sees_params:
                self._complain(Fault("expression", "the defaults of an included file see no params", yaml.span))
                self.defaults[yaml] = None
        return self.defaults[yaml]

    def _call_step(self, block: Block, body: Yaml | None, span: Span, arguments: dict[str, Yaml]) -> CallStep:
        program = self._block(block)
        step = CallStep(block.name, span, block=program)
        self.calls.append(step)
        parts = (block.yaml, *(block.yaml.get(key) for key in ("params", "inputs", "layers")))
        if any(part in self.document.broken for part in parts):
            step.broken = True
            return step
        if body is not None and not isinstance(body, YamlMap) and not _empty(body):
            if not program.params:
                help = "what it reads is named by `from`" if isinstance(body, YamlList) else None
                self.found.append(
                    Diagnostic("argument", f"block {block.name} takes no arguments", body.span, help=help)
                )
                return step
            arguments = {next(iter(program.params)): body}
        assert body is None or isinstance(body, YamlMap) or len(arguments) <= 1
        for name, yaml in arguments.items():
            if name not in program.params:
                at = body.keys[name] if isinstance(body, YamlMap) else span
                help = did_you_mean(name, (*program.params, *STEP_KEYS))
                self.found.append(Diagnostic("argument", f"{block.name}: unknown argument `{name}`", at, help=help))
            step.arguments[name] = self._value(yaml) or Value(yaml, failed=True)
        wanted = [name for name, value in program.params.items() if value is None]
        missing = [name for name in wanted if name not in arguments]
        if missing and not arguments.keys() - program.params.keys():
            self.found.append(Diagnostic("argument", f"{block.name} needs {listed(missing)}", span))
        return step


def _split(yaml: Yaml) -> tuple[str, Yaml | None, Span]:
    """The key of a step, its value, and the place of the key."""
    if isinstance(yaml, YamlMap) and yaml.entries:
        key, body = next(iter(yaml.entries.items()))
        return key, body, yaml.keys[key]
    if isinstance(yaml, YamlScalar) and isinstance(yaml.value, str):
        return yaml.value, None, yaml.span
    return "", None, yaml.span


def _common(body: Yaml | None) -> tuple[dict[str, Yaml], dict[str, Yaml]]:
    """The keys that every step may carry, and the rest."""
    if not isinstance(body, YamlMap):
        return {}, {}
    entries = body.entries.items()
    common = {key: yaml for key, yaml in entries if key in STEP_KEYS and not _empty(yaml)}
    return common, {key: yaml for key, yaml in entries if key not in STEP_KEYS}


def _empty(yaml: Yaml) -> bool:
    return isinstance(yaml, YamlScalar) and yaml.value is None
