"""What a report tells, as numbers."""

from __future__ import annotations

from datetime import date

import msgspec

from telemetry.insights.anomaly import Anomaly
from telemetry.insights.outlook import Outlook
from telemetry.insights.recommend import Recommendation
from telemetry.insights.report.schedule import Span
from telemetry.quality import NOTHING, Measures


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over the calls of a period; percentiles are ``None`` where there were none."""

    calls: int = 0
    failed: int = 0
    """Neither completed nor cancelled by the app nor refused by the gateway."""
    users: int = 0
    sessions: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cost_nano: int = 0
    estimated_nano: int = 0
    """Of ``cost_nano``, what rests on counts of our own."""
    partial_nano: int = 0
    """Of ``cost_nano``, what is a lower bound."""
    unpriced_calls: int = 0
    """Without a known cost, whatever the reason."""
    baseline_nano: int = 0
    """What the routed calls of known cost would have cost on their baseline models."""
    baseline_cost_nano: int = 0
    """What those did cost."""
    p50_us: int | None = None
    p95_us: int | None = None


class Line(msgspec.Struct, frozen=True):
    """A team, a model, a user... ``None``: the calls name none."""

    name: str | None
    calls: int
    cost_nano: int
    before_nano: int
    """In the period before."""


class Ranking(msgspec.Struct, frozen=True):
    """Who spent most. ``rest``: all others together, ``others`` of them."""

    of: str
    lines: tuple[Line, ...]
    rest: Line | None = None
    others: int = 0


class Standout(msgspec.Struct, frozen=True):
    """A day whose spend does not fit; ``of`` is empty for all calls, else ``team search``."""

    day: date
    of: str
    anomaly: Anomaly


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The days ``since`` <= day < ``until`` of ``zone``, and the period before for comparison."""

    span: Span
    since: date
    until: date
    zone: str
    scope: tuple[tuple[str, str], ...] = ()
    """(dimension, value) all calls have."""
    now: Traffic
    before: Traffic
    days: tuple[int, ...]
    """nano-USD of each day."""
    rankings: tuple[Ranking, ...] = ()
    quality: Measures = NOTHING
    quality_before: Measures = NOTHING
    standouts: tuple[Standout, ...] = ()
    outlooks: tuple[Outlook, ...] = ()
    recommendations: tuple[Recommendation, ...] = ()
