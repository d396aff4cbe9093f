"""Networks used as blocks: they have their own params and blocks, and give their outputs or features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from archspec.elaborate.context import Application, Context
from archspec.elaborate.interface import declared_inputs, given_params, named_outputs
from archspec.elaborate.namespace import UNKNOWN_REF, Namespace, Ref
from archspec.errors import Span
from archspec.expressions import Environment
from archspec.graph import Applied, Scope, needed_paths
from archspec.program import Program
from archspec.program.steps import BlockProgram, CallStep, Step
from archspec.shapes import Shape, shape_text


def apply_network(
    context: Context,
    step: Step,
    block: BlockProgram,
    network: Program,
    arguments: Mapping[str, Any],
    scope: Scope,
    application: Application,
) -> tuple[Namespace, Ref]:
    """Apply the steps of a network that is a block. Return the names and the value that it gives.

    It has its own params and blocks, so nothing that was met outside of it can be equal to what is met within.
    """
    assert isinstance(step, CallStep)
    params = Environment({})
    params.budget = context.params.budget
    given_params(block, step, arguments, params)
    inputs = dict(zip(block.inputs or ("input",), application.reads, strict=True))
    scope.remark = _other_inputs(declared_inputs(network.document, params, context.findings), inputs)
    namespace = Namespace(scope, inputs, block.steps)
    scope.environment = Environment(params.values, None, namespace.find, namespace.visible)
    scope.environment.budget = params.budget
    outside = context.params, context.memo, context.has_uses
    context.params, context.memo, context.has_uses = params, {}, network.has_uses
    first = len(context.nodes)
    try:
        found, last = _values(context, block, network, namespace, scope.environment)
    finally:
        context.params, context.memo, context.has_uses = outside
    seen = Namespace(scope, inputs, block.steps)
    seen.names, seen.lossy = found, namespace.lossy
    scope.gives = {name: ref.path for name, ref in found.items()}
    _drop_unread(context, scope, first, [ref.path for ref in (last, *found.values())])
    return seen, last


def _values(
    context: Context, block: BlockProgram, network: Program, namespace: Namespace, environment: Environment
) -> tuple[dict[str, Ref], Ref]:
    """Return the features of a network, or its outputs, by their names, and the value of the whole.

    That is the last feature, or the first output. Steps below the last one that a feature needs are not applied.
    """
    last = namespace.first_input
    if block.features:
        missing = [target.partition(".")[0] for _, target, _ in block.features]
        for step in block.steps:
            last = context.run([step], namespace, environment, last)
            while missing and missing[-1] in namespace.names and missing[-1] not in namespace.gaps.absent:
                missing.pop()
            if not missing:
                break
        wanted: Sequence[tuple[str, Any, Span]] = block.features
    else:
        last = context.run(block.steps, namespace, environment, last)
        yaml = network.document.keys.get("outputs")
        if yaml is None:
            return {last.path.removeprefix(namespace.prefix): last} if last.shape is not None else {}, last
        if yaml in network.document.broken:
            return {}, UNKNOWN_REF
        wanted = context.findings.guarded(partial(named_outputs, yaml, environment), namespace.scope) or ()
    found: dict[str, Ref] = {}
    for name, target, at in wanted:
        ref = context.findings.guarded(partial(namespace.feature, target, at), namespace.scope)
        found[name] = ref or UNKNOWN_REF
    values = list(found.values()) or [UNKNOWN_REF]
    return found, values[-1 if block.features else 0]


def _drop_unread(context: Context, scope: Scope, first: int, results: list[str]) -> None:
    """Take the nodes of a network, from `first` on, out of the graph that none of its `results` needs."""
    made = context.nodes[first:]
    live = needed_paths(made, results, owners=True)
    kept = [node for node in made if node.path in live]
    if len(kept) < len(made):
        context.nodes[first:] = kept
        if context.trace:
            _drop_items(scope, {node.path for node in made} - live)


def _drop_items(scope: Scope, dropped: set[str]) -> bool:
    """Take what became of steps out of a traced scope where it is `dropped`. Return whether anything is left."""
    items: list[Applied] = []
    for item in scope.items:
        made = item.made
        if isinstance(made, Scope):
            if not _drop_items(made, dropped):
                continue
            ends = item.result in dropped  # a feature from the midst of a scope
            items.append(item._replace(result=made.items[-1].result) if ends else item)
        elif (made.path if made is not None else item.result) not in dropped:
            items.append(item)
    scope.items[:] = items
    return bool(items)


def _other_inputs(declared: Mapping[str, Shape | None], given: Mapping[str, Ref]) -> str:
    """Return words for a network that gets other inputs than it was written for; a note on what is wrong within."""
    for shape, ref in zip(declared.values(), given.values(), strict=True):
        if shape and ref.shape and (len(shape), shape[0]) != (len(ref.shape), ref.shape[0]):
            return f", written for {shape_text(shape)} and given {shape_text(ref.shape)}"
    return ""
