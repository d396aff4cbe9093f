"""What is said about specs that are wrong: code, place, message and help of each finding, and nothing else."""

from __future__ import annotations

import errno
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bad_specs import CASES, Bad
from newcomer_specs import NEWCOMERS

import archspec
from archspec.errors import CODES, MAX_FINDINGS, Diagnostic, Source, Span, SpecError, UsageError, did_you_mean

SPEC = "name: x\ninput: [3, 8, 8]\nparams: {width: 8}\nlayers:\n  - conv: $width\n"


def refused(call: Callable[..., Any], *arguments: Any, **named: Any) -> SpecError:
    """The error that a call ends with."""
    with pytest.raises(SpecError) as caught:
        call(*arguments, **named)
    return caught.value


def only(error: SpecError) -> Diagnostic:
    """The one finding of an error."""
    assert len(error.diagnostics) == 1, error
    return error.diagnostics[0]


@pytest.mark.parametrize("case", [*CASES, *NEWCOMERS], ids=lambda case: case.title)
def test_bad_spec(case: Bad) -> None:
    found = refused(archspec.loads, case.spec()).diagnostics
    places = [(finding.span.line, finding.span.column) for finding in found if finding.span]
    assert (places, [finding.code for finding in found]) == (case.places(), [wrong.code for wrong in case.wrong])
    for finding, wrong in zip(found, case.wrong, strict=True):
        assert wrong.message in finding.message
        assert wrong.help in (finding.help or "")


def test_an_unused_param_is_not_taken_for_another_unused_one() -> None:
    error = refused(archspec.loads, "input: [3]\nparams: {width_1: 3, width_2: 4}\nlayers: [relu]\n")
    expected = [(f"unused param `{name}`: no expression mentions it", None) for name in ("width_1", "width_2")]
    assert [(finding.message, finding.help) for finding in error.diagnostics] == expected


def test_every_code_is_tested() -> None:
    elsewhere = {"expect", "file", "import", "merge", "path", "statistics", "usage"}
    assert {wrong.code for case in CASES for wrong in case.wrong} | elsewhere == set(CODES)


# What a message looks like.

RESIDUAL = """\
name: small
input: [3, 56, 56]
blocks:
  residual:
    params: {filters: , stride: 1}
    layers:
      - conv: {name: conv1, filters: $filters, kernel: 3, stride: $stride, padding: 1}
      - batch_norm: {name: bn1}
      - relu
      - conv: {name: conv2, filters: $filters, kernel: 3, padding: 1}
      - batch_norm: {name: bn2}
      - add: [bn2, input]
      - relu
layers:
  - conv: {name: conv1, filters: 64, kernel: 3, padding: 1}
  - residual: {name: layer1, repeat: 2, filters: 64}
  - residual: {name: layer2, repeat: 2, filters: 128, stride: "${2 if index == 0 else 1}"}
"""


def test_a_message_in_a_repeated_block_names_the_whole_chain() -> None:
    assert str(refused(archspec.loads, RESIDUAL, name="specs/small.yaml")) == (
        "error[shape]: add: operands differ: 128x28x28 (bn2) and 64x56x56 (input)\n"
        "  --> specs/small.yaml:12:9\n"
        "   |\n"
        "12 |       - add: [bn2, input]\n"
        "   |         ^^^\n"
        "   = in block residual, copy 1 of 2, used as layer2 at specs/small.yaml:17:5\n"
        "   = help: bring `input` to 128x28x28 first: `conv: {from: input, filters: 128, stride: 2}`"
    ).replace("\n  --> ", "\n   --> ")


def test_a_message_names_every_scope_around_it() -> None:
    text = (
        "input: [3, 8, 8]\nblocks:\n  inner: {layers: [max_pool: 9]}\n  outer: {layers: [{sequential: [inner]}]}\n"
        "layers:\n  - inline: {repeat: [7], layers: [{outer: {name: o, repeat: 3, when: '${index == 1}'}}]}\n"
    )
    assert only(refused(archspec.loads, text)).notes == (
        "in block inner, used as o.0.sequential.0 at <spec>:4:34",
        "in block outer, copy 2 of 3, used as o at <spec>:6:37",
        "in inline, copy 1 of 1, used at <spec>:6:5",
    )


