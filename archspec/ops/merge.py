"""Ops that read several steps. Which ones, `from` says; an op only sees their shapes, in order."""

from __future__ import annotations

from archspec.ops.base import Call, Op
from archspec.ops.fields import Axis, arg, axis_names
from archspec.ops.windows import sizes_text
from archspec.shapes import Shape, elements, shape_text


class _Elementwise(Op):
    """What the merges with an operator between all operands share. Abstract."""

    arity = None
    color = "#fce5cd"
    work_doc = "1 per element of the output, for each operand after the first"

    def flops(self) -> int:
        return (len(self.inputs) - 1) * elements(self.output)


class Add(_Elementwise):
    """Sum of several steps of equal shape, as of a residual branch and its input (+).

    Source: Deep Residual Learning, https://arxiv.org/abs/1512.03385
    """

    op = "add"
    torch = "+"
    also_called = (
        *("sum", "plus", "addition", "added", "eltwise_add", "elementwise_add", "add_n", "shortcut", "skip"),
        *("skip_connection", "skip_add", "residual_add", "merge_add", "eltwise"),
    )

    def infer(self) -> Shape:
        for n, shape in enumerate(self.inputs):
            if shape != self.input:
                message = f"operands differ: {self.operand(0)} and {self.operand(n)}"
                raise self.error("shape", message, help=self._projection(n, 0) or self._projection(0, n))
        return self.input

    def _projection(self, one: int, other: int) -> str | None:
        """Return which layer on operand `one` gives it the shape of `other`, if a single one does."""
        (_, *sizes), (filters, *wanted) = self.inputs[one], self.inputs[other]
        strides = [-(-size // goal) for size, goal in zip(sizes, wanted, strict=False)]
        fits = [-(-size // stride) == goal for size, stride, goal in zip(sizes, strides, wanted, strict=False)]
        if not self.names or len(sizes) != len(wanted) or not all(fits):
            return None
        kernel = f"{shape_text((1,) * len(sizes))} " if len(sizes) > 1 else ""
        layer = f"a {kernel}conv with filters {filters}" if sizes else f"`linear: {filters}`"
        stride = f", stride {sizes_text(tuple(strides))}" if any(step > 1 for step in strides) else ""
        return f"{layer}{stride} on `{self.names[one]}` makes them equal"

    def calls(self) -> tuple[Call, ...]:
        return (Call("+"),)


class Multiply(_Elementwise):
    """Product of several steps; axes of size 1 stretch to those of one operand, as for a gate (*).

    Source: Squeeze-and-Excitation Networks, https://arxiv.org/abs/1709.01507
    """

    op = "multiply"
    torch = "*"
    also_called = (
        *("mul", "times", "product", "prod", "multiplication", "multiplied", "eltwise_mul", "elementwise_mul"),
        *("elementwise_multiply", "elementwise_product", "hadamard", "gate", "gating", "excite"),
    )

    def infer(self) -> Shape:
        full = max(self.inputs, key=elements)
        for n, shape in enumerate(self.inputs):
            if len(shape) != len(full) or any(size not in (1, whole) for size, whole in zip(shape, full, strict=True)):
                whole_text = self.operand(self.inputs.index(full))
                raise self.error("shape", f"operands do not fit: {whole_text} and {self.operand(n)}")
        return full

    def calls(self) -> tuple[Call, ...]:
        return (Call("*"),)


class Concat(Op):
    """Several steps side by side along an axis, all other axes equal (torch.cat)."""

    op = "concat"
    torch = "torch.cat"
    also_called = (
        *("cat", "concatenate", "concatenation", "concatenated", "join", "merge", "route", "depth_concat"),
        *("depthconcat", "channel_concat", "filter_concat"),
    )
    arity = None
    color = "#fce5cd"

    axis: str = arg(
        Axis(), "the axis along which the sizes add up", "channels", also_called=("dim", "dimension", "along")
    )

    @property
    def position(self) -> int:
        """Where the axis stands in a shape."""
        return axis_names(self.rank).index(self.axis)

    def infer(self) -> Shape:
        at = self.position
        before, after = self.input[:at], self.input[at + 1 :]
        for n, shape in enumerate(self.inputs):
            if len(shape) != len(self.input) or shape[:at] != before or shape[at + 1 :] != after:
                shapes = f"{self.operand(0)} and {self.operand(n)}"
                raise self.error("shape", f"operands differ beside the {self.axis}: {shapes}")
        return (*before, sum(shape[at] for shape in self.inputs), *after)

    def calls(self) -> tuple[Call, ...]:
        return (Call(self.torch_name, {"dim": 1 + self.position}, listed=True),)


OPS = (Add, Multiply, Concat)
