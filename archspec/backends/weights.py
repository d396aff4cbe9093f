"""Weights in files: read with a full report before anything changes, written with the network they belong to.

safetensors holds numbers and names, nothing that runs. A torch file is a pickle; it is read only when asked for by
name, and then with `weights_only=True`.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import nn

from archspec._version import __version__
from archspec.backends.extras import need, reason
from archspec.backends.state import Slot, fault_of, original_slots, slots, unwrapped
from archspec.backends.weights_report import Mismatch, WeightsError, WeightsReport
from archspec.errors import Diagnostic, SpecError, UsageError, did_you_mean, printable
from archspec.files import readable, replacing
from archspec.names import MAX_NAME
from archspec.network import Network, loads
from archspec.report.bundle import bundle_spec
from archspec.shapes import Shape, elements, shape_text

NameMap = Callable[[str], str | None] | Mapping[str, str | None] | Literal["by-position"]
"""How a file's names become the model's: a function (None leaves a tensor out), a table of names or of prefixes that
end at a dot, or `by-position`."""

FORMATS = ("safetensors", "torch")
BY_POSITION = "by-position"

_COUNTER = "num_batches_tracked"


def load_weights(
    model: nn.Module,
    path: str | os.PathLike[str],
    map: NameMap | None = None,
    *,
    strict: bool = True,
    format: str = "safetensors",
    leave_out: Iterable[str] = (),
    cast: bool = False,
) -> WeightsReport:
    """Load a file into a model.

    A model that is compiled, averaged (`AveragedModel`) or in DistributedDataParallel is taken for what is inside; of a
    sharded one (`fully_shard`) every process calls this. A parametrised weight is set through the inverse of its
    parametrisation. What a network of `features=` has no place for is ignored.

    Args:
        model: The model.
        path: The file.
        map: Renames (see `NameMap`): `{"backbone": "", "head": "fc"}` takes `backbone.conv1.weight` for `conv1.weight`,
            and `head.bias` for `fc.bias`. "by-position" pairs modules by their place in the order; names and shapes
            within each must agree all the way, else nothing is loaded. A torch file keeps its order, and so does one
            of `save_weights`; of another safetensors file the names are taken in natural order.
        strict: Load all or nothing. Otherwise what fits is loaded.
        format: "safetensors", or "torch" for a state_dict that `torch.save` wrote.
        leave_out: Parts of the model that keep their weights, such as a new head: `["fc"]`.
        cast: Convert from other floating-point types.

    Returns:
        What went where.

    Raises:
        WeightsError: With `strict`, a tensor is missing, unexpected, or of another shape or dtype. The model is
            unchanged.
        SpecError: The file cannot be read.
        UsageError: The call is wrong.
    """
    if any(slot.on_meta for slot in slots(model).values()):
        raise UsageError("the model is on the meta device, which holds no numbers", "build it on another device")
    report, assigned = _matched(model, path, map, format, leave_out, cast)
    if strict and not report.fits:
        raise WeightsError(replace(report, loaded=()))
    copies = [copy for slot, tensor in assigned for copy in slot.writes(tensor)]
    with torch.no_grad():
        for target, tensor in copies:
            target.copy_(tensor)
    return report


def check_weights(
    model: nn.Module,
    path: str | os.PathLike[str],
    map: NameMap | None = None,
    *,
    format: str = "safetensors",
    leave_out: Iterable[str] = (),
    cast: bool = False,
) -> WeightsReport:
    """Report what `load_weights` would do; the model may be on the meta device. Raises: as `load_weights`."""
    return _matched(model, path, map, format, leave_out, cast)[0]


def save_weights(
    model: nn.Module, path: str | os.PathLike[str], network: Network | None = None, *, force: bool = False
) -> None:
    """Write the weights of a model as safetensors, whole or not at all. Equal models give equal files.

    Wrapped models are taken as by `load_weights`. Of a sharded one every process calls this, and the first one writes.

    Args:
        model: The model.
        path: The file.
        network: The network of the model. Its spec goes into the header, as `archspec show --bundle` writes it:
            `archspec.load(path)` gives the network back.
        force: Replace the file if it exists.

    Raises:
        UsageError: The model is not one of this network, or the file exists.
        SpecError: The file cannot be written.
    """
    need("safetensors")
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    found = slots(model)
    metadata = {"format": "pt", "archspec": __version__}
    if network is not None:
        graph = network.graph
        if {key: slot.shape for key, slot in found.items()} != graph.state_dict():
            raise UsageError(f"this model is not {graph.name} as a whole", "save it without its network")
        metadata |= {"name": graph.name, "structural_hash": graph.structural_hash(), "spec": _spec(network)}
    if any(slot.on_meta for slot in found.values()):
        raise UsageError("the model is on the meta device, which holds no numbers", "build it on another device")
    state = {key: slot.read().detach().cpu().contiguous() for key, slot in found.items()}
    if any(slot.sharded for slot in found.values()) and torch.distributed.get_rank() != 0:
        return  # it has given its shards
    with replacing(path, force) as temporary:
        try:
            save_file(state, temporary, metadata)
        except SafetensorError as error:
            raise SpecError(Diagnostic("file", f"{os.fspath(path)} cannot be written: {reason(error)}")) from None
        _sort_metadata(temporary)


def _spec(network: Network) -> str:
    """Return the spec of a network as it was written. Raises: UsageError if it is beyond what can be loaded again."""
    try:
        return bundle_spec(network.elaboration, network.overrides, network.own_inputs)
    except SpecError as error:
        raise UsageError(error.diagnostics[0].message, "save the weights without their network") from None


def _sort_metadata(path: str) -> None:
    """Sort the metadata in the header of a safetensors file: safetensors writes it in another order each time."""
    with open(path, "r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        assert len(text) <= size
        file.seek(8)
        file.write(text.ljust(size))


def read_weights(
    path: str | os.PathLike[str], format: str = "safetensors"
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read the tensors of a file and the metadata in its header.

    A torch file keeps its order. safetensors sorts the names; here they come in natural order, `2` before `10`.

    Raises:
        SpecError: The file cannot be read.
    """
    if format not in FORMATS:
        raise UsageError(f"unknown format of weights {format!r}", did_you_mean(format, FORMATS))
    text = readable(path)
    return _read_safetensors(text) if format == "safetensors" else (_read_torch(text), {})


