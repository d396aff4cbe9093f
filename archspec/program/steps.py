"""The steps of a spec in typed form: ops and blocks looked up, expressions compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from archspec.document import Block, Document
from archspec.errors import Complaint, Diagnostic, Span
from archspec.expressions import (
    FUNCTIONS,
    Environment,
    Expression,
    Template,
    UnknownShape,
    compile_text,
    weight,
)
from archspec.graph import EMPTY, ArgumentOrigin
from archspec.ops.base import Op
from archspec.ops.initial import FANS
from archspec.syntax import Yaml, YamlList, YamlMap, YamlScalar

RESERVED = frozenset({"input", "index", *FUNCTIONS})
"""Value names that mean something in every expression."""

OUTWARDS = "../"
"""What a name in `from` begins with that is looked up in the scope around."""

NOTHING = Environment({})
"""Where a constant is evaluated."""


_NO_NAMES: frozenset[str] = frozenset()
"""One for all: each would take 200 bytes."""


class _Failed:
    """An expression that is in error."""

    def evaluate(self, environment: Environment) -> Any:  # noqa: ARG002 as Expression.evaluate
        raise UnknownShape


_FAILED = _Failed()


class Value:
    """A value of the spec: a constant, or something that an expression in it makes anew for every copy."""

    __slots__ = ("yaml", "constant", "names", "_compiled", "_size")

    def __init__(self, yaml: Yaml, failed: bool = False) -> None:
        """Compile `yaml`; a `failed` value is never known. Raises: Complaint if an expression in it is malformed."""
        self.yaml = yaml
        self.names = _NO_NAMES
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
        except Complaint as error:
            raise error.at(yaml.span) from None
        if isinstance(found, str):
            return found
        self.names = self.names | found.names if self.names else found.names
        return found, yaml

    @staticmethod
    def _has_expression(compiled: Any) -> bool:
        if isinstance(compiled, tuple):
            return True
        if isinstance(compiled, list):
            return any(map(Value._has_expression, compiled))
        return isinstance(compiled, dict) and any(map(Value._has_expression, compiled.values()))

    def evaluate(self, environment: Environment) -> Any:
        """Return the value as plain data.

        Raises: Complaint if an expression fails, UnknownShape if it asks for a value that is in error.
        """
        if self.constant:
            return self._compiled
        if isinstance(self._compiled, tuple):
            return self._evaluate(self._compiled, environment)
        # A list or mapping is made anew each time, for one expression in it.
        try:
            environment.budget.begin(self._size)
            found = self._evaluate(self._compiled, environment)
            environment.budget.begin(weight(found))
        except Complaint as error:
            raise error.at(self.span) from None
        return found

    def _evaluate(self, compiled: Any, environment: Environment) -> Any:
        if isinstance(compiled, tuple):
            expression: Expression | Template | _Failed = compiled[0]
            try:
                return expression.evaluate(environment)
            except Complaint as error:
                raise error.at(compiled[1].span) from None
        if isinstance(compiled, list):
            return [self._evaluate(item, environment) for item in compiled]
        if isinstance(compiled, dict):
            return {key: self._evaluate(item, environment) for key, item in compiled.items()}
        return compiled


class InitRule(NamedTuple):
    """How one tensor of an op is drawn: a scheme, and the value after it if there is one."""

    op: str
    tensor: str
    scheme: str
    value: Value | None
    yaml: Yaml

    @property
    def span(self) -> Span:
        """Where it stands."""
        return self.yaml.span


OpRules = Mapping[str, InitRule]
"""How the tensors of an op are drawn, by their names."""
InitRules = Mapping[str, OpRules]
"""The same by op: an `init:`."""


@dataclass(eq=False, repr=False, slots=True)
class Repeat:
    """How often a step stands, and the name that each entry is bound to."""

    count: Value
    binds: str | None


@dataclass(eq=False, repr=False, slots=True)
class Step:
    """What every step may carry. Abstract: an `OpStep`, `CallStep` or `ScopeStep`.

    `span` is the place of its key. A `broken` step has an error of its own; it is not run. `fixed_name` is its name
    where no expression makes it, `merges` tells a merge of several values. `meant` is its label, or the op or block
    that a misspelt one is most like. `operands` are arguments of an op that name a step, whose value it reads too.
    """

    label: str
    span: Span
    name: Value | None = None
    reads: Value | None = None
    when: Value | None = None
    repeat: Repeat | None = None
    broken: bool = False
    fixed_name: str | None = None
    merges: bool = False
    meant: str = ""
    written: ChoiceStep | None = None
    """The step as it stands in the spec, of one whose op or block is chosen by an expression."""
    operands: Sequence[Value] = ()

    def __post_init__(self) -> None:
        self.meant = self.meant or self.label

    @property
    def origin(self) -> Step:
        """The step as it stands in the spec."""
        return self.written or self

    @property
    def siblings(self) -> bool:
        """Whether copies stand side by side: without a name, or with one that tells them apart."""
        if self.name is None:
            return True
        return "index" in self.name.names or self.repeat is not None and self.repeat.binds in self.name.names

    @property
    def is_free(self) -> bool:
        """Whether it reads nothing, and the step after it reads the one before."""
        return isinstance(self, OpStep) and self.op.arity == 0

    @property
    def takes_numbers(self) -> bool:
        """Whether numbers may stand among what it reads."""
        return isinstance(self, OpStep) and self.op.takes_numbers

    def mentions(self) -> set[str]:
        """Return the names of outside that its expressions mention."""
        found = self._mentions()
        for value in (self.name, self.when):
            found |= value.names if value else set()
        if self.repeat is not None:
            found -= {"index", self.repeat.binds}
            found |= self.repeat.count.names
        return found | (self.reads.names if self.reads else set())

    def _mentions(self) -> set[str]:
        return set()


@dataclass(eq=False, repr=False, slots=True)
class OpStep(Step):
    """An op with its arguments; `defaults` are those of the document, for arguments that the step does not give."""

    op: type[Op] = Op
    arguments: dict[str, Value] = field(default_factory=dict)
    defaults: Mapping[str, Value] = field(default_factory=lambda: EMPTY)

    origins: Mapping[str, ArgumentOrigin] = field(default_factory=lambda: EMPTY)
    """Where each argument was written."""
    constants: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    """Its arguments without an expression."""
    made: Sequence[tuple[str, Value]] = ()
    """Its arguments that an expression makes."""
    init: OpRules = field(default_factory=lambda: EMPTY)
    """How its own weights are drawn, where the step says so."""

    def settle(self) -> None:
        """Fill in what follows from the arguments."""
        self.merges = self.op.arity is None
        values = {**self.defaults, **self.arguments}
        if not values:
            return
        self.origins = {
            name: ArgumentOrigin("step" if name in self.arguments else "defaults", value.yaml)
            for name, value in values.items()
        }
        self.constants = {name: value.evaluate(NOTHING) for name, value in values.items() if value.constant}
        self.made = tuple((name, value) for name, value in values.items() if not value.constant)
        self.operands = tuple(values[name] for name in self.op.operand_fields() if name in values)

    def all_arguments(self, environment: Environment, params: Environment) -> dict[str, Any]:
        """Return its arguments. Expressions of the document's defaults see `params` only."""
        found = dict(self.constants)
        for name, value in self.made:
            found[name] = value.evaluate(params if name in self.defaults else environment)
        return found

    def _mentions(self) -> set[str]:
        found = set().union(*(value.names for value in self.arguments.values()))
        return found.union(_init_names(self.init)) if self.init else found


