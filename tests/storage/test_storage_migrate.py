"""Migrations: the tables the code expects, once, whole, and never against a newer schema."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

from storage.address import Engine, parse
from storage.migrate import migrate
from storage.schema import HEAD, Fit, fit
from storage.store import Store
from storage.tables import DeadLetterRow, ModelRequest


class Died(BaseException):
    """Nobody expects it. (A KeyboardInterrupt would also end asyncio's loop and leave a task behind unawaited.)"""


def columns_of(connection: object) -> dict[str, dict[str, bool]]:
    """Nullability of every column of our tables."""
    inspector = inspect(connection)
    return {
        table: {column["name"]: column["nullable"] for column in inspector.get_columns(table)}
        for table in ("model_requests", "dead_letters")
    }


async def test_the_migrated_tables_are_those_of_the_code(tmp_path: Path, database: str) -> None:
    address = parse(database, tmp_path)
    if address.engine is Engine.SQLITE:
        engine = create_engine(f"sqlite:///{address.dsn}")
        with engine.connect() as connection:
            found = columns_of(connection)
        engine.dispose()
    else:
        remote = create_async_engine(address.sqlalchemy_url)
        async with remote.connect() as connection_:
            found = await connection_.run_sync(columns_of)
        await remote.dispose()
    for model in (ModelRequest, DeadLetterRow):
        table = model.__table__  # type: ignore[attr-defined]
        assert found[table.name] == {column.name: column.nullable for column in table.columns}


async def test_two_replicas_that_start_at_once_migrate_once(empty_postgres: str) -> None:
    address = parse(empty_postgres, Path())
    await asyncio.gather(*[asyncio.to_thread(migrate, address) for _ in range(3)])
    db = await asyncpg.connect(empty_postgres)
    assert await db.fetch("SELECT version_num FROM alembic_version") == [(HEAD,)]
    await db.close()


def test_two_processes_on_one_sqlite_file_migrate_once(tmp_path: Path) -> None:
    address = parse(f"sqlite:///{tmp_path}/new.db", tmp_path)
    errors: list[BaseException] = []

    def run() -> None:
        try:
            migrate(address, 20)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    db = sqlite3.connect(tmp_path / "new.db")
    assert db.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]
    db.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_migration_that_dies_half_way_leaves_nothing_and_the_next_one_succeeds(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = request.getfixturevalue("empty_postgres") if kind == "postgres" else f"sqlite:///{tmp_path}/half.db"
    address = parse(url, tmp_path)

    def die(*_args: object, **_options: object) -> None:
        raise Died

    monkeypatch.setattr("alembic.op.create_index", die)
    with pytest.raises(Died):
        await asyncio.to_thread(migrate, address)
    monkeypatch.undo()
    store = await Store.open(url, data_dir=tmp_path)
    assert await store.schema_fit() is Fit.BEHIND
    async with store._engine.connect() as connection:
        names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    assert names == []
    await store.migrate()
    assert await store.schema_fit() is Fit.CURRENT
    async with store._engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM model_requests"))).scalar() == 0
    await store.close()


@pytest.mark.parametrize(
    ("found", "verdict"), [(HEAD, Fit.CURRENT), (None, Fit.BEHIND), ("9999", Fit.TOO_NEW), ("", Fit.TOO_NEW)]
)
def test_a_version_we_do_not_know_is_a_newer_one(found: str | None, verdict: Fit) -> None:
    assert fit(found) is verdict
