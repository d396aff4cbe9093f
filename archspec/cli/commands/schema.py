"""`archspec schema`."""

from __future__ import annotations

import click

from archspec.cli.common import emit, output_options, to_json
from archspec.schema import schema


@click.command()
@output_options
def command(output: str | None, force: bool) -> None:
    """The JSON Schema (draft-07) of a spec.

    An editor with a YAML language server completes and explains every op and argument when the first line of a spec
    names it: `# yaml-language-server: $schema=archspec.schema.json`
    """
    emit(to_json(schema()), output, force)