def test_a_message_about_a_repeated_op_names_the_copy() -> None:
    text = "input: [3, 8, 8]\nlayers:\n  - conv: {name: c, filters: '${4 - index * 4}', repeat: 2}\n"
    assert only(refused(archspec.loads, text)).notes == ("in conv, copy 2 of 2, used as c at <spec>:3:5",)


def test_what_a_message_shows_of_its_line() -> None:
    def shown(text: str, line: int, column: int, width: int) -> list[str]:
        return Diagnostic("value", "m", Span(Source("f", text), line, column, width)).render().splitlines()[3:]

    assert shown("\ta: b", 1, 5, 1) == ["1 | \ta: b", "  | \t   ^"]
    assert shown("a\u202eb: cd", 1, 6, 2) == ["1 | a\\u202eb: cd", "  |           ^^"]
    assert shown("ab", 1, 2, 9) == ["1 | ab", "  |  ^"]
    assert shown("ab", 7, 2, 1) == []
    long = shown("x" * 500 + "here" + "y" * 500, 1, 501, 4)
    assert len(long[0]) == 164
    assert long[0][long[1].index("^") :].startswith("herey")


def test_what_a_spec_says_cannot_steer_the_terminal() -> None:
    hostile = "\x1b[31m\u202e\n[bold]"
    finding = Diagnostic("value", hostile, Span(Source(hostile, "a"), 1, 1), (hostile,), hostile)
    assert set(finding.render()) <= set(map(chr, range(32, 127))) | {"\n"}
    assert "[bold]" in finding.render()


def test_long_words_are_cut_short() -> None:
    error = refused(archspec.loads, f"input: [3]\nlayers:\n  - {'x' * 900_000}\n")
    assert len(str(error)) < 4_000


def test_no_more_than_a_person_can_read() -> None:
    for line in (
        "rellu",
        "conv: {filter: 3}",
        "conv: {filters: a}",
        "add: foo",
        "relu: {from: input}",
        "linear: $x",
        "relu: *a",
    ):
        error = refused(archspec.loads, "input: [3, 8, 8]\nlayers:\n" + f"  - {line}\n" * 5_000)
        assert MAX_FINDINGS <= len(error.diagnostics) <= MAX_FINDINGS + 1, line


def test_messages_are_the_same_every_time() -> None:
    """A set in a message would come in another order each time."""
    code = f"import archspec\ntry: archspec.loads({BROKEN!r})\nexcept archspec.SpecError as error: print(error)"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, env={**os.environ, "PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2", "3", "4")
    }
    assert len(outputs) == 1
    assert b"available" in outputs.pop()


BROKEN = """\
input: [3]
params: {b: $zz, c: "${a + d}", a: 1, d: 2}
blocks: {k: {params: {x: , y: , z: }, inputs: [one, two], layers: [{add: [one, two]}]}}
layers:
  - relu: {name: ab}
  - relu: {name: ba}
  - add: zzz
  - k: {q: 1}
  - qqq
"""


def test_errors_are_data() -> None:
    error = refused(archspec.loads, "input: [3]\nlayers: [rellu]\n", name="a.yaml")
    assert only(error).to_dict() == {
        "severity": "error",
        "code": "op",
        "message": "unknown op `rellu`",
        "notes": [],
        "help": "did you mean `relu`?",
        "source": {"file": "a.yaml", "line": 2, "column": 10},
    }
    copied = pickle.loads(pickle.dumps(error))
    assert str(copied) == str(error)
    usage = refused(archspec.load, "lenet5", nothing=1)
    assert str(pickle.loads(pickle.dumps(usage))) == str(usage)
    with pytest.raises(ValueError, match="is not a diagnostic code"):
        Diagnostic("oops", "a message")


def test_the_sound_part_is_there() -> None:
    error = refused(archspec.loads, "input: [3, 8, 8]\nlayers:\n  - conv: 4\n  - relu\n  - add: nothing\n  - relu\n")
    assert [node.path for node in error.partial.graph.nodes] == ["conv", "relu"]
    assert error.partial.analyze().totals.params == 16


