"""Jobs of the leader: what must run now and then, and not twice at once, beside calls and never in their way.

A thread with a loop of its own. Of all workers and replicas one leads (:mod:`storage.leader`); the others look every
few seconds whether they have to take over. Jobs run one after the other, each within a limit: one that exceeds it is
cancelled, so that its transaction is rolled back, and tried again later.

What a job does in a thread (a statement of SQLite's, a look at the disk) cannot be cancelled: it comes to its own end,
and jobs do no more there than one statement or slice. A job that waits for such a thread, or clings to something else,
is left to itself after a farewell: the others go on, and it is not begun again in this process before it has ended.
Where another process leads by then, both may be at it: all that jobs write is written in transactions that may come
twice.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from storage.leader import Leadership
from storage.stats import JobStats

TICK_S: Final = 5.0
"""How often the lock is looked at; a leader that died is replaced within about this."""
SOON_S: Final = 0.2
"""How often it is looked whether there is a database yet."""
RETRY_S: Final = 60.0
"""A job that failed is tried again after this, or sooner if that is its interval."""
ROUNDS: Final = 10
LEAST_S: Final = 120.0
MOST_S: Final = 600.0
"""A job may take ten times its interval, at least two minutes (a receiver of alerts may take one of them), at most ten."""
FAREWELL_S: Final = 5.0
"""How long a job that was cancelled is waited for."""

_logger = logging.getLogger("gateway.jobs")


class Job(msgspec.Struct, frozen=True):
    """Something to be done every ``interval_s`` seconds; ``run`` gives a line for the log, or ``None``."""

    name: str
    interval_s: float
    run: Callable[[], Awaitable[str | None]]
    limit_s: float | None = None
    """How long it may take; ``None``: as long as follows from its interval."""

    @property
    def limit(self) -> float:
        """Seconds."""
        return self.limit_s or min(max(ROUNDS * self.interval_s, LEAST_S), MOST_S)


class Jobs:
    """Made once per worker; only the leader's run."""

    def __init__(
        self,
        leadership: Leadership,
        jobs: Sequence[Job],
        clock: Callable[[], float] = time.monotonic,
        tick_s: float = TICK_S,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        """``ready``: the database is there, with its tables. Nothing runs before."""
        self._ready = ready
        self._leadership = leadership
        self._jobs = tuple(jobs)
        self._clock = clock
        self._tick_s = tick_s
        self._due = dict.fromkeys((job.name for job in jobs), 0.0)
        self._left: dict[str, asyncio.Future[str | None]] = {}
        """Jobs that took too long and have not ended yet."""
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self.stats = JobStats()

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Let the job at hand finish and give the lock back; whether it did in time. Not for the event loop."""
        if not self._thread.is_alive():
            return True
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # ---- in the thread

    def _run(self) -> None:
        self._loop.run_until_complete(self._main())
        if not self._left:
            self._loop.close()

    async def _main(self) -> None:
        while not self._ready() and not await self._stopped_within(SOON_S):
            pass
        while not self._stop.is_set():
            leads = await self._leadership.hold()
            if leads != self.stats.leads:
                self.stats = msgspec.structs.replace(self.stats, leads=leads)
                _logger.debug("this worker %s the leader", "is" if leads else "is no longer")
            if leads:
                await self.run_due()
            await self._stopped_within(self._tick_s)
        await self._leadership.release()

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def run_due(self) -> None:
        """Run every job whose time has come; one that fails is counted, logged, and tried again before long."""
        for job in self._jobs:
            now = self._clock()
            if now < self._due[job.name] or job.name in self._left or self._stop.is_set():
                continue
            self._due[job.name] = now + job.interval_s
            failed = overdue = 0
            try:
                task = asyncio.ensure_future(job.run())
                await asyncio.wait((task,), timeout=job.limit)
                if task.done():
                    self._tell(job, task.result())
                else:
                    failed = overdue = 1
                    await self._end(job, task)
                    # The others have at least as long as this one had.
                    self._due[job.name] = self._clock() + max(job.limit, min(job.interval_s, RETRY_S))
            except (
                Exception,
                asyncio.CancelledError,
            ) as error:  # a job: the next one must run; nobody cancels this
                failed = 1
                self._due[job.name] = now + min(job.interval_s, RETRY_S)
                _logger.warning("job %s failed: %s", job.name, type(error).__name__)
            before = self.stats
            self.stats = msgspec.structs.replace(
                before,
                runs=before.runs + 1,
                failures=before.failures + failed,
                overdue=before.overdue + overdue,
            )

    def _tell(self, job: Job, said: str | None) -> None:
        if said:
            _logger.info("job %s: %s", job.name, said)

    async def _end(self, job: Job, task: asyncio.Future[str | None]) -> None:
        """It takes too long."""
        # Nobody else asks how it ended.
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        task.cancel()
        await asyncio.wait((task,), timeout=FAREWELL_S)
        if task.done():
            _logger.warning("job %s took longer than %g s and was ended", job.name, job.limit)
            return
        self._left[job.name] = task
        task.add_done_callback(lambda _: self._left.pop(job.name))
        _logger.warning(
            "job %s took longer than %g s and does not end: it is left to itself, and not begun again before it has",
            job.name,
            job.limit,
        )
