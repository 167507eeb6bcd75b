"""The share of calls that fail."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from telemetry.alerts.facts import AlertFacts, CallsFact
from telemetry.alerts.given import PPM, Given
from telemetry.alerts.kinds.contract import Case, Kind
from telemetry.alerts.kinds.windowed import RENOTIFY_S, about, calls, judged, read_window
from telemetry.alerts.rule import Rule
from telemetry.alerts.verdict import Reason, Unit, Verdict
from telemetry.alerts.words import percent, seconds


class Params(msgspec.Struct, frozen=True):
    """``above``: share in millionths."""

    above: int
    window_s: int
    min_calls: int


def _read(given: Given) -> Params:
    above = given.millionths("above", 50_000, 1, PPM)
    assert above is not None
    return Params(above, read_window(given, 600), given.count("min_calls", 20, 1, 1_000_000))


async def _gather(rule: Rule[Params], facts: AlertFacts, now: datetime) -> Sequence[Case[CallsFact]]:
    return await calls(rule, facts, rule.params.window_s, now)


def evaluate(rule: Rule[Params], fact: CallsFact, now: datetime) -> Verdict:
    """Failed calls by calls; a few calls tell nothing."""
    params = rule.params
    share = fact.failed * PPM // fact.calls if fact.calls else 0
    summary = (
        f"{percent(share)} of calls{about(rule, fact.labels)} failed in {seconds(params.window_s)}: "
        f"{fact.failed:,} of {fact.calls:,} (limit {percent(params.above)})"
    )
    doubt = Reason.TOO_FEW_CALLS if fact.calls < params.min_calls else None
    return judged(rule, share, params.above, Unit.PPM, params.window_s, now, summary, doubt=doubt)


KIND: Final = Kind("error_rate", "calls fail too often", _read, _gather, evaluate, RENOTIFY_S)
