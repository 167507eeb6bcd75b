"""Who was erased lately: what still lies in a spool, or is still being told of them, becomes a row of nobody.

Kept as keyed digests, for some days. Whoever writes looks within the transaction of the write, and under a lock that
erasing takes for itself alone: a write either comes before the erasure, which then finds its rows, or knows of it. (In
SQLite writers come one after another anyway.)
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from sqlite3 import Connection as SqliteConnection
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import msgspec

from storage.address import Engine
from storage.control.contract import Transaction
from storage.privacy.anonymous import anonymised
from storage.rows import DEFAULT_TENANT
from telemetry.record import CallRecord

if TYPE_CHECKING:
    import asyncpg

LOCK_KEY: Final = 0x7765_6967_6572_6173
"""PostgreSQL advisory lock: shared by writers, exclusive where somebody is erased ("weigeras")."""
NAME: Final = "erasures"
"""Of the table, and of its number in ``control_versions``."""
VERSION: Final = f"SELECT version FROM control_versions WHERE name = '{NAME}'"
ALL: Final = f"SELECT tenant_id, salt, digest, until_ms FROM {NAME}"
SHARE: Final = f"SELECT pg_advisory_xact_lock_shared({LOCK_KEY})"
"""For those who write, in PostgreSQL."""
FOR_EVER_MS: Final = 2**62
"""``until_ms`` of those who opted out."""
MOST_SEEN: Final = 10_000
"""Texts of which one look remembers what it found."""
_SALT_BYTES: Final = 16


class Erasure(msgspec.Struct, frozen=True):
    """One person that was erased."""

    tenant: str | None
    """``None``: of every tenant."""
    salt: bytes
    digest: str
    until_ms: int
    """From then on the id may be used again; of those who opted out :data:`FOR_EVER_MS`."""


def digest_of(user: str, salt: bytes) -> str:
    """What is kept of an id."""
    return hashlib.blake2b(user.encode("utf-8", "replace"), key=salt, digest_size=16).hexdigest()


class Erased:
    """Those who were erased, as one writer knows them. Reads the table again when its number has changed."""

    def __init__(
        self, clock: Callable[[], float] = time.time, heard: Callable[[], None] = lambda: None
    ) -> None:
        """``heard`` is called when somebody was erased since the last look."""
        self._clock = clock
        self._heard = heard
        self._version = -1
        self._known: list[Erasure] = []
        self._last: Look | None = None

    def in_sqlite(self, db: SqliteConnection, records: Sequence[CallRecord]) -> Sequence[CallRecord]:
        """The records as they may be written; the very same if nobody in them was erased. After BEGIN IMMEDIATE."""
        ((version,),) = db.execute(VERSION).fetchall()
        if version != self._version:
            self._take(version, db.execute(ALL).fetchall())
        return self._spared(records)

    async def in_postgres(
        self, db: asyncpg.Connection, records: Sequence[CallRecord]
    ) -> Sequence[CallRecord]:
        """The same, within a transaction."""
        await db.execute(SHARE)
        version = await db.fetchval(VERSION)
        if version != self._version:
            self._take(version, [tuple(row) for row in await db.fetch(ALL)])
        return self._spared(records)

    async def look(self, tx: Transaction) -> Look | None:
        """Who was erased, within a transaction on either database; ``None``: nobody."""
        if tx.engine is Engine.POSTGRESQL:
            await tx.fetch(SHARE)
        ((version,),) = await tx.fetch(VERSION)
        if version != self._version:
            self._take(version, await tx.fetch(ALL))
        return self._look()

    def _take(self, version: int, rows: Iterable[Sequence[Any]]) -> None:
        if self._version >= 0:
            self._heard()
        self._known = erasures(rows)
        self._version = version
        self._last = None

    def _look(self) -> Look | None:
        """The last look, as long as a new one would find the same; ``None``: nobody."""
        if not self._known:
            return None
        now_s = self._clock()
        if self._last is None or not self._last.is_good(now_s):
            self._last = Look(self._known, now_s)
        return self._last

    def _spared(self, records: Sequence[CallRecord]) -> Sequence[CallRecord]:
        look = self._look()
        if look is None:
            return records
        spared = [
            anonymised(record, lambda text, of=record.who.tenant: look.is_erased(of, text))  # type: ignore[misc]
            for record in records
        ]
        same = all(one is other for one, other in zip(spared, records, strict=True))
        return records if same else spared


class Look:
    """One look at who was erased; a text is digested once, unless :data:`MOST_SEEN` others came meanwhile."""

    def __init__(self, known: Iterable[Erasure], now_s: float | None = None) -> None:
        now_ms = (time.time() if now_s is None else now_s) * 1000
        self._by_salt: dict[bytes, set[tuple[str | None, str]]] = {}
        self._from_ms, self._until_ms = 0, FOR_EVER_MS
        for one in known:
            if one.until_ms > now_ms:
                self._by_salt.setdefault(one.salt, set()).add((one.tenant, one.digest))
                self._until_ms = min(self._until_ms, one.until_ms)
            else:
                self._from_ms = max(self._from_ms, one.until_ms)
        self._seen: dict[tuple[str | None, str], bool] = {}

    def is_good(self, now_s: float) -> bool:
        """Would a look now find the same people? Also after a clock was put back."""
        return self._from_ms <= now_s * 1000 < self._until_ms

    def is_erased(self, tenant: str | None, text: str) -> bool:
        """Is this the id of somebody who was erased?"""
        key = (tenant or DEFAULT_TENANT, text)
        found = self._seen.get(key)
        if found is None:
            if len(self._seen) >= MOST_SEEN:
                self._seen.clear()
            found = self._seen[key] = self._find(*key)
        return found

    def _find(self, tenant: str, text: str) -> bool:
        for salt, gone in self._by_salt.items():
            digest = digest_of(text, salt)
            if (None, digest) in gone or (tenant, digest) in gone:
                return True
        return False


def erasures(rows: Iterable[Sequence[Any]]) -> list[Erasure]:
    """Rows of :data:`ALL`."""
    return [Erasure(tenant, bytes(salt), digest, until) for tenant, salt, digest, until in rows]


async def locked(tx: Transaction) -> None:
    """Let nobody write meanwhile. (In SQLite a transaction has the write lock from its begin.)"""
    if tx.engine is Engine.POSTGRESQL:
        await tx.fetch("SELECT pg_advisory_xact_lock(?)", LOCK_KEY)


async def keep_out(
    tx: Transaction, ids: Iterable[str], tenant: str | None, now_ms: int, until_ms: int
) -> None:
    """From the end of this transaction, which is :func:`locked`, no writer writes anything of these ids."""
    await tx.run(f"DELETE FROM {NAME} WHERE until_ms <= ?", now_ms)
    known = await tx.fetch(f"SELECT salt FROM {NAME} LIMIT 1")
    salt = bytes(known[0][0]) if known else os.urandom(_SALT_BYTES)
    insert = (
        f"INSERT INTO {NAME} (id, tenant_id, salt, digest, created_ms, until_ms) VALUES (?, ?, ?, ?, ?, ?)"
    )
    for id_ in ids:
        await tx.run(insert, uuid4().hex, tenant, salt, digest_of(id_, salt), now_ms, until_ms)
    await changed(tx)


async def changed(tx: Transaction) -> None:
    """Whoever writes reads the table again."""
    await tx.run("UPDATE control_versions SET version = version + 1 WHERE name = ?", NAME)
