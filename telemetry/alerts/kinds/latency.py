"""Calls that take long."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from telemetry.alerts.facts import AlertFacts, Measure, QuantileFact
from telemetry.alerts.given import Given
from telemetry.alerts.kinds.contract import Case, Kind
from telemetry.alerts.kinds.windowed import RENOTIFY_S, about, asked, judged, read_window, subject
from telemetry.alerts.rule import Rule
from telemetry.alerts.verdict import Reason, Unit, Verdict
from telemetry.alerts.words import micros, percent, seconds

LONGEST_S: Final = 3_600
MOST_QUANTILE: Final = 999_999


class Params(msgspec.Struct, frozen=True):
    """``above``: microseconds; ``percentile``: millionths."""

    above: int
    percentile: int
    window_s: int
    min_calls: int


def read(given: Given) -> Params:
    """The keys of a rule about a duration."""
    above = given.micros("above", None, LONGEST_S)
    if above is None:
        raise given.missing("above", "Write seconds, such as above = 2.5")
    percentile = given.millionths("percentile", 950_000, 1, MOST_QUANTILE)
    assert percentile is not None
    return Params(above, percentile, read_window(given, 600), given.count("min_calls", 20, 1, 1_000_000))


async def gather(
    rule: Rule[Params], facts: AlertFacts, measure: Measure, now: datetime
) -> Sequence[Case[QuantileFact]]:
    """The quantile of a measure over the window, by group."""
    params = rule.params
    found = await facts.quantiles(asked(rule, params.window_s, now), measure, params.percentile)
    return [Case(subject(rule, fact.labels), fact) for fact in found]


def judge(rule: Rule[Any], fact: QuantileFact, what: str, now: datetime) -> Verdict:
    """The quantile against the limit; a few calls tell nothing."""
    params: Params = rule.params
    summary = (
        f"{percent(params.percentile)} of calls{about(rule, fact.labels)} {what} "
        f"{micros(fact.value_us)} or less in {seconds(params.window_s)}: {fact.calls:,} calls "
        f"(limit {micros(params.above)})"
    )
    doubt = Reason.TOO_FEW_CALLS if fact.calls < params.min_calls else None
    return judged(
        rule, fact.value_us, params.above, Unit.MICROSECONDS, params.window_s, now, summary, doubt=doubt
    )


async def _gather(rule: Rule[Params], facts: AlertFacts, now: datetime) -> Sequence[Case[QuantileFact]]:
    return await gather(rule, facts, Measure.DURATION, now)


def evaluate(rule: Rule[Params], fact: QuantileFact, now: datetime) -> Verdict:
    """From the request's head to the answer's last byte."""
    return judge(rule, fact, "took", now)


KIND: Final = Kind("latency", "calls take too long", read, _gather, evaluate, RENOTIFY_S)
