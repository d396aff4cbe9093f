"""The calls of a program as a tree of steps: scopes as the source has modules, reads told from where they stand.

A scope's steps are contiguous in a spec, so calls are moved where that takes it and data flow allows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeAlias

import networkx as nx

from archspec.importing.calls import Call, Part, Program, Value
from archspec.ops import OPS
from archspec.shapes import Shape

SEQUENTIAL = "sequential"


@dataclass(frozen=True)
class Input:
    """Reads input `index` of the scope that the step stands in."""

    index: int = 0


@dataclass(frozen=True)
class Made:
    """Reads what a step made: the first of `steps` stands in the reader's scope, each other one within the one before.

    A scope alone stands for the value of its last step. `result` counts the results of a `split`.
    """

    steps: tuple[Step, ...]
    result: int | None = None


Read: TypeAlias = "Input | Made | int | float | Any"
"""What a step reads. A number may become a hole of a template, and then an expression."""


@dataclass(eq=False)
class Step:
    """A step of the spec that is being made: an op, the call of a block, or a scope with steps of its own.

    `kind` is the class of the source's module for a scope. `fixed` says that keys of the state_dict hold the name;
    without it the name is a wish, and a step with none is called as the language calls it. `inputs` and `shape` are the
    shapes of what it reads and makes. `when` and `repeat` are text of the spec: an expression or a number.
    """

    op: str
    arguments: dict[str, Any]
    reads: list[Read]
    name: str = ""
    fixed: bool = False
    named: dict[str, Read] = field(default_factory=dict)
    body: list[Step] | None = None
    kind: str = ""
    inputs: tuple[Shape, ...] = ()
    shape: Shape = ()
    when: Any = None
    repeat: Any = None
    register: tuple[str, ...] = ()
    """Names of its steps in the order in which the source registers their modules, if it runs them in another."""
    position: bool = False
    """Whether its name is its position in a `sequential`, so that it needs none."""

    def __repr__(self) -> str:
        return f"<{self.op} {self.name or '-'}>"

    @property
    def op_is_free(self) -> bool:
        """Whether it is a parameter or a buffer."""
        return self.op in OPS and OPS[self.op].arity == 0

    @property
    def all_reads(self) -> list[Read]:
        """What it reads, in `from` and in arguments."""
        return [*self.reads, *self.named.values()]

    def map_reads(self, change: Any) -> None:
        """Replace each read by what `change` makes of it."""
        self.reads = [change(read) for read in self.reads]
        self.named = {name: change(read) for name, read in self.named.items()}


@dataclass(eq=False)
class Tree:
    """A network as steps. `outputs` reads them by name."""

    program: Program
    body: list[Step]
    outputs: dict[str, Read]
    register: tuple[str, ...] = ()


def walk(body: Iterable[Step]) -> Iterator[Step]:
    """Yield all steps, each before those within it."""
    for step in body:
        yield step
        if step.body is not None:
            yield from walk(step.body)


def build_tree(program: Program) -> Tree:
    """Arrange the calls of a program into nested steps."""
    calls = live_calls(program)
    within = {call: _scopes_of(call) for call in calls}
    within = _with_missing_levels(calls, within)
    return _Reads(program, _arrange(calls, within, 0)).tree()


def live_calls(program: Program) -> list[Call]:
    """Return the calls that an output needs, in order."""
    graph: nx.DiGraph[Call] = nx.DiGraph()
    graph.add_nodes_from(program.calls)
    for call in program.calls:
        graph.add_edges_from((read.call, call) for read in call.values if read.call is not None)
    needed: set[Call] = set()
    for value in program.outputs.values():
        if value.call is not None and value.call not in needed:
            needed |= {value.call, *nx.ancestors(graph, value.call)}
    for call in list(needed):
        if call.shares is not None:
            needed.add(call.shares)
    return [call for call in program.calls if call in needed]


# Scopes.


def _prefix(path: str, of: str) -> bool:
    return not path or of == path or of.startswith(path + ".")


def _scopes_of(call: Call) -> tuple[Part, ...]:
    """Return the scopes that the call stands in: those of the modules around it that its weights are within."""
    if not call.fixed:
        return call.within
    return tuple(part for part in call.within if part.path != call.path and _prefix(part.path, call.path))


def _with_missing_levels(calls: list[Call], within: dict[Call, tuple[Part, ...]]) -> dict[Call, tuple[Part, ...]]:
    """Add the levels of paths that are no call of a module: a container whose parts are called from outside.

    A container whose children are numbered from 0 without a gap stays a list, whose steps have dotted names.
    """
    children: dict[str, dict[str, None]] = {}  # of the levels that are missing
    for call in calls:
        for before, path in _pairs(call, within[call]):
            for level, child in _levels(before, path):
                children.setdefault(level, {})[child] = None
    lists = {level for level, names in children.items() if {*names} == {str(number) for number in range(len(names))}}
    # A list holds steps of its scope, so none stands right within another list.
    lists -= {level for level in lists if _parent(level) in lists}
    lists -= {part.path for parts in within.values() for part in parts}
    found = {}
    for call in calls:
        parts: list[Part] = []
        for before, path, part in _pairs_with_parts(call, within[call]):
            levels = [level for level, _ in _levels(before, path)]
            parts.extend(Part(level, SEQUENTIAL) for level in levels if level not in lists)
            if part is not None:
                parts.append(part)
        found[call] = tuple(parts)
    return found


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _pairs_with_parts(call: Call, parts: tuple[Part, ...]) -> Iterator[tuple[str, str, Part | None]]:
    before = ""
    for part in parts:
        yield before, part.path, part
        before = part.path
    if call.fixed:
        yield before, call.path, None


def _pairs(call: Call, parts: tuple[Part, ...]) -> Iterator[tuple[str, str]]:
    for before, path, _ in _pairs_with_parts(call, parts):
        yield before, path


def _levels(before: str, path: str) -> Iterator[tuple[str, str]]:
    """Yield each level between two paths with the word that follows it."""
    if not _prefix(before, path):
        return
    words = path[len(before) :].lstrip(".").split(".")
    here = before
    for word, child in pairwise(words):
        here = f"{here}.{word}" if here else word
        yield here, child


@dataclass(eq=False)
class _Scope:
    part: Part
    items: list[_Scope | Call]


def _arrange(calls: list[Call], within: dict[Call, tuple[Part, ...]], depth: int) -> list[_Scope | Call]:
    """Group the calls of one scope by the scopes within it, each of them contiguous."""
    keys = {call: within[call][depth] if len(within[call]) > depth else None for call in calls}
    calls = _contiguous(calls, keys)
    items: list[_Scope | Call] = []
    run: list[Call] = []
    for at, call in enumerate(calls):
        key = keys[call]
        if key is None:
            items.append(call)
            continue
        run.append(call)
        if at + 1 == len(calls) or keys[calls[at + 1]] != key:
            items.append(_Scope(key, _arrange(run, within, depth + 1)))
            run = []
    return items


def _contiguous(calls: list[Call], keys: dict[Call, Part | None]) -> list[Call]:
    """Return the calls in an order in which those of each scope stand together."""
    runs: dict[Part, int] = {}
    for at, call in enumerate(calls):
        key = keys[call]
        if key is not None and (at == 0 or keys[calls[at - 1]] != key):
            runs[key] = runs.get(key, 0) + 1
    for key in [key for key, count in runs.items() if count > 1]:
        calls = _gather(calls, keys, key)
    return calls


def _gather(calls: list[Call], keys: dict[Call, Part | None], key: Part) -> list[Call]:
    """Move what stands between the calls of a scope before them or behind them, or into the scope.

    What has weights elsewhere and can move neither way cuts the scope in two, which the proof of the keys will tell.
    """
    members = [at for at, call in enumerate(calls) if keys[call] == key]
    first, last = members[0], members[-1]
    segment = calls[first : last + 1]
    after: set[Call] = set()  # what depends on a member
    for call in segment:
        made = {value.call for value in call.values}
        if keys[call] == key or made & after:
            after.add(call)
    before: set[Call] = set()  # what a member depends on
    for call in reversed(segment):
        if keys[call] == key or call in before:
            before |= {value.call for value in call.values if value.call is not None}
    inside = []
    front, back = [], []
    for call in segment:
        if keys[call] == key:
            inside.append(call)
        elif call not in after:
            front.append(call)
        elif call not in before:
            back.append(call)
        else:
            if keys[call] is None and not call.fixed:
                keys[call] = key
            inside.append(call)
    return [*calls[:first], *front, *inside, *back, *calls[last + 1 :]]


# Reads.


class _Reads:
    """Makes steps of the arranged calls, with reads relative to where they stand."""

    def __init__(self, program: Program, items: list[_Scope | Call]) -> None:
        self.program = program
        self.steps: dict[Call, tuple[Step, ...]] = {}
        self.given: dict[Step | None, list[Value]] = {None: list(program.inputs.values())}
        self.body = self._steps(items, "", ())

    def tree(self) -> Tree:
        for call, place in self.steps.items():
            step = place[-1]
            step.reads = [self._read(read, place[:-1]) for read in call.reads]
            step.named = {name: self._read(read, place[:-1]) for name, read in call.named.items()}
            if call.shares is not None:
                step.arguments, step.named = {}, {"step": self._read(call.shares.results[0], place[:-1])}
        for scope, values in self.given.items():
            if scope is not None:
                scope.inputs = tuple(value.shape for value in values)
        for step in walk(self.body):
            if step.body:
                last = step.body[-1]
                step.shape = last.shape
        outputs = {name: self._read(value, ()) for name, value in self.program.outputs.items()}
        register = self._register(self.body, "")
        return Tree(self.program, self.body, outputs, register)

    def _register(self, body: list[Step], path: str) -> tuple[str, ...]:
        """Return the names of weighted steps in the order of the source's keys, if they run in another order."""
        ran = list(dict.fromkeys(step.name.partition(".")[0] for step in body if step.fixed and not step.op_is_free))
        prefix = f"{path}." if path else ""
        keys = (key[len(prefix) :].partition(".")[0] for key in self.program.keys if key.startswith(prefix))
        kept = [name for name in dict.fromkeys(keys) if name in ran]
        for step in body:
            if step.body is not None:
                step.register = self._register(step.body, prefix + step.name)
        return tuple(kept) if kept != [name for name in ran if name in kept] else ()

    def _steps(self, items: Sequence[_Scope | Call], path: str, around: tuple[Step, ...]) -> list[Step]:
        made = []
        for item in items:
            if isinstance(item, Call):
                name = _relative(item.path, path)
                step = Step(item.op, dict(item.arguments), [], name, item.fixed)
                step.inputs = tuple(read.shape for read in item.reads if isinstance(read, Value))
                step.shape = item.results[0].shape
                self.steps[item] = (*around, step)
                if item.shares is not None:
                    step.op, step.fixed = "use", False
            else:
                name = _relative(item.part.path, path)
                step = Step(SEQUENTIAL, {}, [], name, item.part.number == 0, kind=item.part.kind)
                self.given[step] = []
                step.body = self._steps(item.items, item.part.path, (*around, step))
                if not any(inner.fixed for inner in walk(step.body)):
                    step.fixed = False
                    if len(item.items) == 1 and isinstance(item.items[0], Call):
                        step = self._without_scope(step, item.items[0], around)
            made.append(step)
            if step.op_is_free and len(made) > 1 and made[-2].op == "split":
                made[-2:] = made[:-3:-1]  # what stands behind a split reads one of its results
        if around:
            for at, step in enumerate(made):
                step.position = step.name == str(at)
        return made

    def _without_scope(self, scope: Step, call: Call, around: tuple[Step, ...]) -> Step:
        """Return the only step of a scope in its place: a module around one op without weights says nothing."""
        del self.given[scope]
        assert scope.body is not None
        step = scope.body[0]
        step.name, step.fixed = scope.name, False
        self.steps[call] = (*around, step)
        return step

    def _read(self, read: Value | int | float, place: tuple[Step, ...]) -> Read:
        """Return how a step within the scopes `place`, outermost first, reads a value."""
        if not isinstance(read, Value):
            return read
        made = self.steps[read.call] if read.call is not None else ()
        common = 0
        while common < len(place) and common < len(made) - 1 and place[common] is made[common]:
            common += 1
        if read.call is not None:
            found: Read = _short(made[common:], self._result(read))
        else:
            found = Input(self.given[None].index(read))
            common = 0
        for depth in range(common, len(place)):
            scope = place[depth]
            values = self.given[scope]
            if read not in values:
                values.append(read)
                scope.reads.append(found)
            found = Input(values.index(read))
        return found

    def _result(self, value: Value) -> int | None:
        assert value.call is not None
        parts = value.call.op == "split" and "part" not in value.call.arguments
        return value.index if len(value.call.results) > 1 or parts else None


def _relative(path: str, scope: str) -> str:
    """Return the rest of a path within a scope; its last word if it is not within it."""
    if scope and path.startswith(scope + "."):
        return path[len(scope) + 1 :]
    return path if not scope else path.rpartition(".")[2]


def _short(steps: tuple[Step, ...], result: int | None) -> Made:
    """Return the shortest way to tell of a value: a scope stands for the value of its last step."""
    while len(steps) > 1 and result is None and steps[-2].body and steps[-2].body[-1] is steps[-1]:
        if steps[-1].op_is_free:
            break  # a free tensor does not count as the step before
        steps = steps[:-1]
    return Made(steps, result)
