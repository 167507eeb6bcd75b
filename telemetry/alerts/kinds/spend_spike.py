"""Spend that leaps."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from telemetry.alerts.facts import AlertFacts, Asked, SpendFact
from telemetry.alerts.given import NANO, PPM, Given, Unfit
from telemetry.alerts.kinds.contract import Case, Kind
from telemetry.alerts.kinds.windowed import RENOTIFY_S, about, judged, subject
from telemetry.alerts.rule import DAY_S, Rule
from telemetry.alerts.verdict import Reason, Unit, Verdict
from telemetry.alerts.words import factor, seconds, usd

MOST_STEPS: Final = 1_000


class Params(msgspec.Struct, frozen=True):
    """``above``: factor in millionths; ``min_nano``: nano-USD."""

    above: int
    window_s: int
    history_s: int
    min_nano: int


def _read(given: Given) -> Params:
    above = given.millionths("above", 3 * PPM, PPM + 1, 1_000 * PPM)
    least = given.usd("min_usd", NANO)
    assert above is not None
    assert least is not None
    window = given.seconds("window", 3_600, 300, DAY_S)
    history = given.seconds("history", 7 * DAY_S, DAY_S, 28 * DAY_S)
    if history % window or history // window > MOST_STEPS:
        raise Unfit(
            "history", "does not fit the window", f"Write a multiple of it, at most {MOST_STEPS} times"
        )
    return Params(above, window, history, least)


async def _gather(rule: Rule[Params], facts: AlertFacts, now: datetime) -> Sequence[Case[SpendFact]]:
    params = rule.params
    since = now - timedelta(seconds=params.history_s + params.window_s)
    found = await facts.spend(Asked(since, now, rule.scope, rule.group_by), params.window_s)
    return [Case(subject(rule, fact.labels), fact) for fact in found]


def evaluate(rule: Rule[Params], fact: SpendFact, now: datetime) -> Verdict:
    """The last window against the usual one (:func:`usual`)."""
    params = rule.params
    value = fact.spent[-1]
    before = fact.spent[:-1]
    normal = usual(before, params.window_s)
    summary = (
        f"{usd(value)} spent{about(rule, fact.labels)} in {seconds(params.window_s)}, usual are {usd(normal)} "
        f"(limit {factor(params.above)} that)"
    )
    doubt = None
    known = len(before) - next((place for place, spent in enumerate(before) if spent), len(before))
    if known * params.window_s < DAY_S:
        doubt = Reason.TOO_LITTLE_HISTORY
    # Rounded up, so that a value is never called a spike below the exact limit.
    limit = max(-(-normal * params.above // PPM), params.min_nano)
    return judged(rule, value, limit, Unit.NANO_USD, params.window_s, now, summary, doubt=doubt)


def usual(before: Sequence[int], window_s: int) -> int:
    """What a window costs: the median of those before, or more where the same time a day or a week ago was more.

    Work has its hours and its days: a Monday morning is compared with mornings and with the Monday before.
    """
    candidates = [int(statistics.median_low(before))] if before else [0]
    for ago_s in (DAY_S, 7 * DAY_S):
        steps = ago_s // window_s
        if ago_s % window_s == 0 and steps <= len(before):
            candidates.append(before[-steps])
    return max(candidates)


KIND: Final = Kind("spend_spike", "spend leaps", _read, _gather, evaluate, RENOTIFY_S, every_s=60)
