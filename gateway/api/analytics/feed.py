"""Calls as they are recorded, to all who listen: one look at the database for all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, Protocol

import msgspec

from gateway.api.problems import ApiError
from storage.store import CallFilter, StoreUnavailable
from storage.tables import CallRow

MOST_LISTENERS: Final = 50
"""Of one worker."""
MOST_WAITING: Final = 1000
"""Calls a slow listener may be behind; beyond that the oldest are skipped."""
MOST_MISSED: Final = 1000
"""Calls that are told to a listener who comes back."""
POLL_S: Final = 0.5
AFTER_FAILURE_S: Final = 2.0
_logger = logging.getLogger(__name__)


class Follows(Protocol):
    """:class:`storage.store.Store`, as far as it is needed here."""

    async def newest(self) -> int: ...

    async def get_call(self, call_id: str) -> CallRow | None: ...

    async def written_after(self, wanted: CallFilter, after: int, limit: int) -> list[CallRow]: ...

    def follow(
        self,
        *,
        after: int | None = None,
        poll_s: float = POLL_S,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> AsyncIterator[CallRow]: ...


class Missed(msgspec.Struct, frozen=True):
    """What a listener who comes back has not seen."""

    rows: list[CallRow] = []
    more: bool = False
    """There was more, or may have been."""


class Listener:
    """Somebody's calls, on their way."""

    def __init__(self, wanted: Callable[[CallRow], bool]) -> None:
        self._wanted = wanted
        self._queue: asyncio.Queue[CallRow] = asyncio.Queue(MOST_WAITING)
        self._skipped = 0

    def offer(self, row: CallRow) -> None:
        """Never waits."""
        if not self._wanted(row):
            return
        if self._queue.full():
            self._queue.get_nowait()
            self._skipped += 1
        self._queue.put_nowait(row)

    async def next(self, within_s: float) -> CallRow | None:
        """The next call; ``None`` if there is none within so many seconds."""
        try:
            return await asyncio.wait_for(self._queue.get(), within_s)
        except TimeoutError:
            return None

    def skipped(self) -> int:
        """How many calls were skipped since this was asked last."""
        number, self._skipped = self._skipped, 0
        return number


class Feed:
    """Follows the table of calls while anybody listens."""

    def __init__(
        self,
        store: Follows,
        most_listeners: int = MOST_LISTENERS,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._most = most_listeners
        self._pause = pause
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def listeners(self) -> int:
        """How many there are."""
        return len(self._listeners)

    @asynccontextmanager
    async def listening(self, wanted: Callable[[CallRow], bool]) -> AsyncIterator[Listener]:
        """Listen to what is written from now on, for as long as the context lasts.

        Raises :class:`ApiError` 429 where too many do, and :class:`StoreUnavailable`.
        """
        if len(self._listeners) >= self._most:
            raise ApiError(
                429,
                "too_many_listeners",
                f"{self._most} listen already, which is as many as one worker serves.",
                headers={"Retry-After": "10"},
            )
        listener = Listener(wanted)
        self._listeners.add(listener)
        try:
            if self._task is None:
                newest = await self._store.newest()
                if self._task is None:
                    self._task = asyncio.get_running_loop().create_task(self._follow(newest))
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                self._stop()

    def _stop(self) -> None:
        """Ends soon: a query under way is broken off, and its connection given back."""
        if self._task is not None:
            self._task.cancel()
            self._ending.add(self._task)
            self._task.add_done_callback(self._ending.discard)
            self._task = None

    async def close(self) -> None:
        """Follow no longer, and leave no query behind; to be called before the store is closed."""
        self._stop()
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def since(self, call_id: str, scope: Mapping[str, str]) -> Missed:
        """What was written after that call within ``scope`` (columns and their values), the first of it.

        A call that is not there and one that is another's are not told apart, and only what is within the scope counts:
        nothing of the others shows. Raises :class:`StoreUnavailable`.
        """
        last = await self._store.get_call(call_id)
        if last is None or any(getattr(last, column) != value for column, value in scope.items()):
            return Missed(more=True)
        wanted = CallFilter(scope=tuple(scope.items()))
        rows = await self._store.written_after(wanted, last.seq, MOST_MISSED + 1)
        return Missed(rows[:MOST_MISSED], len(rows) > MOST_MISSED)

    async def _follow(self, after: int) -> None:
        while True:
            try:
                async for row in self._store.follow(after=after, pause=self._pause):
                    after = max(after, row.seq)
                    for listener in self._listeners:
                        listener.offer(row)
            except Exception as error:  # a tap: whoever listens would wait for ever
                known = isinstance(error, StoreUnavailable)
                _logger.warning("the live feed waits: %s", error if known else type(error).__name__)
                await self._pause(AFTER_FAILURE_S)
