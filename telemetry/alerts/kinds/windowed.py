"""What the kinds that look at the calls of the last minutes have in common."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from telemetry.alerts.facts import AlertFacts, Asked, CallsFact
from telemetry.alerts.given import Given
from telemetry.alerts.kinds.contract import Case
from telemetry.alerts.labels import Labels, told
from telemetry.alerts.period import sliding_window
from telemetry.alerts.rule import Rule
from telemetry.alerts.verdict import Decision, Reason, Severity, Subject, Unit, Verdict

LONGEST_WINDOW_S: Final = 3_600
"""Calls of a longer time are too many to be looked at every few seconds."""
RENOTIFY_S: Final = 4 * 3_600


def read_window(given: Given, default_s: int) -> int:
    """The ``window`` key, in seconds."""
    return given.seconds("window", default_s, 60, LONGEST_WINDOW_S)


def asked(rule: Rule[Any], window_s: int, now: datetime) -> Asked:
    """The calls of the last ``window_s`` seconds that the rule is about."""
    return Asked(now - timedelta(seconds=window_s), now, rule.scope, rule.group_by)


def labels_of(rule: Rule[Any], group: Labels) -> Labels:
    """The rule's scope and the group, each dimension once."""
    return tuple({**dict(rule.scope), **dict(group)}.items())


def subject(rule: Rule[Any], group: Labels) -> Subject:
    """The group within the rule's scope. The key is a digest, because values may be long; empty without groups."""
    text = "\x1f".join(f"{name}={value}" for name, value in group)
    return Subject(sha256(text.encode()).hexdigest()[:32] if group else "", labels_of(rule, group))


async def calls(
    rule: Rule[Any], facts: AlertFacts, window_s: int, now: datetime
) -> Sequence[Case[CallsFact]]:
    """The sums over the window, by group."""
    found = await facts.calls(asked(rule, window_s, now))
    return [Case(subject(rule, fact.labels), fact) for fact in found]


def judged(
    rule: Rule[Any],
    value: int,
    limit: int,
    unit: Unit,
    window_s: int,
    now: datetime,
    summary: str,
    *,
    severity: Severity = Severity.WARNING,
    doubt: Reason | None = None,
) -> Verdict:
    """Firing from the limit upwards; ``doubt``: why there is too little to tell."""
    level = rule.severity_or(severity)
    reached = value >= limit
    if doubt is not None:
        decision, reason = Decision.UNKNOWN, doubt
    elif reached:
        decision, reason = Decision.FIRING, Reason.REACHED
    else:
        decision, reason = Decision.QUIET, Reason.BELOW
    window = sliding_window(window_s, now)
    return Verdict(decision, reason, value, limit, unit, window, level.value, level, summary)


def about(rule: Rule[Any], group: Labels) -> str:
    """`` of team search``; empty for a rule about all calls."""
    labels = labels_of(rule, group)
    return f" of {told(labels)}" if labels else ""
