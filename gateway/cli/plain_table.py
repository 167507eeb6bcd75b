"""Tables without lines that fit the terminal: the less important columns go first."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

Cell = str | Text


class Column(msgspec.Struct, frozen=True):
    """One column."""

    title: str
    right: bool = False
    rank: int = 0
    """The highest rank is left out first; 0 always stays."""
    style: str = ""


def print_table(screen: Console, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> list[str]:
    """Prints as many columns as fit; what is too wide even so is cut. Gives the titles that were shown."""
    shown = list(range(len(columns)))
    while True:
        table = _table([columns[place] for place in shown], [[row[place] for place in shown] for row in rows])
        least = Measurement.get(screen, screen.options.update(width=10_000), table).maximum
        worst = max(shown, key=lambda place: columns[place].rank)
        if least <= screen.width or columns[worst].rank == 0:
            screen.print(table)
            return [columns[place].title for place in shown]
        shown.remove(worst)


def _table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            style=column.style,
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return table
