"""The arguments of an op: what each accepts, as a check and as a JSON Schema, from one declaration.

A literal is held against the schema first; the check is for values that expressions make.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import Any, Final, NamedTuple, TypeGuard

from archspec.errors import Complaint, kind_of
from archspec.ops.symbolic import SymBool, like
from archspec.shapes import LIMIT, SPATIAL_AXES

MAX_AXES: Final = 1 + max(SPATIAL_AXES)
"""How many axes a shape may have within a network, the channels included."""

LAST: Final = "last"
"""The axis that ends a shape, whatever else it is called: the features of tokens."""
AXES: Final = ("channels", "depth", "height", "width", "length", LAST)
"""The names of axes."""

NO_TUPLES = "YAML has no tuples; write a list: `[3, 3]`"
# For messages only, so compiled when one is made.
_SIZES = r"[0-9]{1,9}(?: ?[x*] ?[0-9]{1,9}){1,3}|[(]? ?[0-9]{1,9}(?: ?, ?[0-9]{1,9}){0,3} ?,? ?[)]?"
_PERCENTAGE = r"[0-9]{1,9}(?:[.][0-9]{1,9})? ?%"
_ARITHMETIC = r"[-+]?[0-9.]{1,20}(?: ?(?://|[*]{2}|[-+*/%]) ?[0-9.]{1,20}){1,20}"
HINTS = {
    "none": "YAML reads `none` as text; an argument that is left out has its default",
    "yes": "YAML 1.2 reads `yes` as text; write `true`",
    "no": "YAML 1.2 reads `no` as text; write `false`",
    "on": "YAML 1.2 reads `on` as text; write `true`",
    "off": "YAML 1.2 reads `off` as text; write `false`",
}


class Kind:
    """A kind of argument. Abstract: `parse` checks and normalises a value, `schema` says the same to an editor."""

    expected = "a value"
    takes_lists = False
    example = "2"
    """A value that the reference shows, as a spec would write it."""

    def parse(self, value: object, rank: int) -> Any:
        """Return the value in its canonical form, for an input with `rank` spatial axes.

        A symbolic value is taken like the plain one, and keeps its expression.

        Raises: Complaint if the value is not of this kind.
        """
        raise NotImplementedError

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema (draft-07) of the literal values."""
        raise NotImplementedError

    def refuse(self, value: object) -> Complaint:
        """Return the error for a value of the wrong type."""
        return Complaint(
            "type", f"expected {self.expected.rstrip(',')}, got {kind_of(value)}", hint(value, self.takes_lists)
        )


def hint(value: object, takes_lists: bool = False) -> str | None:
    """Return a help for a value that YAML 1.1, Python or a slip of the pen would have read otherwise.

    Args:
        value: What the spec has.
        takes_lists: Whether a list would be right there.
    """
    if isinstance(value, float) and value.is_integer():
        return f"write {int(value)}, or `int(...)` and `//` in an expression"
    if not isinstance(value, str):
        return None
    word = value.strip()
    if word.lower() in HINTS:
        return HINTS[word.lower()]
    if word.startswith("(") and not word.endswith(")"):
        return NO_TUPLES
    if takes_lists and not word.isdecimal() and re.fullmatch(_SIZES, word):
        return f"write a list: [{', '.join(re.findall('[0-9]+', word))}]"
    if re.fullmatch(_PERCENTAGE, word):
        return f"write {float(word.rstrip('% ')) / 100:g}"
    if re.fullmatch(_ARITHMETIC, word):
        return "an expression stands in `${...}` as a whole: `${width * 2}`"
    digits = word.lstrip("+-")
    if digits.replace("_", "").replace(":", "").replace(".", "", 1).isdigit() and digits.isascii():
        if "_" in digits:
            return f"YAML 1.2 reads `_` in a number as text; write {word.replace('_', '')}"
        if ":" in digits:
            return "YAML 1.2 reads `:` as text, not as base 60; write a plain number"
        if digits.startswith("0") and digits.isdigit() and len(digits) > 1:
            plain = digits.lstrip("0") or "0"
            return f"YAML 1.2 reads a leading 0 as text; write {plain} (or 0o{plain} for octal)"
        return f"without quotes, {word} is a number"
    return None


def is_integer(value: object) -> TypeGuard[int]:
    """Tell whether a value is an integer, plain or symbolic, and no truth value."""
    return isinstance(value, int) and not isinstance(value, bool | SymBool)


