"""Equal scopes are worked out once: the others are their nodes again, at another place.

What a scope comes to follows from its steps, from the values that its expressions see, and from the shape of what it
reads. Blocks see nothing else; a `sequential` that reads a step around it is worked out anew each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from archspec.elaborate.frames import Frame, Ref
from archspec.expressions import Scope
from archspec.graph import Group, Node
from archspec.program.steps import BlockProgram, ScopeStep, Step

MAX_PATH = 1_000
"""How long the path of a scope may be."""


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
        start, values = (block, *arguments), list(arguments.values())
    else:
        assert isinstance(step, ScopeStep)
        if step.read is None or any(frame.find(name) is not None for name in step.read):
            return None
        start, values = (step,), [scope.find(name) for name in step.free]
    types = tuple(map(type, values))  # 1, 1.0 and true are equal, but not the same
    if Ref in types:
        values = [value.shape if isinstance(value, Ref) else value for value in values]
    key = (*start, reads[0].shape, types, *values)
    try:
        hash(key)
    except TypeError:  # a list or a mapping
        return None
    return key


class Worked:
    """A scope that is worked out: its nodes are those from `first` up to `last`.

    `level` is how deep it stands in others, `work` and `edges` are what it takes of their limits.
    """

    __slots__ = ("frame", "source", "result", "first", "last", "level", "work", "edges")

    def __init__(self, frame: Frame, result: Ref, made: tuple[int, int], level: int, work: int, edges: int) -> None:
        self.frame, self.source, self.result = frame, frame.first_input, result
        self.first, self.last = made
        self.level, self.work, self.edges = level, work, edges

    def again(self, group: Group, source: Ref, nodes: list[Node]) -> Ref | None:
        """Add its nodes once more, in the scope `group`, which reads `source`; None where a path becomes too long."""
        old, path = self.frame.group, group.path
        cut, read = len(old.path), self.source.path
        groups = {id(old): group}
        made: list[Node] = []
        for node in nodes[self.first : self.last]:
            within = groups.get(id(node.group)) or _moved_group(node.group, cut, path, groups)
            if within is None:
                return None
            inputs = [source.path if name == read else path + name[cut:] for name in node.inputs]
            made.append(Node(path + node.path[cut:], node.op, tuple(inputs), node.span, within, node.given))
        nodes += made
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


def _moved_group(group: Group, cut: int, path: str, groups: dict[int, Group]) -> Group | None:
    """A scope inside one that is moved to `path`; None where its path becomes too long."""
    assert group.parent is not None
    parent = groups.get(id(group.parent)) or _moved_group(group.parent, cut, path, groups)
    if parent is None or len(path) + len(group.path) - cut > MAX_PATH:
        return None
    found = groups[id(group)] = group.moved(path + group.path[cut:], parent)
    return found
