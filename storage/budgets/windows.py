"""Windows of budgets in a time zone: they follow each other without a gap, across changes of the clock too."""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from storage.budgets.model import Budget, Span, Window
from telemetry.calendar import Kind, stretch_of

FOREVER_S: Final = 253_402_300_799
"""End of the year 9999, UTC."""
_FIXED: Final = {Window.MINUTE: 60, Window.HOUR: 3_600}
"""Seconds of windows that no time zone moves: they begin with UTC's minutes and hours."""
_KEPT: Final = 512


class Calendar:
    """Finds the window of a moment. Remembers the latest, as nearly all calls fall into them."""

    def __init__(self) -> None:
        self._latest: OrderedDict[tuple[Window, str, int], Span] = OrderedDict()

    def span(self, budget: Budget, at_s: int) -> Span:
        """The window of ``budget`` that holds the second ``at_s``."""
        place = (budget.window, budget.timezone, budget.week_start)
        found = self._latest.get(place)
        if found is None or not found.start_s <= at_s < found.end_s:
            found = span_of(budget.window, budget.timezone, budget.week_start, at_s)
            self._latest[place] = found
            if len(self._latest) > _KEPT:
                self._latest.popitem(last=False)
        return found


def span_of(window: Window, timezone: str, week_start: int, at_s: int) -> Span:
    """The window that holds the second ``at_s``. Raises ``ZoneInfoNotFoundError``."""
    if window is Window.TOTAL:
        return Span("total", 0, FOREVER_S)
    size = _FIXED.get(window)
    if size is not None:
        start = at_s - at_s % size
        return Span(_key(window, start), start, start + size)
    found = stretch_of(Kind(window.value), ZoneInfo(timezone), at_s, week_start)
    return Span(_key(window, found.start_s), found.start_s, found.end_s)


def _key(window: Window, start_s: int) -> str:
    return f"{window}:{datetime.fromtimestamp(start_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
