"""An answer that is no stream is held until it is whole, so that its cost fits into the head; not for long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

HOLD_BYTES: Final = 256 * 1024
"""Larger answers are not held."""
HOLD_SECONDS: Final = 0.25
"""None is held longer than this."""


class Hold:
    """What of one answer is held back. ``late`` is called when it takes too long."""

    __slots__ = ("_timer", "pieces")

    def __init__(self, loop: asyncio.AbstractEventLoop, late: Callable[[], None]) -> None:
        self.pieces: list[bytes] = []
        self._timer = loop.call_later(HOLD_SECONDS, late)

    def take(self) -> bytes:
        """All of it; nothing is held any more."""
        self._timer.cancel()
        return b"".join(self.pieces)
