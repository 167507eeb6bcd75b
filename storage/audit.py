"""The log of what was changed, by whom: a line in the transaction of each change."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

import msgspec

from storage.control.contract import ControlDatabase, Transaction

_COLUMNS = "id, at_ms, actor, action, subject, detail"


class AuditLine(msgspec.Struct, frozen=True):
    """One change. ``detail`` is JSON and holds no secret."""

    id: str
    at_ms: int
    actor: str
    action: str
    """``key.create``, ``budget.update``..."""
    subject: str
    """Id of what was changed."""
    detail: str


async def write(
    tx: Transaction, actor: str, action: str, subject: str, detail: Mapping[str, object] | None = None
) -> None:
    """Add a line; it is there exactly if the change is."""
    now = time.time_ns()
    await tx.run(
        f"INSERT INTO audit_log ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
        f"{now:016x}-{os.urandom(4).hex()}",
        now // 1_000_000,
        actor,
        action,
        subject,
        msgspec.json.encode(detail or {}).decode(),
    )


async def lines(db: ControlDatabase, before: str = "~", limit: int = 100) -> list[AuditLine]:
    """The newest lines older than the id ``before``."""
    query = f"SELECT {_COLUMNS} FROM audit_log WHERE id < ? ORDER BY id DESC LIMIT ?"
    return [AuditLine(*row) for row in await db.fetch(query, before, limit)]
