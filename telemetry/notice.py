"""Log lines that may not come as often as their cause."""

from __future__ import annotations

import logging
from collections.abc import Callable


class Notices:
    """Logs a warning per kind at most once per interval and says how many were left out.

    ``clock`` is monotonic seconds. Kinds are few and fixed by the code that uses it.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float], interval_s: float = 60.0) -> None:
        self._logger = logger
        self._clock = clock
        self._interval = interval_s
        self._last: dict[str, float] = {}
        self._muted: dict[str, int] = {}

    def warn(self, kind: str, message: str) -> None:
        """``message`` is complete text, not a format."""
        now = self._clock()
        last = self._last.get(kind)
        if last is not None and now - last < self._interval:
            self._muted[kind] = self._muted.get(kind, 0) + 1
            return
        self._last[kind] = now
        muted = self._muted.pop(kind, 0)
        self._logger.warning(
            "%s%s", message, f" ({muted} more like this since the last line)" if muted else ""
        )
