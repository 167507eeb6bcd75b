"""The read side: what the API and the command line ask about recorded calls.

Imports SQLAlchemy and SQLModel (about a second): a process that only takes calls should import it late.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import Row, Select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.address import Address, parse
from storage.engine import TookTooLong, reading_engine
from storage.queries import calls
from storage.queries.calls import MAX_LIMIT, CallFilter, CursorError, Order
from storage.queries.follow import Follower
from storage.queries.whose import look_for
from storage.rollups.question import People, Question, QuestionError, RollupAudit, Totals
from storage.rollups.read import Reader
from storage.rows import COLUMNS, POSTGRES, rows_of
from storage.schema import VERSION_QUERY, Fit, fit
from storage.tables import CallRow, DeadLetterRow
from storage.trouble import trouble_of
from telemetry.record import CallRecord

__all__ = [
    "CallFilter",
    "CallPage",
    "CallRow",
    "CursorError",
    "People",
    "Question",
    "QuestionError",
    "RollupAudit",
    "Store",
    "StoreTooSlow",
    "StoreUnavailable",
    "Totals",
    "pending_row",
]

T = TypeVar("T")
_LOOK_AT_ONCE = 500
_KNOWN: Final = ("estimated_calls", "unpriced_calls", "invalid_calls", "partial_calls")
"""Measures of how far costs are known."""


class StoreUnavailable(Exception):  # noqa: N818
    """The database does not answer, or is not ours to read; the message holds no url."""


class StoreTooSlow(StoreUnavailable):
    """More was asked for than the database finds in the time it has."""


def unavailable(error: BaseException, what: str = "used") -> StoreUnavailable:
    """Of an error of the driver's, in words without values; ``what`` the database cannot be (``read``)."""
    if isinstance(error, TookTooLong):
        return StoreTooSlow(f"the database takes too long: {error}")
    return StoreUnavailable(f"the database cannot be {what}: {trouble_of(error)}")


class CallPage(msgspec.Struct, frozen=True):
    """Calls, newest first, and where the list goes on; ``next_cursor`` is ``None`` at its end."""

    items: list[CallRow]
    next_cursor: str | None


class Honesty(msgspec.Struct, frozen=True):
    """How many calls there are, how far their cost is known, and records no row could be made of."""

    calls: int
    estimated: int
    unpriced: int
    """Those with an impossible usage too."""
    partial: int
    dead_letters: int


