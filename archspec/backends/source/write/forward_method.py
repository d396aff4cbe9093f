"""The `forward` of a class: statements as a person groups them, a convolution with what follows it on one line."""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from archspec.backends.source.identifiers import numbered, value_name
from archspec.backends.source.plan.ir import (
    Branch,
    CallPlan,
    Chain,
    ClassPlan,
    Free,
    Instance,
    InTraining,
    Leaf,
    Let,
    Listing,
    Loop,
    Reuse,
    Slot,
    Statement,
    entry_of,
    walk,
)
from archspec.backends.source.strings import quoted
from archspec.backends.source.trees import text
from archspec.backends.source.write import layout
from archspec.backends.source.write.chains import has_module, name_code, number_of
from archspec.backends.source.write.code import call_arguments, expression, is_function, slice_bounds
from archspec.backends.source.write.init_method import InitWriter
from archspec.backends.source.write.layout import Brackets, Doc, Named, Text, fits, laid_out
from archspec.backends.source.write.liveness import Liveness
from archspec.ops.torch_api import FUNCTIONS, IDENTITY, METHODS, numbers_of
from archspec.shapes import Shape, shape_text

RUNNING = ("x", "out")
"""The variables of values that go from step to step."""

_UNTYPED = ("F.max_pool", "F.adaptive_max_pool")
"""Functions that torch declares to return anything."""


SHORT_FORMULA = 60
"""Characters of a formula that may stand within another one."""


class _Pending(NamedTuple):
    """An expression that no variable holds yet, since the next step may take it in.

    `operands` are the values that it reads, `first` is the first step of it, `typed` whether torch declares a tensor.
    """

    slot: Slot
    doc: Doc
    operands: tuple[Slot, ...]
    first: Statement
    last: Statement
    typed: bool


@dataclass
class _Line:
    """A line of the method: an assignment of `names`, or any other code."""

    level: int
    doc: Doc
    names: tuple[str, ...] = ()
    comment: str = ""
    prefix: str = ""
    annotated: bool = False

    def laid_out(self) -> list[str]:
        """Return the line as text."""
        hint = ": torch.Tensor" if self.annotated else ""
        prefix = f"{', '.join(self.names)}{hint} = " if self.names else self.prefix
        line = prefix + self.doc.flat()
        if self.comment and fits(self.level, f"{line}  {self.comment}"):
            return laid_out(self.level, prefix, Text(f"{self.doc.flat()}  {self.comment}"))
        return laid_out(self.level, prefix, self.doc)


class _Variables:
    """Which variable holds which value; one may hold several, one after the other."""

    def __init__(self, live: Liveness) -> None:
        self.live = live
        self._names: dict[Slot, str] = {}
        self._held: dict[str, list[Slot]] = {}

    def __getitem__(self, slot: Slot) -> str:
        return self._names[slot]

    def __setitem__(self, slot: Slot, name: str) -> None:
        self._names[slot] = name
        self._held.setdefault(name, []).append(slot)

    def get(self, slot: Slot) -> str | None:
        """Return the variable of a value, if it has one yet."""
        return self._names.get(slot)

    def is_needed_after(self, slot: Slot, position: int) -> bool:
        """Return whether a later step reads what the variable of a value holds: the value itself, or another."""
        name = self._names[slot]
        held = self._held[name]
        if len(held) > 8:  # most have been read for the last time
            held = self._held[name] = [other for other in held if self.live.last_use(other) > position] or held[-1:]
        return any(self.live.last_use(other) > position for other in held)

    def in_use(self, position: int) -> set[str]:
        """Return the variables whose value a later step reads."""
        return {name for name, slots in self._held.items() if any(self.live.last_use(s) > position for s in slots)}

    def snapshot(self) -> tuple[dict[Slot, str], dict[str, list[Slot]]]:
        """Return what holds what, to come back to."""
        return dict(self._names), {name: list(slots) for name, slots in self._held.items()}

    def restore(self, state: tuple[dict[Slot, str], dict[str, list[Slot]]]) -> None:
        """Come back to a snapshot."""
        self._names, self._held = dict(state[0]), {name: list(slots) for name, slots in state[1].items()}


