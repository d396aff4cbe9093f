"""From typed steps to the Graph: parameters, blocks, repeats and conditions, with shapes as it goes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from archspec._collector import collector_paused
from archspec.document import Document
from archspec.elaborate.findings import Findings, TooLarge
from archspec.elaborate.frames import Frame, Ref
from archspec.elaborate.interface import InputShape, check_keys, check_unused, input_shapes, outputs, set_params
from archspec.elaborate.walk import MAX_NODES, Walk, too_large
from archspec.errors import MAX_FINDINGS, Diagnostic
from archspec.expressions import UNKNOWN, Scope
from archspec.graph import Graph, Group, copied
from archspec.program import Program, compile_program
from archspec.program.size import oversized
from archspec.shapes import Shape

__all__ = ["Elaboration", "InputShape", "elaborate"]


@dataclass(frozen=True)
class Elaboration:
    """What came of a document: the graph as far as it is sound, the params as they were set, and what is wrong."""

    graph: Graph
    params: dict[str, Any]
    program: Program
    diagnostics: tuple[Diagnostic, ...]


@collector_paused()
def elaborate(
    document: Document,
    params: Mapping[str, Any] | None = None,
    inputs: InputShape | Mapping[str, InputShape] | None = None,
    program: Program | None = None,
    trace: bool = False,
) -> Elaboration:
    """The graph of a document, with `params` and the input shapes overridden where they are given.

    `program` is the document in typed form, where it is at hand already. `trace` keeps what became of every step in the
    `items` of its Group, for back ends that give the structure back. UsageError where an override names what is not
    there or has the wrong type.
    """
    program = program or compile_program(document)
    findings = Findings((*document.diagnostics, *program.diagnostics))
    walk = Walk(program, findings, trace)
    shapes: dict[str, Shape] = {}
    results: dict[str, str] = {}
    with suppress(TooLarge):
        if len(findings) >= MAX_FINDINGS:
            raise TooLarge
        check_keys(document, findings)
        walk.params = set_params(program, params or {}, findings)
        declared = input_shapes(document, walk.params, inputs, findings)
        shapes.update((name, shape) for name, shape in declared.items() if shape is not None)
        results.update(_run(walk, declared))
    graph = Graph(document.name, shapes, tuple(walk.nodes), results)
    if findings.only("unused"):
        with suppress(TooLarge):
            check_unused(document, graph, findings)
    values = {name: copied(value) for name, value in walk.params.values.items() if value is not UNKNOWN}
    return Elaboration(graph, values, program, findings.told())


def _run(walk: Walk, inputs: Mapping[str, Shape | None]) -> dict[str, str]:
    """Apply the steps of the program; the path of each output."""
    program, findings = walk.program, walk.findings
    root = Group("network", "", None)
    frame = Frame(root, {name: Ref(name, shape) for name, shape in inputs.items()}, program.steps)
    frame.lossy = not program.steps or None in inputs.values()
    scope = root.scope = Scope({}, walk.params, frame.find, frame.visible)
    # A network that is too large whatever its params are is refused before anything is made of it.
    culprit = oversized(program.steps, MAX_NODES) or oversized(program.steps, 1000 * MAX_NODES, conditional=True)
    if culprit is not None:
        too_large(findings, culprit.repeat.count.span if culprit.repeat else culprit.span, root)
    last = walk.run(program.steps, frame, scope, frame.first_input)
    return findings.guarded(partial(outputs, program.document, frame, scope, last, findings)) or {}
