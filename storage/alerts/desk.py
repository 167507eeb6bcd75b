"""What people do with alerts: look at them, make rules, silence, send again."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import and_, delete, insert, or_, select, update

from storage.alerts.book import silence_of
from storage.alerts.database import AlertDatabase
from storage.alerts.tables import (
    ALERTS,
    CHANNELS,
    DELIVERIES,
    RULES,
    SILENCES,
    TRIES,
    AlertRow,
    ChannelRow,
    DeliveryRow,
    RuleRow,
    State,
    TryRow,
)
from storage.queries.calls import CursorError
from storage.upsert import insert_into
from telemetry.alerts.silence import Silence

MOST = 1000
Scope = Mapping[str, str]
"""Columns of ``alerts`` and the value each must have: what a viewer may see."""


class Page(msgspec.Struct, frozen=True):
    """Rows, newest first, and where the list goes on."""

    items: Sequence[Any]
    next_cursor: str | None


class AlertDesk:
    """Every method raises :class:`storage.store.StoreUnavailable`."""

    def __init__(self, database: AlertDatabase) -> None:
        self._database = database

    async def alerts(
        self,
        scope: Scope,
        *,
        state: State | None = None,
        rule: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """Alerts (:class:`AlertRow`), newest first. Raises :class:`CursorError`."""
        wanted = [ALERTS.c[column] == value for column, value in scope.items()]
        if state is not None:
            wanted.append(ALERTS.c.state == state.value)
        if rule is not None:
            wanted.append(ALERTS.c.rule == rule)
        return await self._page(ALERTS, ALERTS.c.fired_at, AlertRow, wanted, cursor, limit)

    async def alert(self, alert_id: str, scope: Scope) -> AlertRow | None:
        """One alert, if it may be seen."""
        seen = [ALERTS.c[column] == value for column, value in scope.items()]
        rows = await self._database.rows(select(ALERTS).where(ALERTS.c.id == alert_id, *seen))
        return AlertRow(**rows[0]._mapping) if rows else None

    async def find_alerts(self, beginning: str) -> list[AlertRow]:
        """Alerts whose ids begin so; three at most."""
        query = select(ALERTS).where(ALERTS.c.id.startswith(beginning, autoescape=True)).limit(3)
        return [AlertRow(**row._mapping) for row in await self._database.rows(query)]

    async def find_deliveries(self, beginning: str) -> list[DeliveryRow]:
        """Messages whose ids begin so; three at most."""
        query = select(DELIVERIES).where(DELIVERIES.c.id.startswith(beginning, autoescape=True)).limit(3)
        return [DeliveryRow(**row._mapping) for row in await self._database.rows(query)]

    async def deliveries(
        self,
        scope: Scope,
        *,
        alert: str | None = None,
        state: str | None = None,
        channel: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """Messages (:class:`DeliveryRow`), newest first; with a scope only those of alerts in it."""
        wanted = []
        for column, value in (("alert_id", alert), ("state", state), ("channel", channel)):
            if value is not None:
                wanted.append(DELIVERIES.c[column] == value)
        if scope:
            seen = select(ALERTS.c.id).where(*(ALERTS.c[column] == value for column, value in scope.items()))
            wanted.append(DELIVERIES.c.alert_id.in_(seen))
        return await self._page(DELIVERIES, DELIVERIES.c.created_at, DeliveryRow, wanted, cursor, limit)

    async def tries(self, delivery_ids: Sequence[str]) -> dict[str, list[TryRow]]:
        """The log of these messages, in order."""
        query = select(TRIES).where(TRIES.c.delivery_id.in_(delivery_ids)).order_by(TRIES.c.number)
        found: dict[str, list[TryRow]] = {one: [] for one in delivery_ids}
        for row in await self._database.rows(query):
            found[row.delivery_id].append(TryRow(**row._mapping))
        return found

    async def rules(self) -> list[RuleRow]:
        """Stored rules, by name."""
        return [
            RuleRow(**row._mapping) for row in await self._database.rows(select(RULES).order_by(RULES.c.name))
        ]

    async def put_rule(
        self, name: str, spec: Mapping[str, Any], enabled: bool, who: str, now: datetime
    ) -> bool:
        """Store a rule or change it; True if there was none of that name."""
        row = {"name": name, "spec": dict(spec), "enabled": enabled, "created_at": now, "created_by": who}
        changed = {"spec": row["spec"], "enabled": enabled}
        async with self._database.changing() as db:
            known = (await db.execute(select(RULES.c.name).where(RULES.c.name == name))).first()
            added = insert_into(db, RULES).values(**row)
            await db.execute(added.on_conflict_do_update(index_elements=[RULES.c.name], set_=changed))
            return known is None

    async def drop_rule(self, name: str) -> bool:
        """Forget a rule; False if there is none. Its alerts end at the next evaluation."""
        return bool(await self._database.done(delete(RULES).where(RULES.c.name == name)))

    async def silences(self, now: datetime | None = None) -> list[Silence]:
        """All, or those that are not over at ``now``; newest first."""
        query = select(SILENCES).order_by(SILENCES.c.created_at.desc())
        if now is not None:
            query = query.where(SILENCES.c.until_at > now)
        return [silence_of(row) for row in await self._database.rows(query.limit(MOST))]

    async def silence(
        self, matchers: Sequence[tuple[str, str]], until: datetime, who: str, why: str, now: datetime
    ) -> Silence:
        """Keep back what matches, from now on."""
        made = Silence(uuid.uuid4().hex[:12], tuple(matchers), now, until, who, why)
        row = {
            "id": made.id,
            "matchers": [list(pair) for pair in made.matchers],
            "starts_at": now,
            "until_at": until,
            "who": who,
            "why": why,
            "created_at": now,
        }
        await self._database.done(insert(SILENCES).values(**row))
        return made

    async def end_silence(self, silence_id: str, now: datetime) -> bool:
        """End a silence early; False if it is not there or over."""
        holds = and_(SILENCES.c.id == silence_id, SILENCES.c.until_at > now)
        return bool(await self._database.done(update(SILENCES).where(holds).values(until_at=now)))

    async def disabled(self) -> list[ChannelRow]:
        """Channels whose receivers are gone."""
        return [ChannelRow(**row._mapping) for row in await self._database.rows(select(CHANNELS))]

    async def forget(self, before: datetime) -> int:
        """Delete alerts that were over by then, with their messages, and silences; how many alerts."""
        over = and_(ALERTS.c.state == State.RESOLVED.value, ALERTS.c.resolved_at < before)
        old = select(DELIVERIES.c.id).where(
            DELIVERIES.c.created_at < before,
            DELIVERIES.c.alert_id.not_in(select(ALERTS.c.id).where(ALERTS.c.state == State.FIRING.value)),
        )
        async with self._database.changing() as db:
            await db.execute(delete(TRIES).where(TRIES.c.delivery_id.in_(old)))
            await db.execute(delete(DELIVERIES).where(DELIVERIES.c.id.in_(old)))
            await db.execute(delete(SILENCES).where(SILENCES.c.until_at < before))
            return int((await db.execute(delete(ALERTS).where(over))).rowcount)

    async def close(self) -> None:
        """Close every connection."""
        await self._database.close()

    async def _page(
        self, table: Any, at: Any, model: Any, wanted: list[Any], cursor: str | None, limit: int
    ) -> Page:
        if cursor is not None:
            moment, after = read_cursor(cursor)
            wanted = [*wanted, or_(at < moment, and_(at == moment, table.c.id < after))]
        limit = max(1, min(limit, MOST))
        query = select(table).where(*wanted).order_by(at.desc(), table.c.id.desc()).limit(limit + 1)
        rows = await self._database.rows(query)
        items = [model(**row._mapping) for row in rows[:limit]]
        more = len(rows) > limit
        return Page(items, make_cursor(getattr(items[-1], at.name), items[-1].id) if more else None)


def make_cursor(at: datetime, row_id: str) -> str:
    """An opaque cursor: what comes after this row."""
    return base64.urlsafe_b64encode(f"{at.isoformat()} {row_id}".encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[datetime, str]:
    """Time and id within a cursor. Raises :class:`CursorError`."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        at, _, row_id = text.partition(" ")
        moment = datetime.fromisoformat(at)
    except (ValueError, binascii.Error) as error:
        raise CursorError("the cursor is not valid") from error
    if moment.tzinfo is None or not row_id:
        raise CursorError("the cursor is not valid")
    return moment, row_id
