"""Bad input and what it gets: a stable code, and the place. Each case is titled; `|` marks the place in the spec's text.

Every case is a whole spec, or steps that go under a plain head. What the command line gets is in `test_cli.py`, what
the back ends get in their own tests.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

import archspec

HEAD = "input: [4, 8, 8]\nlayers:\n"

STEPS: dict[str, tuple[str, str]] = {
    "tag: python object": ("  - conv: |!!python/object/apply:os.system [ls]\n", "tag"),
    "tag: local": ("  - conv: |!foo 3\n", "tag"),
    "tag: binary": ("  - conv: |!!binary aGk=\n", "tag"),
    "alias": ("  - conv: |*a\n", "alias"),
    "anchor": ("  - conv: |&a 3\n", "alias"),
    "anchor that contains itself": ("  - conv: |&a [*a]\n", "alias"),
    "merge key": ("  - conv: {|<<: {filters: 3}}\n", "alias"),
    "duplicate key": ("  - conv: {filters: 3, |filters: 4}\n", "duplicate"),
    "number as a key": ("  - conv: {|1: 3}\n", "key"),
    "boolean as a key": ("  - conv: {|true: 3}\n", "key"),
    "null as a key": ("  - conv: {|~: 3}\n", "key"),
    "no for a boolean": ("  - conv: {filters: 3, bias: |no}\n", "type"),
    "on for a boolean": ("  - conv: {filters: 3, bias: |on}\n", "type"),
    "010 for a number": ("  - conv: |010\n", "type"),
    "1_000 for a number": ("  - conv: |1_000\n", "type"),
    "3:4 for a number": ("  - conv: |3:4\n", "type"),
    "nan": ("  - dropout: |.nan\n", "number"),
    "inf": ("  - dropout: |-.inf\n", "number"),
    "true for an integer": ("  - conv: |true\n", "type"),
    "3.0 for an integer": ("  - conv: |3.0\n", "type"),
    "quoted number for an integer": ('  - conv: |"3"\n', "type"),
    "channels beyond the limit": (f"  - conv: |{10**30}\n", "limit"),
    "name: newline": ('  - relu: {name: |"conv1\\n"}\n', "name"),
    "name: blank": ("  - relu: {name: |x y}\n", "name"),
    "name: quote": ("  - relu: {name: |a'b}\n", "name"),
    "name: dot": ("  - relu: {name: |a.b}\n", "name"),
    "name: empty": ('  - relu: {name: |""}\n', "name"),
    "name: class": ("  - relu: {name: |class}\n", "name"),
    "name: None": ("  - relu: {name: |None}\n", "name"),
    "name: forward": ("  - relu: {name: |forward}\n", "name"),
    "name: training": ("  - relu: {name: |training}\n", "name"),
    "name: parameters": ("  - relu: {name: |parameters}\n", "name"),
    "name: dunder": ("  - relu: {name: |__x}\n", "name"),
    "name: Cyrillic": ("  - relu: {name: |cоnv}\n", "name"),
    "name: ligature": ("  - relu: {name: |ﬁ}\n", "name"),
    "name: bidi": ('  - relu: {name: |"a\\u202eb"}\n', "name"),
    "name twice": ("  - relu: {name: a}\n  - relu: {name: |a}\n", "name"),
    "expression: tower": ("  - conv: |${9**9**9}\n", "limit"),
    "expression: shift": ("  - conv: |${1 << 10**9}\n", "expression"),
    "expression: text times": ("  - conv: |${'a' * 10**9}\n", "expression"),
    "expression: list times": ("  - conv: |${[0] * 10**9}\n", "expression"),
    "expression: parentheses": ("  - conv: |${" + "(" * 300 + "1" + ")" * 300 + "}\n", "expression"),
    "expression: minus signs": ("  - conv: |${" + "-" * 3000 + "1}\n", "expression"),
    "expression: class": ("  - conv: |${().__class__}\n", "expression"),
    "expression: lambda": ('  - conv: |"${(lambda: 1)()}"\n', "expression"),
    "expression: walrus": ("  - conv: |${(a := 1)}\n", "expression"),
    "expression: f-string": ("  - conv: |${f'{1}'}\n", "expression"),
    "expression: nested comprehensions": (
        "  - conv: |${len([1 for a in [0]*1000 for b in [0]*1000 for c in [0]*1000])}\n",
        "expression",
    ),
    "expression: division by zero": ("  - conv: |${1/0}\n", "expression"),
    "expression: overflow": ("  - dropout: |${1e999}\n", "expression"),
    "expression: nan": ("  - dropout: |${0 * 1e999}\n", "expression"),
    "expression: float for an integer": ("  - conv: |${7/2}\n", "type"),
    "expression: many digits": ("  - conv: |${" + "1" * 5000 + "}\n", "expression"),
    "unknown op": ("  - |cnov: 3\n", "op"),
    "unknown argument": ("  - conv: {filters: 3, |kernal: 3}\n", "argument"),
    "unknown name in an expression": ("  - conv: |$width\n", "expression"),
    "missing argument": ("  - |conv\n", "argument"),
    "from a later step": ("  - relu: {from: |b}\n  - tanh: {name: b}\n", "reference"),
    "from itself": ("  - relu: {name: a, from: |a}\n", "reference"),
    "from another scope": ("  - sequential: [{relu: {name: a}}]\n  - add: |a\n", "reference"),
    "a step that reaches no output": ("  - |relu\n  - tanh: {from: input}\n", "unused"),
    "repeat 10**9": ("  - relu: {repeat: |1000000000}\n", "limit"),
    "nested repeats": (
        "  - inline: {repeat: |2000, layers: [{inline: {repeat: 2000, layers: [{relu: {repeat: 2000}}]}}]}\n",
        "limit",
    ),
    "repeat -1": ("  - relu: {repeat: |-1}\n", "value"),
    "repeat 1.5": ("  - relu: {repeat: |1.5}\n", "type"),
    "repeat true": ("  - relu: {repeat: |true}\n", "type"),
    "stride 0": ("  - conv: {filters: 3, stride: |0}\n", "value"),
    "kernel -1": ("  - conv: {filters: 3, kernel: |-1}\n", "value"),
    "dilation 0": ("  - conv: {filters: 3, dilation: |0}\n", "value"),
    "groups 0": ("  - conv: {filters: 4, groups: |0}\n", "value"),
    "filters 0": ("  - conv: |0\n", "value"),
    "units -1": ("  - linear: |-1\n", "value"),
    "padding -1": ("  - conv: {filters: 3, padding: |-1}\n", "value"),
    "groups that do not divide": ("  - conv: {filters: 4, groups: |3}\n", "shape"),
    "kernel larger than the input": ("  - conv: {filters: 4, kernel: |9}\n", "shape"),
    "pool padding over half the kernel": ("  - max_pool: {kernel: 2, padding: |2}\n", "shape"),
    "add that would broadcast": ("  - global_avg_pool\n  - |add: input\n", "shape"),
    "dropout 1.5": ("  - dropout: |1.5\n", "value"),
    "dropout -0.1": ("  - dropout: |-0.1\n", "value"),
    "eps as text": ("  - batch_norm: {eps: |small}\n", "type"),
    "eps -1": ("  - batch_norm: {eps: |-1}\n", "value"),
    "empty step": ("  - |{}\n", "op"),
    "two keys in a step": ("  - conv: 3\n    |relu:\n", "op"),
    "a condition that is none": ("  - relu: {when: |yes}\n", "type"),
}

SPECS: dict[str, tuple[str, str]] = {
    "empty": ("|", "document"),
    "a list": ("|- relu\n", "document"),
    "two documents": ("input: [4]\nlayers: [relu]\n|---\ninput: [4]\n", "document"),
    "no layers": ("|input: [4]\n", "document"),
    "unknown key": ("input: [4]\n|layer: [relu]\n", "key"),
    "tab": ("input: [4]\nlayers:\n|\t- relu\n", "syntax"),
    "control character": ("input: [4]\nname: a|\x07\n", "encoding"),
    "NUL": ("input: [4]\nname: a|\0\n", "encoding"),
    "deep flow": ("input: " + "[" * 99 + "|[" + "[" * 100_000, "depth"),
    "alias bomb": (
        "a: |&a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\ninput: *c\n",
        "alias",
    ),
    "block that calls itself": ("input: [4]\nblocks: {b: {layers: [|b]}}\nlayers: [b]\n", "cycle"),
    "blocks that call each other": (
        "input: [4]\nblocks: {a: {layers: [b]}, b: {layers: [|a]}}\nlayers: [a]\n",
        "cycle",
    ),
    "block with the name of an op": ("input: [4]\nblocks: {|relu: {layers: [tanh]}}\nlayers: [relu]\n", "block"),
    "unknown block argument": (
        "input: [4]\nblocks: {b: {params: {width: 1}, layers: [relu]}}\nlayers: [{b: {|widht: 2}}]\n",
        "argument",
    ),
    "missing block argument": (
        "input: [4]\nblocks: {b: {params: {width: }, layers: [relu]}}\nlayers: [|b]\n",
        "argument",
    ),
    "five axes": ("input: |[1, 2, 3, 4, 5]\nlayers: [relu]\n", "value"),
    "input of size 0": ("input: [3, |0]\nlayers: [relu]\n", "value"),
    "name that is none": ("name: |a'b\ninput: [4]\nlayers: [relu]\n", "name"),
}

EXTENDING = {
    "extends: parent folder": ("extends: |../secret.yaml\n", "path"),
    "extends: absolute": ("extends: |/etc/passwd\n", "path"),
    "extends: link out": ("extends: |link.yaml\n", "path"),
    "extends: itself": ("extends: |spec.yaml\n", "cycle"),
    "extends: nothing of that name": ("extends: |resnet19\n", "file"),
    "include: parent folder": ("include: [|../secret.yaml]\ninput: [4]\nlayers: [relu]\n", "path"),
    "include: a whole network": ("include: [net.yaml]\ninput: [4]\nlayers: [relu]\n", "key"),
}


def marked(text: str) -> tuple[str, int, int]:
    """The text without its mark, and the line and column of the first mark; other marks stand for other findings."""
    at = text.index("|")
    return text.replace("|", ""), text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1


def findings(text: str) -> list[tuple[str, int, int]]:
    with pytest.raises(archspec.SpecError) as caught:
        archspec.loads(text)
    return [(found.code, *(found.span[1:3] if found.span else (0, 0))) for found in caught.value.diagnostics]


@pytest.mark.parametrize("title", STEPS)
def test_bad_step(title: str) -> None:
    text, code = STEPS[title]
    text, line, column = marked(HEAD + text)
    start = time.perf_counter()
    assert (code, line, column) in findings(text)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize("title", [title for title in STEPS if "alias" not in title and "anchor" not in title])
def test_one_mistake_is_one_error(title: str) -> None:
    """What follows from a mistake is not told as another."""
    text, _ = STEPS[title]
    assert len(findings(marked(HEAD + text)[0])) == 1


@pytest.mark.parametrize("title", SPECS)
def test_bad_spec(title: str) -> None:
    text, code = SPECS[title]
    text, line, column = marked(text)
    found = findings(text)
    assert (code, line, column) == found[0]


@pytest.mark.parametrize("title", EXTENDING)
def test_files_stay_in_their_folder(title: str, tmp_path: Path) -> None:
    text, code = EXTENDING[title]
    folder = tmp_path / "specs"
    folder.mkdir()
    (tmp_path / "secret.yaml").write_text("input: [4]\nlayers: [relu]\n")
    (folder / "net.yaml").write_text("input: [4]\nlayers: [relu]\n")
    (folder / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    spec = folder / "spec.yaml"
    spec.write_text(text.replace("|", ""))
    with pytest.raises(archspec.SpecError) as caught:
        archspec.load(spec)
    found = caught.value.diagnostics[0]
    assert found.code == code
    assert found.span
    if "|" in text:
        assert tuple(found.span[1:3]) == marked(text)[1:]
    assert "secret" not in (found.span.source.text if code != "path" else "")


def test_cycle_of_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: b\n")
    (tmp_path / "b.yaml").write_text("extends: a\n")
    with pytest.raises(archspec.SpecError, match=r"a\.yaml -> b\.yaml -> a\.yaml"):
        archspec.load(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("data", "code", "place"),
    [
        ("input: [4]\nlayers: [relu]\n".encode("utf-16"), "encoding", (1, 1)),
        (b"input: [4]\nname: \xff\nlayers: [relu]\n", "encoding", (2, 7)),
        (b"a" * (1 << 20) + b"b", "limit", None),
    ],
)
def test_bad_files(data: bytes, code: str, place: tuple[int, int] | None, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_bytes(data)
    with pytest.raises(archspec.SpecError) as caught:
        archspec.load(spec)
    found = caught.value.diagnostics[0]
    assert found.code == code
    assert (found.span and tuple(found.span[1:3])) == place


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.yaml")
    (tmp_path / "folder.yaml").mkdir()
    for path in ("/dev/zero", str(tmp_path / "fifo.yaml"), str(tmp_path / "folder.yaml"), str(tmp_path / "none.yaml")):
        with pytest.raises(archspec.SpecError) as caught:
            archspec.load(path)
        assert caught.value.diagnostics[0].code == "file"


@pytest.mark.parametrize("text", ["﻿" + HEAD + "  - relu\n", (HEAD + "  - relu\n").replace("\n", "\r\n")])
def test_harmless(text: str, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(text, encoding="utf-8", newline="")
    assert len(archspec.load(spec).graph) == 1


def test_huge_tensors_are_counted_exactly() -> None:
    report = archspec.loads(f"input: [1, {10**8}, {10**8}]\nlayers:\n  - conv: {10**9}\n").analyze()
    assert report.layers[0].macs == 10**25
    assert report.totals.params == 2 * 10**9


FIVE = """\
name: five
input: [3, 32, 32]
params: {width: 64}
blocks:
  unit:
    params: {filters: }
    layers:
      - conv: {filters: $filters, kernel: 3, pading: 1}
      - relu
