"""Streams that begin late."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from telemetry.alerts.facts import AlertFacts, Measure, QuantileFact
from telemetry.alerts.kinds.contract import Case, Kind
from telemetry.alerts.kinds.latency import Params, gather, judge, read
from telemetry.alerts.kinds.windowed import RENOTIFY_S
from telemetry.alerts.rule import Rule
from telemetry.alerts.verdict import Verdict


async def _gather(rule: Rule[Params], facts: AlertFacts, now: datetime) -> Sequence[Case[QuantileFact]]:
    return await gather(rule, facts, Measure.FIRST_CHUNK, now)


def evaluate(rule: Rule[Params], fact: QuantileFact, now: datetime) -> Verdict:
    """From the request's head to the first piece of the answer (time to first token)."""
    return judge(rule, fact, "began after", now)


KIND: Final = Kind("ttft", "streams begin too late", read, _gather, evaluate, RENOTIFY_S)
