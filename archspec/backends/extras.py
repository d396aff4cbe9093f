"""Packages that only some back ends need: require them, and quote their errors."""

from __future__ import annotations

import importlib

from archspec.errors import UsageError

EXTRAS = {"torch": "torch", "safetensors": "torch", "onnx": "onnx", "onnxscript": "onnx", "onnxruntime": "onnx"}
"""The extra of `archspec-nn` that brings each package."""

MAX_REASON = 300


def need(*packages: str) -> None:
    """Require packages to be installed.

    Raises:
        UsageError: One is missing; the message names the extra to install.
    """
    for package in packages:
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            if error.name != package:
                raise
            help = f"pip install 'archspec-nn[{EXTRAS[package]}]'"
            raise UsageError(f"this needs {package}, which is not installed", help) from None


def reason(error: BaseException) -> str:
    """Return the message of an error of torch or of another package, cut to a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    # Wrappers say `raised:`, and what was raised on the next line.
    text = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]}..."
