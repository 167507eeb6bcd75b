"""Following rows as they are written, each exactly once.

Row numbers are given out before the rows become visible: with several writers a smaller number can appear after a
larger one. Numbers that were skipped are therefore looked for again for a while.
"""

from __future__ import annotations

from collections.abc import Iterable


class Follower:
    """Remembers how far a reader is and which numbers it skipped. Pure; times are seconds of any monotonic clock."""

    def __init__(self, after: int, *, patience_s: float = 30.0, most_holes: int = 500) -> None:
        self._patience_s = patience_s
        self._most_holes = most_holes
        self._holes: dict[int, float] = {}
        self.after = after

    @property
    def holes(self) -> list[int]:
        """Skipped numbers still worth looking for."""
        return list(self._holes)

    def seen(self, numbers: Iterable[int], now: float) -> None:
        """These numbers were read, in ascending order, filtered by nothing."""
        for number in numbers:
            if number <= self.after:
                self._holes.pop(number, None)
                continue
            first = max(self.after + 1, number - self._most_holes)
            for hole in range(first, number):
                self._holes[hole] = now + self._patience_s
            self.after = number
        for hole, until in list(self._holes.items()):
            if until <= now or len(self._holes) > self._most_holes:
                del self._holes[hole]
