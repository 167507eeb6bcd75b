"""What this worker holds of one account: lent to it, used up, and held for calls under way."""

from __future__ import annotations

from typing import Final

from storage.budgets.leases import KEY_LIMIT, Grant, Standing
from storage.budgets.model import Account, Mode, Unit

WIDE_CALLS: Final = 64
"""Where less than so many calls' worth is left, prompts are counted and not guessed at."""
_USD: Final = Unit.USD
_TOKENS: Final = Unit.TOKENS


class Purse:
    """Amounts are nano-USD, tokens or calls. On the event loop only."""

    __slots__ = (
        "account",
        "budget",
        "counts",
        "denied",
        "enforced",
        "granted",
        "held",
        "is_of_key",
        "known",
        "latest",
        "left",
        "limit",
        "local",
        "low_mark",
        "owing",
        "retired",
        "shows",
        "spent",
        "tells",
        "touched_at",
        "used",
        "waiting",
        "warns",
    )

    def __init__(self, account: Account) -> None:
        self.granted = 0
        self.used = 0
        self.held = 0
        self.waiting: list[int] = []
        """What each call needs that waits for the database to lend it."""
        self.left = account.budget.limit
        """Of the account, beyond what all workers hold, when it was last looked at."""
        self.known = False
        """Was it ever looked at? Until then nobody knows what was spent before."""
        self.spent = 0
        """By all workers, when it was last looked at."""
        self.local = 0
        """Spent through this worker since then."""
        self.owing = 0
        """Used and not told to the database (limits of keys)."""
        self.denied = 0
        """Refused (in shadow: would have been) and not told to the database."""
        self.latest = 1
        """What the latest call was taken to cost."""
        self.low_mark = 0
        """Below it is time to borrow more."""
        self.touched_at = 0.0
        self.retired = False
        """Its budget has changed: calls under way still hold parts of it, and what they leave is given back."""
        self.be(account)

    def be(self, account: Account) -> None:
        """Stand for this account: the same as before, of a budget that is not stricter."""
        budget = account.budget
        self.account = account
        self.budget = budget
        self.limit = budget.limit
        self.enforced = budget.is_enforced
        """Calls draw on it before they are made."""
        self.is_of_key = budget.id.startswith(KEY_LIMIT)
        """Its calls are counted by this worker and not with their rows."""
        self.counts = budget.unit is _USD or budget.unit is _TOKENS
        """The size of the prompt matters to it."""
        self.shows = budget.unit is _USD and budget.mode is not Mode.SHADOW
        """Apps are told what is left of it."""
        self.warns = budget.mode is Mode.SOFT
        """Apps are told when nothing is."""
        self.tells = self.shows or self.warns

    @property
    def available(self) -> int:
        return self.granted - self.used - self.held

    @property
    def asked(self) -> int:
        """What is missing for all calls that wait."""
        return max(sum(self.waiting) - self.available, 0)

    @property
    def least(self) -> int:
        """What is missing for one of them: less would be of no use to any."""
        return max(min(self.waiting) - self.available, 0) if self.waiting else 0

    @property
    def is_low(self) -> bool:
        """Should more be borrowed before a call has to wait for it?"""
        if not self.is_wide(self.latest):
            return False
        return self.available < max(self.latest * 4, (self.granted - self.used) // 2)

    def is_wide(self, amount: int) -> bool:
        """Is there room for many calls of this size?"""
        return self.left + self.granted - self.used - self.held > amount * WIDE_CALLS

    def could_pay(self, amount: int) -> bool:
        """Would there be enough, if no call under way needed what it holds?"""
        return self.account.budget.unit is not Unit.SLOTS and self.spent + amount <= self.limit

    def take(self, got: Grant) -> None:
        """Something was lent."""
        self.granted += got.amount
        self.low_mark = self.available // 2
        self.spent, self.local = got.spent, 0
        self.left = max(self.limit - got.spent - got.lent, 0)
        self.known = True

    def give_back(self) -> int:
        """What no call holds goes; returns how much that is."""
        amount = max(self.available, 0)
        self.granted -= amount
        self.left += amount
        return amount

    def look(self, standing: Standing) -> None:
        """How the account stands."""
        self.spent, self.local = standing.spent, 0
        self.left = max(self.limit - standing.spent - standing.lent, 0)
        self.known = True

    @property
    def remaining(self) -> int:
        """Of the account, as far as this worker knows; before it has looked, nobody's spending but its own is known."""
        if self.enforced:
            return self.left + self.granted - self.used - self.held
        return self.limit - self.spent - self.local

    def settle(self, held: int, amount: int) -> None:
        """A call that drew on it has ended and cost ``amount``."""
        self.held -= held
        self.local += amount
        if self.enforced:
            self.used += amount
            if self.is_of_key:
                self.owing += amount