class Store:
    """Reads recorded calls from SQLite or PostgreSQL. Every method raises :class:`StoreUnavailable`."""

    def __init__(self, address: Address, engine: AsyncEngine) -> None:
        self._address = address
        self._engine = engine

    @classmethod
    async def open(cls, url: str | None, *, data_dir: Path, timeout_s: float = 10.0) -> Store:
        """A store on ``url`` (none: the SQLite file in ``data_dir``). Connects when first asked something."""
        address = parse(url, data_dir)
        return cls(address, reading_engine(address, timeout_s=timeout_s))

    async def migrate(self) -> None:
        """Bring the schema up to date; creates it where there is none."""
        from storage.migrate import migrate

        try:
            await asyncio.to_thread(migrate, self._address)
        except (SQLAlchemyError, sqlite3.Error, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"the migration failed: {trouble_of(error)}") from error

    async def schema_fit(self) -> Fit:
        """How the database's schema stands to this version."""
        try:
            async with self._engine.connect() as connection:
                found = (await connection.execute(text(VERSION_QUERY))).scalar()
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            trouble = trouble_of(error)
            if "alembic_version" in trouble:  # there is no such table
                return Fit.BEHIND
            raise unavailable(error, "read") from error
        return fit(found)

    async def get_call(self, call_id: str) -> CallRow | None:
        """The call of that id, or ``None``."""
        query = calls.one(call_id)
        if query is None:
            return None
        rows = await self._rows(query)
        return served(dict(rows[0]._mapping)) if rows else None

    async def list_calls(
        self,
        wanted: CallFilter | None = None,
        cursor: str | None = None,
        limit: int = 50,
        order: Order = Order.STARTED,
    ) -> CallPage:
        """One page of calls, newest first. Raises :class:`CursorError`; ``limit`` is held within 1 and 1000.

        In the order of recording there is one page, of the last :data:`storage.queries.calls.LATELY` calls.
        """
        limit = max(1, min(limit, MAX_LIMIT))
        if order is Order.RECORDED:
            dialect = self._engine.dialect.name
            found = await self._rows(calls.recorded_lately(wanted or CallFilter(), limit, dialect))
            return CallPage([served(dict(row._mapping)) for row in found], None)
        rows = await self._page(wanted or CallFilter(), cursor, limit + 1)
        items = [served(dict(found._mapping)) for found in rows[:limit]]
        more = len(rows) > limit
        return CallPage(items, calls.make_cursor(items[-1].id) if more else None)

    async def _page(self, wanted: CallFilter, cursor: str | None, limit: int) -> list[Row[Any]]:
        look = look_for(wanted)
        parts = None if look is None else look.parts(await self._rows(look.query()))
        return await self._rows(calls.page(wanted, cursor, limit, self._engine.dialect.name, parts))

    async def newest(self) -> int:
        """The ``seq`` of the call written last; 0 if there is none."""
        found = await self._rows(calls.newest_number())
        return int(found[0].seq) if found else 0

    async def follow(
        self,
        wanted: CallFilter | None = None,
        *,
        after: int | None = None,
        poll_s: float = 0.5,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> AsyncIterator[CallRow]:
        """Calls as they are written, each once, for ever. ``after`` is the ``seq`` to go on from; none: from now."""
        if after is None:
            after = await self.newest()
        follower = Follower(after)
        while True:
            look = calls.numbers(follower.after, follower.holes, _LOOK_AT_ONCE)
            found = [seen.seq for seen in await self._rows(look)]
            follower.seen(found, clock())
            if found:
                fresh_rows = calls.numbered(wanted or CallFilter(), found, self._engine.dialect.name)
                for fresh in await self._rows(fresh_rows):
                    yield served(dict(fresh._mapping))
            if len(found) < _LOOK_AT_ONCE:
                await pause(poll_s)

    async def written_after(self, wanted: CallFilter, after: int, limit: int) -> list[CallRow]:
        """The first calls that were written after the one with that ``seq``."""
        found = await self._rows(calls.written_after(wanted, after, limit, self._engine.dialect.name))
        return [served(dict(row._mapping)) for row in found]

    async def honesty(self, since: datetime) -> Honesty:
        """How many calls there are since then, by the sums of them: rows may be too many to be counted."""
        totals = await self.totals(Question(since=since, measures=_KNOWN))
        known = totals.lines[0].sums if totals.lines else dict.fromkeys(("calls", *_KNOWN), 0)
        letters = await self._rows(calls.count_letters())
        return Honesty(
            known["calls"],
            known["estimated_calls"],
            known["unpriced_calls"] + known["invalid_calls"],
            known["partial_calls"],
            int(letters[0].number),
        )

    async def dead_letters(self, limit: int = 100) -> list[DeadLetterRow]:
        """Records no row could be made of, newest first (``storage.deadletters.retry`` tries them again)."""
        rows = await self._rows(calls.dead_letters(limit))
        return [DeadLetterRow(**found._mapping) for found in rows]

    async def totals(self, question: Question) -> Totals:
        """Sums over many calls (:mod:`storage.rollups.read`). Raises :class:`QuestionError` too."""
        return await self._answered(Reader(self._engine).totals(question))

    async def rollup_audit(self) -> RollupAudit | None:
        """What the last audit of the rollups found, if there was one."""
        return await self._answered(Reader(self._engine).audit())

    async def people(self, question: Question) -> list[People]:
        """How many users and sessions there were. Raises :class:`QuestionError` too."""
        return await self._answered(Reader(self._engine).people(question))

    async def _answered(self, reading: Awaitable[T]) -> T:
        try:
            return await reading
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise unavailable(error, "read") from error

    async def _rows(self, query: Select[Any]) -> list[Row[Any]]:
        try:
            async with self._engine.connect() as connection:
                return list((await connection.execute(query)).all())
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise unavailable(error, "read") from error

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


def served(values: dict[str, Any]) -> CallRow:
    """Columns as they came from the database as the row the API serves."""
    raw = values.get("usage_raw")
    values["usage_raw"] = None if raw is None else bytes(raw).decode("utf-8", "replace")
    return CallRow.model_construct(**values)


def pending_row(record: CallRecord) -> CallRow:
    """A record that is not in the database yet (``Ledger.pending``) as the row it will be; its ``seq`` is 0."""
    values = dict(zip(COLUMNS, rows_of([record], POSTGRES)[0], strict=True))
    for name in ("tags", "attribute_sources", "finish_reasons", "usage_also"):
        if values[name] is not None:
            values[name] = msgspec.json.decode(values[name])
    return served(values | {"seq": 0})
