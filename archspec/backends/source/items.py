"""What a class is made of, before it is written down: its steps, and the values between them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from archspec.backends.source.calls import CallPlan
from archspec.backends.source.context import MISSING, ClassContext, Variable
from archspec.backends.source.expressions import Unprintable, literal, names_in
from archspec.ops.base import Op
from archspec.shapes import Shape


@dataclass(eq=False)
class Val:
    """A value of the network in one place of the code: its path in every row, expressions for its channels.

    `others` has expressions for other axes that differ between the rows, where there are any: after a permute.
    """

    paths: dict[int, str]
    channels: list[ast.expr] = field(default_factory=list)
    label: str = ""
    shape: Shape | None = None
    ghost: bool = False
    """Whether it is out of reach here; then nothing reads it either."""
    others: dict[int, list[ast.expr]] = field(default_factory=dict)

    def sizes(self, axis: int) -> list[ast.expr]:
        """Return expressions for the size of an axis."""
        return self.others.get(axis, []) if axis else self.channels


@dataclass(eq=False)
class Item:
    """One step in the code. Abstract."""

    name: ast.expr | str = ""
    reads: list[Val] = field(default_factory=list)
    outs: list[Val] = field(default_factory=list)

    @property
    def out(self) -> Val:
        """Its result."""
        return self.outs[0]

    def trees(self) -> Iterator[ast.expr]:
        """The expressions in it, but for those of the steps within it."""
        if isinstance(self.name, ast.expr):
            yield self.name
        yield from self._own_trees()

    def _own_trees(self) -> Iterable[ast.expr]:
        return ()

    def inside(self) -> list[Item]:
        """The steps within it."""
        return []

    def attribute(self) -> str:
        """Its name as an attribute."""
        return self.name if isinstance(self.name, str) else ""


@dataclass(eq=False)
class OpItem(Item):
    """An op. `explicit` where the spec gives it a name."""

    op: type[Op] = Op
    calls: list[CallPlan] = field(default_factory=list)
    explicit: bool = False

    def _own_trees(self) -> Iterable[ast.expr]:
        return (tree for call in self.calls for tree in call.arguments.values())

    def module_call(self) -> CallPlan | None:
        """The call that constructs a module, if one of them does."""
        return next((call for call in self.calls if call.is_module), None)


@dataclass(eq=False)
class UseItem(Item):
    """An object of a class of the file, made with these arguments."""

    plan: ClassPlan | None = None
    arguments: dict[str, ast.expr] = field(default_factory=dict)

    def _own_trees(self) -> Iterable[ast.expr]:
        return self.arguments.values()


@dataclass(eq=False)
class SeqItem(Item):
    """A chain in an `nn.Sequential`; `named` where its modules have names other than their positions."""

    items: list[Item] = field(default_factory=list)
    named: bool = False

    def inside(self) -> list[Item]:
        return self.items


@dataclass(eq=False)
class RunItem(Item):
    """Equal copies in a chain."""

    item: Item = field(default_factory=Item)
    count: int = 1

    def inside(self) -> list[Item]:
        return [self.item]


@dataclass(eq=False)
class IfItem(Item):
    """Steps that stand only under a condition. `inner` is their result; without them, `passed` is the result."""

    test: ast.expr = field(default_factory=lambda: ast.Constant(True))
    items: list[Item] = field(default_factory=list)
    inner: Val | None = None
    passed: Val | None = None

    def _own_trees(self) -> Iterable[ast.expr]:
        return (self.test,)

    def inside(self) -> list[Item]:
        return self.items


@dataclass(eq=False)
class LoopItem(Item):
    """Copies that differ, in a chain: `for index, (targets) in enumerate(source)`, or in a range where there are no
    targets.

    `table` is what `source` may be called. `carried` is `(name, before the loop, at the end of its body)`.
    """

    targets: list[str] = field(default_factory=list)
    index: str = ""
    source: ast.expr = field(default_factory=lambda: ast.Constant(0))
    table: str = ""
    items: list[Item] = field(default_factory=list)
    carried: tuple[str, ast.expr, ast.expr] | None = None

    def _own_trees(self) -> Iterable[ast.expr]:
        return (self.source, *self.carried[1:]) if self.carried else (self.source,)

    def inside(self) -> list[Item]:
        return self.items


@dataclass(eq=False)
class LetItem(Item):
    """A local value."""

    target: str = ""
    value: ast.expr = field(default_factory=lambda: ast.Constant(0))

    def _own_trees(self) -> Iterable[ast.expr]:
        return (self.value,)


@dataclass(eq=False)
class ClassPlan:
    """A class of the generated file."""

    name: str
    context: ClassContext
    inputs: list[Val] = field(default_factory=list)
    input_names: list[str] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    results: list[Val] = field(default_factory=list)
    arguments: dict[str, Variable] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    """Of each argument: see `ClassContext.add_argument`."""
    chain: bool = False
    """Whether it is a subclass of `nn.Sequential`."""
    named: bool = False
    """Whether the modules of a chain have names other than their positions."""
    exposed: list[str] = field(default_factory=list)
    """Values other than its result that are read outside it, by their path in it; `results` has them too."""
    row_of: dict[int, int] = field(default_factory=dict)
    """The row of each scope that it is the class of, by the scope's id."""
    outputs: dict[str, Val] | None = None
    """Of a network with several, by name."""


def walk(items: Iterable[Item]) -> Iterator[Item]:
    """The steps and those within them, in order."""
    for item in items:
        yield item
        yield from walk(item.inside())


def used_names(items: Iterable[Item]) -> set[str]:
    """The names that steps take from the code around them."""
    found: set[str] = set()
    for item in items:
        if isinstance(item, LoopItem):
            found |= _used_by_loop(item)
        else:
            found |= used_names(item.inside()).union(*map(names_in, item.trees()))
    return found


def _used_by_loop(loop: LoopItem) -> set[str]:
    start, end = map(names_in, loop.carried[1:]) if loop.carried else (set(), set())
    inside = used_names(loop.items) | end
    return names_in(loop.source) | start | inside - {loop.index, *loop.targets}


def needed(top: ClassPlan, classes: list[ClassPlan]) -> list[ClassPlan]:
    """The classes that the network uses, those of abandoned attempts left out."""
    found: set[int] = set()
    pending = [top]
    while pending:
        for item in walk(pending.pop().items):
            if isinstance(item, UseItem) and item.plan is not None and id(item.plan) not in found:
                found.add(id(item.plan))
                pending.append(item.plan)
    return [plan for plan in classes if id(plan) in found]


def result_channels(plan: ClassPlan, arguments: dict[str, ast.expr]) -> list[ast.expr]:
    """The channels of a class's result, in terms of where it is used with these arguments."""
    found: list[ast.expr] = []
    for tree in plan.results[0].channels:
        replaced = _Replace(plan, arguments)
        try:
            found.append(replaced.visit(ast.parse(ast.unparse(tree), mode="eval").body))
        except Unprintable:
            continue
    return found


class _Replace(ast.NodeTransformer):
    """Puts the arguments, or their defaults, in place of the names in a class."""

    def __init__(self, plan: ClassPlan, arguments: dict[str, ast.expr]) -> None:
        self.plan, self.arguments = plan, arguments

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self.arguments:
            return self.arguments[node.id]
        variable = self.plan.arguments.get(node.id)
        if variable is None or variable.default is MISSING:
            raise Unprintable
        return literal(variable.default)
