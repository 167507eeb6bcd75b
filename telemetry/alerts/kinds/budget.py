"""Budgets whose thresholds are reached: those of the gateway, or one that the rule brings along."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from telemetry.alerts.facts import AlertFacts, Asked, BudgetFact
from telemetry.alerts.given import PPM, Given, Unfit
from telemetry.alerts.kinds.contract import Case, Kind
from telemetry.alerts.kinds.windowed import labels_of, subject
from telemetry.alerts.labels import told
from telemetry.alerts.period import Period, calendar_window
from telemetry.alerts.rule import Rule
from telemetry.alerts.transition import GRACE
from telemetry.alerts.verdict import Decision, Reason, Severity, Subject, Verdict, Window
from telemetry.alerts.words import amount, percent

MOST_THRESHOLD: Final = 10 * PPM
"""1,000 %: whoever writes more has most likely written per cent."""
THRESHOLDS: Final = (500_000, 750_000, 900_000, 1_000_000)


class Params(msgspec.Struct, frozen=True):
    """``limit_nano``: the rule's own budget in nano-USD per ``period``; without it the gateway's budgets."""

    thresholds: tuple[int, ...]
    budget: str | None
    limit_nano: int | None
    period: Period
    zone: ZoneInfo


class Step(msgspec.Struct, frozen=True):
    """A budget and one of its thresholds, in millionths."""

    budget: BudgetFact
    threshold: int


def read(given: Given, thresholds: tuple[int, ...] = ()) -> Params:
    """The keys that say which budget is meant."""
    limit, budget = given.usd("limit_usd", None), given.text("budget")
    if limit is not None and budget is not None:
        raise Unfit("limit_usd", "stands beside budget", "Name a budget, or give the rule one of its own")
    period = given.choice("period", Period, Period.MONTH)
    zone = given.zone("time_zone")
    if limit is None:
        for key in ("period", "time_zone"):
            if given.has(key):
                raise Unfit(
                    key, "has no meaning here", "Give limit_usd too: budgets have a window of their own"
                )
    assert period is not None
    return Params(thresholds, budget, limit, period, zone)


def _read(given: Given) -> Params:
    return read(given, given.thresholds("thresholds", MOST_THRESHOLD))


async def gather_budgets(
    rule: Rule[Any], params: Params, facts: AlertFacts, now: datetime
) -> Sequence[tuple[Subject, BudgetFact]]:
    """The budgets the rule is about; with one of its own, one per group and also that of the window before."""
    if params.limit_nano is None:
        found = [fact for fact in await facts.budgets(now) if _meant(rule, params, fact)]
        return [(Subject(fact.budget_id, (("budget", fact.name), *fact.filters)), fact) for fact in found]
    windows = [calendar_window(params.period, params.zone, now)]
    if now - windows[0].start < GRACE:
        windows.append(calendar_window(params.period, params.zone, now - GRACE))
    subjects = []
    for window in windows:
        wanted = Asked(window.start, window.end, rule.scope, rule.group_by)
        for sums in await facts.spend(wanted):
            about = subject(rule, sums.labels)
            labels = labels_of(rule, sums.labels)
            fact = BudgetFact(
                budget_id=f"{rule.name}/{about.key}",
                name=rule.name,
                scope=told(labels) or "everything",
                window_key=window.key,
                limit_nano=params.limit_nano,
                spent_nano=sums.spend_nano,
                reserved_nano=0,
                thresholds_ppm=THRESHOLDS,
                window_start=window.start,
                window_end=window.end,
                filters=labels,
            )
            subjects.append((about, fact))
    return subjects


def _meant(rule: Rule[Any], params: Params, fact: BudgetFact) -> bool:
    return params.budget in (None, fact.name) and set(rule.scope) <= set(fact.filters)


async def _gather(rule: Rule[Params], facts: AlertFacts, now: datetime) -> Sequence[Case[Step]]:
    return [
        Case(about, Step(fact, threshold))
        for about, fact in await gather_budgets(rule, rule.params, facts, now)
        for threshold in rule.params.thresholds or fact.thresholds_ppm
    ]


def evaluate(rule: Rule[Params], fact: Step, now: datetime) -> Verdict:
    """Settled spend against the share of the limit, in whole numbers: nothing is rounded up to a threshold."""
    budget = fact.budget
    reached = budget.limit_nano > 0 and budget.spent_nano * PPM >= budget.limit_nano * fact.threshold
    share = budget.spent_nano * PPM // budget.limit_nano if budget.limit_nano > 0 else 0
    if fact.threshold >= PPM:
        severity = Severity.CRITICAL
    else:
        severity = Severity.WARNING if fact.threshold >= 900_000 else Severity.INFO
    summary = (
        f"budget {budget.name} ({budget.scope}, {budget.window_key}): {amount(budget.spent_nano, budget.unit)} of "
        f"{amount(budget.limit_nano, budget.unit)} spent, {percent(share)} (threshold {percent(fact.threshold)})"
    )
    return Verdict(
        Decision.FIRING if reached else Decision.QUIET,
        Reason.REACHED if reached else Reason.BELOW,
        budget.spent_nano,
        -(-budget.limit_nano * fact.threshold // PPM),
        budget.unit,
        Window(budget.window_key, budget.window_start, budget.window_end, calendar=True),
        percent(fact.threshold),
        rule.severity_or(severity),
        summary,
    )


KIND: Final = Kind("budget", "a threshold of a budget is reached", _read, _gather, evaluate)
