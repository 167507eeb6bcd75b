"""What quality has to know of a call, and how the call is found when its id is not at hand."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Select, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from pricing.cost import CostStatus
from storage.quality.tables import DIMENSIONS
from storage.queries.calls import CALLS, one
from storage.rollups.routes import band_of
from storage.store import unavailable
from storage.tables import CallRow

_LOOK_AT = 20


class By(enum.StrEnum):
    """How a call is named."""

    CALL = "call_id"
    RESPONSE = "response_id"
    """The provider's id of its answer."""
    TRACE = "trace_id"


class Facts(msgspec.Struct, frozen=True):
    """A call, as far as quality needs it. ``dimensions`` are in the order of :data:`DIMENSIONS`, never ``None``."""

    call_id: str
    started_at: datetime
    dimensions: tuple[str, ...]
    user: str | None
    session: str | None
    cost_nano: int | None
    cost_status: str

    @property
    def tenant(self) -> str:
        return self.dimensions[0]


def facts_of(row: CallRow) -> Facts:
    """From a call's row. The model is the one that answered, else the one asked for."""
    sure = row.route_confidence_ppm
    values = {
        "model": row.response_model or row.request_model,
        "confidence_band": None if sure is None else str(band_of(sure)),
    }
    named = [values[name] if name in values else getattr(row, name) for name in DIMENSIONS]
    return Facts(
        str(row.id),
        row.started_at.astimezone(UTC),
        tuple(value or "" for value in named),
        row.user_id,
        row.session_id,
        row.cost_nano,
        row.cost_status,
    )


class Finder:
    """Looks calls up in the database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def find(self, by: By, value: str, scope: Mapping[str, str]) -> Facts | None:
        """The call of that name within ``scope`` (columns and values); of several the newest that can cost anything.

        Raises :class:`StoreUnavailable`.
        """
        query = _query(by, value)
        if query is None:
            return None
        query = query.where(*[CALLS.c[column] == wanted for column, wanted in scope.items()])
        try:
            async with self._engine.connect() as connection:
                found = [
                    facts_of(CallRow.model_construct(**row._mapping))
                    for row in await connection.execute(query)
                ]
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise unavailable(error, "read") from error
        # A poll of an answer, or a listing within a trace, is a call too: the one that was paid for is meant.
        paid = [facts for facts in found if facts.cost_status != CostStatus.NOT_BILLABLE]
        return next(iter(paid or found), None)


def _query(by: By, value: str) -> Select[Any] | None:
    if by is By.CALL:
        return one(value)
    return select(CALLS).where(CALLS.c[by.value] == value).order_by(CALLS.c.id.desc()).limit(_LOOK_AT)
