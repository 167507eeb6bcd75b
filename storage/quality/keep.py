"""Keeping what is said of calls: ratings and outcomes, the sums of their call, and the sums of its day.

All of it in one transaction, and one call at a time: the row of the call is locked first, so that what is said twice at
once is kept once, and the sums of a day are always those of its calls.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Table, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.privacy.lookup import among, look
from storage.quality.facts import Facts
from storage.quality.tables import DAILY, DIMENSIONS, FEEDBACK, JUDGED, OUTCOMES
from storage.rollups import state
from storage.rows import ms_of
from storage.store import unavailable
from storage.upsert import insert_into
from telemetry.quality import Measures, Opinion, Result, Scale, Source, measures_of

MEASURES = Measures.__struct_fields__
_SLOTS = {Result.REJECTED: Result.ACCEPTED}
"""Results that take each other's place."""


class Rating(msgspec.Struct, frozen=True):
    """Somebody's opinion of one call."""

    opinion: Opinion
    user: str | None = None
    """Who says so; a user's rating without a name is the call's own user's."""
    label: str | None = None
    comment: str | None = None
    given_id: str | None = None
    """The client's name for this rating; without one, each source and user has one rating of a call."""


class Outcome(msgspec.Struct, frozen=True):
    """What came of one call."""

    result: Result
    value_nano: int = 0
    user: str | None = None
    given_id: str | None = None


class Fate(enum.StrEnum):
    """What became of what was said."""

    STORED = "stored"
    UNCHANGED = "unchanged"
    """It was known already."""
    REPLACED = "replaced"
    """It took the place of what the same one said before."""


class Kept(msgspec.Struct, frozen=True):
    """The answer: where it is kept now. ``revision`` counts from 1."""

    id: str
    call_id: str
    fate: Fate
    revision: int


class OtherCall(ValueError):  # noqa: N818 - a decision, not a defect
    """The client's id names something that was said of another call."""


class Forgotten(ValueError):  # noqa: N818 - a decision, not a defect
    """The call is older than what is kept. What was said of it before is in the sums of its day and nowhere else."""


class _Saying(msgspec.Struct, frozen=True):
    """What was said, as the row it will be."""

    table: Table
    key: str
    values: dict[str, Any]


Said = TypeVar("Said", Rating, Outcome)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class QualityLog:
    """Writes through an engine that can (:func:`storage.engine.writing_engine`)."""

    def __init__(self, engine: AsyncEngine, now: Callable[[], datetime] = _utc_now) -> None:
        self._engine = engine
        self._now = now

    async def rate(self, call: Facts, rating: Rating) -> Kept:
        """Keep a rating. Raises :class:`StoreUnavailable`, :class:`OtherCall`, :class:`Forgotten`."""
        if rating.user is None and rating.opinion.source is Source.USER:
            rating = msgspec.structs.replace(rating, user=call.user)
        return await self._keep(call, rating, _as_feedback)

    async def note(self, call: Facts, outcome: Outcome) -> Kept:
        """Keep an outcome; accepted and rejected take each other's place. Raises as :meth:`rate` does."""
        if outcome.user is None:
            outcome = msgspec.structs.replace(outcome, user=call.user)
        return await self._keep(call, outcome, _as_outcome)

    async def _keep(self, call: Facts, said: Said, saying: Callable[[Facts, Said], _Saying]) -> Kept:
        try:
            async with self._engine.begin() as db:
                if await _is_forgotten(db, call):
                    raise Forgotten(call.call_id)
                call, said = await _spared(db, call, said)
                one = saying(call, said)
                before = await _locked(db, call)
                kept = await self._put(db, one, call)
                if kept.fate is not Fate.UNCHANGED:
                    await _add_up(db, call, before)
                return kept
        except IntegrityError as error:
            raise OtherCall("the id is taken") from error
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise unavailable(error, "written to") from error

    async def _put(self, db: AsyncConnection, one: _Saying, call: Facts) -> Kept:
        table, key, values, now = one.table, one.key, one.values, self._now()
        found = (await db.execute(select(table).where(table.c.id == key))).mappings().first()
        if found is None:
            fixed = {"id": key, "call_id": call.call_id, "tenant_id": call.tenant, "revision": 1}
            await db.execute(table.insert().values(**fixed, **values, created_at=now, updated_at=now))
            return Kept(key, call.call_id, Fate.STORED, 1)
        if str(found["call_id"]) != call.call_id:
            raise OtherCall(key)
        if all(found[name] == value for name, value in values.items()):
            return Kept(key, call.call_id, Fate.UNCHANGED, found["revision"])
        revision = found["revision"] + 1
        change = update(table).where(table.c.id == key)
        await db.execute(change.values(**values, revision=revision, updated_at=now))
        return Kept(key, call.call_id, Fate.REPLACED, revision)

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


