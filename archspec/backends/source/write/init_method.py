"""The `__init__` of a class."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import Any

from archspec.backends.source import trees
from archspec.backends.source.plan.bindings import MISSING
from archspec.backends.source.plan.ir import (
    Branch,
    CallPlan,
    ClassPlan,
    Free,
    InTraining,
    Leaf,
    Let,
    Listing,
    Loop,
    Reuse,
    Slot,
    Statement,
    entry_of,
    names_used,
    walk,
)
from archspec.backends.source.trees import literal, names_in, text
from archspec.backends.source.write.chains import (
    ModuleWriter,
    folded,
    has_module,
    is_one_expression,
    is_simple,
    name_code,
)
from archspec.backends.source.write.code import attribute, expression, is_function, slice_bounds, tensor
from archspec.backends.source.write.layout import Brackets, Doc, Text, fits
from archspec.names import MODULE_ATTRIBUTES


class InitWriter(ModuleWriter):
    """Writes `__init__`, and keeps for `forward` under which attributes it finds what it needs.

    `kept_arguments` has arguments of functions in terms of attributes, by the call and the argument's name,
    `conditions` what to ask for a branch: code, and whether that is None where its steps are left out. `chosen` are
    branches whose two ways are one attribute.
    """

    def __init__(self, plan: ClassPlan, taken: frozenset[str] = frozenset()) -> None:
        super().__init__(plan, taken)
        self.attributes = {each.name for each in walk(plan.statements) if isinstance(each.name, str)}
        self.entries: dict[str, list[Statement]] = {}
        """By the name of a list, the statements whose modules it holds, where they do not follow one another."""
        for each in walk(plan.statements):
            entry = entry_of(each.name)
            if entry is not None:
                self.entries.setdefault(entry[0], []).append(each)
        self.attributes |= self.entries.keys()
        self._begun: set[str] = set()
        self._complete: set[str] = set()
        self.kept_arguments: dict[tuple[int, str], ast.expr] = {}
        self.conditions: dict[Branch, tuple[str, bool]] = {}
        self.chosen: dict[Branch, str] = {}
        self.kept: dict[str, str] = {}
        self.read_in_loops: set[str] = set()
        self.heads: dict[Loop, str] = {}
        self._kept_for_all: set[str] = set()
        self.flags: dict[str, str] = {}

    def method(self) -> list[str]:
        """Return the lines of the method; none if it would only call its parent's."""
        plan = self.plan
        buffers = [each.name for each in walk(plan.statements) if isinstance(each, Free) and not each.trained]
        for name in dict.fromkeys(name for name in buffers if isinstance(name, str) and name.isidentifier()):
            self.add(1, f"{name}: torch.Tensor")
        if self.lines:
            self.lines.append("")
        signature = [Text("self"), *(Text(argument) for argument in self._signature())]
        self.add(1, "", Brackets("def __init__(", signature, ") -> None:"))
        head = len(self.lines)
        if plan.base == "Sequential":
            self._sequential_class()
        elif plan.base == "ModuleList":
            for statement in plan.statements:
                if isinstance(statement, Let):
                    self._let(statement, 2)
            modules = self.numbered(plan.statements, 2)
            self.add(2, "", Brackets("super().__init__(", [Brackets("[", modules, "]", tall=True)]))
            self._functions(plan.statements, 2)
        else:
            self.add(2, "super().__init__()")
            self._attributes(self._registered_first(plan.statements), 2)
            if len(self.lines) == head + 1 and not plan.arguments:
                return []
        return self.lines

    def _signature(self) -> list[str]:
        found = []
        for printed, binding in self.plan.arguments.items():
            default = "" if binding.default is MISSING else f" = {text(literal(_as_tuples(binding.default)))}"
            found.append(f"{printed}: {annotation([*binding.values, binding.default])}{default}")
        return found

    def _sequential_class(self) -> None:
        plan = self.plan
        self._lets(plan.statements, 2, plan.keyed)
        if is_one_expression(plan.statements, plan.keyed):
            items = self._items(plan.statements, plan.keyed, 2)
            self.add(2, "", Brackets("super().__init__(", items, tall=True))
            return
        name = self.local("layers")
        self.chain(plan.statements, name, 2, plan.keyed)
        self.add(2, f"super().__init__({name})" if plan.keyed else f"super().__init__(*{name})")

    # Attributes.

    def _registered_first(self, statements: Sequence[Statement]) -> list[Statement]:
        """Write what the spec registers first, in its order, with the local values for it; return what is left."""
        left = _unconditional(statements) if self.plan.register else list(statements)
        for name in self.plan.register:
            if any(map(has_module, self.entries.get(name, ()))) and not self._stand_together(self.entries[name]):
                self.add(2, f"self.{name} = nn.ModuleList()")
                self._begun.add(name)
                continue
            here = [each for each in left if any(_is_called(inner, name) for inner in _within(each))]
            needed = names_used(here)
            for each in reversed(left):
                if isinstance(each, Let) and each.target in needed:
                    needed |= names_used([each])
                    here.append(each)
            self._attributes([each for each in left if each in here], 2)
            left = [each for each in left if each not in here]
        return left

    def _attributes(self, statements: Sequence[Statement], level: int, *, within_loop: bool = False) -> None:
        """Write the statements that set what a class holds."""
        for statement in statements:
            if level == 2 and isinstance(statement, Branch | Loop):
                self._begin_lists(statement, level)
            match statement:
                case _ if entry_of(statement.name) is not None:
                    self._entry(statement, level, within_loop)
                case Let():
                    self._let(statement, level)
                case Free():
                    self._free(statement, level)
                case Branch():
                    self._branch(statement, level, within_loop)
                case Loop():
                    self._copies(statement, level, within_loop)
                case Listing():
                    if not within_loop:
                        self._functions(statement.statements, level)
                    self._set(statement.name, self.module(statement, level), level)
                case Reuse():
                    pass
                case InTraining():
                    self._attributes(statement.statements, level)
                case Leaf():
                    if not within_loop:
                        self._functions([statement], level)
                    if not is_function(statement):
                        self._set(statement.name, self.held(statement, level), level)
                case _:
                    self._set(statement.name, self.module(statement, level), level)

    # Lists whose modules take turns with others.

    def _begin_lists(self, statement: Statement, level: int) -> None:
        """Begin the lists to which statements within a branch or a loop add."""
        names = [entry[0] for each in walk([statement]) if (entry := entry_of(each.name)) is not None]
        for name in dict.fromkeys(names):
            if name not in self._begun and any(map(has_module, self.entries[name])):
                self.add(level, f"self.{name} = nn.ModuleList()")
            self._begun.add(name)

    def _entry(self, statement: Statement, level: int, within_loop: bool) -> None:
        """Add a module to its list; the whole list is written at once where its first module stands, if it can be."""
        if isinstance(statement, Leaf) and not within_loop:
            self._functions([statement], level)
        entry = entry_of(statement.name)
        assert entry is not None
        name = entry[0]
        found = self.entries[name]
        if not any(map(has_module, found)):
            return
        if name not in self._begun:
            self._begun.add(name)
            if self._stand_together(found):
                self._complete.add(name)
                modules = self.numbered(found, level)
                whole = folded(modules) or Brackets("[", modules, "]", tall=True)
                self.add(level, f"self.{name} = ", Brackets("nn.ModuleList(", [whole]))
                return
            self.add(level, f"self.{name} = nn.ModuleList()")
        if name not in self._complete:
            module = self.held(statement, level) if has_module(statement) else Brackets("nn.Identity(", [])
            self.add(level, "", Brackets(f"self.{name}.append(", [module]))

    def _stand_together(self, found: Sequence[Statement]) -> bool:
        """Return whether no condition, no loop and no local value stands between the modules of a list."""
        places = [place for place, each in enumerate(self.plan.statements) if each in found]
        if len(places) < len(found):
            return False
        return not any(isinstance(each, Let) for each in self.plan.statements[places[0] : places[-1]])

    def _free(self, free: Free, level: int) -> None:
        """Write a parameter or a buffer."""
        if free.test is not None:
            self.add(level, f"if {text(free.test)}:")
            level += 1
        if free.trained:
            self._set(free.name, tensor(free), level)
            return
        options = [] if free.persistent else [Text("persistent=False")]
        self.add(level, "", Brackets("self.register_buffer(", [Text(name_code(free.name)), tensor(free), *options]))

    def _let(self, let: Let, level: int) -> None:
        if let.table:
            loop = self._sole_loop(let.target)
            self.table(let.target, let.value, loop.targets if loop else (), level)
        else:
            self.let(let, level)

    def _sole_loop(self, table: str) -> Loop | None:
        """Return the loop that runs over a table."""
        for statement in walk(self.plan.statements):
            if isinstance(statement, Loop) and isinstance(statement.source, ast.Name) and statement.source.id == table:
                return statement
        return None

    def _functions(self, statements: Sequence[Statement], level: int) -> None:
        """Keep in attributes what functions of `forward` are given and only `__init__` knows."""
        for statement in statements:
            for call in statement.calls if isinstance(statement, Leaf) else ():
                if not call.makes_module:
                    self._hold(statement, call, level)

    def _hold(self, leaf: Statement, call: CallPlan, level: int) -> None:
        sliced = call.target == "torch.narrow"
        assert isinstance(leaf, Leaf)
        for key, tree in (slice_bounds(leaf, call) if sliced else call.arguments).items():
            if not names_in(tree):
                continue
            if sliced or isinstance(tree, ast.Name):
                kept = {name: self._kept(name, level, sliced) for name in sorted(names_in(tree))}
                self.kept_arguments[id(call), key] = trees.replaced(tree, kept)
                continue
            label = leaf.name if isinstance(leaf.name, str) and leaf.name else leaf.out.label
            held = self._new_attribute(f"{label}_{'sizes' if key == 'split_size_or_sections' else key}")
            self.kept_arguments[id(call), key] = attribute(held)
            self.add(level, f"self.{held} = ", expression(tree))

    def _kept(self, name: str, level: int, is_size: bool) -> ast.expr:
        """Return the attribute that holds an argument, as code."""
        called = f"{name}_size" if is_size and name in MODULE_ATTRIBUTES else name
        return attribute(self._keep_argument(name, level, called))

    def _keep_argument(self, name: str, level: int, called: str = "") -> str:
        """Return the attribute that holds a value of `__init__` for `forward`, called like it or `called`."""
        if name not in self.kept:
            self.kept[name] = self._new_attribute(called or name)
        if name not in self._kept_for_all:
            self.add(level, f"self.{self.kept[name]} = {name}")
            if level == 2:
                self._kept_for_all.add(name)
        return self.kept[name]

    def in_forward(self, tree: ast.expr) -> ast.expr:
        """Return an expression as a loop of `forward` reads it: what only `__init__` knows is in attributes."""
        return trees.replaced(tree, {name: attribute(held) for name, held in self.kept.items()})

    def _set(self, name: str | ast.expr, doc: Doc, level: int) -> None:
        if isinstance(name, str) and name.isidentifier():
            self.add(level, f"self.{name} = ", doc)
        else:
            self.add(level, "", Brackets("setattr(", [Text("self"), Text(name_code(name)), doc]))

    def _new_attribute(self, name: str) -> str:
        base = name if name.isidentifier() else "value"
        found = base
        letters = iter("bcdefghijklmnopqrstuvwxyz")
        while found in self.attributes or found in MODULE_ATTRIBUTES:
            found = f"{base}_{next(letters)}"
        self.attributes.add(found)
        return found

    # Conditions.

    def _branch(self, branch: Branch, level: int, within_loop: bool) -> None:
        """Write the modules of a branch.

        `forward` asks for a module that is None where the condition does not hold, for an attribute that holds the
        condition, or calls the one that was chosen.
        """
        if within_loop:
            self.conditions[branch] = text(self.in_forward(branch.test)), False
            if any(_is_held(inner) for inner in branch.statements):
                self.add(level, f"if {text(branch.test)}:")
                self._attributes(branch.statements, level + 1, within_loop=True)
            return
        name = _chosen_name(branch)
        choice = self.choice(branch, level) if name else None
        if name and choice is not None and all(reads == branch.statements[0].reads for reads in _reads_of_ways(branch)):
            attribute = name if name in self.attributes and _is_named(branch) else self._new_attribute(name)
            self.chosen[branch] = attribute
            self.add(level, f"self.{attribute} = ", choice)
            return
        held = next((inner.name for inner in branch.statements if _is_held(inner)), None)
        if held is None or branch.otherwise:
            self._with_flag(branch, level)
        else:
            self._or_none(branch, str(held), level)

    def _with_flag(self, branch: Branch, level: int) -> None:
        test = text(branch.test)
        if isinstance(branch.test, ast.Name):
            attribute = self._keep_argument(branch.test.id, level)
        elif test in self.flags:
            attribute = self.flags[test]
        else:
            attribute = self.flags[test] = self._new_attribute(_flag(branch))
            self.add(level, f"self.{attribute} = {test}")
        self.conditions[branch] = f"self.{attribute}", False
        for body, head in ((branch.statements, "if"), (branch.otherwise, "if not")):
            if all(map(is_function, body)):
                self._attributes(body, level)
                continue
            mark = len(self.lines)
            test = text(branch.test) if head == "if" else text(trees.negated(branch.test))
            if head == "if not" and not all(map(is_function, branch.statements)):
                self.add(level, "else:")
            else:
                self.add(level, f"if {test}:")
            inner = len(self.lines)
            self._attributes(body, level + 1)
            if len(self.lines) == inner:
                del self.lines[mark:]

    def _or_none(self, branch: Branch, held: str, level: int) -> None:
        self.conditions[branch] = f"self.{held}", True
        if len(branch.statements) == 1 and is_simple(branch.statements):
            doc = self.held(branch.statements[0], level)
            line = f"self.{held} = {doc.flat()} if {text(branch.test)} else None"
            if fits(level, line):
                self.add(level, line)
                return
        is_buffer = any(isinstance(each, Free) and not each.trained for each in branch.statements if each.name == held)
        # A buffer cannot be registered in place of an attribute.
        self.add(level, f'self.register_buffer("{held}", None)' if is_buffer else f"self.{held} = None")
        self.add(level, f"if {text(branch.test)}:")
        self._attributes(branch.statements, level + 1)

    # Copies under names of their own.

    def _copies(self, loop: Loop, level: int, within_loop: bool) -> None:
        if not within_loop:
            self._keep_for_loop(loop, level)
        self.heads[loop] = self._head(loop)
        if all(isinstance(each, Let | Loop | Reuse) or is_function(each) for each in walk([loop])):
            return  # `forward` alone has something to do in it
        index = loop.index
        if index not in self._read_by_init(loop):  # it numbered the modules of a list, which are appended
            loop.index = ""
        self._loop(loop, level)
        self._attributes(loop.statements, level + 1, within_loop=True)
        self._end_loop(loop, level)
        loop.index = index

    @staticmethod
    def _read_by_init(loop: Loop) -> set[str]:
        """Return the names that `__init__` reads in the body of a loop."""
        found: set[str] = set()
        for statement in walk(loop.statements):
            is_entry = entry_of(statement.name) is not None
            read = (tree for tree in statement.expressions() if not (is_entry and tree is statement.name))
            found = found.union(*map(names_in, read))
        if loop.counter:
            found |= names_in(loop.counter.after)
        return found

    def _keep_for_loop(self, loop: Loop, level: int) -> None:
        """Keep in attributes what the same loop in `forward` reads from around it."""
        names = _read_in_forward([loop])
        lets = {each.target: each.value for each in walk([loop]) if isinstance(each, Let)}
        loops = [each for each in walk([loop]) if isinstance(each, Loop)]
        while True:
            follow = [lets[name] for name in names if name in lets]
            for each in loops:
                if names & {*each.targets}:
                    follow.append(each.source)
                if each.counter and each.counter.name in names:
                    follow += [each.counter.start, each.counter.after]
            found = names.union(*map(names_in, follow))
            if found == names:
                break
            names = found
        self.read_in_loops |= names
        own = {name for each in loops for name in (*each.targets, each.index)} | lets.keys()
        own |= {each.counter.name for each in loops if each.counter}
        if names & {*loop.targets}:
            loop.source = self._kept_source(loop, level)
        for name in sorted(names - own):
            self._keep_argument(name, level)

    def _kept_source(self, loop: Loop, level: int) -> ast.expr:
        """Return what a loop of `__init__` and of `forward` runs over, with lists in attributes."""
        source = loop.source
        if isinstance(source, ast.Call):
            targets = loop.targets
            parts = [self._kept_list(each, [target], level) for each, target in zip(source.args, targets, strict=True)]
            return ast.Call(source.func, parts, source.keywords)
        return self._kept_list(source, loop.targets, level)

    def _kept_list(self, source: ast.expr, targets: Sequence[str], level: int) -> ast.expr:
        if not isinstance(source, ast.List):
            return source
        held = self._new_attribute(f"{targets[0]}s" if len(targets) == 1 else "settings")
        self.table(f"self.{held}", source, targets, level)
        return attribute(held)

    def _head(self, loop: Loop) -> str:
        """Return the head of a loop in `forward`."""
        index = loop.index if loop.index in self.read_in_loops else ""
        source = self.in_forward(loop.source)
        if not loop.is_range and not self.read_in_loops & {*loop.targets}:
            source = self._length(loop.source)
        elif not loop.is_range:
            targets = ", ".join(name if name in self.read_in_loops else f"_{name.lstrip('_')}" for name in loop.targets)
            if not index:
                return f"for {targets} in {text(source)}:"
            several = f"({targets})" if len(loop.targets) > 1 else targets
            return f"for {index}, {several} in enumerate({text(source)}{f', {loop.first}' if loop.first else ''}):"
        first = loop.first if index else 0
        end = source
        if not loop.is_range and first:
            end = trees.binary(source, ast.Add(), ast.Constant(first))
        return f"for {index or '_'} in range({f'{first}, ' if first else ''}{text(end)}):"

    def _length(self, source: ast.expr) -> ast.expr:
        """Return how many entries a loop runs over."""
        first = source.args[0] if isinstance(source, ast.Call) else source
        if isinstance(first, ast.Name):
            tables = (each for each in walk(self.plan.statements) if isinstance(each, Let) and each.table)
            first = next((each.value for each in tables if each.target == first.id), first)
        if isinstance(first, ast.List):
            return ast.Constant(len(first.elts))
        return ast.Call(trees.name("len"), [self.in_forward(first)], [])


