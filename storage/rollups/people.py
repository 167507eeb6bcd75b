"""How many different users and sessions there were.

Users are told exactly, by their names; sessions exactly as long as no row of the sums by user is full
(:mod:`storage.rollups.distinct`). Where the sums by user cannot answer, and for parts of days, the calls are read.
The database counts the users of its sums where tenant, team and user are all that is asked for; those of deltas and
calls are added unless it knows them. For other dimensions the rows are narrowed here (:mod:`storage.rollups.narrowing`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from storage.rollups.asked import Asked
from storage.rollups.dimensions import Dimension, Group
from storage.rollups.distinct import hash_of
from storage.rollups.question import People
from storage.rollups.tally import UserKey, UserSums
from storage.rollups.zones import DAY_MS

_Key = tuple[int | None, Group]
_User = tuple[str, str]


class Counting:
    """The answer, growing."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._counted: defaultdict[_Key, int] = defaultdict(int)
        self._new: defaultdict[_Key, set[_User]] = defaultdict(set)
        self._hashes: defaultdict[_Key, list[bytes]] = defaultdict(list)
        self._below: dict[_Key, int] = {}

    def counted(self, rows: Iterable[Sequence[Any]]) -> None:
        """Rows of :func:`storage.rollups.selects.users_counted`."""
        for row in rows:
            self._counted[self._key(row)] += row[-1]

    def users(self, rows: Iterable[Sequence[Any]]) -> None:
        """Rows of bucket (if any), key, tenant and user of the calls."""
        for row in rows:
            self._new[self._key(row)].add((row[-2], row[-1]))

    def sessions(self, rows: Iterable[Sequence[Any]]) -> None:
        """Rows of bucket (if any), key, tenant and session of the calls."""
        for row in rows:
            self._hashes[self._key(row)].append(hash_of(row[-2], row[-1]))

    def hashes(self, rows: Iterable[Sequence[Any]]) -> None:
        """Rows of :func:`storage.rollups.selects.sessions_of_users`."""
        for row in rows:
            words, full = row[-2:]
            if words:
                key = self._key(row)
                self._hashes[key].append(bytes.fromhex(words) if isinstance(words, str) else words)
                if full is not None:
                    self._below[key] = int(full, 16)

    def add(
        self, mark: int | None, key: Group, users: Iterable[_User], hashes: bytes, below: int | None
    ) -> None:
        """Users, hashes of sessions, and the largest that was kept, if not all were."""
        group = mark, key
        self._new[group].update(users)
        self._hashes[group].append(hashes)
        if below is not None:
            self._below[group] = min(below, self._below.get(group, below))

    def waiting(self, key: UserKey, sums: UserSums) -> None:
        """A line by user of a delta."""
        tenant, day, team, user = key
        own = {Dimension.TENANT: tenant, Dimension.TEAM: team or None, Dimension.USER: user or None}
        if self._asked.matches(own):
            group = self._asked.mark(day * DAY_MS), tuple(own[name] for name in self._asked.group_by)
            if user:
                self._new[group].add((tenant, user))
            if sums.sessions:
                self._hashes[group] += sums.sessions

    @property
    def names(self) -> list[str]:
        """Users that the database may have counted already."""
        return sorted({name for users in self._new.values() for _, name in users})

    def known(self, rows: Iterable[Sequence[Any]]) -> None:
        """Rows of bucket (if any), key, tenant and user that it has counted."""
        for row in rows:
            self._new[self._key(row)].discard((row[-2], row[-1]))

    def people(self) -> list[People]:
        """A line for each group that had any."""
        from storage.rollups.merging import different

        found = []
        for group in dict.fromkeys([*self._counted, *self._new, *self._hashes]):
            mark, key = group
            users = self._counted.get(group, 0) + len(self._new.get(group, ()))
            sessions = different(self._hashes.get(group, []), self._below.get(group))
            if users or sessions.count:
                found.append(People(key, self._asked.begin(mark), users, sessions))
        return found

    def _key(self, row: Sequence[Any]) -> _Key:
        marks = self._asked.marks
        named = row[marks : marks + len(self._asked.group_by)]
        return (row[0] if marks else None), tuple(value or None for value in named)
