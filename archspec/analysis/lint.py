"""What is allowed, but will surprise: warnings, with the place of the step."""

from __future__ import annotations

from collections.abc import Callable

from archspec.errors import Complaint, Diagnostic
from archspec.graph import Graph, Node
from archspec.shapes import elements, shape_text


def lint(graph: Graph, batch: int = 1) -> tuple[Diagnostic, ...]:
    """Return the warnings about a sound graph, when trained with `batch` samples; one for each step as written."""
    found: list[Diagnostic] = []
    seen: set[tuple[str, int, int]] = set()
    for node in graph.nodes:
        rule = RULES.get(node.op.op)
        complaint = rule(node, batch) if rule is not None else None
        if complaint is None:
            continue
        place = (node.span.source.name, node.span.line, node.span.column)
        if place in seen:
            continue
        seen.add(place)
        notes = tuple(str(each) for each in node.scope.chain() if each.block or each.copy)
        help = complaint.help
        found.append(Diagnostic(complaint.code, complaint.message, node.span, notes, help, "warning"))
    return tuple(found)


def _batch_norm(node: Node, batch: int) -> Complaint | None:
    if batch == 1 and elements(node.op.spatial) == 1:
        message = f"batch norm over one value per channel: `{node.path}` cannot be trained with a batch of 1"
        return Complaint("statistics", message, "train with a batch of 2 or more, or use another normalisation here")
    momentum: float = getattr(node.op, "momentum", 0.0)
    if momentum > 0.5:
        message = (
            f"batch_norm: the momentum {momentum:g} is the weight of the newest batch, not of the statistics so far"
        )
        return Complaint("statistics", message, f"Keras counts the other way round: write {1 - momentum:.4g}")
    return None


def _linear(node: Node, batch: int) -> Complaint | None:
    shape = node.op.input
    if shape[-1] == 1 and elements(shape) > 1:
        message = f"linear: `{node.path}` reads the last axis of {shape_text(shape)}, which has a single value"
        return Complaint("shape", message, "put `- flatten` before it")
    return None


def _reshape(node: Node, batch: int) -> Complaint | None:
    shape, before = node.op.output, node.op.input
    if len(shape) == 2 and shape[0] == 1 and len(before) > 2:
        message = f"reshape: `{node.path}` turns {shape_text(before)} into {shape_text(shape)}, with a first axis of 1"
        return Complaint("shape", message, "the batch is not written: `- flatten` gives features")
    return None


RULES: dict[str, Callable[[Node, int], Complaint | None]] = {
    "batch_norm": _batch_norm,
    "linear": _linear,
    "reshape": _reshape,
}
"""What is asked of the nodes of an op."""
