"""Writing and reading contents, on either database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from storage import audit
from storage.contents.model import TABLE, Content, Piece
from storage.control.contract import ControlDatabase
from storage.mend import storable
from storage.privacy.erased import Erased

READ: Final = "content.read"
"""In the log of changes."""
_SIDE: Final = ("mode", "size", "text", "digest", "cut", "absent")
COLUMNS: Final = (
    *("tenant_id", "call_id", "started_ms", "team", "user_id", "session_id"),
    *(f"{side}_{name}" for side in ("request", "answer") for name in _SIDE),
)
_INSERT: Final = f"INSERT INTO {TABLE} ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))}) ON CONFLICT DO NOTHING"
_SELECT: Final = f"SELECT {', '.join(COLUMNS)} FROM {TABLE} WHERE call_id = ?"


async def keep(db: ControlDatabase, contents: Sequence[Content], erased: Erased) -> int:
    """Write them in one transaction, each once; how many are of nobody who was erased. Raises ``ControlUnavailable``."""
    async with db.transaction() as tx:
        look = await erased.look(tx)
        kept = [
            one
            for one in contents
            if look is None
            or not any(name and look.is_erased(one.tenant, name) for name in (one.user, one.session))
        ]
        for one in kept:
            await tx.run(_INSERT, *_row(one))
    return len(kept)


async def content_of(db: ControlDatabase, call_id: str) -> Content | None:
    """What is kept of a call. Raises ``ControlUnavailable``."""
    rows = await db.fetch(_SELECT, call_id)
    if not rows:
        return None
    tenant, id_, started_ms, team, user, session = rows[0][:6]
    pieces = _piece(rows[0][6:12]), _piece(rows[0][12:])
    return Content(tenant, id_, started_ms, team, user, session, *pieces)


async def mode_of(db: ControlDatabase, call_id: str) -> str | None:
    """How a call's content is kept, if it is: the mode of its request, or else of its answer."""
    rows = await db.fetch(f"SELECT request_mode, answer_mode FROM {TABLE} WHERE call_id = ?", call_id)
    return None if not rows else next((mode for mode in rows[0] if mode != "none"), None)


async def read_by(db: ControlDatabase, actor: str, call_id: str) -> None:
    """Write down that somebody reads a content. Raises ``ControlUnavailable``."""
    async with db.transaction() as tx:
        await audit.write(tx, actor, READ, call_id)


def _row(one: Content) -> list[Any]:
    who = [one.tenant, one.call_id, one.started_ms, one.team, one.user, one.session]
    row = [*who, *(getattr(piece, name) for piece in (one.request, one.answer) for name in _SIDE)]
    return [storable(str(value)) if isinstance(value, str) else value for value in row]


def _piece(row: Sequence[Any]) -> Piece:
    mode, size, text, digest, cut, absent = row
    return Piece(mode, size, text, digest, bool(cut), absent)
