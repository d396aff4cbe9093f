"""Ops that read several steps. Which ones, `from` says; an op only sees their shapes, in order."""

from __future__ import annotations

from archspec.ops.base import ANY_RANK, Call, Op
from archspec.ops.fields import LAST, Axis, arg, axis_position, torch_dim
from archspec.ops.shape_help import equal_help, fit_help, same_size_help
from archspec.shapes import Shape, elements


class _Elementwise(Op):
    """What the merges with an operator between all operands share. Abstract."""

    arity = None
    ranks = ANY_RANK
    color = "#fce5cd"
    overwritable = True
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
    instead_of_number = "archspec has no constants yet; a learned one is the `bias` of a `conv`"

    def infer(self) -> Shape:
        for n, shape in enumerate(self.inputs):
            if shape != self.input:
                message = f"operands differ: {self.operand(0)} and {self.operand(n)}"
                help = equal_help(self.input, shape, (self.names[0], self.names[n])) if self.names else None
                raise self.error("shape", message, help=help)
        return self.input

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
    instead_of_number = "a learned factor per channel is `scale: {init: {value}}`"

    def infer(self) -> Shape:
        full = max(self.inputs, key=elements)
        for n, shape in enumerate(self.inputs):
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

    def calls(self) -> tuple[Call, ...]:
        return (Call(self.torch_name, {"dim": torch_dim(self.axis, self.rank)}, listed=True),)


OPS = (Add, Multiply, Concat)
