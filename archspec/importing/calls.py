"""What a network that is imported computes: calls of archspec's ops in the order in which they run.

Readers of PyTorch programs and of ONNX models write it; what gives the network its structure back reads it. A call says
where the source had it: the modules around it, and the path at which its weights stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from archspec.shapes import Shape


@dataclass(eq=False)
class Value:
    """A tensor: an input of the network, or result `index` of a call. Its shape has no batch."""

    shape: Shape
    call: Call | None = None
    index: int = 0
    name: str = ""
    """What an input is called; empty for the result of a call."""


@dataclass(frozen=True)
class Part:
    """One call of a module of the source: its dotted path, its class, and the how-manieth call of it this is, from 0.

    `path` is empty for the network itself, which no call lists. `kind` is the name of the class, `Bottleneck`, and
    `sequential` for a plain container, whose class says nothing.
    """

    path: str
    kind: str
    number: int = 0


@dataclass(eq=False)
class Call:
    """An op of archspec applied to values.

    `arguments` are those that the spec would give: plain values by the name of the argument, without the defaults of
    the op. `reads` are what it reads, in the order of `from`, numbers among them where the op takes numbers; `named`
    are the values that an argument names (`bias` of `attention`, `like` of `upsample`). `path` is where its module
    stands in the source; `fixed` says that keys of the state_dict start with it, so that no other name will do. Where
    it is not fixed, the last word of `path` is a wish, and empty if the source has no name. `within` are the calls of
    modules around it, outermost first. `shares` is the earlier call whose weights it uses, for a module that is called
    again. `where` tells the line of the source that made it, for messages.
    """

    op: str
    arguments: dict[str, Any]
    reads: list[Value | int | float]
    path: str = ""
    fixed: bool = False
    within: tuple[Part, ...] = ()
    named: dict[str, Value] = field(default_factory=dict)
    shares: Call | None = None
    where: str = ""
    results: list[Value] = field(default_factory=list)

    @property
    def values(self) -> list[Value]:
        """The values among what it reads."""
        return [read for read in (*self.reads, *self.named.values()) if isinstance(read, Value)]

    def result(self, shape: Sequence[int]) -> Value:
        """Return the next of its results, of a shape without the batch."""
        self.results.append(Value(tuple(shape), self, len(self.results)))
        return self.results[-1]


@dataclass(frozen=True)
class Missing:
    """Something of the source that a spec cannot express: what it is, in which module, at which line, and why."""

    what: str
    path: str
    where: str
    why: str = ""

    def __str__(self) -> str:
        at = f" in {self.path}" if self.path else ""
        line = f" ({self.where})" if self.where else ""
        return f"{self.what}{at}{line}{f': {self.why}' if self.why else ''}"


@dataclass(eq=False)
class Program:
    """A network as calls, with its inputs and outputs by name and what could not be expressed.

    `keys` are those of the source's state_dict, in their order; `training_only` holds outputs that only training mode
    gives.
    """

    name: str
    inputs: dict[str, Value]
    calls: list[Call]
    outputs: dict[str, Value]
    missing: list[Missing] = field(default_factory=list)
    training_only: frozenset[str] = frozenset()
    reference: str = ""
    keys: tuple[str, ...] = ()
