"""`archspec completion`."""

from __future__ import annotations

import click

from archspec.cli.shells import SHELLS
from archspec.cli.streams import emit


@click.command()
@click.argument("shell", type=click.Choice(tuple(SHELLS)))
def command(shell: str) -> None:
    """Print the script with which a shell completes commands, options, params, files and the names of the zoo.

    \b
    bash  archspec completion bash > ~/.local/share/bash-completion/completions/archspec
    zsh   archspec completion zsh > "${fpath[1]}/_archspec"
    fish  archspec completion fish > ~/.config/fish/completions/archspec.fish
    """
    from archspec.cli import COMPLETE, cli

    emit(SHELLS[shell](cli, {}, "archspec", COMPLETE).source(), form="code")
