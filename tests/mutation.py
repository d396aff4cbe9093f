"""Mutation testing: change the package a little, one place at a time, and see which changes no test notices.

    python tests/mutation.py archspec/analysis archspec/elaborate --sample 200 --seed 0

Prints each mutant that survived, and the share that the tests killed. Each mutant runs in a process of its own, forked
from one that has loaded torch and pytest, with the tests that `TESTS` names for its folder, the quick ones first; the
first failure ends it. `tests/equivalent_mutants.txt` lists mutants that no test can tell from the original, each with a
word why; they are left out.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.machinery
import os
import random
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
EQUIVALENT = Path(__file__).parent / "equivalent_mutants.txt"
TIMEOUT = 240
"""Seconds of the processor, not of the clock: a busy machine must not look like a killed mutant."""

SPEC_TESTS = ("language", "memo", "graph", "analysis", "header", "docs", "zoo", "reference", "errors")
OP_TESTS = ("analysis", "zoo", "reference", "language", "schema")
RANDOM = ("random_specs.py::test_valid[0-99]", "random_specs.py::test_mutated[0-199]")
TESTS: dict[str, tuple[str, ...]] = {
    "archspec/analysis": ("analysis", "graph", "zoo", "reference", "language", "cli", "errors"),
    "archspec/elaborate": (*SPEC_TESTS, *RANDOM),
    "archspec/expressions": ("expressions", *SPEC_TESTS, *RANDOM),
    "archspec/program": (*SPEC_TESTS, *RANDOM),
    "archspec/ops": ("ops", *OP_TESTS, "errors", "free", "attention", "initial_weights", "docs"),
    "archspec/shapes.py": ("ops", "analysis", "zoo", "reference"),
    "archspec/backends/numerics.py": ("numerics", "verify"),
    "archspec/backends/verify.py": ("verify", "faults"),
}
"""Which tests speak of a folder or file: `tests/test_NAME.py`, or a test in it."""


class Mutant(NamedTuple):
    """One change of one file."""

    path: Path
    number: int
    line: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}: {self.before}  ->  {self.after}"

    @property
    def key(self) -> str:
        """What tells it from others as long as the line stays as it is."""
        return f"{self.path.relative_to(ROOT)} | {self.before} | {self.after}"


# Changes.

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    one: other
    for pair in ((ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.Is, ast.IsNot), (ast.In, ast.NotIn))
    for one, other in (pair, pair[::-1])
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.Mult: ast.Add,
    **dict.fromkeys((ast.FloorDiv, ast.Div, ast.Mod, ast.Pow), ast.Mult),
}


def changed(node: ast.AST) -> Iterator[ast.AST]:
    """Give the changes of a node itself, not of what is in it."""
    if isinstance(node, ast.Compare):
        for position, operator in enumerate(node.ops):
            other = _copy(node)
            other.ops[position] = COMPARISONS[type(operator)]()
            yield other
    elif isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in OPERATORS:
        other = _copy(node)
        other.op = OPERATORS[type(node.op)]()
        yield other
    elif isinstance(node, ast.BoolOp):
        other = _copy(node)
        other.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield other
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        yield node.operand
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield ast.Constant(not node.value)
        elif isinstance(node.value, (int, float)):
            yield ast.Constant(node.value + 1)
        elif isinstance(node.value, str):
            yield ast.Constant("" if node.value else "another")
    elif isinstance(node, (ast.If, ast.While, ast.IfExp)):
        other = _copy(node)
        other.test = ast.UnaryOp(ast.Not(), node.test)
        yield other
    elif isinstance(node, ast.comprehension):
        for position in range(len(node.ifs)):
            other = _copy(node)
            del other.ifs[position]
            yield other
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        yield ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Raise) or _acts(node):
        yield ast.Pass()
    elif isinstance(node, (ast.Break, ast.Continue)):
        yield ast.Continue() if isinstance(node, ast.Break) else ast.Break()
    elif isinstance(node, ast.Call):
        for position, keyword in enumerate(node.keywords):
            if keyword.arg is not None:
                other = _copy(node)
                del other.keywords[position]
                other.without = keyword.arg
                yield other


def _copy(node: Any) -> Any:
    """Copy a node, and the lists in it that a change may touch."""
    other = copy.copy(node)
    for name in ("ops", "ifs", "keywords"):
        if hasattr(other, name):
            setattr(other, name, list(getattr(other, name)))
    return other


def _acts(node: ast.AST) -> bool:
    """Whether a statement is there for what it does: a call, or an assignment to a part of something."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call)
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], (ast.Attribute, ast.Subscript))


class Changer(ast.NodeTransformer):
    """Counts the changes of a module, and makes the one that is wanted."""

    def __init__(self, wanted: int | None = None) -> None:
        self.wanted = wanted
        self.found: list[tuple[int, str, str]] = []
        self.statements: list[ast.stmt] = []

    def visit(self, node: ast.AST) -> ast.AST:
        """Visit a node and what is in it, but for annotations, documentation and texts of f-strings."""
        if _is_left_alone(node):
            return node
        if isinstance(node, ast.stmt):
            self.statements.append(node)
        line = self.statements[-1] if self.statements else node
        here = getattr(node, "lineno", getattr(line, "lineno", 0))
        replacement = node
        for other in changed(node):
            if self.wanted == len(self.found):
                replacement = ast.fix_missing_locations(
                    ast.copy_location(other, node) if hasattr(node, "lineno") else other
                )
            self.found.append((here, _text(node), _text(other)))
        if replacement is node:
            for name, value in ast.iter_fields(node):
                if name not in ("annotation", "returns", "decorator_list", "type_params"):
                    setattr(node, name, self.visited(value))
        if isinstance(node, ast.stmt):
            self.statements.pop()
        return replacement

    def visited(self, value: Any) -> Any:
        """Visit the value of a field."""
        if isinstance(value, list):
            return [self.visit(item) if isinstance(item, ast.AST) else item for item in value]
        return self.visit(value) if isinstance(value, ast.AST) else value


