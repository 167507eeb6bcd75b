"""Connections that are closed but not yet empty: an app that reads nothing more is not waited for."""

from __future__ import annotations

import asyncio
from typing import Final

STUCK_SECONDS: Final = 30.0
"""How long a closed connection may take nothing of what is still to be sent."""


class Parting:
    """Closes connections: in order where the app goes on reading, hard where it does not.

    A transport that is closed first sends what it holds, and for an app that never reads that is never.
    """

    def __init__(self) -> None:
        self._leaving: dict[asyncio.Transport, tuple[int, float]] = {}

    def close(self, transport: asyncio.Transport) -> None:
        transport.close()
        left = transport.get_write_buffer_size()
        if left:
            self._leaving.setdefault(transport, (left, 0.0))

    def sweep(self, now: float) -> None:
        """Look after those that are leaving; ``now`` is monotonic."""
        for transport, (left, since) in list(self._leaving.items()):
            still = transport.get_write_buffer_size()
            if not still:
                del self._leaving[transport]
            elif still != left or not since:
                self._leaving[transport] = (still, now)
            elif now - since > STUCK_SECONDS:
                transport.abort()
                del self._leaving[transport]

    def __len__(self) -> int:
        return len(self._leaving)
