"""Conditions: whether a step stands, and what its name refers to where it is left out."""

from __future__ import annotations

from archspec.elaborate.context import Application, Context, keep_trace
from archspec.elaborate.namespace import ABSENT_REF, Namespace, Ref, left_out
from archspec.errors import Complaint, kind_of
from archspec.expressions import Environment
from archspec.program.steps import Step


def stands(step: Step, environment: Environment) -> bool:
    """Whether the condition of a step holds."""
    if step.when is None:
        return True
    value = step.when.evaluate(environment)
    if not isinstance(value, bool):
        help = "a condition stands in `${...}` as a whole: `${a == b}`" if isinstance(value, str) else None
        raise Complaint("type", f"when: expected true or false, got {kind_of(value)}", help, span=step.when.span)
    return value


def leave_out(
    context: Context, step: Step, namespace: Namespace, environment: Environment, reads: tuple[Ref, ...]
) -> Ref:
    """Leave a step out: its name refers to its first input."""
    context.limits.nodes += 1
    if step.name is None or not (step.repeat and step.siblings):
        namespace.bind_absent(step, ABSENT_REF if step.is_free else reads[0], environment)
    if context.trace:
        keep_trace(namespace.scope, step, None, Application(namespace, namespace, environment, reads), reads[0])
    return reads[0]


def absent_read(step: Step, application: Application) -> Complaint:
    """Return the finding of a step that reads a free tensor which is left out."""
    if step.reads is None:
        return left_out(None, step.span)
    value = step.reads.evaluate(application.environment)
    names = value if isinstance(value, list) else [value]
    absent = (name for name in names if isinstance(name, str) and application.namespace.find(name) is ABSENT_REF)
    return left_out(next(absent, None), step.reads.span)