def _is_left_alone(node: ast.AST) -> bool:
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.Assert, ast.JoinedStr)):
        return not isinstance(node, ast.JoinedStr) or all(isinstance(part, ast.Constant) for part in node.values)
    if isinstance(node, ast.FunctionDef):
        return node.name == "__repr__"
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0]) in ("__slots__", "__all__")
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.comprehension):
        return ast.unparse(ast.GeneratorExp(ast.Name("_"), [node])).removeprefix("(_ ").removesuffix(")")
    text = f"without {node.without}" if hasattr(node, "without") else ast.unparse(node).splitlines()[0]
    return text if len(text) < 160 else f"{text[:160]}..."


def mutants_of(path: Path) -> list[Mutant]:
    """List the changes of a file."""
    changer = Changer()
    changer.visit(ast.parse(path.read_text(encoding="utf-8")))
    return [Mutant(path, number, *found) for number, found in enumerate(changer.found)]


# Running tests on a mutant.


class MutantLoader(importlib.abc.Loader, importlib.abc.MetaPathFinder):
    """Imports the changed module in place of the original."""

    def __init__(self, mutant: Mutant) -> None:
        self.path = mutant.path
        parts = mutant.path.relative_to(ROOT).with_suffix("").parts
        self.package = parts[-1] == "__init__"
        self.name = ".".join(parts[:-1] if self.package else parts)
        tree = Changer(mutant.number).visit(ast.parse(self.path.read_text(encoding="utf-8")))
        self.code = compile(ast.fix_missing_locations(tree), str(self.path), "exec")  # type: ignore[arg-type]

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """Claim the module that is changed."""
        if name != self.name:
            return None
        spec = importlib.machinery.ModuleSpec(name, self, origin=str(self.path), is_package=self.package)
        spec.has_location = True
        if self.package:
            spec.submodule_search_locations = [str(self.path.parent)]
        return spec

    def exec_module(self, module: ModuleType) -> None:
        """Run the changed code."""
        exec(self.code, vars(module))


def tests_for(path: Path) -> list[str]:
    """Name the tests that speak of a file, the quick ones first."""
    name = str(path.relative_to(ROOT))
    words = next((words for folder, words in TESTS.items() if name.startswith(folder)), SPEC_TESTS)
    return [f"tests/test_{word}" if "::" in word else f"tests/test_{word}.py" for word in words]


def run(mutant: Mutant | None, tests: Sequence[str]) -> bool:
    """Run tests in a process of their own, on a mutant or on the original; tell whether all passed."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (TIMEOUT, TIMEOUT))
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            if mutant:
                sys.meta_path.insert(0, MutantLoader(mutant))
            import pytest

            options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
            # File after file: what fails early need not collect the rest.
            status = next((1 for each in tests if pytest.main([*options, each]) != 0), 0)
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def main() -> int:
    """Run a sample of the mutants of some folders, and print those that survive."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", help="files or folders of the package")
    parser.add_argument("--sample", type=int, help="how many mutants of each folder, drawn at random; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="list the mutants instead of running them")
    options = parser.parse_args()
    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    lines = EQUIVALENT.read_text(encoding="utf-8").splitlines() if EQUIVALENT.exists() else []
    equivalent = {" | ".join(line.split(" | ")[:3]) for line in lines}
    survivors = 0
    for given in options.paths:
        path = Path(given).resolve()
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        every = [mutant for file in files for mutant in mutants_of(file)]
        sample = random.Random(options.seed).sample(every, min(options.sample or len(every), len(every)))
        sample = [mutant for mutant in sample if mutant.key not in equivalent]
        if options.list:
            print(*sample, sep="\n")
            continue
        survivors += report(given, len(every), sorted(sample))
    return 1 if survivors else 0


def report(given: str, count: int, sample: list[Mutant]) -> int:
    """Run mutants, print those that survive, and return how many that are."""
    import pytest  # noqa: F401  (what takes long to import is imported once)
    import torch
    import torch.utils.flop_counter  # noqa: F401

    tests = {mutant.path: tests_for(mutant.path) for mutant in sample}
    for each in {tuple(each) for each in tests.values()}:
        assert run(None, each), f"these tests fail without a mutant: {' '.join(each)}"
    begin, survived = time.perf_counter(), 0
    for mutant in sample:
        if run(mutant, tests[mutant.path]):
            survived += 1
            print(f"survived  {mutant}", flush=True)
    killed = len(sample) - survived
    took = time.perf_counter() - begin
    share = f"{killed / max(1, len(sample)):.1%}"
    print(f"{given}: {killed} of {len(sample)} mutants killed, {share}; there are {count}; {took:.0f} s", flush=True)
    return survived


if __name__ == "__main__":
    sys.exit(main())
