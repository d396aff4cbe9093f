"""Ops that read several steps. Which ones, `from` says; an op only sees their shapes, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

from archspec.ops.base import ANY_RANK, Call, Op
from archspec.ops.fields import LAST, Axis, Bool, Float, Kind, arg, axis_position, torch_dim
from archspec.ops.shape_help import equal_help, fit_help, same_size_help
from archspec.shapes import HERE, Lead, Reach, Shape, elements, shape_text


class Operands(Kind):
    """The numbers among the operands of a merge, each at its place, and nothing where a tensor stands."""

    takes_lists = True
    example = "[null, 2]"

    def parse(self, value: object, rank: int) -> tuple[float | None, ...]:
        if not isinstance(value, list | tuple):
            raise self.refuse(value)
        return tuple([None if item is None else number(item, rank) for item in value])

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": {"type": ["number", "null"]}}


def number(value: object, rank: int = 0) -> Any:
    """Return a number of a spec as it is: integers stay integers. Raises: Complaint if it is none."""
    found = Float().parse(value, rank)
    return value if isinstance(value, int) else found


def is_number(value: object) -> TypeGuard[float]:
    """Return whether an operand is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def number_operands(value: object) -> list[float | None] | None:
    """Return the numbers among what a merge reads, each at its place, and None for a tensor; None without any."""
    operands = [None, value] if is_number(value) else value
    if not isinstance(operands, list) or not any(map(is_number, operands)):
        return None
    return [each if is_number(each) else None for each in operands]


class Elementwise(Op):
    """What the merges share that work element by element, on tensors and numbers. Abstract.

    Operands have equal shapes, but for free tensors, which are fitted by torch's broadcasting, and for axes of size 1
    where the op stretches these.
    """

    local = True
    arity = None
    ranks = ANY_RANK
    color = "#fce5cd"
    overwritable = True
    broadcasts = True
    takes_numbers = True
    work_doc = "1 per element of the output, for each operand after the first"

    numbers: tuple[float | None, ...] | None = arg(
        Operands(), "numbers among the operands, each at its place", None, internal=True
    )

    @property
    def operands(self) -> int:
        """How many operands it has, numbers included."""
        return len(self.inputs) if self.numbers is None else len(self.numbers)

    def stretches(self) -> bool:
        """Return whether axes of size 1 are stretched to those of another operand."""
        return False

    def summary(self) -> str:
        words = [f"{number:g}" for number in self.numbers or () if number is not None]
        return ", ".join([*words, *(["broadcast"] if getattr(self, "broadcast", False) else [])])

    def flops(self) -> int:
        return (self.operands - 1) * elements(self.output)

    def infer(self) -> Shape:
        if not self.leads:
            return self.joined(range(len(self.inputs)))
        top = max(self.leads)
        whole = [n for n, lead in enumerate(self.leads) if lead is top]
        if top is Lead.NONE:
            most = max(map(len, self.inputs))
            whole = [n for n in whole if len(self.inputs[n]) == most]
        full = self.joined(whole)
        for n, shape in enumerate(self.inputs):
            if n not in whole:
                full = self._fitted(n, shape, full, whole[0])
        return full

    def joined(self, positions: Sequence[int]) -> Shape:
        """Return the shape of these operands together, none of which is fitted. Raises: Complaint if they differ."""
        raise NotImplementedError

    def _fitted(self, n: int, shape: Shape, full: Shape, other: int) -> Shape:
        """Return the shape of a free tensor together with the others. Raises: Complaint if it does not fit."""
        padded = (*(1 for _ in full[len(shape) :]), *shape)
        fits = len(padded) == len(full) and all(
            size in (1, whole) or self.stretches() and whole == 1 for size, whole in zip(padded, full, strict=True)
        )
        if fits:
            return tuple(map(max, padded, full))
        message = f"{self.operand(n)} does not fit {shape_text(full)}"
        if self.names:
            message += f" ({self.names[other]})"
        raise self.error("shape", message, help=_free_help(shape, full))

    def calls(self) -> tuple[Call, ...]:
        return (Call(self.torch, self.number_arguments()),)

    def number_arguments(self) -> dict[str, Any]:
        """Return the numbers among the operands as arguments of the call, by their places."""
        return {f"operand_{n}": found for n, found in enumerate(self.numbers or ()) if found is not None}


def _free_help(shape: Shape, full: Shape) -> str:
    """Return what shape a free tensor should have to fit `full`."""
    if elements(shape) == full[0] and len(full) > 1:
        return f"one number per channel has the shape {[full[0], *[1] * (len(full) - 1)]}"
    return f"compared from the last axis on, each is 1 or that of the other: `shape: {list(full)}` fits"


class EqualShapes(Elementwise):
    """What the merges share that want equal shapes unless told otherwise. Abstract."""

    broadcast: bool = arg(
        Bool(),
        "stretch axes of size 1 to those of the other operand",
        False,
        also_called=("broadcasting", "stretch", "expand"),
    )

    def stretches(self) -> bool:
        return self.broadcast

    def joined(self, positions: Sequence[int]) -> Shape:
        first = positions[0]
        full = self.inputs[first]
        for n in positions:
            shape = self.inputs[n]
            if shape == full:
                continue
            if not self.broadcast:
                message = f"operands differ: {self.operand(first)} and {self.operand(n)}"
                names = (self.names[first], self.names[n]) if self.names else None
                help = equal_help(full, shape, names) if names else None
                raise self.error("shape", message, help=help)
            if not _stretch_together(shape, full):
                message = f"operands differ in more than axes of size 1: {self.operand(first)} and {self.operand(n)}"
                help = fit_help(shape, full, self.names[n]) if self.names else None
                raise self.error("shape", message, help=help)
            full = tuple(map(max, shape, full))
        return full


