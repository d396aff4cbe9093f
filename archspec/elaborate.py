"""From typed steps to the Graph: parameters, blocks, repeats and conditions, with shapes as it goes.

A step in error gives a value of unknown shape; whoever reads it is passed over in silence, so that every complaint
is about a mistake of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from archspec.document import Document
from archspec.errors import Diagnostic, Span, SpecError, UsageError, did_you_mean
from archspec.expressions import Scope, Tensor, UnknownShape
from archspec.graph import Graph, Group, Node, Placed
from archspec.names import step_name_fault, value_name_fault
from archspec.ops.base import Op
from archspec.ops.fields import Int, OpError, kind_of
from archspec.program import RESERVED, CallStep, Fault, OpStep, Program, Repeat, ScopeStep, Step, Value, compile_program
from archspec.shapes import Shape
from archspec.syntax import YamlList, YamlMap

MAX_NODES = 1_000_000
MAX_SCOPES = 64

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
) -> Elaboration:
    """The graph of a document, with `params` and the input shapes overridden where they are given.

    `program` is the document in typed form, where it is at hand already. UsageError where an override names what is not there or has the wrong type.
    """
    program = program or compile_program(document)
    return _Elaborator(program, params or {}, inputs).run()


class _Ref(Tensor):
    """A value of the network: its path, and its shape (None where its step is in error)."""

    __slots__ = ("path",)

    def __init__(self, path: str, shape: Shape | None) -> None:
        super().__init__(shape)
        self.path = path


_UNKNOWN = _Ref("", None)


class _TooLarge(Exception):
    """The network is beyond the limits; elaboration ends."""


class _Frame:
    """The names of one scope while it is elaborated."""

    __slots__ = (
        "group",
        "prefix",
        "names",
        "children",
        "inputs",
        "first_input",
        "outer",
        "positional",
        "count",
        "labels",
        "steps",
        "depth",
    )

    def __init__(
        self,
        group: Group,
        inputs: dict[str, _Ref],
        steps: list[Step],
        *,
        outer: _Frame | None = None,
        positional: bool = False,
        depth: int = 0,
    ) -> None:
        self.group, self.inputs, self.steps, self.outer, self.positional, self.depth = (
            group,
            inputs,
            steps,
            outer,
            positional,
            depth,
        )
        self.prefix = f"{group.path}." if group.path else ""
        self.first_input = next(iter(inputs.values()), _UNKNOWN)
        self.names: dict[str, _Ref] = {}
        self.children: dict[str, _Frame] = {}
        self.count = 0
        self.labels: dict[str, int] = {}

    def find(self, name: str) -> _Ref | None:
        """The value called `name` (which may be dotted) in this scope and, where visible, those around it."""
        if name == "input":
            return self.first_input if len(self.inputs) == 1 else None
        head, *rest = name.split(".")
        frame: _Frame | None = self
        while frame is not None:
            found = frame.names.get(head) or frame.inputs.get(head)
            if found is not None:
                break
            frame = frame.outer
        else:
            return None
        for part in rest:
            frame = frame.children.get(head)
            if frame is None or part not in frame.names:
                return None
            found, head = frame.names[part], part
        return found

    def visible(self) -> Iterable[str]:
        """Every name in sight."""
        frame: _Frame | None = self
        while frame is not None:
            yield from frame.names
            yield from frame.inputs
            frame = frame.outer

    def auto_name(self, label: str) -> str:
        """The name of an unnamed step: its position in a sequential, else its op's name, numbered from 2 on."""
        if self.positional:
            return str(self.count)
        number = self.labels.get(label, 0) + 1
        while (name := label if number == 1 else f"{label}_{number}") in self.names:
            number += 1
        self.labels[label] = number
        return name