def _read_safetensors(path: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    need("safetensors")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {key: file.get_tensor(key) for key in sorted(file.keys(), key=_natural)}, file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        help = None
        if os.path.splitext(path)[1] in (".pt", ".pth", ".bin", ".ckpt"):
            help = 'format="torch" (--file-format torch) reads the tensors of such a file, and nothing else'
        text = f"{path} is not a whole safetensors file: {reason(error)}"
        raise SpecError(Diagnostic("file", text, help=help)) from None


def _read_torch(path: str) -> dict[str, torch.Tensor]:
    try:
        with open(path, "rb") as file, warnings.catch_warnings():  # of a path, torch goes by the ending
            warnings.simplefilter("ignore")  # torch has remarks on the pickles of others
            found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a pickle may fail in any way; what it wanted to run did not
        text, help = f"{path} is not a state_dict of tensors alone", "torch.save(model.state_dict(), path) writes one"
        if not isinstance(error, pickle.UnpicklingError):
            text += f": {reason(error)}"
        elif wanted := re.search(r"GLOBAL (\S+)", str(error)):  # torch's own text advises to run it
            text += f": it asks to run {wanted[1]}, which was not run"
        raise SpecError(Diagnostic("file", text, help=help)) from None
    for wrapper in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping) or not all(
        isinstance(key, str) and isinstance(tensor, torch.Tensor) for key, tensor in found.items()
    ):
        raise SpecError(Diagnostic("file", f"{path}: expected a state_dict, which maps names to tensors"))
    faults = [f"{printable(key)} is {fault}" for key, tensor in found.items() if (fault := fault_of(tensor))]
    if faults:
        more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
        help = "expected dense tensors: `to_dense`, `dequantize` and the like make them"
        raise SpecError(Diagnostic("type", f"{path}: {', '.join(faults[:3])}{more}", help=help))
    return dict(found)


