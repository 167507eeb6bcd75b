"""Bringing a database's schema up to date.

The whole upgrade is one transaction that first takes a lock: of two processes that migrate at once the second waits
and finds nothing to do, and one that is killed half-way leaves nothing behind.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from storage.address import Address, Engine
from storage.sqlite_file import connect

LOCK_KEY = 0x7765_6967_6862_7264
"""PostgreSQL advisory lock of the migration ("weighbrd")."""


def migrate(address: Address, timeout_s: float = 300.0) -> None:
    """Upgrade to the newest revision; creates the database file or the tables if there are none.

    Blocks; not for the event loop. Raises ``sqlalchemy.exc.SQLAlchemyError``, ``OSError`` or ``TimeoutError``.
    """
    if address.engine is Engine.SQLITE:
        _sqlite(address, timeout_s)
    else:
        asyncio.run(asyncio.wait_for(_postgres(address), timeout_s))


def config() -> Config:
    """Alembic's configuration of our migration scripts."""
    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return settings


def _sqlite(address: Address, timeout_s: float) -> None:
    connect(Path(address.dsn), timeout_s).close()
    engine = create_engine(
        f"sqlite:///{address.dsn}",
        poolclass=NullPool,
        connect_args={"timeout": timeout_s, "isolation_level": None},
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    with engine.begin() as connection:
        _upgrade(connection)


async def _postgres(address: Address) -> None:
    engine = create_async_engine(address.sqlalchemy_url, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    settings = config()
    attributes: dict[str, Any] = settings.attributes
    attributes["connection"] = connection
    command.upgrade(settings, "head")
