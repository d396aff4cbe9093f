"""An ONNX model as calls of archspec's ops: each node as the op of torch that it is, and that by its rule.

No code of the file runs, and nothing is computed but constants, such as shapes.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch.export.graph_signature import InputKind

from archspec.errors import UsageError
from archspec.importing.aten import RULES
from archspec.importing.calls import Call, Missing, Part, Program, Value
from archspec.importing.layouts import CannotExpressError, View, plain
from archspec.importing.onnx_ops import ARRANGING, NODES
from archspec.importing.reader import BATCH, Reader, StopError, Tensor, Unknown, leave_modules_of_ops
from archspec.importing.scopes import from_paths, from_repeats, stand_with_readers
from archspec.importing.tree import SEQUENTIAL, live_calls

if TYPE_CHECKING:
    import onnx

MIN_OPSET = 11


def read_onnx(path: str, *, name: str) -> tuple[Program, dict[str, torch.Tensor]]:
    """Return the calls of an ONNX model, and its weights by the keys of the spec.

    Raises:
        UsageError: The file holds no model, or one of an older opset than 11, or inputs whose sizes are open.
    """
    import onnx
    from onnx.external_data_helper import load_external_data_for_model

    folder = os.path.dirname(os.path.abspath(path))
    try:
        model = onnx.load(path, load_external_data=False)
        for other in _other_files(model):
            if not os.path.isfile(os.path.join(folder, other)):
                raise UsageError(
                    f"{path}: weights that the model keeps in another file are missing", f"expected {other}"
                )
        onnx.checker.check_model(path)  # by its path, since a model of more than 2 GiB is not checked in memory
        load_external_data_for_model(model, folder)
    except UsageError:
        raise
    except Exception as error:  # protobuf, the checker and the file system each have errors of their own
        raise UsageError(f"{path}: not a valid ONNX model: {str(error).splitlines()[0][:200]}") from None
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)
    if opset < MIN_OPSET:
        raise UsageError(
            f"{path}: opset {opset}; expected {MIN_OPSET} or later", "convert it with onnx.version_converter"
        )
    return OnnxReader(model, name).read()


def _other_files(model: onnx.ModelProto) -> list[str]:
    """Return the names of the files in which a model keeps weights, as the model has them."""
    from onnx.external_data_helper import ExternalDataInfo, uses_external_data

    found = [ExternalDataInfo(each).location for each in model.graph.initializer if uses_external_data(each)]
    return list(dict.fromkeys(found))


class Item:
    """A value of the model: a tensor without numbers that has its shape, and what rules get for it."""

    def __init__(self, fake: torch.Tensor, value: Any) -> None:
        self.fake, self.value = fake, value


class _Source:
    """What a node reads, as rules of ATen's ops ask for it: with those that read it too."""

    def __init__(self, users: list[Any]) -> None:
        self.users = users