def _in_order(keys: Iterable[str], metadata: Mapping[str, str]) -> list[str]:
    """Return the keys in the order of the network in the header; as they come if there is none."""
    try:
        order = list(loads(metadata.get("spec", "")).graph.state_dict())
    except SpecError:
        order = []  # a header that somebody else wrote
    place = {key: position for position, key in enumerate(order)}
    return sorted(keys, key=lambda key: place.get(key, len(place)))


def _natural(key: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]{1,18})", key) if part]


# What goes where.


def _matched(
    model: nn.Module,
    path: str | os.PathLike[str],
    map: NameMap | None,
    format: str,
    leave_out: Iterable[str],
    cast: bool,
) -> tuple[WeightsReport, list[tuple[Slot, torch.Tensor]]]:
    """Return the report, and the tensor for each slot of the model that gets one.

    Raises:
        WeightsError: Positions do not agree.
    """
    state = slots(model)
    out = _left_out(state, [leave_out] if isinstance(leave_out, str) else list(leave_out))
    absent_here: frozenset[str] = getattr(unwrapped(model), "__left_out__", frozenset())
    tensors, metadata = read_weights(path, format)
    names = _names(_in_order(tensors, metadata) if map == BY_POSITION else list(tensors), state, map)
    _use_originals(model, state, {name for name in names.values() if name})
    targets: dict[str, torch.Tensor] = {}
    kinds = ("unexpected", "ignored", "reshaped", "wrong_shape", "wrong_dtype", "not_finite", "renamed")
    found: dict[str, list[Any]] = {kind: [] for kind in kinds}
    for key, tensor in tensors.items():
        name = names[key]
        if name is None or name in out or name in absent_here:
            found["ignored"].append(key)
            continue
        if name not in state:
            found["unexpected"].append(key)
            continue
        slot = state[name]
        if name != key:
            found["renamed"].append((key, name))
        shapes = Mismatch(name, _shape(tensor), shape_text(slot.shape))
        if not same_numbers(tuple(tensor.shape), slot.shape):
            found["wrong_shape"].append(shapes)
        elif tensor.dtype != slot.dtype and not (cast and tensor.is_floating_point() and slot.dtype.is_floating_point):
            found["wrong_dtype"].append(Mismatch(name, _dtype(tensor.dtype), _dtype(slot.dtype)))
        else:
            targets[name] = tensor.reshape(slot.shape)
            if tensor.shape != slot.shape:
                found["reshaped"].append(shapes)
            if not _finite(tensor, slot.dtype):
                found["not_finite"].append(name)
    place = {key: position for position, key in enumerate(state)}
    for kind in ("reshaped", "wrong_shape", "wrong_dtype"):
        found[kind].sort(key=lambda mismatch: place[mismatch.key])
    absent = state.keys() - {name for name in names.values() if name} - out
    report = WeightsReport(
        path=os.fspath(path),
        loaded=tuple(key for key in state if key in targets),
        missing=tuple(key for key in state if key in absent and not key.endswith(_COUNTER)),
        kept=tuple(key for key in state if key in absent and key.endswith(_COUNTER)),
        left_out=tuple(key for key in state if key in out),
        parametrized=tuple(key for key in state if key in targets and state[key].parametrized),
        network=printable(metadata.get("name", "")[:MAX_NAME]) or None,
        **{kind: tuple(entries) for kind, entries in found.items()},
    )
    if map == BY_POSITION and not report.fits:
        raise WeightsError(replace(report, loaded=()))
    return report, [(state[name], tensor) for name, tensor in targets.items()]