layers:
  - cnov: 64
  - unit: {filter: 3}
  - relu: {from: steem}
  - dropout: 1.5
  - linear: $widht
"""


def test_five_mistakes_are_five_errors() -> None:
    with pytest.raises(archspec.SpecError) as caught:
        archspec.loads(FIVE)
    found = {(d.code, d.span and d.span.line): d.help for d in caught.value.diagnostics}
    assert {("argument", 8), ("op", 11), ("argument", 12), ("reference", 13), ("value", 14), ("expression", 15)} <= set(found)
    assert found["argument", 8] == "did you mean `padding`?"
    assert found["op", 11] == "did you mean `conv`?"
    assert found["expression", 15] == "did you mean `width`?"


@pytest.mark.parametrize(
    ("step", "help"),
    [
        ("bacth_norm", "did you mean `batch_norm`?"),
        ("conv: {filters: 3, strides: 2}", "did you mean `stride`?"),
        ("residul", "did you mean `residual`?"),
        ("residual: {filter: 3}", "did you mean `filters`?"),
        ("conv: $num_class", "did you mean `num_classes`?"),
        ("relu: {from: steem}", "did you mean `stem`?"),
        ("upsample: {scale: 2, mode: nearst}", "did you mean `nearest`?"),
    ],
)
def test_the_nearest_name_is_told(step: str, help: str) -> None:
    text = "input: [4, 8, 8]\nparams: {num_classes: 10}\n"
    text += "blocks:\n  residual: {params: {filters: 1}, layers: [{conv: $filters}]}\n"
    text += f"layers:\n  - relu: {{name: stem}}\n  - {step}\n  - conv: $num_classes\n"
    with pytest.raises(archspec.SpecError) as caught:
        archspec.loads(text)
    assert help in {found.help for found in caught.value.diagnostics}


CHAIN = """\
name: chain
input: [64, 56, 56]
blocks:
  residual:
    params: {filters: , stride: 1}
    layers:
      - conv: {name: conv1, filters: $filters, kernel: 3, stride: $stride, padding: 1}
      - batch_norm: {name: bn2}
      - add: [bn2, input]
