"""What a call may cost at most, before it is made."""

from __future__ import annotations

import re
from typing import Final

from gateway.call import Call
from pricing.book import PriceBook, PriceQuery
from pricing.usage import Usage
from storage.budgets.amounts import ceiling
from storage.budgets.model import Budget, Unit, Unpriced

MOST_GUESSED: Final = 1_000_000
"""Tokens; no prompt is guessed to be larger."""
WITHOUT_OUTPUT: Final = frozenset(("embeddings", "rerank", "moderation"))
_ANSWERS: Final = re.compile(rb'"(?:n|candidateCount)"\s*:\s*(\d{1,4})\b')
_MOST_ANSWERS: Final = 128


class Expense:
    """Tokens that go in and may come out, and their price by the list."""

    __slots__ = ("_answers", "_book", "_call", "_input", "_priced")

    def __init__(self, book: PriceBook, call: Call, counted: int | None = None) -> None:
        """``counted``: tokens of the prompt; without it every byte is taken for one."""
        self._book = book
        self._call = call
        self._input = min(call.what.request_bytes, MOST_GUESSED) if counted is None else counted
        self._answers = _answers_of(call.body)
        self._priced: dict[int, int | None] = {}

    def counted(self, tokens: int) -> Expense:
        """The same with the prompt counted."""
        return Expense(self._book, self._call, min(tokens, self._input))

    def tokens(self, budget: Budget) -> int:
        return self._input + self._output(budget)

    def nano(self, budget: Budget) -> int | None:
        """Nano-USD; ``None`` where the model has no price."""
        output = self._output(budget)
        if output not in self._priced:
            self._priced[output] = self._price(output)
        return self._priced[output]

    def is_unpayable(self, budget: Budget) -> bool:
        """Is it refused because nobody knows its price?"""
        return (
            budget.unit is Unit.USD
            and budget.unpriced is Unpriced.BLOCK
            and (self._call.ask.model is None or self.nano(budget) is None)
        )

    def _output(self, budget: Budget) -> int:
        wire = self._call.target.wire
        if wire is None or wire.operation in WITHOUT_OUTPUT:
            return 0
        each = self._call.ask.max_tokens
        return (budget.assumed_output_tokens if each is None else each) * self._answers

    def _price(self, output: int) -> int | None:
        call = self._call
        written = self._input if b'"cache_control"' in call.body else None
        usage = Usage(input=self._input, output=output, cache_write_1h=written)
        price_as = call.target.provider.price_as
        return self._book.price(PriceQuery(price_as, call.ask.model, None, usage, call.started_ns)).total


class Free(Expense):
    """A call that costs nothing (a listing, a poll)."""

    __slots__ = ()

    def __init__(self) -> None:
        return None

    def counted(self, tokens: int) -> Expense:
        return self

    def tokens(self, budget: Budget) -> int:
        return 0

    def nano(self, budget: Budget) -> int | None:
        return 0

    def is_unpayable(self, budget: Budget) -> bool:
        return False


NOTHING: Final = Free()


def amount_for(budget: Budget, expense: Expense) -> int:
    """What a call has to draw on an account of this budget: at least 1, so that an empty account refuses it."""
    if expense is NOTHING:
        return 0
    unit = budget.unit
    if unit is Unit.USD:
        nano = expense.nano(budget)
        if nano is None:
            nano = ceiling(budget, expense.tokens(budget)) if budget.unpriced is Unpriced.CEILING else 0
        return max(nano, 1)
    if unit is Unit.TOKENS:
        return max(expense.tokens(budget), 1)
    return 1


def _answers_of(body: bytes) -> int:
    """How many answers the request wants."""
    if b'"n"' not in body and b'"candidateCount"' not in body:
        return 1
    return min(max((int(found) for found in _ANSWERS.findall(body)), default=1) or 1, _MOST_ANSWERS)
