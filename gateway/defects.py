"""Defects of our own: counted by kind, logged now and then, never allowed to reach an app."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Final

LOG_SECONDS: Final = 10.0
"""One log entry per kind of defect in this time; the count goes on."""

_logger = logging.getLogger("gateway")


class Defects:
    """A callable sink for exceptions."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._logged: dict[str, float] = {}
        self.counts: Counter[str] = Counter()
        """By exception type; bounded, since types are."""

    def __call__(self, error: BaseException) -> None:
        kind = type(error).__name__
        self.counts[kind] += 1
        now = self._clock()
        if now - self._logged.get(kind, -LOG_SECONDS) >= LOG_SECONDS:
            self._logged[kind] = now
            _logger.error("defect %s (%d so far); calls go on", kind, self.counts[kind], exc_info=error)