@pytest.mark.parametrize(
    ("word", "known", "help"),
    [
        ("Relu", ["gelu", "relu"], "did you mean `relu`?"),
        ("xyz", ["a", "b"], "available: `a` and `b`"),
        ("xyz", ["a"], "available: `a`"),
        ("xyz", [], None),
        ("xyz", [f"name{n}" for n in range(17)], None),
    ],
)
def test_did_you_mean(word: str, known: list[str], help: str | None) -> None:
    assert did_you_mean(word, known) == help


# Files.

FILES = [
    ("14 UTF-16", "input: [3]\n".encode("utf-16"), "encoding", (1, 1), "UTF-16"),
    ("14 invalid UTF-8", b"input: [3]\nname: a\xffb\n", "encoding", (2, 8), "the byte 0xff is not valid UTF-8"),
    ("14 Latin-1 behind other letters", "a: é\nb: ".encode() + b"\xe9\n", "encoding", (2, 4), "0xe9"),
    ("14 NUL", b"input: [3]\r\nname: \0\r\n", "encoding", (2, 7), "U+0000"),
    ("14 a byte-order mark inside", "input: [3]\nname: \ufeffa\n".encode(), "encoding", (2, 7), "U+FEFF"),
    ("15 over 1 MiB", b"#" * (1 << 20) + b"\n", "limit", None, "larger than 1 MiB"),
]


@pytest.mark.parametrize(("title", "data", "code", "place", "message"), FILES, ids=[file[0] for file in FILES])
def test_bad_file(
    tmp_path: Path, title: str, data: bytes, code: str, place: tuple[int, int] | None, message: str
) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(data)
    finding = only(refused(archspec.load, path))
    assert (finding.code, finding.span and (finding.span.line, finding.span.column)) == (code, place)
    assert message in finding.message
    assert str(path) in finding.render()


@pytest.mark.parametrize(
    "data", [b"\xef\xbb\xbfinput: [3]\r\nlayers: [relu]\r\n", b"\xef\xbb\xbf# x\ninput: [3]\nlayers: [relu]"]
)
def test_byte_order_mark_and_crlf(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(data)
    assert [node.path for node in archspec.load(path).graph.nodes] == ["relu"]
    assert [node.path for node in archspec.loads(data.decode()).graph.nodes] == ["relu"]
    path.write_bytes(data.replace(b"relu", b"relo"))
    span = only(refused(archspec.load, path)).span
    assert span
    assert span.column == 10


def test_text_over_1_mib() -> None:
    assert only(refused(archspec.loads, "#" * (1 << 20) + "\n")).code == "limit"


@pytest.mark.parametrize(
    "spec",
    [
        "missing.yaml",
        ".",
        "fifo.yaml",
        "socket.yaml",
        "/dev/zero",
        "a\0b.yaml",
        "\ud800.yaml",
        "x" * 5000 + ".yaml",
        "a.yaml/b.yaml",
    ],
)
def test_what_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str) -> None:
    """16: an error, and no waiting."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo.yaml")
    Path("a.yaml").write_text(SPEC)
    server = socket.socket(socket.AF_UNIX)
    server.bind("socket.yaml")
    finding = only(refused(archspec.load, spec))
    server.close()
    assert (finding.code, finding.span) == ("file", None)


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the system refuses it; root, who may read everything, sees no file refused."""
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)

    def refusing(opens: Callable[..., Any]) -> Callable[..., Any]:
        def call(file: Any, *arguments: Any, **named: Any) -> Any:
            if str(file) == str(path):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))
            return opens(file, *arguments, **named)

        return call

    monkeypatch.setattr("builtins.open", refusing(open))
    monkeypatch.setattr(os, "open", refusing(os.open))
    finding = only(refused(archspec.load, path))
    assert (finding.code, finding.span, finding.message) == ("file", None, f"{path}: permission denied")


def test_the_zoo_by_name() -> None:
    assert only(refused(archspec.load, "resnet17")).help == "did you mean `resnet18`?"
    assert archspec.load(b"lenet5".decode()).name == archspec.load(Path("lenet5")).name == "lenet5"


