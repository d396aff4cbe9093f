"""The one intermediate representation: nodes in data-flow order, each an op applied to the values it reads.

A value is named by its path: the dotted path of the node that makes it, or the name of an input of the network.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from archspec.errors import Span
from archspec.expressions import Environment
from archspec.ops.base import Op
from archspec.ops.initial import Draw
from archspec.shapes import Shape, shape_text
from archspec.syntax import Yaml

if TYPE_CHECKING:
    import networkx as nx


def copied(value: Any) -> Any:
    """Copy the lists and mappings of a value: the spec's own are shared by all that is loaded from it."""
    if isinstance(value, list):
        return [copied(item) if isinstance(item, (list, dict)) else item for item in value]
    return {key: copied(item) for key, item in value.items()} if isinstance(value, dict) else value


EMPTY: Mapping[str, Any] = {}
"""A mapping that many layers share, since most have no arguments of their own; nobody changes it."""


class Scope:
    """The scope that nodes live in: a block call, a `sequential`, an `inline`, or the group of a named repeat.

    `copy` is `(position, count)` where the scope is one copy of a repeat. `weights_of` is the path of the scope whose
    modules it calls again, for one that a `use` made. `step` is the typed step that made it, `definition` the block,
    `environment` the values its steps saw, and `items` what they made, in order, if elaboration was asked for a trace:
    for back ends that give structure back. Of a network that is a block, `gives` holds the paths of its values by their
    names, and `remark` tells where it was written for another input. `register` names those of its steps whose modules
    come first, in this order.
    """

    __slots__ = (
        "kind",
        "path",
        "block",
        "copy",
        "span",
        "parent",
        "step",
        "definition",
        "environment",
        "items",
        "weights_of",
        "gives",
        "remark",
        "register",
        "__weakref__",
    )

    def __init__(
        self,
        kind: str,
        path: str,
        parent: Scope | None,
        block: str | None = None,
        copy: tuple[int, int] | None = None,
        span: Span | None = None,
        step: object = None,
        definition: object = None,
        weights_of: str | None = None,
    ) -> None:
        self.weights_of = weights_of
        self.kind, self.path, self.parent, self.block, self.copy, self.span = kind, path, parent, block, copy, span
        self.step, self.definition = step, definition
        self.environment: Environment | None = None
        self.items: list[Applied] = []
        self.gives: Mapping[str, str] = EMPTY
        self.remark = ""
        self.register: tuple[str, ...] = ()

    @property
    def is_network(self) -> bool:
        """Whether it is a network within another."""
        return getattr(self.definition, "network", None) is not None

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The values it was given, or set for itself.

        A tensor among them has the path that it had where an equal scope was first met.
        """
        return {name: copied(value) for name, value in self.environment.values.items()} if self.environment else {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep what the scope is and what it was given, not the program that it came from."""
        values = self.environment.values if self.environment is not None else None
        more = values, self.weights_of, self.register
        return _scope, (self.kind, self.path, self.parent, self.block, self.copy, self.span, *more)

    def moved(self, path: str, parent: Scope) -> Scope:
        """Return the same scope at another place."""
        found = Scope(self.kind, path, parent, self.block, self.copy, self.span, self.step, self.definition)
        found.take(self)
        if self.weights_of is not None:
            # What a `use` calls stands in the same scope as the `use`, or further inside.
            around = self.parent.path if self.parent is not None else ""
            found.weights_of = moved_path(self.weights_of, around, parent.path)
        return found

    def take(self, other: Scope) -> None:
        """Take over what the steps of an equal scope at another place saw and gave."""
        self.environment, self.remark, self.register = other.environment, other.remark, other.register
        if other.gives:
            before = other.path + "."
            self.gives = {
                name: f"{self.path}.{path.removeprefix(before)}" if path.startswith(before) else path
                for name, path in other.gives.items()
            }

    def chain(self) -> Iterator[Scope]:
        """Yield this scope and those around it, innermost first, without the network itself."""
        here: Scope | None = self
        while here is not None and here.parent is not None:
            yield here
            here = here.parent

    def __str__(self) -> str:
        made = f"{'network' if self.is_network else 'block'} {self.block}{self.remark}" if self.block else self.kind
        copy = f", copy {self.copy[0] + 1} of {self.copy[1]}" if self.copy else ""
        path = self.parent.path if self.parent and self.parent.kind == "repeat" else self.path
        return f"in {made}{copy}, used{f' as {path}' if path else ''} at {self.span}"

    def __repr__(self) -> str:
        return f"Group({self.kind}, {self.path!r})"


