"""Measures of names: results, variables, arguments, attributes, classes and inputs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from archspec.backends import layers
from archspec.ops import OPS
from source_measures.source import (
    NUMBERED,
    Hit,
    Source,
    arguments,
    attributes,
    code,
    functions,
    letters,
    loads,
    made_by,
    measure,
    methods,
    module_called,
    stem,
    targets,
    variables,
)

RUNNING = ("x", "out")
"""Variables that hold whatever the network has come to; any other name says what it holds."""


# Row 3: names of results.


def _numbered(names: Iterable[tuple[int, str]]) -> Iterator[Hit]:
    """Yield the names that end in a number, each once."""
    seen: set[str] = set()
    for line, name in names:
        if name not in seen and NUMBERED.fullmatch(name):
            seen.add(name)
            yield Hit(line, name)


@measure(3, "variables called `_2` and so on that the spec does not call so")
def numbered_variables(source: Source) -> Iterable[Hit]:
    for function in functions(source):
        own = {arg.arg for arg in arguments(function)}
        known = {letters(name) for name in (*own, *source.given, *source.path_parts)}
        yield from _numbered((line, name) for line, name in variables(function) if not _is_numbered_in(known, name))


def _is_numbered_in(known: set[str], name: str) -> bool:
    """Return whether the spec has the number of a name: `head-3` is `head_3` here, the first of `x_2` is `x_20`."""
    found = letters(name)
    starts = [found[:-1], found[:-2]]
    return found in known or any(start in known and start[-1:].isdecimal() for start in starts)


@measure(3, "results that are taken from a list by position")
def indexed_results(source: Source) -> Iterable[Hit]:
    for _, forward in methods(source, "forward"):
        lists = {
            target.id
            for node in ast.walk(forward)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and module_called(node.value)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(forward):
            if (
                isinstance(node, ast.Subscript)
                and isinstance(node.value, ast.Name)
                and node.value.id in lists
                and isinstance(node.slice, ast.Constant)
            ):
                yield Hit(node.lineno, code(node))


# Row 4: variables that hold something else than they say.


MERGE, FUNCTION = "a merge", "a function"
_LIGHT = {name for name, op in OPS.items() if op.__module__.rpartition(".")[2] in ("activation", "dropout", "norm")}
"""Ops after which a value may keep the name of what they read."""


class _Variables:
    """Follow what the variables of one `forward` hold.

    A value has one or more *makers*: the steps after any of which it may be called. That is the step that made it; and
    where this is an activation or the like, also what that reads. A value under a condition has several sets of makers.
    Of a merge or a function, `forward` does not say which step it is.
    """

    def __init__(self, source: Source, class_: ast.ClassDef, forward: ast.FunctionDef) -> None:
        self.attributes = {name for _, name in attributes(class_)} | set(made_by(class_))
        self.named = self.attributes | source.step_names
        self.light = {
            node.name for node in (source.network.graph.nodes if source.network else ()) if node.op.op in _LIGHT
        }
        self.arguments = {arg.arg for arg in arguments(forward)}
        self.shared = _shared(source)
        self.forward = forward
        self.hits: list[Hit] = []

    def makers(self, value: ast.expr) -> list[frozenset[str]]:
        """Return the sets of makers of a value; none where no named step has made it."""
        match value:
            case ast.IfExp():
                return self.makers(value.body) + self.makers(value.orelse)
            case ast.BinOp():
                return [frozenset({MERGE})]
            case ast.Call() if code(value.func) in ("torch.cat", "torch.stack"):
                return [frozenset({MERGE})]
            case ast.Call():
                name = module_called(value)
                inner = self.makers(value.args[0]) if value.args and (name is None or name in self.light) else []
                names = {name or FUNCTION, *_place_in_list(value)}
                return [found | names for found in inner] or [frozenset(names)]
            case ast.Subscript():  # a slice
                return [frozenset({FUNCTION})]
        return []

    def run(self) -> list[Hit]:
        """Return the assignments after which a variable's name is wrong."""
        self._block(self.forward.body, {})
        return self.hits

    def _block(self, body: list[ast.stmt], held: dict[str, list[frozenset[str]]]) -> dict[str, list[frozenset[str]]]:
        """Run statements; `held` has the makers of what each variable holds, as far as named steps have made it."""
        for node in body:
            match node:
                case ast.If():
                    branches = [self._block(part, dict(held)) for part in (node.body, node.orelse)]
                    held = {
                        name: [makers for b in branches for makers in b.get(name, ())] for b in branches for name in b
                    }
                case ast.For() | ast.While():
                    held = self._block(node.body, held)
                case ast.Assign() | ast.AugAssign():
                    makers = self.makers(node.value) if isinstance(node, ast.Assign) else [frozenset({MERGE})]
                    names = [target.id for target in targets(node) if isinstance(target, ast.Name)]
                    for name in names:
                        if name not in RUNNING:
                            makers = self._inner(name, makers) if len(names) > 1 else makers
                            self._check(node, name, makers, held.get(name, []))
                            known = [found - {FUNCTION} for found in makers if found != {FUNCTION}]
                            held = {**held, name: known or held.get(name, [])}
        return held

    def _inner(self, name: str, makers: list[frozenset[str]]) -> list[frozenset[str]]:
        """Return the makers of one of several results, which may be called like a step within the module."""
        return makers if name in self.attributes else [found | {name} for found in makers]

    def _check(
        self,
        node: ast.Assign | ast.AugAssign,
        name: str,
        makers: list[frozenset[str]],
        before: list[frozenset[str]],
    ) -> None:
        """Object to an assignment by which a name becomes wrong; a sum may grow under a name of its own.

        A result of a module that the spec uses again may keep the name of what it is given, or have any.
        """
        if isinstance(node.value, ast.Call) and module_called(node.value) in self.shared:
            return
        grows = isinstance(node, ast.AugAssign) or (isinstance(node.value, ast.BinOp) and name in loads(node.value))
        made = [found for found in makers if found != {FUNCTION}]
        if name in self.arguments:
            wrong = f"the argument `{name}` is assigned again"
        elif name in self.named:
            own = {name, stem(name)} if name in self.attributes else {name, stem(name), FUNCTION, MERGE}
            others = [found for found in made if not found & own]
            wrong = f"`{name}` holds {_maker(others[0])}" if others else ""
        else:
            others = [found for found in made if before and not grows and not any(found & held for held in before)]
            wrong = f"`{name}` holds {_maker(others[0])} after {_maker(before[0])}" if others else ""
        if wrong:
            self.hits.append(Hit(node.lineno, f"{wrong}: {code(node)}"))


