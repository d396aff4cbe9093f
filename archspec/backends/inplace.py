"""Which nodes may write their result over what they read, where the graph shows that it is sound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from archspec.graph import Node


def overwrites(nodes: Iterable[Node], outputs: Iterable[str]) -> frozenset[str]:
    """Return the paths of the nodes that may write their result over what they read.

    Nothing else may read that value: no other node, not the caller as an output, and not the gradient of the op that
    made it. Nor may it come from outside the scope of the node, so that every module leaves its arguments as they are.
    """
    reads = Counter(outputs)
    made: dict[str, Node] = {}
    found: list[tuple[str, str]] = []
    for node in nodes:
        reads.update(node.inputs)
        made[node.path] = node
        source = made.get(node.inputs[0]) if node.inputs else None
        prefix = node.path[: -len(node.name)]
        if node.op.overwrites() and source is not None and source.op.overwritable and source.path.startswith(prefix):
            found.append((node.path, source.path))
    writing = {path for path, source in found if reads[source] == 1}
    # A module that several nodes call writes over what it reads only if all of them may.
    keeping = {node.weights_of or node.path for node in made.values() if node.path not in writing}
    return frozenset(path for path in writing if (made[path].weights_of or path) not in keeping)
