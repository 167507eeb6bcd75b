"""Records that wait for the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from telemetry.alerts.facts import AlertFacts, SpoolFact
from telemetry.alerts.given import Given, Unfit
from telemetry.alerts.kinds.contract import Case, Kind
from telemetry.alerts.kinds.windowed import RENOTIFY_S, judged
from telemetry.alerts.rule import DAY_S, Rule
from telemetry.alerts.verdict import Severity, Subject, Unit, Verdict
from telemetry.alerts.words import seconds

FLAP_S: Final = 300
"""Firing again within this after it was over makes no new alert."""


class Params(msgspec.Struct, frozen=True):
    """``above``: seconds."""

    above: int


def _read(given: Given) -> Params:
    for key in ("scope", "group_by"):
        if given.has(key):
            raise Unfit(key, "has no meaning here", "Leave it out: the spool is one for all calls")
    return Params(given.seconds("above", 60, 1, DAY_S))


async def _gather(rule: Rule[Params], facts: AlertFacts, now: datetime) -> Sequence[Case[SpoolFact]]:
    return [Case(Subject("", ()), await facts.spool())]


def evaluate(rule: Rule[Params], fact: SpoolFact, now: datetime) -> Verdict:
    """The age of the oldest one on the machine that leads."""
    summary = (
        f"{fact.waiting:,} records wait for the database, the oldest for {seconds(fact.oldest_age_s)} "
        f"(limit {seconds(rule.params.above)})"
    )
    return judged(
        rule,
        fact.oldest_age_s,
        rule.params.above,
        Unit.SECONDS,
        FLAP_S,
        now,
        summary,
        severity=Severity.CRITICAL,
    )


KIND: Final = Kind("spool_age", "records wait for the database", _read, _gather, evaluate, RENOTIFY_S)
