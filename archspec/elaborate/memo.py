"""A memo of scopes: equal ones are elaborated once, and their nodes copied to the other places.

What a scope becomes depends on its steps, on the values that its expressions see, and on the shape of what it reads.
Blocks with one input see nothing else. A `sequential` that reads a step around it is elaborated anew each time, and so
is everything when a trace is kept. Both ways must give the same graph and the same findings, so whatever counts towards
a limit is part of `Spent`; a mistake in a scope is told once for its place, where it is met first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from archspec.elaborate.limits import Spent
from archspec.elaborate.namespace import Namespace, Ref
from archspec.expressions import Environment
from archspec.graph import Node, Scope
from archspec.program.steps import BlockProgram, ScopeStep, Step

MAX_SEEN = 64
"""How many values a scope may see: to compare more would cost as much as to work it out."""


def scope_key(
    step: Step,
    block: BlockProgram | None,
    arguments: dict[str, Any],
    namespace: Namespace,
    environment: Environment,
    reads: Sequence[Ref],
) -> tuple[Any, ...] | None:
    """Return the key of a scope: equal keys give equal scopes. None if no key tells."""
    if len(reads) != 1:
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
        if any(namespace.find(name) is not None for name in step.outer_reads):
            return None
        start, values = (step,), [environment.find(name) for name in step.outer_names]
    types = tuple(map(type, values))  # 1, 1.0 and true are equal, but not the same
    if Ref in types:
        values = [(value.shape, value.lead) if isinstance(value, Ref) else value for value in values]
    if float in types:  # of which there are two zeros
        values = [repr(value) if isinstance(value, float) else value for value in values]
    key = (*start, reads[0].shape, reads[0].lead, types, *values)
    try:
        hash(key)
    except TypeError:  # a list or a mapping
        return None
    return key


class Entry:
    """A scope that has been elaborated: its nodes are those from `first` up to `last`, at the cost of `spent`."""

    __slots__ = ("namespace", "source", "result", "first", "last", "spent")

    def __init__(self, namespace: Namespace, result: Ref, first: int, last: int, spent: Spent) -> None:
        self.namespace, self.source, self.result = namespace, namespace.first_input, result
        self.first, self.last, self.spent = first, last, spent

    def copy_to(self, scope: Scope, source: Ref, nodes: list[Node]) -> Ref:
        """Add copies of its nodes to `nodes`, in `scope`, which reads `source`. Return the value of the last."""
        old, path = self.namespace.scope, scope.path
        cut, read = len(old.path), self.source.path
        scopes = {id(old): scope}
        for node in nodes[self.first : self.last]:
            within = scopes.get(id(node.scope)) or _moved_scope(node.scope, cut, path, scopes)
            inputs = [source.path if name == read else path + name[cut:] for name in node.inputs]
            path_here = path + node.path[cut:]
            nodes.append(Node(path_here, node.op, tuple(inputs), node.span, within, node.origins, node.draws))
        scope.take(old)
        return self.moved(scope, source, self.result)

    def moved(self, scope: Scope, source: Ref, ref: Ref) -> Ref:
        """Return a value of the scope, or what it reads, as it is in the scope `scope`."""
        if ref.shape is None:
            return ref
        if ref.path == self.source.path:
            return source
        path = scope.path + ref.path[len(self.namespace.scope.path) :]
        return Ref(path, ref.shape, ref.lead, tuple(self.moved(scope, source, part) for part in ref.parts))

    def names(self, scope: Scope, source: Ref) -> Namespace:
        """Return its names as they are in the scope `scope`."""
        return self.namespace.moved(scope, partial(self.moved, scope, source))


def _moved_scope(scope: Scope, cut: int, path: str, scopes: dict[int, Scope]) -> Scope:
    """Return a scope inside one that is moved to `path`."""
    assert scope.parent is not None
    parent = scopes.get(id(scope.parent)) or _moved_scope(scope.parent, cut, path, scopes)
    found = scopes[id(scope)] = scope.moved(path + scope.path[cut:], parent)
    return found
