"""`$name` and `${...}`: a small, bounded subset of Python's expressions.

An expression is parsed by Python's own parser, checked node by node against a closed list, and compiled to closures.
Nothing is ever passed to `eval`. Every step draws on a budget, so that no expression runs long or makes large values.
"""

from archspec.expressions.environment import Environment, Tensor
from archspec.expressions.functions import FUNCTIONS, make_divisible
from archspec.expressions.parser import MAX_LEVELS, Expression, Template, compile_expression, compile_text
from archspec.expressions.values import (
    CONTAINERS,
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_LENGTH,
    MAX_TEXT,
    MAX_TOTAL_STEPS,
    MISSING,
    UNKNOWN,
    UnknownShape,
    weight,
)

__all__ = [
    "CONTAINERS",
    "FUNCTIONS",
    "MAX_DEPTH",
    "MAX_ITEMS",
    "MAX_LENGTH",
    "MAX_LEVELS",
    "MAX_TEXT",
    "MAX_TOTAL_STEPS",
    "MISSING",
    "UNKNOWN",
    "Expression",
    "Environment",
    "Template",
    "Tensor",
    "UnknownShape",
    "compile_expression",
    "compile_text",
    "make_divisible",
    "weight",
]
