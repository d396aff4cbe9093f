"""What is allowed, but will surprise: warnings, with the place of the step."""

from __future__ import annotations

from dataclasses import replace

from archspec.errors import Complaint, Diagnostic
from archspec.graph import Graph, Node
from archspec.shapes import elements


def lint(graph: Graph, batch: int = 1) -> tuple[Diagnostic, ...]:
    """Return the warnings about a sound graph, when trained with `batch` samples; one for each step as written."""
    found: list[Diagnostic] = []
    seen: set[tuple[str, int, int]] = set()
    for node in graph.nodes:
        complaint = _single_values(node, batch) if node.op.batch_statistics else None
        complaint = complaint or node.op.surprise()
        if complaint is None:
            continue
        place = (node.span.source.name, node.span.line, node.span.column)
        if place in seen:
            continue
        seen.add(place)
        notes = tuple(str(each) for each in node.scope.chain() if each.block or each.copy)
        found.append(replace(complaint.at(node.span).diagnostic(notes), severity="warning"))
    return tuple(found)


def _single_values(node: Node, batch: int) -> Complaint | None:
    """Return a warning if there is a single value per channel to take statistics of."""
    if batch > 1 or elements(node.op.spatial) > 1:
        return None
    norm = node.op.op.replace("_", " ")
    message = f"{norm} over one value per channel: `{node.path}` cannot be trained with a batch of 1"
    return Complaint("statistics", message, "train with a batch of 2 or more, or use another normalisation here")
