"""What the API takes and shows of alerts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from gateway.api.query import Text
from storage.alerts.tables import AlertRow, DeliveryRow, DeliveryState, State, TryRow
from telemetry.alerts.message import moment
from telemetry.alerts.silence import Silence
from telemetry.alerts.verdict import Unit
from telemetry.alerts.words import amount

PAGE = 50


class AlertsQuery(BaseModel):
    """``GET /api/alerts``. All given conditions must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: State | None = Field(default=None, description="firing or resolved; both without it.")
    rule: Text | None = Field(default=None, description="Name of the rule.")
    limit: int = Field(default=PAGE, ge=1, le=1000, description="Most alerts on a page.")
    cursor: Text | None = Field(default=None, description="next_cursor of the page before.")


class DeliveriesQuery(BaseModel):
    """``GET /api/alerts/deliveries``. All given conditions must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    alert: Text | None = Field(default=None, description="Id of the alert.")
    state: DeliveryState | None = Field(default=None, description="pending, sent or gave_up.")
    channel: Text | None = Field(default=None, description="Name of the channel.")
    limit: int = Field(default=PAGE, ge=1, le=1000, description="Most messages on a page.")
    cursor: Text | None = Field(default=None, description="next_cursor of the page before.")


class AlertAmountOut(BaseModel):
    """A whole number, and the same in words."""

    value: int
    text: str


class WindowOut(BaseModel):
    """The stretch of time an alert belongs to."""

    key: str
    start: str
    end: str


class AlertOut(BaseModel):
    """One alert, from the first firing to its end."""

    id: str
    rule: str
    kind: str
    state: State
    severity: str
    level: str = Field(description="The threshold of a budget, else the severity.")
    reason: str = Field(description="Why it fires, or why it is over.")
    summary: str
    value: AlertAmountOut
    limit: AlertAmountOut
    unit: Unit
    labels: dict[str, str]
    window: WindowOut
    fired_at: str
    seen_at: str = Field(description="When it was last judged to fire.")
    notified_at: str | None = Field(description="null: a silence kept it back.")
    notified: int
    silence: str | None = Field(description="What kept back its first message.")
    resolved_at: str | None


class AlertsOut(BaseModel):
    """A page, newest first."""

    items: list[AlertOut]
    next_cursor: str | None


class TryOut(BaseModel):
    """One try to send a message."""

    number: int
    at: str
    duration_us: int
    fate: str
    status: int | None
    trouble: str | None


class DeliveryOut(BaseModel):
    """One message on its way to one channel."""

    id: str = Field(description="The same at every try; webhooks have it as webhook-id.")
    alert: str
    channel: str
    number: int = Field(description="Place among the messages of its alert.")
    event: str
    state: DeliveryState
    created_at: str
    due_at: str | None = Field(description="When it is tried next; null: not any more.")
    done_at: str | None
    tries: list[TryOut]


class DeliveriesOut(BaseModel):
    """A page, newest first."""

    items: list[DeliveryOut]
    next_cursor: str | None


class RuleOut(BaseModel):
    """A rule."""

    name: str
    kind: str
    about: str = Field(description="When it fires.")
    source: str = Field(description="settings or stored; only stored rules can be changed here.")
    enabled: bool
    spec: dict[str, Any] = Field(description="As it was written.")
    problem: str | None = Field(default=None, description="Why it is not evaluated.")


class RulesOut(BaseModel):
    """All rules, those of the settings first."""

    items: list[RuleOut]


class RuleIn(BaseModel):
    """A rule: ``kind`` and its keys, as under ``[[alerts.rule]]``."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str = Field(description="Kind of rule.")
    enabled: bool = Field(default=True, description="false: kept, but not evaluated.")

    def spec(self) -> dict[str, Any]:
        """The rule as it is stored."""
        return {"kind": self.kind, **(self.__pydantic_extra__ or {})}


class SilenceIn(BaseModel):
    """What is not to be told for a while."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    matchers: dict[Text, Text] = Field(
        min_length=1,
        max_length=20,
        description="Labels, or rule, kind, level, severity, and their values; * and ? stand for anything. "
        "All must match.",
    )
    until: datetime = Field(description="When it ends, ISO 8601.")
    why: Text = Field(description="For those who wonder.")
    who: Text | None = Field(default=None, description="Who wants it; else who asks the API.")


class SilenceOut(BaseModel):
    """A silence."""

    id: str
    matchers: dict[str, str]
    starts_at: str
    until: str
    who: str
    why: str


class SilencesOut(BaseModel):
    """Silences, newest first."""

    items: list[SilenceOut]


class ChannelOut(BaseModel):
    """A channel of the settings. Where it sends is not shown: it is often a secret."""

    name: str
    kind: str
    about: str
    send_resolved: bool
    disabled_at: str | None = Field(description="Its receiver said that it is gone.")


class ChannelsOut(BaseModel):
    """All channels."""

    items: list[ChannelOut]


class TestIn(BaseModel):
    """Which channel to send a message for trying it out."""

    __test__ = False
    model_config = ConfigDict(extra="forbid", frozen=True)

    channel: Text


class DoneOut(BaseModel):
    """It is done."""

    id: str
    done: str


def alert_out(row: AlertRow) -> AlertOut:
    """An alert as the API shows it."""
    unit = Unit(row.unit)
    return AlertOut(
        id=row.id,
        rule=row.rule,
        kind=row.kind,
        state=State(row.state),
        severity=row.severity,
        level=row.level,
        reason=row.reason,
        summary=row.summary,
        value=AlertAmountOut(value=row.value, text=amount(row.value, unit)),
        limit=AlertAmountOut(value=row.limit_value, text=amount(row.limit_value, unit)),
        unit=unit,
        labels=dict(row.labels),
        window=WindowOut(key=row.window_key, start=moment(row.window_start), end=moment(row.window_end)),
        fired_at=moment(row.fired_at),
        seen_at=moment(row.seen_at),
        notified_at=_moment(row.notified_at),
        notified=row.notified,
        silence=row.silence,
        resolved_at=_moment(row.resolved_at),
    )


def delivery_out(row: DeliveryRow, tries: list[TryRow]) -> DeliveryOut:
    """A message as the API shows it; its body is the receiver's."""
    pending = row.state == DeliveryState.PENDING.value
    return DeliveryOut(
        id=row.id,
        alert=row.alert_id,
        channel=row.channel,
        number=row.number,
        event=row.event,
        state=DeliveryState(row.state),
        created_at=moment(row.created_at),
        due_at=moment(row.due_at) if pending else None,
        done_at=_moment(row.done_at),
        tries=[
            TryOut(
                number=one.number,
                at=moment(one.at),
                duration_us=one.duration_us,
                fate=one.fate,
                status=one.status,
                trouble=one.trouble,
            )
            for one in tries
        ],
    )


def silence_out(silence: Silence) -> SilenceOut:
    """A silence as the API shows it."""
    return SilenceOut(
        id=silence.id,
        matchers=dict(silence.matchers),
        starts_at=moment(silence.starts),
        until=moment(silence.until),
        who=silence.who,
        why=silence.why,
    )


def _moment(at: datetime | None) -> str | None:
    return None if at is None else moment(at)
