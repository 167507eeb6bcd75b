"""Taking a person out of feedback and outcomes, whose sums stay; deleting what they did (events) and what they wrote."""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy import bindparam, delete, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.contents.tables import CONTENTS
from storage.events import EVENTS
from storage.privacy.database import AT_ONCE, Person, PrivateDatabase
from storage.quality.tables import FEEDBACK, JUDGED, OUTCOMES

_RATING = (
    update(FEEDBACK)
    .where(FEEDBACK.c.id == bindparam("old"))
    .values(id=bindparam("new"), user_id=None, label=None, comment=None)
)


async def clean_judged(db: PrivateDatabase, person: Person) -> int:
    """Judged calls."""
    theirs = person.conditions(JUDGED, "user_id")
    count = await db.done(update(JUDGED).where(*theirs).values(user_id=None, session_id=None))
    sessions = person.conditions(JUDGED, "session_id")
    return count + await db.done(update(JUDGED).where(*sessions).values(session_id=None))


async def clean_feedback(db: PrivateDatabase, person: Person) -> int:
    """Ratings they gave: the value stays; label and comment go, and the id, which was made from theirs."""
    count = 0
    query = select(FEEDBACK.c.id).where(*person.conditions(FEEDBACK, "user_id")).limit(AT_ONCE)
    while found := await db.rows(query):
        async with db.changing() as connection:
            await connection.execute(_RATING, [{"old": row.id, "new": uuid4().hex} for row in found])
        count += len(found)
    return count


async def clean_outcomes(db: PrivateDatabase, person: Person) -> int:
    """What came of their calls stays, whose it was does not."""
    return await db.done(update(OUTCOMES).where(*person.conditions(OUTCOMES, "user_id")).values(user_id=None))


async def delete_events(db: PrivateDatabase, person: Person) -> int:
    """All they did, also under names they had before they were known."""
    everyone = Person((*person.ids, *await anonymous_ids(db, person)), person.tenant)
    key = (EVENTS.c.tenant_id, EVENTS.c.message_id)
    count = 0
    query = select(*key).where(*everyone.conditions(EVENTS, "user_id", "anonymous_id")).limit(AT_ONCE)
    while found := await db.rows(query):
        async with db.changing() as connection:
            count += await _delete(connection, [(row.tenant_id, row.message_id) for row in found])
    return count


async def delete_contents(db: PrivateDatabase, person: Person) -> int:
    """Prompts and answers of their calls, also of calls whose session was the id."""
    theirs = person.conditions(CONTENTS, "user_id", "session_id")
    key = (CONTENTS.c.tenant_id, CONTENTS.c.call_id)
    count = 0
    while found := await db.rows(select(*key).where(*theirs).limit(AT_ONCE)):
        keys = [tuple(row) for row in found]
        count += await db.done(delete(CONTENTS).where(tuple_(*key).in_(keys)))
    return count


async def anonymous_ids(db: PrivateDatabase, person: Person) -> list[str]:
    """Under which the person was known before: what came with their id in one event, and with no other's."""
    mine = select(EVENTS.c.anonymous_id).where(
        *person.conditions(EVENTS, "user_id"), EVENTS.c.anonymous_id.is_not(None)
    )
    others = select(EVENTS.c.anonymous_id).where(
        EVENTS.c.user_id.not_in(person.ids), EVENTS.c.anonymous_id.is_not(None)
    )
    if person.tenant is not None:
        others = others.where(EVENTS.c.tenant_id == person.tenant)
    shared = {row[0] for row in await db.rows(others.where(EVENTS.c.anonymous_id.in_(mine)))}
    return sorted({row[0] for row in await db.rows(mine.distinct())} - shared)


async def _delete(connection: AsyncConnection, keys: list[tuple[str, str]]) -> int:
    same = [(EVENTS.c.tenant_id == tenant) & (EVENTS.c.message_id == message) for tenant, message in keys]
    return int((await connection.execute(delete(EVENTS).where(or_(*same)))).rowcount)
