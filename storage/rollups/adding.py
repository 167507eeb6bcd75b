"""Adding up the rows an answer is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from operator import add, sub
from typing import Any, Final

from storage.rollups.asked import Asked
from storage.rollups.dimensions import DIMENSIONS, Dimension, Group
from storage.rollups.from_calls import buckets
from storage.rollups.histogram import Histogram
from storage.rollups.measures import PLACE, USER_MEASURES
from storage.rollups.question import Sum
from storage.rollups.tables import HISTOGRAMS
from storage.rollups.tally import Line, UserKey, UserSums
from storage.rollups.zones import DAY_MS, HOUR_MS

_USER_PLACE: Final = {name: place for place, name in enumerate(USER_MEASURES)}


class _Total:
    """One line of an answer on its way."""

    __slots__ = ("counts", "sums", "taken", "words")

    def __init__(self, asked: Asked) -> None:
        self.sums = [0] * len(asked.measures)
        self.words: list[list[bytes]] = [[] for _ in asked.histograms]
        self.taken: list[list[bytes]] = [[] for _ in asked.histograms]
        """To be taken away again."""
        self.counts: list[Counter[int]] = [Counter() for _ in asked.histograms]


class Adding:
    """The answer to one question, growing."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self._totals: dict[tuple[int | None, Group], _Total] = {}
        self._marks = asked.marks
        self._keys = self._marks + len(asked.group_by)
        self._sums = self._keys + len(asked.measures)

    def rows(self, rows: Iterable[Sequence[Any]], moved_by: int = 0) -> None:
        """Rows of :func:`storage.rollups.selects.of_periods`, moved from the bucket that is so many before theirs."""
        for row in rows:
            words = [
                bytes.fromhex(more) if isinstance(more, str) else more or b"" for more in row[self._sums :]
            ]
            for mine, more in zip(self._add(row).words, words, strict=True):
                mine.append(more)
            if moved_by:
                for taken, more in zip(self._take(row, moved_by).taken, words, strict=True):
                    taken.append(more)

    def calls(self, rows: Iterable[Sequence[Any]], moved_by: int = 0) -> None:
        """Rows of :func:`storage.rollups.selects.of_calls`; moved likewise."""
        for row in rows:
            values = [buckets(text) for text in row[self._sums :]]
            for counts, more in zip(self._add(row).counts, values, strict=True):
                counts.update(more)
            if moved_by:
                for counts, more in zip(self._take(row, moved_by).counts, values, strict=True):
                    counts.subtract(more)

    def user_rows(self, rows: Iterable[Sequence[Any]]) -> None:
        """Rows of :func:`storage.rollups.selects.of_users`."""
        for row in rows:
            named = [value or None for value in row[self._marks : self._keys]]
            self._add([*row[: self._marks], *named, *row[self._keys :]])

    def line(self, hour: int, group: Group, line: Line, *, as_in_utc: bool = False) -> None:
        """A line of a delta. ``as_in_utc``: its hour counts for its UTC day, whatever the zone."""
        own = dict(zip(DIMENSIONS, group, strict=True))
        if not self.asked.matches(own):
            return
        mark = hour // 24 if as_in_utc else self.asked.mark(hour * HOUR_MS)
        total = self._total(mark, tuple(own[name] for name in self.asked.group_by))
        total.sums = [
            before + line.sums[PLACE[name]]
            for before, name in zip(total.sums, self.asked.measures, strict=True)
        ]
        for counts, name in zip(total.counts, self.asked.histograms, strict=True):
            counts.update(line.histograms[HISTOGRAMS.index(name.value)])

    def user(self, key: UserKey, sums: UserSums) -> None:
        """A line by user of a delta."""
        tenant, day, team, user = key
        own = {Dimension.TENANT: tenant, Dimension.TEAM: team or None, Dimension.USER: user or None}
        if not self.asked.matches(own):
            return
        total = self._total(self.asked.mark(day * DAY_MS), tuple(own[name] for name in self.asked.group_by))
        total.sums = [
            before + sums.sums[_USER_PLACE[name]]
            for before, name in zip(total.sums, self.asked.measures, strict=True)
        ]

    def lines(self) -> tuple[Sum, ...]:
        """The answer."""
        return tuple(
            Sum(key, self.asked.begin(mark), self._named(total), self._histograms(total))
            for (mark, key), total in self._totals.items()
            if total.sums[0]
        )

    def _add(self, row: Sequence[Any]) -> _Total:
        total = self._total(row[0] if self._marks else None, tuple(row[self._marks : self._keys]))
        if row[self._keys]:  # without a key there is a row even of no calls
            total.sums = [*map(add, total.sums, row[self._keys : self._sums])]
        return total

    def _take(self, row: Sequence[Any], moved_by: int) -> _Total:
        total = self._total(row[0] - moved_by, tuple(row[self._marks : self._keys]))
        total.sums = [*map(sub, total.sums, row[self._keys : self._sums])]
        return total

    def _total(self, mark: int | None, key: Group) -> _Total:
        found = self._totals.get((mark, key))
        if found is None:
            found = self._totals[mark, key] = _Total(self.asked)
        return found

    def _named(self, total: _Total) -> dict[str, int]:
        return dict(zip(self.asked.measures, total.sums, strict=True))

    def _histograms(self, total: _Total) -> dict[Any, Histogram]:
        if not self.asked.histograms:
            return {}
        from storage.rollups.merging import merged

        parts = zip(self.asked.histograms, total.words, total.taken, total.counts, strict=True)
        return {name: merged(words, counts, taken) for name, words, taken, counts in parts}
