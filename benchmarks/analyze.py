"""How fast `archspec analyze` is, beside bare Python and the tools that answer the same question.

    python benchmarks/analyze.py [--runs 15] [--json FILE]

Whole processes, interleaved run by run, so that whatever else the machine does strikes all alike; medians. torchinfo
(with torchvision) and onnx's shape inference join in where they are installed; the latter reads files without weights,
whose export is not counted. Then, within one process, load and analyse after the first time; then chains of up to
100,000 steps.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

NETWORKS = ("resnet18", "vgg16", "efficientnet_b0", "resnet152")
LENGTHS = (1_000, 10_000, 100_000)

HERE = os.path.dirname(os.path.abspath(__file__))
TORCHINFO = """
import sys, torchinfo
sys.path.insert(0, {here!r})
from rivals import torchvision
torchinfo.summary(torchvision().models.{network}(), (1, 3, 224, 224), verbose=0)
"""
ONNX = "import onnx; onnx.shape_inference.infer_shapes(onnx.load({!r}, load_external_data=False))"
SPLIT = """
import onnx
model = onnx.load({path!r})
onnx.save_model(model, {path!r}, save_as_external_data=True, location={location!r}, size_threshold=0)
"""
WITHIN = """
import time, archspec
archspec.analyze({name!r})
times = []
for _ in range({runs}):
    start = time.perf_counter()
    archspec.analyze({name!r})
    times.append(time.perf_counter() - start)
print(*times)
"""


def installed(*modules: str) -> bool:
    """Whether all these modules are there."""
    return all(importlib.util.find_spec(module) for module in modules)


def run(command: list[str]) -> tuple[float, float]:
    """Seconds that a process took, and its peak memory in MiB."""
    # An installed package has its bytecode; a checkout gets it at the first run, if this does not forbid it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} failed")
    return seconds, usage.ru_maxrss / 1024


def export(network: str, folder: str) -> str:
    """An ONNX file of a network, its weights in another file."""
    path = os.path.join(folder, f"{network}.onnx")
    command = [sys.executable, "-m", "archspec", "export", network, "--onnx", path]
    subprocess.run(command, check=True, capture_output=True)
    # In a process of its own: one that was forked from a large one would count its memory as its own.
    subprocess.run([sys.executable, "-c", SPLIT.format(path=path, location=f"{network}.data")], check=True)
    return path


def commands(folder: str) -> dict[str, list[str]]:
    """What is compared, by name; files for it go to `folder`."""
    python = sys.executable
    found = {"python -c pass": [python, "-c", "pass"]}
    for network in NETWORKS:
        found[f"archspec analyze {network}"] = [python, "-m", "archspec", "analyze", network]
        if installed("torchinfo", "torchvision"):
            found[f"torchinfo {network}"] = [python, "-c", TORCHINFO.format(here=HERE, network=network)]
        if installed("onnx", "onnxscript", "torch"):
            found[f"onnx.shape_inference {network}"] = [python, "-c", ONNX.format(export(network, folder))]
    return found


def compare(runs: int, folder: str) -> list[dict[str, object]]:
    """Whole processes, interleaved."""
    wanted = commands(folder)
    seconds: dict[str, list[float]] = {name: [] for name in wanted}
    memory = dict.fromkeys(wanted, 0.0)
    for command in wanted.values():
        run(command)  # the first run compiles bytecode and fills the file cache
    for _ in range(runs):
        for name, command in wanted.items():
            took, peak = run(command)
            seconds[name].append(took)
            memory[name] = max(memory[name], peak)
    return [
        {
            "what": name,
            "median_ms": statistics.median(times) * 1e3,
            "min_ms": min(times) * 1e3,
            "peak_mib": memory[name],
        }
        for name, times in seconds.items()
    ]


def within(runs: int) -> list[dict[str, object]]:
    """`archspec.analyze` in a process that has done it once."""
    rows: list[dict[str, object]] = []
    for name in ("resnet18", "efficientnet_b7"):
        code = WITHIN.format(name=name, runs=runs)
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        times = [float(word) * 1e3 for word in out.split()]
        rows.append(
            {"what": f"archspec.analyze({name!r})", "median_ms": statistics.median(times), "min_ms": min(times)}
        )
    return rows


def chains(runs: int, folder: str) -> list[dict[str, object]]:
    """Networks that are one long chain of written-out steps."""
    rows: list[dict[str, object]] = []
    for length in LENGTHS:
        path = os.path.join(folder, f"chain_{length}.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write("input: [8, 4, 4]\nlayers:\n" + "  - relu\n" * min(length, 95_000))
            if length > 95_000:  # a spec is at most 1 MiB of text
                file.write("  - relu: {repeat: " + str(length - 95_000) + "}\n")
        results = [run([sys.executable, "-m", "archspec", "analyze", path, "--depth", "1"]) for _ in range(runs)]
        median = statistics.median(seconds for seconds, _ in results) * 1e3
        peak = max(peak for _, peak in results)
        rows.append({"what": f"chain of {length:,} steps", "median_ms": median, "peak_mib": peak})
    return rows


def show(title: str, rows: list[dict[str, object]]) -> None:
    """Print measured rows."""
    print(f"\n{title}")
    for row in rows:
        figures = "  ".join(f"{key} {value:10.1f}" for key, value in row.items() if key != "what")
        print(f"  {row['what']:<40}{figures}")


def report(results: dict[str, list[dict[str, object]]], path: str | None) -> None:
    """Print the measured rows, and write them to the file `path` too, if it is given."""
    for title, rows in results.items():
        show(title, rows)
    if path:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", metavar="FILE", help="write the figures here too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = {
            "whole processes, interleaved": compare(options.runs, folder),
            "in process, after the first": within(options.runs),
            "long chains, whole processes": chains(max(3, options.runs // 5), folder),
        }
    report(results, options.json)


if __name__ == "__main__":
    main()
