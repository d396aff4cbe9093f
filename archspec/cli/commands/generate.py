"""`archspec generate`."""

from __future__ import annotations

import click

from archspec.backends.source import generate_source
from archspec.cli.common import complete_file, load_network, network_options, output_options, spec_argument
from archspec.cli.streams import emit


@click.command()
@spec_argument
@network_options
@click.option(
    "--template",
    metavar="FILE",
    shell_complete=complete_file,
    help="A jinja2 template of your own instead of the one that comes with archspec.",
)
@output_options
def command(
    spec: str,
    input: tuple[str, ...],
    set_: tuple[str, ...],
    template: str | None,
    output: str | None,
    force: bool,
) -> None:
    """Write a network as Python source that reads as if a person had written it, and imports only torch.

    \b
    archspec generate resnet50 -o resnet50.py
    archspec generate resnet50 --set num_classes=10 | less
    """
    emit(generate_source(load_network(spec, input, set_), template), output, force, "code")
