"""The tables of alerts as SQLModel sees them. The migration is the truth about the DDL; a test holds both together."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from storage.tables import UtcDateTime

_Json = JSON().with_variant(JSONB(), "postgresql")


class State(enum.StrEnum):
    """Of an alert."""

    FIRING = "firing"
    RESOLVED = "resolved"


class DeliveryState(enum.StrEnum):
    """Of one message on its way to one channel."""

    PENDING = "pending"
    SENT = "sent"
    GAVE_UP = "gave_up"


class AlertRow(SQLModel, table=True):
    """One alert, from the first firing to its end. Unique on rule, subject, window and level."""

    __tablename__ = "alerts"

    id: str = Field(primary_key=True)
    rule: str
    kind: str
    subject: str
    level: str
    window_key: str
    slot: str
    """The window, where it is one of the calendar; at most one alert of rule, subject and level fires in a slot."""
    window_start: datetime = Field(sa_type=UtcDateTime)
    window_end: datetime = Field(sa_type=UtcDateTime)
    state: str
    severity: str
    reason: str
    """Why it fires, or why it is over."""
    summary: str
    value: int = Field(sa_type=BigInteger)
    limit_value: int = Field(sa_type=BigInteger)
    unit: str
    labels: list[list[str]] = Field(sa_type=_Json)
    tenant_id: str | None = None
    team: str | None = None
    user_id: str | None = None
    fired_at: datetime = Field(sa_type=UtcDateTime)
    seen_at: datetime = Field(sa_type=UtcDateTime)
    """When it was last judged to fire, to the minute."""
    notified_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    notified: int = Field(sa_type=BigInteger)
    """How often it was told, its end not counted."""
    silence: str | None = None
    """What kept back its first message, if something did."""
    resolved_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class DeliveryRow(SQLModel, table=True):
    """One message on its way to one channel: the outbox. The id is the receiver's to tell repeats by."""

    __tablename__ = "alert_deliveries"

    id: str = Field(primary_key=True)
    alert_id: str
    channel: str
    number: int = Field(sa_type=BigInteger)
    """Place among the messages of its alert; a channel gets them in this order."""
    event: str
    body: str
    state: str
    tries: int = Field(sa_type=BigInteger)
    """All of them, also before it was sent again by hand."""
    round: int = Field(sa_type=BigInteger)
    """Tries since then: the place in the schedule."""
    due_at: datetime = Field(sa_type=UtcDateTime)
    lease: str | None = None
    """Who is sending it, until ``leased_until``."""
    leased_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime)
    done_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class TryRow(SQLModel, table=True):
    """One try to send a message: the delivery log."""

    __tablename__ = "alert_tries"

    delivery_id: str = Field(primary_key=True)
    number: int = Field(primary_key=True, sa_type=BigInteger)
    at: datetime = Field(sa_type=UtcDateTime)
    duration_us: int = Field(sa_type=BigInteger)
    fate: str
    status: int | None = Field(default=None, sa_type=BigInteger)
    trouble: str | None = None


class RuleRow(SQLModel, table=True):
    """A rule made through the API or the command line."""

    __tablename__ = "alert_rules"

    name: str = Field(primary_key=True)
    spec: dict[str, Any] = Field(sa_type=_Json)
    enabled: bool
    created_at: datetime = Field(sa_type=UtcDateTime)
    created_by: str


class SilenceRow(SQLModel, table=True):
    """What is not told, until when, by whom and why."""

    __tablename__ = "alert_silences"

    id: str = Field(primary_key=True)
    matchers: list[list[str]] = Field(sa_type=_Json)
    starts_at: datetime = Field(sa_type=UtcDateTime)
    until_at: datetime = Field(sa_type=UtcDateTime)
    who: str
    why: str
    created_at: datetime = Field(sa_type=UtcDateTime)


class ChannelRow(SQLModel, table=True):
    """A channel whose receiver said that it is gone. ``target``: a digest of where it sent; another one is tried."""

    __tablename__ = "alert_channels"

    name: str = Field(primary_key=True)
    target: str
    disabled_at: datetime = Field(sa_type=UtcDateTime)
    status: int | None = Field(default=None, sa_type=BigInteger)


ALERTS = AlertRow.__table__  # type: ignore[attr-defined]
DELIVERIES = DeliveryRow.__table__  # type: ignore[attr-defined]
TRIES = TryRow.__table__  # type: ignore[attr-defined]
RULES = RuleRow.__table__  # type: ignore[attr-defined]
SILENCES = SilenceRow.__table__  # type: ignore[attr-defined]
CHANNELS = ChannelRow.__table__  # type: ignore[attr-defined]
