"""`archspec graph`."""

from __future__ import annotations

import click

from archspec.cli.common import emit, load_network, network_options, output_options, spec_argument
from archspec.report.drawing import as_dot, as_mermaid

FORMATS = {"json": lambda graph: graph.to_json(), "dot": as_dot, "mermaid": as_mermaid}


@click.command()
@spec_argument
@network_options
@click.option("--format", "format_", type=click.Choice(tuple(FORMATS)), default="json", show_default=True)
@click.option("--hash", "hash_", is_flag=True, help="Only the structural hash, in which names do not count.")
@output_options
def command(
    spec: str, input: tuple[str, ...], set_: tuple[str, ...], format_: str, hash_: bool, output: str | None, force: bool
) -> None:
    """The graph of a network: canonical JSON, Graphviz DOT, or Mermaid.

    \b
    archspec graph resnet18 --format dot | dot -Tsvg > resnet18.svg
    archspec graph lenet5 --format mermaid
    archspec graph resnet18 > a.json; archspec graph mine.yaml > b.json; diff a.json b.json
    """
    graph = load_network(spec, input, set_).graph
    emit(graph.structural_hash() if hash_ else FORMATS[format_](graph), output, force)
