"""The reader of an exported PyTorch program: walks its nodes, and keeps what rules make of them."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind

from archspec.importing.calls import Call, Missing, Part, Program, Value
from archspec.importing.constants import SPELLED_OUT, closed_form, emit_grid, emit_mask, shortest
from archspec.importing.layouts import CannotExpressError, View, is_batch, materialized, named_op, plain
from archspec.importing.rules import Rule
from archspec.importing.tree import SEQUENTIAL
from archspec.importing.values import Code
from archspec.ops import OPS
from archspec.ops.fields import MAX_AXES
from archspec.shapes import SPATIAL_AXES

BATCH = 2
"""How many samples a module is traced with."""

MAX_BUFFER = 10_000
"""How many numbers a buffer may have whose values a spec spells out."""


class NeedsValuesError(Exception):
    """A constant of a module on the meta device is part of the network, so it must be built with numbers."""


class Unknown:
    """The value of a node that could not be expressed; what reads it cannot be either."""


class Reader:
    """Walks the nodes of an exported program and writes calls. The rules of `aten` do so for each op."""

    def __init__(
        self,
        exported: ExportedProgram,
        name: str,
        module: nn.Module | None,
        input_names: Sequence[str],
        graph: fx.Graph | None = None,
    ) -> None:
        self.exported = exported
        self.graph = exported.graph if graph is None else graph
        self.module = module
        self.start(name)
        self.input_names = list(input_names)
        self.tensors = {**exported.state_dict, **exported.constants}
        self.kinds: dict[str, Any] = {spec.arg.name: spec for spec in exported.graph_signature.input_specs}
        self._sizes: dict[str, int] | None = None

    def start(self, name: str) -> None:
        """Begin with no calls."""
        self.name = name
        self.calls: list[Call] = []
        self.missing: list[Missing] = []
        self.values: dict[fx.Node, Any] = {}
        self.node: fx.Node | None = None
        self.inputs: dict[str, Value] = {}
        self.owners: dict[str, Call] = {}  # calls by the path of their weights
        self.freed: dict[str, View] = {}
        self.batch = BATCH
        self._inside = ""
        self.halves: dict[Any, list[View]] = {}
        """Splits that several nodes take their parts from."""

    def program(self, rules: Mapping[str, Rule]) -> Program:
        """Return the program, each op as its rule has it."""
        for node in self.graph.nodes:
            self.node = node
            if node.op == "placeholder":
                self.values[node] = self._placeholder(node)
            elif node.op == "call_function":
                self.values[node] = self._call(node, rules)
        self.node = None
        program = Program(self.name, self.inputs, self.calls, self._outputs(), self.missing)
        program.keys = tuple(self.module.state_dict() if self.module is not None else self.exported.state_dict)
        leave_modules_of_ops(program)
        return program

    # Inputs, parameters, constants.

    def _placeholder(self, node: fx.Node) -> Any:
        spec = self.kinds[node.name]
        if spec.kind is InputKind.USER_INPUT:
            tensor = node.meta.get("val")
            if not isinstance(tensor, torch.Tensor):
                return spec.arg.value if hasattr(spec.arg, "value") else None
            shape = tuple(tensor.shape)
            if not self.inputs:
                self.batch = shape[0]
            number = len(self.inputs)
            name = self.input_names[number] if number < len(self.input_names) else node.name
            value = Value(shape[1:], name=name)
            self.inputs[name] = value
            return plain(value, shape, 0, self.batch, samples=True)
        return Tensor(spec.target or node.name, spec.kind, node.meta["val"])

    def constant(self, value: Any) -> Any:
        """Return the numbers of a constant, if a value is one."""
        if isinstance(value, Tensor):
            if value.kind is InputKind.PARAMETER:
                return None
            found = self.tensors.get(value.path)
            if found is None:
                return None
            if found.device.type == "meta":
                raise NeedsValuesError(value.path)
            return found
        return value if isinstance(value, torch.Tensor) else None

    def view(self, value: Any) -> View:
        """Return a value as a view; a parameter or a constant becomes a free tensor."""
        if isinstance(value, Unknown):
            raise StopError
        if isinstance(value, View):
            return value
        if isinstance(value, Tensor):
            if value.path not in self.freed:
                self.freed[value.path] = self._free(value)
            return self.freed[value.path]
        if isinstance(value, torch.Tensor):
            return self._buffer(value, "", persistent=False)
        raise CannotExpressError(f"{type(value).__name__} as a tensor")

    def _free(self, tensor: Tensor) -> View:
        if tensor.kind is not InputKind.PARAMETER:
            numbers = self.constant(tensor)
            spec = next((s for s in self.kinds.values() if s.target == tensor.path), None)
            persistent = tensor.kind is InputKind.BUFFER and (spec is None or spec.persistent is not False)
            return self._buffer(numbers, tensor.path if tensor.kind is InputKind.BUFFER else "", persistent)
        shape = tuple(tensor.fake.shape)
        batched = len(shape) > 1 and shape[0] == 1
        arguments: dict[str, Any] = {"shape": list(shape[1:] if batched else shape)}
        if batched:
            arguments["batch"] = True
        call = self.call("parameter", arguments, [], path=tensor.path, fixed=True)
        value = call.result(arguments["shape"])
        return plain(value, shape, 0 if batched else None, 1)

    def _buffer(self, numbers: torch.Tensor, path: str, persistent: bool) -> View:
        if numbers.dtype is torch.bool:
            raise CannotExpressError("a mask of booleans")
        shape = tuple(numbers.shape)
        first = numbers.flatten()[0].item()
        equal = bool((numbers == first).all())
        if not equal and not persistent and numbers.numel() > SPELLED_OUT:
            mask = emit_mask(self._write, numbers)
            if mask is not None:
                return mask
        if not equal and not persistent and len(shape) > 1 and shape[0] == self.batch and numbers.is_floating_point():
            if bool((numbers == numbers[:1]).all()):
                return self._buffer(numbers[:1], path, persistent)  # for each sample the same
        if not equal and not persistent and numbers.numel() > MAX_BUFFER:
            grid = emit_grid(self._write, numbers)
            if grid is not None:
                return grid
        if not equal and numbers.numel() > MAX_BUFFER:
            raise CannotExpressError(f"a constant of {numbers.numel():,} numbers, of which a list has {MAX_BUFFER:,}")
        batched = len(shape) > 1 and shape[0] == 1
        own = list(shape[1:] if batched else shape) or [1]
        arguments: dict[str, Any] = {}
        if equal:
            arguments = {"values": first, "shape": own}
        else:
            stored = numbers[0] if batched else numbers
            text = closed_form(stored) if stored.numel() > SPELLED_OUT else None
            arguments["values"] = shortest(stored) if text is None else Code(text)
        if batched:
            arguments["batch"] = True
        if not persistent:
            arguments["persistent"] = False
        call = self.call("buffer", arguments, [], path=path, fixed=bool(path) and persistent)
        return plain(call.result(own), shape or (1,), 0 if batched else None, 1)

    def _write(
        self, op: str, arguments: dict[str, Any], reads: Sequence[Value | int], shape: Sequence[int], name: str
    ) -> Value:
        place = self.place()
        path = f"{place}.{name}" if name and place else name
        return self.call(op, arguments, list(reads), path=path).result(shape)

    def stored(self, index: Any, numbers: torch.Tensor) -> Any:
        """Return the buffer of this module that holds the numbers, in any shape; the numbers if there is none."""
        if isinstance(index, Tensor):
            return index
        place = self.place()
        for spec in self.kinds.values():
            if spec.kind is InputKind.BUFFER and spec.target and spec.target.startswith(f"{place}."):
                found = self.tensors.get(spec.target)
                if found is not None and found.numel() == numbers.numel() and found.dtype == numbers.dtype:
                    if found.device.type != "meta" and torch.equal(found.flatten(), numbers.flatten()):
                        return Tensor(spec.target, spec.kind, found)
        return numbers

    def in_sequential(self) -> bool:
        """Return whether the module is numbered in an `nn.Sequential`: the names behind it count it."""
        parts, own = self.modules()
        return bool(own) and bool(parts) and parts[-1].kind == SEQUENTIAL and own.rpartition(".")[2].isdigit()

    # Calls.

    def _call(self, node: fx.Node, rules: Mapping[str, Rule]) -> Any:
        arguments = fx.node.map_arg(node.args, lambda each: self.values[each])
        options = fx.node.map_arg(node.kwargs, lambda each: self.values[each])
        if node.target is operator.getitem:
            source, at = cast("tuple[Any, int]", arguments)
            return source if isinstance(source, Unknown) else source[at]
        try:
            folded = self._folded(node, arguments, options)
            if folded is not None:
                return folded
            if any(isinstance(leaf, Unknown) for leaf in _leaves((arguments, options))):
                raise StopError
            rule = rules.get(_name_of(node.target))
            if rule is None:
                raise CannotExpressError("no op of archspec does this")
            return self._flattened(rule(self, *arguments, **options))
        except StopError:
            return Unknown()
        except CannotExpressError as error:
            self.missing.append(Missing(f"`{_name_of(node.target)}`", self.place(), self.line(), str(error)))
            return Unknown()

    def _flattened(self, result: Any) -> Any:
        """Write a `flatten` where the source has it, rather than where its result is read; so a module of its own."""
        if not isinstance(result, View) or result.is_plain or result.value.call is None or not result.has_samples:
            return result
        if self.in_sequential():
            return materialized(result, self.emit)
        if named_op(result) is not None:
            return materialized(result, self.emit)
        if len(result.spec_dims) != 1:
            return result
        if OPS[result.value.call.op].arity == 0:
            return result
        have = [axis for axes in result.axes for axis in axes]
        return materialized(result, self.emit) if have == list(result.spec_dims[0]) else result

    def _folded(self, node: fx.Node, arguments: Any, options: Any) -> Any:
        """Compute what depends on constants alone, or on nothing."""
        leaves = _leaves((arguments, options))
        tensors = [leaf for leaf in leaves if isinstance(leaf, (View, Tensor, torch.Tensor, Unknown))]
        if any(isinstance(leaf, (View, Unknown)) for leaf in tensors):
            return None
        if any(isinstance(leaf, Tensor) and leaf.kind is InputKind.PARAMETER for leaf in tensors):
            return None
        if is_random(node.target):
            return None
        real = fx.node.map_aggregate(arguments, self._real)
        named = {
            name: torch.device("cpu") if name == "device" and each is not None else self._real(each)
            for name, each in options.items()
        }
        target: Any = node.target
        return target(*real, **named)

    def _real(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.constant(value)
        return torch.device("cpu") if isinstance(value, torch.device) else value

    def call(
        self,
        op: str,
        arguments: dict[str, Any],
        reads: Sequence[Value | int | float],
        *,
        path: str | None = None,
        fixed: bool = False,
    ) -> Call:
        """Add a call in the module that the node stands in."""
        within, own = self.modules()
        call = Call(op, _without_defaults(op, arguments), list(reads), own if path is None else path, fixed, within)
        call.where = self.line()
        if fixed and path and op not in ("parameter", "buffer"):
            if path in self.owners:
                call.shares = self.owners[path]
            else:
                self.owners[path] = call
        self.calls.append(call)
        return call

    @contextmanager
    def inside(self, path: str) -> Iterator[None]:
        """Put calls into a module of several steps that the source has as one op."""
        self._inside = path
        try:
            yield
        finally:
            self._inside = ""

    def modules(self) -> tuple[tuple[Part, ...], str]:
        """Return the calls of modules around the node, and the path of the module that is its op."""
        assert self.node is not None
        stack = list((self.node.meta.get("nn_module_stack") or {}).items())
        parts = []
        for key, (where, owner) in stack:
            if not where:
                continue
            number = re.search(r"@(\d+)$", key)
            path = re.sub(r"@\d+$", "", where.removeprefix("L['self']."))
            kind = owner if isinstance(owner, str) else f"{owner.__module__}.{owner.__qualname__}"
            parts.append((Part(path, _kind(kind), int(number[1]) if number else 0), kind))
        own = ""
        if parts and self._is_leaf(parts[-1][1], parts[-1][0].path):
            own = parts.pop()[0].path
        found = tuple(part for part, _ in parts)
        if self._inside:
            found = (*(part for part in found if part.path != self._inside), Part(self._inside, "Norm"))
        return found, own

    def _is_leaf(self, kind: str, path: str) -> bool:
        """Return whether a module is one op: torch's own, or with a single op in its `forward`."""
        if kind.startswith("torch.nn.modules.") and ".container." not in kind:
            return True
        if self._sizes is None:
            self._sizes = {}
            for node in self.graph.nodes:
                if node.op == "call_function" and node.target is not operator.getitem:
                    for entry, _ in (node.meta.get("nn_module_stack") or {}).values():
                        self._sizes[entry] = self._sizes.get(entry, 0) + 1
        own = any(spec.target and spec.target.startswith(f"{path}.") for spec in self.kinds.values())
        return self._sizes.get(path, 0) == 1 and not own

    def emit(self, op: str, arguments: dict[str, Any], value: Value, shape: Sequence[int]) -> Value:
        """Add a call of an op that reads one value."""
        return self.call(op, arguments, [value]).result(shape)

    def spec(self, value: Any) -> View:
        """Return a view that the spec's value is laid out as."""
        return materialized(self._copied(self.view(value)), self._layout)

    def _copied(self, view: View) -> View:
        """Return a view whose copies, where it has such within a dimension, are made: by zeros that stretch it."""
        own = {axis for axes in view.axes for axis in axes}
        copies = [axis for dim in view.spec_dims for axis in dim if axis not in own]
        if not copies or len(copies) + len(view.axes) > MAX_AXES:
            return view
        sizes, behind = [axis.size for axis in copies], list(view.value.shape)
        shape, spread = [*[1] * len(copies), *behind], [*sizes, *[1] * len(behind)]
        value = self._layout("reshape", {"shape": shape}, view.value, shape)
        zeros = self.call("buffer", {"values": 0.0, "shape": spread, "persistent": False}, [], path="")
        call = self.call("add", {"broadcast": True}, [value, zeros.result(spread)], path="")
        return View(call.result([*sizes, *behind]), (*((axis,) for axis in copies), *view.axes), view.dims)

    def _layout(self, op: str, arguments: dict[str, Any], value: Value, shape: Sequence[int]) -> Value:
        return self.call(op, arguments, [value], path="").result(shape)

    def result(self, call: Call, like: View) -> View:
        """Return the result of a call, in the shape that torch tells, with the batch where `like` has it."""
        assert self.node is not None
        shape = tuple(self.node.meta["val"].shape)
        return self.shaped(call, shape, like)

    def shaped(self, call: Call, shape: Sequence[int], like: View) -> View:
        """Return the result of a call in a shape with a batch."""
        batch = like.batch
        size = self.batch if like.has_samples else 1
        if batch is not None and not like.has_samples and shape[batch] == self.batch * like.shape[batch]:
            size = self.batch  # a constant that the source has once for each sample
        own = []
        for at, length in enumerate(shape):
            if at != batch:
                own.append(length)
            elif length != size or any(not is_batch(axis) for axis in like.dims[at]):
                own.append(length // size)
        return plain(call.result(own), shape, batch, size, samples=like.has_samples)

    def weight_path(self, *tensors: Any) -> str:
        """Return the path of the module that holds weights."""
        if any(isinstance(tensor, Tensor) and tensor.kind is not InputKind.PARAMETER for tensor in tensors[:1]):
            raise CannotExpressError("weights that are not learned")
        return self.owner(*tensors)

    def owner(self, *tensors: Any) -> str:
        """Return the path of the module that tensors belong to."""
        paths = {tensor.path.rpartition(".")[0] for tensor in tensors if isinstance(tensor, Tensor)}
        if len(paths) != 1:
            raise CannotExpressError("weights that are computed, or from several modules")
        return paths.pop()

    def place(self) -> str:
        """Return the path of the module that the node stands in."""
        parts, own = self.modules()
        return own or (parts[-1].path if parts else "")

    def line(self) -> str:
        """Return the line of the source that the node comes from, as `file.py:12`."""
        assert self.node is not None
        trace = str(self.node.meta.get("stack_trace") or "")
        lines = re.findall(r'File "([^"]+)", line (\d+)', trace)
        own = [entry for entry in lines if "/torch/nn/" not in entry[0]] or lines
        return f"{own[-1][0].rpartition('/')[2]}:{own[-1][1]}" if own else ""

    # Outputs.

    def _outputs(self) -> dict[str, Value]:
        found: dict[str, Value] = {}
        node = next(node for node in self.graph.nodes if node.op == "output")
        self.node = node
        specs = self.exported.graph_signature.output_specs
        values: Any = fx.node.map_arg(node.args[0], lambda each: self.values[each])
        for spec, value in zip(specs, values, strict=True):
            if spec.kind is not OutputKind.USER_OUTPUT or value is None:
                continue
            name = "output" if len(specs) == 1 else f"output_{len(found) + 1}"
            try:
                found[name] = self.spec(value).value
            except StopError:
                continue
            except CannotExpressError as error:
                self.missing.append(Missing("the output", "", "", str(error)))
        names = self._output_names(len(found))
        return dict(zip(names, found.values(), strict=True)) if names else found

    def _output_names(self, count: int) -> list[str]:
        """Return the names of the outputs, where the module returns a mapping."""
        spec = self.exported.call_spec.out_spec
        keys: Any = getattr(spec, "context", None)
        keys = list(keys._fields) if hasattr(keys, "_fields") else keys
        if spec is not None and isinstance(keys, list) and len(keys) == count and all(isinstance(k, str) for k in keys):
            return [key if key.isidentifier() else f"output_{at}" for at, key in enumerate(keys)]
        return []


def _leaves(value: Any) -> list[Any]:
    """Return what lists and mappings hold in the end."""
    found: list[Any] = []

    def note(each: Any) -> Any:
        found.append(each)
        return each

    fx.node.map_aggregate(value, note)
    return found


class StopError(Exception):
    """A value is unknown, for a reason that has been told."""


class Tensor:
    """A parameter or a buffer of the source, as rules get it."""

    def __init__(self, path: str, kind: InputKind, fake: torch.Tensor) -> None:
        self.path, self.kind, self.fake = path, kind, fake


def is_random(target: Any) -> bool:
    """Return whether an op draws numbers."""
    return _name_of(target) in ("rand", "randn", "randint", "bernoulli", "randperm", "rand_like", "randn_like")


def _name_of(target: Any) -> str:
    """Return the name of an op, without its namespace, its overload and the `_` of one that works in place."""
    name = getattr(target, "_schema", None)
    text = name.name.rpartition("::")[2] if name is not None else getattr(target, "__name__", str(target))
    return text.rstrip("_") if not text.startswith("_") else text


def _kind(kind: str) -> str:
    name = kind.rpartition(".")[2]
    return SEQUENTIAL if name in ("Sequential", "ModuleList", "ModuleDict") else name


def _without_defaults(op: str, arguments: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, given in arguments.items():
        value = _simple(given) if name in _SIZES else given
        if value is not None and OPS[op].fields[name].default != value:
            found[name] = value
    return found


_SIZES = frozenset({"kernel", "stride", "padding", "dilation", "output_padding", "size", "scale"})


def _simple(value: Any) -> Any:
    """Return one number for a list of equal ones; pairs stay, unless both sides of all axes are equal."""
    if not isinstance(value, (list, tuple)):
        return value
    items = [_simple(item) for item in value]
    alike = bool(items) and not isinstance(items[0], list) and all(item == items[0] for item in items)
    return items[0] if alike else items


def axis_name(at: int, rank: int) -> str:
    """Return the name of an axis of a shape. Raises: CannotExpressError if it has none."""
    if at == 0:
        return "channels"
    names = ("channels", *SPATIAL_AXES.get(rank - 1, ()))
    if at == rank - 1 and (rank == 2 or len(names) != rank):
        return "last"
    if len(names) == rank:
        return names[at]
    raise CannotExpressError(f"axis {at} of {rank}")


def leave_modules_of_ops(program: Program) -> None:
    """Take calls out of modules that are ops themselves, with weights of their own: their name is taken."""
    taken = {call.path for call in program.calls if call.fixed}
    for call in program.calls:
        call.within = tuple(part for part in call.within if part.path not in taken)
