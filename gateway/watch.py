"""Keeps keys and budgets in memory as the database has them: what is changed there holds here about a second later."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from gateway.admission import Admission
from gateway.keyring import KeyRing, Snapshot
from storage.budgets.admin import all_budgets
from storage.budgets.scopes import Scopes
from storage.control import ControlDatabase, ControlUnavailable, NoTables
from storage.keys.admin import keys, tokens

TICK_S: Final = 1.0
FIRST_LOOK_S: Final = 1.0
"""How long a start waits for the database."""
WORTH_TELLING: Final = 3
"""Failures in a row."""
WORTH_TELLING_OF_TABLES: Final = 30
"""The same while the database answers and has no tables: at the first start they are being made."""
_VERSIONS: Final = "SELECT name, version FROM control_versions"

_logger = logging.getLogger("gateway.watch")


class Watch:
    """One per worker."""

    def __init__(
        self,
        db: ControlDatabase,
        ring: KeyRing,
        admission: Admission,
        keys_changed: Callable[[], None],
        now_ms: Callable[[], int],
    ) -> None:
        self._db = db
        self._ring = ring
        self._admission = admission
        self._keys_changed = keys_changed
        self._now_ms = now_ms
        self._seen_ms = now_ms()
        """Secrets that ended until then were told of."""
        self._versions = (-1, -1)
        """Of the keys and of the budgets in memory."""
        self._tasks: list[asyncio.Task[None]] = []
        self._failures = 0
        self.trouble: str | None = None
        """Why the database cannot be looked at now."""

    async def start(self) -> None:
        """Know what there is before the first call, from the disk or, where it answers soon, the database."""
        last = self._ring.load()
        if last is not None:
            self._admission.adopt(Scopes(last.budgets))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.look(), FIRST_LOOK_S)
        loop = asyncio.get_running_loop()
        # Beside each other: a database that hangs must not keep a key alive.
        self._tasks = [loop.create_task(self._again(work)) for work in (self.look, self.end_expired)]

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _again(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception:  # the end of a key must be seen, whatever went wrong before it
                _logger.exception("keys and budgets stay as they were")
            await asyncio.sleep(TICK_S)

    async def end_expired(self) -> None:
        """Keys and replaced secrets that have expired since the last time are as good as revoked."""
        before, self._seen_ms = self._seen_ms, self._now_ms()
        if self._ring.has_expired(before, self._seen_ms):
            self._keys_changed()

    async def look(self) -> None:
        """Take over what has changed. Nothing is raised; without the database everything stays as it was."""
        try:
            found = {str(name): int(version) for name, version in await self._db.fetch(_VERSIONS)}
            versions = (found.get("keys", 0), found.get("budgets", 0))
            if versions != self._versions:
                await self._take(versions)
            self._failures, self.trouble = 0, None
        except (ControlUnavailable, msgspec.MsgspecError) as error:  # the latter: of a newer version
            self._failures += 1
            self.trouble = str(error)
            worth = WORTH_TELLING_OF_TABLES if isinstance(error, NoTables) else WORTH_TELLING
            if self._failures == worth:
                _logger.warning("keys and budgets stay as they were: %s", error)

    async def _take(self, versions: tuple[int, int]) -> None:
        """The rows may be newer than the versions: then they are read once more, which does no harm."""
        budgets = await all_budgets(self._db)
        snapshot = Snapshot(versions[0], await keys(self._db), await tokens(self._db), budgets)
        self._admission.adopt(Scopes(budgets))
        if versions[0] != self._ring.version or self._versions[0] < 0:
            self._ring.take(snapshot)
            self._keys_changed()
        self._versions = versions
        try:
            await asyncio.to_thread(self._ring.save, snapshot)
        except OSError as error:
            _logger.warning("the keys cannot be kept for a start without the database: %s", error.strerror)
