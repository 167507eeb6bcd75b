"""Calls as a table that fits the terminal: the less important columns go first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import msgspec
from rich.cells import cell_len
from rich.style import Style
from rich.text import Text

from gateway.api.models import CallOut
from gateway.cli import wording

_GAP = 2
_SHORTEST = 14
"""Cells a model name keeps before a column is left out."""


class Column(msgspec.Struct, frozen=True):
    """One column of the table."""

    title: str
    show: Callable[[CallOut, datetime], str]
    width: int
    """When following, where the widest value is not known yet."""
    rank: int
    """The highest rank is left out first; 0 always stays."""
    right: bool = False
    shrinks: bool = False
    """May be cut to what is left of the line."""


COLUMNS = (
    Column("TIME", lambda call, now: wording.clock(call.started_at, now), 8, 0),
    Column("TEAM", lambda call, _: call.who.team or call.who.app or wording.NOTHING, 14, 4),
    Column("PROVIDER", lambda call, _: call.what.provider, 10, 3),
    Column("MODEL", lambda call, _: wording.model(call), 28, 0, shrinks=True),
    Column("STATUS", lambda call, _: wording.result(call), 8, 0),
    Column("IN", lambda call, _: wording.count(call.usage.counts.get("input")), 8, 1, right=True),
    Column("OUT", lambda call, _: wording.count(call.usage.counts.get("output")), 7, 1, right=True),
    Column("TTFT", lambda call, _: wording.duration(call.timing.first_chunk_us), 7, 5, right=True),
    Column("TOOK", lambda call, _: wording.duration(call.timing.duration_us), 7, 2, right=True),
    Column("COST", lambda call, _: wording.cost_text(call.cost), 11, 0, right=True),
    Column("ID", lambda call, _: call.id, 36, 6),
)
SHORT_ID = Column("ID", lambda call, _: call.id[-8:], 8, 0)
"""The end of an id: the beginning is the time and nearly the same for all of them."""


class CallTable:
    """Lines of a table, laid out for ``width`` cells."""

    def __init__(self, width: int, now: datetime, calls: Sequence[CallOut] = ()) -> None:
        self._now = now
        shown = [column for column in COLUMNS if calls or column.title != "TEAM" or width > 100]
        if calls and not any(call.who.team or call.who.app for call in calls):
            shown = [column for column in shown if column.title != "TEAM"]
        self._columns, self._widths = self._fit(shown, width, calls)

    def heading(self) -> Text:
        """The titles."""
        return self._line([column.title for column in self._columns], [Style(bold=True)] * len(self._columns))

    def line(self, call: CallOut) -> Text:
        """One call."""
        cells = [column.show(call, self._now) for column in self._columns]
        return self._line(cells, [_style(column, call) for column in self._columns])

    def lines(self, calls: Iterable[CallOut]) -> list[Text]:
        """Heading and calls."""
        return [self.heading(), *(self.line(call) for call in calls)]

    def _fit(
        self, columns: list[Column], width: int, calls: Sequence[CallOut]
    ) -> tuple[list[Column], list[int]]:
        """Leaves out columns until the rest fits; an id that does not fit is shown by its end."""
        while True:
            widths = [self._wanted(column, calls) for column in columns]
            excess = sum(widths) + _GAP * (len(columns) - 1) - width
            shrinking = next((i for i, column in enumerate(columns) if column.shrinks), None)
            if excess > 0 and shrinking is not None and widths[shrinking] - excess >= _SHORTEST:
                widths[shrinking] -= excess
                excess = 0
            worst = max(columns, key=lambda column: column.rank)
            if excess <= 0 or worst.rank == 0:
                return columns, widths
            place = columns.index(worst)
            columns = [*columns[:place], *([SHORT_ID] if worst.title == "ID" else []), *columns[place + 1 :]]

    def _wanted(self, column: Column, calls: Sequence[CallOut]) -> int:
        if not calls:
            return column.width
        return max(cell_len(column.title), *(cell_len(column.show(call, self._now)) for call in calls))

    def _line(self, cells: list[str], styles: list[Style]) -> Text:
        line = Text(no_wrap=True, overflow="ignore")
        for index, (column, cell, width, style) in enumerate(
            zip(self._columns, cells, self._widths, styles, strict=True)
        ):
            text = Text(cell)
            text.truncate(max(width, 1), overflow="ellipsis")
            space = " " * max(0, width - text.cell_len)
            last = index == len(cells) - 1
            line.append(space if column.right else "")
            line.append(text.plain, style)
            line.append("" if last else ("" if column.right else space) + " " * _GAP)
        line.rstrip()
        return line


def _style(column: Column, call: CallOut) -> Style:
    if column.title == "STATUS":
        return Style(color="green" if call.outcome == "completed" else "red")
    if column.title == "COST":
        unknown = call.cost.total.nano_usd is None
        return Style(color="yellow") if unknown or call.cost.status in ("estimated", "partial") else Style()
    return Style(dim=True) if column.title in ("ID", "TTFT", "PROVIDER") else Style()
