"""Modules as code, and chains of them: one expression where that says all, else statements that fill a list."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence

from archspec.backends.source import trees
from archspec.backends.source.identifiers import numbered, plural, value_name
from archspec.backends.source.plan.bindings import MISSING
from archspec.backends.source.plan.ir import (
    Branch,
    CallPlan,
    Chain,
    ClassPlan,
    Copies,
    Free,
    Instance,
    Leaf,
    Let,
    Listing,
    Loop,
    Name,
    Reuse,
    Statement,
    walk,
)
from archspec.backends.source.strings import quoted
from archspec.backends.source.trees import is_constant, literal, text
from archspec.backends.source.write.code import call_arguments, expression, loop_source, module_of
from archspec.backends.source.write.layout import Brackets, Choice, Comprehension, Doc, Named, Text, fits, laid_out

POSITIONAL = 4
"""With more required arguments than this, a class is given them all by position."""

ONE_LINE_TABLE = 60
"""How wide a list may be that stands in the head of a loop."""


class ModuleWriter:
    """Writes modules and the statements that they need, for one class; nothing local may have a name in `taken`."""

    def __init__(self, plan: ClassPlan, taken: frozenset[str] = frozenset()) -> None:
        self.plan, self.taken = plan, taken
        self.lines: list[str] = []
        self.keys: dict[Statement, list[Name]] = {}

    def add(self, level: int, prefix: str, doc: Doc | None = None) -> None:
        """Write a statement."""
        self.lines += laid_out(level, prefix, doc or Text(""))

    def local(self, name: str) -> str:
        """Return a new local name."""
        kinds = self.plan.bindings.kinds
        wanted = [value_name(name), "layers", "modules", "steps"]
        free = (each for each in wanted if each not in kinds and each not in self.taken)
        found = next(free, None) or numbered(wanted[0], lambda other: other in kinds or other in self.taken)
        kinds[found] = "local"
        return found

    def let(self, statement: Let, level: int) -> None:
        """Write the statement that sets a local value."""
        self.add(level, f"{statement.target} = ", expression(statement.value))

    # Modules.

    def module(self, statement: Statement, level: int) -> Doc:
        """Return the code that makes a module; statements that it needs are written first."""
        match statement:
            case Leaf():
                (call,) = modules_of(statement)
                return Brackets(f"{call.target}(", call_arguments(call.target, call.arguments))
            case Instance():
                return _instance(statement)
            case Chain():
                return self._sequential(statement, level)
            case Listing():
                return Brackets("nn.ModuleList(", [self._listed(statement, level)])
        raise AssertionError(statement)

    def numbered(self, statements: Sequence[Statement], level: int) -> list[Doc]:
        """Return the modules of a list, each at its number; what no module stands at is an identity."""
        found: list[Doc] = []
        for statement in statements:
            if has_module(statement):
                found += [Brackets("nn.Identity(", [])] * (number_of(statement, len(found)) - len(found))
                found.append(self.held(statement, level))
        return found

    def held(self, statement: Statement, level: int) -> Doc:
        """Return the code that makes the module of a statement; functions of a leaf stay in `forward`."""
        if not isinstance(statement, Leaf):
            return self.module(statement, level)
        call = statement.module()
        assert call is not None
        return Brackets(f"{call.target}(", call_arguments(call.target, call.arguments))

    def _sequential(self, chain: Chain, level: int) -> Doc:
        self._lets(chain.statements, level, chain.keyed)
        if is_one_expression(chain.statements, chain.keyed):
            return Brackets("nn.Sequential(", self._items(chain.statements, chain.keyed, level), tall=True)
        label = chain.name if isinstance(chain.name, str) and chain.name.isidentifier() else chain.out.label
        name = self.local(label if label.isidentifier() else "layers")
        self.chain(chain.statements, name, level, chain.keyed)
        return Text(f"nn.Sequential({name})" if chain.keyed else f"nn.Sequential(*{name})")

    def _listed(self, listing: Listing, level: int) -> Doc:
        """Return what an nn.ModuleList is made of: a list, or an expression for copies that differ in one number."""
        modules = self.numbered(listing.statements, level)
        return folded(modules) or Brackets("[", modules, "]", tall=True)

    def _items(self, statements: Sequence[Statement], keyed: bool, level: int) -> list[Doc]:
        """Return what nn.Sequential is given, for a simple chain."""
        if not keyed:
            return [doc for statement in statements for doc in self._elements(statement, level)]
        self.keys.update(keys(statements))
        names: list[Name] = []
        modules: list[Doc] = []
        for statement in statements:
            if not isinstance(statement, Let):
                names += self.keys[statement]
                modules += self._elements(statement, level)
        if all(isinstance(name, str) and name.isidentifier() for name in names):
            pairs: list[Doc] = [Named(f"{name}=", module) for name, module in zip(names, modules, strict=True)]
            return [Brackets("OrderedDict(", pairs, tall=True)]
        rows: list[Doc] = [
            Brackets("(", [Text(name_code(name)), module]) for name, module in zip(names, modules, strict=True)
        ]
        return [Brackets("OrderedDict(", [Brackets("[", rows, "]", tall=True)])]

    def _elements(self, statement: Statement, level: int) -> list[Doc]:
        """Return the modules of a statement of a chain."""
        match statement:
            case Let():
                return []
            case Branch():
                choice = self.choice(statement, level)
                assert choice is not None
                return [choice]
            case Leaf():
                return [Brackets(f"{c.target}(", call_arguments(c.target, c.arguments)) for c in modules_of(statement)]
            case Copies():
                loop = f"for _ in range({text(statement.count)})"
                return [self._comprehension(statement.statement, loop, level)]
            case Loop():
                source, targets = self._source(statement, level), targets_of(statement)
                inner = next(each for each in statement.statements if not isinstance(each, Let))
                return [self._comprehension(inner, f"for {targets} in {source}", level)]
        return [self.module(statement, level)]

    def _comprehension(self, statement: Statement, loop: str, level: int) -> Doc:
        """Return the modules that a statement makes in each round of a loop."""
        made = modules_of(statement) if isinstance(statement, Leaf) else []
        if len(made) < 2:
            return Comprehension(self.module(statement, level), loop, star=True)
        modules = ", ".join(doc.flat() for doc in self._elements(statement, level))
        return Comprehension(Text("module"), loop, star=True, more=(f"for module in ({modules})",))

    def _lets(self, statements: Sequence[Statement], level: int, keyed: bool) -> None:
        """Write the local values of a chain that is written as one expression."""
        if is_one_expression(statements, keyed):
            for statement in statements:
                if isinstance(statement, Let):
                    self.let(statement, level)

    # Chains as statements.

    def chain(self, statements: Sequence[Statement], name: str, level: int, keyed: bool) -> None:
        """Write statements that put the modules of a chain into the variable `name`."""
        if keyed:
            self._number_rounds(statements)
            self.keys.update(keys(statements))
            self.add(level, f"{name}: OrderedDict[str, nn.Module] = OrderedDict()")
            self._keyed(statements, name, level)
        else:
            self._list(statements, name, level, begun=False)

    def _number_rounds(self, statements: Sequence[Statement]) -> None:
        """Give the rounds of loops numbers where a module in them has no name that tells the rounds apart."""
        for loop in (each for each in walk(statements) if isinstance(each, Loop)):
            unnamed = any(not isinstance(each.name, ast.expr) for each, _ in _in_rounds(loop.statements))
            if unnamed and not loop.index:
                loop.index = self.local("index")

    def _keyed(self, statements: Sequence[Statement], name: str, level: int) -> None:
        for statement in statements:
            match statement:
                case Let():
                    self.let(statement, level)
                case Branch():
                    self._either(statement, level, lambda body, inner: self._keyed(body, name, inner))
                case Loop():
                    self._loop(statement, level)
                    self._keyed(statement.statements, name, level + 1)
                    self._end_loop(statement, level)
                case _:
                    for key, module in zip(self.keys[statement], self._elements(statement, level), strict=True):
                        self.add(level, f"{name}[{name_code(key)}] = ", module)

    def _list(self, statements: Sequence[Statement], name: str, level: int, begun: bool) -> None:
        modules = _ModuleList(self, name, level, begun)
        for statement in statements:
            match statement:
                case Let():
                    if modules.pending:
                        modules.flush()
                    self.let(statement, level)
                case Branch():
                    choice = self.choice(statement, level)
                    if choice is not None and fits(level, f"{name}.append({choice.flat()})"):
                        modules.append(choice, len(self.lines))
                        continue
                    if not modules.begun and not modules.pending and self._short_start(statement, name, level):
                        modules.begun = True
                        continue
                    modules.flush()
                    self._either(statement, level, lambda body, inner: self._list(body, name, inner, begun=True))
                case Loop() if not _is_comprehension(statement):
                    modules.flush()
                    self._loop(statement, level)
                    self._list(statement.statements, name, level + 1, begun=True)
                    self._end_loop(statement, level)
                case _:
                    mark = len(self.lines)
                    for doc in self._elements(statement, level):
                        modules.append(doc, mark)
        modules.flush()

    def choice(self, branch: Branch, level: int) -> Doc | None:
        """Return `a if test else b`, if either way of a branch is one module that needs no statement before."""
        if not is_choice(branch):
            return None
        first, other = (self._elements(way[0], level)[0] for way in (branch.statements, branch.otherwise))
        return Choice(first, text(branch.test), other)

    def _either(self, branch: Branch, level: int, write: object) -> None:
        """Write a branch of statements, each way by `write`."""
        assert callable(write)
        self.add(level, f"if {text(branch.test)}:")
        write(branch.statements, level + 1)
        other = branch.otherwise
        while len(other) == 1 and isinstance(other[0], Branch):
            inner = other[0]
            self.add(level, f"elif {text(inner.test)}:")
            write(inner.statements, level + 1)
            other = inner.otherwise
        if other:
            self.add(level, "else:")
            write(other, level + 1)

    def _short_start(self, branch: Branch, name: str, level: int) -> bool:
        """Write `name = [a] if condition else []`, if that is all there is to write and fits."""
        if branch.otherwise or len(branch.statements) != 1 or not is_simple(branch.statements):
            return False
        modules = ", ".join(doc.flat() for doc in self._elements(branch.statements[0], level))
        line = f"{name}: list[nn.Module] = [{modules}] if {text(branch.test)} else []"
        if not fits(level, line):
            return False
        self.add(level, line)
        return True

    # Loops.

    def _loop(self, loop: Loop, level: int) -> None:
        """Write what stands before the body of a loop."""
        source = "" if loop.is_range else self._source(loop, level)
        if loop.counter and not (
            isinstance(loop.counter.start, ast.Name) and loop.counter.start.id == loop.counter.name
        ):
            self.add(level, f"{loop.counter.name} = ", expression(loop.counter.start))
        self.add(level, f"for {targets_of(loop)} in ", loop_source(source or range_of(loop)))

    def _source(self, loop: Loop, level: int) -> str:
        """Return what a loop runs over: itself if it is short, else a variable that holds it."""
        if loop.is_range:
            return range_of(loop)
        source = self._short(loop.source, loop, level)
        if isinstance(source, ast.Call) and isinstance(source.func, ast.Name) and source.func.id == "zip":
            tables = [
                self._short(each, loop, level, target) for each, target in zip(source.args, loop.targets, strict=True)
            ]
            source = ast.Call(source.func, tables, source.keywords)
        code = text(_as_tuple(source))
        start = f", {loop.first}" if loop.first else ""
        return f"enumerate({code}{start})" if loop.index else code

    def _short(self, source: ast.expr, loop: Loop, level: int, target: str = "") -> ast.expr:
        """Return a table that a loop runs over, or the name of a variable that holds it if it is long."""
        if not isinstance(source, ast.List) or not is_constant(source):
            return source
        code = text(_as_tuple(source))
        if len(code) <= ONE_LINE_TABLE and fits(level, f"for {targets_of(loop)} in enumerate({code}):"):
            return _as_tuple(source)
        name = self.local("settings" if len(loop.targets) > 1 and not target else plural(target or loop.targets[0]))
        self.table(name, source, loop.targets if not target else (), level)
        return trees.name(name)

    def table(self, name: str, source: ast.expr, columns: Sequence[str], level: int) -> None:
        """Write a table, with a comment that names its columns."""
        self.add(level, f"{name}{_table_hint(source)} = ", _table(source, columns))

    def _end_loop(self, loop: Loop, level: int) -> None:
        """Write what stands at the end of the body of a loop."""
        if not loop.counter:
            return
        name, after = loop.counter.name, loop.counter.after
        match after:
            case ast.Name(id=found) if found == name:
                pass
            case ast.BinOp(left=ast.Name(id=found), op=ast.Add(), right=right) if found == name:
                self.add(level + 1, f"{name} += {text(right)}")
            case _:
                self.add(level + 1, f"{name} = ", expression(after))


class _ModuleList:
    """Statements that fill a list: `name = [a, b]`, then `name.append(c)` and the like.

    Modules wait in `pending`, so that one statement takes all that stand together. `begun`: the list is there.
    """

    def __init__(self, writer: ModuleWriter, name: str, level: int, begun: bool) -> None:
        self.writer, self.name, self.level, self.begun = writer, name, level, begun
        self.pending: list[Doc] = []

    def append(self, module: Doc, mark: int) -> None:
        """Add a module. What waits goes before statements of the module's own, which are the lines from `mark` on."""
        lines = self.writer.lines
        if self.pending and len(lines) > mark:
            own = lines[mark:]
            del lines[mark:]
            self.flush()
            lines += own
        self.pending.append(module)

    def flush(self) -> None:
        """Write what waits, and begin the list in any case."""
        head = f"{self.name}: list[nn.Module] = "
        if not self.begun:
            self.writer.add(self.level, head, Brackets("[", self.pending, "]", tall=True))
        elif len(self.pending) == 1:
            module = self.pending[0]
            if isinstance(module, Comprehension):
                self.writer.add(self.level, f"{self.name} += ", Brackets("[", [_unstarred(module)], "]"))
            else:
                self.writer.add(self.level, "", Brackets(f"{self.name}.append(", [module]))
        elif self.pending:
            self.writer.add(self.level, f"{self.name} += ", Brackets("[", self.pending, "]", tall=True))
        self.begun, self.pending = True, []


