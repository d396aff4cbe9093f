"""How well generated source reads: what a person would not have written, counted.

    python benchmarks/source_quality.py [WHAT ...] [--findings [MEASURE]] [--files] [--without-tools] [--json FILE]

WHAT is `zoo`, a folder of specs, a spec's path or name, or `random:FROM-TO`, the networks of these seeds; without any,
the zoo, `tests/specs/unseen` and `random:0-200`. Each is a column of the table; a row is a measure of
`source_measures.py`, sorted into sixteen kinds. ruff and `mypy --strict` run once over all files together.

Exit status 1 where something occurs that must not: those rows have a `!`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from source_measures import MEASURES, Source
from source_measures.forms import LINE_LENGTH
from source_measures.source import letters

import archspec

ROOT = Path(__file__).resolve().parent.parent
UNSEEN = "tests/specs/unseen"
RULES = "E,F,B,C4,SIM,RET,PIE,PERF,UP,N"
RUFF = ["ruff", "check", "--isolated", "--select", RULES, "--line-length", str(LINE_LENGTH), "--output-format", "json"]
MYPY = ["mypy", "--strict", "--no-error-summary", "--hide-error-context", "--no-color-output"]
TOOLS = {"ruff": f"findings of ruff ({RULES})", "mypy": "errors of mypy --strict"}


class Finding(NamedTuple):
    """One occurrence of what a measure counts."""

    column: str
    file: str
    measure: str
    line: int
    text: str


# What is generated.


def networks(what: str) -> Iterator[archspec.Network]:
    """Yield the networks that an argument of the command stands for."""
    seeds = re.fullmatch(r"random:([0-9]+)-([0-9]+)", what)
    if seeds:
        sys.path.insert(0, str(ROOT / "tests"))
        from random_specs import random_spec

        for seed in range(int(seeds[1]), int(seeds[2])):
            yield archspec.loads(random_spec(seed), name=f"random_{seed}.yaml")
    elif what == "zoo":
        yield from map(archspec.load, archspec.list_specs())
    elif os.path.isdir(what):
        yield from (archspec.load(str(path)) for path in sorted(Path(what).glob("*.yaml")))
    else:
        yield archspec.load(what)


def sources(what: str) -> Iterator[Source]:
    """Yield the generated files of the networks that an argument stands for, each under a name of its own."""
    taken: Counter[str] = Counter()
    for network in networks(what):
        stem = os.path.splitext(os.path.basename(network.document.source.name))[0]
        name = f"{re.sub('[^A-Za-z0-9]+', '_', what)}__{re.sub('[^A-Za-z0-9]+', '_', stem)}"
        taken[name] += 1
        yield Source(name if taken[name] == 1 else f"{name}_{taken[name]}", archspec.generate(network), network)


# What is found.


def measured(column: str, files: Iterable[Source]) -> Iterator[Finding]:
    """Yield what the measures find in files."""
    for source in files:
        for measure in MEASURES.values():
            for hit in measure.find(source):
                yield Finding(column, source.name, measure.name, hit.line, hit.text)


def linted(columns: dict[str, list[Source]], tools: Iterable[str] = tuple(TOOLS)) -> Iterator[Finding]:
    """Yield what ruff and mypy find in files, which are written to a folder for them."""
    by_file = {source.name: (column, source) for column, files in columns.items() for source in files}
    with tempfile.TemporaryDirectory() as folder:
        for source in (source for _, source in by_file.values()):
            Path(folder, f"{source.name}.py").write_text(source.text, encoding="utf-8")
        for tool in tools:
            for stem, line, text in _ruff(folder) if tool == "ruff" else _mypy(folder):
                column, source = by_file[stem]
                if not (tool == "ruff" and _is_given(source, text)):
                    yield Finding(column, stem, tool, line, text)


def _is_given(source: Source, text: str) -> bool:
    """Return whether ruff objects to how a name is spelled that is the spec's, or torch's own `functional as F`."""
    match = re.match(r"(?:N8[0-9]+|E741) .*?`(\w+)`", text)
    known = {"functional", *map(letters, (*source.given, source.network.name if source.network else ""))}
    return match is not None and letters(match[1]) in known


def _ruff(folder: str) -> Iterator[tuple[str, int, str]]:
    run = subprocess.run([sys.executable, "-m", *RUFF, folder], capture_output=True, text=True, check=False)
    if run.returncode not in (0, 1):
        raise SystemExit(f"ruff failed: {run.stderr}")
    for found in json.loads(run.stdout):
        yield Path(found["filename"]).stem, found["location"]["row"], f"{found['code']} {found['message']}"


def _mypy(folder: str) -> Iterator[tuple[str, int, str]]:
    command = [sys.executable, "-m", *MYPY, "--cache-dir", str(ROOT / ".mypy_cache"), folder]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if run.returncode not in (0, 1):
        raise SystemExit(f"mypy failed: {run.stdout}{run.stderr}")
    for text in run.stdout.splitlines():
        match = re.match(r"(.+?)\.py:([0-9]+): error: (.*)", text)
        if match:
            yield Path(match[1]).stem, int(match[2]), match[3]


# What is printed.


def rows(with_tools: bool) -> dict[str, tuple[str, bool]]:
    """Return the rows of the table by name, in order: what they count, and whether it must not occur."""
    found = {
        measure.name: (f"{measure.row or '':>2}  {measure.name}: {measure.about}", measure.must_be_zero)
        for measure in sorted(MEASURES.values(), key=lambda measure: measure.row or 99)
    }
    if with_tools:
        found.update({name: (f"    {name}: {about}", True) for name, about in TOOLS.items()})
    return found


def table(titles: list[str], lines: dict[str, tuple[str, bool]], counts: Counter[tuple[str, str]]) -> str:
    """Return the counts as text, a line for each row; `!` where something must not occur and does."""
    width = max(len(text) for text, _ in lines.values())
    widths = [max(len(title), 7) for title in titles]
    head = " " * (width + 2) + "  ".join(title.rjust(size) for title, size in zip(titles, widths, strict=True))
    found = [head]
    for name, (text, must_be_zero) in lines.items():
        cells = [counts[name, title] for title in titles]
        mark = "!" if must_be_zero and any(cells) else " "
        figures = "  ".join(f"{cell:,}".rjust(size) for cell, size in zip(cells, widths, strict=True))
        found.append(f"{mark} {text.ljust(width)}{figures}")
    return "\n".join(found)


def by_file(findings: list[Finding], columns: dict[str, list[Source]], lines: dict[str, tuple[str, bool]]) -> str:
    """Return a line for each file: its lines, and what is found in it that must not occur."""
    found = []
    for files in columns.values():
        for source in files:
            counts = Counter(finding.measure for finding in findings if finding.file == source.name)
            wrong = [
                f"{name} {counts[name]}" for name, (_, must_be_zero) in lines.items() if must_be_zero and counts[name]
            ]
            found.append(f"{source.name}: {counts['lines']} lines; {', '.join(wrong) or 'nothing'}")
    return "\n".join(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", default=["zoo", str(ROOT / UNSEEN), "random:0-200"])
    parser.add_argument("--findings", nargs="?", const="", metavar="MEASURE", help="list what was found")
    parser.add_argument("--files", action="store_true", help="a line for each file")
    parser.add_argument("--without-tools", action="store_true", help="without ruff and mypy, which take a minute")
    parser.add_argument("--json", metavar="FILE", help="write the counts and what was found here")
    options = parser.parse_args()

    columns = {what: list(sources(what)) for what in options.what}
    findings = [finding for what, files in columns.items() for finding in measured(what, files)]
    if not options.without_tools:
        findings += linted(columns)
    lines = rows(not options.without_tools)
    counts = Counter((finding.measure, finding.column) for finding in findings)

    if options.findings is not None:
        for finding in findings:
            if finding.measure == options.findings or (not options.findings and lines[finding.measure][1]):
                print(f"{finding.file}:{finding.line}: {finding.measure}: {finding.text}")
    if options.files:
        print(by_file(findings, columns, lines))
    titles = {what: f"{Path(what).name} ({len(files)})" for what, files in columns.items()}
    print(table(list(titles.values()), lines, Counter({(m, titles[c]): n for (m, c), n in counts.items()})))
    if options.json:
        listed = [finding._asdict() for finding in findings if finding.measure != "lines"]
        figures = {name: {what: counts[name, what] for what in columns} for name in lines}
        Path(options.json).write_text(json.dumps({"counts": figures, "findings": listed}, indent=1), encoding="utf-8")
    sys.exit(any(must_be_zero and counts[name, what] for name, (_, must_be_zero) in lines.items() for what in columns))


if __name__ == "__main__":
    main()
