"""The tensors of a model's state_dict under plain names, whatever the model is wrapped in.

Wrappers (torch.compile, DistributedDataParallel, averaged models) put their own names before the keys of a state_dict,
`fully_shard` cuts its tensors to pieces, and a parametrisation keeps others in place of a weight. A `Slot` is one
tensor under its plain name, whole, to read and to write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.optim.swa_utils import AveragedModel

from archspec.backends.extras import reason
from archspec.errors import UsageError
from archspec.shapes import Shape

_WRAPPER_NAME = "_orig_mod"
"""What torch.compile calls the module inside, also where it is a part of a model."""
_PARAMETRIZATIONS = "parametrizations"


@dataclass(frozen=True)
class Slot:
    """A place for a tensor in a model. `read` and `write` run on every process that holds a shard of it."""

    key: str
    shape: Shape
    dtype: torch.dtype
    read: Callable[[], torch.Tensor]
    writes: Callable[[torch.Tensor], list[tuple[torch.Tensor, torch.Tensor]]]
    """What to copy for a new value: pairs of a tensor of the model and its new numbers."""
    on_meta: bool = False
    sharded: bool = False
    parametrized: bool = False
    replaces: tuple[str, ...] = ()
    """Keys of the tensors that a parametrisation keeps in place of this one."""


def slots(model: nn.Module) -> dict[str, Slot]:
    """Return the slots of a model by their names, in the order of its state_dict.

    Raises:
        UsageError: The state_dict holds something else than dense tensors, or the model cannot be unwrapped.
    """
    model = unwrapped(model)
    state = model.state_dict()
    found: dict[str, Slot] = {}
    for key, tensor in state.items():
        plain = _plain_name(key)
        owner, mark, rest = plain.rpartition(f"{_PARAMETRIZATIONS}.")
        if mark:
            name = rest.partition(".")[0]
            key_of_all = f"{owner}{name}"
            if key_of_all not in found:
                found[key_of_all] = _parametrized(model, owner, name, state)
            continue
        found[plain] = _slot(plain, tensor)
    return found


def original_slots(model: nn.Module, slot: Slot) -> dict[str, Slot]:
    """Return the slots of the tensors that a parametrisation keeps in place of one."""
    state = {_plain_name(key): tensor for key, tensor in unwrapped(model).state_dict().items()}
    return {key: _slot(key, state[key]) for key in slot.replaces}


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the module inside of torch.compile, DistributedDataParallel, DataParallel and AveragedModel.

    Raises:
        UsageError: It is a FullyShardedDataParallel, whose parameters are flattened into one.
    """
    while True:
        if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel | AveragedModel):
            model = model.module
        elif isinstance(inner := getattr(model, _WRAPPER_NAME, None), nn.Module):
            model = inner
        elif type(model).__name__ == "FullyShardedDataParallel":
            help = "shard it with torch.distributed.fsdp.fully_shard, which leaves the keys as they are"
            raise UsageError("the weights of a FullyShardedDataParallel cannot be read or written", help)
        else:
            return model


def fault_of(tensor: object) -> str | None:
    """Say why an entry of a state_dict is not a dense tensor with numbers; None if it is."""
    if not isinstance(tensor, torch.Tensor):
        return f"a {type(tensor).__name__}"
    if tensor.is_meta:
        return "on the meta device, without numbers"
    if tensor.is_nested:
        return "nested"
    if tensor.layout is not torch.strided:
        return f"sparse ({str(tensor.layout).removeprefix('torch.')})"
    if tensor.is_quantized:
        return "quantised"
    if type(tensor) not in (torch.Tensor, nn.Parameter, nn.Buffer):
        return f"a {type(tensor).__name__}"
    return None


def _plain_name(key: str) -> str:
    return ".".join(part for part in key.split(".") if part != _WRAPPER_NAME) if _WRAPPER_NAME in key else key


def _slot(key: str, tensor: torch.Tensor) -> Slot:
    sharded = _is_sharded(tensor)
    fault = None if sharded else fault_of(tensor)
    if fault is not None and not getattr(tensor, "is_meta", False):
        raise UsageError(f"{key} is {fault}", "weights are read and written as dense tensors")
    write = _sharded_writes if sharded else _plain_writes
    return Slot(
        key,
        tuple(tensor.shape),
        tensor.dtype,
        partial(_whole, tensor),
        partial(write, tensor),
        on_meta=tensor.is_meta,
        sharded=sharded,
    )


def _is_sharded(tensor: object) -> bool:
    return hasattr(tensor, "full_tensor")


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    gather: Callable[[], torch.Tensor] | None = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()


def _plain_writes(tensor: torch.Tensor, value: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(tensor, value)]


def _sharded_writes(tensor: torch.Tensor, value: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Cut a value, which every process has read, into the shards of the processes."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(tensor, DTensor)
    value = value.to(tensor.dtype)
    return [(tensor, distribute_tensor(value, tensor.device_mesh, tensor.placements))]


def _parametrized(model: nn.Module, owner: str, name: str, state: Mapping[str, torch.Tensor]) -> Slot:
    """Return the slot of a weight that a parametrisation (torch.nn.utils.parametrize) makes from other tensors."""
    key, prefix = f"{owner}{name}", f"{owner}{_PARAMETRIZATIONS}.{name}."
    keys = [each for each in state if _plain_name(each).startswith(prefix)]
    module = next(found for path, found in model.named_modules() if _plain_name(f"{path}.").removeprefix(".") == owner)
    with torch.no_grad():
        value: torch.Tensor = getattr(module, name)
    whole = _slot(key, value)
    return Slot(
        key,
        whole.shape,
        whole.dtype,
        whole.read,
        partial(_originals, module, name, key),
        on_meta=whole.on_meta,
        parametrized=True,
        replaces=tuple(map(_plain_name, keys)),
    )


def _originals(module: nn.Module, name: str, key: str, value: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return what a parametrisation keeps for a value: undo its steps from the last to the first, as torch does.

    Raises:
        UsageError: A step cannot be undone.
    """
    steps = module.parametrizations[name]  # type: ignore[index]
    assert isinstance(steps, parametrize.ParametrizationList)
    originals = list(steps.parameters(recurse=False)) + list(steps.buffers(recurse=False))
    found: Any = value.to(originals[0].device, originals[0].dtype)
    kind = ""
    try:
        with torch.no_grad():
            for step in reversed(steps):
                kind = type(step).__name__
                found = step.right_inverse(found)  # type: ignore[operator]
        values = [found] if isinstance(found, torch.Tensor) else list(found)
        if [each.shape for each in values] != [each.shape for each in originals]:
            raise ValueError("it gives tensors of other shapes")
    except Exception as error:  # it may have no inverse, or refuse this value
        help = "load the weights first, and register the parametrisation then"
        raise UsageError(f"{key} cannot be set through its parametrisation {kind}: {reason(error)}", help) from error
    return list(zip(originals, values, strict=True))
