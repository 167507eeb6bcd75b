"""May this call be made? Decided in memory, before anything goes to a provider: reserve, then settle.

A call draws what it may cost at most on every account it belongs to. Where this worker holds enough, that is arithmetic;
near a limit the call waits for the database to lend exactly what it needs (:mod:`gateway.leasing`). Its record settles it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import msgspec

from gateway.call import Call
from gateway.denial import denial, exceeded_header, remaining_header, unpriced_denial
from gateway.errors import Code, Refusal
from gateway.expense import NOTHING, Expense, amount_for
from gateway.keyring import KnownKey
from gateway.purse import Purse
from pricing.book import PriceBook
from storage.budgets.amounts import spent
from storage.budgets.model import Account, Mode, Unit
from storage.budgets.scopes import Scopes
from storage.budgets.windows import Calendar
from telemetry.record import CallRecord

SETTLING_S: Final = 2.0
"""How long a call waits where what calls under way hold, and may not need, would do."""
AGAIN_S: Final = 0.05
"""How often it asks meanwhile."""
_NS: Final = 1_000_000_000
_SAFE: Final = frozenset(("GET", "HEAD", "DELETE", "OPTIONS"))

Tokens = Callable[[Call], Awaitable[int]]
"""Counts the tokens of a prompt off the loop."""


class Lender(Protocol):
    """:class:`gateway.leasing.Leasing`, as far as it is needed here."""

    async def ask(self, purses: Sequence[Purse]) -> bool:
        """Ask for what ``purse.asked`` says; false: the database does not answer."""

    def wake(self) -> None:
        """Something is to be told or given back."""


class Admitted(msgspec.Struct, frozen=True):
    """A call that may go, or that must wait for a decision."""

    notes: bytes = b""
    """Header lines for the answer."""
    waiting: Callable[[], Awaitable[Refusal | None]] | None = None
    """Gives the decision."""


FREE: Final = Admitted()
Holds = list[tuple[Purse, int]]


class Admission:
    """One per worker; everything on the event loop."""

    def __init__(
        self,
        book: PriceBook,
        clock: Callable[[], float],
        count: Tokens | None = None,
        drawn: set[str] | None = None,
        *,
        strict: bool = False,
    ) -> None:
        """``drawn``: where the calls are noted that draw on leases. ``strict``: without the database nothing more is
        lent, and calls beyond what this worker holds are refused."""
        self.book = book
        self.strict = strict
        self.lender: Lender | None = None
        self.purses: dict[tuple[str, str, str], Purse] = {}
        self.overdrawn = 0
        """Calls let through because the database did not answer."""
        self._scopes = Scopes()
        self._calendar = Calendar()
        self._clock = clock
        self._count = count
        self._drawn = drawn if drawn is not None else set()
        self._holds: dict[str, Holds] = {}

    def adopt(self, scopes: Scopes) -> None:
        """Other budgets, for the calls to come."""
        self._scopes = scopes
        for key, purse in list(self.purses.items()):
            budget = scopes.budgets.get(key[0])
            if purse.is_of_key or budget == purse.account.budget:
                continue
            if budget is None:
                if not purse.held:
                    del self.purses[key]
            else:
                purse.account = msgspec.structs.replace(purse.account, budget=budget)

    def admit(self, call: Call, known: KnownKey | None) -> Admitted:
        """Reserve for a call. Raises :class:`gateway.errors.Refusal` where its model has no price and may have none."""
        accounts = self._accounts(call, known)
        if not accounts:
            return FREE
        now = self._clock()
        purses = [self._purse(account, now) for account in accounts]
        expense = Expense(self.book, call) if call.method not in _SAFE else NOTHING
        for purse in purses:
            if purse.account.budget.is_enforced and expense.is_unpayable(purse.account.budget):
                raise unpriced_denial(purse.account, call)
        self._look_on(purses, expense)
        enforced = [purse for purse in purses if purse.account.budget.is_enforced]
        notes = notes_of(purses)
        if not enforced:
            self._holds[call.id] = [(purse, 0) for purse in purses]
            return Admitted(notes)
        holds = [(purse, amount_for(purse.account.budget, expense)) for purse in enforced]
        if self._hold(call.id, holds, purses, guessed=True):
            return Admitted(notes)
        return Admitted(notes, lambda: self._decide(call, expense, enforced, purses))

    def release(self, call_id: str) -> None:
        """The call is not made after all."""
        for purse, amount in self._holds.pop(call_id, ()):
            purse.held -= amount
        self._drawn.discard(call_id)

    def settle(self, record: CallRecord) -> None:
        """The call has ended: what it cost takes the place of what was held."""
        holds = self._holds.pop(record.id, None)
        if holds is None:
            return
        wake = False
        for purse, held in holds:
            purse.settle(held, spent(purse.account.budget, record))
            wake = wake or purse.is_of_key or not purse.is_wide(held)
        if wake and self.lender is not None:
            self.lender.wake()

    # ---- the accounts

    def _accounts(self, call: Call, known: KnownKey | None) -> list[Account]:
        what = call.what
        found = (
            self._scopes.accounts(call.who, what.provider, what.model, call.started_ns)
            if self._scopes
            else []
        )
        for budget in known.limits if known is not None else ():
            span = self._calendar.span(budget, call.started_ns // _NS)
            found.append(Account(budget, "", span.key, span.start_s, span.end_s))
        return found

    def _purse(self, account: Account, now: float) -> Purse:
        purse = self.purses.get(account.key)
        if purse is None:
            purse = self.purses[account.key] = Purse(account)
            if self.lender is not None:
                self.lender.wake()
        purse.touched_at = now
        return purse

    def _look_on(self, purses: list[Purse], expense: Expense) -> None:
        for purse in purses:
            budget = purse.account.budget
            if budget.mode is Mode.SHADOW and purse.remaining < amount_for(budget, expense):
                purse.denied += 1

    # ---- reserving

    def _hold(self, call_id: str, holds: Holds, purses: list[Purse], *, guessed: bool) -> bool:
        """Hold all of it, or nothing. A guess at the prompt is no ground to draw on the last of an account."""
        for purse, amount in holds:
            if purse.available < amount or (guessed and _counts(purse) and not purse.is_wide(amount)):
                return False
        drawn = False
        for purse, amount in holds:
            purse.held += amount
            purse.latest = amount
            drawn = drawn or not purse.is_of_key
            if self.lender is not None and purse.is_low:
                self.lender.wake()
        if drawn:
            self._drawn.add(call_id)
        self._note(call_id, holds, purses)
        return True

    def _note(self, call_id: str, holds: Holds, purses: list[Purse]) -> None:
        held = {id(purse) for purse, _ in holds}
        self._holds[call_id] = holds + [(purse, 0) for purse in purses if id(purse) not in held]

    async def _decide(
        self, call: Call, expense: Expense, enforced: list[Purse], purses: list[Purse]
    ) -> Refusal | None:
        """The decision near a limit; takes a count of the prompt and the database's word."""
        if self._count is not None and any(_counts(purse) for purse in enforced):
            expense = expense.counted(await self._count(call))
        holds = [(purse, amount_for(purse.account.budget, expense)) for purse in enforced]
        for purse, amount in holds:
            purse.latest = amount
        until = self._clock() + SETTLING_S
        while not self._hold(call.id, holds, purses, guessed=False):
            short = [(purse, amount) for purse, amount in holds if purse.available < amount]
            for purse, amount in short:
                purse.asked += amount
            try:
                answered = self.lender is not None and await self.lender.ask([purse for purse, _ in short])
            finally:
                for purse, amount in short:
                    purse.asked -= amount
            if not answered:
                return self._without_database(call, holds, purses)
            if self._hold(call.id, holds, purses, guessed=False):
                return None
            lacking = [(purse, amount) for purse, amount in short if purse.available + purse.left < amount]
            hopeless = next((one for one, amount in lacking if not one.could_pay(amount)), None)
            if hopeless is not None or (lacking and self._clock() >= until):
                return self._deny(call, hopeless or lacking[0][0])
            if lacking:
                await asyncio.sleep(AGAIN_S)
        return None

    def _deny(self, call: Call, purse: Purse) -> Refusal:
        purse.denied += 1
        if self.lender is not None:
            self.lender.wake()
        return denial(purse, call.started_ns // _NS)

    def _without_database(self, call: Call, holds: Holds, purses: list[Purse]) -> Refusal | None:
        if self.strict:
            message = "The gateway cannot say now whether the budget allows this call; try again."
            return Refusal(503, Code.BUDGET_UNKNOWN, message, retry_after=5)
        self.overdrawn += 1
        for purse, amount in holds:
            purse.held += amount
        self._drawn.add(call.id)
        self._note(call.id, holds, purses)
        return None


def _counts(purse: Purse) -> bool:
    """Does the size of the prompt matter to it?"""
    return purse.account.budget.unit in (Unit.USD, Unit.TOKENS)


def notes_of(purses: Sequence[Purse]) -> bytes:
    """Header lines: what is left in USD, and which budgets are used up that let calls pass."""
    lines = b""
    left = [
        purse.remaining
        for purse in purses
        if purse.account.budget.unit is Unit.USD and purse.account.budget.mode is not Mode.SHADOW
    ]
    if left:
        lines = remaining_header(min(left))
    for purse in purses:
        if purse.account.budget.mode is Mode.SOFT and not purse.remaining:
            lines += exceeded_header(purse.account.budget)
    return lines
