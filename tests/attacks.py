"""Attacks on everything that reads a spec: generated specs, resources, threads, races, signals, calls.

    python tests/attacks.py 0 20000                      # specs of these seeds
    python tests/attacks.py 0 20000 --specs FOLDER       # with further specs to mutate
    python tests/attacks.py 0 20000 --only resources     # one kind of them: see KINDS
    python tests/attacks.py races                        # threads, swapped files, writers, signals, the command line

A seed makes the same attack each time. Whatever a spec is, it gives a network or a SpecError with places; nothing
else is raised, no file is written, nothing of the process changes, and it takes less than 2 s of CPU time and 200 MB
in all, and a little more for each layer that it makes: see `Outcome.allowed`. What breaks that is printed, and its
text written to tests/failures/attacks/. A network must also survive what is done with it. `docs/security.md` tells
what this has found.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import pickle
import random
import signal
import string
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import jsonschema
import jsonschema_rs
from random_specs import mutate, random_spec

import archspec
from archspec.cli import main
from archspec.document import zoo_files
from archspec.errors import CODES, MAX_FINDINGS, Source, SpecError, UsageError
from archspec.files import MAX_BYTES, write_text
from archspec.ops import OPS
from archspec.report.drawing import as_dot, as_mermaid
from archspec.report.spec import show_spec
from archspec.schema import schema
from archspec.schema.rules import DOCUMENT_KEYS, FIGURES
from archspec.schema.violations import violations
from archspec.syntax import parse

MAX_SECONDS, MAX_MEGABYTES = 2.0, 200.0
"""What loading any spec may take, of the CPU's time and of memory, the interpreter's own included."""
SECONDS_A_LAYER, MEGABYTES_A_LAYER = 18e-6, 1.8e-3
"""What each layer may add: a network of a million, the limit of the language, takes ten times as much."""
TRIES = 3
"""How often a spec that takes too long is loaded again, each time in a process of its own."""
HANG = 60
"""Seconds after which an attack is given up."""
FAILURES = Path(__file__).parent / "failures" / "attacks"
RULES = json.loads(json.dumps(schema()))
REFERENCE = jsonschema.Draft7Validator(RULES)
FAST = jsonschema_rs.validator_for(json.dumps(RULES))


class Failure(Exception):
    """Something happened that must not."""


# What a spec may do.


class Outcome:
    """What came of a spec: `network` or the code of its first finding, its layers, and what loading it took."""

    def __init__(self) -> None:
        self.word = "failed"
        self.layers = 0
        self.seconds = self.megabytes = 0.0

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, {self.megabytes:.0f} MB: {self.word}, {self.layers:,} layers"

    @property
    def allowed(self) -> bool:
        """Whether that is within what a mistake may take, and the layers made before it or without one."""
        seconds = MAX_SECONDS + self.layers * SECONDS_A_LAYER
        return self.seconds <= seconds and self.megabytes <= MAX_MEGABYTES + self.layers * MEGABYTES_A_LAYER


def attack(text: str, outcome: Outcome) -> None:
    """Load a spec, and do what can be done with a network. Raises: Failure."""
    held = _held()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            _load(text, outcome)
    except Failure:
        raise
    except BaseException as error:
        raise Failure(f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-6)}") from error
    _hold(_held() == held, "the state of the process changed")


def _held() -> tuple[Any, ...]:
    """What all of a process shares."""
    return (list(warnings.filters), gc.isenabled(), sys.getrecursionlimit(), os.getcwd(), sorted(os.listdir()))


def _load(text: str, outcome: Outcome) -> None:
    network, wrong = _tried(text, outcome)
    if wrong is not None:
        _check_error(wrong, text)
    elif network is not None:
        _check_network(network)


def _tried(text: str, outcome: Outcome) -> tuple[archspec.Network | None, SpecError | None]:
    """Load a spec, and measure what that takes. Return the network, or what is wrong."""
    network, wrong = None, None
    with measured(outcome):
        try:
            network = archspec.loads(text)
        except SpecError as error:
            wrong = error
    made = network if wrong is None else wrong.partial
    outcome.word = "network" if wrong is None else wrong.diagnostics[0].code
    outcome.layers = len(made.graph) if made is not None else 0
    return network, wrong


def measured_alone(text: str) -> Outcome:
    """Load a spec in a process of its own, which has done nothing else; return the best of some tries.

    Other attacks leave things in memory, and on a busy machine the same work takes more of the processor's time.
    """
    outcome = Outcome()
    for number in range(TRIES):
        command = [sys.executable, __file__, "alone"]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(Path(archspec.__file__).parents[1]), *sys.path]),
        }
        done = subprocess.run(
            command, input=text.encode("utf-8", "surrogatepass"), capture_output=True, check=True, env=environment
        )
        found = json.loads(done.stdout)
        if not number or found["seconds"] < outcome.seconds:
            vars(outcome).update(found)
        if outcome.allowed:
            break
    return outcome


def report_alone() -> None:
    """Load the spec on standard input, and print what that took, as JSON."""
    archspec.load("lenet5")  # what is imported at the first use
    outcome = Outcome()
    _tried(sys.stdin.buffer.read().decode("utf-8", "surrogatepass"), outcome)
    print(json.dumps(vars(outcome)))


def _check_error(error: SpecError, text: str) -> None:
    lines = text.removeprefix("\ufeff").splitlines()
    _hold(not isinstance(error, UsageError), "a spec is told to be a wrong call")
    _hold(0 < len(error.diagnostics) <= MAX_FINDINGS + 1, f"{len(error.diagnostics)} findings")
    shown = str(error)
    _hold(shown.isprintable() or set(shown) - set(string.printable) <= set(_printable(shown)), "a message steers")
    _hold("\x1b" not in shown and "\u202e" not in shown and "\0" not in shown, "a message steers the terminal")
    for finding in error.diagnostics:
        _hold(finding.code in CODES, f"the code {finding.code}")
        _hold(len(finding.message) < 1_100 and len(finding.help or "") < 1_100, "a long message")
        if finding.span and finding.span.source.name == "<spec>":
            line, column = finding.span.line, finding.span.column
            inside = 0 < line <= len(lines) + 1 and 0 < column <= len([*lines, ""][line - 1]) + 1
            _hold(inside, f"{finding.message} at {line}:{column}, outside of the text")
    json.dumps([finding.to_dict() for finding in error.diagnostics])
    if len(text) < 20_000:
        _hold(str(pickle.loads(pickle.dumps(error))) == shown, "a pickled error differs")
        if error.partial is not None:
            str(error.partial.analyze())


def _check_network(network: archspec.Network) -> None:
    report = network.analyze()
    json.dumps(report.to_dict())
    network.check()
    if len(network.graph) > 2_000:
        return
    str(report), as_dot(network.graph), as_mermaid(network.graph), network.graph.structural_hash()
    text = show_spec(network.elaboration, network.overrides)
    if len(text) <= MAX_BYTES:  # else no file may be as large: a Swin V2-B with its buffers written out
        shown = archspec.loads(text)
        _hold(shown.graph.to_json() == network.graph.to_json(), "what `show` writes is another network")
    copy = pickle.loads(pickle.dumps(network))
    _hold(copy.graph.to_json() == network.graph.to_json(), "a pickled network differs")
    if len(network.graph) <= 150 and network.graph.nodes:
        compile(archspec.generate(network), "generated", "exec", dont_inherit=True)


def _printable(text: str) -> Iterator[str]:
    return (character for character in text if character.isprintable())


def _hold(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Failure(otherwise)


def compare_verdicts(text: str) -> None:
    """Hold both validators and our own walk through the schema against each other. Raises: Failure."""
    try:
        document = parse(Source("x", text.removeprefix("\ufeff")))
    except SpecError:
        return
    data = document.plain()
    expected = {(tuple(error.absolute_path), error.validator) for error in REFERENCE.iter_errors(data)}
    found = {(violation.path, violation.keyword) for violation in violations(RULES, document)}
    _hold(bool(expected) is not FAST.is_valid(data), "the validators disagree")
    _hold(found == expected, f"the walk disagrees: {sorted(found ^ expected, key=str)[:3]}")


# Generators of specs.


def mutants(random: Random) -> str:
    """A spec of the zoo, or a random one, with up to eight things broken."""
    text = random.choice(_sources()) if random.random() < 0.7 else random_spec(random.randrange(10**6))
    for _ in range(random.choice([1, 1, 2, 3, 5])):
        text = mutate(text, random)
    return text


_MORE: list[str] = []


def _sources() -> list[str]:
    if not _MORE:
        _MORE.extend(Path(path).read_text(encoding="utf-8") for path in zoo_files().values())
    return _MORE


def crossings(random: Random) -> str:
    """Lines of several specs, one after the other."""
    parts = [random.choice(_sources()).splitlines(keepends=True) for _ in range(random.choice([2, 3]))]
    return "".join("".join(part[random.randrange(len(part)) :][: random.randrange(1, 60)]) for part in parts) or "x"


_SCALARS: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        3,
        8,
        2**31,
        2**63 - 1,
        2**63,
        -(2**63),
        10**40,
        0.0,
        -0.0,
        0.5,
        1e308,
        3.0,
        1e-320,
    ),
    *("", " ", "a", "a b", "\n", "\t", "é", "а", "ﬁ", "\u202e", "\x85", "\u2028", "x" * 101, "y" * 1001, "z" * 4001),
    *(
        "$",
        "$$",
        "$a",
        "${",
        "${}",
        "${a}",
        "${1}",
        "${input}",
        "${input.shape}",
        "${index}",
        "${a.b.c}",
        "a${a}b",
        "$input",
    ),
    *("${[1] * 3}", "${1 / 0}", "${9**9**9}", "${'a' * 999}", "${a[0]}", "${len(a)}", "${a == a}", "${[a, a]}", "$a.b"),
    *("input", "relu", "conv", "same", "half", "class", "forward", "__class__", "0", "1.5", "no", "[bold]", "{{ 1 }}"),
    *(
        "'''",
        '"""',
        "\\",
        "<script>",
        "`",
        "%",
        "#",
        "</",
        "../x.yaml",
        "/etc/passwd",
        "resnet18",
        "~",
        "null",
        "\ufeff",
    ),
]
_KEYS = [
    *DOCUMENT_KEYS,
    *FIGURES,
    "from",
    "when",
    "repeat",
    "let",
    "layers",
    "inputs",
    "params",
    "input",
    "a",
    "b",
    "",
    "é",
    *OPS,
]


