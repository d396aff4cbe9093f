"""The plan: classes, their statements, and the values that flow between them. `str(plan)` is what a person reviews.

A statement holds expressions of generated code (Python's own syntax trees) and says nothing about layout. Statements
stand in execution order; `__init__` and `forward` are both written from them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from archspec.backends.source import trees
from archspec.backends.source.plan.bindings import MISSING, Binding
from archspec.document import Document
from archspec.ops.base import Op, makes_module
from archspec.ops.torch_api import AS_KERNEL, OPERATORS, REQUIRED, SIGNATURES, numbers_of
from archspec.shapes import Shape

if TYPE_CHECKING:
    from archspec.backends.source.plan.bindings import ClassBindings


@dataclass(eq=False)
class Slot:
    """A value of the network at one place of the code.

    `paths` says which value it is in every use, `sizes` has the expressions of its axes where there are some, `label`
    is what the spec calls the step that makes it, `shape` its shape if that is the same in every use.
    """

    paths: dict[int, str]
    sizes: tuple[ast.expr | None, ...] = ()
    label: str = ""
    named: bool = False
    """Whether the spec gives the step a name of its own."""
    shape: Shape | None = None
    lost: bool = False
    """Whether it is out of reach here; then nothing reads it either."""


@dataclass
class CallPlan:
    """A torch call with its arguments as code; `listed` if it takes what it reads as one list.

    It is given what it reads at the positions `given`, if not all of it, a module also the keywords `options`; of
    several results it takes the one at `item`. `size_of` is the position of a value whose spatial axes are the
    argument `size`.
    """

    target: str
    arguments: dict[str, ast.expr] = field(default_factory=dict)
    listed: bool = False
    given: tuple[int, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    item: int | None = None
    size_of: int | None = None

    @property
    def makes_module(self) -> bool:
        """Whether it constructs a module."""
        return makes_module(self.target)

    @property
    def is_operator(self) -> bool:
        """Whether it is an operator between all that it reads."""
        return self.target in OPERATORS

    def is_default(self, name: str) -> bool:
        """Return whether torch assumes the value that an argument has."""
        default, tree = SIGNATURES[self.target].parameters[name], self.arguments[name]
        if default is REQUIRED:
            return False
        return trees.equal(tree, self.arguments["kernel_size"] if default is AS_KERNEL else trees.literal(default))

    def __str__(self) -> str:
        """Return the call as the plan shows it: without what torch assumes."""
        if self.is_operator:
            numbers = ", ".join(f"{ast.unparse(tree)} at {place}" for place, tree in numbers_of(self.arguments))
            return f"{self.target}({numbers})" if numbers else self.target
        given = {name: tree for name, tree in self.arguments.items() if not self.is_default(name)}
        return f"{self.target}({_arguments(given)})"


Name = str | ast.expr
"""The name of a module: text, or an expression if it differs between the copies of a loop."""


def entry_of(name: Name) -> tuple[str, ast.expr] | None:
    """Return the list and the number of a module called `convs.0`, or by an f-string like that; None of any other."""
    match name:
        case str():
            listed, dot, number = name.rpartition(".")
            return (listed, ast.Constant(int(number))) if dot else None
        case ast.JoinedStr(values=[ast.Constant(value=str(text)), ast.FormattedValue(value=number)]):
            return (text[:-1], number) if text.endswith(".") else None
    return None


@dataclass(eq=False)
class Statement:
    """One step in the code. Abstract.

    `name` is its name as a module, `reads` are the values that it is given, `outs` those that it makes, the result
    first. `stateful` tells whether its name is part of a state_dict key.
    """

    name: Name = ""
    reads: list[Slot] = field(default_factory=list)
    outs: list[Slot] = field(default_factory=list)
    stateful: bool = False

    @property
    def out(self) -> Slot:
        """Its result."""
        return self.outs[0]

    def expressions(self) -> Iterator[ast.expr]:
        """Yield the expressions in it, but for those of the statements within it."""
        if isinstance(self.name, ast.expr):
            yield self.name
        yield from self._expressions()

    def _expressions(self) -> Iterable[ast.expr]:
        return ()

    def change(self, change: Any) -> None:
        """Put `change(expression)` in place of every expression in it, but for its name."""

    def inside(self) -> Sequence[Statement]:
        """Return the statements within it."""
        return ()

    def bodies(self) -> Sequence[list[Statement]]:
        """Return the lists of statements within it, each of which runs from its start to its end."""
        return ()


@dataclass(eq=False)
class Leaf(Statement):
    """An op: its torch calls, each fed with the result of the one before. `explicit` if the spec gives it a name."""

    op: type[Op] = Op
    calls: list[CallPlan] = field(default_factory=list)
    explicit: bool = False
    fits: tuple[str, ...] = ()
    """What gives each value the batch that the op needs (`Op.fits`); empty where none needs that."""

    def _expressions(self) -> Iterable[ast.expr]:
        return (tree for call in self.calls for tree in call.arguments.values())

    def change(self, change: Any) -> None:
        """Put `change(expression)` in place of every argument."""
        for call in self.calls:
            call.arguments = {name: change(tree) for name, tree in call.arguments.items()}

    def module(self) -> CallPlan | None:
        """Return the call that constructs a module, if there is one."""
        return next((call for call in self.calls if call.makes_module), None)

    def __str__(self) -> str:
        """Return the statement as the plan shows it."""
        return " -> ".join(map(str, self.calls)) or "nothing"


@dataclass(eq=False)
class Free(Statement):
    """A parameter or a buffer of the class: the calls that make the tensor. `test` if it stands under a condition.

    `trained` tells a parameter, `persistent` whether the state_dict has a buffer.
    """

    calls: list[CallPlan] = field(default_factory=list)
    trained: bool = True
    persistent: bool = True
    test: ast.expr | None = None

    def _expressions(self) -> Iterable[ast.expr]:
        yield from (tree for call in self.calls for tree in call.arguments.values())
        if self.test is not None:
            yield self.test

    def change(self, change: Any) -> None:
        """Put `change(expression)` in place of every argument and of the condition."""
        for call in self.calls:
            call.arguments = {name: change(tree) for name, tree in call.arguments.items()}
        if self.test is not None:
            self.test = change(self.test)

    def __str__(self) -> str:
        """Return the statement as the plan shows it."""
        kind = "parameter" if self.trained else "buffer" if self.persistent else "buffer, not kept"
        test = f" if {ast.unparse(self.test)}" if self.test is not None else ""
        return f"{kind} {' -> '.join(map(str, self.calls))}{test}"


@dataclass(eq=False)
class Instance(Statement):
    """An object of a class of the file, made with these arguments."""

    plan: ClassPlan | None = None
    arguments: dict[str, ast.expr] = field(default_factory=dict)

    def _expressions(self) -> Iterable[ast.expr]:
        return self.arguments.values()

    def change(self, change: Any) -> None:
        """Put `change(expression)` in place of every argument."""
        self.arguments = {name: change(tree) for name, tree in self.arguments.items()}

    def __str__(self) -> str:
        """Return the statement as the plan shows it."""
        assert self.plan is not None
        return f"{self.plan.name}({_arguments(self.arguments)})"


@dataclass(eq=False)
class Reuse(Statement):
    """Another call of a module: that of `target`, or at `path` inside it. `plan` is its class, if it has one."""

    target: Statement = field(default_factory=Statement)
    path: str = ""
    plan: ClassPlan | None = None
    fits: tuple[str, ...] = ()
    """As of a `Leaf`: what gives each value the batch that the op needs."""
    call: CallPlan | None = None
    """What is given to a module at `path`, where it is that of an op."""

    def __str__(self) -> str:
        """Return the statement as the plan shows it."""
        name = self.target.name if isinstance(self.target.name, str) else ast.unparse(self.target.name)
        return f"{name}{self.path} again"


@dataclass(eq=False)
class InTraining(Statement):
    """Steps that only outputs for training need."""

    statements: list[Statement] = field(default_factory=list)

    def inside(self) -> Sequence[Statement]:
        """Return its steps."""
        return self.statements

    def bodies(self) -> Sequence[list[Statement]]:
        """Return the list of the statements within it."""
        return (self.statements,)

    def __str__(self) -> str:
        """Return the statement as the plan shows it."""
        return "if self.training"


@dataclass(eq=False)
class Chain(Statement):
    """An `nn.Sequential`: statements that each read the one before. `keyed` if its modules have names, not positions.

    `cancelled` if permutes that undo each other are left out, as the positions ask for.
    """

    statements: list[Statement] = field(default_factory=list)
    keyed: bool = False
    cancelled: bool = False

    def inside(self) -> Sequence[Statement]:
        """Return its modules."""
        return self.statements

    def bodies(self) -> Sequence[list[Statement]]:
        """Return the list of the statements within it."""
        return (self.statements,)

    def __str__(self) -> str:
        """Return the statement as the plan shows it."""
        return "Sequential by name" if self.keyed else "Sequential"


@dataclass(eq=False)
class Listing(Statement):
    """An `nn.ModuleList`, whose modules are called one by one in the flow of the code around it."""

    statements: list[Statement] = field(default_factory=list)

    def inside(self) -> Sequence[Statement]:
        """Return the statements whose modules it holds."""
        return self.statements

    def bodies(self) -> Sequence[list[Statement]]:
        """Return the list of the statements within it."""
        return (self.statements,)

    def __str__(self) -> str:
        """Return the statement as the plan shows it."""
        return "ModuleList"


@dataclass(eq=False)
class Copies(Statement):
    """Equal copies in a chain."""

    statement: Statement = field(default_factory=Statement)
    count: ast.expr = field(default_factory=lambda: ast.Constant(1))

    def _expressions(self) -> Iterable[ast.expr]:
        return (self.count,)

    def change(self, change: Any) -> None:
        """Put `change(expression)` in place of the number of copies."""
        self.count = change(self.count)

    def inside(self) -> Sequence[Statement]:
        """Return the one copy."""
        return (self.statement,)

    def __str__(self) -> str:
        """Return the statement as the plan shows it."""
        return f"{ast.unparse(self.count)} times"


@dataclass(eq=False)
class Branch(Statement):
    """Steps that stand under a condition, and perhaps others that stand without it.

    `result` and `other_result` are the values of the two ways; a way without steps passes on what came in.
    """

    test: ast.expr = field(default_factory=lambda: ast.Constant(True))
    statements: list[Statement] = field(default_factory=list)
    otherwise: list[Statement] = field(default_factory=list)
    result: Slot | None = None
    other_result: Slot | None = None

    def _expressions(self) -> Iterable[ast.expr]:
        return (self.test,)

    def change(self, change: Any) -> None:
        """Put `change(expression)` in place of the condition."""
        self.test = change(self.test)

    def inside(self) -> Sequence[Statement]:
        """Return the steps of both ways."""
        return [*self.statements, *self.otherwise]

    def bodies(self) -> Sequence[list[Statement]]:
        """Return the steps of either way."""
        return self.statements, self.otherwise

    def __str__(self) -> str:
        """Return the statement as the plan shows it."""
        return f"if {ast.unparse(self.test)}"


@dataclass
class Carried:
    """A value that each round of a loop takes from the one before: `entry` in its body, `initial` before the loop.

    `last` is the value at the end of a round. `initial` is None if the first round does not read it.
    """

    entry: Slot
    last: Slot
    initial: Slot | None
    out: Slot


@dataclass
class Counter:
    """A number that a loop keeps up to date for the next round: its name, its start, and what it is after a round."""

    name: str
    start: ast.expr
    after: ast.expr


@dataclass(eq=False)
class Loop(Statement):
    """Copies that differ: `for index, targets in enumerate(source)`, or in a range if `source` is a number.

    `values` are what flows from round to round; in a chain that is the value that each copy reads.
    """

    targets: list[str] = field(default_factory=list)
    index: str = ""
    source: ast.expr = field(default_factory=lambda: ast.Constant(0))
    is_range: bool = False
    statements: list[Statement] = field(default_factory=list)
    values: list[Carried] = field(default_factory=list)
    counter: Counter | None = None
    first: int = 0
    """The number that `index` starts from."""

    def _expressions(self) -> Iterable[ast.expr]:
        yield self.source
        if self.counter:
            yield self.counter.start
            yield self.counter.after

    def change(self, change: Any) -> None:
        """Put `change(expression)` in place of its source and the numbers that it keeps."""
        self.source = change(self.source)
        if self.counter:
            self.counter = Counter(self.counter.name, change(self.counter.start), change(self.counter.after))

    def inside(self) -> Sequence[Statement]:
        """Return its body."""
        return self.statements

    def bodies(self) -> Sequence[list[Statement]]:
        """Return the list of the statements within it."""
        return (self.statements,)

    def __str__(self) -> str:
        """Return the statement as the plan shows it."""
        source = ast.unparse(self.source)
        if self.is_range:
            return f"for {self.index or '_'} in range({source})"
        targets = ", ".join(self.targets)
        return f"for {self.index}, {targets} in enumerate({source})" if self.index else f"for {targets} in {source}"


@dataclass(eq=False)
class Let(Statement):
    """A local value of `__init__`. `table` if it is a list or mapping that is written out."""

    target: str = ""
    value: ast.expr = field(default_factory=lambda: ast.Constant(None))
    table: bool = False

    def _expressions(self) -> Iterable[ast.expr]:
        return (self.value,)

    def change(self, change: Any) -> None:
        """Put `change(expression)` in place of the value."""
        self.value = change(self.value)

    def __str__(self) -> str:
        """Return the statement as the plan shows it."""
        return f"{self.target} = {ast.unparse(self.value)}"


@dataclass(eq=False)
class ClassPlan:
    """A class of the file. `arguments` are those of `__init__`, in order; `use_of` numbers the scopes it is made for.

    `base` is `Module`, `Sequential` (its forward is inherited) or `ModuleList` (its modules are numbered).
    """

    name: str
    bindings: ClassBindings
    base: str = "Module"
    keyed: bool = False
    cancelled: bool = True
    inputs: list[Slot] = field(default_factory=list)
    input_names: list[str] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    results: list[Slot] = field(default_factory=list)
    outputs: tuple[str, ...] | None = None
    """The names of the network's outputs, if it has several."""
    training: frozenset[str] = frozenset()
    """The names of those that only training asks for."""
    exposed: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    """What to call each result."""
    arguments: dict[str, Binding] = field(default_factory=dict)
    size_arguments: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Arguments that are sizes of inputs: the number of the input and of its axis."""
    register: tuple[str, ...] = ()
    """The names of the modules that `__init__` makes first, as the spec says."""
    is_network: bool = False
    stands_for: Document | None = None
    """The spec that the class stands for, where that is a block of the network."""

    def order(self) -> list[int]:
        """Return the places of its results in the order in which they are made, which is that of the returned tuple."""
        made = {slot: place for place, each in enumerate(walk(self.statements)) for slot in each.outs}
        return sorted(range(len(self.results)), key=lambda result: made.get(self.results[result], -1))

    def __str__(self) -> str:
        """Return the plan as a person reads it in review."""
        arguments = ", ".join(
            printed if binding.default is MISSING else f"{printed}={binding.default!r}"
            for printed, binding in self.arguments.items()
        )
        lines = [f"class {self.name}({self.base}): {arguments}".rstrip(": ")]
        if self.register:
            lines.append(f"  registers first: {', '.join(self.register)}")
        numbers = dict(zip(self.inputs, self.input_names, strict=True))
        _show(self.statements, "  ", numbers, lines, flows=self.base != "Sequential")
        if self.base == "Sequential":
            return "\n".join(lines)
        results = [self.results[place] for place in self.order()] if self.outputs is None else self.results
        lines.append(f"  return {', '.join(_shown(slot, numbers) for slot in results)}")
        return "\n".join(lines)


def walk(statements: Iterable[Statement]) -> Iterator[Statement]:
    """Yield statements with all within them, in order."""
    stack = [iter(statements)]
    while stack:
        for statement in stack[-1]:
            yield statement
            inside = statement.inside()
            if inside:
                stack.append(iter(inside))
                break
        else:
            stack.pop()


def names_used(statements: Iterable[Statement]) -> set[str]:
    """Return the names that the expressions of statements mention, within them too."""
    found: set[str] = set()
    for statement in walk(statements):
        for tree in statement.expressions():
            found |= trees.names_in(tree)
    return found


# As text.


def _arguments(arguments: dict[str, ast.expr]) -> str:
    return ", ".join(f"{name}={ast.unparse(tree)}" for name, tree in arguments.items())


def _shown(slot: Slot, numbers: dict[Slot, str]) -> str:
    return numbers.setdefault(slot, f"%{len(numbers)}")


def _show(
    statements: Sequence[Statement], indent: str, numbers: dict[Slot, str], lines: list[str], *, flows: bool
) -> None:
    """Add the lines of statements. In a chain, where each reads the one before, no values are shown: not `flows`."""
    for statement in statements:
        name = statement.name if isinstance(statement.name, str) else ast.unparse(statement.name)
        line = f"{indent}{name} = {statement}" if name else f"{indent}{statement}"
        if flows and statement.outs:
            line += f"  ({', '.join(_shown(slot, numbers) for slot in statement.reads)})" if statement.reads else " "
            outs = statement.outs
            if isinstance(statement, Instance) and statement.plan is not None and len(outs) > 1:
                outs = [outs[place] for place in statement.plan.order()]
            line += f" -> {', '.join(_shown(slot, numbers) for slot in outs)}"
        lines.append(line)
        inner = indent + "  "
        if isinstance(statement, Branch):
            _show_branch(statement, indent, numbers, lines, flows=flows)
            continue
        carried = statement.values if isinstance(statement, Loop) and flows else []
        for value in carried:
            start = _shown(value.initial, numbers) if value.initial else "nothing"
            lines.append(f"{inner}carries {_shown(value.entry, numbers)}, first {start}")
        _show(statement.inside(), inner, numbers, lines, flows=flows and not isinstance(statement, Chain | Copies))
        lines += [f"{inner}next {_shown(value.entry, numbers)} = {_shown(value.last, numbers)}" for value in carried]
        if isinstance(statement, Loop) and statement.counter:
            lines.append(f"{inner}next {statement.counter.name} = {ast.unparse(statement.counter.after)}")


def _show_branch(branch: Branch, indent: str, numbers: dict[Slot, str], lines: list[str], *, flows: bool) -> None:
    """Add the lines of both ways of a branch, and the value in which each ends."""
    ways = [("", branch.statements, branch.result), (f"{indent}else", branch.otherwise, branch.other_result)]
    for head, way, result in ways:
        ends = flows and result is not None and branch.outs
        if head and (way or ends):
            lines.append(head)
        _show(way, indent + "  ", numbers, lines, flows=flows)
        if ends and result is not None:
            lines.append(f"{indent}  gives {_shown(result, numbers)}")
