"""Taking a person out of stored calls; counts, costs and raw usage (which holds no text) stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import JSON, ColumnElement, Row, Text, bindparam, cast, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB

from storage.mend import encode_anyhow
from storage.privacy.anonymous import anonymised, tags_without
from storage.privacy.database import Person, PrivateDatabase
from storage.queries.calls import CALLS, LETTERS, by_value
from storage.rows import DEFAULT_TENANT
from telemetry.record import decode

_JSON = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
_DAY_S = 86_400
_CHANGE = (
    update(CALLS)
    .where(CALLS.c.id == bindparam("of_id"), CALLS.c.started_at == bindparam("of_time"))
    .values(
        user_id=bindparam("user"),
        session_id=bindparam("session"),
        tags=bindparam("its_tags", type_=_JSON),
        attribute_sources=bindparam("its_sources", type_=_JSON),
    )
)


class Cleaned(msgspec.Struct):
    """What was done so far."""

    calls: int = 0
    sessions: set[tuple[str, int]] = msgspec.field(default_factory=set)
    """Tenant and day (since 1970) of calls of others whose session was the id."""


def of_calls(person: Person, dialect: str, *more: ColumnElement[bool]) -> list[ColumnElement[bool]]:
    """Calls of the person, for who goes through them by id; ``more``: what makes others theirs too."""
    theirs = or_(CALLS.c.user_id.in_(person.ids), CALLS.c.session_id.in_(person.ids), *more)
    of_tenant = [] if person.tenant is None else [CALLS.c.tenant_id == person.tenant]
    return by_value([theirs, *of_tenant], dialect)


async def clean_calls(db: PrivateDatabase, person: Person) -> Cleaned:
    """Every call that names the person. Safe to be done again."""
    columns = ("id", "started_at", "tenant_id", "user_id", "session_id", "tags", "attribute_sources")
    mentioned = [cast(CALLS.c.tags, Text).contains(_as_json(id_), autoescape=True) for id_ in person.ids]
    query = select(*[CALLS.c[name] for name in columns]).where(*of_calls(person, db.dialect, *mentioned))
    cleaned = Cleaned()
    async for found in db.slices(query, CALLS.c.id):
        changes = [change for row in found if (change := _change(row, person)) is not None]
        if changes:
            async with db.changing() as connection:
                await connection.execute(_CHANGE, changes)
            cleaned.calls += len(changes)
        for row in found:
            if person.is_one(row.session_id) and not person.is_one(row.user_id):
                cleaned.sessions.add((row.tenant_id, int(row.started_at.timestamp()) // _DAY_S))
    return cleaned


def _change(row: Row[Any], person: Person) -> dict[str, Any] | None:
    """The row as it may stay; the same rules as :func:`storage.privacy.anonymous.anonymised`."""
    tags: Mapping[str, str] = row.tags or {}
    own = person.is_one(row.user_id)
    kept = tuple(tags.items())
    if own:
        for id_ in person.ids:
            kept = tags_without(kept, id_)
    else:
        kept = tuple(pair for pair in kept if not person.is_one(pair[1]))
    session = None if own or person.is_one(row.session_id) else row.session_id
    if not own and session == row.session_id and len(kept) == len(tags):
        return None
    gone = {"user"} if own else set()
    gone |= {"session"} if session is None else set()
    sources = {name: by for name, by in (row.attribute_sources or {}).items() if name not in gone}
    return {
        "of_id": row.id,
        "of_time": row.started_at,
        "user": None if own else row.user_id,
        "session": session,
        "its_tags": dict(kept) or None,
        "its_sources": sources or None,
    }


async def clean_letters(db: PrivateDatabase, person: Person) -> int:
    """Records no row could be made of: they become rows later, and then without the person."""
    count = 0
    async for found in db.slices(select(LETTERS.c.id, LETTERS.c.record), LETTERS.c.id):
        for row in found:
            cleaned = _clean_letter(bytes(row.record), person)
            if cleaned is not None:
                await db.done(update(LETTERS).where(LETTERS.c.id == row.id).values(record=cleaned))
                count += 1
    return count


def _clean_letter(stored: bytes, person: Person) -> bytes | None:
    """The record without the person; ``None`` where it is not theirs."""
    try:
        record = decode(stored)
    except msgspec.MsgspecError:
        return masked(stored, person)
    if person.tenant is not None and (record.who.tenant or DEFAULT_TENANT) != person.tenant:
        return None
    cleaned = anonymised(record, person.is_one)
    return None if cleaned is record else encode_anyhow(cleaned)


def masked(stored: bytes, person: Person) -> bytes | None:
    """Bytes nobody can read any more, with the id overwritten; ``None`` where it is not in them."""
    clean = stored
    for id_ in person.ids:
        name = id_.encode("utf-8", "replace")
        clean = clean.replace(name, b"x" * len(name))
    return None if clean == stored else clean


def _as_json(text: str) -> str:
    return msgspec.json.encode(text)[1:-1].decode()