class OnnxReader(Reader):
    """Walks the nodes of a model. Rules of `onnx_ops.py` say which op of torch each is."""

    def __init__(self, model: onnx.ModelProto, name: str) -> None:
        from onnx import numpy_helper

        self.model = model
        self.start(name)
        self.tensors = {
            each.name: torch.from_numpy(numpy_helper.to_array(each).copy()) for each in model.graph.initializer
        }
        self.kinds = {}
        self.items: dict[str, Any] = {}
        self.state: dict[str, torch.Tensor] = {}
        self.at: onnx.NodeProto | None = None
        self.counts: dict[str, int] = {}
        self.paths: set[str] = set()
        self.makers: dict[str, onnx.NodeProto] = {}
        """The node that each value comes from."""
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        """The nodes that read each value."""
        self.joined: set[str] = set()
        """Values that are the sum of a product and a bias which the product's layer has already."""
        self.sources: dict[str, _Source] = {}
        self.stored_at: set[int] = set()
        self.nameless: set[str] = set()
        """Paths of layers that the file has no name for."""
        self.unplaced: set[Call] = set()
        """Calls of nodes that do not tell in which module they stand."""
        self.failures: dict[str, Missing] = {}
        """What could not be expressed, by the value that lacks it."""
        self.parents: set[str] = set()
        """Paths of modules that hold others."""
        self.containers: set[str] = set()
        """Those, and paths of modules that several nodes stand right in."""
        self._look_over()

    def _look_over(self) -> None:
        """Note who reads what, and which modules hold others."""
        from onnx import numpy_helper

        for node in self.model.graph.node:
            attributes = {each.name: each for each in node.attribute} if node.op_type == "Constant" else {}
            if "value" in attributes:
                self.tensors[node.output[0]] = torch.from_numpy(numpy_helper.to_array(attributes["value"].t).copy())
        constants = {*self.tensors}
        seen: set[str] = set()
        for name in self.tensors:
            words = name.split(".")[:-2]
            self.parents.update(".".join(words[: at + 1]) for at in range(len(words)))
        for node in self.model.graph.node:
            for name in dict.fromkeys(node.input):
                self.readers.setdefault(name, []).append(node)
            self.makers.update(dict.fromkeys(node.output, node))
            if node.op_type == "Shape" or all(name in constants for name in node.input if name):
                constants.update(node.output)  # shapes and the like say nothing of a module
                continue
            self.at = node
            found = self._named_scopes()
            self.parents.update(path for path, _ in found[:-1])
            if found and not self._is_part(node):
                self.containers.update({found[-1][0]} & seen)
                seen.add(found[-1][0])
        self.containers |= self.parents

    def _is_part(self, node: onnx.NodeProto) -> bool:
        """Return whether a node only helps another one: it arranges numbers, or adds the bias of a product."""
        if node.op_type in ARRANGING:
            return True
        makers = [self.makers[name] for name in node.input if name in self.makers]
        return node.op_type == "Add" and len(makers) == 1 and makers[0].op_type == "MatMul"

    def read(self) -> tuple[Program, dict[str, torch.Tensor]]:
        """Return the program and the weights."""
        for given in self.model.graph.input:
            if given.name not in self.tensors:
                self.items[given.name] = self._input(given)
        self._read_nodes(self.model.graph.node)
        outputs = {}
        self.missing = [*self.failures.values()]
        for each in self.model.graph.output:
            item = self.items.get(each.name)
            if isinstance(item, Item) and not isinstance(item.value, Unknown):
                outputs[_name(each.name)] = self.spec(item.value).value
            elif not self.missing:
                self.missing.append(Missing(f"the output {each.name}", "", "", "it is a constant"))
        program = Program(self.name, self.inputs, self.calls, outputs, self.missing)
        self._find_scopes(program)
        _name_kinds(program)
        leave_modules_of_ops(program)
        return program, self._state(program)

    def _find_scopes(self, program: Program) -> None:
        """Give scopes to what the file has without: some nodes that an optimiser made, or all of them."""
        paths: dict[str, str] = {}
        if len(self.unplaced) < len(program.calls):
            stand_with_readers(program.calls, self.unplaced)
        elif any("." in call.path for call in program.calls if call.fixed):
            paths = from_paths(program, self.nameless)
        else:
            paths = from_repeats(program)
        for key in list(self.state):
            path, _, name = key.rpartition(".")
            if key in paths or path in paths:
                self.state[paths[key] if key in paths else f"{paths[path]}.{name}"] = self.state.pop(key)

    def _state(self, program: Program) -> dict[str, torch.Tensor]:
        """Return the weights of the calls that count: what several nodes came to may have left some out."""
        paths = {call.path for call in live_calls(program) if call.fixed}
        return {key: value for key, value in self.state.items() if {key, key.rpartition(".")[0]} & paths}

    def _input(self, given: onnx.ValueInfoProto) -> Item:
        sizes = [each.dim_value for each in given.type.tensor_type.shape.dim]
        if len(sizes) < 2 or not all(sizes[1:]):
            raise UsageError(f"the input {given.name} has no fixed sizes", "export the model with a fixed input size")
        if not self.inputs:
            self.batch = sizes[0] or BATCH  # shapes of the file are for its own batch
        shape = (self.batch, *sizes[1:])
        value = Value(tuple(sizes[1:]), name=_name(given.name))
        self.inputs[value.name] = value
        return Item(torch.empty(shape, device="meta"), plain(value, shape, 0, self.batch, samples=True))

    # Nodes.

    def _read_nodes(self, nodes: Iterable[onnx.NodeProto]) -> None:
        for node in nodes:
            self.at = node
            results = self._results(node)
            for output, result in zip(node.output, results, strict=False):
                self.items[output] = result
                self.makers.setdefault(output, node)

    def _branch(self, node: onnx.NodeProto) -> list[Any]:
        """Read the branch of an `If` that is taken."""
        from onnx import numpy_helper

        condition = self.item(node.input[0])
        if not isinstance(condition, torch.Tensor):
            raise CannotExpressError("a decision by the values in tensors")
        branch = self.attributes(node)["then_branch" if bool(condition) else "else_branch"]
        for each in branch.initializer:
            self.tensors[each.name] = torch.from_numpy(numpy_helper.to_array(each).copy())
        self._read_nodes(branch.node)
        self.at = node
        names = [each.name for each in branch.output]
        for output, name in zip(node.output, names, strict=True):
            if name in self.makers:
                self.makers[output] = self.makers[name]
        return [self.item(name) for name in names]

    def _results(self, node: onnx.NodeProto) -> list[Any]:
        """Return what a node gives; unknown values where that could not be expressed, and why once."""
        why = ""
        try:
            return self._node(node)
        except StopError:
            pass
        except CannotExpressError as error:
            why = str(error)
        except Exception as error:  # torch refuses what the file says
            why = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        if why:
            self._fail(why)
        return [Unknown()] * len(node.output)

    def _fail(self, why: str) -> None:
        assert self.at is not None
        self.failures[self.at.output[0]] = Missing(f"`{self.at.op_type}`", self.place(), self.at.name, why)

    def forgive(self, nodes: Iterable[onnx.NodeProto]) -> None:
        """Forget what failed in nodes that were expressed together with another."""
        for node in nodes:
            self.failures.pop(node.output[0], None)

    def attributes(self, node: onnx.NodeProto) -> dict[str, Any]:
        """Return the attributes of a node by name."""
        from onnx import helper

        return {each.name: helper.get_attribute_value(each) for each in node.attribute}

    def _node(self, node: onnx.NodeProto) -> list[Any]:
        if node.op_type == "If":
            return self._branch(node)
        attributes = self.attributes(node)
        inputs = [self.item(name) if name else None for name in node.input]
        if any(isinstance(each, Unknown) for each in inputs):
            raise StopError
        if node.op_type == "Identity" and node.input[0] in self.tensors:
            self.tensors[node.output[0]] = inputs[0]  # a weight that another layer has with the same numbers
        if node.op_type == "Shape":
            assert isinstance(inputs[0], (Item, torch.Tensor))
            shape = inputs[0].fake.shape if isinstance(inputs[0], Item) else inputs[0].shape
            return [torch.tensor(list(shape)[attributes.get("start", 0) : attributes.get("end")])]
        grown = node.op_type == "Expand" and node.input[0] in self.tensors  # a class token, for each sample
        if not grown and all(each is None or isinstance(each, torch.Tensor) for each in inputs):
            return self._computed(node, inputs)
        rule = NODES.get(node.op_type)
        if rule is None or node.domain not in ("", "ai.onnx"):
            raise CannotExpressError("no op of archspec does this")
        found = rule(self, inputs, attributes)
        return found if isinstance(found, list) else [found]

    def item(self, name: str) -> Any:
        """Return a value by its name; what the file holds is a tensor with its numbers."""
        return self.items[name] if name in self.items else self.tensors[name]

    def _computed(self, node: onnx.NodeProto, inputs: Sequence[torch.Tensor | None]) -> list[torch.Tensor]:
        """Compute a node of constants alone."""
        from onnx import TensorProto, helper
        from onnx.reference import ReferenceEvaluator

        names = [name for name in node.input if name]
        given = [each for each in inputs if each is not None]
        graph = helper.make_graph(
            [node],
            "constants",
            [
                helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(t.numpy().dtype), t.shape)
                for n, t in dict(zip(names, given, strict=True)).items()
            ],
            [helper.make_tensor_value_info(n, TensorProto.UNDEFINED, None) for n in node.output],
        )
        model = helper.make_model(graph, opset_imports=self.model.opset_import)
        found = ReferenceEvaluator(model).run(None, {n: t.numpy() for n, t in zip(names, given, strict=True)})
        return [torch.from_numpy(_array(each)) for each in found]

    def run(self, op: str, *arguments: Any, **options: Any) -> Any:
        """Apply an op of torch by its rule; return the item, or the items, of its result."""
        fakes = [_map(each, lambda item: item.fake) for each in arguments]
        target = getattr(torch.ops.aten, op)
        fake = target(*fakes, **{name: _map(each, lambda item: item.fake) for name, each in options.items()})
        args = [_map(each, lambda item: item.value) for each in arguments]
        self.node = SimpleNamespace(  # type: ignore[assignment]
            meta={"val": fake}, target=f"aten.{op}.default", args=(self._source(), *args[1:])
        )
        rule = RULES.get(op)
        named = {name: _map(each, lambda item: item.value) for name, each in options.items()}
        result: Any = Unknown()
        try:
            if rule is None:
                raise CannotExpressError("no op of archspec does this")
            result = rule(self, *args, **named)
        except StopError:
            pass
        except CannotExpressError as error:
            self._fail(str(error))
        if isinstance(result, Unknown):  # its shape is known all the same
            return [Item(each, result) for each in fake] if isinstance(fake, (list, tuple)) else Item(fake, result)
        if isinstance(fake, (list, tuple)):
            return [Item(f, r) for f, r in zip(fake, result, strict=True) if r is not None]
        if isinstance(result, list):
            result = result[0]
        return Item(fake, self._flattened(result))

    def _source(self) -> _Source:
        """Return what the node reads, with the nodes that select from it."""
        assert self.at is not None
        name = self.at.input[0] if self.at.input else ""
        if name not in self.sources:
            item = self.items.get(name)
            self.sources[name] = _Source(self._selections(name, item.fake) if isinstance(item, Item) else [])
        return self.sources[name]

    def _selections(self, name: str, fake: torch.Tensor) -> list[Any]:
        """Return the nodes that select one place of a value, as `select` would."""
        found = []
        for node in self.readers.get(name, []):
            index = self.tensors.get(node.input[1]) if node.op_type == "Gather" else None
            if index is not None and not index.ndim and node.input[0] == name:
                axis = self.attributes(node).get("axis", 0) % fake.ndim
                place = int(index) % fake.shape[axis]
                found.append(SimpleNamespace(target="aten.select.default", args=(None, axis, place)))
        return found

    def constant_item(self, tensor: torch.Tensor) -> Item:
        """Return the item of a constant."""
        return Item(_fake(tensor), tensor)

    def wrap(self, fake: torch.Tensor, view: View) -> Item:
        """Return the item of a view that has the shape of a tensor."""
        return Item(fake, view)

    def weight(self, tensor: torch.Tensor, key: str) -> Item:
        """Return an initialiser as a learned tensor with a key in the state_dict."""
        # Exporters store equal tensors once, which does not make them one.
        self.state[key] = tensor.clone() if tensor.data_ptr() in self.stored_at else tensor
        self.stored_at.add(tensor.data_ptr())
        fake = _fake(tensor)
        return Item(fake, Tensor(key, InputKind.PARAMETER, fake))

    def tensor(self, position: int) -> Item:
        """Return an operand: what is computed, or a tensor of the file."""
        assert self.at is not None
        return self.operand(self.at.input[position])

    def operand(self, name: str) -> Item:
        """Return a value by its name: what is computed, or a tensor of the file."""
        item = self.item(name)
        if isinstance(item, Item):
            return item
        learned = name in self.tensors and item.numel() > 1 and item.dtype == torch.float32
        if learned and re.fullmatch(r"(\d+\.)*[A-Za-z_][\w.-]*", name) and name not in self.paths:
            return self.weight(item, name)
        return self.constant_item(item)

    def added_bias(self, units: int) -> tuple[str, torch.Tensor | None]:
        """Return the bias that the only reader of the node adds to its result, with its name; else an empty one."""
        assert self.at is not None
        name = self.at.output[0]
        readers = self.readers.get(name, [])
        if len(readers) != 1 or readers[0].op_type != "Add" or any(name == o.name for o in self.model.graph.output):
            return "", None
        other = next((each for each in readers[0].input if each != name), "")
        bias = self.items.get(other, self.tensors.get(other))
        if not isinstance(bias, torch.Tensor) or bias.numel() != units or bias.shape[-1] != units:
            return "", None
        self.joined.add(readers[0].output[0])
        return other, bias.flatten()

    # Places.

    def layer(self, *inputs: int, also: str = "") -> str:
        """Return the path of the layer that the node is.

        Args:
            inputs: The places of its weights among the inputs of the node.
            also: The name of another weight.
        """
        assert self.at is not None
        around, own = self._scopes()
        scope = own or (around[-1][0] if around else "")
        named = [*(self.at.input[at] for at in inputs if at < len(self.at.input)), also]
        matches = [re.fullmatch(r"(\w[\w.-]*?)[._](weight|bias|gamma|running_mean)", name) for name in named]
        paths = [match[1] if match and match[1] not in self.paths | self.parents else "" for match in matches]
        # Exporters give weights with the same numbers one name: that of a layer far away is not this layer's. A layer
        # that took a norm in, though, stands in the norm's module and has its own name by its first weight.
        near = [path for path in paths if path and _is_within(path, scope)]
        near += [path for path in paths[:1] if path and _is_within(path, scope.rpartition(".")[0])]
        path = next(iter(near), own)
        if not path or path in self.paths:
            base = path or f"{scope}.{self.at.op_type.lower()}".lstrip(".")
            self.counts[base] = self.counts.get(base, 0) + 1
            path = f"{base}_{self.counts[base]}"
            self.nameless.add(path)
        self.paths.add(path)
        return path

    def _scopes(self) -> tuple[list[tuple[str, str]], str]:
        """Return path and class of the modules around the node, and the path of the node's own module."""
        found = self._named_scopes()
        if found and found[-1][0] not in self.containers:
            return found[:-1], found[-1][0]
        return found, ""

    def _named_scopes(self) -> list[tuple[str, str]]:
        """Return path and class of the modules that the node's name or its metadata tell."""
        assert self.at is not None
        known = {each.key: each.value for each in self.at.metadata_props}
        scopes = known.get("pkg.torch.onnx.name_scopes")
        if scopes:
            paths = [path for path in ast.literal_eval(scopes)[:-1] if path]
            classes = ast.literal_eval(known.get("pkg.torch.onnx.class_hierarchy", "[]"))[-1 - len(paths) : -1]
            return list(zip(paths, classes or [""] * len(paths), strict=False))
        words = [word for word in self.at.name.split("/") if word][:-1] if self.at.name.startswith("/") else []
        found: list[tuple[str, str]] = []
        path, before = "", ""
        for word in words:
            if before and word.startswith(f"{before}."):
                path += word[len(before) :]
            else:
                path = f"{path}.{word}" if path else word
            before = word
            found.append((path, ""))
        return found

    def modules(self) -> tuple[tuple[Part, ...], str]:
        """Return the calls of modules around the node, and the path of the module that is its op."""
        around, own = self._scopes()
        parts = tuple(Part(path, _kind(kind)) for path, kind in around)
        if self._inside:
            parts = (*(part for part in parts if part.path != self._inside), Part(self._inside, "Norm"))
        return parts, own

    def call(self, *arguments: Any, **options: Any) -> Call:
        """Add a call in the module that the node stands in."""
        call = super().call(*arguments, **options)
        if not self._named_scopes() and not self._at_top():
            self.unplaced.add(call)
        return call

    def _at_top(self) -> bool:
        """Return whether the node tells that it stands in no module but the network itself."""
        assert self.at is not None
        return self.at.name.startswith("/") or any("name_scopes" in each.key for each in self.at.metadata_props)

    def line(self) -> str:
        """Return the name of the node."""
        return self.at.name if self.at is not None else ""

    def in_sequential(self) -> bool:
        """Return whether the module is numbered in an `nn.Sequential`: False, since a file does not tell."""
        return False

    def constant(self, value: Any) -> Any:
        """Return the numbers of a constant."""
        return value if isinstance(value, torch.Tensor) else None

    def view(self, value: Any) -> View:
        """Return a value as a view."""
        return super().view(value.value if isinstance(value, Item) else value)