class ForwardWriter:
    """Writes `forward`. `init` has written the `__init__`; `shapes` gives the shape of a path, for comments."""

    def __init__(self, plan: ClassPlan, init: InitWriter, shapes: dict[str, Shape] | None = None) -> None:
        self.plan, self.init, self.shapes = plan, init, shapes
        self.live = Liveness(plan)
        self.variables = _Variables(self.live)
        self.ways = {
            each: branch
            for branch in walk(plan.statements)
            if isinstance(branch, Branch) and branch.otherwise
            for each in branch.inside()
        }
        self.lines: list[_Line] = []
        self.pending: _Pending | None = None
        self.reused = {each.target for each in walk(plan.statements) if isinstance(each, Reuse)}
        self.forced: dict[Slot, str] = {}  # where two ways, or two rounds, end in one variable
        self.typed: dict[str, bool] = {}  # whether torch declares that what a variable holds is a tensor
        self.declared: set[str] = set()  # variables with a type hint
        self.lists: dict[Statement, tuple[Listing, int]] = {}  # modules of lists, and their place
        self.attribute_of: dict[Statement, str] = {}
        for name, entries in init.entries.items():
            for each in entries:
                if has_module(each) and isinstance(each.name, str):
                    self.lists[each] = Listing(name), number_of(each, 0)

    # The method.

    def method(self) -> list[str]:
        """Return the lines of the method."""
        plan = self.plan
        names = [value_name(name) for name in plan.input_names]
        if len(names) == 1 and not plan.is_network or names == ["input"]:
            names = ["x"]
        for slot, name in zip(plan.inputs, names, strict=True):
            self.variables[slot] = name
            self.typed[name] = True
            self.declared.add(name)
        kind = "dict[str, torch.Tensor]" if plan.outputs else "torch.Tensor"
        if plan.outputs and len(plan.outputs) - len(plan.training) == 1:
            kind = f"torch.Tensor | {kind}"
        if not plan.outputs and len(plan.results) > 1:
            kind = f"tuple[{', '.join(['torch.Tensor'] * len(plan.results))}]"
        signature = [Text("self"), *(Text(f"{name}: torch.Tensor") for name in names)]
        head = laid_out(1, "", Brackets("def forward(", signature, f") -> {kind}:"))
        self._emit(plan.statements, 2)
        self._return()
        return [*head, *(line for entry in self.lines for line in entry.laid_out())]

    def _add(self, level: int, prefix: str, doc: Doc | None = None) -> None:
        self.lines.append(_Line(level, doc or Text(""), prefix=prefix))

    def _assign(self, level: int, name: str, doc: Doc, slot: Slot, typed: bool) -> None:
        """Write `name = doc`, with the shape of the value as a comment."""
        comment = ""
        differs = level > 2 and slot.shape is None  # from round to round
        if self.shapes is not None and slot.paths.get(0) in self.shapes and not differs:
            comment = f"# {shape_text(self.shapes[slot.paths[0]])}"
        self.lines.append(_Line(level, doc, (name,), comment))
        self.typed[name] = name in self.declared or typed and self.typed.get(name, True)  # mypy takes the first type

    def _return(self) -> None:
        plan = self.plan
        if plan.outputs is None and len(plan.results) == 1:
            self._return_one(plan.results[0])
            return
        self._flush(2)
        results = plan.results if plan.outputs else [plan.results[place] for place in plan.order()]
        names = [Text(self.variables[slot]) for slot in results]
        if plan.outputs is None:
            line = f"return {', '.join(name.text for name in names)}"
            self._add(2, line) if fits(2, line) else self._add(2, "return ", Brackets("(", names, tall=True))
            return
        entries = [Named(f"{quoted(name)}: ", code) for name, code in zip(plan.outputs, names, strict=True)]
        if plan.training:
            self._add(2, "if self.training:")
            self._add(3, "return ", Brackets("{", entries, "}"))
            kept = [place for place, name in enumerate(plan.outputs) if name not in plan.training]
            entries = [entries[place] for place in kept]
            if len(kept) == 1:
                self._declare(names[kept[0]].text)
                self._add(2, f"return {names[kept[0]].text}")
                return
        self._add(2, "return ", Brackets("{", entries, "}", tall=True))

    def _return_one(self, result: Slot) -> None:
        """Return a value; torch's modules declare no type, so one of theirs goes through a variable that does."""
        pending = self.pending
        if pending is None or pending.slot is not result or self._is_alias(pending):
            self._flush(2)
            name = self.variables[result]
            self._declare(name)
            self._add(2, f"return {name}")
            return
        self.pending = None
        if pending.typed or self._declare_operands(pending):
            line = _Line(2, pending.doc, prefix="return ")
            if self.shapes is not None:
                line.comment = f"# {shape_text(self.shapes[result.paths[0]])}"
            self.lines.append(line)
            return
        name = "out" if "out" not in self.typed else numbered("result", self.typed.__contains__)
        self._assign(2, name, pending.doc, result, False)
        self._declare(name)
        self._add(2, f"return {name}")

    def _declare(self, name: str) -> None:
        """Give a variable a type where it is first set, if it has none."""
        if self.typed.get(name):
            return
        line = next((line for line in self.lines if name in line.names), None)
        if line is not None and line.names == (name,):
            line.annotated = self.typed[name] = True
            self.declared.add(name)

    def _declare_operands(self, pending: _Pending) -> bool:
        """Give the operands of an operator types; False if that is not all there is."""
        if not isinstance(pending.doc, layout.Chain) or not all(
            isinstance(each, Text) for each in pending.doc.operands
        ):
            return False
        names = [each.text for each in pending.doc.operands if isinstance(each, Text)]
        for name in names:
            self._declare(name)
        return all(self.typed.get(name) for name in names)

    # Variables.

    def _is_alias(self, pending: _Pending) -> bool:
        """Return whether nothing happens to a value: an identity."""
        names = [self.variables.get(slot) for slot in pending.operands]
        return isinstance(pending.doc, Text) and pending.doc.text in names

    def _flush(self, level: int) -> None:
        """Put what waits into a variable."""
        pending = self.pending
        if pending is None:
            return
        self.pending = None
        if self._is_alias(pending):
            assert isinstance(pending.doc, Text)
            self.variables[pending.slot] = pending.doc.text
            return
        name = self._name(pending)
        self.variables[pending.slot] = name
        self._assign(level, name, pending.doc, pending.slot, pending.typed)

    def _name(self, pending: _Pending) -> str:
        """Return the variable for a value: that of the running value, or one of its own if it is read again later."""
        slot = pending.slot
        if slot in self.forced:
            return self.forced[slot]
        position = self.live.position[pending.last]
        label = self._label(pending)
        given = self._name_of_given(pending, position)
        if given:
            return given
        if label and self._has_own_name(pending):
            return self._new(label, position)
        first = pending.operands[0] if pending.operands else None
        if first is not None and not self.variables.is_needed_after(first, position):
            name = self.variables[first]
            if name in RUNNING:
                return name
        busy = self.variables.in_use(position)
        free = next((name for name in RUNNING if name not in busy), None)
        return free or self._new(label or slot.label or "y", position)

    def _name_of_given(self, pending: _Pending, position: int) -> str:
        """Return the variable that a module called several times is given, to hold its result: `a = self.f(a)`.

        Empty if the spec calls the result something else, or what the variable holds is still needed.
        """
        last = pending.last
        again = isinstance(last, Reuse) and not last.out.named
        if not again and last not in self.reused or len(pending.operands) != 1:
            return ""
        first = pending.operands[0]
        name = self.variables[first]
        own = first in self.plan.inputs and len(self.plan.inputs) > 1 or again and name not in RUNNING
        return name if own and not self.variables.is_needed_after(first, position) else ""

    def _label(self, pending: _Pending) -> str:
        """Return what the spec calls a value, by the step that makes it; empty if it has no name of its own."""
        last, first = pending.last, pending.first
        own = _is_explicit(last) or (self._is_held(last) and not (_is_light(last) and _is_explicit(first)))
        if not own and len(pending.operands) > 1:  # a merge on the way: no longer what the first step made
            return value_name(pending.slot.label) if pending.slot.named and pending.slot.label else ""
        statement = last if own else first
        if statement in self.lists:
            listing, place = self.lists[statement]
            base = listing.name if isinstance(listing.name, str) and not listing.name.isdecimal() else "x"
            return value_name(f"{base.removesuffix('s')}{place}")
        name = statement.name if isinstance(statement.name, str) else ""
        if isinstance(statement.name, ast.expr):
            name = _stem(statement.name)
        if not (_is_explicit(statement) or self._is_held(statement)) or not name or name.isdecimal():
            return value_name(pending.slot.label) if pending.slot.named and pending.slot.label else ""
        return value_name(name)

    def _is_held(self, statement: Statement) -> bool:
        """Return whether a statement calls a module that an attribute holds."""
        return isinstance(statement, Instance | Chain | Reuse) or (
            isinstance(statement, Leaf) and not is_function(statement)
        )

    def _is_kept(self, pending: _Pending) -> bool:
        """Return whether a value is read again after the step that comes next has read it."""
        readers = [self.live.position[reader] for reader in self.live.readers.get(pending.slot, ())]
        return bool(readers) and self.live.last_use(pending.slot) > min(readers)

    def _has_own_name(self, pending: _Pending) -> bool:
        """Return whether a person would name a value after its step rather than call it the running value."""
        slot = pending.slot
        if self._is_overwritten(slot) or self._is_parted(slot):
            return False
        if self.live.count(slot) > 1:
            own = _is_explicit(pending.last) or slot.named or pending.last in self.lists
            return own or (self._is_held(pending.last) and self._is_kept(pending))
        reader = self.live.sole_reader(slot)
        if isinstance(reader, Leaf) and reader.op.operand_names and slot.named:
            return sum(other.named for other in reader.reads) > 1
        if isinstance(reader, Leaf) and len(reader.reads) > 1:
            starts = pending.operands and self.live.count(pending.operands[0]) > 1
            listed = reader.calls[0].listed
            if listed and (_is_explicit(pending.last) or slot.named) and self._is_one_of_several(pending, reader):
                return True
            module = isinstance(pending.last, Instance | Chain | Reuse) and pending.last is pending.first
            merged = [other for other in reader.reads if other is not slot]
            skip = any(other in self.plan.inputs for other in merged)
            return bool(starts) and (listed or module and not skip or self._is_parallel(pending, merged))
        if isinstance(reader, Instance) and len(reader.reads) > 1:
            return True
        first = pending.operands[0] if pending.operands else None
        goes_on = first is not None and self.variables.get(first) in RUNNING
        made = self.live.position[self.live.maker.get(slot, pending.last)]
        if reader is not None and self.live.position[reader] > made + 1 and not goes_on:
            return True
        if reader is None and slot in self.plan.results:
            return len(self.plan.results) > 1
        return False

    def _is_overwritten(self, slot: Slot) -> bool:
        """Return whether a branch or a loop gives the variable of a value another one: then it is a running value."""
        for reader in self.live.readers.get(slot, ()):
            last = self.live.last_use(slot) <= self.live.position[reader]
            if isinstance(reader, Branch) and reader.other_result is slot and not reader.otherwise and last:
                return True
            if isinstance(reader, Loop) and any(value.initial is slot for value in reader.values) and last:
                return True
        return False

    def _is_one_of_several(self, pending: _Pending, reader: Statement) -> bool:
        """Return whether a value is one of a list of named ones, or has to wait for the others."""
        others = [slot for slot in reader.reads if slot is not pending.slot]
        if len(others) > 1 or self.live.position[reader] > self.live.position[pending.last] + 1:
            return True
        return all(slot not in self.plan.inputs and slot.named and self.live.count(slot) == 1 for slot in others)

    def _is_parted(self, slot: Slot) -> bool:
        """Return whether only the two ways of a branch read a value, each of them once."""
        readers = self.live.readers.get(slot, [])
        branches = {self.ways.get(reader) for reader in readers}
        return len(readers) == 2 == self.live.count(slot) and len(branches) == 1 and None not in branches

    def _is_parallel(self, pending: _Pending, others: Sequence[Slot]) -> bool:
        """Return whether the other operands of a merge are made from what this one is made from, each in one step."""
        if pending.last is not pending.first and not isinstance(pending.first, Leaf):
            return False
        for other in others:
            maker = self.live.maker.get(other)
            if maker is None or other in self.plan.inputs:
                return False
            if not any(operand in maker.reads for operand in pending.operands) and maker.reads[:1] != [
                pending.operands[0]
            ]:
                return False
        return True

    def _new(self, label: str, position: int, taken: Collection[str] = ()) -> str:
        """Return a variable of that name, or one like it if its value is still read."""
        busy = self.variables.in_use(position)
        return numbered(label, lambda name: name in busy or name in taken)

    # Steps.

    def _emit(self, statements: Sequence[Statement], level: int) -> None:
        for statement in statements:
            match statement:
                case Let():
                    if statement.target in self.init.read_in_loops and level > 2:
                        self._flush(level)
                        self._add(level, f"{statement.target} = ", expression(self.init.in_forward(statement.value)))
                case Free():
                    self.variables[statement.out] = self._attribute(statement)
                    self.typed[self.variables[statement.out]] = self.variables[statement.out].startswith("self.")
                case Listing():
                    self._listing(statement, level)
                case InTraining():
                    self._flush(level)
                    mark = len(self.lines)
                    self._add(level, "if self.training:")
                    self._emit(statement.statements, level + 1)
                    self._flush(level + 1)
                    if len(self.lines) == mark + 1:  # values that have other names already
                        del self.lines[mark:]
                case Loop():
                    self._flush(level)
                    self._loop(statement, level)
                case Branch() if statement in self.init.chosen:
                    self.attribute_of[statement] = self.init.chosen[statement]
                    self._step(statement, statement.statements[0].reads, level)
                case Branch():
                    self._flush(level)
                    self._branch(statement, level)
                case Leaf() if len(statement.outs) > 1:
                    self._parts(statement, level)
                case Instance() | Reuse() if len(statement.outs) > 1:
                    self._flush(level)
                    self._several_results(statement, level)
                case _:
                    self._step(statement, statement.reads, level)

    def _listing(self, listing: Listing, level: int) -> None:
        """Write the calls of the modules of a list, or a loop over it."""
        place = 0
        for statement in listing.statements:
            if not has_module(statement):
                continue
            place = number_of(statement, place)
            self.lists[statement] = listing, place
            place += 1
        if self._is_run(listing):
            self._flush(level)
            self._run(listing, level)
        else:
            self._emit(listing.statements, level)

    def _is_run(self, listing: Listing) -> bool:
        """Return whether each module of a list reads the result of the one before, and the same values besides."""
        statements = [statement for statement in listing.statements if not isinstance(statement, Let)]
        if len(statements) < 2 or not all(isinstance(each, Instance | Chain) for each in statements):
            return False
        if any(len(each.outs) != 1 for each in statements):
            return False
        for before, after in pairwise(statements):
            if after.reads[:1] != [before.out] or self.live.count(before.out) != 1:
                return False
            if after.reads[1:] != before.reads[1:] or before.out in after.reads[1:]:
                return False
        return True

    def _run(self, listing: Listing, level: int) -> None:
        statements = [statement for statement in listing.statements if not isinstance(statement, Let)]
        first, last = statements[0], statements[-1]
        position = self.live.position[last]
        start = first.reads[0]
        before = self.variables[start]
        name = before
        if self.variables.is_needed_after(start, self.live.position[first]) or start in first.reads[1:]:
            busy = self.variables.in_use(position) | {self.variables[slot] for slot in first.reads}
            name = next((each for each in RUNNING if each not in busy), None) or self._new(
                value_name(str(listing.name)), position
            )
            self._assign(level, name, Text(before), Slot({}), self.typed.get(before, False))
        single = value_name(str(listing.name).removesuffix("s"))
        item = numbered(
            single if single != listing.name else "module",
            lambda each: each in self.variables.in_use(0) or each == name,
        )
        others = [Text(self.variables[slot]) for slot in first.reads[1:]]
        self._add(level, f"for {item} in {self._attribute(listing)}:")
        self._assign(level + 1, name, Brackets(f"{item}(", [Text(name), *others]), last.out, False)
        self.variables[last.out] = name

    def _step(self, statement: Statement, reads: Sequence[Slot], level: int) -> None:
        """Write a step with one result, which then waits; what waited goes into its line, or gets a variable."""
        pending = self.pending
        if isinstance(statement, Leaf) and not statement.calls and pending is not None and reads == [pending.slot]:
            if self.live.count(pending.slot) == 1 and pending.slot not in self.forced:
                self.pending = pending._replace(slot=statement.out)
                return
        folded = pending is not None and self._folds(pending, statement, reads, level)
        if not folded:
            self._flush(level)
        operands: list[Slot] = []
        docs: list[Doc] = []
        for slot in reads:
            if folded and pending is not None and slot is pending.slot:
                docs.append(pending.doc)
                operands += pending.operands
            else:
                docs.append(Text(self.variables[slot]))
                operands.append(slot)
        if isinstance(statement, Leaf | Reuse) and statement.fits:
            docs = self._fitted(statement, docs)
        first = pending.first if folded and pending is not None else statement
        doc, typed = self._call(statement, docs)
        if isinstance(statement, Leaf) and statement.calls and statement.calls[-1].is_operator:
            typed = all(self._is_typed(slot, pending if folded else None) for slot in reads)
        elif len(docs) == 1 and doc is docs[0]:  # an identity
            typed = self._is_typed(reads[0], pending if folded else None)
        self.pending = _Pending(statement.out, doc, tuple(operands), first, statement, typed)

    @staticmethod
    def _fitted(leaf: Leaf | Reuse, docs: list[Doc]) -> list[Doc]:
        """Return what a step reads, each with the batch that it needs."""
        found: list[Doc] = []
        batched = next((doc.flat() for doc, fit in zip(docs, leaf.fits, strict=True) if not fit), "")
        for doc, fit, slot in zip(docs, leaf.fits, leaf.reads, strict=True):
            if fit == "expand":
                axes = len(slot.shape) if slot.shape is not None else len(slot.sizes)
                found.append(Text(f"{doc.flat()}.expand({', '.join([f'{batched}.shape[0]', *['-1'] * axes])})"))
            else:
                found.append(Text(f"{doc.flat()}.unsqueeze(0)") if fit else doc)
        return found

    def _is_typed(self, slot: Slot, pending: _Pending | None) -> bool:
        """Return whether torch declares that a value is a tensor."""
        if pending is not None and slot is pending.slot:
            return pending.typed
        return self.typed.get(self.variables[slot], False)

    def _folds(self, pending: _Pending, statement: Statement, reads: Sequence[Slot], level: int) -> bool:
        """Return whether a person would write a step on the line of what it reads."""
        if list(reads).count(pending.slot) != 1 or self.live.count(pending.slot) != 1:
            return False
        leaf = statement.statements[0] if isinstance(statement, Branch) else statement
        if not isinstance(leaf, Leaf) or pending.slot in self.forced:
            return False
        if any(leaf.fits):
            return False
        if any(call.given is not None and len(set(call.given)) < len(call.given) for call in leaf.calls):
            return False
        if any(call.size_of is not None and reads[call.size_of] is pending.slot for call in leaf.calls):
            return False
        if leaf.op.methods and not isinstance(pending.doc, Text | Brackets):
            return False
        operator = bool(leaf.calls) and leaf.calls[0].is_operator
        if operator and isinstance(pending.doc, layout.Chain):
            is_short = len(pending.doc.flat()) <= SHORT_FORMULA
            if not is_short or not (self._is_formula(pending.last) or self._is_formula(leaf)):
                return False
        waits = isinstance(pending.last, Leaf) and pending.last.op.on_line_of_reader and pending.last is pending.first
        if not leaf.op.on_line_of_input and not operator and not waits:
            return False
        if operator and not pending.typed and statement.out in self.plan.results and self.plan.outputs is None:
            return False  # what is returned is a sum of variables, whose types are known
        if operator and self._has_own_name(pending) and self._label(pending):
            later = [slot for slot in reads if slot is not pending.slot]
            if any(self.live.maker.get(slot) is None for slot in later):
                return False
        docs: list[Doc] = [
            pending.doc if slot is pending.slot else Text(self.variables.get(slot) or "x") for slot in reads
        ]
        return fits(level, f"return {self._call(statement, docs)[0].flat()}")

    def _is_formula(self, statement: Statement) -> bool:
        """Return whether a step is arithmetic with a number or a free tensor: part of a formula, not a merge."""
        if not isinstance(statement, Leaf) or not statement.calls or not statement.calls[0].is_operator:
            return False
        free = any(isinstance(self.live.maker.get(slot), Free) for slot in statement.reads)
        return free or bool(statement.calls[0].arguments)

    def _call(self, statement: Statement, docs: list[Doc]) -> tuple[Doc, bool]:
        """Return the code of a step that is given `docs`, and whether torch declares that it returns a tensor."""
        if isinstance(statement, Reuse) and isinstance(statement.target, Leaf) and not statement.path:
            return self._call(statement.target, docs)
        if isinstance(statement, Reuse) and statement.call is not None:
            return self._module_call(self._attribute(statement), statement.call, docs), False
        if not isinstance(statement, Leaf):
            return Brackets(f"{self._attribute(statement)}(", docs), False
        found, typed = docs, False
        if not statement.calls:
            return docs[0], True
        for call in statement.calls:
            is_any = call.target == "torch.permute" and call is not statement.calls[0] and not typed
            code, typed = self._one_call(statement, call, found)
            typed = typed and not is_any  # which torch declares for what it may be given by name
            found = [code]
        return found[0], typed

    @staticmethod
    def _module_call(attribute: str, call: CallPlan, docs: list[Doc]) -> Doc:
        """Return the code that calls a module of an op."""
        given = docs if call.given is None else [docs[place] for place in call.given]
        options = [Named(f"{name}=", Text(repr(value))) for name, value in call.options.items()]
        item = "" if call.item is None else f"[{call.item}]"
        return Brackets(f"{attribute}(", [*given, *options], f"){item}")

    def _one_call(self, leaf: Leaf, call: CallPlan, docs: list[Doc]) -> tuple[Doc, bool]:
        if call.is_operator:
            operands = list(docs)
            arguments = {key: self._argument(call, key, tree) for key, tree in call.arguments.items()}
            for place, tree in numbers_of(arguments):
                operands.insert(place, expression(tree))
            if call.target.startswith("["):
                return Text(f"{operands[0].flat()}{call.target[:-1]}{operands[1].flat()}]"), True
            return layout.Chain(call.target, [_operand(doc, call.target, n) for n, doc in enumerate(operands)]), False
        if leaf.op.methods and not call.makes_module and call.target not in ("torch.narrow", "torch.split"):
            arguments = {key: self._argument(call, key, tree) for key, tree in call.arguments.items()}
            method = f"{docs[0].flat()}.{call.target.removeprefix('torch.')}("
            sizes = arguments.get("shape")
            if isinstance(sizes, ast.Tuple):  # `x.reshape(-1, 4, 8)`
                return Brackets(method, [expression(size) for size in sizes.elts]), True
            return Brackets(method, call_arguments(call.target, arguments)), True
        if not call.makes_module:
            inputs: list[Doc] = [Brackets("[", docs, "]")] if call.listed else docs
            if call.target == "torch.narrow" and not call.listed and isinstance(docs[0], Text):
                return Text(self._slice(docs[0].text, call, leaf)), True
            if call.target in METHODS and isinstance(docs[0], Text) and docs[0].text.replace(".", "_").isidentifier():
                return Brackets(f"{docs[0].text}.{call.target[6:]}(", self._arguments(call)), True
            if call.target == "torch.neg" and isinstance(docs[0], Text) and docs[0].text.isidentifier():
                return Text(f"-{docs[0].text}"), self.typed.get(docs[0].text, False)
            if call.size_of is not None:
                size = Named("size=", Text(f"{docs[call.size_of].flat()}.shape[2:]"))
                inputs = [*(docs[place] for place in call.given or ()), size]
            return Brackets(f"{call.target}(", [*inputs, *self._arguments(call)]), True
        if leaf in self.lists or self.plan.base == "ModuleList" or not is_function(leaf):
            return self._module_call(self._attribute(leaf), call, docs), False
        if call.target == IDENTITY:
            return docs[0], True
        function = FUNCTIONS[call.target]
        leading = [Text(repr(value)) for value in function.leading]
        typed = not function.name.startswith(_UNTYPED)
        return Brackets(f"{function.name}(", [*docs, *leading, *self._arguments(call)]), typed

    def _slice(self, value: str, call: CallPlan, leaf: Leaf) -> str:
        """Return `x[:, start:stop]`."""
        bounds = {key: self._argument(call, key, tree) for key, tree in slice_bounds(leaf, call).items()}
        wide = any(not isinstance(tree, ast.Name | ast.Constant) or "." in text(tree) for tree in bounds.values())
        start, stop = (text(bounds[key]) if key in bounds else "" for key in ("start", "stop"))
        inner = f"{start}{' : ' if wide else ':'}{stop}".strip()
        dim = ast.literal_eval(call.arguments["dim"])
        return f"{value}[{'..., ' if dim < 0 else ':, ' * dim}{inner}]"

    def _argument(self, call: CallPlan, key: str, tree: ast.expr) -> ast.expr:
        """Return an argument of a function as `forward` has it, in terms of attributes."""
        return self.init.kept_arguments.get((id(call), key)) or self.init.in_forward(tree)

    def _arguments(self, call: CallPlan) -> list[Doc]:
        """Return the arguments of a function."""
        arguments = {key: self._argument(call, key, tree) for key, tree in call.arguments.items()}
        return call_arguments(call.target, arguments, after_inputs=True)

    def _attribute(self, statement: Statement) -> str:
        """Return the code for a module."""
        if isinstance(statement, Reuse):
            return f"{self._attribute(statement.target)}{statement.path}"
        if statement in self.attribute_of:
            return f"self.{self.attribute_of[statement]}"
        if statement in self.lists:
            listing, place = self.lists[statement]
            return f"{self._attribute(listing)}[{place}]"
        name_ = statement.name
        entry = entry_of(name_)
        if entry is not None:
            return f"self.{entry[0]}[{text(self.init.in_forward(entry[1]))}]"
        if self.plan.base == "ModuleList" and isinstance(name_, str):
            return f"self[{self._place(statement)}]"
        if isinstance(name_, str) and name_.isidentifier():
            return f"self.{name_}"
        return f"getattr(self, {name_code(name_ if isinstance(name_, str) else self.init.in_forward(name_))})"

    def _place(self, statement: Statement) -> int:
        place = 0
        for each in self.plan.statements:
            if has_module(each):
                place = number_of(each, place)
                if each is statement:
                    break
                place += 1
        return place

    def _parts(self, leaf: Leaf, level: int) -> None:
        """Write an op with several results: `q, k, v = x.chunk(3, dim=-1)`."""
        folded = self.pending is not None and self._folds(self.pending, leaf, leaf.reads, level)
        if not folded:
            self._flush(level)
        position = self.live.position[leaf]
        pending, self.pending = self.pending, None
        docs: list[Doc] = [pending.doc] if pending is not None else [Text(self.variables[slot]) for slot in leaf.reads]
        busy = self.variables.in_use(position)
        names: list[str] = []
        for slot, label in zip(leaf.outs, self._part_names(leaf), strict=True):
            if not self.live.is_read(slot):
                names.append("_")
                continue
            name = numbered(label, lambda each: each in busy or each in names)
            self.variables[slot] = name
            names.append(name)
            self.typed[name] = True
        self.lines.append(_Line(level, self._call(leaf, docs)[0], tuple(names)))

    def _part_names(self, leaf: Leaf) -> list[str]:
        """Return what to call several results: by their parts in what reads them, else by the steps that read them."""
        readers = [self.live.sole_reader(slot) for slot in leaf.outs]
        for place, (slot, reader) in enumerate(zip(leaf.outs, readers, strict=True)):
            applied = reader.target if isinstance(reader, Reuse) else reader
            if isinstance(applied, Leaf) and len(applied.op.operand_names) == len(leaf.outs):
                if reader is not None and len(reader.reads) > place and reader.reads[place] is slot:
                    return list(applied.op.operand_names)
        found = [value_name(str(each.name)) if each is not None and _is_explicit(each) else "" for each in readers]
        if all(found) and len(set(found)) == len(found):
            return found
        if leaf.explicit:
            return [f"{value_name(leaf.out.label)}{place}" for place in range(len(leaf.outs))]
        return [f"x{place}" for place in range(1, 1 + len(leaf.outs))]

    def _several_results(self, statement: Instance | Reuse, level: int) -> None:
        """Write a call of a class that returns more than its result."""
        docs: list[Doc] = [Text(self.variables[slot]) for slot in statement.reads]
        names: list[str] = []
        position = self.live.position[statement]
        busy = self.variables.in_use(position)
        assert statement.plan is not None
        several = sum(map(self.live.is_read, statement.outs)) > 2
        for slot in (statement.outs[place] for place in statement.plan.order()):
            if not self.live.is_read(slot):
                names.append("_")
                continue
            label = value_name(slot.label) if slot.label else ""
            if (
                slot is statement.out
                and not slot.named
                and isinstance(statement.name, str)
                and statement.name.isidentifier()
            ):
                label = value_name(statement.name)
            kept = self.live.last_use(slot) > position + 1 or (slot.named and slot is not statement.out)
            running = [] if label and (kept or several) else list(RUNNING)
            choices = [*running, label or "y"]
            name = next((each for each in choices if each not in busy and each not in names), None)
            name = name or numbered(label or "y", lambda each: each in busy or each in names)
            self.variables[slot] = name
            names.append(name)
            self.typed[name] = name in self.declared
        call = Brackets(f"{self._attribute(statement)}(", docs)
        if fits(level, f"{', '.join(names)} = {call.flat()}"):
            self.lines.append(_Line(level, call, tuple(names)))
            return
        left = Brackets("(", [Text(name) for name in names], ")", tall=True)
        if fits(level, f"({', '.join(names)}) = {call.flat()}"):
            self._add(level, "", Text(f"({', '.join(names)}) = {call.flat()}"))
            return
        self._add(level, "", Brackets("(", left.items, f") = {call.flat()}", tall=True))

    # Conditions.

    def _choice(self, branch: Branch, there: str, other: str) -> str:
        """Return `there` if the condition holds, else `other`."""
        held, or_none = self.init.conditions[branch]
        return f"{other} if {held} is None else {there}" if or_none else f"{there} if {held} else {other}"

    def _as_expression(self, statements: Sequence[Statement], result: Slot | None, level: int) -> str | None:
        """Return the steps of a way as one expression, if they are one."""
        mark, names, forced = len(self.lines), self.variables.snapshot(), dict(self.forced)
        self._emit(statements, level)
        found = self.pending
        self.pending = None
        if len(self.lines) == mark and found is not None and found.slot is result:
            return found.doc.flat()
        del self.lines[mark:]
        self.variables.restore(names)
        self.forced = forced
        return None

    def _branch(self, branch: Branch, level: int) -> None:
        """Write the steps of a branch, and the variable in which either way ends."""
        passed, inner, result = branch.other_result, branch.result, branch.out
        assert passed is not None
        assert inner is not None
        if branch.otherwise:
            self._two_ways(branch, level)
            return
        if passed is result:
            return
        if passed.lost:  # nothing reads the result where the steps are left out
            self._way(branch, branch.statements, inner, level, None)
            self.variables[result] = self.variables[inner]
            return
        position = self.live.position[branch]
        before = self.variables[passed]
        wanted = self.forced.get(result)
        apart = self.variables.is_needed_after(passed, position) or wanted is not None and wanted != before
        name = wanted or (self._fresh(branch, position) if apart else before)
        if apart:
            expression = self._as_expression(branch.statements, inner, level + 1)
            if expression is not None:
                line = self._choice(branch, expression, before)
                if fits(level, f"{name} = {line}"):
                    self._assign(level, name, Text(line), result, False)
                    self.variables[result] = name
                    return
            self._assign(level, name, Text(before), result, self.typed.get(before, False))
        self._way(branch, branch.statements, inner, level, name)
        self.variables[result] = name

    def _fresh(self, branch: Branch, position: int) -> str:
        """Return a variable for what comes of a branch while the value before it is still read."""
        busy = self.variables.in_use(position)
        reader = self.live.sole_reader(branch.out)
        merges = isinstance(reader, Leaf) and len(reader.reads) > 1
        label = value_name(branch.out.label) if branch.out.named else ""
        choices = ["shortcut"] if merges else [*RUNNING, *([label] if label else [])]
        found = next((name for name in choices if name not in busy), None)
        return found or self._new(label or "y", position)

    def _way(self, branch: Branch, statements: Sequence[Statement], result: Slot, level: int, name: str | None) -> None:
        """Write `if`, with the steps below it; `name` is the variable of the result."""
        held, or_none = self.init.conditions[branch]
        self._add(level, f"if {held} is not None:" if or_none else f"if {held}:")
        self._body(statements, result, level, name)

    def _body(self, statements: Sequence[Statement], result: Slot, level: int, name: str | None) -> None:
        mark = len(self.lines)
        if name is not None:
            self.forced[result] = name
        self._emit(statements, level + 1)
        self._flush(level + 1)
        held = self.variables[result]
        if name is not None and held != name:
            self._assign(level + 1, name, Text(held), Slot({}), self.typed.get(held, False))
        if len(self.lines) == mark:
            self._add(level + 1, "pass")

    def _two_ways(self, branch: Branch, level: int) -> None:
        """Write both ways of a branch."""
        inner, other, result = branch.result, branch.other_result, branch.out
        assert inner is not None
        assert other is not None
        position = self.live.position[branch]
        start = branch.statements[0].reads[:1] or branch.otherwise[0].reads[:1]
        name = self.forced.get(result)
        if name is None and start and not self.variables.is_needed_after(start[0], position):
            name = self.variables[start[0]]
        name = name or self._fresh(branch, position)
        names = self.variables.snapshot()
        with self.live.without(branch.otherwise, branch.statements):
            self._way(branch, branch.statements, inner, level, name)
        self.variables.restore(names)
        self._add(level, "else:")
        self._body(branch.otherwise, other, level, name)
        self.variables[result] = name

    # Loops over modules with names of their own.

    def _loop(self, loop: Loop, level: int) -> None:
        position = self.live.position[loop]
        inside = _reads_within(loop.statements)
        late: list[tuple[str, Slot]] = []
        for value in loop.values:
            name = self._carrier(value.entry, value.initial, value.last, inside, position, level)
            self.variables[value.entry] = name
            last_read = self.live.last_use(value.entry)
            made = self.live.position.get(self.live.maker.get(value.last, loop), position)
            if last_read > made or value.last in self.forced:
                late.append((name, value.last))
            else:
                self.forced[value.last] = name
        counter = loop.counter if loop.counter and loop.counter.name in self.init.read_in_loops else None
        if counter:
            self._add(level, f"{counter.name} = ", expression(self.init.in_forward(counter.start)))
        self._add(level, self.init.heads[loop])
        self._emit(loop.statements, level + 1)
        self._flush(level + 1)
        if counter:
            self._add(level + 1, f"{counter.name} = ", expression(self.init.in_forward(counter.after)))
        given = {value.last: self.variables[value.entry] for value in loop.values}
        late += [(name, slot) for slot, name in given.items() if (name, slot) not in late]
        for name, slot in late:
            if self.variables[slot] != name:  # steps that have results of several kinds choose variables themselves
                self._assign(level + 1, name, Text(self.variables[slot]), Slot({}), False)
        for value in loop.values:
            self.variables[value.out] = self.variables[value.entry]

    def _carrier(
        self, entry: Slot, initial: Slot | None, last: Slot, inside: set[Slot], position: int, level: int
    ) -> str:
        """Return the variable that goes from round to round, set before the loop."""
        if initial is None:
            label = value_name(last.label or entry.label or "y")
            stem = label.rstrip("0123456789") or label
            name = self._new(stem, position, taken=self.typed)
            self._add(level, f"{name} = torch.empty(0)  # set in the first round")
            self.typed[name] = True
            return name
        before = self.variables[initial]
        if initial not in inside and not self.variables.is_needed_after(initial, position):
            return before
        busy = self.variables.in_use(position) | {before}
        name = next((each for each in RUNNING if each not in busy), None) or self._new("y", position)
        self._assign(level, name, Text(before), Slot({}), self.typed.get(before, False))
        return name


