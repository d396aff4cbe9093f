"""What fills the holes of a template: expressions of its params and of what it reads, and as few params as possible."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, count, pairwise
from typing import Any

from archspec.importing.alignment import NUMBER, PLAIN_ACTIVATIONS, Hole, Template
from archspec.importing.tree import Input, Step
from archspec.importing.values import ABSENT, VARYING, Code, alike, rounded, same
from archspec.names import value_name_fault
from archspec.program.steps import RESERVED
from archspec.shapes import Shape

MAX_FACTOR = 64
"""The largest factor that an expression multiplies or divides by."""

SIZES = frozenset({"filters", "units", "groups", "heads", "shape", "squeeze", NUMBER})
"""Arguments that count channels or features, so that they may follow from the sizes of what is read."""

NOT_PARAMS = RESERVED | {"name", "from", "when", "repeat", "init"}


@dataclass(eq=False)
class Param:
    """An argument of a block: its name, its value in each use, and its default, if it has one."""

    name: str
    values: list[Any]
    default: Any = ABSENT
    place: int = 1_000_000
    """Where the first hole that it fills stands, among those of the template."""


@dataclass(eq=False)
class Solution:
    """The params of a template, and what it says where it had holes and conditions."""

    params: list[Param] = field(default_factory=list)
    sizes: frozenset[str] = frozenset()
    fills: dict[Hole, Any] = field(default_factory=dict)
    conditions: dict[Step, Code] = field(default_factory=dict)


def solve(template: Template, uses: Sequence[Step], sizes: Mapping[str, Collection[str]]) -> Solution:
    """Find params for a template, expressions for its holes, and conditions for steps that only some uses have.

    Args:
        template: What the uses have in common.
        uses: The scopes.
        sizes: For each block that is known, which of its params count channels or features.
    """
    return _Solver(template, uses, sizes).solution()


class _Solver:
    def __init__(self, template: Template, uses: Sequence[Step], sizes: Mapping[str, Collection[str]]) -> None:
        self.template = template
        self.uses = uses
        self.sizes_of_blocks = sizes
        self.found = Solution()
        self.kinds: dict[Param, str] = {}
        """What each param counts: `size` for channels and features, else the name of an argument."""
        self.terms: dict[tuple[Step | None, str], list[Any]] = {}
        """Values that conditions may compare beside params: expressions that fill holes, by the scope they stand in."""

    def solution(self) -> Solution:
        everywhere = [hole for hole in self.template.holes if ABSENT not in hole.values]
        elsewhere = [hole for hole in self.template.holes if ABSENT in hole.values]
        for some in (everywhere, elsewhere):
            left = list(some)
            while left:
                left = [hole for hole in left if not self._fill(hole)]
                if not self._leave_to_reshape(left) and left:
                    self._add_param(left)
        groups: dict[tuple[bool, ...], list[Step]] = {}
        for step, there in self.template.present.items():
            groups.setdefault(tuple(there), []).append(step)
        for pattern, steps in groups.items():
            self._condition(list(pattern), steps)
        for param in self.found.params:
            self._default(param)
        self.found.sizes = frozenset(param.name for param in self.found.params if self.kinds[param] == "size")
        self.found.params.sort(key=lambda param: (param.default is not ABSENT, param.place))
        return self.found

    # What expressions may speak of.

    def _facts(self, step: Step | None) -> dict[str, list[Any]]:
        """Return the sizes of what the scope of a step reads, by the expression for each."""
        scope = self.template.scopes.get(step) if step is not None else None
        members: Sequence[Step | None] = self.uses if scope is None else self.template.members[scope]
        shapes: list[Shape | None] = [m.inputs[0] if m is not None and m.inputs else None for m in members]
        some = [shape for shape in shapes if shape is not None]
        if not some or len({len(shape) for shape in some}) > 1:
            return {}
        rank = len(some[0])
        name = "input" if scope is not None or len(self.uses[0].reads) < 2 else "x1"
        found = {}
        if rank == 3 and self._has_channels_last(step):
            found[f"{name}.shape[0]"] = [s[0] if s else ABSENT for s in shapes]
        elif rank != 2:
            found[f"{name}.channels" if rank > 1 else f"{name}.features"] = [s[0] if s else ABSENT for s in shapes]
        if rank in (2, 3):
            found[f"{name}.features"] = [s[-1] if s else ABSENT for s in shapes]
        return found

    def _has_channels_last(self, step: Step | None) -> bool:
        """Return whether what the scope of a step reads has its channels last, as far as its first readers tell."""
        scope = self.template.scopes.get(step) if step is not None else None
        body = self.template.body if scope is None else scope.body or []
        readers = [
            member
            for each in body
            for member in self.template.members[each]
            if member is not None and member.reads[:1] == [Input(0)]
        ]
        return any(
            reader.op == "linear" or "last" in (reader.arguments.get("axis"), reader.arguments.get("channels_at"))
            for reader in readers
        )

    def _names(self, step: Step | None) -> dict[str, list[Any]]:
        return {**{param.name: param.values for param in self.found.params}, **self._facts(step)}

    # Holes.

    def _usable(self, hole: Hole) -> dict[str, list[Any]]:
        """Return the values that may stand in a hole, by the expressions for them: those of its own kind."""
        kind = self._kind(hole)
        found = {param.name: param.values for param in self.found.params if self.kinds[param] == kind}
        if kind != "size":
            return found
        found.update(self._facts(hole.step))
        return {**found, **self._of_weights(found)} if hole.argument == "shape" else found

    def _of_weights(self, sizes: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        """Return what the shapes of given weights hold besides: a kernel, and channels times its area."""
        found = {}
        for kernel in self.found.params:
            if self.kinds[kernel] == "kernel" and all(isinstance(value, int) for value in kernel.values):
                found[kernel.name] = kernel.values
                for name, values in sizes.items():
                    if ABSENT not in values:
                        area = [size * side * side for size, side in zip(values, kernel.values, strict=True)]
                        found[f"{name} * {kernel.name} ** 2"] = area
        return found

    def _kind(self, hole: Hole) -> str:
        if hole.argument in SIZES:
            return "size"
        if hole.step is not None and hole.argument in self.sizes_of_blocks.get(str(hole.step.op), ()):
            return "size"
        return hole.argument

    def _fill(self, hole: Hole) -> bool:
        text = expression(hole.values, self._usable(hole))
        if text is None and hole.argument == "scale":
            text = _root(hole.values, self._facts(hole.step))
        if text is None and hole.argument == NUMBER:
            text = _shifted(hole.values, self._facts(hole.step))
        if text is None and hole.is_constant:
            self.found.fills[hole] = next(value for value in hole.values if value is not ABSENT)
            return True
        if text is None:
            return False
        self.found.fills[hole] = Code(text)
        if not text.isidentifier():
            self._remember(text, hole)
        return True

    def _leave_to_reshape(self, holes: list[Hole]) -> bool:
        """Let a reshape find a size that nothing explains, where that is the only kind left; one for each reshape."""
        if not all(hole.argument == "shape" for hole in holes):
            return False
        found = False
        for hole in list(holes):
            if hole.step is not None and hole.step.op == "reshape" and isinstance(hole.step.arguments["shape"], list):
                sizes = hole.step.arguments["shape"]
                if -1 not in [self.found.fills.get(size) if isinstance(size, Hole) else size for size in sizes]:
                    self.found.fills[hole] = -1
                    holes.remove(hole)
                    found = True
        return found

    def _remember(self, text: str, hole: Hole) -> None:
        scope = self.template.scopes.get(hole.step) if hole.step is not None and "input" in text else None
        self.terms[scope, text] = hole.values

    def _add_param(self, holes: list[Hole]) -> None:
        """Make the hole a param that explains most of the others."""

        def explained(hole: Hole) -> int:
            return sum(
                expression(other.values, {"x": hole.values}) is not None
                for other in holes
                if other is not hole and self._kind(other) == self._kind(hole)
            )

        # What a shape holds follows from what is meant by it: from `filters`, or a `kernel`.
        named = [hole for hole in holes if hole.argument != "shape"] or holes
        best = max(named, key=lambda hole: (explained(hole), -_changes(hole.values)))
        name, values, text = best.argument, best.values, None
        for fact, sizes in self._facts(best.step).items() if self._kind(best) == "size" else ():
            ratio = _ratios(values, sizes)
            if ratio is not None and _changes(ratio[1]) < _changes(values):
                word, values = ratio
                name = "expand" if word == "*" else "reduce"
                text = f"{fact} {word} "
                break
        place = self.template.holes.index(best)
        param = Param(self._name(name, best.step), [rounded(value) for value in values], place=place)
        self.found.params.append(param)
        self.kinds[param] = self._kind(best) if text is None else "ratio"
        self.found.fills[best] = Code((text or "") + param.name)
        if text is not None:
            self._remember(text + param.name, best)
        holes.remove(best)

    def _name(self, argument: str, step: Step | None) -> str:
        name = {"repeat": "depth", "p": "rate"}.get(argument, argument)
        taken = {param.name for param in self.found.params} | NOT_PARAMS
        owners: list[str] = []
        here = step
        while here is not None:
            owners.insert(0, here.name.rpartition(".")[2])
            here = self.template.scopes.get(here)
        words = [word for word in owners if word and not word.isdigit()]
        for candidate in (
            name,
            f"{words[-1]}_{name}" if words else "",
            "_".join((*filter(None, owners), name)),
            f"{step.op}_{name}" if step is not None else "",
        ):
            if value_name_fault(candidate, taken) is None:
                return candidate
        return next(found for number in count(2) if (found := f"{name}_{number}") not in taken)

    # Conditions.

    def _condition(self, there: list[bool], steps: list[Step]) -> None:
        scopes = {self.template.scopes.get(step) for step in steps}
        if len(scopes) > 1:
            for scope in scopes:
                self._condition(there, [step for step in steps if self.template.scopes.get(step) is scope])
            return
        scope = scopes.pop()
        if scope is not None:
            members = self.template.members[scope]
            wanted: list[Any] = [
                ABSENT if member is None else here for here, member in zip(there, members, strict=True)
            ]
        else:
            wanted = list(there)
        terms = {text: v for (where, text), v in self.terms.items() if where is scope or "input" not in text}
        text = self._projection(wanted, steps) or condition(wanted, self._names(steps[0]), terms)
        if text is None:
            step = steps[0]
            word = step.name.rpartition(".")[2] if step.name and not step.name.isdigit() else step.op
            word = "activation" if step.op in PLAIN_ACTIVATIONS else word
            param = Param(self._name(word, None), [here is True for here in wanted])
            self.found.params.append(param)
            self.kinds[param] = "bool"
            text = param.name
        for step in steps:
            self.found.conditions[step] = Code(text)

    def _projection(self, wanted: list[Any], steps: list[Step]) -> str | None:
        """Return the condition under which what a block reads differs in shape from what it makes, or the opposite.

        That is why a residual block has a projection, or no skip edge; it holds after an edit too.
        """
        scope = self.template.scopes.get(steps[0])
        made = [use.shape[0] if use.shape else ABSENT for use in self.uses]
        sizes = {param.name: param.values for param in self.found.params if self.kinds[param] == "size"}
        out = expression(made, sizes)
        inner = self._facts(steps[0]).get("input.channels")
        if scope is not None or out is None or inner is None or ABSENT in made:
            return None
        strides = [param for param in self.found.params if self.kinds[param] == "stride"]
        differs = [a != b for a, b in zip(inner, made, strict=True)]
        for param in [*strides, None]:
            moves = [param is not None and value != 1 for value in (param.values if param is not None else wanted)]
            either = [a or b for a, b in zip(differs, moves, strict=True)]
            if not any(differs):
                continue
            prefix = f"{param.name} {{}} 1 {{}} " if param is not None else ""
            if either == wanted:
                return prefix.format("!=", "or") + f"input.channels != {out}"
            if [not value for value in either] == wanted:
                return prefix.format("==", "and") + f"input.channels == {out}"
        return None

    def _default(self, param: Param) -> None:
        counts: list[tuple[int, Any]] = []
        for value in param.values:
            if value is not ABSENT and not any(same(value, seen) for _, seen in counts):
                counts.append((sum(same(value, other) for other in param.values), value))
        most, value = max(counts, key=lambda entry: entry[0])
        if isinstance(value, bool):
            param.default = value
        elif any(each is ABSENT for each in param.values):
            param.default = 0.0 if isinstance(value, float) else value
        elif most >= 3 and most * 2 > len(param.values) and not isinstance(value, VARYING):
            param.default = value


def _changes(values: Sequence[Any]) -> int:
    """Count how often a value differs from the one before it, among those that matter."""
    return sum(not same(a, b) for a, b in pairwise(value for value in values if value is not ABSENT))


def _ratios(values: Sequence[Any], sizes: Sequence[Any]) -> tuple[str, list[Any]] | None:
    """Return how values follow from sizes by whole factors: `*` or `//`, and the factors."""
    pairs = [(value, size) for value, size in zip(values, sizes, strict=True) if value is not ABSENT]
    if not all(_is_int(value) and _is_int(size) and value and size for value, size in pairs):
        return None
    if all(value % size == 0 for value, size in pairs):
        return "*", [ABSENT if v is ABSENT else v // s for v, s in zip(values, sizes, strict=True)]
    if all(size % value == 0 for value, size in pairs):
        return "//", [ABSENT if v is ABSENT else s // v for v, s in zip(values, sizes, strict=True)]
    return None


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# Expressions.


def expression(values: Sequence[Any], names: dict[str, list[Any]]) -> str | None:
    """Return the cheapest expression of named values that gives `values` in every use; None if there is none."""
    needed = [at for at, value in enumerate(values) if value is not ABSENT]
    if not needed:
        return None
    wanted = [values[at] for at in needed]
    given = {
        name: [value[at] for at in needed]
        for name, value in names.items()
        if all(value[at] is not ABSENT for at in needed)
    }
    for name, value in given.items():
        if all(alike(a, b) for a, b in zip(value, wanted, strict=True)):
            return name
    if not all(map(_is_int, wanted)):
        return None
    numbers = {name: value for name, value in given.items() if all(map(_is_int, value))}
    return next(_computed(wanted, numbers), None)


def _computed(wanted: list[int], numbers: dict[str, list[int]]) -> Iterator[str]:
    if not all(wanted):
        return
    for name, value in numbers.items():
        if len(set(map(str, value))) == 1 and len(set(wanted)) > 1 or not all(value):
            continue
        factor = wanted[0] // value[0]
        if 2 <= factor <= MAX_FACTOR and all(v * factor == w for v, w in zip(value, wanted, strict=True)):
            yield f"{name} * {factor}"
        divisor = value[0] // wanted[0]
        if 2 <= divisor <= MAX_FACTOR and all(v // divisor == w for v, w in zip(value, wanted, strict=True)):
            yield f"{name} // {divisor}"
    for (left, a), (right, b) in combinations(numbers.items(), 2):
        if all(x * y == w for x, y, w in zip(a, b, wanted, strict=True)):
            yield f"{left} * {right}"
        if all(x + y == w for x, y, w in zip(a, b, wanted, strict=True)):
            yield f"{left} + {right}"
        for (top, x), (bottom, y) in (((left, a), (right, b)), ((right, b), (left, a))):
            if all(q and p // q == w for p, q, w in zip(x, y, wanted, strict=True)):
                yield f"{top} // {bottom}"
    for name, value in numbers.items():
        yield from _rounded_up(name, value, wanted)


def _root(values: Sequence[Any], sizes: Mapping[str, list[Any]]) -> str | None:
    """Return values as one through the root of a size, as attention has it; None if they are not."""
    for name, each in sizes.items():
        if all(v is ABSENT or n is not ABSENT and n and v == n**-0.5 for v, n in zip(values, each, strict=True)):
            return f"{name} ** -0.5"
    return None


def _shifted(values: Sequence[Any], sizes: Mapping[str, list[Any]]) -> str | None:
    """Return numbers as a size less or more a small number; None if they are not."""
    for name, each in sizes.items():
        pairs = [(v, n) for v, n in zip(values, each, strict=True) if v is not ABSENT]
        if not pairs or ABSENT in (n for _, n in pairs):
            continue
        offset = pairs[0][0] - pairs[0][1]
        if 0 < abs(offset) <= MAX_FACTOR and all(v - n == offset for v, n in pairs):
            return f"{name} {'-' if offset < 0 else '+'} {abs(offset)}"
    return None


def _rounded_up(name: str, value: list[int], wanted: list[int]) -> Iterator[str]:
    """Yield a rounded share of a size, as squeeze-and-excitation has it."""
    if len(set(wanted)) < 2:
        return
    for divisor in (2, 4, 6, 8, 12, 16, 24, 32):
        if all(max(1, v // divisor) == w for v, w in zip(value, wanted, strict=True)):
            yield f"max(1, {name} // {divisor})"
        for multiple in (8, 4, 16, 1):
            ending = "" if multiple == 8 else f", {multiple}"
            if all(_divisible(v // divisor, multiple, 0.9) == w for v, w in zip(value, wanted, strict=True)):
                yield f"make_divisible({name} // {divisor}{ending})"
            if all(_divisible(v / divisor, multiple, 0.0) == w for v, w in zip(value, wanted, strict=True)):
                yield f"make_divisible({name} / {divisor}, {multiple}, 0)"


def _divisible(value: float, divisor: int, ratio: float) -> int:
    from archspec.expressions.functions import make_divisible

    return int(make_divisible(value, divisor, ratio))


# Conditions.


def condition(wanted: Sequence[Any], names: dict[str, list[Any]], terms: dict[str, list[Any]]) -> str | None:
    """Return the shortest condition that is true in just the uses that have a step; None if there is none."""
    needed = [at for at, value in enumerate(wanted) if value is not ABSENT]
    target = tuple(bool(wanted[at]) for at in needed)
    atoms: dict[tuple[bool, ...], str] = {}
    for text, truths in _atoms(names, terms, needed):
        atoms.setdefault(truths, text)
    if target in atoms:
        return atoms[target]
    for (a, left), (b, right) in combinations(atoms.items(), 2):
        if tuple(x or y for x, y in zip(a, b, strict=True)) == target:
            return f"{left} or {right}"
        if tuple(x and y for x, y in zip(a, b, strict=True)) == target:
            return f"{left} and {right}"
    return None


def _atoms(
    names: dict[str, list[Any]], terms: dict[str, list[Any]], needed: Sequence[int]
) -> Iterator[tuple[str, tuple[bool, ...]]]:
    given = {
        name: [values[at] for at in needed]
        for name, values in {**names, **terms}.items()
        if all(values[at] is not ABSENT for at in needed)
    }
    for name, values in given.items():
        if all(isinstance(value, bool) for value in values):
            yield name, tuple(values)
            yield f"not {name}", tuple(not value for value in values)
    numbers = {
        name: values
        for name, values in given.items()
        if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    }
    for name, values in numbers.items():
        if name in terms or name.startswith("input"):
            continue
        if min(values) >= 1:
            yield f"{name} != 1", tuple(value != 1 for value in values)
            yield f"{name} == 1", tuple(value == 1 for value in values)
        else:
            yield f"{name} > 0", tuple(value > 0 for value in values)
    for (left, a), (right, b) in combinations(numbers.items(), 2):
        if left.startswith("input") and right.startswith("input"):
            continue
        equal = tuple(x == y for x, y in zip(a, b, strict=True))
        first, second = (right, left) if right.startswith("input.") and "*" not in right else (left, right)
        yield f"{first} == {second}", equal
        yield f"{first} != {second}", tuple(not value for value in equal)
