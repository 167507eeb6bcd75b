"""Calls whose cost is not known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from telemetry.alerts.facts import AlertFacts, CallsFact
from telemetry.alerts.given import Given
from telemetry.alerts.kinds.contract import Case, Kind
from telemetry.alerts.kinds.windowed import about, calls, judged, read_window
from telemetry.alerts.rule import DAY_S, Rule
from telemetry.alerts.verdict import Unit, Verdict
from telemetry.alerts.words import amount, seconds


class Params(msgspec.Struct, frozen=True):
    """``above``: calls."""

    above: int
    window_s: int


def _read(given: Given) -> Params:
    return Params(given.count("above", 1, 1, 1_000_000_000), read_window(given, 3_600))


async def _gather(rule: Rule[Params], facts: AlertFacts, now: datetime) -> Sequence[Case[CallsFact]]:
    return await calls(rule, facts, rule.params.window_s, now)


def evaluate(rule: Rule[Params], fact: CallsFact, now: datetime) -> Verdict:
    """Their number: spend and budgets know nothing of them."""
    params = rule.params
    summary = (
        f"{amount(fact.unpriced, Unit.CALLS)}{about(rule, fact.labels)} without a known cost "
        f"in {seconds(params.window_s)}: 'weighbridge prices unpriced' names the models"
    )
    return judged(rule, fact.unpriced, params.above, Unit.CALLS, params.window_s, now, summary)


KIND: Final = Kind("unpriced", "calls have no known cost", _read, _gather, evaluate, DAY_S)
