"""The measures of generated source: each finds the bad code that it is for, and leaves good code alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import archspec

pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import source_quality
from source_measures import MEASURES, Source

IMPORTS = "import torch\nfrom torch import nn\nfrom torch.nn import functional as F\n"


class Case(NamedTuple):
    """Bad code, in which `# !` marks the lines to be found; good code; and the spec of both."""

    bad: str
    good: str
    spec: str = ""


def net(forward: str, init: str = "pass", arguments: str = "x", head: str = "") -> str:
    """A network's class from the statements of its methods."""
    body = "".join(f"        {line}\n" for line in init.splitlines())
    steps = "".join(f"        {line}\n" for line in forward.splitlines())
    return f"""{head}
class Net(nn.Module):
    def __init__(self):
        super().__init__()
{body}
    def forward(self, {arguments}):
{steps}"""


def unit(parameters: str, body: str, *calls: str) -> str:
    """A class, and a network that constructs it."""
    return f"""
class Unit(nn.Module):  # !
    def __init__(self, {parameters}):
        super().__init__()
        {body}

class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.units = nn.ModuleList([{", ".join(calls)}])
"""


def unmarked(text: str) -> str:
    return text.replace("# !", "")


TWO_INPUTS = "input: {x: [4], t: [4]}\nlayers: [{add: {from: [x, t]}}]"
BLOCK_INPUTS = """
input: [4]
blocks: {gated: {inputs: [a, gate], layers: [multiply: [a, gate]]}}
layers: [gated: {from: [input, input]}]
"""
STAGES = """
input: [3, 8, 8]
params: {stages: [{filters: 4, stride: 1}, {filters: 8, stride: 2}], count: 3}
layers: [{conv: {repeat: {s: $stages}, filters: $s.filters, stride: $s.stride}}, {linear: $count}]
"""
CLASSES = "input: [4]\nparams: {classes: 10}\nlayers: [{linear: $classes}]"
SCALED = 'input: [4]\nparams: {base: 10}\nlayers: [{linear: "${base * 2}"}]'
PERMUTED = "input: [4, 6]\nlayers: [{permute: [1, 0]}, {permute: [1, 0]}]"
CHAIN = "input: [4]\nlayers: [{linear: {name: a_2, units: 4}}, {linear: {name: b, units: 4}}]"

POOLED = """
input: [4, 8, 8]
layers: [conv: {name: a, filters: 4}, conv: {name: b, filters: 4}, max_pool: {name: pool, kernel: 2}, relu: {name: c}]
"""
MODULES = "self.a = nn.Conv2d(4, 4, 1)\nself.b = nn.Conv2d(4, 4, 1)\nself.c = nn.Conv2d(4, 4, 1)"

LAYERS = f"""
input: [4]
layers: [linear: {{name: "fc${{index + 1}}", units: 4, repeat: 24}}, {", ".join(30 * ["linear: 4"])}]
"""

