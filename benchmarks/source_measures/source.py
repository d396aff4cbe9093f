"""A generated file as the measures see it, the table of measures, and helpers over syntax trees."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import nn

import archspec
from archspec.ops import OPS

NUMBERED = re.compile(r"(.+)_([2-9]|[1-9][0-9]+)")
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Hit(NamedTuple):
    """A line that a measure objects to, and why."""

    line: int
    text: str


# What is measured.


@dataclass(eq=False)
class Source:
    """A generated file, with the network that it was generated from where there is one."""

    name: str
    text: str
    network: archspec.Network | None = None

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree of the file."""
        return ast.parse(self.text)

    @cached_property
    def classes(self) -> list[ast.ClassDef]:
        """The classes of the file, the network's own last."""
        return [node for node in self.tree.body if isinstance(node, ast.ClassDef)]

    @cached_property
    def written(self) -> frozenset[str]:
        """Every word that stands in the files of the spec."""
        if self.network is None:
            return frozenset()
        return frozenset(word for _, text in self.network.document.files for word in WORD.findall(text))

    @cached_property
    def path_parts(self) -> frozenset[str]:
        """The names of all steps and scopes."""
        if self.network is None:
            return frozenset()
        return frozenset(part for node in self.network.graph.nodes for part in node.path.split("."))

    @cached_property
    def step_names(self) -> frozenset[str]:
        """The names that the spec gives to its steps: neither positions nor numbered automatically."""
        automatic = {*OPS, *self.blocks}
        return frozenset(
            part
            for part in self.path_parts
            if part.isidentifier() and (part in self.written or stem(part) not in automatic) and part not in OPS
        )

    @cached_property
    def places(self) -> dict[str, frozenset[str]]:
        """Where the spec has the steps of each name: the copies of a repeat are all in one place."""
        found: dict[str, set[str]] = defaultdict(set)
        for node in self.network.graph.nodes if self.network else ():
            found[node.name].add(str(node.span))
            for scope in node.scope.chain():
                found[scope.path.rpartition(".")[2]].add(str(scope.span))
        return {name: frozenset(places) for name, places in found.items()}

    @cached_property
    def given(self) -> frozenset[str]:
        """The names for which the spec answers: what it mentions, and what it calls its steps."""
        return self.written | self.step_names

    @cached_property
    def blocks(self) -> dict[str, dict[str, Any]]:
        """The blocks of the spec as plain data."""
        if self.network is None:
            return {}
        return {name: block.yaml.plain() for name, block in self.network.document.library.blocks.items()}

    @cached_property
    def explicit(self) -> frozenset[str]:
        """Names of arguments that some call of a block gives."""
        if self.network is None:
            return frozenset()
        found: set[str] = set()
        roots = [block.get("layers") for block in self.blocks.values()]
        roots += [value.plain() for key, value in self.network.document.keys.items() if key == "layers"]
        for call, given in _steps(roots):
            params = list(self.blocks[call].get("params") or ()) if call in self.blocks else []
            if isinstance(given, dict):
                found.update(given)
            elif given is not None:
                found.update(params[:1])
        return frozenset(found)

    @cached_property
    def namespace(self) -> dict[str, Any]:
        """The names that the file defines when it is run."""
        found: dict[str, Any] = {"__name__": f"generated.{self.name}"}
        exec(compile(self.text, self.filename, "exec"), found)  # noqa: S102 - it is what we have generated
        return found

    @property
    def filename(self) -> str:
        """What tracebacks call the file."""
        return f"<{self.name}>"

    def build(self, **arguments: Any) -> nn.Module:
        """Return the network's module on the meta device."""
        with torch.device("meta"):
            made: nn.Module = self.namespace[self.classes[-1].name](**arguments)
        return made.eval()

    def inputs(self) -> list[torch.Tensor]:
        """Return inputs of the network on the meta device."""
        assert self.network is not None
        return [torch.empty(2, *shape, device="meta") for shape in self.network.graph.inputs.values()]

    @cached_property
    def fault(self) -> str:
        """Why the module is not the network; empty where it is."""
        try:
            module = self.build()
            if self.network is None:
                return ""
            module(*self.inputs())
            shapes = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
            return "" if shapes == self.network.graph.state_dict() else "another state dict than the network's"
        except Exception as error:  # whatever goes wrong in generated code is what is looked for
            return f"{type(error).__name__}: {error}"


def stem(name: str) -> str:
    """Return a name without a number at its end."""
    match = NUMBERED.fullmatch(name)
    return match[1] if match else name


