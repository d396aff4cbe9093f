"""What the commands share: arguments, options, reading specs, writing results."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from archspec.errors import Diagnostic, Source, SpecError, UsageError
from archspec.files import write_text
from archspec.network import InputShapes, Network, load

Function = TypeVar("Function", bound=Callable[..., Any])


def complete_spec(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Names of the zoo, and files."""
    from click.shell_completion import CompletionItem

    from archspec.zoo import list_specs

    names = [CompletionItem(name) for name in list_specs() if name.startswith(incomplete)]
    return [*names, CompletionItem(incomplete, type="file")]


spec_argument = click.argument("spec", shell_complete=complete_spec)
specs_argument = click.argument("specs", nargs=-1, required=True, metavar="SPEC...", shell_complete=complete_spec)


def network_options(function: Function) -> Function:
    """Adds `--input` and `--set`, handed on as `input` and `set_`."""
    set_ = click.option(
        "--set",
        "set_",
        multiple=True,
        metavar="NAME=VALUE",
        help="Override a param of the spec; may stand several times.",
    )
    input_ = click.option(
        "--input",
        multiple=True,
        metavar="SHAPE",
        help="Another input shape, without the batch: 3x320x320, or NAME=3x320x320.",
    )
    return set_(input_(function))


def output_options(function: Function) -> Function:
    """Adds `-o` and `--force`, handed on as `output` and `force`."""
    output = click.option("-o", "--output", metavar="FILE", help="Write to a file instead of the terminal.")
    force = click.option("--force", is_flag=True, help="Replace the file if it is there.")
    return output(force(function))


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """`--set` values: `name=value` with a YAML value."""
    from archspec.syntax import parse_value

    found: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            raise UsageError(f"--set {setting}", "write --set name=value")
        try:
            found[name.strip()] = parse_value(Source(f"--set {setting}", text))
        except SpecError as error:
            raise UsageError(f"--set {setting}: {error.diagnostics[0].message}") from None
    return found


def parse_input(inputs: Iterable[str]) -> InputShapes | None:
    """`--input` values: one shape, or `name=shape` for each input."""
    named: dict[str, tuple[int, ...]] = {}
    for text in inputs:
        name, _, shape = text.rpartition("=")
        parts = shape.lower().split("x")
        if not all(part.isdecimal() and part.isascii() and len(part) < 20 and int(part) for part in parts):
            raise UsageError(
                f"--input: expected a shape, got {text!r}", "positive sizes without the batch: --input 3x320x320"
            )
        if not name:
            return tuple(map(int, parts))
        named[name] = tuple(map(int, parts))
    return named or None


def load_network(spec: str, input: Iterable[str] = (), set_: Iterable[str] = ()) -> Network:
    """The network of a spec with `--input` and `--set` applied."""
    return load(spec, input=parse_input(input), params=parse_settings(set_))


def print_diagnostics(diagnostics: Iterable[Diagnostic]) -> None:
    """Findings to standard error, with colour where that is a terminal."""
    colors = {"error": "red", "warning": "yellow"}
    for diagnostic in diagnostics:
        head, *rest = diagnostic.render().split("\n")
        label, colon, message = head.partition(":")
        styled = click.style(label, fg=colors[diagnostic.severity], bold=True) + click.style(colon + message, bold=True)
        click.echo("\n".join([styled, *(_styled(line) for line in rest)]), err=True, color=use_color(sys.stderr))
        if diagnostic.span:
            click.echo(err=True)


def _styled(line: str) -> str:
    for sign, color in (("-->", "blue"), ("= help:", "cyan")):
        before, found, after = line.partition(sign)
        if found and not before.strip():
            return before + click.style(found, fg=color) + after
    return line


def use_color(stream: Any) -> bool:
    """Whether to write colour: only to a terminal, and not where NO_COLOR is set (https://no-color.org)."""
    return not os.environ.get("NO_COLOR") and stream.isatty()


def terminal_width() -> int | None:
    """Columns of the terminal that standard output is; None where it is a pipe or a file."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def to_json(data: object) -> str:
    """JSON as a person can read it, other letters as they are, whatever could steer a terminal as its escape."""
    lines = json.dumps(data, indent=1, ensure_ascii=False).split("\n")
    return "\n".join(line if line.isprintable() else "".join(map(_json_character, line)) for line in lines)


def _json_character(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1]


def emit(text: str, output: str | None = None, force: bool = False) -> None:
    """Write a result to standard output, or to the file `output`."""
    if output is None:
        click.echo(text.rstrip("\n"), color=use_color(sys.stdout))
    else:
        write_text(output, text if text.endswith("\n") else text + "\n", force)
