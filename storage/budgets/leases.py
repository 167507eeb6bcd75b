"""Parts of accounts, lent to workers: spent and lent together never exceed a hard limit.

A worker draws calls on what it was lent without asking. What a call cost moves from lent to spent in the transaction
that writes its row (:mod:`storage.budgets.companion`); what is not needed is given back; what a dead worker held comes
back when its spool was replayed, or after :data:`LEASE_S`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from storage.address import Engine
from storage.budgets.model import Account
from storage.budgets.nobody import of_nobody
from storage.control.contract import ControlDatabase, Transaction
from storage.control.repeating import repeated

LEASE_S: Final = 600
"""A worker that is not heard of for so long holds nothing any more."""
SLICES: Final = 20
"""A worker is lent at most this part of what is left, so near the limit no more than it asks for."""
REPORT_S: Final = 7_200
"""How long the number of a worker's last report is kept after it was told."""
_REPORTS: Final = ("", "", "")
"""No account: the worker's lease on it is of nothing, and its loan is the number of the last report."""
_PLACE: Final = "budget_id, subject, window_key"
_ACCOUNT: Final = "budget_id = ? AND subject = ? AND window_key = ?"
_HEARD: Final = "loan = 0, loaned = 0"
"""The worker knows of the latest loan: it undoes one it did not hear of before it does anything else to its leases."""
_AT_ONCE: Final = 100
_LENT: Final = "COALESCE(SUM(CASE WHEN amount > 0 THEN amount ELSE 0 END), 0)"
"""A lease is below zero where calls took more than was lent; that is spent, and nobody else's."""
KEY_LIMIT: Final = "key:"
"""Budget ids of the limits of keys begin with it; their accounts are of no use once their minute is over."""
KEPT_S: Final = 3_600
"""How long those are kept all the same."""
MINUTES_OVER: Final = "DELETE FROM budget_accounts WHERE budget_id LIKE ? AND end_s >= ? AND end_s < ?"


class Ask(msgspec.Struct, frozen=True):
    """What a worker wants: ``need`` or whatever is left, but nothing where that is less than ``least``."""

    account: Account
    need: int
    least: int = 0


class Grant(msgspec.Struct, frozen=True):
    """What it got, and how the account stands after that."""

    amount: int
    spent: int
    lent: int
    """To all workers, this one included."""


class Told(msgspec.Struct, frozen=True):
    """What a worker tells of an account."""

    account: Account
    used: int = 0
    """Of its lease, where no row of a call counts on the account (limits of keys)."""
    denied: int = 0
    """Calls refused for want of money (or that would have been, in shadow)."""
    returned: int = 0
    """Of its lease, not needed."""


class Standing(msgspec.Struct, frozen=True):
    """How an account stands."""

    spent: int = 0
    lent: int = 0
    calls: int = 0
    unpriced: int = 0
    denied: int = 0


@repeated
async def grant(db: ControlDatabase, owner: str, asks: Sequence[Ask], now_ms: int, loan: int) -> list[Grant]:
    """Lend, all in one transaction. Accounts are locked in the order of their keys, so that nobody waits in a circle.

    ``loan`` is the worker's own number of it, another one each time: where the answer is lost, nobody knows whether it
    was lent, and :func:`undo` takes it back before anything else is asked.
    """
    found: dict[tuple[str, str, str], Grant] = {}
    async with db.transaction() as tx:
        nobodys = await of_nobody(tx, [ask.account for ask in asks])
        for ask in sorted(asks, key=lambda one: one.account.key):
            known = ask.account.key not in nobodys
            got = await _grant(tx, owner, ask, now_ms, loan) if known else Grant(ask.need, 0, 0)
            found[ask.account.key] = got
    return [found[ask.account.key] for ask in asks]