# 36: files behind files.


def tree(folder: Path, **files: str) -> Path:
    """Write files (`__` stands for a slash in their names), and give the path of the first."""
    paths = [folder / f"{name.replace('__', '/')}.yaml" for name in files]
    for path, text in zip(paths, files.values(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return paths[0]


@pytest.mark.parametrize(
    ("reference", "code", "message"),
    [
        ("../outside.yaml", "path", "outside the folder"),
        ("../../../../../../etc/passwd", "path", "outside the folder"),
        ("sub/../../outside.yaml", "path", "outside the folder"),
        ("/etc/passwd", "path", "expected a relative path, got /etc/passwd"),
        ("link.yaml", "path", "outside the folder"),
        ("link/outside.yaml", "path", "outside the folder"),
        ("missing.yaml", "file", "no such file"),
        ("sub/", "file", "is not a regular file"),
        ("sub/x", "file", "no such file"),
        ("resnet17", "file", "unknown spec `resnet17`"),
        ("main.yaml", "cycle", "extends or includes itself: main.yaml -> main.yaml"),
        ('"a\\0.yaml"', "path", ""),
        ("3", "type", "expected text"),
    ],
)
@pytest.mark.parametrize(("key", "column"), [("extends: {}", 10), ("include: [{}]", 11)], ids=["extends", "include"])
def test_reference_to_a_file(tmp_path: Path, key: str, column: int, reference: str, code: str, message: str) -> None:
    main = tree(
        tmp_path / "here", main=f"{key.format(reference)}\ninput: [3]\nlayers: [relu]\n", sub__x="layers: [relu]\n"
    )
    tree(tmp_path, outside="blocks: {}\n")
    (main.parent / "link.yaml").symlink_to(tmp_path / "outside.yaml")
    (main.parent / "link").symlink_to(tmp_path)
    finding = refused(archspec.load, main).diagnostics[0]
    assert finding.code == code
    assert message in finding.message
    assert finding.span
    assert (finding.span.line, finding.span.column) == (1, column)


def test_cycles_of_files(tmp_path: Path) -> None:
    main = tree(
        tmp_path,
        a="extends: b\ninput: [3]\nlayers: [relu]\n",
        b="include: [sub/c.yaml]\n",
        sub__c="include: [../b.yaml]\n",
    )
    finding = only(refused(archspec.load, main))
    assert (finding.code, finding.message) == ("cycle", "a file extends or includes itself: b.yaml -> c.yaml -> b.yaml")
    assert finding.span
    assert (finding.span.source.name, finding.span.line, finding.span.column) == (
        str(tmp_path / "sub/../sub/c.yaml").replace("sub/../", ""),
        1,
        11,
    )


def test_a_text_reads_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tree(tmp_path, a=SPEC)
    assert only(refused(archspec.loads, "extends: a.yaml\n")).code == "path"
    assert only(refused(archspec.loads, "extends: a\n")).code == "file"
    assert len(archspec.loads("extends: lenet5\nparams: {num_classes: 7}\nexpect: {params: 1, output: [7]}\n").graph)


def test_errors_in_other_files_point_there(tmp_path: Path) -> None:
    main = tree(
        tmp_path,
        main="extends: base\ninclude: [lib]\nlayers:\n  - k\n  - rellu\n",
        base="input: [3]\nparams: {n: '${1 / 0}'}\nlayers:\n  - linear: $n\n",
        lib="blocks:\n  k: {layers: [{linear: {unit: 3}}]}\nlayers: [relu]\n",
    )
    found = refused(archspec.load, main).diagnostics
    places = {(Path(f.span.source.name).name, f.span.line, f.span.column, f.code) for f in found if f.span}
    assert places == {
        ("main.yaml", 5, 5, "op"),
        ("base.yaml", 2, 13, "expression"),
        ("lib.yaml", 2, 26, "argument"),
        ("lib.yaml", 3, 1, "key"),
    }


def test_what_an_included_file_may_hold(tmp_path: Path) -> None:
    main = tree(
        tmp_path,
        main="include: [lib]\ninput: [3, 8, 8]\nparams: {n: 3}\nlayers:\n  - k\n  - conv: $n\n",
        lib="params: {n: 1}\ndefaults: {conv: {filters: $n}}\nblocks: {k: {layers: [conv]}}\n",
    )
    found = refused(archspec.load, main).diagnostics
    assert [(f.code, f.span.line) for f in found if f.span] == [("key", 1), ("expression", 2)]


def test_a_block_that_two_files_bring(tmp_path: Path) -> None:
    main = tree(
        tmp_path,
        main="include: [a, b]\ninput: [3]\nlayers: [k]\n",
        a="blocks: {k: {layers: [relu]}}\n",
        b="blocks: {k: {layers: [gelu]}}\n",
    )
    finding = only(refused(archspec.load, main))
    assert (finding.code, finding.message) == ("block", "the block `k` is defined twice")
    assert finding.span
    assert finding.span.column == 14


def test_too_many_files(tmp_path: Path) -> None:
    files = {f"f{n}": f"extends: f{n + 1}\n" for n in range(100)}
    assert only(refused(archspec.load, tree(tmp_path, **files))).code == "limit"


# 44: calls that are wrong.


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"widht": 3}, "x: unknown param `widht`"),
        ({"width": 3.5}, "param `width`: expected an integer, as its default is, got the float 3.5"),
        ({"width": True}, "got the boolean true"),
        ({"width": "8"}, "got the text '8'"),
        ({"width": None}, "got nothing"),
        ({"width": [8]}, "got a list"),
        ({"width": 10**30}, "expected plain data"),
        ({"width": float("nan")}, "expected plain data"),
        ({"width": object()}, "expected plain data"),
        ({"input": (3, 0, 0)}, "input: expected 1 to 4 positive sizes, got (3, 0, 0)"),
        ({"input": "3xaxb"}, "input: expected 1 to 4 positive sizes, got '3xaxb'"),
        ({"input": (3, 8.0, 8)}, "input: expected 1 to 4 positive sizes"),
        ({"input": (3, True, 8)}, "input: expected 1 to 4 positive sizes"),
        ({"input": (3, 2**63, 8)}, "input: expected 1 to 4 positive sizes"),
        ({"input": ()}, "positive sizes, got ()"),
        ({"input": (1, 1, 1, 1, 1)}, "input: expected 1 to 4 positive sizes"),
        ({"input": 3}, "positive sizes, got 3"),
        ({"input": {"x": (3, 8, 8)}}, "x: unknown input `x`"),
        ({"input": {1: (3, 8, 8)}}, "x: unknown input `1`"),
    ],
)
def test_usage(given: dict[str, Any], message: str) -> None:
    error = refused(archspec.loads, SPEC, **given)
    assert isinstance(error, UsageError)
    assert only(error).code == "usage"
    assert message in only(error).message


