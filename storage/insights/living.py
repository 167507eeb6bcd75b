"""Gateway keys that could be used, and have been there long enough to be called idle."""

from __future__ import annotations

from typing import Final

from storage.control import ControlDatabase
from storage.keys import admin
from telemetry.insights.recommend import IDLE_DAYS

_DAY_MS: Final = 86_400_000


async def living_keys(db: ControlDatabase, now_ms: int) -> dict[str, str]:
    """Names by id. Raises :class:`storage.control.ControlUnavailable`."""
    old = now_ms - IDLE_DAYS * _DAY_MS
    return {
        row.key.id: row.key.name
        for row in await admin.keys(db)
        if row.revoked_ms is None
        and row.created_ms < old
        and (row.key.expires_ms is None or row.key.expires_ms > now_ms)
    }
