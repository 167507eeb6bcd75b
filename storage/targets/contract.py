"""What the writer asks of a database. Everything here runs on the writer's thread and may block it."""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection as SqliteConnection
from typing import TYPE_CHECKING, Protocol

import msgspec

from telemetry.record import CallRecord

if TYPE_CHECKING:
    import asyncpg


class Outage(Exception):  # noqa: N818
    """The database cannot take anything now; the same batch may succeed later."""


class RowRefused(Exception):  # noqa: N818
    """The database works but will not take at least one row of this batch; nothing of it was written."""


class SchemaUnfit(Exception):  # noqa: N818
    """The database's schema is not one this version may write to."""


class SchemaTooNew(SchemaUnfit):
    """The schema was made by a newer version."""


class SchemaBehind(SchemaUnfit):
    """The schema is older than this version and migration is left to the operator."""


class DeadLetter(msgspec.Struct, frozen=True):
    """A record no database row could be made of."""

    record: CallRecord
    reason: str


class BuriedLetter(msgspec.Struct, frozen=True):
    """A dead letter as the database keeps it; ``record`` is for :func:`telemetry.record.decode`."""

    id: str
    reason: str
    record: bytes


class Companion(Protocol):
    """Writes something of its own in the transaction of a batch, for the rows that were really new.

    Raising rolls the whole batch back.
    """

    def in_sqlite(self, db: SqliteConnection, inserted: Sequence[CallRecord]) -> None:
        """Called between BEGIN and COMMIT."""

    async def in_postgres(self, db: asyncpg.Connection, inserted: Sequence[CallRecord]) -> None:
        """Called between BEGIN and COMMIT."""


class Target(Protocol):
    """One database. ``connect`` comes first and again after every :class:`Outage`."""

    def connect(self) -> None:
        """Open a connection and see that the schema fits. Raises :class:`Outage`, :class:`SchemaUnfit`."""

    def write(self, records: Sequence[CallRecord]) -> int:
        """Insert records that are not there yet, all in one transaction; returns how many were new.

        Raises :class:`Outage` or :class:`RowRefused`; then nothing was written.
        """

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Keep records that were refused, once each. Raises :class:`Outage`."""

    def letters(self, after: str, limit: int) -> list[BuriedLetter]:
        """Dead letters with ids greater than ``after``, in order. Raises :class:`Outage`."""

    def unbury(self, ids: Sequence[str]) -> None:
        """Forget dead letters that have become rows. Raises :class:`Outage`."""

    def close(self) -> None:
        """Let go of the connection; never raises."""
