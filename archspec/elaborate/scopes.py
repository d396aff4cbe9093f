"""Scopes: blocks and `sequential`, each with names of its own, and `inline`, which has none."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from archspec.elaborate.context import Application, Context, keep_trace
from archspec.elaborate.memo import Entry, scope_key
from archspec.elaborate.namespace import Namespace, Ref, several_results
from archspec.elaborate.networks import apply_network
from archspec.errors import Complaint
from archspec.expressions import MISSING, Environment
from archspec.graph import Scope
from archspec.program.steps import BlockProgram, CallStep, ScopeStep, Step, UseStep, Value


def apply_inline(context: Context, step: ScopeStep, application: Application) -> Ref:
    """Splice the steps of an `inline` into the scope around it."""
    namespace, scope = application.namespace, application.namespace.scope
    inner = Environment({}, application.environment)
    _set_let(context, step, inner)
    made = namespace.scope = Scope("inline", scope.path, scope, copy=application.copy, span=step.span, step=step)
    made.environment = inner
    namespace.enter_inline(step)
    try:
        ref = context.run(step.steps, namespace, inner, application.reads[0])
        if ref.parts:
            raise several_results(ref, namespace.called(ref), step.steps[-1].span)
    finally:
        namespace.scope = scope
        namespace.leave_inline(step)
    if context.trace:
        keep_trace(scope, step, made, application, ref)
    return ref


def apply_scope(
    context: Context,
    step: Step,
    block: BlockProgram | None,
    arguments: dict[str, Any],
    application: Application,
    name: str = "",
    use: UseStep | None = None,
) -> Ref:
    """Apply a block or a `sequential`, or copy the nodes of an equal one; as `name` for a `use`."""
    home, first = application.home, len(context.nodes)
    name = name or home.new_name(step, application.environment)
    path = home.prefix + name
    at = use or step
    context.limits.add_path(path, at.span)
    context.limits.add_scopes(1, at.span)
    kind, title = ("block", block.name) if block else ("sequential", None)
    scope = Scope(kind, path, home.scope, title, application.copy, at.span, step, block)
    scope.register = block.register if block else getattr(step, "register", ())
    key = None
    if not context.trace:
        key = scope_key(step, block, arguments, application.namespace, application.environment, application.reads)
    known = context.memo.get(key) if key is not None else None
    if known is not None and context.limits.allow(known.spent, path):
        context.limits.charge(known.spent, path)
        home.children[name] = partial(known.names, scope, application.reads[0])
        ref = known.copy_to(scope, application.reads[0], context.nodes)
    else:
        ref = _elaborate(context, step, block, arguments, scope, key, name, application)
    home.bind(name, ref)
    if use is None:
        context.remember(name, step, application.environment, arguments, home, first)
    if context.trace:
        keep_trace(home.scope, at, scope, application, ref)
    return ref


def call_arguments(context: Context, step: CallStep, application: Application) -> dict[str, Any]:
    """Return what a call gives to its block."""
    block, count = step.block, len(application.reads)
    assert block is not None
    names = block.inputs or ("input",)
    if count != len(names):
        expected = f"{len(names)} inputs ({', '.join(names)})" if len(names) > 1 else "one input"
        help = f"name {len(names)} steps: `from: [...]`" if len(names) > 1 else "`inputs: [...]` gives a block several"
        if block.network is not None and len(names) == 1:
            help = "the network has one input; merge the values first: `add`, `multiply` or `concat`"
        raise Complaint("argument", f"{step.label}: expected {expected}, got {count}", help, span=step.span)
    context.limits.nodes += len(block.params) // 16
    return {name: value.evaluate(application.environment) for name, value in step.arguments.items()}


def _elaborate(
    context: Context,
    step: Step,
    block: BlockProgram | None,
    arguments: Mapping[str, Any],
    scope: Scope,
    key: object,
    name: str,
    application: Application,
) -> Ref:
    """Apply the steps of a scope, and remember what came of them under `key`."""
    first = len(context.nodes)
    with context.limits.measure(scope.path) as measurement:
        if block is not None and block.network is not None:
            namespace, ref = apply_network(context, step, block, block.network, arguments, scope, application)
            application.home.children[name] = namespace
        else:
            if block is not None:
                namespace, environment = _block(context, block, arguments, scope, application)
            else:
                assert isinstance(step, ScopeStep)
                namespace, environment = _sequential(context, step, scope, application)
            application.home.children[name] = namespace
            ref = context.run(namespace.steps, namespace, environment, namespace.first_input)
            if ref.parts:
                raise several_results(ref, namespace.called(ref), namespace.steps[-1].span)
    if key is not None:
        context.memo[key] = Entry(namespace, ref, first, len(context.nodes), measurement.spent)
    return ref


def _sequential(
    context: Context, step: ScopeStep, scope: Scope, application: Application
) -> tuple[Namespace, Environment]:
    """Return the namespace and the values of a `sequential`."""
    environment = scope.environment = Environment({}, application.environment)
    namespace = Namespace(
        scope, {"input": application.reads[0]}, step.steps, outer=application.namespace, positional=True
    )
    environment.tensors, environment.visible = namespace.find, namespace.visible
    _set_let(context, step, environment)
    return namespace, environment


def _block(
    context: Context, block: BlockProgram, arguments: Mapping[str, Any], scope: Scope, application: Application
) -> tuple[Namespace, Environment]:
    """Return the namespace and the values of a block: its params, its inputs and the params of its file."""
    environment = scope.environment = Environment(
        {}, context.params if block.block.library.sees_params else context.nothing
    )
    environment.budget = context.params.budget
    namespace = Namespace(scope, dict(zip(block.inputs or ("input",), application.reads, strict=True)), block.steps)
    environment.tensors, environment.visible = namespace.find, namespace.visible
    help = "a default sees the arguments above it"
    _fill(environment, block.params, help, arguments)
    return namespace, environment


def _set_let(context: Context, step: ScopeStep, environment: Environment) -> None:
    context.limits.nodes += len(step.let) // 4
    if step.let:
        _fill(environment, step.let, "a value of `let` sees those above it")


def _fill(
    environment: Environment, values: Mapping[str, Value | None], help: str, given: Mapping[str, Any] | None = None
) -> None:
    """Set `values` in order, each seeing those before it, and the `given` ones in place of their defaults."""
    for name, value in values.items():
        if given is not None and name in given:
            environment.values[name] = given[name]
        elif value is not None:
            try:
                environment.values[name] = value.evaluate(environment)
            except Complaint:
                names = list(values)
                later = [other for other in names[names.index(name) + 1 :] if other in value.names]
                if later and environment.find(later[0]) is MISSING:
                    message = f"`{later[0]}` is not defined before `{name}`"
                    raise Complaint("expression", message, help, span=value.span) from None
                raise
