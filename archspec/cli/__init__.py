"""The command `archspec`: its commands, each loaded from a file in `commands` when it is called, and exit statuses."""

from __future__ import annotations

import gc
import importlib
import keyword
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from archspec._version import __version__
from archspec.cli.streams import emit, open_closed_streams, print_diagnostics
from archspec.errors import SpecError, UsageError
from archspec.files import remove_unfinished

COMMANDS = {
    "analyze": "Show shapes, parameters, MACs and FLOPs of a network, or compare several networks.",
    "check": "Report everything that is wrong with specs; for people, pre-commit and CI.",
    "show": "Show a spec as understood: every value, every default, and where each comes from.",
    "list": "List the networks that come with archspec, with their figures.",
    "ops": "Show the op reference.",
    "graph": "Print the graph of a network as JSON, Graphviz or Mermaid.",
    "schema": "Print the JSON Schema of specs, for editors.",
    "generate": "Write a network as Python source that reads as if a person had written it.",
    "export": "Write a network as ONNX.",
    "import": "Write a network that you have, from torch or ONNX, as a spec, with the proof.",
    "weights": "Compare a file of weights with a network, or convert it.",
    "verify": "Check spec, torch module and generated source against each other.",
    "bench": "Measure latency, throughput and memory of networks on this machine.",
    "completion": "Print the script that completes the command line in bash, zsh or fish.",
}
"""The commands in the order in which the help lists them, each a file in `commands` (`import_` for `import`)."""

COMPLETE = "_ARCHSPEC_COMPLETE"
"""The variable with which the completion scripts ask; click derives it from the name of the program."""


class _Commands(click.Group):
    """A group that imports a command only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        file = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        module = importlib.import_module(f"archspec.cli.commands.{file}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0] if args else ""
        if word and word not in COMMANDS and not word.startswith("-") and not ctx.resilient_parsing:
            raise UsageError(f"unknown command {word!r}", _instead_of(word))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _instead_of(word: str) -> str | None:
    """Return what somebody may mean who calls `word` a command."""
    from archspec.errors import did_you_mean
    from archspec.zoo import list_specs

    if word == "help":
        return "archspec --help"
    if word.endswith((".yaml", ".yml", ".safetensors")) or word in list_specs():
        return f"archspec analyze {word}"
    return did_you_mean(word, COMMANDS)


@click.command(
    cls=_Commands,
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="A SPEC is a file (specs/resnet18.yaml), the name of a network that comes with archspec (resnet18), or a "
    "safetensors file of `save_weights`, which holds the spec of its network. Exit status: 0 fine, 1 the spec is "
    "wrong, 2 the call is wrong.",
)
@click.version_option(__version__, "-V", "--version", prog_name="archspec")
@click.pass_context
def cli(ctx: click.Context) -> int | None:
    """Compile architecture specs of neural networks.

    \b
    archspec analyze resnet18                  shapes, params, MACs of every layer
    archspec analyze vgg16 resnet50            two networks side by side
    archspec analyze net.yaml --set width=0.5  with a param overridden
    archspec check net.yaml                    everything that is wrong, at once
    """
    if ctx.invoked_subcommand is not None:
        return None
    emit(ctx.get_help())
    return 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with status 0, 1 (the spec is wrong), 2 (the call is wrong) or 130 (Ctrl-C)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    gc.disable()  # a short life: collecting what a network of 100,000 layers still needs takes longer than making it
    open_closed_streams()
    if COMPLETE in os.environ:
        _complete()
    with tidy_end():
        status = _status(words)
    sys.exit(status)


@contextmanager
def tidy_end() -> Iterator[None]:
    """Let a signal that ends the process remove what is being written, before it does what it would do anyway.

    An exception alone could come up anywhere, within an import for instance, and be lost.
    """
    before: dict[int, Any] = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            before[number] = signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> None:
    remove_unfinished()
    if number == signal.SIGINT:
        signal.default_int_handler(number, frame)  # raises KeyboardInterrupt
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


def _status(words: list[str]) -> int:
    """Run the command line, and tell on standard error what is wrong. Return the exit status."""
    try:
        status = cli.main(words, "archspec", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except UsageError as error:
        status = _report(error, 2)
    except SpecError as error:
        status = _report(error, 1)
    except click.ClickException as error:
        status = _report(_usage_error(error, words), 2)
    except (KeyboardInterrupt, click.Abort):
        status = 130
    except BrokenPipeError:
        # The reader has gone, which is its right. What is still buffered must not be flushed at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        status = _report(UsageError(f"{place}{(error.strerror or str(error)).lower()}"), 1)
    return status if isinstance(status, int) else 0


def _report(error: SpecError, status: int) -> int:
    print_diagnostics(error.diagnostics)
    return status


def _usage_error(error: click.ClickException, words: list[str]) -> UsageError:
    """Return what click says of a wrong call as an error like all others."""
    called = next((f"archspec {word}" for word in words if word in COMMANDS), "archspec")
    if isinstance(error, click.NoSuchOption):
        near = next(iter(error.possibilities or ()), None)
        return UsageError(
            f"unknown option {error.option_name!r}", f"did you mean `{near}`?" if near else f"{called} --help"
        )
    return UsageError(" ".join(error.format_message().split()).rstrip("."), f"{called} --help")


def _complete() -> None:
    """Have click answer with our scripts and what they need."""
    from click.shell_completion import add_completion_class

    from archspec.cli.shells import SHELLS

    for shell in SHELLS.values():
        add_completion_class(shell)
