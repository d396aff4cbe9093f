"""What the documentation shows is so: its specs load, its commands print what stands there, its messages are real.

A document is read from top to bottom, as a session in an empty folder:

- A `yaml` block whose first line is `# FILE.yaml` is that file, any other whole spec is `net.yaml`. A whole spec, one
  with `layers` or `extends` at its top, passes `archspec check`. If a `text` block follows at once, it shows what
  `archspec check` says of the file instead; `<!-- error: CODE -->` before the spec only names the code.
- `<!-- edit: FILE.yaml:LINE -->` before a `yaml` block puts its lines in place of as many of the file, or at its end.
- In a `console` block, what follows `$ ` is run, and what stands below is the whole output; a line `...` stands for any
  lines. The status of `archspec` is 0, or that of `<!-- status: N -->` before the block.
- In a `python` block, what follows `>>> ` is run. One whose first line is `# FILE.py` is that file.

`pytest tests/test_docs.py --update-golden` writes the outputs anew, but for those with `...` amid them.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

import archspec
from archspec import document, errors, expressions, files, names, syntax
from archspec.cli import main
from archspec.elaborate import limits
from archspec.errors import CODES

ROOT = Path(__file__).parent.parent
DOCS = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "archspec/backends/source/README.md"]
PAGES = [*DOCS, *(page for page in (ROOT / "README.md", ROOT / "templates/README.md") if page.exists())]
WITH_DOCTESTS = [path for path in (ROOT / "archspec").rglob("*.py") if ">>> " in path.read_text(encoding="utf-8")]

BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>error|edit|status): (?P<value>\S+) -->\n+)?^```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.M | re.S
)
WHOLE = re.compile(r"^(layers|extends):", re.M)
FILE = re.compile(r"# (\w+\.yaml)\b")


def run(command: str) -> tuple[int, str]:
    """Status and whole output of a command line, as a terminal shows it."""
    called, *arguments = shlex.split(command)
    if called != "archspec":
        done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout.strip("\n")
    screen = io.StringIO()
    with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(screen), pytest.raises(SystemExit) as stop:
        main(arguments)
    assert isinstance(stop.value.code, int)
    return stop.value.code, screen.getvalue().strip("\n")


def fits(shown: list[str], real: list[str]) -> bool:
    """Whether `shown` is `real`, with `...` for any lines."""
    if "..." not in shown:
        return shown == real
    at = shown.index("...")
    head, rest = shown[:at], shown[at + 1 :]
    return real[:at] == head and any(fits(rest, real[start:]) for start in range(at, len(real) + 1))


def fresh(shown: list[str], real: list[str]) -> list[str]:
    """What a document is to show of an output: as it does now if that is right, with a `...` at its end kept."""
    if not shown or fits(shown, real):
        return shown
    return [*real[: len(shown) - 1], "..."] if shown[-1] == "..." else real


class Session:
    """Does what a document says, in the current folder, and writes its outputs anew."""

    def __init__(self) -> None:
        self.file, self.told = "", False
        self.names: dict[str, object] = {}

    def replay(self, text: str) -> str:
        """The document as it should be."""
        return BLOCK.sub(self._block, text)

    def _block(self, block: re.Match[str]) -> str:
        body = block["body"]
        action = getattr(self, f"_{block['kind']}", None)
        if action is not None:
            body = action(block)
        return f"{block.string[block.start() : block.start('body')]}{body}```"

    def _yaml(self, block: re.Match[str]) -> str:
        body, value = block["body"], block["value"]
        named = FILE.match(body)
        self.file = named[1] if named else "net.yaml"
        if block["mark"] == "edit":
            self.file, line = value.split(":")
            lines = Path(self.file).read_text(encoding="utf-8").splitlines(keepends=True)
            at, new = int(line) - 1, body.splitlines(keepends=True)
            lines[at : at + len(new)] = new
            Path(self.file).write_text("".join(lines), encoding="utf-8")
        self.told = bool(re.match(r"\n\n```text\n", block.string[block.end() :]))
        if block["mark"] != "edit" and (named or self.told or WHOLE.search(body)):
            Path(self.file).write_text(body, encoding="utf-8")
        if not self.told and (block["mark"] == "edit" or WHOLE.search(body)):
            found = archspec.check(self.file)
            wanted = {value} if block["mark"] == "error" else set()
            assert {d.code for d in found} == wanted, "\n".join([body, *(d.render() for d in found)])
        return body

    def _text(self, block: re.Match[str]) -> str:
        if not self.told:
            return block["body"]
        self.told = False
        _, out = run(f"archspec check {self.file}")
        *said, last = out.split("\n")
        assert not last.startswith("ok "), f"nothing is wrong with the spec before\n{block[0]}"
        return "\n".join(said).rstrip("\n") + "\n"

    def _console(self, block: re.Match[str]) -> str:
        lines: list[str] = []
        for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block["body"], re.M):
            wanted = int(block["value"]) if block["mark"] == "status" and command.startswith("archspec ") else 0
            status, out = run(command)
            assert status == wanted, f"$ {command}\n{out}"
            lines += [f"$ {command}", *fresh(shown.strip("\n").splitlines(), out.splitlines())]
        return "".join(f"{line}\n" for line in lines)

    def _python(self, block: re.Match[str]) -> str:
        if named := re.match(r"# (\w+\.py)\n", block["body"]):
            Path(named[1]).write_text(block["body"], encoding="utf-8")
            return block["body"]
        test = doctest.DocTestParser().get_doctest(block["body"], self.names, "the document", None, None)
        runner = _Recorder()
        runner.run(test, clear_globs=False)
        self.names = test.globs
        lines = block["body"].splitlines()
        for example, real in reversed(runner.differing):
            start = example.lineno + example.source.count("\n")
            lines[start : start + example.want.count("\n")] = (line or "<BLANKLINE>" for line in real.splitlines())
        return "".join(f"{line}\n" for line in lines)


class _Recorder(doctest.DocTestRunner):
    """Runs examples, and keeps what those print that print something else than stands there."""

    def __init__(self) -> None:
        super().__init__()
        self.differing: list[tuple[doctest.Example, str]] = []

    def report_failure(self, out: object, test: doctest.DocTest, example: doctest.Example, got: str) -> None:
        self.differing.append((example, got))

    def report_unexpected_exception(
        self, out: object, test: doctest.DocTest, example: doctest.Example, exc_info: tuple[Any, ...]
    ) -> None:
        raise exc_info[1]


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_what_a_page_shows_is_so(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    text = page.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    replayed = Session().replay(text)
    if request.config.getoption("--update-golden"):
        page.write_text(replayed, encoding="utf-8", newline="\n")
    else:
        assert text == replayed


def test_specs_of_the_readme_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for page in PAGES:
        if page not in DOCS:
            specs = [block[0] for block in BLOCK.finditer(page.read_text(encoding="utf-8")) if block["kind"] == "yaml"]
            Session().replay("\n\n".join(specs))


def test_the_source_that_the_readme_shows_is_generated() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (spec,) = (block["body"] for block in BLOCK.finditer(text) if block["body"].startswith("# mine.yaml"))
    source = archspec.generate(archspec.loads(spec))
    shown = re.search(r"^`mine.py` has (\d+) lines. One of its two classes:\n\n```python\n(.*?)```$", text, re.M | re.S)
    assert shown is not None
    assert len(source.splitlines()) == int(shown[1])
    assert len(re.findall("^class ", source, re.M)) == 2
    assert f"\n\n\n{shown[2]}\n\n" in source


def rows(page: str, first: str) -> dict[str, list[str]]:
    """The rows of the table whose head starts with the cell `first`, by their first cell."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    table = text.split(f"\n| {first} |", 1)[1].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in table]
    return {head: rest for head, *rest in cells}


