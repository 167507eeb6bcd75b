"""Events are kept once each, in both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import inspect, select

from storage.address import parse
from storage.engine import writing_engine
from storage.events import EVENTS, Event, EventKind, EventLog
from storage.privacy.database import Person
from storage.privacy.erase import erase
from storage.quality.retention import forget_events
from storage.store import StoreUnavailable

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def event(message_id: str = "m1", tenant: str = "acme", data: dict[str, Any] | None = None) -> Event:
    return Event(tenant, message_id, EventKind.TRACK, "opened", "ada", None, "s1", NOON, NOON, data)


@pytest.fixture
async def log(database: str, tmp_path: Path) -> AsyncIterator[EventLog]:
    engine = writing_engine(parse(database, tmp_path))
    yield EventLog(engine)
    await engine.dispose()


async def rows(log: EventLog) -> list[Any]:
    async with log._engine.connect() as connection:
        return list((await connection.execute(select(EVENTS).order_by(EVENTS.c.message_id))).all())


async def test_the_migrated_table_is_that_of_the_code(log: EventLog) -> None:
    async with log._engine.connect() as connection:
        found = await connection.run_sync(lambda sync: inspect(sync).get_columns(EVENTS.name))
    assert {one["name"]: one["nullable"] for one in found} == {
        one.name: one.nullable for one in EVENTS.columns
    }


async def test_each_is_kept_once(log: EventLog) -> None:
    assert await log.keep([]) == 0
    assert await log.keep([event("a"), event("b"), event("a")]) == 2
    assert await log.keep([event("b"), event("c"), event("b", tenant="globex")]) == 2
    assert [(row.tenant_id, row.message_id) for row in await rows(log)] in (
        [("acme", "a"), ("acme", "b"), ("globex", "b"), ("acme", "c")],
        [("acme", "a"), ("globex", "b"), ("acme", "b"), ("acme", "c")],
    )


async def test_what_is_in_it_comes_back(log: EventLog) -> None:
    data = {"plan": "gold", "seats": 3, "nested": {"a": [1, None, "ü"]}}
    await log.keep([event("a", data=data), event("b")])
    one, other = await rows(log)
    assert (one.kind, one.name, one.user_id, one.session_id) == ("track", "opened", "ada", "s1")
    assert (one.at, one.received_at, one.data) == (NOON, NOON, data)
    assert other.data is None


async def test_names_from_before_somebody_was_known_do_not_come_back(
    database: str, log: EventLog, tmp_path: Path
) -> None:
    before = msgspec.structs.replace(event("a"), user=None, anonymous="device-7")
    known = msgspec.structs.replace(event("b"), anonymous="device-7")
    await log.keep([before, known])
    report = await erase(parse(database, tmp_path), tmp_path, Person(("ada",)), "a test")
    assert report.done.events == 2
    others = msgspec.structs.replace(event("c"), user="eve", anonymous="device-7")
    assert await log.keep([before, known, others]) == 3
    assert [(row.message_id, row.user_id, row.anonymous_id) for row in await rows(log)] == [
        ("c", "eve", None)
    ]


async def test_old_ones_are_forgotten(database: str, log: EventLog, tmp_path: Path) -> None:
    old = Event("acme", "old", EventKind.TRACK, "e", "ada", None, None, NOON - timedelta(days=9), NOON, None)
    await log.keep([event("a"), old])
    assert await forget_events(parse(database, tmp_path), NOON - timedelta(days=1)) == 1
    assert [row.message_id for row in await rows(log)] == ["a"]


async def test_many_batches_with_the_same_events_at_once(log: EventLog) -> None:
    batch = [event(f"m{number:03d}") for number in range(200)]
    fresh = await asyncio.gather(*[log.keep(batch) for _ in range(4)])
    assert sorted(fresh) == [0, 0, 0, 200]
    assert len(await rows(log)) == 200


async def test_without_a_database_it_says_so(tmp_path: Path) -> None:
    engine = writing_engine(parse(f"sqlite:///{tmp_path}/none.db", tmp_path))
    with pytest.raises(StoreUnavailable):
        await EventLog(engine).keep([event()])
    await engine.dispose()
