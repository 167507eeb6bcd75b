"""The small tables in SQLite: a connection of its own, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from storage.address import Address, Engine
from storage.control.contract import ControlUnavailable, NoTables, Row, Transaction
from storage.sqlite_file import connect
from storage.trouble import trouble_of


class SqliteControl:
    """See :class:`storage.control.contract.ControlDatabase`."""

    engine = Engine.SQLITE

    def __init__(self, address: Address, timeout_s: float = 10.0, *, durable: bool = True) -> None:
        self._durable = durable
        self._path = Path(address.dsn)
        self._timeout_s = timeout_s
        self._thread = ThreadPoolExecutor(1, "control")
        self._turn = asyncio.Lock()
        self._db: sqlite3.Connection | None = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        async with self._turn:
            done = False
            try:
                await self._call("BEGIN IMMEDIATE")
                yield self
                await self._call("COMMIT")
                done = True
            finally:
                if not done:  # not waited for: who is cancelled twice must not keep the write lock
                    self._thread.submit(self._roll_back)

    async def fetch(self, statement: str, *values: Any) -> list[Row]:
        return (await self._call(statement, *values))[0]

    async def run(self, statement: str, *values: Any) -> int:
        return (await self._call(statement, *values))[1]

    async def _call(self, statement: str, *values: Any) -> tuple[list[Row], int]:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._execute, statement, values)
        except (sqlite3.Error, OSError) as error:
            lacks = isinstance(error, sqlite3.OperationalError) and str(error).startswith("no such ")
            raise (NoTables if lacks else ControlUnavailable)(
                f"the database cannot be used: {trouble_of(error)}"
            ) from error

    def _execute(self, statement: str, values: tuple[Any, ...]) -> tuple[list[Row], int]:
        if self._db is None:
            self._db = connect(self._path, self._timeout_s)
            self._db.execute(f"PRAGMA synchronous={'FULL' if self._durable else 'NORMAL'}")
        cursor = self._db.execute(statement, values)
        return cursor.fetchall(), cursor.rowcount

    def _roll_back(self) -> None:
        """Also what a statement began after nobody waited for it any more."""
        if self._db is not None and self._db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")

    async def close(self) -> None:
        if self._db is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
            self._db = None
        self._thread.shutdown(wait=False)
