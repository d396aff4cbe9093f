"""How fast source is generated and modules are built, the latter beside torchvision's own constructors.

    python benchmarks/backends.py [--runs 15] [--json FILE]

`archspec generate` as whole processes, interleaved with `python -c pass`; then, in one process, `archspec.build` in
turn with torchvision's constructor and with that of the generated class. Medians.
"""

from __future__ import annotations

import argparse
import runpy
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from analyze import report, run

import archspec

SOURCES = ("vgg16", "resnet152", "googlenet", "efficientnet_b0")
MODULES = ("resnet50", "vgg11", "mobilenet_v2", "efficientnet_b0")


def generated_class(network: str) -> Callable[[], Any]:
    """The top class of the generated source."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{network}.py")
        path.write_text(archspec.generate(network), encoding="utf-8")
        names = runpy.run_path(str(path))
    found: Callable[[], Any] = [value for value in names.values() if isinstance(value, type)][-1]
    return found


def constructors(network: str) -> dict[str, Callable[[], Any]]:
    """What makes the module of a network, by name."""
    found: dict[str, Callable[[], Any]] = {
        f"archspec.build({network!r})": partial(archspec.build, network),
        f"  the generated {network}": generated_class(network),
    }
    try:
        from rivals import torchvision

        found[f"  torchvision's {network}"] = partial(torchvision().models.get_model, network, weights=None)
    except ModuleNotFoundError:
        pass
    return found


def rows(runs: int, actions: dict[str, Callable[[], float]]) -> list[dict[str, object]]:
    """Median and least milliseconds of each, run in turn after a first time that does not count."""
    for action in actions.values():
        action()
    taken: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(runs):
        for name, action in actions.items():
            taken[name].append(action() * 1e3)
    return [
        {"what": name, "median_ms": statistics.median(times), "min_ms": min(times)} for name, times in taken.items()
    ]


def timed(action: Callable[[], Any]) -> float:
    """Seconds that it takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", metavar="FILE", help="write the figures here too")
    options = parser.parse_args()
    python = sys.executable
    processes = {"python -c pass": [python, "-c", "pass"]}
    for network in SOURCES:
        processes[f"archspec generate {network}"] = [python, "-m", "archspec", "generate", network]
    results = {
        "whole processes, interleaved": rows(
            options.runs, {name: lambda command=command: run(command)[0] for name, command in processes.items()}
        )
    }
    for network in MODULES:
        actions = {name: partial(timed, action) for name, action in constructors(network).items()}
        results[f"building {network}, interleaved"] = rows(options.runs, actions)
    report(results, options.json)


if __name__ == "__main__":
    main()
