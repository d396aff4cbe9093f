"""Choices: which op or block a step such as `- $activation` is."""

from __future__ import annotations

from archspec.elaborate.context import Context
from archspec.elaborate.namespace import Namespace
from archspec.elaborate.places import value_place
from archspec.errors import Complaint, kind_of
from archspec.expressions import Environment, UnknownShape
from archspec.program.steps import CallStep, ChoiceStep, Step


def chosen_if_it_stands(context: Context, step: ChoiceStep, namespace: Namespace, environment: Environment) -> Step:
    """Return the step that a choice is; the choice itself if it may be left out and there is none to choose."""
    if step.when is None:
        return chosen(context, step, namespace, environment)
    try:
        option = step.option(_choice(step, environment))
    except (Complaint, UnknownShape):
        return step
    return step if option.faults or option.step.broken else option.step


def chosen(context: Context, step: ChoiceStep, namespace: Namespace, environment: Environment) -> Step:
    """Return the step that a choice is. Raises: Complaint if what is chosen is not there or does not fit."""
    key = _choice(step, environment)
    found, faults = step.option(key)
    if not faults and isinstance(found, CallStep) and found.block is not None:
        if any(scope.definition is found.block for scope in namespace.scope.chain()):
            faults = (Complaint("cycle", f"a block calls itself: `{key}`", span=step.span),)
    if faults:
        place = value_place(step.choice, namespace.scope, context.program)
        note = f"`{step.label}` is `{key[:100]}`{f', from {place}' if place else ''}"
        faults = tuple([fault.at(fault.span) for fault in faults])
        for fault in faults:
            fault.notes = (note,)
        for fault in faults[1:]:
            context.findings.complain(fault, namespace.scope)
        raise faults[0]
    if found.broken:
        raise UnknownShape
    return found


def _choice(step: ChoiceStep, environment: Environment) -> str:
    """Return the name of the op or block that a choice gives."""
    assert step.choice is not None
    found = step.choice.evaluate(environment)
    if not isinstance(found, str):
        help = "`when` leaves a step out; `identity` passes on what it reads"
        message = f"`{step.label}`: expected the name of an op or a block, got {kind_of(found)}"
        raise Complaint("type", message, help, span=step.span)
    return found
