"""From a graph to modules: one for each node, and for each scope one with the plan of its forward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import torch
from torch import nn

from archspec.backends import layers
from archspec.backends.forward import TAKEN, Lowered, Plan, Step, class_of, new_class
from archspec.backends.inplace import overwrites
from archspec.graph import Graph, Node, Tree, needed_paths, outer_reads, registered_first
from archspec.ops.base import Call, Op
from archspec.shapes import Lead
from archspec.sharing import Called, SharedScopes, inner_path

Module = TypeVar("Module", bound=nn.Module)


@dataclass
class _Scope:
    """A scope while its plan is made. Values are known by their path; `numbers` gives their number in the plan."""

    modules: dict[str, nn.Module] = field(default_factory=dict)
    tensors: dict[str, tuple[torch.Tensor, bool]] = field(default_factory=dict)
    """Parameters and buffers of its own, each with whether the state_dict has it."""
    steps: list[Step] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    functions: dict[str, Call] = field(default_factory=dict)
    """By the name of a module, the function that takes its place outside an `nn.Sequential`."""
    register: Sequence[str] = ()
    """The names of the modules that are registered first."""
    count: int = 0
    pruned: bool = False
    chain: bool = True
    """Whether every step is a child that reads what the one before returned, and nothing else."""

    def __post_init__(self) -> None:
        self.count = len(self.numbers)
        self.chain = self.count == 1

    def add(self, step: Step) -> int:
        """Append a step; return the number of its value."""
        own = step.arguments is None and step.target == step.name  # and no other's module, called again
        self.chain &= own and step.reads == (self.count - 1,) and not step.options
        self.steps.append(step)
        self.count += 1
        return self.count - 1

    def fill(self, module: Module) -> Module:
        """Give the tensors and the children to a module."""
        for name in registered_first(self.register, self.tensors):
            tensor, persistent = self.tensors[name]
            if isinstance(tensor, nn.Parameter):
                module.register_parameter(name, tensor)
            else:
                module.register_buffer(name, tensor, persistent)
        for name in registered_first(self.register, self.modules):
            child = self.modules[name]
            listed, dot, number = name.partition(".")
            if not dot:
                module.add_module(name, child)
                continue
            if listed not in module._modules:
                module.add_module(listed, nn.ModuleList())
            module.get_submodule(listed).add_module(number, child)
        return module

    def plan(
        self,
        class_name: str,
        inputs: tuple[str, ...],
        returns: tuple[int, ...],
        names: tuple[str, ...] | None = None,
        evaluated: tuple[int, ...] | None = None,
    ) -> Plan:
        """Return the plan of the scope, its `functions` in place of modules."""
        for name in self.functions:
            del self.modules[name]
        steps = tuple(
            _function_step(step.name, self.functions[step.target], step.reads)
            if step.target in self.functions
            else step
            for step in self.steps
        )
        return Plan(class_name, inputs, steps, returns, names, evaluated, self.pruned)


class Lowering:
    """Makes the modules of a network, of which only `nodes` and `outputs` (paths) are asked for.

    `evaluated` are the positions of the outputs that evaluation needs.
    """

    def __init__(
        self, graph: Graph, nodes: Sequence[Node], outputs: tuple[str, ...], inplace: bool, evaluated: tuple[int, ...]
    ) -> None:
        self.graph, self.outputs = graph, outputs
        self.tree = Tree.of(nodes, graph.lists())
        if list(self.tree.items()) != list(nodes):
            raise ValueError("the nodes of a scope must follow one another")
        self.made_at = {node.path: position for position, node in enumerate(nodes)}
        self.last_read = {path: position for position, node in enumerate(nodes) for path in node.inputs}
        self.last_read.update(dict.fromkeys(outputs, len(nodes)))
        self.overwriting = overwrites(nodes, outputs) if inplace else frozenset()
        self.evaluated = evaluated
        self.in_evaluation = needed_paths(nodes, [outputs[place] for place in evaluated])
        self.shared = SharedScopes(self.tree, nodes)
        self.pruned = len(nodes) < len(graph.nodes)
        self.calls: dict[str, Called] = {}
        # In the order of their keys, in which torch draws the weights, though lists of modules may take turns.
        registered = Tree.of(nodes).registered(graph.register)
        own = [node for node in registered if node.weights_of is None or not node.op.weights()]
        self.free: dict[str, torch.Tensor] = {}
        self.made: dict[str, list[nn.Module]] = {}
        for node in own:
            if node.is_free:
                self.free[node.path] = free_tensor(node.op)
            else:
                self.made[node.path] = self._modules(node)

    def network(self, names: tuple[str, ...] | None, own_class: bool) -> Lowered:
        """Return the whole network; `names` are the keys of the dict that it returns, None if it returns one value."""
        scope = _Scope(pruned=self.pruned, numbers={name: number for number, name in enumerate(self.graph.inputs)})
        scope.register = self.graph.register.get("", ())
        self._fill(scope, self.tree)
        inputs = tuple(f"{name}_" if name in TAKEN else name for name in self.graph.inputs)
        returns = tuple(scope.numbers[path] for path in self.outputs)
        evaluated = self.evaluated if len(self.evaluated) < len(returns) else None
        plan = scope.plan(self.graph.name, inputs, returns, names, evaluated)
        return scope.fill(new_class(plan)() if own_class else class_of(plan)())

    def _modules(self, node: Node) -> list[nn.Module]:
        """Return the modules of a node."""
        options = {"inplace": True} if node.path in self.overwriting else {}
        return [construct(call, **options) for call in node.op.calls() if call.is_module]

    def _fill(self, scope: _Scope, tree: Tree[Node]) -> None:
        for name, child in tree.children.items():
            if isinstance(child, Node):
                self._leaf(scope, name, child)
            elif all(isinstance(part, Node) and part.op.whole() is not part.op for part in child.children.values()):
                for number, part in child.children.items():
                    assert isinstance(part, Node)
                    self._leaf(scope, f"{name}_{number}", part)
            elif child.path in self.shared.owners:
                self._call_again(scope, name, child)
            else:
                self._child(scope, name, child)

    def _leaf(self, scope: _Scope, name: str, node: Node) -> None:
        if node.is_free:
            scope.tensors[name] = self.free[node.path], node.op.persistent
            scope.numbers[node.path] = scope.add(Step(name, "attribute", (), (("name", name),)))
            return
        reads = tuple(scope.numbers[path] for path in node.inputs)
        if node.op.leads:
            reads = _fitted(scope, node, reads)
        owner = "" if node.weights_of is None else inner_path(node.weights_of, node.path[: -len(name) - 1])
        if "." in owner and not node.op.weights() and not node.op.buffers():
            owner = ""  # a function may stand in its place
        modules = iter(self.made.get(node.path, ()))
        for call in node.op.calls():
            if call.is_module:
                if not owner:
                    scope.modules[name] = next(modules)
                given = reads if call.reads is None else tuple(reads[place] for place in call.reads)
                step = Step(name, owner or name, given, options=tuple(call.options.items()))
            else:
                step = _function_step(name, call, reads)
            value = scope.add(step)
            if call.item is not None:
                value = scope.add(Step(name, "item", (value,), (("position", call.item),)))
            reads = (value,)
        (scope.numbers[node.path],) = reads
        if node.op.without_module and not owner and _is_unnamed(node):
            (call,) = node.op.calls()
            scope.functions[name] = call.as_function()

    def _child(self, scope: _Scope, name: str, tree: Tree[Node]) -> None:
        """Add a scope inside the scope: its inputs are what it reads from outside, its results what is read there."""
        nodes, reads = list(tree.items()), outer_reads(tree)
        results = [node.path for node in nodes if node.path in self._read_outside(tree)]
        inner = _Scope(pruned=self.pruned, numbers={path: number for number, path in enumerate(reads)})
        uses = self.shared.uses.get(tree.path)
        if uses:
            called = self.calls[tree.path] = Called.of([tree, *uses], tuple(path[len(tree.path) :] for path in results))
            reads = called.reads_of(tree)
            inner = _Scope(pruned=self.pruned, numbers={path: number for number, path in enumerate(called.names)})
            self._fill(inner, called.body(tree))
        else:
            self._fill(inner, tree)
        inner.register = self.graph.register.get(tree.path, ())
        returns = tuple(inner.numbers[path] for path in results)
        unread: frozenset[int] = frozenset()
        kind, class_name = _kind(nodes[0], tree.path)
        in_chain = inner.chain and returns == (inner.count - 1,) and not inner.register
        is_listed = any("." in child for child in inner.modules)
        named_freely = not is_listed and not any(hasattr(nn.Sequential, child) for child in inner.modules)
        if in_chain and kind != "block" and named_freely:
            scope.modules[name] = inner.fill(nn.Sequential())
        else:
            arguments = ("x",) if len(reads) == 1 else tuple(f"x{number}" for number in range(1, len(reads) + 1))
            evaluated = self._evaluated(tree, results)
            plan = inner.plan(class_name, arguments, returns, evaluated=evaluated)
            scope.modules[name] = inner.fill(class_of(plan)())
            if evaluated is not None and not uses:
                read = {path for node in nodes if node.path in self.in_evaluation for path in node.inputs}
                unread = frozenset(place for place, path in enumerate(reads) if path not in read)
        step = Step(name, name, tuple(scope.numbers[path] for path in reads), unread=unread)
        self._call(scope, step, results)

    def _call_again(self, scope: _Scope, name: str, tree: Tree[Node]) -> None:
        """Call the module of an earlier scope again."""
        owner = self.shared.owners[tree.path]
        called = self.calls[owner]
        target = inner_path(owner, tree.path[: -len(name) - 1])
        reads = tuple(scope.numbers[path] for path in called.reads_of(tree))
        self._call(scope, Step(name, target, reads), [tree.path + inner for inner in called.results])

    @staticmethod
    def _call(scope: _Scope, step: Step, results: Sequence[str]) -> None:
        """Add the call of a scope that returns `results`."""
        value = scope.add(step)
        if len(results) == 1:
            scope.numbers[results[0]] = value
            return
        for position, path in enumerate(results):
            item = Step(path.rpartition(".")[2], "item", (value,), (("position", position),))
            scope.numbers[path] = scope.add(item)

    def _read_outside(self, tree: Tree[Node]) -> set[str]:
        """Return the paths of what is read outside of a scope, or outside of one that calls its module again."""
        nodes = list(tree.items())
        stop = self.made_at[nodes[-1].path] + 1
        found = {node.path for node in nodes if self.last_read.get(node.path, -1) >= stop}
        for other in self.shared.alike.get(tree.path, ()):
            found |= {tree.path + path[len(other.path) :] for path in self._read_outside(other)}
        return found

    def _evaluated(self, tree: Tree[Node], results: Sequence[str]) -> tuple[int, ...] | None:
        """Return the positions of the results that evaluation needs; None if it needs all, or nothing of the scope."""
        found = tuple(place for place, path in enumerate(results) if self._is_evaluated(tree, path))
        return found if 0 < len(found) < len(results) else None

    def _is_evaluated(self, tree: Tree[Node], path: str) -> bool:
        return path in self.in_evaluation or any(
            self._is_evaluated(other, other.path + path[len(tree.path) :])
            for other in self.shared.alike.get(tree.path, ())
        )


def construct(call: Call, **more: Any) -> nn.Module:
    """Construct the module that a call describes, with `more` arguments."""
    family, _, name = call.target.rpartition(".")
    made = getattr(nn if family else layers, name)(**call.arguments, **more)
    return cast(nn.Module, made)


def free_tensor(op: Op) -> torch.Tensor:
    """Make the tensor that a free op stands for, with the numbers that it starts from."""
    first, *rest = op.calls()
    tensor: torch.Tensor = getattr(torch, first.target.removeprefix("torch."))(**first.arguments)
    for call in rest:
        getattr(nn.init, call.target.removeprefix("nn.init."))(tensor, **call.arguments)
    return nn.Parameter(tensor) if op.weights() else tensor


def _fitted(scope: _Scope, node: Node, reads: tuple[int, ...]) -> tuple[int, ...]:
    """Give what a node reads the batch that its op needs; return the numbers of these values."""
    found = list(reads)
    for position, number in enumerate(reads):
        fit = node.op.fits(position)
        if fit in ("unsqueeze", "squeeze"):
            found[position] = scope.add(Step(node.name, f"torch.{fit}", (number,), (("dim", 0),)))
        elif fit == "expand":
            batched = reads[node.op.leads.index(Lead.BATCH)]
            axes = len(node.op.inputs[position])
            found[position] = scope.add(Step(node.name, "expand", (number, batched), (("axes", axes),)))
    return tuple(found)


def _is_unnamed(node: Node) -> bool:
    """Return whether the name of a node is one that its op gives."""
    name, _, number = node.name.rpartition("_")
    return node.name == node.op.op or name == node.op.op and number.isdecimal()


def _function_step(name: str, call: Call, reads: tuple[int, ...]) -> Step:
    given = reads if call.reads is None else tuple(reads[place] for place in call.reads)
    size_of = None if call.size_of is None else reads[call.size_of]
    return Step(name, call.target, given, tuple(call.arguments.items()), call.listed, size_of=size_of)


def _kind(node: Node, path: str) -> tuple[str, str]:
    """Return the kind of the scope at `path`, somewhere above `node`, and a name for its class."""
    for scope in node.scope.chain():
        if scope.path == path and scope.kind != "inline":
            return scope.kind, scope.block or scope.kind
    return "scope", "scope"
