"""A PyTorch module, traced by `torch.export`, as calls of archspec's ops; nothing is computed but constants."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import nn
from torch.export import ExportedProgram

from archspec.importing.aten import RULES
from archspec.importing.calls import Program
from archspec.importing.reader import NeedsValuesError, Reader
from archspec.importing.stand_ins import standing_in

__all__ = ["NeedsValuesError", "read_exported", "read_module"]


def read_module(
    module: nn.Module,
    inputs: tuple[torch.Tensor, ...],
    *,
    name: str,
    input_names: Sequence[str] = (),
) -> Program:
    """Return the calls of a module.

    Args:
        module: The module; it is traced in evaluation mode.
        inputs: Inputs to trace it with, each with a batch in front; on the meta device if the module is.
        name: What the network is to be called.
        input_names: What its inputs are to be called; by default as in its `forward`.

    Raises:
        NeedsValuesError: The module is on the meta device, and the network depends on the numbers of a buffer.
    """
    was_training = module.training
    module.eval()
    try:
        with standing_in(module), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.export.export(module, inputs, strict=False)
    finally:
        module.train(was_training)
    return Reader(exported, name, module, input_names).program(RULES)


def read_exported(exported: ExportedProgram, name: str) -> Program:
    """Return the calls of an exported program."""
    return Reader(exported, name, None, ()).program(RULES)