def _unstarred(doc: Comprehension) -> Comprehension:
    return Comprehension(doc.element, doc.loop, more=doc.more)


# Asking.


def modules_of(leaf: Leaf) -> list[CallPlan]:
    """Return the calls of a leaf as modules, those of functions included."""
    found = [module_of(call) for call in leaf.calls]
    assert all(call is not None for call in found), leaf
    return [call for call in found if call is not None]


def has_module(statement: Statement) -> bool:
    """Return whether a statement holds a module."""
    return not isinstance(statement, Let | Free | Reuse) and (
        not isinstance(statement, Leaf) or statement.module() is not None
    )


def number_of(statement: Statement, place: int) -> int:
    """Return the number of a module in a list: its name, or else its place."""
    number = statement.name.rpartition(".")[2] if isinstance(statement.name, str) else ""
    return int(number) if number.isdecimal() else place


def is_one_expression(statements: Sequence[Statement], keyed: bool) -> bool:
    """Return whether a chain is written as one: of modules by name, only without choices and loops."""
    return is_simple(statements) and not (keyed and any(isinstance(each, Branch | Loop) for each in statements))


def is_simple(statements: Sequence[Statement]) -> bool:
    """Return whether a chain can be written as one expression."""
    for place, statement in enumerate(statements):
        if isinstance(statement, Branch) and not is_choice(statement):
            return False
        if isinstance(statement, Loop) and not (_is_comprehension(statement) and _is_short(statement)):
            return False
        if isinstance(statement, Let) and place and statements[0] is not statement:
            return False
        if isinstance(statement, Chain) and not is_simple(statement.statements):
            return False
        if isinstance(statement, Copies) and not is_simple([statement.statement]):
            return False
    return True


