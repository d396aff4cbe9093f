"""From a document to typed steps: each is checked once, however often it is repeated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from archspec.document import MAX_KEPT, Block, Document, Library
from archspec.errors import MAX_FINDINGS, Complaint, Diagnostic, Span, kind_of, listed, nearest
from archspec.names import step_name_fault, value_name_fault
from archspec.ops import OPS, table
from archspec.ops.base import Op
from archspec.program.steps import (
    NOTHING,
    RESERVED,
    BlockProgram,
    CallStep,
    OpStep,
    Program,
    Repeat,
    ScopeStep,
    Step,
    Value,
)
from archspec.schema import SCOPES, STEP_KEYS, call_help
from archspec.syntax import Yaml, YamlList, YamlMap, YamlScalar


def compile_program(document: Document) -> Program:
    """The typed form of a document; what is wrong stands in `diagnostics`, the steps concerned are `broken`."""
    size = sum(len(text) for _, text in document.files)
    return _compiled(document, table()) if size <= MAX_KEPT else _Compiler(document).program()


@lru_cache(maxsize=32)
def _compiled(document: Document, _ops: tuple[type[Op], ...]) -> Program:
    """Compile a document once for a table of ops, however often it is loaded: nobody writes to a Program."""
    return _Compiler(document).program()


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
        program.params = self._in_order(self._values(self.document.params, self.document.param_keys, "param"))
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

    def _in_order(self, params: dict[str, Value]) -> dict[str, Value]:
        """Return the params with each after those that it uses, else as they are declared; complain of cycles."""
        position = {name: number for number, name in enumerate(params)}
        uses = {
            name: sorted(value.names & params.keys(), key=position.__getitem__) if value.names else []
            for name, value in params.items()
        }
        ordered: dict[str, Value] = {}
        for start in params:
            trail: dict[str, Iterator[str]] = {} if start in ordered else {start: iter(uses[start])}
            while trail:
                name = next(reversed(trail))
                used = next(trail[name], None)
                if used is None:
                    del trail[name]
                    ordered[name] = params[name]
                elif used in trail:
                    way = list(trail)[list(trail).index(used) :]
                    self._complain_of_cycle([*way, used])
                    params.update({each: Value(params[each].yaml, failed=True) for each in way})
                elif used not in ordered:
                    trail[used] = iter(uses[used])
        return ordered

    def _complain_of_cycle(self, names: list[str]) -> None:
        """Complain of a param that leads back to itself by way of `names`."""
        way = " -> ".join(f"`{name}`" for name in names)
        is_replaced = len(names) == 2 and len(self.document.files) > 1
        help = "a param cannot use the value that it replaces" if is_replaced else None
        span = self.document.params[names[0]].span
        self.found.append(Diagnostic("cycle", f"a param leads back to itself: {way}", span, help=help))

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
                near = nearest(name, [other for other in self.document.params if other != name])
                help = f"did you mean `{near}`?" if near else None
                span = self.document.param_keys[name]
                message = f"unused param `{name}`: no expression mentions it"
                self.found.append(Diagnostic("unused", message, span, help=help))

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
                self.found.append(Diagnostic("cycle", f"a block calls itself: {names}", step.span))
                step.broken = True
            elif id(block) not in done:
                trail.append((block, iter(calls[id(block)])))
                on_trail.add(id(block))

    def _complain(self, fault: Complaint) -> None:
        self.found.append(fault.diagnostic())

    def _value(self, yaml: Yaml) -> Value | None:
        try:
            value = Value(yaml)
        except Complaint as fault:
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
                    self.found.append(Diagnostic("name", f"duplicate name `{item.value}`", item.span))
        self.waiting.append(program)
        return program

    def _check_value_name(self, name: str, span: Span, what: str, taken: frozenset[str]) -> None:
        fault = value_name_fault(name, taken)
        if fault:
            self._complain(fault.at(span, f"{what}: "))

    def _check_block_name(self, block: Block) -> None:
        if block.name in OPS or block.name in SCOPES:
            message = f"the block `{block.name}` has the name of an op"
            self.found.append(Diagnostic("block", message, block.span, help="give the block another name"))
        else:
            fault = value_name_fault(block.name) or step_name_fault(block.name)
            if fault:
                self._complain(fault.at(block.span, "block: "))

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
            if "blocks" not in self.document.doubtful:
                self.found.append(Diagnostic("op", f"unknown op `{key}`", span, help=_op_help(key, library)))
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
            step.fixed_name = str(step.name.evaluate(NOTHING))
            fault = step_name_fault(step.fixed_name)
            if fault:
                self._complain(fault.at(step.name.span))
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
            self.found.append(Diagnostic("argument", f"{key}: missing argument `layers`", span, help=f"`{key}: [...]`"))
            step.broken = True
        if isinstance(layers, YamlList):
            step.steps = self._steps(layers, library)
        step.settle()
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
            self.found.append(Diagnostic("argument", f"{key}: missing argument {listed(missing)}", span, help=docs))
        step.settle()
        return step

    def _default(self, yaml: Yaml, library: Library) -> Value | None:
        """A value of `defaults`, made when first asked for; None where it is wrong, which is told once."""
        if yaml not in self.defaults:
            value = self.defaults[yaml] = self._value(yaml)
            if value and value.names and not library.sees_params:
                self._complain(
                    Complaint("expression", "the defaults of an included file cannot use params", span=yaml.span)
                )
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
                message = f"{block.name}: expected no argument, got {kind_of(body.plain())}"
                self.found.append(Diagnostic("argument", message, body.span, help=help))
                return step
            arguments = {next(iter(program.params)): body}
        assert body is None or isinstance(body, YamlMap) or len(arguments) <= 1
        for name, yaml in arguments.items():
            if name not in program.params:
                at = body.keys[name] if isinstance(body, YamlMap) else span
                help = _argument_help(name, program)
                self.found.append(Diagnostic("argument", f"{block.name}: unknown argument `{name}`", at, help=help))
            step.arguments[name] = self._value(yaml) or Value(yaml, failed=True)
        wanted = [name for name, value in program.params.items() if value is None]
        missing = [name for name in wanted if name not in arguments]
        if missing and not arguments.keys() - program.params.keys():
            self.found.append(Diagnostic("argument", f"{block.name}: missing argument {listed(missing)}", span))
        return step


def _op_help(key: str, library: Library) -> str | None:
    from archspec.vocabulary import op_help  # here, since most specs are right

    return call_help(key) or op_help(key, library.blocks)


def _argument_help(name: str, program: BlockProgram) -> str | None:
    from archspec.vocabulary import block_argument_help

    return block_argument_help(program.params, name)


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
