"""Scopes for programs whose source tells no modules: from the names of weights, or from what repeats."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from archspec.importing.calls import Call, Part, Program
from archspec.importing.normalize import concat_of_concat
from archspec.importing.tree import SEQUENTIAL, live_calls

Scope = tuple[Part, ...]

_GATHERING = frozenset(
    {"avg_pool", "flatten", "global_avg_pool", "global_max_pool", "max", "max_pool", "mean", "slice"}
)
"""Ops that as often stand behind a block as at its end."""

LONGEST = 64
"""How many segments one copy of a repeated part may have."""

MOST = 0.8
"""What part of segments alike must be equal to be taken for the copies."""


def stand_with_readers(calls: Iterable[Call], unplaced: set[Call]) -> None:
    """Put calls of unknown places into the scope that those share which read them."""
    calls = list(calls)
    readers = _readers(calls)
    for call in reversed(calls):
        around = [each.within for each in readers.get(call, [])] if call in unplaced else []
        if around:
            call.within = _common(around)


def from_paths(program: Program, nameless: Collection[str] = ()) -> dict[str, str]:
    """Put each call into the scopes that the names of weights tell: those of its own, or of what it reads.

    A call without weights stands where its operands stand, but for those that reach it through others as well: what
    skips a block is read from outside. A layer without a name of its own stands where both what it reads and what
    reads it do.

    Args:
        program: The network; its calls are changed.
        nameless: Paths of layers that the source has no name for.

    Returns:
        The new paths of such layers, by the old ones.
    """
    readers = _readers(program.calls)
    behind: dict[Call, set[Call]] = {}
    for call in program.calls:
        made = {value.call for value in call.values if value.call is not None}
        behind[call] = set().union(made, *(behind[each] for each in made))
        if call.fixed and call.path not in nameless:
            words = call.path.split(".")[:-1]
            call.within = tuple(Part(".".join(words[: at + 1]), "") for at in range(len(words)))
            continue
        last = [each for each in made if not any(each in behind[other] for other in made)]
        call.within = _common([each.within for each in last])
    for call in reversed(program.calls):
        around = _common([each.within for each in readers.get(call, [])])
        if len(call.results) > 1:
            call.within = around  # a scope has one result
        elif call.op in _GATHERING or call.path in nameless:
            call.within = _common([call.within, around])
    renamed = {}
    for call in program.calls:
        if call.fixed and call.path in nameless and call.within:
            renamed[call.path] = call.path = f"{call.within[-1].path}.{call.path}"
    return renamed


def from_repeats(program: Program) -> dict[str, str]:
    """Put what repeats into scopes, each copy into one of its own, and name the weights in all copies alike.

    The network is cut wherever everything goes through one value. A run of equal sequences of segments becomes a
    container with a scope for each. Segments are equal if they compute the same, or, where that covers more, if they
    end in the same op: a block with a projection is a block all the same.

    Returns:
        The new paths of weights, by the old ones.
    """
    concat_of_concat(program)  # dense connectivity goes through no single value before
    segments = _with_bare_blocks(_segments(program))
    found: dict[str, str] = {}
    at = stage = 0
    while at < len(segments):
        at, period, count = _run(segments, at)
        if count < 2:
            at += 1
            continue
        stage += 1
        for copy in range(count):
            calls = [call for each in segments[at + copy * period : at + (copy + 1) * period] for call in each.calls]
            _enclose(calls, f"stage{stage}", copy, found)
        at += period * count
    return found


@dataclass(frozen=True)
class _Segment:
    calls: tuple[Call, ...]
    structure: Any
    kind: Any


def _segments(program: Program) -> list[_Segment]:
    """Cut the calls where one value alone is read from then on."""
    calls = live_calls(program)
    last = {value: at for at, call in enumerate(calls) for value in call.values}
    last.update(dict.fromkeys(program.outputs.values(), len(calls)))
    alive = {value for value in program.inputs.values() if value in last}
    found: list[_Segment] = []
    start = 0
    for at, call in enumerate(calls):
        alive |= {value for value in call.results if value in last}
        alive = {value for value in alive if last[value] > at}
        if alive <= {call.results[0]}:
            segment = tuple(calls[start : at + 1])
            found.append(_Segment(segment, _structure(segment), (len(segment) > 1, call.op)))
            start = at + 1
    return found


def _structure(calls: Sequence[Call]) -> Any:
    """Return the ops of a segment and where each reads: equal for segments that differ in sizes only."""
    place = {call: at for at, call in enumerate(calls)}
    return tuple(
        (
            call.op,
            call.fixed,
            *((place.get(value.call, -1), value.index) if value.call else (-1, 0) for value in call.values),
        )
        for call in calls
    )


def _with_bare_blocks(segments: Sequence[_Segment]) -> list[_Segment]:
    """Join segments to one where together they compute what another one adds to its input: a block without a skip."""
    bodies = {
        _structure(each.calls[:-1]): each.kind
        for each in segments
        if len(each.calls) > 2 and each.calls[-1].op == "add"
    }
    lengths = sorted({len(body) for body in bodies}, reverse=True)
    found: list[_Segment] = []
    at = 0
    while at < len(segments):
        calls: tuple[Call, ...] = ()
        joined = None
        for end in range(at, min(len(segments), at + max(lengths, default=0))):
            calls += segments[end].calls
            kind = bodies.get(_structure(calls)) if len(calls) in lengths else None
            joined = (end + 1, _Segment(calls, _structure(calls), kind)) if kind else joined
        at, segment = joined or (at + 1, segments[at])
        found.append(segment)
    return found


def _run(segments: Sequence[_Segment], at: int) -> tuple[int, int, int]:
    """Find what repeats from here on, most often.

    Returns:
        Where the first copy begins, of how many segments it is, and how many copies follow each other.
    """
    rough = _run_of([segment.kind for segment in segments[at:]], segments[at:])
    for start in range(at, at + max(1, int(rough[0] * rough[1] * (1 - MOST)))):
        exact = _run_of([segment.structure for segment in segments[start:]], segments[start:])
        if exact[1] > 1 and exact[0] <= 2 * rough[0] and exact[0] * exact[1] >= MOST * rough[0] * rough[1]:
            return start, *exact
    return at, *rough


def _run_of(hashes: Sequence[Any], segments: Sequence[_Segment]) -> tuple[int, int]:
    best = (1, 1)
    for period in range(1, min(LONGEST, len(hashes) // 2) + 1):
        if not any(call.fixed for segment in segments[:period] for call in segment.calls):
            continue
        count = 1
        while hashes[count * period : (count + 1) * period] == hashes[:period]:
            count += 1
        several = sum(len(segment.calls) for segment in segments[:period]) > 1
        if count > 1 and several and (count, period) > (best[1], best[0]):
            best = (period, count)
    return best


def _enclose(calls: Sequence[Call], container: str, number: int, renamed: dict[str, str]) -> None:
    scope = f"{container}.{number}"
    counts: dict[str, int] = {}
    for call in calls:
        call.within = (Part(container, SEQUENTIAL), Part(scope, "Block"))
        if not call.fixed:
            call.path = ""
            continue
        counts[call.op] = counts.get(call.op, 0) + 1
        name = call.op if counts[call.op] == 1 else f"{call.op}_{counts[call.op]}"
        renamed[call.path] = call.path = f"{scope}.{name}"


def _common(scopes: Sequence[Scope]) -> Scope:
    if not scopes:
        return ()
    size = 0
    while all(len(each) > size and each[size] == scopes[0][size] for each in scopes):
        size += 1
    return scopes[0][:size]


def _readers(calls: Iterable[Call]) -> dict[Call, list[Call]]:
    found: dict[Call, list[Call]] = {}
    for call in calls:
        for value in call.values:
            if value.call is not None:
                found.setdefault(value.call, []).append(call)
    return found
