"""Rollups are held against the calls, every measure of them, and can be made again from the calls at any time."""

from __future__ import annotations

import asyncio
import random
from datetime import date, timedelta
from itertools import count
from typing import Any

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
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.queries.calls import CALLS
from storage.rollups import state
from storage.rollups.compaction import compact
from storage.rollups.erasure import rename_user
from storage.rollups.measures import MEASURES, USER_MEASURES
from storage.rollups.rebuild import Rebuilt, rebuild
from storage.rollups.routes import ROUTE_MEASURES
from storage.rollups.tables import DAYS, DELTAS, HISTOGRAMS, HOURS, ROUTES, USERS
from storage.rollups.transactions import Stale, snapshot
from storage.rollups.verify import Difference, verify
from telemetry.record import CallRecord


async def contents(engine: AsyncEngine) -> list[list[tuple[Any, ...]]]:
    """Every row of every table of sums."""
    async with snapshot(engine) as connection:
        return [
            sorted(tuple(row) for row in await connection.execute(select(table)))
            for table in (HOURS, DAYS, USERS, ROUTES)
        ]


@fills_a_database(6)
@given(batches=st.lists(st.lists(records(), min_size=1, max_size=12), min_size=1, max_size=4))
def test_what_was_recorded_verifies_and_a_rebuild_changes_nothing(
    database: str, batches: list[list[CallRecord]]
) -> None:
    async def hold() -> None:
        await emptied(database)
        async with engine_of(database) as engine:
            for batch in batches:
                await written(database, batch)
                verified = await verify(engine)
                assert verified.differences == ()
                await compact(engine, NOW)
            calls = {call.id for batch in batches for call in batch}
            verified = await verify(engine)
            assert (verified.calls, verified.differences) == (len(calls), ())
            before = await contents(engine)
            assert await rebuild(engine) == Rebuilt(verified.days, len(calls))
            assert await contents(engine) == before

    asyncio.run(hold())


@pytest.fixture
async def compacted(database: str) -> str:
    """Calls of three days in the tables; the last one is still in a delta."""
    route = {"policy": "cheapest", "reason": "short", "confidence_ppm": 870_000}
    calls = [
        record(
            n,
            ms=STARTED_MS - n % 3 * DAY_MS,
            who={"session": f"s{n}", "user": f"u{n % 2}"},
            route=route,
        )
        for n in range(9)
    ]
    await written(database, calls)
    async with engine_of(database) as engine:
        await compact(engine, NOW + timedelta(hours=1))
    await written(database, [record(20, route=route)])
    return database


