"""Leadership among replicas: an advisory lock of PostgreSQL."""

from __future__ import annotations

import contextlib

import asyncpg

from storage.postgres_errors import TROUBLE

LOCK_KEY = 0x7765_6967_6C65_6164
"""PostgreSQL advisory lock of the leader ("weiglead")."""


class PostgresLeadership:
    """Among all replicas on one database: an advisory lock, held by a connection of its own."""

    def __init__(self, dsn: str, timeout_s: float = 10.0) -> None:
        self._dsn = dsn
        self._timeout_s = timeout_s
        self._connection: asyncpg.Connection | None = None
        self._leads = False

    async def hold(self) -> bool:
        try:
            if self._connection is None:
                self._leads = False
                self._connection = await asyncpg.connect(
                    self._dsn, timeout=self._timeout_s, command_timeout=self._timeout_s
                )
            if self._leads:
                await self._connection.fetchval("SELECT 1")
            else:
                query = "SELECT pg_try_advisory_lock($1)"
                self._leads = bool(await self._connection.fetchval(query, LOCK_KEY))
        except TROUBLE:
            await self.release()
        return self._leads

    async def release(self) -> None:
        connection, self._connection = self._connection, None
        self._leads = False
        if connection is not None:
            with contextlib.suppress(*TROUBLE):
                await connection.close(timeout=1)
