"""How every budget stands, for the alerts to judge."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Final

from storage.budgets import leases
from storage.budgets.admin import all_budgets
from storage.budgets.leases import Standing
from storage.budgets.model import EVERY, Account, Budget, Span, account_of
from storage.budgets.model import Unit as BudgetUnit
from storage.budgets.scopes import told
from storage.budgets.windows import span_of
from storage.control.contract import ControlDatabase
from telemetry.alerts.facts import BudgetFact
from telemetry.alerts.labels import DIMENSIONS, Labels
from telemetry.alerts.verdict import Unit

ENDED_S: Final = 3_600
"""A window that ended less than so many seconds ago is told beside the current one."""
MOST_ACCOUNTS: Final = 10_000
_NAMES: Final = {"key": "key_id"}
_UNITS: Final = {
    BudgetUnit.USD: Unit.NANO_USD,
    BudgetUnit.TOKENS: Unit.TOKENS,
    BudgetUnit.CALLS: Unit.CALLS,
}


async def budget_facts(db: ControlDatabase, now: datetime) -> list[BudgetFact]:
    """Of each budget the accounts that were drawn on, those with most spent first. Raises ``ControlUnavailable``."""
    now_s = int(now.timestamp())
    budgets = {budget.id: budget for budget in await all_budgets(db) if budget.unit in _UNITS}
    query = (
        "SELECT budget_id, subject, window_key, start_s, end_s FROM budget_accounts"
        " WHERE start_s <= ? AND end_s > ? ORDER BY spent DESC LIMIT ?"
    )
    found = []
    for budget_id, subject, window_key, start_s, end_s in await db.fetch(
        query, now_s, now_s - ENDED_S, MOST_ACCOUNTS
    ):
        budget = budgets.get(budget_id)
        if budget is not None:
            found.append(account_of(budget, subject, Span(window_key, start_s, end_s)))
    drawn_on = {account.key for account in found}
    for budget in budgets.values():
        if EVERY in [value for _, value in budget.scope]:
            continue
        account = account_of(budget, "", span_of(budget.window, budget.timezone, budget.week_start, now_s))
        if account.key not in drawn_on:
            found.append(account)
    standings = await leases.standings(db, found, now_s * 1000)
    return [_fact(account, standings.get(account.key, Standing())) for account in found]


def _fact(account: Account, standing: Standing) -> BudgetFact:
    budget = account.budget
    return BudgetFact(
        budget.id,
        budget.name,
        told(budget, account.subject),
        f"{account.window_key} {account.subject}".rstrip(),
        budget.limit,
        standing.spent,
        standing.lent,
        budget.thresholds_ppm,
        datetime.fromtimestamp(account.start_s, UTC),
        datetime.fromtimestamp(account.end_s, UTC),
        _filters(budget, account.subject),
        _UNITS[budget.unit],
    )


def _filters(budget: Budget, subject: str) -> Labels:
    counted = iter(json.loads(subject) if subject else ())
    said = [(name, str(next(counted)) if value == EVERY else value) for name, value in budget.scope]
    named = [(_NAMES.get(name, name), value) for name, value in said]
    return tuple((name, value) for name, value in named if name in DIMENSIONS)
