"""When a call has run out of time. One timer for all calls: a sweep every second instead of a timer per call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from gateway.call import Progress
from gateway.gear import Deadlines
from telemetry.outcome import Outcome

INTERVAL: Final = 1.0
"""Seconds between sweeps; a deadline is kept to within this."""


def overdue(
    progress: Progress, deadlines: Deadlines, blocked_since: float, idle_since: float, now: float
) -> tuple[Outcome, str] | None:
    """How a call has run out of time, and what the provider did or did not do; ``None`` while it has not.

    ``CANCELLED`` stands for an app that stopped reading (since ``blocked_since``, 0.0: it reads).
    """
    if now - progress.started_at > deadlines.total:
        return Outcome.TIMEOUT, f"did not finish within {deadlines.total:g} s"
    if progress.stuck_at and not progress.uploaded_at and now - progress.stuck_at > deadlines.idle:
        return Outcome.STALLED, f"did not read the request for more than {deadlines.idle:g} s"
    if not progress.first_byte_at:
        if progress.uploaded_at and now - progress.uploaded_at > deadlines.response_head:
            return Outcome.TIMEOUT, f"sent no response head within {deadlines.response_head:g} s"
        return None
    if blocked_since:
        return (Outcome.CANCELLED, "") if now - blocked_since > deadlines.idle else None
    if now - idle_since > deadlines.idle:
        return Outcome.STALLED, f"paused for more than {deadlines.idle:g} s"
    return None


class Sweeper:
    """Calls every ``sweep(now)`` it was given, each ``interval`` seconds; a defect in one stops none."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        sweeps: Iterable[Callable[[float], None]],
        defect: Callable[[BaseException], None],
        interval: float = INTERVAL,
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._sweeps = tuple(sweeps)
        self._defect = defect
        self._interval = interval
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._timer = self._loop.call_later(self._interval, self._run)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run(self) -> None:
        now = self._clock()
        for sweep in self._sweeps:
            try:
                sweep(now)
            except Exception as error:  # a job: the next sweep must come
                self._defect(error)
        self.start()
