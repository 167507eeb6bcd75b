"""The rollups' part in the transaction of a batch: one row with all that the batch adds."""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection as SqliteConnection
from typing import TYPE_CHECKING, Final

from storage.rollups.delta import delta_of, encoded
from telemetry.record import CallRecord

if TYPE_CHECKING:
    import asyncpg

_IN_SQLITE: Final = "INSERT INTO rollup_deltas (payload) VALUES (?)"
_IN_POSTGRES: Final = "INSERT INTO rollup_deltas (payload) VALUES ($1)"


class RollupCompanion:
    """A :class:`storage.targets.contract.Companion`. Without state: any target may have it."""

    def in_sqlite(self, db: SqliteConnection, inserted: Sequence[CallRecord]) -> None:
        """Called between BEGIN and COMMIT."""
        if inserted:
            db.execute(_IN_SQLITE, (encoded(delta_of(inserted)),))

    async def in_postgres(self, db: asyncpg.Connection, inserted: Sequence[CallRecord]) -> None:
        """Called between BEGIN and COMMIT."""
        if inserted:
            await db.execute(_IN_POSTGRES, encoded(delta_of(inserted)))
