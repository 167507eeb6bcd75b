"""Alerts as they are kept: each change of state in one transaction with the messages it causes.

Whoever evaluates at the same time (workers, replicas, a leader that has just lost its lock) comes to the same changes;
the unique rows and conditions below let one of them through, and only that one puts messages into the outbox.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, and_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.alerts.database import AlertDatabase
from storage.alerts.outbox import put
from storage.alerts.tables import ALERTS, SILENCES, State
from storage.mend import storable
from storage.upsert import insert_into
from telemetry.alerts.channels.contract import Post
from telemetry.alerts.labels import DIMENSIONS, Labels
from telemetry.alerts.message import Event, Message
from telemetry.alerts.rule import Rule
from telemetry.alerts.silence import Silence
from telemetry.alerts.transition import Action, Fire, Open, Resolve, Tell
from telemetry.alerts.verdict import Reason, Severity, Unit, Verdict, Window

MOST_OPEN = 10_000
_LARGEST = 2**63 - 1
_SEEN_BY = ("tenant_id", "team", "user_id")
"""Columns of their own, because a viewer's scope narrows by them."""
_QUIET_ENDS = (Reason.WINDOW_ENDED, Reason.RULE_GONE)
"""Ends that are no news: only receivers that keep open what fires hear of them."""


class AlertBook:
    """Reads and changes alerts. Raises :class:`storage.store.StoreUnavailable`."""

    def __init__(self, database: AlertDatabase) -> None:
        self._database = database

    async def opened(self) -> list[Open]:
        """Every alert that fires."""
        query = select(ALERTS).where(ALERTS.c.state == State.FIRING.value).order_by(ALERTS.c.fired_at)
        return [_open(row) for row in await self._database.rows(query.limit(MOST_OPEN))]

    async def silences(self, now: datetime) -> list[Silence]:
        """Those that hold now, or will."""
        query = select(SILENCES).where(SILENCES.c.until_at > now).order_by(SILENCES.c.created_at)
        return [silence_of(row) for row in await self._database.rows(query)]

    async def carry_out(self, rule: Rule[Any], action: Action, posts: Sequence[Post], now: datetime) -> int:
        """Make the change, unless somebody else has made it; how many messages were put into the outbox."""
        async with self._database.changing() as db:
            if isinstance(action, Fire):
                return await _fire(db, rule, action, posts, now)
            if isinstance(action, Tell):
                return await _tell(db, action, posts, now)
            if isinstance(action, Resolve):
                return await _resolve(db, action, posts, now)
            await _change(db, action.alert, _judged(action.verdict, now))
            return 0


async def _fire(
    db: AsyncConnection, rule: Rule[Any], action: Fire, posts: Sequence[Post], now: datetime
) -> int:
    verdict, subject = action.verdict, action.subject
    told = action.silence is None
    labels = tuple((name, storable(value)) for name, value in subject.labels)
    alert = Open(
        id=uuid.uuid4().hex,
        rule=rule.name,
        kind=rule.kind,
        subject=subject.key,
        level=verdict.level,
        window=verdict.window,
        labels=labels,
        severity=verdict.severity,
        summary=storable(verdict.summary),
        value=verdict.value,
        limit=verdict.limit,
        unit=verdict.unit,
        fired_at=now,
        notified_at=now if told else None,
        notified=int(told),
        seen_at=now,
    )
    insert = insert_into(db, ALERTS).values(
        **_row(alert), reason=verdict.reason.value, silence=action.silence
    )
    if not (await db.execute(insert.on_conflict_do_nothing())).rowcount or not told:
        return 0
    return await put(db, message_of(alert, Event.FIRING, verdict.reason, now, 1), posts, now)


async def _tell(db: AsyncConnection, action: Tell, posts: Sequence[Post], now: datetime) -> int:
    alert, verdict = action.alert, action.verdict
    number = alert.notified + 1
    values = {**_judged(verdict, now), "notified": number, "notified_at": now}
    if not await _change(db, alert, values):
        return 0
    told = msgspec.structs.replace(
        alert, summary=storable(verdict.summary), value=verdict.value, limit=verdict.limit
    )
    event = Event.FIRING if number == 1 else Event.STILL_FIRING
    return await put(db, message_of(told, event, verdict.reason, now, number), posts, now)


