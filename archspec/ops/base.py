"""What an op is. Everything that archspec knows of one op comes from its one class.

A subclass declares its arguments as typed fields, in the order the language lists them (the first one is what
`- op: value` sets), and says what follows from them: the output shape, the weights, the cost, the torch calls. What is
said of the op elsewhere, in generated code, drawings and messages, stands on the class too. An instance is an op
*applied*: it knows the shapes it reads, so every question is answered without arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from archspec._cached import cached_property
from archspec.errors import Complaint, Help
from archspec.ops.fields import MAX_AXES, REQUIRED, Field, Operand
from archspec.ops.torch_api import FUNCTIONS, IDENTITY, OPERATORS, SIGNATURES, Signature
from archspec.shapes import HERE, LIMIT, Lead, Reach, Shape, elements, shape_text

ANY_RANK = tuple(range(MAX_AXES))
"""How many spatial axes an op may read that treats all of them alike."""


@dataclass(frozen=True)
class Call:
    """One torch call as plain data, which lowering executes and rendering prints.

    It is given all inputs, or those at the positions `reads`, a module also the keywords `options`; of several results
    it takes the one at `item`. `size_of` is the position of an input whose spatial axes are the argument `size`.

    `target` is `nn.X` for a module, `torch.x` or `F.x` for a function, one of `OPERATORS` for the operator between all
    inputs, or the name of a class of `archspec.backends.layers`. `arguments` are keywords.
    A function takes its inputs first, one by one, or as one list where `listed`.

    Raises: LookupError if `torch_api.py` does not know the target, or one of the arguments.
    """

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    listed: bool = False
    reads: tuple[int, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    item: int | None = None
    size_of: int | None = None

    def __post_init__(self) -> None:
        if self.is_operator:
            return
        known = _signature(self.target).parameters
        for name in self.arguments:
            if name not in known:
                raise LookupError(f"`{self.target}` has no argument `{name}` in archspec/ops/torch_api.py")

    @property
    def is_module(self) -> bool:
        """Whether this call constructs a module (which may hold state) rather than computes a value."""
        return makes_module(self.target)

    def as_function(self) -> Call:
        """Return the call of the function that computes what the module does. Raises: KeyError if there is none."""
        form = FUNCTIONS[self.target]
        leading = dict(zip(_signature(form.name).parameters, form.leading, strict=False))
        return Call(form.name, {**leading, **self.arguments})

    @property
    def is_operator(self) -> bool:
        """Whether an operator stands between all inputs."""
        return self.target in OPERATORS


def makes_module(target: str) -> bool:
    """Return whether the target of a call is the class of a module."""
    return target.startswith("nn.") and target[3].isupper() or target.isidentifier()


class Figures(NamedTuple):
    """MACs, FLOPs, and how many numbers the output holds."""

    macs: int
    flops: int
    output: int


class Op:
    """An op applied to inputs. Abstract: the ops are the final classes, those with a name.

    Raises: Complaint if the arguments or the input shapes do not fit.
    """

    op: ClassVar[str] = ""
    """Its name in a spec."""
    torch: ClassVar[str] = ""
    """The torch class or function that it stands for, with `*d` for the rank."""
    also_called: ClassVar[tuple[str, ...]] = ()
    """What other frameworks and people call it: messages answer these words with its name."""
    fields: ClassVar[dict[str, Field]] = {}
    arity: ClassVar[int | None] = 1
    """How many inputs it reads; None: two or more, in order. Without any it is a free tensor: see `free.py`."""
    counts: ClassVar[tuple[int, ...]] = ()
    """How many it may read, where several numbers are right."""
    operand_names: ClassVar[tuple[str, ...]] = ()
    """What its inputs are called, where each has a part of its own."""
    reads_parts: ClassVar[bool] = True
    """Whether the results of a step before it may be these inputs, one by one."""
    takes_numbers: ClassVar[bool] = False
    """Whether some of its operands may be numbers; a merge then has a field `numbers` for them."""
    commutative: ClassVar[bool] = True
    """Whether a merge gives the same result whatever the order of its inputs."""
    foreign_arguments: ClassVar[Mapping[str, str]] = {}
    """What to do instead of arguments that it has elsewhere and not here, by their names."""
    instead_of_number: ClassVar[str] = ""
    """What to do instead of reading a number, which stands for `{value}`; for merges."""
    ranks: ClassVar[tuple[int, ...]] = (0, 1, 2, 3)
    """How many spatial axes its input may have."""
    work: ClassVar[float] = 0
    """FLOPs per element of the output, beside `2 * macs`."""
    work_doc: ClassVar[str] = ""
    """The same in words, where it is not a plain factor."""
    weighted: ClassVar[bool] = False
    """Whether its MACs count: convolutions and linear layers, which make the depth of a network."""
    initial: ClassVar[Mapping[str, str]] = {}
    """What torch draws each tensor from, by its name in the module: those that `init:` may draw otherwise.

    A rule that names no tensor is about the first one.
    """
    submodules: ClassVar[Mapping[str, str]] = {}
    """The modules within its torch module that have weights, by name, with the class that `isinstance` finds there.

    A rule for the op of that class does not draw them.
    """
    batch_statistics: ClassVar[bool] = False
    """Whether training needs several values per channel, counted over the batch and the spatial axes."""

    broadcasts: ClassVar[bool] = False
    """Whether it works element by element, so that torch fits free tensors, which have no batch, to the others."""
    wants: ClassVar[str] = ""
    """What its input is laid out as: an `image`, channels first, or `tokens`, features last; empty for either."""
    gives: ClassVar[str] = ""
    """What its output is laid out as; empty for what its input is, where the shapes are equal."""

    functional: ClassVar[bool] = False
    """Whether generated code may call the function form in `forward`, with no module in `__init__`."""
    without_module: ClassVar[bool] = False
    """Whether a built network calls the function form too, with no child for it, unless the spec gives it a name."""
    on_line_of_input: ClassVar[bool] = False
    """Whether generated code writes it on the line of the layer that it follows: `F.relu(self.conv(x))`."""
    on_line_of_reader: ClassVar[bool] = False
    """Whether generated code writes what follows it on its line: `torch.flatten(self.pool(x), 1)`."""

    methods: ClassVar[bool] = False
    """Whether generated code writes its functions as methods: `x.flatten(2).transpose(1, 2)`."""
    in_chain: ClassVar[bool] = True
    """Whether it may stand in an `nn.Sequential`: its module is given one value, and gives one."""

    color: ClassVar[str] = ""
    """The fill of its box in a drawing; empty for the plain one."""
    example: ClassVar[str] = ""
    """What follows `- op: ` in the sample step of the reference; empty where any values of its fields do."""
    local: ClassVar[bool] = False
    """Whether a place of the output reads the same place of each input, and no other."""
    overwritable: ClassVar[bool] = False
    """Whether its result is new memory that its own gradient does not need: what reads it alone may overwrite it."""

    _defaults: ClassVar[dict[int, dict[str, Any]]] = {}
    """The default arguments in canonical form, by the rank of the input; without those that do not fit it."""

    persistent: bool = True
    """Whether the state_dict has its buffers."""

    inputs: tuple[Shape, ...]
    leads: tuple[Lead, ...]
    """What stands before the shape of each input; empty where that is the batch for all."""
    output: Shape

    def __init_subclass__(cls) -> None:
        """Collect the fields. Raises: TypeError if `torch_api.py` does not know what the op stands for."""
        inherited = dict(cls.fields)
        declared = {name: value for name, value in vars(cls).items() if isinstance(value, Field)}
        found = {**inherited, **declared}
        cls.fields = dict(sorted(found.items(), key=lambda entry: entry[1].internal)) if inherited else declared
        cls._defaults = {}
        if cls.op:
            cls._check_torch()

    @classmethod
    def _check_torch(cls) -> None:
        for rank in cls.ranks:
            target = cls._torch_name(rank)
            if target not in SIGNATURES and target not in OPERATORS:
                raise TypeError(f"{cls.op}: {_unknown(target)}")
            if cls.functional and target.startswith("nn.") and target not in FUNCTIONS and target != IDENTITY:
                raise TypeError(f"{cls.op} is functional, but archspec/ops/torch_api.py has no function for `{target}`")

    @classmethod
    def _torch_name(cls, rank: int) -> str:
        """Return the torch class for a rank; torch has no 0-D classes, its 1-D ones read features too."""
        return cls.torch.replace("*d", f"{max(1, rank)}d")

    def __init__(
        self,
        inputs: tuple[Shape, ...],
        arguments: Mapping[str, object],
        names: tuple[str, ...] = (),
        leads: tuple[Lead, ...] = (),
    ) -> None:
        """Apply the op to inputs of these shapes; `names` are what messages call them."""
        self.inputs = inputs
        self.leads = leads
        self.names = names
        self._check_inputs(len(arguments.get("numbers") or inputs))  # type: ignore[arg-type]
        rank = self.rank
        defaults = self._defaults.get(rank)
        if defaults is None:
            defaults = self._defaults[rank] = self._parsed_defaults(rank)
        self.__dict__.update(defaults)
        for name, declared in self.fields.items():
            value = arguments.get(name, declared.default)
            if value is REQUIRED:
                message = f"{self.op}: missing argument `{name}`"
                raise Complaint("argument", message, f"{name}: {declared.doc}", argument=name)
            if name in arguments or name not in defaults:
                try:
                    setattr(self, name, declared.parse(value, rank))
                except Complaint as error:
                    raise self.error(error.code, f"{name}: {error.message}", name, error.help) from None
        self.output = self.infer()
        if max(self.output, default=0) >= LIMIT:
            raise self.error("limit", f"the output {shape_text(self.output)} exceeds the limit of 2**63")

    @classmethod
    def _parsed_defaults(cls, rank: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, declared in cls.fields.items():
            if declared.default is not REQUIRED:
                with suppress(Complaint):
                    found[name] = declared.parse(declared.default, rank)
        return found

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse changes once the output is known: networks share equal ops."""
        if "output" in self.__dict__:
            raise AttributeError(f"{self.op}.{name} is set already: an applied op does not change")
        super().__setattr__(name, value)

    def _check_inputs(self, operands: int) -> None:
        """Check number and shape of the inputs, which are `operands` with the numbers among them."""
        given = len(self.inputs)
        if self.arity == 0:
            if given:
                raise self.error("argument", f"expected no input, got {given}", "from")
            return
        if self.arity is None and not given:
            raise self.error("argument", "expected a tensor among the operands, got numbers only", "from")
        if not self.reads_as_many(operands if self.arity is None else given):
            names = ", ".join(self.operand_names)
            help = f"`from: [{names}]`, or a `split` into as many parts before it" if names else None
            raise self.error("argument", f"expected {self.inputs_text()}, got {given}", "from", help)
        if self.rank not in self.ranks:
            low, high = 1 + min(self.ranks), 1 + max(self.ranks)
            axes = f"{low} to {high} axes" if low < high else f"{low} axes"
            help = None if self.rank else "the input has only features; `linear` reads those"
            message = f"expected an input of {axes}, channels first, got {shape_text(self.input)}"
            raise self.error("shape", message, help=help)
        if any(min(shape, default=1) < 1 for shape in self.inputs):
            raise self.error(
                "shape", f"expected inputs that are not empty, got {' and '.join(map(shape_text, self.inputs))}"
            )

    def error(self, code: str, message: str, argument: str | None = None, help: Help = None) -> Complaint:
        """Return an error of this op, to raise."""
        return Complaint(code, f"{self.op}: {message}", help, argument=argument)

    def operand(self, position: int) -> str:
        """Return an input as messages show it: `64x56x56 (bn2)`."""
        text = shape_text(self.inputs[position])
        return f"{text} ({self.names[position]})" if self.names else text

    @classmethod
    def operand_fields(cls) -> tuple[str, ...]:
        """Return the arguments that name a further input of the op."""
        return tuple(name for name, field in cls.fields.items() if isinstance(field.kind, Operand))

    @classmethod
    def reads_several(cls) -> bool:
        """Return whether it always reads more than one input."""
        return cls.arity is None or cls.arity > 1

    @classmethod
    def reads_as_many(cls, count: int) -> bool:
        """Return whether it reads this many inputs, those that arguments name among them."""
        if cls.arity is None:
            return count >= 2
        return any(number <= count <= number + len(cls.operand_fields()) for number in cls.counts or (cls.arity,))

    @classmethod
    def inputs_text(cls) -> str:
        """Return how many inputs it reads, in words."""
        if cls.arity is None:
            return "two or more inputs"
        words = ["no", "one", "two", "three", "four"]
        counts = cls.counts or (cls.arity,)
        found = f"{' or '.join(words[count] for count in counts)} input{'s' if counts != (1,) else ''}"
        return f"{found} ({', '.join(cls.operand_names)})" if cls.operand_names else found

    @classmethod
    def required(cls) -> list[str]:
        """Return the names of the arguments that have no default."""
        return [name for name, field in cls.fields.items() if field.default is REQUIRED]

    # What a subclass answers.

    def surprise(self) -> Complaint | None:
        """Return what is allowed here, but surprises, as a warning; default: nothing."""
        return None

    def check_free(self, free: Mapping[int, Op]) -> None:
        """Check the free tensors among the inputs, by their places. Raises: Complaint if one does not fit."""
        if self.weighted or self.weights():
            for place, other in free.items():
                if other.integers() is not None:
                    message = f"expected floats, got the integers of {self.operand(place)}"
                    raise self.error("type", message, "from", "write the values of the `buffer` with a point: `2.0`")

    def integers(self) -> list[int] | None:
        """Return the numbers of a free tensor, in any order, if all are integers; else None."""
        return None

    def infer(self) -> Shape:
        """Return the output shape; by default the input's. Raises: Complaint if the op cannot be applied."""
        return self.input

    def results(self) -> tuple[dict[str, Any], ...]:
        """Return the arguments that give each of its results alone, where it has several; none where it has one."""
        return ()

    def whole(self) -> Op:
        """Return the op with all its results, of which this one may be."""
        return self

    def weights(self) -> dict[str, Shape]:
        """Return the shape of each trained tensor, by its name in the module."""
        return {}

    def buffers(self) -> dict[str, Shape]:
        """Return the shape of each tensor that is state but not trained, by its name in the module."""
        return {}

    def macs(self) -> int:
        """Count the multiply-accumulates for one sample."""
        return 0

    def flops(self) -> int:
        """Count the floating-point operations for one sample: `2 * macs` plus the elementwise work."""
        return 2 * self.macs() + int(self.work * elements(self.output))

    def calls(self) -> tuple[Call, ...]:
        """Return the torch calls, each fed with the result of the one before.

        At most one of them makes a module with state. An argument is either passed on as it is or computed with integer
        arithmetic, so that `symbolic_calls` can tell where it comes from.
        """
        raise NotImplementedError

    def overwrites(self) -> bool:
        """Return whether its torch module can write the result over what it reads (`inplace=True`). Default: False."""
        return False

    def summary(self) -> str:
        """Return its arguments as a table shows them: `7x7/2, 64`. By default those that are not at their default."""
        given = {name: getattr(self, name) for name in self.fields}
        shown = {name: value for name, value in given.items() if value != self.fields[name].default}
        return ", ".join(f"{name}={str(v).lower() if isinstance(v, bool) else v}" for name, v in shown.items())

    def label(self) -> str:
        """Return what a drawing writes into its box: `conv 7x7/2, 64`."""
        return f"{self.op} {self.summary()}".rstrip()

    def reach(self) -> tuple[Reach, ...] | None:
        """Return what a place of the output reads along each spatial axis of its inputs; None for all places."""
        return (HERE,) * self.rank if self.local else None

    # What follows.

    @property
    def lead(self) -> Lead:
        """What stands before the shape of the output."""
        if not self.leads or Lead.BATCH in self.leads:
            return Lead.BATCH
        return max(self.leads) if self.broadcasts else Lead.ONE

    def fits(self, position: int) -> str:
        """Return what torch has to do with an input before the op reads it, for want of a batch.

        Returns:
            `unsqueeze` for an axis of size 1 in place of the batch, `squeeze` to take such an axis away, `expand` for
            copies along the batch of the others; empty for nothing.
        """
        if not self.leads or self.leads[position] is Lead.BATCH or self.broadcasts:
            return ""
        if len(self.leads) > 1 and Lead.BATCH in self.leads:
            return "expand"
        return "" if self.leads[position] is Lead.ONE else "unsqueeze"

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
        return len(self.inputs[0]) - 1 if self.inputs else 0

    @property
    def torch_name(self) -> str:
        """The torch class or function for the rank of the input."""
        return self._torch_name(self.rank)

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
        """Return every argument in canonical form, as JSON data."""
        return {
            name: jsonable(getattr(self, name))
            for name, declared in self.fields.items()
            if not declared.internal or getattr(self, name) is not None
        }

    def __eq__(self, other: object) -> bool:
        """Tell whether `other` is the same op, with equal arguments, on inputs of the same shapes."""
        if not isinstance(other, Op):
            return NotImplemented
        if self is other:
            return True
        own, theirs = (type(self), self.inputs, self.leads), (type(other), other.inputs, other.leads)
        return own == theirs and self.args() == other.args()

    def __hash__(self) -> int:
        return hash((self.op, self.inputs))

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.fields)
        return f"{self.op}({given})"


def symbolic_calls(
    op: type[Op], inputs: tuple[Shape, ...], arguments: Mapping[str, Any], leads: tuple[Lead, ...] = ()
) -> tuple[tuple[Call, ...], Shape]:
    """Apply an op to symbolic shapes and arguments, and return its torch calls and the shape of its output.

    All numbers are those of the plain run; those that follow from what is symbolic remember their expressions: see
    `symbolic.py`. The applied op is not shared with any network: symbolic shapes equal the plain ones, so they must not
    get into a cache of ops.

    Raises: Complaint if the op does not fit.
    """
    applied = op(inputs, arguments, leads=leads)
    return applied.calls(), applied.output


def _signature(target: str) -> Signature:
    try:
        return SIGNATURES[target]
    except KeyError:
        raise LookupError(_unknown(target)) from None


def _unknown(target: str) -> str:
    return f"`{target}` has no entry in archspec/ops/torch_api.py, which says what it takes and how code calls it"


def jsonable(value: Any) -> Any:
    """Return tuples as lists, and a pair of equal paddings as its one number."""
    if isinstance(value, tuple):
        if value and all(isinstance(item, tuple) and len(set(item)) == 1 for item in value):
            return [item[0] for item in value]
        return [jsonable(item) for item in value]
    return value
