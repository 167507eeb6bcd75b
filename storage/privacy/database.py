"""The database as erasing and telling use it: long looks that lock nothing, short changes that leave nothing behind."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Column, ColumnElement, Row, Table, tuple_
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.address import Address, Engine
from storage.budgets.model import short
from storage.engine import reading_engine, writing_engine
from storage.sqlite_file import REWRITE_TIMEOUT_S, empty_log, write_anew
from storage.store import unavailable
from storage.trouble import trouble_of

TIMEOUT_S = 600.0
"""A look at every call may take its time."""
AT_ONCE = 500
REWRITTEN = 1 << 30
"""Bytes of the largest SQLite file that is written anew after an erasure: some five seconds, in which writers wait."""
_TROUBLE = (SQLAlchemyError, OSError, TimeoutError)

_logger = logging.getLogger("weighbridge.storage")


class Person(msgspec.Struct, frozen=True):
    """Whom it is about."""

    ids: tuple[str, ...]
    """The id, and what it is kept as where ids are hashed."""
    tenant: str | None = None
    """``None``: in every tenant."""

    @property
    def spellings(self) -> tuple[str, ...]:
        """The ids, and as accounts of budgets name them where they are long."""
        return tuple(dict.fromkeys((*self.ids, *map(short, self.ids))))

    def is_one(self, value: str | None) -> bool:
        """Is this their id?"""
        return value in self.ids

    def conditions(self, table: Table, *columns: str) -> list[ColumnElement[bool]]:
        """Rows of the table that have the id in one of the columns."""
        named: list[ColumnElement[bool]] = [table.c[column].in_(self.ids) for column in columns]
        found = [named[0] if len(named) == 1 else named[0] | named[1]]
        return found if self.tenant is None else [*found, table.c.tenant_id == self.tenant]


class PrivateDatabase:
    """Two engines, connected when first used. Every method raises :class:`StoreUnavailable`."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.reading = reading_engine(address, timeout_s=TIMEOUT_S, pool_size=2)
        self.writing = writing_engine(address, timeout_s=TIMEOUT_S)

    @property
    def dialect(self) -> str:
        """Its name."""
        return self.reading.dialect.name

    async def rows(self, query: Any) -> list[Row[Any]]:
        """What a query finds."""
        try:
            async with self.reading.connect() as db:
                return list((await db.execute(query)).all())
        except _TROUBLE as error:
            raise unavailable(error) from error

    async def slices(self, query: Any, *keys: Column[Any]) -> AsyncIterator[Sequence[Row[Any]]]:
        """All that a query finds, some hundred rows at a time, in the order of ``keys``, which it selects.

        Together the keys are different for every row.
        """
        after: tuple[Any, ...] | None = None
        while True:
            beyond = query if after is None else query.where(_beyond(keys, after))
            found = await self.rows(beyond.order_by(*keys).limit(AT_ONCE))
            if found:
                yield found
            if len(found) < AT_ONCE:
                return
            after = tuple(getattr(found[-1], key.name) for key in keys)

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[AsyncConnection]:
        """One transaction."""
        try:
            async with self.writing.begin() as db:
                yield db
        except _TROUBLE as error:
            raise unavailable(error) from error

    async def done(self, statement: Any) -> int:
        """Carry one statement out; how many rows it changed."""
        async with self.changing() as db:
            return int((await db.execute(statement)).rowcount)

    async def let_go(self) -> bool:
        """Write SQLite's file anew, up to :data:`REWRITTEN`, and take what was overwritten out of its log too.

        What is deleted is overwritten, but copies stay in unused parts of pages whose rows had moved. Writers wait
        meanwhile, and calls do not. Returns whether both were done; in PostgreSQL nothing is to do.
        """
        if self.address.engine is not Engine.SQLITE:
            return True
        return await asyncio.to_thread(_written_anew, Path(self.address.dsn))

    async def close(self) -> None:
        """Close every connection."""
        await self.reading.dispose()
        await self.writing.dispose()


def _beyond(keys: Sequence[Column[Any]], after: Sequence[Any]) -> ColumnElement[bool]:
    if len(keys) == 1:
        first: ColumnElement[bool] = keys[0] > after[0]
        return first
    found: ColumnElement[bool] = tuple_(*keys) > tuple_(*after)
    return found


def _written_anew(path: Path) -> bool:
    try:
        is_small = path.stat().st_size <= REWRITTEN
        (write_anew if is_small else empty_log)(path, REWRITE_TIMEOUT_S)
    except (OSError, sqlite3.Error) as error:  # no room on the disk, or somebody never lets go
        stays = "copies of what was deleted may stay in %s and its log (%s); 'weighbridge db rewrite' takes them out"
        _logger.warning(stays, path, trouble_of(error))
        return False
    return is_small