layers:
  - residual: {name: layer1, repeat: 2, filters: 64}
  - residual: {name: layer2, repeat: 3, filters: 128, stride: "${2 if index == 1 else 1}"}
"""


def test_the_message_names_the_whole_chain() -> None:
    with pytest.raises(archspec.SpecError) as caught:
        archspec.loads(CHAIN, name="specs/chain.yaml")
    assert (
        caught.value.diagnostics[0].render()
        == """\
error[shape]: add: operands differ: 128x56x56 (bn2) and 64x56x56 (input)
  --> specs/chain.yaml:9:9
  |
9 |       - add: [bn2, input]
  |         ^^^
   = in block residual, copy 1 of 3, used as layer2 at specs/chain.yaml:12:5
   = help: a 1x1 conv with filters 128 on `input` makes them equal"""
    )


HOSTILE = {
    "repeat": "input: [4]\nlayers:\n  - relu: {repeat: 1000000000}\n",
    "nested repeats": "input: [4]\nlayers:\n  - inline: {repeat: 9999, layers: [{inline: {repeat: 9999, layers: [relu]}}]}\n",
    "deep flow": "input: " + "[" * 100_000,
    "deep blocks": "input: [4]\nblocks:\n"
    + "".join(f"  b{n}: {{layers: [b{n + 1}]}}\n" for n in range(5_000))
    + "  b5000: {layers: [relu]}\nlayers: [b0]\n",
    "long line": "input: [4]\nname: " + "a" * 1_000_000,
    "many errors": "input: [4]\nlayers:\n" + "  - cnov: 3\n" * 20_000,
}

MEASURE = """
import resource, sys, archspec
try:
    archspec.loads(open(sys.argv[1]).read())
except archspec.SpecError as error:
    print(error.diagnostics[0].code)
"""


@pytest.mark.parametrize("title", HOSTILE)
def test_hostile_size_costs_little(title: str, tmp_path: Path) -> None:
    """An error in a moment, and in little memory: 200 MB and, generously for a busy machine, 10 s."""
    spec = tmp_path / "spec.yaml"
    spec.write_text(HOSTILE[title])

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))

    command = [sys.executable, "-c", MEASURE, str(spec)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, preexec_fn=limit, check=False)
    assert done.stderr == ""
    assert done.stdout.strip() in {"limit", "depth", "document", "name", "op"}
