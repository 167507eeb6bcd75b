"""Making, changing and ending budgets; each change is counted from the rows and written to the audit log."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from storage import audit
from storage.address import Engine
from storage.budgets import leases
from storage.budgets.companion import LOCK_KEY
from storage.budgets.counting import count_ahead, count_anew
from storage.budgets.leases import Standing
from storage.budgets.model import Account, Budget, account_of, counts_alike, decode, encode
from storage.budgets.subjects import ALL, Wanted, condition
from storage.budgets.windows import span_of
from storage.control.contract import ControlDatabase, Transaction


class BudgetError(ValueError):
    """It cannot be done; the message says why."""


class NoBudget(BudgetError):  # noqa: N818
    """There is no budget of that id."""


class NameTaken(BudgetError):  # noqa: N818
    """There is another budget of that name."""


class Held(msgspec.Struct, frozen=True):
    """An account and how it stands."""

    account: Account
    standing: Standing


async def create(db: ControlDatabase, budget: Budget, actor: str, now_s: int) -> None:
    """Add a budget; what was spent in its window so far counts. Raises :class:`NameTaken`."""
    ahead = await count_ahead(db, budget, now_s)
    async with db.transaction() as tx:
        await _alone(tx)
        await _check_name(tx, budget)
        now_ms = now_s * 1000
        insert = "INSERT INTO budgets (id, name, definition, created_ms, updated_ms) VALUES (?, ?, ?, ?, ?)"
        await tx.run(insert, budget.id, budget.name, encode(budget), now_ms, now_ms)
        await count_anew(tx, budget, now_s, ahead)
        await bump(tx, "budgets")
        await audit.write(tx, actor, "budget.create", budget.id, msgspec.to_builtins(budget))


async def update(db: ControlDatabase, budget: Budget, actor: str, now_s: int) -> None:
    """Replace the definition of ``budget.id``. Raises :class:`BudgetError`."""
    await change(db, budget.id, lambda before: budget, actor, now_s)


async def change(
    db: ControlDatabase, budget_id: str, edit: Callable[[Budget], Budget], actor: str, now_s: int
) -> Budget:
    """Replace a definition by what ``edit`` makes of it, with nobody else in between; what it is now.

    Raises :class:`BudgetError`, and whatever ``edit`` raises, which may be called twice. Where the new definition takes
    something else from calls, the current window is counted anew, the accounts of others are gone, and nothing is lent
    any more.
    """
    known = await budget_of(db, budget_id)
    meant = None if known is None else edit(known)
    ahead = None
    if known is not None and meant is not None and not counts_alike(known, meant):
        ahead = await count_ahead(db, meant, now_s)
    async with db.transaction() as tx:
        await _alone(tx)
        before = await _definition(tx, budget_id)
        after = edit(before)
        if after == before:
            return after
        await _check_name(tx, after)
        statement = "UPDATE budgets SET name = ?, definition = ?, updated_ms = ? WHERE id = ?"
        await tx.run(statement, after.name, encode(after), now_s * 1000, budget_id)
        if not counts_alike(before, after):
            await tx.run("DELETE FROM budget_accounts WHERE budget_id = ?", budget_id)
            await tx.run("DELETE FROM budget_leases WHERE budget_id = ?", budget_id)
            await count_anew(tx, after, now_s, ahead)
        await bump(tx, "budgets")
        detail = {"name": after.name, "unit": after.unit, "changes": audit.changes(before, after)}
        await audit.write(tx, actor, "budget.update", budget_id, detail)
        return after


async def delete(db: ControlDatabase, budget_id: str, actor: str) -> bool:
    """End a budget; whether there was one. Its accounts go with it."""
    async with db.transaction() as tx:
        await _alone(tx)
        found = await tx.fetch("SELECT definition FROM budgets WHERE id = ?", budget_id)
        if found:
            await tx.run("DELETE FROM budgets WHERE id = ?", budget_id)
            await tx.run("DELETE FROM budget_accounts WHERE budget_id = ?", budget_id)
            await tx.run("DELETE FROM budget_leases WHERE budget_id = ?", budget_id)
            await bump(tx, "budgets")
            gone = msgspec.to_builtins(decode(found[0][0]))
            await audit.write(tx, actor, "budget.delete", budget_id, gone)
        return bool(found)


async def rebuild(db: ControlDatabase, budget: Budget, now_s: int, actor: str | None = None) -> None:
    """Count the current window of ``budget.id`` anew from the rows that are kept. Raises :class:`NoBudget`."""
    ahead = await count_ahead(db, budget, now_s)
    async with db.transaction() as tx:
        await _alone(tx)
        found = await _definition(tx, budget.id)
        await count_anew(tx, found, now_s, ahead)
        if actor is not None:
            await audit.write(tx, actor, "budget.rebuild", budget.id, {"name": found.name})


async def all_budgets(db: ControlDatabase) -> list[Budget]:
    """By name."""
    return [decode(row[0]) for row in await db.fetch("SELECT definition FROM budgets ORDER BY name")]


async def budget_of(db: ControlDatabase, budget_id: str) -> Budget | None:
    rows = await db.fetch("SELECT definition FROM budgets WHERE id = ?", budget_id)
    return decode(rows[0][0]) if rows else None


async def version(db: ControlDatabase, name: str) -> int:
    """Grows with each change of ``budgets`` or ``keys``."""
    rows = await db.fetch("SELECT version FROM control_versions WHERE name = ?", name)
    return int(rows[0][0]) if rows else 0


async def held(db: ControlDatabase, budget: Budget, now_s: int, wanted: Wanted = ALL) -> list[Held]:
    """Its accounts in the current window, those with most spent first (at most a thousand)."""
    (found,) = await held_by(db, [(budget, wanted)], now_s)
    return found


async def held_by(
    db: ControlDatabase, asked: Sequence[tuple[Budget, Wanted]], now_s: int
) -> list[list[Held]]:
    """The same for several budgets."""
    accounts = [await _accounts(db, budget, now_s, wanted) for budget, wanted in asked]
    found = await leases.standings(db, [one for some in accounts for one in some], now_s * 1000)
    return [[Held(one, found.get(one.key, Standing())) for one in some] for some in accounts]


async def _accounts(db: ControlDatabase, budget: Budget, now_s: int, wanted: Wanted) -> list[Account]:
    span = span_of(budget.window, budget.timezone, budget.week_start, now_s)
    if not budget.counts_each:
        return [account_of(budget, "", span)]
    where, values = condition(budget, wanted, db.engine)
    query = (
        "SELECT subject FROM budget_accounts WHERE budget_id = ? AND window_key = ?"
        f"{where} ORDER BY spent DESC, subject LIMIT ?"
    )
    rows = await db.fetch(query, budget.id, span.key, *values, wanted.limit)
    return [account_of(budget, subject, span) for (subject,) in rows]


async def count_held(db: ControlDatabase, budget: Budget, now_s: int, wanted: Wanted = ALL) -> int:
    """How many accounts :func:`held` would find without its limit."""
    if not budget.counts_each:
        return 1
    span = span_of(budget.window, budget.timezone, budget.week_start, now_s)
    where, values = condition(budget, wanted, db.engine)
    query = f"SELECT COUNT(*) FROM budget_accounts WHERE budget_id = ? AND window_key = ?{where}"
    ((count,),) = await db.fetch(query, budget.id, span.key, *values)
    return int(count)


async def bump(tx: Transaction, name: str) -> None:
    """Tell every worker that something changed."""
    await tx.run("UPDATE control_versions SET version = version + 1 WHERE name = ?", name)


async def _alone(tx: Transaction) -> None:
    """No batch of rows is being written while this transaction lasts (SQLite: its write lock is held)."""
    if tx.engine is Engine.POSTGRESQL:
        await tx.fetch("SELECT pg_advisory_xact_lock(?)", LOCK_KEY)


async def _definition(tx: Transaction, budget_id: str) -> Budget:
    rows = await tx.fetch("SELECT definition FROM budgets WHERE id = ?", budget_id)
    if not rows:
        raise NoBudget(f"there is no budget {budget_id}")
    return decode(rows[0][0])


async def _check_name(tx: Transaction, budget: Budget) -> None:
    if await tx.fetch("SELECT id FROM budgets WHERE name = ? AND id <> ?", budget.name, budget.id):
        raise NameTaken(f"there is a budget of the name {budget.name!r} already")


def now() -> int:
    """Seconds since 1970, UTC."""
    return int(time.time())
