"""What a database goes through at once, on both databases: the sums are those of the calls all along."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

from rig.ledger import STARTED_MS, record
from rig.rollups import DAY_MS, HOUR_MS, NOW, engine_of, in_rollups, in_rows, target_of
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.address import parse
from storage.privacy.database import Person
from storage.privacy.erase import erase
from storage.queries.calls import CALLS
from storage.retention import forget
from storage.rollups.care import note_forgotten
from storage.rollups.compaction import compact
from storage.rollups.tables import USERS
from storage.rollups.transactions import Stale, snapshot
from storage.rollups.verify import verify
from telemetry.record import CallRecord

CALLS_WRITTEN, WRITERS, KEPT_DAYS = 480, 3, 20
DAYS_BACK = (0, 1, 2, 19, 20, 21, 75, 76)
"""Half of them are about to be forgotten, the last two with their month."""
BEFORE = NOW - timedelta(days=KEPT_DAYS)
ROUTE = {"policy": "cheapest", "reason": "short", "confidence_ppm": 870_000}


def traffic() -> list[CallRecord]:
    """Calls of some days in no order, by five users in two tenants."""
    chance = random.Random(11)
    return [
        record(
            number,
            ms=STARTED_MS - chance.choice(DAYS_BACK) * DAY_MS - chance.randrange(24) * HOUR_MS,
            who={
                "tenant": chance.choice(["acme", "beta"]),
                "user": f"u{number % 5}",
                "session": f"s{number % 70}",
            },
            route=ROUTE if number % 3 else {},
        )
        for number in range(CALLS_WRITTEN)
    ]


def write(url: str, calls: list[CallRecord]) -> None:
    """As a worker does; its last batch comes twice."""
    target = target_of(url)
    for at in range(0, len(calls), 10):
        target.write(calls[at : at + 10])
    target.write(calls[-10:])
    target.close()


def writers(url: str, calls: list[CallRecord]) -> asyncio.Future[list[None]]:
    """Some at once, each with a part of the calls."""
    return asyncio.gather(
        *[asyncio.to_thread(write, url, calls[number::WRITERS]) for number in range(WRITERS)]
    )


async def test_writers_beside_compaction_erasure_and_retention_leave_sums_exact(
    database: str, tmp_path: Path
) -> None:
    address, calls = parse(database, tmp_path), traffic()
    async with engine_of(database) as engine, engine_of(database) as other:
        writing = writers(database, calls[: CALLS_WRITTEN // 2])
        while not writing.done():
            await stubborn(engine)
            assert (await verify(other)).differences == (), "at any moment"
        await writing
        writing = writers(database, calls[CALLS_WRITTEN // 2 :])
        await erase(address, tmp_path, Person(("u1",), "acme"), "test")
        await writing
        await compact(engine, NOW)
        assert (await verify(engine)).differences == ()
        assert await in_rollups(engine) == await in_rows(engine)
        before = await in_rollups(engine)

        assert await note_forgotten(address, BEFORE)
        await forget(address, BEFORE)
        assert 100 < await count(engine, CALLS) < CALLS_WRITTEN - 100
        late = [record(1000 + number, ms=STARTED_MS - number * DAY_MS) for number in range(3)]
        await asyncio.to_thread(write, database, late)
        await compact(engine, NOW)

        verified = await verify(engine)
        assert verified.differences == ()
        whole_days = sum(
            line.sums[0] for (hour, _), line in (await in_rows(engine)).hours.items() if is_held(hour)
        )
        assert verified.calls == whole_days > len(late)
        after = await in_rollups(engine)
        assert {key: line for key, line in after.hours.items() if not is_held(key[0])} == {
            key: line for key, line in before.hours.items() if not is_held(key[0])
        }, "sums outlive the calls"
        assert sum(line.sums[0] for line in after.hours.values()) == CALLS_WRITTEN + len(late)
        assert await count(engine, USERS, USERS.c.user_id == "u1", USERS.c.tenant_id == "acme") == 0
        assert await count(engine, CALLS, CALLS.c.user_id == "u1", CALLS.c.tenant_id == "acme") == 0


def is_held(hour: int) -> bool:
    """All calls of its day are still there."""
    return hour // 24 > int(BEFORE.timestamp()) * 1000 // DAY_MS


async def stubborn(engine: AsyncEngine) -> None:
    """A round of compaction, unless others were faster all the time."""
    try:
        await compact(engine, NOW)
    except Stale:
        await asyncio.sleep(0)


async def count(engine: AsyncEngine, table: Any, *where: Any) -> int:
    """How many rows."""
    async with snapshot(engine) as connection:
        query = select(func.count()).select_from(table).where(*where)
        return int((await connection.execute(query)).scalar_one())
