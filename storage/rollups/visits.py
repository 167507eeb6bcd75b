"""Users and sessions under filters by any dimension of the groups: from the sums by user and day, and from deltas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.rollups.dimensions import DIMENSIONS, USER_DIMENSIONS, Dimension, Group, group_id
from storage.rollups.distinct import UNKNOWN_GROUP
from storage.rollups.selects import end_to_end, is_one_of, last_of_full
from storage.rollups.tables import GROUPS, USERS
from storage.rollups.tally import Tally
from storage.rollups.zones import Range

Conditions = Mapping[Dimension, tuple[str | None, ...]]


class Row(msgspec.Struct, frozen=True, gc=False):
    """One user and team, on one day or on some."""

    day: int
    """The first one of some."""
    tenant: str
    user: str
    groups: bytes
    pairs: bytes
    last: int | None
    """The largest hash of its sessions if there may have been more; else ``None``."""

    @property
    def knows_nothing(self) -> bool:
        """Whether it has calls of its day whose groups nobody noted. (In order, such a number is the first.)"""
        return self.groups.startswith(UNKNOWN_GROUP)


async def groups_that_pass(
    connection: AsyncConnection, conditions: Conditions, fresh: Tally, keys: Sequence[Dimension] = ()
) -> dict[int, Group]:
    """The numbers of the groups the conditions let through (those on users aside), each with its values of ``keys``."""
    narrow = {name: values for name, values in conditions.items() if name is not Dimension.USER}
    query = select(GROUPS.c.group_id, *[GROUPS.c[name] for name in keys]).where(
        *[is_one_of(GROUPS.c[name], values) for name, values in narrow.items()]
    )
    found = {row[0]: tuple(value or None for value in row[1:]) for row in await connection.execute(query)}
    for group in {group for _, group in fresh.hours}:
        own = dict(zip(DIMENSIONS, group, strict=True))
        if all(own[name] in values for name, values in narrow.items()):
            found[group_id(group)] = tuple(own[name] or None for name in keys)
    return found


async def rows_between(
    connection: AsyncConnection, conditions: Conditions, days: Range, fresh: Tally, *more: ColumnElement[bool]
) -> list[Row]:
    """The rows of these days, as far as conditions on tenant, team and user narrow them; then those of deltas.

    ``more``: what must hold of the former besides. There are no pairs.
    """
    query = select(USERS.c.day, USERS.c.tenant_id, USERS.c.user_id, USERS.c.group_ids)
    rows = (await connection.execute(query.where(*_among(conditions, days), *more))).all()
    found = [Row(row[0], row[1], row[2], row[3], b"", None) for row in rows]
    return found + _waiting(conditions, days, fresh)


async def rows_with_sessions(
    connection: AsyncConnection, conditions: Conditions, days: Range, fresh: Tally, *, by_day: bool
) -> list[Row]:
    """The same with pairs; all days of a user and team are one row unless ``by_day``."""
    dialect = connection.dialect
    keys: list[ColumnElement[Any]] = [USERS.c.tenant_id, USERS.c.user_id, USERS.c.team]
    keys += [USERS.c.day] if by_day else []
    query = select(
        *keys,
        func.min(USERS.c.day),
        end_to_end(USERS.c.group_ids, dialect),
        end_to_end(USERS.c.group_sessions, dialect),
        last_of_full(dialect),
    ).where(*_among(conditions, days))
    found = []
    for row in (await connection.execute(query.group_by(*keys))).all():
        day, groups, pairs, last = row[-4:]
        if isinstance(groups, str):
            groups, pairs = bytes.fromhex(groups), bytes.fromhex(pairs or "")
        found.append(Row(day, row[0], row[1], groups, pairs, None if last is None else int(last, 16)))
    return found + _waiting(conditions, days, fresh)


def _among(conditions: Conditions, days: Range) -> list[ColumnElement[bool]]:
    narrow = {name: conditions[name] for name in USER_DIMENSIONS if name in conditions}
    return [
        USERS.c.day >= days[0],
        USERS.c.day < days[1],
        *[USERS.c[name.value].in_([value or "" for value in values]) for name, values in narrow.items()],
    ]


def _waiting(conditions: Conditions, days: Range, fresh: Tally) -> list[Row]:
    """Of deltas, which keep all sessions."""
    found = []
    for (tenant, day, team, user), sums in fresh.users.items():
        own = {Dimension.TENANT: tenant, Dimension.TEAM: team or None, Dimension.USER: user or None}
        if days[0] <= day < days[1] and all(
            own[name] in conditions[name] for name in own if name in conditions
        ):
            found.append(Row(day, tenant, user, b"".join(sorted(sums.groups)), b"".join(sums.pairs), None))
    return found