def _fake(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor of the same shape and type without numbers."""
    return torch.empty(tensor.shape, device="meta", dtype=tensor.dtype)


def _is_within(path: str, scope: str) -> bool:
    return not scope or path == scope or path.startswith(f"{scope}.")


def _map(value: Any, change: Any) -> Any:
    if isinstance(value, Item):
        return change(value)
    return [_map(each, change) for each in value] if isinstance(value, (list, tuple)) else value


def _array(value: Any) -> Any:
    import numpy

    return numpy.asarray(value).copy()


def _name(text: str) -> str:
    found = re.sub(r"\W", "_", text)
    return found if found[:1].isalpha() else f"tensor_{found.lstrip('_')}"


def _kind(kind: str) -> str:
    name = kind.rpartition(".")[2]
    return SEQUENTIAL if name in ("Sequential", "ModuleList") else name


def _name_kinds(program: Program) -> None:
    """Give scopes without a class a name for what they are: those whose children are numbered are containers."""
    paths = {part.path for call in program.calls for part in call.within} | {call.path for call in program.calls}
    children: dict[str, set[str]] = {}
    for path in paths:
        parent, _, word = path.rpartition(".")
        children.setdefault(parent, set()).add(word)

    def kind(path: str) -> str:
        if all(re.match(r"\d", word) for word in children.get(path, ())):
            return SEQUENTIAL
        words = [re.sub(r"\d\w*$", "", word) for word in path.split(".")]
        return next((word for word in reversed(words) if word), "Block").title().replace("_", "")

    for call in program.calls:
        call.within = tuple(
            part if part.kind else Part(part.path, kind(part.path), part.number) for part in call.within
        )
