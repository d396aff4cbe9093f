"""What the commands share: their arguments and options, and the network that those describe."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from archspec.errors import Source, SpecError, UsageError
from archspec.network import InputShapes, Network, load

Function = TypeVar("Function", bound=Callable[..., Any])


def complete_spec(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Complete a name of the zoo or a file."""
    return [*complete_names(ctx, param, incomplete), *complete_file(ctx, param, incomplete)]


def complete_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Complete a name of the zoo."""
    from click.shell_completion import CompletionItem

    from archspec.zoo import list_specs

    return [CompletionItem(name) for name in list_specs() if name.startswith(incomplete)]


def complete_file(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Leave it to the shell to complete a file."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def complete_setting(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Complete `NAME=` by the params of the specs before it on the line; the default of each is its help."""
    from click.shell_completion import CompletionItem

    from archspec.document import load_document

    # Where an option still lacks its value, click has not told the arguments apart.
    specs = [*(ctx.params.get("specs") or ()), *filter(None, [ctx.params.get("spec")]), *ctx.args]
    found: dict[str, Any] = {}
    for spec in specs:
        with contextlib.suppress(SpecError, OSError):  # a wrong spec is told of once the line is run
            for name, default in load_document(spec).params.items():
                if name.startswith(incomplete):
                    found.setdefault(f"{name}=", default)
    return [CompletionItem(setting, help=f"by default {default.plain()}") for setting, default in found.items()]


spec_argument = click.argument("spec", shell_complete=complete_spec)
specs_argument = click.argument("specs", nargs=-1, required=True, metavar="SPEC...", shell_complete=complete_spec)


def network_options(function: Function) -> Function:
    """Add `--input` and `--set`, which the function takes as `input` and `set_`."""
    set_ = click.option(
        "--set",
        "set_",
        multiple=True,
        metavar="NAME=VALUE",
        shell_complete=complete_setting,
        help="Override a param of the spec; may be given several times.",
    )
    input_ = click.option(
        "--input",
        multiple=True,
        metavar="SHAPE",
        help="Another input shape, without the batch: 3x320x320, or NAME=3x320x320.",
    )
    return set_(input_(function))


def output_options(function: Function) -> Function:
    """Add `-o` and `--force`, which the function takes as `output` and `force`."""
    output = click.option(
        "-o",
        "--output",
        metavar="FILE",
        shell_complete=complete_file,
        help="Write to a file instead of standard output.",
    )
    force = click.option("--force", is_flag=True, help="Replace the file if it exists.")
    return output(force(function))


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Return the values of `--set`, each written as `name=value` with a YAML value."""
    from archspec.syntax import parse_value

    found: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            raise UsageError(f"--set {setting}: expected a name and a value", "write --set name=value")
        try:
            found[name.strip()] = parse_value(Source(f"--set {setting}", text))
        except SpecError as error:
            raise UsageError(f"--set {setting}: {error.diagnostics[0].message}") from None
    return found


def parse_input(inputs: Iterable[str]) -> InputShapes | None:
    """Return the shapes of `--input`: one shape, or `name=shape` for each input."""
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


def parse_depth(depth: str) -> int | None:
    """Return the number of levels that `--depth` gives; None for `all`."""
    if depth == "all":
        return None
    if not (depth.isdecimal() and depth.isascii() and len(depth) < 10 and int(depth)):
        raise UsageError(f"--depth {depth}: expected a number of levels, at least 1, or `all`")
    return int(depth)


def load_network(spec: str, input: Iterable[str] = (), set_: Iterable[str] = ()) -> Network:
    """Return the network of a spec with `--input` and `--set` applied."""
    return load(spec, input=parse_input(input), params=parse_settings(set_))
