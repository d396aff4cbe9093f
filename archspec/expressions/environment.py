"""What an expression sees: the names around it, and how much work it may still do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from typing import Any

from archspec.errors import MAX_CANDIDATES, Complaint, did_you_mean
from archspec.expressions.functions import FUNCTIONS
from archspec.expressions.values import MISSING, UNKNOWN, Budget, UnknownShape
from archspec.shapes import SPATIAL_AXES, Shape, shape_text


class Tensor:
    """What an expression sees of a tensor: `channels`, `height`, `width`, `depth`, `length`, `features` and `shape`.

    `features` is the size of the last axis.
    """

    __slots__ = ("shape",)

    def __init__(self, shape: Shape | None) -> None:
        self.shape = shape

    def attribute(self, name: str) -> Any:
        """Return the size called `name`."""
        if self.shape is None:
            raise UnknownShape
        if name == "shape":
            return list(self.shape)
        if name == "features":
            return self.shape[-1]
        axes = ("channels", *SPATIAL_AXES.get(len(self.shape) - 1, ()))
        if name not in axes:
            raise Complaint(
                "expression",
                f"a tensor of {shape_text(self.shape)} has no `{name}`",
                partial(_axis_help, name, (*axes, "features", "shape")),
            )
        return self.shape[axes.index(name)]


class Environment:
    """The names an expression sees: `values` of its own, those around it, and the tensors nearest to it.

    A scope is filled before one is made inside it, which skips it if it is empty.
    """

    __slots__ = ("values", "parent", "filled", "tensors", "visible", "budget", "lossy")

    def __init__(
        self,
        values: dict[str, Any],
        parent: Environment | None = None,
        tensors: Callable[[str], Tensor | None] | None = None,
        visible: Callable[[], Iterable[str]] | None = None,
    ) -> None:
        self.values, self.parent, self.tensors, self.visible = values, parent, tensors, visible
        self.filled: Environment | None = None  # the nearest scope around with values
        if parent is None:
            self.budget = Budget()
            self.lossy = False  # whether names are missing that may have been meant to be here
            return
        self.budget, self.lossy = parent.budget, parent.lossy
        self.filled = parent if parent.values else parent.filled
        if tensors is None:
            self.tensors, self.visible = parent.tensors, parent.visible

    def lookup(self, name: str) -> Any:
        """Return what is called `name`. Raises: Complaint if nothing is, UnknownShape if it is in error."""
        found = self.find(name)
        if found is UNKNOWN:
            raise UnknownShape
        if found is MISSING:
            raise Complaint("expression", f"unknown name `{name}`", partial(self._help, name))
        return found

    def find(self, name: str) -> Any:
        """Return the innermost value called `name`, or the tensor; UNKNOWN if it is in error, MISSING if unknown."""
        environment: Environment | None = self
        while environment is not None:
            if name in environment.values:
                return environment.values[name]
            environment = environment.filled
        found = self.tensors(name) if self.tensors is not None else None
        return found if found is not None else UNKNOWN if self.lossy else MISSING

    def names(self) -> Iterator[str]:
        """Return every name in sight: of values, then of tensors."""
        environment: Environment | None = self
        while environment is not None:
            yield from environment.values
            environment = environment.filled
        if self.visible is not None:
            yield from self.visible()

    def _help(self, name: str) -> str | None:
        """Return what helps where nothing is called `name`."""
        if name in _WORDS:
            return f"in an expression it is `{_WORDS[name]}`, as in Python"
        if name == "input":
            return "params and defaults see no tensors; of several inputs, each is called by its name"
        if name == "index":
            return "`index` counts the copies of a `repeat` around it; a block does not see that of its caller"
        return did_you_mean(name, chain(islice(self.names(), MAX_CANDIDATES - len(FUNCTIONS)), FUNCTIONS))


def _axis_help(name: str, axes: tuple[str, ...]) -> str | None:
    """Return the help for an attribute that a tensor does not have, such as torch's or Keras' words for an axis."""
    words = {
        "channels": ("c", "ch", "chans", "filters", "num_channels", "out_channels"),
        "features": ("dim", "dims", "embed_dim", "d_model", "last", "num_features", "hidden"),
        "height": ("h", "rows"),
        "width": ("w", "cols", "columns"),
        "length": ("l", "len", "time", "steps", "sequence", "seq_len"),
        "shape": ("size", "sizes", "shapes"),
    }
    here = next((axis for axis, others in words.items() if name.lower() in others and axis in axes), None)
    return f"did you mean `{here}`?" if here else did_you_mean(name, axes)


_WORDS = {"true": "True", "false": "False", "null": "None", "none": "None"}
"""What YAML calls otherwise than Python."""
