"""Whether a network is what its `expect` says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from archspec.analysis.cost import Costs
from archspec.errors import Diagnostic
from archspec.shapes import shape_text
from archspec.syntax import Yaml, YamlList, YamlMap

MAX_FIGURE = 40
"""Characters of a figure: more than any has, and few enough for a regular expression and for exact arithmetic."""
_FIGURE = re.compile(r"(<=|>=|<|>|==)?\s*([0-9]+(?:\.([0-9]+))?)\s*([KMGT]?)")
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def check_expectations(expect: Mapping[str, Yaml], costs: Costs) -> list[Diagnostic]:
    """Return a diagnostic for each figure of `expect` that does not hold, and for each that cannot be read."""
    found: list[Diagnostic] = []
    totals = costs.totals.to_dict()
    for name, yaml in expect.items():
        message = _output(yaml, costs) if name == "output" else _figure(name, yaml.plain(), totals[name])
        if message:
            found.append(Diagnostic("expect", message, yaml.span))
    return found


def _figure(name: str, expected: object, value: int) -> str | None:
    if isinstance(expected, int):
        return None if value == expected else f"{name}: expected {expected:,}, got {value:,}"
    text = str(expected).strip()
    match = _FIGURE.fullmatch(text) if len(text) <= MAX_FIGURE else None
    if not match:
        return f"{name}: expected a figure such as `11.69M`, `25557032` or `<= 600M`, got {text[:MAX_FIGURE]!r}"
    sign, digits, decimals, unit = match.groups()
    scale = _UNITS[unit]
    bound = Fraction(digits) * scale
    # Written without a sign, a figure holds at the precision it is written with.
    slack = Fraction(scale, 10 ** len(decimals or "")) / 2 if unit or decimals else 0
    holds = {
        "<=": value <= bound,
        ">=": value >= bound,
        "<": value < bound,
        ">": value > bound,
        "==": value == bound,
    }.get(sign, abs(value - bound) <= slack)
    return None if holds else f"{name}: expected {text}, got {value:,}"


def _output(yaml: Yaml, costs: Costs) -> str | None:
    expected: Any = yaml.plain()
    outputs = {name: list(shape) for name, shape in costs.outputs.items()}
    if isinstance(yaml, YamlMap):
        holds = outputs == expected
    else:
        assert isinstance(yaml, YamlList)
        holds = len(outputs) == 1 and expected in outputs.values()
    found = ", ".join(f"{name} {shape_text(tuple(shape))}" for name, shape in outputs.items())
    return None if holds else f"output: expected {expected}, got {found}"