def documents(random: Random) -> str:
    """A document with known keys and anything under them, as JSON, which is YAML too."""

    def value(depth: int) -> Any:
        kind = random.random()
        if depth > 5 or kind < 0.45:
            return random.choice(_SCALARS)
        if kind < 0.6:
            return [value(depth + 1) for _ in range(random.randrange(4))]
        if kind < 0.75:
            return {random.choice(_KEYS): value(depth + 1) for _ in range(random.randrange(4))}
        if kind < 0.9:
            return {random.choice([*OPS, "b", "a", "sequential", "inline"]): arguments(depth + 1)}
        return random.choice([*OPS, "b", "a"])

    def arguments(depth: int) -> Any:
        op = OPS[random.choice(list(OPS))]
        names = [*op.fields, "name", "from", "when", "repeat", "let", "layers", "a"]
        return {name: value(depth + 1) for name in random.sample(names, random.randrange(min(5, len(names))))}

    data: dict[str, Any] = {"input": [3, 8, 8], "layers": [value(1) for _ in range(random.randrange(1, 6))]}
    data["params"] = {"a": value(2)} if random.random() < 0.7 else value(1)
    data["blocks"] = {"b": {"params": {"a": value(3)}, "layers": [value(2)]}} if random.random() < 0.5 else value(1)
    for key in random.sample(DOCUMENT_KEYS, random.randrange(4)):
        data[key] = value(1)
    for key in ("params", "blocks"):
        if random.random() < 0.3:
            data.pop(key, None)
    return json.dumps(data, ensure_ascii=random.random() < 0.5)


