"""A table of text, printed for a terminal, as Markdown, CSV or HTML.

Cells are plain text. Nothing in them is ever read as markup: HTML is escaped, control characters are shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from archspec.errors import printable
from archspec.report.screen import UNLIMITED, Screen


class Column(NamedTuple):
    """A column.

    Where the terminal is too narrow for all, those of rank 0 are shown, and of the others as many as fit, a lower rank
    first. An `attached` column stands one blank behind the column before it, and is shown only with that. The texts of
    a column with a `least` width may be cut down to that.
    """

    title: str
    right: bool = False
    rank: int = 0
    attached: bool = False
    least: int | None = None


@dataclass
class Table:
    """Columns and rows of text; `strong` holds the positions of the rows that sum up others."""

    columns: tuple[Column, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    strong: set[int] = field(default_factory=set)


def as_text(table: Table, screen: Screen = UNLIMITED) -> str:
    """Return aligned columns, two blanks between them, with the columns that `screen` has room for."""
    rows = [_fitted(row, screen) for row in (tuple(column.title for column in table.columns), *table.rows)]
    widths = _shown(table.columns, [max(map(len, column)) for column in zip(*rows, strict=True)], screen.width)
    dots = screen.fit("…")
    lines = [_line(table.columns, widths, row, dots) for row in rows]
    strong = {0, *(position + 1 for position in table.strong)}
    return "\n".join(screen.bold(line) if number in strong else line for number, line in enumerate(lines))


def _fitted(row: tuple[str, ...], screen: Screen) -> tuple[str, ...]:
    text = "".join(row)
    return row if screen.fit(text) == text else tuple(map(screen.fit, row))


def _shown(columns: tuple[Column, ...], widths: list[int], width: int | None) -> dict[int, int]:
    """Return the positions of the columns to show within `width`, and how wide each is."""
    if width is None:
        return dict(enumerate(widths))
    shown: dict[int, int] = {}
    left = width + 2  # the first column has no gap before it
    for position in sorted(range(len(columns)), key=lambda position: columns[position].rank):
        column, gap = columns[position], 1 if columns[position].attached else 2
        if column.attached and position - 1 not in shown:
            continue
        room = widths[position] if column.least is None else max(column.least, min(widths[position], left - gap))
        if not column.rank or gap + room <= left:
            shown[position] = room
            left -= gap + room
    return dict(sorted(shown.items()))


def _line(columns: tuple[Column, ...], widths: dict[int, int], cells: tuple[str, ...], dots: str) -> str:
    line = ""
    for position, width in widths.items():
        column, cell = columns[position], cells[position]
        if len(cell) > width:
            cell = cell[: width - len(dots)] + dots
        line += " " * (2 - column.attached if line else 0) + (cell.rjust(width) if column.right else cell.ljust(width))
    return line.rstrip()


def as_markdown(table: Table) -> str:
    """Return a table of GitHub's Markdown."""

    def row(cells: tuple[str, ...]) -> str:
        return f"| {' | '.join(_markdown_text(cell) for cell in cells)} |"

    rule = f"|{'|'.join('---:' if column.right else '---' for column in table.columns)}|"
    return "\n".join([row(tuple(column.title for column in table.columns)), rule, *map(row, table.rows)])


def _markdown_text(text: str) -> str:
    escaped = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace("\\", "\\\\")
    return escaped.replace("|", "\\|").replace("`", "\\`").replace("*", "\\*").replace("[", "\\[").replace("_", "\\_")


def as_csv(table: Table) -> str:
    """Return comma-separated values with a header (RFC 4180, lines ended by LF)."""
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.title for column in table.columns])
    writer.writerows([printable(cell) for cell in row] for row in table.rows)
    return out.getvalue()


def as_html(table: Table) -> str:
    """Return an HTML table, every cell escaped."""
    from html import escape

    def row(cells: tuple[str, ...], tag: str) -> str:
        parts = (
            f'<{tag} style="text-align:{"right" if column.right else "left"};white-space:pre">{escape(cell)}</{tag}>'
            for column, cell in zip(table.columns, cells, strict=True)
        )
        return f"<tr>{''.join(parts)}</tr>"

    head = row(tuple(column.title for column in table.columns), "th")
    body = "\n".join(row(cells, "td") for cells in table.rows)
    return f"<table>\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table>"
