"""Modules as code, and chains of them: one expression where that says all, else statements that fill a list."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from archspec.backends.source.context import MISSING
from archspec.backends.source.expressions import literal, names_in, text
from archspec.backends.source.items import (
    ClassPlan,
    IfItem,
    Item,
    LetItem,
    LoopItem,
    OpItem,
    RunItem,
    SeqItem,
    UseItem,
    used_names,
    walk,
)
from archspec.backends.source.layout import Brackets, Copies, Doc, Lines, Named, Text, fits
from archspec.backends.source.naming import numbered, value_name
from archspec.backends.source.printing import call_arguments, expression

POSITIONAL = 4
"""With more required arguments than this, a class is given them all by position."""


class ChainWriter:
    """Writes modules into `out`. `taken` are names that no local variable may have."""

    def __init__(self, plan: ClassPlan, taken: frozenset[str] = frozenset()) -> None:
        self.plan, self.taken = plan, taken
        self.out = Lines()
        self.used = _used(plan.items)

    # Local names.

    def local(self, name: str) -> str:
        """A new local name."""
        kinds = self.plan.context.kinds
        found = numbered(name, lambda other: other in kinds or other in self.taken)
        kinds[found] = "local"
        return found

    def let(self, item: LetItem, level: int) -> None:
        """The statement that sets a local value, if `__init__` uses it."""
        if item.target in self.used:
            self.out.add(level, f"{item.target} = ", expression(item.value))

    def lets(self, items: Sequence[Item], level: int) -> None:
        """The local values of a chain that is written as one expression."""
        for item in items:
            if isinstance(item, LetItem):
                self.let(item, level)

    # Modules.

    def doc(self, item: Item, level: int) -> Doc:
        """The code that makes a module; statements that it needs before are written first."""
        match item:
            case OpItem():
                call = item.module_call()
                assert call is not None
                return Brackets(f"{call.target}(", call_arguments(call.target, call.arguments))
            case UseItem():
                return _use(item)
            case RunItem():
                return Copies(self.doc(item.item, level), item.count)
            case SeqItem():
                return self._sequence(item, level)
        raise AssertionError(item)

    def docs(self, items: Sequence[Item], level: int) -> list[Doc]:
        """The modules of a simple chain."""
        return [self.doc(item, level) for item in items if not isinstance(item, LetItem)]

    def _sequence(self, item: SeqItem, level: int) -> Doc:
        if not item.named and is_simple(item.items):
            self.lets(list(walk(item.items)), level)
            return Brackets("nn.Sequential(", self.docs(item.items, level), tall=True)
        label = item.attribute() if item.attribute().isidentifier() else item.out.label
        label = value_name(label)
        name = self.local(label if label.isidentifier() and label not in self.plan.context.kinds else "layers")
        if item.named:
            self.out.add(level, f"{name} = nn.Sequential()")
            self.named_chain(item.items, name, level)
            return Text(name)
        self.chain(item.items, name, level)
        return Text(f"nn.Sequential(*{name})")

    # Chains.

    def chain(self, items: Sequence[Item], name: str, level: int, begun: bool = False) -> None:
        """Statements that list the modules of a chain in the variable `name`; `begun` where there is one already."""
        modules = _ModuleList(self.out, name, level, begun)
        for item in items:
            match item:
                case LetItem():
                    if item.target in self.used:
                        if modules.pending:
                            modules.flush()
                        self.let(item, level)
                case IfItem():
                    if not modules.begun and not modules.pending and self._short_start(item, name, level):
                        modules.begun = True
                        continue
                    modules.flush()
                    self.out.add(level, f"if {text(item.test)}:")
                    self.chain(item.items, name, level + 1, begun=True)
                case LoopItem():
                    modules.flush()
                    self._loop(item, level)
                    self.chain(item.items, name, level + 1, begun=True)
                    self._end_loop(item, level)
                case _:
                    mark = len(self.out.lines)
                    doc = self.doc(item, level)
                    modules.append(doc, mark)
        modules.flush()

    def _short_start(self, item: IfItem, name: str, level: int) -> bool:
        """`name = [a] if condition else []`, where that is all there is to write and fits."""
        if len(item.items) != 1 or not is_simple(item.items):
            return False
        mark = len(self.out.lines)
        line = f"{name} = [{self.doc(item.items[0], level).flat()}] if {text(item.test)} else []"
        if len(self.out.lines) == mark and fits(level, line):
            self.out.add(level, line)
            return True
        del self.out.lines[mark:]
        return False

    def named_chain(self, items: Sequence[Item], name: str, level: int) -> None:
        """Statements that add the modules of a chain by name."""
        for item in items:
            match item:
                case LetItem():
                    self.let(item, level)
                case IfItem():
                    self.out.add(level, f"if {text(item.test)}:")
                    self.named_chain(item.items, name, level + 1)
                case LoopItem():
                    self._loop(item, level)
                    self.named_chain(item.items, name, level + 1)
                    self._end_loop(item, level)
                case _:
                    key = f'"{item.name}"' if isinstance(item.name, str) else text(item.name)
                    doc = self.doc(item, level)
                    self.out.add(level, "", Brackets(f"{name}.add_module(", [Text(key), doc]))

    # Loops.

    def _loop(self, item: LoopItem, level: int) -> None:
        """What stands before the body of a loop."""
        table = self._table(item, level) if item.targets else ""
        if item.carried:
            name, start, _ = item.carried
            if not (isinstance(start, ast.Name) and start.id == name):
                self.out.add(level, f"{name} = ", expression(start))
        if not item.targets:
            self.out.add(level, f"for {item.index or '_'} in range({text(item.source)}):")
            return
        targets = _targets(item)
        self.out.add(level, f"for {targets} in enumerate({table}):" if item.index else f"for {targets} in {table}:")

    def _table(self, item: LoopItem, level: int) -> str:
        """The code of the table that a loop runs over: itself where it is short, else the name of a variable."""
        source = item.source
        if names_in(source):
            return text(source)
        rows = [literal(row) for row in ast.literal_eval(source)]
        code = text(ast.List(rows, ast.Load()))
        around = f"for {_targets(item)} in {'enumerate()' if item.index else ''}:"
        if fits(level, around + code):
            return code
        name = self.local(item.table)
        self.out.add(level, f"{name} = ", Brackets("[", [expression(row) for row in rows], "]", tall=True))
        return name

    def _end_loop(self, item: LoopItem, level: int) -> None:
        """What stands at the end of the body of a loop."""
        if not item.carried:
            return
        name, _, end = item.carried
        match end:
            case ast.Name(id=found) if found == name:
                pass
            case ast.BinOp(left=ast.Name(id=found), op=ast.Add(), right=right) if found == name:
                self.out.add(level + 1, f"{name} += {text(right)}")
            case _:
                self.out.add(level + 1, f"{name} = ", expression(end))


class _ModuleList:
    """Statements that fill a list: `name = [a, b]`, then `name.append(c)` and the like.

    Modules wait in `pending`, so that one statement takes all that stand together. `begun`: the list is there.
    """

    def __init__(self, out: Lines, name: str, level: int, begun: bool) -> None:
        self.out, self.name, self.level, self.begun = out, name, level, begun
        self.pending: list[Doc] = []

    def append(self, module: Doc, mark: int) -> None:
        """One more. What waits goes before statements of the module's own, which are the lines from `mark` on."""
        if self.pending and len(self.out.lines) > mark:
            own = self.out.lines[mark:]
            del self.out.lines[mark:]
            self.flush()
            self.out.lines += own
        self.pending.append(module)

    def flush(self) -> None:
        """Write what waits, and begin the list in any case."""
        if not self.begun:
            self.out.add(self.level, f"{self.name} = ", self._brackets())
        elif len(self.pending) == 1:
            module = self.pending[0]
            if isinstance(module, Copies):
                copies = Text(f"{module.element.flat()} for _ in range({module.count})")
                self.out.add(self.level, "", Brackets(f"{self.name}.extend(", [copies]))
            else:
                self.out.add(self.level, "", Brackets(f"{self.name}.append(", [module]))
        elif self.pending:
            self.out.add(self.level, f"{self.name} += ", self._brackets())
        self.begun, self.pending = True, []

    def _brackets(self) -> Doc:
        return Brackets("[", self.pending, "]", tall=True)


