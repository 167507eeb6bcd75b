"""What makes sums by UTC day those of another zone's days: the hours that go to the day before or after. Pure.

Berlin's 2nd of May begins at 22:00 UTC of the 1st. Its sums are those of the UTC day of the 2nd, with the last two hours
of the 1st, which move one day on, and without the last two of the 2nd, which move on to the 3rd. West of Greenwich the
first hours of a UTC day move one day back. So thirty days are thirty rows by day and as many times two by hour, not 720.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from storage.rollups.zones import DAY_MS, HOUR_MS, Range


class Moves(msgspec.Struct, frozen=True):
    """Parts of UTC days that belong to another day in a zone."""

    by: int = 0
    """To how many days later they belong: 1, or -1 west of Greenwich."""
    hours: tuple[Range, ...] = ()
    """Whole hours since 1970."""
    calls: tuple[Range, ...] = ()
    """Parts of hours, milliseconds since 1970."""

    @property
    def cut_hours(self) -> frozenset[int]:
        """Hours of which only a part moves: as a whole, such an hour belongs to its UTC day before that."""
        return frozenset(begin // HOUR_MS for begin, _ in self.calls)


NOTHING_MOVES: Final = Moves()


def moves(days: Range, cuts: Sequence[int], day_of: Callable[[int], int], held_ms: int) -> Moves | None:
    """What moves within these UTC days if the zone's days begin at ``cuts`` (milliseconds since 1970).

    ``day_of``: the zone's day of a moment. ``held_ms``: calls that began earlier may be gone; an hour that would have
    to be cut there goes as a whole where it begins. ``None`` where not all moves the same way: the zone crossed the
    date line meanwhile.
    """
    shifts, hours, calls = set(), [], []
    for begin, end in pairwise(_borders(days, cuts)):
        shift = day_of(begin) - begin // DAY_MS
        if not shift:
            continue
        shifts.add(shift)
        first, last = -(-begin // HOUR_MS), end // HOUR_MS
        if end % HOUR_MS and last * HOUR_MS < held_ms:
            last += 1  # the cut hour begins in this stretch
        if first < last:
            hours.append((first, last))
        ends = ((begin, min(first * HOUR_MS, end)), (max(last * HOUR_MS, begin), end))
        calls += [
            (start, stop) for start, stop in dict.fromkeys(ends) if held_ms <= _hour(start) and start < stop
        ]
    return Moves(next(iter(shifts), 0), tuple(hours), tuple(calls)) if len(shifts) < 2 else None


def _borders(days: Range, cuts: Sequence[int]) -> list[int]:
    """Where a UTC day or a day of the zone begins, from the first of the days to the end of the last."""
    first, last = days[0] * DAY_MS, days[1] * DAY_MS
    return sorted({*range(first, last + 1, DAY_MS), *(cut for cut in cuts if first < cut < last)})


def _hour(ms: int) -> int:
    return ms // HOUR_MS * HOUR_MS
