"""From a document to typed steps: each is checked once, however often it is repeated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache, partial
from itertools import islice

from archspec.document import MAX_KEPT, Block, Document, Library
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
    UseStep,
    Value,
)
from archspec.schema import SCOPES, STEP_KEYS, USE, call_help
from archspec.syntax import Yaml, YamlList, YamlMap, YamlScalar


def compile_program(document: Document) -> Program:
    """Return the typed form of a document. Its `diagnostics` say what is wrong; the steps concerned are `broken`."""
    size = sum(len(text) for _, text in document.files)
    return _compiled(document, table()) if size <= MAX_KEPT else _Compiler(document).program()


@lru_cache(maxsize=32)
def _compiled(document: Document, _ops: tuple[type[Op], ...]) -> Program:
    """Compile a document once for a table of ops, however often it is loaded: nobody writes to a Program."""
    return _Compiler(document).program()


class _Compiler:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.findings = Findings()
        self.blocks: dict[int, BlockProgram] = {}
        self.waiting: list[BlockProgram] = []
        self.calls: list[CallStep] = []
        self.defaults: dict[Yaml, Value | None] = {}
        self.mentioned: set[str] = set()
        self.has_uses = False
        self.meant: dict[str, str] = {}
        """The op or block that a misspelt one is most like."""

    def program(self) -> Program:
        library = self.document.library
        program = Program(self.document)
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
        program.has_uses = self.has_uses
        program.diagnostics = self.findings.found
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
                    is_replaced = used == name and len(self.document.files) > 1
                    words = partial(_param_cycle, trail, used, is_replaced)
                    self.findings.add(Complaint.later("cycle", words, self.document.params[used].span))
                    params[name] = Value(params[name].yaml, failed=True)  # and so is what uses it
                elif used not in ordered:
                    trail[used] = iter(uses[used])
        return ordered

    def _check_params_used(self) -> None:
        """Report params of this file that nothing mentions: they may be misspelt."""
        for key in ("input", "outputs"):
            yaml = self.document.keys.get(key)
            if yaml is not None:
                self._value(yaml)
        if self.findings.count or self.document.diagnostics:
            return  # what is wrong may have hidden its use
        params = self.document.params
        used = [name for name in params if name in self.mentioned]
        for name, yaml in params.items():
            if name not in self.mentioned and yaml.source is self.document.source:
                help = partial(_nearest_param, name, used)
                message = f"unused param `{name}`: no expression mentions it"
                self.findings.add(Complaint("unused", message, help, span=self.document.param_keys[name]))

    def _fill_blocks(self) -> None:
        """Return the steps of every block, one block after the other, and which blocks they call."""
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
                self.findings.add(Complaint.later("cycle", partial(_cycle, trail, block), step.span))
                step.broken = True
            elif id(block) not in done:
                trail.append((block, iter(calls[id(block)])))
                on_trail.add(id(block))

    def _value(self, yaml: Yaml) -> Value | None:
        try:
            value = Value(yaml)
        except Complaint as fault:
            self.findings.add(fault)
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
        """Return the block in typed form, made at the first call."""
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
            taken_names = set(program.params)
            for item in names:
                self._check_value_name(item.value, item.span, f"block {block.name}", RESERVED)
                if item.value in taken_names:
                    self.findings.add(Diagnostic("name", f"duplicate name `{item.value}`", item.span))
                taken_names.add(item.value)
        self.waiting.append(program)
        return program

    def _check_value_name(self, name: str, span: Span, what: str, taken: frozenset[str]) -> None:
        fault = value_name_fault(name, taken)
        if fault:
            self.findings.add(fault.at(span, f"{what}: "))

    def _check_block_name(self, block: Block) -> None:
        if block.name in OPS or block.name in (*SCOPES, USE):
            message = f"the block `{block.name}` has the name of an op"
            self.findings.add(Diagnostic("block", message, block.span, help="give the block another name"))
        else:
            fault = value_name_fault(block.name) or step_name_fault(block.name)
            if fault:
                self.findings.add(fault.at(block.span, "block: "))

    # Steps.

    def _steps(self, steps: YamlList, library: Library) -> list[Step]:
        return [self._step(item, library) for item in steps.items]

    def _step(self, yaml: Yaml, library: Library) -> Step:
        key, body, span = _split(yaml)
        before = self.findings.count
        broken = yaml in self.document.broken
        if (
            len(self.findings) + len(self.document.diagnostics) >= MAX_FINDINGS
            or broken
            and (not key or isinstance(yaml, YamlMap) and len(yaml.entries) > 1)
        ):
            return Step(key, span, broken=True)
        step = self._typed_step(key, body, span, library)
        step.broken = step.broken or broken
        if isinstance(step, ScopeStep):
            return step  # what is wrong inside is the matter of the steps inside
        step.broken = step.broken or self.findings.count > before
        return step

    def _typed_step(self, key: str, body: Yaml | None, span: Span, library: Library) -> Step:
        common, arguments = _common(body)
        step: Step
        if key in SCOPES:
            step = self._scope_step(key, body, span, library, arguments)
        elif key == USE:
            step = self._use_step(body, span, arguments)
        elif key in OPS:
            step = self._op_step(key, body, span, library, arguments)
        elif key in library.blocks:
            step = self._call_step(library.blocks[key], body, span, arguments)
        else:
            if "blocks" not in self.document.doubtful:
                self.findings.add(Complaint("op", f"unknown op `{key}`", partial(_op_help, key, library), span=span))
            if key not in self.meant and len(self.meant) < MAX_FINDINGS:
                self.meant[key] = _meant(key, library)
            step = Step(key, span, broken=True, meant=self.meant.get(key, key))
        self._add_common(step, common)
        return step

    def _add_common(self, step: Step, common: dict[str, Yaml]) -> None:
        before = self.findings.count
        for key, yaml in common.items():
            if key == "repeat":
                step.repeat = self._repeat(yaml)
            else:
                setattr(step, "reads" if key == "from" else key, self._value(yaml))
        if step.name is not None and step.name.constant and step.name.yaml not in self.document.broken:
            step.fixed_name = str(step.name.evaluate(NOTHING))
            fault = step_name_fault(step.fixed_name)
            if fault:
                self.findings.add(fault.at(step.name.span))
        step.broken = step.broken or self.findings.count > before

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
            before = self.findings.count
            step.let = self._values(let.entries, let.keys, "let")
            step.broken = self.findings.count > before
        if body is None:
            self.findings.add(Diagnostic("argument", f"{key}: missing argument `layers`", span, help=f"`{key}: [...]`"))
            step.broken = True
        if isinstance(layers, YamlList):
            step.steps = self._steps(layers, library)
        step.settle()
        return step

    def _use_step(self, body: Yaml | None, span: Span, arguments: dict[str, Yaml]) -> UseStep:
        """Return a `use`: its one argument is the name of the step that it applies again."""
        self.has_uses = True
        step = UseStep(USE, span)
        target = arguments.get("step") if isinstance(body, YamlMap) else body
        if target is None or _empty(target):
            if not isinstance(body, YamlMap) or "step" in body.entries:  # the schema asks for the key
                help = "`use: NAME` applies the step NAME again, with the same weights"
                self.findings.add(Diagnostic("argument", f"{USE}: missing argument `step`", span, help=help))
            step.broken = True
            return step
        step.target = self._value(target)
        step.broken = step.target is None
        step.meant = step.stem
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
        written = {name: yaml for name, yaml in defaults.items() if name not in arguments and name in step.op.fields}
        if written:
            step.defaults = {
                name: self._default(yaml, library) or Value(yaml, failed=True) for name, yaml in written.items()
            }
            step.broken |= not self.document.broken.isdisjoint(written.values())
        missing = [name for name in step.op.required() if name not in arguments and name not in defaults]
        if missing and ("defaults" in self.document.doubtful or arguments.keys() - step.op.fields.keys()):
            step.broken = True  # an argument is misspelt, here or in the defaults; that has been said
        elif missing:
            docs = "; ".join(f"{name}: {step.op.fields[name].doc}" for name in missing)
            self.findings.add(Diagnostic("argument", f"{key}: missing argument {listed(missing)}", span, help=docs))
        step.settle()
        return step

    def _default(self, yaml: Yaml, library: Library) -> Value | None:
        """Return a value of `defaults`, made at the first call; None if it is wrong, which is reported once."""
        if yaml not in self.defaults:
            value = self.defaults[yaml] = self._value(yaml)
            if value and value.names and not library.sees_params:
                message = "the defaults of an included file cannot use params"
                self.findings.add(Diagnostic("expression", message, yaml.span))
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
                what = kind_of(body.value) if isinstance(body, YamlScalar) else "a list"
                message = f"{block.name}: expected no argument, got {what}"
                self.findings.add(Diagnostic("argument", message, body.span, help=help))
                return step
            arguments = {next(iter(program.params)): body}
        assert body is None or isinstance(body, YamlMap) or len(arguments) <= 1
        for name, yaml in arguments.items():
            if name not in program.params:
                at = body.keys[name] if isinstance(body, YamlMap) else span
                message = f"{block.name}: unknown argument `{name}`"
                self.findings.add(Complaint("argument", message, partial(_argument_help, name, program), span=at))
            step.arguments[name] = self._value(yaml) or Value(yaml, failed=True)
        wanted = [name for name, value in program.params.items() if value is None]
        missing = [name for name in wanted if name not in arguments]
        if missing and not arguments.keys() - program.params.keys():
            self.findings.add(Diagnostic("argument", f"{block.name}: missing argument {listed(missing)}", span))
        return step


def _nearest_param(name: str, used: Iterable[str]) -> str | None:
    near = nearest(name, used)
    return f"did you mean `{near}`?" if near else None


def _cycle(trail: list[tuple[BlockProgram, Iterator[CallStep]]], block: BlockProgram) -> tuple[str, None]:
    """Return the message for a call of `block`, which stands on the trail of calls that lead to it."""
    way = [each for each, _ in trail]
    return f"a block calls itself: {_way([each.name for each in (*way[way.index(block) :], block)])}", None


def _param_cycle(trail: Iterable[str], used: str, is_replaced: bool) -> tuple[str, str | None]:
    """Return the message and the help for a param that uses `used`, which stands on the trail of params to it."""
    way = list(trail)
    help = "a param cannot use the value that it replaces" if is_replaced else None
    return f"a param leads back to itself: {_way([*way[way.index(used) :], used])}", help


def _way(names: list[str]) -> str:
    """Return names joined by arrows, those amid many left out."""
    quoted = [f"`{name}`" for name in names]
    if len(quoted) > 8:
        quoted[4:-3] = [f"({len(quoted) - 7} more)"]
    return " -> ".join(quoted)


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
    common = {key: yaml for key, yaml in entries if key in STEP_KEYS and not _empty(yaml)}
    return common, {key: yaml for key, yaml in entries if key not in STEP_KEYS}


def _empty(yaml: Yaml) -> bool:
    return isinstance(yaml, YamlScalar) and yaml.value is None
