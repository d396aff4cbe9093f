"""The `forward` of a class: statements as a person groups them, a convolution with what follows it on one line."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import NamedTuple

from archspec.backends.source.build import Builder, call_arguments, is_function, module_call
from archspec.backends.source.calls import CallPlan
from archspec.backends.source.items import ClassPlan, IfItem, Item, LetItem, OpItem, UseItem, Val
from archspec.backends.source.layout import Brackets, Chain, Doc, Lines, Named, Text, fits
from archspec.backends.source.naming import value_name
from archspec.backends.source.signatures import FUNCTIONS, LIGHT
from archspec.backends.source.strings import quoted
from archspec.shapes import Shape, shape_text

_END = 1 << 60


class _Pending(NamedTuple):
    """An expression that no variable holds yet. `operands` are the values it reads."""

    val: Val
    doc: Doc
    operands: tuple[Val, ...]
    item: Item


class Forward:
    """Writes `forward`. `shapes` gives the shape of a path, for comments."""

    def __init__(self, plan: ClassPlan, builder: Builder, shapes: dict[str, Shape] | None = None) -> None:
        self.plan, self.builder, self.shapes = plan, builder, shapes
        self.out = Lines()
        self.variables: dict[int, str] = {}
        self.forced: dict[int, str] = {}
        self.pending: _Pending | None = None
        self.position: dict[int, int] = {}
        self.uses: dict[int, list[int]] = {}
        self.readers: dict[int, list[Item]] = {}
        self.values: dict[int, Val] = {}
        self.owners: dict[int, Item] = {}
        """The step that makes each value."""
        self._count(plan.items)
        self._own(plan.items)
        for val in plan.results:
            self._use(val, _END)

    def _count(self, items: Sequence[Item]) -> None:
        for item in items:
            if isinstance(item, LetItem):
                continue
            if isinstance(item, IfItem):
                assert item.passed is not None
                assert item.inner is not None
                self._count(item.items)
                self.position[id(item)] = len(self.position)
                self._use(item.passed, self.position[id(item)], item)
                self._use(item.inner, self.position[id(item)], item)
                continue
            self.position[id(item)] = len(self.position)
            for val in item.reads:
                self._use(val, self.position[id(item)], item)

    def _use(self, val: Val, position: int, item: Item | None = None) -> None:
        self.values[id(val)] = val
        self.uses.setdefault(id(val), []).append(position)
        if item is not None:
            self.readers.setdefault(id(val), []).append(item)

    def _last_use(self, val: Val) -> int:
        return max(self.uses.get(id(val), [-1]))

    # The method.

    def lines(self) -> list[str]:
        """The whole method."""
        plan = self.plan
        names = ["x"] if len(plan.inputs) == 1 else [value_name(name) for name in plan.input_names]
        for val, name in zip(plan.inputs, names, strict=True):
            self.variables[id(val)] = name
        kind = "dict[str, torch.Tensor]" if plan.outputs else "torch.Tensor"
        if not plan.outputs and len(plan.results) > 1:
            kind = "tuple[torch.Tensor, ...]"
        signature = [Text("self"), *(Text(f"{name}: torch.Tensor") for name in names)]
        self.out.add(1, "", Brackets("def forward(", signature, f") -> {kind}:"))
        *rest, last = plan.items or [None]  # type: ignore[list-item]
        if isinstance(last, IfItem) and plan.results == [last.out]:
            self._emit(rest, 2)
            if self._return_choice(last):
                return self.out.lines
            self._emit([last], 2)
        else:
            self._emit(plan.items, 2)
        self._return()
        return self.out.lines

    def _return(self) -> None:
        plan = self.plan
        if plan.outputs is None and len(plan.results) == 1:
            result = plan.results[0]
            if self.pending is not None and self.pending.val is result:
                self._statement(2, "return ", self.pending.doc, result)
                return
            self._flush(2)
            self.out.add(2, f"return {self.variables[id(result)]}")
            return
        self._flush(2)
        names = [Text(self.variables[id(val)]) for val in plan.results]
        if plan.outputs is None:
            line = f"return {', '.join(name.text for name in names)}"
            if fits(2, line):
                self.out.add(2, line)
            else:
                self.out.add(2, "return ", Brackets("(", names, tall=True))
            return
        entries = [Named(f"{quoted(name)}: ", text) for name, text in zip(plan.outputs, names, strict=True)]
        self.out.add(2, "return ", Brackets("{", entries, "}", tall=True))

    def _return_choice(self, item: IfItem) -> bool:
        """`return a if condition else b`, where that fits."""
        self._flush(2)
        assert item.passed is not None
        expression = self._single(item)
        if expression is not None:
            line = f"return {self._choice(item, expression, self.variables[id(item.passed)])}"
            if fits(2, line):
                self.out.add(2, line)
                return True
        return False

    def _statement(self, level: int, prefix: str, doc: Doc, val: Val) -> None:
        line = prefix + doc.flat()
        if self.shapes is not None:
            comment = f"  # {shape_text(self.shapes[val.paths[0]])}"
            if fits(level, line + comment):
                self.out.add(level, line + comment)
                return
        self.out.add(level, prefix, doc)

    # Steps.

    def _emit(self, items: Sequence[Item], level: int) -> None:
        for item in items:
            if isinstance(item, LetItem):
                continue
            if isinstance(item, IfItem):
                self._flush(level)
                self._conditional(item, level)
            elif isinstance(item, UseItem) and len(item.outs) > 1:
                self._flush(level)
                self._several(item, level)
            else:
                self._step(item, level)

    def _step(self, item: Item, level: int) -> None:
        pending = self.pending
        folded = pending is not None and self._folds(pending, item, level)
        if not folded:
            self._flush(level)
        operands: list[Val] = []
        docs: list[Doc] = []
        for val in item.reads:
            if folded and pending is not None and val is pending.val:
                docs.append(pending.doc)
                operands += pending.operands
            else:
                docs.append(Text(self.variables[id(val)]))
                operands.append(val)
        first = pending.item if folded and pending is not None else item
        self.pending = _Pending(item.out, self._call(item, docs), tuple(operands), first)

    def _folds(self, pending: _Pending, item: Item, level: int) -> bool:
        if not isinstance(item, OpItem) or item.reads.count(pending.val) != 1:
            return False
        if len(self.uses.get(id(pending.val), [])) != 1:
            return False
        target = item.calls[0].target
        call = module_call(item)
        light = call.target in LIGHT if call else False
        if not light and target not in ("+", "*") and not self._is_global_pool(pending):
            return False
        if target in ("+", "*") and isinstance(pending.doc, Chain):
            return False
        docs: list[Doc] = [pending.doc if val is pending.val else Text(self._peek(val)) for val in item.reads]
        return fits(level, f"return {self._call(item, docs).flat()}")

    @staticmethod
    def _is_global_pool(pending: _Pending) -> bool:
        """Whether what waits is a pooling to a given size and nothing more: its reader is on the same line."""
        item = pending.item
        if not isinstance(item, OpItem) or item.out is not pending.val:
            return False
        return item.calls[0].target.startswith("nn.Adaptive")

    def _peek(self, val: Val) -> str:
        return self.variables.get(id(val), "x")

    def _call(self, item: Item, docs: list[Doc]) -> Doc:
        if not isinstance(item, OpItem):
            return Brackets(f"{self._attribute(item)}(", docs)
        found = docs
        for call in item.calls:
            found = [self._one_call(item, call, found)]
        return found[0]

    def _one_call(self, item: OpItem, call: CallPlan, docs: list[Doc]) -> Doc:
        if call.target in ("+", "*"):
            return Chain(call.target, docs)
        if not call.is_module:
            arguments = {key: self._stored(call, key, tree) for key, tree in call.arguments.items()}
            inputs: list[Doc] = [Brackets("[", docs, "]")] if call.listed else docs
            return Brackets(f"{call.target}(", [*inputs, *call_arguments(call.target, arguments, 1)])
        if not is_function(item):
            return Brackets(f"{self._attribute(item)}(", docs)
        if call.target == "nn.Identity":
            return docs[0]
        function = FUNCTIONS[call.target]
        if call.target == "nn.Flatten":
            return Brackets(f"{function}(", [*docs, Text("1")])
        return Brackets(f"{function}(", [*docs, *call_arguments(call.target, call.arguments, 1)])

    def _stored(self, call: CallPlan, key: str, tree: ast.expr) -> ast.expr:
        name = self.builder.stored.get((id(call), key))
        return tree if name is None else ast.Name(f"self.{name}")

    @staticmethod
    def _attribute(item: Item) -> str:
        name = item.attribute()
        return f"self.{name}" if name.isidentifier() else f'self.get_submodule("{name}")'

    def _several(self, item: UseItem, level: int) -> None:
        """A class that returns more than its result."""
        docs: list[Doc] = [Text(self.variables[id(val)]) for val in item.reads]
        names = []
        position = self.position[id(item)]
        for number, val in enumerate(item.outs):
            if not self.uses.get(id(val)):
                names.append("_")
                continue
            name = self._reused(item.reads, position) if number == 0 else None
            name = name or self._new_name(val, item, position, set(names))
            self.variables[id(val)] = name
            names.append(name)
        call = Brackets(f"{self._attribute(item)}(", docs)
        if fits(level, f"{', '.join(names)} = {call.flat()}"):
            self.out.add(level, f"{', '.join(names)} = ", call)
            return
        self.out.add(level, "results = ", call)
        for number, name in enumerate(names):
            if name != "_":
                self.out.add(level, f"{name} = results[{number}]")

    # Conditions.

    def _condition(self, item: IfItem) -> tuple[str, bool]:
        """What `forward` asks, and whether it asks for None."""
        held = self.builder.stored.get((id(item), "none"))
        return (held, True) if held else (self.builder.stored[id(item), ""], False)

    def _choice(self, item: IfItem, there: str, other: str) -> str:
        held, none = self._condition(item)
        return f"{other} if {held} is None else {there}" if none else f"{there} if {held} else {other}"

    def _single(self, item: IfItem) -> str | None:
        """The steps under a condition as one expression, if they are one."""
        mark, variables, forced = len(self.out.lines), dict(self.variables), dict(self.forced)
        self._emit(item.items, 3)
        found = self.pending
        self.pending = None
        single = len(self.out.lines) == mark and found is not None and found.val is item.inner
        if not single:
            del self.out.lines[mark:]
            self.variables, self.forced = variables, forced
            return None
        assert found is not None
        return found.doc.flat()

    def _conditional(self, item: IfItem, level: int) -> None:
        passed, inner, result = item.passed, item.inner, item.out
        assert passed is not None
        assert inner is not None
        if passed is result:
            return
        if passed.ghost:  # nothing reads the result where the steps are left out
            self._branch(item, level, None)
            return
        position = self.position[id(item)]
        before = self.variables[id(passed)]
        alive = self._last_use(passed) > position or self._others_hold(before, passed, position)
        name = self._new_name(result, item, position, set()) if alive else before
        if alive:
            expression = self._single(item)
            if expression is not None:
                line = f"{name} = {self._choice(item, expression, before)}"
                if fits(level, line):
                    self.out.add(level, line)
                    self.variables[id(result)] = name
                    return
            self.out.add(level, f"{name} = {before}")
        self._branch(item, level, name)

    def _branch(self, item: IfItem, level: int, name: str | None) -> None:
        """`if`, with the steps below it; `name` is the variable of the result."""
        inner, result = item.inner, item.out
        assert inner is not None
        held, none = self._condition(item)
        self.out.add(level, f"if {held} is not None:" if none else f"if {held}:")
        mark = len(self.out.lines)
        if name is not None:
            self.forced[id(inner)] = name
        self._emit(item.items, level + 1)
        self._flush(level + 1)
        name = name or self.variables[id(inner)]
        if self.variables[id(inner)] != name:
            self.out.add(level + 1, f"{name} = {self.variables[id(inner)]}")
        if len(self.out.lines) == mark:
            self.out.add(level + 1, "pass")
        self.variables[id(result)] = name

    # Variables.

    def _flush(self, level: int) -> None:
        pending = self.pending
        if pending is None:
            return
        self.pending = None
        if isinstance(pending.doc, Text):  # nothing happened: an identity
            self.variables[id(pending.val)] = pending.doc.text
            return
        position = self._defined_before(pending)
        name = self.forced.get(id(pending.val))
        if name is None and not self._is_branch(pending):
            name = self._reused(pending.operands, position)
        name = name or self._new_name(pending.val, pending.item, position, set())
        self.variables[id(pending.val)] = name
        self._statement(level, f"{name} = ", pending.doc, pending.val)

    def _is_branch(self, pending: _Pending) -> bool:
        """Whether a value is one of several branches from one value to a concatenation: each has a name then."""
        reader, item = self._sole_reader(pending.val), pending.item
        if not isinstance(reader, OpItem) or not reader.calls[0].listed or not item.reads:
            return False
        named = not isinstance(item, OpItem) or item.explicit
        return named and len(self.uses[id(item.reads[0])]) > 1

    def _defined_before(self, pending: _Pending) -> int:
        """The position of the step that makes a value."""
        return self.position[id(self.owners[id(pending.val)])]

    def _own(self, items: Sequence[Item]) -> None:
        for item in items:
            self.owners.update((id(val), item) for val in item.outs)
            if isinstance(item, IfItem):
                self._own(item.items)

    def _others_hold(self, name: str, val: Val, position: int) -> bool:
        """Whether a variable also holds another value that is read later."""
        return any(
            held == name and key != id(val) and key in self.uses and max(self.uses[key]) > position
            for key, held in self.variables.items()
        )

    def _reused(self, operands: Sequence[Val], position: int) -> str | None:
        """The variable of the first operand, if nothing reads it any more."""
        for val in operands[:1]:
            name = self.variables[id(val)]
            if self._last_use(val) <= position and not self._others_hold(name, val, position):
                return name
        return None

    def _new_name(self, val: Val, item: Item, position: int, also: set[str]) -> str:
        live = {held for key, held in self.variables.items() if key in self.uses and max(self.uses[key]) > position}
        live |= also
        base = self._idea(val, item)
        name, number = base, 1
        while name in live:
            number += 1
            name = f"{base}_{number}"
        return name

    def _idea(self, val: Val, item: Item) -> str:
        """What a person would call the value: by its step, or by what becomes of it."""
        label = value_name(item.attribute() or val.label)
        explicit = label.isidentifier() and (not isinstance(item, OpItem) or item.explicit)
        end, reader = val, self._sole_reader(val)
        while reader is not None and not self._merges(reader) and reader.reads[:1] == [end] and len(reader.outs) == 1:
            end, reader = reader.out, self._sole_reader(reader.out)
        if any(isinstance(other, IfItem) and other.passed is end for other in self.readers.get(id(end), ())):
            return "out"
        if isinstance(reader, OpItem) and reader.calls[0].target in ("+", "*"):
            if isinstance(item, IfItem):
                return "shortcut"
            return "out" if reader.reads[0] is end or not explicit else label
        return label if explicit else "out"

    def _sole_reader(self, val: Val) -> Item | None:
        readers = self.readers.get(id(val), [])
        return readers[0] if len(readers) == 1 and len(self.uses[id(val)]) == 1 else None

    @staticmethod
    def _merges(item: Item) -> bool:
        return isinstance(item, IfItem) or len(item.reads) > 1
