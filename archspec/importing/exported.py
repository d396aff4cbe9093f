"""Files of `torch.export.save`, loaded where nothing in them is a pickle or code.

torch's own loader unpickles whatever a file holds as a pickle, loads compiled code, evaluates the expressions of
symbolic shapes and prints Python from names. So what a file holds is looked at before torch gets it, and all that is
not a tensor in plain bytes, an ATen op or a plain name is refused.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from archspec.backends.extras import reason
from archspec.errors import Diagnostic, SpecError, UsageError
from archspec.files import opened

_TARGET = re.compile(r"torch\.ops\.aten\.\w+(?:\.\w+)?|_operator\.\w+|torch\.sym_\w+")
_EXPRESSION = re.compile(r"Symbol\('\w+'(?:, (?:positive|integer|nonnegative)=True)*\)|-?\d+")
_NAME = re.compile(r"\w*")
_EXPORT_AGAIN = "export the module with this version of torch, or name the Python that makes the network"


def load_exported(path: str) -> tuple[torch.export.ExportedProgram, nn.Module]:
    """Return the program in a file of `torch.export.save`, and it as a module.

    Raises:
        SpecError: The file cannot be read.
        UsageError: It is not such a file, or it holds pickles, compiled code or ops that are not ATen's.
    """
    with opened(path) as file:
        data = file.read()
    _check(path, data)
    try:
        program = torch.export.load(io.BytesIO(data))
        return program, program.module(check_guards=False)
    except Exception as error:  # torch's loader has no errors of its own
        raise UsageError(f"{path}: torch cannot load it: {reason(error)}", _EXPORT_AGAIN) from error


def _check(path: str, data: bytes) -> None:
    """Check that loading the file runs nothing that stands in it."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        names = archive.namelist()
        parts = {name.partition("/")[2]: name for name in names}
        if len(parts) != len(names):
            raise UsageError(f"{path} holds a file twice")
        if "models/model.json" not in parts:
            raise SpecError(Diagnostic("file", f"{path} is not a file of torch.export.save", help=_EXPORT_AGAIN))
        for part, name in parts.items():
            _check_part(path, part, name, archive)
    except (zipfile.BadZipFile, ValueError, KeyError, RecursionError, EOFError, NotImplementedError) as error:
        text = f"{path} is not a file of torch.export.save, or is damaged: {reason(error)}"
        raise SpecError(Diagnostic("file", text)) from error


def _check_part(path: str, part: str, name: str, archive: zipfile.ZipFile) -> None:
    if part.startswith(("data/aotinductor/", "data/executorch/", "data/mtia/")):
        raise UsageError(f"{path} holds compiled code ({part})", "export the module without compiling it")
    if part.startswith("data/sample_inputs/"):
        try:
            torch.load(io.BytesIO(archive.read(name)), weights_only=True)
        except Exception as error:
            raise _pickled(path, part) from error
    elif part.startswith(("data/weights/", "data/constants/")):
        if part.endswith("_config.json"):
            configured = json.loads(archive.read(name))["config"].values()
            others = [each["path_name"] for each in configured if each["use_pickle"] or not _plain(each["path_name"])]
            if others:
                raise _pickled(path, str(others[0]))
        elif part.endswith(".pt"):
            raise _pickled(path, part)
    elif part.startswith("models/"):
        _check_program(path, json.loads(archive.read(name)))


def _plain(file: object) -> bool:
    """Return whether the name of a file is that of a tensor in plain bytes."""
    return isinstance(file, str) and re.fullmatch(r"(?:weight|tensor)_\d+", file) is not None


def _pickled(path: str, part: str) -> UsageError:
    text = f"{path} holds a pickle ({part}), which runs code when it is read"
    return UsageError(text, "name the Python that makes the network instead")


def _check_program(path: str, program: dict[str, Any]) -> None:
    if program.get("guards_code"):
        raise UsageError(f"{path} holds conditions on its inputs as code", "export the module with fixed shapes")
    for key, value in _entries(program["graph_module"]["graph"]):
        if key == "target" and not _TARGET.fullmatch(value):
            raise UsageError(f"{path} calls {value[:80]!r}, which is not an op of ATen", _EXPORT_AGAIN)
        if key == "expr_str" and not _EXPRESSION.fullmatch(value):
            raise UsageError(
                f"{path} computes sizes from others ({value[:80]!r})", "export the module with fixed shapes"
            )
        if key == "name" and not _NAME.fullmatch(value):
            raise UsageError(f"{path}: {value[:80]!r} is not a name", _EXPORT_AGAIN)


def _entries(value: Any) -> Iterator[tuple[str, str]]:
    """Yield every key whose value is a text, at any depth."""
    stack = [value]
    while stack:
        found = stack.pop()
        if isinstance(found, dict):
            yield from ((key, each) for key, each in found.items() if isinstance(each, str))
            stack += found.values()
        elif isinstance(found, list):
            stack += found
