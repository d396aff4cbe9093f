"""`archspec bench`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from archspec.backends.build import DTYPES, MEMORY_FORMATS
from archspec.cli.common import load_network, network_options, output_options, specs_argument
from archspec.cli.streams import emit, is_terminal, print_error, screen, show_progress, to_json
from archspec.errors import UsageError, printable
from archspec.files import check_target
from archspec.report.screen import Screen
from archspec.report.table import as_csv, as_markdown, as_text

if TYPE_CHECKING:
    from archspec.backends.bench import Benchmark

FORMATS = ("table", "json", "csv", "markdown")
BAR = 24
"""Characters of the bar that shows the progress."""


@click.command()
@specs_argument
@network_options
@click.option("--device", metavar="DEVICE", help="cpu, cuda, cuda:1; by default the GPU if there is one.")
@click.option("--dtype", type=click.Choice(DTYPES), default="float32", show_default=True)
@click.option("--memory-format", type=click.Choice(MEMORY_FORMATS), default="contiguous", show_default=True)
@click.option("--batch", default="1", show_default=True, metavar="N,...", help="Number of samples, or several.")
@click.option(
    "--mode",
    default="eager",
    show_default=True,
    metavar="MODE,...",
    help="eager, compile, reduce-overhead, max-autotune, max-autotune-no-cudagraphs.",
)
@click.option("--train", is_flag=True, help="Measure training steps, forward and backward, instead of inference.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads on the CPU; by default as many as torch chooses.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=2.0,
    show_default=True,
    help="How long to measure each row.",
)
@click.option("--steps", type=click.IntRange(min=1), help="How many steps to measure for each row instead.")
@click.option("--format", "format_", type=click.Choice(FORMATS), default="table", show_default=True)
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
    """Measure latency, throughput and memory of networks on this machine, in turns if several are compared.

    p10 and p90 tell how the steps differ. Other processes make all of them slow: if these keep more cores busy than
    the threads leave free, everything is measured again (not with --steps), and if that does not help, a line under
    the table says so. Small networks may be faster with --threads 1; if that is quick to see, a line says that too.

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
    progress = _bar() if is_terminal(sys.stderr) else None
    result = bench(networks, batches=batches, modes=modes, progress=progress, **settings)
    if format_ == "csv":  # which has no place for them
        for note in result.notes():
            print_error(f"note: {note}")
    text = _formatted(result, format_, screen(output))
    emit(text, output, force, "json" if format_ == "json" else "text")


def _formatted(result: Benchmark, format_: str, screen: Screen) -> str:
    if format_ == "json":
        return to_json(result.to_dict())
    if format_ == "csv":
        return as_csv(result.table(exact=True))
    if format_ == "markdown":
        return "\n\n".join([as_markdown(result.table()), *map(printable, result.notes())])
    table = f"{screen.fit(result.header())}\n\n{as_text(result.table(), screen)}"
    notes = "\n".join(map(screen.fit, result.notes()))
    return f"{table}\n\n{notes}" if notes else table


def _sizes(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and word.isascii() and len(word) < 10 and int(word) for word in words):
        raise UsageError(f"--batch {text}: expected numbers of samples, at least 1", "such as --batch 1,32")
    return [int(word) for word in words]


def _bar() -> Callable[[int, int, str], None]:
    """Return what shows the progress in a line of standard error, which is wiped at the end."""

    def show(done: int, total: int, what: str) -> None:
        if done and done == total:
            show_progress("")
            return
        full = BAR * done // total if total else 0
        show_progress(f"{'#' * full}{'.' * (BAR - full)} {what}")

    return show
