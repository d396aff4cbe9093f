"""`archspec analyze`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from archspec.analysis.cost import DTYPES
from archspec.cli.common import load_network, network_options, output_options, parse_depth, specs_argument
from archspec.cli.streams import emit, print_diagnostics, screen, to_json
from archspec.errors import SpecError, UsageError, did_you_mean
from archspec.report.analyze import (
    SORTS,
    Extra,
    Report,
    comparison_table,
    exact_comparison,
    exact_table,
    field_text,
    report_text,
)
from archspec.report.screen import Screen
from archspec.report.table import as_csv, as_markdown, as_text

if TYPE_CHECKING:
    from archspec.analysis.receptive import Field

FORMATS = ("table", "json", "csv", "markdown")
EXTRA = ("receptive",)
"""Columns that are worked out where they are asked for."""


def parse_columns(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Return the names of `--columns`."""
    names = tuple(dict.fromkeys(name.strip() for name in value.split(","))) if value else ()
    unknown = next((name for name in names if name not in EXTRA), None)
    if unknown is not None:
        raise UsageError(f"--columns: unknown column {unknown!r}", did_you_mean(unknown, EXTRA))
    return names


@click.command()
@specs_argument
@network_options
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Number of samples.")
@click.option(
    "--dtype", type=click.Choice(tuple(DTYPES)), default="float32", show_default=True, help="Type of the numbers."
)
@click.option(
    "--depth",
    default="2",
    show_default=True,
    metavar="N",
    help="Levels of the module tree that the table shows; `all` for every layer.",
)
@click.option("--training", is_flag=True, help="Count what only outputs for training need, too.")
@click.option(
    "--columns",
    metavar="NAME",
    callback=parse_columns,
    help="A column besides: `receptive`, the receptive field of each layer and how far apart those of neighbours are.",
)
@click.option("--sort", type=click.Choice(tuple(SORTS)), help="A flat list instead of the tree, the largest first.")
@click.option("--format", "format_", type=click.Choice(FORMATS), default="table", show_default=True)
@output_options
def command(
    specs: tuple[str, ...],
    input: tuple[str, ...],
    set_: tuple[str, ...],
    batch: int,
    dtype: str,
    depth: str,
    training: bool,
    columns: tuple[str, ...],
    sort: str | None,
    format_: str,
    output: str | None,
    force: bool,
) -> int:
    """Show shapes, parameters, MACs and FLOPs of a network, without running it.

    One SPEC gives a row for each layer; several give one table that compares them. MACs count the multiply-accumulates
    of convolutions and linear layers; FLOPs are twice that, plus the elementwise work of every other layer. CSV and
    Markdown have every layer, in exact figures.

    \b
    archspec analyze resnet18 --depth 1
    archspec analyze vgg16 --sort params
    archspec analyze efficientnet_b0 --input 3x320x320 --batch 8 --dtype bfloat16
    archspec analyze mobilenet_v1 --set alpha=0.5 --format json
    """
    levels = parse_depth(depth)
    if columns and len(specs) > 1:
        raise UsageError("--columns are those of the layers of one network")
    if sort and (len(specs) > 1 or format_ == "json"):
        raise UsageError("--sort orders the layers of one network, as a table, CSV or Markdown")
    reports: list[Report] = []
    status = 0
    for spec in specs:
        try:
            network = load_network(spec, input, set_)
            report = network.analyze(batch, dtype, training)
        except UsageError:
            raise
        except SpecError as error:
            print_diagnostics(error.diagnostics)
            status = 1
            if error.partial is None or not error.partial.graph.nodes:
                continue
            network = error.partial
            report = network.analyze(batch, dtype, training)
        else:
            print_diagnostics(report.diagnostics)
        reports.append(report)
        fields = network.receptive_fields() if columns else {}
    if reports:
        text = _formatted(reports, len(specs) == 1, format_, levels, sort, screen(output), fields)
        emit(text, output, force, "json" if format_ == "json" else "text")
    return status


def _formatted(
    reports: list[Report],
    single: bool,
    format_: str,
    levels: int | None,
    sort: str | None,
    screen: Screen,
    fields: Mapping[str, tuple[Field, ...]],
) -> str:
    if format_ == "json":
        data = [report.to_dict() for report in reports]
        for layer in data[0]["layers"] if fields else ():
            if layer["path"] in fields:
                layer["receptive_field"] = [field.to_dict() for field in fields[layer["path"]]]
        return to_json(data[0] if single else data)
    extra: Extra = {"receptive": lambda path: field_text(fields.get(path, ()))} if fields else {}
    if format_ in ("csv", "markdown"):
        exact = exact_table(reports[0], sort, extra) if single else exact_comparison(reports)
        return as_csv(exact) if format_ == "csv" else as_markdown(exact)
    if single:
        return report_text(reports[0], levels, sort, screen, extra)
    return as_text(comparison_table(reports), screen)
