"""From a bounded queue to the gateway: batches, retries with growing pauses, nothing that reaches the app."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import aiohttp

from weighbridge.messages import batch_of

MOST_EVENT_BYTES = 32 * 1024
"""Larger events are dropped: the gateway takes none."""
MOST_BATCH_BYTES = 480 * 1024
MOST_WARNINGS = 50
"""Different things that are told of."""
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0

log = logging.getLogger("weighbridge.client")


@dataclass(frozen=True)
class Options:
    """How events are sent. Seconds."""

    url: str
    token: str | None
    batch_size: int = 50
    batch_seconds: float = 5.0
    most_waiting: int = 10_000
    """Events in the queue; newer ones are dropped when it is full."""
    most_waiting_bytes: int = 32 * 1024 * 1024
    timeout: float = 10.0
    """Of one request."""
    tries: int = 8
    """Then a batch is given up."""
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(frozen=True)
class Stats:
    """What became of the events so far."""

    waiting: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    """The gateway could not use them."""
    dropped: int = 0
    """Never sent: the queue was full, the event too large or no JSON, or the client was closed."""
    failed: int = 0
    """Given up: the gateway did not answer, or did not let us in."""


class Queue:
    """Encoded events on their way out. Thread-safe."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._events: deque[bytes] = deque()
        self._bytes = 0
        self._since = 0.0
        self._stats = Stats()
        self.taken_in = 0
        """Events that had room, ever."""
        self.settled = 0
        """Those of them nobody has to do anything for any more."""

    def put(self, event: bytes) -> bool:
        """Take an event if there is room."""
        options = self._options
        with self._lock:
            full = len(self._events) >= options.most_waiting
            if full or self._bytes + len(event) > options.most_waiting_bytes or len(event) > MOST_EVENT_BYTES:
                self._stats = replace(self._stats, dropped=self._stats.dropped + 1)
                return False
            if not self._events:
                self._since = time.monotonic()
            self._events.append(event)
            self._bytes += len(event)
            self.taken_in += 1
            return True

    def take(self) -> list[bytes]:
        """The next batch; empty when there is nothing."""
        batch: list[bytes] = []
        size = 0
        with self._lock:
            while self._events and len(batch) < self._options.batch_size:
                size += len(self._events[0]) + 1
                if batch and size > MOST_BATCH_BYTES:
                    break
                batch.append(self._events.popleft())
                self._bytes -= len(batch[-1])
            self._since = time.monotonic()
        return batch

    def put_back(self, batch: list[bytes]) -> None:
        """What was taken and not sent comes first again: it has had room."""
        with self._lock:
            self._events.extendleft(reversed(batch))
            self._bytes += sum(map(len, batch))

    def due_in(self) -> float | None:
        """Seconds until the next batch should go, 0 at once; ``None`` while there is nothing."""
        with self._lock:
            if not self._events:
                return None
            if len(self._events) >= self._options.batch_size:
                return 0.0
            return max(0.0, self._since + self._options.batch_seconds - time.monotonic())

    def count(self, **changes: int) -> None:
        """Add to the figures."""
        with self._lock:
            sums = {name: getattr(self._stats, name) + more for name, more in changes.items()}
            self._stats = replace(self._stats, **sums)

    def abandon(self) -> None:
        """Nobody will send what is left."""
        with self._lock:
            left = len(self._events)
            self._events.clear()
            self._bytes = 0
            self.settled += left
            self._stats = replace(self._stats, dropped=self._stats.dropped + left)

    def settle(self, events: int, failed: int) -> None:
        """So many that were taken need nothing more; so many of them were given up."""
        self.count(failed=failed)
        with self._lock:
            self.settled += events

    @property
    def stats(self) -> Stats:
        with self._lock:
            return replace(self._stats, waiting=len(self._events))