def is_choice(branch: Branch) -> bool:
    """Return whether either way of a branch is one module that is written as one expression."""
    for way in (branch.statements, branch.otherwise):
        if len(way) != 1 or isinstance(way[0], Loop | Copies | Let | Reuse) or not is_simple(way):
            return False
        if isinstance(way[0], Leaf) and (len(way[0].calls) != 1 or module_of(way[0].calls[0]) is None):
            return False
    return True


def _is_comprehension(loop: Loop) -> bool:
    """Return whether a loop makes one module a round and keeps nothing."""
    if loop.counter or len(loop.statements) != 1:
        return False
    statement = loop.statements[0]
    return (
        isinstance(statement, Leaf | Instance | Chain)
        and is_simple([statement])
        and not isinstance(statement.name, ast.expr)
    )


def _is_short(loop: Loop) -> bool:
    return loop.is_range or not isinstance(loop.source, ast.List) or len(text(_as_tuple(loop.source))) <= ONE_LINE_TABLE


def keys(statements: Sequence[Statement]) -> dict[Statement, list[Name]]:
    """Return the names of the modules of a chain; where no key of the state_dict has one, by what the module is.

    A name that differs between the rounds of a loop is an expression.
    """
    taken = {step.name for step, _ in _in_rounds(statements) if isinstance(step.name, str) and _is_kept(step)}

    def fresh(base: str, rounds: tuple[str, ...]) -> Name:
        found, number = base, 1
        while found in taken or rounds and any(name.startswith(found) for name in taken):
            number += 1
            found = f"{base}{'_' * bool(rounds)}{number}"
        taken.add(found)
        if not rounds:
            return found
        parts = [ast.FormattedValue(trees.name(index), -1) for index in rounds]
        between = [part for each in parts for part in (ast.Constant("_"), each)]
        return ast.JoinedStr([ast.Constant(found), *between])

    found: dict[Statement, list[Name]] = {}
    for step, rounds in _in_rounds(statements):
        calls = modules_of(step) if isinstance(step, Leaf) else [None]
        own = next((place for place, call in enumerate(calls) if isinstance(step, Leaf) and call in step.calls), 0)
        names: list[Name] = []
        for place, call in enumerate(calls):
            if place != own:
                names.append(fresh(call.target.rpartition(".")[2].rstrip("123d").lower() if call else "step", rounds))
            elif isinstance(step.name, ast.expr) or _is_kept(step) and (step.stateful or not rounds):
                names.append(step.name)
            else:
                named = _is_kept(step) and isinstance(step.name, str)
                names.append(
                    fresh(str(step.name) if named else step.op.op if isinstance(step, Leaf) else "step", rounds)
                )
        found[step] = names
    return found


