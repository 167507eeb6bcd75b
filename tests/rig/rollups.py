"""Calls of every kind for the rollups, and what the tables say they add up to."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from hypothesis import strategies as st
from rig.ledger import STARTED_MS, record
from sqlalchemy import delete, event, select
from sqlalchemy.ext.asyncio import AsyncEngine

from pricing.cost import INVALID_USAGE, NOT_BILLABLE, UNPRICED, Cost, CostSource, CostStatus
from pricing.usage import Usage
from storage.address import parse
from storage.quality.tables import DAILY, FEEDBACK, JUDGED, OUTCOMES
from storage.queries.calls import CALLS
from storage.rollups.contents import lines_between, user_sums, waiting
from storage.rollups.from_calls import tally_between
from storage.rollups.route_rows import routes_of_day
from storage.rollups.tables import DAYS, DELTAS, GROUPS, HOURS, ROUTES, STATE, USERS
from storage.rollups.tally import Tally
from storage.rollups.transactions import GENERATION, changing_engine, snapshot
from storage.schema import Migrate
from storage.targets import open_target
from storage.targets.contract import Target
from telemetry.outcome import Outcome
from telemetry.record import CallRecord, UsageSource

HOUR_MS = 3_600_000
FOREVER = 2**42
"""Milliseconds: a time beyond all others."""
DAY_MS = 24 * HOUR_MS
FIRST_DAY = STARTED_MS // DAY_MS
"""2026-11-18, in days since 1970."""
NOW = datetime.fromtimestamp(STARTED_MS / 1000, UTC)

_counts = st.none() | st.integers(0, 5) | st.integers(0, 2**40)
_nano = st.integers(0, 10**12)
_names = st.sampled_from(["a", "b", "é\0x", None])


@st.composite
def costs(draw: st.DrawFn) -> Cost:
    """Any cost a call can have; components add up."""
    status = draw(st.sampled_from(list(CostStatus)))
    if status is CostStatus.UNPRICED:
        return UNPRICED
    if status is CostStatus.INVALID_USAGE:
        return INVALID_USAGE
    if status is CostStatus.NOT_BILLABLE:
        return NOT_BILLABLE
    parts = draw(st.tuples(_nano, _nano, _nano, _nano, _nano))
    return Cost(status, CostSource.CATALOGUE, sum(parts), *parts)


@st.composite
def records(draw: st.DrawFn) -> CallRecord:
    """Any call within three days, of few ids, so that some come twice."""
    number = draw(st.integers(1, 10**6))
    ms = STARTED_MS - draw(st.integers(0, 3 * 24 * 60)) * 60_000 + number % 1000
    usage = draw(st.none() | st.builds(Usage, *[_counts] * len(Usage.__struct_fields__)))
    duration, first = draw(st.integers(0, 2**36)), draw(st.none() | st.integers(0, 2**36))
    plain = st.sampled_from(["a", "é", None])  # from headers, which hold no NUL
    route = {name: draw(plain) for name in ("policy", "reason", "experiment", "variant")}
    route["confidence_ppm"] = draw(st.none() | st.integers(0, 1_000_000))
    return record(
        number,
        ms=ms,
        outcome=draw(st.sampled_from(list(Outcome))),
        who={
            "tenant": draw(st.sampled_from([None, "acme", "beta"])),
            **{
                name: draw(_names)
                for name in ("team", "user", "project", "feature", "environment", "session")
            },
        },
        what={
            "provider": draw(st.sampled_from(["openai", "anthropic"])),
            "model": draw(_names),
            "stream": draw(st.booleans()),
        },
        route=route,
        answer={
            "model": draw(_names | st.just("")),
            "status": draw(st.sampled_from([None, 200, 400, 429, 500, 529])),
        },
        timing={"duration_us": duration, "first_chunk_us": first},
        usage=usage,
        usage_source=draw(st.sampled_from(list(UsageSource))),
        cost=draw(costs()),
        baseline_nano=draw(st.none() | _nano),
    )


@asynccontextmanager
async def engine_of(url: str) -> AsyncIterator[AsyncEngine]:
    """An engine that may change the rollups."""
    idle = _idle(url)
    engine = idle.pop() if idle else changing_engine(parse(url, Path()))
    try:
        yield engine
    finally:
        await engine.dispose()
        idle.append(engine)


@functools.lru_cache(maxsize=2)
def _idle(url: str) -> list[AsyncEngine]:
    """Engines without connections that know the statements of the examples before: compiling them takes longest."""
    return []


def target_of(url: str) -> Target:
    """A connected target, with the companion a gateway has."""
    target = open_target(parse(url, Path()), migrate=Migrate.MANUAL, timeout_s=20.0, power_safe=False)
    target.connect()
    return target


async def written(url: str, *batches: Sequence[CallRecord]) -> None:
    """Write batches as the ledger's writer does."""

    def write() -> None:
        target = target_of(url)
        try:
            for batch in batches:
                target.write(batch)
        finally:
            target.close()

    await asyncio.to_thread(write)


class Killed(Exception):  # noqa: N818
    """In place of the death of the process."""


@contextmanager
def killed_at(engine: AsyncEngine, statement: int) -> Iterator[None]:
    """The so-many-th statement is not carried out, and nothing after it."""
    numbers = count()

    def look(*_: object) -> None:
        if next(numbers) >= statement:
            raise Killed

    event.listen(engine.sync_engine, "before_cursor_execute", look)
    try:
        yield
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", look)


async def emptied(url: str) -> None:
    """No calls, no rollups and nothing that was said of calls any more."""
    tables = (CALLS, DELTAS, GROUPS, HOURS, DAYS, USERS, ROUTES, JUDGED, DAILY, FEEDBACK, OUTCOMES)
    async with engine_of(url) as engine, engine.begin() as connection:
        for table in tables:
            await connection.execute(delete(table))
        await connection.execute(delete(STATE).where(STATE.c.name != GENERATION))


async def in_rows(engine: AsyncEngine) -> Tally:
    """What the calls add up to, by the database."""
    async with snapshot(engine) as connection:
        return await tally_between(connection, 0, FOREVER)


async def in_rollups(engine: AsyncEngine) -> Tally:
    """What the rollups say, as a reader sees them: the tables and the deltas together."""
    tally = Tally()
    async with snapshot(engine) as connection:
        tally.hours = await lines_between(connection, HOURS, 0, FOREVER // HOUR_MS)
        for row in await connection.execute(select(USERS)):
            key, sums = user_sums(row)
            tally.users[key] = sums
        days = (await connection.execute(select(ROUTES.c.day).distinct())).scalars().all()
        for day in days:
            tally.routes |= await routes_of_day(connection, day)
        new = (await waiting(connection)).tally
    for key, line in new.hours.items():
        tally.line(*key).merge(line)
    for user, added in new.users.items():
        tally.user(user).merge(added)
    for route, more in new.routes.items():
        tally.route(route, more)
    return tally
