"""Rows of the sums of routed calls: read, and added to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from operator import add
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.rollups.contents import Merge, slices
from storage.rollups.dimensions import DIMENSIONS, group_id
from storage.rollups.measures import LARGEST
from storage.rollups.routes import ROUTE_MEASURES, RouteKey
from storage.rollups.tables import GROUPS, ROUTES

RouteSums = Mapping[RouteKey, Sequence[int]]


async def routes_of_day(connection: AsyncConnection, day: int) -> dict[RouteKey, list[int]]:
    """What the table holds of one day."""
    own = len(DIMENSIONS)
    query = (
        select(
            *[GROUPS.c[name] for name in DIMENSIONS],
            ROUTES.c.route_reason,
            ROUTES.c.band,
            *[ROUTES.c[name] for name in ROUTE_MEASURES],
        )
        .join_from(ROUTES, GROUPS, ROUTES.c.group_id == GROUPS.c.group_id)
        .where(ROUTES.c.day == day)
    )
    return {
        (day, tuple(row[:own]), row[own], row[own + 1]): list(row[own + 2 :])
        for row in await connection.execute(query)
    }


async def merge_routes(connection: AsyncConnection, routes: RouteSums) -> Merge:
    """The sums of routed calls added to what the table holds."""
    rows = route_rows(routes)
    wanted: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        wanted[row["day"]].append(row["route_id"])
    there: dict[tuple[int, int], Sequence[int]] = {}
    for day, ids in wanted.items():
        for some in slices(ids):
            query = select(ROUTES.c.route_id, *[ROUTES.c[name] for name in ROUTE_MEASURES]).where(
                ROUTES.c.day == day, ROUTES.c.route_id.in_(some)
            )
            there.update({(day, one[0]): one[1:] for one in (await connection.execute(query)).all()})
    merge = Merge(ROUTES)
    for row in rows:
        before = there.get((row["day"], row["route_id"]))
        if before is None:
            merge.inserts.append(row)
        else:
            sums = map(add, before, (row[name] for name in ROUTE_MEASURES))
            merge.updates.append(row | _bounded(list(sums)))
    return merge


def route_rows(routes: RouteSums) -> list[dict[str, Any]]:
    """The sums as rows."""
    return [
        {
            "tenant_id": group[0],
            "day": day,
            "route_id": group_id((*group, reason, None if band is None else str(band))),
            "group_id": group_id(group),
            "route_reason": reason,
            "band": band,
            **_bounded(sums),
        }
        for (day, group, reason, band), sums in routes.items()
    ]


def _bounded(sums: Sequence[int]) -> dict[str, int]:
    return {name: min(value, LARGEST) for name, value in zip(ROUTE_MEASURES, sums, strict=True)}