_TOKENS = """
    a b p input index 0 1 2 -1 3.5 1e308 9 999 'x' "y" 'aaaa' [ ] ( ) , , : + - * / // % ** == != < > <= in is not and
    or if else for lambda min max sum len abs int round ceil floor make_divisible . .shape .channels .a .__class__ [0]
    [-1] [1:2] [::-1] True False None := ~ | & ^ << @ { } ... f'{a}' b'c' 1j 0x1f 0b1 1_0 1if 0xfor __import__ \\
""".split()


def expressions(random: Random) -> str:
    """Expressions out of tokens and out of a grammar, where an expression may stand."""

    def grown(depth: int) -> str:
        if depth > 6 or random.random() < 0.25:
            return random.choice(
                ["a", "b", "p", "1", "7", "2.5", "'x'", "[1, 2]", "True", "input.channels", "index", "p[0]"]
            )
        a, b, c = (grown(depth + random.choice([1, 1, 3])) for _ in range(3))
        return random.choice(
            [
                *(
                    f"({a} + {b})",
                    f"({a} * {b})",
                    f"{a} // {b}",
                    f"({a}) ** {b}",
                    f"[{a}, {b}, {c}]",
                    f"({a} if {b} else {c})",
                ),
                *(f"[{a} for a in {b}]", f"[{a} for a in {b} for b in {c} if {a}]", f"sum({a} for p in {b})"),
                *(f"{a} == {b}", f"{a} in {b}", f"not {a}", f"-{a}", f"{a}[{b}]", f"{a}[{b}:{c}]", f"{a}.channels"),
                *(
                    f"len({a})",
                    f"max({a}, {b})",
                    f"min({a})",
                    f"make_divisible({a}, {b})",
                    f"round({a}, {b})",
                    f"int({a})",
                ),
            ]
        )

    def expression() -> str:
        if random.random() < 0.6:
            return grown(0)
        return " ".join(random.choice(_TOKENS) for _ in range(random.randrange(1, 25)))

    quoted = [json.dumps(f"${{{expression()}}}") for _ in range(8)]
    a, b, c, d, e, f, g, h = quoted
    size, list_or_c, name = random.choice(["8", a]), random.choice(["[1, 2]", c]), random.choice(["r", f])
    return (
        f"input: [3, 8, {size}]\nparams: {{a: {b}, b: {list_or_c}, p: [3, {{a: 4}}]}}\nlayers:\n"
        f"  - conv: {{filters: {d}, kernel: 1}}\n  - relu: {{when: {e}, name: {name}}}\n"
        f"  - inline: {{repeat: {g}, let: {{q: {h}}}, layers: [relu: {{when: '${{q == a}}'}}]}}\n"
        "  - relu: {when: '${p == b}'}\n"
    )


def garbage(random: Random) -> str:
    """Characters and YAML's own signs."""
    signs = [
        *"{}[]:,-#&*!|>'\"%@`?\n\n\n    \t",
        "- ",
        ": ",
        "<<",
        "---\n",
        "...\n",
        "!!x ",
        "&a ",
        "*a",
        "a",
        "relu",
        "\r",
        "\0",
        "\x85",
    ]
    text = "".join(random.choice(signs) for _ in range(random.randrange(1, 200)))
    return random.choice(["", "input: [3]\nlayers:\n", "input: [3]\nlayers: ["]) + text


def resources(random: Random) -> str:
    """Specs that multiply: values that double, blocks, loops, lists, names, mistakes, up to the limits of a file."""
    return random.choice(_RESOURCES)(random)


def _size(random: Random, most: int) -> int:
    """A number up to `most`, of any order of magnitude."""
    return int(most ** random.random()) or 1