class Int(Kind):
    """An integer of at least `minimum`."""

    def __init__(self, minimum: int | None = None) -> None:
        self.minimum = minimum
        self.expected = "an integer"

    def parse(self, value: object, rank: int) -> int:
        if not is_integer(value):
            raise self.refuse(value)
        if self.minimum is not None and value < self.minimum:
            raise Complaint("value", f"expected at least {self.minimum}, got {value}")
        if not -LIMIT < value < LIMIT:
            raise Complaint("limit", f"{value} exceeds the limit of 2**63")
        return value

    def schema(self) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "integer"}
        if self.minimum is not None:
            found["minimum"] = self.minimum
        return found


class Float(Kind):
    """A number between bounds; an integer stands for the float."""

    expected = "a number"
    example = "0.5"

    def __init__(
        self,
        minimum: float | None = None,
        maximum: float | None = None,
        *,
        open_minimum: bool = False,
        open_maximum: bool = False,
    ) -> None:
        self.minimum, self.maximum, self.open_minimum, self.open_maximum = minimum, maximum, open_minimum, open_maximum

    def parse(self, value: object, rank: int) -> float:
        if not isinstance(value, float) and not is_integer(value):
            raise self.refuse(value)
        if isinstance(value, int) and not -LIMIT < value < LIMIT:
            raise Complaint("limit", f"{value} exceeds the limit of 2**63")
        if not isfinite(value):
            raise Complaint("number", f"expected a finite number, got {value}")
        low, high = self.minimum, self.maximum
        if low is not None and (value < low or (self.open_minimum and value == low)):
            raise Complaint(
                "value", f"expected {'more than' if self.open_minimum else 'at least'} {low:g}, got {value}"
            )
        if high is not None and (value > high or (self.open_maximum and value == high)):
            raise Complaint(
                "value", f"expected {'less than' if self.open_maximum else 'at most'} {high:g}, got {value}"
            )
        number: float = like(float(value) + 0.0, value)  # of the two zeros, the positive one
        return number

    def schema(self) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "number"}
        if self.minimum is not None:
            found["exclusiveMinimum" if self.open_minimum else "minimum"] = self.minimum
        if self.maximum is not None:
            found["exclusiveMaximum" if self.open_maximum else "maximum"] = self.maximum
        return found


class Bool(Kind):
    """`true` or `false`."""

    expected = "true or false"
    example = "true"

    def parse(self, value: object, rank: int) -> bool:
        if not isinstance(value, bool | SymBool):
            raise self.refuse(value)
        return value  # type: ignore[return-value]

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


class Choice(Kind):
    """One of a few words."""

    def __init__(self, *options: str) -> None:
        self.options = options
        self.example = options[0]
        self.expected = f"one of {', '.join(options)}"

    def parse(self, value: object, rank: int) -> str:
        if not isinstance(value, str):
            raise self.refuse(value)
        if value not in self.options:
            raise Complaint("value", f"expected {self.expected}, got {kind_of(value)}")
        return value

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.options)}


class Axis(Choice):
    """An axis of the input, by name."""

    def __init__(self) -> None:
        super().__init__(*AXES)

    def parse(self, value: object, rank: int) -> str:
        name = super().parse(value, rank)
        if name != LAST and name not in axis_names(rank):
            names = ", ".join((*axis_names(rank), LAST))
            raise Complaint("shape", f"expected an axis of the input ({names}), got `{name}`")
        return name


def axis_names(rank: int) -> tuple[str, ...]:
    """Return the axes of a shape with `rank` spatial axes, in order: `channels, height, width`."""
    return ("channels", *SPATIAL_AXES[rank])


def axis_position(name: str, rank: int) -> int:
    """Return where an axis stands in a shape with `rank` spatial axes."""
    return rank if name == LAST else axis_names(rank).index(name)


def torch_dim(name: str, rank: int) -> int:
    """Return the number that torch has for an axis: with the batch counted, and -1 for the last."""
    return -1 if name == LAST else 1 + axis_position(name, rank)


