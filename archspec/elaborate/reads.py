"""What a step reads: the step before it, or what its `from` names."""

from __future__ import annotations

from functools import partial
from typing import Any

from archspec.elaborate.conditions import stands
from archspec.elaborate.context import Context
from archspec.elaborate.namespace import UNKNOWN_REF, Namespace, Ref, several_results
from archspec.errors import Complaint, kind_of
from archspec.expressions import MISSING, Environment
from archspec.ops.base import Op
from archspec.ops.merge import is_number
from archspec.program.steps import CallStep, ChoiceStep, OpStep, Step, UseStep
from archspec.syntax import YamlList

_NO_DOLLAR = "write the name without `$`"


def reads_of(
    context: Context, step: Step, namespace: Namespace, environment: Environment, previous: Ref
) -> tuple[Ref, ...]:
    """Return what a step reads, if not the previous step alone. One name in a merge adds the previous."""
    merge = step.merges
    if step.reads is None:
        help = f"`{step.label}: NAME` merges the step before with the step NAME"
        raise Complaint("argument", f"{step.label}: expected two or more inputs, got 1", help, span=step.span)
    at = step.reads.span
    _check_read_once(step, environment)
    value = step.reads.evaluate(environment)
    is_left_out = step.when is not None and step.repeat is None and not stands(step, environment)
    if is_left_out and not step.reads.constant:
        return _reads_of_left_out(step, value, namespace, previous)
    if isinstance(value, str):
        ref = namespace.named(value, at)
        if merge:
            if previous.path != ref.path:
                _warn_of_order(context, step, value, namespace, previous)
            _warn_of_double(context, step, [value], namespace, (previous, ref))
        return (previous, ref) if merge else (ref,)
    if step.takes_numbers:
        if is_number(value):
            return (previous,)
        if isinstance(value, list) and any(map(is_number, value)):
            return _tensors(context, step, value, namespace)
    if not isinstance(value, list):
        message = f"from: expected a name or a list of names, got {kind_of(value)}"
        raise Complaint("type", message, _NO_DOLLAR if isinstance(value, Ref) else None, span=at)
    if merge and len(value) < 2:
        help = f"`{step.label}: NAME` merges the step before with the step NAME"
        message = f"{step.label}: expected two or more inputs, got {len(value)}"
        raise Complaint("argument", message, help, span=at)
    if not merge and not isinstance(step, CallStep | ChoiceStep | UseStep):
        op = step.op if isinstance(step, OpStep) else Op
        if not op.reads_as_many(len(value)):
            merging = "merge them first: `add`, `multiply` or `concat`"
            message = f"{step.label}: expected {op.inputs_text()}, got {len(value)}"
            raise Complaint("argument", message, None if op.operand_names else merging, span=at)
    context.limits.add_edges(len(value), step.span)
    yaml = step.reads.yaml
    if not isinstance(yaml, YamlList):  # an expression, which has one place for all of them
        reads = tuple([namespace.named(name, at) for name in value])
        if merge:
            _warn_of_double(context, step, value, namespace, reads)
        return reads
    found = [
        context.findings.guarded(partial(namespace.named, name, item.span), namespace.scope)
        for name, item in zip(value, yaml.items, strict=True)
    ]
    if None in found:
        context.failures[step.origin] += 1
    reads = tuple(ref or UNKNOWN_REF for ref in found)
    if merge:
        _warn_of_double(context, step, value, namespace, reads)
    return reads


def parts_of(step: Step, namespace: Namespace, reads: tuple[Ref, ...]) -> tuple[Ref, ...]:
    """Return the results of a step one by one, for an op that reads as many. Raises: Complaint for any other."""
    if len(reads) > 1 or not isinstance(step, OpStep) or not step.op.operand_names or not step.op.reads_parts:
        check_single(step, namespace, reads)
    return reads[0].parts


def check_single(step: Step, namespace: Namespace, reads: tuple[Ref, ...]) -> None:
    """Check that each value that a step reads is one. Raises: Complaint if a step has several results."""
    for ref in reads:
        if ref.parts:
            at = step.reads.span if step.reads is not None else step.span
            raise several_results(ref, namespace.called(ref), at)


