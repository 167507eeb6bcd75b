"""Events that apps send beside their calls: each kept once, by its sender's id of it."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import JSON
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel import Field, SQLModel

from storage.privacy.erased import Look
from storage.privacy.lookup import among, look
from storage.store import unavailable
from storage.tables import UtcDateTime
from storage.upsert import insert_into

_JSON = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class EventKind(enum.StrEnum):
    """What an event says."""

    TRACK = "track"
    """Somebody did something."""
    IDENTIFY = "identify"
    """Somebody is known by this id."""


class EventRow(SQLModel, table=True):
    """One event."""

    __tablename__ = "events"

    tenant_id: str = Field(primary_key=True)
    message_id: str = Field(primary_key=True)
    kind: str
    name: str | None = None
    """Of a track event."""
    user_id: str | None = None
    anonymous_id: str | None = None
    session_id: str | None = None
    at: datetime = Field(sa_type=UtcDateTime)
    """When it happened, as its sender says."""
    received_at: datetime = Field(sa_type=UtcDateTime)
    data: dict[str, Any] | None = Field(default=None, sa_type=_JSON)
    """Properties, or traits."""


EVENTS = EventRow.__table__  # type: ignore[attr-defined]


class Event(msgspec.Struct, frozen=True):
    """One event, ready to be kept. Times are aware."""

    tenant: str
    message_id: str
    kind: EventKind
    name: str | None
    user: str | None
    anonymous: str | None
    session: str | None
    at: datetime
    received_at: datetime
    data: dict[str, Any] | None


def _spared(event: Event, erased: Look) -> Event | None:
    """Nothing of who was erased. An anonymous id that was theirs may be a device's: others on it are kept without it."""
    gone = among(erased, event.tenant, (event.user, event.anonymous))
    if not gone:
        return event
    if event.user is None or event.user in gone:
        return None
    return msgspec.structs.replace(event, anonymous=None)


class EventLog:
    """Writes through an engine that can (:func:`storage.engine.writing_engine`)."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def keep(self, events: Sequence[Event]) -> int:
        """Keep those that are not kept yet, all in one transaction; how many that were.

        What somebody did who was erased is taken and not kept. Raises :class:`StoreUnavailable`, and then none was
        kept.
        """
        if not events:
            return 0
        try:
            async with self._engine.begin() as db:
                erased = await look(db)
                spared = (_spared(one, erased) for one in events)
                kept = [one for one in spared if one is not None]
                return await self._insert(db, kept) + len(events) - len(kept)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise unavailable(error, "written to") from error

    async def _insert(self, db: AsyncConnection, events: Sequence[Event]) -> int:
        rows = [
            {
                "tenant_id": one.tenant,
                "message_id": one.message_id,
                "kind": one.kind.value,
                "name": one.name,
                "user_id": one.user,
                "anonymous_id": one.anonymous,
                "session_id": one.session,
                "at": one.at,
                "received_at": one.received_at,
                "data": one.data,
            }
            for one in events
        ]
        if not rows:
            return 0
        insert = insert_into(db, EVENTS).on_conflict_do_nothing().returning(EVENTS.c.message_id)
        return len((await db.execute(insert, rows)).all())
