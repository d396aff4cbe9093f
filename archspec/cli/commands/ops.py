"""`archspec ops`."""

from __future__ import annotations

import inspect
from typing import Any

import click

from archspec.cli.common import output_options
from archspec.cli.streams import emit, screen
from archspec.errors import UsageError, did_you_mean
from archspec.ops import FAMILIES, OPS
from archspec.ops.base import Op
from archspec.report.op_reference import as_reference, example, first_line, op_table, ranks_text, signature, work_text
from archspec.report.screen import Screen
from archspec.report.table import as_text


def _complete_op(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(name, help=first_line(op)) for name, op in OPS.items() if name.startswith(incomplete)]


@click.command()
@click.argument("op", required=False, shell_complete=_complete_op)
@click.option("--format", "format_", type=click.Choice(("text", "markdown")), default="text", show_default=True)
@output_options
def command(op: str | None, format_: str, output: str | None, force: bool) -> None:
    """Show the op reference: every op in a line, or one OP with its arguments.

    \b
    archspec ops
    archspec ops conv
    """
    if op is not None and op not in OPS:
        raise UsageError(f"unknown op {op!r}", did_you_mean(op, OPS) or "`archspec ops` lists them")
    if format_ == "markdown":
        if op is not None:
            raise UsageError("--format markdown prints the whole reference", "leave out OP")
        text = as_reference()
    else:
        text = _one(OPS[op], screen(output)) if op else _all(screen(output))
    emit(text, output, force)


def _all(screen: Screen) -> str:
    longest = max(map(len, OPS))
    parts: list[str] = []
    for family, ops in FAMILIES.items():
        lines = [f"  {op.op:<{longest}}  {signature(op)}".rstrip() for op in ops]
        parts.append("\n".join([screen.bold(family.capitalize()), *(line[: screen.width] for line in lines)]))
    return "\n\n".join([*parts, "`archspec ops OP` shows the arguments of one."])


def _one(op: type[Op], screen: Screen) -> str:
    table = op_table(op)
    parts = [f"{screen.bold(op.op)}\n{inspect.getdoc(op)}", example(op)]
    if table.rows:
        parts.append(as_text(table, screen))
    parts.append(f"inputs: {ranks_text(op)}\nwork:   {work_text(op)}")
    return "\n\n".join(parts)
