"""Rows of the rollups' tables as tallies, and tallies as rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import Row, Table, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.rollups.delta import decoded
from storage.rollups.dimensions import DIMENSIONS, Group, group_id
from storage.rollups.distinct import SIZE, kept, kept_pairs, parts
from storage.rollups.histogram import packed, unpacked
from storage.rollups.measures import LARGEST, MEASURES, USER_MEASURES
from storage.rollups.tables import DELTAS, GROUPS, HISTOGRAMS, USERS, period_of
from storage.rollups.tally import Line, PeriodKey, Tally, UserKey, UserSums

AT_ONCE: Final = 1000
"""Values in one list of a statement."""
T = TypeVar("T")


class Waiting(msgspec.Struct, frozen=True):
    """Deltas that no compaction has seen yet."""

    ids: list[int]
    tally: Tally


async def waiting(connection: AsyncConnection, limit: int | None = None) -> Waiting:
    """The oldest deltas (all without ``limit``), added up. Raises ``msgspec.MsgspecError`` for a damaged one."""
    query = select(DELTAS.c.id, DELTAS.c.payload).order_by(DELTAS.c.id).limit(limit)
    tally, ids = Tally(), []
    for number, payload in (await connection.execute(query)).all():
        tally.add(decoded(payload))
        ids.append(number)
    return Waiting(ids, tally)


async def discard(connection: AsyncConnection, ids: Sequence[int]) -> None:
    """Delete deltas that are in the tables now."""
    for some in slices(ids):
        await connection.execute(delete(DELTAS).where(DELTAS.c.id.in_(some)))


def line_of(sums: Sequence[int], histograms: Sequence[bytes]) -> Line:
    """The sums and histograms of a row."""
    line = Line()
    line.sums = list(sums)
    line.durations, line.ttfts, line.rates = (Counter(unpacked(bytes(words))) for words in histograms)
    return line


async def lines_between(
    connection: AsyncConnection, table: Table, since: int, until: int
) -> dict[PeriodKey, Line]:
    """What a table holds of the hours or days from ``since`` to before ``until``."""
    period = period_of(table)
    query = (
        select(period, *[GROUPS.c[name] for name in DIMENSIONS], *_values(table))
        .join_from(table, GROUPS, table.c.group_id == GROUPS.c.group_id)
        .where(period >= since, period < until)
    )
    own, sums = 1 + len(DIMENSIONS), 1 + len(DIMENSIONS) + len(MEASURES)
    return {
        (row[0], tuple(row[1:own])): line_of(row[own:sums], row[sums:])
        for row in await connection.execute(query)
    }


class Merge:
    """Rows to be written to a table so that it holds a tally in addition to what it held."""

    def __init__(self, table: Table, inserts: Iterable[dict[str, Any]] = ()) -> None:
        self.table = table
        self.inserts = list(inserts)
        self.updates: list[dict[str, Any]] = []

    async def write(self, connection: AsyncConnection) -> None:
        """Write them."""
        if self.inserts:
            await connection.execute(insert(self.table), self.inserts)
        if self.updates:
            keys = list(self.table.primary_key.columns)
            names = {column.name for column in keys}
            same = [column == bindparam(f"of_{column.name}") for column in keys]
            values = [
                {f"of_{name}" if name in names else name: value for name, value in row.items()}
                for row in self.updates
            ]
            await connection.execute(update(self.table).where(*same), values)


async def merge_periods(connection: AsyncConnection, table: Table, lines: Mapping[PeriodKey, Line]) -> Merge:
    """The lines added to what the table holds of their hours or days."""
    period = period_of(table)
    wanted: dict[int, list[int]] = defaultdict(list)
    for when, group in lines:
        wanted[when].append(group_id(group))
    there: dict[tuple[int, int], Line] = {}
    for when, groups in wanted.items():
        for some in slices(groups):
            query = select(table.c.group_id, *_values(table)).where(
                period == when, table.c.group_id.in_(some)
            )
            for row in await connection.execute(query):
                there[when, row[0]] = line_of(row[1 : 1 + len(MEASURES)], row[1 + len(MEASURES) :])
    merge = Merge(table)
    for key, line in lines.items():
        found = there.get((key[0], group_id(key[1])))
        if found is None:
            merge.inserts += period_rows(table, {key: line})
        else:
            found.merge(line)
            merge.updates += period_rows(table, {key: found})
    return merge


def period_rows(table: Table, lines: Mapping[PeriodKey, Line]) -> list[dict[str, Any]]:
    """The lines as rows."""
    period = period_of(table).name
    return [
        {
            "tenant_id": group[0],
            period: when,
            "group_id": group_id(group),
            **{name: min(value, LARGEST) for name, value in zip(MEASURES, line.sums, strict=True)},
            **dict(zip(HISTOGRAMS, map(packed, line.histograms), strict=True)),
        }
        for (when, group), line in lines.items()
    ]


async def merge_users(connection: AsyncConnection, users: Mapping[UserKey, UserSums]) -> Merge:
    """The sums by user added to what the table holds."""
    wanted: dict[tuple[str, int], list[str]] = defaultdict(list)
    for tenant, day, _, user in users:
        wanted[tenant, day].append(user)
    there: dict[UserKey, UserSums] = {}
    for (tenant, day), names in wanted.items():
        for some in slices(names):
            query = select(USERS).where(
                USERS.c.tenant_id == tenant, USERS.c.day == day, USERS.c.user_id.in_(some)
            )
            there.update(user_sums(row) for row in await connection.execute(query))
    merge = Merge(USERS)
    for key, sums in users.items():
        found = there.get(key)
        if found is not None:
            found.merge(sums)
        (merge.inserts if found is None else merge.updates).append(user_row(key, found or sums))
    return merge


def user_sums(row: Row[Any]) -> tuple[UserKey, UserSums]:
    """A row of the sums by user."""
    sums = UserSums()
    sums.sums = [getattr(row, name) for name in USER_MEASURES]
    sums.sessions, sums.groups = parts(bytes(row.sessions)), parts(bytes(row.group_ids))
    sums.pairs = parts(bytes(row.group_sessions), 2 * SIZE)
    return (row.tenant_id, row.day, row.team, row.user_id), sums


def user_row(key: UserKey, sums: UserSums) -> dict[str, Any]:
    """Inverse of :func:`user_sums`."""
    tenant, day, team, user = key
    return {
        "tenant_id": tenant,
        "day": day,
        "team": team,
        "user_id": user,
        **{name: min(value, LARGEST) for name, value in zip(USER_MEASURES, sums.sums, strict=True)},
        "sessions": kept(b"", sums.sessions),
        "group_ids": b"".join(sorted(sums.groups)),
        "group_sessions": kept_pairs(sums.pairs),
    }


async def know_groups(connection: AsyncConnection, groups: Iterable[Group]) -> None:
    """Put down what the numbers of these groups stand for."""
    numbers = {group_id(group): group for group in set(groups)}
    for some in slices(list(numbers)):
        query = select(GROUPS.c.group_id).where(GROUPS.c.group_id.in_(some))
        known = set((await connection.execute(query)).scalars())
        new = [
            {"group_id": number, **dict(zip(DIMENSIONS, numbers[number], strict=True))}
            for number in some
            if number not in known
        ]
        if new:
            await connection.execute(insert(GROUPS), new)


def slices(values: Sequence[T]) -> Iterator[list[T]]:
    """Some at a time."""
    left = iter(values)
    while some := list(islice(left, AT_ONCE)):
        yield some


def _values(table: Table) -> list[Any]:
    return [table.c[name] for name in (*MEASURES, *HISTOGRAMS)]
