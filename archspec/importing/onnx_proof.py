"""Prove that a spec computes what the ONNX file computes that it was imported from, as onnxruntime runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from archspec.analysis.cost import cost
from archspec.backends.build import check_size
from archspec.backends.extras import reason
from archspec.backends.module import build_module
from archspec.backends.numerics import Disagreement, prepare
from archspec.backends.verify import Check, Verification, run_check
from archspec.errors import UsageError
from archspec.graph import Graph
from archspec.importing.proof import loaded, same_keys, spec_lines
from archspec.shapes import shape_text

COUNTER = "num_batches_tracked"
"""What a batch norm counts in training; no ONNX file has it."""


def prove_onnx(
    text: str,
    path: str,
    weights: Mapping[str, torch.Tensor],
    *,
    name: str,
    outputs: bool = True,
    progress: Callable[[Check], None] | None = None,
) -> Verification:
    """Compare a spec with the ONNX file that it was imported from.

    - `spec`: it loads, without a finding.
    - `keys`: keys and shapes of the state_dict against the weights of the file.
    - `params`: the figure of `analyze` against the numbers in the file.
    - `outputs`: what the spec's module and onnxruntime compute with the weights of the file, but for rounding.
    """
    done: list[Check] = []
    found: list[Graph] = []

    def spec() -> str:
        found.append(loaded(text).graph)
        return f"{len(found[0].nodes)} layers in {spec_lines(text)} lines"

    def keys() -> str:
        wanted = {key: shape for key, shape in found[0].state_dict().items() if not key.endswith(COUNTER)}
        same_keys(wanted, {key: tuple(value.shape) for key, value in weights.items() if not key.endswith(COUNTER)})
        return f"{len(wanted)} keys, with their shapes"

    def params() -> str:
        return f"{cost(found[0]).totals.params:,}"

    def numbers() -> str:
        graph = found[0].evaluation
        shapes = ", ".join(f"{name} {shape_text(graph.shape(each))}" for name, each in graph.outputs.items())
        return f"{shapes}: {_compare(found[0], path, weights)}" if outputs else f"{shapes}; numbers were not compared"

    for what, check in {"spec": spec, "keys": keys, "params": params, "outputs": numbers}.items():
        done.append(run_check(what, check))
        if progress:
            progress(done[-1])
        if not done[-1].passed and what in ("spec", "keys"):
            break
    return Verification(name, tuple(done))


def full_state(graph: Graph, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights of a file in the order of the state_dict, with the counters that ONNX has no place for."""
    return {
        key: weights[key] if key in weights else torch.zeros(shape, dtype=torch.int64)
        for key, shape in graph.state_dict().items()
    }


def _compare(graph: Graph, path: str, weights: Mapping[str, torch.Tensor]) -> str:
    """Run the spec's module and the file on the same inputs. Raises: Disagreement where their outputs differ."""
    try:
        import onnxruntime  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        raise Disagreement("onnxruntime is not installed: pip install 'archspec-nn[onnx]'") from None
    check_size(graph, "cpu")
    with torch.device("meta"):
        module = build_module(graph)
    module = module.to_empty(device="cpu")
    module.load_state_dict(full_state(graph, weights), assign=True)
    trial = prepare(graph, module.eval(), fit=False)
    try:
        options = onnxruntime.SessionOptions()
        # The levels above it fuse layers into kernels that round more coarsely: ViT-B/16 is off seven times as far.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [each.name for each in session.get_inputs()]
        batch = session.get_inputs()[0].shape[0]
        size = batch if isinstance(batch, int) and batch > 0 else len(trial.inputs[0])
        runs = list(zip(*(torch.split(each, size) for each in trial.inputs), strict=True))
        parts = [session.run(None, dict(zip(names, map(_array, run), strict=True))) for run in runs]
    except Exception as error:  # onnxruntime's errors have no public class
        raise UsageError(f"onnxruntime cannot run {path}: {reason(error)}") from error
    furthest = trial.compare(
        [torch.cat([torch.from_numpy(each) for each in column]) for column in zip(*parts, strict=True)]
    )
    return f"onnxruntime {onnxruntime.__version__} is off by {furthest:.1e} of their norm{trial.remarks}"


def _array(tensor: torch.Tensor) -> Any:
    return tensor.detach().numpy()
