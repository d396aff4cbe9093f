"""How much is alive at once while a network runs."""

from __future__ import annotations

from archspec.graph import Graph
from archspec.shapes import elements


def peak_activation_elements(graph: Graph) -> int:
    """The most elements alive at once, for one sample: layers run in order, a value is freed after its last reader.

    Nothing is fused and nothing happens in place, so a compiled model needs less; the weights are counted apart.
    """
    last = {path: position for position, node in enumerate(graph.nodes) for path in node.inputs}
    kept = set(graph.outputs.values())
    sizes = {name: elements(shape) for name, shape in graph.inputs.items()}
    alive = peak = sum(sizes.values())
    for position, node in enumerate(graph.nodes):
        sizes[node.path] = elements(node.shape)
        alive += sizes[node.path]
        peak = max(peak, alive)
        for path in {*node.inputs, node.path}:
            if path in sizes and path not in kept and last.get(path, position) == position:
                alive -= sizes[path]
    return peak
