"""`archspec list`."""

from __future__ import annotations

from typing import Any

import click

from archspec.cli.common import complete_names
from archspec.cli.streams import emit, screen, to_json
from archspec.errors import UsageError, did_you_mean
from archspec.network import Network, load
from archspec.report.figures import count_text
from archspec.report.table import Column, Table, as_markdown, as_text
from archspec.shapes import shape_text
from archspec.zoo import list_specs


@click.command()
@click.argument("words", nargs=-1, metavar="[WORD]...", shell_complete=complete_names)
@click.option(
    "--format", "format_", type=click.Choice(("table", "json", "markdown")), default="table", show_default=True
)
def command(words: tuple[str, ...], format_: str) -> None:
    """List the networks that come with archspec, with their figures; with WORDs, those with one of them in the name.

    \b
    archspec list
    archspec list resnet vgg
    """
    names = [name for name in list_specs() if not words or any(word.lower() in name for word in words)]
    if not names:
        raise UsageError(
            f"no network has {' or '.join(map(repr, words))} in its name", did_you_mean(words[0], list_specs())
        )
    networks = [load(name) for name in names]
    if format_ == "json":
        emit(to_json([_row_data(network) for network in networks]), form="json")
        return
    table = Table(
        (
            Column("name"),
            Column("input", rank=1),
            Column("params", right=True),
            Column("MACs", right=True),
            Column("description", rank=2, least=12),
        )
    )
    for network in networks:
        data = _row_data(network)
        shapes = " ".join(shape_text(shape) for shape in network.graph.inputs.values())
        figures = (count_text(data["params"]), count_text(data["macs"]))
        table.rows.append((network.name, shapes, *figures, network.description))
    emit(as_markdown(table) if format_ == "markdown" else as_text(table, screen()))


def _row_data(network: Network) -> dict[str, Any]:
    totals = network.analyze().totals
    return {
        "name": network.name,
        "description": network.description,
        "reference": network.reference,
        "input": {name: list(shape) for name, shape in network.graph.inputs.items()},
        "params": totals.params,
        "macs": totals.macs,
        "flops": totals.flops,
        "layers": totals.layers,
    }