def _in_rounds(
    statements: Iterable[Statement], rounds: tuple[str, ...] = ()
) -> Iterator[tuple[Statement, tuple[str, ...]]]:
    """Yield the modules of a chain, those under conditions and in loops too, with the numbers of the rounds."""
    for statement in statements:
        if isinstance(statement, Branch | Loop):
            inner = (*rounds, statement.index) if isinstance(statement, Loop) else rounds
            yield from _in_rounds(statement.inside(), inner)
        elif not isinstance(statement, Let):
            yield statement, rounds


def _is_kept(step: Statement) -> bool:
    """Return whether the name of a module is the spec's: part of a key, or given by its author."""
    named = step.explicit if isinstance(step, Leaf) else True
    return step.stateful or named and isinstance(step.name, str) and not step.name.isdecimal() and bool(step.name)


def targets_of(loop: Loop) -> str:
    """Return the variables of a loop."""
    targets = ", ".join(loop.targets)
    if loop.is_range:
        return loop.index or "_"
    if not loop.index:
        return targets
    return f"{loop.index}, " + (targets if len(loop.targets) == 1 else f"({targets})")


def range_of(loop: Loop) -> str:
    """Return the range that a loop counts through."""
    end = text(loop.source)
    return f"range({loop.first}, {end})" if loop.first else f"range({end})"


