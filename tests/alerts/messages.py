"""A message to send, and channels set up against servers of the test."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
from alerts.facts import MONTH, NOON

from telemetry.alerts.message import Event, Message
from telemetry.alerts.notice import Notice
from telemetry.alerts.verdict import Severity, Unit, Window

SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTE="
OLD_SECRET = "whsec_" + "b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQtb2xkLTE="
ROUTING_KEY = "abcdef0123456789abcdef0123456789"
TOKEN = "t0ken-in-the-path-of-the-url"

MESSAGE = Message(
    event=Event.FIRING,
    alert="0199f3a0-7c1e-7000-8000-000000000001",
    rule="budgets",
    kind="budget",
    severity=Severity.WARNING,
    level="90 %",
    reason="reached",
    summary="budget search-monthly (team search, 2026-11): $9.00 of $10.00 spent, 90 % (threshold 90 %)",
    value=9_000_000_000,
    limit=9_000_000_000,
    unit=Unit.NANO_USD,
    labels=(("budget", "search-monthly"), ("team", "search")),
    window=Window("2026-11", *MONTH, calendar=True),
    fired_at=NOON,
    at=NOON + timedelta(seconds=2),
    number=1,
)


NOTICE = Notice(
    id="report-weekly-2026-W47",
    kind="report.weekly",
    title="Weighbridge: Week 47 of 2026: 16 to 22 November",
    lines=("Spend: $28.00 (+40 %)", "Calls: 1,000 (+25 %), 3 % failed"),
    markdown="# Week 47 of 2026\n\nSpend: $28.00 (+40 %)\n",
    html="<!doctype html><h1>Week 47 of 2026</h1>",
    figures={"cost_nano": 28_000_000_000, "calls": 1000},
    at=NOON,
)


def message(**changed: Any) -> Message:
    return msgspec.structs.replace(MESSAGE, **changed)
