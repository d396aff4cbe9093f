"""Steps that are ops: each becomes a node, or a scope of nodes if the op has several results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from archspec.elaborate.context import Application, Context, keep_trace, place_of_copy, too_large
from archspec.elaborate.free_tensors import free_key
from archspec.elaborate.initial import own_draws
from archspec.elaborate.interning import applied
from archspec.elaborate.missing_padding import padding_help
from archspec.elaborate.namespace import UNKNOWN_REF, Namespace, Ref
from archspec.errors import Complaint, Span
from archspec.expressions import Environment
from archspec.graph import EMPTY, Node, Scope
from archspec.ops.base import Op
from archspec.ops.merge import is_number, number_operands
from archspec.ops.shape_help import input_help
from archspec.program.steps import OpStep
from archspec.shapes import Lead


def apply_op(context: Context, step: OpStep, application: Application) -> Ref:
    """Apply an op. What follows a free tensor reads what it would read without it."""
    home = application.home
    name = home.new_name(step, application.environment)
    path, first = home.prefix + name, len(context.nodes)
    key = free_key(step, application.environment)
    known = context.free_ops.get(key) if key is not None else None
    arguments = step.constants if known else op_arguments(context, step, application.environment)
    given = () if step.is_free else application.reads
    shapes = tuple([ref.shape for ref in given])
    if None in shapes:
        _check_arguments(step, arguments)
        ref = UNKNOWN_REF
    else:
        leads = tuple([ref.lead for ref in given])
        try:
            leads = leads if leads.count(Lead.BATCH) < len(leads) else ()
            op = known or applied(step.op, shapes, arguments, leads)  # type: ignore[arg-type]
            if step.is_free:
                context.free[path] = op
                if key is not None:
                    context.free_ops[key] = op
            elif op.leads:
                op.check_free({n: context.free[ref.path] for n, ref in enumerate(given) if ref.path in context.free})
            results = op.results()
            if results:
                ref = apply_results(context, step, op, results, arguments, name, application, step.span)
            else:
                ref = Ref(path, op.output, op.lead)
                reads = tuple([ref.path for ref in given])
                draws = own_draws(step.init, op, application.environment) if step.init else EMPTY
                context.nodes.append(Node(path, op, reads, step.span, home.scope, step.origins, draws))
            if context.trace:
                result = application.reads[0] if step.is_free else ref
                keep_trace(home.scope, step, context.nodes[-max(1, len(results))], application, result)
        except Complaint as error:
            _complain(context, step, error, arguments, path, application)
            # No node: what reads this step reads what it would have read, where the shape is the same for sure.
            ref = Ref(given[0].path, shapes[0]) if given and step.op.infer is Op.infer else UNKNOWN_REF
    home.bind(name, ref)
    context.remember(name, step, application.environment, {}, home, first)
    return application.reads[0] if step.is_free else ref


def op_arguments(context: Context, step: OpStep, environment: Environment) -> Mapping[str, Any]:
    """Return the arguments that a step gives to its op, the numbers among its operands with them."""
    arguments = step.all_arguments(environment, context.params) if step.made else step.constants
    if step.takes_numbers and step.reads is not None:
        numbers = number_operands(step.reads.evaluate(environment))
        return {**arguments, "numbers": numbers} if numbers else arguments
    return arguments


def apply_results(
    context: Context,
    step: OpStep,
    op: Op,
    results: Sequence[Mapping[str, Any]],
    arguments: Mapping[str, Any],
    name: str,
    application: Application,
    span: Span,
) -> Ref:
    """Make a node for each result of an op, in a scope of its own."""
    home = application.home
    path = home.prefix + name
    context.limits.nodes += len(results) - 1
    if context.limits.exceeded_by(0):
        too_large(context.findings, span, home.scope)
    context.limits.add_path(path, span)
    context.limits.add_scopes(1, span)
    scope = Scope(step.label, path, home.scope, None, application.copy, span, step)
    reads = tuple([ref.path for ref in application.reads])
    parts = []
    for number, result in enumerate(results):
        single = applied(step.op, op.inputs, {**arguments, **result}, op.leads)
        context.nodes.append(Node(f"{path}.{number}", single, reads, span, scope, step.origins))
        parts.append(Ref(f"{path}.{number}", single.output, single.lead))
    namespace = home.children[name] = Namespace(scope, {}, [])
    namespace.names = {str(number): part for number, part in enumerate(parts)}
    return Ref(path, parts[0].shape, parts[0].lead, tuple(parts))


def _complain(
    context: Context, step: OpStep, error: Complaint, arguments: Mapping[str, Any], path: str, application: Application
) -> None:
    """Tell that an op does not fit, with its operands called what they are called in the scope of the step."""
    context.failures[step.origin] += 1
    shapes = [ref.shape for ref in application.reads if ref.shape is not None]
    if len(application.reads) > 1:
        origins = step.reads.evaluate(application.environment) if step.reads is not None else []
        written: list[Any] = [None, origins]
        if isinstance(origins, list):
            written = [each for each in origins if not is_number(each)]
        written += [value.evaluate(application.environment) for value in step.operands]
        if len(written) != len(application.reads):  # the parts of a `split`
            written = [None] * len(application.reads)
        inputs = {id(ref): name for name, ref in application.namespace.inputs.items()}
        names = tuple(
            name or inputs.get(id(ref)) or ref.path.removeprefix(application.namespace.prefix)
            for name, ref in zip(written, application.reads, strict=True)
        )
        try:
            leads = tuple([ref.lead for ref in application.reads])
            step.op(tuple([ref.shape for ref in application.reads]), arguments, names, leads)  # type: ignore[misc]
        except Complaint as named:
            error = named
        if error.code == "shape":
            prefix = application.namespace.prefix
            args = (step.op, arguments, names, application.reads, context.nodes, prefix, error.help)
            error.help = partial(padding_help, *args)
    elif error.code == "shape":
        odd = next(filter(None, (input_help(shape) for shape in context.inputs.values() if shape)), None)
        tokens = len(shapes) == 1 and len(shapes[0]) == 2 and step.op.wants == "image"
        error.help = odd or error.help or ("`- to_image` before it makes an image of tokens" if tokens else None)
    context.findings.complain(_op_fault(step, error), place_of_copy(step, path, application))


def _check_arguments(step: OpStep, arguments: Mapping[str, Any]) -> None:
    """Report what is wrong with the arguments of a step whose input is in error."""
    for name, value in arguments.items():
        try:
            step.op.fields[name].parse(value, 2)
        except Complaint as error:
            if error.code not in ("shape", "argument"):
                message = f"{step.label}: {name}: {error.message}"
                raise _op_fault(step, Complaint(error.code, message, error.help, argument=name)) from None


def _op_fault(step: OpStep, error: Complaint) -> Complaint:
    origin = step.origins.get(error.argument) if error.argument else None
    return error.at(origin.span if origin else step.span)
