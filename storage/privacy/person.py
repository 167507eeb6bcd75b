"""All that is kept of a person, told to them: JSON Lines, one row a line, each with the table it is from."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import date, datetime
from typing import Any

import msgspec
from sqlalchemy import Row, Select, Table, select

from storage.alerts.tables import ALERTS
from storage.contents.tables import CONTENTS
from storage.control.contract import ControlDatabase
from storage.events import EVENTS
from storage.export.encoders import moment
from storage.privacy.calls import of_calls
from storage.privacy.database import Person, PrivateDatabase
from storage.privacy.governed import ACCOUNTS, subjects_of
from storage.privacy.said import anonymous_ids
from storage.quality.tables import FEEDBACK, JUDGED, OUTCOMES
from storage.queries.calls import CALLS
from storage.rollups.tables import USERS

_ENCODE = msgspec.json.Encoder(enc_hook=str).encode
_NOT_THEIRS = frozenset(("seq", "sessions"))
"""The order of writing, and digests."""


async def told(db: PrivateDatabase, control: ControlDatabase, person: Person) -> AsyncGenerator[bytes, None]:
    """The lines, some hundred at a time. Raises :class:`StoreUnavailable` and ``ControlUnavailable``."""
    calls = select(CALLS).where(*of_calls(person, db.dialect))
    async for page in db.slices(calls, CALLS.c.id):
        yield _lines(CALLS, page)
    contents = select(CONTENTS).where(*person.conditions(CONTENTS, "user_id", "session_id"))
    async for page in db.slices(contents, CONTENTS.c.tenant_id, CONTENTS.c.call_id):
        yield _lines(CONTENTS, page)
    for table, key in ((FEEDBACK, "id"), (OUTCOMES, "id"), (JUDGED, "call_id")):
        query = select(table).where(*person.conditions(table, "user_id"))
        async for page in db.slices(query, table.c[key]):
            yield _lines(table, page)
    everyone = Person((*person.ids, *await anonymous_ids(db, person)), person.tenant)
    events = select(EVENTS).where(*everyone.conditions(EVENTS, "user_id", "anonymous_id"))
    async for page in db.slices(events, EVENTS.c.tenant_id, EVENTS.c.message_id):
        yield _lines(EVENTS, page)
    whole: tuple[Select[Any], ...] = (
        select(USERS).where(*person.conditions(USERS, "user_id")).order_by(USERS.c.day, USERS.c.team),
        select(ALERTS).where(*person.conditions(ALERTS, "user_id")).order_by(ALERTS.c.fired_at),
    )
    for table, one in zip((USERS, ALERTS), whole, strict=True):
        found = await db.rows(one)
        if found:
            yield _lines(table, found)
    async for line in _accounts(control, person):
        yield line


async def _accounts(control: ControlDatabase, person: Person) -> AsyncIterator[bytes]:
    columns = (
        "budget_id",
        "subject",
        "window_key",
        "start_s",
        "end_s",
        "spent",
        "calls",
        "unpriced",
        "denied",
    )
    query = (
        f"SELECT {', '.join(columns)} FROM {ACCOUNTS} WHERE budget_id = ? AND subject = ? ORDER BY start_s"
    )
    for budget_id, subject in await subjects_of(control, person):
        for row in await control.fetch(query, budget_id, subject):
            yield _line(ACCOUNTS, dict(zip(columns, row, strict=True)))


def _lines(table: Table, rows: Sequence[Row[Any]]) -> bytes:
    return b"".join(_line(table.name, dict(row._mapping)) for row in rows)


def _line(table: str, values: dict[str, Any]) -> bytes:
    row = {name: _shown(value) for name, value in values.items() if name not in _NOT_THEIRS}
    return _ENCODE({"table": table, **row}) + b"\n"


def _shown(value: Any) -> Any:
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode("utf-8", "replace")
    return value.isoformat() if isinstance(value, date) else value
