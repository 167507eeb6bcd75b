"""Delivering: what is due in the outbox is sent, some at once, and what came of it is noted."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from gateway.alerting.plan import AlertPlan
from storage.alerts.outbox import Outbox, Taken
from telemetry.alerts.channels.contract import Post, Reply
from telemetry.alerts.channels.retry import Fate, Trouble

AT_ONCE: Final = 20
"""Messages that are under way at a time: a receiver that hangs holds up no more than its own."""
SLICE_S: Final = 4.0
"""No more is begun after this: the leader has other jobs."""
_logger = logging.getLogger("gateway.alerting")


class Delivered(msgspec.Struct, frozen=True):
    """What one round came to."""

    sent: int = 0
    failed: int = 0


class Deliverer:
    """``now`` is aware; ``rng`` chooses how much later than planned a try is made."""

    def __init__(
        self,
        plan: Callable[[], AlertPlan],
        now: Callable[[], datetime],
        rng: random.Random | None = None,
    ) -> None:
        self._plan = plan
        self._now = now
        self._rng = rng or random.Random()

    async def run(self, outbox: Outbox) -> Delivered:
        """Send what is due, for a few seconds at most. Raises :class:`storage.store.StoreUnavailable`."""
        disabled = await outbox.disabled()
        posts = {
            post.name: post
            for post in self._plan().posts
            # What was disabled sends again as soon as it sends elsewhere.
            if disabled.get(post.name) != post.fingerprint
        }
        if not posts or not await outbox.is_due(list(posts), self._now()):
            return Delivered()
        done, end = Delivered(), time.monotonic() + SLICE_S
        while taken := await outbox.take(list(posts), self._now(), AT_ONCE):
            sending = [asyncio.ensure_future(self._send(outbox, one, posts)) for one in taken]
            await asyncio.wait(sending)  # all of them, also when the database fails for one
            replies = [one.result() for one in sending]
            sent = sum(reply.fate is Fate.SENT for reply in replies)
            done = Delivered(done.sent + sent, done.failed + len(replies) - sent)
            if any(reply.fate is Fate.DISABLE for reply in replies) or time.monotonic() > end:
                break
        return done

    async def _send(self, outbox: Outbox, taken: Taken, posts: Mapping[str, Post]) -> Reply:
        post, began, clock = posts[taken.channel], self._now(), time.perf_counter_ns()
        reply = await attempt(post, taken, began)
        took_us = (time.perf_counter_ns() - clock) // 1_000
        await outbox.note(taken, reply, began, took_us, self._rng.random(), post.fingerprint)
        if reply.fate is Fate.DISABLE:
            _logger.error(
                "alerts: the receiver of channel %s is gone (%s); nothing is sent there until it is changed, "
                "or 'weighbridge alerts enable %s'",
                post.name,
                reply.status,
                post.name,
            )
        elif reply.fate is not Fate.SENT:
            _logger.warning(
                "alerts: channel %s did not take %s (try %d): %s %s",
                post.name,
                taken.parcel.id,
                taken.tries + 1,
                reply.trouble,
                reply.status or "",
            )
        return reply


async def attempt(post: Post, taken: Taken, now: datetime) -> Reply:
    """One try; a defect of ours counts as a failed one."""
    try:
        return await post.send(taken.parcel, now)
    except Exception as error:  # a job: the other messages must go out
        _logger.error("alerts: channel %s has a defect: %s", post.name, type(error).__name__)
        return Reply(Fate.RETRY, trouble=Trouble.DEFECT)
