"""How the weights of each layer are drawn: rules of `init:` found from the step outwards, and evaluated.

A step's own rule comes first, then those of the scopes around it, innermost first, of the included file that a block
comes from, and of the network. Each tensor has the first rule that speaks of it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from archspec.elaborate.findings import ScopedFindings
from archspec.errors import Complaint
from archspec.expressions import MISSING, Environment, Expression, UnknownShape, compile_text
from archspec.graph import EMPTY, Node, Scope
from archspec.ops.base import Op
from archspec.ops.initial import FANS, Draw, draw_of, scheme_in
from archspec.program import Program
from archspec.program.steps import BlockProgram, InitRule, InitRules, OpRules, ScopeStep
from archspec.shapes import Shape, elements

Found = tuple[OpRules, Environment]
_PRINTABLE = (ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop, ast.Constant, ast.Name, ast.Load)


def own_draws(rules: OpRules, op: Op, environment: Environment) -> Mapping[str, Draw]:
    """Return how a step's own rules draw the tensors that the applied op has. Raises: Complaint if they do not fit."""
    return {name: _draw(rules[name], op, shape, environment) for name, shape in _tensors(op) if name in rules}


def set_draws(nodes: Iterable[Node], program: Program, params: Environment, findings: ScopedFindings) -> None:
    """Tell every node how its weights are drawn that its step does not speak of, and drop what torch draws itself."""
    scopes: dict[int, list[tuple[InitRules, Environment]]] = {}
    known: dict[tuple[int, int, int], Draw | None] = {}
    network, nothing = (program.init, params), Environment({})
    for node in nodes:
        op = node.op
        if node.weights_of is not None or not op.initial:
            continue
        around = scopes.get(id(node.scope))
        if around is None:
            around = scopes[id(node.scope)] = [*_around(node.scope, nothing), network]
        draws = dict(node.draws)
        for rules, environment in around:
            for name, rule in rules.get(op.op, EMPTY).items():
                if name in draws:
                    continue
                constant = rule.value is None or rule.value.constant
                key = id(rule), id(op), 0 if constant else id(environment)
                if key not in known:
                    known[key] = _told(rule, op, environment, node.scope, findings)
                draw = known[key]
                if draw is not None:
                    draws[name] = draw
        if draws:
            node.draws = {name: draw for name, draw in draws.items() if draw.function}


def _around(scope: Scope, nothing: Environment) -> Iterator[tuple[InitRules, Environment]]:
    """Yield the rules of the scopes around, innermost first, each with what its expressions see."""
    for each in scope.chain():
        if each.kind == "repeat":
            continue  # its copies are scopes of their own
        environment = each.environment or nothing
        if isinstance(each.step, ScopeStep) and each.step.init:
            yield each.step.init, environment
        if isinstance(each.definition, BlockProgram):
            if each.definition.init:
                yield each.definition.init, environment
            if each.definition.brought:
                yield each.definition.brought, nothing


def _told(rule: InitRule, op: Op, environment: Environment, scope: Scope, findings: ScopedFindings) -> Draw | None:
    """Return how a tensor is drawn; None if the op has no such tensor here, or the rule fails, which is told."""
    shape = dict(_tensors(op)).get(rule.tensor)
    if shape is None:
        return None
    try:
        return _draw(rule, op, shape, environment)
    except Complaint as fault:
        findings.complain(fault, scope)
    except UnknownShape:
        pass
    return None


def _tensors(op: Op) -> list[tuple[str, Shape]]:
    return [(name, shape) for name, shape in op.weights().items() if name in op.initial]


def _draw(rule: InitRule, op: Op, shape: Shape, environment: Environment) -> Draw:
    """Return how a tensor is drawn. Raises: Complaint, UnknownShape."""
    scheme, value, formulas = rule.scheme, None, None
    if rule.value is not None:
        environment = _with_fans(rule, op, environment)
        value = rule.value.evaluate(environment)
        formulas = None if rule.value.constant else _formulas(rule.value.yaml.plain(), environment)
        if scheme == "constant":
            scheme, value = scheme_in(value)
    try:
        return draw_of(scheme, value, len(shape), formulas)
    except Complaint as fault:
        raise fault.at(rule.span, f"init: {op.op}: {rule.tensor}: ") from None


def _with_fans(rule: InitRule, op: Op, environment: Environment) -> Environment:
    """Return an environment that sees the layer's fans, where the rule asks for them."""
    assert rule.value is not None
    if rule.value.names.isdisjoint(FANS):
        return environment
    _, shape = _tensors(op)[0]
    if len(shape) < 2:
        message = f"init: {op.op}: its weight has one axis, and so no `fan_in` and `fan_out`"
        raise Complaint("expression", message, "a number, or an expression without them", span=rule.span)
    area = elements(shape[2:])
    return Environment({"fan_in": shape[1] * area, "fan_out": shape[0] * area}, environment)


# Formulas, which generated code prints in place of numbers.


def _formulas(plain: Any, environment: Environment) -> Any:
    """Return the text of each expression of the layer's fans alone, in the form of the value; None elsewhere."""
    if isinstance(plain, list):
        return [_formulas(item, environment) for item in plain]
    found = compile_text(plain) if isinstance(plain, str) else None
    if not isinstance(found, Expression) or found.names.isdisjoint(FANS):
        return None
    if not all(isinstance(node, _PRINTABLE) for node in ast.walk(found.tree)):
        return None
    tree = _Numbers(environment).visit(ast.parse(found.text, mode="eval").body)
    return (
        ast.unparse(tree)
        if tree is not None and not any(isinstance(node, ast.Name) and node.id not in FANS for node in ast.walk(tree))
        else None
    )


class _Numbers(ast.NodeTransformer):
    """Puts the numbers of an environment in place of names, but for the layer's fans."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment

    def visit_Name(self, node: ast.Name) -> ast.expr:
        value = self.environment.find(node.id)
        if node.id in FANS or value is MISSING or isinstance(value, bool) or not isinstance(value, int | float):
            return node
        return ast.Constant(value)
