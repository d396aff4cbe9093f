"""Compare the zoo with torchvision's classification networks: figures, keys and logits, and how fast both run.

    python benchmarks/torchvision_parity.py [NETWORK]... [--how eager] [--device cuda] [--dtype bfloat16] [--batch 32]

Without NETWORK it takes all of `tests/reference/torchvision.csv`, one after another, and ends with `N of 80`. A column:

initial  How many parameters of both, constructed from one seed, are the same bits. It makes no network unequal.
figures  Params, kept buffers, 2 x MACs, input, and the names and shapes of the state_dict are those of the table.
         That needs neither torch nor torchvision.
keys     The state_dict has torchvision's keys, in the same order.
logits   With torchvision's own random weights both give the same bits: `torch.equal`, eager, float32, on the CPU.
layers   The same with weights under which every layer shows (`archspec.backends.numerics`), for with random weights
         the logits of a deep network hardly depend on what it computes. Where an output hides something, that is named.

Logits are those of small inputs where the network takes them (`--size`), else of its own size.

`--how` times both on the device as well, run by run in turn, and prints medians. `compiled`: with the same settings of
torch.compile. `eager`: as they are, and ours also with no activation in place. `frozen`: ours compiled, with the
weights as constants or not. `mobilenet_v1` is compared with timm's where it is named.

The exit status is 1 where a network differs; where torchvision is not installed, figures alone are compared.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import importlib.metadata
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import archspec

if TYPE_CHECKING:
    from torch import nn

TABLE = Path(__file__).parent.parent / "tests/reference/torchvision.csv"
SPECS = {"alexnet": "alexnet_torchvision"}
"""The spec of a network, where it is not called as in torchvision."""
TIMM = {"mobilenet_v1": "mobilenetv1_100"}
AUXILIARY = {"googlenet": "aux1.", "inception_v3": "AuxLogits."}
"""Networks with heads for training, which torchvision builds or not, and what the keys of these start with."""
COLUMNS = ("figures", "keys", "logits", "layers")
SEED = 0


def read_table() -> dict[str, dict[str, str]]:
    """Return the rows of the table, by the name of the network."""
    with open(TABLE, encoding="utf-8", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def digest(state_dict: Iterable[tuple[str, tuple[int, ...]]]) -> str:
    """Return the SHA-256 of keys and shapes as the table has it, one `key 64x3x7x7` a line."""
    lines = (f"{key} {'x'.join(map(str, shape))}" for key, shape in state_dict)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def figures_fault(network: archspec.Network, row: Mapping[str, str]) -> str:
    """Return in what a network's figures differ from those of the table; nothing where they are equal."""
    totals, state_dict = network.analyze().totals, network.graph.state_dict()
    found = {
        "input": " ".join("x".join(map(str, shape)) for shape in network.graph.inputs.values()),
        "params": str(totals.params),
        "buffer_elements": str(sum(map(math.prod, state_dict.values())) - totals.params),
        "flops_torch": str(2 * totals.macs),
        "keys": str(len(state_dict)),
        "sha256_of_sorted_keys_and_shapes": digest(sorted(state_dict.items())),
    }
    return "; ".join(
        f"{name}: expected {row[name]}, got {value}" for name, value in found.items() if value != row[name]
    )


def reference(name: str, graph: archspec.Graph) -> nn.Module:
    """Return the network of the other library, with random weights.

    Raises:
        ImportError: The library is not installed.
    """
    import torch
    from rivals import torchvision

    models = torchvision().models
    torch.manual_seed(SEED)
    if name in TIMM:
        import timm  # which imports torchvision

        return timm.create_model(TIMM[name]).eval()
    options: dict[str, Any] = {}
    if name in AUXILIARY:
        heads = any(key.startswith(AUXILIARY[name]) for key in graph.state_dict())
        options = {"aux_logits": heads, "init_weights": True}
    return models.get_model(name, weights=None, **options).eval()


def at_size(network: archspec.Network, name: str, size: int) -> archspec.Network:
    """Return a network for small inputs where it takes them with the same weights, else as it is."""
    shapes = list(network.graph.inputs.values())
    try:
        small = archspec.load(name, input=(shapes[0][0], size, size))
    except archspec.SpecError:
        return network
    return small if small.graph.state_dict() == network.graph.state_dict() else network


