"""`archspec analyze`."""

from __future__ import annotations

import sys

import click

from archspec.analysis.cost import DTYPES
from archspec.cli.common import (
    emit,
    load_network,
    network_options,
    output_options,
    print_diagnostics,
    specs_argument,
    terminal_width,
    to_json,
    use_color,
)
from archspec.errors import SpecError, UsageError
from archspec.report.costs import SORTS, Report, comparison_table, plain_table, report_text
from archspec.report.table import as_csv, as_markdown, as_text

FORMATS = ("table", "json", "csv", "markdown")


@click.command()
@specs_argument
@network_options
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Samples at once.")
@click.option(
    "--dtype", type=click.Choice(tuple(DTYPES)), default="float32", show_default=True, help="Type of the numbers."
)
@click.option(
    "--depth",
    default="2",
    show_default=True,
    metavar="N",
    help="Levels of the module tree shown; `all` for every layer.",
)
@click.option("--sort", type=click.Choice(tuple(SORTS)), help="A flat list instead, the largest first.")
@click.option("--format", "format_", type=click.Choice(FORMATS), default="table", show_default=True)
@output_options
def command(
    specs: tuple[str, ...],
    input: tuple[str, ...],
    set_: tuple[str, ...],
    batch: int,
    dtype: str,
    depth: str,
    sort: str | None,
    format_: str,
    output: str | None,
    force: bool,
) -> int:
    """Shapes, parameters, MACs and FLOPs of a network, without running it.

    One SPEC gives a row for each layer; several give one table that compares them. MACs count the multiply-accumulates
    of convolutions and linear layers; FLOPs are twice that, plus the elementwise work of every other layer.

    \b
    archspec analyze resnet18 --depth 1
    archspec analyze vgg16 --sort params
    archspec analyze efficientnet_b0 --input 3x320x320 --batch 8 --dtype bfloat16
    archspec analyze mobilenet_v1 --set alpha=0.5 --format json
    """
    levels = _levels(depth)
    reports: list[Report] = []
    status = 0
    for spec in specs:
        try:
            report = load_network(spec, input, set_).analyze(batch, dtype)
        except UsageError:
            raise
        except SpecError as error:
            print_diagnostics(error.diagnostics)
            status = 1
            if error.partial is None or not error.partial.graph.nodes:
                continue
            report = error.partial.analyze(batch, dtype)
        else:
            print_diagnostics(report.diagnostics)
        reports.append(report)
    if reports:
        emit(_formatted(reports, len(specs) == 1, format_, levels, sort, output is None), output, force)
    return status


def _levels(depth: str) -> int | None:
    if depth == "all":
        return None
    if not depth.isdecimal() or not int(depth):
        raise UsageError(f"--depth {depth}", "a number from 1 on, or `all`")
    return int(depth)


def _formatted(
    reports: list[Report], single: bool, format_: str, levels: int | None, sort: str | None, to_terminal: bool
) -> str:
    if format_ == "json":
        return to_json(reports[0].to_dict() if single else [report.to_dict() for report in reports])
    if format_ in ("csv", "markdown"):
        exact = plain_table(reports[0]) if single else comparison_table(reports)
        return as_csv(exact) if format_ == "csv" else as_markdown(exact)
    width = terminal_width() if to_terminal else None
    bold = (lambda text: click.style(text, bold=True)) if to_terminal and use_color(sys.stdout) else str
    if single:
        return report_text(reports[0], levels, sort, width, bold)
    return as_text(comparison_table(reports), width, bold)
