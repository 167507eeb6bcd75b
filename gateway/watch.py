"""Keeps keys and budgets in memory as the database has them: what is changed there holds here about a second later."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from gateway.admission import Admission
from gateway.keyring import KeyRing, Snapshot
from storage.budgets.admin import all_budgets
from storage.budgets.scopes import Scopes
from storage.control import ControlDatabase, ControlUnavailable
from storage.keys.admin import keys, tokens

TICK_S: Final = 1.0
FIRST_LOOK_S: Final = 1.0
"""How long a start waits for the database."""
WORTH_TELLING: Final = 3
"""Failures in a row; at the first start the tables are only being made."""
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
    ) -> None:
        self._db = db
        self._ring = ring
        self._admission = admission
        self._keys_changed = keys_changed
        self._versions = (-1, -1)
        """Of the keys and of the budgets in memory."""
        self._task: asyncio.Task[None] | None = None
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
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:  # a revocation must be seen, whatever went wrong before it
                _logger.exception("keys and budgets stay as they were")
            await asyncio.sleep(TICK_S)

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
            if self._failures == WORTH_TELLING:
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
