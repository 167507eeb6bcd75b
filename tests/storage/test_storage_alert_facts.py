"""What alerts are judged by: the same as adding up by hand, in both databases."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path

import pytest
from rig.ledger import STARTED_MS, record, started
from sqlalchemy import text

from pricing.cost import Cost, CostSource, CostStatus
from storage.address import Engine, parse
from storage.alerts.database import AlertDatabase
from storage.alerts.facts import StoredFacts
from storage.queries import alert_windows
from telemetry.alerts.facts import Asked, FactsUnavailable, Measure
from telemetry.outcome import Outcome
from telemetry.record import CallRecord

START = datetime.fromtimestamp(STARTED_MS / 1000, UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
ENDS = [
    (Outcome.COMPLETED, 200),
    (Outcome.COMPLETED, 200),
    (Outcome.COMPLETED, 200),
    (Outcome.PROVIDER_ERROR, 429),
    (Outcome.PROVIDER_ERROR, 503),
    (Outcome.PROVIDER_ERROR, 200),
    (Outcome.TIMEOUT, None),
    (Outcome.CONNECT_FAILED, None),
    (Outcome.CANCELLED, 200),
    (Outcome.REFUSED, 402),
    (Outcome.INTERRUPTED, None),
]
FINE = {Outcome.COMPLETED, Outcome.CANCELLED, Outcome.REFUSED}


def some_calls(number: int, seed: int = 1) -> list[CallRecord]:
    """Calls of three hours, of several teams and models, some without either."""
    chance = random.Random(seed)
    made = []
    for n in range(number):
        outcome, status = chance.choice(ENDS)
        ms = STARTED_MS + chance.randrange(3 * 3_600_000)
        cost = Cost(CostStatus.PRICED, CostSource.CATALOGUE, chance.randrange(10**9))
        if chance.random() < 0.2:
            cost = Cost(chance.choice((CostStatus.UNPRICED, CostStatus.INVALID_USAGE)))
        made.append(
            record(
                n + 1,
                ms=ms,
                outcome=outcome,
                who={"team": chance.choice(["search", "ads", None])},
                what={
                    "provider": chance.choice(["openai", "anthropic"]),
                    "model": "gpt-4o-mini",
                    "stream": chance.random() < 0.8,
                },
                answer={"status": status, "model": chance.choice(["gpt-4o-mini-2024-07-18", None])},
                timing={
                    "duration_us": chance.randrange(1, 9_000_000),
                    "first_chunk_us": chance.choice([None, chance.randrange(1, 900_000)]),
                },
                cost=cost,
            )
        )
    return made


@pytest.fixture
async def facts(database: str, tmp_path: Path) -> AsyncIterator[StoredFacts]:
    opened = AlertDatabase(parse(database, tmp_path))
    yield StoredFacts(opened, tmp_path / "spool")
    await opened.close()


async def keep(database: str, folder: Path, records: list[CallRecord]) -> None:
    ledger = await started(folder, url=database)
    for one in records:
        ledger.closed(one)
    assert await ledger.drained(20)
    await ledger.stop(5)


def within(records: list[CallRecord], asked: Asked) -> dict[tuple[str, ...], list[CallRecord]]:
    """Calls of the stretch, by group."""
    found: dict[tuple[str, ...], list[CallRecord]] = {}
    for one in records:
        values = {
            "team": one.who.team or "",
            "provider": one.what.provider,
            "model": one.answer.model or one.what.model or "",
        }
        at = START + timedelta(milliseconds=int(one.id.replace("-", "")[:12], 16) - STARTED_MS)
        if asked.since <= at < asked.until and all(values[name] == value for name, value in asked.scope):
            found.setdefault(tuple(values[name] for name in asked.group_by), []).append(one)
    return found


QUESTIONS = [
    Asked(START, START + 4 * HOUR),
    Asked(START + HOUR / 2, START + HOUR, (("team", "search"),)),
    Asked(START, START + 2 * HOUR, (), ("provider",)),
    Asked(START + HOUR, START + 3 * HOUR, (("provider", "openai"),), ("team", "model")),
    Asked(START, START + 3 * HOUR, (("team", ""), ("model", "gpt-4o-mini"))),
    Asked(START - 5 * HOUR, START),
]


async def test_facts_are_what_adding_up_by_hand_gives(
    facts: StoredFacts, database: str, tmp_path: Path
) -> None:
    records = some_calls(400)
    await keep(database, tmp_path, records)
    for asked in QUESTIONS:
        groups = within(records, asked)
        if not asked.group_by:
            groups.setdefault((), [])
        found = await facts.calls(asked)
        assert [fact.calls for fact in found] == sorted((len(one) for one in groups.values()), reverse=True)
        for fact in found:
            assert tuple(name for name, _ in fact.labels) == asked.group_by
            mine = groups[tuple(value for _, value in fact.labels)]
            failed = [one for one in mine if one.outcome not in FINE]
            assert fact.failed == len(failed)
            assert fact.provider_failed == sum(
                one.outcome in (Outcome.TIMEOUT, Outcome.CONNECT_FAILED)
                or (one.outcome is Outcome.PROVIDER_ERROR and one.answer.status in (200, 503))
                for one in failed
            )
            assert fact.unpriced == sum(one.cost.total is None for one in mine)


@pytest.mark.parametrize("ppm", [1, 500_000, 950_000, 999_999])
async def test_quantiles_are_values_that_calls_had(
    facts: StoredFacts, database: str, tmp_path: Path, ppm: int
) -> None:
    records = some_calls(300, seed=2)
    await keep(database, tmp_path, records)
    for asked in QUESTIONS:
        for measure, field in ((Measure.DURATION, "duration_us"), (Measure.FIRST_CHUNK, "first_chunk_us")):
            expected = {}
            for group, mine in within(records, asked).items():
                values = sorted(
                    value
                    for one in mine
                    if one.outcome is Outcome.COMPLETED
                    and (measure is Measure.DURATION or one.what.stream)
                    and (value := getattr(one.timing, field)) is not None
                )
                if values:
                    expected[group] = (len(values), values[ceil(len(values) * ppm / 1_000_000) - 1])
            found = await facts.quantiles(asked, measure, ppm)
            assert {
                tuple(value for _, value in fact.labels): (fact.calls, fact.value_us) for fact in found
            } == expected


async def test_spend_of_any_time_is_what_adding_up_by_hand_gives(
    facts: StoredFacts, database: str, tmp_path: Path
) -> None:
    records = some_calls(300, seed=3)
    await keep(database, tmp_path, records)
    for asked in (*QUESTIONS, Asked(START - 40 * 24 * HOUR, START + 90 * MINUTE, (), ("team",))):
        expected = {} if asked.group_by else {(): 0}
        for group, mine in within(records, asked).items():
            expected[group] = sum(one.cost.total or 0 for one in mine)
        found = await facts.spend(asked)
        assert {tuple(value for _, value in fact.labels): fact.spend_nano for fact in found} == expected


async def test_hours_come_without_gaps(facts: StoredFacts, database: str, tmp_path: Path) -> None:
    records = some_calls(300, seed=4)
    await keep(database, tmp_path, records)
    first = START.replace(minute=0, second=0, microsecond=0)
    for scope, group_by in (((), ()), ((("team", "search"),), ("model",)), ((("team", ""),), ())):
        asked = Asked(first - 2 * HOUR, first + 5 * HOUR, scope, group_by)
        expected = {} if asked.group_by else {(): [0] * 7}
        for group, mine in within(records, asked).items():
            for one in mine:
                at = datetime.fromtimestamp(one.timing.started_ns // 10**9, UTC)
                expected.setdefault(group, [0] * 7)[(at - asked.since) // HOUR] += one.cost.total or 0
        found = await facts.hours(asked)
        assert {tuple(value for _, value in fact.labels): list(fact.spent) for fact in found} == expected


async def test_groups_are_bounded_and_the_busiest_are_taken(
    facts: StoredFacts, database: str, tmp_path: Path
) -> None:
    records = [record(n + 1, who={"team": f"team{n % 10 if n < 60 else 1}"}) for n in range(100)]
    await keep(database, tmp_path, records)
    found = await facts.calls(Asked(START - HOUR, START + HOUR, (), ("team",), most=3))
    assert [fact.calls for fact in found] == [46, 6, 6]
    assert found[0].labels == (("team", "team1"),)


async def test_a_stretch_of_time_is_found_by_an_index(
    facts: StoredFacts, database: str, tmp_path: Path
) -> None:
    await keep(database, tmp_path, some_calls(2_000, seed=4))
    query = alert_windows.sums(Asked(START, START + HOUR / 60))
    opened = AlertDatabase(parse(database, tmp_path))
    if parse(database, tmp_path).engine is Engine.POSTGRESQL:
        await opened.done(text("ANALYZE model_requests"))
    async with opened.changing() as db:
        bound = query.compile(db.engine.sync_engine, compile_kwargs={"literal_binds": True})
        explain = "EXPLAIN " if db.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
        plan = "\n".join(str(tuple(row)) for row in await db.execute(text(explain + str(bound))))
    await opened.close()
    assert "Index" in plan or "USING INDEX" in plan
    assert "SCAN model_requests" not in plan


async def test_the_spool_of_this_machine(facts: StoredFacts, tmp_path: Path) -> None:
    found = await facts.spool()
    assert (found.waiting, found.oldest_age_s) == (0, 0)
    ledger = await started(tmp_path)
    ledger.tell()
    await ledger.stop(5)
    assert (await facts.spool()).waiting == 0


async def test_without_a_database_nothing_is_known(tmp_path: Path) -> None:
    opened = AlertDatabase(parse("postgresql://u@127.0.0.1:1/d", tmp_path))
    lost, asked = StoredFacts(opened, tmp_path), Asked(START, START + HOUR)
    for question in (lost.calls(asked), lost.spend(asked), lost.hours(asked)):
        with pytest.raises(FactsUnavailable):
            await question
    await opened.close()
