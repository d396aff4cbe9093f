"""The `__init__` of a class."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from archspec.backends.source.calls import CallPlan
from archspec.backends.source.context import MISSING
from archspec.backends.source.expressions import literal, names_in, same, text
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
)
from archspec.backends.source.layout import Brackets, Chain, Copies, Doc, Lines, Named, Text, fits, laid_out
from archspec.backends.source.naming import value_name
from archspec.backends.source.signatures import AS_KERNEL, FUNCTIONS, KEYWORD_ONLY, REQUIRED, SIGNATURES

POSITIONAL = 4
"""With more required arguments than this, a class is given them all by position."""


_BY_PLACE = frozenset({"nn.Conv1d", "nn.Conv2d", "nn.Conv3d"})
"""Where stride and padding are given by place too, once they are no plain numbers: everybody knows their order."""


def call_arguments(target: str, arguments: dict[str, ast.expr], skip: int = 0) -> list[Doc]:
    """The arguments of a torch call, without those at torch's default."""
    signature = SIGNATURES[target]
    found: list[Doc] = []
    place = skip
    by_place = not skip or bool(signature)
    for key, default in signature.items():
        tree = arguments.get(key)
        if tree is None or _is_default(tree, default, arguments):
            by_place = False
            continue
        code = expression(tree)
        free = key in ("stride", "padding") and not isinstance(tree, ast.Constant) and target in _BY_PLACE
        named = key in KEYWORD_ONLY and target != "torch.narrow"
        by_place = by_place and not any(isinstance(doc, Named) for doc in found)
        if by_place and not named and (default is REQUIRED or place == 0 or free):
            found.append(code)
        else:
            found.append(Named(f"{key}=", code))
        place += 1
    return found


def _is_default(tree: ast.expr, default: Any, arguments: dict[str, ast.expr]) -> bool:
    if default is REQUIRED:
        return False
    if default is AS_KERNEL:
        return ast.dump(tree) == ast.dump(arguments["kernel_size"])
    return ast.dump(tree) == ast.dump(literal(default))


def expression(tree: ast.expr) -> Doc:
    """An expression to lay out."""
    if isinstance(tree, ast.Tuple | ast.List) and len(tree.elts) > 1:
        head, tail = ("(", ")") if isinstance(tree, ast.Tuple) else ("[", "]")
        return Brackets(head, [expression(item) for item in tree.elts], tail)
    return Text(text(tree))


def module_call(item: OpItem) -> CallPlan | None:
    """The call of an op that constructs a module, if one of them does."""
    return next((call for call in item.calls if call.is_module), None)


def is_function(item: Item) -> bool:
    """Whether `forward` calls a function for this op, and `__init__` knows nothing of it."""
    if not isinstance(item, OpItem):
        return False
    call = module_call(item)
    if call is None:
        return True
    constant = not any(names_in(tree) for tree in call.arguments.values())
    plain = call.target in FUNCTIONS or call.target == "nn.Identity"
    return not item.explicit and plain and constant


