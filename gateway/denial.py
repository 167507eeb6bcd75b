"""What an app is told of its budgets: header lines, and why a call is refused."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from gateway.call import Call
from gateway.errors import Code, Refusal
from gateway.purse import Purse
from pricing.cost import format_usd
from storage.budgets.model import Account, Budget, Unit, Window
from storage.budgets.scopes import told

_WORDS: Final = {Unit.TOKENS: "tokens", Unit.CALLS: "calls"}


def notes_of(purses: Iterable[Purse]) -> bytes:
    """Header lines: the least that is left of any account in USD, unless that is not known yet, and what is used up."""
    least: int | None = None
    unknown = False
    exceeded = b""
    for purse in purses:
        if not purse.tells:
            continue
        remaining = purse.remaining
        if remaining > 0:
            if not purse.known:  # and nobody knows what was spent before
                unknown = unknown or purse.shows
                continue
        elif purse.warns:
            exceeded += exceeded_header(purse.account.budget)
        if purse.shows and (least is None or remaining < least):
            least = remaining
    if least is None or (unknown and least > 0):
        return exceeded
    return remaining_header(max(least, 0)) + exceeded


def remaining_header(nano: int) -> bytes:
    return b"x-weighbridge-budget-remaining-usd: %b\r\n" % (format_usd(nano) or "0").encode("ascii")


def exceeded_header(budget: Budget) -> bytes:
    name = "".join(letter if " " <= letter <= "~" else "?" for letter in budget.name)
    return b"x-weighbridge-budget-exceeded: %b\r\n" % name.encode("ascii")


def denial(purse: Purse, now_s: int) -> Refusal:
    """429: which budget, how much, until when."""
    account, budget = purse.account, purse.account.budget
    wait = max(account.end_s - now_s, 1)
    if purse.is_of_key:
        return _of_key(account, wait)
    whose = told(budget, account.subject)
    spent = purse.spent + purse.local
    others = budget.limit - spent - purse.left
    parts = [f"{amount(budget, spent)} spent"]
    if others > 0:
        parts.append(f"{amount(budget, others)} reserved for calls under way")
    what = f"Budget {budget.name!r} of {amount(budget, budget.limit)}{f' ({whose})' if whose else ''}"
    if budget.window is Window.TOTAL:
        message = f"{what} does not allow this call: {', '.join(parts)}. It does not begin anew."
        return Refusal(429, Code.BUDGET_EXCEEDED, message, retry_after=86_400)
    until = datetime.fromtimestamp(account.end_s, ZoneInfo(budget.timezone))
    message = (
        f"{what} for this {budget.window} does not allow this call: {', '.join(parts)}. "
        f"It begins anew at {until.isoformat()} ({budget.timezone})."
    )
    return Refusal(429, Code.BUDGET_EXCEEDED, message, retry_after=wait)


def unpriced_denial(account: Account, call: Call) -> Refusal:
    """403: a model without a price draws on a budget that wants to know."""
    model = call.ask.model
    what = f"the model {model[:100]!r} has" if model is not None else "this call names no model and has"
    message = (
        f"Budget {account.budget.name!r} refuses calls whose price is not known, and {what} none. "
        "Give it a price ([[pricing.price]]), or let the budget assume one."
    )
    return Refusal(403, Code.BUDGET_EXCEEDED, message)


def amount(budget: Budget, value: int) -> str:
    """For people: ``12.5 USD``, ``3000 tokens``."""
    if budget.unit is Unit.USD:
        return f"{format_usd(value)} USD"
    return f"{value} {_WORDS.get(budget.unit, 'calls')}"


def _of_key(account: Account, wait: int) -> Refusal:
    budget = account.budget
    if budget.unit is Unit.SLOTS:
        message = f"This key allows {budget.limit} calls at the same time, and they are under way."
        return Refusal(429, Code.RATE_LIMITED, message, retry_after=1)
    what = amount(budget, budget.limit)
    message = f"This key allows {what} per minute, and they are used up; the next minute begins in {wait} s."
    return Refusal(429, Code.RATE_LIMITED, message, retry_after=wait)
