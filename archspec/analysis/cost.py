"""Parameters, MACs, FLOPs and bytes of every layer, and their sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from archspec.analysis.memory import peak_activation_elements
from archspec.errors import Diagnostic, Span, UsageError, brief, did_you_mean
from archspec.graph import Graph
from archspec.ops.base import Op
from archspec.shapes import LIMIT, Lead, Shape

CONVENTIONS = {"macs": "conv+linear+attention", "flops": "2*macs+elementwise"}
DTYPES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2, "float8": 1, "int8": 1}
"""Bytes of one number, by the name of its type."""


class LayerCost(NamedTuple):
    """One layer. Shapes have no batch; `macs`, `flops` and `output_bytes` are for the whole batch.

    `applied` is the op with its arguments; `inputs` are the paths of what it reads, `source` the place of its step.
    `weights_of` is the path of the layer whose weights it uses, which count there. A layer that is `skipped` runs in
    training only, and does nothing here.
    """

    path: str
    applied: Op
    inputs: tuple[str, ...]
    macs: int
    flops: int
    output_bytes: int
    source: Span
    weights_of: str | None = None
    skipped: bool = False

    @property
    def op(self) -> str:
        """The name of the op."""
        return self.applied.op

    @property
    def summary(self) -> str:
        """What a table says of its arguments: `7x7/2, 64`."""
        return self.applied.summary()

    @property
    def args(self) -> dict[str, Any]:
        """Every argument in canonical form."""
        return self.applied.args()

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        """The shape of each input."""
        return self.applied.inputs

    @property
    def output_shape(self) -> Shape:
        """The shape of the output."""
        return self.applied.output

    @property
    def params(self) -> int:
        """How many numbers it trains; none if they are counted elsewhere."""
        return self.applied.params if self.weights_of is None else 0

    @property
    def buffers(self) -> int:
        """How many numbers it keeps without training them."""
        return self.applied.buffer_elements if self.weights_of is None else 0

    def to_dict(self) -> dict[str, Any]:
        """Return the layer as plain data."""
        return {
            "path": self.path,
            "op": self.op,
            "args": self.args,
            "inputs": list(self.inputs),
            "input_shapes": [list(shape) for shape in self.input_shapes],
            "output_shape": list(self.output_shape),
            "params": self.params,
            "buffers": self.buffers,
            "macs": self.macs,
            "flops": self.flops,
            "output_bytes": self.output_bytes,
            "source": self.source.to_dict(),
            **({} if self.weights_of is None else {"weights_of": self.weights_of}),
            **({"training_only": True} if self.skipped else {}),
        }


class Totals(NamedTuple):
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
        """Return the sums as plain data."""
        return self._asdict()


@dataclass(frozen=True, repr=False)
class Costs:
    """What every layer of a network costs, in data-flow order, and the totals."""

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
    mode: str = ""
    """What is counted, `evaluation` or `training`, of a network with outputs for training; empty of any other."""

    def to_dict(self) -> dict[str, Any]:
        """Return the costs as plain data: the JSON of `archspec analyze`."""
        return {
            "archspec": 1,
            "name": self.name,
            "input": {name: list(shape) for name, shape in self.inputs.items()},
            "batch": self.batch,
            "dtype": self.dtype,
            "conventions": {**CONVENTIONS, **({"mode": self.mode} if self.mode else {})},
            "totals": self.totals.to_dict(),
            "outputs": {name: list(shape) for name, shape in self.outputs.items()},
            "layers": [layer.to_dict() for layer in self.layers],
            "scopes": dict(self.scopes),
            "diagnostics": [diagnostic.to_dict() for diagnostic in self.diagnostics],
        }


def cost(
    graph: Graph,
    batch: int = 1,
    dtype: str = "float32",
    diagnostics: Iterable[Diagnostic] = (),
    training: bool = False,
) -> Costs:
    """Return the cost of every layer for `batch` samples with numbers of type `dtype` (a key of `DTYPES`).

    Layers that only an output for training needs count their params, and no work unless `training` is set.

    UsageError for a batch below 1 or an unknown dtype.
    """
    if dtype not in tuple(DTYPES):  # which a list may be asked of, too
        raise UsageError(f"unknown dtype `{dtype}`", did_you_mean(str(dtype), DTYPES))
    if type(batch) is not int or not 1 <= batch < LIMIT:
        raise UsageError(f"a batch of {brief(batch)}", "at least 1, and below 2**63")
    size = DTYPES[dtype]
    running = graph if training else graph.evaluation
    layers = _layers(graph, running, batch, size)
    params = sum([layer.applied.params for layer in layers if layer.weights_of is None])
    totals = Totals(
        layers=len(layers),
        depth=depth(running),
        params=params,
        buffers=sum([layer.applied.buffer_elements for layer in layers if layer.weights_of is None]),
        macs=sum([layer.macs for layer in layers]),
        flops=sum([layer.flops for layer in layers]),
        weight_bytes=params * size,
        activation_bytes=sum([layer.output_bytes for layer in layers]),
        peak_activation_bytes=peak_activation_elements(running) * batch * size,
    )
    outputs = {name: graph.shape(path) for name, path in running.outputs.items()}
    mode = ("training" if training else "evaluation") if graph.training else ""
    found = (graph.name, graph.inputs, batch, dtype, totals, outputs, layers, _scopes(graph), tuple(diagnostics), mode)
    return Costs(*found)


def _layers(graph: Graph, running: Graph, batch: int, size: int) -> tuple[LayerCost, ...]:
    """Return the row of every node, with no work where it is not among those that are `running`."""
    there = None if running is graph else {node.path for node in running.nodes}
    make = partial(tuple.__new__, LayerCost)  # its own constructor would take twice as long
    rows: list[LayerCost] = []
    for node in graph.nodes:
        op = node.op
        macs, flops, output = op.figures
        samples = batch if batch == 1 or op.lead is Lead.BATCH else 1  # what is computed from free tensors has no batch
        figures = (macs * samples, flops * samples, output * samples * size)
        skipped = there is not None and node.path not in there
        if skipped:
            figures = (0, 0, 0)
        rows.append(make((node.path, op, node.inputs, *figures, node.span, node.weights_of, skipped)))
    return tuple(rows)


def _scopes(graph: Graph) -> dict[str, str]:
    """Return what each scope with nodes in it is, by its path, in data-flow order."""
    found: dict[str, str] = {}
    last = None
    for node in graph.nodes:
        if node.scope is last:
            continue
        scope = last = node.scope
        fresh = []
        while scope.parent is not None and scope.path not in found:
            if scope.kind != "inline":
                fresh.append(scope)
            scope = scope.parent
        for scope in reversed(fresh):
            found[scope.path] = scope.block or scope.kind
    for path in sorted(graph.lists()):
        found[path] = "list"
    return found


def depth(graph: Graph) -> int:
    """Return how many convolutions and linear layers the longest chain from an input to an output has."""
    chain = dict.fromkeys(graph.inputs, 0)
    for node in graph.nodes:
        inputs = node.inputs
        longest = chain[inputs[0]] if len(inputs) == 1 else max([chain[source] for source in inputs], default=0)
        chain[node.path] = longest + node.op.weighted
    return max((chain[path] for path in graph.outputs.values()), default=0)
