"""`archspec completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from archspec.cli.common import emit


@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def command(shell: str) -> None:
    """The script that completes commands, options and the zoo's names.

    \b
    bash  archspec completion bash > ~/.local/share/bash-completion/completions/archspec
    zsh   archspec completion zsh > "${fpath[1]}/_archspec"
    fish  archspec completion fish > ~/.config/fish/completions/archspec.fish
    """
    from archspec.cli import cli

    kind = get_completion_class(shell)
    assert kind is not None
    if shell == "bash":
        # click asks bash for its version when it makes the script; the script itself is the same text.
        kind._check_version = staticmethod(lambda: None)  # type: ignore[attr-defined]
    emit(kind(cli, {}, "archspec", "_ARCHSPEC_COMPLETE").source())
