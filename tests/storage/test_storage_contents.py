"""Captured contents on both databases: kept once, found by call, forgotten by age, overwritten when they go."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import inspect

from gateway.upkeep import Keeping, upkeep
from storage.address import Engine, parse
from storage.contents.keep import COLUMNS, content_of, keep, mode_of
from storage.contents.model import Absence, Content, Piece
from storage.contents.tables import CONTENTS
from storage.control import ControlDatabase, control_of
from storage.engine import reading_engine
from storage.privacy.erased import Erased

NOW = datetime(2026, 11, 20, tzinfo=UTC)
DAY_MS = 86_400_000


def content(call_id: str = "c1", days: int = 0, text: str = "said", tenant: str = "acme") -> Content:
    at = int(NOW.timestamp() * 1000) - days * DAY_MS
    answer = Piece("none", 9, absent=Absence.OMITTED)
    return Content(tenant, call_id, at, "search", "ada", None, Piece("full", 7, text, "d", True), answer)


@pytest.fixture
async def db(database: str, tmp_path: Path) -> AsyncIterator[ControlDatabase]:
    opened = control_of(parse(database, tmp_path))
    yield opened
    await opened.close()


async def test_what_is_kept_comes_back_and_only_once(db: ControlDatabase) -> None:
    odd = content(text="nul \0 and half \ud83d a sign")
    erased = Erased()
    assert await keep(db, [odd, content("c2")], erased) == 2
    assert await keep(db, [content(text="another")], erased) == 1
    assert await content_of(db, "c2") == content("c2")
    found = await content_of(db, "c1")
    assert found == content(text="nul \ufffd and half ? a sign")
    assert await content_of(db, "c3") is None
    assert await mode_of(db, "c1") == "full"
    assert await mode_of(db, "c3") is None


async def test_the_table_is_that_of_the_code(database: str, tmp_path: Path) -> None:
    engine = reading_engine(parse(database, tmp_path))
    async with engine.connect() as connection:
        found = await connection.run_sync(
            lambda sync: {one["name"]: one["nullable"] for one in inspect(sync).get_columns(CONTENTS.name)}
        )
    await engine.dispose()
    assert found == {column.name: column.nullable for column in CONTENTS.columns}
    assert tuple(found) == COLUMNS


async def test_old_ones_are_forgotten_and_no_others(
    db: ControlDatabase, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.contents.retention.SLICE", 3)
    await keep(db, [content(f"c{days:02d}", days) for days in range(20)], Erased())
    keeping = Keeping(calls=90, contents=10)
    (job,) = [
        one
        for one in upkeep(
            parse(database, tmp_path), tmp_path, lambda: keeping, lambda: NOW + timedelta(hours=1)
        )
        if one.name == "retention of contents"
    ]
    assert await job.run() == "10 contents deleted"
    assert await job.run() is None
    left = [row[0] for row in await db.fetch("SELECT call_id FROM call_contents ORDER BY 1")]
    assert left == [f"c{days:02d}" for days in range(10)]


async def test_what_goes_is_overwritten(sqlite: str, tmp_path: Path) -> None:
    address = parse(sqlite, tmp_path)
    db = control_of(address)
    await keep(db, [content(f"c{one}", 50, "the planted words " * 200) for one in range(300)], Erased())
    await db.close()
    jobs = {one.name: one for one in upkeep(address, tmp_path, lambda: Keeping(contents=10), lambda: NOW)}
    assert await jobs["retention of contents"].run() == "300 contents deleted"
    with closing(sqlite3.connect(address.dsn)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"planted words" not in Path(address.dsn).read_bytes()


async def test_the_table_can_be_opened_to_readers_and_shows_each_their_own(
    postgres: str, tmp_path: Path
) -> None:
    """Not granted, and if somebody grants it: narrowed."""
    address = parse(postgres, tmp_path)
    assert address.engine is Engine.POSTGRESQL
    owner = await asyncpg.connect(address.dsn)
    db = control_of(address)
    await keep(db, [content("c1"), content("c2", tenant="rival")], Erased())
    await db.close()
    await owner.execute(
        "INSERT INTO database_readers (role_name, tenant_id) VALUES ('content_reader', 'rival')"
    )
    await owner.execute("CREATE ROLE content_reader IN ROLE weighbridge_reader")
    try:
        async with owner.transaction():
            await owner.execute("SET LOCAL ROLE content_reader")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with owner.transaction():
                    await owner.fetch("SELECT * FROM call_contents")
        await owner.execute("GRANT SELECT ON call_contents TO content_reader")
        async with owner.transaction():
            await owner.execute("SET LOCAL ROLE content_reader")
            assert [tuple(row) for row in await owner.fetch("SELECT call_id FROM call_contents")] == [("c2",)]
    finally:
        await owner.execute("DROP OWNED BY content_reader")
        await owner.execute("DROP ROLE content_reader")
        await owner.close()