def test_usage_of_analyze() -> None:
    net = archspec.loads(SPEC)
    assert "a batch of 0" in str(refused(net.analyze, batch=0))
    assert "a batch of 1.5" in str(refused(net.analyze, batch=1.5))
    assert "a batch of 9223372036854775808" in str(refused(net.analyze, batch=2**63))
    assert "a batch of <int>" in str(refused(net.analyze, batch=10**5000))
    assert "params" in str(net.analyze(batch=2**63 - 1))
    assert "did you mean `float32`?" in str(refused(net.analyze, dtype="float3"))
    several = "input: {a: [3], b: [3]}\nlayers:\n  - add: [a, b]\n"
    assert "several inputs: `a` and `b`" in str(refused(archspec.loads, several, input=(3,)))
    assert archspec.loads(several, input={"a": [4], "b": (4,)}).graph.shape("add") == (4,)


def test_a_mistake_in_the_spec_comes_before_one_in_the_call() -> None:
    error = refused(archspec.loads, SPEC.replace("params", "praams"), width=4)
    assert [finding.code for finding in error.diagnostics] == ["key"]


# Sizes: 12, 18, 33, 38, 43.

LARGE = [
    ("a chain of 100,000 steps", "input: [3]\nlayers:\n" + "  - relu\n" * 100_000, 100_000),
    ("100,000 copies", "input: [3]\nlayers:\n  - relu: {repeat: 100000}\n", 100_000),
    (
        "10,000 blocks",
        "input: [3]\nblocks:\n" + "".join(f"  b{n}: {{layers: [relu]}}\n" for n in range(10_000)) + "layers: [b7]\n",
        1,
    ),
    ("a line of 1 MB", f"input: [3]\nlayers: [{'relu, ' * 100_000}relu]\n", 100_001),
    ("30 scopes in one another", "input: [3]\nlayers:\n  - " + "sequential: [{" * 30 + "relu: " + "}]" * 30 + "\n", 1),
    (
        "names that refer back",
        "input: [3]\nlayers:\n"
        + "".join(f"  - add: {{name: a{n}, from: [{f'a{n - 1}' if n else 'input'}, input]}}\n" for n in range(15_000)),
        15_000,
    ),
]


