"""Going through stored calls to price them again. The recorded cost stays; the new one stands beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Select, bindparam, func, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from pricing.cost import Cost
from storage.address import Address
from storage.engine import reading_engine, writing_engine
from storage.queries.calls import CALLS, CallFilter, conditions_of, in_order_of_ids
from storage.store import served, unavailable
from storage.tables import CallRow

AT_ONCE = 500
TIMEOUT_S = 120.0
"""A count of every call may take its time."""


class Again(msgspec.Struct, frozen=True):
    """A call and what it costs by today's prices."""

    row: CallRow
    cost: Cost


class Unpriced(msgspec.Struct, frozen=True):
    """Calls of one model whose cost is not known."""

    provider: str
    model: str | None
    calls: int
    input_tokens: int
    output_tokens: int


class History:
    """Stored calls, read and priced again in slices. Every method raises :class:`StoreUnavailable`."""

    def __init__(self, address: Address, timeout_s: float = TIMEOUT_S) -> None:
        self._reading = reading_engine(address, timeout_s=timeout_s, pool_size=1)
        self._writing = writing_engine(address, timeout_s=timeout_s, pool_size=1)

    async def count(self, wanted: CallFilter) -> int:
        """How many calls there are to go through."""
        query = select(func.count().label("calls")).select_from(CALLS).where(*conditions_of(wanted))
        [row] = await self._rows(query)
        return int(row.calls)

    async def slices(self, wanted: CallFilter) -> AsyncIterator[list[CallRow]]:
        """All calls of the filter in the order of their ids, some hundred at a time."""
        after: str | None = None
        while True:
            conditions = in_order_of_ids(wanted, self._reading.dialect.name, after)
            found = await self._rows(select(CALLS).where(*conditions).order_by(CALLS.c.id).limit(AT_ONCE))
            if not found:
                return
            rows = [served(dict(row._mapping)) for row in found]
            after = rows[-1].id
            yield rows

    async def write(self, priced: Sequence[Again]) -> None:
        """Put the new costs beside the recorded ones, in one transaction."""
        statement = (
            update(CALLS)
            .where(CALLS.c.id == bindparam("of_id"), CALLS.c.started_at == bindparam("of_time"))
            .values(
                repriced_nano=bindparam("nano"),
                repriced_status=bindparam("status"),
                repriced_snapshot=bindparam("snapshot"),
                repriced_rule=bindparam("rule"),
            )
        )
        values = [
            {
                "of_id": one.row.id,
                "of_time": one.row.started_at,
                "nano": one.cost.total,
                "status": one.cost.status.value,
                "snapshot": one.cost.snapshot,
                "rule": one.cost.rule,
            }
            for one in priced
        ]
        if not values:
            return
        try:
            async with self._writing.begin() as connection:
                await connection.execute(statement, values)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise unavailable(error) from error

    async def unpriced(self, wanted: CallFilter, limit: int = 200) -> list[Unpriced]:
        """Models of calls that should have a cost and have none (or only a lower bound), most calls first."""
        model = func.coalesce(CALLS.c.response_model, CALLS.c.request_model)
        query = (
            select(
                CALLS.c.provider,
                model,
                func.count(),
                func.sum(CALLS.c.input_tokens),
                func.sum(CALLS.c.output_tokens),
            )
            .where(
                *conditions_of(wanted),
                or_(CALLS.c.cost_nano.is_(None), CALLS.c.cost_status == "partial"),
                or_(CALLS.c.repriced_nano.is_(None), CALLS.c.repriced_status == "partial"),
            )
            .group_by(CALLS.c.provider, model)
            .order_by(func.count().desc(), CALLS.c.provider)
            .limit(limit)
        )
        return [
            Unpriced(provider, named, int(calls), int(read or 0), int(written or 0))
            for provider, named, calls, read, written in await self._rows(query)
        ]

    async def priced_since(self, wanted: CallFilter) -> tuple[int, int]:
        """Calls that had no known cost and have one by later prices, and what that adds up to (nano-USD)."""
        query = select(func.count(), func.sum(CALLS.c.repriced_nano)).where(
            *conditions_of(wanted), CALLS.c.cost_nano.is_(None), CALLS.c.repriced_nano.is_not(None)
        )
        [(calls, nano)] = await self._rows(query)
        return int(calls), int(nano or 0)

    async def _rows(self, query: Select[Any]) -> list[Any]:
        try:
            async with self._reading.connect() as connection:
                return list((await connection.execute(query)).all())
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise unavailable(error) from error

    async def close(self) -> None:
        """Close every connection."""
        await self._reading.dispose()
        await self._writing.dispose()
