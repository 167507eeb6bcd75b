"""How many different users and sessions there were.

Users are told exactly, by their names; sessions exactly as long as no row of the sums by user is full
(:mod:`storage.rollups.distinct`). Where the sums by user cannot answer, and for parts of days, the calls are read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from storage.rollups.asked import Asked
from storage.rollups.dimensions import Dimension, Group
from storage.rollups.distinct import Hashes, hash_of
from storage.rollups.question import People
from storage.rollups.tally import UserKey, UserSums
from storage.rollups.zones import DAY_MS

_Key = tuple[int | None, Group]


class Counting:
    """The answer, growing."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._users: defaultdict[_Key, set[tuple[str, str]]] = defaultdict(set)
        self._sessions: defaultdict[_Key, Hashes] = defaultdict(Hashes)

    def users(self, rows: Iterable[Sequence[Any]]) -> None:
        """Rows of bucket (if any), key, tenant and user."""
        for row in rows:
            self._users[self._key(row)].add((row[-2], row[-1]))

    def sessions(self, rows: Iterable[Sequence[Any]]) -> None:
        """Rows of bucket (if any), key, tenant and session."""
        for row in rows:
            self._sessions[self._key(row)].update([hash_of(row[-2], row[-1])])

    def hashes(self, rows: Iterable[Sequence[Any]]) -> None:
        """Rows of :func:`storage.rollups.selects.sessions_of_users`."""
        for row in rows:
            words, full = row[-2:]
            if words:
                found = bytes.fromhex(words) if isinstance(words, str) else words
                self._sessions[self._key(row)].add(found, None if full is None else int(full, 16))

    def waiting(self, key: UserKey, sums: UserSums) -> None:
        """A line by user of a delta."""
        tenant, day, team, user = key
        own = {Dimension.TENANT: tenant, Dimension.TEAM: team or None, Dimension.USER: user or None}
        if self._asked.matches(own):
            group = self._asked.mark(day * DAY_MS), tuple(own[name] for name in self._asked.group_by)
            if user:
                self._users[group].add((tenant, user))
            if sums.sessions:
                self._sessions[group].update(sums.sessions)

    def people(self) -> list[People]:
        """A line for each group that had any."""
        return [
            People(
                key, self._asked.begin(mark), len(self._users[mark, key]), self._sessions[mark, key].number
            )
            for mark, key in dict.fromkeys([*self._users, *self._sessions])
        ]

    def _key(self, row: Sequence[Any]) -> _Key:
        marks = self._asked.marks
        named = row[marks : marks + len(self._asked.group_by)]
        return (row[0] if marks else None), tuple(value or None for value in named)