def _shared(source: Source) -> set[str]:
    """Return the names of the steps that a `use` of the spec applies again."""
    found: set[str] = set()
    for node in source.network.graph.nodes if source.network else ():
        if node.weights_of is not None:
            paths = [node.weights_of, *(scope.weights_of for scope in node.scope.chain() if scope.weights_of)]
            found.update(path.rpartition(".")[2] for path in paths)
    return found


def _place_in_list(call: ast.Call) -> set[str]:
    """Return what to call the result of a module of a list: `conv1` for `self.convs[1](x)`."""
    match call.func:
        case ast.Subscript(value=ast.Attribute(attr=attr), slice=ast.Constant(value=place)):
            return {f"{attr.removesuffix('s')}{place}"}
    return set()


def _maker(makers: frozenset[str]) -> str:
    """Return one of several makers, a step with a name if there is one."""
    return min(makers - {FUNCTION} or makers)


@measure(4, "variables that hold something else than their name says")
def lying_variables(source: Source) -> Iterable[Hit]:
    for class_, forward in methods(source, "forward"):
        yield from _Variables(source, class_, forward).run()


@measure(4, "named steps that are read again later, and called `x` or `out`")
def unnamed_skips(source: Source) -> Iterable[Hit]:
    for class_, forward in methods(source, "forward"):
        held = _Variables(source, class_, forward)
        for name in RUNNING:
            maker: frozenset[str] = frozenset()
            derived: set[str] = set()
            for node in forward.body:
                if not isinstance(node, ast.Assign | ast.Return) or node.value is None:
                    continue
                read = set(loads(node.value))
                if maker and name in read and read & derived and not all(map(str.isdecimal, maker)):
                    yield Hit(node.lineno, f"`{name}` holds {_maker(maker)}: {code(node)}")
                assigned = {target.id for target in targets(node) if isinstance(target, ast.Name)}
                if name in assigned:
                    maker = frozenset().union(*held.makers(node.value)) - {MERGE, FUNCTION}
                    derived = set()
                elif name in read or read & derived:
                    derived |= assigned


@measure(4, "loops that assign twice to one variable, or to that of a loop around them")
def shadowed_loops(source: Source) -> Iterable[Hit]:
    def visit(node: ast.AST, around: frozenset[str]) -> Iterator[Hit]:
        """Yield the loops in a node whose variables are in `around` already."""
        inside = around
        if isinstance(node, ast.For):
            own = [part.id for part in ast.walk(node.target) if isinstance(part, ast.Name) and part.id != "_"]
            twice = {name for name in own if own.count(name) > 1 or name in around}
            if twice:
                yield Hit(node.lineno, f"{min(twice)}: for {code(node.target)} in {code(node.iter)}")
            inside = around.union(own)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inside)

    return visit(source.tree, frozenset())


