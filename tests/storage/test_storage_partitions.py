"""Monthly partitions: made ahead, found by the id alone, and strays find their way home."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig.ledger import call_id, config, record, started

from storage.address import parse
from storage.ledger import Ledger
from storage.partitions import Month, ensure, needed
from storage.store import CallFilter, Store
from storage.targets.postgres import PostgresTarget

NOVEMBER = datetime(2026, 11, 21, tzinfo=UTC)


def ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000


async def partition_of(db: asyncpg.Connection, number: int, moment: datetime) -> str:
    query = "SELECT tableoid::regclass::text FROM model_requests WHERE id = $1"
    return str(await db.fetchval(query, call_id(number, ms(moment))))


@given(st.integers(1990, 2200), st.integers(1, 12), st.integers(-40, 40))
def test_months_count_like_a_calendar(year: int, month: int, steps: int) -> None:
    there = Month(year, month).plus(steps)
    assert 1 <= there.month <= 12
    assert (there.year * 12 + there.month) - (year * 12 + month) == steps
    assert Month.of(there.begin) == there


def test_the_turn_of_the_year_is_prepared() -> None:
    assert [month.partition for month in needed(NOVEMBER)] == [
        "model_requests_y2026m10",
        "model_requests_y2026m11",
        "model_requests_y2026m12",
        "model_requests_y2027m01",
    ]


async def test_rows_land_in_their_month_and_strays_move_when_it_is_made(postgres: str) -> None:
    target = PostgresTarget(parse(postgres, Path()), now=lambda: NOVEMBER)
    moments = {1: datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC), 2: datetime(2026, 12, 1, tzinfo=UTC)}
    stray = datetime(2027, 3, 5, tzinfo=UTC)
    records = [record(number, ms=ms(moment)) for number, moment in (moments | {3: stray}).items()]

    def write() -> list[int]:
        target.connect()
        counts = [target.write(records), target.write(records)]
        target.close()
        return counts

    assert await asyncio.to_thread(write) == [3, 0], "the same ids again are no new rows, in any partition"
    db = await asyncpg.connect(postgres)
    assert await partition_of(db, 1, moments[1]) == "model_requests_y2026m11"
    assert await partition_of(db, 2, moments[2]) == "model_requests_y2026m12"
    assert await partition_of(db, 3, stray) == "model_requests_default"
    assert "model_requests_y2027m03" in await ensure(db, datetime(2027, 2, 1, tzinfo=UTC))
    assert await partition_of(db, 3, stray) == "model_requests_y2027m03"
    assert await ensure(db, datetime(2027, 2, 1, tzinfo=UTC)) == []
    await db.close()

    def again() -> int:
        target.connect()
        count = target.write(records)
        target.close()
        return count

    assert await asyncio.to_thread(again) == 0, "a moved row is still the same row"
    store = await Store.open(postgres, data_dir=Path())
    found = [await store.get_call(one.id) for one in records]
    page = await store.list_calls(CallFilter(since=moments[2], until=stray))
    await store.close()
    assert [row.started_at for row in found if row is not None] == [*moments.values(), stray]
    assert [item.id for item in page.items] == [records[1].id]


async def test_a_writer_makes_next_months_partitions_when_the_month_turns(postgres: str) -> None:
    clock = [NOVEMBER]
    target = PostgresTarget(parse(postgres, Path()), now=lambda: clock[0])

    def write() -> None:
        target.connect()
        target.write([record(1)])
        clock[0] = datetime(2027, 1, 1, tzinfo=UTC)
        target.write([record(2)])
        target.close()

    await asyncio.to_thread(write)
    db = await asyncpg.connect(postgres)
    assert await db.fetchval("SELECT to_regclass('model_requests_y2027m03')") is not None
    await db.close()


async def test_two_replicas_make_the_same_partitions_at_once(postgres: str) -> None:
    pair = [await asyncpg.connect(postgres) for _ in range(2)]
    made = await asyncio.gather(*[ensure(db, NOVEMBER) for db in pair])
    assert sorted(made[0] + made[1]) == [month.partition for month in needed(NOVEMBER)]
    for db in pair:
        await db.close()


@pytest.mark.parametrize("batches", [3])
async def test_a_companion_sees_only_rows_that_are_really_new(
    tmp_path: Path, database: str, batches: int
) -> None:
    class Counter:
        """Stands for the rollups: writes in the same transaction, once for each new row."""

        def __init__(self) -> None:
            self.seen: list[str] = []
            self.fail = True

        def in_sqlite(self, db: object, inserted: list[object]) -> None:
            self._take(inserted)

        async def in_postgres(self, db: object, inserted: list[object]) -> None:
            self._take(inserted)

        def _take(self, inserted: list[object]) -> None:
            if self.fail:
                self.fail = False
                raise OSError("the companion stumbles once: the whole batch is rolled back")
            self.seen += [getattr(one, "id") for one in inserted]  # noqa: B009

    counter = Counter()
    ledger = Ledger(config(tmp_path, url=database), companions=(counter,))  # type: ignore[arg-type]
    await ledger.start()
    for _ in range(batches):
        for number in (1, 2, 2, 3):
            ledger.closed(record(number))
        assert await ledger.drained(20)
    assert ledger.stats().duplicates == 3 * batches + batches - 3
    await ledger.stop(5)
    assert sorted(counter.seen) == [call_id(number) for number in (1, 2, 3)]
    again = await started(tmp_path, url=database)
    await again.stop(5)


async def test_a_users_calls_are_looked_up_in_every_partition(postgres: str) -> None:
    db = await asyncpg.connect(postgres)
    await ensure(db, NOVEMBER)
    wanted = "SELECT * FROM model_requests WHERE tenant_id = 'acme' AND user_id = 'ada'"
    newest_first = "ORDER BY started_at DESC, id DESC LIMIT 3"
    await db.execute("SET enable_seqscan = off")  # the tables are empty
    plan = [line for (line,) in await db.fetch(f"EXPLAIN {wanted} {newest_first}")]
    partitions = await db.fetch(
        "SELECT inhrelid FROM pg_inherits WHERE inhparent = 'model_requests'::regclass"
    )
    looked_up = [line for line in plan if "user_id_started_at_idx on model_requests" in line]
    assert len(looked_up) == len(partitions) > 1, plan
    await db.close()