async def _grant(tx: Transaction, owner: str, ask: Ask, now_ms: int, loan: int) -> Grant:
    account, key = ask.account, ask.account.key
    spent = await _locked(tx, account)
    ((lent, owing),) = await tx.fetch(
        f"SELECT {_LENT}, COALESCE(SUM(CASE WHEN owner = ? AND amount < 0 THEN -amount ELSE 0 END), 0)"
        f" FROM budget_leases WHERE {_ACCOUNT} AND (expires_ms > ? OR owner = ?)",
        owner,
        *key,
        now_ms,
        owner,
    )
    lent, owing = int(lent), int(owing)
    free = max(account.budget.limit - spent - lent, 0)
    more = min(free, max(ask.need - owing, free // SLICES))
    if owing + more < ask.least:  # a part that no call can use, and that others may want
        more = 0
    amount = owing + more
    if amount:
        await tx.run(
            "INSERT INTO budget_leases (owner, budget_id, subject, window_key, amount, expires_ms, loan, loaned)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (owner, budget_id, subject, window_key) DO UPDATE"
            " SET amount = budget_leases.amount + excluded.amount, expires_ms = excluded.expires_ms,"
            " loan = excluded.loan, loaned = excluded.loaned",
            owner,
            *key,
            amount,
            now_ms + LEASE_S * 1000,
            loan,
            amount,
        )
    return Grant(amount, spent, lent + more)


@repeated
async def undo(db: ControlDatabase, owner: str, accounts: Collection[Account], loan: int) -> None:
    """Take back what was lent under this number, if it was. A loan that is still on its way is waited for."""
    async with db.transaction() as tx:
        nobodys = await of_nobody(tx, [*accounts])
        for account in sorted(accounts, key=lambda one: one.key):
            if account.key in nobodys:
                continue
            await _locked(tx, account)
            change = f"UPDATE budget_leases SET amount = amount - loaned, {_HEARD} WHERE owner = ? AND {_ACCOUNT} AND loan = ?"
            await tx.run(change, owner, *account.key, loan)


async def _locked(tx: Transaction, account: Account) -> int:
    """What was spent of the account; nobody else lends of it until the transaction ends."""
    await open_account(tx, account)
    lock = " FOR UPDATE" if tx.engine is Engine.POSTGRESQL else ""
    ((spent,),) = await tx.fetch(f"SELECT spent FROM budget_accounts WHERE {_ACCOUNT}{lock}", *account.key)
    return int(spent)


async def open_account(tx: Transaction, account: Account) -> None:
    """Make the account's row, if it is the first that is heard of it."""
    await tx.run(
        "INSERT INTO budget_accounts"
        " (budget_id, subject, window_key, start_s, end_s, spent, calls, unpriced, denied)"
        " VALUES (?, ?, ?, ?, ?, 0, 0, 0, 0) ON CONFLICT DO NOTHING",
        *account.key,
        account.start_s,
        account.end_s,
    )


@repeated
async def tell(db: ControlDatabase, owner: str, told: Collection[Told], now_ms: int, report: int) -> None:
    """Add to accounts what a worker tells of them, and take what it returns off its leases: once, however often this
    report of it arrives.

    ``report`` is the worker's own number of it, another one each time. The last one is known here, and no other: a report
    whose answer was lost is sent again as it was, before the next.
    """
    async with db.transaction() as tx:
        nobodys = await of_nobody(tx, [one.account for one in told])
        if not await _is_news(tx, owner, now_ms, report):
            return
        for one in sorted(told, key=lambda one: one.account.key):
            account = one.account
            if account.key in nobodys:
                continue
            if one.used or one.denied:
                await open_account(tx, account)
                change = f"UPDATE budget_accounts SET spent = spent + ?, denied = denied + ? WHERE {_ACCOUNT}"
                await tx.run(change, one.used, one.denied, *account.key)
            if one.used or one.returned:
                await _shrink(tx, owner, account, one.used + one.returned)


async def _is_news(tx: Transaction, owner: str, now_ms: int, report: int) -> bool:
    """Keep the number, unless it is the one that is kept. A report that is still on its way is waited for."""
    keep = (
        "INSERT INTO budget_leases (owner, budget_id, subject, window_key, amount, expires_ms, loan)"
        " VALUES (?, ?, ?, ?, 0, ?, ?) ON CONFLICT (owner, budget_id, subject, window_key) DO UPDATE"
        " SET expires_ms = excluded.expires_ms, loan = excluded.loan WHERE budget_leases.loan <> excluded.loan"
    )
    return await tx.run(keep, owner, *_REPORTS, now_ms + REPORT_S * 1000, report) > 0


async def _shrink(tx: Transaction, owner: str, account: Account, amount: int) -> None:
    """Take off a worker's lease; it may go below zero. What is lost is not made anew."""
    where = f"WHERE owner = ? AND {_ACCOUNT}"
    change = f"UPDATE budget_leases SET amount = amount - ?, {_HEARD} {where}"
    await tx.run(change, amount, owner, *account.key)
    await tx.run(f"DELETE FROM budget_leases {where} AND amount = 0", owner, *account.key)


@repeated
async def forfeit(db: ControlDatabase, owner: str, accounts: Collection[tuple[str, str, str]]) -> None:
    """Hold nothing of accounts (their keys) any more: their budgets mean something else now."""
    async with db.transaction() as tx:
        for key in sorted(accounts):
            await tx.run(f"DELETE FROM budget_leases WHERE owner = ? AND {_ACCOUNT}", owner, *key)


async def own(db: ControlDatabase, owner: str) -> dict[tuple[str, str, str], int]:
    """What a worker holds by its leases: account -> amount, below zero where its calls took more."""
    query = (
        "SELECT budget_id, subject, window_key, amount FROM budget_leases WHERE owner = ? AND budget_id <> ''"
    )
    return {(str(b), str(s), str(w)): int(amount) for b, s, w, amount in await db.fetch(query, owner)}


async def standings(
    db: ControlDatabase, accounts: Sequence[Account], now_ms: int
) -> dict[tuple[str, str, str], Standing]:
    """How accounts stand; those nobody has drawn on are left out."""
    found: dict[tuple[str, str, str], Standing] = {}
    for at in range(0, len(accounts), _AT_ONCE):
        keys = [account.key for account in accounts[at : at + _AT_ONCE]]
        places = " OR ".join([f"({_ACCOUNT})"] * len(keys))
        values = [part for key in keys for part in key]
        query = (  # one statement: between two, what is written meanwhile would be neither spent nor lent
            f"SELECT {_PLACE}, spent, calls, unpriced, denied, 0 FROM budget_accounts WHERE {places} UNION ALL "
            f"SELECT {_PLACE}, 0, 0, 0, 0, {_LENT} FROM budget_leases WHERE ({places}) AND expires_ms > ? GROUP BY {_PLACE}"
        )
        for budget, subject, window, *counts in await db.fetch(query, *values, *values, now_ms):
            spent, calls, unpriced, denied, lent = map(int, counts)
            key = (budget, subject, window)
            one = found.get(key, Standing())
            found[key] = Standing(
                one.spent + spent,
                one.lent + lent,
                one.calls + calls,
                one.unpriced + unpriced,
                one.denied + denied,
            )
    return found


@repeated
async def renew(db: ControlDatabase, owner: str, now_ms: int) -> None:
    """This worker lives, and goes on holding what it holds."""
    async with db.transaction() as tx:
        change = "UPDATE budget_leases SET expires_ms = ? WHERE owner = ? AND amount <> 0"
        await tx.run(change, now_ms + LEASE_S * 1000, owner)


async def owners(db: ControlDatabase) -> list[str]:
    """Who holds anything, or told of anything lately."""
    return [str(owner) for (owner,) in await db.fetch("SELECT DISTINCT owner FROM budget_leases")]


@repeated
async def release(db: ControlDatabase, dead: Sequence[str], now_ms: int, since_s: int = 0) -> int:
    """Take back what dead workers held, and what has expired; forget the minutes of keys that are long over.

    ``since_s``: only of those that ended since then (UTC since 1970); what it returns, for the next time. This is done
    every few seconds, and must not go through the accounts of all windows there ever were.
    """
    over_s = now_ms // 1000 - KEPT_S
    async with db.transaction() as tx:
        for owner in dead:
            await tx.run("DELETE FROM budget_leases WHERE owner = ?", owner)
        # One of nothing stays while its loan may be unheard of: undone, it tells what the worker owes.
        await tx.run("DELETE FROM budget_leases WHERE expires_ms <= ? OR (amount = 0 AND loan = 0)", now_ms)
        await tx.run(MINUTES_OVER, f"{KEY_LIMIT}%", since_s, over_s)
        stale = (
            "DELETE FROM budget_leases WHERE budget_id LIKE ? AND NOT EXISTS (SELECT 1 FROM budget_accounts AS account"
            " WHERE account.budget_id = budget_leases.budget_id AND account.subject = budget_leases.subject"
            " AND account.window_key = budget_leases.window_key)"
        )
        await tx.run(stale, f"{KEY_LIMIT}%")
    return over_s - KEPT_S  # what was away for an hour tells of its minutes now
