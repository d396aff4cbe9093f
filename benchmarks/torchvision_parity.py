"""archspec's networks against torchvision's own: the same logits, and how fast both run.

    python benchmarks/torchvision_parity.py [--how eager] [--device cuda] [--dtype bfloat16] [--batch 32] [--json FILE]

Needs torchvision (and timm, for MobileNet V1). Runs unattended, network by network:

1. The lowered module is given weights under which every layer shows (`archspec.backends.numerics`); they are loaded
   strictly into torchvision's module. Where an output hides something, the network is not called equal.
2. Logits of both, in eager mode, float32, on the CPU: `torch.equal`, not nearly.
3. Both are timed on the device, run by run in turn; medians. `--how compiled`: with the same settings of
   torch.compile. `eager`: as they are, and ours also with no activation in place. `frozen`: ours compiled, with the
   weights as constants or not.

A network that differs makes the exit status 1.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from rivals import torchvision
from torch import nn

import archspec
from archspec.backends.numerics import named, prepare
from archspec.graph import Graph

TORCHVISION = {
    "alexnet_torchvision": "alexnet",
    **{name: name for name in ("googlenet", "inception_v3", "squeezenet1_0", "mobilenet_v2", "wide_resnet50_2")},
    **{name: name for depth in (11, 13, 16, 19) for name in (f"vgg{depth}", f"vgg{depth}_bn")},
    **{name: name for name in (f"resnet{depth}" for depth in (18, 34, 50, 101, 152))},
    **{name: name for name in (f"efficientnet_b{number}" for number in range(8))},
}
TIMM = {"mobilenet_v1": "mobilenetv1_100"}


def reference(name: str) -> nn.Module | None:
    """The network of the other library, with random weights; None where the library is not installed."""
    try:
        models = torchvision().models
        if name in TIMM:
            import timm  # which imports torchvision

            return timm.create_model(TIMM[name])
        more = {"googlenet": {"aux_logits": False, "init_weights": True}, "inception_v3": {"init_weights": False}}
        options = more.get(name, {})
        return models.get_model(TORCHVISION[name], weights=None, **options)
    except ImportError:
        return None


def equal_logits(ours: nn.Module, theirs: nn.Module, graph: Graph) -> bool:
    """Load weights under which every layer shows into both, and compare the bits that they give in eager mode."""
    trial = prepare(graph, ours)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    with torch.inference_mode():
        found = named(theirs.eval()(*trial.inputs), trial.outputs)
    return not trial.blind and all(torch.equal(found[name], value) for name, value in trial.outputs.items())


def interleaved(runs: dict[str, Callable[[], object]], count: int, synchronize: Callable[[], None]) -> dict[str, float]:
    """Median seconds of each, run in turn."""
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


def candidates(network: archspec.Network, ours: nn.Module, theirs: nn.Module, how: str) -> dict[str, nn.Module]:
    """What is timed, by name."""

    def another(**settings: Any) -> nn.Module:
        found = archspec.build(network, device="cpu", **settings)
        found.load_state_dict(ours.state_dict())
        return found

    if how == "eager":
        return {"archspec": ours, "not in place": another(inplace=False), "reference": theirs}
    if how == "frozen":
        return {"frozen": another(compile=True, freeze=True), "compiled": another(compile=True)}
    for module in (ours, theirs):
        module.compile(fullgraph=True)
    return {"archspec": ours, "reference": theirs}


def throughput(modules: dict[str, nn.Module], shape: tuple[int, ...], options: argparse.Namespace) -> dict[str, float]:
    """Images a second of each module."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=[*TORCHVISION, *TIMM])
    parser.add_argument("--how", choices=("compiled", "eager", "frozen"), default="compiled")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--no-speed", action="store_true", help="compare logits only")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    for name in options.networks:
        theirs = reference(name)
        if theirs is None:
            print(f"{name}: not compared, the library it is held against is not installed")
            continue
        network = archspec.load(name)
        ours = archspec.build(network)
        shape = next(iter(network.graph.inputs.values()))
        row: dict[str, object] = {"network": name, "equal": equal_logits(ours, theirs, network.graph)}
        if not options.no_speed:
            torch.compiler.reset()
            row.update(throughput(candidates(network, ours, theirs, options.how), shape, options))
        rows.append(row)
        print(
            "  ".join(
                f"{key} {value:.1f}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()
            ),
            flush=True,
        )
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
    sys.exit(0 if rows and all(row["equal"] for row in rows) else 1)


if __name__ == "__main__":
    main()
