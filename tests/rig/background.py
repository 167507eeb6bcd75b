"""Async servers in a thread of their own, for clients that block (synchronous SDKs, subprocess runners)."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """An event loop in a thread. ``enter`` keeps an async context open in it; ``run`` runs a coroutine there."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = contextlib.AsyncExitStack()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout: float = 30.0) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    def enter(self, context: AbstractAsyncContextManager[T]) -> T:
        """Enters ``context`` in the loop; it is left in :meth:`close`."""
        return self.run(self._stack.enter_async_context(context))

    def close(self) -> None:
        self.run(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@contextlib.contextmanager
def background() -> Iterator[Background]:
    """A :class:`Background` for as long as the context lasts."""
    running = Background()
    try:
        yield running
    finally:
        running.close()