@pytest.mark.parametrize(("title", "text", "count"), LARGE, ids=[case[0] for case in LARGE])
def test_large(title: str, text: str, count: int) -> None:
    assert len(archspec.loads(text).graph) == count


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak of memory is read from /proc")
@pytest.mark.parametrize(
    "title",
    [
        "12 100,000 deep",
        "12 mappings 100,000 deep",
        "33 a billion copies",
        "33 blocks that double",
        "33 copies that multiply by a param",
        "25 a long list",
    ],
)
def test_memory(title: str) -> None:
    """No more than 200 MB for a spec that is wrong, the interpreter and its libraries included."""
    case = next(case for case in CASES if case.title == title)
    code = (
        f"import archspec\ntry: archspec.loads({case.spec()!r})\nexcept archspec.SpecError: pass\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    done = subprocess.run([sys.executable, "-"], input=code, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 200_000


def test_from_a_thread_with_a_small_stack() -> None:
    """Nothing in a spec makes the compiler go deep."""
    outcome: list[object] = []

    def work() -> None:
        for text in (LARGE[4][1], next(case for case in CASES if case.title.startswith("37 100")).spec()):
            try:
                outcome.append(archspec.loads(text))
            except SpecError as error:
                outcome.append(error)

    before = threading.stack_size(512 * 1024)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    threading.stack_size(before)
    assert [type(each).__name__ for each in outcome] == ["Network", "SpecError"]


def test_sizes_of_tensors() -> None:
    """18: exact figures, however large."""
    side = 10**5
    net = archspec.loads(f"input: [{side}, {side}, {side}]\nlayers:\n  - conv: {2**62}\n")
    totals = net.analyze(batch=3).totals
    assert totals.params == 2**62 * (side + 1)
    assert totals.macs == 3 * 2**62 * side**3


def test_batch_norm_over_one_value() -> None:
    """43: a warning, with a place."""
    net = archspec.loads("input: [3, 8, 8]\nlayers:\n  - global_avg_pool\n  - batch_norm\n")
    warning = net.check()[0]
    assert (warning.severity, warning.code) == ("warning", "statistics")
    assert warning.span
    assert (warning.span.line, warning.span.column) == (4, 5)


@pytest.mark.parametrize(
    ("expect", "message"),
    [
        ("{params: 15}", "params: expected 15, got 16"),
        ("{params: 0.017K}", "params: expected 0.017K, got 16"),
        ('{params: "<= 15"}', "params: expected <= 15, got 16"),
        ("{macs: abc}", "macs: expected a figure such as `11.69M`, `25557032` or `<= 600M`, got 'abc'"),
        (f'{{macs: "{"9" * 41}"}}', f"'{'9' * 40}'"),
        ("{output: [4, 8, 9]}", "output: expected [4, 8, 9], got conv 4x8x8"),
        ("{output: {other: [4, 8, 8]}}", "output: "),
    ],
)
def test_expectations(expect: str, message: str) -> None:
    finding = archspec.loads(f"input: [3, 8, 8]\nlayers: [conv: 4]\nexpect: {expect}\n").check()[0]
    assert (finding.code, finding.severity) == ("expect", "error")
    assert message in finding.message
    assert finding.span
    assert (finding.span.line, finding.span.column) == (3, expect.index(":") + 11)
