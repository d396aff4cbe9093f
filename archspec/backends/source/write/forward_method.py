"""The `forward` of a class: statements as a person groups them, a convolution with what follows it on one line.

`variables.py` says what each value is called, `calls.py` what each step is as code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from archspec.backends.source.identifiers import numbered, value_name
from archspec.backends.source.plan.ir import (
    Branch,
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
)
from archspec.backends.source.strings import quoted
from archspec.backends.source.write import layout
from archspec.backends.source.write.calls import CallWriter
from archspec.backends.source.write.chains import has_module, number_of
from archspec.backends.source.write.code import expression, loop_source
from archspec.backends.source.write.init_method import InitWriter
from archspec.backends.source.write.layout import Brackets, Doc, Named, Text, fits, laid_out
from archspec.backends.source.write.liveness import Liveness
from archspec.backends.source.write.variables import RUNNING, Naming, Pending, Variables
from archspec.shapes import Shape, shape_text

SHORT_FORMULA = 60
"""Characters of a formula that may stand within another one."""


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


class ForwardWriter:
    """Writes `forward`. `init` has written the `__init__`; `shapes` gives the shape of a path, for comments."""

    def __init__(self, plan: ClassPlan, init: InitWriter, shapes: dict[str, Shape] | None = None) -> None:
        self.plan, self.init, self.shapes = plan, init, shapes
        self.live = Liveness(plan)
        self.variables = Variables(self.live)
        self.lists: dict[Statement, tuple[Listing, int]] = {}  # modules of lists, and their place
        self.naming = Naming(plan, self.variables, self.lists)
        self.calls = CallWriter(plan, init, self.variables, self.lists)
        self.lines: list[_Line] = []
        self.pending: Pending | None = None
        for name, entries in init.entries.items():
            for each in entries:
                if has_module(each) and isinstance(each.name, str):
                    self.lists[each] = Listing(name), number_of(each, 0)

    def method(self) -> list[str]:
        """Return the lines of the method."""
        plan = self.plan
        names = [value_name(name) for name in plan.input_names]
        if len(names) == 1 and not plan.is_network or names == ["input"]:
            names = ["x"]
        for slot, name in zip(plan.inputs, names, strict=True):
            self.variables[slot] = name
            self.variables.typed[name] = True
            self.variables.declared.add(name)
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
        self.variables.typed[name] = (
            name in self.variables.declared or typed and self.variables.typed.get(name, True)
        )  # mypy takes the first type

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
        name = "out" if "out" not in self.variables.typed else numbered("result", self.variables.typed.__contains__)
        self._assign(2, name, pending.doc, result, False)
        self._declare(name)
        self._add(2, f"return {name}")

    def _declare(self, name: str) -> None:
        """Give a variable a type where it is first set, if it has none."""
        if self.variables.typed.get(name):
            return
        line = next((line for line in self.lines if name in line.names), None)
        if line is not None and line.names == (name,):
            line.annotated = self.variables.typed[name] = True
            self.variables.declared.add(name)

    def _declare_operands(self, pending: Pending) -> bool:
        """Give the operands of an operator types; False if that is not all there is."""
        if not isinstance(pending.doc, layout.Chain) or not all(
            isinstance(each, Text) for each in pending.doc.operands
        ):
            return False
        names = [each.text for each in pending.doc.operands if isinstance(each, Text)]
        for name in names:
            self._declare(name)
        return all(self.variables.typed.get(name) for name in names)

    def _is_alias(self, pending: Pending) -> bool:
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
        name = self.naming.of(pending)
        self.variables[pending.slot] = name
        self._assign(level, name, pending.doc, pending.slot, pending.typed)

    def _emit(self, statements: Sequence[Statement], level: int) -> None:
        for statement in statements:
            match statement:
                case Let():
                    if statement.target in self.init.read_in_loops and level > 2:
                        self._flush(level)
                        self._add(level, f"{statement.target} = ", expression(self.init.in_forward(statement.value)))
                case Free():
                    self.variables[statement.out] = self.calls.attribute(statement)
                    self.variables.typed[self.variables[statement.out]] = self.variables[statement.out].startswith(
                        "self."
                    )
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
                    self.calls.attribute_of[statement] = self.init.chosen[statement]
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
            name = next((each for each in RUNNING if each not in busy), None) or self.naming.new(
                value_name(str(listing.name)), position
            )
            self._assign(level, name, Text(before), Slot({}), self.variables.typed.get(before, False))
        single = value_name(str(listing.name).removesuffix("s"))
        item = numbered(
            single if single != listing.name else "module",
            lambda each: each in self.variables.in_use(0) or each == name,
        )
        others = [Text(self.variables[slot]) for slot in first.reads[1:]]
        self._add(level, f"for {item} in {self.calls.attribute(listing)}:")
        self._assign(level + 1, name, Brackets(f"{item}(", [Text(name), *others]), last.out, False)
        self.variables[last.out] = name

    def _step(self, statement: Statement, reads: Sequence[Slot], level: int) -> None:
        """Write a step with one result, which then waits; what waited goes into its line, or gets a variable."""
        pending = self.pending
        if isinstance(statement, Leaf) and not statement.calls and pending is not None and reads == [pending.slot]:
            if self.live.count(pending.slot) == 1 and pending.slot not in self.variables.forced:
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
            docs = self.calls.fitted(statement, docs)
        first = pending.first if folded and pending is not None else statement
        doc, typed = self.calls.call(statement, docs)
        if isinstance(statement, Leaf) and statement.calls and statement.calls[-1].is_operator:
            typed = all(self._is_typed(slot, pending if folded else None) for slot in reads)
        elif len(docs) == 1 and doc is docs[0]:  # an identity
            typed = self._is_typed(reads[0], pending if folded else None)
        self.pending = Pending(statement.out, doc, tuple(operands), first, statement, typed)

    def _is_typed(self, slot: Slot, pending: Pending | None) -> bool:
        """Return whether torch declares that a value is a tensor."""
        if pending is not None and slot is pending.slot:
            return pending.typed
        return self.variables.typed.get(self.variables[slot], False)

    def _folds(self, pending: Pending, statement: Statement, reads: Sequence[Slot], level: int) -> bool:
        """Return whether a person would write a step on the line of what it reads."""
        if list(reads).count(pending.slot) != 1 or self.live.count(pending.slot) != 1:
            return False
        leaf = statement.statements[0] if isinstance(statement, Branch) else statement
        if not isinstance(leaf, Leaf) or pending.slot in self.variables.forced:
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
        if operator and self.naming.has_own(pending) and self.naming.label(pending):
            later = [slot for slot in reads if slot is not pending.slot]
            if any(self.live.maker.get(slot) is None for slot in later):
                return False
        docs: list[Doc] = [
            pending.doc if slot is pending.slot else Text(self.variables.get(slot) or "x") for slot in reads
        ]
        return fits(level, f"return {self.calls.call(statement, docs)[0].flat()}")

    def _is_formula(self, statement: Statement) -> bool:
        """Return whether a step is arithmetic with a number or a free tensor: part of a formula, not a merge."""
        if not isinstance(statement, Leaf) or not statement.calls or not statement.calls[0].is_operator:
            return False
        free = any(isinstance(self.live.maker.get(slot), Free) for slot in statement.reads)
        return free or bool(statement.calls[0].arguments)

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
        for slot, label in zip(leaf.outs, self.naming.of_parts(leaf), strict=True):
            if not self.live.is_read(slot):
                names.append("_")
                continue
            name = numbered(label, lambda each: each in busy or each in names)
            self.variables[slot] = name
            names.append(name)
            self.variables.typed[name] = True
        self.lines.append(_Line(level, self.calls.call(leaf, docs)[0], tuple(names)))

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
            self.variables.typed[name] = name in self.variables.declared
        call = Brackets(f"{self.calls.attribute(statement)}(", docs)
        if fits(level, f"{', '.join(names)} = {call.flat()}"):
            self.lines.append(_Line(level, call, tuple(names)))
            return
        left = Brackets("(", [Text(name) for name in names], ")", tall=True)
        if fits(level, f"({', '.join(names)}) = {call.flat()}"):
            self._add(level, "", Text(f"({', '.join(names)}) = {call.flat()}"))
            return
        self._add(level, "", Brackets("(", left.items, f") = {call.flat()}", tall=True))

    def _choice(self, branch: Branch, there: str, other: str) -> str:
        """Return `there` if the condition holds, else `other`."""
        held, or_none = self.init.conditions[branch]
        return f"{other} if {held} is None else {there}" if or_none else f"{there} if {held} else {other}"

    def _as_expression(self, statements: Sequence[Statement], result: Slot | None, level: int) -> str | None:
        """Return the steps of a way as one expression, if they are one."""
        mark, names, forced = len(self.lines), self.variables.snapshot(), dict(self.variables.forced)
        self._emit(statements, level)
        found = self.pending
        self.pending = None
        if len(self.lines) == mark and found is not None and found.slot is result:
            return found.doc.flat()
        del self.lines[mark:]
        self.variables.restore(names)
        self.variables.forced = forced
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
        wanted = self.variables.forced.get(result)
        apart = self.variables.is_needed_after(passed, position) or wanted is not None and wanted != before
        name = wanted or (self.naming.of_branch(branch, position) if apart else before)
        if apart:
            expression = self._as_expression(branch.statements, inner, level + 1)
            if expression is not None:
                line = self._choice(branch, expression, before)
                if fits(level, f"{name} = {line}"):
                    self._assign(level, name, Text(line), result, False)
                    self.variables[result] = name
                    return
            self._assign(level, name, Text(before), result, self.variables.typed.get(before, False))
        self._way(branch, branch.statements, inner, level, name)
        self.variables[result] = name

    def _way(self, branch: Branch, statements: Sequence[Statement], result: Slot, level: int, name: str | None) -> None:
        """Write `if`, with the steps below it; `name` is the variable of the result."""
        held, or_none = self.init.conditions[branch]
        self._add(level, f"if {held} is not None:" if or_none else f"if {held}:")
        self._body(statements, result, level, name)

    def _body(self, statements: Sequence[Statement], result: Slot, level: int, name: str | None) -> None:
        mark = len(self.lines)
        if name is not None:
            self.variables.forced[result] = name
        self._emit(statements, level + 1)
        self._flush(level + 1)
        held = self.variables[result]
        if name is not None and held != name:
            self._assign(level + 1, name, Text(held), Slot({}), self.variables.typed.get(held, False))
        if len(self.lines) == mark:
            self._add(level + 1, "pass")

    def _two_ways(self, branch: Branch, level: int) -> None:
        """Write both ways of a branch."""
        inner, other, result = branch.result, branch.other_result, branch.out
        assert inner is not None
        assert other is not None
        position = self.live.position[branch]
        start = branch.statements[0].reads[:1] or branch.otherwise[0].reads[:1]
        name = self.variables.forced.get(result)
        if name is None and start and not self.variables.is_needed_after(start[0], position):
            name = self.variables[start[0]]
        name = name or self.naming.of_branch(branch, position)
        names = self.variables.snapshot()
        with self.live.without(branch.otherwise, branch.statements):
            self._way(branch, branch.statements, inner, level, name)
        self.variables.restore(names)
        self._add(level, "else:")
        self._body(branch.otherwise, other, level, name)
        self.variables[result] = name

    def _loop(self, loop: Loop, level: int) -> None:
        position = self.live.position[loop]
        inside = _reads_within(loop.statements)
        late: list[tuple[str, Slot]] = []
        for value in loop.values:
            name = self._carrier(value.entry, value.initial, value.last, inside, position, level)
            self.variables[value.entry] = name
            last_read = self.live.last_use(value.entry)
            made = self.live.position.get(self.live.maker.get(value.last, loop), position)
            if last_read > made or value.last in self.variables.forced:
                late.append((name, value.last))
            else:
                self.variables.forced[value.last] = name
        counter = loop.counter if loop.counter and loop.counter.name in self.init.read_in_loops else None
        if counter:
            self._add(level, f"{counter.name} = ", expression(self.init.in_forward(counter.start)))
        target, _, source = self.init.heads[loop].removesuffix(":").partition(" in ")
        self._add(level, f"{target} in ", loop_source(source))
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
            name = self.naming.new(stem, position, taken=self.variables.typed)
            self._add(level, f"{name} = torch.empty(0)  # set in the first round")
            self.variables.typed[name] = True
            return name
        before = self.variables[initial]
        if initial not in inside and not self.variables.is_needed_after(initial, position):
            return before
        busy = self.variables.in_use(position) | {before}
        name = next((each for each in RUNNING if each not in busy), None) or self.naming.new("y", position)
        self._assign(level, name, Text(before), Slot({}), self.variables.typed.get(before, False))
        return name


def _reads_within(statements: Sequence[Statement]) -> set[Slot]:
    found: set[Slot] = set()
    for statement in statements:
        found.update(statement.reads)
        if isinstance(statement, Branch):
            found.update(slot for slot in (statement.result, statement.other_result) if slot)
        if isinstance(statement, Branch | Loop | Listing | InTraining):
            found |= _reads_within(statement.inside())
    return found
