"""The `__init__` of a class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from archspec.backends.source.chains import ChainWriter, is_simple
from archspec.backends.source.context import MISSING
from archspec.backends.source.expressions import literal, names_in, text
from archspec.backends.source.items import ClassPlan, IfItem, Item, LetItem, OpItem, walk
from archspec.backends.source.layout import Brackets, Doc, Text, fits, laid_out
from archspec.backends.source.printing import expression, is_function


class Builder(ChainWriter):
    """Writes `__init__`, and keeps for `forward` in which attributes it finds what it needs.

    `argument_attributes` hold arguments of functions, by the call's id and the argument's name. `conditions` are what
    to ask for the steps under a condition, by the item's id: code, and whether that is None where they are left out.
    """

    def __init__(self, plan: ClassPlan, hints: bool = True, taken: frozenset[str] = frozenset()) -> None:
        super().__init__(plan, taken)
        self.hints = hints
        self.attributes = {item.attribute() for item in walk(plan.items)}
        self.argument_attributes: dict[tuple[int, str], str] = {}
        self.conditions: dict[int, tuple[str, bool]] = {}

    # The method.

    def lines(self) -> list[str]:
        """The whole method; nothing where it would only call its parent's."""
        plan = self.plan
        signature = [Text("self"), *(Text(argument) for argument in self._signature())]
        self.out.lines += laid_out(1, "", Brackets("def __init__(", signature, ") -> None:" if self.hints else "):"))
        if not plan.chain:
            self.out.add(2, "super().__init__()")
            self._attributes_of(plan.items, 2)
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
        if is_simple(self.plan.items):
            self.lets(self.plan.items, 2)
            docs = self.docs(self.plan.items, 2)
            self.out.add(2, "", Brackets("super().__init__(", docs, tall=True))
        else:
            name = self.local("layers")
            self.chain(self.plan.items, name, 2)
            self.out.add(2, f"super().__init__(*{name})")

    # Attributes.

    def _attributes_of(self, items: Sequence[Item], level: int) -> None:
        """The statements that set what a class holds."""
        for item in items:
            match item:
                case LetItem():
                    self.let(item, level)
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
                    if names_in(tree):  # known in `__init__` only
                        name = self._new_attribute(f"{item.attribute() or item.out.label}_{key}")
                        self.argument_attributes[id(call), key] = name
                        self.out.add(level, f"self.{name} = ", expression(tree))
        if not is_function(item):
            self._set(item, self.doc(item, level), level)

    def _set(self, item: Item, doc: Doc, level: int) -> None:
        name = item.attribute()
        if name.isidentifier():
            self.out.add(level, f"self.{name} = ", doc)
        else:
            self.out.add(level, "", Brackets("self.add_module(", [Text(f'"{name}"'), doc]))

    def _new_attribute(self, name: str) -> str:
        base, number = name, 1
        while name in self.attributes or not name.isidentifier():
            number += 1
            name = f"{base}_{number}" if base.isidentifier() else f"value_{number}"
        self.attributes.add(name)
        return name

    # Conditions.

    def _conditional(self, item: IfItem, level: int) -> None:
        """`forward` asks for a module where one of the steps is one, else for an attribute that holds the condition."""
        held = next((inner.attribute() for inner in item.items if _is_held(inner)), None)
        if held is None:
            self._with_flag(item, level)
        else:
            self._or_none(item, held, level)

    def _with_flag(self, item: IfItem, level: int) -> None:
        name = self._new_attribute(_flag(item))
        self.conditions[id(item)] = f"self.{name}", False
        self.out.add(level, f"self.{name} = {text(item.test)}")
        if all(is_function(inner) for inner in item.items):
            self._attributes_of(item.items, level)
        else:
            self.out.add(level, f"if {text(item.test)}:")
            self._attributes_of(item.items, level + 1)

    def _or_none(self, item: IfItem, held: str, level: int) -> None:
        self.conditions[id(item)] = f"self.{held}", True
        mark = len(self.out.lines)
        if len(item.items) == 1:
            doc = self.doc(item.items[0], level)
            line = f"self.{held} = {doc.flat()} if {text(item.test)} else None"
            if len(self.out.lines) == mark and fits(level, line):
                self.out.add(level, line)
                return
        del self.out.lines[mark:]
        self.out.add(level, f"self.{held} = None")
        self.out.add(level, f"if {text(item.test)}:")
        self._attributes_of(item.items, level + 1)


def _is_held(item: Item) -> bool:
    """Whether an attribute of the class holds a step, under a name that code can write."""
    if isinstance(item, IfItem | LetItem) or is_function(item):
        return False
    return item.attribute().isidentifier()


def _flag(item: IfItem) -> str:
    """What to call the attribute that holds a condition."""
    merges = [inner for inner in item.items if isinstance(inner, OpItem)]
    if merges and merges[-1].calls[0].is_operator:
        return "use_skip"
    return f"with_{item.out.label}" if item.out.label.isidentifier() else "condition"


def _annotation(values: Sequence[Any]) -> str:
    """The type hint of an argument with these values."""
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
