"""What later prices change, beside what was recorded: as the rows say, whoever asks, and whatever became of the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig.analytics import NOW, analytics
from rig.filling import fills_a_database
from rig.ledger import STARTED_MS, record
from rig.rollups import DAY_MS, costs, emptied, engine_of, records, written
from sqlalchemy import select, text

from gateway.api.viewer import Viewer
from pricing.cost import UNPRICED, Cost, CostSource, CostStatus
from storage.address import parse
from storage.partitions import DEFAULT_PARTITION, Month, ensure
from storage.privacy.database import Person
from storage.privacy.erase import erase
from storage.queries.analytics import repriced
from storage.queries.calls import CALLS
from storage.repricing import Again, History
from storage.retention import forget
from storage.rollups.asked import prepare
from storage.rollups.care import note_forgotten
from storage.rollups.compaction import compact
from storage.rollups.question import Question
from storage.rows import as_datetime, started_ms
from storage.tables import CallRow
from telemetry.record import CallRecord

Changes = dict[str, int]
"""What is told, without ``since``."""


def cost(nano: int, status: CostStatus = CostStatus.PRICED) -> Cost:
    return Cost(status, CostSource.CATALOGUE, nano, nano, 0, 0, 0, 0)


def call(days_ago: float, recorded: Cost, team: str | None = "search", **who: Any) -> CallRecord:
    ms = STARTED_MS - int(days_ago * DAY_MS) - 1000
    return record(ms=ms, who={"team": team, **who}, cost=recorded)


async def priced_again(url: str, later: Mapping[CallRecord, Cost]) -> None:
    rows = {
        one: CallRow.model_construct(id=one.id, started_at=as_datetime(started_ms(one.id))) for one in later
    }
    history = History(parse(url, Path()))
    await history.write([Again(rows[one], cost) for one, cost in later.items()])
    await history.close()


def told(found: dict[str, Any] | None) -> Changes | None:
    if found is None:
        return None
    return {
        name: number["nano_usd"] if name == "delta" else number
        for name, number in found.items()
        if name != "since"
    }


def changed(calls: int, delta: int, unpriced: int = 0, estimated: int = 0, partial: int = 0) -> Changes:
    return {
        "calls": calls,
        "unpriced_calls": unpriced,
        "estimated_calls": estimated,
        "partial_calls": partial,
        "delta": delta,
    }


async def test_what_later_prices_change_stands_beside_the_recorded_sums(database: str) -> None:
    missing = [call(1, UNPRICED, "ops"), call(2, UNPRICED, "ops"), call(2, UNPRICED, "ops")]
    dear, same, gone = call(1, cost(500)), call(1, cost(70)), call(1, cost(9), "sales")
    before = call(8, UNPRICED)
    await written(database, [*missing, dear, same, gone, before])
    async with analytics(database) as ask:
        first = await ask("/costs", period="7d", group_by="team")
        await priced_again(
            database,
            {
                missing[0]: cost(40),
                missing[1]: cost(5, CostStatus.PARTIAL),
                missing[2]: UNPRICED,
                dear: cost(450, CostStatus.ESTIMATED),
                same: cost(70),
                gone: UNPRICED,
                before: cost(0),
            },
        )
        found = await ask("/costs", period="7d", group_by="team", limit=2)
        overview = await ask("", period="7d", group_by="team", limit=1)
    assert first["total"]["repriced"] is None
    assert [one["repriced"] for one in first["groups"]] == [None] * 3
    for answer in (found, overview):
        assert (answer["total"]["cost"]["nano_usd"], answer["total"]["unpriced_calls"]) == (579, 3)
        assert told(answer["total"]["repriced"]) == changed(3, -5, unpriced=2, estimated=1, partial=1)
        assert answer["total"]["repriced"]["since"] is None
        assert told(answer["previous"]["repriced"]) == changed(1, 0, unpriced=1)
        assert answer["repriced_missing"] is None
    search, sales = found["groups"]
    assert (search["key"], told(search["repriced"])) == ({"team": "search"}, changed(1, -50, estimated=1))
    assert (sales["key"], sales["repriced"]) == ({"team": "sales"}, None)
    assert told(found["other"]["repriced"]) == changed(2, 45, unpriced=2, partial=1)
    assert told(overview["groups"][0]["repriced"]) == changed(1, -50, estimated=1)
    assert told(overview["other"]["repriced"]) == changed(2, 45, unpriced=2, partial=1)


async def test_what_is_priced_again_and_again_counts_as_it_was_last(database: str) -> None:
    one = call(1, UNPRICED)
    await written(database, [one])
    async with analytics(database) as ask:
        for later, expected in (
            (cost(3), changed(1, 3, unpriced=1)),
            (cost(8), changed(1, 8, unpriced=1)),
            (UNPRICED, None),
        ):
            await priced_again(database, {one: later})
            assert told((await ask("/costs"))["total"]["repriced"]) == expected


GROUPS = {
    "": (),
    "tenant": (CALLS.c.tenant_id,),
    "team,model": (CALLS.c.team, CALLS.c.response_model),
    "user": (CALLS.c.user_id,),
    "project,outcome": (CALLS.c.project, CALLS.c.outcome),
}
FILTERS: list[dict[str, str]] = [{}, {"team": "a"}, {"user": ""}, {"tenant": "beta", "environment": "é"}]
COLUMN = {"team": "team", "user": "user_id", "tenant": "tenant_id", "environment": "environment"}


async def by_rows(
    url: str, groups: str, wanted: Mapping[str, str], since: datetime
) -> dict[tuple[Any, ...], Changes]:
    """The same, added up here from all the rows there are."""
    found: dict[tuple[Any, ...], Counter[str]] = {}
    async with engine_of(url) as engine, engine.connect() as connection:
        rows = (await connection.execute(select(CALLS))).all()
    for row in rows:
        if row.repriced_nano is None or row.repriced_nano == row.cost_nano or row.started_at < since:
            continue
        if any((getattr(row, COLUMN[name]) or "") != value for name, value in wanted.items()):
            continue
        key = tuple(
            row.response_model or row.request_model
            if column.name == "response_model"
            else getattr(row, column.name)
            for column in GROUPS[groups]
        )
        found.setdefault(key, Counter()).update(
            changed(
                1,
                row.repriced_nano - (row.cost_nano or 0),
                row.cost_nano is None,
                row.repriced_status == "estimated",
                row.repriced_status == "partial",
            )
        )
    return {key: {name: counts[name] for name in changed(0, 0)} for key, counts in found.items()}


def added(parts: list[Changes | None]) -> Changes | None:
    some = [part for part in parts if part is not None]
    return {name: sum(part[name] for part in some) for name in changed(0, 0)} if some else None


@fills_a_database(6)
@given(
    calls=st.lists(st.tuples(records(), st.none() | costs()), max_size=12),
    groups=st.sampled_from(sorted(GROUPS)),
    wanted=st.sampled_from(FILTERS),
    minutes=st.integers(1, 4 * 24 * 60),
    folded=st.booleans(),
)
async def test_it_is_what_the_rows_add_up_to(
    database: str,
    calls: list[tuple[CallRecord, Cost | None]],
    groups: str,
    wanted: dict[str, str],
    minutes: int,
    folded: bool,
) -> None:
    await emptied(database)
    await written(database, [one for one, _ in calls])
    if folded:
        async with engine_of(database) as engine:
            await compact(engine, NOW)
    await priced_again(database, {one: later for one, later in calls if later is not None})
    since = NOW - timedelta(minutes=minutes)
    asked: dict[str, Any] = {"since": since.isoformat(), "limit": 3, **wanted}
    asked |= {"group_by": groups} if groups else {}
    expected = await by_rows(database, groups, wanted, since)
    async with analytics(database, NOW + timedelta(hours=1)) as ask:
        for answer in (await ask("/costs", **asked), await ask("", **asked)):
            total = told(answer["total"]["repriced"])
            assert total == added(list(expected.values()))
            assert total is None or total["unpriced_calls"] <= answer["total"]["unpriced_calls"]
            if not groups:
                continue
            named = {tuple(one["key"].values()): told(one["repriced"]) for one in answer["groups"]}
            assert {key: one for key, one in named.items() if one} == {
                key: one for key, one in expected.items() if key in named
            }
            rest = added([one for key, one in expected.items() if key not in named])
            assert rest == (told(answer["other"]["repriced"]) if answer["other"] else None)


async def test_a_reader_is_told_of_its_own_calls_alone(database: str) -> None:
    calls = {
        call(1, UNPRICED, "search"): cost(1),
        call(1, UNPRICED, "ops"): cost(2),
        call(1, UNPRICED, "search", tenant="beta"): cost(4),
        call(1, UNPRICED, "search", user="eve"): cost(8),
    }
    await written(database, list(calls))
    await priced_again(database, calls)
    viewers = {
        "acme": Viewer("acme", tenant="acme"),
        "team": Viewer("team", tenant="acme", team="search"),
        "eve": Viewer("eve", tenant="acme", user="eve"),
        "beta": Viewer("beta", tenant="beta"),
        "nobody": Viewer("nobody", tenant="gamma"),
    }
    expected = {"acme": (3, 11), "team": (2, 9), "eve": (1, 8), "beta": (1, 4), "": (4, 15)}
    async with analytics(database, viewers=viewers) as ask:
        for path in ("/costs", ""):
            for token, (number, nano) in expected.items():
                found = await ask(path, token=token, group_by="tenant,team")
                assert told(found["total"]["repriced"]) == changed(number, nano, unpriced=number)
                assert sum(one["repriced"]["calls"] for one in found["groups"]) == number
            assert (await ask(path, token="nobody"))["total"]["repriced"] is None
            other = await ask(path, token="acme", tenant="beta", group_by="user")
            assert (other["total"]["repriced"], other["groups"]) == (None, [])


async def test_of_calls_that_are_deleted_nothing_is_told_and_that_is_said(database: str) -> None:
    old, kept = call(3, UNPRICED), call(1, UNPRICED)
    await written(database, [old, kept])
    await priced_again(database, {old: cost(10), kept: cost(4)})
    before = datetime(2026, 11, 16, 9, 30, tzinfo=UTC)
    async with analytics(database) as ask:
        whole = await ask("/costs", period="7d", compare="false")
        address = parse(database, Path())
        assert await note_forgotten(address, before)
        noted = await ask("/costs", period="7d", compare="false")
        await forget(address, before)
        for path in ("/costs", ""):
            found = await ask(path, period="7d", compare="false")
            assert told(found["total"]["repriced"]) == changed(1, 4, unpriced=1)
            assert found["total"]["repriced"]["since"] == "2026-11-16T09:30:00+00:00"
            assert found["total"]["unpriced_calls"] == 2
        lately = await ask("/costs", since="2026-11-17", compare="false")
        gone = await ask("/costs", since="2026-11-10", until="2026-11-16", compare="false")
    assert told(whole["total"]["repriced"]) == changed(2, 14, unpriced=2)
    assert noted["total"]["repriced"] == found["total"]["repriced"], "nobody relies on what may be gone"
    assert (told(lately["total"]["repriced"]), lately["total"]["repriced"]["since"]) == (
        changed(1, 4, unpriced=1),
        None,
    )
    assert gone["total"]["repriced"] is None


async def test_who_is_erased_takes_no_sum_along(database: str, tmp_path: Path) -> None:
    calls = {call(1, UNPRICED, user="ada"): cost(5), call(1, cost(2), user="eve"): cost(3)}
    await written(database, list(calls))
    await priced_again(database, calls)
    await erase(parse(database, tmp_path), tmp_path, Person(("ada",), "acme"), "a test")
    async with analytics(database) as ask:
        found = await ask("/costs", group_by="user")
    assert told(found["total"]["repriced"]) == changed(2, 6, unpriced=1)
    assert {one["key"]["user"]: told(one["repriced"]) for one in found["groups"]} == {
        None: changed(1, 5, unpriced=1),
        "eve": changed(1, 1),
    }


async def test_too_many_are_not_read_and_that_is_said(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = {call(1, UNPRICED, team): cost(1) for team in ("search", "ops", "sales")}
    await written(database, list(calls))
    await priced_again(database, calls)
    monkeypatch.setattr(repriced, "MOST_READ", 2)
    async with analytics(database) as ask:
        for path in ("/costs", ""):
            found = await ask(path, group_by="team")
            assert found["total"]["repriced"] is None
            assert {one["repriced"] for one in found["groups"]} == {None}
            assert found["repriced_missing"].endswith("take a shorter period, or filter.")
            narrowed = await ask(path, group_by="team", team=["search", "ops"])
            assert narrowed["repriced_missing"] is None
            assert told(narrowed["total"]["repriced"]) == changed(2, 2, unpriced=2)


async def test_too_many_in_the_period_before_are_not_said_of_this_one(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = {call(days, UNPRICED): cost(1) for days in (1, 8, 8, 8)}
    await written(database, list(calls))
    await priced_again(database, calls)
    monkeypatch.setattr(repriced, "MOST_READ", 2)
    async with analytics(database) as ask:
        for path in ("/costs", ""):
            found = await ask(path, period="7d")
            assert told(found["total"]["repriced"]) == changed(1, 1, unpriced=1)
            assert found["previous"]["repriced"] is None
            assert found["repriced_missing"] is None


async def test_every_month_has_its_index_in_postgres(postgres: str) -> None:
    db = await asyncpg.connect(postgres)
    await ensure(db, NOW)
    await db.close()
    asked = prepare(Question(since=NOW - timedelta(days=7), scope={"tenant_id": "acme"}), NOW)
    query = repriced._by_group(asked, (asked.since_ms, asked.until_ms), "postgresql")
    async with engine_of(postgres) as engine, engine.connect() as connection:
        statement = query.compile(engine.sync_engine, compile_kwargs={"literal_binds": True})
        await connection.execute(text("SET enable_seqscan = off"))  # which so few rows are read by
        plan = list((await connection.execute(text(f"EXPLAIN {statement}"))).scalars())
    read = [line for line in plan if " on model_requests" in line]
    for month in (Month(2026, 11).partition, Month(2026, 12).partition, DEFAULT_PARTITION):
        index = f"{month}_started_at_cost_nano_repriced"
        assert [line for line in read if f"using {index}" in line or f"on {index}" in line], plan
