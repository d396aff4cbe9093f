"""Steps applied one after another, with repeats, conditions and scopes worked out.

A step in error gives a value of unknown shape; whoever reads it is passed over in silence, so that every complaint
is about a mistake of its own.
"""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Mapping, MutableMapping, Sequence
from functools import partial
from typing import Any, NoReturn

from archspec.elaborate.findings import ScopedFindings
from archspec.elaborate.initial import own_draws
from archspec.elaborate.interface import declared_inputs, given_params, named_outputs
from archspec.elaborate.interning import applied
from archspec.elaborate.limits import MAX_FAILURES, MAX_NODES, Limits, TooLarge
from archspec.elaborate.memo import Entry, scope_key
from archspec.elaborate.missing_padding import padding_help
from archspec.elaborate.namespace import (
    ABSENT_REF,
    UNKNOWN_REF,
    Maker,
    Namespace,
    Ref,
    is_conditional,
    left_out,
    several_results,
)
from archspec.elaborate.places import value_place
from archspec.elaborate.reuse import Target, check_same, target_of
from archspec.errors import Complaint, Span, kind_of
from archspec.expressions import MISSING, Environment, UnknownShape
from archspec.graph import EMPTY, Applied, Node, Scope, needed_paths
from archspec.names import step_name_fault, step_place_fault
from archspec.ops.base import Op
from archspec.ops.fields import hint
from archspec.ops.merge import is_number, number_operands
from archspec.ops.shape_help import input_help
from archspec.program import Program
from archspec.program.steps import BlockProgram, CallStep, ChoiceStep, OpStep, Repeat, ScopeStep, Step, UseStep, Value
from archspec.shapes import Lead, Shape, shape_text
from archspec.syntax import YamlList

_NO_DOLLAR = "write the name without `$`"


def too_large(findings: ScopedFindings, span: Span, scope: Scope) -> NoReturn:
    """Complain of a network beyond the limit, and end."""
    findings.complain(
        Complaint("limit", f"the network has more than {MAX_NODES:,} layers and scopes", span=span), scope
    )
    raise TooLarge


class Application:
    """One application of a step, which reads `reads`.

    `home` is where its name goes, `namespace` where names are looked up, `environment` what its expressions see. `copy`
    is `(position, count)` where it is a copy of a repeat.
    """

    __slots__ = ("home", "namespace", "environment", "reads", "copy")

    def __init__(
        self,
        home: Namespace,
        namespace: Namespace,
        environment: Environment,
        reads: tuple[Ref, ...],
        copy: tuple[int, int] | None = None,
    ) -> None:
        self.home, self.namespace, self.environment, self.reads, self.copy = home, namespace, environment, reads, copy


