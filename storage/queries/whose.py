"""Whose calls a value is among, for filters that name no tenant though their index begins with one.

Tenants are few beside calls: each is gone to in its index (not one call is read), and asked whether it has the value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Integer, Row, Select, func, literal, select

from storage.queries.calls import CALLS, CallFilter, named

MOST_TENANTS: Final = 1000
"""Of more, none is asked: two look-ups for each would take longer than a page is worth."""
MOST_WITH: Final = 16
"""Tenants with the value whose calls are merged. What more of them have is not rare, and soon found among all calls."""


def tenants_with(wanted: CallFilter) -> Select[Any] | None:
    """All tenants, and whether each has a call with the session or team asked for; ``None`` where a page is found without.

    A user's calls have an index that begins with the user, and are fewer than those of a team.
    """
    values = dict(named(wanted))
    if "tenant_id" in values or not values.keys() & {"session_id", "team"}:
        return None
    column = "session_id" if "session_id" in values else "team"
    if column == "team" and "user_id" in values:
        return None
    tenants = select(func.min(CALLS.c.tenant_id).label("tenant_id"), literal(1, Integer).label("number"))
    every = tenants.cte("tenants", recursive=True)
    after = CALLS.alias("after")
    following = (
        select(after.c.tenant_id)
        .where(after.c.tenant_id > every.c.tenant_id)
        .order_by(after.c.tenant_id)
        .limit(1)
        .scalar_subquery()
    )
    every = every.union_all(
        select(following, every.c.number + 1).where(
            every.c.tenant_id.is_not(None), every.c.number <= MOST_TENANTS
        )
    )
    theirs = CALLS.alias("theirs")
    # Not EXISTS, of which PostgreSQL may make one look at all the calls of all tenants.
    has = (
        select(theirs.c.tenant_id)
        .where(theirs.c.tenant_id == every.c.tenant_id, theirs.c[column] == values[column])
        .limit(1)
        .scalar_subquery()
        .is_not(None)
    )
    return select(every.c.tenant_id, has.label("has")).where(every.c.tenant_id.is_not(None))


def whose(rows: Sequence[Row[Any]]) -> list[str] | None:
    """The tenants that have it, of what :func:`tenants_with` found; ``None`` if there are too many."""
    found = [row.tenant_id for row in rows if row.has]
    return found if len(rows) <= MOST_TENANTS and len(found) <= MOST_WITH else None
