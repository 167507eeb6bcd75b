"""When what was appended reaches the disk itself: never on the event loop."""

from __future__ import annotations

import asyncio
import enum
from concurrent.futures import ThreadPoolExecutor

from storage.spool import Spool

PATIENCE_S = 2.0
"""Longest an answer waits for the disk with ``strict``; a disk that hangs is the gateway's trouble, not the app's."""


class Durability(enum.StrEnum):
    """The ``storage.durability`` setting: what a closed record survives."""

    OS = "os"
    """The death of the process; the operating system writes to the disk in its own time."""
    GROUP = "group"
    """Also the loss of power, but for the last ``sync_interval_s``."""
    STRICT = "strict"
    """Also the loss of power, from the moment the future of ``closed`` is done."""


class Syncer:
    """Syncs the spool in a thread of its own, for many records at a time. Methods run on the event loop."""

    def __init__(
        self, spool: Spool, durability: Durability, interval_s: float, patience_s: float = PATIENCE_S
    ) -> None:
        self._spool = spool
        self._strict = durability is Durability.STRICT
        self._active = durability is not Durability.OS
        self._interval_s = interval_s
        self._patience_s = patience_s
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "spool-sync")
        self._planned = False
        self._running = False
        self._stopped = False
        self._waiting: list[asyncio.Future[None]] = []
        self.failures = 0
        """Syncs the disk refused: until one succeeds, records survive the process only."""
        self.failing = False

    def touched(self) -> None:
        """Something was appended that need not be waited for."""
        if self._active and not self._planned:
            self._planned = True
            self._loop.call_later(self._interval_s, self._begin)

    def closed(self) -> asyncio.Future[None] | None:
        """A final frame was appended: with ``strict``, a future that is done once it is on the disk."""
        if not self._strict:
            self.touched()
            return None
        future = self._loop.create_future()
        self._waiting.append(future)
        hurry = self._loop.call_later(self._patience_s, self._hang, future)
        future.add_done_callback(lambda _: hurry.cancel())
        if not self._planned and not self._running:
            self._planned = True
            self._loop.call_soon(self._begin)
        return future

    def _hang(self, future: asyncio.Future[None]) -> None:
        """The disk takes too long: the record has survived the process, and the app gets its answer."""
        if not future.done():
            self.failures += 1
            self.failing = True
            future.set_result(None)

    def _begin(self) -> None:
        if self._stopped:  # a timer that outlasted the thread; the spool has been synced for the last time
            return
        if self._running:
            self._loop.call_later(self._interval_s, self._begin)
            return
        self._planned = False
        self._running = True
        waiting, self._waiting = self._waiting, []
        task = self._loop.run_in_executor(self._thread, self._spool.sync)
        task.add_done_callback(lambda done: self._done(done, waiting))

    def _done(self, task: asyncio.Future[None], waiting: list[asyncio.Future[None]]) -> None:
        self._running = False
        self.failing = task.cancelled() or task.exception() is not None
        self.failures += self.failing
        # A failed sync is the gateway's trouble, not the app's: the call goes on, the failure is counted.
        for future in waiting:
            if not future.done():
                future.set_result(None)
        if self._waiting and not self._planned:
            self._begin()

    def stop(self) -> None:
        """End the thread once it has nothing left to do; whoever still waits is released."""
        self._active = False
        self._stopped = True
        self._thread.shutdown(wait=False)
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()
