"""The database as alerts use it: read without locks, changed in short transactions, one error when it fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Row
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.address import Address
from storage.engine import reading_engine, writing_engine
from storage.store import unavailable

_TROUBLE = (SQLAlchemyError, OSError, TimeoutError)


class AlertDatabase:
    """Two engines: in SQLite one that can write would take the write lock for a look. Connects when first used."""

    def __init__(self, address: Address, *, timeout_s: float = 10.0) -> None:
        self.reading = reading_engine(address, timeout_s=timeout_s, pool_size=2)
        self._writing = writing_engine(address, timeout_s=timeout_s)

    async def rows(self, query: Any) -> list[Row[Any]]:
        """What a query finds. Raises :class:`storage.store.StoreUnavailable`."""
        try:
            async with self.reading.connect() as db:
                return list((await db.execute(query)).all())
        except _TROUBLE as error:
            raise unavailable(error) from error

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[AsyncConnection]:
        """One transaction. Raises :class:`storage.store.StoreUnavailable`."""
        try:
            async with self._writing.begin() as db:
                yield db
        except _TROUBLE as error:
            raise unavailable(error) from error

    async def done(self, statement: Any) -> int:
        """Carry a statement out; how many rows it changed."""
        async with self.changing() as db:
            return int((await db.execute(statement)).rowcount)

    async def close(self) -> None:
        """Close every connection."""
        await self.reading.dispose()
        await self._writing.dispose()