def _as_tuple(source: ast.expr) -> ast.expr:
    """Return a list that is only run over as a tuple."""
    return ast.Tuple(source.elts, ast.Load()) if isinstance(source, ast.List) else source


def _table(source: ast.expr, columns: Sequence[str]) -> Doc:
    """Return a table to lay out, a row a line; a comment names the columns of its tuples."""
    if not isinstance(source, ast.List):
        return expression(source)
    rows = [expression(row) for row in source.elts]
    if all(isinstance(row, ast.Tuple) for row in source.elts) and len(columns) > 1:
        names = ", ".join(column.removeprefix("_") for column in columns)
        return Brackets("[", rows, "]", tall=True, comment=f"# {names}")
    return Brackets("[", rows, "]", tall=True)


def _table_hint(source: ast.expr) -> str:
    """Return the type of a table whose mappings hold values of several types; empty if it need not be said."""
    rows = [node for node in ast.walk(source) if isinstance(node, ast.Dict)]
    kinds = {type(value.value) for row in rows for value in row.values if isinstance(value, ast.Constant)}
    if len(kinds) < 2:
        return ""
    levels, inner = 0, source
    while isinstance(inner, ast.List) and inner.elts:
        levels, inner = levels + 1, inner.elts[0]
    return f": {'list[' * levels}dict[str, Any]{']' * levels}"


