"""What a class is made of, before it is written down: its steps, and the values between them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from archspec.backends.source.calls import CallPlan
from archspec.backends.source.context import MISSING, ClassContext, Variable
from archspec.backends.source.expressions import Unprintable, literal, names_in
from archspec.shapes import Shape


@dataclass(eq=False)
class Val:
    """A value of the network in one place of the code: its path in every row, expressions for its channels."""

    paths: dict[int, str]
    sizes: list[ast.expr] = field(default_factory=list)
    label: str = ""
    shape: Shape | None = None
    ghost: bool = False
    """Whether it is out of reach here; then nothing reads it either."""


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

    def trees(self) -> Iterator[ast.AST]:
        """Every expression in it."""
        if isinstance(self.name, ast.AST):
            yield self.name

    def attribute(self) -> str:
        """Its name as an attribute."""
        return self.name if isinstance(self.name, str) else ""


@dataclass(eq=False)
class OpItem(Item):
    """An op. `explicit` where the spec gives it a name."""

    calls: list[CallPlan] = field(default_factory=list)
    explicit: bool = False

    def trees(self) -> Iterator[ast.AST]:
        yield from super().trees()
        for call in self.calls:
            yield from call.arguments.values()


@dataclass(eq=False)
class UseItem(Item):
    """An object of a class of the file. `values` are its arguments in every row."""

    made: ClassPlan | None = None
    arguments: dict[str, ast.expr] = field(default_factory=dict)

    def trees(self) -> Iterator[ast.AST]:
        yield from super().trees()
        yield from self.arguments.values()


@dataclass(eq=False)
class SeqItem(Item):
    """A chain in an `nn.Sequential`; `named` where its modules have names other than their positions."""

    items: list[Item] = field(default_factory=list)
    named: bool = False

    def trees(self) -> Iterator[ast.AST]:
        yield from super().trees()
        for item in self.items:
            yield from item.trees()


@dataclass(eq=False)
class RunItem(Item):
    """Equal copies in a chain."""

    item: Item = field(default_factory=Item)
    count: int = 1

    def trees(self) -> Iterator[ast.AST]:
        yield from self.item.trees()


@dataclass(eq=False)
class IfItem(Item):
    """Steps that stand only under a condition; without them, `passed` is the result."""

    test: ast.expr = field(default_factory=lambda: ast.Constant(True))
    items: list[Item] = field(default_factory=list)
    inner: Val | None = None
    passed: Val | None = None

    def trees(self) -> Iterator[ast.AST]:
        yield self.test
        for item in self.items:
            yield from item.trees()


@dataclass(eq=False)
class LoopItem(Item):
    """Copies that differ, in a chain. `carried` is `(name, before the loop, at the end of its body)`."""

    targets: list[str] = field(default_factory=list)
    index: str = ""
    source: ast.expr = field(default_factory=lambda: ast.Constant(0))
    table: str = ""
    items: list[Item] = field(default_factory=list)
    carried: tuple[str, ast.expr, ast.expr] | None = None

    def trees(self) -> Iterator[ast.AST]:
        yield self.source
        for item in self.items:
            yield from item.trees()
        if self.carried:
            yield from self.carried[1:]


@dataclass(eq=False)
class LetItem(Item):
    """A local value."""

    target: str = ""
    value: ast.expr = field(default_factory=lambda: ast.Constant(0))

    def trees(self) -> Iterator[ast.AST]:
        yield self.value


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
    chain: bool = False
    named: bool = False
    exposed: list[str] = field(default_factory=list)
    row_of: dict[int, int] = field(default_factory=dict)
    outputs: dict[str, Val] | None = None


def used_names(items: Iterable[Item]) -> set[str]:
    """The names that steps take from the code around them."""
    found: set[str] = set()
    for item in items:
        match item:
            case LoopItem():
                inside = used_names(item.items) | (names_in(item.carried[2]) if item.carried else set())
                found |= inside - {item.index, *item.targets}
                found |= names_in(item.source) | (names_in(item.carried[1]) if item.carried else set())
            case IfItem():
                found |= names_in(item.test) | used_names(item.items)
            case SeqItem():
                found |= used_names(item.items)
            case RunItem():
                found |= used_names([item.item])
        if not isinstance(item, LoopItem | IfItem | SeqItem | RunItem) or isinstance(item.name, ast.AST):
            trees = item.trees() if not isinstance(item, LoopItem | IfItem | SeqItem | RunItem) else [item.name]
            for tree in trees:
                if isinstance(tree, ast.AST):
                    found |= names_in(tree)
    return found


def needed(top: ClassPlan, classes: list[ClassPlan]) -> list[ClassPlan]:
    """The classes that the network uses, those of abandoned attempts left out."""
    needed: set[int] = set()
    pending = [top]
    while pending:
        stack = list(pending.pop().items)
        while stack:
            item = stack.pop()
            if isinstance(item, UseItem) and item.made is not None and id(item.made) not in needed:
                needed.add(id(item.made))
                pending.append(item.made)
            elif isinstance(item, IfItem | SeqItem | LoopItem):
                stack.extend(item.items)
            elif isinstance(item, RunItem):
                stack.append(item.item)
    return [plan for plan in classes if id(plan) in needed]


def outside(plan: ClassPlan, arguments: dict[str, ast.expr]) -> list[ast.expr]:
    """The channels of a class's result, in terms of where it is used."""
    found: list[ast.expr] = []
    for tree in plan.results[0].sizes:
        replaced = _Replace(plan, arguments)
        try:
            found.append(replaced.visit(ast.parse(ast.unparse(tree), mode="eval").body))
        except Unprintable:
            continue
    return found


class _Replace(ast.NodeTransformer):
    def __init__(self, plan: ClassPlan, arguments: dict[str, ast.expr]) -> None:
        self.plan, self.arguments = plan, arguments

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self.arguments:
            return self.arguments[node.id]
        variable = self.plan.arguments.get(node.id)
        if variable is None or variable.default is MISSING:
            raise Unprintable
        return literal(variable.default)