def is_simple(items: Sequence[Item]) -> bool:
    """Whether a chain can be written as one expression."""
    for item in items:
        if isinstance(item, IfItem | LoopItem):
            return False
        if isinstance(item, SeqItem) and (item.named or not is_simple(item.items)):
            return False
    return True


def _use(item: UseItem) -> Doc:
    """The call of a class of the file: required arguments by place where that is plain to read."""
    assert item.plan is not None
    required = [name for name, variable in item.plan.arguments.items() if variable.default is MISSING]
    docs: list[Doc] = []
    for place, (name, tree) in enumerate(item.arguments.items()):
        code = expression(tree)
        known = isinstance(tree, ast.Name) and tree.id == name
        by_place = name in required and (place < 2 or known or len(required) > POSITIONAL)
        by_place = by_place and (place == len(docs) and not any(isinstance(doc, Named) for doc in docs))
        docs.append(code if by_place else Named(f"{name}=", code))
    return Brackets(f"{item.plan.name}(", docs)


def _used(items: Sequence[Item]) -> set[str]:
    """The names that modules are made of, and those that local values among them are worked out from."""
    found: set[str] = set()
    for steps in (items, *(item.inside() for item in walk(items))):
        found |= used_names(item for item in steps if not isinstance(item, LetItem))
    lets = {item.target: item for item in walk(items) if isinstance(item, LetItem)}
    pending = [lets[name] for name in found if name in lets]
    while pending:
        new = names_in(pending.pop().value) - found
        found |= new
        pending += [lets[name] for name in new if name in lets]
    return found


def _targets(item: LoopItem) -> str:
    targets = ", ".join(item.targets)
    if not item.index:
        return targets
    return f"{item.index}, " + (targets if len(item.targets) == 1 else f"({targets})")
