"""`archspec generate`."""

from __future__ import annotations

import click

from archspec.backends.source import generate_source
from archspec.cli.common import emit, load_network, network_options, output_options, spec_argument


@click.command()
@spec_argument
@network_options
@click.option("--template", metavar="FILE", help="Your own jinja2 template in place of the one that comes along.")
@output_options
def command(
    spec: str,
    input: tuple[str, ...],
    set_: tuple[str, ...],
    template: str | None,
    output: str | None,
    force: bool,
) -> None:
    """Python source of a network, as a person would have written it: only torch is imported.

    \b
    archspec generate resnet50 -o resnet50.py
    archspec generate resnet50 --set num_classes=10 | less
    """
    emit(generate_source(load_network(spec, input, set_), template), output, force)
