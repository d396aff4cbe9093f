"""What is allowed, but will surprise: warnings, with the place of the step."""

from __future__ import annotations

from dataclasses import replace

from archspec.errors import Complaint, Diagnostic
from archspec.graph import Graph, Node
from archspec.ops.base import Op
from archspec.shapes import elements, shape_text


def lint(graph: Graph, batch: int = 1) -> tuple[Diagnostic, ...]:
    """Return the warnings about a sound graph, when trained with `batch` samples; one for each step as written."""
    found: list[Diagnostic] = []
    seen: set[tuple[str, int, int]] = set()
    for node in graph.nodes:
        complaint = _single_values(node, batch) if node.op.batch_statistics else None
        complaint = complaint or node.op.surprise()
        if complaint is None and node.op.wants and _is_ambiguous(node.op):
            complaint = _other_layout(graph, node)
        if complaint is None:
            continue
        place = (node.span.source.name, node.span.line, node.span.column)
        if place in seen:
            continue
        seen.add(place)
        notes = tuple(str(each) for each in node.scope.chain() if each.block or each.copy)
        found.append(replace(complaint.at(node.span).diagnostic(notes), severity="warning"))
    return tuple(found)


def _is_ambiguous(op: Op) -> bool:
    """Return whether tokens have as many axes as an image, or an image as many as windows of tokens."""
    return op.rank == (1 if op.wants == "image" else 2)


def _other_layout(graph: Graph, node: Node) -> Complaint | None:
    """Return a warning if a convolution or pooling reads tokens, or attention an image."""
    op, shape = node.op, shape_text(node.op.input)
    found = _layout(graph, node.inputs[0])
    if not found or found == op.wants:
        return None
    if found == "tokens":
        message = f"{op.op}: the tokens {shape} are read as {op.channels} channels of the length {op.input[-1]}"
        help = "`- to_image` before it makes an image of them; `- permute: [1, 0]`, a line of features"
    else:
        message = f"{op.op}: the image {shape} is read as {op.channels} windows of {op.input[1]} tokens"
        help = "`- to_tokens` before it makes tokens of the pixels"
    return Complaint("shape", message, help)


def _layout(graph: Graph, path: str) -> str:
    """Return what a value is laid out as: `image` or `tokens`, by the steps that it came through; empty if unknown."""
    while path not in graph.inputs:
        node = graph.node(path)
        if node.op.gives or node.op.output != node.op.input or node.op.op == "permute":
            return node.op.gives
        path = node.inputs[0]
    return ""


def _single_values(node: Node, batch: int) -> Complaint | None:
    """Return a warning if there is a single value per channel to take statistics of."""
    if batch > 1 or elements(node.op.spatial) > 1:
        return None
    norm = node.op.op.replace("_", " ")
    message = f"{norm} over one value per channel: `{node.path}` cannot be trained with a batch of 1"
    return Complaint("statistics", message, "train with a batch of 2 or more, or use another normalisation here")
