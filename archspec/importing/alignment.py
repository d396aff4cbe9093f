"""Several scopes laid over each other: one template, with holes where they differ and steps that only some have.

This is least general generalisation (anti-unification): what is equal everywhere stays, what differs becomes a hole.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from archspec.importing.tree import Made, Read, Step
from archspec.importing.values import (
    ABSENT,
    VARYING,
    Alternating,
    Code,
    Exact,
    First,
    Last,
    Linear,
    Spelled,
    numbers_apart,
    same,
)
from archspec.ops import OPS
from archspec.ops.fields import REQUIRED
from archspec.shapes import half_padding


@dataclass(eq=False)
class Hole:
    """A place of a template where its uses differ, with the value of each use."""

    values: list[Any]
    argument: str
    step: Step | None = None

    @property
    def is_constant(self) -> bool:
        """Whether all uses that have the step agree: then a param may be meant, or the number."""
        given = [value for value in self.values if value is not ABSENT]
        return all(same(value, given[0]) for value in given)


@dataclass(eq=False)
class Template:
    """What several scopes have in common.

    `holes` are the places where they differ, in order; `present` tells for each step that not all have which of them
    do, and `stands_for` which step of the template each of their steps became. `scopes` holds for each hole or
    condition's step the scope it stands in, which is None for the template itself.
    """

    body: list[Step]
    holes: list[Hole] = field(default_factory=list)
    present: dict[Step, list[bool]] = field(default_factory=dict)
    stands_for: dict[Step, Step] = field(default_factory=dict)
    members: dict[Step, list[Step | None]] = field(default_factory=dict)
    scopes: dict[Step, Step | None] = field(default_factory=dict)


class DoNotAlignError(Exception):
    """The scopes have no template: a value would be read from elsewhere in one of them."""


PLAIN_ACTIVATIONS = frozenset(
    op.op for op in OPS.values() if op.__module__ == "archspec.ops.activation" and not op.required()
) - {"softmax", "log_softmax", "prelu"}
"""Ops that may take each other's place, as a network's activation."""

NUMBER = "number_in_expression"
"""The argument of a hole that stands for a number within an expression."""

NEUTRAL = {"drop_path": ("rate", 0.0)}
"""Ops that do nothing at a value of an argument: a use without such a step has it at this value."""


def align(uses: Sequence[Step], defaults: Any) -> Template:
    """Lay scopes over each other.

    Args:
        uses: The scopes.
        defaults: A function from the name of an op or block to the defaults of its arguments.

    Raises:
        DoNotAlignError: They have no template.
    """
    return _Alignment(uses, defaults).template()


class _Alignment:
    def __init__(self, uses: Sequence[Step], defaults: Any) -> None:
        self.uses = uses
        self.defaults = defaults
        self.found = Template([])
        self.neutral: dict[Step, list[bool]] = {}

    def template(self) -> Template:
        self.found.body = self._body([use.body or [] for use in self.uses], None)
        self._read(self.found.body)
        self._check_results(self.found.body, [use.body for use in self.uses])
        for step, members in self.found.members.items():
            self._fill(step, members)
        return self.found

    # Columns.

    def _body(self, bodies: list[list[Step] | None], scope: Step | None) -> list[Step]:
        made = []
        columns = _columns([body or [] for body in bodies])
        for at, members in enumerate(columns):
            step = self._step(members, scope)
            made.append(step)
            there = [member is not None for member in members]
            if step.op in NEUTRAL and at + 1 < len(columns):
                there = [here or follows is not None for here, follows in zip(there, columns[at + 1], strict=True)]
                self.neutral[step] = there
            if not all(there[use] for use, body in enumerate(bodies) if body is not None):
                self.found.present[step] = there
        return made

    def _step(self, members: list[Step | None], scope: Step | None) -> Step:
        some = [member for member in members if member is not None]
        first = some[0]
        names = {member.name for member in some if member.fixed and not member.position}
        if len(names) > 1:
            raise DoNotAlignError(f"names {names}")
        step = Step(first.op, {}, [], first.name, any(member.fixed for member in some), kind=first.kind)
        if names:
            step.name = names.pop()
        elif any(member.name != first.name for member in some):
            step.name = "" if first.name.isdigit() else first.name
        step.position = all(member.position or not member.fixed for member in some) and first.position
        if not step.position and step.fixed and not names and any(member.position for member in some):
            positions = {member.name for member in some if member.fixed}
            if all(member.position for member in some if member.fixed):
                step.position = True
            elif len(positions) > 1:
                raise DoNotAlignError("positions")
        step.inputs, step.shape = first.inputs, first.shape
        step.register = max((member.register for member in some), key=len)
        for member in some:
            self.found.stands_for[member] = step
        self.found.members[step] = members
        self.found.scopes[step] = scope
        if first.body is not None:
            step.body = self._body([member.body if member is not None else None for member in members], step)
        return step

    # Arguments.

    def _fill(self, step: Step, members: list[Step | None]) -> None:
        names = dict.fromkeys(name for member in members if member is not None for name in member.arguments)
        if len({member.op for member in members if member is not None}) > 1:
            step.op = self._unify([ABSENT if m is None else m.op for m in members], "activation", step)
        for name in names:
            if step in self.neutral:
                without = NEUTRAL[step.op][1]
                values = [
                    (without if here else ABSENT) if member is None else member.arguments[name]
                    for member, here in zip(members, self.neutral[step], strict=True)
                ]
                step.arguments[name] = self._unify(values, name, step)
                continue
            values = [
                ABSENT if member is None else member.arguments.get(name, self.defaults(member.op).get(name, REQUIRED))
                for member in members
            ]
            if any(value is REQUIRED or value is None for value in values):
                raise DoNotAlignError(f"{step.op}: {name}")
            if name == "scale":
                values = list(map(_exact, values))
            step.arguments[name] = self._unify(values, name, step)
        repeats = [ABSENT if member is None else member.repeat for member in members]
        if any(value is not ABSENT and value is not None for value in repeats):
            step.repeat = self._unify([1 if value is None else value for value in repeats], "repeat", step)
        whens = [member.when for member in members if member is not None]
        if not all(same(when, whens[0]) for when in whens):
            raise DoNotAlignError("when")
        step.when = whens[0]
        _prefer_half(step, members, self.found)

    def _unify(self, values: list[Any], name: str, step: Step) -> Any:
        given = [value for value in values if value is not ABSENT]
        if not given:
            return ABSENT
        if all(same(value, given[0]) for value in given):
            own = self.defaults(str(step.op)).get(name)
            if len(given) == len(values) or isinstance(given[0], (*VARYING, Code)) or same(given[0], own):
                return given[0]
        if name == "shape" and all(isinstance(value, list) and len(value) == len(given[0]) for value in given):
            each = zip(*[[ABSENT] * len(given[0]) if value is ABSENT else value for value in values], strict=True)
            return [self._unify(list(sizes), name, step) for sizes in each]
        if all(isinstance(value, Code) for value in given):
            apart = numbers_apart(given)
            if apart is not None:
                return self._unify_numbers(values, apart, step)
        kinds = {type(value) for value in given if isinstance(value, VARYING)}
        if kinds:
            return self._unify_varying(values, kinds, name, step)
        hole = Hole(values, name, step)
        self.found.holes.append(hole)
        return hole

    def _unify_numbers(self, values: list[Any], apart: list[list[Any]], step: Step) -> Any:
        """Return expressions that differ in numbers as one, with holes for these."""
        rest = iter(apart)
        pieces = [None if value is ABSENT else next(rest) for value in values]
        found = [
            apart[0][at]
            if at % 2 == 0 or all(each[at] == apart[0][at] for each in apart)
            else self._unify([ABSENT if each is None else each[at] for each in pieces], NUMBER, step)
            for at in range(len(apart[0]))
        ]
        return Spelled(tuple(found))

    def _unify_varying(self, values: list[Any], kinds: set[Any], name: str, step: Step) -> Any:
        kind = kinds.pop()
        if kinds or kind not in (First, Linear, Alternating, Last):
            raise DoNotAlignError(f"{step.op}: {name}")
        as_constant: Any = {
            First: lambda v: First(v, v),
            Linear: lambda v: Linear(v, type(v)(0)),
            Alternating: lambda v: Alternating(v, v),
            Last: lambda v: Last(v, v, 1),
        }[kind]
        lifted = [v if v is ABSENT or isinstance(v, kind) else as_constant(v) for v in values]
        parts = [
            self._unify([ABSENT if v is ABSENT else v[at] for v in lifted], name, step)
            for at in range(len(kind._fields))
        ]
        return kind(*parts)

    # Reads.

    def _read(self, body: list[Step]) -> None:
        for step in body:
            members = self.found.members[step]
            lists = [[self._translated(read) for read in m.reads] if m is not None else None for m in members]
            step.reads = self._agreed(lists, step)
            names = {name for member in members if member is not None for name in member.named}
            for name in sorted(names):
                if any(m is not None and name not in m.named for m in members):
                    raise DoNotAlignError(f"{step.op}: {name}")
                named = [[self._translated(m.named[name])] if m is not None else None for m in members]
                step.named[name] = self._agreed(named, step)[0]
            if step.body is not None:
                self._read(step.body)

    def _translated(self, read: Read) -> Read:
        if isinstance(read, Made):
            return Made(tuple(self.found.stands_for.get(step, step) for step in read.steps), read.result)
        return read

    def _agreed(self, lists: list[list[Read] | None], step: Step) -> list[Read]:
        """Return reads that mean in every use what it reads there."""
        given = [reads for reads in lists if reads is not None]
        if any(len(reads) != len(given[0]) for reads in given):
            raise DoNotAlignError(f"{step.op}: reads")
        for at in range(len(given[0])):
            if all(isinstance(reads[at], (int, float)) for reads in given):
                numbers = [ABSENT if reads is None else _exact(reads[at]) for reads in lists]
                found = self._unify(numbers, _FACTORS.get(step.op, "number"), step)
                for reads in given:
                    reads[at] = found
        if all(_same_reads(reads, given[0]) for reads in given):
            return list(given[0])
        for candidate in _orders(max(given, key=lambda reads: sum(isinstance(read, Made) for read in reads)), step):
            if self._holds(candidate, lists, step):
                return candidate
        mixed = [self._latest([reads[at] for reads in given]) for at in range(len(given[0]))]
        for candidate in _orders(mixed, step):
            if self._holds(candidate, lists, step):
                return candidate
        raise DoNotAlignError(f"{step.op}: reads")

    def _latest(self, reads: list[Read]) -> Read:
        """Return the read of the step that stands last."""
        order = {step: at for at, step in enumerate(self.found.members)}
        made = [read for read in reads if isinstance(read, Made)]
        return max(made, key=lambda read: order.get(read.steps[0], -1)) if made else reads[0]

    def _holds(self, candidate: list[Read], lists: list[list[Read] | None], step: Step) -> bool:
        for use, reads in enumerate(lists):
            if reads is None:
                continue
            found = [self._resolved(read, use) for read in candidate]
            if _same_reads(found, reads):
                continue
            if step.op in COMMUTATIVE and len(found) == 2 and _same_reads(found[::-1], reads):
                continue
            return False
        return True

    def _resolved(self, read: Read, use: int) -> Read:
        """Return what a read means in a use: a step that is left out stands for what it would have read first."""
        while isinstance(read, Made):
            members = self.found.members.get(read.steps[0])
            if members is None or members[use] is not None:
                return read
            if len(read.steps) > 1 or not read.steps[0].reads:
                return read
            read = read.steps[0].reads[0]
        return read

    def _check_results(self, body: list[Step], bodies: Sequence[list[Step] | None]) -> None:
        """Check that the last step gives the value of every use; order its operands so that it does."""
        last = body[-1]
        for reads in _orders(last.reads, last):
            before, last.reads = last.reads, list(reads)
            if all(
                self._resolved(Made((last,)), use) == Made((self.found.stands_for[steps[-1]],))
                for use, steps in enumerate(bodies)
                if steps
            ):
                break
            last.reads = before
        else:
            raise DoNotAlignError("results")
        for step in body:
            if step.body is not None:
                members = self.found.members[step]
                self._check_results(step.body, [m.body if m is not None else None for m in members])


def _exact(number: Any) -> Any:
    return Exact(number) if isinstance(number, float) else number


_FACTORS = {"multiply": "factor", "divide": "divisor", "add": "offset", "subtract": "offset"}
"""What a number among the operands of an op is called as a param."""

COMMUTATIVE = frozenset({"add", "multiply"})


def _orders(reads: Sequence[Read], step: Step) -> Iterable[list[Read]]:
    yield list(reads)
    if step.op in COMMUTATIVE and len(reads) == 2:
        yield [reads[1], reads[0]]


def _same_reads(left: Sequence[Read], right: Sequence[Read]) -> bool:
    return len(left) == len(right) and all(type(a) is type(b) and a == b for a, b in zip(left, right, strict=True))


def _prefer_half(step: Step, members: list[Step | None], found: Template) -> None:
    """Write `half` or `same` where the padding follows from what differs."""
    padding, kernel = step.arguments.get("padding"), step.arguments.get("kernel")
    if not isinstance(padding, Hole) and not isinstance(kernel, Hole):
        return
    for word, fits in (("half", has_half_padding), ("same", has_same_padding)):
        if all(member is None or fits(member) for member in members):
            found.holes = [hole for hole in found.holes if hole is not padding]
            step.arguments["padding"] = word
            return


def has_half_padding(step: Step) -> bool:
    """Return whether the padding of a convolution or a pooling is `dilation * (kernel - 1) // 2` on every axis."""
    arguments = step.arguments
    padding = arguments.get("padding", 0)
    if padding == "half":
        return True
    kernel, dilation = arguments.get("kernel", 1), arguments.get("dilation", 1)
    if isinstance(padding, str) or any(isinstance(value, (*VARYING, str)) for value in (padding, kernel, dilation)):
        return False
    rank = max(len(value) if isinstance(value, list) else 1 for value in (padding, kernel, dilation))
    each = [value if isinstance(value, list) else [value] * rank for value in (padding, kernel, dilation)]
    return all((p, p) == half_padding(k, d) for p, k, d in zip(*each, strict=True))


def has_same_padding(step: Step) -> bool:
    """Return whether a layer's padding is `same`, in so many words or because it has an odd kernel and no stride."""
    if step.arguments.get("padding") == "same":
        return True
    kernel, stride = step.arguments.get("kernel", 1), step.arguments.get("stride", 1)
    odd = all(isinstance(k, int) and k % 2 for k in (kernel if isinstance(kernel, list) else [kernel]))
    return stride == 1 and odd and step.op != "max_pool" and has_half_padding(step)


