"""Going through stored calls in pages, in the order of their ids: constant memory, and no long transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Column, ColumnElement, Executable, Row, UnaryExpression, and_, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.operators import custom_op
from sqlalchemy.sql.visitors import replacement_traverse

from storage.export.columns import Shape
from storage.queries.calls import CALLS, CallFilter, conditions_of
from storage.rows import as_datetime, started_ms
from storage.store import unavailable

PAGE_ROWS = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Extent(msgspec.Struct, frozen=True):
    """How much there is to go through."""

    calls: int
    unpriced: int
    """Of those, calls whose cost is not known."""


class CallPages:
    """Reads through :func:`storage.engine.reading_engine`. Every method raises :class:`StoreUnavailable`."""

    def __init__(self, engine: AsyncEngine, page_rows: int = PAGE_ROWS) -> None:
        self._engine = engine
        self._page_rows = page_rows

    async def extent(self, wanted: CallFilter) -> Extent:
        """Counts them: as long as a look at each of them takes."""
        query = select(func.count().label("calls"), func.count(CALLS.c.cost_nano).label("priced"))
        [row] = await self._all(query.where(*conditions_of(wanted)))
        return Extent(row.calls, row.calls - row.priced)

    async def pages(self, wanted: CallFilter, shape: Shape) -> AsyncIterator[Sequence[Row[Any]]]:
        """All calls of the filter, oldest first, with the columns the shape needs.

        Calls that are written meanwhile may or may not be among them; none comes twice.
        """
        columns = [CALLS.c[name] for name in shape.selects]
        conditions = _conditions(wanted, self._engine.dialect.name)
        after: str | None = None
        while True:
            beyond = [] if after is None else _beyond(after)
            query = select(*columns).where(*conditions, *beyond).order_by(CALLS.c.id).limit(self._page_rows)
            found = await self._all(query)
            if found:
                yield found
            if len(found) < self._page_rows:
                return
            after = str(found[-1].id)

    async def _all(self, query: Executable) -> list[Row[Any]]:
        try:
            async with self._engine.connect() as connection:
                return list((await connection.execute(query)).all())
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise unavailable(error, "read") from error

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


def _conditions(wanted: CallFilter, dialect: str) -> list[ColumnElement[bool]]:
    """What a call must fulfil; its time also as a range of ids, which is the order that is read in."""
    conditions = conditions_of(wanted)
    if dialect == "sqlite" and conditions:
        # Left alone, SQLite takes an index of one of these and sorts all it finds, once for each page.
        conditions = [replacement_traverse(and_(*conditions), {}, _not_by_index)]
    if wanted.since is not None:
        conditions.append(CALLS.c.id >= _first_id(_ms(wanted.since)))
    if wanted.until is not None:
        conditions.append(CALLS.c.id < _first_id(_ms(wanted.until) + 1))
    return conditions


def _not_by_index(element: Any, **_more: object) -> Any:
    """``+column``: to SQLite a value, and not something an index knows."""
    if isinstance(element, Column):
        return UnaryExpression(element, operator=custom_op("+"), type_=element.type)
    return None


def _beyond(after: str) -> list[ColumnElement[bool]]:
    """Behind this id; the time spares PostgreSQL the partitions before it."""
    return [CALLS.c.id > after, CALLS.c.started_at >= as_datetime(started_ms(after))]


def _ms(moment: datetime) -> int:
    """Whole milliseconds since 1970, not before it."""
    return max(0, (moment - _EPOCH) // timedelta(milliseconds=1))


def _first_id(ms: int) -> str:
    """No call of this millisecond or a later one has a lesser id: ids begin with it."""
    text = f"{ms:012x}"
    return f"{text[:8]}-{text[8:]}-0000-0000-000000000000"