@pytest.mark.parametrize("table", [HOURS, DAYS], ids=lambda table: table.name)
async def test_one_figure_off_in_one_row_is_found(compacted: str, table: Any) -> None:
    yesterday = FIRST_DAY - 1
    theirs = (table.c.hour // 24 if table is HOURS else table.c.day) == yesterday
    async with engine_of(compacted) as engine:
        for name in (*MEASURES, *HISTOGRAMS):
            async with engine.begin() as connection:
                right = (await connection.execute(select(table.c[name]).where(theirs))).scalar_one()
                wrong = b"\x41\x00" if name in HISTOGRAMS else right + 1
                await connection.execute(update(table).where(theirs).values({name: wrong}))
            only = () if name == MEASURES[0] else (yesterday, yesterday + 1)
            (found,) = (await verify(engine, *only)).differences
            assert (found.table, found.measure, found.groups) == (table.name, name, 1)
            assert found.day == date(2026, 11, 17)
            assert found.rollups == found.rows + 1 or name in HISTOGRAMS
            async with engine.begin() as connection:
                await connection.execute(update(table).where(theirs).values({name: right}))
        async with engine.begin() as connection:
            await connection.execute(update(table).values(calls=0))
        await rebuild(engine, yesterday, yesterday + 1)
        assert date(2026, 11, 17) not in {one.day for one in (await verify(engine)).differences}


async def test_one_figure_off_by_user_is_found(compacted: str) -> None:
    only = (USERS.c.day == FIRST_DAY) & (USERS.c.user_id == "u0")
    async with engine_of(compacted) as engine:
        for name in (*USER_MEASURES, "sessions", "group_ids", "group_sessions"):
            async with engine.begin() as connection:
                right = (await connection.execute(select(USERS.c[name]).where(only))).scalar_one()
                wrong = right + 1 if name in USER_MEASURES else b"12345678" * (1 + (name == "group_sessions"))
                await connection.execute(update(USERS).where(only).values({name: wrong}))
            (found,) = (await verify(engine)).differences
            assert (found.table, found.measure) == ("rollup_users", name)
            async with engine.begin() as connection:
                await connection.execute(update(USERS).where(only).values({name: right}))


async def test_one_figure_off_of_routed_calls_is_found(compacted: str) -> None:
    only = ROUTES.c.day == FIRST_DAY - 1
    async with engine_of(compacted) as engine:
        for name in ROUTE_MEASURES:
            async with engine.begin() as connection:
                right = (await connection.execute(select(ROUTES.c[name]).where(only))).scalar_one()
                await connection.execute(update(ROUTES).where(only).values({name: right + 1}))
            (found,) = (await verify(engine)).differences
            assert (found.table, found.measure) == ("rollup_routes", name)
            assert (found.rows, found.rollups) == (right, right + 1)
            async with engine.begin() as connection:
                await connection.execute(update(ROUTES).where(only).values({name: right}))


async def test_missing_and_surplus_calls_are_found_and_mended(compacted: str) -> None:
    async with engine_of(compacted) as engine:
        async with engine.begin() as connection:
            await connection.execute(delete(DELTAS))
            await connection.execute(
                insert(HOURS).values(
                    tenant_id="acme", hour=0, group_id=(select(func.min(HOURS.c.group_id)).scalar_subquery()),
                    calls=1, durations=b"", ttfts=b"", rates=b"",
                    **{name: 0 for name in MEASURES if name != "calls"},
                )
            )  # fmt: skip
        found = (await verify(engine)).differences
        assert Difference(date(1970, 1, 1), "rollup_hours", "calls", 0, 1, 1) in found
        assert Difference(date(2026, 11, 18), "rollup_hours", "calls", 4, 3, 1) in found
        assert {one.day for one in found} == {date(1970, 1, 1), date(2026, 11, 18)}
        await rebuild(engine)
        assert (await verify(engine)).differences == ()
        assert (await in_rollups(engine)) == (await in_rows(engine))


async def test_a_rebuild_from_nothing_makes_everything(compacted: str) -> None:
    async with engine_of(compacted) as engine:
        before = await in_rollups(engine)
        async with engine.begin() as connection:
            for table in (DELTAS, HOURS, DAYS, USERS, ROUTES):
                await connection.execute(delete(table))
            await state.put(connection, state.REBUILD_WANTED, 1)
        told: list[tuple[date, int]] = []
        assert await rebuild(engine, told=lambda day, calls: told.append((day, calls))) == Rebuilt(3, 10)
        assert await in_rollups(engine) == before
        assert told == [(date(2026, 11, 16), 3), (date(2026, 11, 17), 3), (date(2026, 11, 18), 4)]
        async with snapshot(engine) as connection:
            assert state.REBUILD_WANTED not in await state.numbers(connection)
        assert (await verify(engine)).differences == ()


async def test_days_whose_calls_were_deleted_are_left_alone(compacted: str) -> None:
    async with engine_of(compacted) as engine:
        before = await in_rollups(engine)
        async with engine.begin() as connection:
            await connection.execute(delete(CALLS).where(CALLS.c.id < record(0, ms=STARTED_MS - DAY_MS).id))
            await state.put(connection, state.FORGOTTEN_MS, STARTED_MS - DAY_MS - 1)
        verified = await verify(engine)
        assert (verified.days, verified.calls, verified.differences) == (1, 4, ())
        assert (await rebuild(engine)).days == 1
        assert await in_rollups(engine) == before


async def test_a_rebuild_beside_writers_and_compaction(database: str) -> None:
    chance, total = random.Random(6), 400
    calls = [record(n, ms=STARTED_MS - chance.randrange(50) * HOUR_MS) for n in range(total)]
    done = asyncio.Event()

    def write() -> None:
        target = target_of(database)
        for at in range(0, total, 10):
            target.write(calls[at : at + 10])
        target.close()

    async def keep(work: Any) -> None:
        while not done.is_set():
            try:
                await work()
            except Stale:
                continue

    async with engine_of(database) as engine, engine_of(database) as other:
        tasks = [
            asyncio.create_task(keep(lambda: compact(other, NOW))),
            asyncio.create_task(keep(lambda: rebuild(engine))),
        ]
        await asyncio.to_thread(write)
        done.set()
        await asyncio.gather(*tasks)
        assert await in_rollups(engine) == await in_rows(engine)
        await compact(engine, NOW)
        assert (await verify(engine)).differences == ()
        assert await in_rollups(engine) == await in_rows(engine)


async def test_a_rebuild_killed_at_any_statement_leaves_what_was_there(compacted: str) -> None:
    async with engine_of(compacted) as engine:
        truth = await in_rows(engine)
        for statement in count():
            try:
                with killed_at(engine, statement):
                    await rebuild(engine)
                break
            except Killed:
                assert await in_rollups(engine) == truth
        assert statement > 20
        assert await in_rollups(engine) == truth


async def test_an_erased_user_changes_no_sum(compacted: str) -> None:
    async with engine_of(compacted) as engine:
        async with engine.begin() as connection:
            await connection.execute(update(CALLS).where(CALLS.c.user_id == "u0").values(user_id=None))
            await connection.execute(update(CALLS).where(CALLS.c.user_id == "u1").values(user_id="erased"))
        assert (await verify(engine)).differences == ()
        assert await rename_user(engine, "acme", "u0") == 3
        assert await rename_user(engine, "acme", "u1", "erased") == 3
        assert await rename_user(engine, "beta", "ada") == 0
        assert await in_rollups(engine) == await in_rows(engine)