def _operand(doc: Doc, operator: str, place: int) -> Doc:
    """Return an operand, in parentheses if it is a formula that binds less, or as much and stands behind."""
    if not isinstance(doc, layout.Chain):
        return doc
    own, outer = (each in "+-" for each in (doc.operator, operator))
    plain = outer and not own or own == outer and place == 0
    return Text(doc.flat() if plain else f"({doc.flat()})")


def _is_explicit(statement: Statement) -> bool:
    """Return whether the spec gives a step a name of its own."""
    return statement.explicit if isinstance(statement, Leaf) else bool(statement.outs) and statement.outs[0].named


def _is_light(statement: Statement) -> bool:
    """Return whether a step is a detail of the one before: a norm, an activation, dropout."""
    return isinstance(statement, Leaf) and statement.op.__module__.endswith((".norm", ".activation", ".dropout"))


def _stem(name: ast.expr) -> str:
    """Return the text that the name of a module in a loop starts with."""
    if isinstance(name, ast.JoinedStr) and isinstance(name.values[0], ast.Constant):
        found = str(name.values[0].value)
        return found[:-1].removesuffix("s") if found.endswith(".") else found.rstrip("_")
    return ""


def _reads_within(statements: Sequence[Statement]) -> set[Slot]:
    found: set[Slot] = set()
    for statement in statements:
        found.update(statement.reads)
        if isinstance(statement, Branch):
            found.update(slot for slot in (statement.result, statement.other_result) if slot)
        if isinstance(statement, Branch | Loop | Listing | InTraining):
            found |= _reads_within(statement.inside())
    return found
