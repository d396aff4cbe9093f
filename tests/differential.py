"""Random networks through every path: spec, analysis, torch module, generated source, each held against the others.

    python tests/differential.py 0 10000        # seeds from .. to; failures are shrunk and written to tests/failures/

A failing spec is shrunk, line by line, to the smallest that still fails in the same check.
"""

from __future__ import annotations

import sys
from pathlib import Path

from random_specs import random_spec

import archspec
from archspec.backends.verify import verify

FAILURES = Path(__file__).parent / "failures"


def failed_checks(text: str) -> set[str]:
    """The names of the checks that fail for a spec; empty where all pass, or the spec is not valid (any more)."""
    try:
        network = archspec.loads(text)
    except archspec.SpecError:
        return set()
    return {check.name for check in verify(network, compiler="none").checks if not check.passed}


def shrink(text: str, check: str) -> str:
    """The spec with every line taken out that the failure of `check` can do without."""
    lines = text.splitlines()
    size = max(1, len(lines) // 2)
    while size:
        start = 0
        while start < len(lines):
            shorter = lines[:start] + lines[start + size :]
            if check in failed_checks("\n".join(shorter) + "\n"):
                lines = shorter
            else:
                start += size
        size //= 2
    return "\n".join(lines) + "\n"


def mismatches(seeds: range) -> list[str]:
    """What fails in the networks of these seeds, each with the file of the shrunk spec that reproduces it."""
    found: list[str] = []
    for seed in seeds:
        text = random_spec(seed)
        archspec.loads(text)  # a generated spec is valid
        failed = failed_checks(text)
        if failed:
            check = min(failed)
            FAILURES.mkdir(exist_ok=True)
            path = FAILURES / f"{check}_{seed}.yaml"
            path.write_text(shrink(text, check), encoding="utf-8")
            found.append(f"seed {seed}: {', '.join(sorted(failed))}; shrunk to {path}")
    return found


if __name__ == "__main__":
    first, last = map(int, sys.argv[1:3])
    total = 0
    for start in range(first, last, 100):
        for line in mismatches(range(start, min(start + 100, last))):
            total += 1
            print(line, flush=True)
        print(f"{min(start + 100, last) - first} networks, {total} mismatches", flush=True)
    sys.exit(1 if total else 0)
