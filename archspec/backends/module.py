"""Lowering: a graph as a hierarchy of `nn.Module`s, each with a forward of its own.

Every scope of the spec (a block, a `sequential`, the group of a named repeat) becomes a module at its path, every node
a module at its own, so that state_dict keys, hooks, `model.layer1[0]` and the profiler see what the spec says. A scope
that is a plain chain becomes an `nn.Sequential`. For any other, the data flow is written down as a `Plan`, and torch.fx
makes a forward of it: straight-line code, no interpreter. Scopes with equal plans share one class.

`initial_weights.py` then draws the weights as the spec's `init:` says.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from typing import Any, ClassVar, Protocol, TypeVar, cast

import torch
from torch import fx, nn
from torch.nn import functional

from archspec.backends import layers
from archspec.backends.initial_weights import INITS, draw_weights
from archspec.errors import UsageError, did_you_mean
from archspec.graph import Graph, Node, Tree, needed_paths, outer_reads
from archspec.ops.base import Call, Op
from archspec.ops.torch_api import OPERATORS, numbers_of
from archspec.shapes import Lead
from archspec.sharing import Called, SharedScopes, inner_path

# Words that the code which fx writes uses itself: an argument of forward must not hide them.
_TAKEN = frozenset({"self", "torch", "getattr", "device", "inf", "nan", "NoneType", "fx_pytree", "pytree", "operator"})


class HasGraph(Protocol):
    """Whatever holds a graph, as `archspec.Network` does."""

    @property
    def graph(self) -> Graph:
        """The graph."""


@dataclass(frozen=True)
class Step:
    """One line of a forward.

    `target` is a child's name if `arguments` is None, else a function, or `attribute` for a tensor of the module.
    `reads` are the numbers of values: first the inputs are numbered, then the steps.
    """

    name: str
    target: str
    reads: tuple[int, ...]
    arguments: tuple[tuple[str, Any], ...] | None = None
    listed: bool = False
    options: tuple[tuple[str, Any], ...] = ()
    """Keywords that a child is given."""
    size_of: int | None = None
    """The number of a value whose spatial axes are the argument `size` of a function."""
    unread: frozenset[int] = frozenset()
    """The positions of reads that a child does without in evaluation: it is given None there."""


@dataclass(frozen=True)
class Plan:
    """The forward of a scope as plain data.

    It returns one value as it is, several as a tuple, or as a dict if `names` gives their names. `evaluated` are the
    positions of those among them that evaluation needs, where it does not need all: the others are None then, and left
    out of a dict; a single one that is left of a dict is returned as it is.
    """

    class_name: str
    inputs: tuple[str, ...]
    steps: tuple[Step, ...]
    returns: tuple[int, ...]
    names: tuple[str, ...] | None = None
    evaluated: tuple[int, ...] | None = None
    pruned: bool = False
    """Whether steps may be left out that nothing reads: of a module that is built for some features."""


class Lowered(nn.Module):
    """A module whose forward came from a plan. Its classes are made as they are needed, so it is pickled by its plan.

    Its attributes have names that no step can have.
    """

    __plan__: ClassVar[Plan]
    __left_out__: frozenset[str] = frozenset()
    """Keys of the network's state_dict for which this module, built for some features of it, has no place."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _blank, (type(self).__plan__,), self.__getstate__()  # type: ignore[no-untyped-call]


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
    module = _Lowering(graph, nodes, tuple(outputs.values()), inplace, evaluated).network(names, own_class)
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


def construct(call: Call, **more: Any) -> nn.Module:
    """Construct the module that a call describes, with `more` arguments."""
    family, _, name = call.target.rpartition(".")
    made = getattr(nn if family else layers, name)(**call.arguments, **more)
    return cast(nn.Module, made)


# From the graph to modules and plans.


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
        for name, (tensor, persistent) in self.tensors.items():
            if isinstance(tensor, nn.Parameter):
                module.register_parameter(name, tensor)
            else:
                module.register_buffer(name, tensor, persistent)
        for name, child in self.modules.items():
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


class _Lowering:
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
        own = [node for node in Tree.of(nodes).items() if node.weights_of is None or not node.op.weights()]
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
        self._fill(scope, self.tree)
        inputs = tuple(f"{name}_" if name in _TAKEN else name for name in self.graph.inputs)
        returns = tuple(scope.numbers[path] for path in self.outputs)
        evaluated = self.evaluated if len(self.evaluated) < len(returns) else None
        plan = scope.plan(self.graph.name, inputs, returns, names, evaluated)
        return scope.fill(_new_class(plan)() if own_class else _class_of(plan)())

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
        returns = tuple(inner.numbers[path] for path in results)
        unread: frozenset[int] = frozenset()
        kind, class_name = _kind(nodes[0], tree.path)
        in_chain = inner.chain and returns == (inner.count - 1,)
        is_listed = any("." in child for child in inner.modules)
        named_freely = not is_listed and not any(hasattr(nn.Sequential, child) for child in inner.modules)
        if in_chain and kind != "block" and named_freely:
            scope.modules[name] = inner.fill(nn.Sequential())
        else:
            arguments = ("x",) if len(reads) == 1 else tuple(f"x{number}" for number in range(1, len(reads) + 1))
            evaluated = self._evaluated(tree, results)
            plan = inner.plan(class_name, arguments, returns, evaluated=evaluated)
            scope.modules[name] = inner.fill(_class_of(plan)())
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
        if fit == "unsqueeze":
            found[position] = scope.add(Step(node.name, "torch.unsqueeze", (number,), (("dim", 0),)))
        elif fit == "expand":
            batched = reads[node.op.leads.index(Lead.BATCH)]
            axes = len(node.op.inputs[position])
            found[position] = scope.add(Step(node.name, "expand", (number, batched), (("axes", axes),)))
    return tuple(found)


