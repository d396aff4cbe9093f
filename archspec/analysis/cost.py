"""Parameters, MACs, FLOPs and bytes of every layer, and their sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from archspec.analysis.memory import peak_activation_elements
from archspec.errors import Diagnostic, Span, UsageError, did_you_mean
from archspec.graph import Graph, Node
from archspec.ops.base import Op
from archspec.shapes import Shape, elements

CONVENTIONS = {"macs": "conv+linear", "flops": "2*macs+elementwise"}
DTYPES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2, "float8": 1, "int8": 1}
"""Bytes of one number, by the name of its type."""


@dataclass(frozen=True)
class LayerCost:
    """One layer. Shapes have no batch; `macs`, `flops` and `output_bytes` are for the whole batch."""

    path: str
    op: str
    summary: str
    args: Mapping[str, Any]
    inputs: tuple[str, ...]
    input_shapes: tuple[Shape, ...]
    output_shape: Shape
    params: int
    buffers: int
    macs: int
    flops: int
    output_bytes: int
    source: Span

    def to_dict(self) -> dict[str, Any]:
        """The layer as plain data."""
        return {
            "path": self.path,
            "op": self.op,
            "args": dict(self.args),
            "inputs": list(self.inputs),
            "input_shapes": [list(shape) for shape in self.input_shapes],
            "output_shape": list(self.output_shape),
            "params": self.params,
            "buffers": self.buffers,
            "macs": self.macs,
            "flops": self.flops,
            "output_bytes": self.output_bytes,
            "source": self.source.to_dict(),
        }


@dataclass(frozen=True)
class Totals:
    """Sums over a network. `depth` is the longest chain of weighted layers; `buffers` counts elements.

    `weight_bytes` is what the parameters take; `peak_activation_bytes` the most that is alive at once when the layers
    run one after another, each into memory of its own, and a value is freed after its last reader.
    """

    layers: int
    depth: int
    params: int
    buffers: int
    macs: int
    flops: int
    weight_bytes: int
    activation_bytes: int
    peak_activation_bytes: int

    def to_dict(self) -> dict[str, int]:
        """The sums as plain data."""
        return dict(vars(self))


@dataclass(frozen=True, repr=False)
class Report:
    """What an analysis found: a row for each layer, in data-flow order, and the totals."""

    name: str
    inputs: Mapping[str, Shape]
    batch: int
    dtype: str
    totals: Totals
    outputs: Mapping[str, Shape]
    layers: tuple[LayerCost, ...]
    scopes: Mapping[str, str]
    """What each scope is, by its path: the name of a block, `sequential` or `repeat`."""
    diagnostics: tuple[Diagnostic, ...] = ()

    def __str__(self) -> str:
        """The table that `archspec analyze` prints, down to the second level of scopes."""
        from archspec.analysis.tables import report_text  # which builds on this file

        return report_text(self, 2)

    def __repr__(self) -> str:
        totals = self.totals
        return f"Report({self.name!r}, {totals.layers} layers, {totals.params:,} params, {totals.macs:,} MACs)"

    def _repr_html_(self) -> str:
        from archspec.analysis.tables import report_html  # which builds on this file

        return report_html(self)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data: the JSON of `archspec analyze`."""
        return {
            "archspec": 1,
            "name": self.name,
            "input": {name: list(shape) for name, shape in self.inputs.items()},
            "batch": self.batch,
            "dtype": self.dtype,
            "conventions": CONVENTIONS,
            "totals": self.totals.to_dict(),
            "outputs": {name: list(shape) for name, shape in self.outputs.items()},
            "layers": [layer.to_dict() for layer in self.layers],
            "scopes": dict(self.scopes),
            "diagnostics": [diagnostic.to_dict() for diagnostic in self.diagnostics],
        }


def cost(graph: Graph, batch: int = 1, dtype: str = "float32", diagnostics: Iterable[Diagnostic] = ()) -> Report:
    """The cost of every layer for `batch` samples with numbers of type `dtype` (a key of `DTYPES`).

    UsageError for a batch below 1 or an unknown dtype.
    """
    if dtype not in DTYPES:
        raise UsageError(f"unknown dtype `{dtype}`", did_you_mean(str(dtype), DTYPES))
    if type(batch) is not int or batch < 1:
        raise UsageError(f"a batch of {batch}", "at least 1")
    size = DTYPES[dtype]
    rows = _Layers(batch, size)
    layers = tuple(map(rows.layer, graph.nodes))
    params = sum(layer.params for layer in layers)
    totals = Totals(
        layers=len(layers),
        depth=depth(graph),
        params=params,
        buffers=sum(layer.buffers for layer in layers),
        macs=sum(layer.macs for layer in layers),
        flops=sum(layer.flops for layer in layers),
        weight_bytes=params * size,
        activation_bytes=sum(layer.output_bytes for layer in layers),
        peak_activation_bytes=peak_activation_elements(graph) * batch * size,
    )
    outputs = {name: graph.shape(path) for name, path in graph.outputs.items()}
    return Report(graph.name, graph.inputs, batch, dtype, totals, outputs, layers, _scopes(graph), tuple(diagnostics))


class _Layers:
    """Makes the rows. What an op says of itself is asked once, since equal layers share their op."""

    def __init__(self, batch: int, size: int) -> None:
        self.batch, self.size = batch, size
        self.known: dict[int, dict[str, Any]] = {}

    def layer(self, node: Node) -> LayerCost:
        """The row of a node."""
        facts = self.known.get(id(node.op))
        if facts is None:
            facts = self.known[id(node.op)] = self._facts(node.op)
        # The generated constructor of a frozen dataclass sets fields one by one, at three times the cost.
        row = object.__new__(LayerCost)
        row.__dict__.update(facts, path=node.path, inputs=node.inputs, source=node.span)
        return row

    def _facts(self, op: Op) -> dict[str, Any]:
        return {
            "op": op.op,
            "summary": op.summary(),
            "args": op.args(),
            "input_shapes": op.inputs,
            "output_shape": op.output,
            "params": op.params,
            "buffers": op.buffer_elements,
            "macs": op.macs() * self.batch,
            "flops": op.flops() * self.batch,
            "output_bytes": elements(op.output) * self.batch * self.size,
        }


def _scopes(graph: Graph) -> dict[str, str]:
    """What each scope with nodes in it is, by its path, in data-flow order."""
    found: dict[str, str] = {}
    seen: set[int] = set()
    for node in graph.nodes:
        if id(node.group) in seen:
            continue
        seen.add(id(node.group))
        for group in reversed([group for group in node.group.chain() if group.kind != "inline"]):
            found.setdefault(group.path, group.block or group.kind)
    return found


def depth(graph: Graph) -> int:
    """How many weighted layers (convolutions, linear layers) the longest chain from an input to an output has."""
    chain = dict.fromkeys(graph.inputs, 0)
    for node in graph.nodes:
        inputs = node.inputs
        longest = chain.get(inputs[0], 0) if len(inputs) == 1 else max([chain.get(source, 0) for source in inputs])
        chain[node.path] = longest + node.op.weighted
    return max((chain[path] for path in graph.outputs.values() if path in chain), default=0)
