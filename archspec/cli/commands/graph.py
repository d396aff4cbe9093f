"""`archspec graph`."""

from __future__ import annotations

import click

from archspec.cli.common import load_network, network_options, output_options, parse_depth, spec_argument
from archspec.cli.streams import emit, print_diagnostics
from archspec.errors import Diagnostic, UsageError
from archspec.graph import Graph
from archspec.report.drawing import (
    MERMAID_CHARACTERS,
    MERMAID_EDGES,
    as_dot,
    as_mermaid,
    mermaid_depth,
    mermaid_renders,
)

FORMATS = ("json", "dot", "mermaid")
ENOUGH = f"{MERMAID_EDGES} arrows and {MERMAID_CHARACTERS:,} characters"


@click.command()
@spec_argument
@network_options
@click.option("--format", "format_", type=click.Choice(FORMATS), default="json", show_default=True)
@click.option(
    "--depth",
    metavar="N",
    help="Draw each scope N levels down as one box; `all` for every layer. By default as deep as Mermaid renders.",
)
@click.option("--hash", "hash_", is_flag=True, help="Print only the structural hash, in which names do not count.")
@output_options
def command(
    spec: str,
    input: tuple[str, ...],
    set_: tuple[str, ...],
    format_: str,
    depth: str | None,
    hash_: bool,
    output: str | None,
    force: bool,
) -> None:
    """Print the graph of a network as canonical JSON, Graphviz DOT or Mermaid.

    \b
    archspec graph resnet18 --format dot | dot -Tsvg > resnet18.svg
    archspec graph resnet50 --format mermaid --depth 2
    archspec graph resnet18 > a.json; archspec graph mine.yaml > b.json; diff a.json b.json
    """
    levels = None if depth is None else parse_depth(depth)
    if depth is not None and (hash_ or format_ == "json"):
        raise UsageError("--depth is for drawings", "--format dot or --format mermaid")
    graph = load_network(spec, input, set_).graph
    if hash_:
        text = graph.structural_hash()
    elif format_ == "json":
        text = graph.to_json()
    elif format_ == "dot":
        text = as_dot(graph, levels)
    else:
        text = _mermaid(graph, levels, depth is None)
    emit(text, output, force, "json" if format_ == "json" else "text")


def _mermaid(graph: Graph, levels: int | None, fold: bool) -> str:
    """Return a chart that Mermaid renders, or say that it does not."""
    if fold:
        levels = mermaid_depth(graph)
    chart = as_mermaid(graph, levels)
    if not mermaid_renders(chart):
        message = f"Mermaid does not render this: by default it takes {ENOUGH}"
        help = "draw less with --depth, or set maxEdges and maxTextSize where the page calls mermaid.initialize"
        print_diagnostics([Diagnostic("limit", message, help=help, severity="warning")])
    elif fold and levels is not None:
        message = f"drawn down to level {levels}: by default Mermaid takes {ENOUGH}"
        help = "--depth all draws every layer, for a page that sets maxEdges and maxTextSize in mermaid.initialize"
        print_diagnostics([Diagnostic("limit", message, help=help, severity="warning")])
    return chart
