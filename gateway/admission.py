"""May this call be made? Decided in memory, before anything goes to a provider: reserve, then settle.

A call draws what it may cost at most on every account it belongs to. Where this worker holds enough, that is arithmetic;
near a limit the call waits for the database to lend exactly what it needs (:mod:`gateway.leasing`). Its record settles it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

import msgspec

from gateway.call import Call
from gateway.denial import denial, notes_of, unpriced_denial
from gateway.errors import Code, Refusal
from gateway.expense import NOTHING, Expense, Rates, counted, guessed
from gateway.keyring import KnownKey
from gateway.purse import WIDE_CALLS, Purse
from pricing.book import PriceBook
from storage.budgets.amounts import spent
from storage.budgets.model import Account, Budget, Mode, Unit, Unpriced, account_of, draws_alike
from storage.budgets.scopes import Scopes
from storage.budgets.windows import Calendar
from telemetry.record import FREE_METHODS, CallRecord

SETTLING_S: Final = 2.0
"""How long a call waits where what calls under way hold, and may not need, would do."""
AGAIN_S: Final = 0.05
"""How often it asks meanwhile."""
_NS: Final = 1_000_000_000
# Bound once: reading a member off its class costs as much as a function call.
_BLOCK: Final = Unpriced.BLOCK
_SHADOW: Final = Mode.SHADOW
_COUNTED: Final = frozenset((Unit.USD, Unit.TOKENS))

Tokens = Callable[[Call], Awaitable[int]]
"""Counts the tokens of a prompt off the loop."""


class Lender(Protocol):
    """:class:`gateway.leasing.Leasing`, as far as it is needed here."""

    async def ask(self, purses: Sequence[Purse]) -> bool:
        """Ask for what ``purse.waiting`` says; false: the database does not answer."""

    def wake(self) -> None:
        """Something is to be told or given back."""


class Decided(msgspec.Struct, frozen=True):
    """What became of a call that had to wait."""

    refusal: Refusal | None = None
    notes: bytes = b""
    """Header lines for the answer, by what is known now."""


Waiting = Callable[[], Awaitable[Decided]]


class Admitted(msgspec.Struct, frozen=True):
    """A call that may go, or that must wait for a decision."""

    notes: bytes = b""
    """Header lines for the answer."""
    waiting: Waiting | None = None
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
        warm: Callable[[], None] | None = None,
        drawn: dict[str, set[str]] | None = None,
        *,
        strict: bool = False,
    ) -> None:
        """``warm`` makes ready to ``count``. ``drawn``: where it is noted which call draws on which budgets' leases. ``strict``: without the database nothing more is
        lent, and calls beyond what this worker holds are refused."""
        self.strict = strict
        self.lender: Lender | None = None
        self.purses: dict[tuple[str, str, str], Purse] = {}
        self.touched: set[Purse] = set()
        """Those that calls drew on since the lender looked."""
        self.retired: set[Purse] = set()
        """Of budgets that allow less now; what they hold is given back as it becomes free."""
        self.voided: set[tuple[str, str, str]] = set()
        """Accounts whose budgets mean something else now; what was lent on them means nothing."""
        self.overdrawn = 0
        """Calls let through because the database did not answer."""
        self.denied = 0
        """Calls refused because an account was used up."""
        self._rates = Rates(book)
        self._scopes = Scopes()
        self._calendar = Calendar()
        self._clock = clock
        self._count = count
        self._warm = warm
        self._drawn = drawn if drawn is not None else {}
        self._holds: dict[str, Holds] = {}
        self._undecided: set[str] = set()
        """Calls under way that wait for a decision."""

    def adopt(self, scopes: Scopes) -> None:
        """Other budgets, for the calls to come."""
        self._scopes = scopes
        if self._warm is not None and any(
            budget.is_enforced and budget.unit in _COUNTED for budget in scopes.budgets.values()
        ):
            self._warm()
        for purse in list(self.purses.values()):
            if not purse.is_of_key:
                self._renew(purse, scopes.budgets.get(purse.account.budget.id))

    def adopt_limits(self, limits: Mapping[str, Budget]) -> None:
        """Other limits of keys (id -> limit as a budget), for the calls to come."""
        for purse in list(self.purses.values()):
            if purse.is_of_key:
                self._renew(purse, limits.get(purse.account.budget.id))

    def _renew(self, purse: Purse, budget: Budget | None) -> None:
        """A budget is what it is now. What was lent on it as it was stays only where it means the same."""
        before, key = purse.account.budget, purse.account.key
        if budget == before:
            return
        if budget is not None and draws_alike(before, budget) and budget.limit >= before.limit:
            purse.be(msgspec.structs.replace(purse.account, budget=budget))
            return
        del self.purses[key]
        purse.retired = True
        if budget is not None and draws_alike(before, budget):
            self.retired.add(purse)
        elif purse.enforced:
            purse.enforced = False
            self.voided.add(key)
            for drawn in list(self._drawn.values()):  # the writer's thread takes out of it
                drawn.discard(before.id)
        if self.lender is not None:
            self.lender.wake()

    def adopt_prices(self, book: PriceBook) -> None:
        """Other prices, for the calls to come."""
        self._rates = Rates(book)

    def admit(self, call: Call, known: KnownKey | None, *, paid: bool | None = None) -> Admitted:
        """Reserve for a call; ``paid``: it may cost something (by default, as its method and its wire say). Raises :class:`gateway.errors.Refusal` where its model has no price and may have none."""
        if known is None and not self._scopes.budgets:
            return FREE
        accounts = self._accounts(call, known)
        if not accounts:
            return FREE
        if paid is None:
            wire = call.target.wire
            paid = call.method not in FREE_METHODS and not (wire is not None and wire.free)
        expense = guessed(call, self._rates) if paid else NOTHING
        purses = self._purses(accounts)
        holds: Holds = []
        enough = True
        for purse in purses:
            budget = purse.budget
            if purse.enforced:
                if budget.unpriced is _BLOCK and expense.is_unpayable(budget):
                    raise unpriced_denial(purse.account, call)
                amount = expense.amount(budget)
                holds.append((purse, amount))
                available = purse.granted - purse.used - purse.held
                # A guess at the prompt is no ground to draw on the last of an account.
                if available < amount or (purse.counts and purse.left + available <= amount * WIDE_CALLS):
                    enough = False
            elif budget.mode is _SHADOW and purse.limit - purse.spent - purse.local < expense.amount(budget):
                purse.denied += 1
        notes = notes_of(purses)
        if enough:
            self._take(call.id, holds, purses)
            return Admitted(notes)
        self._undecided.add(call.id)
        return Admitted(notes, partial(self._decide, call, expense, holds, purses))

    def release(self, call_id: str) -> None:
        """The call is not made after all."""
        self._undecided.discard(call_id)
        for purse, amount in self._holds.pop(call_id, ()):
            purse.held -= amount
        self._drawn.pop(call_id, None)

    def settle(self, record: CallRecord) -> None:
        """The call has ended: what it cost takes the place of what was held."""
        if self._undecided:
            self._undecided.discard(record.id)
        holds = self._holds.pop(record.id, None)
        if holds is None:
            return
        wake = False
        self.touched.update([purse for purse, _ in holds])
        for purse, held in holds:
            purse.settle(held, spent(purse.budget, record))
            wake = wake or (purse.enforced and (purse.is_of_key or not purse.is_wide(held)))
        if wake and self.lender is not None:
            self.lender.wake()

    @property
    def holding(self) -> int:
        """Calls under way that draw on an account."""
        return len(self._holds)

    # ---- the accounts

    def _accounts(self, call: Call, known: KnownKey | None) -> list[Account]:
        what = call.what
        found = self._scopes.accounts(call.who, what.provider, what.model, call.started_ns)
        for budget in known.limits if known is not None else ():
            found.append(account_of(budget, "", self._calendar.span(budget, call.started_ns // _NS)))
        return found

    def _purses(self, accounts: Sequence[Account]) -> list[Purse]:
        now = self._clock()
        purses = self.purses
        found = []
        for account in accounts:
            purse = purses.get(account.key)
            if purse is None:
                purse = purses[account.key] = Purse(account)
                if self.lender is not None:
                    self.lender.wake()
            purse.touched_at = now
            found.append(purse)
        self.touched.update(found)
        return found

    # ---- reserving

    def _take_decided(self, call_id: str, holds: Holds, purses: list[Purse]) -> None:
        """The same for a call that waited; one that has ended meanwhile is settled already and holds nothing."""
        if call_id in self._undecided:
            self._undecided.discard(call_id)
            self._take(call_id, holds, purses)

    def _take(self, call_id: str, holds: Holds, purses: list[Purse]) -> None:
        """Hold what was found to be there."""
        low = False
        for purse, amount in holds:
            purse.held += amount
            purse.latest = amount
            low = low or purse.granted - purse.used - purse.held < purse.low_mark
        if holds:
            self._drawn[call_id] = {purse.budget.id for purse, _ in holds}
        if low and self.lender is not None:
            self.lender.wake()
        if len(holds) < len(purses):
            holds = holds + [(purse, 0) for purse in purses if not purse.enforced]
        self._holds[call_id] = holds

    async def _decide(self, call: Call, expense: Expense, holds: Holds, purses: list[Purse]) -> Decided:
        """The decision near a limit; takes a count of the prompt and the database's word."""
        if self._count is not None and expense is not NOTHING and any(purse.counts for purse, _ in holds):
            expense = counted(call, await self._count(call), self._rates.book)
            holds = [(purse, expense.amount(purse.account.budget)) for purse, _ in holds]
        for purse, amount in holds:
            purse.latest = amount
        until = self._clock() + SETTLING_S
        while not any(purse.retired for purse in purses):
            short = _short(holds)
            if not short:
                notes = notes_of(purses)
                self._take_decided(call.id, holds, purses)
                return Decided(None, notes)
            if not await self._ask(short):
                return self._without_database(call, holds, purses)
            lacking = [(purse, amount) for purse, amount in _short(short) if not purse.retired]
            hopeless = next((purse for purse, amount in lacking if not purse.could_pay(amount)), None)
            if hopeless is not None or (lacking and self._clock() >= until):
                return Decided(self._deny(hopeless or lacking[0][0], call), notes_of(purses))
            if lacking:
                await asyncio.sleep(AGAIN_S)
        return await self._decide_anew(call, paid=expense is not NOTHING)

    async def _decide_anew(self, call: Call, *, paid: bool) -> Decided:
        """The decision where budgets changed while the call waited."""
        if call.id not in self._undecided:  # it has ended meanwhile
            return Decided()
        self._undecided.discard(call.id)
        try:
            admitted = self.admit(call, call.known, paid=paid)
        except Refusal as refusal:
            return Decided(refusal)
        return Decided(None, admitted.notes) if admitted.waiting is None else await admitted.waiting()

    async def _ask(self, short: Holds) -> bool:
        """Have the database lend what is missing; false: it does not answer."""
        if self.lender is None:
            return False
        for purse, amount in short:
            purse.waiting.append(amount)
        try:
            return await self.lender.ask([purse for purse, _ in short])
        finally:
            for purse, amount in short:
                purse.waiting.remove(amount)

    def _deny(self, purse: Purse, call: Call) -> Refusal:
        purse.denied += 1
        self.denied += 1
        if self.lender is not None:
            self.lender.wake()
        return denial(purse, call.started_ns // _NS)

    def _without_database(self, call: Call, holds: Holds, purses: list[Purse]) -> Decided:
        notes = notes_of(purses)
        if self.strict:
            message = "The gateway cannot say now whether the budget allows this call; try again."
            return Decided(Refusal(503, Code.BUDGET_UNKNOWN, message, retry_after=5), notes)
        self.overdrawn += 1
        self._take_decided(call.id, holds, purses)
        return Decided(None, notes)


def _short(holds: Holds) -> Holds:
    """Those on which there is too little."""
    return [(purse, amount) for purse, amount in holds if purse.available < amount]
