"""`archspec bench`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from archspec.backends.build import DTYPES, MEMORY_FORMATS
from archspec.cli.common import (
    emit,
    load_network,
    network_options,
    output_options,
    specs_argument,
    terminal_width,
    to_json,
)
from archspec.errors import UsageError
from archspec.files import check_target
from archspec.report.table import as_csv, as_markdown, as_text

if TYPE_CHECKING:
    from archspec.backends.bench import Benchmark

BAR = 24
"""Characters of the bar that shows how far the measuring is."""


@click.command()
@specs_argument
@network_options
@click.option("--device", metavar="DEVICE", help="cpu, cuda, cuda:1; by default the GPU where there is one.")
@click.option("--dtype", type=click.Choice(DTYPES), default="float32", show_default=True)
@click.option("--memory-format", type=click.Choice(MEMORY_FORMATS), default="contiguous", show_default=True)
@click.option("--batch", default="1", show_default=True, metavar="N,...", help="Samples at once: one or several sizes.")
@click.option(
    "--mode",
    default="eager",
    show_default=True,
    metavar="MODE,...",
    help="eager, compile, reduce-overhead, max-autotune, max-autotune-no-cudagraphs.",
)
@click.option("--train", is_flag=True, help="Measure training steps, forward and backward, instead of inference.")
@click.option(
    "--seconds", type=click.FloatRange(min=0, min_open=True), default=2.0, show_default=True, help="For each row."
)
@click.option("--steps", type=click.IntRange(min=1), help="A number of steps for each row, instead of a time.")
@click.option(
    "--format", "format_", type=click.Choice(("table", "json", "csv", "markdown")), default="table", show_default=True
)
@output_options
def command(
    specs: tuple[str, ...],
    input: tuple[str, ...],
    set_: tuple[str, ...],
    batch: str,
    mode: str,
    format_: str,
    output: str | None,
    force: bool,
    **settings: Any,  # the options that `bench` takes under the same names
) -> None:
    """Latency, throughput and memory of networks, in turns where several are compared.

    \b
    archspec bench resnet18 mobilenet_v2 --batch 1,32 --mode eager,compile
    archspec bench resnet50 --device cuda --dtype bfloat16 --memory-format channels_last --mode max-autotune
    """
    from archspec.backends.extras import need

    networks = [load_network(spec, input, set_) for spec in specs]
    batches = _sizes(batch)
    if output is not None:
        check_target(output, force)  # before the minutes of measuring, not after
    need("torch")
    from archspec.backends.bench import bench

    modes = [word.strip() for word in mode.split(",")]
    progress = _bar() if sys.stderr.isatty() else None
    result = bench(networks, batches=batches, modes=modes, progress=progress, **settings)
    emit(_formatted(result, format_, output is None), output, force)


def _formatted(result: Benchmark, format_: str, to_terminal: bool) -> str:
    if format_ == "json":
        return to_json(result.to_dict())
    table = result.table()
    if format_ in ("csv", "markdown"):
        return as_csv(table) if format_ == "csv" else as_markdown(table)
    return f"{result.header()}\n\n{as_text(table, terminal_width() if to_terminal else None)}"


def _sizes(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and word.isascii() and len(word) < 10 and int(word) for word in words):
        raise UsageError(f"--batch {text}", "numbers of samples: --batch 1,32")
    return [int(word) for word in words]


def _bar() -> Callable[[int, int, str], None]:
    """A line on standard error that shows what runs, and is wiped at the end."""

    def show(done: int, total: int, what: str) -> None:
        if done and done == total:
            click.echo("\r\x1b[K", nl=False, err=True)
            return
        full = BAR * done // total if total else 0
        click.echo(f"\r\x1b[K{'#' * full}{'.' * (BAR - full)} {what}", nl=False, err=True)

    return show