def _is_called(statement: Statement, name: str) -> bool:
    """Return whether a statement makes the module, or a module of the list, that is called `name`."""
    entry = entry_of(statement.name)
    return statement.name == name or entry is not None and entry[0] == name


def _unconditional(statements: Iterable[Statement]) -> list[Statement]:
    """Return statements with what runs in training only in its place: `__init__` makes it in any case."""
    found: list[Statement] = []
    for each in statements:
        found += _unconditional(each.statements) if isinstance(each, InTraining) else [each]
    return found


def _within(statement: Statement) -> Sequence[Statement]:
    """Return a statement, or what stands in it under a condition."""
    if not isinstance(statement, Branch | InTraining):
        return [statement]
    return [inner for each in statement.inside() for inner in _within(each)]


def _read_in_forward(statements: Sequence[Statement]) -> set[str]:
    """Return the names that loops of `forward` read: in names of modules, conditions, arguments and ranges."""
    found: set[str] = set()
    for statement in statements:
        if isinstance(statement.name, ast.expr):
            found |= names_in(statement.name)
        match statement:
            case Branch():
                found |= names_in(statement.test) | _read_in_forward(statement.inside())
            case Loop():
                found |= names_in(statement.source) if statement.is_range else set()
                if isinstance(statement.source, ast.Name):  # its length
                    found |= names_in(statement.source)
                found |= _read_in_forward(statement.statements)
            case Listing() | InTraining():
                found |= _read_in_forward(statement.statements)
            case Leaf():
                calls = (call for call in statement.calls if not call.makes_module)
                found = found.union(*(names_in(tree) for call in calls for tree in call.arguments.values()))
    return found


