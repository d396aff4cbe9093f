"""Functions of one value, element by element, reductions over axes, and products of matrices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archspec.errors import Complaint
from archspec.ops.base import ANY_RANK, Call, Op
from archspec.ops.fields import MAX_AXES, Axis, AxisNumber, Bool, Float, Kind, arg, axis_position, torch_dim
from archspec.ops.free import Buffer
from archspec.ops.merge import EqualShapes, number
from archspec.shapes import HERE, Lead, Reach, Shape, elements, shape_text


class _Function(Op):
    """A function of torch that works element by element. Abstract."""

    local = True
    work = 1
    ranks = ANY_RANK
    broadcasts = True
    on_line_of_input = True

    def calls(self) -> tuple[Call, ...]:
        given = {name: getattr(self, name) for name in self.fields}
        return (Call(self.torch, {name: value for name, value in given.items() if value is not None}),)


class Neg(_Function):
    """The negative of each number (torch.neg)."""

    op = "neg"
    torch = "torch.neg"
    also_called = ("negative", "negate", "negation", "unary_minus")
    overwritable = True


class Exp(_Function):
    """The exponential of each number (torch.exp)."""

    op = "exp"
    torch = "torch.exp"
    also_called = ("exponential", "e_to_the")


class Sin(_Function):
    """The sine of each number, as of the angles of a position encoding (torch.sin).

    Source: Attention Is All You Need, https://arxiv.org/abs/1706.03762
    """

    op = "sin"
    torch = "torch.sin"
    also_called = ("sine",)


class Cos(_Function):
    """The cosine of each number (torch.cos)."""

    op = "cos"
    torch = "torch.cos"
    also_called = ("cosine",)


class Log(_Function):
    """The natural logarithm of each number (torch.log)."""

    op = "log"
    torch = "torch.log"
    also_called = ("logarithm", "natural_log")
    overwritable = True


class Sqrt(_Function):
    """The square root of each number (torch.sqrt)."""

    op = "sqrt"
    torch = "torch.sqrt"
    also_called = ("square_root", "root")


class Square(_Function):
    """The square of each number (torch.square)."""

    op = "square"
    torch = "torch.square"
    also_called = ("squared", "sqr")
    overwritable = True


class Abs(_Function):
    """The absolute value of each number (torch.abs)."""

    op = "abs"
    torch = "torch.abs"
    also_called = ("absolute", "magnitude", "absolute_value")
    overwritable = True


class Number(Kind):
    """A number; integers stay integers."""

    expected = "a number"

    def parse(self, value: object, rank: int) -> Any:
        return number(value, rank)

    def schema(self) -> dict[str, Any]:
        return Float().schema()


class Pow(_Function):
    """Each number raised to a power (torch.pow)."""

    op = "pow"
    torch = "torch.pow"
    also_called = ("power", "exponentiate", "to_the_power")
    overwritable = True

    on_line_of_input = False

    exponent: float = arg(Number(), "the power", also_called=("power", "p", "n"), free=True)


class Clamp(_Function):
    """Each number, but no less than `min` and no more than `max` (torch.clamp)."""

    op = "clamp"
    torch = "torch.clamp"
    also_called = ("clip", "clip_by_value", "limit")
    example = "{min: 0}"
    on_line_of_input = False
    overwritable = True

    min: float | None = arg(Number(), "the least number", None, also_called=("minimum", "low", "lower", "min_value"))
    max: float | None = arg(
        Number(), "the greatest number", None, also_called=("maximum", "high", "upper", "max_value")
    )

    def infer(self) -> Shape:
        if self.min is None and self.max is None:
            raise self.error("argument", "expected `min`, `max` or both, got neither")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise self.error("value", f"expected `min` below `max`, got {self.min} and {self.max}", "min")
        return self.input


class _Extremum(EqualShapes):
    """The greater or the lesser of two operands, element by element. Abstract."""

    bound = ""

    def infer(self) -> Shape:
        if self.operands != 2:
            raise self.error("argument", f"expected two operands, got {self.operands}", "from")
        return super().infer()

    def calls(self) -> tuple[Call, ...]:
        numbers = [value for value in self.numbers or () if value is not None]
        return (Call("torch.clamp", {self.bound: numbers[0]}) if numbers else Call(self.torch),)


class Minimum(_Extremum):
    """The lesser of two operands, element by element (torch.minimum)."""

    op = "minimum"
    torch = "torch.minimum"
    also_called = ("min", "lesser", "elementwise_min", "eltwise_min")
    bound = "max"


class Maximum(_Extremum):
    """The greater of two operands, element by element (torch.maximum).

    Source: Maxout Networks, https://arxiv.org/abs/1302.4389
    """

    op = "maximum"
    torch = "torch.maximum"
    also_called = ("greater", "elementwise_max", "eltwise_max", "maxout")
    bound = "min"


class Axes(Kind):
    """One axis of the input by its name, or several; canonical: a tuple in the order of the axes."""

    expected = "an axis of the input, or several,"
    takes_lists = True
    example = "[height, width]"

    def __init__(self) -> None:
        self.axis = Axis()

    def parse(self, value: object, rank: int) -> tuple[str, ...]:
        names = value if isinstance(value, list | tuple) else [value]
        if not names:
            raise Complaint("value", "expected at least one axis, got an empty list")
        found = [self.axis.parse(name, rank) for name in names]
        if len({axis_position(name, rank) for name in found}) < len(found):
            raise Complaint("value", f"expected each axis once, got {', '.join(found)}")
        return tuple(sorted(found, key=lambda name: axis_position(name, rank)))

    def schema(self) -> dict[str, Any]:
        words = list(self.axis.options)
        return {
            "type": ["string", "array"],
            "items": {"type": "string", "pattern": f"^({'|'.join(words)})$"},
            "pattern": f"^({'|'.join(words)})$",
            "minItems": 1,
            "maxItems": MAX_AXES,
        }


class _Reduction(Op):
    """What the reductions over axes share. Abstract."""

    ranks = ANY_RANK
    overwritable = True
    work_doc = "1 per element of the input"

    axes: tuple[str, ...] = arg(Axes(), "the axes that are reduced", also_called=("axis", "dim", "dims", "over"))
    keep: bool = arg(
        Bool(), "keep each reduced axis, with size 1", False, also_called=("keepdim", "keepdims", "keep_dims")
    )

    def infer(self) -> Shape:
        places = self._places()
        if self.keep:
            return tuple([1 if n in places else size for n, size in enumerate(self.input)])
        left = tuple([size for n, size in enumerate(self.input) if n not in places])
        if not left:
            help = "`keep: true` keeps them with size 1"
            raise self.error("shape", "no axis is left; a value has at least one", "axes", help)
        return left

    def _places(self) -> list[int]:
        return [axis_position(name, self.rank) for name in self.axes]

    def flops(self) -> int:
        return elements(self.input)

    def reach(self) -> tuple[Reach, ...] | None:
        return (HERE,) * self.rank if self.axes == ("channels",) and self.keep else None

    def calls(self) -> tuple[Call, ...]:
        dims = [torch_dim(name, self.rank) for name in self.axes]
        return (Call(self.torch, {"dim": dims[0] if len(dims) == 1 else tuple(dims), "keepdim": self.keep}),)

    def summary(self) -> str:
        return ", ".join([*self.axes, *(["keep"] if self.keep else [])])


class Mean(_Reduction):
    """The mean over axes (torch.mean)."""

    op = "mean"
    torch = "torch.mean"
    also_called = ("reduce_mean", "average", "avg")
    example = "{axes: channels, keep: true}"


class Max(_Reduction):
    """The greatest number along axes, as in CBAM's spatial attention (torch.amax).

    Source: CBAM, https://arxiv.org/abs/1807.06521
    """

    op = "max"
    torch = "torch.amax"
    also_called = ("reduce_max", "amax")
    example = "{axes: channels, keep: true}"
    overwritable = False


class Sum(_Reduction):
    """The sum over axes (torch.sum)."""

    op = "sum"
    torch = "torch.sum"
    also_called = ("reduce_sum", "sum_pool")
    example = "{axes: channels, keep: true}"


class Normalize(Op):
    """Vectors along an axis scaled to length 1, as for a cosine similarity (F.normalize).

    Source: NormFace, https://arxiv.org/abs/1704.06369
    """

    op = "normalize"
    torch = "F.normalize"
    also_called = ("l2_normalize", "l2_norm", "normalise", "l2norm", "unit_norm", "normalization")
    ranks = ANY_RANK
    work = 3
    work_doc = "3 per element: its share of the length, the sum, and the division"

    axis: str = arg(Axis(), "the axis along which the vectors lie", "channels", also_called=("dim", "dimension"))
    p: float = arg(
        Float(0, open_minimum=True), "the exponent of the norm", 2.0, also_called=("norm", "ord", "order", "power")
    )
    eps: float = arg(Float(0), "the least length that is divided by", 1e-12, also_called=("epsilon",))

    def reach(self) -> tuple[Reach, ...] | None:
        return (HERE,) * self.rank if self.axis == "channels" else None

    def calls(self) -> tuple[Call, ...]:
        return (Call(self.torch, {"p": self.p, "dim": torch_dim(self.axis, self.rank), "eps": self.eps}),)


class MatMul(Op):
    """The product of two matrices, which are the last two axes; those before are equal (@)."""

    op = "matmul"
    torch = "@"
    also_called = ("mat_mul", "bmm", "mm", "matrix_multiply", "matrix_product", "batch_matmul", "batched_matmul")
    arity = None
    commutative = False
    color = "#fce5cd"
    ranks = ANY_RANK[1:]
    broadcasts = True
    weighted = True
    overwritable = True

    def infer(self) -> Shape:
        if len(self.inputs) != 2:
            raise self.error("argument", f"expected two inputs, got {len(self.inputs)}", "from")
        if self.lead is not Lead.BATCH:
            raise self.error("argument", "expected an operand that depends on the input, got free tensors only", "from")
        left, right = self.inputs
        if len(left) != len(right) or left[:-2] != right[:-2]:
            message = f"operands differ in an axis before the last two: {self.operand(0)} and {self.operand(1)}"
            raise self.error("shape", message)
        if left[-1] != right[-2]:
            message = f"the last axis of {self.operand(0)} is not the one before the last of {self.operand(1)}"
            swapped = len(right) >= 2 and left[-1] == right[-1]
            order = [*range(len(right) - 2), len(right) - 1, len(right) - 2]
            help = f"swap the last two axes of the second: `permute: {order}`" if swapped else None
            raise self.error("shape", message, help=help)
        return (*left[:-1], right[-1])

    def macs(self) -> int:
        return elements(self.output) * self.input[-1]

    def calls(self) -> tuple[Call, ...]:
        return (Call("@"),)


class Gather(Op):
    """Rows of a table by an index, `table[index]`, as Swin's relative position bias ([]).

    The index is a `buffer` of integers, of any shape. The table is a free tensor, or any other value, of whose samples
    the rows are read: `table[:, index]`. What is found stands in place of the axis that the index counts along.

    Source: Swin Transformer, https://arxiv.org/abs/2103.14030
    """

    op = "gather"
    torch = "[]"
    also_called = ("lookup", "take_rows", "embedding_lookup", "index", "getitem", "table_lookup")
    arity = None
    ranks = ANY_RANK
    commutative = False
    broadcasts = True
    example = "[table, index]"

    axis: int = arg(
        AxisNumber(), "the axis of the table along which the index counts", 0, also_called=("dim", "dimension", "along")
    )

    def infer(self) -> Shape:
        if len(self.inputs) != 2:
            raise self.error("argument", f"expected a table and an index, got {len(self.inputs)} inputs", "from")
        if not self.leads or self.leads[1] is not Lead.NONE:
            message = f"expected an index as it is stored, without a batch, got {self.operand(1)}"
            help = "a `buffer` of this shape; what `reshape` and its like make of one has an axis in place of the batch"
            raise self.error("shape", message, "from", help)
        table, index = self.inputs
        found = (*table[: self.axis], *index, *table[self.axis + 1 :])
        if len(found) > MAX_AXES:
            raise self.error("shape", f"the result {shape_text(found)} has more than {MAX_AXES} axes")
        return found

    def check_free(self, free: Mapping[int, Op]) -> None:
        index = free.get(1)
        numbers = index.integers() if isinstance(index, Buffer) else None
        if numbers is None:
            what = "what is computed of free tensors" if index is None else f"a {index.op}"
            message = f"expected an index of integers, got {what}{' of floats' * isinstance(index, Buffer)}"
            raise self.error("type", message, "from", "a `buffer` whose values have no point: `values: [0, 1, 1, 0]`")
        rows = self.input[self.axis]
        wrong = next((number for number in numbers if not -rows <= number < rows), None)
        if wrong is not None:
            where = f" along its axis {self.axis}" if self.axis else ""
            raise self.error("value", f"the index {wrong} is beyond the {rows} rows of the table{where}", "from")

    def calls(self) -> tuple[Call, ...]:
        return (Call(f"[{':, ' * (self.axis + (self.leads[0] is not Lead.NONE))}]"),)

    def summary(self) -> str:
        return f"axis {self.axis}" if self.axis else ""


OPS = (
    *(Neg, Exp, Sin, Cos, Log, Sqrt, Square, Abs, Pow, Clamp),
    *(Minimum, Maximum, Mean, Max, Sum, Normalize, MatMul, Gather),
)
