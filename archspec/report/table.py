"""One table, printed in several ways.

Cells are plain text. Nothing in them is ever read as markup: HTML is escaped, control characters are shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from archspec.errors import printable


@dataclass(frozen=True)
class Column:
    """A column. One with a higher `rank` is left out first where the terminal is too narrow; rank 0 always stays."""

    title: str
    right: bool = False
    rank: int = 0


@dataclass
class Table:
    """Columns and rows of text; `strong` holds the positions of rows that sum others up."""

    columns: tuple[Column, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    strong: set[int] = field(default_factory=set)

    def keep(self, wanted: Callable[[Column], bool]) -> Table:
        """The table with the wanted columns only."""
        places = [place for place, column in enumerate(self.columns) if wanted(column)]
        rows = [tuple(row[place] for place in places) for row in self.rows]
        return Table(tuple(self.columns[place] for place in places), rows, self.strong)


def as_text(table: Table, width: int | None = None, bold: Callable[[str], str] = str) -> str:
    """Aligned columns, two blanks between them, at most `width` wide where columns can be left out for it."""
    widths = _widths(table)
    while width is not None and sum(widths) + 2 * (len(widths) - 1) > width:
        last = max(column.rank for column in table.columns)
        if not last:
            break
        table = table.keep(lambda column, last=last: column.rank < last)  # type: ignore[misc]
        widths = _widths(table)
    lines = [bold(_line(table.columns, widths, tuple(column.title for column in table.columns)))]
    for position, row in enumerate(table.rows):
        line = printable(_line(table.columns, widths, row))
        lines.append(bold(line) if position in table.strong else line)
    return "\n".join(lines)


def _widths(table: Table) -> list[int]:
    titles = tuple(column.title for column in table.columns)
    return [max(map(len, cells)) for cells in zip(titles, *table.rows, strict=True)]


def _line(columns: tuple[Column, ...], widths: list[int], cells: tuple[str, ...]) -> str:
    parts = [
        cell.rjust(width) if column.right else cell.ljust(width)
        for column, width, cell in zip(columns, widths, cells, strict=True)
    ]
    return "  ".join(parts).rstrip()


def as_markdown(table: Table) -> str:
    """A table of GitHub's Markdown."""

    def row(cells: tuple[str, ...]) -> str:
        return f"| {' | '.join(_markdown_text(cell) for cell in cells)} |"

    rule = f"|{'|'.join('---:' if column.right else '---' for column in table.columns)}|"
    return "\n".join([row(tuple(column.title for column in table.columns)), rule, *map(row, table.rows)])


def _markdown_text(text: str) -> str:
    escaped = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace("\\", "\\\\")
    return escaped.replace("|", "\\|").replace("`", "\\`").replace("*", "\\*").replace("[", "\\[").replace("_", "\\_")


def as_csv(table: Table) -> str:
    """Comma-separated values with a header (RFC 4180, lines ended by LF)."""
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.title for column in table.columns])
    writer.writerows([printable(cell) for cell in row] for row in table.rows)
    return out.getvalue()


def as_html(table: Table) -> str:
    """An HTML table, every cell escaped."""
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
