"""Taking a person out of accounts of budgets and out of alerts, and finding what operators named after them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import delete, or_, select

from storage.alerts.tables import ALERTS, DELIVERIES, TRIES
from storage.budgets.model import EVERY, Budget, decode, short
from storage.budgets.subjects import values_of
from storage.control.contract import ControlDatabase
from storage.privacy.database import Person, PrivateDatabase

_PERSONAL: Final = ("user", "session")
_NAMED: Final = {
    "gateway_keys": ("key", "id", "definition"),
    "api_tokens": ("token", "id", "definition"),
    "budgets": ("budget", "name", "definition"),
    "alert_rules": ("alert rule", "name", "spec"),
    "alert_silences": ("silence", "id", "matchers"),
}
"""Table -> what a row is called, its name, and the text that says whom it is for."""


ACCOUNTS: Final = "budget_accounts"
_LEASES: Final = "budget_leases"


async def delete_accounts(db: ControlDatabase, person: Person) -> int:
    """Accounts and leases that budgets have for the person; a budget counted again would not make them either."""
    count = 0
    for table in (ACCOUNTS, _LEASES):
        theirs = await subjects_of(db, person, table)
        async with db.transaction() as tx:
            for id_, subject in theirs:
                count += await tx.run(
                    f"DELETE FROM {table} WHERE budget_id = ? AND subject = ?", id_, subject
                )
    return count


async def subjects_of(db: ControlDatabase, person: Person, table: str = ACCOUNTS) -> list[tuple[str, str]]:
    """Budgets and subjects of the accounts (or leases) for the person; each has one for every window there was."""
    budgets = {
        budget.id: budget
        for budget in (decode(row[0]) for row in await db.fetch("SELECT definition FROM budgets"))
    }
    rows = await db.fetch(
        f"SELECT DISTINCT budget_id, subject FROM {table} WHERE subject <> '' ORDER BY budget_id, subject"
    )
    return [
        (id_, subject)
        for id_, subject in rows
        if id_ in budgets and _is_theirs(budgets[id_], subject, person)
    ]


def _is_theirs(budget: Budget, subject: str, person: Person) -> bool:
    """Is this an account for the person?"""
    values = values_of(budget, subject)
    kept = tuple(short(id_) for id_ in person.ids)
    if person.tenant is not None and values.get("tenant", person.tenant) not in (
        person.tenant,
        short(person.tenant),
    ):
        return False
    counted = {name for name, value in budget.scope if value == EVERY}
    return any(name in counted and values[name] in kept for name in _PERSONAL if name in values)


async def delete_alerts(db: PrivateDatabase, person: Person) -> int:
    """Alerts about the person, their messages and the log of those."""
    text = [ALERTS.c.subject.contains(id_, autoescape=True) for id_ in person.ids]
    maybe = or_(ALERTS.c.user_id.in_(person.ids), *text)
    query = select(ALERTS.c.id, ALERTS.c.tenant_id, ALERTS.c.user_id, ALERTS.c.labels).where(maybe)
    theirs = [row.id for row in await db.rows(query) if _is_about(row, person)]
    for id_ in theirs:
        messages = select(DELIVERIES.c.id).where(DELIVERIES.c.alert_id == id_)
        async with db.changing() as connection:
            await connection.execute(delete(TRIES).where(TRIES.c.delivery_id.in_(messages)))
            await connection.execute(delete(DELIVERIES).where(DELIVERIES.c.alert_id == id_))
            await connection.execute(delete(ALERTS).where(ALERTS.c.id == id_))
    return len(theirs)


def _is_about(row: Any, person: Person) -> bool:
    if person.tenant is not None and row.tenant_id not in (None, person.tenant):
        return False
    labels: Sequence[Sequence[str]] = row.labels
    return person.is_one(row.user_id) or any(
        name in _PERSONAL and person.is_one(value) for name, value in labels
    )


async def named_after(db: ControlDatabase, person: Person) -> list[str]:
    """What operators made and named the person in: theirs to change or delete. ``key key_17``, ``budget "Ada"``."""
    found = []
    for table, (kind, name, definition) in _NAMED.items():
        rows = await db.fetch(f"SELECT {name}, CAST({definition} AS TEXT) FROM {table}")
        found += [f"{kind} {row[0]}" for row in rows if _names(json.loads(row[1]), person)]
    return found


def _names(value: object, person: Person) -> bool:
    """Is the id a value anywhere in it?"""
    if isinstance(value, dict):
        return any(_names(inner, person) for inner in value.values())
    if isinstance(value, list):
        return any(_names(inner, person) for inner in value)
    return isinstance(value, str) and person.is_one(value)