# Row 9: one class for each call.


def _network(source: Source) -> str:
    """Return the name of the network; the class's own in small letters where there is no spec."""
    return source.network.name if source.network else source.classes[-1].name.lower()


@measure(9, "classes called `_2` and so on")
def numbered_classes(source: Source) -> Iterable[Hit]:
    known = {letters(name) for name in (*source.given, *source.blocks, _network(source))}
    return _numbered((node.lineno, node.name) for node in source.classes if letters(node.name) not in known)


# Row 14: names of classes.

_HELPERS = ("LayerNorm1d", "LayerNorm2d", "LayerNorm3d")
"""Classes that a file may hold beside those of `archspec.backends.layers`."""


@measure(14, "names of classes: one letter, not from the spec, or spelled otherwise than the network's")
def class_names(source: Source) -> Iterable[Hit]:
    known = {letters(name) for name in (*source.given, *source.blocks, *source.path_parts)} - {""}
    paths = [node.path.split(".") for node in source.network.graph.nodes] if source.network else []
    known |= {letters(before + part) for path in paths for before, part in pairwise(path) if part.isdecimal()}
    for block, each in source.blocks.items():  # a class for the uses with one value of a param: `UnitStride1`
        known |= {f"{letters(block + param)}{digit}" for param in each.get("params") or () for digit in range(10)}
    network = source.classes[-1].name
    for class_ in source.classes[:-1]:
        name = class_.name
        if NUMBERED.fullmatch(name):
            continue
        words = re.findall("[A-Z][a-z]+|[A-Z]+(?![a-z])|[0-9]+", name)
        if len(name) == 1:
            yield Hit(class_.lineno, f"{name}: one letter")
        elif source.network and re.search("[0-9]", name) and not _is_known(name, known):
            yield Hit(class_.lineno, f"{name}: a number that is not the spec's")
        elif words and len(words[0]) > 2 and network.lower().startswith(words[0].lower()):
            if not network.startswith(words[0]):
                yield Hit(class_.lineno, f"{name} beside {network}")


def _is_known(name: str, known: set[str]) -> bool:
    """Whether a class is called like something of the spec, or like that with a word that says what it is."""
    found = letters(name)
    starts = [start for start in known if found.startswith(start)]
    named = found in known or any(not re.search("[0-9]", found[len(start) :]) for start in starts)
    return named or hasattr(layers, name) or name in _HELPERS


@measure(14, "docstrings that are the bare name of the network")
def bare_docstrings(source: Source) -> Iterable[Hit]:
    for class_ in source.classes:
        first, *_ = (ast.get_docstring(class_) or "").splitlines() or [""]
        if first and first.rstrip(".") == _network(source):
            yield Hit(class_.lineno, first)


@measure(14, "attributes called `_2` and so on that are no names of layers")
def numbered_attributes(source: Source) -> Iterable[Hit]:
    for class_ in source.classes:
        yield from _numbered((line, name) for line, name in attributes(class_) if name not in source.path_parts)


@measure(14, "names called `_2` and so on that are the spec's own", must_be_zero=False)
def numbered_by_the_spec(source: Source) -> Iterable[Hit]:
    known = source.given | source.path_parts
    places = [place for class_ in source.classes for place in attributes(class_)]
    for function in functions(source):
        places += [(arg.lineno, arg.arg) for arg in arguments(function)]
        places += variables(function)
    return _numbered(sorted((line, name) for line, name in places if name in known))


@measure(6, "arguments called `_2` and so on that the spec does not call so")
def numbered_arguments(source: Source) -> Iterable[Hit]:
    for function in functions(source):
        names = ((arg.lineno, arg.arg) for arg in arguments(function))
        known = {letters(name) for name in source.given | source.path_parts}
        yield from _numbered((line, name) for line, name in names if letters(name) not in known)


# Row 16: names of inputs.


@measure(16, "inputs of the network or of a block that `forward` calls otherwise")
def renamed_inputs(source: Source) -> Iterable[Hit]:
    if source.network is None:
        return
    wanted = {letters(name): block["inputs"] for name, block in source.blocks.items() if block.get("inputs")}
    for class_, forward in methods(source, "forward"):
        found = [arg.arg for arg in arguments(forward)]
        names = wanted.get(letters(class_.name))
        if class_ is source.classes[-1]:
            inputs = list(source.network.graph.inputs)
            names = inputs if len(inputs) > 1 else None
        if names and isinstance(names, list) and found != names:
            yield Hit(forward.lineno, f"{class_.name}: {', '.join(found)} for {', '.join(names)}")
