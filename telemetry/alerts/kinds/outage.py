"""A provider that answers no more."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from telemetry.alerts.facts import AlertFacts, CallsFact
from telemetry.alerts.given import PPM, Given
from telemetry.alerts.kinds.contract import Case, Kind
from telemetry.alerts.kinds.windowed import RENOTIFY_S, asked, judged, read_window, subject
from telemetry.alerts.rule import Rule
from telemetry.alerts.verdict import Reason, Severity, Unit, Verdict
from telemetry.alerts.words import seconds


class Params(msgspec.Struct, frozen=True):
    """``above``: share in millionths."""

    above: int
    window_s: int
    min_calls: int


def _read(given: Given) -> Params:
    above = given.millionths("above", 900_000, 1, PPM)
    assert above is not None
    return Params(above, read_window(given, 300), given.count("min_calls", 5, 1, 1_000_000))


async def _gather(rule: Rule[Params], facts: AlertFacts, now: datetime) -> Sequence[Case[CallsFact]]:
    wanted = asked(rule, rule.params.window_s, now)
    if "provider" not in wanted.group_by:
        wanted = msgspec.structs.replace(wanted, group_by=("provider", *wanted.group_by))
    return [Case(subject(rule, fact.labels), fact) for fact in await facts.calls(wanted)]


def evaluate(rule: Rule[Params], fact: CallsFact, now: datetime) -> Verdict:
    """Calls that failed through the provider's doing, by calls; always per provider."""
    params = rule.params
    share = fact.provider_failed * PPM // fact.calls if fact.calls else 0
    provider = dict(fact.labels).get("provider", "the provider")
    rest = [f"{name} {value}" for name, value in fact.labels if name != "provider"]
    summary = (
        f"{' '.join([provider, *rest])}: {fact.provider_failed:,} of {fact.calls:,} calls failed "
        f"in {seconds(params.window_s)} through the provider's doing"
    )
    doubt = Reason.TOO_FEW_CALLS if fact.calls < params.min_calls else None
    return judged(
        rule,
        share,
        params.above,
        Unit.PPM,
        params.window_s,
        now,
        summary,
        severity=Severity.CRITICAL,
        doubt=doubt,
    )


KIND: Final = Kind("outage", "a provider answers no more", _read, _gather, evaluate, RENOTIFY_S)
