"""What this worker holds of one account: lent to it, used up, and held for calls under way."""

from __future__ import annotations

from typing import Final

from storage.budgets.leases import KEY_LIMIT, Grant, Standing
from storage.budgets.model import Account, Unit

WIDE_CALLS: Final = 64
"""Where less than so many calls' worth is left, prompts are counted and not guessed at."""


class Purse:
    """Amounts are nano-USD, tokens or calls. On the event loop only."""

    __slots__ = (
        "account",
        "asked",
        "denied",
        "granted",
        "held",
        "is_of_key",
        "latest",
        "left",
        "local",
        "owing",
        "spent",
        "touched_at",
        "used",
    )

    def __init__(self, account: Account) -> None:
        self.account = account
        self.is_of_key = account.budget.id.startswith(KEY_LIMIT)
        """Its calls are counted by this worker and not with their rows."""
        self.granted = 0
        self.used = 0
        self.held = 0
        self.asked = 0
        """What calls that wait need."""
        self.left = account.budget.limit
        """Of the account, beyond what all workers hold, when it was last looked at."""
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
        self.touched_at = 0.0

    @property
    def available(self) -> int:
        return self.granted - self.used - self.held

    @property
    def remaining(self) -> int:
        """What calls of this worker could still draw, as far as is known; never below 0."""
        if self.account.budget.is_enforced:
            return max(self.left + self.available, 0)
        return max(self.account.budget.limit - self.spent - self.local, 0)

    @property
    def is_low(self) -> bool:
        """Should more be borrowed before a call has to wait for it?"""
        if not self.is_wide(self.latest):
            return False
        return self.available < max(self.latest * 4, (self.granted - self.used) // 2)

    def is_wide(self, amount: int) -> bool:
        """Is there room for many calls of this size?"""
        return self.left + self.available > amount * WIDE_CALLS

    def could_pay(self, amount: int) -> bool:
        """Would there be enough, if no call under way needed what it holds?"""
        budget = self.account.budget
        return budget.unit is not Unit.SLOTS and self.spent + amount <= budget.limit

    def take(self, got: Grant) -> None:
        """Something was lent."""
        self.granted += got.amount
        self.spent, self.local = got.spent, 0
        self.left = max(self.account.budget.limit - got.spent - got.lent, 0)

    def look(self, standing: Standing) -> None:
        """How the account stands."""
        self.spent, self.local = standing.spent, 0
        self.left = max(self.account.budget.limit - standing.spent - standing.lent, 0)

    def settle(self, held: int, amount: int) -> None:
        """A call that drew on it has ended and cost ``amount``."""
        self.held -= held
        self.local += amount
        if self.account.budget.is_enforced:
            self.used += amount
            if self.is_of_key:
                self.owing += amount
