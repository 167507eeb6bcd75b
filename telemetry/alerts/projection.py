"""Where spend will stand at the end of a window, if it goes on as it did.

Not the forecast of :mod:`telemetry.insights.outlook`: an alert must be explained by one sentence, on a window of any
kind (an hour, days that begin at a budget's own time), by the method its rule names, and after a week of history. So it
is a mean of days: no trend, no bounds, nothing that is fitted.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final

DAY_S: Final = 86_400
WEEK: Final = 7


class Method(enum.StrEnum):
    """How the days to come are guessed."""

    AUTO = "auto"
    """Seasonal where there are two weeks of history, else linear."""
    LINEAR = "linear"
    """Each like the mean of the days before."""
    SEASONAL = "seasonal"
    """Each like the mean of the same days of the week."""


def projected(
    spent: int, history: Sequence[int], today_left_s: int, remaining_s: int, method: Method = Method.AUTO
) -> int:
    """What will be spent at the window's end, in the unit of ``spent``.

    ``history``: whole days before today, oldest first, from the first day with any spend on. ``today_left_s``: seconds
    until today ends; ``remaining_s``: until the window ends. Needs at least one day of history, for seasonal a week.
    """
    seasonal = method is Method.SEASONAL or (method is Method.AUTO and len(history) >= 2 * WEEK)
    left, ahead, coming = remaining_s, 0, 0
    piece = min(today_left_s, left)
    while left > 0:
        alike = history[-WEEK + ahead % WEEK :: -WEEK] if seasonal and len(history) >= WEEK else history
        coming += sum(alike) * piece // (len(alike) * DAY_S)
        left -= piece
        ahead += 1
        piece = min(DAY_S, left)
    return spent + coming


def begun(days: Sequence[int]) -> Sequence[int]:
    """The days from the first with any spend on."""
    first = next((place for place, spent in enumerate(days) if spent), len(days))
    return days[first:]
