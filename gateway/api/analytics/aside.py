"""A thread with an event loop of its own: adding up thousands of rows must not hold up the calls that pass through."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable
from typing import TypeVar

from aiohttp import web

from gateway.api.problems import Handler

T = TypeVar("T")


class Aside:
    """Runs coroutines elsewhere. What they use of connections is theirs alone: those belong to that loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    async def run(self, work: Awaitable[T]) -> T:
        """What ``work`` returns or raises. The thread is started when it is needed first."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="weighbridge-analytics", daemon=True
            )
            self._thread.start()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_done(work), self._loop))

    def handler(self, handle: Handler) -> Handler:
        """A handler that is carried out there. It may look at the request, but neither read nor write."""

        async def handled(request: web.Request) -> web.StreamResponse:
            return await self.run(handle(request))

        return handled

    async def close(self, last: Awaitable[None]) -> None:
        """Do one last thing there, and end the thread."""
        if self._loop is None or self._thread is None:
            return await last
        await self.run(_after_the_others(last))
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()
        self._loop = self._thread = None
        return None


async def _after_the_others(last: Awaitable[None]) -> None:
    """What is still asked is broken off, and its connections come back, before they are closed for good."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await last


async def _done(work: Awaitable[T]) -> T:
    return await work
