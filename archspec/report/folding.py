"""Costs as the tree of modules that they form, with equal neighbours folded into one row."""

from __future__ import annotations

from dataclasses import dataclass, field

from archspec._cached import cached_property
from archspec.analysis.cost import Costs, LayerCost
from archspec.graph import Tree
from archspec.shapes import Shape


@dataclass
class Branch:
    """A scope or a layer; `kind` is its block or op. `names` are those of the equal neighbours that it stands for."""

    path: str
    kind: str
    names: list[str]
    layer: LayerCost | None = None
    children: list[Branch] = field(default_factory=list)

    @cached_property
    def layers(self) -> list[LayerCost]:
        """Every layer below, in data-flow order; of folded neighbours, those of the first."""
        return [self.layer] if self.layer else [layer for child in self.children for layer in child.layers]

    @property
    def copies(self) -> int:
        """How many equal neighbours the branch stands for."""
        return len(self.names)

    @property
    def is_shared(self) -> bool:
        """Whether its weights are counted elsewhere, where it has any."""
        weighted = [layer for layer in self.layers if layer.applied.params or layer.applied.buffer_elements]
        return bool(weighted) and all(layer.weights_of is not None for layer in weighted)

    def total(self, figure: str) -> int:
        """Sum of `params`, `buffers`, `macs`, `flops` or `output_bytes` over the branch, all its copies counted."""
        repeated = 1 if self.layer else self.copies
        own = getattr(self.layer, figure) if self.layer else sum(child.total(figure) for child in self.children)
        return int(own) * repeated

    @property
    def input_shape(self) -> Shape:
        """Shape of what its first layer reads first."""
        first = next((layer for layer in self.layers if layer.input_shapes), self.layers[0])
        return first.input_shapes[0] if first.input_shapes else ()

    @property
    def output_shape(self) -> Shape:
        """Shape of what its last layer gives."""
        return self.layers[-1].output_shape

    @property
    def last_path(self) -> str:
        """The path of its last layer: of folded neighbours, the last one's."""
        last = self.layers[-1].path
        inner = last[len(self.path) :]
        return f"{self.path[: -len(self.names[0])]}{self.names[-1]}{inner}" if self.copies > 1 else last

    def signature(self, start: int | None = None) -> tuple[object, ...]:
        """Return what makes two scopes equal: their kind, their contents and what these read, but not their place."""
        start = len(self.path) if start is None else start
        if self.layer:
            scope = self.path[:start] + "."
            inputs = tuple(path[start:] if path.startswith(scope) else "" for path in self.layer.inputs)
            return (self.path[start:], self.layer.applied, inputs, self.layer.weights_of is None)
        return (self.path[start:], self.kind, *[child.signature(start) for child in self.children])


def module_tree(costs: Costs) -> Branch:
    """Return the modules of a network as a tree, equal neighbouring scopes folded."""
    root = _branch(costs, costs.name, "network", Tree.of(costs.layers))
    _ = root.layers  # of every branch, before equal ones are folded
    _fold(root)
    return root


def _branch(costs: Costs, name: str, kind: str, scope: Tree[LayerCost]) -> Branch:
    branch = Branch(scope.path, kind, [name])
    for inner, child in scope.children.items():
        if isinstance(child, Tree):
            branch.children.append(_branch(costs, inner, costs.scopes[child.path], child))
        else:
            branch.children.append(Branch(child.path, child.op, [inner], child))
    return branch


def _fold(branch: Branch) -> None:
    folded: list[Branch] = []
    for child in branch.children:
        previous = folded[-1] if folded else None
        if previous and not child.layer and not previous.layer and previous.signature() == child.signature():
            previous.names.extend(child.names)
        else:
            folded.append(child)
    branch.children = folded
    for child in folded:
        _fold(child)
