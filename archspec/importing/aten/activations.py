"""Rules of activations, and of what drops numbers while training."""

from __future__ import annotations

from typing import Any

from archspec.importing.aten.common import (
    RULES,
    along,
    image,
    rule,
    unary,
)
from archspec.importing.layouts import CannotExpressError, View
from archspec.importing.reader import Reader, axis_name

# Activations.

for _name in ("relu", "relu6", "sigmoid", "tanh", "silu", "mish", "hardswish", "hardsigmoid", "selu"):
    RULES[_name] = lambda reader, x, op=_name: unary(reader, x, op)
for _name in ("neg", "exp", "log", "sqrt", "square", "abs", "sin", "cos"):
    RULES[_name] = lambda reader, x, op=_name: unary(reader, x, op)


@rule("rsqrt")
def _rsqrt(reader: Reader, x: Any) -> View:
    return unary(reader, x, "pow", {"exponent": -0.5})


@rule("reciprocal")
def _reciprocal(reader: Reader, x: Any) -> View:
    return unary(reader, x, "pow", {"exponent": -1})


@rule("gelu")
def _gelu(reader: Reader, x: Any, approximate: str = "none") -> View:
    return unary(reader, x, "gelu", {"approximate": approximate})


@rule("hardtanh")
def _hardtanh(reader: Reader, x: Any, low: float = -1.0, high: float = 1.0) -> View:
    if (low, high) == (0.0, 6.0):
        return unary(reader, x, "relu6")
    return unary(reader, x, "clamp", {"min": low, "max": high})


@rule("clamp", "clip")
def _clamp(reader: Reader, x: Any, min: Any = None, max: Any = None) -> View:
    if isinstance(min, View) or isinstance(max, View):
        raise CannotExpressError("a clamp between tensors")
    return unary(reader, x, "clamp", {"min": min, "max": max})


@rule("clamp_min")
def _clamp_min(reader: Reader, x: Any, low: float) -> View:
    return unary(reader, x, "clamp", {"min": low})


@rule("clamp_max")
def _clamp_max(reader: Reader, x: Any, high: float) -> View:
    return unary(reader, x, "clamp", {"max": high})


@rule("leaky_relu")
def _leaky_relu(reader: Reader, x: Any, slope: float = 0.01) -> View:
    return unary(reader, x, "leaky_relu", {"negative_slope": slope})


@rule("elu")
def _elu(reader: Reader, x: Any, alpha: float = 1.0, *_: Any) -> View:
    return unary(reader, x, "elu", {"alpha": alpha})


@rule("softplus")
def _softplus(reader: Reader, x: Any, beta: float = 1, threshold: float = 20) -> View:
    return unary(reader, x, "softplus", {"beta": beta, "threshold": threshold})


@rule("softmax", "log_softmax", "_softmax")
def _softmax(reader: Reader, x: Any, dim: int, *_: Any) -> View:
    op = "log_softmax" if "log" in str(reader.node.target) else "softmax"  # type: ignore[union-attr]
    view, at = along(reader, x, dim)
    return view.on(reader.emit(op, {"axis": axis_name(at, len(view.axes))}, view.value, view.value.shape))


# Dropout.


@rule("dropout", "native_dropout", "alpha_dropout")
def _dropout(reader: Reader, x: Any, rate: float = 0.5, *_: Any) -> View:
    return unary(reader, x, "dropout", {"rate": rate}) if rate or reader.in_sequential() else reader.view(x)


@rule("feature_dropout")
def _feature_dropout(reader: Reader, x: Any, rate: float = 0.5, *_: Any) -> View:
    view = image(reader, x)
    return unary(reader, view, "spatial_dropout", {"rate": rate}) if rate else view


@rule("drop_path")
def _drop_path(reader: Reader, x: Any, rate: float) -> View:
    return unary(reader, x, "drop_path", {"rate": rate}) if rate else reader.view(x)
