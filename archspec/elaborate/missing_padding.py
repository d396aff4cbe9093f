"""Help for a merge that does not fit: the padding that was left out on the way to one of its operands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archspec.elaborate.namespace import Ref
from archspec.errors import Complaint, Help, listed
from archspec.graph import Node
from archspec.ops.base import Op
from archspec.ops.fields import Padding
from archspec.shapes import Shape

MAX_WAY = 50
"""How many steps back from an operand are looked at."""
MAX_NAMED = 4
"""How many steps one help names."""


def padding_help(
    op: type[Op],
    arguments: Mapping[str, Any],
    names: tuple[str, ...],
    reads: Sequence[Ref],
    nodes: list[Node],
    prefix: str,
    otherwise: Help,
) -> str | None:
    """Return which steps need a `padding` for `op` to fit on `reads`; `otherwise` if that does not help.

    Args:
        op: A merge that does not fit.
        arguments: Those of the merge.
        names: What its operands are called.
        reads: Its operands.
        nodes: The nodes so far.
        prefix: What the paths of the scope start with.
        otherwise: The help that there is without.
    """
    return _padding(op, arguments, names, reads, nodes, prefix) or (otherwise() if callable(otherwise) else otherwise)


def _padding(
    op: type[Op],
    arguments: Mapping[str, Any],
    names: tuple[str, ...],
    reads: Sequence[Ref],
    nodes: list[Node],
    prefix: str,
) -> str | None:
    known = {node.path: node for node in nodes[-MAX_WAY * len(reads) * 4 :]}
    ways = [_way_back(ref.path, known) for ref in reads[: MAX_NAMED * 2]]
    if len(ways) < len(reads):
        return None
    origin = next((path for path in ways[0] if all(path in way for way in ways)), None)
    if origin is None:
        return None
    shapes: list[Shape] = []
    padded: dict[str, None] = {}
    for way, ref in zip(ways, reads, strict=True):
        chain = [known[path] for path in reversed(way[: way.index(origin)])]
        start = chain[0].op.inputs[0] if chain else ref.shape
        shape = _padded(chain, start, padded) if start is not None else None
        if shape is None:
            return None
        shapes.append(shape)
    if not 0 < len(padded) <= MAX_NAMED:
        return None
    help = f"`padding: half` on {listed([path.removeprefix(prefix) for path in padded])}"
    try:
        op(tuple(shapes), arguments, names)
    except Complaint as left:
        sizes = {shape[1:] for shape in shapes}
        return f"{help} keeps the sizes; then {left.help}" if left.help and len(sizes) == 1 else None
    return f"{help} makes them fit"


def _way_back(path: str, known: Mapping[str, Node]) -> list[str]:
    """Return the value at `path` and those that it is made of, back to a merge or an input."""
    way = [path]
    while len(way) < MAX_WAY and path in known and len(known[path].inputs) == 1:
        path = known[path].inputs[0]
        way.append(path)
    return way


def _padded(chain: list[Node], shape: Shape, padded: dict[str, None]) -> Shape | None:
    """Return the shape at the end of a chain whose windows are padded by half of their kernels, and note which are."""
    for node in chain:
        arguments = node.op.args()
        kind = node.op.fields["padding"].kind if "padding" in node.op.fields else None
        if isinstance(kind, Padding) and "same" in kind.words and not any(map(any, node.op.padding)):  # type: ignore[attr-defined]
            arguments["padding"] = "half"
        try:
            made = type(node.op)((shape,), arguments)
        except Complaint:
            return None
        if (
            made.args() != node.op.args()
            and "padding" in arguments
            and made.args()["padding"] != node.op.args()["padding"]
        ):
            padded[node.path] = None
        shape = made.output
    return shape
