"""Sums in memory: what deltas, rows of the rollups and the calls themselves are added up in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from operator import add
from typing import Final

from storage.rollups.delta import Delta, GroupLine, UserLine
from storage.rollups.dimensions import Group, packed_id
from storage.rollups.distinct import UNKNOWN_GROUP, hash_of
from storage.rollups.measures import MEASURES, USER_MEASURES
from storage.rollups.routes import RouteKey

HOURS_A_DAY: Final = 24


class Line:
    """The sums of one group in one hour or on one day; histograms as bucket -> count."""

    __slots__ = ("durations", "rates", "sums", "ttfts")

    def __init__(self) -> None:
        self.sums = [0] * len(MEASURES)
        self.durations: Counter[int] = Counter()
        self.ttfts: Counter[int] = Counter()
        self.rates: Counter[int] = Counter()

    @property
    def histograms(self) -> tuple[Counter[int], Counter[int], Counter[int]]:
        """In the order of :data:`storage.rollups.tables.HISTOGRAMS`."""
        return self.durations, self.ttfts, self.rates

    def merge(self, other: Line) -> None:
        """Add another one's."""
        self.sums = [*map(add, self.sums, other.sums)]
        for mine, theirs in zip(self.histograms, other.histograms, strict=True):
            mine.update(theirs)

    def add(self, delta: GroupLine) -> None:
        """Add a line of a delta."""
        self.sums = [*map(add, self.sums, delta.sums)]
        self.durations.update(delta.durations)
        self.ttfts.update(delta.ttfts)
        self.rates.update(delta.rates)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Line):
            return NotImplemented
        return self.sums == other.sums and self.histograms == other.histograms

    __hash__ = None  # type: ignore[assignment]


class UserSums:
    """The sums of one user on one day, the hashes of the sessions, and the groups."""

    __slots__ = ("groups", "pairs", "sessions", "sums")

    def __init__(self) -> None:
        self.sums = [0] * len(USER_MEASURES)
        self.sessions: set[bytes] = set()
        self.groups: set[bytes] = set()
        """Their numbers, packed; so are the next ones."""
        self.pairs: set[bytes] = set()
        """A session's hash with one of its groups."""

    def add(self, delta: UserLine, groups: Sequence[bytes]) -> None:
        """Add a line of a delta; ``groups``: those of the delta."""
        self.sums = [*map(add, self.sums, delta.sums)]
        hashes = [hash_of(delta.tenant, session) for session in delta.sessions]
        self.sessions.update(hashes)
        for number, sessions in delta.groups:
            self.groups.add(groups[number])
            self.pairs.update([hashes[place] + groups[number] for place in sessions])
        if not delta.groups:
            self.groups.add(UNKNOWN_GROUP)

    def merge(self, other: UserSums) -> None:
        """Add another one's."""
        self.sums = [*map(add, self.sums, other.sums)]
        self.sessions |= other.sessions
        self.groups |= other.groups
        self.pairs |= other.pairs

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, UserSums):
            return NotImplemented
        same = self.sums == other.sums and self.sessions == other.sessions
        return same and self.groups == other.groups and self.pairs == other.pairs

    __hash__ = None  # type: ignore[assignment]


PeriodKey = tuple[int, Group]
"""An hour or a day since 1970, and the group."""
UserKey = tuple[str, int, str, str]
"""Tenant, day, team, user."""


class Tally:
    """Sums by hour and group, by user and day, and of routed calls by day."""

    def __init__(self) -> None:
        self.hours: dict[PeriodKey, Line] = {}
        self.users: dict[UserKey, UserSums] = {}
        self.routes: dict[RouteKey, list[int]] = {}
        """In the order of ``ROUTE_MEASURES``."""
        self._packed: dict[Group, bytes] = {}

    def add(self, delta: Delta) -> None:
        """Add a delta."""
        for one in delta.groups:
            self.line(one.hour, one.group).add(one)
        groups = [self.packed(one.group) for one in delta.groups]
        for user in delta.users:
            self.user((user.tenant, user.day, user.team, user.user)).add(user, groups)
        for route in delta.routes:
            self.route((route.day, route.group, route.reason, route.band), route.sums)

    def packed(self, group: Group) -> bytes:
        """A group's number as it is kept by user, worked out once."""
        found = self._packed.get(group)
        if found is None:
            found = self._packed[group] = packed_id(group)
        return found

    def line(self, hour: int, group: Group) -> Line:
        """The line of a group in an hour, to be added to."""
        found = self.hours.get((hour, group))
        if found is None:
            found = self.hours[hour, group] = Line()
        return found

    def user(self, key: UserKey) -> UserSums:
        """The sums of a user on a day, to be added to."""
        found = self.users.get(key)
        if found is None:
            found = self.users[key] = UserSums()
        return found

    def route(self, key: RouteKey, sums: Sequence[int]) -> None:
        """Add sums of routed calls."""
        found = self.routes.get(key)
        self.routes[key] = list(sums) if found is None else [*map(add, found, sums)]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tally):
            return NotImplemented
        return self.hours == other.hours and self.users == other.users and self.routes == other.routes

    __hash__ = None  # type: ignore[assignment]

    def only(self, day: int) -> Tally:
        """What belongs to one day."""
        return self._where(lambda one: one == day)

    def without(self, day: int) -> Tally:
        """What belongs to other days."""
        return self._where(lambda one: one != day)

    def _where(self, wanted: Callable[[int], bool]) -> Tally:
        part = Tally()
        part.hours = {key: line for key, line in self.hours.items() if wanted(key[0] // HOURS_A_DAY)}
        part.users = {key: sums for key, sums in self.users.items() if wanted(key[1])}
        part.routes = {key: sums for key, sums in self.routes.items() if wanted(key[0])}
        return part


def by_day(hours: Iterable[tuple[PeriodKey, Line]]) -> dict[PeriodKey, Line]:
    """The same sums by day."""
    days: dict[PeriodKey, Line] = {}
    for (hour, group), line in hours:
        days.setdefault((hour // HOURS_A_DAY, group), Line()).merge(line)
    return days
