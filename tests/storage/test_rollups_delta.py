"""What Python adds up on the way in is what the database makes of the rows; once for each row, however it came."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from alembic import command
from hypothesis import given
from hypothesis import strategies as st
from rig.filling import fills_a_database
from rig.ledger import STARTED_MS, record, started
from rig.rollups import (
    HOUR_MS,
    emptied,
    engine_of,
    in_rollups,
    in_rows,
    records,
    target_of,
    written,
)
from sqlalchemy import create_engine, inspect, select

from storage.address import parse
from storage.deadletters import retry
from storage.migrate import config, migrate
from storage.rollups.delta import decoded, delta_of, encoded
from storage.rollups.from_calls import MEASURED, ROUTE_MEASURED
from storage.rollups.measures import LARGEST, MEASURES, PLACE
from storage.rollups.routes import ROUTE_MEASURES
from storage.rollups.state import REBUILD_WANTED
from storage.rollups.tables import DAYS, DELTAS, GROUPS, HOURS, ROUTES, STATE, USERS
from storage.rollups.transactions import GENERATION
from storage.rows import COLUMNS, SQLITE, rows_of
from storage.targets.contract import DeadLetter, RowRefused
from telemetry.record import CallRecord


async def test_the_migrated_tables_are_those_of_the_code(database: str) -> None:
    async with engine_of(database) as engine, engine.connect() as connection:
        for table in (DELTAS, GROUPS, HOURS, DAYS, USERS, ROUTES, STATE):
            found = await connection.run_sync(
                lambda sync, name=table.name: {
                    column["name"]: column["nullable"] for column in inspect(sync).get_columns(name)
                }
            )
            assert found == {column.name: column.nullable for column in table.columns}


def test_every_measure_has_its_sum_over_rows() -> None:
    assert list(MEASURED) == list(MEASURES)
    assert list(ROUTE_MEASURED) == list(ROUTE_MEASURES)


@fills_a_database(10)
@given(batches=st.lists(st.lists(records(), min_size=1, max_size=25), min_size=1, max_size=4))
def test_deltas_are_the_sums_of_the_rows(database: str, batches: list[list[CallRecord]]) -> None:
    async def hold() -> None:
        await emptied(database)
        again = [one for batch in batches for one in batch][::2]
        await written(database, *batches, again)
        async with engine_of(database) as engine:
            assert await in_rollups(engine) == await in_rows(engine)

    asyncio.run(hold())


@given(st.lists(records(), min_size=1, max_size=20))
def test_a_delta_survives_being_stored(batch: list[CallRecord]) -> None:
    delta = delta_of(batch)
    assert decoded(encoded(delta)) == delta


def test_a_delta_from_before_a_measure_counts_nothing_of_it() -> None:
    delta = delta_of([record(1)])
    (group,), whole = delta.groups, delta_of([record(1)]).groups[0].sums
    group.sums = group.sums[:-2]
    assert decoded(encoded(delta)).groups[0].sums == [*whole[:-2], 0, 0]
    delta.format += 1
    with pytest.raises(msgspec.ValidationError):
        decoded(encoded(delta))


async def test_a_late_row_counts_in_its_own_hour(database: str) -> None:
    await written(database, [record(1)], [record(2, ms=STARTED_MS - 50 * HOUR_MS)])
    async with engine_of(database) as engine:
        found = await in_rollups(engine)
    assert sorted(hour for hour, _ in found.hours) == [STARTED_MS // HOUR_MS - 50, STARTED_MS // HOUR_MS]


async def test_a_refused_batch_leaves_no_delta_and_a_dead_letter_that_becomes_a_row_counts_then(
    database: str,
) -> None:
    good, bad = record(1), record(2, answer={"response_bytes": 2**63})

    def write() -> None:
        target = target_of(database)
        with pytest.raises(RowRefused):
            target.write([good, bad])
        target.write([good])
        target.bury([DeadLetter(record(3), "for the test")])
        target.close()

    def again() -> None:
        target = target_of(database)
        assert retry(target).written == 1
        target.close()

    async with engine_of(database) as engine:
        await asyncio.to_thread(write)
        assert sum(line.sums[0] for line in (await in_rollups(engine)).hours.values()) == 1
        await asyncio.to_thread(again)
        assert sum(line.sums[0] for line in (await in_rollups(engine)).hours.values()) == 2
        assert await in_rollups(engine) == await in_rows(engine)


async def test_the_ledger_of_a_gateway_feeds_them(database: str, tmp_path: Path) -> None:
    ledger = await started(tmp_path, None, url=database)
    for number in range(300):
        ledger.closed(record(number))
    ledger.closed(record(7))
    assert await ledger.drained(20)
    await ledger.stop(5)
    async with engine_of(database) as engine:
        found = await in_rollups(engine)
        assert sum(line.sums[PLACE["calls"]] for line in found.hours.values()) == 300
        assert found == await in_rows(engine)


def test_sums_too_large_for_a_row_do_not_stop_the_rest() -> None:
    huge = record(1, usage={"input": 2**62})
    delta = delta_of([huge, record(2, usage={"input": 2**62})])
    assert decoded(encoded(delta)).groups[0].sums[PLACE["input_tokens"]] == 2**63 > LARGEST


def test_calls_from_before_the_rollups_ask_for_a_rebuild(tmp_path: Path) -> None:
    address = parse(f"sqlite:///{tmp_path}/old.db", tmp_path)
    engine = create_engine(f"sqlite:///{address.dsn}")
    later = ("baseline_nano", "fees_unseen", "largest_input_tokens")
    columns = [name for name in COLUMNS if name not in later]
    values = dict(zip(COLUMNS, rows_of([record(1)], SQLITE)[0], strict=True))
    with engine.begin() as connection:
        settings_ = config()
        settings_.attributes["connection"] = connection
        command.upgrade(settings_, "0002")
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        connection.exec_driver_sql(
            f"INSERT INTO model_requests ({names}) VALUES ({marks})", tuple(values[name] for name in columns)
        )
    migrate(address)
    with engine.connect() as connection:
        found = connection.execute(select(STATE.c.value).where(STATE.c.name == REBUILD_WANTED)).scalars()
        assert list(found) == [1]
    engine.dispose()


def test_an_empty_database_asks_for_nothing(tmp_path: Path) -> None:
    address = parse(f"sqlite:///{tmp_path}/new.db", tmp_path)
    migrate(address)
    engine = create_engine(f"sqlite:///{address.dsn}")
    with engine.connect() as connection:
        assert connection.execute(select(STATE.c.name)).scalars().all() == [GENERATION]
    engine.dispose()
