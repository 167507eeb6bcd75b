"""Are the rollups what the calls add up to? Every measure, every histogram, every hour and group.

The database adds up the calls by itself (:mod:`storage.rollups.from_calls`), in the same snapshot in which the rollups
are read, so calls may arrive meanwhile. Days of which calls may have been deleted are left out. By user it is the sums
of all users of a team that are compared: a user whose name was erased from the calls changes no sum. The groups and
sessions of each named user are compared besides; not where they are not known, in rows from before they were kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from operator import add
from typing import Final

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.rollups import state
from storage.rollups.contents import lines_between, user_sums, waiting
from storage.rollups.distinct import KEPT, UNKNOWN_GROUP, kept_pairs
from storage.rollups.from_calls import tally_between
from storage.rollups.held import date_of, days_between, first_held
from storage.rollups.measures import MEASURES, USER_MEASURES
from storage.rollups.route_rows import routes_of_day
from storage.rollups.routes import ROUTE_MEASURES, RouteKey
from storage.rollups.tables import DAYS, HISTOGRAMS, HOURS, USERS
from storage.rollups.tally import HOURS_A_DAY, Line, PeriodKey, Tally, UserKey, UserSums, by_day
from storage.rollups.transactions import snapshot
from storage.rollups.zones import DAY_MS

FOREVER: Final = 2**31 - 1


class Difference(msgspec.Struct, frozen=True):
    """A measure of a day that is not the same everywhere."""

    day: date
    table: str
    measure: str
    rows: int
    """What the calls add up to, over the groups that differ."""
    rollups: int
    groups: int
    """How many groups (in how many hours) differ."""


class Verified(msgspec.Struct, frozen=True):
    """What was compared."""

    days: int = 0
    calls: int = 0
    differences: tuple[Difference, ...] = ()


async def verify(
    engine: AsyncEngine,
    since: int = 0,
    until: int = FOREVER,
    told: Callable[[date, int], None] = lambda day, calls: None,
) -> Verified:
    """Compare the days (since 1970, UTC) from ``since`` to before ``until``. ``told`` hears of each and its calls."""
    days = calls = 0
    differences: list[Difference] = []
    async for day in days_between(engine, max(since, await first_held(engine)), until):
        seen, found = await verify_day(engine, day)
        days, calls = days + 1, calls + seen
        differences += found
        told(date_of(day), seen)
    return Verified(days, calls, tuple(differences))


async def verify_day(engine: AsyncEngine, day: int) -> tuple[int, list[Difference]]:
    """The calls of one day and what differs."""
    first = day * HOURS_A_DAY
    async with snapshot(engine) as connection:
        truth = await tally_between(connection, day * DAY_MS, (day + 1) * DAY_MS)
        new = (await waiting(connection)).tally.only(day)
        hours = _merged(await lines_between(connection, HOURS, first, first + HOURS_A_DAY), new.hours)
        users = await _users(connection, day, new)
        routes = await _routes(connection, day, new)
        found = _compare_lines(day, "rollup_hours", truth.hours, hours)
        if day < (await state.numbers(connection)).get(state.CLOSED_DAY, 0):
            stored = await lines_between(connection, DAYS, day, day + 1)
            days = _merged(stored, by_day(new.hours.items()))
            found += _compare_lines(day, "rollup_days", by_day(truth.hours.items()), days)
    found += _compare_users(day, truth.users, users)
    found += _compare_routes(day, truth.routes, routes)
    return sum(line.sums[0] for line in truth.hours.values()), found


async def _users(connection: AsyncConnection, day: int, new: Tally) -> dict[UserKey, UserSums]:
    found = Tally()
    for row in await connection.execute(select(USERS).where(USERS.c.day == day)):
        key, sums = user_sums(row)
        found.users[key] = sums
    for key, sums in new.users.items():
        found.user(key).merge(sums)
    return found.users


async def _routes(connection: AsyncConnection, day: int, new: Tally) -> dict[RouteKey, list[int]]:
    found = Tally()
    for stored in (await routes_of_day(connection, day), new.routes):
        for key, sums in stored.items():
            found.route(key, sums)
    return found.routes


def _merged(stored: dict[PeriodKey, Line], new: Mapping[PeriodKey, Line]) -> dict[PeriodKey, Line]:
    for key, line in new.items():
        stored.setdefault(key, Line()).merge(line)
    return stored


def _compare_lines(
    day: int, table: str, rows: Mapping[PeriodKey, Line], rollups: Mapping[PeriodKey, Line]
) -> list[Difference]:
    nothing, sums, counts = Line(), _Differences(day, table), _Differences(day, table)
    for key in {*rows, *rollups}:
        ours, theirs = rows.get(key, nothing), rollups.get(key, nothing)
        if ours == theirs:
            continue
        sums.compare(MEASURES, ours.sums, theirs.sums)
        for name, one, other in zip(HISTOGRAMS, ours.histograms, theirs.histograms, strict=True):
            if one != other:
                counts.add(name, one.total(), other.total())
    return sums.found + counts.found


def _compare_users(
    day: int, rows: Mapping[UserKey, UserSums], rollups: Mapping[UserKey, UserSums]
) -> list[Difference]:
    nothing, differences = UserSums(), _Differences(day, "rollup_users")
    ours, theirs = _by_team(rows), _by_team(rollups)
    for key in {*ours, *theirs}:
        one, other = ours.get(key, nothing), theirs.get(key, nothing)
        differences.compare(USER_MEASURES, one.sums, other.sums)
        if sorted(one.sessions)[:KEPT] != sorted(other.sessions)[:KEPT]:
            differences.add("sessions", len(one.sessions), len(other.sessions))
        if UNKNOWN_GROUP not in other.groups:
            _compare_groups(differences, one, other)
    for whose in rows.keys() & rollups.keys():
        one, other = rows[whose], rollups[whose]
        # Whoever's name is being taken out of the calls is nobody there first.
        if whose[-1] and UNKNOWN_GROUP not in other.groups:
            _compare_groups(differences, one, other)
    return differences.found


def _compare_groups(differences: _Differences, one: UserSums, other: UserSums) -> None:
    if one.groups != other.groups:
        differences.add("group_ids", len(one.groups), len(other.groups))
    if kept_pairs(one.pairs) != kept_pairs(other.pairs):
        differences.add("group_sessions", len(one.pairs), len(other.pairs))


def _compare_routes(
    day: int, rows: Mapping[RouteKey, list[int]], rollups: Mapping[RouteKey, list[int]]
) -> list[Difference]:
    nothing, differences = [0] * len(ROUTE_MEASURES), _Differences(day, "rollup_routes")
    for key in {*rows, *rollups}:
        differences.compare(ROUTE_MEASURES, rows.get(key, nothing), rollups.get(key, nothing))
    return differences.found


def _by_team(users: Mapping[UserKey, UserSums]) -> dict[tuple[str, str], UserSums]:
    teams: dict[tuple[str, str], UserSums] = {}
    for (tenant, _, team, _), sums in users.items():
        teams.setdefault((tenant, team), UserSums()).merge(sums)
    return teams


class _Differences:
    """By measure, those of one table on one day."""

    def __init__(self, day: int, table: str) -> None:
        self._day, self._table = day, table
        self._sums: dict[str, tuple[int, int, int]] = {}

    def compare(self, names: Iterable[str], rows: Iterable[int], rollups: Iterable[int]) -> None:
        for name, one, other in zip(names, rows, rollups, strict=True):
            if one != other:
                self.add(name, one, other)

    def add(self, name: str, rows: int, rollups: int) -> None:
        before = self._sums.get(name, (0, 0, 0))
        ours, theirs, groups = map(add, before, (rows, rollups, 1))
        self._sums[name] = (ours, theirs, groups)

    @property
    def found(self) -> list[Difference]:
        return [Difference(date_of(self._day), self._table, name, *sums) for name, sums in self._sums.items()]