def test_the_limits_are_those_of_the_code() -> None:
    assert {what: limit for what, (limit,) in rows("language.md", "what").items()} == {
        "size of a file": f"{files.MAX_BYTES >> 20} MiB",
        "size of all files of one spec": f"{document.MAX_TOTAL >> 20} MiB",
        "files for one spec": f"{document.MAX_FILES}",
        "keys and values of one file": f"{syntax.MAX_VALUES:,}",
        "levels of YAML": f"{syntax.MAX_DEPTH}",
        "blocks, `sequential` and `inline` inside each other": f"{limits.MAX_SCOPES}",
        "layers and scopes, those left out included": f"{limits.MAX_NODES:,}",
        "blocks and `sequential`s, each copy of one included": f"{limits.MAX_SCOPE_COUNT:,}",
        "edges": f"{limits.MAX_EDGES:,}",
        "copies with a condition": f"{limits.MAX_CONDITIONS:,}",
        "the path of a scope": f"{limits.MAX_PATH:,} characters",
        "an integer": "2**63 - 1",
        "a name": f"{names.MAX_NAME} characters",
        "an expression": f"{expressions.MAX_LENGTH:,} characters",
        "levels of an expression": f"{expressions.MAX_LEVELS}",
        "text in an expression": f"{expressions.MAX_LENGTH:,} characters",
        "text of a value, `$` or not": f"{expressions.MAX_TEXT:,} characters",
        "a list or mapping that expressions make, with all that is in it": f"{expressions.MAX_ITEMS:,} values",
        "levels of lists and mappings in a value": f"{expressions.MAX_DEPTH}",
        "findings of one check": f"{errors.MAX_FINDINGS}",
    }


def test_every_code_has_its_section() -> None:
    _, *sections = re.split(r"^### `(\w+)`$", (ROOT / "docs/errors.md").read_text(encoding="utf-8"), flags=re.M)
    codes, texts = sections[::2], sections[1::2]
    assert codes == sorted(CODES)
    for code, text in zip(codes, texts, strict=True):
        shown = "".join(block["body"] for block in BLOCK.finditer(text) if block["kind"] in ("text", "console"))
        assert f"[{code}]: " in shown, f"docs/errors.md shows no message with the code {code}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text(encoding="utf-8")):
        path = page.parent / target if target else page
        assert path.exists(), f"{page.name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.M)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{page.name}: {target}#{anchor}"


@pytest.mark.parametrize("path", WITH_DOCTESTS, ids=lambda path: path.name)
def test_docstrings(path: Path) -> None:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted
    assert not result.failed
