"""Import networks of torchvision or timm, prove each, and tell what stood in the way of the others.

    python benchmarks/import_coverage.py torchvision torchvision-segmentation torchvision-video
    python benchmarks/import_coverage.py timm --sample 200 --seed 0 --processes 2
    python benchmarks/import_coverage.py timm:convnext_tiny torchvision:resnet50

A network is `proved` if its spec has the source's keys and shapes, its params and MACs, and its outputs; `flat` if only
the form without blocks passed the proof. Beside the name stand the lines of the spec and the seconds that it took.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from types import FrameType

LIMIT = 120
"""Seconds for a network."""


def names_of(source: str) -> Iterator[str]:
    """Yield the networks that an argument names."""
    from rivals import torchvision

    torchvision()
    if source.startswith("torchvision") and ":" not in source:
        from torchvision import models

        module = getattr(models, source.partition("-")[2]) if "-" in source else models
        yield from (f"torchvision:{name}" for name in models.list_models(module=module))
    elif source in ("timm", "timm-families"):
        import timm

        if source == "timm":
            yield from (f"timm:{name}" for name in timm.list_models())
        else:
            for module in timm.list_modules():
                found = timm.list_models(module=module)
                if found:
                    yield f"timm:{min(found, key=lambda name: (len(name), name))}"
    else:
        yield source


def _too_long(_signal: int, _frame: FrameType | None) -> None:
    raise TimeoutError


def imported(task: tuple[str, bool]) -> tuple[str, str, int, float, str]:
    """Import one network; return its name, what came of it, lines, seconds, and the cause of a failure."""
    source, outputs = task
    import torch

    from archspec.errors import SpecError, UsageError
    from archspec.importing.imported import Options, import_source

    torch.set_num_threads(1)
    start = time.perf_counter()
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LIMIT)
    try:
        found = import_source(source, Options(outputs=outputs))
    except TimeoutError:
        return source, "failed", 0, time.perf_counter() - start, f"more than {LIMIT} s"
    except (SpecError, UsageError) as error:
        first = error.diagnostics[0].message if isinstance(error, SpecError) else str(error)
        return source, "failed", 0, time.perf_counter() - start, first
    except Exception as error:  # what an import raises besides is a finding
        return source, "failed", 0, time.perf_counter() - start, f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    seconds = time.perf_counter() - start
    lines = found.text.count("\n")
    if found.proved:
        return source, "flat" if found.flat else "proved", lines, seconds, ""
    failed = next(check for check in found.proof.checks if not check.passed)
    return source, "failed", lines, seconds, f"{failed.name}: {failed.detail}"


def cause(text: str) -> str:
    """Return the cause of a failure without what differs from network to network."""
    text = re.sub(r" in [\w.]+ \([\w.]+:\d+\)", "", text.splitlines()[0])
    return re.sub(r"`[\w.]*\d[\w.]*`|\d[\d,.x]*", "_", text)[:110]


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--sample", type=int, help="so many of them, drawn at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--no-run", action="store_true", help="compare no outputs")
    given = parser.parse_args()
    names = [name for source in given.sources for name in names_of(source)]
    if given.sample:
        names = sorted(random.Random(given.seed).sample(names, min(given.sample, len(names))))
    counts: Counter[str] = Counter()
    causes: dict[str, list[str]] = {}
    tasks = [(name, not given.no_run) for name in names]
    with multiprocessing.get_context("spawn").Pool(given.processes, maxtasksperchild=20) as pool:
        for name, state, lines, seconds, why in pool.imap(imported, tasks):
            counts[state] += 1
            print(f"{name:48} {state:7} {lines or '':>5} {seconds:6.1f} s  {why.splitlines()[0][:200] if why else ''}")
            sys.stdout.flush()
            if why:
                causes.setdefault(cause(why), []).append(name)
    total = sum(counts.values())
    good = counts["proved"] + counts["flat"]
    print(f"\n{good} of {total} proved ({good / total:.1%}), {counts['flat']} of them flat")
    for text, where in sorted(causes.items(), key=lambda entry: -len(entry[1])):
        print(f"{len(where):5}  {text}  ({', '.join(where[:3])}{', ...' if len(where) > 3 else ''})")
    return 0 if good == total else 1


if __name__ == "__main__":
    raise SystemExit(main())
