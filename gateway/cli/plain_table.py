"""Tables without lines that fit the terminal: the less important columns go first."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

Cell = str | Text
_GAP = 2


class Column(msgspec.Struct, frozen=True):
    """One column."""

    title: str
    right: bool = False
    rank: int = 0
    """The highest rank is left out first; 0 always stays."""
    style: str = ""
    wraps: int = 0
    """It goes over several lines where it has to, and needs so many cells; the others are not cut then."""


def print_table(screen: Console, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> list[str]:
    """Prints as many columns as fit; what is too wide even so is cut. Gives the titles that were shown."""
    shown = list(range(len(columns)))
    while True:
        widths = [_width(columns[place], [row[place] for row in rows]) for place in shown]
        worst = max(shown, key=lambda place: columns[place].rank)
        if sum(widths) + _GAP * (len(shown) - 1) <= screen.width or columns[worst].rank == 0:
            break
        shown.remove(worst)
    chosen = [columns[place] for place in shown]
    screen.print(_table(chosen, widths, [[row[place] for place in shown] for row in rows]))
    return [column.title for column in chosen]


def _width(column: Column, cells: Sequence[Cell]) -> int:
    """Cells it cannot do without."""
    widest = max(
        (cell_len(line) for cell in (column.title, *cells) for line in str(cell).splitlines()), default=0
    )
    return min(widest, column.wraps) if column.wraps else widest


def _table(columns: Sequence[Column], widths: Sequence[int], rows: Sequence[Sequence[Cell]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    yields = any(column.wraps for column in columns)
    for column, width in zip(columns, widths, strict=True):
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            style=column.style,
            no_wrap=not column.wraps,
            overflow="fold" if column.wraps else "ellipsis",
            min_width=width if yields else None,
        )
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return table
