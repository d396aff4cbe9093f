"""The op reference, from the ops themselves."""

from __future__ import annotations

import inspect

from archspec.ops import FAMILIES
from archspec.ops.base import Op
from archspec.ops.fields import REQUIRED, Field
from archspec.report.table import Column, Table, as_markdown


def signature(op: type[Op]) -> str:
    """Return the arguments of an op, with their defaults: `filters, kernel 1, stride 1`."""
    return ", ".join(
        name if field.default is REQUIRED else f"{name} {default_text(field)}" for name, field in op.fields.items()
    )


def default_text(field: Field) -> str:
    """Return a default as a spec would write it."""
    if field.default is REQUIRED:
        return "required"
    if isinstance(field.default, bool):
        return str(field.default).lower()
    if field.default is None:
        return "-"
    return f"{field.default:g}" if isinstance(field.default, float) else str(field.default)


def first_line(op: type[Op]) -> str:
    """Return what the op does, in a line."""
    return inspect.getdoc(op).partition("\n")[0]  # type: ignore[union-attr]


def op_table(op: type[Op]) -> Table:
    """Return the arguments of an op, a row each."""
    table = Table((Column("argument"), Column("takes"), Column("default"), Column("meaning")))
    if op.arity is None:
        takes = "names of steps, numbers" if op.takes_numbers else "names of steps"
        table.rows.append(("from", takes, "required", "what it reads; one alone is joined to the previous step"))
    elif op.operand_names:
        names = " or ".join(f"[{', '.join(op.operand_names[:count])}]" for count in op.counts[1:] or (op.arity,))
        default = "-" if op.counts else "required"
        parts = ", or the parts of a `split`" if op.reads_parts else ""
        table.rows.append(("from", "names of steps", default, f"what it reads: {names}{parts}"))
    for name, field in op.fields.items():
        if field.internal:
            continue
        table.rows.append((name, _takes(field), default_text(field), field.doc))
    return table


def _takes(field: Field) -> str:
    return field.kind.expected.rstrip(",")


def work_text(op: type[Op]) -> str:
    """Return what the op counts as work."""
    macs = "MACs; FLOPs are twice those" if op.weighted else ""
    per_element = f"{op.work:g} FLOP{'s' if op.work != 1 else ''} per element of the output" if op.work else ""
    return op.work_doc or macs or per_element or "none"


def example(op: type[Op]) -> str:
    """Return a step with the op, as short as it can be."""
    if op.example:
        return f"- {op.op}: {op.example}"
    if op.arity is None:
        return f"- {op.op}: input"
    required = {name: op.fields[name].kind.example for name in op.required()}
    if not required:
        return f"- {op.op}"
    if list(required) == list(op.fields)[:1]:
        return f"- {op.op}: {next(iter(required.values()))}"
    return f"- {op.op}: {{{', '.join(f'{name}: {value}' for name, value in required.items())}}}"


def ranks_text(op: type[Op]) -> str:
    """Return the inputs that the op takes."""
    names = {0: "features", 1: "1-D", 2: "2-D", 3: "3-D"}
    if op.ranks and max(op.ranks) >= len(names):
        return f"{1 + min(op.ranks)} to {1 + max(op.ranks)} axes"
    return ", ".join(names[rank] for rank in op.ranks) or "none"


def as_reference() -> str:
    """Return the whole reference as Markdown: `docs/ops.md`."""
    lines = [
        "# Ops",
        "",
        "<!-- Written by `make docs` from the ops themselves; a test holds it fresh. -->",
        "",
        "Every op of the language. Sizes are one number or one per spatial axis; the input's rank picks the 1-D, 2-D",
        "or 3-D form. The first argument may stand alone: `- conv: 64` is `- conv: {filters: 64}`. What every step may",
        "carry besides (`name`, `from`, `when`, `repeat`) is told in [language.md](language.md).",
    ]
    for family, ops in FAMILIES.items():
        lines += ["", f"## {family.capitalize()}"]
        for op in ops:
            lines += ["", *_section(op)]
    return "\n".join(lines) + "\n"


def _section(op: type[Op]) -> list[str]:
    table = op_table(op)
    doc = (inspect.getdoc(op) or "").split("\n\n")
    paragraphs = [" ".join(part.split()) for part in doc]
    facts = f"Inputs: {ranks_text(op)}. Counted work: {work_text(op)}."
    if op.initial:
        drawn = ", ".join(f"{name} {how}" for name, how in op.initial.items())
        facts += f" Torch draws its {drawn}; `init` draws them otherwise."
    if op.also_called:
        facts += f" Also called: {', '.join(op.also_called)}."
    return [
        f"### {op.op}",
        "",
        *[line for paragraph in paragraphs for line in (paragraph, "")],
        *([as_markdown(table), ""] if table.rows else []),
        facts,
    ]
