"""The message that tries a channel out."""

from __future__ import annotations

from datetime import datetime

from telemetry.alerts.message import Event, Message
from telemetry.alerts.period import sliding_window
from telemetry.alerts.verdict import Reason, Severity, Unit


def trial(alert_id: str, now: datetime) -> Message:
    """It says that it is one."""
    return Message(
        event=Event.TEST,
        alert=alert_id,
        rule="test",
        kind="test",
        severity=Severity.INFO,
        level=Severity.INFO.value,
        reason=Reason.TEST.value,
        summary="This is a test of the channel. Nothing is wrong.",
        value=0,
        limit=0,
        unit=Unit.CALLS,
        labels=(),
        window=sliding_window(60, now),
        fired_at=now,
        at=now,
        number=1,
    )
