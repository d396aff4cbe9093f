"""From typed steps to the Graph: parameters, blocks, repeats and conditions, with shapes as it goes.

A step in error gives a value of unknown shape; whoever reads it is passed over in silence, so that every complaint
is about a mistake of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from typing import Any

from archspec.document import Document
from archspec.errors import MAX_FINDINGS, Diagnostic, Span, UsageError, did_you_mean, nearest
from archspec.expressions import UNKNOWN, Scope, UnknownShape
from archspec.frames import UNKNOWN_REF, Frame, Ref
from archspec.graph import Graph, Group, Node, Placed
from archspec.names import output_name_fault, step_name_fault, value_name_fault
from archspec.ops import OPS
from archspec.ops.base import Op
from archspec.ops.fields import MAX_AXES, Int, OpError, kind_of
from archspec.program import (
    MAX_SCOPES,
    RESERVED,
    CallStep,
    Fault,
    OpStep,
    Program,
    Repeat,
    ScopeStep,
    Step,
    Value,
    compile_program,
    oversized,
)
from archspec.schema import SCOPES
from archspec.shapes import LIMIT, Shape
from archspec.syntax import Yaml, YamlList, YamlMap, YamlScalar

MAX_NODES = 1_000_000
MAX_TESTED = 200_000
MAX_EDGES = 4_000_000
MAX_PATH = 1_000

InputShape = tuple[int, ...] | list[int]


@dataclass(frozen=True)
class Elaboration:
    """What came of a document: the graph as far as it is sound, the params as they were set, and what is wrong."""

    graph: Graph
    params: dict[str, Any]
    program: Program
    diagnostics: tuple[Diagnostic, ...]


def elaborate(
    document: Document,
    params: Mapping[str, Any] | None = None,
    inputs: InputShape | Mapping[str, InputShape] | None = None,
    program: Program | None = None,
    trace: bool = False,
) -> Elaboration:
    """The graph of a document, with `params` and the input shapes overridden where they are given.

    `program` is the document in typed form, where it is at hand already. `trace` keeps what became of every step in the
    `items` of its Group, for back ends that give the structure back. UsageError where an override names what is not
    there or has the wrong type.
    """
    program = program or compile_program(document)
    return _Elaborator(program, params or {}, inputs, trace).run()


class _TooLarge(Exception):
    """The network is beyond the limits; elaboration ends."""


class _Elaborator:
    def __init__(
        self,
        program: Program,
        overrides: Mapping[str, Any],
        inputs: InputShape | Mapping[str, InputShape] | None,
        trace: bool,
    ) -> None:
        self.program, self.trace = program, trace
        self.document: Document = program.document
        self.overrides, self.input_override = overrides, inputs
        self.found: list[Diagnostic] = []
        self.places: set[tuple[Any, ...]] = set()
        for diagnostic in (*self.document.diagnostics, *program.diagnostics):
            self._add(diagnostic)
        self.nodes: list[Node] = []
        self.work = self.tested = self.edges = 0
        self.depth = 0
        self.made: dict[Any, Op] = {}
        self.params = Scope({})

    # The document.

    def run(self) -> Elaboration:
        inputs: dict[str, Shape] = {}
        outputs: dict[str, str] = {}
        root = Group("network", "", None)
        try:
            if len(self.found) >= MAX_FINDINGS:
                raise _TooLarge
            self._check_keys()
            self._evaluate_params()
            shapes = self._guarded(None, self._input_shapes) or {"input": None}
            inputs = {name: shape for name, shape in shapes.items() if shape is not None}
            frame = Frame(root, {name: Ref(name, shape) for name, shape in shapes.items()}, self.program.steps)
            frame.lossy = not self.program.steps or not inputs
            scope = root.scope = Scope({}, self.params, frame.find, frame.visible)
            self._check_size()
            last = self._steps(self.program.steps, frame, scope, frame.first_input)
            outputs = self._guarded(None, lambda: self._outputs(frame, scope, last)) or {}
        except _TooLarge:
            pass
        graph = Graph(self.document.name, inputs, tuple(self.nodes), outputs)
        if all(diagnostic.code == "unused" for diagnostic in self.found):
            with suppress(_TooLarge):
                self._check_unused(graph)
        params = {name: value for name, value in self.params.values.items() if value is not UNKNOWN}
        # What is not used may have been meant where a mistake stands.
        found = [diagnostic for diagnostic in self.found if diagnostic.code != "unused"] or self.found
        return Elaboration(graph, params, self.program, _in_order(found))

    def _check_size(self) -> None:
        """Refuse a network that is too large whatever its params are, before anything is made of it."""
        culprit = oversized(self.program.steps, MAX_NODES)
        culprit = culprit or oversized(self.program.steps, 1000 * MAX_NODES, conditional=True)
        if culprit is not None:
            self._too_large(culprit.repeat.count.span if culprit.repeat else culprit.span, Group("network", "", None))

    def _check_keys(self) -> None:
        """A spec has an `input` and `layers`, if not misspelt; its name is an identifier."""
        name = self.document.keys.get("name")
        fault = value_name_fault(name.value) if isinstance(name, YamlScalar) and isinstance(name.value, str) else None
        if name and fault:
            self._complain(Fault("name", f"name: {fault}", name.span), None)
        for key, help in (("input", "`input: [3, 224, 224]`"), ("layers", "`layers: [...]` is the network")):
            if key not in self.document.keys and key not in self.document.doubtful:
                self._complain(Fault("document", f"a spec needs `{key}`", Span(self.document.source, 1, 1), help), None)

    def _evaluate_params(self) -> None:
        declared = self.program.params
        self.params.lossy = "params" in self.document.doubtful
        for name in self.overrides:
            if name not in declared and not self.params.lossy:
                raise UsageError(f"{self.document.name} has no param `{name}`", did_you_mean(name, declared))
        for name, value in declared.items():
            default = UNKNOWN
            try:
                later = next(
                    (each for each in sorted(value.names & declared.keys()) if each not in self.params.values), None
                )
                if later:
                    help = "a param uses the ones before it"
                    raise Fault("expression", f"`{later}` is not known yet", value.span, help)
                default = value.evaluate(self.params)
            except Fault as fault:
                self._complain(fault, None)
            except UnknownShape:
                pass
            if name in self.overrides:
                default = _same_kind(name, self.overrides[name], default)
            self.params.values[name] = default

    def _input_shapes(self) -> dict[str, Shape | None]:
        declared = self._declared_inputs()
        override = self.input_override
        if override is None:
            return declared
        if not isinstance(override, Mapping):
            if len(declared) != 1:
                raise UsageError(
                    f"{self.document.name} has several inputs: {', '.join(declared)}", "name the one you mean"
                )
            override = {next(iter(declared)): override}
        for name, shape in override.items():
            if name not in declared:
                raise UsageError(f"{self.document.name} has no input `{name}`", did_you_mean(str(name), declared))
            given: object = shape
            sizes = given if isinstance(given, tuple | list) else ()
            if not 1 <= len(sizes) <= MAX_AXES or any(type(size) is not int or not 0 < size < LIMIT for size in sizes):
                help = "one to four positive sizes, without the batch: 3x224x224"
                raise UsageError(f"{shape!r} is no input shape", help)
        return {name: tuple(override[name]) if name in override else shape for name, shape in declared.items()}

    def _declared_inputs(self) -> dict[str, Shape | None]:
        yaml = self.document.keys.get("input")
        if yaml is None:
            return {"input": None}
        if not isinstance(yaml, YamlMap):
            return {"input": self._shape(yaml)}
        for name in yaml.entries:
            fault = value_name_fault(name, RESERVED) or step_name_fault(name)
            if fault and name != "input":
                self._complain(Fault("name", f"input: {fault}", yaml.keys[name]), None)
        return {name: self._shape(item) for name, item in yaml.entries.items()} or {"input": None}

    def _shape(self, yaml: Yaml) -> Shape | None:
        """The input shape that is written at a place; None where it is in error."""
        if not isinstance(yaml, YamlList) or self.document.keys["input"] in self.document.broken:
            return None  # the schema has said so
        sizes = [self._guarded(None, lambda item=item: _size(item, self.params)) for item in yaml.items]
        return None if None in sizes else tuple(sizes)

    def _outputs(self, frame: Frame, scope: Scope, last: Ref) -> dict[str, str]:
        yaml = self.document.keys.get("outputs")
        if yaml is None:
            return {last.path: last.path} if last.shape is not None else {}
        if yaml in self.document.broken:
            return {}
        found: dict[str, str] = {}
        for name, target, at in _named_outputs(yaml, scope):
            fault = output_name_fault(name)
            if fault:
                self._complain(Fault("name", f"outputs: {fault}", at), None)
            ref = self._guarded(None, lambda target=target, at=at: self._named(frame, target, at, "outputs"))
            if ref is not None and ref.shape is not None:
                found[name] = ref.path
        return found

    def _check_unused(self, graph: Graph) -> None:
        unused = graph.unused()
        read = {source for node in graph.nodes for source in node.inputs}
        for path in unused:
            if path in graph.inputs:
                yaml = self.document.keys["input"]
                at = yaml.keys[path] if isinstance(yaml, YamlMap) else yaml.span
                self._complain(Fault("unused", f"the input `{path}` reaches no output", at), None)
            elif path not in read:
                node = graph.node(path)
                help = "read it further on, name it in `outputs`, or take it out"
                self._complain(Fault("unused", f"`{path}` reaches no output", node.span, help), node.group)

    # What is wrong.

    def _complain(self, fault: Fault, group: Group | None) -> None:
        if _place(fault.span, fault.message) in self.places:
            return
        notes = tuple(str(scope) for scope in group.chain() if scope.block or scope.copy) if group else ()
        self._add(Diagnostic(fault.code, fault.message, fault.span, notes, fault.help))
        if len(self.found) > MAX_FINDINGS:
            raise _TooLarge

    def _add(self, diagnostic: Diagnostic) -> None:
        """Tell of a mistake, if none is told of at its place."""
        place = _place(diagnostic.span, diagnostic.message)
        if place not in self.places:
            self.places.add(place)
            self.found.append(diagnostic)

    def _guarded(self, group: Group | None, action: Any) -> Any:
        """The result of `action`, or None where it fails."""
        try:
            return action()
        except Fault as fault:
            self._complain(fault, group)
        except UnknownShape:
            pass
        return None

    # Steps.

    def _steps(self, steps: list[Step], frame: Frame, scope: Scope, previous: Ref) -> Ref:
        for step in steps:
            try:
                if step.broken:
                    raise UnknownShape
                run = self._single if step.repeat is None else self._repeated
                previous = run(step, frame, scope, previous)
            except Fault as fault:
                self._complain(fault, frame.group)
                previous = self._lost(step, frame)
            except UnknownShape:
                previous = self._lost(step, frame)
        return previous

    def _lost(self, step: Step, frame: Frame) -> Ref:
        """Bind the name of a step in error to a value of unknown shape."""
        name = step.name.evaluate(Scope({})) if step.name is not None and step.name.constant else None
        inline = isinstance(step, ScopeStep) and step.is_inline
        known = isinstance(name, str) and not step_name_fault(name) or step.name is None
        frame.lossy |= inline or step.repeat is not None or not known
        if known and not inline:
            # A misspelt op would have given its name.
            labels = (*OPS, *self.program.blocks, *SCOPES)
            meant = step.label if step.label in labels else nearest(step.label, labels) or step.label
            name = name if isinstance(name, str) else frame.auto_name(meant)
            frame.names.setdefault(name, UNKNOWN_REF)
            frame.count += 1
        return UNKNOWN_REF

    def _single(self, step: Step, frame: Frame, scope: Scope, previous: Ref) -> Ref:
        reads = self._reads(step, frame, scope, previous)
        if not self._stands(step, scope):
            return self._left_out(step, frame, scope, reads)
        return self._apply(step, frame, frame, scope, reads, None)

    def _stands(self, step: Step, scope: Scope) -> bool:
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
            frame.names[self._explicit_name(step.name, frame, scope)] = reads[0]
        self._trace(frame.group, step, None, scope, reads, reads[0])
        return reads[0]

    def _trace(
        self,
        group: Group,
        step: Step,
        what: Node | Group | None,
        scope: Scope,
        reads: tuple[Ref, ...],
        result: Ref,
        copy: tuple[int, int] | None = None,
    ) -> None:
        if self.trace:
            group.items.append(Placed(step, what, tuple(ref.path for ref in reads), result.path, scope, copy))

    def _repeated(self, step: Step, frame: Frame, scope: Scope, previous: Ref) -> Ref:
        assert step.repeat is not None
        reads = self._reads(step, frame, scope, previous)
        entries = self._entries(step.repeat, scope)
        copies: Sequence[int] = range(len(entries))
        if step.when is not None and step.when.constant:
            copies = copies if self._stands(step, scope) else ()
        elif step.when is not None:
            self.tested += len(entries)
            if self.tested > MAX_TESTED:
                message = f"more than {MAX_TESTED:,} copies with a condition"
                raise Fault("limit", message, step.repeat.count.span)
            inner = self._copy_scope
            copies = [n for n in copies if self._stands(step, inner(step.repeat, n, entries[n], scope))]
        elif self.work + len(copies) > MAX_NODES:
            self._too_large(step.repeat.count.span, frame.group)
        if not copies:
            return self._left_out(step, frame, scope, reads)
        home = frame
        if not step.siblings:
            assert step.name is not None
            name = self._explicit_name(step.name, frame, scope)
            group = Group("repeat", frame.prefix + name, frame.group, span=step.span, step=step)
            home = Frame(group, {}, [], positional=True)
            frame.children[name] = home
        before, first_reads, lost = self.work, reads, 0
        self._count_edges(len(copies) * (len(reads) - 1), step)
        for done, position in enumerate(copies):
            inner_scope = self._copy_scope(step.repeat, position, entries[position], scope)
            result = self._copy(step, home, frame, inner_scope, reads, (position, len(entries)))
            reads = (result, *reads[1:])
            lost += result.shape is None
            if lost > MAX_FINDINGS:  # the others will be as this one
                frame.lossy = True
                break
            if done == 0 and before + (self.work - before) * len(copies) > MAX_NODES:
                self._too_large(step.repeat.count.span, frame.group)
        if home is not frame:
            self._bind(frame, name, reads[0])
            self._trace(frame.group, step, group, scope, first_reads, reads[0])
        return reads[0]

    def _copy(
        self, step: Step, home: Frame, frame: Frame, scope: Scope, reads: tuple[Ref, ...], copy: tuple[int, int]
    ) -> Ref:
        try:
            return self._apply(step, home, frame, scope, reads, copy)
        except Fault as fault:
            path = home.group.path if home is not frame else ""
            self._complain(fault, Group(step.label, path, frame.group, copy=copy, span=step.span))
        except UnknownShape:
            pass
        home.count += 1
        return UNKNOWN_REF

    def _copy_scope(self, repeat: Repeat, position: int, entry: Any, scope: Scope) -> Scope:
        values = {"index": position}
        if repeat.binds is not None:
            values[repeat.binds] = entry
        return Scope(values, scope)

    def _entries(self, repeat: Repeat, scope: Scope) -> list[Any] | range:
        value = repeat.count.evaluate(scope)
        if isinstance(value, list):
            return value
        if type(value) is not int:
            raise Fault("type", f"repeat: an integer or a list is wanted, not {kind_of(value)}", repeat.count.span)
        if value < 0:
            raise Fault("value", f"repeat: {value} is below 0", repeat.count.span)
        if value > MAX_NODES:
            raise Fault(
                "limit", f"repeat: {value} copies; a network has at most {MAX_NODES:,} layers", repeat.count.span
            )
        return range(value)

    def _too_large(self, span: Span, group: Group) -> None:
        self._complain(Fault("limit", f"the network has more than {MAX_NODES:,} layers and scopes", span), group)
        raise _TooLarge

    # Names and references.

    def _explicit_name(self, name: Value, frame: Frame, scope: Scope) -> str:
        found = name.evaluate(scope)
        if not isinstance(found, str) and type(found) is not int:
            raise Fault("type", f"name: text is wanted, not {kind_of(found)}", name.span)
        text = str(found)
        fault = None if name.constant else step_name_fault(text)
        if fault:
            raise Fault("name", fault, name.span)
        if text in frame.names or text in frame.inputs:
            raise Fault(
                "name", f"the name `{text}` stands twice in its scope", name.span, "give each step a name of its own"
            )
        return text

    def _name(self, step: Step, home: Frame, scope: Scope) -> str:
        if step.name is None or home.group.kind == "repeat" and home.group.step is step:
            name = home.auto_name(step.label)
            if name in home.names or name in home.inputs:
                raise Fault("name", f"the name `{name}` stands twice in its scope", step.span, "give this step a name")
            return name
        return self._explicit_name(step.name, home, scope)

    def _bind(self, frame: Frame, name: str, ref: Ref) -> None:
        frame.names[name] = ref
        frame.count += 1

    def _reads(self, step: Step, frame: Frame, scope: Scope, previous: Ref) -> tuple[Ref, ...]:
        """What a step reads: the previous step, or those that `from` names; one name in a merge adds the previous."""
        merge = isinstance(step, OpStep) and step.op.arity is None
        if step.reads is None:
            if merge:
                raise Fault("argument", f"{step.label} reads two or more values", step.span, f"`{step.label}: input`")
            return (previous,)
        value = step.reads.evaluate(scope)
        if isinstance(value, str):
            ref = self._named(frame, value, step.reads.span)
            return (previous, ref) if merge else (ref,)
        if not isinstance(value, list):
            raise Fault("type", f"from: a name or a list of names is wanted, not {kind_of(value)}", step.reads.span)
        yaml = step.reads.yaml
        spans = [item.span for item in yaml.items] if isinstance(yaml, YamlList) else [yaml.span] * len(value)
        self._check_arity(step, len(value), step.reads.span)
        self._count_edges(len(value), step)
        found = [
            self._guarded(frame.group, lambda name=name, span=span: self._named(frame, name, span))
            for name, span in zip(value, spans, strict=True)
        ]
        return tuple(ref or UNKNOWN_REF for ref in found)

    def _count_edges(self, count: int, step: Step) -> None:
        self.edges += count
        if self.edges > MAX_EDGES:
            raise Fault("limit", f"the network has more than {MAX_EDGES:,} edges", step.span)

    def _check_arity(self, step: Step, count: int, span: Span) -> None:
        if isinstance(step, OpStep) and step.op.arity is None:
            if count < 2:
                help = f"`{step.label}: name` reads the previous step and `name`"
                raise Fault("argument", f"{step.label} reads two or more values", span, help)
        elif count != 1 and not isinstance(step, CallStep):
            raise Fault(
                "argument", f"{step.label} reads one value, not {count}", span, "`add`, `multiply` or `concat` merge"
            )

    def _named(self, frame: Frame, name: object, span: Span, key: str = "from") -> Ref:
        if not isinstance(name, str):
            raise Fault("type", f"{key}: a name is wanted, not {kind_of(name)}", span)
        found = frame.find(name)
        if found is None:
            raise self._no_such_step(frame, name, span)
        return found

    def _no_such_step(self, frame: Frame, name: str, span: Span) -> Fault:
        if name == "input":
            names = ", ".join(f"`{n}`" for n in frame.inputs)
            return Fault("reference", "this scope has several inputs", span, f"name one of {names}")
        head, _, rest = name.partition(".")
        if rest and frame.find(head):
            child = frame.children.get(head)
            advice = did_you_mean(rest, child.names) if child else f"`{head}` is no scope"
            return Fault("reference", f"`{head}` holds no step `{rest}`", span, advice)
        if head in _static_names(frame.steps):
            help = "order is data flow: a step reads only what stands before it"
            return Fault("reference", f"`{name}` does not stand before this step", span, help)
        inner = next((f"{child}.{name}" for child, scope in frame.children.items() if name in scope.names), None)
        advice = (
            f"inside another scope it is `{inner}`"
            if inner
            else did_you_mean(name, dict.fromkeys(["input", *frame.visible()]))
        )
        return Fault("reference", f"no step in sight is called `{name}`", span, advice)

    # One application.

    def _apply(
        self,
        step: Step,
        home: Frame,
        frame: Frame,
        scope: Scope,
        reads: tuple[Ref, ...],
        copy: tuple[int, int] | None,
    ) -> Ref:
        """Apply a step once. `home` is where its name goes, `frame` where names are looked up."""
        self.work += 1
        if self.work > MAX_NODES:
            self._too_large(step.span, frame.group)
        if isinstance(step, OpStep):
            name = self._name(step, home, scope)
            ref = self._op(step, home.prefix + name, home.group, frame, scope, reads, copy)
            self._bind(home, name, ref)
            if self.nodes and self.nodes[-1].path == ref.path:
                self._trace(home.group, step, self.nodes[-1], scope, reads, ref, copy)
            return ref
        if self.depth >= MAX_SCOPES:
            raise Fault("depth", f"scopes nested more than {MAX_SCOPES} levels deep", step.span)
        self.depth += 1
        try:
            return self._enter(step, home, frame, scope, reads, copy)
        finally:
            self.depth -= 1

    def _enter(
        self,
        step: Step,
        home: Frame,
        frame: Frame,
        scope: Scope,
        reads: tuple[Ref, ...],
        copy: tuple[int, int] | None,
    ) -> Ref:
        """Apply a scope once: a block, a `sequential` or an `inline`."""
        if isinstance(step, ScopeStep) and step.is_inline:
            return self._inline(step, frame, scope, reads, copy)
        name = self._name(step, home, scope)
        if len(home.prefix) + len(name) > MAX_PATH:
            raise Fault("limit", f"a path of more than {MAX_PATH:,} characters", step.span)
        enter = self._call if isinstance(step, CallStep) else self._sequential
        inner, inner_scope, steps = enter(step, home.prefix + name, home, frame, scope, reads, copy)  # type: ignore[arg-type]
        home.children[name] = inner
        inner.group.scope = inner_scope
        ref = self._steps(steps, inner, inner_scope, inner.first_input)
        self._bind(home, name, ref)
        self._trace(home.group, step, inner.group, scope, reads, ref, copy)
        return ref

    def _inline(
        self, step: ScopeStep, frame: Frame, scope: Scope, reads: tuple[Ref, ...], copy: tuple[int, int] | None
    ) -> Ref:
        group = frame.group
        inner = Scope({}, scope)
        self._evaluate_let(step, inner)
        made = frame.group = Group(
            "inline", group.path, group, copy=copy, span=step.span, step=step, arguments=inner.values
        )
        made.scope = inner
        try:
            ref = self._steps(step.steps, frame, inner, reads[0])
        finally:
            frame.group = group
        self._trace(group, step, made, scope, reads, ref, copy)
        return ref

    def _sequential(
        self,
        step: ScopeStep,
        path: str,
        home: Frame,
        frame: Frame,
        scope: Scope,
        reads: tuple[Ref, ...],
        copy: tuple[int, int] | None,
    ) -> tuple[Frame, Scope, list[Step]]:
        inner_scope = Scope({}, scope)
        group = Group(
            "sequential", path, home.group, copy=copy, span=step.span, step=step, arguments=inner_scope.values
        )
        inner = Frame(group, {"input": reads[0]}, step.steps, outer=frame, positional=True)
        inner_scope.tensors, inner_scope.visible = inner.find, inner.visible
        self._evaluate_let(step, inner_scope)
        return inner, inner_scope, step.steps

    def _evaluate_let(self, step: ScopeStep, scope: Scope) -> None:
        self.work += len(step.let) // 16
        for name, value in step.let.items():
            scope.values[name] = value.evaluate(scope)

    def _call(
        self,
        step: CallStep,
        path: str,
        home: Frame,
        frame: Frame,
        scope: Scope,
        reads: tuple[Ref, ...],
        copy: tuple[int, int] | None,
    ) -> tuple[Frame, Scope, list[Step]]:
        block = step.block
        assert block is not None
        names = block.inputs or ("input",)
        if len(reads) != len(names):
            wanted = f"{len(names)} inputs ({', '.join(names)})" if len(names) > 1 else "one input"
            help = f"`from: [...]` names {len(names)}" if len(names) > 1 else "`inputs: [...]` gives a block several"
            raise Fault("argument", f"block {block.name} reads {wanted}, not {len(reads)}", step.span, help)
        self.work += len(block.params) // 16
        values = {name: value.evaluate(scope) for name, value in step.arguments.items()}
        parent = self.params if block.block.library.sees_params else Scope({})
        parent.budget = self.params.budget
        inner_scope = Scope({}, parent)
        group = Group(
            "block",
            path,
            home.group,
            block=block.name,
            copy=copy,
            span=step.span,
            arguments=inner_scope.values,
            step=step,
            definition=block,
        )
        inner = Frame(group, dict(zip(names, reads, strict=True)), block.steps)
        inner_scope.tensors, inner_scope.visible = inner.find, inner.visible
        for name, default in block.params.items():
            if name in values:
                inner_scope.values[name] = values[name]
            elif default is not None:
                inner_scope.values[name] = default.evaluate(inner_scope)
        return inner, inner_scope, block.steps

    def _op(
        self,
        step: OpStep,
        path: str,
        group: Group,
        frame: Frame,
        scope: Scope,
        reads: tuple[Ref, ...],
        copy: tuple[int, int] | None,
    ) -> Ref:
        arguments = step.constants
        if arguments is None:
            arguments = {name: value.evaluate(self.params) for name, value in step.defaults.items()}
            arguments.update({name: value.evaluate(scope) for name, value in step.arguments.items()})
        shapes, paths = tuple([ref.shape for ref in reads]), tuple([ref.path for ref in reads])
        if None in shapes:
            self._check_arguments(step, arguments)
            return UNKNOWN_REF
        key = step.key or _key(arguments)
        op = self.made.get((step.label, shapes, key)) if key else None
        if op is None:
            try:
                op = step.op(shapes, arguments)  # type: ignore[arg-type]
            except OpError as error:
                named = self._named_error(step, arguments, reads, frame) if len(reads) > 1 else error
                scope_of = Group(step.label, path, group, copy=copy, span=step.span) if copy else group
                self._complain(self._op_fault(step, named), scope_of)
                return Ref(path, shapes[0] if step.op.infer is Op.infer else None)
            self.made[step.label, shapes, key] = op
        self.nodes.append(Node(path, op, paths, step.span, group, step.given))
        return Ref(path, op.output)

    def _named_error(self, step: OpStep, arguments: Mapping[str, Any], reads: tuple[Ref, ...], frame: Frame) -> OpError:
        """The error of an op, with its operands called what they are called in the scope of the step."""
        inputs = {id(ref): name for name, ref in frame.inputs.items()}
        names = tuple(inputs.get(id(ref)) or ref.path.removeprefix(frame.prefix) for ref in reads)
        try:
            step.op(tuple(ref.shape for ref in reads), arguments, names)  # type: ignore[misc]
        except OpError as error:
            return error
        raise AssertionError("an op does not depend on the names of its operands")

    def _check_arguments(self, step: OpStep, arguments: Mapping[str, Any]) -> None:
        """What can be said of the arguments of a step whose input is in error."""
        for name, value in arguments.items():
            try:
                step.op.fields[name].parse(value, 2)
            except OpError as error:
                if error.code not in ("shape", "argument"):
                    message = f"{step.label}: {name}: {error.message}"
                    raise self._op_fault(step, OpError(error.code, message, argument=name, help=error.help)) from None

    def _op_fault(self, step: OpStep, error: OpError) -> Fault:
        given = step.given.get(error.argument) if error.argument else None
        return Fault(error.code, error.message, given.span if given else step.span, error.help)


def _static_names(steps: list[Step]) -> Iterable[str]:
    for step in steps:
        if step.name is not None and step.name.constant:
            yield str(step.name.yaml.plain())
        if isinstance(step, ScopeStep) and step.is_inline:
            yield from _static_names(step.steps)


def _place(span: Span | None, message: str) -> tuple[Any, ...]:
    return (span.source.name, span.line, span.column) if span else (message,)


def _key(arguments: Mapping[str, Any]) -> Any:
    """What tells equal arguments from others, 1 from true too; empty where there is too much of them."""
    values = tuple(arguments.values())
    types = tuple(map(type, values))
    if not {*types} - {int, bool, float}:
        return tuple(arguments), values, types
    return "" if any(map(_bulky, values)) else str(arguments)


def _bulky(value: Any) -> bool:
    """Whether a value is larger than an argument of an op can sensibly be."""
    if type(value) is int:
        return False
    if isinstance(value, list):
        return len(value) > 8 or any(map(_bulky, value))
    return isinstance(value, dict) or isinstance(value, str) and len(value) > 100


def _size(yaml: Yaml, params: Scope) -> int:
    try:
        return Int(1).parse(Value(yaml).evaluate(params), 0)
    except OpError as error:
        raise Fault(error.code, f"input: {error.message}", yaml.span, error.help) from None


def _named_outputs(yaml: Yaml, scope: Scope) -> list[tuple[str, Any, Span]]:
    """Name, target and place of each output."""
    if isinstance(yaml, YamlMap):
        return [(name, Value(item).evaluate(scope), item.span) for name, item in yaml.entries.items()]
    if isinstance(yaml, YamlList):
        targets = [(Value(item).evaluate(scope), item.span) for item in yaml.items]
    else:
        value = Value(yaml).evaluate(scope)
        targets = [(item, yaml.span) for item in (value if isinstance(value, list) else [value])]
    if not targets:
        raise Fault("value", "outputs: at least one is wanted", yaml.span)
    for target, at in targets:
        if not isinstance(target, str):
            raise Fault("type", f"outputs: a name is wanted, not {kind_of(target)}", at)
    return [(target, target, at) for target, at in targets]


def _in_order(found: list[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The findings as they stand in the files, no more than a person can read."""
    files = {diagnostic.span.source.name: None for diagnostic in found if diagnostic.span}
    order = {name: position for position, name in enumerate(files)}
    places = [(order[d.span.source.name], d.span.line, d.span.column) if d.span else (-1, 0, 0) for d in found]
    told = [found[position] for position in sorted(range(len(found)), key=places.__getitem__)]
    if len(told) > MAX_FINDINGS:
        told[MAX_FINDINGS:] = [Diagnostic("limit", f"more than {MAX_FINDINGS} mistakes; these are the first")]
    return tuple(told)


def _same_kind(name: str, value: Any, default: Any) -> Any:
    """An overriding value, if it is of the kind of the declared one."""
    if isinstance(value, tuple):
        value = list(value)
    if not _is_plain(value):
        help = "text, true or false, numbers within the limits, lists and mappings of them"
        raise UsageError(f"param `{name}`: {type(value).__name__} {str(value)[:40]} is no value of a spec", help)
    if default is None or default is UNKNOWN or type(value) is type(default):
        return value
    if isinstance(default, float) and type(value) is int:
        return float(value)
    raise UsageError(f"param `{name}`: {kind_of(value)} given, but its default is {kind_of(default)}")


def _is_plain(value: Any) -> bool:
    """Whether YAML could have written it."""
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(map(_is_plain, value.values()))
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if type(value) is int:
        return -LIMIT < value < LIMIT
    return value is None or isinstance(value, bool | str) or type(value) is float and isfinite(value)
