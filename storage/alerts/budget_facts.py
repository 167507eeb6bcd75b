"""The accounts of the gateway's budgets, as alerts judge them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import text

from storage.alerts.database import AlertDatabase
from storage.budgets.model import EVERY, Budget, Unit, decode
from storage.budgets.scopes import told
from telemetry.alerts import verdict
from telemetry.alerts.facts import BudgetFact
from telemetry.alerts.labels import DIMENSIONS, Labels
from telemetry.alerts.transition import GRACE

_UNITS: Final = {
    Unit.USD: verdict.Unit.NANO_USD,
    Unit.TOKENS: verdict.Unit.TOKENS,
    Unit.CALLS: verdict.Unit.CALLS,
}
"""Slots are held, not spent."""
_NAMES: Final = {"key": "key_id"}
"""Dimension of a budget -> that of an alert, where they differ."""
_INEXACT: Final = frozenset(("model",))
"""A budget counts by the model that was asked for, the history of spend by the one that answered."""
MOST: Final = 10_000
_ACCOUNTS: Final = text(
    "SELECT b.definition, a.subject, a.window_key, a.start_s, a.end_s, a.spent,"
    " (SELECT coalesce(sum(CASE WHEN l.amount > 0 THEN l.amount ELSE 0 END), 0) FROM budget_leases AS l WHERE l.budget_id = a.budget_id"
    "  AND l.subject = a.subject AND l.window_key = a.window_key AND l.expires_ms > :now_ms) AS reserved"
    " FROM budget_accounts AS a JOIN budgets AS b ON b.id = a.budget_id"
    " WHERE a.end_s > :since_s AND a.start_s <= :now_s"
    " ORDER BY a.end_s, b.name, a.spent DESC, a.subject LIMIT :most"
)


class BudgetAccounts:
    """:data:`storage.alerts.facts.Budgets` over the accounts in the database."""

    def __init__(self, database: AlertDatabase) -> None:
        self._database = database

    async def __call__(self, now: datetime) -> Sequence[BudgetFact]:
        """Accounts whose window is the current one, or ended less than the grace ago."""
        second = int(now.timestamp())
        given = {
            "now_ms": second * 1000,
            "now_s": second,
            "since_s": second - GRACE // timedelta(seconds=1),
            "most": MOST,
        }
        rows = await self._database.rows(_ACCOUNTS.bindparams(**given))
        found = ((decode(row.definition), row) for row in rows)
        return [fact_of(budget, row) for budget, row in found if budget.unit in _UNITS]


def fact_of(budget: Budget, row: Any) -> BudgetFact:
    """One account. ``row``: columns of ``budget_accounts``, and what is reserved."""
    scope = told(budget, row.subject)
    filters, whole = _filters(budget, row.subject)
    mark = sha256(row.subject.encode()).hexdigest()[:16] if row.subject else ""
    return BudgetFact(
        budget_id=f"{budget.id}/{mark}" if mark else budget.id,
        name=budget.name,
        scope=scope or "everything",
        window_key=row.window_key,
        limit_nano=budget.limit,
        spent_nano=row.spent,
        reserved_nano=int(row.reserved),
        thresholds_ppm=budget.thresholds_ppm,
        window_start=datetime.fromtimestamp(row.start_s, UTC),
        window_end=datetime.fromtimestamp(row.end_s, UTC),
        filters=filters,
        unit=_UNITS[budget.unit],
        whole=whole,
    )


def _filters(budget: Budget, subject: str) -> tuple[Labels, bool]:
    counted = iter(json.loads(subject) if subject else ())
    found, whole = [], True
    for dimension, value in budget.scope:
        name, own = _NAMES.get(dimension, dimension), str(next(counted)) if value == EVERY else value
        whole = whole and name in DIMENSIONS and name not in _INEXACT
        found.append((name, own))
    return tuple(found), whole
