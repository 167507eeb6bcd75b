"""Counts what calls spent, in the transaction that writes their rows: exactly once, whatever happens.

The definitions are those the database has within the same transaction: a budget that is made or changed is counted
anew from the rows while no batch is being written (:mod:`storage.budgets.admin`), and every later batch knows it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from sqlite3 import Connection as SqliteConnection
from typing import TYPE_CHECKING, Any, Final

from storage.budgets.amounts import is_call, is_unpriced, spent
from storage.budgets.leases import LEASE_S
from storage.budgets.model import Account, Unit, decode
from storage.budgets.scopes import Scopes
from telemetry.record import CallRecord

if TYPE_CHECKING:
    import asyncpg

LOCK_KEY: Final = 0x7765_6967_6275_6467
"""PostgreSQL advisory lock: shared by batches, exclusive where budgets change ("weigbudg")."""
_VERSION: Final = "SELECT version FROM control_versions WHERE name = 'budgets'"
_BUDGETS: Final = "SELECT definition FROM budgets"
_ADD: Final = (
    "INSERT INTO budget_accounts (budget_id, subject, window_key, start_s, end_s, spent, calls, unpriced, denied)"
    " VALUES ({0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}, 0)"
    " ON CONFLICT (budget_id, subject, window_key) DO UPDATE SET spent = budget_accounts.spent + excluded.spent,"
    " calls = budget_accounts.calls + excluded.calls, unpriced = budget_accounts.unpriced + excluded.unpriced"
)
_SHRINK: Final = (
    "INSERT INTO budget_leases (owner, budget_id, subject, window_key, amount, expires_ms)"
    " VALUES ({0}, {1}, {2}, {3}, -{4}, {5}) ON CONFLICT (owner, budget_id, subject, window_key)"
    " DO UPDATE SET amount = budget_leases.amount + excluded.amount"
)
"""What calls took beyond what was lent leaves a lease below zero: the next loan covers that first."""
_ADD_SQLITE: Final = _ADD.format(*"????????")
_SHRINK_SQLITE: Final = _SHRINK.format(*"??????")
_ADD_POSTGRES: Final = _ADD.format(*(f"${n}" for n in range(1, 9)))
_SHRINK_POSTGRES: Final = _SHRINK.format("$1", "$2", "$3", "$4", "$5::bigint", "$6")


class Delta:
    """What a batch adds to one account."""

    __slots__ = ("account", "calls", "mine", "spent", "unpriced")

    def __init__(self, account: Account) -> None:
        self.account = account
        self.spent = 0
        self.calls = 0
        self.unpriced = 0
        self.mine = 0
        """Of ``spent``, what was drawn on this worker's own lease."""


class BudgetCompanion:
    """:class:`storage.targets.contract.Companion`, on the writer's thread."""

    def __init__(self) -> None:
        self.owner = ""
        """This worker, as its leases name it."""
        self.drawn: dict[str, set[str]] = {}
        """Calls that are not written yet -> budgets whose leases this worker drew on for them; the event loop adds."""
        self._scopes = Scopes()
        self._version = -1

    def in_sqlite(self, db: SqliteConnection, inserted: Sequence[CallRecord]) -> None:
        ((version,),) = db.execute(_VERSION).fetchall()
        if version != self._version:
            self._take(version, db.execute(_BUDGETS).fetchall())
        if not self._scopes:
            return
        for delta in self._deltas(inserted):
            db.execute(_ADD_SQLITE, _added(delta))
            if delta.mine:
                db.execute(_SHRINK_SQLITE, (self.owner, *delta.account.key, delta.mine, _expiry()))

    async def in_postgres(self, db: asyncpg.Connection, inserted: Sequence[CallRecord]) -> None:
        await db.execute("SELECT pg_advisory_xact_lock_shared($1)", LOCK_KEY)
        version = await db.fetchval(_VERSION)
        if version != self._version:
            self._take(version, await db.fetch(_BUDGETS))
        if not self._scopes:
            return
        for delta in self._deltas(inserted):
            await db.execute(_ADD_POSTGRES, *_added(delta))
            if delta.mine:
                await db.execute(_SHRINK_POSTGRES, self.owner, *delta.account.key, delta.mine, _expiry())

    def written(self, records: Sequence[CallRecord]) -> None:
        """These are rows now."""
        if not self.drawn:
            return
        for record in records:
            self.drawn.pop(record.id, None)

    def _take(self, version: int, rows: Sequence[Any]) -> None:
        self._scopes = Scopes([decode(row[0]) for row in rows])
        self._version = version

    def _deltas(self, records: Sequence[CallRecord]) -> list[Delta]:
        """What the records add, in the order of the accounts' keys: then no two batches wait for each other."""
        found: dict[tuple[str, str, str], Delta] = {}
        for record in records:
            what = record.what
            drawn = self.drawn.get(record.id, ())
            accounts = self._scopes.accounts(record.who, what.provider, what.model, record.timing.started_ns)
            for account in accounts:
                delta = found.get(account.key)
                if delta is None:
                    delta = found[account.key] = Delta(account)
                amount = spent(account.budget, record)
                delta.spent += amount
                delta.calls += is_call(record)
                delta.unpriced += account.budget.unit is Unit.USD and is_unpriced(record)
                if account.budget.id in drawn:
                    delta.mine += amount
        return [found[key] for key in sorted(found)]


def _expiry() -> int:
    return time.time_ns() // 1_000_000 + LEASE_S * 1000


def _added(delta: Delta) -> tuple[Any, ...]:
    account = delta.account
    return (*account.key, account.start_s, account.end_s, delta.spent, delta.calls, delta.unpriced)
