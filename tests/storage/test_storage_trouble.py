"""What a database's errors are called: enough to act on, and never a value, a url or a password."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from storage.address import parse
from storage.schema import Fit
from storage.store import Store, StoreUnavailable
from storage.trouble import trouble_of


async def failing(url: str, statement: str) -> BaseException:
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            await connection.execute(text(statement))
    except (SQLAlchemyError, OSError) as error:
        return error
    finally:
        await engine.dispose()
    raise AssertionError("it worked")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 5432)"), "connection refused"),
        (
            OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1'), [Errno 111] x"),
            "connection refused",
        ),
        (TimeoutError(), "no answer in time"),
        (ValueError("invalid DSN postgresql://me:secret@host"), "ValueError"),
        (sqlite3.OperationalError("database is locked"), "database is locked"),
    ],
)
def test_what_the_system_says(error: BaseException, words: str) -> None:
    assert trouble_of(error) == words


async def test_the_error_of_the_driver_is_found_behind_what_wraps_it(tmp_path: Path, postgres: str) -> None:
    (tmp_path / "letter.txt").write_text("this is no database, and never was one")
    found = await failing(f"sqlite+aiosqlite:///{tmp_path}/letter.txt", "SELECT 1 FROM x")
    assert trouble_of(found) == "file is not a database"
    url = parse(postgres, tmp_path).sqlalchemy_url
    assert trouble_of(await failing(url, "SELECT 1 FROM nowhere")) == 'relation "nowhere" does not exist'


async def test_a_text_that_repeats_a_value_is_left_out(tmp_path: Path, postgres: str) -> None:
    url = parse(postgres, tmp_path).sqlalchemy_url
    found = await failing(url, "SELECT CAST('sk-very-secret' AS integer)")
    assert isinstance(found, SQLAlchemyError)
    assert "sk-very-secret" in str(found)
    assert trouble_of(found) == "InvalidTextRepresentationError"
    damaged = "SELECT CAST(x'736b2d736563726574ff' AS text) AS a"
    found = await failing(f"sqlite+aiosqlite:///{tmp_path}/w.db", damaged)
    assert "sk-secret" in str(found)
    assert trouble_of(found) == "Could not decode to UTF-8 column 'a'"


async def test_a_role_that_does_not_exist_is_named(postgres: str) -> None:
    with pytest.raises(asyncpg.PostgresError) as raised:
        await asyncpg.connect(postgres, user="stranger")
    assert "stranger" in trouble_of(raised.value)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (None, "data/weighbridge.db"),
        ("sqlite:////var/w.db", "/var/w.db"),
        ("postgresql://me:s3cret@db.internal:5433/wb?sslmode=require", "db.internal:5433/wb"),
        ("postgresql+asyncpg://db/wb", "db/wb"),
        ("postgresql:///wb?host=/run/postgresql&password=s3cret", "/run/postgresql/wb"),
        ("postgresql:///wb", "localhost/wb"),
    ],
)
def test_a_place_is_told_without_who_asks_and_how(url: str | None, place: str) -> None:
    assert parse(url, Path("data")).place == place


async def test_a_file_that_is_no_database_is_not_one_that_is_behind(tmp_path: Path) -> None:
    (tmp_path / "weighbridge.db").write_text("this is no database, and never was one")
    store = await Store.open(None, data_dir=tmp_path)
    for ask in (store.schema_fit, store.migrate):
        with pytest.raises(StoreUnavailable, match="file is not a database"):
            await ask()
    await store.close()


async def test_tables_of_nobody_are_behind(tmp_path: Path, empty_postgres: str) -> None:
    for url in (f"sqlite:///{tmp_path}/new.db", empty_postgres):
        sqlite3.connect(tmp_path / "new.db").close()
        store = await Store.open(url, data_dir=tmp_path)
        assert await store.schema_fit() is Fit.BEHIND
        await store.close()
