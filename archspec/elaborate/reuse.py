"""Equal scopes are worked out once: the others are their nodes again, at another place.

What a scope comes to follows from its steps, from the values that its expressions see, and from the shape of what it
reads. Blocks of one input see nothing else; a `sequential` that reads a step around it is worked out anew each time,
and so is all where anything is wrong, or where a trace is wanted. Both ways must come to the same, so whatever Walk
counts towards a limit is part of `Usage`, or of what else `Worked` holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from archspec.elaborate.frames import Frame, Ref
from archspec.expressions import Scope
from archspec.graph import Group, Node
from archspec.program.steps import BlockProgram, ScopeStep, Step

MAX_SEEN = 64
"""How many values a scope may see: to compare more would cost as much as to work it out."""


def scope_key(
    step: Step,
    block: BlockProgram | None,
    arguments: dict[str, Any],
    frame: Frame,
    scope: Scope,
    reads: Sequence[Ref],
) -> tuple[Any, ...] | None:
    """What a scope follows from, `arguments` being those of a block; None where that is not to be told."""
    if len(reads) != 1 or reads[0].shape is None:
        return None
    start: tuple[object, ...]
    if block is not None:
        if len(arguments) > MAX_SEEN:
            return None
        start, values = (block, *arguments), list(arguments.values())
    else:
        assert isinstance(step, ScopeStep)
        if step.outer_reads is None or len(step.outer_names) + len(step.outer_reads) > MAX_SEEN:
            return None
        if any(frame.find(name) is not None for name in step.outer_reads):
            return None
        start, values = (step,), [scope.find(name) for name in step.outer_names]
    types = tuple(map(type, values))  # 1, 1.0 and true are equal, but not the same
    if Ref in types:
        values = [value.shape if isinstance(value, Ref) else value for value in values]
    if float in types:  # of which there are two zeros
        values = [repr(value) if isinstance(value, float) else value for value in values]
    key = (*start, reads[0].shape, types, *values)
    try:
        hash(key)
    except TypeError:  # a list or a mapping
        return None
    return key


class Usage(NamedTuple):
    """What is used of the limits: layers and scopes, conditions, edges, steps of expressions."""

    work: int
    tested: int
    edges: int
    steps: int


class Worked:
    """A scope that is worked out: its nodes are those from `first` up to `last`.

    `usage` is what it takes of the limits, `levels` how many scopes stand in one another in it, `reach` how much longer
    than its own the longest path of a scope in it is.
    """

    __slots__ = ("frame", "source", "result", "first", "last", "usage", "levels", "reach")

    def __init__(self, frame: Frame, result: Ref, first: int, last: int, usage: Usage, levels: int, reach: int) -> None:
        self.frame, self.source, self.result = frame, frame.first_input, result
        self.first, self.last, self.usage, self.levels, self.reach = first, last, usage, levels, reach

    def copy_to(self, group: Group, source: Ref, nodes: list[Node]) -> Ref:
        """Add its nodes to `nodes` once more, in the scope `group`, which reads `source`; the value of the last."""
        old, path = self.frame.group, group.path
        cut, read = len(old.path), self.source.path
        groups = {id(old): group}
        for node in nodes[self.first : self.last]:
            within = groups.get(id(node.group)) or _moved_group(node.group, cut, path, groups)
            inputs = [source.path if name == read else path + name[cut:] for name in node.inputs]
            nodes.append(Node(path + node.path[cut:], node.op, tuple(inputs), node.span, within, node.given))
        group.scope = old.scope
        return self.moved(group, source, self.result)

    def moved(self, group: Group, source: Ref, ref: Ref) -> Ref:
        """A value of the scope, or what it reads, as it is in the scope `group`."""
        if ref.path == self.source.path:
            return source
        return Ref(group.path + ref.path[len(self.frame.group.path) :], ref.shape)

    def names(self, group: Group, source: Ref) -> Frame:
        """Its names, as they are in the scope `group`."""
        return self.frame.moved(group, partial(self.moved, group, source))


def _moved_group(group: Group, cut: int, path: str, groups: dict[int, Group]) -> Group:
    """A scope inside one that is moved to `path`."""
    assert group.parent is not None
    parent = groups.get(id(group.parent)) or _moved_group(group.parent, cut, path, groups)
    found = groups[id(group)] = group.moved(path + group.path[cut:], parent)
    return found