def _is_held(statement: Statement) -> bool:
    """Return whether an attribute of the class holds a statement, under a name that code can write."""
    if isinstance(statement, Branch | Let | Loop) or is_function(statement):
        return False
    return isinstance(statement.name, ast.expr) or statement.name.isidentifier()


def _reads_of_ways(branch: Branch) -> list[list[Slot]]:
    """Return what the one step of each way of a branch reads, those of a branch in it too."""
    found: list[list[Slot]] = []
    for way in (branch.statements, branch.otherwise):
        found += _reads_of_ways(way[0]) if isinstance(way[0], Branch) else [way[0].reads]
    return found


def _is_named(branch: Branch) -> bool:
    return branch.statements[0].name == branch.otherwise[0].name


def _chosen_name(branch: Branch) -> str:
    """Return what to call the one attribute of a branch with two ways; empty if they are no two modules."""
    if len(branch.statements) != 1 or len(branch.otherwise) != 1:
        return ""
    first, other = branch.statements[0], branch.otherwise[0]
    if entry_of(first.name) or entry_of(other.name):
        return ""
    if isinstance(other, Branch):
        return _chosen_name(other)
    if any(isinstance(each, Branch | Let | Loop | Listing | Reuse) for each in (first, other)):
        return ""
    if any(isinstance(each, Leaf) and (each.module() is None or len(each.calls) != 1) for each in (first, other)):
        return ""
    if isinstance(first.name, str) and first.name == other.name and first.name.isidentifier():
        return first.name
    if first.stateful or other.stateful:
        return ""
    families = {each.op.__module__.rpartition(".")[2] for each in (first, other) if isinstance(each, Leaf)}
    return families.pop() if len(families) == 1 else "layer"


