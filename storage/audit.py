"""The log of what was changed, by whom: a line in the transaction of each change."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from storage.control.contract import ControlDatabase, Transaction

NEWEST: Final = "~"
"""Sorts behind every id."""
_COLUMNS: Final = "id, at_ms, actor, action, subject, detail"


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


def changes(before: msgspec.Struct, after: msgspec.Struct) -> dict[str, object]:
    """For ``detail``: the fields that differ, each as it was and as it is."""
    return {
        field: {"before": msgspec.to_builtins(old), "after": msgspec.to_builtins(new)}
        for field in after.__struct_fields__
        if (old := getattr(before, field)) != (new := getattr(after, field))
    }


async def lines(
    db: ControlDatabase,
    before: str = NEWEST,
    limit: int = 100,
    *,
    subject: str | None = None,
    actor: str | None = None,
    action: str | None = None,
) -> list[AuditLine]:
    """The newest lines older than the id ``before``. ``action``: ``key.create``, or ``key`` for all that begin so."""
    where = "id < ?"
    values: list[Any] = [before]
    for column, value in (("subject", subject), ("actor", actor)):
        if value is not None:
            where += f" AND {column} = ?"
            values.append(value)
    if action is not None:
        where += " AND (action = ? OR substr(action, 1, ?) = ?)"
        values += [action, len(action) + 1, f"{action}."]
    query = f"SELECT {_COLUMNS} FROM audit_log WHERE {where} ORDER BY id DESC LIMIT ?"
    return [AuditLine(*row) for row in await db.fetch(query, *values, limit)]
