"""What a call may cost at most, before it is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.call import Call
from pricing.book import PriceBook, PriceQuery
from pricing.usage import Usage
from storage.budgets.amounts import MTOK, ceiling
from storage.budgets.model import Budget, Unit, Unpriced

MOST_GUESSED: Final = 1_000_000
"""Tokens; no prompt is guessed to be larger."""
WITHOUT_OUTPUT: Final = frozenset(("embeddings", "rerank", "moderation"))
RATES_LAST_NS: Final = 60_000_000_000
"""Prices change by the hour at most."""
_REMEMBERED: Final = 1_024
_USD: Final = Unit.USD
_TOKENS: Final = Unit.TOKENS


class Rates:
    """Nano-USD for a million tokens in and out, not less than any that may apply; remembered for a minute."""

    def __init__(self, book: PriceBook) -> None:
        self.book = book
        self._known: dict[tuple[str, str | None], tuple[int, int, int]] = {}

    def of(self, call: Call) -> tuple[int, int] | None:
        """``None`` where the model has no price."""
        key = (call.target.provider.price_as, call.ask.model)
        known = self._known.get(key)
        now = call.started_ns
        if known is None or not known[0] <= now < known[0] + RATES_LAST_NS:
            known = (now, *self._ask(key, now))
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = known
        return None if known[1] < 0 else (known[1], known[2])

    def _ask(self, key: tuple[str, str | None], at_ns: int) -> tuple[int, int]:
        """A million tokens are beyond every tier; written to a cache they cost most."""
        kinds = [
            Usage(input=MTOK, output=0),
            Usage(input=MTOK, output=0, cache_write_1h=MTOK),
            Usage(input=MTOK, output=MTOK),
        ]
        plain, written, both = (
            self.book.price(PriceQuery(key[0], key[1], None, usage, at_ns)).total for usage in kinds
        )
        if plain is None or both is None:
            return -1, -1
        return max(plain, written or 0), both - plain


class Expense:
    """Tokens that go in and may come out, and their price by the list."""

    __slots__ = ("_call", "_input", "_made", "_price", "_priced")

    def __init__(self, call: Call, tokens: int, price: Callable[[Call, int, int], int | None]) -> None:
        """``price`` gives nano-USD for tokens in and out, or ``None``."""
        self._call = call
        self._input = tokens
        self._price = price
        self._priced: dict[int, int | None] = {}
        self._made = _made(call)

    def tokens(self, budget: Budget) -> int:
        return self._input + self._output(budget)

    def nano(self, budget: Budget) -> int | None:
        """Nano-USD; ``None`` where the model has no price."""
        output = self._output(budget)
        if output not in self._priced:
            self._priced[output] = self._price(self._call, self._input, output)
        return self._priced[output]

    def is_unpayable(self, budget: Budget) -> bool:
        """Is it refused because nobody knows its price?"""
        return (
            budget.unpriced is Unpriced.BLOCK
            and budget.unit is _USD
            and (self._call.ask.model is None or self.nano(budget) is None)
        )

    def amount(self, budget: Budget) -> int:
        """What it has to draw on an account: at least 1, so that an empty account refuses it."""
        unit = budget.unit
        if unit is _USD:
            nano = self.nano(budget)
            if nano is None:
                nano = ceiling(budget, self.tokens(budget)) if budget.unpriced is Unpriced.CEILING else 0
            return nano or 1
        if unit is _TOKENS:
            return self.tokens(budget) or 1
        return 1

    def _output(self, budget: Budget) -> int:
        made = self._made
        return budget.assumed_output_tokens * self._call.ask.answers if made is None else made


def _made(call: Call) -> int | None:
    """Most tokens that may come out; ``None``: the call does not say."""
    wire, each = call.target.wire, call.ask.max_tokens
    if wire is None or wire.operation in WITHOUT_OUTPUT:
        return 0
    return None if each is None else each * call.ask.answers


class Free(Expense):
    """A call that costs nothing (a listing, a poll)."""

    __slots__ = ()

    def __init__(self) -> None:
        return None

    def is_unpayable(self, budget: Budget) -> bool:
        return False

    def amount(self, budget: Budget) -> int:
        return 0


NOTHING: Final = Free()


def guessed(call: Call, rates: Rates) -> Expense:
    """Every byte is taken for a token: cheap, and never too little."""

    def price(call: Call, asked: int, made: int) -> int | None:
        found = rates.of(call)
        return None if found is None else (asked * found[0] + made * found[1]) // MTOK + 1

    return Expense(call, min(call.what.request_bytes, MOST_GUESSED), price)


def counted(call: Call, tokens: int, book: PriceBook) -> Expense:
    """With the prompt counted."""

    def price(call: Call, asked: int, made: int) -> int | None:
        written = asked if b'"cache_control"' in call.body else None
        usage = Usage(input=asked, output=made, cache_write_1h=written)
        query = PriceQuery(call.target.provider.price_as, call.ask.model, None, usage, call.started_ns)
        return book.price(query).total

    return Expense(call, tokens, price)
