"""Where a value that a step sees was written: the argument of a call, a `let`, or a param."""

from __future__ import annotations

import re

from archspec.errors import Complaint, Span
from archspec.expressions import UnknownShape
from archspec.graph import Scope
from archspec.program import Program
from archspec.program.steps import NOTHING, BlockProgram, CallStep, ScopeStep, Value


def value_place(value: Value | None, scope: Scope, program: Program) -> Span | None:
    """Return where the one name that `value` mentions got its value; None if that is not a single place of the spec.

    Args:
        value: An expression of a step.
        scope: The scope in which the step stands.
        program: The spec.
    """
    asked = value
    for around in scope.chain():
        name = _sole_name(value)
        step, block = around.step, around.definition
        if name is not None and isinstance(step, ScopeStep) and name in step.let:
            value = step.let[name]
        elif name is not None and isinstance(block, BlockProgram) and isinstance(step, CallStep):
            if name not in block.params:
                break
            value = step.arguments.get(name) or block.params[name]
    name = _sole_name(value)
    if name is None:
        return value.span if value is not None and value is not asked else None
    declared = program.params.get(name)
    if declared is None or not declared.constant:
        return None
    known = scope
    while known.parent is not None:
        known = known.parent
    try:
        is_as_declared = known.environment is None or known.environment.lookup(name) == declared.evaluate(NOTHING)
    except (Complaint, UnknownShape):
        return None
    return declared.span if is_as_declared else None


def _sole_name(value: Value | None) -> str | None:
    """Return the name that a value is, or that it is an entry of: `$name`, `$name.entry`."""
    if value is None or len(value.names) != 1:
        return None
    (name,) = value.names
    return name if re.fullmatch(rf"\$\{{?{name}(\.\w+)*\}}?", str(value.yaml.plain())) else None
