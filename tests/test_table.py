"""Tables on a screen that is too narrow for them: which columns stay, and how text is cut."""

from __future__ import annotations

import pytest

import archspec
from archspec.report.analyze import COLUMNS, layers_table, report_text
from archspec.report.screen import BLOCKS, Screen
from archspec.report.table import Column, Table, as_text

NAMES = [column.title or "bar" for column in COLUMNS]


def columns(lines: list[str]) -> list[str]:
    """The columns of a table of `analyze`."""
    return [*lines[0].split(), *(["bar"] if set(BLOCKS) & set("".join(lines)) else [])]


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (60, "layer op output params MACs share"),
        (80, "layer op arguments output params MACs share"),
        (100, "layer op arguments output params MACs FLOPs bytes share bar"),
        (160, "layer op arguments input output params buffers MACs FLOPs bytes share bar"),
        (None, "layer op arguments input output params buffers MACs FLOPs bytes share bar"),
    ],
)
def test_resnet18(width: int | None, expected: str) -> None:
    lines = report_text(archspec.load("resnet18").analyze(), 2, screen=Screen(width)).split("\n\n")[1].splitlines()
    assert columns(lines) == expected.split()
    assert width is None or max(map(len, lines)) <= width


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "googlenet", "vgg16"])
@pytest.mark.parametrize("depth", [1, 2, None])
def test_what_fits_is_shown_in_its_order(name: str, depth: int | None) -> None:
    """A column is left out only if those before it in rank leave no room for it; the bar goes with its share."""
    table = layers_table(archspec.load(name).analyze(), depth)
    widths = [max(map(len, cells)) for cells in zip([column.title for column in COLUMNS], *table.rows, strict=True)]
    for width in range(40, 180):
        lines = as_text(table, Screen(width)).splitlines()
        shown = columns(lines)
        taken = -2
        for column, needed, title in sorted(zip(COLUMNS, widths, NAMES, strict=True), key=lambda each: each[0].rank):
            space = needed + (1 if column.attached else 2)
            fits = not column.rank or taken + space <= width
            if column.attached and "share" not in shown:
                fits = False
            assert (title in shown) == fits, (width, title)
            taken += space if fits else 0
        assert max(map(len, lines)) <= max(width, taken)


def test_texts_are_cut_where_the_column_allows_it() -> None:
    table = Table((Column("name"), Column("text", rank=1, least=6)), [("one", "a long text"), ("two", "short")])
    assert as_text(table, Screen(18)) == "name  text\none   a long text\ntwo   short"
    assert as_text(table, Screen(13)) == "name  text\none   a long…\ntwo   short"
    assert as_text(table, Screen(13, "ascii")) == "name  text\none   a lo...\ntwo   short"
    assert as_text(table, Screen(11)) == "name\none\ntwo"


def test_columns_are_aligned_by_what_is_shown() -> None:
    """An escape is longer than its character."""
    table = Table((Column("name"), Column("n", right=True)), [("é", "1"), ("ab", "10")])
    assert as_text(table, Screen()) == "name   n\né      1\nab    10"
    assert as_text(table, Screen(encoding="ascii")) == "name   n\n\\xe9   1\nab    10"
    table.rows.append(("\x1b[1m", "2"))
    assert as_text(table, Screen()).splitlines()[-1] == "\\x1b[1m   2"


def test_bold_lines() -> None:
    table = Table((Column("n"),), [("1",), ("2",)], strong={1})
    assert as_text(table, Screen(bold="*{}*".format)) == "*n*\n1\n*2*"
