"""`archspec show`."""

from __future__ import annotations

import click

from archspec.cli.common import load_network, network_options, output_options, spec_argument
from archspec.cli.streams import emit
from archspec.document import source_of
from archspec.errors import UsageError
from archspec.report.spec import show_spec


@click.command()
@spec_argument
@network_options
@click.option(
    "--source", is_flag=True, help="Print the file as it was written, to copy a network that comes with archspec."
)
@output_options
def command(
    spec: str, input: tuple[str, ...], set_: tuple[str, ...], source: bool, output: str | None, force: bool
) -> None:
    """Show a spec as understood: every value, every default, and where each comes from.

    Blocks are expanded, repeats unrolled, conditions decided. The result is itself a spec, of the same network.

    \b
    archspec show resnet18
    archspec show resnet18 --source -o mine.yaml
    archspec show weights.safetensors
    """
    if source and (input or set_):
        raise UsageError("--source prints the file as it was written", "leave out --input and --set")
    if source:
        emit(source_of(spec).text, output, force, "file")
        return
    network = load_network(spec, input, set_)
    emit(show_spec(network.elaboration, network.overrides), output, force, "code")