def _scope(
    kind: str,
    path: str,
    parent: Scope | None,
    block: str | None,
    copy: tuple[int, int] | None,
    span: Span | None,
    values: dict[str, Any] | None,
    weights_of: str | None,
    register: tuple[str, ...],
) -> Scope:
    """Return a scope as it was before it was pickled or copied."""
    scope = Scope(kind, path, parent, block, copy, span, weights_of=weights_of)
    scope.register = register
    scope.environment = Environment(values) if values is not None else None
    return scope


class ArgumentOrigin(NamedTuple):
    """Where an argument's value was written: in the `step` itself, or under `defaults`."""

    origin: str
    yaml: Yaml

    @property
    def span(self) -> Span:
        """The place of the value."""
        return self.yaml.span


class Node:
    """One layer: an op at a path, and the paths of the values it reads, in order.

    `span` is the place of its step; `origins` tells where each argument was written that is not the op's own default.
    `draws` tells how initial weights are drawn, by the tensor's name in the module, where torch's default is not meant.
    `weights_of` is the path of the node whose module it calls again, if a `use` made it.
    """

    __slots__ = ("path", "op", "inputs", "span", "scope", "origins", "draws", "weights_of")

    def __init__(
        self,
        path: str,
        op: Op,
        inputs: tuple[str, ...],
        span: Span,
        scope: Scope,
        origins: Mapping[str, ArgumentOrigin] | None = None,
        draws: Mapping[str, Draw] = EMPTY,
        weights_of: str | None = None,
    ) -> None:
        self.weights_of = weights_of
        self.path, self.op, self.inputs, self.span, self.scope = path, op, inputs, span, scope
        self.origins: Mapping[str, ArgumentOrigin] = origins or EMPTY
        self.draws = draws

    @property
    def shape(self) -> Shape:
        """The output shape, without the batch."""
        return self.op.output

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]

    @property
    def is_free(self) -> bool:
        """Whether it is a free tensor: one that the network holds, and no step has made."""
        return self.op.arity == 0

    def key(self, tensor: str) -> str:
        """Return the key in the state_dict of one of its tensors; a free tensor's is its path."""
        owner = self.weights_of or self.path
        return f"{owner}.{tensor}" if tensor else owner

    def __repr__(self) -> str:
        return f"Node({self.path}: {self.op!r} -> {shape_text(self.shape)})"


class HasPath(Protocol):
    """What stands at a dotted path: a node, or a figure about one."""

    @property
    def path(self) -> str:
        """The path."""


Item = TypeVar("Item", bound=HasPath)


class Tree(Generic[Item]):
    """A scope with what is in it: items and the scopes inside by their names, in the order in which they come up."""

    __slots__ = ("path", "children")

    def __init__(self, path: str) -> None:
        self.path = path
        self.children: dict[str, Item | Tree[Item]] = {}

    @classmethod
    def of(cls, items: Iterable[Item], lists: Collection[str] = ()) -> Tree[Item]:
        """Return the tree that the dotted paths of `items` form; its root has an empty path.

        What stands in one of the `lists` (paths) is a child of the scope around that, as `convs.0`: the steps of
        several lists may take turns.

        Raises:
            ValueError: Two items have one path, or one is at the path of a scope.
        """
        root: Tree[Item] = cls("")
        for item in items:
            here = root
            *outer, name = item.path.split(".")
            prefix = ""
            for part in outer:
                if lists and (f"{here.path}.{part}" if here.path else part) in lists:
                    prefix = f"{part}."
                    continue
                part, prefix = prefix + part, ""  # noqa: PLW2901
                if part not in here.children:
                    here.children[part] = cls(f"{here.path}.{part}" if here.path else part)
                inner = here.children[part]
                if not isinstance(inner, Tree):
                    raise ValueError(f"{item.path} lies inside {inner.path}, which is a node")
                here = inner
            name = prefix + name
            if name in here.children:
                raise ValueError(f"{item.path} is there twice")
            here.children[name] = item
        return root

    def items(self) -> Iterator[Item]:
        """Yield every item in this scope and in those inside, scope by scope."""
        return self.registered(EMPTY)

    def registered(self, register: Mapping[str, Sequence[str]]) -> Iterator[Item]:
        """Yield the same items in the order in which modules are registered, which `register` has of some scopes."""
        for name in registered_first(register.get(self.path, ()), self.children):
            child = self.children[name]
            if isinstance(child, Tree):
                yield from child.registered(register)
            else:
                yield child