# Columns.


def key(step: Step) -> Hashable:
    """Return what steps of two scopes must share to be one step of the template."""
    name = step.name if step.fixed and not step.position else ""
    op = "activation" if step.op in PLAIN_ACTIVATIONS and not step.arguments else step.op
    numbers = sum(isinstance(read, (int, float)) for read in step.reads)
    return op, step.kind if step.body is not None and not step.name else "", name, numbers


def _columns(bodies: list[list[Step]]) -> list[list[Step | None]]:
    """Arrange the steps of several bodies in columns, in an order that all of them keep."""
    count = len(bodies)
    keys = [[key(step) for step in body] for body in bodies]
    distinct: dict[tuple[Hashable, ...], list[int]] = {}
    for at, found in enumerate(keys):
        distinct.setdefault(tuple(found), []).append(at)
    skeletons = sorted(distinct, key=len, reverse=True)
    columns: list[tuple[Hashable, list[Step | None]]] = []
    for skeleton in skeletons:
        columns = _merged(columns, skeleton, [(at, bodies[at]) for at in distinct[skeleton]], count)
    return [members for _, members in columns]


def _merged(
    columns: list[tuple[Hashable, list[Step | None]]],
    skeleton: tuple[Hashable, ...],
    uses: list[tuple[int, list[Step]]],
    count: int,
) -> list[tuple[Hashable, list[Step | None]]]:
    pairs = _longest_common([column_key for column_key, _ in columns], skeleton)
    found: list[tuple[Hashable, list[Step | None]]] = []
    at, mine = 0, 0
    for left, right in [*pairs, (len(columns), len(skeleton))]:
        found.extend(columns[at:left])
        for position in range(mine, right):
            members: list[Step | None] = [None] * count
            for use, body in uses:
                members[use] = body[position]
            found.append((skeleton[position], members))
        if left < len(columns):
            for use, body in uses:
                columns[left][1][use] = body[right]
            found.append(columns[left])
        at, mine = left + 1, right + 1
    return found


def _longest_common(left: Sequence[Hashable], right: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Return the positions of a longest common subsequence, matched from the end."""
    rows = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i in range(len(left)):
        for j in range(len(right)):
            equal = left[i] == right[j]
            rows[i + 1][j + 1] = rows[i][j] + 1 if equal else max(rows[i][j + 1], rows[i + 1][j])
    found = []
    i, j = len(left), len(right)
    while i and j:
        if left[i - 1] == right[j - 1] and rows[i][j] == rows[i - 1][j - 1] + 1:
            found.append((i - 1, j - 1))
            i, j = i - 1, j - 1
        elif rows[i - 1][j] >= rows[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return found[::-1]
