"""Answers from the sums: fresh at once, exact always, and fast however many calls there are.

Deltas and tables are read in one snapshot and added up. Whole days come from the sums by day when they are over (with
hours moved to the day before or after where the question's days are not UTC's), whole hours from those by hour, and
parts of hours, at the ends of a period or where a day begins at half past, from the calls themselves.

What the sums by hour do not keep apart is answered elsewhere: questions about tenant, team and user alone from the sums
by user and UTC day (parts of days from the calls), as far as those have the measures; everything else (keys, sessions,
apps, prompts, exact outcomes, users with histograms or in another time zone) from every call of the period. Different
users and sessions are told by the sums by user under any filter of the sums by hour: their rows say which groups it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.queries.calls import CALLS
from storage.rollups import state
from storage.rollups.adding import Adding
from storage.rollups.asked import Asked, planned, prepare
from storage.rollups.contents import slices, waiting
from storage.rollups.held import date_of
from storage.rollups.people import Counting
from storage.rollups.plan import FOREVER_MS, Plan
from storage.rollups.question import People, Question, QuestionError, RollupAudit, Source, Totals
from storage.rollups.selects import (
    of_calls,
    of_periods,
    of_users,
    people_of_calls,
    sessions_of_users,
    users_among,
    users_counted,
)
from storage.rollups.tables import DAYS, HOURS
from storage.rollups.tally import Tally
from storage.rollups.transactions import snapshot
from storage.rollups.visits import Row, groups_that_pass, rows_with_sessions
from storage.rollups.zones import DAY_MS, Range

MOST_LINES: Final = 500_000
"""Groups times buckets of one answer: some hundred megabytes."""


class Reader:
    """Answers questions on one database. Raises SQLAlchemy's errors, ``OSError`` and :class:`QuestionError`."""

    def __init__(self, engine: AsyncEngine, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """``engine`` may be one that cannot write."""
        self._engine = engine
        self._now = now

    async def totals(self, question: Question) -> Totals:
        """The sums the question asks for."""
        return (await self.answers([question]))[0]

    async def answers(self, questions: Sequence[Question]) -> list[Totals]:
        """The same for several questions, answered of one moment: what they have in common agrees."""
        every = [prepare(question, self._now()) for question in questions]
        async with snapshot(self._engine) as connection:
            known = await state.numbers(connection)
            summed = any(asked.source is not Source.CALLS for asked in every)
            fresh = (await waiting(connection)).tally if summed else Tally()
            return [await _answer(connection, asked, known, fresh) for asked in every]

    async def people(self, question: Question) -> list[People]:
        """How many users and sessions each group had; measures and histograms do not matter."""
        asked = prepare(question, self._now())
        source = Source.USER_DAYS if asked.counts_from_sums else Source.CALLS
        async with snapshot(self._engine) as connection:
            known = await state.numbers(connection)
            plan, counting = planned(asked, source, known), Counting(asked)
            if plan.days[0] < plan.days[1]:
                if asked.fits_user_days:
                    await _count_user_days(connection, counting, asked, plan.days)
                elif not await _count_in_groups(connection, counting, asked, plan.days):
                    plan = planned(asked, Source.CALLS, known)
            if plan.calls:
                dialect = connection.dialect
                users = people_of_calls(asked, plan.calls, dialect, CALLS.c.user_id)
                sessions = people_of_calls(asked, plan.calls, dialect, CALLS.c.session_id)
                counting.users(await _rows(connection, users))
                counting.sessions(await _rows(connection, sessions))
            if asked.fits_user_days and plan.days[0] < plan.days[1]:
                for some in slices(counting.names):
                    counting.known(await _rows(connection, users_among(asked, plan.days, some)))
        return counting.people()

    async def audit(self) -> RollupAudit | None:
        """What the last audit found."""
        async with snapshot(self._engine) as connection:
            known = await state.numbers(connection)
        if state.VERIFIED_DAY not in known:
            return None
        return RollupAudit(date_of(known[state.VERIFIED_DAY]), known[state.VERIFIED_DIFFERENCES])


async def _answer(
    connection: AsyncConnection, asked: Asked, known: Mapping[str, int], fresh: Tally
) -> Totals:
    plan = planned(asked, asked.source, known)
    adding = Adding(asked)
    if asked.source is Source.ROLLUPS:
        await _add_periods(connection, adding, plan, fresh)
    elif asked.source is Source.USER_DAYS:
        await _add_user_days(connection, adding, plan, fresh)
    if plan.calls:
        adding.calls(await _sums(connection, of_calls(asked, plan.calls, connection.dialect)))
    until = None if plan.until_ms == FOREVER_MS else asked.moment(plan.until_ms)
    return Totals(adding.lines(), asked.source, asked.moment(plan.since_ms), until)


async def _add_periods(connection: AsyncConnection, adding: Adding, plan: Plan, fresh: Tally) -> None:
    asked, dialect = adding.asked, connection.dialect
    for table, ranges in ((DAYS, [plan.days]), (HOURS, plan.hours)):
        wanted = [one for one in ranges if one[0] < one[1]]
        if wanted:
            adding.rows(await _sums(connection, of_periods(asked, table, wanted, dialect)))
    cut_hours = plan.moved.cut_hours
    for (hour, group), line in fresh.hours.items():
        if plan.has_hour(hour):
            adding.line(hour, group, line, as_in_utc=hour in cut_hours)
    if plan.moved.hours:
        moved = await _sums(connection, of_periods(asked, HOURS, plan.moved.hours, dialect))
        adding.rows(moved, plan.moved.by)
    if plan.moved.calls:
        moved = await _sums(connection, of_calls(asked, plan.moved.calls, dialect))
        adding.calls(moved, plan.moved.by)


async def _add_user_days(connection: AsyncConnection, adding: Adding, plan: Plan, fresh: Tally) -> None:
    first, last = plan.days
    if first < last:
        adding.user_rows(await _sums(connection, of_users(adding.asked, plan.days)))
    for key, sums in fresh.users.items():
        if first <= key[1] < last:
            adding.user(key, sums)


async def _count_user_days(
    connection: AsyncConnection, counting: Counting, asked: Asked, days: Range
) -> None:
    for key, sums in (await waiting(connection)).tally.users.items():
        if days[0] <= key[1] < days[1]:
            counting.waiting(key, sums)
    counting.counted(await _rows(connection, users_counted(asked, days)))
    counting.hashes(await _rows(connection, sessions_of_users(asked, days, connection.dialect)))


async def _count_in_groups(
    connection: AsyncConnection, counting: Counting, asked: Asked, days: Range
) -> bool:
    """Whether the rows know their groups; if not, nothing was counted."""
    from storage.rollups.narrowing import narrowed

    fresh = (await waiting(connection)).tally
    passing = await groups_that_pass(connection, asked.conditions, fresh, asked.group_by)
    keys = list(dict.fromkeys(passing.values()))
    place = {key: number for number, key in enumerate(keys)}
    wanted = {number: place[key] for number, key in passing.items()}
    by_day = asked.bucket is not None
    rows = await rows_with_sessions(connection, asked.conditions, days, fresh, by_day=by_day)
    marks: dict[int | None, list[Row]] = {}
    for row in rows:
        marks.setdefault(asked.mark(row.day * DAY_MS), []).append(row)
    every = {}
    for mark, own in marks.items():
        last = {place: row.last for place, row in enumerate(own) if row.last is not None}
        every[mark] = narrowed([row.groups for row in own], [row.pairs for row in own], wanted, last)
    if None in every.values():
        return False
    for mark, found in every.items():
        own = marks[mark]
        for number, visits in (found or {}).items():
            users = {(own[at].tenant, own[at].user) for at in visits.rows if own[at].user}
            counting.add(mark, keys[number], users, visits.hashes, visits.below)
    return True


async def _sums(connection: AsyncConnection, query: Select[Any]) -> list[Any]:
    """Rows that become lines of the answer; they are held in memory."""
    rows = await _rows(connection, query.limit(MOST_LINES + 1))
    if len(rows) > MOST_LINES:
        cure = "filter, group by less, or take a shorter period or days in place of hours"
        raise QuestionError(f"that is more than {MOST_LINES:,} groups: {cure}")
    return rows


async def _rows(connection: AsyncConnection, query: Select[Any]) -> list[Any]:
    return list((await connection.execute(query)).all())
