"""The tables of the rollups as queries see them. The migrations are the truth about the DDL; a test compares.

Core tables, not SQLModel ones: their columns are the measures, and no row of them leaves as it is.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, Table, Text

from storage.rollups.dimensions import DIMENSIONS
from storage.rollups.measures import MEASURES, USER_MEASURES
from storage.rollups.routes import ROUTE_MEASURES

HISTOGRAMS: Final = ("durations", "ttfts", "rates")
"""Columns with words of :mod:`storage.rollups.histogram`."""
_NULLABLE: Final = frozenset(
    {"team", "project", "feature", "environment", "model", "route_policy", "experiment", "variant"}
)
_metadata = MetaData()


def _sums(names: tuple[str, ...]) -> list[Column[int]]:
    return [Column(name, BigInteger, nullable=False) for name in names]


def _periods(name: str, period: str) -> Table:
    return Table(
        name,
        _metadata,
        Column("tenant_id", Text, primary_key=True),
        Column(period, Integer, primary_key=True),
        Column("group_id", BigInteger, primary_key=True),
        *_sums(MEASURES),
        *[Column(histogram, LargeBinary, nullable=False) for histogram in HISTOGRAMS],
    )


DELTAS: Final = Table(
    "rollup_deltas",
    _metadata,
    Column("id", BigInteger, primary_key=True),
    Column("payload", LargeBinary, nullable=False),
)
"""What batches added and no compaction has seen yet (:mod:`storage.rollups.delta`)."""
GROUPS: Final = Table(
    "rollup_groups",
    _metadata,
    Column("group_id", BigInteger, primary_key=True, autoincrement=False),
    *[Column(dimension.value, Text, nullable=dimension.value in _NULLABLE) for dimension in DIMENSIONS],
)
HOURS: Final = _periods("rollup_hours", "hour")
"""``hour`` counts from 1970, UTC."""
DAYS: Final = _periods("rollup_days", "day")
"""``day`` counts from 1970, UTC. Only days that are over: those before the state ``closed_day``."""
USERS: Final = Table(
    "rollup_users",
    _metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("day", Integer, primary_key=True),
    Column("team", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    *_sums(USER_MEASURES),
    Column("sessions", LargeBinary, nullable=False),
    Column("group_ids", LargeBinary, nullable=False),
    Column("group_sessions", LargeBinary, nullable=False),
)
"""Every call is in one of these rows; the team and the user are empty where none was named. ``group_ids``: the groups
its calls belong to; ``group_sessions``: its sessions, each with those of its groups (:mod:`storage.rollups.distinct`)."""
ROUTES: Final = Table(
    "rollup_routes",
    _metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("day", Integer, primary_key=True),
    Column("route_id", BigInteger, primary_key=True, autoincrement=False),
    Column("group_id", BigInteger, nullable=False),
    Column("route_reason", Text),
    Column("band", Integer),
    *_sums(ROUTE_MEASURES),
)
"""Every routed call is in one of these rows; ``band``: :func:`storage.rollups.routes.band_of`."""
STATE: Final = Table(
    "rollup_state",
    _metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""Numbers by name (:mod:`storage.rollups.state`)."""


def period_of(table: Table) -> Column[int]:
    """The column of hours or days of ``HOURS`` or ``DAYS``."""
    found: Column[int] = table.c.hour if table is HOURS else table.c.day
    return found
