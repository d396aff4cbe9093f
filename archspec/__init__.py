"""archspec: an architecture-specification compiler for neural networks.

    >>> import archspec
    >>> net = archspec.load("resnet18", num_classes=10)
    >>> net.analyze().totals.params
    11181642

Names load what they need when they are first used, so that `import archspec` is quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archspec._version import __version__

if TYPE_CHECKING:
    from archspec.analysis.cost import LayerCost, Totals
    from archspec.backends.bench import bench
    from archspec.backends.build import build, compile
    from archspec.backends.onnx import export_onnx
    from archspec.backends.source import generate
    from archspec.backends.verify import verify
    from archspec.backends.weights import check_weights, load_weights, save_weights
    from archspec.backends.weights_report import WeightsError, WeightsReport
    from archspec.errors import Diagnostic, Span, SpecError, UsageError
    from archspec.graph import Graph, Node
    from archspec.importing import Imported, from_onnx, from_torch
    from archspec.network import Network, analyze, check, load, loads
    from archspec.report.analyze import Report
    from archspec.zoo import list_specs

_HOMES = {
    "Diagnostic": "archspec.errors",
    "Graph": "archspec.graph",
    "Imported": "archspec.importing",
    "LayerCost": "archspec.analysis.cost",
    "Network": "archspec.network",
    "Node": "archspec.graph",
    "Report": "archspec.report.analyze",
    "Span": "archspec.errors",
    "SpecError": "archspec.errors",
    "Totals": "archspec.analysis.cost",
    "UsageError": "archspec.errors",
    "WeightsError": "archspec.backends.weights_report",
    "WeightsReport": "archspec.backends.weights_report",
    "analyze": "archspec.network",
    "bench": "archspec.backends.bench",
    "build": "archspec.backends.build",
    "check": "archspec.network",
    "check_weights": "archspec.backends.weights",
    "compile": "archspec.backends.build",
    "export_onnx": "archspec.backends.onnx",
    "from_onnx": "archspec.importing",
    "from_torch": "archspec.importing",
    "generate": "archspec.backends.source",
    "list_specs": "archspec.zoo",
    "load": "archspec.network",
    "load_weights": "archspec.backends.weights",
    "loads": "archspec.network",
    "save_weights": "archspec.backends.weights",
    "verify": "archspec.backends.verify",
}

__all__ = [
    "Diagnostic",
    "Graph",
    "Imported",
    "LayerCost",
    "Network",
    "Node",
    "Report",
    "Span",
    "SpecError",
    "Totals",
    "UsageError",
    "WeightsError",
    "WeightsReport",
    "__version__",
    "analyze",
    "bench",
    "build",
    "check",
    "check_weights",
    "compile",
    "export_onnx",
    "from_onnx",
    "from_torch",
    "generate",
    "list_specs",
    "load",
    "load_weights",
    "loads",
    "save_weights",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'archspec' has no attribute {name!r}")
    import importlib

    try:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        from archspec.backends.extras import EXTRAS, need

        if error.name not in EXTRAS:
            raise
        need(error.name)  # which tells the extra to install
        raise
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
