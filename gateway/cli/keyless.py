"""``weighbridge check``: would every call be refused, because nobody has a gateway key?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.api.key_models import state_of
from gateway.cli.control_database import now_ms
from gateway.settings import Problem, Settings
from gateway.settings.choices import AuthMode
from gateway.settings.problem import Severity
from storage.address import Address, Engine, parse
from storage.control import ControlUnavailable, control_of
from storage.keys import admin

PATIENCE_S: Final = 2.0


def keyless(settings: Settings) -> Iterator[Problem]:
    """A warning where keys are needed and there is none that is good; nothing where the database does not say."""
    if settings.auth.mode is AuthMode.PASSTHROUGH:
        return
    address = parse(settings.storage.url, settings.storage.data_dir)
    with suppress(ControlUnavailable, OSError):
        missing = address.engine is Engine.SQLITE and not Path(address.dsn).exists()
        if missing or not asyncio.run(_good_keys(address)):
            what = f"is {settings.auth.mode.value!r}, and there is no gateway key that is good: every call is refused"
            yield Problem("auth.mode", what, "Make one: 'weighbridge keys create NAME'", Severity.WARNING)


async def _good_keys(address: Address) -> int:
    db = control_of(address, PATIENCE_S)
    try:
        rows = await admin.keys(db)
    finally:
        await db.close()
    now = now_ms()
    return sum(state_of(row.revoked_ms, row.key.expires_ms, now) == "active" for row in rows)
