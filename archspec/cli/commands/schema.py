"""`archspec schema`."""

from __future__ import annotations

import click

from archspec.cli.common import output_options
from archspec.cli.streams import emit, to_json
from archspec.schema import schema


@click.command()
@output_options
def command(output: str | None, force: bool) -> None:
    """Print the JSON Schema (draft-07) of specs.

    An editor with a YAML language server completes and explains every op and argument if the first line of a spec
    names the schema: `# yaml-language-server: $schema=archspec.schema.json`

    \b
    archspec schema -o archspec.schema.json
    """
    emit(to_json(schema()), output, force, "json")
