"""The names of a scope while it is elaborated: what each step is called, and what a name refers to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain, islice

from archspec.errors import MAX_CANDIDATES, Complaint, Span, did_you_mean
from archspec.expressions import Environment, Tensor
from archspec.graph import Scope
from archspec.names import step_name_fault
from archspec.ops.fields import kind_of
from archspec.program.steps import ScopeStep, Step
from archspec.shapes import Shape


class Ref(Tensor):
    """A value of the network: its path, and its shape (None where its step is in error)."""

    __slots__ = ("path",)

    def __init__(self, path: str, shape: Shape | None) -> None:
        self.path, self.shape = path, shape


UNKNOWN_REF = Ref("", None)


class Namespace:
    """The names of one scope while it is elaborated.

    `scope` is the scope, `inputs` what it reads, by name; `outer` is the frame around it, where its steps see that too.
    """

    __slots__ = (
        "scope",
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
        scope: Scope,
        inputs: dict[str, Ref],
        steps: list[Step],
        *,
        outer: Namespace | None = None,
        positional: bool = False,
    ) -> None:
        self.scope, self.inputs, self.steps, self.outer, self.positional = scope, inputs, steps, outer, positional
        self.prefix = f"{scope.path}." if scope.path else ""
        self.first_input = next(iter(inputs.values()), UNKNOWN_REF)
        self.names: dict[str, Ref] = {}
        self.children: dict[str, Namespace | Callable[[], Namespace]] = {}
        self.count = 0
        self.labels: dict[str, int] = {}
        self.lossy = False  # whether names are missing, because of an error in a step that would have bound them

    # What a name refers to.

    def find(self, name: str) -> Ref | None:
        """The value called `name` (which may be dotted) in this scope and, where visible, those around it."""
        if name == "input":
            return self.first_input if len(self.inputs) == 1 else self.inputs.get(name)
        head, *rest = name.split(".")
        namespace: Namespace | None = self
        lossy = False
        while namespace is not None:
            found = namespace.names.get(head) or namespace.inputs.get(head)
            if found is not None:
                break
            lossy |= namespace.lossy
            namespace = namespace.outer
        else:
            return UNKNOWN_REF if lossy else None
        for part in rest:
            namespace = namespace.child(head)
            if namespace is None or part not in namespace.names:
                return UNKNOWN_REF if found.shape is None or namespace is not None and namespace.lossy else None
            found, head = namespace.names[part], part
        return found

    def named(self, name: object, span: Span, key: str = "from") -> Ref:
        """The same for what the key at `span` holds; Complaint where nothing is called so."""
        if not isinstance(name, str):
            raise Complaint("type", f"{key}: a name is wanted, not {kind_of(name)}", span=span)
        found = self.find(name)
        if found is None:
            raise Complaint.later("reference", partial(self._no_such_step, name), span)
        return found

    def _no_such_step(self, name: str) -> tuple[str, str | None]:
        """Return the message and the help for a name that refers to nothing."""
        if name == "input":
            names = ", ".join(f"`{n}`" for n in self.inputs)
            return "this scope has several inputs", f"name one of {names}"
        head, _, rest = name.partition(".")
        if rest and self.find(head):
            child = self.child(head)
            advice = did_you_mean(rest, child.names) if child else f"`{head}` is no scope"
            return f"`{head}` holds no step `{rest}`", advice
        if head in _static_names(self.steps):
            return (
                f"`{name}` does not stand before this step",
                "order is data flow: a step reads only what stands before it",
            )
        children = islice(self.children, MAX_CANDIDATES)
        holder = next((child for child in children if name in self._child(child).names), None)
        known = chain(["input"], self.visible())
        advice = f"inside another scope it is `{holder}.{name}`" if holder else did_you_mean(name, known)
        return f"no step in sight is called `{name}`", advice

    def visible(self) -> Iterable[str]:
        """Yield every name in sight, the innermost first; one that several scopes have comes again."""
        namespace: Namespace | None = self
        while namespace is not None:
            yield from namespace.names
            yield from namespace.inputs
            namespace = namespace.outer

    # What a step is called.

    def new_name(self, step: Step, environment: Environment) -> str:
        """The name of the step that comes next; Complaint where it is taken."""
        # Of a named repeat, the name stands for the whole, and the copies are numbered.
        if step.name is not None and self.scope.step is not step:
            return self.explicit_name(step, environment)
        name = self.auto_name(step.label)
        if name in self.names or name in self.inputs:
            raise Complaint(
                "name", f"the name `{name}` stands twice in its scope", "give this step a name", span=step.span
            )
        return name

    def explicit_name(self, step: Step, environment: Environment) -> str:
        """The name that a step gives itself; Complaint where it is none, or taken."""
        assert step.name is not None
        name = step.fixed_name
        if name is None:
            found = step.name.evaluate(environment)
            if not isinstance(found, str) and type(found) is not int:
                raise Complaint("type", f"name: text is wanted, not {kind_of(found)}", span=step.name.span)
            name = str(found)
            fault = step_name_fault(name)
            if fault:
                raise Complaint("name", fault, span=step.name.span)
        if name in self.names or name in self.inputs:
            help = "give each step a name of its own"
            raise Complaint("name", f"the name `{name}` stands twice in its scope", help, span=step.name.span)
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

    def child(self, name: str) -> Namespace | None:
        """The frame of the step `name`, if it is a scope."""
        return self._child(name) if name in self.children else None

    def _child(self, name: str) -> Namespace:
        found = self.children[name]
        if not isinstance(found, Namespace):
            found = self.children[name] = found()
        return found

    def moved(self, scope: Scope, move: Callable[[Ref], Ref]) -> Namespace:
        """The frame of an equal scope at another place, `scope`: of use for what its names refer to."""
        found = Namespace(scope, {}, self.steps)
        found.lossy = self.lossy
        found.names = {name: move(ref) for name, ref in self.names.items()}
        found.children = {name: partial(self._moved_child, name, found, move) for name in self.children}
        return found

    def _moved_child(self, name: str, parent: Namespace, move: Callable[[Ref], Ref]) -> Namespace:
        child = self._child(name)
        return child.moved(child.scope.moved(parent.prefix + name, parent.scope), move)


def _static_names(steps: list[Step]) -> Iterable[str]:
    for step in steps:
        if step.fixed_name is not None:
            yield step.fixed_name
        if isinstance(step, ScopeStep) and step.is_inline:
            yield from _static_names(step.steps)