def _stretch_together(shape: Shape, full: Shape) -> bool:
    """Return whether two shapes have as many axes, each equal or of size 1 in one of them."""
    return len(shape) == len(full) and all(a == b or 1 in (a, b) for a, b in zip(shape, full, strict=True))


class Add(EqualShapes):
    """Sum of several steps of equal shape, as of a residual branch and its input (+).

    Source: Deep Residual Learning, https://arxiv.org/abs/1512.03385
    """

    op = "add"
    torch = "+"
    also_called = (
        *("plus", "addition", "added", "eltwise_add", "elementwise_add", "add_n", "shortcut", "skip"),
        *("skip_connection", "skip_add", "residual_add", "merge_add", "eltwise"),
    )


class Subtract(EqualShapes):
    """The first operand without the others, of equal shape (-)."""

    op = "subtract"
    torch = "-"
    also_called = ("sub", "minus", "difference", "subtraction", "diff")
    commutative = False


class Divide(EqualShapes):
    """The first operand divided by the others, of equal shape (/)."""

    op = "divide"
    torch = "/"
    also_called = ("div", "quotient", "over", "true_divide", "divided_by", "division")
    commutative = False


class Multiply(EqualShapes):
    """Product of several steps; axes of size 1 stretch to those of one operand, as for a gate (*).

    With `broadcast`, all operands stretch to each other, as a column and a row do.

    Source: Squeeze-and-Excitation Networks, https://arxiv.org/abs/1709.01507
    """

    op = "multiply"
    torch = "*"
    also_called = (
        *("mul", "times", "product", "prod", "multiplication", "multiplied", "eltwise_mul", "elementwise_mul"),
        *("elementwise_multiply", "elementwise_product", "hadamard", "gate", "gating", "excite"),
    )

    def stretches(self) -> bool:
        return True

    def joined(self, positions: Sequence[int]) -> Shape:
        if self.broadcast:
            return super().joined(positions)
        full = max((self.inputs[n] for n in positions), key=elements)
        for n in positions:
            shape = self.inputs[n]
            if len(shape) != len(full) or any(size not in (1, whole) for size, whole in zip(shape, full, strict=True)):
                whole_text = self.operand(self.inputs.index(full))
                message = f"operands differ in more than axes of size 1: {whole_text} and {self.operand(n)}"
                help = fit_help(shape, self._goal(shape, full), self.names[n]) if self.names else None
                raise self.error("shape", message, help=help)
        return full

    @staticmethod
    def _goal(shape: Shape, full: Shape) -> Shape:
        """Return what `shape` should have been to be stretched to `full`, or to equal it."""
        is_gate = len(shape) == 1 or len(shape) == len(full) and set(shape[1:]) == {1}
        return (full[0], *(1 for _ in full[1:])) if is_gate else full


class Concat(Op):
    """Several steps side by side along an axis, all other axes equal (torch.cat)."""

    op = "concat"
    torch = "torch.cat"
    also_called = (
        *("cat", "concatenate", "concatenation", "concatenated", "join", "merge", "route", "depth_concat"),
        *("depthconcat", "channel_concat", "filter_concat"),
    )
    arity = None
    ranks = ANY_RANK
    commutative = False
    color = "#fce5cd"
    overwritable = True

    axis: str = arg(
        Axis(), "the axis along which the sizes add up", "channels", also_called=("dim", "dimension", "along")
    )

    @property
    def position(self) -> int:
        """Where the axis stands in a shape."""
        return axis_position(self.axis, self.rank)

    def infer(self) -> Shape:
        at = self.position
        before, after = self.input[:at], self.input[at + 1 :]
        for n, shape in enumerate(self.inputs):
            if len(shape) != len(self.input) or shape[:at] != before or shape[at + 1 :] != after:
                shapes = f"{self.operand(0)} and {self.operand(n)}"
                help = self._help(n) if self.names else None
                axis = f"{self.axis} axis" if self.axis == LAST else self.axis
                raise self.error("shape", f"operands differ in an axis other than the {axis}: {shapes}", help=help)
        return (*before, sum(shape[at] for shape in self.inputs), *after)

    def _help(self, n: int) -> str | None:
        """Return how to make operand `n` fit beside the first."""
        shape, at = self.inputs[n], self.position
        names = (self.names[0], self.names[n])
        if len(shape) != len(self.input):
            flat, name = (shape, names[1]) if len(shape) > len(self.input) else (self.input, names[0])
            return fit_help(flat, (elements(flat),), name) if 1 in (len(shape), len(self.input)) else None
        if at:
            return fit_help(shape, (*self.input[:at], shape[at], *self.input[at + 1 :]), names[1])
        return same_size_help(self.input, shape, names)

    def reach(self) -> tuple[Reach, ...] | None:
        return (HERE,) * self.rank if self.axis == "channels" else None

    def calls(self) -> tuple[Call, ...]:
        return (Call(self.torch_name, {"dim": torch_dim(self.axis, self.rank)}, listed=True),)


OPS = (Add, Subtract, Multiply, Divide, Concat)
