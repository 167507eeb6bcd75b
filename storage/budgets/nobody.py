"""Accounts that would name a person who was erased, or opted out: no row of them is written.

Such a person's calls pass as ever and become nobody's, so nothing is counted on an account of their own.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from storage.address import Engine
from storage.budgets.model import EVERY, Account
from storage.budgets.subjects import values_of
from storage.control.contract import Transaction
from storage.privacy.erased import ALL, SHARE, Look, erasures

PERSONAL: Final = frozenset(("user", "session"))
Key = tuple[str, str, str]


async def of_nobody(tx: Transaction, accounts: Collection[Account]) -> frozenset[Key]:
    """Keys of those of the accounts that are for somebody erased. Within the transaction of the write, first of all."""
    personal = [account for account in accounts if _names_a_person(account)]
    if not personal:
        return frozenset()
    if tx.engine is Engine.POSTGRESQL:
        await tx.fetch(SHARE)
    look = Look(erasures(await tx.fetch(ALL)))
    return frozenset(account.key for account in personal if _is_erased(account, look))


def _names_a_person(account: Account) -> bool:
    return any(dimension in PERSONAL and value == EVERY for dimension, value in account.budget.scope)


def _is_erased(account: Account, look: Look) -> bool:
    values = values_of(account.budget, account.subject)
    tenant = values.get("tenant")
    return any(look.is_erased(tenant, values[name]) for name in PERSONAL & values.keys())
