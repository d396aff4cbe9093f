"""Bundles: a spec with all that it extends and includes, and its params as set, in one text that means the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from random_specs import random_spec

import archspec
from archspec.backends.source import generate_source
from archspec.errors import Source
from archspec.report.bundle import bundle_spec
from archspec.report.yaml_text import block, entry, flow
from archspec.syntax import parse

UNSEEN = sorted((Path(__file__).parent / "specs" / "unseen").glob("*.yaml"))


def bundle(net: archspec.Network) -> str:
    return bundle_spec(net.elaboration, net.overrides, net.own_inputs)


def scopes(net: archspec.Network) -> list[list[tuple[str, str | None, str, Any]]]:
    """What the scopes around each node are, with the arguments of their blocks."""
    return [
        [(scope.kind, scope.block, scope.path, scope.arguments) for scope in node.scope.chain()]
        for node in net.graph.nodes
    ]


def check(net: archspec.Network) -> str:
    """A bundle is a spec without faults, of an equal network with equal blocks, and its own bundle."""
    text = bundle(net)
    again = archspec.loads(text)
    assert again.graph.to_json() == net.graph.to_json()
    assert again.graph.structural_hash() == net.graph.structural_hash()
    assert scopes(again) == scopes(net)
    assert {name: net.params[name] for name in again.params} == again.params
    assert bundle(again) == text
    assert not [finding for finding in again.check() if finding.severity == "error"]
    return text


@pytest.mark.parametrize("spec", [*archspec.list_specs(), *UNSEEN], ids=lambda spec: getattr(spec, "stem", spec))
def test_every_spec(spec: str | Path) -> None:
    net = archspec.load(spec)
    text = check(net)
    assert "extends" not in text
    assert net.overridden or len(archspec.loads(text).document.expect) == len(net.document.expect)


@pytest.mark.parametrize("spec", ["wide_resnet50_2", "efficientnet_b3", "vgg11_bn", "googlenet", *UNSEEN[:3]], ids=str)
def test_the_same_classes(spec: str | Path) -> None:
    net = archspec.load(spec)
    assert generate_source(archspec.loads(bundle(net))) == generate_source(net)


@pytest.mark.parametrize("seeds", [range(start, start + 100) for start in range(0, 400, 100)], ids=str)
def test_random_specs(seeds: range) -> None:
    for seed in seeds:
        check(archspec.loads(random_spec(seed)))


def test_a_bundle_reads_as_if_written_by_hand(golden: Callable[[str, str], None]) -> None:
    net = archspec.load("wide_resnet50_2", num_classes=10, input=(3, 64, 64))
    golden("bundle/wide_resnet50_2.yaml", check(net))


def test_a_bundle_of_another_network_is_not_given_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archspec.report.bundle._defaults", lambda library: {})
    with pytest.raises(RuntimeError, match="the bundle of resnet18 is another network"):
        bundle(archspec.load("resnet18"))


def test_on_the_command_line(command_line: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    target = tmp_path / "mine.yaml"
    options = ("--set", "num_classes=10", "--input", "3x64x64")
    assert command_line("show", "wide_resnet50_2", "--bundle", *options, "-o", str(target)) == (0, "", "")
    net = archspec.load("wide_resnet50_2", num_classes=10, input=(3, 64, 64))
    assert target.read_text() == bundle(net)
    status, out, err = command_line("show", "lenet5", "--bundle", "--source")
    assert (status, out) == (2, "")
    assert "--source prints the file as it was written" in err


# What was given for one call.


def test_overrides_take_the_place_of_what_is_declared() -> None:
    text = """
    input: [3, $size, $size]
    params: {size: 8, width: 4, twice: "${2 * width}", title: null, rates: [0.5], half: "${size // 4}"}
    layers:
      - conv: {filters: $twice, kernel: 3, padding: $half, name: "${title if title else 'c'}"}
      - dropout: "${rates[0]}"
    expect: {params: 224}
    """
    net = archspec.loads(text, twice=6, rates=(1,), title="a", input=(3, 9, 7))
    lines = check(net).splitlines()
    assert "input: [3, 9, 7]" in lines
    assert "  width: 4" not in lines, "nothing mentions it any more"
    assert {"  size: 8", "  twice: 6", "  rates: [1]", "  title: a"} <= set(lines)
    assert not [line for line in lines if line.startswith("expect")]
    assert "expect: {params: 224}" in check(archspec.loads(text)).splitlines()


def test_a_dollar_that_was_given_stands_for_itself() -> None:
    text = 'input: [3]\nparams: {label: a, table: {}}\nlayers: [linear: "${len(label) + len(table.x[0])}"]\n'
    net = archspec.loads(text, label="$x ${1 + 1} $$", table={"x": ["$y"]})
    again = archspec.loads(check(net))
    assert again.params == {"label": "$x ${1 + 1} $$", "table": {"x": ["$y"]}}


def test_a_spec_named_after_its_file(tmp_path: Path) -> None:
    for stem in ("class", "9", "a b", "x" * 120):
        path = tmp_path / f"{stem}.yaml"
        path.write_text("input: [3]\nlayers: [relu]\n")
        net = archspec.load(path)
        assert archspec.loads(check(net)).name == net.name


# Blocks of several files.


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder / "main.yaml"


INCLUDES = {
    "main": """
