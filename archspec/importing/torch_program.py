"""A PyTorch module, traced by `torch.export`, as calls of archspec's ops; nothing is computed but constants."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import nn
from torch.export import ExportedProgram

from archspec.backends.numerics import evaluating
from archspec.importing.aten import RULES
from archspec.importing.calls import Program
from archspec.importing.idioms import rewritten
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
    program = _traced(module, inputs, name, input_names, training=False)
    unused = _unused(program)
    if not unused:
        return program
    # Heads that only training has: the network itself is told that it trains, its modules are not.
    try:
        other = _traced(module, inputs, name, input_names, training=True)
    except NeedsValuesError:
        raise
    except Exception:  # whatever such a mode needs besides; then evaluation is what is known
        return program
    if other.missing or len(_unused(other)) >= len(unused) or len(other.outputs) <= len(program.outputs):
        return program
    other.training_only = frozenset([*other.outputs][len(program.outputs) :])
    return other


def _traced(
    module: nn.Module, inputs: tuple[torch.Tensor, ...], name: str, input_names: Sequence[str], training: bool
) -> Program:
    with evaluating(module), standing_in(module), torch.no_grad(), warnings.catch_warnings():
        module.training = training
        warnings.simplefilter("ignore")
        exported = torch.export.export(module, inputs, strict=False)
    return _read(exported, name, module, input_names)


def _read(exported: ExportedProgram, name: str, module: nn.Module | None, input_names: Sequence[str]) -> Program:
    """Return the calls of a program, by its idioms where these can be expressed."""
    found = Reader(exported, name, module, input_names, rewritten(exported.graph)).program(RULES)
    if not found.missing:
        return found
    plain = Reader(exported, name, module, input_names).program(RULES)
    return plain if len(plain.missing) < len(found.missing) else found


def _unused(program: Program) -> list[str]:
    """Return keys of the source's state_dict that no call has."""
    paths = {call.path for call in program.calls if call.fixed}
    return [key for key in program.keys if key not in paths and not _owners(key) & paths]


def _owners(key: str) -> set[str]:
    words = key.split(".")
    return {".".join(words[:count]) for count in range(1, len(words))}


def read_exported(exported: ExportedProgram, name: str) -> Program:
    """Return the calls of an exported program."""
    return _read(exported, name, None, ())