class Elaborator:
    """Applies the steps of a program, and collects the nodes that they make."""

    def __init__(self, program: Program, params: Environment, findings: ScopedFindings, trace: bool) -> None:
        self.program, self.params, self.findings, self.trace = program, params, findings, trace
        self.nothing = Environment({})
        self.has_uses = program.has_uses
        self.nodes: list[Node] = []
        self.limits = Limits(params.budget)
        self.memo: MutableMapping[Any, Entry] = {}
        self.inputs: Mapping[str, Shape | None] = {}
        self.free: dict[str, Op] = {}
        """The free tensors by their paths, but for those of scopes that were copied."""
        self.free_ops: dict[tuple[Any, ...] | None, Op] = {}
        """The free tensors by what they depend on."""
        self.failures: Counter[Step] = Counter()
        """How often a step has been found wrong: after `MAX_FAILURES` times it is not applied again."""

    def run(self, steps: list[Step], namespace: Namespace, environment: Environment, previous: Ref) -> Ref:
        """Apply steps in turn, the first to `previous`. Return the value of the last."""
        failures = self.failures
        for step in steps:
            try:
                if step.broken or failures and failures[step] > MAX_FAILURES:
                    raise UnknownShape
                if isinstance(step, ChoiceStep) and not step.varies:
                    step = self._chosen_if_it_stands(step, namespace, environment)  # noqa: PLW2901
                plain = step.reads is None and not step.merges
                reads = (previous,) if plain else self._reads(step, namespace, environment, previous)
                if reads[0].parts and not isinstance(step, UseStep):
                    reads = self._parts(step, namespace, reads)
                if step.operands:
                    values = [(value.evaluate(environment), value.span) for value in step.operands]
                    reads = (*reads, *(namespace.named(name, at, step.label) for name, at in values))
                if len(reads) > 1:
                    self._check_single(step, namespace, reads)
                if step.repeat is not None:
                    previous = self._repeated(step, step.repeat, Application(namespace, namespace, environment, reads))
                elif step.when is None or self._stands(step, environment):
                    previous = self._apply(step, Application(namespace, namespace, environment, reads))
                else:
                    previous = self._left_out(step, namespace, environment, reads)
            except Complaint as fault:
                failures[step.origin] += 1
                self.findings.complain(fault, namespace.scope)
                lost = self._lost(step, namespace)
                previous = previous if step.is_free else lost
            except UnknownShape:
                lost = self._lost(step, namespace)
                previous = previous if step.is_free else lost
        return previous

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

    # What a step reads.

    def _reads(self, step: Step, namespace: Namespace, environment: Environment, previous: Ref) -> tuple[Ref, ...]:
        """Return what a step reads, if not the previous step alone. One name in a merge adds the previous."""
        merge = step.merges
        if step.reads is None:
            help = f"`{step.label}: NAME` merges the step before with the step NAME"
            raise Complaint("argument", f"{step.label}: expected two or more inputs, got 1", help, span=step.span)
        at = step.reads.span
        self._check_read_once(step, environment)
        value = step.reads.evaluate(environment)
        is_left_out = step.when is not None and step.repeat is None and not self._stands(step, environment)
        if is_left_out and not step.reads.constant:
            return self._reads_of_left_out(step, value, namespace, previous)
        if isinstance(value, str):
            ref = namespace.named(value, at)
            if merge:
                if previous.path != ref.path:
                    self._warn_of_order(step, value, namespace, previous)
                self._warn_of_double(step, [value], namespace, (previous, ref))
            return (previous, ref) if merge else (ref,)
        if step.takes_numbers:
            if is_number(value):
                return (previous,)
            if isinstance(value, list) and any(map(is_number, value)):
                return self._tensors(step, value, namespace)
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
        self.limits.add_edges(len(value), step.span)
        yaml = step.reads.yaml
        if not isinstance(yaml, YamlList):  # an expression, which has one place for all of them
            reads = tuple([namespace.named(name, at) for name in value])
            if merge:
                self._warn_of_double(step, value, namespace, reads)
            return reads
        found = [
            self.findings.guarded(partial(namespace.named, name, item.span), namespace.scope)
            for name, item in zip(value, yaml.items, strict=True)
        ]
        if None in found:
            self.failures[step.origin] += 1
        reads = tuple(ref or UNKNOWN_REF for ref in found)
        if merge:
            self._warn_of_double(step, value, namespace, reads)
        return reads

    def _reads_of_left_out(self, step: Step, value: Any, namespace: Namespace, previous: Ref) -> tuple[Ref, ...]:
        """Return what a step would read that is left out, of names that an expression makes: only the first must be.

        So `from: ["part${index}", "act${index - 1}"]` may stand under `when: "${index > 0}"`.
        """
        assert step.reads is not None
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list) or not names:
            return (previous,)
        if step.merges and isinstance(value, str):
            names = [None, *names]
        first = previous if names[0] is None else namespace.named(names[0], step.reads.span)
        others = [namespace.find(name) for name in names[1:] if isinstance(name, str)]
        return (first, *[ref for ref in others if ref is not None])

    def _tensors(self, step: Step, value: list[Any], namespace: Namespace) -> tuple[Ref, ...]:
        """Return the tensors of a list of operands with numbers in it."""
        assert step.reads is not None
        if len(value) < 2:
            help = f"`{step.label}: NUMBER` works on the step before"
            raise Complaint(
                "argument", f"{step.label}: expected two or more operands, got 1", help, span=step.reads.span
            )
        self.limits.add_edges(len(value), step.span)
        yaml = step.reads.yaml
        items = yaml.items if isinstance(yaml, YamlList) else [yaml] * len(value)
        found = [
            namespace.named(name, item.span) for name, item in zip(value, items, strict=True) if not is_number(name)
        ]
        if not found:
            message = f"{step.label}: expected a tensor among the operands, got numbers only"
            raise Complaint("argument", message, "work the numbers out: `${...}`", span=step.reads.span)
        return tuple(found)

    def _parts(self, step: Step, namespace: Namespace, reads: tuple[Ref, ...]) -> tuple[Ref, ...]:
        """Return the results of a step one by one, for an op that reads as many. Raises: Complaint for any other."""
        if len(reads) > 1 or not isinstance(step, OpStep) or not step.op.operand_names:
            self._check_single(step, namespace, reads)
        return reads[0].parts

    def _check_single(self, step: Step, namespace: Namespace, reads: tuple[Ref, ...]) -> None:
        """Check that each value that a step reads is one. Raises: Complaint if a step has several results."""
        for ref in reads:
            if ref.parts:
                at = step.reads.span if step.reads is not None else step.span
                raise several_results(ref, namespace.called(ref), at)

    def _warn_of_order(self, step: Step, name: str, namespace: Namespace, previous: Ref) -> None:
        """Warn of a merge that names one step, where the order counts: the step before goes first."""
        if not isinstance(step, OpStep) or step.op.commutative or previous.shape is None:
            return
        assert step.reads is not None
        words = partial(_order_words, step.label, name, namespace, previous)
        self.findings.warn(Complaint.later("merge", words, step.reads.span), namespace.scope)

    def _warn_of_double(self, step: Step, names: list[str], namespace: Namespace, reads: tuple[Ref, ...]) -> None:
        """Warn of a merge that reads a value twice because a step of another name is left out."""
        absent = namespace.gaps.absent
        if not absent or None in [ref.shape for ref in reads] or len({ref.path for ref in reads}) == len(reads):
            return
        assert step.reads is not None
        for name, ref in zip(names, reads[-len(names) :], strict=True):
            if name in absent and sum(other.path == ref.path for other in reads) > names.count(name):
                words = partial(_double_words, step.label, name, namespace, ref)
                self.findings.warn(Complaint.later("merge", words, step.reads.span), namespace.scope)

    def _check_read_once(self, step: Step, environment: Environment) -> None:
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

    # Choices.

    def _chosen_if_it_stands(self, step: ChoiceStep, namespace: Namespace, environment: Environment) -> Step:
        """Return the step that a choice is; the choice itself if it may be left out and there is none to choose."""
        if step.when is None:
            return self._chosen(step, namespace, environment)
        try:
            option = step.option(self._choice(step, environment))
        except (Complaint, UnknownShape):
            return step
        return step if option.faults or option.step.broken else option.step

    def _chosen(self, step: ChoiceStep, namespace: Namespace, environment: Environment) -> Step:
        """Return the step that a choice is. Raises: Complaint if what is chosen is not there or does not fit."""
        key = self._choice(step, environment)
        found, faults = step.option(key)
        if not faults and isinstance(found, CallStep) and found.block is not None:
            if any(scope.definition is found.block for scope in namespace.scope.chain()):
                faults = (Complaint("cycle", f"a block calls itself: `{key}`", span=step.span),)
        if faults:
            place = value_place(step.choice, namespace.scope, self.program)
            note = f"`{step.label}` is `{key[:100]}`{f', from {place}' if place else ''}"
            faults = tuple([fault.at(fault.span) for fault in faults])
            for fault in faults:
                fault.notes = (note,)
            for fault in faults[1:]:
                self.findings.complain(fault, namespace.scope)
            raise faults[0]
        if found.broken:
            raise UnknownShape
        return found

    @staticmethod
    def _choice(step: ChoiceStep, environment: Environment) -> str:
        """Return the name of the op or block that a choice gives."""
        assert step.choice is not None
        found = step.choice.evaluate(environment)
        if not isinstance(found, str):
            help = "`when` leaves a step out; `identity` passes on what it reads"
            message = f"`{step.label}`: expected the name of an op or a block, got {kind_of(found)}"
            raise Complaint("type", message, help, span=step.span)
        return found

    # Conditions and repeats.

    def _stands(self, step: Step, environment: Environment) -> bool:
        """Whether the condition of a step holds."""
        if step.when is None:
            return True
        value = step.when.evaluate(environment)
        if not isinstance(value, bool):
            help = "a condition stands in `${...}` as a whole: `${a == b}`" if isinstance(value, str) else None
            raise Complaint("type", f"when: expected true or false, got {kind_of(value)}", help, span=step.when.span)
        return value

    def _left_out(self, step: Step, namespace: Namespace, environment: Environment, reads: tuple[Ref, ...]) -> Ref:
        """Leave a step out: its name refers to its first input."""
        self.limits.nodes += 1
        if step.name is None or not (step.repeat and step.siblings):
            namespace.bind_absent(step, ABSENT_REF if step.is_free else reads[0], environment)
        if self.trace:
            self._place(namespace.scope, step, None, Application(namespace, namespace, environment, reads), reads[0])
        return reads[0]

    def _place(
        self, scope: Scope, step: Step, made: Node | Scope | None, application: Application, result: Ref
    ) -> None:
        """Keep what became of a step."""
        reads = made.inputs if isinstance(made, Node) else tuple(ref.path for ref in application.reads)
        first, *more = [part.path for part in result.parts or (result,)]
        environment, copy = application.environment, application.copy
        scope.items.append(Applied(step.origin, made, reads, first, environment, copy, tuple(more)))

    def _repeated(self, step: Step, repeat: Repeat, application: Application) -> Ref:
        """Apply a step as often as it is repeated, each copy to the value of the one before."""
        namespace, environment, reads = application.namespace, application.environment, application.reads
        entries = _entries(repeat, environment)
        copies = self._standing(step, repeat, entries, namespace, environment)
        if not copies:
            return self._left_out(step, namespace, environment, reads)
        if isinstance(step, UseStep) and not step.siblings:
            assert step.name is not None
            help = 'write `name: "NAME${index}"`, or no name'
            raise Complaint("name", "use: the copies of a `use` have no group to be in", help, span=step.name.span)
        name = None if step.siblings else namespace.explicit_name(step, environment)
        return self._copies(step, repeat, entries, copies, application, name)

    def _copies(
        self,
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
        home, first = namespace, len(self.nodes)
        if name is not None:
            at = use or step
            scope = Scope(
                "repeat", application.home.prefix + name, application.home.scope, span=at.span, step=step.origin
            )
            home = application.home.children[name] = Namespace(scope, {}, [], positional=True)
        lost = 0
        self.limits.add_edges(len(copies) * (len(reads) - 1), step.span)
        for done, position in enumerate(copies):
            before, scopes = self.limits.nodes, self.limits.scopes
            inner = _copy_scope(repeat, position, entries[position], environment)
            result = self._copy(step, Application(home, namespace, inner, reads, (position, len(entries))))
            reads = (result, *reads[1:])
            lost += result.shape is None
            if lost > MAX_FAILURES or self.failures and self.failures[step.origin] > MAX_FAILURES:
                namespace.lossy = True  # the others will be as this one
                break
            # The first copy is often unlike the others.
            if done == 1 and self.limits.exceeded_by((self.limits.nodes - before) * (len(copies) - 2)):
                too_large(self.findings, repeat.count.span, namespace.scope)
            if done == 1:
                self.limits.check_scopes((self.limits.scopes - scopes) * (len(copies) - 2), repeat.count.span)
        if name is not None:
            application.home.bind(name, reads[0])
            if use is None:
                self._remember(name, step, environment, {}, application.home, first)
            if self.trace:
                self._place(application.home.scope, use or step, home.scope, application, reads[0])
        return reads[0]

    def _standing(
        self, step: Step, repeat: Repeat, entries: list[Any] | range, namespace: Namespace, environment: Environment
    ) -> Sequence[int]:
        """Return the positions of the copies whose condition holds."""
        copies = range(len(entries))
        if step.when is None or step.when.constant and self._stands(step, environment):
            if self.limits.exceeded_by(len(copies)):
                too_large(self.findings, repeat.count.span, namespace.scope)
            return copies
        if step.when.constant:
            return ()
        self.limits.add_conditions(len(entries), repeat.count.span)
        return [n for n in copies if self._stands(step, _copy_scope(repeat, n, entries[n], environment))]

    def _copy(self, step: Step, application: Application) -> Ref:
        try:
            return self._apply(step, application)
        except Complaint as fault:
            self.failures[step.origin] += 1
            path = application.home.scope.path if application.home is not application.namespace else ""
            scope = Scope(step.label, path, application.namespace.scope, copy=application.copy, span=step.span)
            self.findings.complain(fault, scope)
        except UnknownShape:
            pass
        application.home.count += 1
        return UNKNOWN_REF

    # One application.

    def _apply(self, step: Step, application: Application) -> Ref:
        """Apply a step once."""
        self.limits.nodes += 1
        if self.limits.exceeded_by(0):
            too_large(self.findings, step.span, application.namespace.scope)
        if ABSENT_REF in application.reads and not step.is_free:
            raise self._absent(step, application)
        if isinstance(step, ChoiceStep):
            step = self._chosen(step, application.namespace, application.environment)
        if isinstance(step, OpStep):
            return self._op(step, application)
        self.limits.enter(step.span)
        try:
            if isinstance(step, UseStep):
                return self._use(step, application)
            if isinstance(step, CallStep):
                return self._scope(step, step.block, self._arguments(step, application), application)
            assert isinstance(step, ScopeStep)
            return self._inline(step, application) if step.is_inline else self._scope(step, None, {}, application)
        finally:
            self.limits.leave()

    def _absent(self, step: Step, application: Application) -> Complaint:
        """Return the finding of a step that reads a free tensor which is left out."""
        if step.reads is None:
            return left_out(None, step.span)
        value = step.reads.evaluate(application.environment)
        names = value if isinstance(value, list) else [value]
        absent = (name for name in names if isinstance(name, str) and application.namespace.find(name) is ABSENT_REF)
        return left_out(next(absent, None), step.reads.span)

    def _inline(self, step: ScopeStep, application: Application) -> Ref:
        """Splice the steps of an `inline` into the scope around it."""
        namespace, scope = application.namespace, application.namespace.scope
        inner = Environment({}, application.environment)
        self._set_let(step, inner)
        made = namespace.scope = Scope("inline", scope.path, scope, copy=application.copy, span=step.span, step=step)
        made.environment = inner
        namespace.enter_inline(step)
        try:
            ref = self.run(step.steps, namespace, inner, application.reads[0])
            if ref.parts:
                raise several_results(ref, namespace.called(ref), step.steps[-1].span)
        finally:
            namespace.scope = scope
            namespace.leave_inline(step)
        if self.trace:
            self._place(scope, step, made, application, ref)
        return ref

    def _set_let(self, step: ScopeStep, environment: Environment) -> None:
        self.limits.nodes += len(step.let) // 16
        if step.let:
            _fill(environment, step.let, "a value of `let` sees those above it")

    # Scopes.

    def _scope(
        self,
        step: Step,
        block: BlockProgram | None,
        arguments: dict[str, Any],
        application: Application,
        name: str = "",
        use: UseStep | None = None,
    ) -> Ref:
        """Apply a block or a `sequential`, or copy the nodes of an equal one; as `name` for a `use`."""
        home, first = application.home, len(self.nodes)
        name = name or home.new_name(step, application.environment)
        path = home.prefix + name
        at = use or step
        self.limits.add_path(path, at.span)
        self.limits.add_scopes(1, at.span)
        kind, title = ("block", block.name) if block else ("sequential", None)
        scope = Scope(kind, path, home.scope, title, application.copy, at.span, step, block)
        scope.register = block.register if block else getattr(step, "register", ())
        key = None
        if not self.trace:
            key = scope_key(step, block, arguments, application.namespace, application.environment, application.reads)
        known = self.memo.get(key) if key is not None else None
        if known is not None and self.limits.allow(known.spent, path):
            self.limits.charge(known.spent, path)
            home.children[name] = partial(known.names, scope, application.reads[0])
            ref = known.copy_to(scope, application.reads[0], self.nodes)
        else:
            ref = self._elaborate_scope(step, block, arguments, scope, key, name, application)
        home.bind(name, ref)
        if use is None:
            self._remember(name, step, application.environment, arguments, home, first)
        if self.trace:
            self._place(home.scope, at, scope, application, ref)
        return ref

    def _elaborate_scope(
        self,
        step: Step,
        block: BlockProgram | None,
        arguments: Mapping[str, Any],
        scope: Scope,
        key: object,
        name: str,
        application: Application,
    ) -> Ref:
        """Apply the steps of a scope, and remember what came of them under `key`."""
        first = len(self.nodes)
        with self.limits.measure(scope.path) as measurement:
            if block is not None and block.network is not None:
                namespace, ref = self._network(step, block, block.network, arguments, scope, application)
                application.home.children[name] = namespace
            else:
                if block is not None:
                    namespace, environment = self._block(block, arguments, scope, application)
                else:
                    assert isinstance(step, ScopeStep)
                    namespace, environment = self._sequential(step, scope, application)
                application.home.children[name] = namespace
                ref = self.run(namespace.steps, namespace, environment, namespace.first_input)
                if ref.parts:
                    raise several_results(ref, namespace.called(ref), namespace.steps[-1].span)
        if key is not None:
            self.memo[key] = Entry(namespace, ref, first, len(self.nodes), measurement.spent)
        return ref

    def _sequential(self, step: ScopeStep, scope: Scope, application: Application) -> tuple[Namespace, Environment]:
        """Return the namespace and the values of a `sequential`."""
        environment = scope.environment = Environment({}, application.environment)
        namespace = Namespace(
            scope, {"input": application.reads[0]}, step.steps, outer=application.namespace, positional=True
        )
        environment.tensors, environment.visible = namespace.find, namespace.visible
        self._set_let(step, environment)
        return namespace, environment

    def _arguments(self, step: CallStep, application: Application) -> dict[str, Any]:
        """Return what a call gives to its block."""
        block, count = step.block, len(application.reads)
        assert block is not None
        names = block.inputs or ("input",)
        if count != len(names):
            expected = f"{len(names)} inputs ({', '.join(names)})" if len(names) > 1 else "one input"
            help = (
                f"name {len(names)} steps: `from: [...]`" if len(names) > 1 else "`inputs: [...]` gives a block several"
            )
            if block.network is not None and len(names) == 1:
                help = "the network has one input; merge the values first: `add`, `multiply` or `concat`"
            raise Complaint("argument", f"{step.label}: expected {expected}, got {count}", help, span=step.span)
        self.limits.nodes += len(block.params) // 16
        return {name: value.evaluate(application.environment) for name, value in step.arguments.items()}

    def _block(
        self, block: BlockProgram, arguments: Mapping[str, Any], scope: Scope, application: Application
    ) -> tuple[Namespace, Environment]:
        """Return the namespace and the values of a block: its params, its inputs and the params of its file."""
        environment = scope.environment = Environment(
            {}, self.params if block.block.library.sees_params else self.nothing
        )
        environment.budget = self.params.budget
        namespace = Namespace(scope, dict(zip(block.inputs or ("input",), application.reads, strict=True)), block.steps)
        environment.tensors, environment.visible = namespace.find, namespace.visible
        help = "a default sees the arguments above it"
        _fill(environment, block.params, help, arguments)
        return namespace, environment

    # Uses.

    def _remember(
        self,
        name: str,
        step: Step,
        environment: Environment,
        arguments: Mapping[str, Any],
        home: Namespace,
        first: int,
        origin: str = "",
    ) -> None:
        """Keep how a step was applied, if the spec has a `use` that may ask for it."""
        if self.has_uses:
            home.makers[name] = Maker(step, environment, arguments, origin or name, first, len(self.nodes))

    def _use(self, step: UseStep, application: Application) -> Ref:
        """Apply an earlier step again: its nodes are made anew, and must have the same weights as those before."""
        home = application.home
        target = target_of(step, application.environment, home, self.nodes)
        if step.name is not None:
            name = home.explicit_name(step, application.environment)
        else:
            name = home.auto_name(target.stem)
        application = self._reads_again(step, target, application)
        first = len(self.nodes)
        if None in [ref.shape for ref in application.reads]:
            home.bind(name, UNKNOWN_REF)
            return UNKNOWN_REF
        memo, self.memo = self.memo, ChainMap({}, self.memo)  # what is made here gets the weights of other nodes
        failures = self.findings.count
        try:
            ref = self._applied_again(step, target, name, application)
            if ref.shape is not None and self.findings.count == failures:
                check_same(step, target, home.prefix + name, self.nodes[first:], application.reads)
        except Complaint as fault:
            self.failures[step] += 1
            self.findings.complain(fault, self._place_of_copy(step, home.prefix + name, application))
            ref = UNKNOWN_REF
            home.bind(name, ref)
        finally:
            self.memo = memo
        if ref.shape is not None and self.findings.count == failures:
            for node, owner in zip(self.nodes[first:], target.nodes, strict=True):
                node.weights_of = owner.weights_of or owner.path
        maker = target.maker
        self._remember(name, maker.step, maker.environment, maker.arguments, home, first, target.origin)
        return ref

    def _reads_again(self, step: UseStep, target: Target, application: Application) -> Application:
        """Return how a `use` is applied, with the results of a step one by one, and the values that arguments name."""
        reads, made = application.reads, target.maker.step
        if reads[0].parts:
            if len(reads) > 1 or not isinstance(made, OpStep) or not made.op.operand_names:
                self._check_single(step, application.namespace, reads)
            reads = reads[0].parts
        for value in made.operands:
            reads = (*reads, target.namespace.named(value.evaluate(target.maker.environment), step.span, "use"))
        home, environment = application.home, application.environment
        return Application(home, application.namespace, environment, reads, application.copy)

    def _applied_again(self, step: UseStep, target: Target, name: str, application: Application) -> Ref:
        """Apply the step of a `use`, with what its expressions saw before."""
        maker, home = target.maker, application.home
        inner = Application(home, target.namespace, maker.environment, application.reads, application.copy)
        made = maker.step
        if isinstance(made, OpStep):
            return self._op_again(step, made, target, name, application)
        if made.repeat is not None and target.is_group:
            entries = _entries(made.repeat, maker.environment)
            copies = self._standing(made, made.repeat, entries, target.namespace, maker.environment)
            ref = self._copies(made, made.repeat, entries, copies, inner, name, step)
        elif isinstance(made, CallStep):
            try:
                self._arguments(made, inner)  # how many values it reads
            except Complaint as error:
                raise Complaint(error.code, f"use: {error.message}", error.help, span=step.span) from None
            ref = self._scope(made, made.block, dict(maker.arguments), inner, name, step)
        else:
            ref = self._scope(made, None, {}, inner, name, step)
        child = home.child(name)
        if child is not None:
            child.scope.weights_of = home.prefix + target.origin
        return ref

    def _op_again(self, step: UseStep, made: OpStep, target: Target, name: str, application: Application) -> Ref:
        """Apply an op again. What does not fit is told at the place of the `use`."""
        home = application.home
        environment = target.maker.environment
        if made.is_free:
            help = "it reads nothing: steps that need it name it in `from`"
            raise Complaint("reference", f"use: `{target.name}` is a value, not a layer", help, span=step.span)
        arguments = made.all_arguments(environment, self.params) if made.made else made.constants
        if made.takes_numbers and made.reads is not None:
            numbers = number_operands(made.reads.evaluate(environment))
            arguments = {**arguments, "numbers": numbers} if numbers else arguments
        leads = tuple([ref.lead for ref in application.reads])
        shapes = tuple([ref.shape for ref in application.reads])
        try:
            op = applied(made.op, shapes, arguments, leads if leads.count(Lead.BATCH) < len(leads) else ())  # type: ignore[arg-type]
        except Complaint as error:
            raise Complaint(error.code, f"use: `{target.name}`: {error.message}", error.help, span=step.span) from None
        results = op.results()
        if results:
            ref = self._results(made, op, results, arguments, name, application, step.span)
        else:
            ref = Ref(home.prefix + name, op.output, op.lead)
            reads = tuple([ref.path for ref in application.reads])
            self.nodes.append(Node(ref.path, op, reads, step.span, home.scope, made.origins))
        if self.trace:
            self._place(home.scope, step, self.nodes[-max(1, len(results))], application, ref)
        home.bind(name, ref)
        return ref

    # Networks.

    def _network(
        self,
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
        params.budget = self.params.budget
        given_params(block, step, arguments, params)
        inputs = dict(zip(block.inputs or ("input",), application.reads, strict=True))
        scope.remark = _other_inputs(declared_inputs(network.document, params, self.findings), inputs)
        namespace = Namespace(scope, inputs, block.steps)
        scope.environment = Environment(params.values, None, namespace.find, namespace.visible)
        scope.environment.budget = params.budget
        outside = self.params, self.memo, self.has_uses
        self.params, self.memo, self.has_uses = params, {}, network.has_uses
        first = len(self.nodes)
        try:
            found, last = self._values_of_network(block, network, namespace, scope.environment)
        finally:
            self.params, self.memo, self.has_uses = outside
        seen = Namespace(scope, inputs, block.steps)
        seen.names, seen.lossy = found, namespace.lossy
        scope.gives = {name: ref.path for name, ref in found.items()}
        self._drop_unread(scope, first, [ref.path for ref in (last, *found.values())])
        return seen, last

    def _values_of_network(
        self, block: BlockProgram, network: Program, namespace: Namespace, environment: Environment
    ) -> tuple[dict[str, Ref], Ref]:
        """Return the features of a network, or its outputs, by their names, and the value of the whole.

        That is the last feature, or the first output. Steps below the last one that a feature needs are not applied.
        """
        last = namespace.first_input
        if block.features:
            missing = [target.partition(".")[0] for _, target, _ in block.features]
            for step in block.steps:
                last = self.run([step], namespace, environment, last)
                while missing and missing[-1] in namespace.names and missing[-1] not in namespace.gaps.absent:
                    missing.pop()
                if not missing:
                    break
            wanted: Sequence[tuple[str, Any, Span]] = block.features
        else:
            last = self.run(block.steps, namespace, environment, last)
            yaml = network.document.keys.get("outputs")
            if yaml is None:
                return {last.path.removeprefix(namespace.prefix): last} if last.shape is not None else {}, last
            if yaml in network.document.broken:
                return {}, UNKNOWN_REF
            wanted = self.findings.guarded(partial(named_outputs, yaml, environment), namespace.scope) or ()
        found: dict[str, Ref] = {}
        for name, target, at in wanted:
            ref = self.findings.guarded(partial(namespace.feature, target, at), namespace.scope)
            found[name] = ref or UNKNOWN_REF
        values = list(found.values()) or [UNKNOWN_REF]
        return found, values[-1 if block.features else 0]

    def _drop_unread(self, scope: Scope, first: int, results: list[str]) -> None:
        """Take the nodes of a network, from `first` on, out of the graph that none of its `results` needs."""
        made = self.nodes[first:]
        live = needed_paths(made, results, owners=True)
        kept = [node for node in made if node.path in live]
        if len(kept) < len(made):
            self.nodes[first:] = kept
            if self.trace:
                _drop_items(scope, {node.path for node in made} - live)

    # Ops.

    def _op(self, step: OpStep, application: Application) -> Ref:
        """Apply an op. What follows a free tensor reads what it would read without it."""
        home = application.home
        name = home.new_name(step, application.environment)
        path, first = home.prefix + name, len(self.nodes)
        known = self._known_free(step, application.environment)
        arguments = (
            step.all_arguments(application.environment, self.params) if step.made and not known else step.constants
        )
        if step.takes_numbers and step.reads is not None:
            numbers = number_operands(step.reads.evaluate(application.environment))
            arguments = {**arguments, "numbers": numbers} if numbers else arguments
        given = () if step.is_free else application.reads
        shapes = tuple([ref.shape for ref in given])
        if None in shapes:
            self._check_arguments(step, arguments)
            ref = UNKNOWN_REF
        else:
            leads = tuple([ref.lead for ref in given])
            try:
                leads = leads if leads.count(Lead.BATCH) < len(leads) else ()
                op = known or applied(step.op, shapes, arguments, leads)  # type: ignore[arg-type]
                if step.is_free:
                    self._keep_free(step, application.environment, path, op)
                elif op.leads:
                    op.check_free({n: self.free[ref.path] for n, ref in enumerate(given) if ref.path in self.free})
                results = op.results()
                if results:
                    ref = self._results(step, op, results, arguments, name, application, step.span)
                else:
                    ref = Ref(path, op.output, op.lead)
                    reads = tuple([ref.path for ref in given])
                    draws = own_draws(step.init, op, application.environment) if step.init else EMPTY
                    self.nodes.append(Node(path, op, reads, step.span, home.scope, step.origins, draws))
                if self.trace:
                    result = application.reads[0] if step.is_free else ref
                    self._place(home.scope, step, self.nodes[-max(1, len(results))], application, result)
            except Complaint as error:
                self._complain_of_op(step, error, arguments, path, application)
                # No node: what reads this step reads what it would have read, where the shape is the same for sure.
                ref = Ref(given[0].path, shapes[0]) if given and step.op.infer is Op.infer else UNKNOWN_REF
        home.bind(name, ref)
        self._remember(name, step, application.environment, {}, home, first)
        return application.reads[0] if step.is_free else ref

    def _results(
        self,
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
        self.limits.nodes += len(results) - 1
        if self.limits.exceeded_by(0):
            too_large(self.findings, span, home.scope)
        self.limits.add_path(path, span)
        self.limits.add_scopes(1, span)
        scope = Scope(step.label, path, home.scope, None, application.copy, span, step)
        reads = tuple([ref.path for ref in application.reads])
        parts = []
        for number, result in enumerate(results):
            single = applied(step.op, op.inputs, {**arguments, **result}, op.leads)
            self.nodes.append(Node(f"{path}.{number}", single, reads, span, scope, step.origins))
            parts.append(Ref(f"{path}.{number}", single.output, single.lead))
        namespace = home.children[name] = Namespace(scope, {}, [])
        namespace.names = {str(number): part for number, part in enumerate(parts)}
        return Ref(path, parts[0].shape, parts[0].lead, tuple(parts))

    def _free_key(self, step: OpStep, environment: Environment) -> tuple[Any, ...] | None:
        """Return what a free tensor depends on; None if that is more than plain values."""
        if not step.is_free or step.defaults:
            return None
        names = sorted(set().union(*(value.names for _, value in step.made)))
        values = [environment.find(name) for name in names]
        types = tuple(map(type, values))
        return (step, types, *values) if {int, float, str, bool}.issuperset(types) else None

    def _known_free(self, step: OpStep, environment: Environment) -> Op | None:
        """Return the free tensor that a step made of the same values before: thousands of numbers may be in it."""
        return self.free_ops.get(self._free_key(step, environment)) if step.is_free and step.made else None

    def _keep_free(self, step: OpStep, environment: Environment, path: str, op: Op) -> None:
        """Remember a free tensor, for the steps that read it and for the step's next use."""
        self.free[path] = op
        key = self._free_key(step, environment) if step.made else None
        if key is not None:
            self.free_ops[key] = op

    def _complain_of_op(
        self, step: OpStep, error: Complaint, arguments: Mapping[str, Any], path: str, application: Application
    ) -> None:
        """Tell that an op does not fit, with its operands called what they are called in the scope of the step."""
        self.failures[step.origin] += 1
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
                args = (step.op, arguments, names, application.reads, self.nodes, prefix, error.help)
                error.help = partial(padding_help, *args)
        elif error.code == "shape":
            odd = next(filter(None, (input_help(shape) for shape in self.inputs.values() if shape)), None)
            tokens = len(shapes) == 1 and len(shapes[0]) == 2 and step.op.wants == "image"
            error.help = odd or error.help or ("`- to_image` before it makes an image of tokens" if tokens else None)
        self.findings.complain(_op_fault(step, error), self._place_of_copy(step, path, application))

    @staticmethod
    def _place_of_copy(step: Step, path: str, application: Application) -> Scope:
        """Return the scope to name in a finding about a step: that around it, or the copy that it is."""
        scope = application.home.scope
        return Scope(step.label, path, scope, copy=application.copy, span=step.span) if application.copy else scope

    def _check_arguments(self, step: OpStep, arguments: Mapping[str, Any]) -> None:
        """Report what is wrong with the arguments of a step whose input is in error."""
        for name, value in arguments.items():
            try:
                step.op.fields[name].parse(value, 2)
            except Complaint as error:
                if error.code not in ("shape", "argument"):
                    message = f"{step.label}: {name}: {error.message}"
                    raise _op_fault(step, Complaint(error.code, message, error.help, argument=name)) from None


def _other_inputs(declared: Mapping[str, Shape | None], given: Mapping[str, Ref]) -> str:
    """Return words for a network that gets other inputs than it was written for; a note on what is wrong within."""
    for shape, ref in zip(declared.values(), given.values(), strict=True):
        if shape and ref.shape and (len(shape), shape[0]) != (len(ref.shape), ref.shape[0]):
            return f", written for {shape_text(shape)} and given {shape_text(ref.shape)}"
    return ""


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


def _order_words(label: str, name: str, namespace: Namespace, previous: Ref) -> tuple[str, str | None]:
    """Return the words about a merge of one name, before which the step before comes."""
    first = namespace.called(previous)
    help = f"write the order out: `{label}: [{first}, {name}]`, or `[{name}, {first}]`"
    return f"{label}: one name puts the step before it first: `[{first}, {name}]`", help


def _double_words(label: str, name: str, namespace: Namespace, ref: Ref) -> tuple[str, str | None]:
    """Return the words about a merge that reads `ref` twice, once by the name of a step that is left out."""
    message = f"{label}: `{name}` is left out and stands for `{namespace.called(ref)}`, which is read twice"
    return message, f"leave the `{label}` out under the same `when`"


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


def _entries(repeat: Repeat, environment: Environment) -> list[Any] | range:
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


def _copy_scope(repeat: Repeat, position: int, entry: Any, environment: Environment) -> Environment:
    values = {"index": position}
    if repeat.binds is not None:
        values[repeat.binds] = entry
    return Environment(values, environment)


def _op_fault(step: OpStep, error: Complaint) -> Complaint:
    origin = step.origins.get(error.argument) if error.argument else None
    return error.at(origin.span if origin else step.span)