@dataclass(eq=False, repr=False, slots=True)
class CallStep(Step):
    """A call of a block."""

    block: BlockProgram | None = None
    arguments: dict[str, Value] = field(default_factory=dict)

    def _mentions(self) -> set[str]:
        return set().union(*(value.names for value in self.arguments.values()))


@dataclass(eq=False, repr=False, slots=True)
class ChoiceStep(Step):
    """A step whose op or block is the value of an expression: `- $activation`.

    `arguments` are its values as far as they can be told before it is known; `compile` makes the step of an op or
    block, `options` are those made so far. Threads may share them: a step that is made twice is the same.
    """

    choice: Value | None = None
    arguments: dict[str, Value] = field(default_factory=dict)
    plain: bool = True
    """Whether what it reads is known already: a value that is no mapping may be what a merge reads, an argument too."""
    blocks: tuple[BlockProgram, ...] = ()
    """The blocks that it may choose."""
    compile: Callable[[str], Option] | None = None
    options: dict[str, Option] = field(default_factory=dict)

    @property
    def varies(self) -> bool:
        """Whether the copies of a repeat may choose differently."""
        assert self.choice is not None
        return self.repeat is not None and not self.choice.names.isdisjoint({"index", self.repeat.binds})

    def option(self, key: str) -> Option:
        """Return the step with the op or block `key`."""
        assert self.compile is not None
        found = self.options.get(key)
        if found is None:
            found = self.compile(key)
            found.step.written = self
            if not found.faults:  # there is no end of those that are wrong
                self.options[key] = found
        return found

    def _mentions(self) -> set[str]:
        assert self.choice is not None
        return set(self.choice.names).union(*(value.names for value in self.arguments.values()))


