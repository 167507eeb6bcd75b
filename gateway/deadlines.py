"""One timer for all calls: a sweep every second instead of a timer per call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

INTERVAL: Final = 1.0
"""Seconds between sweeps; a deadline is kept to within this."""


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
