"""The names of a scope while it is elaborated: what each step is called, and what a name refers to."""

from __future__ import annotations

from collections.abc import Iterable

from archspec.expressions import Tensor
from archspec.graph import Group
from archspec.program import Step
from archspec.shapes import Shape


class Ref(Tensor):
    """A value of the network: its path, and its shape (None where its step is in error)."""

    __slots__ = ("path",)

    def __init__(self, path: str, shape: Shape | None) -> None:
        super().__init__(shape)
        self.path = path


UNKNOWN_REF = Ref("", None)


class Frame:
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
        self.children: dict[str, Frame] = {}
        self.count = 0
        self.labels: dict[str, int] = {}
        self.lossy = False  # whether names are missing, because of an error in a step that would have bound them

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
            frame = frame.children.get(head)
            if frame is None or part not in frame.names:
                return UNKNOWN_REF if found.shape is None or frame is not None and frame.lossy else None
            found, head = frame.names[part], part
        return found

    def visible(self) -> Iterable[str]:
        """Every name in sight."""
        frame: Frame | None = self
        while frame is not None:
            yield from frame.names
            yield from frame.inputs
            frame = frame.outer

    def auto_name(self, label: str) -> str:
        """The name of an unnamed step: its position in a sequential, else its op's name, numbered from 2 on."""
        if self.positional:
            return str(self.count)
        number = self.labels.get(label, 0) + 1
        while (name := label if number == 1 else f"{label}_{number}") in self.names or name in self.inputs:
            number += 1
        self.labels[label] = number
        return name
