"""Receptive fields: which places of an input a place of every layer's output depends on.

Windows are followed from the input onwards, as in Araujo et al., Computing Receptive Fields of Convolutional Neural
Networks, https://distill.pub/2019/computing-receptive-fields: through branches a place depends on what any of them
reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil, floor, gcd, lcm
from typing import Any, NamedTuple

from archspec.graph import Graph, Node
from archspec.shapes import HERE, Reach, Shape


class Field(NamedTuple):
    """The receptive field of a layer along one axis, in places of the input, as if the input had no end.

    `size` is None where a place depends on the whole axis. `stride` is how far the fields of two neighbours lie apart,
    `offset` where the middle of the first one is: 0 is the middle of the first place of the input.
    """

    size: int | None
    stride: float
    offset: float

    def to_dict(self) -> dict[str, Any]:
        """Return the field as plain data."""
        return self._asdict()


class _Reads(NamedTuple):
    """Which places of an input the places of a value read along an axis: `low` to `high`, or none where these are None.

    They are told of as many places as it takes until all repeats, `step` times as far on for each place.
    """

    step: Fraction
    places: tuple[tuple[int, int] | None, ...]

    def at(self, place: int) -> tuple[int, int] | None:
        """Return what a place reads, wherever it lies."""
        periods, rest = divmod(place, len(self.places))
        found = self.places[rest]
        on = int(periods * len(self.places) * self.step)
        return None if found is None else (found[0] + on, found[1] + on)


_Axes = tuple["_Reads | None", ...]
"""What a value reads of an input along each of its spatial axes; None for all of an axis."""

MAX_PERIOD = 4096
"""After how many places what a layer reads has to repeat; else its field counts as the whole axis."""


def receptive_fields(graph: Graph) -> dict[str, tuple[Field, ...]]:
    """Return the receptive field of each node with spatial axes, by its path: one for each axis.

    Of several inputs it is that of the input on which it is largest. Left out are nodes that no longer have the axes of
    an input: tokens, features, and free tensors.
    """
    here = _Reads(Fraction(1), ((0, 0),))
    reads: dict[str, dict[str, _Axes]] = {name: {name: (here,) * (len(s) - 1)} for name, s in graph.inputs.items()}
    shapes: dict[str, Shape] = dict(graph.inputs)
    for node in graph.nodes:
        shapes[node.path] = node.shape
        reads[node.path] = _reads(node, reads, shapes)
    found = {}
    for node in graph.nodes:
        fields = [tuple(map(_field, each)) for each in reads[node.path].values()]
        if fields and fields[0]:
            found[node.path] = max(fields, key=lambda each: [_rank(field) for field in each])
    return found


def _rank(field: Field) -> float:
    return float("inf") if field.size is None else field.size


def _field(reads: _Reads | None) -> Field:
    if reads is None:
        return Field(None, 0, 0)
    some = [place for place in reads.places if place is not None]
    if not some:
        return Field(0, _number(reads.step), 0)
    first = some[0]
    size = max(high - low for low, high in some) + 1
    return Field(size, _number(reads.step), _number(Fraction(first[0] + first[1], 2)))


def _number(value: Fraction) -> float:
    return int(value) if value.denominator == 1 else float(value)


def _reads(node: Node, known: Mapping[str, Mapping[str, _Axes]], shapes: Mapping[str, Shape]) -> dict[str, _Axes]:
    """Return what a node reads of each input that it depends on."""
    own = node.op.reach()
    rank = len(node.shape) - 1
    found: dict[str, _Axes] = {}
    for path in node.inputs:
        for name, axes in known[path].items():
            if own is None or len(own) != len(axes) or len(axes) != rank:
                through: _Axes = (None,) * rank
            else:
                sizes = zip(own, axes, shapes[path][1:], node.shape[1:], strict=True)
                through = tuple([_through(*axis) for axis in sizes])
            found[name] = _together(found[name], through, node.shape[1:]) if name in found else through
    return found


def _through(own: Reach, before: _Reads | None, size: int, out: int) -> _Reads | None:
    """Return what is read of a network's input through a value that reads `before` of it."""
    if before is None or own == HERE and size != out:  # a single place stretched to all
        return None
    if own == HERE:
        return before
    step, period = Fraction(own.step), len(before.places)
    # The fewest places after which the windows stand on the same places of a period again.
    period = step.denominator * period // gcd(step.numerator, step.denominator * period)
    if not step or period > MAX_PERIOD:
        return None
    places = []
    for place in range(period):
        first, last = ceil(place * own.step + own.low), floor(place * own.step + own.high)
        places.append(_hull([before.at(first), before.at(last)]) if first <= last else None)
    return _Reads(step * before.step, tuple(places))


def _hull(places: Sequence[tuple[int, int] | None]) -> tuple[int, int] | None:
    some = [place for place in places if place is not None]
    return (min(low for low, _ in some), max(high for _, high in some)) if some else None


def _together(one: _Axes, other: _Axes, sizes: Sequence[int]) -> _Axes:
    """Return what a place reads that reads both."""
    found: list[_Reads | None] = []
    for a, b, size in zip(one, other, sizes, strict=True):
        if a is None or b is None or a is b:
            found.append(None if b is None else a)
            continue
        period = lcm(len(a.places), len(b.places)) if a.step == b.step else size
        if period > MAX_PERIOD:
            found.append(None)
            continue
        found.append(_Reads(a.step, tuple([_hull([a.at(place), b.at(place)]) for place in range(period)])))
    return tuple(found)
