"""How many numbers of activations are alive at once while a network runs."""

from __future__ import annotations

from archspec.graph import Graph
from archspec.shapes import elements


def peak_activation_elements(graph: Graph) -> int:
    """Return the most elements alive at once, for one sample.

    Layers run in order; a value is freed after its last reader.

    Nothing is fused and nothing happens in place, so a compiled model needs less; the weights are counted apart.
    """
    sizes = {name: elements(shape) for name, shape in graph.inputs.items()}
    sizes.update([(node.path, node.op.figures.output) for node in graph.nodes])
    live = set(graph.outputs.values())
    alive = sum([sizes[path] for path in live])
    peak = 0
    # From the end: the first reader met is the last to run.
    for node in reversed(graph.nodes):
        size = sizes[node.path]
        if node.path not in live:
            alive += size
        for path in node.inputs:
            if path not in live:
                live.add(path)
                alive += sizes[path]
        peak = max(peak, alive)
        alive -= size
    return max(peak, sum([sizes[name] for name in graph.inputs]))
