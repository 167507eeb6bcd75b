"""Whose calls have a value, for filters whose index begins with a tenant that nobody named.

Tenants are few beside calls: each is gone to in its index (not one call is read), and asked whether it has the value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import CTE, ColumnElement, Integer, Select, Text, func, literal, select

from pricing.cost import CostStatus
from storage.queries.calls import CALLS, CallFilter, Part, named

MOST_TENANTS: Final = 1000
"""Of more, none is asked: two look-ups for each would take longer than a page is worth."""
MOST_PARTS: Final = 16
"""Parts that are merged. What more tenants have is not rare, and soon found among all calls."""
# Made once: a name for a table is a copy of its hundred columns.
_THEIRS: Final = CALLS.alias("theirs")
_AFTER: Final = CALLS.alias("after")


class Look(msgspec.Struct, frozen=True):
    """What is asked of tenants: which of these values their calls have in a column."""

    column: str
    values: tuple[str, ...]
    tenant: str | None
    """The only one that matters, if one is named."""

    def query(self) -> Select[Any]:
        """One row for each tenant, with a column for each value."""
        every = _all_tenants() if self.tenant is None else _one_tenant(self.tenant)
        has: list[ColumnElement[Any]] = [
            self._has(every, value).label(f"has_{number}") for number, value in enumerate(self.values)
        ]
        return select(every.c.tenant_id, *has).where(every.c.tenant_id.is_not(None))

    def parts(self, rows: Sequence[Sequence[Any]]) -> list[Part] | None:
        """What :meth:`query` found; ``None`` if that is too much."""
        if len(rows) > MOST_TENANTS:
            return None
        found: list[Part] = [
            {"tenant_id": row[0], self.column: value}
            for row in rows
            for value, has in zip(self.values, row[1:], strict=True)
            if has
        ]
        return found if len(found) <= MOST_PARTS else None

    def _has(self, tenants: CTE, value: str) -> ColumnElement[bool]:
        theirs = _THEIRS.c
        conditions = [theirs.tenant_id == tenants.c.tenant_id, theirs[self.column] == value]
        if self.column == "cost_status":
            conditions.append(theirs.cost_nano.is_(None))  # these are what the index holds
        # Not EXISTS, of which PostgreSQL may make one look at all the calls of all tenants.
        return select(theirs.tenant_id).where(*conditions).limit(1).scalar_subquery().is_not(None)


def look_for(wanted: CallFilter) -> Look | None:
    """What is to be asked before a page is; ``None`` where that finds its calls without.

    A user's calls have an index that begins with the user, and are fewer than those of a team.
    """
    values = dict(named(wanted))
    tenant = values.get("tenant_id")
    if "session_id" in values or ("team" in values and "user_id" not in values):
        column = "session_id" if "session_id" in values else "team"
        return Look(column, (str(values[column]),), None) if tenant is None else None
    if wanted.unpriced and "user_id" not in values:
        return Look("cost_status", tuple(CostStatus), None if tenant is None else str(tenant))
    return None


def _all_tenants() -> CTE:
    tenants = select(func.min(CALLS.c.tenant_id).label("tenant_id"), literal(1, Integer).label("number"))
    every = tenants.cte("tenants", recursive=True)
    following = (
        select(_AFTER.c.tenant_id)
        .where(_AFTER.c.tenant_id > every.c.tenant_id)
        .order_by(_AFTER.c.tenant_id)
        .limit(1)
        .scalar_subquery()
    )
    more = (every.c.tenant_id.is_not(None), every.c.number <= MOST_TENANTS)
    return every.union_all(select(following, every.c.number + 1).where(*more))


def _one_tenant(name: str) -> CTE:
    return select(literal(name, Text).label("tenant_id")).cte("tenants")
