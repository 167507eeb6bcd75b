"""What an evaluation found, and why."""

from __future__ import annotations

import enum
from datetime import datetime

import msgspec

from telemetry.alerts.labels import Labels


class Severity(enum.StrEnum):
    """How bad it is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Unit(enum.StrEnum):
    """What the whole numbers of a verdict count."""

    NANO_USD = "nano_usd"
    PPM = "ppm"
    """Millionths: a share or a factor."""
    MICROSECONDS = "us"
    SECONDS = "s"
    CALLS = "calls"
    TOKENS = "tokens"


class Decision(enum.StrEnum):
    """Whether it holds."""

    FIRING = "firing"
    QUIET = "quiet"
    UNKNOWN = "unknown"
    """There is too little to tell: nothing begins to fire, and what fires goes on for a while."""


class Reason(enum.StrEnum):
    """Why a verdict, or a change of state, is what it is."""

    REACHED = "reached"
    """The value is at or above the limit."""
    BELOW = "below"
    TOO_FEW_CALLS = "too_few_calls"
    TOO_LITTLE_HISTORY = "too_little_history"
    TOO_SMALL = "too_small"
    """Above the limit by proportion, but too little money to matter."""
    RECOVERED = "recovered"
    WINDOW_ENDED = "window_ended"
    NO_DATA = "no_data"
    """It fired, and there has been nothing to judge by for an hour."""
    RULE_GONE = "rule_gone"
    TEST = "test"


class Window(msgspec.Struct, frozen=True):
    """The stretch of time an alert belongs to. Calendar windows end; sliding ones only keep an alert from flapping."""

    key: str
    start: datetime
    end: datetime
    calendar: bool = False


class Verdict(msgspec.Struct, frozen=True):
    """One judgement on one subject. ``value`` and ``limit`` are in ``unit``."""

    decision: Decision
    reason: Reason
    value: int
    limit: int
    unit: Unit
    window: Window
    level: str
    """With rule, subject and window it makes an alert unique: the threshold of a budget, else the severity."""
    severity: Severity
    summary: str
    """One sentence for people."""


class Subject(msgspec.Struct, frozen=True):
    """What a rule is evaluated on."""

    key: str
    """Tells it from the rule's other subjects, for ever: survives a rename."""
    labels: Labels
