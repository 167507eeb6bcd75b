"""What is said of calls is kept once, can be changed, and adds up by call and by day, in both databases."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rig.ledger import STARTED_MS, call_id, record, started
from sqlalchemy import func, inspect, select, text

from pricing.cost import NOT_BILLABLE, Cost, CostStatus
from storage.address import parse
from storage.engine import reading_engine, writing_engine
from storage.quality.facts import By, Facts, Finder, facts_of
from storage.quality.keep import MEASURES, Fate, Forgotten, OtherCall, Outcome, QualityLog, Rating
from storage.quality.retention import forget_said
from storage.quality.summary import DAY, Dimension, QualityReader
from storage.quality.tables import DAILY, DIMENSIONS, FEEDBACK, JUDGED, OUTCOMES
from storage.rollups.care import note_forgotten
from storage.store import StoreUnavailable, pending_row
from telemetry.quality import NOTHING, PPM, Measures, Opinion, Result, Scale, Source, measures_of
from telemetry.record import CallRecord

DAY_MS = 86_400_000
FIRST_DAY = datetime.fromtimestamp(STARTED_MS / 1000, UTC).date()
UP = Opinion(Source.USER, Scale.THUMBS, PPM)
DOWN = Opinion(Source.USER, Scale.THUMBS, 0)


class Quality:
    """Log and reader on one database."""

    def __init__(self, url: str, folder: Path) -> None:
        address = parse(url, folder)
        self.reading = reading_engine(address)
        self.writing = writing_engine(address)
        self.now = datetime(2026, 11, 20, tzinfo=UTC)
        self.log = QualityLog(self.writing, lambda: self.now)
        self.reader = QualityReader(self.reading)
        self.finder = Finder(self.reading)

    async def rows(self, query: Any) -> list[Any]:
        async with self.reading.connect() as connection:
            return list((await connection.execute(query)).all())

    async def totals(self) -> Measures:
        rows = await self.reader.summary({}, [])
        return rows[0].measures if rows else NOTHING

    async def close(self) -> None:
        await self.log.close()
        await self.reader.close()


@pytest.fixture
async def quality(database: str, tmp_path: Path) -> AsyncIterator[Quality]:
    opened = Quality(database, tmp_path)
    yield opened
    await opened.close()


def facts(number: int = 1, **parts: Any) -> Facts:
    return facts_of(pending_row(record(number, **parts)))


async def test_the_migrated_tables_are_those_of_the_code(quality: Quality) -> None:
    for table in (DAILY, JUDGED, FEEDBACK, OUTCOMES):
        async with quality.reading.connect() as connection:
            found = await connection.run_sync(lambda sync, name=table.name: inspect(sync).get_columns(name))
        assert {one["name"]: one["nullable"] for one in found} == {
            one.name: one.nullable for one in table.columns
        }
    assert tuple(name for name in DAILY.columns.keys() if name not in (*DIMENSIONS, "key", "day")) == MEASURES  # noqa: SIM118
    assert [one.value for one in Dimension] == list(DIMENSIONS)


async def test_the_same_is_kept_once_and_a_change_replaces_it(quality: Quality) -> None:
    call = facts()
    first = await quality.log.rate(call, Rating(UP, label="tone"))
    again = await quality.log.rate(call, Rating(UP, label="tone"))
    assert (first.fate, again.fate) == (Fate.STORED, Fate.UNCHANGED)
    quality.now += timedelta(hours=1)
    changed = await quality.log.rate(call, Rating(Opinion(Source.USER, Scale.STARS, 250_000), user="ada"))
    assert (changed.id, changed.fate, changed.revision) == (first.id, Fate.REPLACED, 2)
    [row] = await quality.rows(select(FEEDBACK))
    assert (row.user_id, row.scale, row.ppm, row.label, row.revision) == ("ada", "stars", 250_000, None, 2)
    assert row.updated_at - row.created_at == timedelta(hours=1)
    totals = await quality.totals()
    assert (totals.calls, totals.user_count, totals.user_good, totals.stars_ppm) == (1, 1, 0, 250_000)


async def test_each_source_and_user_has_one_rating_of_a_call(quality: Quality) -> None:
    call = facts()
    judge = Opinion(Source.JUDGE, Scale.SCORE, 800_000)
    for rating in (
        Rating(UP),
        Rating(DOWN, "bob"),
        Rating(judge, "strict"),
        Rating(judge, "mild"),
        Rating(judge),
    ):
        assert (await quality.log.rate(call, rating)).fate is Fate.STORED
    totals = await quality.totals()
    assert (totals.user_count, totals.judge_count, totals.judge_ppm) == (2, 3, 2_400_000)


async def test_ids_of_the_client(quality: Quality) -> None:
    one, other = facts(1), facts(2)
    kept = await quality.log.rate(one, Rating(UP, given_id="f1"))
    assert (await quality.log.rate(one, Rating(UP, given_id="f2"))).fate is Fate.STORED
    assert (await quality.log.rate(one, Rating(UP, given_id="f1"))).id == kept.id
    with pytest.raises(OtherCall):
        await quality.log.rate(other, Rating(UP, given_id="f1"))
    assert (await quality.totals()).user_count == 2, "what was refused leaves nothing"
    elsewhere = facts(3, who={"tenant": "globex"})
    assert (await quality.log.rate(elsewhere, Rating(UP, given_id="f1"))).fate is Fate.STORED


async def test_outcomes_beside_each_other_and_in_each_others_place(quality: Quality) -> None:
    call = facts()
    for outcome in (Outcome(Result.ACCEPTED), Outcome(Result.RESOLVED), Outcome(Result.CONVERTED, 5)):
        assert (await quality.log.note(call, outcome)).fate is Fate.STORED
    assert (await quality.log.note(call, Outcome(Result.REJECTED))).fate is Fate.REPLACED
    assert (await quality.log.note(call, Outcome(Result.CONVERTED, 9))).revision == 2
    assert (await quality.log.note(call, Outcome(Result.CONVERTED, 1, given_id="second"))).revision == 1
    totals = await quality.totals()
    assert (totals.accepted, totals.rejected, totals.resolved) == (0, 1, 1)
    assert (totals.converted, totals.value_nano) == (1, 10)
    assert (totals.judged, totals.good) == (1, 0)


async def test_said_many_times_at_once_it_is_kept_once(quality: Quality) -> None:
    call = facts()
    kept = await asyncio.gather(*[quality.log.rate(call, Rating(UP)) for _ in range(20)])
    assert Counter(one.fate for one in kept) == {Fate.STORED: 1, Fate.UNCHANGED: 19}
    crowd = [facts(number) for number in range(1, 6)]
    await asyncio.gather(
        *[quality.log.rate(one, Rating(DOWN, f"user{n}")) for n in range(10) for one in crowd]
    )
    totals = await quality.totals()
    assert (totals.calls, totals.user_count, totals.user_good) == (5, 51, 1)


def random_call(number: int, chance: random.Random) -> CallRecord:
    cost = chance.choice(
        [
            Cost(CostStatus.PRICED, total=chance.randint(0, 10**9)),
            Cost(CostStatus.ESTIMATED, total=chance.randint(0, 10**9)),
            Cost(CostStatus.UNPRICED),
        ]
    )
    return record(
        number,
        ms=STARTED_MS + chance.randint(0, 3) * DAY_MS,
        cost=cost,
        who={"team": chance.choice([None, "a", "b"]), "tenant": chance.choice([None, "acme"])},
        route={"policy": chance.choice([None, "cheap"]), "variant": chance.choice([None, "B"])},
    )


async def test_days_are_the_sums_of_their_calls_and_calls_of_what_is_said(quality: Quality) -> None:
    """Random things in random order, each kind of sum made again in Python from what was said last."""
    chance = random.Random(11)
    calls = [facts_of(pending_row(random_call(number, chance))) for number in range(40)]
    ratings: dict[tuple[str, Source, str], Opinion] = {}
    outcomes: dict[tuple[str, Result], tuple[Result, int]] = {}
    for _ in range(250):
        call = chance.choice(calls)
        if chance.random() < 0.6:
            said = Opinion(chance.choice(list(Source)), chance.choice(list(Scale)), chance.randint(0, PPM))
            who = chance.choice(["ada", "bob"])
            await quality.log.rate(call, Rating(said, who))
            ratings[call.call_id, said.source, who] = said
        else:
            result = chance.choice(list(Result))
            nano = chance.randint(0, 10**9) if result is Result.CONVERTED else 0
            await quality.log.note(call, Outcome(result, nano))
            slot = Result.ACCEPTED if result is Result.REJECTED else result
            outcomes[call.call_id, slot] = (result, nano)
    truth: dict[tuple[str, str | None], Measures] = {}
    for call in calls:
        opinions = [one for key, one in ratings.items() if key[0] == call.call_id]
        results = dict(one for key, one in outcomes.items() if key[0] == call.call_id)
        key = (str(call.started_at.date()), call.dimensions[DIMENSIONS.index("team")] or None)
        one = measures_of(opinions, results, call.cost_nano, call.cost_status)
        truth[key] = truth.get(key, NOTHING) + one
    rows = await quality.reader.summary({}, [DAY, Dimension.TEAM])
    assert {row.key: row.measures for row in rows} == {key: one for key, one in truth.items() if one.calls}
    assert [row.key[0] for row in rows] == sorted(row.key[0] or "" for row in rows)
    sums = [func.sum(JUDGED.c[name]) for name in MEASURES]
    [by_call] = await quality.rows(select(*sums))
    assert tuple(int(value) for value in by_call) == msgspec.structs.astuple(await quality.totals())


async def test_filters_days_and_what_a_viewer_may_see(quality: Quality) -> None:
    calls = [
        facts(1, who={"team": "a", "user": "ada"}),
        facts(2, who={"team": "a", "user": "bob"}, ms=STARTED_MS + DAY_MS),
        facts(3, who={"team": None, "tenant": "globex"}),
    ]
    for call in calls:
        await quality.log.rate(call, Rating(UP))
    summary = quality.reader.summary

    async def counted(*args: Any, **more: Any) -> dict[Any, int]:
        return {row.key: row.measures.calls for row in await summary(*args, **more)}

    assert await counted({}, [Dimension.TENANT]) == {("acme",): 2, ("globex",): 1}
    assert await counted({Dimension.TEAM: None}, [Dimension.TEAM]) == {(None,): 1}
    second = FIRST_DAY + timedelta(days=1)
    assert await counted({}, [DAY], since=second) == {(str(second),): 1}
    assert await counted({}, [], until=second) == {(): 2}
    assert await counted({}, [], since=date(2030, 1, 1)) == {}
    assert await counted({}, [], scope={"tenant_id": "acme"}) == {(): 2}
    mine = {"tenant_id": "acme", "user_id": "ada"}
    assert await counted({}, [DAY], scope=mine) == {(str(FIRST_DAY),): 1}
    assert await counted({}, [], since=second, scope=mine) == {}


async def test_the_slice_that_disappoints(quality: Quality) -> None:
    for number in range(60):
        bad = number % 2 and number % 10 != 1
        call = facts(number, route={"variant": "B" if number % 2 else "A"})
        await quality.log.rate(call, Rating(DOWN if bad else UP))
    [found] = await quality.reader.dissatisfied({}, [Dimension.VARIANT])
    assert (found.slice.name, found.slice.good, found.slice.count) == (("B",), 6, 30)
    assert await quality.reader.dissatisfied({}, [Dimension.VARIANT], least_samples=40) == []


async def test_a_call_is_found_by_each_of_its_names(database: str, quality: Quality, tmp_path: Path) -> None:
    asked = record(1, answer={"response_id": "resp-9"})
    poll = record(2, answer={"response_id": "resp-9"}, cost=NOT_BILLABLE)
    assert asked.trace is not None
    ledger = await started(tmp_path / "ledger", None, url=database)
    for one in (asked, poll):
        ledger.closed(one)
    assert await ledger.drained(20)
    await ledger.stop(5)
    trace = f"{asked.trace.trace_id:032x}"
    for by, name in ((By.CALL, asked.id), (By.RESPONSE, "resp-9"), (By.TRACE, trace)):
        found = await quality.finder.find(by, name, {})
        assert found == facts_of(pending_row(asked)), by
        assert await quality.finder.find(by, name, {"tenant_id": "globex"}) is None
    assert await quality.finder.find(By.CALL, call_id(99), {}) is None
    assert await quality.finder.find(By.CALL, "nonsense", {}) is None


async def test_names_are_looked_up_by_an_index(quality: Quality) -> None:
    explain = "EXPLAIN QUERY PLAN" if quality.reading.dialect.name == "sqlite" else "EXPLAIN"
    for column in ("response_id", "trace_id"):
        query = text(
            f"{explain} SELECT id FROM model_requests WHERE {column} = 'x' ORDER BY id DESC LIMIT 20"
        )
        async with quality.reading.connect() as connection:
            if quality.reading.dialect.name != "sqlite":
                await connection.execute(text("SET enable_seqscan = off"))
            plan = str((await connection.execute(query)).all())
        assert f"{column}_idx" in plan or f"model_requests_{column}" in plan


async def test_what_was_said_is_forgotten_with_its_calls_and_the_days_stay(
    database: str, quality: Quality, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.quality.retention.SLICE", 3)
    for number in range(8):
        call = facts(number, ms=STARTED_MS + (DAY_MS if number % 2 else 0))
        await quality.log.rate(call, Rating(UP))
        await quality.log.note(call, Outcome(Result.ACCEPTED))
    cut = datetime.fromtimestamp(STARTED_MS / 1000, UTC) + timedelta(hours=1)
    before = await quality.totals()
    address = parse(database, tmp_path)
    assert await forget_said(address, cut) == 12
    assert await forget_said(address, cut) == 0
    for table in (JUDGED, FEEDBACK, OUTCOMES):
        assert (await quality.rows(select(func.count()).select_from(table)))[0][0] == 4
    assert await quality.totals() == before


async def test_of_a_call_older_than_what_is_kept_nothing_is_counted_twice(
    database: str, quality: Quality, tmp_path: Path
) -> None:
    """PostgreSQL forgets calls by the month: some outlive what was said of them by weeks."""
    old, kept = facts(1), facts(2, ms=STARTED_MS + DAY_MS)
    for call in (old, kept):
        await quality.log.rate(call, Rating(UP))
    cut = datetime.fromtimestamp(STARTED_MS / 1000, UTC) + timedelta(hours=1)
    address = parse(database, tmp_path)
    assert await note_forgotten(address, cut)
    await forget_said(address, cut)
    before = await quality.totals()
    with pytest.raises(Forgotten):
        await quality.log.rate(old, Rating(UP))
    with pytest.raises(Forgotten):
        await quality.log.note(old, Outcome(Result.ACCEPTED))
    assert (await quality.log.rate(kept, Rating(UP))).fate is Fate.UNCHANGED
    assert await quality.totals() == before


async def test_without_a_database_it_says_so(tmp_path: Path) -> None:
    gone = Quality(f"sqlite:///{tmp_path}/none.db", tmp_path)
    with pytest.raises(StoreUnavailable):
        await gone.log.rate(facts(), Rating(UP))
    with pytest.raises(StoreUnavailable):
        await gone.reader.summary({}, [])
    with pytest.raises(StoreUnavailable):
        await gone.finder.find(By.CALL, call_id(1), {})
    await gone.close()