def registered_first(first: Sequence[str], names: Iterable[str]) -> Iterable[str]:
    """Return the names of modules in the order in which they are registered: those of `first`, then the others.

    In `first` a list of modules has one name, as `convs`; its modules are `convs.0` and so on.
    """
    if not first:
        return names
    place = {name: number for number, name in enumerate(first)}
    return sorted(names, key=lambda name: place.get(name, place.get(name.partition(".")[0], len(place))))


def moved_path(path: str, old: str, new: str) -> str:
    """Return a path inside the scope at `old` as it is inside the scope at `new`."""
    inner = path[len(old) + 1 :] if old else path
    return f"{new}.{inner}" if new else inner


def _in_order_of_modules(scope: Tree[Node], register: Mapping[str, Sequence[str]]) -> Iterator[Node]:
    """Yield the nodes of a scope as its module registers them: free parameters, free buffers, then the others."""
    children = [scope.children[name] for name in registered_first(register.get(scope.path, ()), scope.children)]
    free = [child for child in children if isinstance(child, Node) and child.is_free]
    yield from sorted(free, key=lambda node: not node.op.weights())
    for child in children:
        if isinstance(child, Tree):
            yield from _in_order_of_modules(child, register)
        elif not child.is_free:
            yield child


def outer_reads(scope: Tree[Node]) -> tuple[str, ...]:
    """Return the paths of the values from outside that the nodes of a scope read, in order, each once."""
    nodes = list(scope.items())
    inside = {node.path for node in nodes}
    return tuple(dict.fromkeys(path for node in nodes for path in node.inputs if path not in inside))


def needed_paths(nodes: Sequence[Node], paths: Iterable[str], *, owners: bool = False) -> set[str]:
    """Return the paths of the values that those at `paths` depend on, these among them.

    What one call of a module needs, every other call of it computes too.

    Args:
        nodes: The nodes of a network, in data-flow order.
        paths: The values.
        owners: Whether what has the modules that a `use` calls is needed too.
    """
    live = _dependencies(nodes, set(paths))
    if all(node.weights_of is None for node in nodes):
        return live
    shared = {scope.weights_of for node in nodes if node.weights_of is not None for scope in node.scope.chain()}
    while True:
        owned = {node.weights_of or node.path for node in nodes if node.path in live}
        called = {
            scope.path
            for node in nodes
            if node.path in live
            for scope in node.scope.chain()
            if scope.weights_of is not None or scope.path in shared
        }
        more = {
            node.path
            for node in nodes
            if (node.weights_of or node.path) in owned
            and (owners and node.weights_of is None or any(scope.path in called for scope in node.scope.chain()))
        }
        found = _dependencies(nodes, live | more)
        if found == live:
            return live
        live = found


def _dependencies(nodes: Sequence[Node], live: set[str]) -> set[str]:
    """Return `live` with the paths of the values that these depend on."""
    for node in reversed(nodes):
        if node.path in live:
            live.update(node.inputs)
    return live


class Applied(NamedTuple):
    """A step of a spec, applied once: a node, a scope, or None where it was left out.

    `reads` and `result` are paths of values; what is left out passes on the first value that it would have read.
    `environment` holds what its expressions saw, and `copy` is `(position, count)` for a copy of a repeat. A step with
    several results has made the node of the first; `more` are the paths of the others.
    """

    step: object
    made: Node | Scope | None
    reads: tuple[str, ...]
    result: str
    environment: Environment
    copy: tuple[int, int] | None = None
    more: tuple[str, ...] = ()