extends: base
params: {x: 7}
blocks:
  head: {params: {units: , more: 1}, layers: [flatten, linear: "${units + more}"]}
""",
    "base": """
include: [shared]
input: [3, 8, 8]
params: {x: 9, classes: 4}
defaults: {conv: {padding: half, kernel: 3}}
layers:
  - unit: 6
  - conv: $x
  - head: $classes
""",
    "shared": """
include: [parts]
defaults: {conv: {bias: false}}
blocks:
  unit: {params: {f: }, layers: [part, conv: {name: x, filters: $f}, conv: "${x.channels}", head]}
  head: {layers: [relu]}
  never: {layers: [relu]}
""",
    "parts": "blocks: {part: {layers: [silu, conv: 5]}}\n",
}


def test_included_blocks_keep_what_they_see(tmp_path: Path) -> None:
    """Their own defaults, their own blocks though the spec has others of the same name, and no params."""
    net = archspec.load(written(tmp_path, **INCLUDES))
    assert [(node.path, node.op.op, node.shape) for node in net.graph.nodes] == [
        ("unit.part.silu", "silu", (3, 8, 8)),
        ("unit.part.conv", "conv", (5, 8, 8)),
        ("unit.x", "conv", (6, 8, 8)),
        ("unit.conv", "conv", (6, 8, 8)),
        ("unit.head.relu", "relu", (6, 8, 8)),
        ("conv", "conv", (7, 8, 8)),
        ("head.flatten", "flatten", (448,)),
        ("head.linear", "linear", (5,)),
    ]
    text = check(net)
    assert "only: [part, unit]" in text
    assert "never" not in text
    assert text.partition("\nlayers:")[0].endswith(
        """
include:
  - only: [part, unit]
    include:
      - blocks:
          part:
            layers:
              - silu
              - conv: 5
    defaults: {conv: {bias: false}}
    blocks:
      unit:
        params: {f: }
        layers:
          - part
          - conv: {name: x, filters: $f}
          - conv: ${x.channels}
          - head
      head:
        layers:
          - relu

blocks:
  head:
    params: {units: , more: 1}
    layers:
      - flatten
      - linear: ${units + more}
