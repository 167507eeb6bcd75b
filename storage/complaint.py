"""An outage in the log: told when it begins, now and then while it lasts, and when it is over."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

REMIND_S: Final = 60.0
"""The same reason is told again after it."""
STEADY_S: Final = 5.0
"""A disk that is full takes a row now and then: it is over when nothing failed for so long."""


class Complaint:
    """One thing that may be out of order. ``what`` is it, in words: "the ledger cannot write to the database"."""

    def __init__(
        self, log: logging.Logger, what: str, over: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._what = what
        self._over = over
        self._clock = clock
        self._since: float | None = None
        self._last = self._told_at = 0.0
        self._told = ""

    def suffer(self, reason: str) -> None:
        """It failed."""
        now = self._clock()
        if self._since is None:
            self._since = now
            self._told = ""
        self._last = now
        if reason != self._told or now - self._told_at >= REMIND_S:
            self._log.warning("%s: %s", self._what, reason)
            self._told, self._told_at = reason, now

    def well(self) -> None:
        """It worked."""
        if self._since is not None and self._clock() - self._last >= STEADY_S:
            self._log.info("%s: the trouble lasted %.0f s", self._over, self._last - self._since)
            self._since = None