CASES: dict[str, Case] = {
    "broken": Case(net("return x", "self.a = nn.Conv2d()"), net("return x")),
    "get_submodule": Case(net('return self.get_submodule("0")(x)  # !'), net("return self.layers[0](x)")),
    "add_module": Case(net("return x", 'self.add_module("0", nn.ReLU())  # !'), net("return x", "self.a = nn.ReLU()")),
    "inverse_permutes": Case(
        net("return self.b(torch.permute(x, (0, 2, 1)))", "self.b = Back()").replace(
            "class Net",
            "class Back(nn.Module):\n    def forward(self, x):\n        return x.transpose(1, 2)  # !\n\nclass Net",
        ),
        net("x = torch.permute(x, (0, 2, 1))\nx = torch.flip(x, (1,))\nreturn x.transpose(1, 2)"),
        PERMUTED,
    ),
    "permuted_norms": Case(
        net("return torch.permute(self.n(x.permute(0, 2, 3, 1)), (0, 3, 1, 2))  # !", "self.n = nn.LayerNorm(4)"),
        net("return torch.permute(self.n(x.permute(0, 2, 3, 1)), (0, 3, 1, 2))", "self.n = nn.Linear(4, 4)"),
    ),
    "numbered_variables": Case(
        net("out_2 = F.relu(x)  # !\nout_2 = F.relu(out_2)\nreturn out_2"),
        net("a_2 = self.a_2(x)\nreturn self.b(a_2)"),
        CHAIN,
    ),
    "indexed_results": Case(
        net("results = self.a(x)\nreturn results[0]  # !"), net("a, b = self.a(x)\nreturn a + self.layers[0](b)")
    ),
    "lying_variables": Case(
        net(
            "a = self.a(x)\na = self.b(a)  # !\npool = F.max_pool2d(a, 2)\npool = self.a(pool)  # !\n"
            "b = self.b(x)\nb = torch.cat([a, b])  # !\nskip = F.relu(skip)  # !\n"
            "other = self.a(x)\nother = self.b(x)  # !\na, pool = self.c(x)  # !\nreturn self.c(b) + skip",
            MODULES,
            "x, skip",
        ),
        net(
            "a = F.relu(self.a(x))\nb = self.b(x) if self.flag else self.b(a)\nx = self.c(b)\nx = self.a(x)\n"
            "pool = F.max_pool2d(self.c(a), 2)\ntotal = self.a(pool)\ntotal = total + b\n"
            "if self.flag:\n    other = self.b(x)\nelse:\n    other = self.c(x)\nother = F.relu(other)\n"
            "pool, b = self.b(x)",
            MODULES,
        ),
        POOLED,
    ),
    "unnamed_skips": Case(
        net("x = self.a(x)\nb = self.b(x)\nreturn torch.cat([x, b])  # !", "self.a = nn.ReLU()\nself.b = nn.ReLU()"),
        net("out = self.a(x)\nx = self.b(x)\nreturn out + x", "self.a = nn.ReLU()\nself.b = nn.ReLU()"),
    ),
    "shadowed_loops": Case(
        net(
            "return x",
            "for i in range(2):\n    for i in range(3):  # !\n        pass\nfor i, (a, i) in []:  # !\n    pass",
        ),
        net("return x", "for i in range(2):\n    for j in range(3):\n        pass\nfor i in range(2):\n    pass"),
    ),
    "split_conditions": Case(
        net(
            "if a:\n    x = b(x)\nif not a:  # !\n    x = c(x)\nif n == 1:\n    x = b(x)\nif n != 1:  # !\n    x = c(x)"
        ),
        net("if a:\n    x = b(x)\nelse:\n    x = c(x)\nif n:\n    n = 0\nif not n:\n    x = c(x)"),
    ),
    "derived_arguments": Case(
        unit("kernel, padding", "pass", "Unit(1, 0)", "Unit(3, 1)", "Unit(7, 3)"),
        unmarked(unit("kernel, count", "pass", "Unit(1, 4)", "Unit(3, 1)")),
    ),
    "numbered_arguments": Case(
        net("return x", arguments="x_2").replace("x_2):", "x_2):  # !"), net("return a_2", arguments="a_2"), CHAIN
    ),
    "equal_arguments": Case(
        unit("channels, filters", "pass", "Unit(width, width)", "Unit(2, 2)"),
        unmarked(unit("channels, filters", "pass", "Unit(8, width)", "Unit(2, 2)")),
    ),
    "repeated_operands": Case(
        net("return x + x", "a = n + n  # !\nb = 1 + n + n  # !"), net("return x + x", "a = 2 * n\nb = n + m + 1")
    ),
    "known_conditions": Case(
        net("return x", "if a != 1:\n    b = c if a != 1 else d  # !\nelse:\n    b = c if a == 1 else d  # !"),
        net("return x", "if a != 1:\n    b = c if a == 2 else d\nif a != 1:\n    a = 1\n    b = c if a != 1 else d"),
    ),
    "unlabelled_tables": Case(
        net("return x", "stages: list[tuple[int, int]] = [(1, 2), (3, 4)]  # !"),
        net(
            "return x",
            "# filters, stride\nstages = [(1, 2), (3, 4)]\nfor a, b in [(1, 2), (3, 4)]:\n    pass\n"
            "widths = [1, 2]\nrows = [{'a': 1, 'b': 2}, {'a': 3, 'b': 4}]\nlayers = [(nn.ReLU(), 1), (nn.ReLU(), 2)]",
        ),
    ),
    "wide_tables": Case(
        net("return x", "rows = [(1, 2, 3, 4, 5, 6, 7), (1, 2, 3, 4, 5, 6, 8)]  # !"),
        net("return x", "rows = [(1, 2, 3, 4, 5, 6), (1, 2, 3, 4, 5, 7)]"),
    ),
    "misnamed_tables": Case(
        net("return x", "stages = [(1, 4), (2, 8)]  # !\ncount = [1, 2, 3]  # !"),
        net("return x", "stages = [(4, 1), (8, 2)]\nwidths = [4, 8]"),
        STAGES,
    ),
    "long_floats": Case(
        net("return x", "rate = 0.0058823529411764705  # !"), net("return x", "a = 0.1 + 1e-06\nb = 60965224000000")
    ),
    "numbered_classes": Case(
        f"class Layers_2(nn.Module):  # !\n    pass\n{net('return x')}",
        f"class A_2:\n    pass\n{net('return x')}",
        CHAIN,
    ),
    "written_out": Case(
        net("return x", "\n".join(f"self.fc{i} = nn.Linear(4, 4)  # {'!' if i == 1 else ''}" for i in range(1, 25))),
        net("return x", "\n".join(f"self.linear_{i} = nn.Linear(4, 4)" for i in range(2, 31))),
        LAYERS,
    ),
    "infinite_literals": Case(net("return F.pad(x, value=-1e309)  # !"), net('return F.pad(x, value=float("-inf"))')),
    "equal_paddings": Case(
        net("return x", "self.a = nn.ReflectionPad2d((1, 1, 1, 1))  # !"),
        net("return x", "self.a = nn.ReflectionPad2d(1)\nself.b = nn.ZeroPad1d((1, 0))"),
    ),
    "narrow": Case(net("return torch.narrow(x, 2, 0, 1)  # !"), net("return x[:, :, :1]")),
    "wrappers": Case(
        net("return x", "layers: list[nn.Module] = [block]  # !\nself.a = nn.Sequential(*layers)"),
        net("return x", "layers = [block]\nlayers.append(block)\nself.a = nn.Sequential(*layers)"),
    ),
    "append_loops": Case(
        net("return x", "for _ in range(n):  # !\n    layers.append(Unit(c))"),
        net(
            "return x",
            "layers = [Unit(c) for _ in range(n)]\nfor n in widths:\n    layers.append(Unit(c, n))\n    c = n",
        ),
    ),
    "untyped": Case("def f(a: int, b):  # !\n    pass\n", "def f(self, a: int, *, b: int = 1) -> None:\n    pass\n"),
    "long_lines": Case(f"{'a' * 86} # !\n", f"{'a' * 88}\n"),
    "class_names": Case(
        "class M: pass  # !\nclass Layers24: pass  # !\nclass RepvggBlock: pass  # !\nclass RepVGG: pass\n",
        "class B4: pass\nclass B4Block: pass\nclass RepVGGBlock: pass\nclass RepVGG: pass\n",
        "name: repvgg\ninput: [4]\nlayers: [{linear: {name: b4, units: 4}}]",
    ),
    "bare_docstrings": Case(
        'class P1:  # !\n    """p1.\n\n    Input 4.\n    """\n',
        'class P1:\n    """A network.\n\n    p1\n    """\n',
        "name: p1\ninput: [4]\nlayers: [relu]",
    ),
    "numbered_attributes": Case(
        net("return x", "self.use_skip_2 = True  # !"), net("return x", "self.a_2 = nn.Linear(4, 4)"), CHAIN
    ),
    "numbered_by_the_spec": Case(
        net("return x", "self.a_2 = nn.Linear(4, 4)  # !"), net("return x", "self.use_skip_2 = True"), CHAIN
    ),
    "lost_params": Case(
        net("return x").replace("class Net(nn.Module):", "class Net(nn.Module):  # !"),
        net("return x").replace("(self):", "(self, classes=10):"),
        CLASSES,
    ),
    "fixed_params": Case(
        net("return x").replace("class Net(nn.Module):", "class Net(nn.Module):  # !"),
        net("return x").replace("(self):", "(self, base=10):"),
        SCALED,
    ),
    "renamed_inputs": Case(
        net("return x_ + t", arguments="x_, t").replace("t):", "t):  # !"),
        net("return x + t", arguments="x, t"),
        TWO_INPUTS,
    ),
}