def _steps(values: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Yield every key with its value in nested plain data: the calls of steps are among them."""
    for value in values:
        if isinstance(value, list):
            yield from _steps(value)
        elif isinstance(value, dict):
            yield from value.items()
            yield from _steps(value.values())


# The table of measures.


@dataclass(frozen=True)
class Measure:
    """A kind of bad code: what it is, the row of the design page it belongs to, and whether it must not occur."""

    name: str
    row: int
    about: str
    must_be_zero: bool
    find: Callable[[Source], Iterable[Hit]]


MEASURES: dict[str, Measure] = {}


def measure(row: int, about: str, must_be_zero: bool = True) -> Callable[[Any], Callable[[Source], Iterable[Hit]]]:
    """Enter a function into `MEASURES` under its name."""

    def enter(find: Callable[[Source], Iterable[Hit]]) -> Callable[[Source], Iterable[Hit]]:
        MEASURES[find.__name__] = Measure(find.__name__, row, about, must_be_zero, find)
        return find

    return enter


# Helpers over syntax trees.


def methods(source: Source, name: str) -> Iterator[tuple[ast.ClassDef, ast.FunctionDef]]:
    """Yield the method of that name of every class that has it."""
    for class_ in source.classes:
        for node in class_.body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                yield class_, node


def functions(source: Source) -> Iterator[ast.FunctionDef]:
    """Yield every function and method."""
    return (node for node in ast.walk(source.tree) if isinstance(node, ast.FunctionDef))


def bodies(source: Source) -> Iterator[list[ast.stmt]]:
    """Yield every list of statements."""
    for node in ast.walk(source.tree):
        for field in ("body", "orelse"):
            block = getattr(node, field, None)
            if isinstance(block, list):
                yield block


def code(node: ast.AST) -> str:
    """Return the code of a syntax tree, which is the same for equal trees."""
    return ast.unparse(node)


def loads(node: ast.AST) -> Counter[str]:
    """Count how often each name is read."""
    names = (part for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load))
    return Counter(part.id for part in names)


def targets(node: ast.stmt) -> Iterator[ast.expr]:
    """Yield what a statement assigns to, tuples taken apart."""
    found = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    for target in found:
        if isinstance(target, ast.Tuple | ast.List):
            yield from target.elts
        elif isinstance(target, ast.expr):
            yield target


def own_attribute(node: ast.AST) -> str | None:
    """Return `a` of `self.a`."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
        return node.attr
    return None


def attributes(class_: ast.ClassDef) -> Iterator[tuple[int, str]]:
    """Yield line and name of every attribute that a class assigns to."""
    for node in ast.walk(class_):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            for target in targets(node):
                name = own_attribute(target)
                if name is not None:
                    yield target.lineno, name


def made_by(class_: ast.ClassDef) -> dict[str, ast.Call]:
    """Return the call that makes each module of a class, by the module's name."""
    found = {}
    for node in ast.walk(class_):
        match node:
            case ast.Assign(targets=[target], value=ast.Call() as made) if name := own_attribute(target):
                found[name] = made
            case ast.Call(func=ast.Attribute(attr="add_module"), args=[ast.Constant(child), ast.Call() as made]):
                found[str(child)] = made
    return found


def variables(function: ast.FunctionDef) -> Iterator[tuple[int, str]]:
    """Yield line and name wherever a function assigns to a variable."""
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id


def arguments(function: ast.FunctionDef) -> list[ast.arg]:
    """Return the arguments of a function but for `self`."""
    every = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return [arg for arg in every if arg.arg not in ("self", "cls")]


def module_called(call: ast.Call) -> str | None:
    """Return the name of the module of `self` that a call runs."""
    name = own_attribute(call.func)
    if name is not None:
        return name
    inner = call.func
    if isinstance(inner, ast.Subscript) and isinstance(inner.slice, ast.Constant):
        return str(inner.slice.value)
    if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr == "get_submodule":
        return str(inner.args[0].value) if isinstance(inner.args[0], ast.Constant) else None
    return None


def letters(name: str) -> str:
    """Return a name without what spellings differ in: case and underscores."""
    return re.sub("[^a-z0-9]", "", name.lower())


def negated(test: ast.expr) -> str:
    """Return the code of the opposite of a condition."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return code(test.operand)
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        opposites = {ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE}
        opposites |= {ast.LtE: ast.Gt, ast.Is: ast.IsNot, ast.IsNot: ast.Is}
        opposite = opposites.get(type(test.ops[0]))
        if opposite:
            return code(ast.Compare(test.left, [opposite()], test.comparators))
    return code(ast.UnaryOp(ast.Not(), test))


def reassigned(test: ast.expr, node: ast.stmt) -> bool:
    """Return whether a statement assigns to something that a condition reads."""
    read = {code(part) for part in ast.walk(test) if isinstance(part, ast.Name | ast.Attribute)}
    assigned = {code(target) for part in ast.walk(node) if isinstance(part, ast.stmt) for target in targets(part)}
    return bool(read & assigned)


# Row 0: code that does not work at all.


@measure(0, "files that do not build, run or have the network's state dict")
def broken(source: Source) -> Iterable[Hit]:
    if source.fault:
        yield Hit(1, source.fault)


# Without a row.


@measure(0, "lines", must_be_zero=False)
def lines(source: Source) -> Iterable[Hit]:
    return [Hit(number, "") for number, _ in enumerate(source.text.splitlines(), 1)]
