"""What an op is. Everything the compiler knows of an op comes from its one class.

A subclass declares its arguments as typed fields, in the order the language lists them (the first one is what
`- op: value` sets), and says what follows from them: the output shape, the weights, the cost, the torch call.
An instance is an op *applied*: it knows the shapes it reads, so every question is answered without arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from archspec._cached import cached_property
from archspec.errors import Complaint, Help
from archspec.ops.fields import REQUIRED, Field, axis_names
from archspec.shapes import LIMIT, Shape, elements, shape_text


@dataclass(frozen=True)
class Call:
    """One torch call as plain data, which lowering executes and rendering prints.

    `target` is `nn.X` for a module, `torch.x` or `F.x` for a function, `+` or `*` for the operator between all
    inputs, or the name of a class of `archspec.backends.layers`. `arguments` are keywords.
    A function takes its inputs first, one by one, or as one list where `listed`.
    """

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    listed: bool = False

    @property
    def is_module(self) -> bool:
        """Whether this call constructs a module (which may hold state) rather than computes a value."""
        return self.target.startswith("nn.") or self.target.isidentifier()


class Figures(NamedTuple):
    """MACs, FLOPs, and how many numbers the output holds."""

    macs: int
    flops: int
    output: int


class Op:
    """An op applied to inputs. Abstract: the ops are the final classes that `OPS` lists.

    Raises Complaint where the arguments or the input shapes do not fit.
    """

    op: ClassVar[str] = ""
    """Its name in a spec."""
    torch: ClassVar[str] = ""
    """The torch class or function that it stands for, with `*d` for the rank."""
    fields: ClassVar[dict[str, Field]] = {}
    arity: ClassVar[int | None] = 1
    """How many inputs it reads; None: two or more, in order."""
    ranks: ClassVar[tuple[int, ...]] = (0, 1, 2, 3)
    """How many spatial axes its input may have."""
    work: ClassVar[float] = 0
    """FLOPs per element of the output, beside `2 * macs`."""
    work_doc: ClassVar[str] = ""
    """The same in words, where it is not a plain factor."""
    weighted: ClassVar[bool] = False
    """Whether its MACs count: convolutions and linear layers, which make the depth of a network."""

    _defaults: ClassVar[dict[int, dict[str, Any]]] = {}
    """The default arguments in canonical form, by the rank of the input; without those that do not fit it."""

    inputs: tuple[Shape, ...]
    output: Shape

    def __init_subclass__(cls) -> None:
        inherited = dict(cls.fields)
        declared = {name: value for name, value in vars(cls).items() if isinstance(value, Field)}
        cls.fields = {**inherited, **declared} if inherited else declared
        cls._defaults = {}

    def __init__(self, inputs: tuple[Shape, ...], arguments: Mapping[str, object], names: tuple[str, ...] = ()) -> None:
        """Apply the op to inputs of these shapes; `names` are what messages call them."""
        self.inputs = inputs
        self.names = names
        self._check_inputs()
        rank = self.rank
        defaults = self._defaults.get(rank)
        if defaults is None:
            defaults = self._defaults[rank] = self._parsed_defaults(rank)
        self.__dict__.update(defaults)
        for name, declared in self.fields.items():
            value = arguments.get(name, declared.default)
            if value is REQUIRED:
                raise Complaint("argument", f"{self.op} needs `{name}`: {declared.doc}", argument=name)
            if name in arguments or name not in defaults:
                try:
                    setattr(self, name, declared.parse(value, rank))
                except Complaint as error:
                    raise self.error(error.code, f"{name}: {error.message}", name, error.help) from None
        self.output = self.infer()
        if max(self.output) >= LIMIT:
            raise self.error("limit", f"the output {shape_text(self.output)} is beyond the size limit of 2**63")

    @classmethod
    def _parsed_defaults(cls, rank: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, declared in cls.fields.items():
            if declared.default is not REQUIRED:
                with suppress(Complaint):
                    found[name] = declared.parse(declared.default, rank)
        return found

    def __setattr__(self, name: str, value: object) -> None:
        """An op does not change once it knows its output: networks share equal ones."""
        if "output" in self.__dict__:
            raise AttributeError(f"{self.op}.{name} is set already: an applied op does not change")
        super().__setattr__(name, value)

    def _check_inputs(self) -> None:
        given = len(self.inputs)
        if given < 2 if self.arity is None else given != self.arity:
            wanted = "two or more" if self.arity is None else self.arity
            raise self.error("argument", f"inputs given: {given}, wanted: {wanted}", "from")
        if self.rank not in self.ranks:
            layouts = " or ".join(f"{rank + 1}-D ({', '.join(axis_names(rank))})" for rank in self.ranks)
            raise self.error("shape", f"the input {shape_text(self.input)} is not {layouts}")
        if any(min(shape) < 1 for shape in self.inputs):
            raise self.error("shape", f"an input is empty: {' and '.join(map(shape_text, self.inputs))}")

    def error(self, code: str, message: str, argument: str | None = None, help: Help = None) -> Complaint:
        """An error of this op, to raise."""
        return Complaint(code, f"{self.op}: {message}", help, argument=argument)

    def operand(self, position: int) -> str:
        """An input as messages show it: `64x56x56 (bn2)`."""
        text = shape_text(self.inputs[position])
        return f"{text} ({self.names[position]})" if self.names else text

    @classmethod
    def required(cls) -> list[str]:
        """The arguments that have no default."""
        return [name for name, field in cls.fields.items() if field.default is REQUIRED]

    # What a subclass answers.

    def infer(self) -> Shape:
        """The output shape; Complaint where the op cannot be applied. Default: the input's."""
        return self.input

    def weights(self) -> dict[str, Shape]:
        """Shape of each trained tensor, by its name in the module."""
        return {}

    def buffers(self) -> dict[str, Shape]:
        """Shape of each tensor that is state but not trained, by its name in the module."""
        return {}

    def macs(self) -> int:
        """Multiply-accumulates for one sample."""
        return 0

    def flops(self) -> int:
        """Floating-point operations for one sample: `2 * macs` plus the elementwise work."""
        return 2 * self.macs() + int(self.work * elements(self.output))

    def calls(self) -> tuple[Call, ...]:
        """The torch calls, each fed with the result of the one before; at most one of them is a module with state."""
        raise NotImplementedError

    def summary(self) -> str:
        """Its arguments as a table shows them: `7x7/2, 64`. Default: those that are not at their default."""
        given = {name: getattr(self, name) for name in self.fields}
        shown = {name: value for name, value in given.items() if value != self.fields[name].default}
        return ", ".join(f"{name}={str(v).lower() if isinstance(v, bool) else v}" for name, v in shown.items())

    # What follows.

    @property
    def input(self) -> Shape:
        """The shape of the first input."""
        return self.inputs[0]

    @property
    def channels(self) -> int:
        """Channels (or features) of the first input."""
        return self.inputs[0][0]

    @property
    def spatial(self) -> Shape:
        """The spatial axes of the first input."""
        return self.inputs[0][1:]

    @property
    def rank(self) -> int:
        """How many spatial axes the first input has."""
        return len(self.inputs[0]) - 1

    @property
    def torch_name(self) -> str:
        """The torch class for the rank of the input; torch has no 0-D classes, its 1-D ones read features too."""
        return self.torch.replace("*", str(max(1, self.rank)))

    @cached_property
    def params(self) -> int:
        """How many numbers it trains."""
        return sum(map(elements, self.weights().values()))

    @cached_property
    def buffer_elements(self) -> int:
        """How many numbers it keeps without training them."""
        return sum(map(elements, self.buffers().values()))

    @cached_property
    def figures(self) -> Figures:
        """What it takes, for one sample."""
        return Figures(self.macs(), self.flops(), elements(self.output))

    def args(self) -> dict[str, Any]:
        """Every argument in canonical form, as JSON data."""
        return {name: jsonable(getattr(self, name)) for name in self.fields}

    def __eq__(self, other: object) -> bool:
        """Whether `other` is the same op, with equal arguments, on inputs of the same shapes."""
        if not isinstance(other, Op):
            return NotImplemented
        return self is other or (type(self), self.inputs, self.args()) == (type(other), other.inputs, other.args())

    def __hash__(self) -> int:
        return hash((self.op, self.inputs))

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.fields)
        return f"{self.op}({given})"


def jsonable(value: Any) -> Any:
    """Tuples as lists; a pair of equal paddings as its one number."""
    if isinstance(value, tuple):
        if value and all(isinstance(item, tuple) and len(set(item)) == 1 for item in value):
            return [item[0] for item in value]
        return [jsonable(item) for item in value]
    return value
