"""Compaction loses nothing and doubles nothing: killed at any statement, beside writers, readers and another one."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig.filling import fills_a_database
from rig.ledger import STARTED_MS, record
from rig.rollups import (
    DAY_MS,
    FIRST_DAY,
    HOUR_MS,
    NOW,
    Killed,
    emptied,
    engine_of,
    in_rollups,
    in_rows,
    killed_at,
    records,
    target_of,
    written,
)
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.address import parse
from storage.rollups import compaction, state
from storage.rollups.care import tend
from storage.rollups.compaction import Compacted, compact
from storage.rollups.contents import lines_between
from storage.rollups.question import Question
from storage.rollups.read import Reader
from storage.rollups.tables import DAYS, DELTAS, HOURS
from storage.rollups.tally import by_day
from storage.rollups.transactions import Stale, change, generation, snapshot
from telemetry.record import CallRecord


async def days_are_the_hours_of_closed_days(engine: AsyncEngine) -> None:
    async with snapshot(engine) as connection:
        closed = (await state.numbers(connection)).get(state.CLOSED_DAY, 0)
        hours = await lines_between(connection, HOURS, 0, closed * 24)
        assert await lines_between(connection, DAYS, 0, 2**30) == by_day(hours.items())


@fills_a_database(6)
@given(
    batches=st.lists(st.lists(records(), min_size=1, max_size=12), min_size=1, max_size=5),
    later=st.lists(st.integers(0, 100), min_size=5, max_size=5),
)
def test_what_is_compacted_is_what_was_written(
    database: str, batches: list[list[CallRecord]], later: list[int]
) -> None:
    async def hold() -> None:
        await emptied(database)
        async with engine_of(database) as engine:
            for batch, hours in zip(batches, sorted(later), strict=False):
                await written(database, batch, batch[:3])
                await compact(engine, NOW - timedelta(hours=70 - hours))
                assert await in_rollups(engine) == await in_rows(engine)
                await days_are_the_hours_of_closed_days(engine)

    asyncio.run(hold())


async def test_killed_at_any_statement_nothing_is_lost_or_doubled(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "AT_ONCE", 2)
    calls = [record(number, ms=STARTED_MS - number * 12 * HOUR_MS) for number in range(4)]
    await written(database, *[[one] for one in calls], calls)
    async with engine_of(database) as engine:
        truth = await in_rows(engine)
        for statement in count():
            try:
                with killed_at(engine, statement):
                    await compact(engine, NOW)
                break
            except Killed:
                assert await in_rollups(engine) == truth
                await days_are_the_hours_of_closed_days(engine)
                await emptied(database)
                await written(database, *[[one] for one in calls], calls)
        assert statement > 20
        assert await in_rollups(engine) == truth


async def test_writers_readers_and_two_compactions_at_once(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "AT_ONCE", 3)
    chance, total, seen = random.Random(4), 600, []
    calls = [record(n, ms=STARTED_MS - chance.randrange(50) * HOUR_MS) for n in range(total)]
    done = asyncio.Event()

    async def write(part: list[CallRecord]) -> None:
        def all_of_it() -> None:
            target = target_of(database)
            for at in range(0, len(part), 10):
                target.write(part[at : at + 15])  # five of them again in the next batch
            target.close()

        await asyncio.to_thread(all_of_it)

    async def keep_compacting(engine: AsyncEngine) -> None:
        while not done.is_set():
            try:
                await compact(engine, NOW)
            except Stale:
                continue

    async def keep_reading(engine: AsyncEngine) -> None:
        reader = Reader(engine, lambda: NOW)
        while not done.is_set():
            lines = (await reader.totals(Question(since=NOW - timedelta(days=9)))).lines
            seen.append(lines[0].sums["calls"] if lines else 0)

    async with engine_of(database) as engine, engine_of(database) as other:
        others = [asyncio.create_task(work) for work in (
            keep_compacting(engine), keep_compacting(other), keep_reading(engine)
        )]  # fmt: skip
        await asyncio.gather(write(calls[: total // 2]), write(calls[total // 2 :]))
        await asyncio.sleep(0)
        done.set()
        await asyncio.gather(*others)
        await compact(engine, NOW)
        assert await in_rollups(engine) == await in_rows(engine)
        await days_are_the_hours_of_closed_days(engine)
        async with engine.connect() as connection:
            assert (await connection.execute(select(func.count()).select_from(DELTAS))).scalar() == 0
    assert seen == sorted(seen), "sums never go back"
    assert seen[-1] <= total


async def test_writers_that_never_pause_do_not_keep_it_for_ever(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for it (an erasure, the other jobs) waits for what was there, not for what comes."""
    plain, written_meanwhile = compaction._fold, 0

    async def beside_a_writer(engine: AsyncEngine) -> int:
        nonlocal written_meanwhile
        folded = await plain(engine)
        await written(database, [record()])
        written_meanwhile += 1
        assert written_meanwhile < 20
        return folded

    monkeypatch.setattr(compaction, "AT_ONCE", 3)
    monkeypatch.setattr(compaction, "_fold", beside_a_writer)
    for _ in range(7):
        await written(database, [record()])
    async with engine_of(database) as engine:
        assert await compaction.fold(engine) >= 7
        assert await in_rollups(engine) == await in_rows(engine)


async def test_a_day_is_closed_two_hours_after_its_end_and_late_calls_reach_it(database: str) -> None:
    begin = NOW.replace(hour=0, minute=0, second=0)
    async with engine_of(database) as engine:
        await written(database, [record(1), record(2, ms=STARTED_MS - 3 * DAY_MS)])
        assert await compact(engine, begin + timedelta(hours=25)) == Compacted(1, 1)
        assert await compact(engine, begin + timedelta(hours=26)) == Compacted(0, 1)
        assert await compact(engine, begin + timedelta(hours=49)) == Compacted(0, 0)
        await written(
            database, [record(3, ms=STARTED_MS - DAY_MS), record(4), record(5, ms=STARTED_MS - 40 * DAY_MS)]
        )
        assert await compact(engine, begin + timedelta(hours=49)) == Compacted(1, 0)
        async with snapshot(engine) as connection:
            lines = await lines_between(connection, DAYS, 0, 2**30)
        await days_are_the_hours_of_closed_days(engine)
    calls = {day - FIRST_DAY: line.sums[0] for (day, _), line in lines.items()}
    assert calls == {-40: 1, -3: 1, -1: 1, 0: 2}


async def test_a_change_computed_from_an_old_snapshot_is_not_made(database: str) -> None:
    async with engine_of(database) as engine:
        async with snapshot(engine) as connection:
            before = await generation(connection)
        async with change(engine, before) as connection:
            await state.put(connection, "test", 1)
        with pytest.raises(Stale):
            async with change(engine, before) as connection:
                await state.put(connection, "test", 2)
        async with snapshot(engine) as connection:
            assert (await state.numbers(connection))["test"] == 1


async def test_there_is_nothing_to_tend_before_there_is_a_database(tmp_path: Path) -> None:
    assert await tend(parse(None, tmp_path), NOW) is None
    assert list(tmp_path.iterdir()) == []


async def test_the_leaders_job_tends(database: str, tmp_path: Path) -> None:
    await written(database, [record(1)])
    assert await tend(parse(database, tmp_path), NOW) == Compacted(1, 0)