def _as_feedback(call: Facts, rating: Rating) -> _Saying:
    said = rating.opinion
    values = {
        "user_id": rating.user,
        "source": said.source.value,
        "scale": said.scale.value,
        "ppm": said.ppm,
        "label": rating.label,
        "comment": rating.comment,
    }
    name = rating.given_id or [call.call_id, said.source, rating.user]
    return _Saying(FEEDBACK, _digest("rating", call.tenant, name), values)


def _as_outcome(call: Facts, outcome: Outcome) -> _Saying:
    slot = _SLOTS.get(outcome.result, outcome.result)
    values = {
        "user_id": outcome.user,
        "result": outcome.result.value,
        "value_nano": outcome.value_nano,
    }
    return _Saying(
        OUTCOMES, _digest("outcome", call.tenant, outcome.given_id or [call.call_id, slot]), values
    )


async def _is_forgotten(db: AsyncConnection, call: Facts) -> bool:
    """Said of once more, it would count twice: a partition of calls may outlive what was said of them by weeks."""
    return ms_of(call.started_at) < (await state.numbers(db)).get(state.FORGOTTEN_MS, 0)


async def _spared(db: AsyncConnection, call: Facts, said: Said) -> tuple[Facts, Said]:
    """Both without those who were erased."""
    gone = among(await look(db), call.tenant, (call.user, call.session, said.user))
    if said.user in gone:
        said = msgspec.structs.replace(said, user=None)
        if isinstance(said, Rating):
            said = msgspec.structs.replace(said, label=None, comment=None)
    if call.user in gone or call.session in gone:
        user = None if call.user in gone else call.user
        call = msgspec.structs.replace(call, user=user, session=None)
    return call, said


async def _locked(db: AsyncConnection, call: Facts) -> Measures:
    """What the call adds so far; its row is made if need be, and ours until the end of the transaction."""
    dimensions = dict(zip(DIMENSIONS, call.dimensions, strict=True))
    row = {
        "call_id": call.call_id,
        "started_at": call.started_at,
        "user_id": call.user,
        "session_id": call.session,
        "call_cost_nano": call.cost_nano,
        "call_cost_status": call.cost_status,
        "day": call.started_at.date(),
        **dimensions,
        **dict.fromkeys(MEASURES, 0),
    }
    await db.execute(insert_into(db, JUDGED).values(**row).on_conflict_do_nothing())
    columns = [JUDGED.c[name] for name in MEASURES]
    query = select(*columns).where(JUDGED.c.call_id == call.call_id).with_for_update()
    return Measures(*(await db.execute(query)).one())


async def _add_up(db: AsyncConnection, call: Facts, before: Measures) -> None:
    """Bring the sums of the call, and those of its day, up to what is said of it now."""
    judged = (await db.execute(select(JUDGED).where(JUDGED.c.call_id == call.call_id))).mappings().one()
    said = await db.execute(
        select(FEEDBACK.c.source, FEEDBACK.c.scale, FEEDBACK.c.ppm).where(FEEDBACK.c.call_id == call.call_id)
    )
    opinions = [Opinion(Source(source), Scale(scale), ppm) for source, scale, ppm in said]
    came = await db.execute(
        select(OUTCOMES.c.result, OUTCOMES.c.value_nano).where(OUTCOMES.c.call_id == call.call_id)
    )
    results: dict[Result, int] = {}
    for result, nano in came:
        results[Result(result)] = results.get(Result(result), 0) + nano
    now = measures_of(opinions, results, judged["call_cost_nano"], judged["call_cost_status"])
    change = update(JUDGED).where(JUDGED.c.call_id == call.call_id)
    await db.execute(change.values(**msgspec.structs.asdict(now)))
    day, dimensions = judged["day"], {name: judged[name] for name in DIMENSIONS}
    row = {"key": _digest("day", str(day), list(dimensions.values())), "day": day, **dimensions}
    delta = msgspec.structs.asdict(now - before)
    upsert = insert_into(db, DAILY).values(**row, **delta)
    added = {name: DAILY.c[name] + upsert.excluded[name] for name in MEASURES}
    await db.execute(upsert.on_conflict_do_update(index_elements=[DAILY.c.key], set_=added))


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
