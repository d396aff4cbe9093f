"""The plan of generated source: what a class is planned to hold, and what each polish rule does to it.

A pair of files in tests/fixtures/plans is a spec and its plan. `make golden` writes the plans anew; read the diff.
"""

from __future__ import annotations

import difflib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from archspec.backends.source.__main__ import printed
from archspec.backends.source.generator import plan
from archspec.backends.source.polish.rules import RULES
from archspec.network import loads

FOLDER = Path(__file__).parent / "fixtures/plans"
FIXTURES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("name", FIXTURES)
def test_plan(name: str, golden: Callable[[str | Path, str], None]) -> None:
    golden(FOLDER / f"{name}.plan", printed(str(FOLDER / f"{name}.yaml")))


def test_no_stale_plan() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.plan")) == FIXTURES


def test_a_plan_is_printed_from_a_shell() -> None:
    command = [sys.executable, "-m", "archspec.backends.source", str(FOLDER / "two_ways.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == (FOLDER / "two_ways.plan").read_text(encoding="utf-8")


class Case(NamedTuple):
    """A spec, and the lines that a rule takes from its plan (`-`) and puts in it (`+`); none if it leaves it alone."""

    rule: str
    spec: str
    change: str = ""


UNIT = """
input: [8, 6, 6]
blocks: {unit: {params: {PARAMS}, layers: [LAYERS]}}
layers: [USES]
"""


def unit(params: str, layers: str, *uses: str) -> str:
    """A network of uses of one block."""
    text = UNIT.replace("PARAMS", params).replace("LAYERS", layers)
    return text.replace("USES", ", ".join(f"{{unit: {{{use}}}}}" for use in uses))


def loop(params: str, repeat: str, layers: str) -> str:
    """A network of one chain with a loop in it."""
    body = f"{{inline: {{repeat: {repeat}, layers: [{layers}]}}}}"
    return f"input: [8, 20, 20]\n{params}\nlayers: [{{sequential: {{layers: [{body}]}}}}]"


def many(count: int) -> str:
    """A sum of one value many times."""
    return f"input: [8]\nlayers: [{{relu: {{name: r}}}}, {{add: [{', '.join(['r'] * count)}]}}]"


def parted(count: int) -> str:
    """The sum of `many` in three steps, for a count from 202 to 301."""

    def listed(*names: str) -> str:
        return ", ".join(names)

    return (
        f"- add = +  ({listed(*['%1'] * count)}) -> %2\n"
        f"+ add = +  ({listed(*['%1'] * 101)}) -> %2\n"
        f"+ add = +  ({listed('%2', *['%1'] * 100)}) -> %3\n"
        f"+ add = +  ({listed('%3', *['%1'] * (count - 201))}) -> %4\n"
        "- return %2\n"
        "+ return %4\n"
    )


CASES = [
    Case(
        "cancel_permutes",
        unit("", "{permute: [1, 2, 0]}, {permute: [2, 0, 1]}, relu", ""),
        """
- permute = torch.permute(dims=(0, 2, 3, 1))  (x) -> %1
- permute_2 = torch.permute(dims=(0, 3, 1, 2))  (%1) -> %2
+ permute = nothing  (x) -> %1
+ permute_2 = nothing  (%1) -> %2
""",
    ),
    Case(
        "cancel_permutes",
        unit("", "{permute: {name: p, order: [0, 2, 1]}}, {permute: {name: q, order: [0, 2, 1]}}, {add: [p, q]}", ""),
    ),
    Case(
        "fuse_layer_norms",
        unit("", "layer_norm, relu", ""),
        """
- layer_norm = torch.permute(dims=(0, 2, 3, 1)) -> nn.LayerNorm(normalized_shape=8) -> torch.permute(dims=(0, 3, 1, 2))  (x) -> %1
+ layer_norm = LayerNorm2d(normalized_shape=8)  (x) -> %1
""",
    ),
    Case("fuse_layer_norms", unit("", "{permute: [1, 2, 0]}, relu, {permute: [2, 0, 1]}", "")),
    Case(
        "join_branches",
        unit(
            "act: true",
            "{conv: {name: a, filters: 8, when: $act}}, {relu: {when: $act}}, {conv: 8}",
            "act: true",
            "act: false",
        ),
        """
+ relu = nn.ReLU()  (%2) -> %3
- gives %2
+ gives %3
- if act  -> %3
- relu = nn.ReLU()  (%1) -> %4
- gives %4
- else
- gives %1
- conv = nn.Conv2d(in_channels=8, out_channels=8, kernel_size=1)  (%3) -> %5
+ conv = nn.Conv2d(in_channels=8, out_channels=8, kernel_size=1)  (%1) -> %4
- return %5
+ return %4
""",
    ),
    Case(
        "join_branches",
        unit(
            "act: true, norm: true",
            "{conv: {name: a, filters: 8, when: $act}}, {batch_norm: {name: n, when: $norm}}, {conv: 8}",
            "act: true",
            "act: false, norm: true",
            "norm: false",
        ),
    ),
    Case(
        "join_branches",
        unit(
            "act: true",
            "{conv: {name: a, filters: 8, when: $act}}, {relu: {name: r, when: $act}}, {conv: 8}, {add: [conv, a]}",
            "act: true",
            "act: false",
        ),
    ),
    Case(
        "know_conditions",
        unit(
            "expand: 1",
            '{conv: {name: a, filters: "${8 * expand if expand != 1 else 8}", when: "${expand != 1}"}}, {conv: {name: b, filters: 8}}',
            "expand: 2",
            "expand: 1",
            "expand: 3",
        ),
        """
- a = nn.Conv2d(in_channels=8, out_channels=8 * expand if expand != 1 else 8, kernel_size=1)  (x) -> %2
+ a = nn.Conv2d(in_channels=8, out_channels=8 * expand, kernel_size=1)  (x) -> %2
""",
    ),
    Case(
        "know_conditions",
        unit(
            "expand: 1",
            '{conv: {name: a, filters: "${8 * expand if expand != 3 else 8}", when: "${expand != 1}"}}, {conv: {name: b, filters: 8}}',
            "expand: 2",
            "expand: 1",
            "expand: 3",
        ),
    ),
    Case(
        "unpack_tables",
        loop(
            "params: {stages: [{f: 8, k: 3}, {f: 16, k: 1}, {f: 8, k: 5}]}",
            "{s: $stages}",
            "{conv: {filters: $s.f, kernel: $s.k, padding: half}}, relu",
        ),
        """
- stages = [{'f': 8, 'k': 3}, {'f': 16, 'k': 1}, {'f': 8, 'k': 5}]
+ stages = [(8, 3), (16, 1), (8, 5)]
- for s in stages
+ for f, k in stages
- nn.Conv2d(in_channels=channels, out_channels=s['f'], kernel_size=s['k'], padding=s['k'] // 2)
+ nn.Conv2d(in_channels=channels, out_channels=f, kernel_size=k, padding=k // 2)
- next channels = s['f']
+ next channels = f
""",
    ),
    Case(
        "unpack_tables",
        loop(
            "params: {stages: [{f: 8, k: 3, s: 1, d: 1, g: 1}, {f: 16, k: 1, s: 1, d: 2, g: 2}, {f: 8, k: 5, s: 2, d: 1, g: 4}]}",
            "{s: $stages}",
            "{conv: {filters: $s.f, kernel: $s.k, stride: $s.s, dilation: $s.d, groups: $s.g, padding: 2}}, relu",
        ),
    ),
    Case(
        "zip_lists",
        loop(
            "params: {widths: [8, 16, 12], kernels: [3, 1, 5]}",
            "{width: $widths}",
            "{conv: {filters: $width, kernel: '${kernels[index]}'}}, relu",
        ),
        """
- for index, width in enumerate(widths)
+ for kernel, width in zip(kernels, widths, strict=True)
- nn.Conv2d(in_channels=channels, out_channels=width, kernel_size=kernels[index])
+ nn.Conv2d(in_channels=channels, out_channels=width, kernel_size=kernel)
""",
    ),
    Case(
        "zip_lists",
        loop(
            "params: {widths: [8, 16, 12], kernels: [3, 1, 5]}",
            "{width: $widths}",
            "{conv: {filters: $width, kernel: '${kernels[index]}'}}, {dropout: '${index / 10}'}",
        ),
    ),
    Case(
        "name_indices",
        loop(
            "params: {widths: [8, 16, 12]}",
            "{width: $widths}",
            "{inline: {repeat: 3, layers: [{conv: $width}, {dropout: '${index / 10}'}]}}",
        ),
        """
- for i in range(3)
+ for index in range(3)
- nn.Dropout(p=i / 10)
+ nn.Dropout(p=index / 10)
""",
    ),
    Case(
        "name_indices",
        loop(
            "params: {widths: [8, 16, 12]}",
            "{width: $widths}",
            "{dropout: '${index / 10}'}, {inline: {repeat: 3, layers: [{conv: $width}, {dropout: '${index / 10}'}]}}",
        ),
    ),
    Case(
        "name_indices",
        loop(
            "params: {widths: [8, 16, 12]}",
            "{width: $widths}",
            "{inline: {repeat: 3, let: {stage: $index}, layers: [{conv: $width}, {dropout: '${stage / 10}'}, {dropout: '${stage / 5}'}]}}",
        ),
        """
- for i in range(3)
+ for stage in range(3)
- stage = i
""",
    ),
    Case(
        "inline_once",
        unit(
            "f: , h: '${f // 2}'",
            "{linear: {name: a, units: $h}}, {linear: {name: b, units: 6}}, {dropout: '${1 / h}'}",
            "f: 8",
            "f: 16",
        ),
    ),
    Case(
        "inline_once",
        unit(
            "f: , h: '${f // 2}'",
            "{conv: {filters: $h, name: a}}, {conv: {name: b, filters: $f}}, {relu: {when: '${h > 4}'}}",
            "f: 8",
            "f: 16",
        ),
    ),
    Case(
        "inline_once",
        unit(
            "f: , h: '${f // 2}'",
            "{conv: {filters: 8, name: a}}, {conv: {name: b, filters: $f}}, {relu: {when: '${h > 4}'}}",
            "f: 8",
            "f: 16",
        ),
        """
- if h > 4  -> %3
+ if f // 2 > 4  -> %3
""",
    ),
    Case(
        "name_often",
        unit(
            "f: , e: ",
            "{conv: {filters: '${f * e}', name: a}}, {conv: {name: b, filters: '${f * e}'}}, {batch_norm: {name: n}}, {conv: {name: c, filters: 8}}",
            "f: 8, e: 2",
            "f: 16, e: 3",
        ),
        """
+ hidden = f * e
- a = nn.Conv2d(in_channels=8, out_channels=f * e, kernel_size=1)  (x) -> %1
+ a = nn.Conv2d(in_channels=8, out_channels=hidden, kernel_size=1)  (x) -> %1
- b = nn.Conv2d(in_channels=f * e, out_channels=f * e, kernel_size=1)  (%1) -> %2
+ b = nn.Conv2d(in_channels=hidden, out_channels=hidden, kernel_size=1)  (%1) -> %2
- n = nn.BatchNorm2d(num_features=f * e)  (%2) -> %3
+ n = nn.BatchNorm2d(num_features=hidden)  (%2) -> %3
- c = nn.Conv2d(in_channels=f * e, out_channels=8, kernel_size=1)  (%3) -> %4
+ c = nn.Conv2d(in_channels=hidden, out_channels=8, kernel_size=1)  (%3) -> %4
""",
    ),
    Case(
        "name_often",
        unit(
            "f: , e: ",
            "{conv: {filters: '${f * e}', name: a}}, {conv: {name: c, filters: 8}}",
            "f: 8, e: 2",
            "f: 16, e: 3",
        ),
    ),
    Case(
        "name_often",
        """
input: [8, 6, 6]
blocks:
  gate: {params: {hidden_size: }, layers: [{conv: $hidden_size}, {conv: 8}]}
  unit: {params: {f: , e: }, layers: [{gate: "${f * e}"}, {gate: "${f * e}"}, {gate: "${f * e}"}, {gate: "${f * e}"}]}
layers: [{unit: {f: 8, e: 2}}, {unit: {f: 16, e: 3}}]
""",
        """
+ hidden_size = f * e
- gate = Gate(hidden_size=f * e)  (x) -> %1
+ gate = Gate(hidden_size=hidden_size)  (x) -> %1
- gate_2 = Gate(hidden_size=f * e)  (%1) -> %2
+ gate_2 = Gate(hidden_size=hidden_size)  (%1) -> %2
- gate_3 = Gate(hidden_size=f * e)  (%2) -> %3
+ gate_3 = Gate(hidden_size=hidden_size)  (%2) -> %3
- gate_4 = Gate(hidden_size=f * e)  (%3) -> %4
+ gate_4 = Gate(hidden_size=hidden_size)  (%3) -> %4
""",
    ),
    Case(
        "ask_plainly",
        unit("hs: false", "{relu: {when: '${not hs}'}}, {hardswish: {when: $hs}}", "", "hs: true"),
        """
- if not hs  -> %1
+ if hs  -> %1
- relu = nn.ReLU()  (x) -> %2
+ hardswish = nn.Hardswish()  (x) -> %2
- hardswish = nn.Hardswish()  (x) -> %3
+ relu = nn.ReLU()  (x) -> %3
""",
    ),
    Case("ask_plainly", unit("hs: false", "{relu: {when: '${not hs}'}}, {conv: 8}", "", "hs: true")),
    Case(
        "gather_lists",
        unit("", "{conv: {name: convs.0, filters: 8}}, {conv: {name: convs.1, filters: 8}}", ""),
        """
+ convs = ModuleList
- convs.0 = nn.Conv2d(in_channels=8, out_channels=8, kernel_size=1)  (x) -> %1
+ 0 = nn.Conv2d(in_channels=8, out_channels=8, kernel_size=1)  (x) -> %1
- convs.1 = nn.Conv2d(in_channels=8, out_channels=8, kernel_size=1)  (%1) -> %2
+ 1 = nn.Conv2d(in_channels=8, out_channels=8, kernel_size=1)  (%1) -> %2
""",
    ),
    Case(
        "gather_lists",
        unit("", "{conv: {name: convs.0, filters: 8}}, batch_norm, {conv: {name: convs.1, filters: 8}}", ""),
    ),
    Case(
        "skip_in_evaluation",
        """\
input: [3, 8, 8]
layers:
  - conv: {name: stem, filters: 4}
  - conv: {name: aux, filters: 2}
  - conv: {name: head, from: stem, filters: 5}
outputs: {head: head, aux: {from: aux, when: training}}
""",
        """
+ if self.training
- aux = nn.Conv2d(in_channels=4, out_channels=2, kernel_size=1)  (%1) -> %2
+ aux = nn.Conv2d(in_channels=4, out_channels=2, kernel_size=1)  (%1) -> %2
""",
    ),
    Case("skip_in_evaluation", "input: [3, 8, 8]\nlayers: [{conv: 4}, {conv: 5}]\noutputs: [conv, conv_2]\n"),
    Case("part_long_sums", many(250), parted(250)),
    Case("part_long_sums", many(101)),
    Case(
        "drop_unused",
        unit(
            "f: , h: '${f // 2}'",
            "{conv: {filters: 8, name: a}}, {conv: {name: b, filters: $f}}, {relu: {when: '${h > 4}'}}",
            "f: 8",
            "f: 16",
        ),
        """
- h = f // 2
""",
    ),
    Case(
        "drop_unused",
        unit(
            "f: , h: '${f // 2}'",
            "{conv: {filters: $h, name: a}}, {conv: {name: b, filters: $f}}, {relu: {when: '${h > 4}'}}",
            "f: 8",
            "f: 16",
        ),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{'changes' if case.change else 'leaves'}")
def test_rule(case: Case) -> None:
    before, after = [], []
    for each in plan(loads(case.spec)):
        for rule in RULES:
            if rule.__name__ == case.rule:
                before += str(each).splitlines()
            rule(each)
            if rule.__name__ == case.rule:
                after += str(each).splitlines()
    lines = difflib.ndiff(before, after)
    found = "".join(f"{line[0]} {line[2:].strip()}\n" for line in lines if line[0] in "+-")
    assert found == case.change.lstrip("\n")


def test_every_rule_is_tested() -> None:
    for changes in (True, False):
        assert {case.rule for case in CASES if bool(case.change) == changes} == {rule.__name__ for rule in RULES}
