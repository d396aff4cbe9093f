"""`archspec ops`."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import click

from archspec.cli.common import emit, output_options, terminal_width, use_color
from archspec.errors import UsageError, did_you_mean
from archspec.ops import FAMILIES, OPS
from archspec.ops.base import Op
from archspec.report.op_reference import as_reference, example, first_line, op_table, ranks_text, signature, work_text
from archspec.report.table import as_text


def _complete_op(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(name, help=first_line(op)) for name, op in OPS.items() if name.startswith(incomplete)]


@click.command()
@click.argument("op", required=False, shell_complete=_complete_op)
@click.option("--format", "format_", type=click.Choice(("text", "markdown")), default="text", show_default=True)
@output_options
def command(op: str | None, format_: str, output: str | None, force: bool) -> None:
    """The op reference: every op in a line, or one OP with its arguments.

    \b
    archspec ops
    archspec ops conv
    """
    if op is not None and op not in OPS:
        raise UsageError(f"no op is called {op!r}", did_you_mean(op, OPS))
    if format_ == "markdown":
        emit(as_reference(), output, force)
        return
    emit(_one(OPS[op]) if op else _all(), output, force)


def _bold(text: str) -> str:
    return click.style(text, bold=True) if use_color(sys.stdout) else text


def _all() -> str:
    width = terminal_width()
    longest = max(map(len, OPS))
    parts: list[str] = []
    for family, ops in FAMILIES.items():
        lines = [f"  {op.op:<{longest}}  {signature(op)}".rstrip() for op in ops]
        parts.append("\n".join([_bold(family.capitalize()), *(line[:width] for line in lines)]))
    return "\n\n".join([*parts, "`archspec ops OP` tells more of one."])


def _one(op: type[Op]) -> str:
    table = op_table(op)
    parts = [f"{_bold(op.op)}\n{inspect.getdoc(op)}", example(op)]
    if table.rows:
        parts.append(as_text(table, None, _bold))
    parts.append(f"inputs: {ranks_text(op)}\nwork:   {work_text(op)}")
    return "\n\n".join(parts)