class Option(NamedTuple):
    """A step of a choice, once its op or block is known, and what is wrong with it."""

    step: Step
    faults: tuple[Complaint, ...] = ()


@dataclass(eq=False, repr=False, slots=True)
class ScopeStep(Step):
    """A `sequential` or an `inline`."""

    let: dict[str, Value] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    init: InitRules = field(default_factory=lambda: EMPTY)
    register: tuple[str, ...] = ()
    """The names of the steps whose modules are registered first."""

    outer_names: tuple[str, ...] = ()
    """The names of outside that expressions in it mention."""
    outer_reads: frozenset[str] | None = frozenset()
    """The names that `from` in it holds, up to the first dot, but `input`; None where an expression makes one."""

    @property
    def is_inline(self) -> bool:
        """Whether its steps are spliced into the surrounding scope."""
        return self.label == "inline"

    def settle(self) -> None:
        """Fill in what follows from the steps."""
        names: set[str] = set().union(*(step.mentions() for step in self.steps))
        for rules in self.init.values():
            names.update(_init_names(rules))
        for name, value in reversed(self.let.items()):
            names.discard(name)
            names |= value.names
        # A `sequential` has an input of its own.
        self.outer_names = tuple(sorted(names if self.is_inline else names - {"input"}))
        reads = [_constant_names(step) for step in self.steps]
        reads += [step.outer_reads for step in self.steps if isinstance(step, ScopeStep)]
        known = [found for found in reads if found is not None]
        self.outer_reads = frozenset().union(*known) - {"input"} if len(known) == len(reads) else None

    def _mentions(self) -> set[str]:
        return set(self.outer_names)


@dataclass(eq=False, repr=False, slots=True)
class UseStep(Step):
    """An earlier step of the same scope, applied again with the same weights; `target` is its name."""

    target: Value | None = None

    @property
    def stem(self) -> str:
        """What it is called after, where it has no name: the step that it applies."""
        target = str(self.target.evaluate(NOTHING)) if self.target is not None and self.target.constant else ""
        last = target.rpartition(".")[2]
        return last if last and not last.isdecimal() else self.label

    def _mentions(self) -> set[str]:
        return set(self.target.names) if self.target is not None else set()


def _init_names(rules: OpRules) -> set[str]:
    """Return the names of outside that rules mention: not those of the layer itself."""
    names: set[str] = set().union(*(rule.value.names for rule in rules.values() if rule.value is not None))
    return names.difference(FANS)


def _constant_names(step: Step) -> frozenset[str] | None:
    """Return the names that a step reads, up to the first dot; None if that cannot be told here."""
    if isinstance(step, ChoiceStep) and not step.plain:
        return None
    values = [value for value in (step.reads, *step.operands) if value is not None]
    if not all(value.constant for value in values):
        return None
    names: list[str] = []
    for value in values:
        found = value.evaluate(NOTHING)
        names += [
            str(each) for each in (found if isinstance(found, list) else [found]) if not isinstance(each, int | float)
        ]
    if any(name.startswith(OUTWARDS) for name in names):
        return None
    return frozenset(name.partition(".")[0] for name in names)


@dataclass(eq=False, repr=False, slots=True)
class BlockProgram:
    """A block with typed steps. `params` without a default hold None.

    Where the block is a spec, `network` is that in typed form, and params, inputs and steps are its. `features` names
    the values that it gives: the name of each, the step in the network, and the place.
    """

    block: Block
    params: dict[str, Value | None] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    steps: list[Step] = field(default_factory=list)
    network: Program | None = None
    features: tuple[tuple[str, str, Span], ...] = ()
    init: InitRules = field(default_factory=lambda: EMPTY)
    brought: InitRules = field(default_factory=lambda: EMPTY)
    """What the included file says that it comes from."""
    register: tuple[str, ...] = ()
    """The names of the steps whose modules are registered first."""

    @property
    def name(self) -> str:
        """The name of the block, or of the network that it is."""
        return self.network.document.name if self.network is not None else self.block.name


@dataclass(eq=False, repr=False)
class Program:
    """A document in typed form."""

    document: Document
    params: dict[str, Value] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    has_uses: bool = False
    """Whether any step is a `use`."""
    blocks: dict[str, BlockProgram] = field(default_factory=dict)
    init: InitRules = field(default_factory=lambda: EMPTY)
    draws: bool = False
    """Whether there is any `init:`, at the top or further in."""
    register: tuple[str, ...] = ()
    """The names of the steps whose modules are registered first."""
    diagnostics: list[Diagnostic] = field(default_factory=list)