class Sizes(Kind):
    """One integer for all spatial axes, or one per axis; canonical: one per axis."""

    expected = "an integer, or one per spatial axis,"
    takes_lists = True

    def __init__(self, minimum: int) -> None:
        self.element = Int(minimum)

    def parse(self, value: object, rank: int) -> tuple[int, ...]:
        if not is_integer(value) and not isinstance(value, list | tuple):
            raise self.refuse(value)
        if isinstance(value, int):
            return (self.element.parse(value, rank),) * rank
        if len(value) != rank:
            raise Complaint("shape", f"expected {one_per_axis(rank)}, got a list of {len(value)}")
        return tuple(self.element.parse(item, rank) for item in value)

    def schema(self) -> dict[str, Any]:
        element = self.element.schema()
        return {**element, "type": ["integer", "array"], "items": element, "minItems": 1, "maxItems": 3}


class Integers(Kind):
    """A list of integers, one per axis of a shape."""

    expected = "a list of integers"
    takes_lists = True
    example = "[2]"

    def __init__(self, minimum: int | None = None, fewest: int = 1) -> None:
        self.element = Int(minimum)
        self.fewest = fewest

    def parse(self, value: object, rank: int) -> tuple[int, ...]:
        if not isinstance(value, list | tuple):
            raise self.refuse(value)
        if not self.fewest <= len(value) <= MAX_AXES:
            raise Complaint("shape", f"expected {self.fewest} to {MAX_AXES} axes, got {len(value)}")
        return tuple(self.element.parse(item, rank) for item in value)

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.element.schema(), "minItems": self.fewest, "maxItems": MAX_AXES}


PaddingValue = str | tuple[tuple[int, int], ...]


class Padding(Kind):
    """A number (both sides), one per axis, or a pair per axis; canonical: a pair per axis.

    With `words`, also `half` and `same`, which `windows.resolved_padding` works out once the op knows its input.
    """

    expected = "a number, one per axis, or a pair per axis,"
    takes_lists = True

    def __init__(self, *words: str) -> None:
        self.words = words
        self.element = Int(0)
        if words:
            self.expected = f"a number, one per axis, a pair per axis, {'or ' * (len(words) == 1)}{' or '.join(words)}"

    def parse(self, value: object, rank: int) -> PaddingValue:
        if isinstance(value, str) and value in self.words:
            return value
        if isinstance(value, str) and self.words and not hint(value):
            raise Complaint("value", f"expected {self.expected}, got {kind_of(value)}")
        if not is_integer(value) and not isinstance(value, list | tuple):
            raise self.refuse(value)
        if isinstance(value, int):
            return ((self.element.parse(value, rank),) * 2,) * rank
        if len(value) != rank:
            pairs = ", ".join(["[before, after]"] * rank)
            message = f"expected {one_per_axis(rank)}, got a list of {len(value)}"
            raise Complaint("shape", message, f"one number for all sides, one per axis, or a pair per axis: [{pairs}]")
        return tuple(self._pair(item, rank) for item in value)

    def _pair(self, item: object, rank: int) -> tuple[int, int]:
        if isinstance(item, list | tuple):
            if len(item) != 2:
                raise Complaint("value", f"expected a pair [before, after], got a list of {len(item)}")
            return self.element.parse(item[0], rank), self.element.parse(item[1], rank)
        amount = self.element.parse(item, rank)
        return amount, amount

    def schema(self) -> dict[str, Any]:
        element = self.element.schema()
        pair = {**element, "type": ["integer", "array"], "items": element, "minItems": 2, "maxItems": 2}
        found: dict[str, Any] = {**element, "type": ["integer", "array"], "items": pair, "minItems": 1, "maxItems": 3}
        if self.words:
            found["type"] = ["integer", "array", "string"]
            found["pattern"] = f"^({'|'.join(self.words)})$"
        return found


def one_per_axis(rank: int) -> str:
    """Return what a list has to hold: `2 entries (height, width)`."""
    if not rank:
        return "no entries, since the input has no spatial axes"
    return f"{rank} {'entry' if rank == 1 else 'entries'} ({', '.join(SPATIAL_AXES[rank])})"