def _reads_of_left_out(step: Step, value: Any, namespace: Namespace, previous: Ref) -> tuple[Ref, ...]:
    """Return what a step would read that is left out, of names that an expression makes: only the first must be.

    So `from: ["part${index}", "act${index - 1}"]` may stand under `when: "${index > 0}"`.
    """
    assert step.reads is not None
    names = value if isinstance(value, list) else [value]
    if step.takes_numbers:
        names = [name for name in names if not is_number(name)]
    if not names or not isinstance(value, list | str):
        return (previous,)
    if step.merges and isinstance(value, str):
        names = [None, *names]
    first = previous if names[0] is None else namespace.named(names[0], step.reads.span)
    others = [namespace.find(name) for name in names[1:] if isinstance(name, str)]
    return (first, *[ref for ref in others if ref is not None])


def _tensors(context: Context, step: Step, value: list[Any], namespace: Namespace) -> tuple[Ref, ...]:
    """Return the tensors of a list of operands with numbers in it."""
    assert step.reads is not None
    if len(value) < 2:
        help = f"`{step.label}: NUMBER` works on the step before"
        raise Complaint("argument", f"{step.label}: expected two or more operands, got 1", help, span=step.reads.span)
    context.limits.add_edges(len(value), step.span)
    yaml = step.reads.yaml
    items = yaml.items if isinstance(yaml, YamlList) else [yaml] * len(value)
    found = [namespace.named(name, item.span) for name, item in zip(value, items, strict=True) if not is_number(name)]
    if not found:
        message = f"{step.label}: expected a tensor among the operands, got numbers only"
        raise Complaint("argument", message, "work the numbers out: `${...}`", span=step.reads.span)
    return tuple(found)


def _warn_of_order(context: Context, step: Step, name: str, namespace: Namespace, previous: Ref) -> None:
    """Warn of a merge that names one step, where the order counts: the step before goes first."""
    if not isinstance(step, OpStep) or step.op.commutative or previous.shape is None:
        return
    assert step.reads is not None
    words = partial(_order_words, step.label, name, namespace, previous)
    context.findings.warn(Complaint.later("merge", words, step.reads.span), namespace.scope)


def _warn_of_double(
    context: Context, step: Step, names: list[str], namespace: Namespace, reads: tuple[Ref, ...]
) -> None:
    """Warn of a merge that reads a value twice because a step of another name is left out."""
    absent = namespace.gaps.absent
    if not absent or None in [ref.shape for ref in reads] or len({ref.path for ref in reads}) == len(reads):
        return
    assert step.reads is not None
    for name, ref in zip(names, reads[-len(names) :], strict=True):
        if name in absent and sum(other.path == ref.path for other in reads) > names.count(name):
            words = partial(_double_words, step.label, name, namespace, ref)
            context.findings.warn(Complaint.later("merge", words, step.reads.span), namespace.scope)


def _check_read_once(step: Step, environment: Environment) -> None:
    """Check that `from` does not ask for what only the copies of the step have."""
    assert step.reads is not None
    if step.repeat is None or not step.reads.names:
        return
    for name in sorted(step.reads.names & {"index", step.repeat.binds}):
        if environment.find(name) is MISSING:
            message = (
                f"from: unknown name `{name}`; what a repeated step reads is looked up once, before the first copy"
            )
            help = "repeat an `inline` around the step: `inline: {repeat: ..., layers: [...]}`"
            raise Complaint("expression", message, help, span=step.reads.span)


def _order_words(label: str, name: str, namespace: Namespace, previous: Ref) -> tuple[str, str | None]:
    """Return the words about a merge of one name, before which the step before comes."""
    first = namespace.called(previous)
    help = f"write the order out: `{label}: [{first}, {name}]`, or `[{name}, {first}]`"
    return f"{label}: one name puts the step before it first: `[{first}, {name}]`", help


def _double_words(label: str, name: str, namespace: Namespace, ref: Ref) -> tuple[str, str | None]:
    """Return the words about a merge that reads `ref` twice, once by the name of a step that is left out."""
    message = f"{label}: `{name}` is left out and stands for `{namespace.called(ref)}`, which is read twice"
    return message, f"leave the `{label}` out under the same `when`"
