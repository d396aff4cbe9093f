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
from archspec.zoo import family, list_specs


@click.command()
@click.argument("words", nargs=-1, metavar="[WORD]...", shell_complete=complete_names)
@click.option("--all", "all_", is_flag=True, help="Show every network, not a line a family.")
@click.option(
    "--format", "format_", type=click.Choice(("table", "json", "markdown")), default="table", show_default=True
)
def command(words: tuple[str, ...], all_: bool, format_: str) -> None:
    """List the networks that come with archspec, with their figures.

    Those that extend one network are a family, and one line. WORDs show each network that has one of them in its name,
    and the family of a network that is named in full; where there is none, those with one in the description or
    reference. JSON always has each network.

    \b
    archspec list
    archspec list regnet vgg
    archspec list excitation
    """
    networks = _search(words)
    if format_ == "json":
        emit(to_json([_row_data(network) for network in networks]), form="json")
        return
    folded = not words and not all_
    table = _families(networks) if folded else _each(networks)
    emit(as_markdown(table) if format_ == "markdown" else as_text(table, screen()))
    if folded and format_ == "table":
        emit(f"\n{len(networks)} networks; `archspec list --all` or `archspec list WORD` shows each")


def _search(words: tuple[str, ...]) -> list[Network]:
    """Return the networks that have one of the words, all without words.

    Raises:
        UsageError: There is none.
    """
    names = list_specs()
    wanted = [word.lower() for word in words]
    found = [name for name in names if not words or any(word in name for word in wanted)]
    if found and set(wanted).isdisjoint(names):
        return [load(name) for name in found]
    networks = [load(name) for name in names]
    if found:  # a network by its whole name stands for those that extend it, too
        return [network for network in networks if network.name in found or family(network.document) in wanted]
    texts = [f"{network.description} {network.reference}".lower() for network in networks]
    matching = [network for network, text in zip(networks, texts, strict=True) if any(word in text for word in wanted)]
    if not matching:
        raise UsageError(
            f"no network has {' or '.join(map(repr, words))} in its name, description or reference",
            did_you_mean(words[0], names),
        )
    return matching


def _each(networks: list[Network]) -> Table:
    """Return a table with a row a network."""
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
    return table


def _families(networks: list[Network]) -> Table:
    """Return a table with a row a family, under the name of the network that the others extend."""
    table = Table(
        (
            Column("name"),
            Column("variants", right=True),
            Column("params"),
            Column("MACs"),
            Column("description", rank=2, least=12),
        )
    )
    families: dict[str, list[Network]] = {}
    for network in networks:
        families.setdefault(family(network.document), []).append(network)
    for name, members in sorted(families.items()):
        totals = [network.analyze().totals for network in members]
        ranges = (_range([total.params for total in totals]), _range([total.macs for total in totals]))
        count = str(len(members)) if len(members) > 1 else ""
        table.rows.append((name, count, *ranges, load(name).description))
    return table


def _range(values: list[int]) -> str:
    """Return the least and the largest value."""
    least, most = count_text(min(values)), count_text(max(values))
    return least if least == most else f"{least} - {most}"


def _row_data(network: Network) -> dict[str, Any]:
    totals = network.analyze().totals
    return {
        "name": network.name,
        "family": family(network.document),
        "description": network.description,
        "reference": network.reference,
        "input": {name: list(shape) for name, shape in network.graph.inputs.items()},
        "params": totals.params,
        "macs": totals.macs,
        "flops": totals.flops,
        "layers": totals.layers,
    }
