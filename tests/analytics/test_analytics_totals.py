"""The same filter gives the same nano-USD and the same calls through every endpoint, the export and plain SQL."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from rig.analytics import NOW, Asker, analytics
from rig.filling import fills_a_database
from rig.ledger import STARTED_MS, record
from rig.rollups import DAY_MS, emptied, engine_of, records, written
from sqlalchemy import ColumnElement, func, or_, select

from storage.queries.calls import CALLS
from storage.rollups.compaction import compact
from storage.rollups.measures import CLASS_OF, OutcomeClass
from telemetry.outcome import Outcome
from telemetry.record import CallRecord

COLUMNS: dict[str, ColumnElement[Any]] = {
    "tenant": CALLS.c.tenant_id,
    "user": CALLS.c.user_id,
    "session": CALLS.c.session_id,
    "model": func.coalesce(func.nullif(CALLS.c.response_model, ""), CALLS.c.request_model),
    **{
        name: CALLS.c[name]
        for name in (
            "team", "project", "feature", "environment", "provider", "route_policy", "experiment", "variant", "outcome",
        )
    },
}  # fmt: skip
Known = tuple[int, int, int, int]
"""Calls, nano-USD, estimated and unpriced calls."""
Wanted = dict[str, list[str]]
"""Filters: any of the values; empty: not set."""

names = ["a", "b", "é", "é\ufffdx", ""]
values = {
    **dict.fromkeys(("team", "user", "project", "feature", "environment", "session"), names),
    **{key: ["a", "é", ""] for key in ("route_policy", "experiment", "variant")},
    "tenant": ["acme", "beta", "default"],
    "provider": ["openai", "anthropic"],
    "outcome": [outcome.value for outcome in Outcome],
    "outcome_class": [one.value for one in OutcomeClass],
    "model": ["a", "b"],  # always called: a model nobody called is refused
}
filters = st.dictionaries(st.sampled_from(sorted(values)), st.none(), max_size=2).flatmap(
    lambda chosen: st.fixed_dictionaries(
        {
            name: st.lists(st.sampled_from(values[name]), min_size=1, max_size=2, unique=True)
            for name in chosen
        }
    )
)
FOREVER = datetime(2100, 1, 1, tzinfo=UTC)
MODELS = [
    record(10**7 + place, ms=STARTED_MS - 4 * DAY_MS, answer={"model": name})
    for place, name in enumerate("ab")
]
READ = {"session", "outcome", "user"}
"""What every call is read for."""
COMPARED = ("", "/costs", "/users", "/sessions")
"""Where the period before is told with its cost."""
minutes = st.integers(0, 3 * 24 * 60)


def known(total: dict[str, Any]) -> Known:
    return total["calls"], total["cost"]["nano_usd"], total["estimated_calls"], total["unpriced_calls"]


def added(parts: list[dict[str, Any]]) -> Known:
    rows = [(0, 0, 0, 0), *map(known, parts)]
    calls, nano, estimated, unpriced = (sum(column) for column in zip(*rows, strict=True))
    return calls, nano, estimated, unpriced


def both(found: dict[str, Any], name: str, other: str = "other") -> Known:
    return added([*found[name], *([found[other]] if found[other] else [])])


def holds(name: str, wanted: list[str]) -> ColumnElement[bool]:
    """A filter in plain SQL."""
    if name == "outcome_class":
        return CALLS.c.outcome.in_([one.value for one, of in CLASS_OF.items() if of.value in wanted])
    column = COLUMNS[name]
    named = column.in_([value for value in wanted if value])
    return or_(named, column.is_(None), column == "") if "" in wanted else named


async def by_sql(
    url: str, wanted: Wanted, since: datetime, until: datetime, *more: ColumnElement[bool]
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
        *[holds(name, values) for name, values in wanted.items()],
        *more,
    )
    async with engine_of(url) as engine, engine.connect() as connection:
        calls, nano, estimated, unpriced = (await connection.execute(query)).one()
    return calls, int(nano), estimated, unpriced


def is_routed() -> ColumnElement[bool]:
    """What the app says of a decision."""
    told = (CALLS.c.route_policy, CALLS.c.route_reason, CALLS.c.route_confidence_ppm)
    return or_(*[column.is_not(None) for column in told])


async def by_export(ask: Asker, kind: str, wanted: Wanted, since: datetime, until: datetime) -> Known:
    period = {"since": since.isoformat(), "until": until.isoformat()}
    body = {"format": kind, "where": wanted, "filters": period}
    async with ask.client.post("/api/analytics/export", json=body) as answer:
        text = await answer.text()
        assert answer.status == 200, text
    rows: list[dict[str, Any]]
    if kind == "csv":
        rows = [
            {name: value or None for name, value in row.items()} for row in csv.DictReader(io.StringIO(text))
        ]
    else:
        rows = [json.loads(line) for line in text.splitlines()]
    return (
        len(rows),
        sum(int(row["cost_nano"] or 0) for row in rows),
        sum(row["cost_status"] == "estimated" for row in rows),
        sum(row["cost_nano"] is None for row in rows),
    )


async def by_endpoint(ask: Asker, asked: dict[str, Any], groups: str) -> dict[str, Known]:
    """The same total in every place it is told in."""
    found: dict[str, Known] = {}
    overview = await ask("", group_by=groups, limit=2, **asked)
    found["overview"] = known(overview["total"])
    found["overview, series"] = added(overview["series"])
    found["overview, groups"] = both(overview, "groups")
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
    found["models, groups"] = both(await ask("/models", group_by=groups, limit=3, **asked), "models")
    users = await ask("/users", limit=2, **asked)
    found["users"] = known(users["total"])
    if users["top"] is not None:
        found["users, each"] = both(users, "top")
    found["sessions"] = known((await ask("/sessions", **asked))["total"])
    health = await ask("/health-score", by=groups.partition(",")[0], limit=200, **asked)
    found["health"] = known(health["overall"])
    found["health, apps"] = added(health["apps"])
    if not {"outcome_class", *READ} & asked.keys():
        found["recommendations"] = known((await ask("/recommendations", **asked))["total"])
    performance = await ask("/performance", group_by=groups, limit=2, **asked)
    calls = found["costs"][0]
    assert performance["total"]["calls"] == calls == sum(one["calls"] for one in performance["series"])
    rest = performance["other"]["calls"] if performance["other"] else 0
    assert sum(one["calls"] for one in performance["groups"]) + rest == calls
    return found


@fills_a_database(6)
@given(
    folded=st.lists(records(), max_size=12),
    waiting=st.lists(records(), max_size=8),
    wanted=filters,
    ends=st.tuples(minutes, minutes).filter(lambda ends: ends[0] != ends[1]),
    period=st.sampled_from([None, None, "24h", "7d", "30d", "90d"]),
    zone=st.sampled_from(["UTC", "Asia/Kathmandu", "America/Los_Angeles"]),
    groups=st.sampled_from(["team", "model,user", "tenant,outcome_class", "route_policy,project", "session"]),
)
async def test_every_total_is_the_same(
    database: str,
    folded: list[CallRecord],
    waiting: list[CallRecord],
    wanted: Wanted,
    ends: tuple[int, int],
    period: str | None,
    zone: str,
    groups: str,
) -> None:
    await emptied(database)
    await written(database, folded)
    async with engine_of(database) as engine:
        await compact(engine, NOW)
    await written(database, [*waiting, *MODELS])
    since, until = (NOW - timedelta(minutes=ago) for ago in (max(ends), min(ends)))
    asked: dict[str, Any] = {**wanted, "tz": zone}
    async with analytics(database) as ask:
        if period is None:
            asked |= {"since": since.isoformat(), "until": until.isoformat()}
        else:
            if {*groups.split(","), *wanted} - {"tenant", "team"} and period == "90d":
                period = "30d"  # users and sessions of such calls can't be told of more
            asked["period"] = period
            told = await ask("/costs", **asked)
            since, until = datetime.fromisoformat(told["period"]["since"]), FOREVER
        expected = await by_sql(database, wanted, since, until)
        found = await by_endpoint(ask, asked, groups)
        for kind in ("csv", "jsonl"):
            found[kind] = await by_export(ask, kind, wanted, since, until)
        assert found == dict.fromkeys(found, expected)
        routed = await by_sql(database, wanted, since, until, is_routed())
        router = await ask("/router", limit=2, **asked)
        assert known(router["total"]) == added(router["bands"]) == routed
        for name in ("policies", "reasons", "models"):
            assert both(router, name, f"other_{name}") == routed
        if period is None and not is_of_days(since, until, zone):
            before = wanted, since - (until - since), since
            expected = await by_sql(database, *before)
            earlier = {path: known((await ask(path, **asked))["previous"]) for path in COMPARED}
            assert earlier == dict.fromkeys(COMPARED, expected)
            assert known(router["previous"]) == await by_sql(database, *before, is_routed())
        hour = NOW - timedelta(minutes=59, seconds=NOW.second)
        lately = await by_sql(database, wanted, hour, FOREVER)
        realtime = await ask("/realtime", **wanted)
        assert known(realtime["total"]) == lately
        assert added(realtime["series"]) == lately


def is_of_days(since: datetime, until: datetime, zone: str) -> bool:
    """Such a period is compared with calendar days, which may be longer or shorter."""
    return all(one.astimezone(ZoneInfo(zone)).time() == time.min for one in (since, until))