def _flag(branch: Branch) -> str:
    """Return what to call the attribute that holds a condition."""
    leaves = [statement for statement in branch.statements if isinstance(statement, Leaf)]
    if leaves and leaves[-1].calls and leaves[-1].calls[0].is_operator:
        return "use_skip"
    return f"with_{branch.out.label}" if branch.out.label.isidentifier() else "condition"


def _as_tuples(value: Any) -> Any:
    """Return the default of an argument, each list in it as a tuple, which nobody can change."""
    return tuple(map(_as_tuples, value)) if isinstance(value, tuple | list) else value


def annotation(values: Sequence[Any]) -> str:
    """Return the type hint of an argument with these values."""
    kinds: dict[str, None] = {}
    optional = False
    for value in values:
        if value is MISSING:
            continue
        if isinstance(value, tuple | list):
            kinds[f"tuple[{', '.join(annotation([item]) for item in value)}]"] = None
        elif value is None:
            optional = True
        else:
            kinds[type(value).__name__] = None
    if len(kinds) > 1 and all(kind.startswith("tuple") for kind in kinds):
        kinds = {"tuple[int, ...]": None}
    if not kinds:
        return "object"
    if set(kinds) == {"int", "float"}:
        kinds = {"float": None}
    return " | ".join([*sorted(kinds), *(["None"] if optional else [])])