def found(measure: str, text: str, spec: str = "") -> list[int]:
    """The lines that a measure finds in a file."""
    network = archspec.loads(spec) if spec else None
    return sorted({hit.line for hit in MEASURES[measure].find(Source("case", text, network))})


def test_every_measure_has_a_case() -> None:
    assert {*CASES, "lines"} == set(MEASURES)


@pytest.mark.parametrize("measure", CASES)
def test_finds_bad_code_and_no_other(measure: str) -> None:
    case = CASES[measure]
    marked = [number for number, line in enumerate((IMPORTS + case.bad).splitlines(), 1) if "# !" in line]
    assert found(measure, IMPORTS + case.bad, case.spec) == (marked or [1])
    assert found(measure, IMPORTS + case.good, case.spec) == []


def test_counts_lines() -> None:
    assert found("lines", "a = 1\n\nb = 2\n") == [1, 2, 3]


def test_a_file_is_broken_where_its_state_dict_is_another() -> None:
    text = IMPORTS + net("return self.c(x)", "self.c = nn.Linear(4, 10)")
    assert found("broken", text, CLASSES) == [1]
    assert found("broken", text.replace("self.c", "self.linear"), CLASSES) == []


def test_a_list_with_another_argument_follows_from_it() -> None:
    calls = ("Unit(1, 1)", "Unit(2, (1, 2, 2))")
    assert found("derived_arguments", IMPORTS + unit("stride, strides", "pass", *calls)) == [5]
    assert found("derived_arguments", IMPORTS + unit("stride, strides", "pass", *calls, "Unit(2, (2, 2, 2))")) == []


