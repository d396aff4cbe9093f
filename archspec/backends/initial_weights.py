"""Initial weights: the tensors of a module drawn as the spec's `init:` says.

Weights are drawn in two passes, as torchvision's constructors draw them. First every layer's own constructor draws
torch's default, in the order in which the layers are constructed. Then `draw_weights` goes over the modules in the
order in which they are registered, and draws each tensor again of which the spec says more. So one seed gives the
same numbers wherever both passes are made in the same order: in generated source always, in torchvision's networks
where the order of their constructors is the same.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from archspec.graph import Node
from archspec.ops.initial import Draw

INITS = ("spec", "torch")
"""What `build(init=...)` takes: weights as the spec says, or as torch's constructors leave them."""


def draw_weights(module: nn.Module, nodes: Iterable[Node]) -> None:
    """Draw the weights of a network again of which its spec says how, in the order of `module.modules()`."""
    draws = {node.path: node.draws for node in nodes if node.draws}
    if not draws:
        return
    for path, layer in module.named_modules():
        for name, draw in draws.get(path, {}).items():
            draw_tensor(layer.get_parameter(name), draw)


def draw_tensor(tensor: torch.Tensor, draw: Draw) -> None:
    """Draw one tensor from torch's generator."""
    getattr(nn.init, draw.function)(tensor, **dict(draw.arguments))
