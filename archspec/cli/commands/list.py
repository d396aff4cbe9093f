"""`archspec list`."""

from __future__ import annotations

from typing import Any

import click

from archspec.cli.common import emit, terminal_width, to_json
from archspec.network import Network, load
from archspec.report.costs import count_text
from archspec.report.table import Column, Table, as_markdown, as_text
from archspec.shapes import shape_text
from archspec.zoo import list_specs


@click.command()
@click.argument("words", nargs=-1, metavar="[WORD]...")
@click.option(
    "--format", "format_", type=click.Choice(("table", "json", "markdown")), default="table", show_default=True
)
def command(words: tuple[str, ...], format_: str) -> None:
    """The networks that come with archspec, with their figures; with WORDs, those whose name holds one of them."""
    names = [name for name in list_specs() if not words or any(word.lower() in name for word in words)]
    networks = [load(name) for name in names]
    if format_ == "json":
        emit(to_json([_row_data(network) for network in networks]))
        return
    table = Table(
        (
            Column("name"),
            Column("input", rank=2),
            Column("params", right=True),
            Column("MACs", right=True),
            Column("description", rank=1),
        )
    )
    for network in networks:
        data = _row_data(network)
        shapes = " ".join(shape_text(shape) for shape in network.graph.inputs.values())
        figures = (count_text(data["params"]), count_text(data["macs"]))
        table.rows.append((network.name, shapes, *figures, network.description))
    if format_ == "markdown":
        emit(as_markdown(table))
    else:
        emit(as_text(table, terminal_width()))


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
