"""Making, changing and ending budgets; each change is counted from the rows and written to the audit log."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from storage import audit
from storage.address import Engine
from storage.budgets import leases
from storage.budgets.amounts import CALLS_SQL, UNPRICED_SQL, columns_of, spent_sql
from storage.budgets.companion import LOCK_KEY
from storage.budgets.leases import Standing
from storage.budgets.model import Account, Budget, Unit, account_of, decode, encode
from storage.budgets.windows import span_of
from storage.control.contract import ControlDatabase, Transaction

_NS: Final = 1_000_000_000
_MOST_SUBJECTS: Final = 1_000


class BudgetError(ValueError):
    """It cannot be done; the message says why."""


class Held(msgspec.Struct, frozen=True):
    """An account and how it stands."""

    account: Account
    standing: Standing


async def create(db: ControlDatabase, budget: Budget, actor: str, now_s: int) -> None:
    """Add a budget; what was spent in its window so far counts. Raises :class:`BudgetError` for a name that is taken."""
    async with db.transaction() as tx:
        await _alone(tx)
        if await tx.fetch("SELECT id FROM budgets WHERE name = ?", budget.name):
            raise BudgetError(f"there is a budget of the name {budget.name!r} already")
        now_ms = now_s * 1000
        insert = "INSERT INTO budgets (id, name, definition, created_ms, updated_ms) VALUES (?, ?, ?, ?, ?)"
        await tx.run(insert, budget.id, budget.name, encode(budget), now_ms, now_ms)
        await _count_anew(tx, budget, now_s)
        await _changed(tx, actor, "budget.create", budget)


async def update(db: ControlDatabase, budget: Budget, actor: str, now_s: int) -> None:
    """Replace the definition of ``budget.id``. Raises :class:`BudgetError`."""
    async with db.transaction() as tx:
        await _alone(tx)
        before = await tx.fetch("SELECT definition FROM budgets WHERE id = ?", budget.id)
        if not before:
            raise BudgetError(f"there is no budget {budget.id}")
        if await tx.fetch("SELECT id FROM budgets WHERE name = ? AND id <> ?", budget.name, budget.id):
            raise BudgetError(f"there is a budget of the name {budget.name!r} already")
        change = "UPDATE budgets SET name = ?, definition = ?, updated_ms = ? WHERE id = ?"
        await tx.run(change, budget.name, encode(budget), now_s * 1000, budget.id)
        if _counts_alike(decode(before[0][0]), budget):
            await _changed(tx, actor, "budget.update", budget)
            return
        await _count_anew(tx, budget, now_s)
        await _changed(tx, actor, "budget.update", budget)


async def delete(db: ControlDatabase, budget_id: str, actor: str) -> bool:
    """End a budget; whether there was one. Its accounts go with it."""
    async with db.transaction() as tx:
        await _alone(tx)
        gone = await tx.run("DELETE FROM budgets WHERE id = ?", budget_id)
        if gone:
            await tx.run("DELETE FROM budget_accounts WHERE budget_id = ?", budget_id)
            await tx.run("DELETE FROM budget_leases WHERE budget_id = ?", budget_id)
            await bump(tx, "budgets")
            await audit.write(tx, actor, "budget.delete", budget_id)
        return bool(gone)


async def rebuild(db: ControlDatabase, budget: Budget, now_s: int) -> None:
    """Count the current window anew from the rows."""
    async with db.transaction() as tx:
        await _alone(tx)
        await _count_anew(tx, budget, now_s)


async def all_budgets(db: ControlDatabase) -> list[Budget]:
    """By name."""
    return [decode(row[0]) for row in await db.fetch("SELECT definition FROM budgets ORDER BY name")]


async def version(db: ControlDatabase, name: str) -> int:
    """Grows with each change of ``budgets`` or ``keys``."""
    rows = await db.fetch("SELECT version FROM control_versions WHERE name = ?", name)
    return int(rows[0][0]) if rows else 0


async def held(db: ControlDatabase, budget: Budget, now_s: int) -> list[Held]:
    """Its accounts in the current window, those with most spent first (at most a thousand)."""
    span = span_of(budget.window, budget.timezone, budget.week_start, now_s)
    query = (
        "SELECT subject FROM budget_accounts WHERE budget_id = ? AND window_key = ?"
        " ORDER BY spent DESC, subject LIMIT ?"
    )
    subjects = [row[0] for row in await db.fetch(query, budget.id, span.key, _MOST_SUBJECTS)]
    if not subjects and "*" not in [value for _, value in budget.scope]:
        subjects = [""]
    accounts = [account_of(budget, subject, span) for subject in subjects]
    found = await leases.standings(db, accounts, now_s * 1000)
    return [Held(account, found.get(account.key, Standing())) for account in accounts]


async def bump(tx: Transaction, name: str) -> None:
    """Tell every worker that something changed."""
    await tx.run("UPDATE control_versions SET version = version + 1 WHERE name = ?", name)


async def _alone(tx: Transaction) -> None:
    """No batch of rows is being written while this transaction lasts (SQLite: its write lock is held)."""
    if tx.engine is Engine.POSTGRESQL:
        await tx.fetch("SELECT pg_advisory_xact_lock(?)", LOCK_KEY)


async def _changed(tx: Transaction, actor: str, action: str, budget: Budget) -> None:
    await bump(tx, "budgets")
    detail = msgspec.to_builtins(budget)
    await audit.write(tx, actor, action, budget.id, detail)


def _counts_alike(before: Budget, after: Budget) -> bool:
    """Do both take the same from the same accounts?"""
    names = ("unit", "window", "timezone", "week_start", "scope", "unpriced", "ceiling_nano_per_mtok")
    return all(getattr(before, name) == getattr(after, name) for name in names)


async def _count_anew(tx: Transaction, budget: Budget, now_s: int) -> None:
    """The accounts of the current window, from the rows. Leases stay: they are for calls under way."""
    await tx.run("DELETE FROM budget_accounts WHERE budget_id = ?", budget.id)
    if budget.unit is Unit.SLOTS:
        return
    span = span_of(budget.window, budget.timezone, budget.week_start, now_s)
    counted, conditions, values = columns_of(budget, tx.engine)
    where = " AND ".join(["started_ns >= ?", "started_ns < ?", *conditions])
    grouped = f" GROUP BY {', '.join(counted)}" if counted else ""
    shown = "".join(f"{column}, " for column in counted)
    query = (
        f"SELECT {shown}{spent_sql(budget)}, {CALLS_SQL}, {UNPRICED_SQL}"
        f" FROM model_requests WHERE {where}{grouped}"
    )
    end_ns = min(span.end_s * _NS, 2**63 - 1)
    for row in await tx.fetch(query, span.start_s * _NS, end_ns, *values):
        await _put(tx, budget, span.key, (span.start_s, span.end_s), row, len(counted))


async def _put(
    tx: Transaction, budget: Budget, window_key: str, span: tuple[int, int], row: Sequence[Any], counted: int
) -> None:
    subject = json.dumps(list(row[:counted])) if counted else ""
    amount, calls, unpriced = (int(value or 0) for value in row[counted:])
    if not calls and not amount:
        return
    await tx.run(
        "INSERT INTO budget_accounts"
        " (budget_id, subject, window_key, start_s, end_s, spent, calls, unpriced, denied)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
        budget.id,
        subject,
        window_key,
        *span,
        amount,
        calls,
        unpriced if budget.unit is Unit.USD else 0,
    )


def now() -> int:
    """Seconds since 1970, UTC."""
    return int(time.time())