class Graph:
    """A network: its inputs, its nodes in data-flow order, its outputs.

    `inputs` maps names to shapes; `outputs` maps output names to the paths of their values. `training` are the names of
    the outputs that only training asks for, `register` those of the steps whose modules come first.
    """

    def __init__(
        self,
        name: str,
        inputs: Mapping[str, Shape],
        nodes: tuple[Node, ...],
        outputs: Mapping[str, str],
        training: Iterable[str] = (),
        register: tuple[str, ...] = (),
    ) -> None:
        self.training = frozenset(training)
        self._evaluation: Graph | None = None
        self.name = name
        self.inputs = dict(inputs)
        self.nodes = nodes
        self.outputs = dict(outputs)
        self._by_path: dict[str, Node] | None = None
        self._lists: frozenset[str] | None = None
        self._own_register, self._register = register, None if nodes else EMPTY

    def node(self, path: str) -> Node:
        """Return the node at `path`. Raises: KeyError if there is none."""
        if self._by_path is None:
            self._by_path = {node.path: node for node in self.nodes}
        return self._by_path[path]

    def shape(self, path: str) -> Shape:
        """Return the shape of the value at `path`: a node's output or an input of the network."""
        return self.inputs[path] if path in self.inputs else self.node(path).shape

    def tree(self) -> Tree[Node]:
        """Return the nodes as the tree of scopes that their paths form."""
        return Tree.of(self.nodes, self.lists())

    @property
    def register(self) -> Mapping[str, tuple[str, ...]]:
        """The steps whose modules are registered first, by the paths of scopes that say so; the network's is empty."""
        if self._register is None:
            said = {"": self._own_register} if self._own_register else {}
            known: set[int] = set()
            for node in self.nodes:
                for scope in node.scope.chain():
                    if id(scope) in known:
                        break
                    known.add(id(scope))
                    if scope.register:
                        said[scope.path] = scope.register
            self._register = self._standing(said)
        return self._register

    def _standing(self, register: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        """Return what is registered first without the names of steps that are left out."""
        there: set[str] = set()
        for node in self.nodes if register else ():
            path = node.path
            while path and path not in there:
                there.add(path)
                path = path.rpartition(".")[0]
        found = {
            path: tuple(name for name in names if (f"{path}.{name}" if path else name) in there)
            for path, names in register.items()
        }
        return {path: names for path, names in found.items() if names} or EMPTY

    def lists(self) -> frozenset[str]:
        """Return the paths of the lists of steps: `convs`, where steps are called `convs.0` and `convs.1`."""
        if self._lists is None:
            self._lists = frozenset(self._find_lists())
        return self._lists

    def _find_lists(self) -> Iterator[str]:
        known: set[int] = set()
        last = None
        for node in self.nodes:
            if node.scope is not last:
                last = node.scope
                start = len(last.path) + 1 if last.path else 0
                for scope in last.chain():
                    if id(scope) in known or scope.parent is None:
                        break
                    known.add(id(scope))
                    if "." in scope.path[len(scope.parent.path) + 1 if scope.parent.path else 0 :]:
                        yield scope.path.rpartition(".")[0]
            if node.path.find(".", start) >= 0:
                yield node.path.rpartition(".")[0]

    @property
    def evaluation(self) -> Graph:
        """What runs in evaluation: the network without its outputs for training, and what only they need."""
        if not self.training:
            return self
        if self._evaluation is None:
            outputs = {name: path for name, path in self.outputs.items() if name not in self.training}
            live = needed_paths(self.nodes, outputs.values())
            nodes = tuple([node for node in self.nodes if node.path in live])
            self._evaluation = Graph(self.name, self.inputs, nodes, outputs, register=self._own_register)
        return self._evaluation

    def state_dict(self) -> dict[str, Shape]:
        """Key and shape of every parameter and buffer, in the order in which the modules register them.

        A module has its own parameters first, then its own buffers, then what its children have.
        """
        nodes: Iterable[Node] = self.nodes
        if any(node.is_free for node in nodes) or self.lists() or self.register:
            nodes = _in_order_of_modules(Tree.of(nodes), self.register)
        return {
            node.key(name): shape
            for node in nodes
            if node.weights_of is None
            for tensors in (node.op.weights(), node.op.buffers())
            for name, shape in tensors.items()
            if node.op.persistent
        }

    def unused(self) -> list[str]:
        """Return paths of nodes, and names of inputs, whose value reaches no output; in data-flow order."""
        live = needed_paths(self.nodes, self.outputs.values())
        paths = [*self.inputs, *[node.path for node in self.nodes]]
        return [path for path in paths if path not in live]

    def to_dict(self) -> dict[str, Any]:
        """Return the graph as plain data, without places: what the golden files hold."""
        return {
            "name": self.name,
            "inputs": {name: list(shape) for name, shape in self.inputs.items()},
            "nodes": [
                {
                    "args": node.op.args(),
                    "inputs": list(node.inputs),
                    "op": node.op.op,
                    "path": node.path,
                    "shape": list(node.shape),
                    **({} if node.weights_of is None else {"weights_of": node.weights_of}),
                }
                for node in self.nodes
            ],
            "outputs": self.outputs,
            **({"register": {path: list(names) for path, names in self.register.items()}} if self.register else {}),
            **({"training": [name for name in self.outputs if name in self.training]} if self.training else {}),
        }

    def to_json(self) -> str:
        """Return the canonical form: stable and diffable, keys sorted, one node a line."""
        data = self.to_dict()
        nodes = ",\n".join("    " + json.dumps(node, sort_keys=True) for node in data["nodes"])
        # Outputs keep their order, which a caller of the network sees.
        rest = {key: json.dumps(value) for key, value in data.items() if key != "nodes"}
        lines = [f'  "inputs": {rest["inputs"]}', f'  "name": {rest["name"]}', f'  "nodes": [\n{nodes}\n  ]']
        lines += [f'  "{key}": {rest[key]}' for key in ("outputs", "register", "training") if key in rest]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    def structural_hash(self) -> str:
        """SHA-256 of the structure: ops, arguments, shapes and edges as seen from the outputs. Names do not count.

        Nodes are numbered as a depth-first walk from the outputs first meets them, so the order in which independent
        branches were written does not count either; sharing a value does.
        """
        import hashlib

        numbers: dict[str, int] = {name: position for position, name in enumerate(self.inputs)}
        modules: dict[str, int] = {}  # by the path of what owns a shared module, the number of its first call
        digest = hashlib.sha256(json.dumps(list(self.inputs.values())).encode())
        for root in self.outputs.values():
            stack = [(root, False)]
            while stack:
                path, ready = stack.pop()
                if path in numbers:
                    continue
                node = self.node(path)
                if not ready:
                    stack.append((path, True))
                    stack.extend((source, False) for source in reversed(node.inputs))
                    continue
                numbers[path] = len(numbers)
                line: list[Any] = [node.op.op, node.op.args(), [numbers[source] for source in node.inputs]]
                owner = node.weights_of or path
                if owner in modules:
                    line.append(modules[owner])
                modules.setdefault(owner, numbers[path])
                digest.update(json.dumps(line, sort_keys=True).encode())
        digest.update(json.dumps([numbers[path] for path in self.outputs.values()]).encode())
        if self.training:
            digest.update(json.dumps([name in self.training for name in self.outputs]).encode())
        return digest.hexdigest()

    def to_networkx(self) -> nx.MultiDiGraph[str]:
        """Return the graph for networkx: nodes are paths, with `op`, `args`, `shape`, `params` and `macs`.

        An edge's key is the position of the operand, so `add(x, x)` has two edges.
        """
        import networkx as nx

        found: nx.MultiDiGraph[str] = nx.MultiDiGraph(name=self.name)
        for name, shape in self.inputs.items():
            found.add_node(name, op="input", args={}, shape=shape, params=0, macs=0)
        for node in self.nodes:
            op = node.op
            params = op.params if node.weights_of is None else 0
            found.add_node(node.path, op=op.op, args=op.args(), shape=node.shape, params=params, macs=op.macs())
            for position, source in enumerate(node.inputs):
                found.add_edge(source, node.path, key=position)
        return found

    def __len__(self) -> int:
        return len(self.nodes)

    def __repr__(self) -> str:
        return f"Graph({self.name!r}, {len(self.nodes)} nodes)"
