"""From typed steps to the Graph: parameters, blocks, repeats and conditions, with shapes as it goes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from archspec.document import Document
from archspec.elaborate.context import too_large
from archspec.elaborate.elaborator import Elaborator
from archspec.elaborate.findings import ScopedFindings
from archspec.elaborate.initial import set_draws
from archspec.elaborate.interface import (
    InputShape,
    check_keys,
    check_unused,
    input_shapes,
    outputs,
    set_params,
    training_outputs,
)
from archspec.elaborate.limits import MAX_NODES, MAX_SCOPES, TooLarge
from archspec.elaborate.namespace import Namespace, Ref
from archspec.errors import MAX_FINDINGS, Diagnostic
from archspec.expressions import UNKNOWN, Environment
from archspec.graph import Graph, Scope, copied
from archspec.program import Program, compile_program
from archspec.program.size import oversized
from archspec.shapes import Shape

__all__ = ["Elaboration", "InputShape", "elaborate"]


class Elaboration(NamedTuple):
    """What came of a document: the graph as far as it is sound, the params as they were set, and what is wrong.

    `warnings` are about what is allowed, but may surprise.
    """

    graph: Graph
    params: dict[str, Any]
    program: Program
    diagnostics: tuple[Diagnostic, ...]
    warnings: tuple[Diagnostic, ...] = ()


def elaborate(
    document: Document,
    params: Mapping[str, Any] | None = None,
    inputs: InputShape | Mapping[str, InputShape] | None = None,
    program: Program | None = None,
    trace: bool = False,
) -> Elaboration:
    """Elaborate a document into a graph.

    Args:
        document: The spec with what it extends.
        params: Values that replace the declared ones.
        inputs: Shapes that replace the declared ones.
        program: The document in typed form, if it has been compiled already.
        trace: Keep what each step made in the `items` of its Scope, for back ends that recover the structure.

    Raises:
        UsageError: An override names something that does not exist, or has the wrong type.
    """
    program = program or compile_program(document)
    findings = ScopedFindings((*document.diagnostics, *program.diagnostics))
    params_set = Environment({})
    elaborator: Elaborator | None = None
    shapes: dict[str, Shape] = {}
    results: dict[str, str] = {}
    training: frozenset[str] = frozenset()
    with suppress(TooLarge):
        if len(findings) >= MAX_FINDINGS:
            raise TooLarge
        check_keys(document, findings)
        params_set = set_params(program, params or {}, findings)
        declared = input_shapes(document, params_set, inputs, findings)
        shapes.update((name, shape) for name, shape in declared.items() if shape is not None)
        elaborator = Elaborator(program, params_set, findings, trace)
        elaborator.inputs = shapes
        results.update(_run(elaborator, declared))
        training = training_outputs(document, results, findings)
        if program.draws:
            set_draws(elaborator.nodes, program, params_set, findings)
    graph = Graph(
        document.name, shapes, tuple(elaborator.nodes) if elaborator else (), results, training, program.register
    )
    if findings.only("unused"):
        with suppress(TooLarge):
            check_unused(document, graph, findings)
    values = {name: copied(value) for name, value in params_set.values.items() if value is not UNKNOWN}
    return Elaboration(graph, values, program, findings.told(), findings.warned())


def _run(elaborator: Elaborator, inputs: Mapping[str, Shape | None]) -> dict[str, str]:
    """Apply the steps of the program. Return the path of each output."""
    program, findings = elaborator.program, elaborator.findings
    root = Scope("network", "", None)
    namespace = Namespace(root, {name: Ref(name, shape) for name, shape in inputs.items()}, program.steps)
    namespace.lossy = not program.steps or None in inputs.values()
    environment = root.environment = Environment({}, elaborator.params, namespace.find, namespace.visible)
    # A network that is too large whatever its params are is refused before anything is made of it.
    culprit = oversized(program.steps, MAX_NODES, MAX_SCOPES) or oversized(
        program.steps, 1000 * MAX_NODES, MAX_SCOPES, conditional=True
    )
    if culprit is not None:
        too_large(findings, culprit.repeat.count.span if culprit.repeat else culprit.span, root)
    last = elaborator.run(program.steps, namespace, environment, namespace.first_input)
    return findings.guarded(partial(outputs, program.document, namespace, environment, last, findings)) or {}
