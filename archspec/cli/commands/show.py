"""`archspec show`."""

from __future__ import annotations

import click

from archspec.cli.common import emit, load_network, network_options, output_options, spec_argument
from archspec.show import show_spec


@click.command()
@spec_argument
@network_options
@output_options
def command(spec: str, input: tuple[str, ...], set_: tuple[str, ...], output: str | None, force: bool) -> None:
    """The spec as it was understood: every value, every default, and where each comes from.

    Blocks, repeats and conditions are worked out. The result is itself a spec, of the same network.
    """
    emit(show_spec(load_network(spec, input, set_)), output, force)
