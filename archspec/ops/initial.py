"""How initial weights are drawn: the schemes of `init:`, and what a layer's rule comes to.

A `Draw` is plain data: the function of `torch.nn.init` and its arguments. The back ends call or print it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, NamedTuple

from archspec.errors import Complaint, did_you_mean, kind_of
from archspec.ops.fields import hint

FANS = ("fan_in", "fan_out")
"""The names that an expression in `init:` may use of the layer whose weights it draws."""
NONLINEARITIES = ("linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu")


UNIFORM_BY_FAN = {
    "weight": "uniform within 1 / sqrt(fan_in)",
    "bias": "uniform within 1 / sqrt(fan_in)",
}
"""How torch draws the tensors of convolutions and linear layers."""
ONES_AND_ZEROS = {"weight": "ones", "bias": "zeros"}
"""How torch fills the tensors of normalisations."""


class Draw(NamedTuple):
    """How one tensor is drawn: a function of `torch.nn.init` with its arguments, by name.

    `formulas` has those arguments as text that follow from the layer's own `fan_in` and `fan_out`.
    """

    scheme: str
    value: Any
    function: str
    arguments: tuple[tuple[str, Any], ...] = ()
    formulas: tuple[tuple[str, str], ...] = ()

    @property
    def rule(self) -> tuple[Any, ...]:
        """What two draws have in common that one line of code can make: a formula counts, not its value."""
        formulas = dict(self.formulas)
        return self.function, tuple((name, formulas.get(name, value)) for name, value in self.arguments)

    def written(self) -> Any:
        """Return it as a spec writes it, with numbers in place of expressions."""
        if self.scheme == "constant":
            return self.value
        return self.scheme if self.value is None else {self.scheme: self.value}


Arguments = dict[str, Any]


class Scheme(NamedTuple):
    """One way to draw a tensor: a function of `torch.nn.init`.

    `parse` makes its arguments of what stands after the scheme, None if nothing does. `axes` is how many axes the
    tensor must have. `required` tells that the value cannot be left out.
    """

    function: str
    doc: str
    takes: str
    parse: Callable[[Any], Arguments]
    example: str
    axes: int = 0
    required: bool = False


def _number(value: Any, what: str, low: float | None = None) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Complaint("type", f"{what}: expected a number, got {kind_of(value)}", hint(value))
    if not isfinite(value):
        raise Complaint("number", f"{what}: expected a finite number, got {value}")
    if low is not None and value < low:
        raise Complaint("value", f"{what}: expected at least {low:g}, got {value:g}")
    return value


def _two(value: list[Any], takes: str) -> tuple[Any, Any]:
    if len(value) != 2:
        raise Complaint("value", f"expected {takes}, got a list of {len(value)}")
    return value[0], value[1]


def _normal(value: Any) -> Arguments:
    if isinstance(value, list):
        mean, std = _two(value, "`[mean, std]`")
        return {"mean": _number(mean, "mean"), "std": _number(std, "std", 0)}
    return {"std": _number(value, "std", 0)}


def _uniform(value: Any) -> Arguments:
    if not isinstance(value, list):
        bound = _number(value, "bound", 0)
        return {"a": -bound, "b": bound}
    low, high = (_number(each, "bound") for each in _two(value, "`[low, high]`"))
    if low > high:
        raise Complaint("value", f"expected `[low, high]`, got [{low:g}, {high:g}]", f"write [{high:g}, {low:g}]")
    return {"a": low, "b": high}


def _gain(value: Any) -> Arguments:
    return {} if value is None else {"gain": _number(value, "gain", 0)}


def _kaiming(value: Any) -> Arguments:
    given = {"mode": value} if value is not None and not isinstance(value, dict) else dict(value or {})
    found: Arguments = {}
    for key, item in given.items():
        if key == "mode":
            found[key] = _word(item, key, FANS)
        elif key == "nonlinearity":
            found[key] = _word(item, key, NONLINEARITIES)
        elif key == "a":
            found[key] = _number(item, "a")
        else:
            known = ("mode", "nonlinearity", "a")
            raise Complaint("argument", f"unknown argument `{key}`", did_you_mean(str(key), known))
    # A slope belongs to a leaky ReLU, torch's own default; without one the two are the same.
    found.setdefault("nonlinearity", "leaky_relu" if "a" in found else "relu")
    return {name: found[name] for name in ("a", "mode", "nonlinearity") if name in found}


def _word(value: Any, what: str, words: tuple[str, ...]) -> str:
    if isinstance(value, str) and value in words:
        return value
    got = f"`{value}`" if isinstance(value, str) else kind_of(value)
    help = did_you_mean(value, words) if isinstance(value, str) else None
    raise Complaint("value", f"{what}: expected one of {', '.join(words)}, got {got}", help)


def _nothing(value: Any) -> Arguments:
    if value is not None:
        raise Complaint("value", f"expected nothing after it, got {kind_of(value)}")
    return {}


_FAN = "`fan_in` (its default) or `fan_out`; or `{mode, nonlinearity, a}`"
SCHEMES: Mapping[str, Scheme] = {
    "zeros": Scheme("zeros_", "zeros", "nothing", _nothing, "zeros"),
    "ones": Scheme("ones_", "ones", "nothing", _nothing, "ones"),
    "normal": Scheme(
        "normal_", "a normal distribution", "`std`, or `[mean, std]`", _normal, "{normal: 0.01}", required=True
    ),
    "trunc_normal": Scheme(
        "trunc_normal_",
        "a normal distribution, drawn again beyond -2 and 2",
        "`std`, or `[mean, std]`",
        _normal,
        "{trunc_normal: 0.02}",
        required=True,
    ),
    "uniform": Scheme(
        "uniform_",
        "a uniform distribution",
        "`bound`, for -bound to bound; or `[low, high]`",
        _uniform,
        '{uniform: "${1 / fan_out ** 0.5}"}',
        required=True,
    ),
    "kaiming_normal": Scheme(
        "kaiming_normal_",
        "normal, std = gain / sqrt(fan), gain sqrt(2) as for ReLU (He et al. 2015)",
        _FAN,
        _kaiming,
        "{kaiming_normal: fan_out}",
        axes=2,
    ),
    "kaiming_uniform": Scheme("kaiming_uniform_", "the same, uniform", _FAN, _kaiming, "kaiming_uniform", axes=2),
    "xavier_normal": Scheme(
        "xavier_normal_",
        "normal, std = gain * sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio 2010)",
        "`gain`, 1 by default",
        _gain,
        "xavier_normal",
        axes=2,
    ),
    "xavier_uniform": Scheme(
        "xavier_uniform_", "the same, uniform", "`gain`, 1 by default", _gain, "{xavier_uniform: 1}", axes=2
    ),
    "orthogonal": Scheme(
        "orthogonal_", "rows or columns orthogonal to each other", "`gain`, 1 by default", _gain, "orthogonal", axes=2
    ),
    "torch": Scheme("", "what torch's constructor draws", "nothing", _nothing, "torch"),
}
"""The schemes by name. A number stands for itself: every value of the tensor."""

OTHER_WORDS = {
    **dict.fromkeys(("he", "he_normal", "msra", "kaiming", "variance_scaling"), "kaiming_normal"),
    **dict.fromkeys(("he_uniform",), "kaiming_uniform"),
    **dict.fromkeys(("glorot", "glorot_uniform", "xavier"), "xavier_uniform"),
    **dict.fromkeys(("glorot_normal",), "xavier_normal"),
    **dict.fromkeys(("truncated_normal", "truncnormal", "trunc"), "trunc_normal"),
    **dict.fromkeys(("gaussian", "randn", "random_normal"), "normal"),
    **dict.fromkeys(("rand", "random_uniform"), "uniform"),
    **dict.fromkeys(("zero", "zeros_"), "zeros"),
    **dict.fromkeys(("one", "ones_"), "ones"),
    **dict.fromkeys(("default", "none", "pytorch"), "torch"),
}
"""What schemes are called elsewhere."""


def scheme_help(word: str, known: tuple[str, ...] = tuple(SCHEMES)) -> str | None:
    """Return the help for a scheme that does not exist."""
    meant = OTHER_WORDS.get(word.lower()) or OTHER_WORDS.get(word.lower().rstrip("_"))
    if meant is None and word in ("constant", "constant_", "fill"):
        return "a constant is written as its number: `bias: 0.1`"
    return f"did you mean `{meant}`?" if meant in known else did_you_mean(word, known)


def scheme_in(value: Any) -> tuple[str, Any]:
    """Return the scheme that a value is, as an expression may give it, and what stands after it."""
    if isinstance(value, str):
        return value, None
    if isinstance(value, dict) and len(value) == 1:
        ((scheme, after),) = value.items()
        return str(scheme), after
    return "constant", value


def draw_of(scheme: str, value: Any, axes: int, formulas: Any = None) -> Draw:
    """Return how a tensor of so many axes is drawn.

    Args:
        scheme: A name of `SCHEMES`, or `constant`.
        value: What stands after it in the spec, with every expression evaluated.
        axes: How many axes the tensor has.
        formulas: The same shape as `value`, with text in place of what follows from the layer's fans, else None.

    Raises:
        Complaint: The scheme does not take the value, or needs more axes.
    """
    if scheme == "constant":
        number = _number(value, "constant")
        if number in (0, 1):
            return Draw("constant", number, "ones_" if number else "zeros_")
        return Draw("constant", number, "constant_", (("val", number),))
    known = SCHEMES.get(scheme)
    if known is None:
        raise Complaint("value", f"unknown scheme `{scheme}`", scheme_help(scheme))
    if axes < known.axes:
        counted = "one axis" if axes == 1 else f"{axes} axes"
        message = f"`{scheme}` needs a tensor of two axes or more, and this one has {counted}"
        raise Complaint("shape", message, "`normal`, `uniform`, `zeros`, `ones` or a number draw any tensor")
    if known.required and value is None:
        raise Complaint("argument", f"`{scheme}` needs {known.takes}", f"write `{known.example}`")
    try:
        arguments = known.parse(value)
    except Complaint as error:
        raise Complaint(error.code, f"{scheme}: {error.message}", error.help) from None
    return Draw(scheme, value, known.function, tuple(arguments.items()), _formulas(arguments, formulas))


def _formulas(arguments: Arguments, formulas: Any) -> tuple[tuple[str, str], ...]:
    """Return the formulas of numbers by the argument that each is given as."""
    names = [name for name in arguments if isinstance(arguments[name], int | float)]
    if isinstance(formulas, str) and names == ["a", "b"]:
        return ("a", f"-{_factor(formulas)}"), ("b", formulas)
    if isinstance(formulas, str) and len(names) == 1:
        return ((names[0], formulas),)
    if isinstance(formulas, list) and len(formulas) == len(names):
        return tuple((name, text) for name, text in zip(names, formulas, strict=True) if text)
    return ()


def _factor(formula: str) -> str:
    """Return a formula as the operand of a minus sign."""
    return formula if re.fullmatch(r"[\w.]+(?: (?:\*|/|\*\*) [\w.]+)*", formula) else f"({formula})"
