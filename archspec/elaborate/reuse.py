"""`use`: applies an earlier step again, if that needs no other weights."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from typing import NamedTuple

from archspec.elaborate.context import Application, Context, keep_trace, place_of_copy
from archspec.elaborate.interning import applied
from archspec.elaborate.namespace import UNKNOWN_REF, Maker, Namespace, Ref, name_expected
from archspec.elaborate.op_steps import apply_results, op_arguments
from archspec.elaborate.reads import check_single
from archspec.elaborate.repeats import apply_copies, entries_of, standing
from archspec.elaborate.scopes import apply_scope, call_arguments
from archspec.errors import Complaint, did_you_mean
from archspec.expressions import Environment, UnknownShape
from archspec.graph import Node
from archspec.ops.base import Op
from archspec.program.steps import CallStep, OpStep, UseStep
from archspec.shapes import Lead, shape_text


class Target(NamedTuple):
    """The step that a `use` applies again.

    `name` is what the spec calls it, `origin` the step of the same scope that has the weights, `namespace` the one that
    it stands in as `place`, `nodes` what it has made, `is_group` whether it is a group of copies.
    """

    name: str
    origin: str
    maker: Maker
    namespace: Namespace
    place: str
    nodes: Sequence[Node]
    is_group: bool

    @property
    def stem(self) -> str:
        """What a `use` of it is called after."""
        last = self.name.rpartition(".")[2]
        return "use" if last.isdecimal() else last


def apply_again(context: Context, step: UseStep, application: Application) -> Ref:
    """Apply an earlier step again: its nodes are made anew, and must have the same weights as those before."""
    home = application.home
    target = target_of(step, application.environment, home, context.nodes)
    if step.name is not None:
        name = home.explicit_name(step, application.environment)
    else:
        name = home.auto_name(target.stem)
    application = _reads_again(step, target, application)
    first = len(context.nodes)
    if None in [ref.shape for ref in application.reads]:
        home.bind(name, UNKNOWN_REF)
        return UNKNOWN_REF
    memo, context.memo = context.memo, ChainMap({}, context.memo)  # what is made here gets the weights of other nodes
    failures = context.findings.count
    try:
        ref = _applied_again(context, step, target, name, application)
        if ref.shape is not None and context.findings.count == failures:
            check_same(step, target, home.prefix + name, context.nodes[first:], application.reads)
    except Complaint as fault:
        context.failures[step] += 1
        context.findings.complain(fault, place_of_copy(step, home.prefix + name, application))
        ref = UNKNOWN_REF
        home.bind(name, ref)
    finally:
        context.memo = memo
    if ref.shape is not None and context.findings.count == failures:
        for node, owner in zip(context.nodes[first:], target.nodes, strict=True):
            node.weights_of = owner.weights_of or owner.path
    maker = target.maker
    context.remember(name, maker.step, maker.environment, maker.arguments, home, first, target.origin)
    return ref


def _reads_again(step: UseStep, target: Target, application: Application) -> Application:
    """Return how a `use` is applied, with the results of a step one by one, and the values that arguments name."""
    reads, made = application.reads, target.maker.step
    if reads[0].parts:
        if len(reads) > 1 or not isinstance(made, OpStep) or not made.op.operand_names or not made.op.reads_parts:
            check_single(step, application.namespace, reads)
        reads = reads[0].parts
    for value in made.operands:
        reads = (*reads, target.namespace.named(value.evaluate(target.maker.environment), step.span, "use"))
    home, environment = application.home, application.environment
    return Application(home, application.namespace, environment, reads, application.copy)


def _applied_again(context: Context, step: UseStep, target: Target, name: str, application: Application) -> Ref:
    """Apply the step of a `use`, with what its expressions saw before."""
    maker, home = target.maker, application.home
    inner = Application(home, target.namespace, maker.environment, application.reads, application.copy)
    made = maker.step
    if isinstance(made, OpStep):
        return _op_again(context, step, made, target, name, application)
    if made.repeat is not None and target.is_group:
        entries = entries_of(made.repeat, maker.environment)
        copies = standing(context, made, made.repeat, entries, target.namespace, maker.environment)
        ref = apply_copies(context, made, made.repeat, entries, copies, inner, name, step)
    elif isinstance(made, CallStep):
        try:
            call_arguments(context, made, inner)  # how many values it reads
        except Complaint as error:
            raise Complaint(error.code, f"use: {error.message}", error.help, span=step.span) from None
        ref = apply_scope(context, made, made.block, dict(maker.arguments), inner, name, step)
    else:
        ref = apply_scope(context, made, None, {}, inner, name, step)
    child = home.child(name)
    if child is not None:
        child.scope.weights_of = home.prefix + target.origin
    return ref


def _op_again(
    context: Context, step: UseStep, made: OpStep, target: Target, name: str, application: Application
) -> Ref:
    """Apply an op again. What does not fit is told at the place of the `use`."""
    home = application.home
    if made.is_free:
        help = "it reads nothing: steps that need it name it in `from`"
        raise Complaint("reference", f"use: `{target.name}` is a value, not a layer", help, span=step.span)
    arguments = op_arguments(context, made, target.maker.environment)
    leads = tuple([ref.lead for ref in application.reads])
    shapes = tuple([ref.shape for ref in application.reads])
    try:
        op = applied(made.op, shapes, arguments, leads if leads.count(Lead.BATCH) < len(leads) else ())  # type: ignore[arg-type]
    except Complaint as error:
        raise Complaint(error.code, f"use: `{target.name}`: {error.message}", error.help, span=step.span) from None
    results = op.results()
    if results:
        ref = apply_results(context, made, op, results, arguments, name, application, step.span)
    else:
        ref = Ref(home.prefix + name, op.output, op.lead)
        reads = tuple([ref.path for ref in application.reads])
        context.nodes.append(Node(ref.path, op, reads, step.span, home.scope, made.origins))
    if context.trace:
        keep_trace(home.scope, step, context.nodes[-max(1, len(results))], application, ref)
    home.bind(name, ref)
    return ref


def target_of(step: UseStep, environment: Environment, home: Namespace, nodes: Sequence[Node]) -> Target:
    """Return the step that a `use` applies again.

    Raises:
        Complaint: There is none of that name in the scope of the `use`, or it is left out.
        UnknownShape: It is in error, which has been told.
    """
    assert step.target is not None
    span = step.target.span
    name = step.target.evaluate(environment)
    if not isinstance(name, str):
        raise name_expected("use", name, span)
    head, rest = _first_of(name.split("."), home)
    maker = home.makers.get(head)
    if maker is None or head in home.gaps.absent:
        raise _not_to_use(step, name, head, home)
    namespace, origin, within = home, maker.origin, maker
    place = head
    while rest:
        child = namespace.child(place)
        part, rest = _first_of(rest, child) if child is not None else (rest[0], [])
        found = child.makers.get(part) if child is not None else None
        if child is None or found is None:
            if child is not None and part in child.names and child.names[part].shape is None:
                raise UnknownShape
            where = name[: -len(part) - 1] if name.endswith(f".{part}") else place
            help = did_you_mean(part, child.makers) if child is not None else f"`{place}` is a single step"
            raise Complaint("reference", f"use: unknown step `{part}` in `{where}`", help, span=span)
        namespace, place, maker = child, part, found
        origin = f"{origin}.{maker.origin}"
    path = home.prefix + name
    made = [node for node in nodes[within.first : within.last] if node.path == path or node.path.startswith(f"{path}.")]
    if not made and namespace.names[place].shape is None:
        raise UnknownShape
    child = namespace.child(place)
    return Target(name, origin, maker, namespace, place, made, child is not None and child.scope.kind == "repeat")


def _first_of(parts: list[str], namespace: Namespace) -> tuple[str, list[str]]:
    """Return the first step that a dotted name leads to, and the rest; one in a list has dots in its name."""
    counts = range(len(parts), 0, -1)
    count = next((count for count in counts if ".".join(parts[:count]) in namespace.makers), 1)
    return ".".join(parts[:count]), parts[count:]


def _not_to_use(step: UseStep, name: str, head: str, home: Namespace) -> Exception:
    """Return why nothing can be used by that name."""
    assert step.target is not None
    span = step.target.span
    if head in home.gaps.absent:
        help = "leave the `use` out under the same `when`"
        return Complaint("reference", f"use: `{head}` is left out, so nothing has its weights", help, span=span)
    if head in home.names:  # in error, or the copies of a group
        return UnknownShape()
    if name == step.fixed_name:
        help = "name the step that has the weights: it stands above"
        return Complaint("reference", f"use: `{name}` is this step itself", help, span=span)
    if head == "input" or home.find(head) is not None:
        if head == "input" or head in home.inputs:
            help = "a `use` applies a step that stands above it in its scope"
            return Complaint("reference", f"use: `{head}` is an input, not a step", help, span=span)
        help = "write the `use` in the scope of that step: a module belongs to one scope"
        return Complaint("reference", f"use: `{head}` stands outside of this scope", help, span=span)
    try:
        home.named(name, span, "use")
    except Complaint as error:
        return error
    return UnknownShape()


def check_same(step: UseStep, target: Target, path: str, nodes: Sequence[Node], reads: Sequence[Ref]) -> None:
    """Check that what a `use` has made calls the same modules in the same way as what it applies again.

    Raises:
        Complaint: It would need other weights, or other steps.
    """
    given = " and ".join(shape_text(ref.shape) for ref in reads if ref.shape is not None)
    olds = {_inner(node.path, target): node for node in target.nodes}
    news = {node.path[len(path) :]: node for node in nodes}
    help = "give it what has the same channels, or make another step with weights of its own"
    for inner in [*olds, *news]:
        called = f"`{target.name}{inner}`"
        if inner not in news:
            message = f"use: {called} would not stand on {given}"
            raise Complaint("shape", message, help, span=step.span)
        if inner not in olds:
            message = f"use: on {given}, `{target.name}` would have another step `{inner.lstrip('.')}`"
            raise Complaint("shape", message, help, span=step.span)
        old, new = olds[inner].op, news[inner].op
        after = {**new.weights(), **new.buffers()}
        for key, had in {**old.weights(), **old.buffers()}.items():
            if had != after.get(key):
                wanted = shape_text(after[key]) if key in after else "none"
                message = f"use: on {given}, {called} would need a {key} of {wanted}, and has one of {shape_text(had)}"
                raise Complaint("shape", message, help, span=step.span)
        if inner and _fits(old) != _fits(new):
            message = f"use: on {given}, {called} would read a value that has no batch, or one that has"
            raise Complaint("shape", message, "read values of the same kind as the step before", span=step.span)
        if old.calls() != new.calls():
            message = f"use: on {given}, {called} would be another layer: {_difference(old.calls(), new.calls())}"
            raise Complaint("shape", message, help, span=step.span)


def _fits(op: Op) -> list[str]:
    """Return what gives each value that an op reads the batch that it needs."""
    return [op.fits(place) for place in range(len(op.inputs))] if op.leads else []


def _inner(path: str, target: Target) -> str:
    """Return the path of a node within the step that is applied again, with the dot before it."""
    return path[len(target.namespace.prefix) + len(target.place) :]


def _difference(before: Sequence[object], after: Sequence[object]) -> str:
    """Return in which argument two lists of torch calls differ."""
    for old, new in zip(before, after, strict=False):
        old_arguments, new_arguments = getattr(old, "arguments", {}), getattr(new, "arguments", {})
        for key in old_arguments:
            if old_arguments[key] != new_arguments.get(key):
                return f"its {key} {new_arguments.get(key)}, not {old_arguments[key]}"
        if getattr(old, "reads", None) != getattr(new, "reads", None):
            return "it would be given other values"
    return "it calls other functions"
