"""From a document to typed steps: each is checked once, however often it is repeated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
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
from archspec.graph import EMPTY
from archspec.names import output_name_fault, step_name_fault, step_place_fault, value_name_fault
from archspec.ops import OPS, table
from archspec.ops.base import Op
from archspec.ops.initial import FANS
from archspec.program.initial import rules_by_op, rules_of
from archspec.program.register import registered_names
from archspec.program.steps import (
    NOTHING,
    RESERVED,
    BlockProgram,
    CallStep,
    ChoiceStep,
    InitRules,
    OpRules,
    OpStep,
    Option,
    Program,
    Repeat,
    ScopeStep,
    Step,
    UseStep,
    Value,
)
from archspec.schema import SCOPES, STEP_KEYS, USE, call_help, drawable, validate_chosen
from archspec.syntax import Yaml, YamlList, YamlMap, YamlScalar


def compile_program(document: Document) -> Program:
    """Return the typed form of a document. Its `diagnostics` say what is wrong; the steps concerned are `broken`."""
    size = sum(len(text) for _, text in document.files)
    return _compiled(document, table()) if size <= MAX_KEPT else _Compiler(document).program()


@lru_cache(maxsize=8)
def _operand_names(ops: tuple[type[Op], ...]) -> frozenset[str]:
    """Return the arguments that name a step, of any op."""
    return frozenset(name for op in ops for name in op.operand_fields())


@lru_cache(maxsize=32)
def _compiled(document: Document, _ops: tuple[type[Op], ...]) -> Program:
    """Compile a document once for a table of ops, however often it is loaded: nobody writes to a Program."""
    return _Compiler(document).program()


_OPERANDS = frozenset(name for op in OPS.values() for name in op.operand_fields())
"""The arguments of ops that name a step."""


class _Compiler:
    """Compiles one document; `networks` are those of its blocks, each compiled once however many files name it."""

    def __init__(self, document: Document, networks: dict[int, Program] | None = None) -> None:
        self.document = document
        self.networks: dict[int, Program] = {} if networks is None else networks
        self.findings = Findings()
        self.blocks: dict[int, BlockProgram] = {}
        self.waiting: list[BlockProgram] = []
        self.calls: list[CallStep] = []
        self.defaults: dict[Yaml, Value | None] = {}
        self.mentioned: set[str] = set()
        self.has_uses = False
        self.draws = False
        self.brought: dict[int, InitRules] = {}
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
        program.init = self._init(library.init)
        layers = self.document.keys.get("layers")
        if isinstance(layers, YamlList):
            program.steps = self._steps(layers, library)
        program.register = self._registered(self.document.keys.get("register"), program.steps)
        self._fill_blocks()
        self._check_params_used()
        program.has_uses = self.has_uses
        program.draws = self.draws
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
            init, layers = (program.block.yaml.get(key) for key in ("init", "layers"))
            if isinstance(init, YamlMap):
                program.init = self._init(init.entries)
            program.brought = self._brought(program.block.library)
            if isinstance(layers, YamlList):
                program.steps = self._steps(layers, program.block.library)
            program.register = self._registered(program.block.yaml.get("register"), program.steps)
        done: set[int] = set()
        for start in self.blocks.values():
            self._find_cycles(start, calls, done)

    def _find_cycles(self, start: BlockProgram, calls: dict[int, list[CallStep]], done: set[int]) -> None:
        """Complain of every call that leads back to a block on the way to it."""
        trail = [(start, iter(calls.get(id(start), ())))]
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
                trail.append((block, iter(calls.get(id(block), ()))))
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

    # Initial weights.

    def _init(self, entries: Mapping[str, Yaml]) -> InitRules:
        """Return the rules of an `init:` that names ops."""
        if not entries:
            return EMPTY
        self.draws = True
        return rules_by_op(entries, self._value, self.findings.add, self.document.broken)

    def _brought(self, library: Library) -> InitRules:
        """Return what an included file says about its blocks; of the document itself, nothing."""
        if library.sees_params or not library.init:
            return EMPTY
        if id(library) not in self.brought:
            self.brought[id(library)] = rules = self._init(library.init)
            for rule in [rule for each in rules.values() for rule in each.values()]:
                if rule.value is not None and not rule.value.names <= {*FANS}:
                    message = "the init of an included file cannot use params"
                    self.findings.add(Diagnostic("expression", message, rule.span, help="a block's own `init:` can"))
        return self.brought[id(library)]

    def _op_init(self, op: type[Op], yaml: Yaml) -> OpRules:
        self.draws = True
        if yaml in self.document.broken or _empty(yaml):
            return EMPTY
        try:
            return rules_of(op, yaml, self._value)
        except Complaint as fault:
            self.findings.add(fault)
            return EMPTY

    def _registered(self, yaml: Yaml | None, steps: Sequence[Step]) -> tuple[str, ...]:
        """Return the names of a `register:`, of a scope with these steps."""
        if not isinstance(yaml, YamlList) or yaml in self.document.broken:
            return ()
        found, faults = registered_names(yaml, steps)
        for fault in faults:
            self.findings.add(fault)
        return found

    # Blocks.

    def _block(self, block: Block) -> BlockProgram:
        """Return the block in typed form, made at the first call."""
        known = self.blocks.get(id(block))
        if known is not None:
            return known
        program = self.blocks[id(block)] = BlockProgram(block)
        self._check_block_name(block)
        if block.is_network:
            self._fill_network(program)
            return program
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

    def _fill_network(self, program: BlockProgram) -> None:
        """Give a block that is a network what that has; its mistakes are reported once."""
        document, features = program.block.network, program.block.yaml.get("features")
        if document is None:
            return
        network = self.networks.get(id(document))
        if network is None:
            network = self.networks[id(document)] = _Compiler(document, self.networks).program()
            for finding in network.diagnostics:
                self.findings.add(finding)
        declared = document.keys.get("input")
        program.network, program.params, program.steps = network, {**network.params}, network.steps
        program.register = network.register
        program.inputs = tuple(declared.entries) if isinstance(declared, YamlMap) else ()
        if features is None or features in self.document.broken:
            return
        if isinstance(features, YamlMap):
            named = list(features.entries.items())
        else:
            items = features.items if isinstance(features, YamlList) else [features]
            named = [(str(item.plain()), item) for item in items]
        known: set[str] = set()
        for name, item in named:
            fault = output_name_fault(name)
            if fault:
                self.findings.add(fault.at(item.span, "features: "))
            elif name in known:
                self.findings.add(Diagnostic("name", f"features: `{name}` is named twice", item.span))
            known.add(name)
        program.features = tuple((name, str(item.plain()), item.span) for name, item in named)

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
        elif "$" in key:
            step = self._choice_step(key, body, span, library, arguments)
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
            elif key == "from" and step.is_free:
                help = "the steps that need it name it in their `from`"
                message = f"{step.label}: a free tensor reads nothing"
                self.findings.add(Diagnostic("argument", message, yaml.span, help=help))
            else:
                setattr(step, "reads" if key == "from" else key, self._value(yaml))
        if step.name is not None and step.name.constant and step.name.yaml not in self.document.broken:
            step.fixed_name = str(step.name.evaluate(NOTHING))
            fault = step_place_fault(step.fixed_name)
            if fault:
                self.findings.add(fault.at(step.name.span))
        if step.is_free and step.repeat is not None and not step.siblings:
            help = f'give each copy a name: `name: "{step.fixed_name}${{index}}"`'
            self.findings.add(Diagnostic("name", f"{step.label}: the copies have one name", step.span, help=help))
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
        init = arguments.get("init")
        if isinstance(init, YamlMap):
            step.init = self._init(init.entries)
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
        step.register = self._registered(arguments.get("register"), step.steps)
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
            if step.op.reads_several():
                step.reads = self._value(body)
            else:
                arguments = {next(iter(step.op.fields), ""): body}
        init = arguments.pop("init", None) if drawable(step.op) else None
        if init is not None:
            step.init = self._op_init(step.op, init)
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

    def _choice_step(
        self, key: str, body: Yaml | None, span: Span, library: Library, arguments: dict[str, Yaml]
    ) -> ChoiceStep:
        """Return a step whose op or block is known when it is elaborated; `_option` then makes it."""
        place = YamlScalar(key, span.source, span.line, span.column, span.width)
        step = ChoiceStep(key, span, choice=self._value(place) or Value(place, failed=True))
        if body is not None and not isinstance(body, YamlMap) and not _empty(body):
            arguments, step.plain = {"": body}, False
        step.plain &= _OPERANDS.isdisjoint(arguments)
        step.arguments = {name: self._value(yaml) or Value(yaml, failed=True) for name, yaml in arguments.items()}
        operands = [step.arguments[name] for name in _operand_names(table()) & step.arguments.keys()]
        step.plain &= all(value.constant and not isinstance(value.evaluate(NOTHING), str) for value in operands)
        step.blocks = tuple([self._block(block) for block in library.blocks.values()])
        step.compile = partial(self._option, body, span, library)
        return step

    def _option(self, body: Yaml | None, span: Span, library: Library, key: str) -> Option:
        """Return the step that a choice of `key` is, checked as one that was written so."""
        if key not in OPS and key not in library.blocks:
            broken = Step(key, span, broken=True)
            if "blocks" in self.document.doubtful:
                return Option(broken)
            if key in SCOPES:
                help = "put its steps into a block, and choose that"
                return Option(broken, (Complaint("op", f"`{key}` cannot be chosen", help, span=span),))
            help_later = partial(_op_help, key, library)
            return Option(broken, (Complaint("op", f"unknown op `{key[:100]}`", help_later, span=span),))
        other = copy(self)
        other.findings, other.calls = Findings(), []
        faults = validate_chosen(key, body) if key in OPS and body is not None else []
        step = other._typed_step(key, body, span, library)
        found = [Complaint(fault.code, fault.message, fault.help, span=fault.span) for fault in other.findings.found]
        step.broken = step.broken or bool(faults or found)
        return Option(step, tuple(faults or found))

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
        keys = ("params", "inputs", "layers", "network", "features")
        parts = (block.yaml, *(block.yaml.get(key) for key in keys))
        if any(part in self.document.broken for part in parts) or block.is_network and program.network is None:
            step.broken = True
            return step
        if body is not None and not isinstance(body, YamlMap) and not _empty(body):
            if not program.params or block.is_network:
                help = "what it reads is named by `from`" if isinstance(body, YamlList) else None
                what = kind_of(body.value) if isinstance(body, YamlScalar) else "a list"
                wanted_words = "arguments by name" if program.params else "no argument"
                message = f"{block.name}: expected {wanted_words}, got {what}"
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
