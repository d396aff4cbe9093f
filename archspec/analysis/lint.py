"""What is allowed, but will surprise: warnings, with the place of the step."""

from __future__ import annotations

from archspec.errors import Diagnostic
from archspec.graph import Graph
from archspec.shapes import elements


def lint(graph: Graph, batch: int = 1) -> tuple[Diagnostic, ...]:
    """Warnings about a sound graph, when trained with `batch` samples."""
    found: list[Diagnostic] = []
    seen: set[tuple[str, int, int]] = set()
    for node in graph.nodes:
        if not node.op.batch_statistics or batch > 1 or elements(node.op.spatial) > 1:
            continue
        place = (node.span.source.name, node.span.line, node.span.column)
        if place in seen:
            continue
        seen.add(place)
        norm = node.op.op.replace("_", " ")
        message = f"{norm} over one value per channel: `{node.path}` cannot be trained with a batch of 1"
        notes = tuple(str(each) for each in node.scope.chain() if each.block or each.copy)
        help = "train with a batch of 2 or more, or use another normalisation here"
        found.append(Diagnostic("statistics", message, node.span, notes, help, "warning"))
    return tuple(found)
