"""Every question of the analytics on one engine. Each method raises :class:`storage.store.StoreUnavailable`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.insights.advice import Adviser
from storage.queries.analytics.active import activity
from storage.queries.analytics.activity import Activity, Span
from storage.queries.analytics.conditions import Conditions
from storage.queries.analytics.minutes import Minute, minutes
from storage.queries.analytics.repriced import Later, repriced
from storage.queries.analytics.routes import Routed, routed
from storage.queries.analytics.sessions import Key, Lately, Session, lately, whole
from storage.rollups.contents import waiting
from storage.rollups.dimensions import DIMENSIONS, Dimension
from storage.rollups.question import People, Question, Totals
from storage.rollups.read import Reader
from storage.rollups.tables import GROUPS
from storage.rollups.transactions import snapshot
from storage.store import unavailable
from telemetry.insights.recommend import Facts

_MODEL = DIMENSIONS.index(Dimension.MODEL)


class Figures:
    """Reads through :func:`storage.engine.reading_engine`."""

    def __init__(self, engine: AsyncEngine, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._engine = engine
        self._now = now
        self._reader = Reader(engine, now)
        self._adviser = Adviser(engine)

    async def totals(self, questions: Sequence[Question]) -> list[Totals]:
        """The sums, all of one moment. Raises :class:`storage.rollups.question.QuestionError` too."""
        async with self.reading():
            return await self._reader.answers(questions)

    async def repriced(self, questions: Sequence[Question]) -> list[Later]:
        """What later prices change of such sums. Raises as :meth:`totals`."""
        async with self.connection() as connection:
            return await repriced(connection, questions, self._now())

    async def people(self, question: Question) -> list[People]:
        """How many users and sessions there were. Raises as :meth:`totals`."""
        async with self.reading():
            return await self._reader.people(question)

    async def models(self, scope: Mapping[str, str]) -> set[str]:
        """Every model that was ever called within ``scope`` (columns of the groups)."""
        query = select(GROUPS.c.model).where(*[GROUPS.c[name] == value for name, value in scope.items()])
        async with self.connection() as connection:
            found = set((await connection.execute(query.distinct())).scalars())
            for _, group in (await waiting(connection)).tally.hours:
                own = dict(zip(DIMENSIONS, group, strict=True))
                if all(own[Dimension(name)] == value for name, value in scope.items()):
                    found.add(group[_MODEL])
        return found - {None}

    async def activity(self, conditions: Conditions, span: Span) -> Activity:
        """Who was there on which day."""
        async with self.connection() as connection:
            return await activity(connection, conditions, span)

    async def routed(self, question: Question) -> Routed:
        """What apps' routers decided. Raises as :meth:`totals`."""
        async with self.connection() as connection:
            return await routed(connection, question, self._now())

    async def facts(
        self, since: datetime, until: datetime, where: Conditions, scope: Mapping[str, str]
    ) -> Facts:
        """What recommendations rest on."""
        async with self.reading():
            return await self._adviser.facts(since, until, where, scope)

    async def minutes(self, conditions: Conditions, measures: Sequence[str], since: datetime) -> list[Minute]:
        """The calls since then by minute and model."""
        async with self.connection() as connection:
            return await minutes(connection, conditions, measures, since)

    async def lately(self, conditions: Conditions, since_ms: int, until_ms: int) -> Lately:
        """The sessions of the newest calls."""
        async with self.connection() as connection:
            return await lately(connection, conditions, since_ms, until_ms)

    async def sessions(
        self,
        keys: Sequence[Key],
        measures: Sequence[str],
        conditions: Conditions,
        since_ms: int,
        until_ms: int,
    ) -> list[Session]:
        """These sessions over a whole period."""
        async with self.connection() as connection:
            return await whole(connection, keys, measures, conditions, since_ms, until_ms)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection on which all statements see the same moment."""
        async with self.reading(), snapshot(self._engine) as connection:
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """The database's errors as ours."""
        try:
            yield
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise unavailable(error, "read") from error

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()