class _Elaborator:
    def __init__(
        self, program: Program, overrides: Mapping[str, Any], inputs: InputShape | Mapping[str, InputShape] | None
    ) -> None:
        self.program = program
        self.document: Document = program.document
        self.overrides, self.input_override = overrides, inputs
        self.found: list[Diagnostic] = [*self.document.diagnostics, *program.diagnostics]
        self.places = {_place(d) for d in self.found}
        self.nodes: list[Node] = []
        self.work = 0
        self.made: dict[Any, Op] = {}
        self.params = Scope({})

    # The document.

    def run(self) -> Elaboration:
        inputs: dict[str, Shape] = {}
        outputs: dict[str, str] = {}
        self._evaluate_params()
        root = Group("network", "", None)
        shapes = self._guarded(root, self._input_shapes) or {"input": None}
        if self.program.steps:
            inputs = {name: shape for name, shape in shapes.items() if shape is not None}
            frame = _Frame(root, {name: _Ref(name, shape) for name, shape in shapes.items()}, self.program.steps)
            scope = root.scope = Scope({}, self.params, frame.find, frame.visible)
            try:
                self._check_size()
                last = self._steps(self.program.steps, frame, scope, frame.first_input)
                outputs = self._guarded(root, lambda: self._outputs(frame, scope, last)) or {}
            except _TooLarge:
                pass
        elif not self.found:
            help = "`layers: [...]` is the network"
            self.found.append(
                Diagnostic("document", "a spec needs `layers`", Span(self.document.source, 1, 1), help=help)
            )
        graph = Graph(self.document.name, inputs, tuple(self.nodes), outputs)
        if not self.found:
            self._check_unused(graph)
        params = {name: value for name, value in self.params.values.items() if value is not UNKNOWN}
        return Elaboration(graph, params, self.program, _in_order(self.found))

    def _check_size(self) -> None:
        """Refuse a network that is too large whatever its params are, before anything is made of it."""
        counts: dict[int, int] = {}
        culprit = oversized(self.program.steps, MAX_NODES, counts)
        if culprit is not None:
            self._too_large(culprit.repeat.count.span if culprit.repeat else culprit.span, Group("network", "", None))

    def _evaluate_params(self) -> None:
        declared = self.program.params
        for name in self.overrides:
            if name not in declared:
                raise UsageError(f"{self.document.name} has no param `{name}`", did_you_mean(name, declared))
        for name, value in declared.items():
            default = UNKNOWN
            try:
                later = next((each for each in value.names if each in declared and each not in self.params.values), None)
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

    def _input_shapes(self) -> dict[str, Shape]:
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
                raise UsageError(f"{self.document.name} has no input `{name}`", did_you_mean(name, declared))
            if not 1 <= len(shape) <= 4 or any(type(size) is not int or not 0 < size < 2**63 for size in shape):
                raise UsageError(
                    f"{shape!r} is no input shape", "one to four positive sizes, without the batch: 3x224x224"
                )
        return {name: tuple(override.get(name, shape)) for name, shape in declared.items()}

    def _declared_inputs(self) -> dict[str, Shape]:
        yaml = self.document.keys.get("input")
        if yaml is None:
            if self.found:
                return {}
            raise Fault("document", "a spec needs `input`", Span(self.document.source, 1, 1), "`input: [3, 224, 224]`")
        value = Value(yaml).evaluate(self.params)
        if isinstance(yaml, YamlMap):
            for name in yaml.entries:
                fault = value_name_fault(name, RESERVED) or step_name_fault(name)
                if fault and name != "input":
                    raise Fault("name", f"input: {fault}", yaml.keys[name])
            return {name: _shape(value[name], item.span) for name, item in yaml.entries.items()}
        return {"input": _shape(value, yaml.span)}

    def _outputs(self, frame: _Frame, scope: Scope, last: _Ref) -> dict[str, str]:
        yaml = self.document.keys.get("outputs")
        if yaml is None:
            return {last.path: last.path} if last.shape is not None else {}
        value = Value(yaml).evaluate(scope)
        named = (
            value
            if isinstance(value, dict)
            else {name: name for name in ([value] if isinstance(value, str) else value)}
        )
        found: dict[str, str] = {}
        for position, (name, target) in enumerate(named.items()):
            at = yaml.span
            if isinstance(yaml, YamlList):
                at = yaml.items[position].span
            elif isinstance(yaml, YamlMap):
                at = yaml.entries[name].span
            ref = self._named(frame, target, at)
            if ref.shape is not None:
                found[name] = ref.path
        return found

    def _check_unused(self, graph: Graph) -> None:
        unused = graph.unused()
        read = {source for node in graph.nodes for source in node.inputs}
        for path in unused:
            if path in graph.inputs:
                yaml = self.document.keys["input"]
                self._complain(Fault("unused", f"the input `{path}` reaches no output", yaml.span), None)
            elif path not in read:
                node = graph.node(path)
                help = "read it further on, name it in `outputs`, or take it out"
                self._complain(Fault("unused", f"`{path}` reaches no output", node.span, help), node.group)

    # What is wrong.

    def _complain(self, fault: Fault, group: Group | None) -> None:
        notes = tuple(str(scope) for scope in group.chain() if scope.block or scope.copy) if group else ()
        diagnostic = Diagnostic(fault.code, fault.message, fault.span, notes, fault.help)
        if _place(diagnostic) not in self.places:
            self.places.add(_place(diagnostic))
            self.found.append(diagnostic)

    def _guarded(self, group: Group, action: Any) -> Any:
        """The result of `action`, or None where it fails."""
        try:
            return action()
        except Fault as fault:
            self._complain(fault, group)
        except UnknownShape:
            pass
        return None

    # Steps.

    def _steps(self, steps: list[Step], frame: _Frame, scope: Scope, previous: _Ref) -> _Ref:
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

    def _lost(self, step: Step, frame: _Frame) -> _Ref:
        """Bind the name of a step in error to a value of unknown shape."""
        name = step.name.evaluate(Scope({})) if step.name is not None and step.name.constant else None
        if not (isinstance(step, ScopeStep) and step.is_inline):
            name = name if isinstance(name, str) else frame.auto_name(step.label)
            frame.names.setdefault(name, _UNKNOWN)
            frame.count += 1
        return _UNKNOWN

    def _single(self, step: Step, frame: _Frame, scope: Scope, previous: _Ref) -> _Ref:
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

    def _left_out(self, step: Step, frame: _Frame, scope: Scope, reads: tuple[_Ref, ...]) -> _Ref:
        """A step that is left out: its name stands for its first input."""
        self.work += 1
        if step.name is not None and not (step.repeat and step.siblings):
            frame.names[self._explicit_name(step.name, frame, scope)] = reads[0]
        self._place(frame.group, step, None, scope, reads, reads[0])
        return reads[0]

    def _place(
        self,
        group: Group,
        step: Step,
        what: Node | Group | None,
        scope: Scope,
        reads: tuple[_Ref, ...],
        result: _Ref,
        copy: tuple[int, int] | None = None,
    ) -> None:
        group.items.append(Placed(step, what, tuple(ref.path for ref in reads), result.path, scope, copy))

    def _repeated(self, step: Step, frame: _Frame, scope: Scope, previous: _Ref) -> _Ref:
        assert step.repeat is not None
        reads = self._reads(step, frame, scope, previous)
        entries = self._entries(step.repeat, scope)
        copies = [
            (position, inner)
            for position, entry in enumerate(entries)
            if self._stands(step, inner := self._copy_scope(step.repeat, position, entry, scope))
        ]
        if not copies:
            return self._left_out(step, frame, scope, reads)
        home = frame
        if not step.siblings:
            assert step.name is not None
            name = self._explicit_name(step.name, frame, scope)
            group = Group("repeat", frame.prefix + name, frame.group, span=step.span, step=step)
            home = _Frame(group, {}, [], positional=True, depth=frame.depth)
            frame.children[name] = home
        before, first_reads = self.work, reads
        for done, (position, inner) in enumerate(copies):
            result = self._copy(step, home, frame, inner, reads, (position, len(entries)))
            reads = (result, *reads[1:])
            if done == 0 and before + (self.work - before) * len(copies) > MAX_NODES:
                self._too_large(step.repeat.count.span, frame.group)
        if home is not frame:
            self._bind(frame, name, reads[0])
            self._place(frame.group, step, group, scope, first_reads, reads[0])
        return reads[0]

    def _copy(
        self, step: Step, home: _Frame, frame: _Frame, scope: Scope, reads: tuple[_Ref, ...], copy: tuple[int, int]
    ) -> _Ref:
        try:
            return self._apply(step, home, frame, scope, reads, copy)
        except Fault as fault:
            self._complain(fault, Group(step.label, home.group.path, frame.group, copy=copy, span=step.span))
        except UnknownShape:
            pass
        home.count += 1
        return _UNKNOWN

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
        self._complain(Fault("limit", f"the network has more than {MAX_NODES:,} layers", span), group)
        raise _TooLarge

    # Names and references.

    def _explicit_name(self, name: Value, frame: _Frame, scope: Scope) -> str:
        found = name.evaluate(scope)
        text = found if isinstance(found, str) else str(found)
        fault = None if name.constant else step_name_fault(text)
        if fault:
            raise Fault("name", fault, name.span)
        if text in frame.names or text in frame.inputs:
            raise Fault(
                "name", f"the name `{text}` stands twice in its scope", name.span, "give each step a name of its own"
            )
        return text

    def _name(self, step: Step, home: _Frame, scope: Scope) -> str:
        if step.name is None or home.group.kind == "repeat" and home.group.step is step:
            name = home.auto_name(step.label)
            if name in home.names or name in home.inputs:
                raise Fault("name", f"the name `{name}` stands twice in its scope", step.span, "give this step a name")
            return name
        return self._explicit_name(step.name, home, scope)

    def _bind(self, frame: _Frame, name: str, ref: _Ref) -> None:
        frame.names[name] = ref
        frame.count += 1

    def _reads(self, step: Step, frame: _Frame, scope: Scope, previous: _Ref) -> tuple[_Ref, ...]:
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
        refs = tuple(self._named(frame, name, span) for name, span in zip(value, spans, strict=True))
        self._check_arity(step, len(refs), step.reads.span)
        return refs

    def _check_arity(self, step: Step, count: int, span: Span) -> None:
        if isinstance(step, OpStep) and step.op.arity is None:
            if count < 2:
                help = f"`{step.label}: name` reads the previous step and `name`"
                raise Fault("argument", f"{step.label} reads two or more values", span, help)
        elif count != 1 and not isinstance(step, CallStep):
            raise Fault(
                "argument", f"{step.label} reads one value, not {count}", span, "`add`, `multiply` or `concat` merge"
            )

    def _named(self, frame: _Frame, name: object, span: Span) -> _Ref:
        if not isinstance(name, str):
            raise Fault("type", f"from: a name is wanted, not {kind_of(name)}", span)
        found = frame.find(name)
        if found is None:
            raise self._no_such_step(frame, name, span)
        return found

    def _no_such_step(self, frame: _Frame, name: str, span: Span) -> Fault:
        if name == "input":
            names = ", ".join(f"`{n}`" for n in frame.inputs)
            return Fault("reference", "this scope has several inputs", span, f"name one of {names}")
        if any(name.split(".")[0] == later for later in _static_names(frame.steps)):
            help = "order is data flow: a step reads only what stands before it"
            return Fault("reference", f"`{name}` does not stand before this step", span, help)
        inner = next((f"{child}.{name}" for child, scope in frame.children.items() if name in scope.names), None)
        advice = f"inside another scope it is `{inner}`" if inner else did_you_mean(name, {"input", *frame.visible()})
        return Fault("reference", f"no step in sight is called `{name}`", span, advice)

    # One application.

    def _apply(
        self,
        step: Step,
        home: _Frame,
        frame: _Frame,
        scope: Scope,
        reads: tuple[_Ref, ...],
        copy: tuple[int, int] | None,
    ) -> _Ref:
        """Apply a step once. `home` is where its name goes, `frame` where names are looked up."""
        self.work += 1
        if self.work > MAX_NODES:
            self._too_large(step.span, frame.group)
        if isinstance(step, OpStep):
            name = self._name(step, home, scope)
            ref = self._op(step, home.prefix + name, home.group, scope, reads)
            self._bind(home, name, ref)
            if self.nodes and self.nodes[-1].path == ref.path:
                self._place(home.group, step, self.nodes[-1], scope, reads, ref, copy)
            return ref
        if isinstance(step, ScopeStep) and step.is_inline:
            return self._inline(step, frame, scope, reads, copy)
        if frame.depth >= MAX_SCOPES:
            raise Fault("depth", f"scopes nested more than {MAX_SCOPES} levels deep", step.span)
        name = self._name(step, home, scope)
        enter = self._call if isinstance(step, CallStep) else self._sequential
        inner, inner_scope, steps = enter(step, home.prefix + name, home, frame, scope, reads, copy)  # type: ignore[arg-type]
        home.children[name] = inner
        inner.group.scope = inner_scope
        ref = self._steps(steps, inner, inner_scope, inner.first_input)
        self._bind(home, name, ref)
        self._place(home.group, step, inner.group, scope, reads, ref, copy)
        return ref

    def _inline(
        self, step: ScopeStep, frame: _Frame, scope: Scope, reads: tuple[_Ref, ...], copy: tuple[int, int] | None
    ) -> _Ref:
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
        self._place(group, step, made, scope, reads, ref, copy)
        return ref

    def _sequential(
        self,
        step: ScopeStep,
        path: str,
        home: _Frame,
        frame: _Frame,
        scope: Scope,
        reads: tuple[_Ref, ...],
        copy: tuple[int, int] | None,
    ) -> tuple[_Frame, Scope, list[Step]]:
        inner_scope = Scope({}, scope)
        group = Group(
            "sequential", path, home.group, copy=copy, span=step.span, step=step, arguments=inner_scope.values
        )
        inner = _Frame(group, {"input": reads[0]}, step.steps, outer=frame, positional=True, depth=frame.depth + 1)
        inner_scope.tensors = inner.find
        self._evaluate_let(step, inner_scope)
        return inner, inner_scope, step.steps

    def _evaluate_let(self, step: ScopeStep, scope: Scope) -> None:
        for name, value in step.let.items():
            scope.values[name] = value.evaluate(scope)

    def _call(
        self,
        step: CallStep,
        path: str,
        home: _Frame,
        frame: _Frame,
        scope: Scope,
        reads: tuple[_Ref, ...],
        copy: tuple[int, int] | None,
    ) -> tuple[_Frame, Scope, list[Step]]:
        block = step.block
        assert block is not None
        names = block.inputs or ("input",)
        if len(reads) != len(names):
            wanted = f"{len(names)} inputs" + (f" ({', '.join(names)})" if block.inputs else "")
            raise Fault(
                "argument", f"block {block.name} reads {wanted}, not {len(reads)}", step.span, "name them with `from`"
            )
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
        inner = _Frame(group, dict(zip(names, reads, strict=True)), block.steps, depth=frame.depth + 1)
        inner_scope.tensors = inner.find
        for name, default in block.params.items():
            if name in values:
                inner_scope.values[name] = values[name]
            elif default is not None:
                inner_scope.values[name] = default.evaluate(inner_scope)
        return inner, inner_scope, block.steps

    def _op(self, step: OpStep, path: str, group: Group, scope: Scope, reads: tuple[_Ref, ...]) -> _Ref:
        arguments = step.constants
        if arguments is None:
            arguments = {name: value.evaluate(self.params) for name, value in step.defaults.items()}
            arguments.update({name: value.evaluate(scope) for name, value in step.arguments.items()})
        shapes, paths = tuple([ref.shape for ref in reads]), tuple([ref.path for ref in reads])
        if None in shapes:
            self._check_arguments(step, arguments)
            return _UNKNOWN
        key = (step.label, shapes, step.key or str(arguments))
        op = self.made.get(key)
        if op is None:
            try:
                op = step.op(shapes, arguments, paths)  # type: ignore[arg-type]
            except OpError as error:
                self._complain(self._op_fault(step, error), group)
                return _Ref(path, shapes[0] if step.op.infer is Op.infer else None)
            self.made[key] = op
        self.nodes.append(Node(path, op, paths, step.span, group, step.given))
        return _Ref(path, op.output)

    def _check_arguments(self, step: OpStep, arguments: Mapping[str, Any]) -> None:
        """What can be said of the arguments of a step whose input is in error."""
        for name, value in arguments.items():
            try:
                step.op.fields[name].parse(value, 2)
            except OpError as error:
                if error.code not in ("shape", "argument"):
                    raise self._op_fault(
                        step, OpError(error.code, f"{step.label}: {name}: {error.message}", argument=name)
                    ) from None

    def _op_fault(self, step: OpStep, error: OpError) -> Fault:
        given = step.given.get(error.argument) if error.argument else None
        return Fault(error.code, error.message, given.span if given else step.span, error.help)


