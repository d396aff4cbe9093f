"""Read the spec in the header of a safetensors file, where `save_weights` puts it, without torch or safetensors."""

from __future__ import annotations

import json
from typing import Any

from archspec.errors import Diagnostic, Source, SpecError
from archspec.files import opened

ENDING = ".safetensors"
MAX_HEADER = 4 << 20
"""Bytes; parsed, a hostile header takes some twenty times its size."""


def read_spec(path: str) -> Source:
    """Return the text of the spec in a safetensors file. Raises: SpecError if the file is invalid or holds no spec."""
    metadata = _header(path).get("__metadata__")
    spec = metadata.get("spec") if isinstance(metadata, dict) else None
    if not isinstance(spec, str):
        help = "`save_weights(model, path, network)` writes one that does"
        raise SpecError(Diagnostic("file", f"{path} holds weights, but not the spec of their network", help=help))
    return Source(path, spec)


def _header(path: str) -> dict[str, Any]:
    """Return the JSON at the start of the file, behind its length in 8 bytes."""
    with opened(path) as file:
        length = file.read(8)
        size = int.from_bytes(length, "little")
        data = file.read(size) if size <= MAX_HEADER else b""
    if len(length) < 8 or len(data) < size:
        message = f"{path} is not a safetensors file, or its header has more than {MAX_HEADER >> 20} MiB"
        raise SpecError(Diagnostic("file", message))
    try:
        header = json.loads(data)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise SpecError(Diagnostic("file", f"{path} is not a safetensors file: its header is not a JSON object"))
    return header
