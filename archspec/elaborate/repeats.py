"""Repeats: the copies of a step, one after another, in a group or side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from archspec.elaborate.conditions import leave_out, stands
from archspec.elaborate.context import Application, Context, keep_trace, too_large
from archspec.elaborate.limits import MAX_FAILURES, MAX_NODES
from archspec.elaborate.namespace import UNKNOWN_REF, Namespace, Ref
from archspec.errors import Complaint, kind_of
from archspec.expressions import Environment, UnknownShape
from archspec.graph import Scope
from archspec.ops.fields import hint
from archspec.program.steps import Repeat, Step, UseStep


def apply_repeated(context: Context, step: Step, repeat: Repeat, application: Application) -> Ref:
    """Apply a step as often as it is repeated, each copy to the value of the one before."""
    namespace, environment, reads = application.namespace, application.environment, application.reads
    entries = entries_of(repeat, environment)
    copies = standing(context, step, repeat, entries, namespace, environment)
    if not copies:
        return leave_out(context, step, namespace, environment, reads)
    if isinstance(step, UseStep) and not step.siblings:
        assert step.name is not None
        help = 'write `name: "NAME${index}"`, or no name'
        raise Complaint("name", "use: the copies of a `use` have no group to be in", help, span=step.name.span)
    name = None if step.siblings else namespace.explicit_name(step, environment)
    return apply_copies(context, step, repeat, entries, copies, application, name)


def apply_copies(
    context: Context,
    step: Step,
    repeat: Repeat,
    entries: list[Any] | range,
    copies: Sequence[int],
    application: Application,
    name: str | None,
    use: UseStep | None = None,
) -> Ref:
    """Apply the copies of a step that stand, in a group called `name`; side by side if that is None.

    If `use` is given, the group is that of an earlier step which it applies again.
    """
    namespace, environment, reads = application.namespace, application.environment, application.reads
    home, first = namespace, len(context.nodes)
    if name is not None:
        at = use or step
        scope = Scope("repeat", application.home.prefix + name, application.home.scope, span=at.span, step=step.origin)
        home = application.home.children[name] = Namespace(scope, {}, [], positional=True)
    lost = 0
    context.limits.add_edges(len(copies) * (len(reads) - 1), step.span)
    for done, position in enumerate(copies):
        before, scopes = context.limits.nodes, context.limits.scopes
        inner = _copy_scope(repeat, position, entries[position], environment)
        result = _copy(context, step, Application(home, namespace, inner, reads, (position, len(entries))))
        reads = (result, *reads[1:])
        lost += result.shape is None
        if lost > MAX_FAILURES or context.failures and context.failures[step.origin] > MAX_FAILURES:
            namespace.lossy = True  # the others will be as this one
            break
        # The first copy is often unlike the others.
        if done == 1 and context.limits.exceeded_by((context.limits.nodes - before) * (len(copies) - 2)):
            too_large(context.findings, repeat.count.span, namespace.scope)
        if done == 1:
            context.limits.check_scopes((context.limits.scopes - scopes) * (len(copies) - 2), repeat.count.span)
    if name is not None:
        application.home.bind(name, reads[0])
        if use is None:
            context.remember(name, step, environment, {}, application.home, first)
        if context.trace:
            keep_trace(application.home.scope, use or step, home.scope, application, reads[0])
    return reads[0]


def standing(
    context: Context,
    step: Step,
    repeat: Repeat,
    entries: list[Any] | range,
    namespace: Namespace,
    environment: Environment,
) -> Sequence[int]:
    """Return the positions of the copies whose condition holds."""
    copies = range(len(entries))
    if step.when is None or step.when.constant and stands(step, environment):
        if context.limits.exceeded_by(len(copies)):
            too_large(context.findings, repeat.count.span, namespace.scope)
        return copies
    if step.when.constant:
        return ()
    context.limits.add_conditions(len(entries), repeat.count.span)
    return [n for n in copies if stands(step, _copy_scope(repeat, n, entries[n], environment))]


def entries_of(repeat: Repeat, environment: Environment) -> list[Any] | range:
    """Return what a step is repeated over: the entries of a list, or numbers."""
    value, span = repeat.count.evaluate(environment), repeat.count.span
    if isinstance(value, list):
        return value
    if type(value) is not int:
        raise Complaint("type", f"repeat: expected an integer or a list, got {kind_of(value)}", hint(value), span=span)
    if value < 0:
        raise Complaint("value", f"repeat: expected at least 0, got {value}", span=span)
    if value > MAX_NODES:
        message = f"repeat: expected at most {MAX_NODES:,}, the limit of layers, got {value}"
        raise Complaint("limit", message, span=span)
    return range(value)


def _copy(context: Context, step: Step, application: Application) -> Ref:
    try:
        return context.apply(step, application)
    except Complaint as fault:
        context.failures[step.origin] += 1
        path = application.home.scope.path if application.home is not application.namespace else ""
        scope = Scope(step.label, path, application.namespace.scope, copy=application.copy, span=step.span)
        context.findings.complain(fault, scope)
    except UnknownShape:
        pass
    application.home.count += 1
    return UNKNOWN_REF


def _copy_scope(repeat: Repeat, position: int, entry: Any, environment: Environment) -> Environment:
    values = {"index": position}
    if repeat.binds is not None:
        values[repeat.binds] = entry
    return Environment(values, environment)