def _static_names(steps: list[Step]) -> Iterable[str]:
    for step in steps:
        if step.name is not None and step.name.constant:
            yield str(step.name.yaml.plain())
        if isinstance(step, ScopeStep) and step.is_inline:
            yield from _static_names(step.steps)


def _place(diagnostic: Diagnostic) -> tuple[Any, ...]:
    span = diagnostic.span
    return (
        (diagnostic.code, span.source.name, span.line, span.column) if span else (diagnostic.code, diagnostic.message)
    )


def _shape(value: Any, span: Span) -> Shape:
    if not isinstance(value, list) or not 1 <= len(value) <= 4:
        raise UnknownShape  # the schema has said so
    try:
        return tuple(Int(1).parse(size, 0) for size in value)
    except OpError as error:
        raise Fault(error.code, f"input: {error.message}", span, error.help) from None


def _same_kind(name: str, value: Any, default: Any) -> Any:
    """An overriding value, if it is of the kind of the declared one."""
    if isinstance(value, tuple):
        value = list(value)
    if default is None or type(value) is type(default):
        return value
    if isinstance(default, float) and type(value) is int:
        return float(value)
    raise UsageError(f"param `{name}`: {kind_of(value)} given, but its default is {kind_of(default)}")


def checked(result: Elaboration) -> Elaboration:
    """`result`, if nothing is wrong with it; SpecError with everything that is."""
    if result.diagnostics:
        raise SpecError(result.diagnostics)
    return result
