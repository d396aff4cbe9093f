"""Steps applied one after another, with repeats, conditions and scopes worked out.

A step in error gives a value of unknown shape; whoever reads it is passed over in silence, so that every complaint
is about a mistake of its own.
"""

from __future__ import annotations

from archspec.elaborate.choices import chosen, chosen_if_it_stands
from archspec.elaborate.conditions import absent_read, leave_out, stands
from archspec.elaborate.context import Application, Context, too_large
from archspec.elaborate.limits import MAX_FAILURES
from archspec.elaborate.namespace import ABSENT_REF, UNKNOWN_REF, Namespace, Ref, is_conditional
from archspec.elaborate.op_steps import apply_op
from archspec.elaborate.reads import check_single, parts_of, reads_of
from archspec.elaborate.repeats import apply_repeated
from archspec.elaborate.reuse import apply_again
from archspec.elaborate.scopes import apply_inline, apply_scope, call_arguments
from archspec.errors import Complaint
from archspec.expressions import Environment, UnknownShape
from archspec.names import step_name_fault, step_place_fault
from archspec.program.steps import CallStep, ChoiceStep, OpStep, ScopeStep, Step, UseStep


class Elaborator(Context):
    """Applies the steps of a program, and collects the nodes that they make."""

    def run(self, steps: list[Step], namespace: Namespace, environment: Environment, previous: Ref) -> Ref:
        """Apply steps in turn, the first to `previous`. Return the value of the last."""
        failures = self.failures
        for step in steps:
            try:
                if step.broken or failures and failures[step] > MAX_FAILURES:
                    raise UnknownShape
                if isinstance(step, ChoiceStep) and not step.varies:
                    step = chosen_if_it_stands(self, step, namespace, environment)  # noqa: PLW2901
                plain = step.reads is None and not step.merges
                reads = (previous,) if plain else reads_of(self, step, namespace, environment, previous)
                if reads[0].parts and not isinstance(step, UseStep):
                    reads = parts_of(step, namespace, reads)
                if step.operands:
                    values = [(value.evaluate(environment), value.span) for value in step.operands]
                    reads = (*reads, *(namespace.named(name, at, step.label) for name, at in values))
                if len(reads) > 1:
                    check_single(step, namespace, reads)
                if step.repeat is not None:
                    application = Application(namespace, namespace, environment, reads)
                    previous = apply_repeated(self, step, step.repeat, application)
                elif step.when is None or stands(step, environment):
                    previous = self.apply(step, Application(namespace, namespace, environment, reads))
                else:
                    previous = leave_out(self, step, namespace, environment, reads)
            except Complaint as fault:
                failures[step.origin] += 1
                self.findings.complain(fault, namespace.scope)
                lost = self._lost(step, namespace)
                previous = previous if step.is_free else lost
            except UnknownShape:
                lost = self._lost(step, namespace)
                previous = previous if step.is_free else lost
        return previous

    def apply(self, step: Step, application: Application) -> Ref:
        """Apply a step once."""
        self.limits.nodes += 1
        if self.limits.exceeded_by(0):
            too_large(self.findings, step.span, application.namespace.scope)
        if ABSENT_REF in application.reads and not step.is_free:
            raise absent_read(step, application)
        if isinstance(step, ChoiceStep):
            step = chosen(self, step, application.namespace, application.environment)
        if isinstance(step, OpStep):
            return apply_op(self, step, application)
        self.limits.enter(step.span)
        try:
            if isinstance(step, UseStep):
                return apply_again(self, step, application)
            if isinstance(step, CallStep):
                return apply_scope(self, step, step.block, call_arguments(self, step, application), application)
            assert isinstance(step, ScopeStep)
            if step.is_inline:
                return apply_inline(self, step, application)
            return apply_scope(self, step, None, {}, application)
        finally:
            self.limits.leave()

    def _lost(self, step: Step, namespace: Namespace) -> Ref:
        """Bind the name of a step in error to a value of unknown shape."""
        name = step.fixed_name
        inline = isinstance(step, ScopeStep) and step.is_inline
        known = step.name is None or name is not None and not step_place_fault(name)
        namespace.lossy |= inline or step.repeat is not None or not known
        if known and not inline:
            meant = step.label if isinstance(step, UseStep) and step.stem not in namespace.names else step.meant
            name = namespace.auto_name(meant) if name is None else name
            if is_conditional(step) and name not in namespace.names:
                namespace.bind_for_now(name, UNKNOWN_REF)
            namespace.names.setdefault(name, UNKNOWN_REF)
            if step.meant != step.label and not step_name_fault(step.label):
                namespace.names.setdefault(step.label, UNKNOWN_REF)
            namespace.count += 1
        return UNKNOWN_REF
