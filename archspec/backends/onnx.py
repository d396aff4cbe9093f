"""A network as an ONNX file, through torch's exporter."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from archspec.backends.build import check_size
from archspec.backends.extras import need, reason
from archspec.backends.module import HasGraph, build_module
from archspec.backends.weights import load_weights
from archspec.errors import UsageError
from archspec.files import check_target, replacing
from archspec.graph import Graph

SIZE_LIMIT = 2**30
"""Bytes of weights in the ONNX file itself. protobuf counts them in 31 bits; torch's exporter stops at 1.5 GiB."""


def export_onnx(
    network: HasGraph,
    path: str | os.PathLike[str],
    weights: str | os.PathLike[str] | nn.Module | None = None,
    dynamic_batch: bool = False,
    *,
    force: bool = False,
) -> None:
    """Write the network, as it runs when it is not training, to an ONNX file that `onnx.checker` accepts.

    Its inputs and outputs have the names that the spec gives them, and the shapes `(N, *shape)` in float32; N is 1, or
    left open with `dynamic_batch`. `weights` is a safetensors file or a module of this network; without it the weights
    are drawn anew. More than 1 GiB of weights go into a second file beside it, `net.onnx.data` for `net.onnx`.
    UsageError where a file exists (without `force`), a package is missing, or torch cannot export the network;
    SpecError where the weights do not fit.
    """
    need("onnx", "onnxscript")
    import onnx

    graph = network.graph
    size = sum(4 * (node.op.params + node.op.buffer_elements) for node in graph.nodes)
    external = size > SIZE_LIMIT
    if external:
        check_target(f"{os.fspath(path)}.data", force)  # before the minutes that this takes
    with replacing(path, force) as temporary:
        model = _model(graph, weights)
        training = model.training
        try:
            program = _exported(model.eval(), graph, dynamic_batch)
        except Exception as error:  # the exporter's errors have no common class
            raise UsageError(f"torch cannot export {graph.name}: {reason(error.__cause__ or error)}") from error
        finally:
            model.train(training)
        program.save(temporary, external_data=external)
        onnx.checker.check_model(temporary, full_check=True)


def _model(graph: Graph, weights: str | os.PathLike[str] | nn.Module | None) -> nn.Module:
    if isinstance(weights, nn.Module):
        return weights
    check_size(graph, "cpu")
    model = build_module(graph)
    if weights is not None:
        load_weights(model, weights)
    return model


def _exported(model: nn.Module, graph: Graph, dynamic_batch: bool) -> torch.onnx.ONNXProgram:
    like = next(model.parameters(), torch.empty(0))
    # Two samples where the batch is open: an export with one would hold it to one.
    batch = 2 if dynamic_batch else 1
    inputs = tuple(torch.zeros(batch, *shape, device=like.device, dtype=like.dtype) for shape in graph.inputs.values())
    open_batch = torch.export.Dim("batch")
    with _quiet():
        program = torch.onnx.export(
            model,
            inputs,
            dynamo=True,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_shapes=tuple({0: open_batch} for _ in inputs) if dynamic_batch else None,
            verbose=False,
        )
    assert program is not None
    return program


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on itself: that torchvision is missing, that its own code is deprecated."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            # Several inputs have one batch: that is meant.
            warnings.filterwarnings("ignore", message="# The axis name", category=UserWarning)
            yield
    finally:
        logger.setLevel(level)
