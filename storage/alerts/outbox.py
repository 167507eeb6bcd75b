"""The outbox: messages on their way to channels, at least once, each under an id that never changes.

A message is put in by the transaction that changes its alert, so there is none without the other. Whoever sends it
holds a lease; two never send at once, and one who dies is followed by another when the lease is over. Between sending
and noting it there is no way to be sure: then the receiver gets the same id again.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import and_, delete, exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.alerts.database import AlertDatabase
from storage.alerts.tables import CHANNELS, DELIVERIES, TRIES, DeliveryState
from storage.upsert import insert_into
from telemetry.alerts.channels.contract import Parcel, Post, Reply
from telemetry.alerts.channels.retry import Fate, pause_s
from telemetry.alerts.message import Message
from telemetry.alerts.notice import Notice

LEASE: Final = timedelta(minutes=2)
"""Longer than a try can take."""
WAITING: Final = timedelta(days=7)
"""Messages of a channel that is disabled, or not in the settings, wait for so long."""


class Taken(msgspec.Struct, frozen=True):
    """A message that is ours to send."""

    parcel: Parcel
    channel: str
    lease: str
    tries: int
    """Before this one."""
    round: int


async def put(db: AsyncConnection, message: Message | Notice, posts: Iterable[Post], now: datetime) -> int:
    """Messages for these channels, in the caller's transaction; one that is there already stays as it is."""
    rows = [
        {
            "id": f"msg_{uuid.uuid4().hex}",
            "alert_id": message.alert,
            "channel": post.name,
            "number": message.number,
            "event": message.event.value,
            "body": post.body(message),
            "state": DeliveryState.PENDING.value,
            "tries": 0,
            "round": 0,
            "due_at": now,
            "created_at": now,
        }
        for post in posts
    ]
    if rows:
        await db.execute(insert_into(db, DELIVERIES).on_conflict_do_nothing(), rows)
    return len(rows)


