"""Going through stored calls in pages, in the order of their ids: constant memory, and no long transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Executable, Row, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.export.columns import Shape
from storage.queries.calls import CALLS, CallFilter, conditions_of, in_order_of_ids
from storage.store import unavailable

PAGE_ROWS = 1000


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
        after: str | None = None
        while True:
            conditions = in_order_of_ids(wanted, self._engine.dialect.name, after)
            query = select(*columns).where(*conditions).order_by(CALLS.c.id).limit(self._page_rows)
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
