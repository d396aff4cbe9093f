"""Lowering: a graph as a hierarchy of `nn.Module`s, each with a forward of its own.

Every scope of the spec (a block, a `sequential`, the group of a named repeat) becomes a module at its path, every node
a module at its own, so that state_dict keys, hooks, `model.layer1[0]` and the profiler see what the spec says. A scope
that is a plain chain becomes an `nn.Sequential`. For any other, the data flow is written down as a `Plan`, and torch.fx
makes a forward of it: straight-line code, no interpreter. Scopes with equal plans share one class.

`initial_weights.py` then draws the weights as the spec's `init:` says.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from torch import nn

from archspec.backends.initial_weights import INITS, draw_weights
from archspec.backends.lowering import Lowering
from archspec.errors import UsageError, did_you_mean
from archspec.graph import Graph, Node, needed_paths


class HasGraph(Protocol):
    """Whatever holds a graph, as `archspec.Network` does."""

    @property
    def graph(self) -> Graph:
        """The graph."""


def build_module(
    network: HasGraph | Graph,
    *,
    features: Iterable[str] | None = None,
    init: str = "spec",
    inplace: bool = True,
    own_class: bool = False,
) -> nn.Module:
    """Build the network as a torch module on torch's default device, in its default dtype, in training mode.

    Args:
        network: The network.
        features: Names of nodes or scopes. Forward then returns a dict of their values by these names, and steps that
            they do not need are left out; the value of a scope is that of its last step.
        init: "spec" for initial weights as the spec's `init:` draws them, "torch" for torch's own defaults.
        inplace: Let activations write over what they read, where nothing else reads it (`overwrites`).
        own_class: Share no code with other modules of the same plan: torch.compile takes a piece of code eight times
            at most.

    Returns:
        A module whose forward takes the network's inputs in order, batch first: `(N, *shape)`. It returns the output,
        or a dict of the outputs by name if there are several. Where the network has outputs for training, it returns
        a dict of all outputs in training, and in evaluation what it would return without these.

    Raises:
        UsageError: A feature or `init` is unknown.
    """
    graph = network if isinstance(network, Graph) else network.graph
    if init not in INITS:
        raise UsageError(f"unknown init {init!r}", did_you_mean(init, INITS))
    outputs = dict(graph.outputs) if features is None else feature_paths(graph, features)
    nodes = graph.nodes if features is None else needed(graph, outputs.values())
    names = None if features is None and len(outputs) == 1 else tuple(outputs)
    training = graph.training if features is None else frozenset()
    evaluated = tuple(place for place, name in enumerate(outputs) if name not in training)
    module = Lowering(graph, nodes, tuple(outputs.values()), inplace, evaluated).network(names, own_class)
    if len(nodes) < len(graph.nodes):
        module.__left_out__ = frozenset(graph.state_dict().keys() - module.state_dict().keys())
    if init == "spec":
        draw_weights(module, nodes)
    return module


def feature_paths(graph: Graph, features: Iterable[str]) -> dict[str, str]:
    """Return the path of the value that each feature names. Raises: UsageError if a feature names nothing."""
    asked = [features] if isinstance(features, str) else list(features)
    values: dict[str, str] = {}
    for node in graph.nodes:
        scope = node.path
        values[scope] = node.path
        while scope := scope.rpartition(".")[0]:
            values[scope] = node.path
    for name in asked:
        if name not in values:
            raise UsageError(f"{graph.name} has no step `{name}`", did_you_mean(name, values))
    if not asked:
        raise UsageError("features: expected the name of a step, got none", "features=['layer4']")
    return {name: values[name] for name in asked}


def needed(graph: Graph, paths: Iterable[str]) -> tuple[Node, ...]:
    """Return the nodes that the values at `paths` depend on, in data-flow order."""
    live = needed_paths(graph.nodes, paths, owners=True)
    return tuple(node for node in graph.nodes if node.path in live)