class Outbox:
    """Hands messages out and notes what came of them. Raises :class:`storage.store.StoreUnavailable`."""

    def __init__(self, database: AlertDatabase) -> None:
        self._database = database

    async def disabled(self) -> Mapping[str, str]:
        """Channels whose receivers are gone, and the fingerprint of where they sent."""
        return {row.name: row.target for row in await self._database.rows(select(CHANNELS))}

    async def told(self, alert_id: str) -> set[str]:
        """Channels that a message about it was made for."""
        query = select(DELIVERIES.c.channel).where(DELIVERIES.c.alert_id == alert_id)
        return {row.channel for row in await self._database.rows(query)}

    async def put(self, message: Message | Notice, posts: Iterable[Post], now: datetime) -> int:
        """Messages for these channels, in a transaction of their own; how many were asked for."""
        async with self._database.changing() as db:
            return await put(db, message, posts, now)

    async def is_due(self, channels: Sequence[str], now: datetime) -> bool:
        """Whether there is anything to send: asked without a lock, because mostly there is nothing."""
        query = select(DELIVERIES.c.id).where(_free(channels, now)).limit(1)
        return bool(await self._database.rows(query))

    async def take(self, channels: Sequence[str], now: datetime, most: int) -> list[Taken]:
        """At most so many messages, leased to the caller; the oldest first."""
        lease = uuid.uuid4().hex
        chosen = (
            select(DELIVERIES.c.id)
            .where(_free(channels, now))
            .order_by(DELIVERIES.c.due_at, DELIVERIES.c.id)
            .limit(most)
            .with_for_update(skip_locked=True)
        )
        async with self._database.changing() as db:
            ids = list((await db.execute(chosen)).scalars())
            if not ids:
                return []
            ours = DELIVERIES.c.id.in_(ids)
            await db.execute(update(DELIVERIES).where(ours).values(lease=lease, leased_until=now + LEASE))
            rows = (await db.execute(select(DELIVERIES).where(ours).order_by(DELIVERIES.c.due_at))).all()
        return [Taken(Parcel(row.id, row.body), row.channel, lease, row.tries, row.round) for row in rows]

    async def note(
        self, taken: Taken, reply: Reply, began: datetime, duration_us: int, chance: float, target: str
    ) -> bool:
        """Write down what came of a try; False if the lease was lost meanwhile (then only the log has it).

        ``chance``: 0 to 1, for the pause; ``target``: fingerprint of the channel, kept if its receiver is gone.
        """
        now = began + timedelta(microseconds=duration_us)
        values: dict[str, Any] = {"tries": taken.tries + 1, "round": taken.round + 1, "lease": None}
        values["leased_until"] = None
        pause = pause_s(taken.round + 1, chance, reply.wished_s)
        if reply.fate is Fate.SENT:
            values |= {"state": DeliveryState.SENT.value, "done_at": now}
        elif reply.fate is Fate.GIVE_UP or (reply.fate is Fate.RETRY and pause is None):
            values |= {"state": DeliveryState.GAVE_UP.value, "done_at": now}
        elif reply.fate is Fate.DISABLE:
            values |= {"due_at": began, "round": taken.round}  # it waits for the channel
        else:
            assert pause is not None
            values |= {"due_at": now + timedelta(seconds=pause)}
        ours = and_(DELIVERIES.c.id == taken.parcel.id, DELIVERIES.c.lease == taken.lease)
        entry = {
            "delivery_id": taken.parcel.id,
            "number": taken.tries + 1,
            "at": began,
            "duration_us": duration_us,
            "fate": reply.fate.value,
            "status": reply.status,
            "trouble": reply.trouble.value if reply.trouble else None,
        }
        async with self._database.changing() as db:
            done = (await db.execute(update(DELIVERIES).where(ours).values(**values))).rowcount
            await db.execute(insert_into(db, TRIES).values(**entry).on_conflict_do_nothing())
            if reply.fate is Fate.DISABLE:
                await _disable(db, taken.channel, target, reply.status, now)
        return bool(done)

    async def again(self, delivery_id: str, now: datetime) -> bool:
        """Send a message once more, under its id and from the schedule's beginning; False if there is none."""
        values = {"state": DeliveryState.PENDING.value, "round": 0, "due_at": now, "done_at": None}
        change = update(DELIVERIES).where(DELIVERIES.c.id == delivery_id).values(**values)
        return bool(await self._database.done(change))

    async def enable(self, channel: str) -> bool:
        """Send to a channel again whose receiver had said that it is gone; False if it had not."""
        return bool(await self._database.done(delete(CHANNELS).where(CHANNELS.c.name == channel)))

    async def put_one(self, message: Message, post: Post, now: datetime) -> str:
        """A message of its own, such as a test; its id."""
        async with self._database.changing() as db:
            await put(db, message, [post], now)
            query = select(DELIVERIES.c.id).where(
                DELIVERIES.c.alert_id == message.alert, DELIVERIES.c.channel == post.name
            )
            return str((await db.execute(query)).scalar_one())

    async def give_up_old(self, now: datetime) -> int:
        """Give up what has waited too long for its channel; how many."""
        old = and_(
            DELIVERIES.c.state == DeliveryState.PENDING.value,
            DELIVERIES.c.created_at < now - WAITING,
            DELIVERIES.c.due_at < now - WAITING / 2,
        )
        values = {"state": DeliveryState.GAVE_UP.value, "done_at": now}
        return await self._database.done(update(DELIVERIES).where(old).values(**values))


def _free(channels: Sequence[str], now: datetime) -> Any:
    """Due, nobody's, for one of these channels, and the first of its alert there that is not done."""
    before = DELIVERIES.alias()
    earlier = exists().where(
        before.c.alert_id == DELIVERIES.c.alert_id,
        before.c.channel == DELIVERIES.c.channel,
        before.c.number < DELIVERIES.c.number,
        before.c.state == DeliveryState.PENDING.value,
    )
    return and_(
        DELIVERIES.c.state == DeliveryState.PENDING.value,
        DELIVERIES.c.due_at <= now,
        or_(DELIVERIES.c.leased_until.is_(None), DELIVERIES.c.leased_until <= now),
        DELIVERIES.c.channel.in_(channels),
        ~earlier,
    )


async def _disable(db: AsyncConnection, channel: str, target: str, status: int | None, now: datetime) -> None:
    row = {"name": channel, "target": target, "disabled_at": now, "status": status}
    changed = {name: value for name, value in row.items() if name != "name"}
    insert = insert_into(db, CHANNELS).values(**row)
    await db.execute(insert.on_conflict_do_update(index_elements=[CHANNELS.c.name], set_=changed))
