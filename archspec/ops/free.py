"""Free tensors: what a network holds and no step has made. They read nothing, and have no batch.

A parameter is trained, a buffer is not. Elementwise ops read them as they are stored, by torch's broadcasting; other
ops read them with an axis of size 1 in place of the batch (`Op.fits`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from archspec.errors import Complaint, kind_of
from archspec.ops.base import Call, Figures, Op
from archspec.ops.fields import Bool, Float, Integers, Kind, arg
from archspec.ops.symbolic import SymBool
from archspec.shapes import Lead, Shape, elements, shape_text

MAX_VALUES = 1_000_000
"""How many numbers the values of a buffer may be."""


class Start(Kind):
    """What a learned tensor starts from: a number, `zeros`, `ones`, `{normal: std}` or `{trunc_normal: std}`."""

    expected = "a number, zeros, ones, {normal: STD} or {trunc_normal: STD},"
    example = "{normal: 0.02}"
    words = ("zeros", "ones")
    distributions = ("normal", "trunc_normal")

    def __init__(self) -> None:
        self.number = Float()
        self.deviation = Float(0, open_minimum=True)

    def parse(self, value: object, rank: int) -> Any:
        if isinstance(value, Mapping):
            if len(value) != 1 or next(iter(value)) not in self.distributions:
                raise Complaint("value", f"expected {self.expected.rstrip(',')}, got {kind_of(value)}")
            ((word, deviation),) = value.items()
            return {word: self.deviation.parse(deviation, rank)}
        if isinstance(value, str):
            if value not in self.words:
                raise Complaint("value", f"expected {self.expected.rstrip(',')}, got {kind_of(value)}")
            return value
        return self.number.parse(value, rank)

    def schema(self) -> dict[str, Any]:
        deviation = {"type": ["number", "string"], "exclusiveMinimum": 0, "pattern": r"\$"}
        return {
            "type": ["number", "string", "object"],
            "pattern": "^(zeros|ones)$",
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
            "properties": dict.fromkeys(self.distributions, deviation),
        }


class Numbers(Kind):
    """A number, or lists of numbers nested to equal depth; canonical: lists. Integers stay integers."""

    expected = "a number, or lists of numbers,"
    takes_lists = True
    example = "[0.25, 0.5, 0.25]"

    def parse(self, value: object, rank: int) -> Any:
        found = self._nested(value, rank)
        self.shape(found)
        return found

    def _nested(self, value: object, rank: int) -> Any:
        if isinstance(value, list | tuple):
            if not value:
                raise Complaint("value", f"expected {self.expected.rstrip(',')}, got an empty list")
            return [self._nested(item, rank) for item in value]
        if isinstance(value, int) and not isinstance(value, bool | SymBool):
            Float().parse(value, rank)
            return value
        if not isinstance(value, float):
            raise self.refuse(value)
        return Float().parse(value, rank)

    def shape(self, value: Any) -> Shape:
        """Return the shape of nested lists. Raises: Complaint if those of one depth differ in length."""
        if not isinstance(value, list):
            return ()
        inner = {self.shape(item) for item in value}
        if len(inner) > 1:
            raise Complaint("value", "lists of one depth differ in length")
        return (len(value), *inner.pop())

    def schema(self) -> dict[str, Any]:
        return {"type": ["number", "array"]}


class FreeTensor(Op):
    """What parameters and buffers share. Abstract."""

    arity = 0
    color = "#d9ead3"
    ranks = ()
    trained: ClassVar[bool] = True
    persistent: bool = True
    """Whether the state_dict has it."""
    shape: Any
    batch: bool = False

    @property
    def lead(self) -> Lead:
        """What stands before its shape."""
        return Lead.ONE if self.batch else Lead.NONE

    @property
    def stored(self) -> Shape:
        """The shape of the tensor itself."""
        return (1, *self.output) if self.batch else self.output

    def infer(self) -> Shape:
        found: Shape = self.shape
        return found

    def summary(self) -> str:
        start = getattr(self, "init", "zeros")
        words = [f"{word} {number:g}" for word, number in start.items()] if isinstance(start, Mapping) else [str(start)]
        return ", ".join([shape_text(self.stored), *(words if start != "zeros" else [])])

    @property
    def figures(self) -> Figures:
        """What it takes: nothing, since it is there already."""
        return Figures(0, 0, 0)


class Parameter(FreeTensor):
    """A learned tensor that is no part of a layer: a class token, a position embedding, a layer scale (nn.Parameter).

    It reads nothing: the step after it reads the step before it, and what needs the tensor names it. Its key in the
    state_dict is its path. Elementwise ops fit it to their other operand by torch's broadcasting.
    """

    op = "parameter"
    torch = "nn.Parameter"
    also_called = (
        *("param", "learned_tensor", "variable", "learnable", "learned", "weight", "get_parameter", "create_parameter"),
        *("class_token", "cls_token", "pos_embed", "pos_embedding", "position_embedding", "position_embeddings"),
    )
    example = "{name: gamma, shape: [64, 1, 1], init: 1}"

    shape: Shape = arg(
        Integers(1, fewest=0), "its shape, without the batch; `[]` is a single number", also_called=("size", "dims")
    )
    init: Any = arg(
        Start(),
        "what it starts from: a number, `zeros`, `ones`, `{normal: std}` or `{trunc_normal: std}`",
        "zeros",
        also_called=("initializer", "initial", "value", "fill", "start"),
    )
    batch: bool = arg(
        Bool(),
        "store it with an axis of size 1 before its shape, in place of the batch, as ViT's class token",
        False,
        also_called=("batched", "batch_axis", "leading_axis"),
    )

    def weights(self) -> dict[str, Shape]:
        return {"": self.stored}

    def calls(self) -> tuple[Call, ...]:
        size = {"size": self.stored}
        if isinstance(self.init, Mapping):
            ((word, deviation),) = self.init.items()
            return Call("torch.empty", size), Call(f"nn.init.{word}_", {"std": deviation})
        if isinstance(self.init, str):
            return (Call(f"torch.{self.init}", size),)
        return (Call("torch.full", {**size, "fill_value": self.init}),)


class Buffer(FreeTensor):
    """A tensor that is given, not learned: a grid of positions, a blur kernel, an index (torch.tensor).

    Numbers without a point make a tensor of integers (int64), such as `gather` reads. It reads nothing, as `parameter`.
    """

    op = "buffer"
    torch = "torch.tensor"
    also_called = ("constant", "const", "register_buffer", "tensor", "fixed", "literal", "values")
    trained = False
    example = "{name: grid, values: 0.5}"

    values: Any = arg(
        Numbers(),
        "its numbers: nested lists, or one number for all of `shape`",
        also_called=("value", "data", "init", "fill"),
    )
    shape: Shape | None = arg(
        Integers(1), "its shape, where `values` is one number", None, also_called=("size", "dims")
    )
    batch: bool = arg(
        Bool(),
        "store it with an axis of size 1 before its shape, in place of the batch",
        False,
        also_called=("batched",),
    )
    persistent: bool = arg(Bool(), "keep it in the state_dict", True, also_called=("saved", "in_state_dict"))

    def infer(self) -> Shape:
        found = Numbers().shape(self.values)
        if not found:
            return self.shape or (1,)
        if self.shape is not None and self.shape != found:
            message = f"the values have the shape {list(found)}, not {list(self.shape)}"
            raise self.error("shape", message, "values", "leave out `shape`, which follows from the values")
        if elements(found) > MAX_VALUES:
            raise self.error("limit", f"more than {MAX_VALUES:,} values", "values")
        return found

    def integers(self) -> list[int] | None:
        found: list[Any] = []
        waiting = [self.values]
        while waiting:
            value = waiting.pop()
            if isinstance(value, list):
                waiting += value
            else:
                found.append(value)
        return found if all(isinstance(value, int) for value in found) else None

    def buffers(self) -> dict[str, Shape]:
        return {"": self.stored}

    def calls(self) -> tuple[Call, ...]:
        if not isinstance(self.values, list):
            return (Call("torch.full", {"size": self.stored, "fill_value": self.values}),)
        return (Call("torch.tensor", {"data": [self.values] if self.batch else self.values}),)


OPS = (Parameter, Buffer)
