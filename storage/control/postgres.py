"""The small tables in PostgreSQL: one connection, opened anew after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from storage.address import Address, Engine
from storage.control.contract import Collision, ControlUnavailable, NoTables, Row, Transaction, numbered
from storage.postgres_errors import TROUBLE
from storage.trouble import trouble_of

_LACKS = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError)
_COLLIDED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


class PostgresControl:
    """See :class:`storage.control.contract.ControlDatabase`."""

    engine = Engine.POSTGRESQL

    def __init__(self, address: Address, timeout_s: float = 10.0, *, durable: bool = True) -> None:
        self._durable = durable
        self._dsn = address.dsn
        self._timeout_s = timeout_s
        self._turn = asyncio.Lock()
        self._db: asyncpg.Connection | None = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        async with self._turn:
            try:
                db = await self._connected()
                async with db.transaction():
                    yield _Bound(db)
            except TROUBLE as error:
                raise self._lost(error) from error

    async def fetch(self, statement: str, *values: Any) -> list[Row]:
        async with self._turn:
            try:
                db = await self._connected()
                return list(map(tuple, await db.fetch(numbered(statement), *values)))
            except TROUBLE as error:
                raise self._lost(error) from error

    async def _connected(self) -> asyncpg.Connection:
        if self._db is None or self._db.is_closed():
            self._db = await asyncpg.connect(
                self._dsn,
                timeout=self._timeout_s,
                command_timeout=self._timeout_s,
                server_settings={
                    "application_name": "weighbridge-control",
                    "synchronous_commit": "on" if self._durable else "off",
                },
            )
        return self._db

    def _lost(self, error: BaseException) -> ControlUnavailable:
        broken = not isinstance(error, asyncpg.PostgresError) or isinstance(
            error, asyncpg.PostgresConnectionError
        )
        if self._db is not None and broken:
            self._db.terminate()
            self._db = None
        kind = ControlUnavailable
        if isinstance(error, _LACKS):
            kind = NoTables
        elif isinstance(error, _COLLIDED):
            kind = Collision
        return kind(f"the database cannot be used: {trouble_of(error)}")

    async def close(self) -> None:
        if self._db is not None:
            self._db.terminate()
            self._db = None


class _Bound:
    """Statements within the transaction at hand."""

    engine = Engine.POSTGRESQL

    def __init__(self, db: asyncpg.Connection) -> None:
        self._db = db

    async def fetch(self, statement: str, *values: Any) -> list[Row]:
        return list(map(tuple, await self._db.fetch(numbered(statement), *values)))

    async def run(self, statement: str, *values: Any) -> int:
        done = await self._db.execute(numbered(statement), *values)
        count = str(done).rpartition(" ")[2]
        return int(count) if count.isdigit() else 0
