"""Spend that leaps."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from telemetry.alerts.facts import AlertFacts, Asked
from telemetry.alerts.given import NANO, PPM, Given, Unfit
from telemetry.alerts.kinds.contract import Case, Kind
from telemetry.alerts.kinds.windowed import RENOTIFY_S, about, judged, subject
from telemetry.alerts.labels import Labels
from telemetry.alerts.rule import DAY_S, Rule
from telemetry.alerts.verdict import Reason, Unit, Verdict
from telemetry.alerts.words import factor, seconds, usd

HOUR_S: Final = 3_600
DAY_HOURS: Final = 24


class Params(msgspec.Struct, frozen=True):
    """``above``: factor in millionths; ``min_nano``: nano-USD. Window and history are whole hours."""

    above: int
    window_s: int
    history_s: int
    min_nano: int


class Leap(msgspec.Struct, frozen=True):
    """The spend of the last window, and that of the UTC hours before it, oldest first."""

    labels: Labels
    spent: int
    hours: tuple[int, ...]


def _read(given: Given) -> Params:
    above = given.millionths("above", 3 * PPM, PPM + 1, 1_000 * PPM)
    least = given.usd("min_usd", NANO)
    assert above is not None
    assert least is not None
    window = given.seconds("window", HOUR_S, HOUR_S, DAY_S)
    if window % HOUR_S:
        raise Unfit("window", "is not a number of hours", 'Write it like "1h" or "6h"')
    history = given.seconds("history", 7 * DAY_S, DAY_S, 28 * DAY_S)
    if history % window:
        raise Unfit("history", "does not fit the window", "Write a multiple of it")
    return Params(above, window, history, least)


async def _gather(rule: Rule[Params], facts: AlertFacts, now: datetime) -> Sequence[Case[Leap]]:
    params = rule.params
    since = now - timedelta(seconds=params.window_s)
    before = since.replace(minute=0, second=0, microsecond=0)
    wanted = Asked(before - timedelta(seconds=params.history_s), before, rule.scope, rule.group_by)
    history = {fact.labels: fact.spent for fact in await facts.hours(wanted)}
    nothing = (0,) * (params.history_s // HOUR_S)
    return [
        Case(
            subject(rule, fact.labels),
            Leap(fact.labels, fact.spend_nano, history.get(fact.labels, nothing)),
        )
        for fact in await facts.spend(Asked(since, now, rule.scope, rule.group_by))
    ]


def evaluate(rule: Rule[Params], fact: Leap, now: datetime) -> Verdict:
    """The last window against the usual one (:func:`usual`)."""
    params = rule.params
    normal = usual(fact.hours, params.window_s // HOUR_S)
    summary = (
        f"{usd(fact.spent)} spent{about(rule, fact.labels)} in {seconds(params.window_s)}, usual are {usd(normal)} "
        f"(limit {factor(params.above)} that)"
    )
    first = next((place for place, spent in enumerate(fact.hours) if spent), len(fact.hours))
    doubt = Reason.TOO_LITTLE_HISTORY if len(fact.hours) - first < DAY_HOURS else None
    # Rounded up, so that a value is never called a spike below the exact limit.
    limit = max(-(-normal * params.above // PPM), params.min_nano)
    return judged(rule, fact.spent, limit, Unit.NANO_USD, params.window_s, now, summary, doubt=doubt)


def usual(hours: Sequence[int], size: int) -> int:
    """What a window of ``size`` hours costs: the median of those before, or what was spent at the same time a day or
    a week ago, if that was more.

    Work has its hours and its days: a Monday morning is compared with mornings and with the Monday before. The last
    window does not begin on the hour, so the dearer of the two windows that do is taken.
    """
    windows = [sum(hours[end - size : end]) for end in range(len(hours), size - 1, -size)]
    candidates = [statistics.median_low(windows)] if windows else [0]
    for ago in (DAY_HOURS, 7 * DAY_HOURS):
        if ago <= len(hours):
            first = len(hours) - ago
            candidates += [sum(hours[begin : begin + size]) for begin in (first, first + 1)]
    return max(candidates)


KIND: Final = Kind("spend_spike", "spend leaps", _read, _gather, evaluate, RENOTIFY_S, every_s=60)
