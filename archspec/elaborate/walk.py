"""Steps applied one after another, with repeats, conditions and scopes worked out.

A step in error gives a value of unknown shape; whoever reads it is passed over in silence, so that every complaint
is about a mistake of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

from archspec.elaborate.findings import Findings, TooLarge
from archspec.elaborate.frames import UNKNOWN_REF, Frame, Ref
from archspec.elaborate.intern import applied
from archspec.elaborate.reuse import Usage, Worked, scope_key
from archspec.errors import MAX_FINDINGS, Span, nearest
from archspec.expressions import MAX_TOTAL_STEPS, Scope, UnknownShape
from archspec.graph import Group, Node, Placed
from archspec.names import step_name_fault
from archspec.ops import OPS
from archspec.ops.base import Op
from archspec.ops.fields import OpError, kind_of
from archspec.program import Program
from archspec.program.steps import MAX_SCOPES, BlockProgram, CallStep, Fault, OpStep, Repeat, ScopeStep, Step
from archspec.schema import SCOPES
from archspec.syntax import YamlList

MAX_NODES = 1_000_000
MAX_TESTED = 200_000
MAX_EDGES = 4_000_000
MAX_PATH = 1_000
"""How long the path of a scope may be."""


def too_large(findings: Findings, span: Span, group: Group) -> NoReturn:
    """Complain of a network beyond the limit, and end."""
    findings.complain(Fault("limit", f"the network has more than {MAX_NODES:,} layers and scopes", span), group)
    raise TooLarge


class Site:
    """One application of a step, which reads `reads`.

    `home` is where its name goes, `frame` where names are looked up, `scope` the values that its expressions see.
    `copy` is `(position, count)` where it is a copy of a repeat.
    """

    __slots__ = ("home", "frame", "scope", "reads", "copy")

    def __init__(
        self, home: Frame, frame: Frame, scope: Scope, reads: tuple[Ref, ...], copy: tuple[int, int] | None = None
    ) -> None:
        self.home, self.frame, self.scope, self.reads, self.copy = home, frame, scope, reads, copy


class Walk:
    """Applies the steps of a program, and collects the nodes that they make."""

    def __init__(self, program: Program, findings: Findings, trace: bool) -> None:
        self.program, self.findings, self.trace = program, findings, trace
        self.params = self.nothing = Scope({})
        self.nodes: list[Node] = []
        self.work = self.tested = self.edges = 0
        self.level = self.deepest = self.longest = 0  # of scopes: how deep they stand, how long their paths are
        self.worked: dict[Any, Worked] = {}

    def run(self, steps: list[Step], frame: Frame, scope: Scope, previous: Ref) -> Ref:
        """Apply steps in turn, the first to `previous`; the value of the last."""
        for step in steps:
            try:
                if step.broken:
                    raise UnknownShape
                plain = step.reads is None and not step.merges
                reads = (previous,) if plain else self._reads(step, frame, scope, previous)
                if step.repeat is not None:
                    previous = self._repeated(step, step.repeat, Site(frame, frame, scope, reads))
                elif step.when is None or self._stands(step, scope):
                    previous = self._apply(step, Site(frame, frame, scope, reads))
                else:
                    previous = self._left_out(step, frame, scope, reads)
            except Fault as fault:
                self.findings.complain(fault, frame.group)
                previous = self._lost(step, frame)
            except UnknownShape:
                previous = self._lost(step, frame)
        return previous

    def _lost(self, step: Step, frame: Frame) -> Ref:
        """Bind the name of a step in error to a value of unknown shape."""
        name = step.fixed_name
        inline = isinstance(step, ScopeStep) and step.is_inline
        known = step.name is None or name is not None and not step_name_fault(name)
        frame.lossy |= inline or step.repeat is not None or not known
        if known and not inline:
            # A misspelt op would have given its name.
            labels = (*OPS, *self.program.blocks, *SCOPES)
            meant = step.label if step.label in labels else nearest(step.label, labels) or step.label
            frame.names.setdefault(frame.auto_name(meant) if name is None else name, UNKNOWN_REF)
            frame.count += 1
        return UNKNOWN_REF

    # What a step reads.

    def _reads(self, step: Step, frame: Frame, scope: Scope, previous: Ref) -> tuple[Ref, ...]:
        """What a step reads that does not read the previous step alone; one name in a merge adds the previous."""
        merge = step.merges
        if step.reads is None:
            raise Fault("argument", f"{step.label} reads two or more values", step.span, f"`{step.label}: input`")
        value, at = step.reads.evaluate(scope), step.reads.span
        if isinstance(value, str):
            ref = frame.named(value, at)
            return (previous, ref) if merge else (ref,)
        if not isinstance(value, list):
            raise Fault("type", f"from: a name or a list of names is wanted, not {kind_of(value)}", at)
        yaml = step.reads.yaml
        spans = [item.span for item in yaml.items] if isinstance(yaml, YamlList) else [at] * len(value)
        if merge and len(value) < 2:
            help = f"`{step.label}: name` reads the previous step and `name`"
            raise Fault("argument", f"{step.label} reads two or more values", at, help)
        if not merge and len(value) != 1 and not isinstance(step, CallStep):
            help = "`add`, `multiply` or `concat` merge"
            raise Fault("argument", f"{step.label} reads one value, not {len(value)}", at, help)
        self._count_edges(len(value), step)
        found = [
            self.findings.guarded(partial(frame.named, name, span), frame.group)
            for name, span in zip(value, spans, strict=True)
        ]
        return tuple(ref or UNKNOWN_REF for ref in found)

    def _count_edges(self, count: int, step: Step) -> None:
        self.edges += count
        if self.edges > MAX_EDGES:
            raise Fault("limit", f"the network has more than {MAX_EDGES:,} edges", step.span)

    # Conditions and repeats.

    def _stands(self, step: Step, scope: Scope) -> bool:
        """Whether the condition of a step holds."""
        if step.when is None:
            return True
        value = step.when.evaluate(scope)
        if not isinstance(value, bool):
            raise Fault("type", f"when: true or false is wanted, not {kind_of(value)}", step.when.span)
        return value

    def _left_out(self, step: Step, frame: Frame, scope: Scope, reads: tuple[Ref, ...]) -> Ref:
        """A step that is left out: its name stands for its first input."""
        self.work += 1
        if step.name is not None and not (step.repeat and step.siblings):
            frame.names[frame.explicit_name(step, scope)] = reads[0]
        if self.trace:
            self._place(frame.group, step, None, Site(frame, frame, scope, reads), reads[0])
        return reads[0]

    def _place(self, group: Group, step: Step, what: Node | Group | None, site: Site, result: Ref) -> None:
        """Keep what became of a step."""
        reads = tuple(ref.path for ref in site.reads)
        group.items.append(Placed(step, what, reads, result.path, site.scope, site.copy))

    def _repeated(self, step: Step, repeat: Repeat, site: Site) -> Ref:
        """Apply a step as often as it is repeated, each copy to the value of the one before."""
        frame, scope, reads = site.frame, site.scope, site.reads
        entries = _entries(repeat, scope)
        copies = self._standing(step, repeat, entries, frame, scope)
        if not copies:
            return self._left_out(step, frame, scope, reads)
        home = frame
        if not step.siblings:
            name = frame.explicit_name(step, scope)
            group = Group("repeat", frame.prefix + name, frame.group, span=step.span, step=step)
            home = frame.children[name] = Frame(group, {}, [], positional=True)
        lost = 0
        self._count_edges(len(copies) * (len(reads) - 1), step)
        for done, position in enumerate(copies):
            before = self.work
            inner = _copy_scope(repeat, position, entries[position], scope)
            result = self._copy(step, Site(home, frame, inner, reads, (position, len(entries))))
            reads = (result, *reads[1:])
            lost += result.shape is None
            if lost > MAX_FINDINGS:  # the others will be as this one
                frame.lossy = True
                break
            # The first copy is often unlike the others.
            if done == 1 and before + (self.work - before) * (len(copies) - 1) > MAX_NODES:
                too_large(self.findings, repeat.count.span, frame.group)
        if home is not frame:
            frame.bind(name, reads[0])
            if self.trace:
                self._place(frame.group, step, home.group, site, reads[0])
        return reads[0]

    def _standing(
        self, step: Step, repeat: Repeat, entries: list[Any] | range, frame: Frame, scope: Scope
    ) -> Sequence[int]:
        """The positions of the copies whose condition holds."""
        copies = range(len(entries))
        if step.when is None or step.when.constant and self._stands(step, scope):
            if self.work + len(copies) > MAX_NODES:
                too_large(self.findings, repeat.count.span, frame.group)
            return copies
        if step.when.constant:
            return ()
        self.tested += len(entries)
        if self.tested > MAX_TESTED:
            raise Fault("limit", f"more than {MAX_TESTED:,} copies with a condition", repeat.count.span)
        return [n for n in copies if self._stands(step, _copy_scope(repeat, n, entries[n], scope))]

    def _copy(self, step: Step, site: Site) -> Ref:
        try:
            return self._apply(step, site)
        except Fault as fault:
            path = site.home.group.path if site.home is not site.frame else ""
            group = Group(step.label, path, site.frame.group, copy=site.copy, span=step.span)
            self.findings.complain(fault, group)
        except UnknownShape:
            pass
        site.home.count += 1
        return UNKNOWN_REF

    # One application.

    def _apply(self, step: Step, site: Site) -> Ref:
        """Apply a step once."""
        self.work += 1
        if self.work > MAX_NODES:
            too_large(self.findings, step.span, site.frame.group)
        if isinstance(step, OpStep):
            return self._op(step, site)
        if self.level >= MAX_SCOPES:
            raise Fault("depth", f"scopes nested more than {MAX_SCOPES} levels deep", step.span)
        self.level += 1
        self.deepest = max(self.deepest, self.level)
        try:
            if isinstance(step, CallStep):
                return self._scope(step, step.block, self._arguments(step, site), site)
            assert isinstance(step, ScopeStep)
            return self._inline(step, site) if step.is_inline else self._scope(step, None, {}, site)
        finally:
            self.level -= 1

    def _inline(self, step: ScopeStep, site: Site) -> Ref:
        """Splice the steps of an `inline` into the frame around it."""
        frame, group = site.frame, site.frame.group
        inner = Scope({}, site.scope)
        self._set_let(step, inner)
        made = frame.group = Group("inline", group.path, group, copy=site.copy, span=step.span, step=step)
        made.scope = inner
        try:
            ref = self.run(step.steps, frame, inner, site.reads[0])
        finally:
            frame.group = group
        if self.trace:
            self._place(group, step, made, site, ref)
        return ref

    def _set_let(self, step: ScopeStep, scope: Scope) -> None:
        self.work += len(step.let) // 16
        for name, value in step.let.items():
            scope.values[name] = value.evaluate(scope)

    # Scopes.

    def _scope(self, step: Step, block: BlockProgram | None, arguments: dict[str, Any], site: Site) -> Ref:
        """Apply a block or a `sequential`, unless it is known already what that comes to."""
        home = site.home
        name = home.new_name(step, site.scope)
        path = home.prefix + name
        self.longest = max(self.longest, len(path))
        if len(path) > MAX_PATH:
            raise Fault("limit", f"a path of more than {MAX_PATH:,} characters", step.span)
        kind, title = ("block", block.name) if block else ("sequential", None)
        group = Group(kind, path, home.group, title, site.copy, step.span, step, block)
        key = None
        if not self.trace and not self.findings.found:
            key = scope_key(step, block, arguments, site.frame, site.scope, site.reads)
        known = self.worked.get(key) if key is not None else None
        if known is not None and self._fits(known, path):
            self._use(known, path)
            home.children[name] = partial(known.names, group, site.reads[0])
            ref = known.copy_to(group, site.reads[0], self.nodes)
        else:
            ref = self._work_out(step, block, arguments, group, key, name, site)
        home.bind(name, ref)
        if self.trace:
            self._place(home.group, step, group, site, ref)
        return ref

    def _work_out(
        self,
        step: Step,
        block: BlockProgram | None,
        arguments: Mapping[str, Any],
        group: Group,
        key: object,
        name: str,
        site: Site,
    ) -> Ref:
        """Apply the steps of a scope, and remember what came of them under `key`."""
        first, length, budget = len(self.nodes), len(group.path), self.params.budget
        work, tested, edges, used = self.work, self.tested, self.edges, budget.used
        deepest, longest = self.deepest, self.longest
        self.deepest, self.longest = self.level, length
        if block is not None:
            frame, scope = self._block(block, arguments, group, site)
        else:
            assert isinstance(step, ScopeStep)
            frame, scope = self._sequential(step, group, site)
        site.home.children[name] = frame
        ref = self.run(frame.steps, frame, scope, frame.first_input)
        if key is not None and not self.findings.found:
            levels, reach = self.deepest - self.level, self.longest - length
            usage = Usage(self.work - work, self.tested - tested, self.edges - edges, budget.used - used)
            self.worked[key] = Worked(frame, ref, first, len(self.nodes), usage, levels, reach)
        self.deepest, self.longest = max(deepest, self.deepest), max(longest, self.longest)
        return ref

    def _fits(self, known: Worked, path: str) -> bool:
        """Whether a scope that is worked out passes no limit at `path`."""
        usage = known.usage
        return (
            self.work + usage.work <= MAX_NODES
            and self.tested + usage.tested <= MAX_TESTED
            and self.edges + usage.edges <= MAX_EDGES
            and self.params.budget.used + usage.steps <= MAX_TOTAL_STEPS
            and self.level + known.levels <= MAX_SCOPES
            and len(path) + known.reach <= MAX_PATH
        )

    def _use(self, known: Worked, path: str) -> None:
        """Count a scope at `path` that is not worked out again."""
        self.deepest = max(self.deepest, self.level + known.levels)
        self.longest = max(self.longest, len(path) + known.reach)
        usage = known.usage
        self.work += usage.work
        self.tested += usage.tested
        self.edges += usage.edges
        self.params.budget.charge(usage.steps)

    def _sequential(self, step: ScopeStep, group: Group, site: Site) -> tuple[Frame, Scope]:
        """The frame and the values of a `sequential`."""
        scope = group.scope = Scope({}, site.scope)
        frame = Frame(group, {"input": site.reads[0]}, step.steps, outer=site.frame, positional=True)
        scope.tensors, scope.visible = frame.find, frame.visible
        self._set_let(step, scope)
        return frame, scope

    def _arguments(self, step: CallStep, site: Site) -> dict[str, Any]:
        """What a call gives to its block."""
        block, count = step.block, len(site.reads)
        assert block is not None
        names = block.inputs or ("input",)
        if count != len(names):
            wanted = f"{len(names)} inputs ({', '.join(names)})" if len(names) > 1 else "one input"
            help = f"`from: [...]` names {len(names)}" if len(names) > 1 else "`inputs: [...]` gives a block several"
            raise Fault("argument", f"block {block.name} reads {wanted}, not {count}", step.span, help)
        self.work += len(block.params) // 16
        return {name: value.evaluate(site.scope) for name, value in step.arguments.items()}

    def _block(
        self, block: BlockProgram, arguments: Mapping[str, Any], group: Group, site: Site
    ) -> tuple[Frame, Scope]:
        """The frame and the values of a block: it sees its params, its inputs and the params of its file."""
        scope = group.scope = Scope({}, self.params if block.block.library.sees_params else self.nothing)
        scope.budget = self.params.budget
        frame = Frame(group, dict(zip(block.inputs or ("input",), site.reads, strict=True)), block.steps)
        scope.tensors, scope.visible = frame.find, frame.visible
        for name, default in block.params.items():
            if name in arguments:
                scope.values[name] = arguments[name]
            elif default is not None:
                scope.values[name] = default.evaluate(scope)
        return frame, scope

    # Ops.

    def _op(self, step: OpStep, site: Site) -> Ref:
        """Apply an op."""
        home = site.home
        name = home.new_name(step, site.scope)
        path = home.prefix + name
        arguments = step.all_arguments(site.scope, self.params) if step.made else step.constants
        shapes = tuple([ref.shape for ref in site.reads])
        if None in shapes:
            self._check_arguments(step, arguments)
            ref = UNKNOWN_REF
        else:
            try:
                op = applied(step.op, shapes, arguments)  # type: ignore[arg-type]
                ref = Ref(path, op.output)
                reads = tuple([ref.path for ref in site.reads])
                self.nodes.append(Node(path, op, reads, step.span, home.group, step.given))
                if self.trace:
                    self._place(home.group, step, self.nodes[-1], site, ref)
            except OpError as error:
                self._complain_of_op(step, error, arguments, path, site)
                # No node: what reads this step reads what it would have read, where the shape is the same for sure.
                ref = Ref(site.reads[0].path, shapes[0]) if step.op.infer is Op.infer else UNKNOWN_REF
        home.bind(name, ref)
        return ref

    def _complain_of_op(
        self, step: OpStep, error: OpError, arguments: Mapping[str, Any], path: str, site: Site
    ) -> None:
        """Tell that an op does not fit, with its operands called what they are called in the scope of the step."""
        if len(site.reads) > 1:
            given = step.reads.evaluate(site.scope) if step.reads is not None else []
            written = given if isinstance(given, list) else [None, given]
            inputs = {id(ref): name for name, ref in site.frame.inputs.items()}
            names = tuple(
                name or inputs.get(id(ref)) or ref.path.removeprefix(site.frame.prefix)
                for name, ref in zip(written, site.reads, strict=True)
            )
            try:
                step.op(tuple([ref.shape for ref in site.reads]), arguments, names)  # type: ignore[misc]
            except OpError as named:
                error = named
        group = site.home.group
        within = Group(step.label, path, group, copy=site.copy, span=step.span) if site.copy else group
        self.findings.complain(_op_fault(step, error), within)

    def _check_arguments(self, step: OpStep, arguments: Mapping[str, Any]) -> None:
        """What can be said of the arguments of a step whose input is in error."""
        for name, value in arguments.items():
            try:
                step.op.fields[name].parse(value, 2)
            except OpError as error:
                if error.code not in ("shape", "argument"):
                    message = f"{step.label}: {name}: {error.message}"
                    raise _op_fault(step, OpError(error.code, message, argument=name, help=error.help)) from None


def _entries(repeat: Repeat, scope: Scope) -> list[Any] | range:
    """What a step is repeated over: the entries of a list, or numbers."""
    value, span = repeat.count.evaluate(scope), repeat.count.span
    if isinstance(value, list):
        return value
    if type(value) is not int:
        raise Fault("type", f"repeat: an integer or a list is wanted, not {kind_of(value)}", span)
    if value < 0:
        raise Fault("value", f"repeat: {value} is below 0", span)
    if value > MAX_NODES:
        raise Fault("limit", f"repeat: {value} copies; a network has at most {MAX_NODES:,} layers", span)
    return range(value)


def _copy_scope(repeat: Repeat, position: int, entry: Any, scope: Scope) -> Scope:
    values = {"index": position}
    if repeat.binds is not None:
        values[repeat.binds] = entry
    return Scope(values, scope)


def _op_fault(step: OpStep, error: OpError) -> Fault:
    given = step.given.get(error.argument) if error.argument else None
    return Fault(error.code, error.message, given.span if given else step.span, error.help)
