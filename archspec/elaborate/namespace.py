"""The names of a scope while it is elaborated: what each step is called, and what a name refers to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import chain, islice

from archspec.errors import MAX_CANDIDATES, Complaint, Span, did_you_mean, kind_of, listed
from archspec.expressions import Environment, Tensor
from archspec.graph import Scope
from archspec.names import list_of, step_place_fault
from archspec.program.steps import OUTWARDS, ScopeStep, Step
from archspec.shapes import Lead, Shape


class Ref(Tensor):
    """A value of the network: its path, its shape (None where its step is in error), what stands before the shape.

    A step with several results has them as `parts`; its own path is that of no value.
    """

    __slots__ = ("path", "lead", "parts")

    def __init__(self, path: str, shape: Shape | None, lead: Lead = Lead.BATCH, parts: tuple[Ref, ...] = ()) -> None:
        self.path, self.shape, self.lead, self.parts = path, shape, lead, parts


UNKNOWN_REF = Ref("", None)
ABSENT_REF = Ref("", None)
"""What the name of a free tensor stands for where it is left out: there is no value before it to pass on."""


class Gaps:
    """The steps of a scope that may be left out.

    `conditional` are the names of steps with a `when` or a `repeat`, and `absent` those of which no step stands so far.
    `nameless` are the labels of steps without a name that were left out, `hidden` the `inline` steps among them.
    `depth` counts the `inline` steps under a condition that are being elaborated.
    """

    __slots__ = ("conditional", "absent", "nameless", "hidden", "depth")

    def __init__(self) -> None:
        self.conditional: set[str] = set()
        self.absent: set[str] = set()
        self.nameless: set[str] = set()
        self.hidden: set[ScopeStep] = set()
        self.depth = 0


NO_GAPS = Gaps()
"""Stands for the gaps of a namespace until there are any."""

NO_LISTS: Mapping[str, int] = {}
"""The lists of a namespace until there are any."""


class Namespace:
    """The names of one scope while it is elaborated.

    `scope` is the scope, `inputs` what it reads, by name; `outer` is the namespace around it, where its steps see that
    too. `gaps` tells of the steps that may be left out, and of those that were. `lists` counts the steps of each list:
    those called `convs.0`, `convs.1`.
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
        "gaps",
        "lists",
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
        self.gaps = NO_GAPS
        self.lists = NO_LISTS
        self.lossy = False  # whether names are missing, because of an error in a step that would have bound them

    # What a name refers to.

    def find(self, name: str) -> Ref | None:
        """Return the value called `name` (which may be dotted) in this scope and in those around it that it can see."""
        if name == "input":
            return self.first_input if len(self.inputs) == 1 else self.inputs.get(name)
        if name.startswith(OUTWARDS):
            return self.outer.find(name.removeprefix(OUTWARDS)) if self.outer is not None else None
        head, *rest = name.split(".")
        namespace: Namespace | None = self
        lossy = False
        while namespace is not None:
            found = namespace.names.get(head) or namespace.inputs.get(head)
            if found is not None:
                break
            if head in namespace.lists:
                if not rest:
                    return None
                head, rest = f"{head}.{rest[0]}", rest[1:]
                found = namespace.names.get(head)
                if found is None:
                    return UNKNOWN_REF if namespace.lossy else None
                break
            lossy |= namespace.lossy
            namespace = namespace.outer
        else:
            return UNKNOWN_REF if lossy else None
        while rest:
            namespace = namespace.child(head)
            feature = namespace.names.get(".".join(rest)) if namespace is not None else None
            if feature is not None:  # that of a network may have a dotted name
                return feature
            part = rest.pop(0)
            if rest and namespace is not None and part in namespace.lists:
                part = f"{part}.{rest.pop(0)}"
            if namespace is None or part not in namespace.names:
                return UNKNOWN_REF if found.shape is None or namespace is not None and namespace.lossy else None
            found, head = namespace.names[part], part
        return found

    def named(self, name: object, span: Span, key: str = "from") -> Ref:
        """Do the same for the value of the key at `span`. Raises: Complaint if the name is unknown."""
        if not isinstance(name, str):
            raise name_expected(key, name, span)
        found = self.find(name)
        if found is None:
            raise Complaint.later("reference", partial(self._no_such_step, name), span)
        return found

    def feature(self, name: str, span: Span) -> Ref:
        """Return the value of a step of a network. Raises: Complaint if there is none of that name."""
        found = self.find(name)
        if found is None:
            raise Complaint.later("reference", partial(self._no_such_feature, name), span)
        return found

    def _no_such_feature(self, name: str) -> tuple[str, str | None]:
        message, help = self._no_such_step(name)
        return message.replace("unknown step", "unknown feature", 1), help

    def _no_such_step(self, name: str) -> tuple[str, str | None]:
        """Return the message and the help for a name that refers to nothing."""
        if name == "input":
            return "`input` is ambiguous: this scope has several inputs", f"name one of {listed(tuple(self.inputs))}"
        if name.startswith(OUTWARDS):
            return self._no_such_step_outside(name)
        head, _, rest = name.partition(".")
        holder = self._holder_of_list(head)
        if holder is not None:
            entries = [entry for entry in holder.names if list_of(entry) == head]
            if not rest:
                return f"`{name}` is a list of steps, not a step", f"name one of them: {did_you_mean(name, entries)}"
            return f"unknown step `{rest}` in the list `{head}`", did_you_mean(name, entries)
        if rest and self.find(head):
            child = self.child(head)
            what = f"`{head}` is left out" if head in self.gaps.absent else f"`{head}` is a single step, not a scope"
            if child is not None and child.scope.is_network and rest.partition(".")[0] in _static_names(child.steps):
                return f"`{head}` does not give its step `{rest}`", "name it under `features` of the block"
            return f"unknown step `{rest}` in `{head}`", did_you_mean(rest, child.names) if child else what
        left_out = self._left_out(head)
        if left_out is not None:
            return f"unknown step `{name}`: {left_out[0]}", left_out[1]
        if head in _static_names(self.steps):
            return f"`{name}` is not defined before this step", "a step reads only what stands above it"
        return f"unknown step `{name}`", self._advice(name)

    def _no_such_step_outside(self, name: str) -> tuple[str, str | None]:
        """Return the message and the help for a name of the scope around that refers to nothing."""
        inner = name.removeprefix(OUTWARDS)
        if self.outer is not None:
            return self.outer._no_such_step(inner)
        help = "a block sees its inputs: `inputs: [x, skip]` gives it several" if self.scope.parent else None
        return f"`{name}`: no scope around this one is in sight", help or f"write `{inner}`"

    def _holder_of_list(self, name: str) -> Namespace | None:
        """Return the namespace in sight that has a list called `name`."""
        namespace: Namespace | None = self
        while namespace is not None and name not in namespace.lists:
            namespace = namespace.outer if name not in namespace.names else None
        return namespace

    def _advice(self, name: str) -> str | None:
        """Return what is probably meant by a name that nothing in sight has."""
        if "," in name:
            return f"write a list: `[{', '.join(part.strip() for part in name[:100].split(','))}]`"
        if name in ("previous", "prev", "last"):
            return "without `from`, a step reads the one before"
        children = islice(self.children, MAX_CANDIDATES)
        holder = next((child for child in children if name in self._child(child).names), None)
        if holder:
            return f"did you mean `{holder}.{name}`?"
        return did_you_mean(name, chain(["input"], self.visible()))

    def called(self, ref: Ref) -> str:
        """Return what a value is called in this scope: by the step that was bound to it last, else by its path."""
        if ref.path == self.first_input.path:
            return "input" if len(self.inputs) == 1 else next(iter(self.inputs))
        names = (
            name for name in reversed(self.names) if self.names[name].path == ref.path and name not in self.gaps.absent
        )
        return next(names, ref.path.removeprefix(self.prefix))

    def _left_out(self, name: str) -> tuple[str, str] | None:
        """Return why `name` is not there, if that is because of a condition, and what to do."""
        gaps, help = self.gaps, "give that step a name, which stands for what the step reads where it is left out"
        if any(name in _static_names(step.steps) for step in islice(gaps.hidden, MAX_CANDIDATES)):
            return "the `inline` that it stands in is left out", "leave this step out under the same `when`"
        if self.positional and name.isdecimal() and gaps.nameless:
            return "a step without a name is left out, and takes no position", help
        label = re.sub("_[0-9]+$", "", name)
        return (f"a `{label}` without a name is left out", help) if label in gaps.nameless else None

    def visible(self) -> Iterable[str]:
        """Yield every name in sight, the innermost first; one that several scopes have comes again."""
        namespace: Namespace | None = self
        while namespace is not None:
            yield from namespace.names
            yield from namespace.inputs
            namespace = namespace.outer

    # What a step is called.

    def new_name(self, step: Step, environment: Environment) -> str:
        """Return the name of the next step. Raises: Complaint if it is taken."""
        # Of a named repeat, the name stands for the whole, and the copies are numbered.
        if step.name is not None and self.scope.step is not step.origin:
            return self.explicit_name(step, environment)
        name = self.auto_name(step.label)
        if name in self.names or name in self.inputs:
            raise Complaint("name", f"duplicate name `{name}` in its scope", "give this step a `name`", span=step.span)
        return name

    def explicit_name(self, step: Step, environment: Environment) -> str:
        """Return the name that a step gives itself.

        Raises:
            Complaint: It is not a valid name, or another step has it.
        """
        name = self._given_name(step, environment)
        self._check_list(name, step)
        may_be_left_out = step.when is not None or step.repeat is not None or self.gaps.depth > 0
        if name in self.names and not (may_be_left_out and name in self.gaps.absent):
            raise self._duplicate(name, step)
        if may_be_left_out:
            self._own_gaps().conditional.add(name)
        return name

    def _check_list(self, name: str, step: Step) -> None:
        """Check that a name does not take that of a list, or is the next number of one."""
        assert step.name is not None
        listed = list_of(name)
        if not listed:
            if name in self.lists:
                help = f"its steps are `{name}.0` and so on; give this one another name"
                raise Complaint("name", f"`{name}` is a list of steps already", help, span=step.name.span)
            return
        if listed in self.names or listed in self.inputs:
            help = f"a list of steps has no other: rename the step `{listed}`, or the list"
            raise Complaint("name", f"`{name}`: `{listed}` is a step already", help, span=step.name.span)
        number = int(name.rpartition(".")[2])
        count = self.lists.get(listed, 0)
        if number > count:
            help = f"steps are numbered as they come: `{listed}.{count}` is next"
            raise Complaint("name", f"`{name}` leaves a gap in the list `{listed}`", help, span=step.name.span)

    def _given_name(self, step: Step, environment: Environment) -> str:
        assert step.name is not None
        name = step.fixed_name
        if name is None:
            found = step.name.evaluate(environment)
            if not isinstance(found, str) and type(found) is not int:
                raise Complaint("type", f"name: expected text, got {kind_of(found)}", span=step.name.span)
            name = str(found)
            fault = step_place_fault(name)
            if fault:
                raise fault.at(step.name.span)
        if name in self.inputs:
            raise self._duplicate(name, step)
        return name

    def _duplicate(self, name: str, step: Step) -> Complaint:
        assert step.name is not None
        help = "give each step a name of its own"
        if step.repeat is not None and step.siblings and step.when is None:
            help = "give each copy a name of its own"
        elif (is_conditional(step) or self.gaps.depth > 0) and name in self.gaps.conditional:
            help = "steps share a name only if at most one of their conditions holds; here two hold"
        elif step.when is not None or name in self.gaps.conditional:
            help = "steps share a name only if each has a `when`, and at most one of these holds"
        return Complaint("name", f"duplicate name `{name}` in its scope", help, span=step.name.span)

    def enter_inline(self, step: Step) -> None:
        """Begin with the steps of an `inline`; `leave_inline` ends it."""
        if is_conditional(step):
            self._own_gaps().depth += 1

    def leave_inline(self, step: Step) -> None:
        """End what `enter_inline` began."""
        if is_conditional(step):
            self.gaps.depth -= 1

    def auto_name(self, label: str) -> str:
        """Return the name of an unnamed step: its position in a sequential, else its op's name, numbered from 2 on."""
        if self.positional:
            return str(self.count)
        number = self.labels.get(label, 0) + 1
        while self._is_taken(name := label if number == 1 else f"{label}_{number}"):
            number += 1
        self.labels[label] = number
        return name

    def _is_taken(self, name: str) -> bool:
        return name in self.names or name in self.inputs or name in self.lists

    def bind(self, name: str, ref: Ref) -> None:
        """Let `name` stand for the value that a step has made."""
        self.names[name] = ref
        self.count += 1
        listed = list_of(name) if "." in name else ""
        if listed:
            self.lists = {**self.lists, listed: max(self.lists.get(listed, 0), int(name.rpartition(".")[2]) + 1)}
        if self.gaps is not NO_GAPS:
            self.gaps.absent.discard(name)

    def bind_absent(self, step: Step, ref: Ref, environment: Environment) -> None:
        """Let the name of a step that is left out stand for `ref`, unless a step of the same name stands."""
        gaps = self._own_gaps()
        if step.name is None:
            gaps.nameless.add(step.label)
            if isinstance(step, ScopeStep) and step.is_inline:
                gaps.hidden.add(step)
            return
        name = self._given_name(step, environment)
        listed = list_of(name)
        if listed and listed not in self.names:
            self.lists = {listed: 0, **self.lists}
        if name not in self.names or name in gaps.absent:
            self.bind_for_now(name, ref)
        elif name not in gaps.conditional:
            raise self._duplicate(name, step)

    def bind_for_now(self, name: str, ref: Ref) -> None:
        """Let `name` stand for `ref` until a step of that name stands."""
        gaps = self._own_gaps()
        self.names[name] = ref
        gaps.absent.add(name)
        gaps.conditional.add(name)

    def _own_gaps(self) -> Gaps:
        if self.gaps is NO_GAPS:
            self.gaps = Gaps()
        return self.gaps

    # The scopes in it.

    def child(self, name: str) -> Namespace | None:
        """Return the namespace of the step `name`, if it is a scope."""
        return self._child(name) if name in self.children else None

    def _child(self, name: str) -> Namespace:
        found = self.children[name]
        if not isinstance(found, Namespace):
            found = self.children[name] = found()
        return found

    def moved(self, scope: Scope, move: Callable[[Ref], Ref]) -> Namespace:
        """Return this namespace moved to `scope`, an equal scope at another place, for looking up names."""
        found = Namespace(scope, {}, self.steps)
        found.lossy, found.lists = self.lossy, self.lists
        found.names = {name: move(ref) for name, ref in self.names.items()}
        found.children = {name: partial(self._moved_child, name, found, move) for name in self.children}
        return found

    def _moved_child(self, name: str, parent: Namespace, move: Callable[[Ref], Ref]) -> Namespace:
        child = self._child(name)
        return child.moved(child.scope.moved(parent.prefix + name, parent.scope), move)


def left_out(name: object, span: Span) -> Complaint:
    """Return the finding of a free tensor that is read and left out."""
    what = f"`{name}`" if isinstance(name, str) else "a value that is read here"
    help = "leave this step out under the same `when`"
    return Complaint("reference", f"{what} is left out, and stands for no other value", help, span=span)


def several_results(ref: Ref, name: str, span: Span) -> Complaint:
    """Return the finding of a step whose results are read as if they were one."""
    message = f"`{name}` has {len(ref.parts)} results"
    return Complaint("reference", message, f"name the one that is meant: `{name}.0`", span=span)


def is_conditional(step: Step) -> bool:
    """Tell whether a step may be left out."""
    return step.when is not None or step.repeat is not None


def name_expected(key: str, value: object, span: Span) -> Complaint:
    """Return the finding of a value that should be the name of a step."""
    help = "write the name without `$`" if isinstance(value, Tensor) else None
    return Complaint("type", f"{key}: expected a name, got {kind_of(value)}", help, span=span)


def _static_names(steps: list[Step]) -> Iterable[str]:
    for step in steps:
        if step.fixed_name is not None:
            yield step.fixed_name
        if isinstance(step, ScopeStep) and step.is_inline:
            yield from _static_names(step.steps)
