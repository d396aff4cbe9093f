"""What went wrong in somebody's Python, in a sentence with the line that is to blame."""

from __future__ import annotations

import linecache
import os
import traceback

import torch

from archspec.backends.extras import reason
from archspec.errors import Diagnostic, SpecError, UsageError
from archspec.shapes import shape_text

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_TORCH = os.path.dirname(os.path.abspath(torch.__file__))
_FOREIGN = (_OURS + os.sep, _TORCH + os.sep, "<frozen ")

_DATA_DEPENDENT = (
    "data-dependent",
    "data dependent",
    "cannot be called on meta tensors",
    "cannot copy out of meta tensor",
    "_local_scalar_dense",
    "data pointer of tensor",
    "aten::nonzero",
    "aten::equal",
    "aten.equal",
    "is_nonzero",
    "unbacked",
)
"""What torch says, in small letters, where Python asks for the numbers in a tensor that has none yet."""


def place(error: BaseException) -> str:
    """Return the line of the user's code, or of a library, in which an error came up: `net.py:12: if x.sum() > 0:`."""
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if not frame.filename.startswith(_FOREIGN):
            line = (frame.line or linecache.getline(frame.filename, frame.lineno or 0)).strip()
            shown = os.path.relpath(frame.filename)
            shown = frame.filename if shown.startswith("..") else shown
            return f"{shown}:{frame.lineno}: `{line}`" if line else f"{shown}:{frame.lineno}"
    return ""


def not_built(source: str, error: BaseException) -> UsageError:
    """Return what to say where making a network failed."""
    at = place(error)
    text = f"{source} cannot be made: {type(error).__name__}: {reason(error)}"
    help = "--kwargs gives the arguments of the callable" if isinstance(error, TypeError) else None
    return UsageError(f"{text} ({at})" if at else text, help)


def not_run(name: str, error: BaseException, inputs: tuple[torch.Tensor, ...]) -> UsageError:
    """Return what to say where a network does not run on its example inputs, or torch cannot export it."""
    at = place(error)
    where = f" ({at})" if at else ""
    if is_data_dependent(error):
        text = f"{name} takes decisions by the values in tensors{where}: a spec has one graph for all inputs"
        return UsageError(text, "decide when the module is made, or by shapes")
    shapes = ", ".join(shape_text(tuple(each.shape[1:])) for each in inputs)
    text = (
        f"{name} does not run on {'the input' if len(inputs) == 1 else 'the inputs'} {shapes}: {reason(error)}{where}"
    )
    return UsageError(text, "--input gives another shape")


def not_exported(name: str, error: BaseException, inputs: tuple[torch.Tensor, ...]) -> UsageError:
    """Return what to say where a network runs and torch.export does not take it."""
    if is_data_dependent(error):
        return not_run(name, error, inputs)
    at = place(error)
    text = f"torch.export cannot take {name}: {reason(error)}{f' ({at})' if at else ''}"
    return _mistake(name, error) or UsageError(text)


def not_onnx(path: str, error: BaseException) -> SpecError:
    """Return what to say where the onnx package cannot read a file."""
    text = f"{path} is not an ONNX file, or is damaged: {reason(error)}"
    return _mistake(path, error) or SpecError(Diagnostic("file", text))


def _mistake(name: str, error: BaseException) -> UsageError | None:
    """Return what to say where it is a reader of archspec that failed."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    if not last.filename.startswith(_OURS):
        return None
    at = f"{os.path.basename(last.filename)}:{last.lineno}"
    text = f"{name} cannot be read: {type(error).__name__}: {reason(error)} ({at})"
    return UsageError(text, "this is a mistake of archspec: please report it with the network")


def is_data_dependent(error: BaseException) -> bool:
    """Return whether an error comes from Python that asks for the numbers in a tensor."""
    text = f"{type(error).__name__} {error}".lower()
    return "datadependent" in text or any(words in text for words in _DATA_DEPENDENT)