def _use_originals(model: nn.Module, state: dict[str, Slot], names: set[str]) -> None:
    """Take the tensors that a parametrisation keeps in place of a weight, if a file has these."""
    for key, slot in list(state.items()):
        if names.intersection(slot.replaces):
            del state[key]
            state.update(original_slots(model, slot))


def same_numbers(left: Shape, right: Shape) -> bool:
    """Tell whether tensors of two shapes hold the same numbers in the same order, and for the same purpose.

    They differ in axes of 1 only; or one has all axes but the first in one, as a linear layer behind a `flatten` has
    the weights of a convolution that reads all that there is.
    """
    if [size for size in left if size != 1] == [size for size in right if size != 1]:
        return True
    return 2 in (len(left), len(right)) and left[:1] == right[:1] and elements(left) == elements(right)


def _left_out(state: Mapping[str, Slot], prefixes: list[str]) -> set[str]:
    """Return the model's keys under these prefixes. Raises: UsageError if there is none under one of them."""
    found: set[str] = set()
    for prefix in prefixes:
        under = {key for key in state if key == prefix or key.startswith(f"{prefix}.")}
        if not under:
            known = dict.fromkeys(scope for key in state for scope in _prefixes(key))
            raise UsageError(f"leave_out: the model has no `{prefix}`", did_you_mean(prefix, known))
        found |= under
    return found


def _names(keys: list[str], state: Mapping[str, Slot], map: NameMap | None) -> dict[str, str | None]:
    """Return the model's name for each of the file's. Raises: UsageError if two of them are the same."""
    if map is None:
        return {key: key for key in keys}
    if isinstance(map, str):
        if map != BY_POSITION:
            raise UsageError(f"map: unknown way to map names {map!r}", f"a table, a function, or {BY_POSITION!r}")
        return _by_position(keys, list(state))
    table = map
    rename = (lambda key: _renamed(key, table)) if isinstance(table, Mapping) else table
    names: dict[str, str | None] = {}
    taken: dict[str, str] = {}
    for key in keys:
        name = names[key] = rename(key)
        if name is None:
            continue
        if not isinstance(name, str):
            raise UsageError(f"map: expected a name for {key}, got {name!r}", "text, or None to leave it out")
        if name in taken:
            raise UsageError(f"map: {taken[name]} and {key} both become {name}")
        taken[name] = key
    return names


def _renamed(key: str, table: Mapping[str, str | None]) -> str | None:
    for prefix in (key, *_prefixes(key), ""):
        if prefix in table:
            new = table[prefix]
            return None if new is None else ".".join(filter(None, (new, key[len(prefix) :].lstrip("."))))
    return key


def _prefixes(key: str) -> Iterator[str]:
    """Yield the module of `a.b.c` and the scopes around it, innermost first."""
    while key := key.rpartition(".")[0]:
        yield key


def _by_position(keys: list[str], wanted: list[str]) -> dict[str, str | None]:
    """Pair the modules in their order, and in each pair the tensors by their own names: `weight` with `weight`."""
    modules: dict[str, list[str]] = {}
    for key in keys:
        modules.setdefault(key.rpartition(".")[0], []).append(key)
    places = list(dict.fromkeys(key.rpartition(".")[0] for key in wanted))
    names: dict[str, str | None] = {}
    for position, (module, members) in enumerate(modules.items()):
        for key in members:
            # Beyond the last module of the model a name must not match one by chance.
            place = places[position] if position < len(places) else f"(surplus) {module}"
            names[key] = ".".join(filter(None, (place, key.rpartition(".")[2])))
    return names


def _finite(tensor: torch.Tensor, dtype: torch.dtype) -> bool:
    """Tell whether all numbers are finite, in the dtype that they will have."""
    return bool(torch.isfinite(tensor.to(dtype)).all())


def _shape(tensor: torch.Tensor) -> str:
    return shape_text(tuple(tensor.shape))


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


__all__ = [
    "FORMATS",
    "Mismatch",
    "NameMap",
    "WeightsError",
    "WeightsReport",
    "check_weights",
    "load_weights",
    "read_weights",
    "save_weights",
]
