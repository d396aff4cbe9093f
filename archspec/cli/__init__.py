"""The command `archspec`. Every command is a file in `commands`, loaded when it is called."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from archspec._version import __version__
from archspec.errors import SpecError, UsageError
from archspec.files import remove_unfinished

COMMANDS = {
    "analyze": "Shapes, parameters, MACs and FLOPs of a network; several networks side by side.",
    "check": "Everything that is wrong with a spec, all of it at once; for people, pre-commit and CI.",
    "show": "The spec as it was understood: every value, every default, and where each comes from.",
    "list": "The networks that come with archspec, with their figures.",
    "ops": "The op reference.",
    "graph": "The graph of a network as JSON, Graphviz or Mermaid.",
    "schema": "The JSON Schema of a spec, for editors.",
    "generate": "Python source of a network, as a person would write it.",
    "export": "A network as ONNX.",
    "weights": "Whether a file of weights fits a network.",
    "verify": "Spec, torch module and source held against each other.",
    "bench": "Latency, throughput and memory of a network on this machine.",
    "completion": "The script that completes commands in bash, zsh or fish.",
}
"""The commands, in the order in which the help lists them; `name` lives in `commands/name.py`."""


class _Commands(click.Group):
    """A group that imports a command only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"archspec.cli.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from archspec.errors import did_you_mean

            help = did_you_mean(args[0], COMMANDS)
            if args[0].endswith((".yaml", ".yml", ".safetensors")):
                help = f"archspec analyze {args[0]}"
            raise UsageError(f"no command is called {args[0]!r}", help)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="A SPEC is a file (specs/resnet18.yaml), a name of the zoo (resnet18), or a safetensors file that knows its "
    "network. Exit status: 0 fine, 1 the spec is wrong, 2 the call is.",
)
@click.version_option(__version__, "-V", "--version", prog_name="archspec")
def cli() -> None:
    """A compiler for neural-network architecture specs.

    \b
    archspec analyze resnet18                  shapes, params, MACs of every layer
    archspec analyze vgg16 resnet50            two networks side by side
    archspec analyze net.yaml --set width=0.5  with a param overridden
    archspec check net.yaml                    everything that is wrong, at once
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, and end the process.

    Its status is 0, 1 (the spec is wrong), 2 (the call is) or 130 (Ctrl-C).
    """
    gc.disable()  # a short life: collecting what a network of 100,000 layers still needs takes longer than making it
    with tidy_end():
        status = _status(arguments)
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


def _status(arguments: Sequence[str] | None) -> int:
    """Run the command line, and tell on standard error what is wrong. Return the exit status."""
    try:
        status = cli.main(list(sys.argv[1:] if arguments is None else arguments), "archspec", standalone_mode=False)
        sys.stdout.flush()
    except UsageError as error:
        status = _report(error, 2)
    except SpecError as error:
        status = _report(error, 1)
    except click.ClickException as error:
        error.show()
        status = 2
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
    from archspec.cli.common import print_diagnostics

    print_diagnostics(error.diagnostics)
    return status
