"""Build modules that are ready to run: on their device, in their dtype, compiled and frozen if asked for.

torch is imported when something is built, not before.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Union

from archspec.backends.extras import need, reason
from archspec.errors import Diagnostic, SpecError, UsageError, did_you_mean
from archspec.graph import Graph, Node
from archspec.network import InputShapes, load, together
from archspec.shapes import elements

if TYPE_CHECKING:
    import torch
    from torch import fx, nn

    from archspec.backends.module import HasGraph

Spec = Union[str, "os.PathLike[str]", "HasGraph", Graph]

DTYPES = ("float32", "float64", "float16", "bfloat16")
MEMORY_FORMATS = ("contiguous", "channels_last")
MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
COMPILERS = ("aot_eager", "inductor", "none")
"""What `verify` may compile with."""


def build(
    spec: Spec,
    /,
    *,
    input: InputShapes | None = None,
    features: Iterable[str] | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    memory_format: str | None = None,
    compile: bool | str = False,
    freeze: bool = False,
    init: str = "spec",
    inplace: bool = True,
    params: Mapping[str, Any] | None = None,
    **named: Any,
) -> nn.Module:
    """Build the torch module of a spec.

    Initial weights are drawn from torch's generator, as every constructor of torch does: `torch.manual_seed` before
    the call makes them the same. Of a file of `save_weights` this takes the network only; `load_weights` takes the
    weights.

    Args:
        spec: A path, a name of the zoo, or a network that is loaded already.
        input: Another input shape, as in `load`.
        features: Steps whose values forward returns, as a dict by these names: `["layer2", "layer4"]`. What they do
            not need is left out.
        device: Any of torch's, `meta` included. By default torch's own default; of a compiled network the GPU, where
            there is one.
        dtype: One of `DTYPES`.
        memory_format: One of `MEMORY_FORMATS`.
        compile: Compile the network as one graph when it is first called (`nn.Module.compile`: the keys of its
            state_dict stay as they are). True, or one of torch's modes such as "max-autotune". If the compiler fails,
            as inductor does without a C++ compiler, a RuntimeWarning says so, and the network runs eagerly.
        freeze: Make the weights constants of the compiled code, which is then faster. For inference only: the module
            is in evaluation mode, computes no gradients, and keeps the weights that it has at its first call.
        init: "spec" for initial weights as the spec's `init:` draws them, "torch" for torch's own defaults.
        inplace: Let activations write over what they read, where nothing else reads it. Without it, hooks on other
            layers see what these returned, and may be full backward hooks.
        params: Params that override those of the spec, as in `load`.
        named: The same by name.

    Returns:
        A module whose forward takes `(N, *input)` and returns the output: a tensor, or a dict by name where the network
        has several. Outputs for training (`when: training`) are in that dict in training mode, and evaluation skips
        them. It is in training mode, as torch's own are, unless it is frozen.

    Raises:
        SpecError: The spec is wrong, or the network too large for the memory.
        UsageError: The call is wrong, or torch is missing.
    """
    graph = graph_of(spec, input, together(params, named))
    need("torch")
    import torch

    from archspec.backends.module import build_module

    if device is None and compile:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    target = device_of(device)
    wanted_dtype = _dtype(dtype)
    wanted_format = _memory_format(memory_format, graph)
    mode = _mode(compile)
    if freeze and mode is None:
        raise UsageError("freeze: only a compiled network can be frozen", "compile=True")
    check_size(graph, target.type)
    with target:
        module = build_module(graph, features=features, init=init, inplace=inplace, own_class=mode is not None)
    if wanted_dtype is not None:
        module = module.to(dtype=wanted_dtype)
    if wanted_format is not None:
        module = module.to(memory_format=wanted_format)  # type: ignore[call-overload]
    if mode is not None:
        module.compile(fullgraph=True, backend=_inductor_or_eager(mode))
    if freeze:
        module.eval()._compiled_call_impl = _Frozen(module)
    return module


def compile(spec: Spec, /, **options: Any) -> nn.Module:
    """Build the network of a spec compiled as one graph, on the GPU where there is one: `build(..., compile=True)`.

    `freeze=True` makes a network for inference, whose weights are constants of the compiled code.
    """
    return build(spec, **{"compile": True, **options})


def graph_of(spec: Spec, input: InputShapes | None = None, params: Mapping[str, Any] | None = None) -> Graph:
    """Return the graph of a spec with its overrides, or of a loaded network. Raises: as `archspec.load`."""
    if isinstance(spec, (str, os.PathLike)):
        return load(spec, input=input, params=params).graph
    if params or input is not None:
        given = ", ".join([*(params or ()), *(["input"] if input is not None else [])])
        raise UsageError(f"{given}: a loaded network has its params and its input", "give them to `archspec.load`")
    return spec if isinstance(spec, Graph) else spec.graph


def check_size(graph: Graph, device: str, itemsize: int = 4) -> None:
    """Check that a network can be built on a kind of device, with `itemsize` bytes a number.

    No tensor may have 2**63 bytes, which torch could not count. The weights together, and each single value for one
    sample, must fit into the memory; `meta` has no such limit.

    Raises:
        SpecError: The network is too large.
    """
    largest: Node | None = None
    total = most = 0
    for node in graph.nodes:
        weights = node.op.params + node.op.buffer_elements if node.weights_of is None else 0
        if max(weights, elements(node.shape)) * itemsize >= 2**63:
            raise _too_large(node, "a tensor of this step has 2**63 bytes or more: torch cannot hold it")
        if weights > most:
            largest, most = node, weights
        total += weights
    memory = _memory(device)
    if memory is None:
        return
    if largest is not None and total * itemsize > memory:
        text = f"the weights take {_bytes(total * itemsize)}, most of it in this step, of {_bytes(memory)} memory"
        raise _too_large(largest, text)
    for node in graph.nodes:
        if elements(node.shape) * itemsize > memory:
            text = f"its output takes {_bytes(elements(node.shape) * itemsize)} a sample, of {_bytes(memory)} memory"
            raise _too_large(node, text)


def _too_large(node: Node, text: str) -> SpecError:
    return SpecError(Diagnostic("limit", f"{node.path}: {text}", node.span, help="`archspec analyze` counts it"))


def _memory(device: str) -> int | None:
    """Return the bytes of memory of a kind of device; None if unknown or without limit."""
    import torch

    if device == "cuda" and torch.cuda.is_available():
        return torch.cuda.mem_get_info()[1]
    if device != "cpu":
        return None
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 2**40  # where the system does not say: more than its like has


def _bytes(count: int) -> str:
    return f"{count / 2**30:,.1f} GiB"


# The words of the call.


def device_of(device: str | torch.device | None) -> torch.device:
    """Return a device that exists; for None torch's default.

    Raises:
        UsageError: The device is unknown or missing.
    """
    import torch

    if device is None:
        return torch.empty(0).device  # torch's default, which the caller may have set
    try:
        found = torch.device(device)
        if found.type != "meta":
            torch.empty(0, device=found)  # whether it is there
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(f"the device {device} cannot be used: {reason(error)}", "cpu, cuda or meta") from None
    return found


def _dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    import torch

    if dtype is None:
        return None
    known = {name: getattr(torch, name) for name in DTYPES}
    if dtype in known.values():
        return dtype  # type: ignore[return-value]
    if dtype not in known:
        raise UsageError(f"unknown dtype {dtype!r}", did_you_mean(str(dtype), known))
    return known[str(dtype)]  # type: ignore[no-any-return]


def _memory_format(name: str | None, graph: Graph) -> torch.memory_format | None:
    import torch

    if name is None or name == "contiguous":
        return None
    if name != "channels_last":
        raise UsageError(f"unknown memory_format {name!r}", did_you_mean(str(name), MEMORY_FORMATS))
    axes = max(len(shape) for shape in graph.inputs.values())
    return torch.channels_last_3d if axes == 4 else torch.channels_last


def _mode(compile: bool | str) -> str | None:
    if isinstance(compile, bool):
        return "default" if compile else None
    if compile not in MODES:
        raise UsageError(f"unknown mode of compile {compile!r}", did_you_mean(str(compile), MODES))
    return compile


def _inductor_or_eager(mode: str) -> Callable[[fx.GraphModule, list[Any]], Callable[..., Any]]:
    """Return a backend of `torch.compile`: inductor, or if that fails, the graph as it is and a RuntimeWarning."""

    def compiled(module: fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        try:
            from torch._inductor import list_mode_options
            from torch._inductor.compile_fx import compile_fx

            return compile_fx(module, inputs, config_patches=list_mode_options(mode))  # type: ignore[return-value]
        except Exception as error:  # whatever is wrong with the compiler, the network itself can run
            help = "inductor needs a C++ compiler, g++ or clang++, and for the GPU also triton"
            warnings.warn(f"not compiled, runs eagerly: {reason(error)} ({help})", RuntimeWarning, stacklevel=2)
            return module.forward

    return compiled


class _Frozen:
    """The call of a compiled module whose weights are constants of the compiled code, for inference only.

    torch.compile has to trace the module, which it does in a call, while `freezing` is set: then weights are not inputs
    of the graph. torch ignores the setting where gradients are enabled.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.call = module._compiled_call_impl
        self.tensors: list[torch.Tensor] = []
        self.version = 0

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        import torch
        from torch._inductor import config

        if self.module.training:
            message = "this network is frozen for inference: its weights are constants of the compiled code"
            raise UsageError(message, "`model.eval()`, or build it without `freeze` to train it")
        if torch.is_grad_enabled() and any(getattr(x, "requires_grad", False) for x in (*inputs, *named.values())):
            raise UsageError("a frozen network computes no gradients", "build it without `freeze` for these")
        if not self.tensors:
            self.tensors = [tensor for tensor in self.module.state_dict().values() if not tensor.is_inference()]
            self.version = self._version()
        elif self._version() != self.version:
            message = "the weights of this frozen network have changed since its first call"
            raise UsageError(message, "load the weights before the first call, or build it anew")
        assert self.call is not None
        with torch.no_grad(), config.patch(freezing=True):
            return self.call(*inputs, **named)

    def _version(self) -> int:
        return sum(tensor._version for tensor in self.tensors)
