"""From verdicts to what happens: pure. Firing, told again, over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from telemetry.alerts.labels import Labels
from telemetry.alerts.rule import Rule
from telemetry.alerts.silence import Silence, silenced_by
from telemetry.alerts.verdict import Decision, Reason, Severity, Subject, Unit, Verdict, Window

GRACE: Final = timedelta(hours=1)
"""Calls of a calendar window may still be recorded after its end: its alerts are over only then."""
STALE: Final = timedelta(hours=1)
"""What fires without anything to judge by is over after this."""
TOUCH: Final = timedelta(minutes=1)
"""How often it is noted that something still fires."""

Slot = tuple[str, str, str]
"""Subject, level and, for calendar windows, the window: at most one alert fires in each."""


class Open(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that fires, as it is stored."""

    id: str
    rule: str
    kind: str
    subject: str
    level: str
    window: Window
    labels: Labels
    severity: Severity
    summary: str
    value: int
    limit: int
    unit: Unit
    fired_at: datetime
    notified_at: datetime | None
    """``None``: a silence kept it back so far."""
    notified: int
    """How often it was told."""
    seen_at: datetime
    """When it was last judged to fire."""

    @property
    def slot(self) -> Slot:
        return self.subject, self.level, self.window.key if self.window.calendar else ""


class Fire(msgspec.Struct, frozen=True):
    """A new alert; told at once unless silenced."""

    subject: Subject
    verdict: Verdict
    silence: str | None


class Tell(msgspec.Struct, frozen=True):
    """An alert that still fires is told: again, or at last."""

    alert: Open
    verdict: Verdict


class Touch(msgspec.Struct, frozen=True):
    """An alert still fires."""

    alert: Open
    verdict: Verdict


class Resolve(msgspec.Struct, frozen=True):
    """An alert is over."""

    alert: Open
    reason: Reason
    verdict: Verdict | None = None


Action = Fire | Tell | Touch | Resolve


def plan(
    rule: Rule[Any],
    judged: Sequence[tuple[Subject, Verdict]],
    opened: Mapping[Slot, Open],
    silences: Sequence[Silence],
    now: datetime,
) -> list[Action]:
    """What to do about one rule. ``opened``: its alerts that fire."""
    actions: list[Action] = []
    unseen = dict(opened)
    for subject, verdict in judged:
        slot = slot_of(subject, verdict)
        alert = unseen.pop(slot, None)
        if verdict.decision is Decision.FIRING:
            silence = silenced_by(silences, about(rule, subject.labels, verdict.level, verdict.severity), now)
            action = _firing(rule, subject, verdict, alert, silence, now)
        else:
            action = _not_firing(verdict, alert, now)
        if action is not None:
            actions.append(action)
    actions += [action for alert in unseen.values() if (action := _unjudged(alert, now)) is not None]
    return actions


def slot_of(subject: Subject, verdict: Verdict) -> Slot:
    """Where an alert of this verdict belongs."""
    return subject.key, verdict.level, verdict.window.key if verdict.window.calendar else ""


def about(rule: Rule[Any], labels: Labels, level: str, severity: str) -> dict[str, str]:
    """What the matchers of a silence may name."""
    return {**dict(labels), "rule": rule.name, "kind": rule.kind, "level": level, "severity": str(severity)}


def _firing(
    rule: Rule[Any],
    subject: Subject,
    verdict: Verdict,
    alert: Open | None,
    silence: Silence | None,
    now: datetime,
) -> Action | None:
    past = verdict.window.calendar and now - GRACE >= verdict.window.end
    if alert is None:
        return None if past else Fire(subject, verdict, silence.id if silence else None)
    if past:
        return Resolve(alert, Reason.WINDOW_ENDED, verdict)
    if silence is None and _due(rule, alert, now):
        return Tell(alert, verdict)
    return Touch(alert, verdict) if now - alert.seen_at >= TOUCH else None


def _due(rule: Rule[Any], alert: Open, now: datetime) -> bool:
    if alert.notified_at is None:
        return True
    return rule.renotify_s > 0 and now - alert.notified_at >= timedelta(seconds=rule.renotify_s)


def _not_firing(verdict: Verdict, alert: Open | None, now: datetime) -> Action | None:
    if alert is None:
        return None
    if alert.window.calendar or verdict.decision is Decision.UNKNOWN:
        # What was reached in a calendar window stays so until its end, also when a limit is raised meanwhile.
        return _unjudged(alert, now)
    return Resolve(alert, Reason.RECOVERED, verdict)


def _unjudged(alert: Open, now: datetime) -> Action | None:
    if alert.window.calendar:
        return Resolve(alert, Reason.WINDOW_ENDED) if now - GRACE >= alert.window.end else None
    return Resolve(alert, Reason.NO_DATA) if now - alert.seen_at >= STALE else None