"""
    )


def test_libraries_that_double_at_every_level_end(tmp_path: Path) -> None:
    files = {"main": "include: [l20a, l20b]\ninput: [3]\nlayers: [b20a]\n"}
    for level in range(21):
        for side in "ab":
            below = f"include: [l{level - 1}a, l{level - 1}b]\n" if level else ""
            calls = f"[b{level - 1}a, b{level - 1}b]" if level else "[relu]"
            files[f"l{level}{side}"] = f"{below}blocks: {{b{level}{side}: {{layers: {calls}}}}}\n"
    net = archspec.load(written(tmp_path, **{**files, "main": files["main"].replace("20", "6")}))
    check(net)
    files["l20a"] = "include: [l19a, l19b]\nblocks: {b20a: {layers: [b0a, b1a, b19a: {when: false}]}}\n"
    net = archspec.load(written(tmp_path, **files))
    with pytest.raises(archspec.SpecError, match=r"error\[limit\]: what the spec includes is larger than 1 MiB"):
        bundle(net)


# Random trees of files: blocks that hide others, defaults that differ, names that mean different things.

NAMES = ("a", "b", "c", "d", "e")


class Files:
    """A random tree of specs, as the text of each file."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.files: dict[str, str] = {}
        self.brings: dict[str, list[str]] = {}

    def pick(self, found: list[str], most: int) -> list[str]:
        return self.random.sample(found, self.random.randint(0, min(most, len(found))))

    def steps(self, callable_: list[str], values: list[str], top: bool = False) -> list[Any]:
        steps: list[Any] = []
        named: list[str] = []
        for _ in range(self.random.randint(3, 6) if top else self.random.randint(1, 3)):
            kind = self.random.choice(["conv", "call", "call", "call", "call", "scope", "tensor"])
            arguments: dict[str, Any] = {}
            if self.random.random() < 0.3:
                name = self.random.choice([each for each in NAMES if each not in named] or ["z"])
                arguments["name"] = name
                named.append(name)
            if kind == "call" and callable_:
                if self.random.random() < 0.3:
                    arguments["when"] = self.random.choice([True, False, "${input.channels > 3}"])
                steps.append({self.random.choice(callable_): arguments})
            elif kind == "scope":
                inner = self.steps(callable_, values) if self.random.random() < 0.5 else ["relu"]
                steps.append({self.random.choice(["sequential", "inline"]): inner})
            elif kind == "tensor" and named:
                steps.append({"conv": {"filters": f"${{{self.random.choice(named)}.channels}}"}})
            else:
                filters = self.random.choice([1, 2, 4, "$input.channels", *(f"${value}" for value in values)])
                steps.append({"conv": {**arguments, "filters": filters}})
        return steps

    def block(self, callable_: list[str], params: list[str]) -> dict[str, Any]:
        own = {name: self.random.randint(1, 5) for name in self.pick(list(NAMES), 2)}
        return {"params": own, "layers": self.steps(callable_, [*own, *params])}

    def defaults(self) -> dict[str, Any]:
        arguments = {"kernel": self.random.choice([1, 3]), "bias": self.random.random() < 0.5, "padding": "half"}
        return {"conv": {key: arguments[key] for key in self.pick(list(arguments), 3)}}

    def blocks(self, brought: list[str], params: list[str], hides: bool) -> dict[str, Any]:
        names = [name for name in (f"unit_{name}" for name in NAMES) if hides or name not in brought]
        own = self.random.sample(names, self.random.randint(min(1, len(names)), min(3, len(names))))
        known, found = [name for name in brought if name not in own], {}
        for name in own:
            found[name] = self.block(known, params)
            known.append(name)
        return found

    def library(self, name: str) -> None:
        include: list[str] = []
        for other in self.random.sample(list(self.brings), min(len(self.brings), self.random.randint(0, 2))):
            brought = [each for here in include for each in self.brings[here]]
            if not set(brought) & set(self.brings[other]):
                include.append(other)
        brought = [each for here in include for each in self.brings[here]]
        blocks = self.blocks(brought, [], hides=False)
        self.brings[name] = [*brought, *blocks]
        self.files[name] = flow({"include": include, "defaults": self.defaults(), "blocks": blocks})

    def spec(self, name: str, base: str | None, below: list[str]) -> list[str]:
        """Write a spec over `base`, whose blocks are `below`; return all blocks that it can call."""
        include = self.pick(list(self.brings)[::-1], 2) or list(self.brings)[-1:]
        if len({each for here in include for each in self.brings[here]}) < sum(len(self.brings[h]) for h in include):
            include = include[:1]
        brought = [each for here in include for each in self.brings[here]]
        params = {each: self.random.randint(1, 5) for each in self.pick(list(NAMES), 3)}
        blocks = self.blocks(brought, list(params), hides=False) if base is None else {}
        if base is not None:  # blocks of the base are hidden by new ones
            blocks = self.blocks([each for each in below if each not in brought], list(params), hides=True)
            blocks = {each: block for each, block in blocks.items() if each not in brought}
        known = list(dict.fromkeys([*below, *brought, *blocks]))
        found: dict[str, Any] = {"extends": base} if base else {"input": [3, 8, 8]}
        found |= {"include": include, "params": params, "blocks": blocks, "defaults": self.defaults()}
        uses = [{"conv": f"${each}"} for each in params]
        if base is None or self.random.random() < 0.5 or uses:
            found["layers"] = [*self.steps(known, list(params), top=True), *uses]
        self.files[name] = flow(found)
        return known


def random_files(seed: int) -> dict[str, str]:
    files = Files(seed)
    for position in range(files.random.randint(1, 4)):
        files.library(f"lib{position}")
    below = files.spec("base", None, [])
    if files.random.random() < 0.5:
        below = files.spec("mid", "base", below)
        files.spec("main", "mid", below)
    else:
        files.spec("main", "base", below)
    return files.files


