"""How much is alive at once while a network runs."""

from __future__ import annotations

from archspec.graph import Graph
from archspec.shapes import elements


def peak_activation_elements(graph: Graph) -> int:
    """The most elements alive at once, for one sample: layers run in order, a value is freed after its last reader.

    Nothing is fused and nothing happens in place, so a compiled model needs less; the weights are counted apart.
    """
    last = {path: position for position, node in enumerate(graph.nodes) for path in node.inputs}
    last.update(dict.fromkeys(graph.outputs.values(), len(graph.nodes)))
    sizes = {name: elements(shape) for name, shape in graph.inputs.items()}
    alive = peak = sum(sizes.values())
    for position, node in enumerate(graph.nodes):
        size = sizes[node.path] = elements(node.op.output)
        alive += size
        if alive > peak:
            peak = alive
        inputs = node.inputs
        for path in inputs if len(inputs) == 1 else dict.fromkeys(inputs):
            if last[path] == position:
                alive -= sizes[path]
        if node.path not in last:
            alive -= size
    return peak
