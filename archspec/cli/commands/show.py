"""`archspec show`."""

from __future__ import annotations

import click

from archspec.cli.common import load_network, network_options, output_options, spec_argument
from archspec.cli.streams import emit
from archspec.document import source_of
from archspec.errors import UsageError
from archspec.report.bundle import bundle_spec
from archspec.report.spec import show_spec


@click.command()
@spec_argument
@network_options
@click.option(
    "--source", is_flag=True, help="Print the file as it was written, to copy a network that comes with archspec."
)
@click.option("--bundle", is_flag=True, help="Print the spec as it was written, with all that it extends and includes.")
@output_options
def command(
    spec: str,
    input: tuple[str, ...],
    set_: tuple[str, ...],
    source: bool,
    bundle: bool,
    output: str | None,
    force: bool,
) -> None:
    """Show a spec as understood: every value, every default, and where each comes from.

    Blocks are expanded, repeats unrolled, conditions decided; with --bundle they stay, in one file that needs no other.
    The result is itself a spec, of the same network.

    \b
    archspec show resnet18
    archspec show resnet18 --source -o mine.yaml
    archspec show resnet50 --set num_classes=10 --bundle -o mine.yaml
    archspec show weights.safetensors
    """
    if source and (input or set_ or bundle):
        raise UsageError("--source prints the file as it was written", "leave out --input, --set and --bundle")
    if source:
        emit(source_of(spec).text, output, force, "file")
        return
    network = load_network(spec, input, set_)
    if bundle:
        text = bundle_spec(network.elaboration, network.overrides, network.own_inputs)
    else:
        text = show_spec(network.elaboration, network.overrides)
    emit(text, output, force, "code")
