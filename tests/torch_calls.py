"""Execute the torch calls of an op, as data: the tests' own reading of `archspec.ops.base.Call`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import Any

import torch

from archspec.backends import layers
from archspec.ops.base import Call
from archspec.ops.torch_api import OPERATORS, numbers_of


def named(target: str) -> Callable[..., Any]:
    """Return what a name such as `nn.Conv2d`, `F.pad` or `torch.cat` stands for."""
    family, _, name = target.rpartition(".")
    homes = {"nn": torch.nn, "nn.init": torch.nn.init, "F": torch.nn.functional, "torch": torch, "": layers}
    found: Callable[..., Any] = getattr(homes[family], name)
    return found


def execute(
    calls: Iterable[Call], values: Sequence[Any], prepare: Callable[[torch.nn.Module], Any] = lambda module: None
) -> tuple[Any, list[torch.nn.Module]]:
    """Execute the calls of an op, each on the result of the one before.

    Args:
        calls: The calls.
        values: What the first of them reads.
        prepare: Called with each module before it is run.

    Returns:
        The result, and the modules that were constructed.
    """
    modules = []
    for call in calls:
        if call.is_module:
            modules.append(named(call.target)(**call.arguments))
            prepare(modules[-1])
            given = values if call.reads is None else [values[place] for place in call.reads]
            result = modules[-1](*given, **call.options)
            result = result if call.item is None else result[call.item]
        elif call.is_operator:
            operands = list(values)
            if axes := call.target.count(":"):
                operands[1] = (*[slice(None)] * axes, operands[1])
            for place, number in numbers_of(call.arguments):
                operands.insert(place, number)
            result = reduce(OPERATORS[call.target], operands)
        else:
            function = named(call.target)
            given = values if call.reads is None else [values[place] for place in call.reads]
            size = {} if call.size_of is None else {"size": values[call.size_of].shape[2:]}
            result = function(given, **call.arguments) if call.listed else function(*given, **size, **call.arguments)
        values = [result]
    return values[0], modules
