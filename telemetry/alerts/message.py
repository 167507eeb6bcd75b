"""What is told of an alert: one message, the same for every channel."""

from __future__ import annotations

import enum
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from telemetry.alerts.labels import Labels
from telemetry.alerts.verdict import Severity, Unit, Window
from telemetry.alerts.words import amount

LONGEST_VALUE: Final = 200
"""Characters of a label's value that are told; apps choose them."""


class Event(enum.StrEnum):
    """What became of the alert."""

    FIRING = "firing"
    STILL_FIRING = "still_firing"
    RESOLVED = "resolved"
    TEST = "test"


class Message(msgspec.Struct, frozen=True):
    """One telling of an alert. Times are UTC."""

    event: Event
    alert: str
    """Id of the alert: the same from the first message to the last."""
    rule: str
    kind: str
    severity: Severity
    level: str
    reason: str
    summary: str
    value: int
    limit: int
    unit: Unit
    labels: Labels
    window: Window
    fired_at: datetime
    at: datetime
    number: int
    """1 is the first telling."""

    @property
    def title(self) -> str:
        """``[critical] budgets: 90 %``; one line."""
        state = {Event.RESOLVED: "resolved", Event.TEST: "test"}.get(self.event, self.severity.value)
        level = "" if self.level == self.severity.value else f" {self.level}"
        return f"[{state}] {self.rule}{level}"

    @property
    def open(self) -> bool:
        """It fires."""
        return self.event in (Event.FIRING, Event.STILL_FIRING)

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What people want to see beside the summary."""
        shown = [("rule", f"{self.rule} ({self.kind})"), ("severity", self.severity.value)]
        shown += [
            ("value", amount(self.value, self.unit)),
            ("limit", amount(self.limit, self.unit)),
            ("since", clock(self.fired_at)),
        ]
        return (*shown, *((name, cut(value) or "(none)") for name, value in self.labels))


def payload(message: Message) -> dict[str, Any]:
    """The message as JSON: ``type``, ``timestamp`` and ``data``, as Standard Webhooks has it."""
    return {
        "type": f"alert.{message.event.value}",
        "timestamp": moment(message.at),
        "data": {
            "alert": message.alert,
            "rule": message.rule,
            "kind": message.kind,
            "severity": message.severity.value,
            "level": message.level,
            "reason": message.reason,
            "summary": message.summary,
            "value": message.value,
            "limit": message.limit,
            "unit": message.unit.value,
            "labels": {name: cut(value) for name, value in message.labels},
            "window": {
                "key": message.window.key,
                "start": moment(message.window.start),
                "end": moment(message.window.end),
            },
            "fired_at": moment(message.fired_at),
            "number": message.number,
        },
    }


def moment(at: datetime) -> str:
    """``2026-11-21T12:00:00Z``."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def clock(at: datetime) -> str:
    """``2026-11-21 12:00 UTC``."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def cut(value: str) -> str:
    """A value of bounded length, on one line."""
    line = " ".join(value.split())
    return line if len(line) <= LONGEST_VALUE else line[: LONGEST_VALUE - 1] + "…"