def _doubling(random: Random) -> str:
    entry = random.choice(
        [
            "[$p{0}, $p{0}]",
            "{{a: $p{0}, b: $p{0}}}",
            "[$p{0}]",
            "'${{[p{0}, p{0}]}}'",
            "'${{p{0} + p{0}}}'",
            "$p{0}",
            "'${{[p{0}] * 9}}'",
            "'${{[x for x in p{0} for y in p{0}]}}'",
            "['${{p{0}}}', [$p{0}]]",
        ]
    )
    count = _size(random, 2_000)
    first = random.choice(["[1, 1]", "[]", "{a: 1}", "x", f"[{'1, ' * _size(random, 20_000)}1]"])
    lines = [f"p0: {first}", *(f"p{n}: {entry.format(n - 1)}" for n in range(1, count))]
    last = f"p{count - 1}"
    use = random.choice(
        [
            f"relu: {{when: '${{{last} == {last}}}'}}",
            f"conv: {{filters: 3, kernel: ${last}}}",
            f"relu: {{repeat: ${last}}}",
            f"relu: {{name: ${last}}}",
            f"add: ${last}",
            f"b: {{v: ${last}}}",
            f"inline: {{repeat: 3, let: {{v: ${last}}}, layers: [relu: {{when: '${{v < v}}'}}]}}",
        ]
    )
    blocks = "blocks: {b: {params: {v: }, layers: [relu: {when: '${v == v}'}]}}\n"
    if random.random() < 0.5:
        return "input: [3, 8, 8]\nparams:\n  " + "\n  ".join(lines) + f"\n{blocks}layers:\n  - {use}\n  - b: 1\n"
    inner = "\n        ".join(lines)
    repeat = _size(random, 10**6)
    return (
        f"input: [3, 8, 8]\n{blocks}layers:\n  - inline:\n      repeat: {repeat}\n      let:\n        {inner}\n"
        f"      layers:\n        - {use}\n  - b: 1\n"
    )


def _chained(random: Random) -> str:
    count = _size(random, 5_000)
    call = random.choice(
        [
            "b{0}",
            "b{0}: {{repeat: 2}}",
            "b{0}: {{when: '${{True}}'}}",
            "b{0}: {{p: [$p, $p]}}",
            "b{0}: {{p: '${{[p]}}'}}",
            "b{0}: {{p: '${{p + p}}'}}",
            "b{0}, b{0}",
        ]
    )
    steps = [call.format(n + 1) for n in range(count)]
    lines = "".join(f"  b{n}: {{params: {{p: [1]}}, layers: [{step}]}}\n" for n, step in enumerate(steps))
    last = random.choice(["relu", "relu: {when: '${p == p}'}", "rellu", "b0", "relu: {when: $p}"])
    lines += f"  b{count}: {{params: {{p: 1}}, layers: [{last}]}}\n"
    return f"input: [3]\nblocks:\n{lines}layers: [b{random.choice([0, 0, count // 2])}]\n"


_MISTAKES = [
    *(
        "rellu",
        "relu: {slope: 1}",
        "relu: {when: 3}",
        "relu: {when: $zz}",
        "relu: {from: zz}",
        "relu: {from: relu_7}",
        "add: zz",
        "add: [zz, input, yy]",
    ),
    *(
        "conv: {filters: 0, kernel: 3}",
        "conv: 3.5",
        "conv: $zz",
        "conv: {filters: 3, kernel: 99}",
        "linear: '${1 / 0}'",
        "relu: {name: 'a b'}",
        "relu: {name: x}",
    ),
    *(
        "relu: {repeat: -1}",
        "relu: {repeat: $zz}",
        "sequential: {let: {a: $zz}, layers: [relu]}",
        "b: {zz: 1}",
        "b",
        "c",
        "concat: [input]",
        "3",
        "{}",
        "{a: 1, b: 2}",
    ),
    *(
        "add: '${[1] * 9999}'",
        "add: '${[\"zz\"] * 9999}'",
        "relu: {from: '${\"z\" * 900}'}",
        "relu: {name: '${\"z\" * 900}'}",
        "dropout: '${2.5 + index}'",
        "reshape: [7, 7]",
        "null",
    ),
]