class Sender:
    """Empties a queue, on one event loop."""

    def __init__(self, queue: Queue, options: Options) -> None:
        self._queue = queue
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._closing = False
        self._flushes: list[tuple[int, asyncio.Future[None]]] = []
        self._warned: set[str] = set()
        self._task = self._loop.create_task(self._run())

    @property
    def alive(self) -> bool:
        """Will it send what comes? Not any more once its loop has ended."""
        return not (self._loop.is_closed() or self._task.done())

    def nudge(self) -> None:
        """There is something in the queue. Any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended: the process does too
            self._loop.call_soon_threadsafe(self._wake.set)

    async def flush(self, timeout: float | None) -> bool:
        """Send what is waiting now, without waiting for full batches; False if time ran out first."""
        flush = (self._queue.taken_in, self._loop.create_future())
        self._flushes.append(flush)
        self._wake.set()
        try:
            async with asyncio.timeout(timeout):
                await flush[1]
        except TimeoutError:
            return False
        finally:
            if flush in self._flushes:
                self._flushes.remove(flush)
        return True

    async def close(self, timeout: float | None) -> None:
        """Flush, then end; what is not sent by then is dropped."""
        await self.flush(timeout)
        self._closing = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._queue.abandon()

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=self._options.timeout)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                self._report()
                due = self._queue.due_in()
                if due is not None and (due <= 0 or self._flushes):
                    batch = self._queue.take()
                    await self._send(session, batch)
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(due):
                        await self._wake.wait()
                self._wake.clear()

    def _report(self) -> None:
        """Tell those who wait for a flush that is done."""
        for flush in list(self._flushes):
            target, done = flush
            if target <= self._queue.settled:
                self._flushes.remove(flush)
                if not done.done():
                    done.set_result(None)

    async def _send(self, session: aiohttp.ClientSession, batch: list[bytes]) -> None:
        """Until the gateway has it, or it is given up. Cancelled with its loop, the batch waits again."""
        failed = len(batch)
        try:
            for attempt in range(self._options.tries):
                try:
                    again = await self._post(session, batch)
                except Exception as error:  # a sink: whatever goes wrong, the next batch may fare better
                    self._warn(f"the gateway at {self._options.url} does not answer: {type(error).__name__}")
                    again = 0.0
                if again is None:
                    failed = 0
                    return
                if attempt + 1 < self._options.tries:
                    await self._options.pause(max(again, _pause_s(attempt)))
        except asyncio.CancelledError:
            if not self._closing:
                self._queue.put_back(batch)
                batch, failed = [], 0
            raise
        finally:
            self._queue.settle(len(batch), failed)

    async def _post(self, session: aiohttp.ClientSession, batch: list[bytes]) -> float | None:
        """One try: ``None`` when it is settled, else seconds to wait at least."""
        headers = {"Content-Type": "application/json"}
        if self._options.token:
            headers["Authorization"] = f"Bearer {self._options.token}"
        url = f"{self._options.url}/api/events"
        # A redirect is not followed: it would carry the token to wherever it points.
        async with session.post(url, data=batch_of(batch), headers=headers, allow_redirects=False) as answer:
            if answer.status == 200:
                self._count(json.loads(await answer.read()), len(batch))
                return None
            if answer.status == 429 or answer.status >= 500:
                self._warn(f"the gateway answers {answer.status}")
                return _told_s(answer.headers)
            # Known by its status: texts may be different each time (a proxy's number of the request, for one).
            refusal = f"the gateway refuses events: {answer.status} {(await answer.text())[:200]}"
            self._warn(refusal, f"refused {answer.status}")
            self._queue.count(failed=len(batch))
            return None

    def _count(self, said: Mapping[str, Any], size: int) -> None:
        rejected = said["rejected"]
        self._queue.count(accepted=said["accepted"], duplicates=said["duplicates"], rejected=len(rejected))
        if rejected:
            first = rejected[0]
            self._warn(
                f"the gateway can't use some events: {first['code']}: {first['message']}", first["code"]
            )

    def _warn(self, text: str, key: str | None = None) -> None:
        """Say each thing once, and not more than so many of them."""
        if (key or text) in self._warned or len(self._warned) >= MOST_WARNINGS:
            return
        self._warned.add(key or text)
        log.warning("%s", text)
        if len(self._warned) == MOST_WARNINGS:
            log.warning("what else goes wrong is not told, only counted")


def _pause_s(attempt: int) -> float:
    """Twice as long each time, and not at the same moment as everyone else."""
    return min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * (1 << attempt)) * random.uniform(0.5, 1.0)


def _told_s(headers: Mapping[str, str]) -> float:
    told: str = headers.get("Retry-After", "")
    return min(float(told), _LONGEST_PAUSE_S) if told.isdigit() else 0.0
