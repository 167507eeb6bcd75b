"""Takes contents from the event loop to the database: a bounded queue, and a thread that makes rows of it.

It looks on: a content that cannot be made, or for which there is no room, is counted and gone, and the call knows
nothing of it. What waits is in memory alone, so the last seconds die with the process; records and money do not.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from gateway.call import Call, Progress
from gateway.capturing.content import Captured, ContentMaker
from gateway.wire.tap import Witness
from storage.contents.keep import keep
from storage.contents.model import Content
from storage.control.contract import ControlDatabase, ControlUnavailable
from storage.privacy.erased import Erased
from storage.rows import DEFAULT_TENANT
from storage.stats import ContentStats

BATCH: Final = 32
PAUSES_S: Final = (0.5, 0.5, 1.0, 2.0, 5.0)
"""Between looks at the queue; the later ones after so many failures of the database in a row."""
LAST_PAUSE_S: Final = 0.1
KEY_FILE: Final = "capture.key"
_KEY_BYTES: Final = 32

_logger = logging.getLogger("gateway.capturing")


class Recipe:
    """How contents are made under one state of the settings: a call that is running stays with its own."""

    def __init__(self, make_maker: Callable[[], ContentMaker], *, room: int, request_bytes: int) -> None:
        """``make_maker`` runs in the keeper's thread. ``room``: bytes that may wait; ``request_bytes``: looked at
        of a request."""
        self._make_maker = make_maker
        self._maker: ContentMaker | None = None
        self.room = room
        self.request_bytes = request_bytes

    def make(self, one: Captured) -> Content:
        """The row. May raise whatever the bytes make the parsers raise, and ``OSError`` where the key is kept."""
        if self._maker is None:
            self._maker = self._make_maker()
        return self._maker.make(one)


class Keeper:
    """Made once per worker; its thread begins with the first content."""

    def __init__(
        self,
        open_db: Callable[[], ControlDatabase],
        defect: Callable[[BaseException], None] = lambda error: None,
    ) -> None:
        """``open_db`` runs in the thread."""
        self._open_db = open_db
        self._defect = defect
        self._lock = threading.Lock()
        self._queue: deque[tuple[Captured, Recipe]] = deque()
        self._held = 0
        self._waiting = 0
        self._kept = self._dropped = self._failed = 0
        self._stop = threading.Event()
        self._until = 0.0
        """When to give up after the stop; monotonic."""
        self._thread: threading.Thread | None = None

    @property
    def stats(self) -> ContentStats:
        """Figures of this moment."""
        return ContentStats(self._kept, self._dropped, self._failed, self._waiting)

    def under(self, recipe: Recipe) -> Callable[[Call, Progress, Witness | None], None]:
        """Takes a call that has ended and is to be kept. For the event loop; raises nothing."""
        return partial(self._put, recipe)

    def _put(self, recipe: Recipe, call: Call, progress: Progress, witness: Witness | None) -> None:
        try:
            self._take(recipe, call, progress, witness)
        except Exception as error:  # a sink
            self._failed += 1
            self._defect(error)

    def _take(self, recipe: Recipe, call: Call, progress: Progress, witness: Witness | None) -> None:
        wanted, who = call.capture, call.who
        if wanted is None or self._stop.is_set():
            return
        target, reads = call.target, None
        if wanted.encoding and target.wire is not None:
            reads = partial(target.wire.read_ask, target.path, target.query)
        one = Captured(
            call.id,
            call.started_ns // 1_000_000,
            who.tenant or DEFAULT_TENANT,
            who.team,
            who.user,
            who.session,
            call.ask.user,
            wanted,
            call.body[: recipe.request_bytes],
            max(progress.request_bytes, len(call.body)),
            witness.sample if witness is not None else None,
            progress.response_bytes,
            reads,
        )
        with self._lock:
            if self._held + one.weight > recipe.room:
                self._dropped += 1
                return
            self._held += one.weight
            self._waiting += 1
            self._queue.append((one, recipe))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="contents", daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Write what waits, within the time; what is left is dropped. Not for the event loop."""
        self._until = time.monotonic() + timeout_s
        self._stop.set()
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
        with self._lock:
            self._dropped += self._waiting
            self._waiting = 0
            self._queue.clear()

    # ---- in the thread

    def _run(self) -> None:
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(self._main())
        except Exception as error:  # a sink
            self._defect(error)
        finally:
            loop.close()
            self._thread = None  # after a defect the next content begins anew

    async def _main(self) -> None:
        db, erased = self._open_db(), Erased()
        batch: list[Content] = []
        weight = failures = 0
        try:
            while True:
                ended = self._stop.is_set()
                if not batch:
                    batch, weight = self._next()
                if batch and await self._write(db, batch, erased):
                    self._done(len(batch), weight)
                    batch, failures = [], 0
                    continue
                if ended and (not batch or time.monotonic() > self._until):
                    return
                failures += bool(batch)
                if ended:
                    await asyncio.sleep(LAST_PAUSE_S)
                else:
                    self._stop.wait(PAUSES_S[min(failures, len(PAUSES_S) - 1)])
        finally:
            await db.close()

    async def _write(self, db: ControlDatabase, batch: list[Content], erased: Erased) -> bool:
        try:
            await keep(db, batch, erased)
        except ControlUnavailable as error:
            _logger.debug("contents wait: %s", error)
            return False
        return True

    def _next(self) -> tuple[list[Content], int]:
        """The next rows, and the weight of what they were made from."""
        batch: list[Content] = []
        weight = 0
        while self._queue and len(batch) < BATCH:
            one, recipe = self._queue.popleft()
            try:
                batch.append(recipe.make(one))
            except Exception as error:  # a sink
                with self._lock:
                    self._failed += 1
                    self._waiting -= 1
                    self._held -= one.weight
                self._defect(error)
            else:
                weight += one.weight
        return batch, weight

    def _done(self, count: int, weight: int) -> None:
        with self._lock:
            self._kept += count
            self._waiting -= count
            self._held -= weight


def key_in(data_dir: Path) -> bytes:
    """The key of the digests, made when it is first needed; the same for all workers. Raises ``OSError``."""
    path = data_dir / KEY_FILE
    try:
        return path.read_bytes()
    except FileNotFoundError:
        # Of a name that nobody had before: a container's gateway has the same pid each time, and may have been killed here.
        fd, part = tempfile.mkstemp(prefix=f".{KEY_FILE}.", dir=data_dir)
        try:
            with open(fd, "wb") as file:
                file.write(os.urandom(_KEY_BYTES))
                os.fsync(fd)
            with contextlib.suppress(FileExistsError):  # the first one counts
                os.link(part, path)
        finally:
            os.unlink(part)
        return path.read_bytes()
