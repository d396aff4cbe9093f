"""An ONNX model as calls of archspec's ops: each node as the op of torch that it is, and that by its rule.

No code of the file runs, and nothing is computed but constants, such as shapes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch.export.graph_signature import InputKind

from archspec.errors import UsageError
from archspec.importing.aten import RULES
from archspec.importing.calls import Missing, Part, Program, Value
from archspec.importing.layouts import CannotExpressError, View, plain
from archspec.importing.onnx_ops import NODES
from archspec.importing.reader import BATCH, Reader, StopError, Tensor, Unknown, leave_modules_of_ops
from archspec.importing.tree import SEQUENTIAL

if TYPE_CHECKING:
    import onnx

MIN_OPSET = 11


def read_onnx(path: str, *, name: str) -> tuple[Program, dict[str, torch.Tensor]]:
    """Return the calls of an ONNX model, and its weights by the keys of the spec.

    Raises:
        UsageError: The file holds no model, or one of an older opset than 11, or inputs whose sizes are open.
    """
    import onnx

    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: weights that the model keeps in another file are missing", str(error)) from None
    except Exception as error:  # protobuf, the checker and the file system each have errors of their own
        raise UsageError(f"{path}: not a valid ONNX model: {str(error).splitlines()[0][:200]}") from None
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)
    if opset < MIN_OPSET:
        raise UsageError(
            f"{path}: opset {opset}; expected {MIN_OPSET} or later", "convert it with onnx.version_converter"
        )
    return OnnxReader(model, name).read()


class Item:
    """A value of the model: a tensor without numbers that has its shape, and what rules get for it."""

    def __init__(self, fake: torch.Tensor, value: Any) -> None:
        self.fake, self.value = fake, value


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
        self.containers: set[str] = set()
        """Paths of modules that hold others, or that several nodes stand right in."""
        seen: set[str] = set()
        for node in model.graph.node:
            self.at = node
            found = self._named_scopes()
            self.containers.update(path for path, _ in found[:-1])
            if found:
                self.containers.update({found[-1][0]} & seen)
                seen.add(found[-1][0])

    def read(self) -> tuple[Program, dict[str, torch.Tensor]]:
        """Return the program and the weights."""
        for given in self.model.graph.input:
            if given.name not in self.tensors:
                self.items[given.name] = self._input(given)
        for node in self.model.graph.node:
            self.at = node
            results = self._results(node)
            for output, result in zip(node.output, results, strict=False):
                self.items[output] = result
        outputs = {}
        for each in self.model.graph.output:
            item = self.items.get(each.name)
            if isinstance(item, Item):
                outputs[_name(each.name)] = self.spec(item.value).value
            elif not self.missing:
                self.missing.append(Missing(f"the output {each.name}", "", "", "it is a constant"))
        program = Program(self.name, self.inputs, self.calls, outputs, self.missing)
        _name_kinds(program)
        leave_modules_of_ops(program)
        return program, self.state

    def _input(self, given: onnx.ValueInfoProto) -> Item:
        sizes = [each.dim_value for each in given.type.tensor_type.shape.dim]
        if len(sizes) < 2 or not all(sizes[1:]):
            raise UsageError(f"the input {given.name} has no fixed sizes", "export the model with a fixed input size")
        shape = (BATCH, *sizes[1:])
        value = Value(tuple(sizes[1:]), name=_name(given.name))
        self.inputs[value.name] = value
        return Item(torch.empty(shape, device="meta"), plain(value, shape, 0, BATCH))

    # Nodes.

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
            self.missing.append(Missing(f"`{node.op_type}`", self.place(), node.name, why))
        return [Unknown()] * len(node.output)

    def _node(self, node: onnx.NodeProto) -> list[Any]:
        from onnx import helper

        attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        inputs = [self.item(name) if name else None for name in node.input]
        if any(isinstance(each, Unknown) for each in inputs):
            raise StopError
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
            meta={"val": fake}, target=f"aten.{op}.default", args=(SimpleNamespace(users=()), *args[1:])
        )
        rule = RULES.get(op)
        if rule is None:
            raise CannotExpressError("no op of archspec does this")
        result = rule(self, *args, **{name: _map(each, lambda item: item.value) for name, each in options.items()})
        if isinstance(fake, (list, tuple)):
            return [Item(f, r) for f, r in zip(fake, result, strict=True) if r is not None]
        if isinstance(result, list):
            result = result[0]
        return Item(fake, self._flattened(result))

    def weight(self, tensor: torch.Tensor, key: str) -> Item:
        """Return an initialiser as a learned tensor with a key in the state_dict."""
        self.state[key] = tensor
        fake = _fake(tensor)
        return Item(fake, Tensor(key, InputKind.PARAMETER, fake))

    def tensor(self, position: int) -> Item:
        """Return an operand: what is computed, or a tensor of the file."""
        assert self.at is not None
        name = self.at.input[position]
        item = self.item(name)
        if isinstance(item, Item):
            return item
        learned = name in self.tensors and item.numel() > 1 and item.dtype == torch.float32
        if learned and re.fullmatch(r"[A-Za-z_][\w.]*", name) and name not in self.paths:
            return self.weight(item, name)
        return Item(_fake(item), item)

    # Places.

    def layer(self, *inputs: int) -> str:
        """Return the path of the layer that the node is; `inputs` are the places of its weights."""
        assert self.at is not None
        for position in inputs:
            if position < len(self.at.input):
                match = re.fullmatch(r"([A-Za-z_][\w.]*)\.(weight|bias|gamma|running_mean)", self.at.input[position])
                if match and match[1] not in self.paths:
                    self.paths.add(match[1])
                    return match[1]
        path = self._scopes()[1]
        if not path or path in self.paths:
            base = path or self.at.op_type.lower()
            self.counts[base] = self.counts.get(base, 0) + 1
            path = f"{base}_{self.counts[base]}"
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
