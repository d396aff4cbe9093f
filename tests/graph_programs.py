"""A network of archspec as the program that importing it would read, to test by itself what import recovers."""

from __future__ import annotations

from typing import Any

from archspec.graph import Graph, Node
from archspec.importing.calls import Call, Part, Program, Value
from archspec.ops.fields import REQUIRED

SIZES = ("kernel", "stride", "padding", "dilation", "size", "scale", "output_padding", "amount")


def program_of(graph: Graph) -> Program:
    """Return the calls of a network: its layers, in the scopes that they stand in, without its blocks and params."""
    inputs = {name: Value(tuple(shape), name=name) for name, shape in graph.inputs.items()}
    values = dict(inputs)
    made: dict[str, Call] = {}
    for node in graph.nodes:
        call = _call(node, values)
        if node.weights_of is not None:
            call.shares, call.fixed = made[node.weights_of], False
        made[node.path] = call
        values[node.path] = call.result(node.op.output)
    outputs = {name: values[path] for name, path in graph.outputs.items()}
    program = Program(graph.name, inputs, list(made.values()), outputs)
    program.training_only = frozenset(graph.training)
    program.keys = tuple(graph.state_dict())
    return program


def _call(node: Node, values: dict[str, Value]) -> Call:
    op = node.op
    operands = op.operand_fields()
    arguments = {}
    for name, field in op.fields.items():
        value = getattr(op, name, None)
        default = op._defaults.get(op.rank, {}).get(name, REQUIRED)
        if field.internal or name in operands or value is None or (default is not REQUIRED and value == default):
            continue
        arguments[name] = _simple(_plain(value)) if name in SIZES else _plain(value)
    reads: list[Value | int | float] = [values[path] for path in node.inputs]
    named: dict[str, Value] = {}
    given = [name for name in operands if getattr(op, name, None) is not None]
    for name in reversed(given):
        last = reads.pop()
        assert isinstance(last, Value)
        named[name] = last
    numbers = getattr(op, "numbers", None)
    if numbers is not None:
        tensors = iter(reads)
        reads = [next(tensors) if number is None else number for number in numbers]
    kinds = [
        Part(scope.path, "sequential" if scope.kind == "repeat" else scope.block or "sequential")
        for scope in reversed(list(node.scope.chain()))
        if scope.kind != "inline" and scope.path
    ]
    return Call(op.op, arguments, reads, node.path, bool(op.weights() or op.buffers()), tuple(kinds), named)


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _simple(value: Any) -> Any:
    """Return one number for a list of equal ones."""
    if isinstance(value, list) and value and all(item == value[0] for item in value):
        first = value[0]
        return first if not isinstance(first, list) else first[0] if len({*map(str, first)}) == 1 else value
    return value