class Builder:
    """Writes `__init__`. `stored` are the attributes that `forward` finds values in, by what they hold."""

    def __init__(self, plan: ClassPlan, hints: bool = True, taken: frozenset[str] = frozenset()) -> None:
        self.plan, self.hints, self.taken = plan, hints, taken
        self.out = Lines()
        self.stored: dict[tuple[int, str], str] = {}
        self.attributes = {item.attribute() for item in _all(plan.items)}
        self.used = self._used(plan.items)

    def _used(self, items: Sequence[Item]) -> set[str]:
        every = _all(items)
        lets = {item.target: item for item in every if isinstance(item, LetItem)}
        found = used_names(item for item in items if not isinstance(item, LetItem))
        for item in every:
            if isinstance(item, SeqItem | LoopItem | IfItem):
                found |= used_names(inner for inner in item.items if not isinstance(inner, LetItem))
        pending = [lets[name] for name in found if name in lets]
        while pending:
            new = names_in(pending.pop().value) - found
            found |= new
            pending += [lets[name] for name in new if name in lets]
        return found

    def lines(self) -> list[str]:
        """The whole method; nothing where it would only call its parent's."""
        plan = self.plan
        signature = [Text("self"), *(Text(text_) for text_ in self._signature())]
        self.out.lines += laid_out(1, "", Brackets("def __init__(", signature, ") -> None:" if self.hints else "):"))
        if not plan.chain:
            self.out.add(2, "super().__init__()")
            self.attributes_of(plan.items, 2)
        elif plan.named:
            self.out.add(2, "super().__init__()")
            self.named_chain(plan.items, "self", 2)
        else:
            self._chain_class()
        if self.out.lines[-1].endswith("super().__init__()") and not plan.chain:
            return []
        return self.out.lines

    def fits_with_hints(self) -> bool:
        """Whether the signature fits on a line with type hints."""
        return fits(1, f"def __init__({', '.join(['self', *self._signature()])}) -> None:")

    def _signature(self) -> list[str]:
        found = []
        for printed, variable in self.plan.arguments.items():
            default = "" if variable.default is MISSING else text(literal(variable.default))
            if self.hints:
                found.append(f"{printed}: {_annotation(variable.values)}" + (f" = {default}" if default else ""))
            else:
                found.append(printed + (f"={default}" if default else ""))
        return found

    def _chain_class(self) -> None:
        if self.simple(self.plan.items):
            self._lets(self.plan.items, 2)
            docs = self.docs(self.plan.items, 2)
            self.out.add(2, "", Brackets("super().__init__(", docs, tall=True))
        else:
            name = self.local("layers")
            self.chain(self.plan.items, name, 2)
            self.out.add(2, f"super().__init__(*{name})")

    def local(self, name: str) -> str:
        """A new local name."""
        context = self.plan.context
        base, number = name, 1
        while name in context.kinds or name in self.taken:
            number += 1
            name = f"{base}_{number}"
        context.kinds[name] = "local"
        return name

    # Attributes.

    def attributes_of(self, items: Sequence[Item], level: int) -> None:
        """The statements that set what a class holds."""
        for item in items:
            match item:
                case LetItem():
                    self._let(item, level)
                case IfItem():
                    self._conditional(item, level)
                case OpItem():
                    self._op(item, level)
                case _:
                    self._set(item, self.doc(item, level), level)

    def _op(self, item: OpItem, level: int) -> None:
        for call in item.calls:
            if not call.is_module:
                for key, tree in call.arguments.items():
                    if names_in(tree):
                        name = self._attribute(f"{item.attribute() or item.out.label}_{key}")
                        self.stored[id(call), key] = name
                        self.out.add(level, f"self.{name} = ", expression(tree))
        if not is_function(item):
            self._set(item, self.doc(item, level), level)

    def _set(self, item: Item, doc: Doc, level: int) -> None:
        name = item.attribute()
        if name.isidentifier():
            self.out.add(level, f"self.{name} = ", doc)
        else:
            self.out.add(level, "", Brackets("self.add_module(", [Text(f'"{name}"'), doc]))

    def _attribute(self, name: str) -> str:
        base, number = name, 1
        while name in self.attributes or not name.isidentifier():
            number += 1
            name = f"{base}_{number}" if base.isidentifier() else f"value_{number}"
        self.attributes.add(name)
        return name

    def _conditional(self, item: IfItem, level: int) -> None:
        held = next((inner for inner in item.items if self._is_held(inner)), None)
        if held is None:
            name = self._attribute(_flag(item))
            self.stored[id(item), ""] = f"self.{name}"
            self.out.add(level, f"self.{name} = {text(item.test)}")
            inside = [inner for inner in item.items if not is_function(inner)]
            if inside:
                self.out.add(level, f"if {text(item.test)}:")
                self.attributes_of(item.items, level + 1)
            else:
                self.attributes_of(item.items, level)
            return
        name = held.attribute()
        self.stored[id(item), "none"] = f"self.{name}"
        mark = len(self.out.lines)
        if len(item.items) == 1:
            doc = self.doc(held, level)
            line = f"self.{name} = {doc.flat()} if {text(item.test)} else None"
            if len(self.out.lines) == mark and fits(level, line):
                self.out.add(level, line)
                return
        del self.out.lines[mark:]
        self.out.add(level, f"self.{name} = None")
        self.out.add(level, f"if {text(item.test)}:")
        self.attributes_of(item.items, level + 1)

    def _is_held(self, item: Item) -> bool:
        if isinstance(item, IfItem | LetItem) or is_function(item):
            return False
        return item.attribute().isidentifier()

    def _let(self, item: LetItem, level: int) -> None:
        if item.target in self.used:
            self.out.add(level, f"{item.target} = ", expression(item.value))

    def _lets(self, items: Sequence[Item], level: int) -> None:
        for item in items:
            if isinstance(item, LetItem):
                self._let(item, level)

    # Chains.

    def simple(self, items: Sequence[Item]) -> bool:
        """Whether a chain can be written as one expression."""
        for item in items:
            if isinstance(item, IfItem | LoopItem):
                return False
            if isinstance(item, SeqItem) and (item.named or not self.simple(item.items)):
                return False
        return True

    def docs(self, items: Sequence[Item], level: int) -> list[Doc]:
        """The modules of a simple chain."""
        return [self.doc(item, level) for item in items if not isinstance(item, LetItem)]

    def doc(self, item: Item, level: int) -> Doc:
        """The code that makes a module; statements that it needs before are written first."""
        match item:
            case OpItem():
                call = module_call(item)
                assert call is not None
                return Brackets(f"{call.target}(", call_arguments(call.target, call.arguments))
            case UseItem():
                return self._use(item)
            case RunItem():
                return Copies(self.doc(item.item, level), item.count)
            case SeqItem():
                return self._sequence(item, level)
        raise AssertionError(item)

    def _use(self, item: UseItem) -> Doc:
        assert item.made is not None
        required = [name for name, variable in item.made.arguments.items() if variable.default is MISSING]
        docs: list[Doc] = []
        for place, (name, tree) in enumerate(item.arguments.items()):
            code = expression(tree)
            known = isinstance(tree, ast.Name) and tree.id == name
            by_place = name in required and (place < 2 or known or len(required) > POSITIONAL)
            by_place = by_place and (place == len(docs) and not any(isinstance(doc, Named) for doc in docs))
            docs.append(code if by_place else Named(f"{name}=", code))
        return Brackets(f"{item.made.name}(", docs)

    def _sequence(self, item: SeqItem, level: int) -> Doc:
        if not item.named and self.simple(item.items):
            for inner in _all(item.items):
                if isinstance(inner, LetItem):
                    self._let(inner, level)
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

    def chain(self, items: Sequence[Item], name: str, level: int, made: bool = False) -> None:
        """Statements that list the modules of a chain in the variable `name`."""
        pending: list[Doc] = []

        def flush(made: bool) -> bool:
            if not pending and made:
                return True
            if not made:
                self.out.add(level, f"{name} = ", Brackets("[", list(pending), "]", tall=True))
            elif len(pending) == 1 and isinstance(pending[0], Copies):
                copies = pending[0]
                inner = Text(f"{copies.element.flat()} for _ in range({copies.count})")
                self.out.add(level, "", Brackets(f"{name}.extend(", [inner]))
            elif len(pending) == 1:
                self.out.add(level, "", Brackets(f"{name}.append(", list(pending)))
            else:
                self.out.add(level, f"{name} += ", Brackets("[", list(pending), "]", tall=True))
            pending.clear()
            return True

        for item in items:
            if isinstance(item, LetItem):
                if item.target in self.used:
                    made = flush(made) if pending else made
                    self._let(item, level)
            elif isinstance(item, IfItem):
                if not made and not pending and self._short_start(item, name, level):
                    made = True
                    continue
                made = flush(made)
                self.out.add(level, f"if {text(item.test)}:")
                self.chain(item.items, name, level + 1, made=True)
            elif isinstance(item, LoopItem):
                made = flush(made)
                self.loop(item, level)
                self.chain(item.items, name, level + 1, made=True)
                self.end_loop(item, level)
            else:
                mark = len(self.out.lines)
                doc = self.doc(item, level)
                if pending and len(self.out.lines) > mark:  # statements of its own: what waits goes before them
                    own = self.out.lines[mark:]
                    del self.out.lines[mark:]
                    made = flush(made)
                    self.out.lines += own
                pending.append(doc)
        flush(made)

    def _short_start(self, item: IfItem, name: str, level: int) -> bool:
        """`name = [a] if condition else []`, where that is all there is to write and fits."""
        if len(item.items) != 1 or not self.simple(item.items):
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
            if isinstance(item, LetItem):
                self._let(item, level)
            elif isinstance(item, IfItem):
                self.out.add(level, f"if {text(item.test)}:")
                self.named_chain(item.items, name, level + 1)
            elif isinstance(item, LoopItem):
                self.loop(item, level)
                self.named_chain(item.items, name, level + 1)
                self.end_loop(item, level)
            else:
                key = f'"{item.name}"' if isinstance(item.name, str) else text(item.name)
                doc = self.doc(item, level)
                self.out.add(level, "", Brackets(f"{name}.add_module(", [Text(key), doc]))

    def loop(self, item: LoopItem, level: int) -> None:
        """What stands before the body of a loop."""
        table = ""
        if item.targets:
            table = self._table(item, level)
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

    def end_loop(self, item: LoopItem, level: int) -> None:
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


def _targets(item: LoopItem) -> str:
    targets = ", ".join(item.targets)
    if not item.index:
        return targets
    return f"{item.index}, " + (targets if len(item.targets) == 1 else f"({targets})")


def _flag(item: IfItem) -> str:
    merges = [inner for inner in item.items if isinstance(inner, OpItem)]
    if merges and merges[-1].calls[0].target in ("+", "*"):
        return "use_skip"
    return f"with_{item.out.label}" if item.out.label.isidentifier() else "condition"


def _annotation(values: Sequence[Any]) -> str:
    kinds: dict[str, None] = {}
    for value in values:
        if isinstance(value, tuple):
            kinds["tuple"] = None
        elif value is not None:
            kinds[type(value).__name__] = None
    if not kinds:
        return "object"
    if set(kinds) == {"int", "float"}:
        return "float"
    return " | ".join(sorted(kinds))


def _all(items: Sequence[Item]) -> list[Item]:
    found: list[Item] = []
    for item in items:
        found.append(item)
        match item:
            case IfItem() | SeqItem() | LoopItem():
                found += _all(item.items)
            case RunItem():
                found += _all([item.item])
    return found


__all__ = ["Builder", "Chain", "call_arguments", "is_function", "module_call", "same"]