def keys_fault(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Return the first key that differs."""
    if list(ours) == list(theirs):
        return ""
    if set(ours) == set(theirs):
        left, right = next(pair for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1])
        return f"expected {right}, got {left} before it"
    return f"missing {sorted(set(theirs) - set(ours))[:3]}, not there {sorted(set(ours) - set(theirs))[:3]}"


def equal_weights(ours: nn.Module, theirs: nn.Module) -> str:
    """Return how many parameters of two modules that were constructed from one seed are equal: `62 of 62`."""
    import torch

    other = dict(theirs.named_parameters())
    equal = [name in other and torch.equal(value, other[name]) for name, value in ours.named_parameters()]
    return f"{sum(equal)} of {len(equal)}"


def compare_modules(network: archspec.Network, theirs: nn.Module) -> dict[str, str]:
    """Return what differs between a network and the other library's module, by column."""
    import torch

    from archspec.backends.numerics import named, prepare

    torch.manual_seed(SEED)
    ours = archspec.build(network).eval()
    faults = {"initial": equal_weights(ours, theirs), "keys": keys_fault(ours.state_dict(), theirs.state_dict())}
    shapes = list(network.graph.inputs.values())
    inputs = [torch.randn(2, *shape, generator=torch.Generator().manual_seed(SEED)) for shape in shapes]
    try:
        ours.load_state_dict(theirs.state_dict(), strict=True)
        with torch.inference_mode():
            left, right = (named(module(*inputs), network.graph.evaluation.outputs) for module in (ours, theirs))
            faults["logits"] = unequal(left, right)
        trial = prepare(network.graph, ours)
        state_dict = theirs.state_dict()  # with the versions of torchvision's modules
        state_dict.update(ours.state_dict())
        theirs.load_state_dict(state_dict, strict=True)
        with torch.inference_mode():
            faults["layers"] = unequal(trial.outputs, named(theirs(*trial.inputs), trial.outputs))
    except RuntimeError as error:  # torch's, where shapes do not fit
        return {"logits": "failed", "layers": str(error).splitlines()[0], **faults}
    if trial.blind and not faults["layers"]:
        faults["layers"] = trial.remarks()
    return faults


def unequal(left: Mapping[str, Any], right: Mapping[str, Any]) -> str:
    """Return the outputs that are not the same bits, and how far they lie apart."""
    import torch

    differing = [name for name in left if not torch.equal(left[name], right[name])]
    return ", ".join(f"{name} differs by {(left[name] - right[name]).abs().max():.1e}" for name in differing)


def interleaved(runs: dict[str, Callable[[], object]], count: int, synchronize: Callable[[], None]) -> dict[str, float]:
    """Return the median seconds of each, run in turn."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        for _ in range(5):
            run()
    for _ in range(count):
        for name, run in runs.items():
            synchronize()
            start = time.perf_counter()
            run()
            synchronize()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def candidates(network: archspec.Network, theirs: nn.Module, how: str) -> dict[str, nn.Module]:
    """Return what is timed, by name."""

    def build(**settings: Any) -> nn.Module:
        module = archspec.build(network, device="cpu", **settings)
        module.load_state_dict(theirs.state_dict())
        return module

    if how == "eager":
        return {"archspec": build(), "not in place": build(inplace=False), "reference": theirs}
    if how == "frozen":
        return {"frozen": build(compile=True, freeze=True), "compiled": build(compile=True)}
    modules = {"archspec": build(), "reference": theirs}
    for module in modules.values():
        module.compile(fullgraph=True)
    return modules


def throughput(modules: dict[str, nn.Module], shape: tuple[int, ...], options: argparse.Namespace) -> dict[str, float]:
    """Return the images a second of each module."""
    import torch

    device, dtype = torch.device(options.device), getattr(torch, options.dtype)
    layout = torch.contiguous_format if options.how == "eager" else torch.channels_last
    values = torch.rand(options.batch, *shape, device=device, dtype=dtype).contiguous(memory_format=layout)
    runs: dict[str, Callable[[], object]] = {}
    for name, module in modules.items():
        runs[name] = partial(module.to(device=device, dtype=dtype, memory_format=layout).eval(), values)  # type: ignore[call-overload]
    synchronize = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)
    with torch.no_grad():
        seconds = interleaved(runs, options.runs, synchronize)
    return {name: options.batch / second for name, second in seconds.items()}


def examine(name: str, row: Mapping[str, str] | None, options: argparse.Namespace) -> dict[str, Any]:
    """Return what differs in one network, by column, `equal`, and its throughput where that is asked for."""
    spec = SPECS.get(name, name)
    if spec not in archspec.list_specs():
        return {"network": name, "equal": False, "figures": "no spec"}
    network = archspec.load(spec)
    result: dict[str, Any] = {"network": name}
    if row:
        result["figures"] = figures_fault(network, row)
    try:
        theirs = reference(name, network.graph)
    except ImportError:
        theirs = None
    if theirs is not None:
        result.update(compare_modules(at_size(network, spec, options.size), theirs))
    result["equal"] = not any(result.get(column) for column in COLUMNS)
    if options.how and theirs is not None:
        import torch

        torch.compiler.reset()
        shape = next(iter(network.graph.inputs.values()))
        result.update(throughput(candidates(network, theirs, options.how), shape, options))
    return result


def versions() -> str:
    """Return which libraries are compared, as far as they are installed."""
    found = [f"archspec {archspec.__version__}"]
    for name in ("torchvision", "torch"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return ", ".join(found)


def line(result: Mapping[str, Any]) -> str:
    """Return the row of a result, faults below it."""
    cells = [f"{result['network']:<20}"]
    cells += [f"{result.get('initial', '-'):<10}"]
    cells += [f"{'-' if column not in result else 'no' if result[column] else 'equal':<7}" for column in COLUMNS]
    cells += [f"{name} {value:.1f}/s" for name, value in result.items() if isinstance(value, float)]
    faults = [f"\n    {column}: {result[column]}" for column in COLUMNS if result.get(column)]
    return "  ".join(cells).rstrip() + "".join(faults)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", help="names of torchvision's; default: all of the table")
    parser.add_argument("--size", type=int, default=64, help="height and width of the inputs whose logits are compared")
    parser.add_argument("--how", choices=("compiled", "eager", "frozen"), help="time both, too")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    table = read_table()
    unknown = [name for name in options.networks if name not in table and name not in TIMM]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    print(versions())
    print("  ".join([f"{'network':<20}", f"{'initial':<10}", *(f"{column:<7}" for column in COLUMNS)]).rstrip())
    results = []
    for name in options.networks or table:
        results.append(examine(name, table.get(name), options))
        print(line(results[-1]), flush=True)
    equal = sum(result["equal"] for result in results)
    compared = {column for result in results for column in COLUMNS if column in result}
    left_out = [column for column in COLUMNS if column not in compared]
    print(f"\n{equal} of {len(results)}" + (f"; not compared: {', '.join(left_out)}" if left_out else ""))
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1), encoding="utf-8")
    sys.exit(0 if equal == len(results) else 1)


if __name__ == "__main__":
    main()
