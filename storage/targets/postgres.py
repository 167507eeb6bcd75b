"""Writing to PostgreSQL: asyncpg on an event loop of its own, inside the writer's thread.

Batches go in as one pipelined prepared statement with RETURNING. COPY into a temporary table measured a third
faster on the server and the same in our process, but it needs a session of its own, which transaction poolers
do not give.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import asyncpg

from storage.address import Address
from storage.mend import encode_anyhow, storable
from storage.partitions import Month, ensure
from storage.postgres_errors import TROUBLE
from storage.privacy.erased import Erased
from storage.rows import COLUMNS, POSTGRES, RowError, rows_of
from storage.schema import DEAD_TABLE, HEAD, TABLE, VERSION_QUERY, Fit, Migrate, fit
from storage.targets.contract import (
    BuriedLetter,
    Companion,
    DeadLetter,
    Outage,
    RowRefused,
    SchemaBehind,
    SchemaTooNew,
)
from storage.trouble import trouble_of
from telemetry.record import CallRecord

T = TypeVar("T")

_INSERT = (
    f"INSERT INTO {TABLE} ({', '.join(COLUMNS)}) VALUES ({', '.join(f'${n + 1}' for n in range(len(COLUMNS)))})"
    " ON CONFLICT (id, started_at) DO NOTHING RETURNING id"
)
_BURY = (
    f"INSERT INTO {DEAD_TABLE} (id, buried_at, reason, record) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
)
_ROW_ERRORS = (
    asyncpg.exceptions.DataError,
    asyncpg.exceptions.IntegrityConstraintViolationError,
    asyncpg.exceptions.ProgramLimitExceededError,
)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class PostgresTarget:
    """One connection to one PostgreSQL database; every operation has a time limit."""

    def __init__(
        self,
        address: Address,
        *,
        migrate: Migrate = Migrate.AUTO,
        timeout_s: float = 10.0,
        companions: Sequence[Companion] = (),
        erased: Callable[[], None] = lambda: None,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._address = address
        self._migrate = migrate
        self._timeout_s = timeout_s
        self._companions = companions
        self._erased = Erased(heard=erased)
        self._now = now
        self._loop: asyncio.AbstractEventLoop | None = None
        self._db: asyncpg.Connection | None = None
        self._partitioned: Month | None = None

    def connect(self) -> None:
        """Connect, bring the schema up to date if that is for us to do, and make partitions."""
        self.close()
        found = self._run(self._open())
        if fit(found) is Fit.BEHIND:
            self._upgrade()
            found = self._run(self._open())
        if fit(found) is Fit.TOO_NEW:
            self.close()
            raise SchemaTooNew(
                f"the database is at schema {found}, made by a newer version; this one knows {HEAD}"
            )
        self._run(self._make_partitions())

    async def _open(self) -> str | None:
        if self._db is not None:
            self._db.terminate()
        self._db = await asyncpg.connect(
            self._address.dsn,
            timeout=self._timeout_s,
            server_settings={"application_name": "weighbridge-writer"},
        )
        try:
            found = await self._db.fetchval(VERSION_QUERY)
        except asyncpg.exceptions.UndefinedTableError:
            return None
        return None if found is None else str(found)

    def _upgrade(self) -> None:
        if self._migrate is Migrate.MANUAL:
            raise SchemaBehind("the database needs a migration: run `weighbridge db migrate`")
        from sqlalchemy.exc import SQLAlchemyError

        from storage.migrate import migrate

        try:
            migrate(self._address)
        except (SQLAlchemyError, OSError, TimeoutError, asyncpg.PostgresError) as error:
            raise Outage(f"the migration failed: {type(error).__name__}") from error

    async def _make_partitions(self) -> None:
        now = self._now()
        month = Month.of(now)
        if month != self._partitioned:
            await ensure(self._connected(), now)
            self._partitioned = month

    def write(self, records: Sequence[CallRecord]) -> int:
        """Insert a batch in one transaction."""
        try:
            rows = rows_of(records, POSTGRES)
        except RowError as error:
            raise RowRefused(str(error)) from error
        except (ValueError, OverflowError) as error:
            raise RowRefused(type(error).__name__) from error
        return self._run(self._write(records, rows))

    async def _write(self, records: Sequence[CallRecord], rows: list[tuple[object, ...]]) -> int:
        await self._make_partitions()
        db = self._connected()
        async with db.transaction():
            spared = await self._erased.in_postgres(db, records)
            if spared is not records:
                records, rows = spared, rows_of(spared, POSTGRES)
            found = await db.fetchmany(_INSERT, rows)
            if self._companions:
                new = {str(line["id"]) for line in found}
                inserted = records if len(new) == len(records) else _first_of_each(records, new)
                for companion in self._companions:
                    await companion.in_postgres(db, inserted)
        return len(found)

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Keep refused records, once each."""
        try:
            self._run(self._bury(letters))
        except RowRefused as error:
            raise Outage(f"dead letters refused: {error}") from error

    async def _bury(self, letters: Sequence[DeadLetter]) -> None:
        now, db = self._now(), self._connected()
        async with db.transaction():
            records = await self._erased.in_postgres(db, [letter.record for letter in letters])
            rows = [
                (storable(record.id), now, storable(letter.reason), encode_anyhow(record))
                for letter, record in zip(letters, records, strict=True)
            ]
            await db.executemany(_BURY, rows)

    def letters(self, after: str, limit: int) -> list[BuriedLetter]:
        """Dead letters in the order of their ids."""
        query = f"SELECT id, reason, record FROM {DEAD_TABLE} WHERE id > $1 ORDER BY id LIMIT $2"
        return [BuriedLetter(*found) for found in self._run(self._connected().fetch(query, after, limit))]

    def unbury(self, ids: Sequence[str]) -> None:
        """Forget dead letters."""
        self._run(self._connected().execute(f"DELETE FROM {DEAD_TABLE} WHERE id = ANY($1)", list(ids)))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end or to the time limit; every failure becomes one of the two kinds the writer knows."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        try:
            return self._loop.run_until_complete(asyncio.wait_for(work, self._timeout_s))
        except _ROW_ERRORS as error:
            raise RowRefused(_reason(error)) from error
        except TimeoutError as error:  # an OSError too: it has to come first
            raise Outage(f"no answer within {self._timeout_s:g} s") from error
        except TROUBLE as error:
            raise Outage(_reason(error)) from error

    def _connected(self) -> asyncpg.Connection:
        if self._db is None:
            raise Outage("not connected")
        return self._db

    def close(self) -> None:
        """Let go at once: a server that hangs must not hold us."""
        if self._db is not None:
            self._db.terminate()
            self._db = None
        if self._loop is not None:
            with contextlib.suppress(OSError):
                self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()
            self._loop = None


def _first_of_each(records: Sequence[CallRecord], ids: set[str]) -> list[CallRecord]:
    found: dict[str, CallRecord] = {}
    for record in records:
        if record.id in ids:
            found.setdefault(record.id, record)
    return list(found.values())


def _reason(error: BaseException) -> str:
    """Of the server's errors name and SQL state alone: everybody may read it at ``/readyz``, and texts name users."""
    state = getattr(error, "sqlstate", None)
    return f"{type(error).__name__} {state}" if state else trouble_of(error)