@pytest.mark.parametrize("seeds", [range(start, start + 150) for start in range(0, 600, 150)], ids=str)
def test_random_files(seeds: range, tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    for seed in seeds:
        folder = tmp_path / str(seed)
        folder.mkdir()
        files = random_files(seed)
        try:
            net = archspec.load(written(folder, **files))
        except archspec.SpecError:
            continue  # a name that two files bring, a kernel that does not fit
        try:
            text = check(net)
        except (AssertionError, RuntimeError, archspec.SpecError) as error:
            pytest.fail(f"seed {seed}: {error}\n" + "\n".join(f"{name}: {text}" for name, text in files.items()))
        libraries = parse(Source("bundle", text)).plain().get("include", [])
        seen.update(["valid", *(key for library in libraries for key in library)])
        if seed % 3 == 0 and net.params:
            given = {Random(seed).choice(list(net.params)): 6}
            with suppress(archspec.SpecError):  # with other channels a step may be left out that is read
                net = archspec.load(folder / "main.yaml", input=(4, 9, 9), **given)
            check(net)
    assert seen["valid"] > len(seeds) // 4, seen
    assert min(seen[key] for key in ("include", "only", "blocks", "defaults")) > 1, seen


# `include` with what a file would hold.


def refused(text: str) -> list[tuple[str, str, int, int]]:
    with pytest.raises(archspec.SpecError) as caught:
        archspec.loads(text)
    return [(f.code, f.message, f.span.line, f.span.column) for f in caught.value.diagnostics if f.span]


def test_an_entry_of_include_may_be_the_content_of_a_file() -> None:
    same = "{defaults: {conv: {bias: false}}, blocks: {unit: {layers: [conv: 4]}}}"
    one = f"include: [{{include: [{same}], blocks: {{a: {{layers: [unit]}}}}}}, {same}]\n"
    net = archspec.loads(f"{one}input: [3, 8, 8]\nlayers: [a, unit, conv: 2]\n")
    assert [key for key in net.graph.state_dict() if "bias" in key] == ["conv.bias"], "equal entries are one library"
    other = same.replace("4", "5")
    assert refused(f"include: [{same}, {other}]\ninput: [3, 8, 8]\nlayers: [unit]\n") == [
        ("block", "the block `unit` is defined twice", 1, 13 + len(same))
    ]


def test_wrong_entries_of_include() -> None:
    text = "include:\n  - {only: [unit, unti], blocks: {unit: {layers: [relu]}}}\ninput: [3]\nlayers: [unit]\n"
    assert refused(text) == [("block", "only: unknown block `unti`", 2, 19)]
    with pytest.raises(archspec.SpecError, match="did you mean `unit`"):
        archspec.loads(text)
    assert refused("include:\n  - {block: {}}\ninput: [3]\nlayers: [relu]\n")[0][0::2] == ("argument", 2)
    hidden = "include:\n  - {only: [], blocks: {unit: {layers: [relu]}}}\ninput: [3]\nlayers: [unit]\n"
    assert refused(hidden) == [("op", "unknown op `unit`", 4, 10)]
    sees = "include:\n  - blocks: {unit: {layers: [linear: $n]}}\ninput: [3]\nparams: {n: 3}\nlayers: [unit]\n"
    assert refused(sees) == [("expression", "unknown name `n`", 2, 38)]


# YAML.


@pytest.mark.parametrize(
    "value",
    [
        *("plain", "$a.b", "${a: b}", "a: b", "a #b", "a:", "a ", " a", "", "null", "True", "~", "on", "1", "1e5", "-"),
        *("- a", '"', "'", "a\nb", "\\", "\x1b[2J", "\u2028", "é", "\U0001f600", "@a", "&a", "*a", "!a", "%a", "a, b"),
        *("{a", "[a", "#"),
        *(None, True, False, 0, -3, 1.5, 1e-5, 1e22, 2**63 - 1, [], {}, [None], {"a": None}, [[], {}], {"layers": 3}),
        {"layers": [{"conv": {"layers": [1, {"a": {}}]}}], "layer": [[{"a": 1}, [2, [{"b": None, "c": "x" * 200}]]]]},
        {"x" * 90: list(range(100)), "0": "0", "on": "no", "a b": {"c: d": ["#"]}},
        [["x" * 70, "y" * 70], {"a": "x" * 150}, {"a": {"b": "x" * 150}}, {"a": ["x" * 150]}],
    ],
    ids=repr,
)  # fmt: skip
def test_yaml_text_reads_back(value: Any) -> None:
    for text in (f"k: {flow(value)}", "\n".join(entry("k", value)), "\n".join(block({"k": value}))):
        assert parse(Source("x", text)).plain() == {"k": value}
    assert parse(Source("x", "k:\n" + "\n".join(f"  {line}" for line in block([value, 1])))).plain() == {
        "k": [value, 1]
    }
