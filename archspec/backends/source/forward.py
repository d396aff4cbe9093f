"""The `forward` of a class: statements as a person groups them, a convolution with what follows it on one line."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import NamedTuple

from archspec.backends.source.build import Builder
from archspec.backends.source.calls import CallPlan
from archspec.backends.source.dataflow import DataFlow
from archspec.backends.source.expressions import literal
from archspec.backends.source.items import ClassPlan, IfItem, Item, LetItem, OpItem, UseItem, Val
from archspec.backends.source.layout import Brackets, Chain, Doc, Lines, Named, Text, fits
from archspec.backends.source.naming import value_name
from archspec.backends.source.printing import call_arguments, expression, is_function
from archspec.backends.source.strings import quoted
from archspec.backends.source.variables import Variables
from archspec.ops.torch_api import FUNCTIONS, IDENTITY
from archspec.shapes import Shape, shape_text


class _Pending(NamedTuple):
    """An expression that no variable holds yet, since the next step may take it in. `operands` are the values it
    reads, `item` is the first step of it."""

    val: Val
    doc: Doc
    operands: tuple[Val, ...]
    item: Item


class Forward:
    """Writes `forward`. `builder` has written the `__init__`; `shapes` gives the shape of a path, for comments."""

    def __init__(self, plan: ClassPlan, builder: Builder, shapes: dict[str, Shape] | None = None) -> None:
        self.plan, self.builder, self.shapes = plan, builder, shapes
        self.out = Lines()
        self.flow = DataFlow(plan)
        self.variables = Variables(self.flow)
        self.pending: _Pending | None = None
        self.forced: dict[int, str] = {}
        """Variables that values are to have, by the id of the value: where two branches end in one."""

    # The method.

    def lines(self) -> list[str]:
        """The whole method."""
        plan = self.plan
        names = ["x"] if len(plan.inputs) == 1 else [value_name(name) for name in plan.input_names]
        for val, name in zip(plan.inputs, names, strict=True):
            self.variables[val] = name
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
            self.out.add(2, f"return {self.variables[result]}")
            return
        self._flush(2)
        names = [Text(self.variables[val]) for val in plan.results]
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
        expression = self._as_expression(item)
        if expression is not None:
            line = f"return {self._choice(item, expression, self.variables[item.passed])}"
            if fits(2, line):
                self.out.add(2, line)
                return True
        return False

    def _flush(self, level: int) -> None:
        """Put what waits into a variable."""
        pending = self.pending
        if pending is None:
            return
        self.pending = None
        if isinstance(pending.doc, Text):  # nothing happened: an identity
            self.variables[pending.val] = pending.doc.text
            return
        position = self.flow.position_of_maker(pending.val)
        name = self.forced.get(id(pending.val))
        if name is None and not self._is_branch(pending):
            name = self.variables.reused(pending.operands, position)
        name = name or self.variables.new(pending.val, pending.item, position)
        self.variables[pending.val] = name
        self._statement(level, f"{name} = ", pending.doc, pending.val)

    def _is_branch(self, pending: _Pending) -> bool:
        """Whether a value is one of several branches from one value to a concatenation: each has a name then."""
        reader, item = self.flow.sole_reader(pending.val), pending.item
        if not isinstance(reader, OpItem) or not reader.calls[0].listed or not item.reads:
            return False
        named = not isinstance(item, OpItem) or item.explicit
        return named and not self.flow.is_read_once(item.reads[0])

    def _statement(self, level: int, prefix: str, doc: Doc, val: Val) -> None:
        """`prefix` and the code of a value, with its shape as a comment where that fits."""
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
                self._several_results(item, level)
            else:
                self._step(item, level)

    def _step(self, item: Item, level: int) -> None:
        """A step with one result, which then waits; what has waited is taken into its line, or gets a variable."""
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
                docs.append(Text(self.variables[val]))
                operands.append(val)
        first = pending.item if folded and pending is not None else item
        self.pending = _Pending(item.out, self._call(item, docs), tuple(operands), first)

    def _folds(self, pending: _Pending, item: Item, level: int) -> bool:
        """Whether a person would write a step on the line of what it reads."""
        if not isinstance(item, OpItem) or item.reads.count(pending.val) != 1:
            return False
        if not self.flow.is_read_once(pending.val):
            return False
        merges = item.calls[0].is_operator
        light = item.op.on_line_of_input or item.calls[0].target == IDENTITY
        if not light and not merges and not self._takes_reader(pending):
            return False
        if merges and isinstance(pending.doc, Chain):
            return False
        docs: list[Doc] = [
            pending.doc if val is pending.val else Text(self.variables.get(val, "x")) for val in item.reads
        ]
        return fits(level, f"return {self._call(item, docs).flat()}")

    @staticmethod
    def _takes_reader(pending: _Pending) -> bool:
        """Whether what waits is one op and nothing more, which has its reader on the same line."""
        item = pending.item
        return isinstance(item, OpItem) and item.out is pending.val and item.op.on_line_of_reader

    def _call(self, item: Item, docs: list[Doc]) -> Doc:
        """The code of a step that is given `docs`."""
        if not isinstance(item, OpItem):
            return Brackets(f"{self._attribute(item)}(", docs)
        found = docs
        for call in item.calls:
            found = [self._one_call(item, call, found)]
        return found[0]

    def _one_call(self, item: OpItem, call: CallPlan, docs: list[Doc]) -> Doc:
        if call.is_operator:
            return Chain(call.target, docs)
        if not call.is_module:
            inputs: list[Doc] = [Brackets("[", docs, "]")] if call.listed else docs
            return Brackets(f"{call.target}(", [*inputs, *self._call_arguments(call)])
        if not is_function(item):
            return Brackets(f"{self._attribute(item)}(", docs)
        if call.target == IDENTITY:
            return docs[0]
        function = FUNCTIONS[call.target]
        leading = [expression(literal(value)) for value in function.leading]
        return Brackets(f"{function.name}(", [*docs, *leading, *self._call_arguments(call)])

    def _call_arguments(self, call: CallPlan) -> list[Doc]:
        """The arguments of a function; what only `__init__` can work out is in an attribute."""
        held = self.builder.argument_attributes
        arguments = {
            key: ast.Name(f"self.{held[id(call), key]}") if (id(call), key) in held else tree
            for key, tree in call.arguments.items()
        }
        return call_arguments(call.target, arguments, after_inputs=True)

    @staticmethod
    def _attribute(item: Item) -> str:
        name = item.attribute()
        return f"self.{name}" if name.isidentifier() else f'self.get_submodule("{name}")'

    def _several_results(self, item: UseItem, level: int) -> None:
        """A call of a class that returns more than its result."""
        docs: list[Doc] = [Text(self.variables[val]) for val in item.reads]
        names = []
        position = self.flow.position[id(item)]
        for number, val in enumerate(item.outs):
            if not self.flow.is_read(val):
                names.append("_")
                continue
            name = self.variables.reused(item.reads, position) if number == 0 else None
            name = name or self.variables.new(val, item, position, taken=names)
            self.variables[val] = name
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

    def _choice(self, item: IfItem, there: str, other: str) -> str:
        """`there` if the condition holds, else `other`."""
        held, or_none = self.builder.conditions[id(item)]
        return f"{other} if {held} is None else {there}" if or_none else f"{there} if {held} else {other}"

    def _as_expression(self, item: IfItem) -> str | None:
        """The steps under a condition as one expression, if they are one."""
        mark, names, forced = len(self.out.lines), dict(self.variables.names), dict(self.forced)
        self._emit(item.items, 3)
        found = self.pending
        self.pending = None
        single = len(self.out.lines) == mark and found is not None and found.val is item.inner
        if not single:
            del self.out.lines[mark:]
            self.variables.names, self.forced = names, forced
            return None
        assert found is not None
        return found.doc.flat()

    def _conditional(self, item: IfItem, level: int) -> None:
        """Steps under a condition, and the variable in which either result ends."""
        passed, inner, result = item.passed, item.inner, item.out
        assert passed is not None
        assert inner is not None
        if passed is result:
            return
        if passed.ghost:  # nothing reads the result where the steps are left out
            self._branch(item, level, None)
            return
        position = self.flow.position[id(item)]
        before = self.variables[passed]
        alive = self.variables.is_needed_after(passed, position)
        name = self.variables.new(result, item, position) if alive else before
        if alive:
            expression = self._as_expression(item)
            if expression is not None:
                line = f"{name} = {self._choice(item, expression, before)}"
                if fits(level, line):
                    self.out.add(level, line)
                    self.variables[result] = name
                    return
            self.out.add(level, f"{name} = {before}")
        self._branch(item, level, name)

    def _branch(self, item: IfItem, level: int, name: str | None) -> None:
        """`if`, with the steps below it; `name` is the variable of the result."""
        inner, result = item.inner, item.out
        assert inner is not None
        held, or_none = self.builder.conditions[id(item)]
        self.out.add(level, f"if {held} is not None:" if or_none else f"if {held}:")
        mark = len(self.out.lines)
        if name is not None:
            self.forced[id(inner)] = name
        self._emit(item.items, level + 1)
        self._flush(level + 1)
        name = name or self.variables[inner]
        if self.variables[inner] != name:
            self.out.add(level + 1, f"{name} = {self.variables[inner]}")
        if len(self.out.lines) == mark:
            self.out.add(level + 1, "pass")
        self.variables[result] = name
