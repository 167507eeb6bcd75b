"""Budgets that will not last, if spend goes on as it did."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from telemetry.alerts.facts import AlertFacts, Asked, BudgetFact
from telemetry.alerts.given import PPM, Given, Unfit
from telemetry.alerts.kinds import budget as budgets
from telemetry.alerts.kinds.contract import Case, Kind
from telemetry.alerts.projection import DAY_S, WEEK, Method, begun, projected
from telemetry.alerts.rule import Rule
from telemetry.alerts.verdict import Decision, Reason, Severity, Unit, Verdict, Window
from telemetry.alerts.words import percent, usd

HISTORY_DAYS: Final = 28


class Params(msgspec.Struct, frozen=True):
    """``above``: share of the limit in millionths; ``min_days``: of history."""

    budget: budgets.Params
    above: int
    min_days: int
    method: Method


class Outlook(msgspec.Struct, frozen=True):
    """A budget and the spend in its scope on whole days before today (24 h from the window's start on), oldest first."""

    budget: BudgetFact
    days: tuple[int, ...]


def _read(given: Given) -> Params:
    above = given.millionths("above", PPM, 1, budgets.MOST_THRESHOLD)
    method = given.choice("method", Method, Method.AUTO)
    assert above is not None
    assert method is not None
    least = 2 * WEEK if method is Method.SEASONAL else 1
    days = given.count("min_days", max(WEEK, least), 1, HISTORY_DAYS)
    if days < least:
        raise Unfit("min_days", "is too few for the days of the week", f"Write at least {least}")
    return Params(budgets.read(given), above, days, method)


async def _gather(rule: Rule[Params], facts: AlertFacts, now: datetime) -> Sequence[Case[Outlook]]:
    found = []
    for subject, fact in await budgets.gather_budgets(rule, rule.params.budget, facts, now):
        if fact.window_end <= now or not fact.whole or fact.unit is not Unit.NANO_USD:
            continue
        today = fact.window_start + (now - fact.window_start) // timedelta(days=1) * timedelta(days=1)
        # Days that begin at half past are moved by that: it makes no difference to a projection.
        until = today.replace(minute=0, second=0, microsecond=0)
        wanted = Asked(until - timedelta(days=HISTORY_DAYS), until, fact.filters, most=1)
        history = await facts.hours(wanted)
        hours = history[0].spent if history else ()
        days = tuple(sum(hours[first : first + 24]) for first in range(0, len(hours), 24))
        found.append(Case(subject, Outlook(fact, days)))
    return found


def evaluate(rule: Rule[Params], fact: Outlook, now: datetime) -> Verdict:
    """The projected spend against the limit; too few days of history tell nothing."""
    params, budget = rule.params, fact.budget
    days = begun(fact.days)
    enough = len(days) >= params.min_days
    remaining = (budget.window_end - now) // timedelta(seconds=1)
    today_left = DAY_S - (now - budget.window_start) // timedelta(seconds=1) % DAY_S
    value = budget.spent_nano
    if enough:
        value = projected(value, days, today_left, remaining, params.method)
    limit = -(-budget.limit_nano * params.above // PPM)
    reached = budget.limit_nano > 0 and value >= limit
    decision = Decision.UNKNOWN if not enough else Decision.FIRING if reached else Decision.QUIET
    reason = Reason.TOO_LITTLE_HISTORY if not enough else Reason.REACHED if reached else Reason.BELOW
    summary = (
        f"budget {budget.name} ({budget.scope}, {budget.window_key}) will stand at {usd(value)} of "
        f"{usd(budget.limit_nano)} at its end, by the last {len(days)} days: {usd(budget.spent_nano)} are spent"
    )
    severity = rule.severity_or(Severity.WARNING)
    window = Window(budget.window_key, budget.window_start, budget.window_end, calendar=True)
    level = percent(params.above)
    return Verdict(decision, reason, value, limit, Unit.NANO_USD, window, level, severity, summary)


KIND: Final = Kind("overrun", "a budget will not last", _read, _gather, evaluate, every_s=600)