def overwrites(nodes: Iterable[Node], outputs: Iterable[str]) -> frozenset[str]:
    """Return the paths of the nodes that may write their result over what they read.

    Nothing else may read that value: no other node, not the caller as an output, and not the gradient of the op that
    made it. Nor may it come from outside the scope of the node, so that every module leaves its arguments as they are.
    """
    reads = Counter(outputs)
    made: dict[str, Node] = {}
    found: list[tuple[str, str]] = []
    for node in nodes:
        reads.update(node.inputs)
        made[node.path] = node
        source = made.get(node.inputs[0]) if node.inputs else None
        prefix = node.path[: -len(node.name)]
        if node.op.overwrites() and source is not None and source.op.overwritable and source.path.startswith(prefix):
            found.append((node.path, source.path))
    writing = {path for path, source in found if reads[source] == 1}
    # A module that several nodes call writes over what it reads only if all of them may.
    keeping = {node.weights_of or node.path for node in made.values() if node.path not in writing}
    return frozenset(path for path in writing if (made[path].weights_of or path) not in keeping)


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


# From plans to modules.


def _blank(plan: Plan) -> Lowered:
    """Return an instance without state, for unpickling to fill."""
    made = _class_of(plan)
    return made.__new__(made)


@lru_cache(maxsize=1024)
def _class_of(plan: Plan) -> type[Lowered]:
    return _new_class(plan)


def _new_class(plan: Plan) -> type[Lowered]:
    namespace = {"__plan__": plan, "forward": _forward(plan), "__module__": __name__, "__doc__": "Lowered from a spec."}
    if plan.evaluated is not None:
        namespace["__in_training__"] = namespace["forward"]
        namespace["__in_evaluation__"] = _forward(plan, plan.evaluated)
        inputs = ", ".join(plan.inputs)
        code = (
            f"def forward(self, {inputs}):\n"
            f"    return self.__in_training__({inputs}) if self.training else self.__in_evaluation__({inputs})\n"
        )
        made: dict[str, Any] = {}
        exec(code, made)  # noqa: S102 fx writes the others so; the names are checked
        namespace["forward"] = made["forward"]
    return type(plan.class_name, (Lowered,), namespace)


def _forward(plan: Plan, evaluated: tuple[int, ...] | None = None) -> Callable[..., Any]:
    """Return the function that a plan describes, as fx writes it. It reads children as attributes of `self`.

    With `evaluated`, it is that of evaluation, which needs these of the results only.
    """
    graph = fx.Graph()
    values = [graph.placeholder(name) for name in plan.inputs]
    for step in plan.steps:
        reads = [values[number] for number in step.reads]
        name = "value" if step.name in _TAKEN else step.name
        if step.arguments is None:
            unread = step.unread if evaluated is not None else ()
            given = tuple(None if place in unread else read for place, read in enumerate(reads))
            values.append(graph.create_node("call_module", step.target, given, dict(step.options), name))
        else:
            like = None if step.size_of is None else values[step.size_of]
            values.append(_function_node(graph, step, reads, name, like))
    results = [values[number] for number in plan.returns]
    if plan.names is not None and evaluated is not None and len(evaluated) == 1:
        graph.output(results[evaluated[0]])
    elif plan.names is not None:
        named = dict(zip(plan.names, results, strict=True))
        graph.output({plan.names[place]: results[place] for place in evaluated} if evaluated else named)
    elif evaluated is not None:
        graph.output(tuple(result if place in evaluated else None for place, result in enumerate(results)))
    else:
        graph.output(results[0] if len(results) == 1 else tuple(results))
    for node in reversed(graph.nodes) if plan.pruned or evaluated is not None else ():
        if node.op in ("call_module", "call_function") and not node.users:
            graph.erase_node(node)
    # An empty GraphModule is the public way to the compiled code. The modules are not its own: it has attributes
    # (`code`, `graph`, `meta`) whose names a step may bear.
    holder = fx.GraphModule(nn.Module(), fx.Graph())
    holder.graph = graph
    return type(holder).forward


def _function_node(
    graph: fx.Graph, step: Step, reads: list[fx.Node], name: str, like: fx.Node | None = None
) -> fx.Node:
    arguments: dict[str, Any] = dict(step.arguments or ())
    if step.target == "attribute":
        return graph.create_node("get_attr", arguments["name"], (), {}, name)
    if step.target == "expand":
        size = graph.create_node("call_method", "size", (reads[1], 0), {}, "batch")
        return graph.create_node("call_method", "expand", (reads[0], size, *[-1] * arguments["axes"]), {}, name)
    if like is not None:
        shape = graph.create_node("call_function", getattr, (like, "shape"), {})
        arguments = {
            "size": graph.create_node("call_function", operator.getitem, (shape, slice(2, None)), {}),
            **arguments,
        }
    if step.target == "item":
        return graph.create_node("call_function", operator.getitem, (reads[0], arguments["position"]), {}, name)
    if step.target in OPERATORS:
        if axes := step.target.count(":"):
            reads = [reads[0], (*[slice(None)] * axes, reads[1])]  # type: ignore[list-item]
        between = OPERATORS[step.target]
        operands: list[Any] = list(reads)
        for place, number in numbers_of(arguments):
            operands.insert(place, number)
        found: fx.Node = reduce(lambda a, b: graph.create_node("call_function", between, (a, b), {}, name), operands)
        return found
    family, _, word = step.target.rpartition(".")
    function = getattr(functional if family == "F" else torch, word)
    return graph.create_node("call_function", function, (reads,) if step.listed else tuple(reads), arguments, name)