async def _resolve(db: AsyncConnection, action: Resolve, posts: Sequence[Post], now: datetime) -> int:
    alert, verdict = action.alert, action.verdict
    values = {"state": State.RESOLVED.value, "resolved_at": now, "reason": action.reason.value}
    if not await _change(db, alert, values) or not alert.notified:
        return 0
    if verdict is not None:
        alert = msgspec.structs.replace(
            alert, summary=storable(verdict.summary), value=verdict.value, limit=verdict.limit
        )
    quiet = action.reason in _QUIET_ENDS
    wanted = [post for post in posts if post.tracks or (post.send_resolved and not quiet)]
    return await put(
        db, message_of(alert, Event.RESOLVED, action.reason, now, alert.notified + 1), wanted, now
    )


async def _change(db: AsyncConnection, alert: Open, values: dict[str, Any]) -> bool:
    """Change an alert if it is still as it was read."""
    same = and_(
        ALERTS.c.id == alert.id,
        ALERTS.c.state == State.FIRING.value,
        ALERTS.c.notified == alert.notified,
    )
    return bool((await db.execute(update(ALERTS).where(same).values(**values))).rowcount)


def _judged(verdict: Verdict, now: datetime) -> dict[str, Any]:
    return {
        "seen_at": now,
        "value": min(verdict.value, _LARGEST),
        "limit_value": min(verdict.limit, _LARGEST),
        "summary": storable(verdict.summary),
    }


def message_of(alert: Open, event: Event, reason: Reason, now: datetime, number: int) -> Message:
    """What is told of an alert."""
    return Message(
        event=event,
        alert=alert.id,
        rule=alert.rule,
        kind=alert.kind,
        severity=alert.severity,
        level=alert.level,
        reason=reason.value,
        summary=alert.summary,
        value=alert.value,
        limit=alert.limit,
        unit=alert.unit,
        labels=alert.labels,
        window=alert.window,
        fired_at=alert.fired_at,
        at=now,
        number=number,
    )


def _row(alert: Open) -> dict[str, Any]:
    columns = {DIMENSIONS[name]: value for name, value in alert.labels if name in DIMENSIONS}
    return {
        "id": alert.id,
        "rule": alert.rule,
        "kind": alert.kind,
        "subject": alert.subject,
        "level": alert.level,
        "window_key": alert.window.key,
        "slot": alert.window.key if alert.window.calendar else "",
        "window_start": alert.window.start,
        "window_end": alert.window.end,
        "state": State.FIRING.value,
        "severity": alert.severity.value,
        "summary": alert.summary,
        "value": min(alert.value, _LARGEST),
        "limit_value": min(alert.limit, _LARGEST),
        "unit": alert.unit.value,
        "labels": [list(pair) for pair in alert.labels],
        **{column: columns.get(column) for column in _SEEN_BY},
        "fired_at": alert.fired_at,
        "seen_at": alert.seen_at,
        "notified_at": alert.notified_at,
        "notified": alert.notified,
    }


def _open(row: Row[Any]) -> Open:
    window = Window(row.window_key, row.window_start, row.window_end, calendar=bool(row.slot))
    return Open(
        id=row.id,
        rule=row.rule,
        kind=row.kind,
        subject=row.subject,
        level=row.level,
        window=window,
        labels=labels_of(row.labels),
        severity=Severity(row.severity),
        summary=row.summary,
        value=row.value,
        limit=row.limit_value,
        unit=Unit(row.unit),
        fired_at=row.fired_at,
        notified_at=row.notified_at,
        notified=row.notified,
        seen_at=row.seen_at,
    )


def silence_of(row: Any) -> Silence:
    """A stored silence."""
    return Silence(row.id, labels_of(row.matchers), row.starts_at, row.until_at, row.who, row.why)


def labels_of(stored: Iterable[Sequence[str]]) -> Labels:
    """Pairs as they are kept in JSON."""
    return tuple((str(name), str(value)) for name, value in stored)