class Axes(Kind):
    """One axis or several, each by name or number, counted from 0 for the channels; canonical: their numbers."""

    expected = "an axis or a list of them, by name or number from 0,"
    takes_lists = True
    example = "height"

    def __init__(self) -> None:
        self.name, self.number = Axis(), Int(0)

    def parse(self, value: object, rank: int) -> tuple[int, ...]:
        if not isinstance(value, list | tuple):
            value = [value]
        found = tuple(self._one(item, rank) for item in value)
        if len(set(found)) < len(found):
            raise Complaint("value", f"expected each axis once, got {', '.join(map(str, value))}")
        return found

    def _one(self, item: object, rank: int) -> int:
        if isinstance(item, str):
            return axis_position(self.name.parse(item, rank), rank)
        if not is_integer(item):
            raise self.refuse(item)
        axis = self.number.parse(item, rank)
        if axis > rank:
            raise Complaint("shape", f"expected an axis from 0 to {rank}, got {axis}")
        return axis

    def schema(self) -> dict[str, Any]:
        one = {"type": ["integer", "string"], "minimum": 0, "pattern": f"^({'|'.join(AXES)})$"}
        return {**one, "type": ["integer", "string", "array"], "items": one, "minItems": 1, "maxItems": MAX_AXES}


class AxisNumber(Axes):
    """One axis, by name or number, counted from 0 for the channels; canonical: its number."""

    expected = "an axis, by name or number from 0,"
    takes_lists = False

    def parse(self, value: object, rank: int) -> int:  # type: ignore[override]
        return self._one(value, rank)

    def schema(self) -> dict[str, Any]:
        found: dict[str, Any] = super().schema()["items"]
        return found


class OneOrMore(Kind):
    """An integer, or a list of them; canonical: a list."""

    expected = "an integer or a list of integers"
    takes_lists = True

    def __init__(self, minimum: int | None = None) -> None:
        self.element = Int(minimum)

    def parse(self, value: object, rank: int) -> tuple[int, ...]:
        if is_integer(value):
            return (self.element.parse(value, rank),)
        if not isinstance(value, list | tuple):
            raise self.refuse(value)
        return tuple(self.element.parse(item, rank) for item in value)

    def schema(self) -> dict[str, Any]:
        element = self.element.schema()
        return {**element, "type": ["integer", "array"], "items": element, "minItems": 1}


class Factors(Kind):
    """One factor above 0 for all spatial axes, or one per axis; canonical: one per axis, whole ones as integers."""

    expected = "a number, or one per spatial axis,"
    takes_lists = True

    def parse(self, value: object, rank: int) -> tuple[float, ...]:
        if not isinstance(value, list | tuple):
            return (self._one(value, rank),) * rank
        if len(value) != rank:
            raise Complaint("shape", f"expected {one_per_axis(rank)}, got a list of {len(value)}")
        return tuple(self._one(item, rank) for item in value)

    def _one(self, item: object, rank: int) -> float:
        if is_integer(item):
            return Int(1).parse(item, rank)
        if not isinstance(item, float):
            raise self.refuse(item)
        factor: float = Float(0, open_minimum=True).parse(item, rank)
        return int(factor) if factor.is_integer() else factor

    def schema(self) -> dict[str, Any]:
        element = {"type": "number", "exclusiveMinimum": 0}
        return {**element, "type": ["number", "array"], "items": element, "minItems": 1, "maxItems": 3}


class Operand(Kind):
    """The name of a step whose value the op reads beside its inputs.

    The value is the last of the op's inputs; canonical is where it stands among them, as text.
    """

    expected = "the name of a step"
    example = "input"

    def parse(self, value: object, rank: int) -> str:
        if not isinstance(value, str):
            raise self.refuse(value)
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}


REQUIRED: Final[Any] = object()
"""The default of an argument that has none."""


class Field(NamedTuple):
    """One argument of an op: its kind, what it means, and its default."""

    kind: Kind
    doc: str
    default: Any = REQUIRED
    also_called: tuple[str, ...] = ()
    """What other frameworks and people call it: messages answer these words with its name."""
    free: bool = False
    """Whether generated code stays right for any other value, so that a param may stay an argument of its class."""
    internal: bool = False
    """Whether the compiler sets it from something else, and a spec cannot."""

    def parse(self, value: object, rank: int) -> Any:
        """Return the value in its canonical form, as `Kind.parse` does; nothing stays nothing if that is the default.

        Raises: Complaint if the value is not of the kind.
        """
        return None if value is None and self.default is None else self.kind.parse(value, rank)


def arg(
    kind: Kind,
    doc: str,
    default: Any = REQUIRED,
    *,
    also_called: tuple[str, ...] = (),
    free: bool = False,
    internal: bool = False,
) -> Any:
    """Declare an argument in the body of an `Op`.

    `filters: int = arg(Int(1), "output channels")` is an integer of at least 1, which a spec must give.
    """
    return Field(kind, doc, default, also_called, free, internal)