def _many_mistakes(random: Random) -> str:
    """Mistakes, many, in loops, in blocks that are called often, on one line."""
    steps = [random.choice(_MISTAKES) for _ in range(random.choice([1, 1, 3, 10, 90]))]
    times = _size(random, 60_000 // len(steps))
    fitting = min(times, 900_000 // sum(len(step) + 8 for step in steps))
    style = random.randrange(4)
    if style == 0:
        return "input: [3, 8, 8]\nlayers:\n" + "".join(f"  - {step}\n" for step in steps) * fitting
    if style == 1:
        return (
            "input: [3, 8, 8]\nlayers: ["
            + "".join(f"{{{step}}}, " if ":" in step and step[0] != "{" else f"{step}, " for step in steps) * fitting
            + "relu]\n"
        )
    block = "input: [3, 8, 8]\nblocks:\n  b:\n    params: {v: 1}\n    layers:\n" + "".join(
        f"      - {step}\n" for step in steps if step != "b"
    )
    block += "      - relu\n"
    if style == 2:
        return block + "layers:\n" + "  - b\n" * min(times, 100_000)
    depth = random.choice([1, 2, 3])
    each = max(1, int((900_000 / (len(steps) + 2)) ** (1 / depth)))
    step = f"b: {{repeat: {each}}}"
    for _ in range(depth - 1):
        step = f"{random.choice(['inline', 'sequential'])}: {{repeat: {each}, layers: [{{{step}}}]}}"
    return block + f"layers:\n  - {step}\n"


def _many_names(random: Random) -> str:
    """Unknown names, many and long, everywhere; and known ones to compare them with."""
    count, length = _size(random, 15_000), _size(random, 60)
    name = "".join(random.choice("abcx") for _ in range(length))
    known = "".join(f"  {name}{n}: 1\n" for n in range(_size(random, 10_000)))
    where = random.choice(["{0}{1}: 1\n", "params: {{{0}{1}: 1}}\n"])
    form = random.randrange(5)
    if form == 0:
        return "input: [3]\nlayers: [relu]\n" + "".join(f"{name}x{n}: 1\n" for n in range(count))
    if form == 1:
        return f"input: [3]\nparams:\n{known}layers:\n" + "".join(f"  - linear: ${name}y{n}\n" for n in range(count))
    if form == 2:
        return f"input: [3]\nparams:\n{known}layers: [relu]\n" + where.format(name, 0)
    if form == 3:
        return (
            "input: [3]\nlayers:\n"
            + "".join(f"  - relu: {{name: {name}{n}}}\n" for n in range(count // 2))
            + "".join(f"  - add: {name}z{n}\n" for n in range(count // 2))
        )
    return (
        f"input: [3]\nblocks:\n  b:\n    params:\n{known.replace('  ', '      ')}    layers: [relu]\n"
        f"layers:\n  - b: {{{name}zz: 1}}\n" + f"  - {name}0\n" * 3
    )


def _many_values(random: Random) -> str:
    """A value of up to 1 MiB."""
    item = random.choice(
        ["1", "x", "[]", "{}", "[1]", "{a: 1}", "'${1}'", "$p", "1.5", "~", "''", "{a: [1, {b: 2}]}", "[[[[1]]]]"]
    )
    body = f"{item}, " * min(_size(random, 300_000), 1_000_000 // (len(item) + 2))
    place = random.choice(
        [
            "params: {{p: [{0}]}}\nlayers: [relu: {{repeat: $p}}]\n",
            "layers: [conv: {{filters: 3, kernel: [{0}]}}]\n",
            "layers: [{0}]\n",
            "layers: [add: [{0}]]\n",
            "layers: [relu: {{repeat: [{0}]}}]\n",
            "outputs: [{0}]\nlayers: [relu]\n",
            "include: [{0}]\nlayers: [relu]\n",
            "defaults: {{conv: {{kernel: [{0}]}}}}\nlayers: [conv: 3]\n",
            "expect: {{output: [{0}]}}\nlayers: [relu]\n",
            "blocks: {{b: {{inputs: [{0}], layers: [relu]}}}}\nlayers: [relu]\n",
        ]
    )
    return "input: [3, 8, 8]\n" + place.format(body)


def _deep(random: Random) -> str:
    """Nesting, of everything."""
    depth = _size(random, 3_000)
    opening, closing = random.choice(
        [
            ("[", "]"),
            ("{a: ", "}"),
            ("sequential: [", "]"),
            ("inline: [", "]"),
            ("sequential: {layers: [", "]}"),
            ("- ", ""),
            ("'${(", ")}'"),
            ("[", ""),
        ]
    )
    kind = random.choice(
        [
            "params: {{p: {0}}}\nlayers: [relu]\n",
            "layers: [{0}]\n",
            "layers:\n  - {0}\n",
            "blocks: {{b: {{layers: [{0}]}}}}\nlayers: [relu]\n",
            "expect: {0}\nlayers: [relu]\n",
        ]
    )
    return "input: [3]\n" + kind.format(opening * depth + random.choice(["relu", "1", "x"]) + closing * depth)


def _long(random: Random) -> str:
    """Long texts: names, words, expressions, figures."""
    length = _size(random, 900_000)
    text = random.choice(
        ["a", " ", "a.", "0", "9", "-", "$a ", "$$", "${a}", "(", "é", "'", "[", ".", "_", "a1", "<=", "\\\\"]
    ) * (length // 2)
    place = random.choice(
        [
            "name: {0}\nlayers: [relu]\n",
            "params: {{p: {0}}}\nlayers: [relu: {{name: $p}}]\n",
            "params: {{p: {0}}}\nlayers: [relu: {{from: $p}}]\n",
            "layers: [relu: {{name: {0}}}]\n",
            "layers: [relu: {{from: {0}}}]\n",
            "layers: [relu: {{when: {0}}}]\n",
            "layers: [{0}]\n",
            "layers: [relu]\noutputs: {0}\n",
            "layers: [relu]\nexpect: {{params: {0}}}\n",
            "layers: [relu]\nextends: {0}\n",
            "layers: [relu]\ndescription: {0}\n",
            "layers: [linear: {0}]\n",
            "layers: [relu: {{{0}: 1}}]\n",
            "params: {{{0}: 1}}\nlayers: [relu]\n",
            "params: {{p: {0}}}\nlayers: [relu: {{when: '${{p == p}}'}}, relu: {{name: 'x${{p}}'}}]\n",
        ]
    )
    return "input: [3]\n" + place.format(json.dumps(text))


def _loops(random: Random) -> str:
    """Valid loops within loops, up to the limits, and a little work in each."""
    work = random.choice(
        [
            "relu",
            "linear: '${index + 1}'",
            "relu: {when: '${index % 2 == 0}'}",
            "b: {v: $index}",
            "b: {v: [$index]}",
            "relu: {name: 'n${index}'}",
            "add: [input, input]",
            "sequential: [relu, relu]",
            "relu: {when: '${sum([x for x in l]) > 0}'}",
            "inline: {let: {q: [$l, $l]}, layers: [relu: {when: '${q == q}'}]}",
        ]
    )
    step = work
    for _ in range(random.choice([1, 2, 3, 5])):
        step = (
            f"{random.choice(['inline', 'sequential'])}: {{repeat: {_size(random, 3_000)}, layers: [{{{step}}}]}}"
            if ":" in step
            else f"inline: {{repeat: {_size(random, 3_000)}, layers: [{step}]}}"
        )
    blocks = "blocks: {b: {params: {v: }, layers: [relu: {when: '${v == 0}'}]}}\n"
    tail = random.choice(["", "  - rellu\n", "  - conv: 9\n"])
    ones = "1, " * _size(random, 2_000)
    return (
        f"input: [3]\nparams: {{l: [{ones}1]}}\n{blocks}layers:\n  - {step}\n"
        f"  - relu: {{when: '${{len(l) == 0}}'}}\n  - b: 1\n{tail}"
    )


_RESOURCES: list[Callable[[Random], str]] = [
    *(_doubling, _doubling, _chained, _many_mistakes, _many_mistakes, _many_names, _many_values, _deep, _long, _loops),
]
KINDS: dict[str, Callable[[Random], str]] = {
    "mutants": mutants,
    "crossings": crossings,
    "documents": documents,
    "expressions": expressions,
    "garbage": garbage,
    "resources": resources,
}
WEIGHTS = {"mutants": 30, "crossings": 10, "documents": 20, "expressions": 20, "garbage": 5, "resources": 5}


def made(seed: int, only: str | None = None) -> tuple[str, str]:
    """Return the kind and the text of the attack of a seed."""
    random = Random(seed)
    kind = only or random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    return kind, KINDS[kind](random)


# Running them.


@contextmanager
def measured(outcome: Outcome) -> Iterator[None]:
    """Measure the CPU seconds and the peak of memory, in MB, of what runs within, the interpreter's own included."""
    gc.collect()
    with suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")
    start = time.process_time()
    yield
    outcome.seconds = time.process_time() - start
    with suppress(OSError), open("/proc/self/status", encoding="ascii") as file:
        outcome.megabytes = int(next(line.split()[1] for line in file if line.startswith("VmHWM"))) / 1024


@contextmanager
def empty_folder() -> Iterator[Path]:
    """Work in a folder of its own."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def _give_up(*_: object) -> None:
    raise Failure(f"no end after {HANG} s")


def run(seeds: range, only: str | None = None, limits: bool = True) -> tuple[list[str], Counter[str]]:
    """Run the attacks of these seeds; return what failed, and how often each outcome was seen, by kind."""
    failed: list[str] = []
    outcomes: Counter[str] = Counter()
    for seed in seeds:
        kind, text = made(seed, only)
        outcome = Outcome()
        try:
            attack(text, outcome)
            if len(text) < 20_000:
                compare_verdicts(text)
            if limits:
                _check_limits(text, outcome)
        except Failure as failure:
            failed.append(_failed(seed, kind, text, str(failure)))
        outcomes[f"{kind}: {'network' if outcome.word == 'network' else 'error'}"] += 1
    return failed, outcomes


def _check_limits(text: str, outcome: Outcome) -> None:
    """A mistake must be cheap; a network may be as large as the limits of the language allow."""
    if not outcome.allowed:
        alone = measured_alone(text)
        _hold(alone.allowed, str(alone))


def _failed(seed: int, kind: str, text: str, what: str) -> str:
    FAILURES.mkdir(parents=True, exist_ok=True)
    path = FAILURES / f"{kind}_{seed}.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    return f"seed {seed}, {kind}: {what}\n  {path}"


# Races, signals, calls.

INSIDE, OUTSIDE = "input: [3]\nlayers: [relu]\n", "input: [3]\nlayers: [tanh]\n"


def threads(count: int) -> str:
    """Load the same specs in eight threads at once; each must give what it gives alone."""
    texts = [made(seed)[1] for seed in range(count)]
    texts = [text for text in texts if len(text) < 5_000]
    expected = [_said(text) for text in texts]
    wrong: list[str] = []

    def work(seed: int) -> None:
        order = list(range(len(texts)))
        Random(seed).shuffle(order)
        wrong.extend(texts[position] for position in order if _said(texts[position]) != expected[position])

    held, interval = _held(), sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    _together([partial(work, seed) for seed in range(8)])
    sys.setswitchinterval(interval)
    _hold(not wrong, f"in a thread, another outcome: {wrong[:1]}")
    _hold(_held() == held, "the state of the process changed")
    return f"{8 * len(texts)} loads in 8 threads"


def _said(text: str) -> str:
    try:
        return archspec.loads(text).graph.to_json()
    except SpecError as error:
        return str(error)


def _together(actions: Iterable[Callable[[], None]]) -> None:
    """Run actions in threads of their own; raise what one of them raised."""
    with ThreadPoolExecutor(16) as pool:
        for future in [pool.submit(action) for action in actions]:
            future.result()


def swaps(count: int) -> str:
    """Load a spec whose base is a file, a link out, a folder, a pipe or nothing, from one moment to the next."""
    with empty_folder() as folder:
        (folder / "specs" / "parts").mkdir(parents=True)
        (folder / "outside").mkdir()
        (folder / "outside" / "base.yaml").write_text(OUTSIDE)
        (folder / "inside.yaml").write_text(INSIDE)
        parts, seen = folder / "specs" / "parts", Counter[str]()
        for name, text in (
            ("net", "extends: parts/base.yaml\n"),
            ("lib", "include: [parts/base.yaml]\nlayers: [relu]\n"),
        ):
            (folder / "specs" / f"{name}.yaml").write_text(text)
        stop = threading.Event()

        def swap() -> None:
            random, turn = Random(0), 0
            while not stop.is_set():
                turn += 1
                new = folder / f"new{turn}"
                kind = random.randrange(5)
                with suppress(OSError):
                    if kind == 0:
                        os.link(folder / "inside.yaml", new)
                    elif kind == 1:
                        new.symlink_to(folder / "outside" / "base.yaml")
                    elif kind == 2:
                        os.mkfifo(new)
                    elif kind == 3:
                        new.symlink_to("base.yaml")
                    if kind < 4:
                        os.replace(new, parts / "base.yaml")
                    else:  # the folder itself becomes a link
                        os.rename(parts, folder / f"old{turn}")
                        parts.symlink_to(folder / "outside")
                        parts.unlink()
                        os.rename(folder / f"old{turn}", parts)

        def load() -> None:
            try:
                for turn in range(count):
                    seen[_base_of(folder / "specs" / ("net.yaml" if turn % 4 else "lib.yaml"))] += 1
            finally:
                stop.set()

        _together([swap, load])
    _hold("tanh" not in seen, "a file outside of the folder was read")
    _hold(sum(seen.values()) == count, "a load ended otherwise")
    return f"{count} loads while files are swapped: {dict(seen)}"


def _base_of(path: Path) -> str:
    """The first op of a network, or the code of the first finding."""
    try:
        return archspec.load(path).graph.nodes[0].op.op
    except SpecError as error:
        _hold("tanh" not in str(error), "a message shows a file outside")
        return error.diagnostics[0].code


def writers(count: int) -> str:
    """Write the same file from eight threads: one succeeds, and what stands there is what that one wrote."""
    with empty_folder() as folder:
        for turn in range(count):
            wrote: list[int] = []

            def write(number: int, turn: int = turn, wrote: list[int] = wrote) -> None:
                with suppress(UsageError):
                    write_text(f"{turn}.txt", f"{number}")
                    wrote.append(number)

            _together([partial(write, number) for number in range(8)])
            _hold(len(wrote) == 1 and (folder / f"{turn}.txt").read_text() == f"{wrote[0]}", f"{wrote} succeeded")
        _hold(len(list(folder.iterdir())) == count, "more than the files is there")
    return f"{8 * count} writers of {count} files"


def signals(count: int) -> str:
    """End `archspec show -o` by a signal at some time: the file is whole or not there, and nothing else is."""
    seen: Counter[str] = Counter()
    with empty_folder() as folder:
        (folder / "big.yaml").write_text("input: [3]\nlayers: [relu: {repeat: 3000}]\n")
        command = [sys.executable, "-m", "archspec", "show", "big.yaml", "-o", "out.yaml", "--force"]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(Path(archspec.__file__).parents[1]), *sys.path]),
        }
        start = time.monotonic()
        subprocess.run(command, check=True, env=environment)
        took = time.monotonic() - start
        whole = (folder / "out.yaml").read_text()
        for turn in range(count):
            (folder / "out.yaml").unlink(missing_ok=True)
            process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment)
            time.sleep(took * Random(turn).random() * 1.1)
            process.send_signal(random.Random(turn).choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP]))
            _, err = process.communicate(timeout=HANG)
            left = sorted(path.name for path in folder.iterdir())
            _hold(left in (["big.yaml"], ["big.yaml", "out.yaml"]), f"{left} is left after {process.returncode}")
            if len(left) == 2:
                _hold((folder / "out.yaml").read_text() == whole, "half a file is left")
            seen[f"{'whole' if len(left) == 2 else 'none'}, status {process.returncode}"] += 1
            # Python wraps a KeyboardInterrupt that comes while a class is made.
            wrapped = process.returncode == 1 and b"KeyboardInterrupt" in err
            _hold(
                wrapped or process.returncode in (0, 130, -2, -15, -1), f"status {process.returncode}: {err[-300:]!r}"
            )
    return f"{count} commands ended by a signal: {dict(seen)}"


_COMMANDS = ["analyze", "check", "show", "graph", "generate", "ops", "schema", "list", "weights", "export", "nonsense"]
_OPTIONS = [
    "--set",
    "--input",
    "--batch",
    "--dtype",
    "--depth",
    "--sort",
    "--format",
    "-o",
    "--force",
    "--source",
    "--strict",
    "--hash",
    "--template",
    "--zz",
    "-h",
]
_WORDS = [
    *(
        "resnet18",
        "lenet5",
        "net.yaml",
        "resnet17",
        ".",
        "",
        "/",
        "..",
        "a\0b",
        "\udcff",
        "-",
        "--",
        "é" * 300,
        "x" * 5_000,
        "/dev/zero",
        "fifo",
        "folder",
        "net.safetensors",
    ),
    *(
        "a=1",
        "p=4",
        "p=[1, 2]",
        "p=" + "[" * 200,
        "p=${1}",
        "p=*a",
        "p=!!x 1",
        "=",
        "p",
        "p=1e999",
        "p=" + "9" * 5_000,
        "input=4",
        "spec=4",
        "p=\0",
        "p=\udcff",
    ),
    *(
        "3x8x8",
        "0x0",
        "3xaxb",
        "x",
        "=3x8x8",
        "input=3x8x8",
        "9" * 30 + "x1",
        "-1",
        "0",
        "1",
        "9" * 400,
        "9" * 5_000,
        "float32",
        "int9",
        "all",
        "json",
        "csv",
        "dot",
        "macs",
        "table",
        "text",
    ),
]


def command_lines(count: int) -> str:
    """Call the command line with anything: it ends with status 0, 1 or 2, says why, and writes where it is told to."""
    seen: Counter[int] = Counter()
    with (
        empty_folder() as folder,
        open(os.devnull, "w", encoding="utf-8") as null,
        open(os.devnull, "w", encoding="utf-8", errors="backslashreplace") as err,  # as Python opens standard error
    ):
        (folder / "net.yaml").write_text(
            "input: [3, 8, 8]\nparams: {p: 4, spec: 1}\nlayers: [conv: $p, relu: {when: '${spec == 1}'}]\n"
        )
        (folder / "folder").mkdir()
        os.mkfifo("fifo")
        for seed in range(count):
            random = Random(seed)
            words = [random.choice(_COMMANDS)]
            for _ in range(random.randrange(5)):
                words += random.choice(
                    [
                        [random.choice(_WORDS)],
                        [random.choice(_OPTIONS)],
                        [random.choice(_OPTIONS), random.choice(_WORDS)],
                    ]
                )
            try:
                with redirect_stdout(null), redirect_stderr(err):
                    main(words)
            except SystemExit as end:
                _hold(end.code in (0, 1, 2), f"{words}: status {end.code}")
                seen[int(end.code or 0)] += 1
            except BaseException as error:
                raise Failure(f"{words}: {traceback.format_exc(limit=-5)}") from error
            for path in folder.iterdir():
                if path.name not in ("net.yaml", "folder", "fifo"):
                    _hold("-o" in words, f"{words}: {path.name} was written")
                    path.unlink() if not path.is_dir() else path.rmdir()
        _hold(not list((folder / "folder").iterdir()), "a file was written into a folder")
    return f"{count} command lines: {dict(seen)}"


def headers(count: int) -> str:
    """Read safetensors files whose header is anything."""
    seen: Counter[str] = Counter()
    with empty_folder() as folder:
        path = folder / "x.safetensors"
        for seed in range(count):
            random = Random(seed)
            header: Any = {"__metadata__": {"spec": random.choice([INSIDE, made(seed)[1][:50_000], 3, None, ["x"]])}}
            data = json.dumps(random.choice([header, header, header, [header], "x", {"__metadata__": 3}])).encode()
            if random.random() < 0.4:
                at = random.randrange(len(data))
                data = (
                    data[:at]
                    + random.choice([b"", b"\xff", b"[" * 9_999, b"\0", b'"'])
                    + data[at + random.randrange(3) :]
                )
            size = random.choice([len(data)] * 6 + [0, 1, len(data) + 1, 2**62, 2**64 - 1, random.randrange(2**20)])
            path.write_bytes(size.to_bytes(8, "little")[: random.choice([8] * 9 + [3])] + data)
            try:
                archspec.load(path)
                seen["network"] += 1
            except SpecError as error:
                seen[error.diagnostics[0].code] += 1
                str(error)
    return f"{count} headers: {dict(seen)}"


Race = Callable[[int], str]
RACES: dict[Race, int] = {
    threads: 300,
    swaps: 20_000,
    writers: 1_000,
    signals: 150,
    command_lines: 5_000,
    headers: 3_000,
}
"""What `races` does, and how often."""


def report_races(share: float = 1.0) -> list[str]:
    """Run the races, or a share of them; return what failed."""
    failed = []
    for race, count in RACES.items():
        try:
            said = race(max(1, int(count * share)))
        except Failure as failure:
            said = ascii(f"{race.__name__}: {failure}")
            failed.append(said)
        print(said, flush=True)
    return failed


def report_specs(first: int, last: int, only: str | None) -> list[str]:
    """Run the attacks of seeds from `first` to `last`, and print what fails as it does."""
    signal.signal(signal.SIGALRM, _give_up)
    gc.collect()
    gc.freeze()  # what is there before takes longer to collect than most attacks
    failed: list[str] = []
    outcomes: Counter[str] = Counter()
    with empty_folder():
        for start in range(first, last, 100):
            signal.alarm(HANG * 10)
            found, counts = run(range(start, min(start + 100, last)), only)
            failed += found
            outcomes += counts
            print("\n".join([*found, f"{min(start + 100, last) - first} specs, {len(failed)} failures"]), flush=True)
    print(json.dumps(dict(sorted(outcomes.items())), indent=1))
    return failed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", help="the first seed and the one behind the last, `races`, or `alone`")
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--specs", type=Path, help="a folder of further specs to mutate")
    arguments = parser.parse_args()
    if arguments.specs:
        _sources().extend(path.read_text(encoding="utf-8") for path in sorted(arguments.specs.glob("*.yaml")))
    if arguments.what == ["alone"]:
        sys.exit(report_alone())
    wrong = report_races() if arguments.what == ["races"] else report_specs(*map(int, arguments.what), arguments.only)
    sys.exit(1 if wrong else 0)
