"""The names of a scope while it is elaborated: what each step is called, and what a name refers to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from archspec.errors import Span, did_you_mean
from archspec.expressions import Scope, Tensor
from archspec.graph import Group
from archspec.names import step_name_fault
from archspec.ops.fields import kind_of
from archspec.program.steps import Fault, ScopeStep, Step
from archspec.shapes import Shape


class Ref(Tensor):
    """A value of the network: its path, and its shape (None where its step is in error)."""

    __slots__ = ("path",)

    def __init__(self, path: str, shape: Shape | None) -> None:
        self.path, self.shape = path, shape


UNKNOWN_REF = Ref("", None)


class Frame:
    """The names of one scope while it is elaborated.

    `group` is the scope, `inputs` what it reads, by name; `outer` is the frame around it, where its steps see that too.
    """

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
        "lossy",
    )

    def __init__(
        self,
        group: Group,
        inputs: dict[str, Ref],
        steps: list[Step],
        *,
        outer: Frame | None = None,
        positional: bool = False,
    ) -> None:
        self.group, self.inputs, self.steps, self.outer, self.positional = group, inputs, steps, outer, positional
        self.prefix = f"{group.path}." if group.path else ""
        self.first_input = next(iter(inputs.values()), UNKNOWN_REF)
        self.names: dict[str, Ref] = {}
        self.children: dict[str, Frame | Callable[[], Frame]] = {}
        self.count = 0
        self.labels: dict[str, int] = {}
        self.lossy = False  # whether names are missing, because of an error in a step that would have bound them

    # What a name refers to.

    def find(self, name: str) -> Ref | None:
        """The value called `name` (which may be dotted) in this scope and, where visible, those around it."""
        if name == "input":
            return self.first_input if len(self.inputs) == 1 else self.inputs.get(name)
        head, *rest = name.split(".")
        frame: Frame | None = self
        lossy = False
        while frame is not None:
            found = frame.names.get(head) or frame.inputs.get(head)
            if found is not None:
                break
            lossy |= frame.lossy
            frame = frame.outer
        else:
            return UNKNOWN_REF if lossy else None
        for part in rest:
            frame = frame.child(head)
            if frame is None or part not in frame.names:
                return UNKNOWN_REF if found.shape is None or frame is not None and frame.lossy else None
            found, head = frame.names[part], part
        return found

    def named(self, name: object, span: Span, key: str = "from") -> Ref:
        """The same for what the key at `span` holds; Fault where nothing is called so."""
        if not isinstance(name, str):
            raise Fault("type", f"{key}: a name is wanted, not {kind_of(name)}", span)
        found = self.find(name)
        if found is None:
            raise self._no_such_step(name, span)
        return found

    def _no_such_step(self, name: str, span: Span) -> Fault:
        if name == "input":
            names = ", ".join(f"`{n}`" for n in self.inputs)
            return Fault("reference", "this scope has several inputs", span, f"name one of {names}")
        head, _, rest = name.partition(".")
        if rest and self.find(head):
            child = self.child(head)
            advice = did_you_mean(rest, child.names) if child else f"`{head}` is no scope"
            return Fault("reference", f"`{head}` holds no step `{rest}`", span, advice)
        if head in _static_names(self.steps):
            help = "order is data flow: a step reads only what stands before it"
            return Fault("reference", f"`{name}` does not stand before this step", span, help)
        holder = next((child for child in self.children if name in self._child(child).names), None)
        advice = (
            f"inside another scope it is `{holder}.{name}`"
            if holder
            else did_you_mean(name, dict.fromkeys(["input", *self.visible()]))
        )
        return Fault("reference", f"no step in sight is called `{name}`", span, advice)

    def visible(self) -> Iterable[str]:
        """Every name in sight."""
        frame: Frame | None = self
        while frame is not None:
            yield from frame.names
            yield from frame.inputs
            frame = frame.outer

    # What a step is called.

    def new_name(self, step: Step, scope: Scope) -> str:
        """The name of the step that comes next; Fault where it is taken."""
        # Of a named repeat, the name stands for the whole, and the copies are numbered.
        if step.name is not None and self.group.step is not step:
            return self.explicit_name(step, scope)
        name = self.auto_name(step.label)
        if name in self.names or name in self.inputs:
            raise Fault("name", f"the name `{name}` stands twice in its scope", step.span, "give this step a name")
        return name

    def explicit_name(self, step: Step, scope: Scope) -> str:
        """The name that a step gives itself; Fault where it is none, or taken."""
        assert step.name is not None
        name = step.fixed_name
        if name is None:
            found = step.name.evaluate(scope)
            if not isinstance(found, str) and type(found) is not int:
                raise Fault("type", f"name: text is wanted, not {kind_of(found)}", step.name.span)
            name = str(found)
            fault = step_name_fault(name)
            if fault:
                raise Fault("name", fault, step.name.span)
        if name in self.names or name in self.inputs:
            help = "give each step a name of its own"
            raise Fault("name", f"the name `{name}` stands twice in its scope", step.name.span, help)
        return name

    def auto_name(self, label: str) -> str:
        """The name of an unnamed step: its position in a sequential, else its op's name, numbered from 2 on."""
        if self.positional:
            return str(self.count)
        number = self.labels.get(label, 0) + 1
        while (name := label if number == 1 else f"{label}_{number}") in self.names or name in self.inputs:
            number += 1
        self.labels[label] = number
        return name

    def bind(self, name: str, ref: Ref) -> None:
        """Let `name` stand for the value that a step has made."""
        self.names[name] = ref
        self.count += 1

    # The scopes in it.

    def child(self, name: str) -> Frame | None:
        """The frame of the step `name`, if it is a scope."""
        return self._child(name) if name in self.children else None

    def _child(self, name: str) -> Frame:
        found = self.children[name]
        if not isinstance(found, Frame):
            found = self.children[name] = found()
        return found

    def moved(self, group: Group, move: Callable[[Ref], Ref]) -> Frame:
        """The frame of an equal scope at another place, `group`: of use for what its names refer to."""
        found = Frame(group, {}, self.steps)
        found.names = {name: move(ref) for name, ref in self.names.items()}
        found.children = {name: partial(self._moved_child, name, found, move) for name in self.children}
        return found

    def _moved_child(self, name: str, parent: Frame, move: Callable[[Ref], Ref]) -> Frame:
        child = self._child(name)
        return child.moved(child.group.moved(parent.prefix + name, parent.group), move)


def _static_names(steps: list[Step]) -> Iterable[str]:
    for step in steps:
        if step.fixed_name is not None:
            yield step.fixed_name
        if isinstance(step, ScopeStep) and step.is_inline:
            yield from _static_names(step.steps)
