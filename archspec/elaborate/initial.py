"""How the weights of each layer are drawn: rules of `init:` found from the step outwards, and evaluated.

A step's own rule comes first, then those of the scopes around it, innermost first, of the included file that a block
comes from, and of the network. Each tensor has the first rule that speaks of it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
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
    resolver = _Resolver(program, params, findings)
    scope, around = None, resolver.network
    known: dict[tuple[int, int], tuple[Mapping[str, Draw], Mapping[str, Draw]]] = {}
    for node in nodes:
        op = node.op
        if node.weights_of is not None or not op.initial:
            continue
        if node.scope is not scope:
            scope, around = node.scope, resolver.around(node.scope)
        found = known.get((id(around), id(op)))
        if found is None:
            outer = resolver.draws(op, node.scope)
            found = known[id(around), id(op)] = outer, _tidied(outer, op)
        node.draws = _tidied({**found[0], **node.draws}, op) if node.draws else found[1]


def _tidied(draws: Mapping[str, Draw], op: Op) -> Mapping[str, Draw]:
    """Return the draws that torch does not make itself, in the order of the op's tensors: they share a generator."""
    return {name: draws[name] for name in op.initial if name in draws and draws[name].function} or EMPTY


Around = tuple[tuple[InitRules, Environment], ...]


class _Resolver:
    """Finds the rules around a scope, and evaluates each once for what it sees."""

    def __init__(self, program: Program, params: Environment, findings: ScopedFindings) -> None:
        self.findings = findings
        self.nothing = Environment({})
        self.network: Around = ((program.init, params),)
        self.scopes: dict[Scope, Around] = {}
        self.evaluated: dict[tuple[int, ...], Draw | None] = {}

    def around(self, scope: Scope) -> Around:
        """Return the rules around, innermost first, each with what its expressions see.

        Scopes without rules of their own share what is around them.
        """
        inner: list[Scope] = []
        here: Scope | None = scope
        while here is not None and here not in self.scopes:
            inner.append(here)
            here = here.parent
        found = self.network if here is None else self.scopes[here]
        for each in reversed(inner):
            own = self._own(each)
            found = self.scopes[each] = (*own, *found) if own else found
        return found

    def _own(self, scope: Scope) -> list[tuple[InitRules, Environment]]:
        """Return the rules of one scope."""
        definition, step = scope.definition, scope.step
        environment = scope.environment or self.nothing
        if isinstance(definition, BlockProgram):
            found = [(definition.init, environment), (definition.brought, self.nothing)]
            return [each for each in found if each[0]] if definition.init or definition.brought else []
        # The copies of a repeat are scopes of their own.
        if isinstance(step, ScopeStep) and step.init and scope.kind != "repeat":
            return [(step.init, environment)]
        return []

    def draws(self, op: Op, scope: Scope) -> dict[str, Draw]:
        """Return how the tensors of an op are drawn in a scope, where any rule speaks of them."""
        found: dict[str, Draw] = {}
        weights = op.weights()
        for rules, environment in self.around(scope):
            for name, rule in rules.get(op.op, EMPTY).items():
                if name in weights and name not in found:
                    draw = self._evaluated(rule, op, weights[name], environment, scope)
                    if draw is not None:
                        found[name] = draw
        return found

    def _evaluated(self, rule: InitRule, op: Op, shape: Shape, environment: Environment, scope: Scope) -> Draw | None:
        """Return how a tensor is drawn; None if the rule fails, which is told."""
        constant = rule.value is None or rule.value.constant
        key = (id(rule), len(shape)) if constant else (id(rule), id(op), id(environment))
        if key not in self.evaluated:
            self.evaluated[key] = None
            try:
                self.evaluated[key] = _draw(rule, op, shape, environment)
            except Complaint as fault:
                self.findings.complain(fault, scope)
            except UnknownShape:
                pass
        return self.evaluated[key]


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