def folded(modules: Sequence[Doc]) -> Doc | None:
    """Return modules that differ in one number at most as an expression over these numbers; None if they do not."""
    if len(modules) < 3:
        return None
    codes = [module.flat() for module in modules]
    if len(set(codes)) == 1:
        return Comprehension(modules[0], f"for _ in range({len(codes)})")
    parsed = [ast.parse(code, mode="eval").body for code in codes]
    constants = [[node for node in ast.walk(tree) if isinstance(node, ast.Constant)] for tree in parsed]
    if len({len(found) for found in constants}) != 1:
        return None
    differing = [
        place for place in range(len(constants[0])) if len({repr(found[place].value) for found in constants}) > 1
    ]
    if len(differing) != 1 or any(type(found[differing[0]].value) is not int for found in constants):
        return None
    place = differing[0]
    values = [found[place].value for found in constants]
    for tree, found in zip(parsed, constants, strict=True):
        _rename(tree, found[place])
    if len({ast.dump(tree) for tree in parsed}) != 1:
        return None
    return Comprehension(Text(text(parsed[0])), f"for size in {text(literal(tuple(values)))}")


def _rename(tree: ast.expr, constant: ast.Constant) -> None:
    """Put a name in place of one number, in place."""
    for node in ast.walk(tree):
        for field, value in ast.iter_fields(node):
            if value is constant:
                setattr(node, field, trees.name("size"))
            elif isinstance(value, list) and any(item is constant for item in value):
                value[:] = [trees.name("size") if item is constant else item for item in value]


def _instance(statement: Instance) -> Doc:
    """Return the call of a class of the file: required arguments by place where that is plain to read."""
    assert statement.plan is not None
    required = [name for name, binding in statement.plan.arguments.items() if binding.default is MISSING]
    docs: list[Doc] = []
    for place, (name, tree) in enumerate(statement.arguments.items()):
        code = expression(tree)
        known = isinstance(tree, ast.Name) and tree.id == name
        by_place = name in required and (place < 2 or known or len(required) > POSITIONAL)
        by_place = by_place and (place == len(docs) and not any(isinstance(doc, Named) for doc in docs))
        docs.append(code if by_place else Named(f"{name}=", code))
    return Brackets(f"{statement.plan.name}(", docs)


def name_code(name: Name) -> str:
    """Return the name of a module as the code of a string."""
    return quoted(name) if isinstance(name, str) else text(name)
