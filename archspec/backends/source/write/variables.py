"""The variables of `forward`: which holds which value, and what a person would call each."""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence
from typing import NamedTuple

from archspec.backends.source.identifiers import numbered, value_name
from archspec.backends.source.plan.ir import (
    Branch,
    Chain,
    ClassPlan,
    Instance,
    Leaf,
    Listing,
    Loop,
    Reuse,
    Slot,
    Statement,
    walk,
)
from archspec.backends.source.write.code import is_function
from archspec.backends.source.write.layout import Doc
from archspec.backends.source.write.liveness import Liveness

RUNNING = ("x", "out")
"""The variables of values that go from step to step."""


class Pending(NamedTuple):
    """An expression that no variable holds yet, since the next step may take it in.

    `operands` are the values that it reads, `first` is the first step of it, `typed` whether torch declares a tensor.
    """

    slot: Slot
    doc: Doc
    operands: tuple[Slot, ...]
    first: Statement
    last: Statement
    typed: bool


class Variables:
    """Which variable holds which value; one may hold several, one after the other."""

    def __init__(self, live: Liveness) -> None:
        self.live = live
        self._names: dict[Slot, str] = {}
        self._held: dict[str, list[Slot]] = {}
        self.forced: dict[Slot, str] = {}  # where two ways, or two rounds, end in one variable
        self.typed: dict[str, bool] = {}  # whether torch declares that what a variable holds is a tensor
        self.declared: set[str] = set()  # variables with a type hint

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


class Naming:
    """What a person would call each value of a class: the running value is `x`, what is read again has its own name.

    `lists` has the modules that stand in lists, with their places.
    """

    def __init__(self, plan: ClassPlan, variables: Variables, lists: dict[Statement, tuple[Listing, int]]) -> None:
        self.plan, self.variables, self.lists = plan, variables, lists
        self.live = variables.live
        self.ways = {
            each: branch
            for branch in walk(plan.statements)
            if isinstance(branch, Branch) and branch.otherwise
            for each in branch.inside()
        }
        self.reused = {each.target for each in walk(plan.statements) if isinstance(each, Reuse)}

    def of(self, pending: Pending) -> str:
        """Return the variable for a value: that of the running value, or one of its own if it is read again later."""
        slot = pending.slot
        if slot in self.variables.forced:
            return self.variables.forced[slot]
        position = self.live.position[pending.last]
        label = self.label(pending)
        given = self._name_of_given(pending, position)
        if given:
            return given
        if label and self.has_own(pending):
            return self.new(label, position)
        first = pending.operands[0] if pending.operands else None
        if first is not None and not self.variables.is_needed_after(first, position):
            name = self.variables[first]
            if name in RUNNING:
                return name
        busy = self.variables.in_use(position)
        free = next((name for name in RUNNING if name not in busy), None)
        return free or self.new(label or slot.label or "y", position)

    def _name_of_given(self, pending: Pending, position: int) -> str:
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

    def label(self, pending: Pending) -> str:
        """Return what the spec calls a value, by the step that makes it; empty if it has no name of its own."""
        last, first = pending.last, pending.first
        own = is_explicit(last) or (is_held(last) and not (_is_light(last) and is_explicit(first)))
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
        if not (is_explicit(statement) or is_held(statement)) or not name or name.isdecimal():
            return value_name(pending.slot.label) if pending.slot.named and pending.slot.label else ""
        return value_name(name)

    def _is_kept(self, pending: Pending) -> bool:
        """Return whether a value is read again after the step that comes next has read it."""
        readers = [self.live.position[reader] for reader in self.live.readers.get(pending.slot, ())]
        return bool(readers) and self.live.last_use(pending.slot) > min(readers)

    def has_own(self, pending: Pending) -> bool:
        """Return whether a person would name a value after its step rather than call it the running value."""
        slot = pending.slot
        if self._is_overwritten(slot) or self._is_parted(slot):
            return False
        if self.live.count(slot) > 1:
            own = is_explicit(pending.last) or slot.named or pending.last in self.lists
            return own or (is_held(pending.last) and self._is_kept(pending))
        reader = self.live.sole_reader(slot)
        if isinstance(reader, Leaf) and reader.op.operand_names and slot.named:
            return sum(other.named for other in reader.reads) > 1
        if isinstance(reader, Leaf) and len(reader.reads) > 1:
            starts = pending.operands and self.live.count(pending.operands[0]) > 1
            listed = reader.calls[0].listed
            if listed and (is_explicit(pending.last) or slot.named) and self._is_one_of_several(pending, reader):
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

    def _is_one_of_several(self, pending: Pending, reader: Statement) -> bool:
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

    def _is_parallel(self, pending: Pending, others: Sequence[Slot]) -> bool:
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

    def new(self, label: str, position: int, taken: Collection[str] = ()) -> str:
        """Return a variable of that name, or one like it if its value is still read."""
        busy = self.variables.in_use(position)
        return numbered(label, lambda name: name in busy or name in taken)

    def of_parts(self, leaf: Leaf) -> list[str]:
        """Return what to call several results: by their parts in what reads them, else by the steps that read them."""
        readers = [self.live.sole_reader(slot) for slot in leaf.outs]
        for place, (slot, reader) in enumerate(zip(leaf.outs, readers, strict=True)):
            applied = reader.target if isinstance(reader, Reuse) else reader
            if isinstance(applied, Leaf) and len(applied.op.operand_names) == len(leaf.outs):
                if reader is not None and len(reader.reads) > place and reader.reads[place] is slot:
                    return list(applied.op.operand_names)
        found = [value_name(str(each.name)) if each is not None and is_explicit(each) else "" for each in readers]
        if all(found) and len(set(found)) == len(found):
            return found
        if leaf.explicit:
            return [f"{value_name(leaf.out.label)}{place}" for place in range(len(leaf.outs))]
        return [f"x{place}" for place in range(1, 1 + len(leaf.outs))]

    def of_branch(self, branch: Branch, position: int) -> str:
        """Return a variable for what comes of a branch while the value before it is still read."""
        busy = self.variables.in_use(position)
        reader = self.live.sole_reader(branch.out)
        merges = isinstance(reader, Leaf) and len(reader.reads) > 1
        label = value_name(branch.out.label) if branch.out.named else ""
        choices = ["shortcut"] if merges else [*RUNNING, *([label] if label else [])]
        found = next((name for name in choices if name not in busy), None)
        return found or self.new(label or "y", position)


def is_held(statement: Statement) -> bool:
    """Return whether a statement calls a module that an attribute holds."""
    return isinstance(statement, Instance | Chain | Reuse) or (
        isinstance(statement, Leaf) and not is_function(statement)
    )


def is_explicit(statement: Statement) -> bool:
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
