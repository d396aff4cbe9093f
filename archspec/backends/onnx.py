"""Export networks to ONNX through torch's exporter, and compare the files with the modules in onnxruntime."""

from __future__ import annotations

import copy
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from archspec.backends.build import check_size
from archspec.backends.extras import need, reason
from archspec.backends.module import HasGraph, build_module
from archspec.backends.numerics import (
    SEED,
    Disagreement,
    Trial,
    compare,
    draw_inputs,
    evaluating,
    named,
    prepare,
    seeded,
)
from archspec.backends.weights import load_weights
from archspec.errors import UsageError
from archspec.files import check_target, replacing
from archspec.graph import Graph

SIZE_LIMIT = 2**30
"""Bytes of weights in the ONNX file itself. protobuf counts them in 31 bits; torch's exporter stops at 1.5 GiB."""

DTYPES = (torch.float16, torch.float32, torch.float64)
"""What onnxruntime computes with on the CPU."""


@dataclass(frozen=True)
class OnnxExport:
    """What was written, and how it was checked."""

    path: str
    opset: int
    deviation: float | None
    """How far onnxruntime's outputs are from the module's, at most, of their norm; None if they were not compared."""
    remark: str
    """How they were compared, or why not."""

    def __str__(self) -> str:
        return f"{self.path}: opset {self.opset}, {self.remark}"


def export_onnx(
    network: HasGraph,
    path: str | os.PathLike[str],
    weights: str | os.PathLike[str] | nn.Module | None = None,
    dynamic_batch: bool = False,
    *,
    opset: int | None = None,
    force: bool = False,
) -> OnnxExport:
    """Write the network, as it runs when it is not training, to an ONNX file.

    `onnx.checker` looks at the file, and where onnxruntime is installed it runs it: its outputs must be the module's
    but for rounding. Weights under which the outputs hardly depend on the inputs or on the first layers, as new ones of
    a deep network, would hide a fault; then the same export with other weights is compared too.

    The inputs and outputs have the names that the spec gives them, and the shapes `(N, *shape)` in the dtype of the
    weights. Equal networks give equal files. torch's random state stays as it is.

    Args:
        network: The network.
        path: The file. More than 1 GiB of weights go into a second file beside it, `net.onnx.data` for `net.onnx`.
        weights: A safetensors file or a module of this network; by default weights are drawn, the same each time.
        dynamic_batch: Leave N open; else it is 1.
        opset: The version of ONNX's operators; by default that of torch's exporter.
        force: Replace files that exist.

    Raises:
        UsageError: A file exists, a package is missing, torch cannot export the network or not with this opset, or
            the file is not valid or computes something else.
        SpecError: The weights do not fit.
    """
    need("onnx", "onnxscript")
    graph = network.graph
    owners = (node.op for node in graph.nodes if node.weights_of is None)
    size = sum(4 * (op.params + op.buffer_elements) for op in owners)
    external = size > SIZE_LIMIT
    if external:
        check_target(f"{os.fspath(path)}.data", force)  # before the minutes that this takes
    with replacing(path, force) as temporary, seeded():
        model = _model(graph, weights)
        with evaluating(model):
            written = _write(graph, model, temporary, dynamic_batch, opset, external)
            deviation, remark = _compared(graph, model, temporary, dynamic_batch, opset, external)
    return OnnxExport(os.fspath(path), written, deviation, remark)


def _model(graph: Graph, weights: str | os.PathLike[str] | nn.Module | None) -> nn.Module:
    if isinstance(weights, nn.Module):
        return weights
    check_size(graph, "cpu")
    model = build_module(graph)
    if weights is not None:
        load_weights(model, weights)
    return model


# Writing.


def _write(graph: Graph, model: nn.Module, path: str, dynamic_batch: bool, opset: int | None, external: bool) -> int:
    """Export a model that is in evaluation mode; return the opset of the file."""
    import onnx

    try:
        program = _exported(model, graph, dynamic_batch, opset)
    except Exception as error:  # the exporter's errors have no common class
        raise UsageError(f"torch cannot export {graph.name}: {reason(error.__cause__ or error)}") from error
    found = program.model.opset_imports.get("", 0)
    if opset is not None and found != opset:  # the exporter says so in its log only
        raise UsageError(f"torch cannot export {graph.name} with opset {opset}", f"it can with opset {found}")
    _strip(program)
    program.save(path, external_data=external)
    try:
        onnx.checker.check_model(path, full_check=True)
    except Exception as error:  # its errors have no common class either
        text = f"the ONNX file of {graph.name} is not valid with opset {found}: {reason(error)}"
        raise UsageError(text, "another opset may have the ops and types") from error
    return int(found)


