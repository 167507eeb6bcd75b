"""The same filter gives the same nano-USD and the same calls through every endpoint, the export and plain SQL."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rig.analytics import DATABASE_TESTS, NOW, Asker, analytics
from rig.rollups import emptied, engine_of, records, written
from sqlalchemy import ColumnElement, func, or_, select

from storage.address import parse
from storage.engine import reading_engine
from storage.export.encoders import Format
from storage.export.files import SHAPES, encoder_of, exported
from storage.export.read import CallPages
from storage.queries.calls import CALLS, CallFilter
from storage.rollups.compaction import compact
from telemetry.outcome import Outcome
from telemetry.record import CallRecord

COLUMNS = {
    "tenant": "tenant_id",
    "team": "team",
    "user": "user_id",
    "project": "project",
    "feature": "feature",
    "session": "session_id",
    "provider": "provider",
    "outcome": "outcome",
}
Known = tuple[int, int, int, int]
"""Calls, nano-USD, estimated and unpriced calls."""

values = {
    "tenant": st.sampled_from(["acme", "beta", "default"]),
    **{
        name: st.sampled_from(["a", "b", "é\ufffdx"])
        for name in ("team", "user", "project", "feature", "session")
    },
    "provider": st.sampled_from(["openai", "anthropic"]),
    "outcome": st.sampled_from([outcome.value for outcome in Outcome]),
}
filters = st.dictionaries(st.sampled_from(sorted(values)), st.none(), max_size=2).flatmap(
    lambda names: st.fixed_dictionaries({name: values[name] for name in names})
)
minutes = st.integers(0, 3 * 24 * 60)


def known(total: dict[str, Any]) -> Known:
    return total["calls"], total["cost"]["nano_usd"], total["estimated_calls"], total["unpriced_calls"]


def added(parts: list[dict[str, Any]]) -> Known:
    rows = [(0, 0, 0, 0), *map(known, parts)]
    calls, nano, estimated, unpriced = (sum(column) for column in zip(*rows, strict=True))
    return calls, nano, estimated, unpriced


def both(found: dict[str, Any], name: str, other: str = "other") -> Known:
    return added([*found[name], *([found[other]] if found[other] else [])])


async def by_sql(
    url: str, wanted: dict[str, str], since: datetime, until: datetime, *more: ColumnElement[bool]
) -> Known:
    status = CALLS.c.cost_status
    query = select(
        func.count(),
        func.coalesce(func.sum(CALLS.c.cost_nano), 0),
        func.count().filter(status == "estimated"),
        func.count().filter(CALLS.c.cost_nano.is_(None)),
    ).where(
        CALLS.c.started_at >= since,
        CALLS.c.started_at < until,
        *[CALLS.c[COLUMNS[name]] == value for name, value in wanted.items()],
        *more,
    )
    async with engine_of(url) as engine, engine.connect() as connection:
        calls, nano, estimated, unpriced = (await connection.execute(query)).one()
    return calls, int(nano), estimated, unpriced


def is_routed() -> ColumnElement[bool]:
    """What the app says of a decision."""
    told = (CALLS.c.route_policy, CALLS.c.route_reason, CALLS.c.route_confidence_ppm)
    return or_(*[column.is_not(None) for column in told])


async def by_export(url: str, wanted: dict[str, str], since: datetime, until: datetime) -> Known:
    pages = CallPages(reading_engine(parse(url, Path())))
    shape = SHAPES["calls"]
    chosen = CallFilter(**{**wanted, "since": since, "until": until})  # type: ignore[arg-type]
    pieces = [piece async for piece in exported(pages, chosen, shape, encoder_of(Format.CSV, shape))]
    await pages.close()
    rows = list(csv.DictReader(io.StringIO(b"".join(pieces).decode())))
    return (
        len(rows),
        sum(int(row["cost_nano"] or 0) for row in rows),
        sum(row["cost_status"] == "estimated" for row in rows),
        sum(row["cost_nano"] == "" for row in rows),
    )


async def by_endpoint(ask: Asker, asked: dict[str, Any], groups: str) -> dict[str, Known]:
    """The same total in every place it is told in."""
    found: dict[str, Known] = {}
    overview = await ask("", **asked)
    found["overview"] = known(overview["total"])
    found["overview, series"] = added(overview["series"])
    found["overview, models"] = both(overview, "models", "other_models")
    costs = await ask("/costs", group_by=groups, limit=2, **asked)
    found["costs"] = known(costs["total"])
    found["costs, groups"] = both(costs, "groups")
    found["costs, series"] = added([point["total"] for point in costs["series"]])
    cells = [cell for point in costs["series"] for cell in (*point["groups"], point["other"]) if cell]
    found["costs, cells"] = added(cells)
    models = await ask("/models", limit=1, **asked)
    found["models"] = known(models["total"])
    found["models, each"] = both(models, "models")
    users = await ask("/users", limit=2, **asked)
    found["users"] = known(users["total"])
    found["users, each"] = both(users, "top")
    return found


@DATABASE_TESTS
@given(
    folded=st.lists(records(), max_size=12),
    waiting=st.lists(records(), max_size=8),
    wanted=filters,
    ends=st.tuples(minutes, minutes).filter(lambda ends: ends[0] != ends[1]),
    zone=st.sampled_from(["UTC", "Asia/Kathmandu", "America/Los_Angeles"]),
    groups=st.sampled_from(["team", "model,user", "tenant,outcome_class", "route_policy,project", "session"]),
)
async def test_every_total_is_the_same(
    database: str,
    folded: list[CallRecord],
    waiting: list[CallRecord],
    wanted: dict[str, str],
    ends: tuple[int, int],
    zone: str,
    groups: str,
) -> None:
    await emptied(database)
    await written(database, folded)
    async with engine_of(database) as engine:
        await compact(engine, NOW)
    await written(database, waiting)
    since, until = (NOW - timedelta(minutes=ago) for ago in (max(ends), min(ends)))
    expected = await by_sql(database, wanted, since, until)
    assert await by_export(database, wanted, since, until) == expected
    asked = {**wanted, "since": since.isoformat(), "until": until.isoformat(), "tz": zone}
    async with analytics(database) as ask:
        found = await by_endpoint(ask, asked, groups)
        assert found == dict.fromkeys(found, expected)
        routed = await by_sql(database, wanted, since, until, is_routed())
        router = await ask("/router", limit=2, **asked)
        assert known(router["total"]) == added(router["bands"]) == routed
        for name in ("policies", "reasons", "models"):
            assert both(router, name, f"other_{name}") == routed
        lately = await by_sql(
            database,
            wanted,
            NOW - timedelta(minutes=59, seconds=NOW.second),
            datetime(2100, 1, 1, tzinfo=UTC),
        )
        realtime = await ask("/realtime", **wanted)
        assert known(realtime["total"]) == lately
        assert added(realtime["series"]) == lately