def test_arguments_that_the_spec_gives_may_follow_from_others() -> None:
    spec = """
        input: [4]
        blocks: {unit: {params: {a: , b: , c: "${2 * b}"}, layers: [identity]}}
        layers: [unit: {a: 1, b: 1}, unit: {a: 2, b: 2}]
    """
    network = archspec.loads(spec)
    text = IMPORTS + unit("a, b, c", "pass", "Unit(1, 1, 2)", "Unit(2, 2, 4)").replace("(self, width=8)", "(self)")
    source = Source("case", text + "\n    def forward(self, x):\n        return x\n", network)
    assert source.fault == ""
    assert list(MEASURES["equal_arguments"].find(source)) == []
    assert [hit.text for hit in MEASURES["derived_arguments"].find(source)] == ["Unit: c = a * 2"]


def test_blocks_keep_the_names_of_their_inputs() -> None:
    text = "class Gated:\n    def forward(self, {}): pass\nclass Net: pass\n"
    assert found("renamed_inputs", text.format("a, gate"), BLOCK_INPUTS) == []
    assert found("renamed_inputs", text.format("x1, x2"), BLOCK_INPUTS) == [2]


def test_two_layer_norms_in_a_row_keep_their_permutes() -> None:
    norms = "class LayerNorm1d(nn.LayerNorm):\n    def forward(self, x):\n        return {}\n"
    norms = norms.format("super().forward(x.transpose(1, 2)).transpose(1, 2)")
    text = IMPORTS + net("return self.b(self.a(x))", "self.a = LayerNorm1d(4)\nself.b = LayerNorm1d(4)", head=norms)
    spec = "input: [4, 6]\nlayers: [layer_norm: {name: a}, layer_norm: {name: b}]"
    assert found("broken", text, spec) == found("inverse_permutes", text, spec) == []
    assert found("inverse_permutes", text.replace("LayerNorm1d", "Norm"), spec) == [6]


# The tools.


def linted(tool: str, text: str, spec: str = CHAIN) -> list[tuple[int, str]]:
    """What a tool says of a file."""
    columns = {"column": [Source("case", text, archspec.loads(spec))]}
    return [(finding.line, finding.text) for finding in source_quality.linted(columns, [tool])]


def test_ruff_objects_but_not_to_the_names_of_the_spec() -> None:
    text = "from torch.nn import functional as F\n\n\ndef f(A_2, Wrong):\n    return F.relu(A_2, Wrong, A_2 == None)\n"
    assert [(line, message.split()[0]) for line, message in linted("ruff", text)] == [(4, "N803"), (5, "E711")]


def test_mypy_is_strict() -> None:
    assert linted("mypy", "def f(a: int) -> int:\n    return a\n") == []
    [(line, message)] = linted("mypy", "def f(a) -> int:\n    return 1\n")
    assert (line, message[-15:]) == (1, "[no-untyped-def]"[-15:])


# The command.

SMALL = "name: small\ndescription: A network.\ninput: [4]\nlayers: [{linear: {name: fc, units: 4}}]\n"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit status of the command."""
    monkeypatch.setattr(sys, "argv", ["source_quality.py", *arguments])
    with pytest.raises(SystemExit) as stop:
        source_quality.main()
    return int(stop.value.code or 0)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path, report = tmp_path / "small.yaml", tmp_path / "report.json"
    path.write_text(SMALL, encoding="utf-8")
    good = net("return self.fc(x)", "self.fc = nn.Linear(4, 4)").replace("(self)", "(self) -> None")
    good = IMPORTS + good.replace("(self, x)", "(self, x: torch.Tensor) -> torch.Tensor")
    bad = good.replace("return self.fc(x)", "x_2 = self.fc(x)\n        return x_2")

    monkeypatch.setattr(archspec, "generate", lambda network: good)
    assert run(monkeypatch, str(path), "--without-tools", "--files") == 0
    out = capsys.readouterr().out
    assert f"{len(good.splitlines())} lines; nothing" in out
    assert "small.yaml (1)" in out

    monkeypatch.setattr(archspec, "generate", lambda network: bad)
    assert run(monkeypatch, str(tmp_path), "--without-tools", "--findings", "--json", str(report)) == 1
    out = capsys.readouterr().out
    assert "small:11: numbered_variables: x_2\n" in out
    assert "!  3  numbered_variables" in out
    data = json.loads(report.read_text(encoding="utf-8"))
    assert data["counts"]["numbered_variables"] == {str(tmp_path): 1}
    assert [finding["measure"] for finding in data["findings"]] == ["numbered_variables"]


def test_random_networks_are_the_same_for_the_same_seeds() -> None:
    first, second = ([source.text for source in source_quality.sources("random:3-6")] for _ in range(2))
    assert len(first) == 3
    assert first == second
