"""`archspec weights`."""

from __future__ import annotations

import json
from typing import Any, Final, Literal

import click

from archspec.cli.common import complete_file, load_network, network_options, spec_argument
from archspec.cli.streams import emit, print_error, to_json
from archspec.errors import SpecError, UsageError, printable
from archspec.files import check_target, opened

BY_POSITION: Final = "by-position"


@click.command()
@spec_argument
@click.argument("file", shell_complete=complete_file)
@network_options
@click.option(
    "--map",
    "maps",
    multiple=True,
    metavar="OLD=NEW",
    shell_complete=complete_file,
    help="Rename a tensor of the file, or all under a prefix; or a JSON file of such pairs; or `by-position`.",
)
@click.option("--drop", multiple=True, metavar="NAME", help="Ignore a tensor of the file, or all under a prefix.")
@click.option("--leave-out", multiple=True, metavar="PATH", help="A part of the network that the file need not hold.")
@click.option("--cast", is_flag=True, help="Convert other floating-point types instead of refusing them.")
@click.option(
    "--file-format",
    type=click.Choice(("safetensors", "torch")),
    default="safetensors",
    show_default=True,
    help="torch: a state_dict, of which only tensors are read.",
)
@click.option("--format", "format_", type=click.Choice(("text", "json")), default="text", show_default=True)
@click.option(
    "-o",
    "--output",
    metavar="OUT",
    shell_complete=complete_file,
    help="Write the weights as safetensors under the network's names.",
)
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
def command(
    spec: str,
    file: str,
    input: tuple[str, ...],
    set_: tuple[str, ...],
    maps: tuple[str, ...],
    drop: tuple[str, ...],
    leave_out: tuple[str, ...],
    cast: bool,
    file_format: str,
    format_: str,
    output: str | None,
    force: bool,
) -> int:
    """Compare the weights in a file with a network: what is missing, unexpected, or of another shape or type.

    The exit status is 1 if they do not fit. Nothing is written without -o.

    \b
    archspec weights resnet18 resnet18.safetensors
    archspec weights resnet18 model.pth --file-format torch --map module= -o resnet18.safetensors
    archspec weights resnet18 imagenet.safetensors --set num_classes=10 --leave-out fc
    """
    from archspec.backends.build import build
    from archspec.backends.extras import need

    network = load_network(spec, input, set_)
    table = _table(maps, drop)
    if output is not None:
        check_target(output, force)
    need("torch", "safetensors")
    from archspec.backends.weights import WeightsError, check_weights, load_weights, save_weights

    options: dict[str, Any] = {"format": file_format, "leave_out": leave_out, "cast": cast}
    try:
        if output is None:
            report = check_weights(build(network, device="meta"), file, table, **options)
        else:
            model = build(network, device="cpu")
            report = load_weights(model, file, table, **options)
            save_weights(model, output, network, force=force)
    except WeightsError as error:
        report = error.report
    if format_ == "json":
        emit(to_json(report.to_dict()), form="json")
    else:
        emit("\n".join(map(printable, str(report).split("\n"))))
    if not report.fits:
        print_error("the weights do not fit; --map, --drop, --leave-out and --cast tell what to do with them")
    return 0 if report.fits else 1


def _table(maps: tuple[str, ...], drop: tuple[str, ...]) -> dict[str, str | None] | Literal["by-position"] | None:
    """Return the name map that the options describe."""
    if BY_POSITION in maps:
        if len(maps) > 1 or drop:
            raise UsageError(f"--map {BY_POSITION} stands alone", "it takes no other --map and no --drop")
        return BY_POSITION
    found: dict[str, str | None] = {}
    for text in maps:
        old, equals, new = text.partition("=")
        if equals:
            found[old] = new
        elif text.endswith(".json"):
            found |= _read_table(text)
        else:
            raise UsageError(f"--map {text}: expected OLD=NEW, a JSON file, or {BY_POSITION}")
    found |= dict.fromkeys(drop)
    return found or None


def _read_table(path: str) -> dict[str, str | None]:
    try:
        with opened(path) as file:
            data = json.load(file)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--map {path} is not valid JSON: {error}") from None
    except SpecError as error:
        raise UsageError(f"--map {error.diagnostics[0].message}") from None
    if not isinstance(data, dict) or not all(new is None or isinstance(new, str) for new in data.values()):
        raise UsageError(f"--map {path}: expected one JSON object of old and new names")
    return data