def _exported(model: nn.Module, graph: Graph, dynamic_batch: bool, opset: int | None) -> torch.onnx.ONNXProgram:
    # Two samples where the batch is open: an export with one would hold it to one.
    inputs = draw_inputs(graph, 2 if dynamic_batch else 1, torch.Generator().manual_seed(SEED), like=model)
    open_batch = torch.export.Dim("batch")
    with _quiet():
        program = torch.onnx.export(
            model,
            inputs,
            dynamo=True,
            input_names=list(graph.inputs),
            output_names=list(graph.evaluation.outputs),
            opset_version=opset,
            dynamic_shapes=tuple({0: open_batch} for _ in inputs) if dynamic_batch else None,
            custom_translation_table={torch.ops.aten.scaled_dot_product_attention.default: _attention},
            verbose=False,
        )
    assert program is not None
    return program


def _attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """Translate attention of any number of axes: the exporter's own translation takes four, one head is three."""
    import numpy as np
    from onnxscript import opset18 as op

    assert not dropout_p
    assert not enable_gqa
    axes, dtype = len(key.shape), query.dtype.numpy()
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    transposed = op.Transpose(key, perm=[*range(axes - 2), axes - 1, axes - 2])
    scores = op.MatMul(op.Mul(query, op.Constant(value=_constant(np.array(factor, dtype)))), transposed)
    if is_causal:
        later = np.triu(np.full((query.shape[-2], key.shape[-2]), -np.inf, dtype), 1)
        scores = op.Add(scores, op.Constant(value=_constant(later)))
    if attn_mask is not None:
        scores = op.Add(scores, attn_mask)
    return op.MatMul(op.Softmax(scores, axis=-1), value)


def _constant(array: Any) -> Any:
    import onnx

    return onnx.numpy_helper.from_array(array)


def _strip(program: torch.onnx.ONNXProgram) -> None:
    """Take out the exporter's notes for its own use: among them are stack traces with the paths of this machine."""
    model = program.model
    noted: list[Any] = [model, *model.graph.initializers.values()]
    parts: list[Any] = [model.graph, *model.functions.values()]
    for part in parts:
        noted += [part, *part.inputs]
        for node in part.all_nodes():
            noted += [node, *node.outputs]
    for each in noted:
        for key in [key for key in each.metadata_props if key.startswith("pkg.")]:
            del each.metadata_props[key]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's remarks on itself: that torchvision is missing, that its own code is deprecated."""
    with ExitStack() as stack, warnings.catch_warnings():
        for name in ("torch.onnx", "onnxscript"):
            logger = logging.getLogger(name)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL)
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        # Several inputs have one batch: that is meant.
        warnings.filterwarnings("ignore", message="# The axis name", category=UserWarning)
        yield


# Comparing.


def _compared(
    graph: Graph, model: nn.Module, path: str, dynamic_batch: bool, opset: int | None, external: bool
) -> tuple[float | None, str]:
    """Compare a file with the model that it was made of; return how far its outputs are off at most, and a remark."""
    try:
        import onnxruntime  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        return None, "not run: onnxruntime is not installed"
    dtype = _like(model).dtype
    if dtype not in DTYPES:
        return None, f"not run: onnxruntime has no {str(dtype).removeprefix('torch.')} on the CPU"
    trial = prepare(graph, model, fit=False)
    deviation = _deviation(graph, trial, path, dynamic_batch)
    if trial.blind:
        trial = prepare(graph, copy.deepcopy(model))
        with tempfile.TemporaryDirectory() as folder:
            other = os.path.join(folder, "drawn.onnx")
            _write(graph, trial.module, other, dynamic_batch, opset, external)
            deviation = max(deviation, _deviation(graph, trial, other, dynamic_batch))
    return deviation, f"onnxruntime {onnxruntime.__version__} is off by {deviation:.0e} of the output{trial.remarks}"


def _deviation(graph: Graph, trial: Trial, path: str, dynamic_batch: bool) -> float:
    """Return how far an output of a file is off at most, as a part of its norm.

    Raises:
        UsageError: An output is off by more than rounding allows, or onnxruntime cannot run the file.
    """
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        runs = [trial.inputs] if dynamic_batch else zip(*(torch.split(each, 1) for each in trial.inputs), strict=True)
        parts = [session.run(None, dict(zip(graph.inputs, map(_array, run), strict=True))) for run in runs]
    except Exception as error:  # onnxruntime's errors have no public class
        raise UsageError(f"onnxruntime cannot run the file of {graph.name}: {reason(error)}") from error
    found = [torch.cat([torch.from_numpy(each) for each in column]) for column in zip(*parts, strict=True)]
    expected = {name: value.cpu() for name, value in trial.outputs.items()}
    try:
        return compare(expected, named(found, expected), trial.tolerances)
    except Disagreement as error:
        text = f"the file of {graph.name} computes something else: {error}"
        raise UsageError(text, f"as run by onnxruntime {onnxruntime.__version__}") from None


def _like(model: nn.Module) -> torch.Tensor:
    """Return a tensor of the device and the dtype that a model has."""
    return next(model.parameters(), torch.empty(0))


def _array(tensor: torch.Tensor) -> Any:
    return tensor.detach().cpu().numpy()
