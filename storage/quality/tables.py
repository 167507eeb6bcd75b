"""The tables of quality as SQLModel sees them. The migration is the truth about the DDL; a test holds both together."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from storage.tables import IdType, UtcDateTime


class Dimensions(SQLModel):
    """What quality is cut by, copied from the call; empty where the call does not say (keys must not be null)."""

    tenant_id: str
    team: str = ""
    project: str = ""
    feature: str = ""
    environment: str = ""
    provider: str = ""
    model: str = ""
    route_policy: str = ""
    experiment: str = ""
    variant: str = ""
    prompt_id: str = ""
    prompt_version: str = ""
    confidence_band: str = ""
    """How sure the app's router was: ``0`` to ``9`` (:func:`storage.rollups.routes.band_of`)."""


DIMENSIONS: tuple[str, ...] = tuple(Dimensions.model_fields)


class Sums(Dimensions):
    """:class:`telemetry.quality.Measures`, a column each, and the UTC day on which the calls began."""

    day: date
    calls: int = Field(default=0, sa_type=BigInteger)
    user_count: int = Field(default=0, sa_type=BigInteger)
    user_good: int = Field(default=0, sa_type=BigInteger)
    user_ppm: int = Field(default=0, sa_type=BigInteger)
    judge_count: int = Field(default=0, sa_type=BigInteger)
    judge_good: int = Field(default=0, sa_type=BigInteger)
    judge_ppm: int = Field(default=0, sa_type=BigInteger)
    system_count: int = Field(default=0, sa_type=BigInteger)
    system_good: int = Field(default=0, sa_type=BigInteger)
    system_ppm: int = Field(default=0, sa_type=BigInteger)
    stars_count: int = Field(default=0, sa_type=BigInteger)
    stars_good: int = Field(default=0, sa_type=BigInteger)
    stars_ppm: int = Field(default=0, sa_type=BigInteger)
    accepted: int = Field(default=0, sa_type=BigInteger)
    rejected: int = Field(default=0, sa_type=BigInteger)
    resolved: int = Field(default=0, sa_type=BigInteger)
    escalated: int = Field(default=0, sa_type=BigInteger)
    resolved_escalated: int = Field(default=0, sa_type=BigInteger)
    converted: int = Field(default=0, sa_type=BigInteger)
    value_nano: int = Field(default=0, sa_type=BigInteger)
    judged: int = Field(default=0, sa_type=BigInteger)
    good: int = Field(default=0, sa_type=BigInteger)
    priced: int = Field(default=0, sa_type=BigInteger)
    priced_good: int = Field(default=0, sa_type=BigInteger)
    cost_nano: int = Field(default=0, sa_type=BigInteger)
    estimated_nano: int = Field(default=0, sa_type=BigInteger)


class JudgedCall(Sums, table=True):
    """A call that something was said of, and what it adds to the sums of its day."""

    __tablename__ = "judged_calls"

    call_id: str = Field(primary_key=True, sa_type=IdType)
    started_at: datetime = Field(sa_type=UtcDateTime)
    user_id: str | None = None
    session_id: str | None = None
    call_cost_nano: int | None = Field(default=None, sa_type=BigInteger)
    call_cost_status: str


class QualityDay(Sums, table=True):
    """All judged calls of a day with the same dimensions."""

    __tablename__ = "quality_daily"

    key: str = Field(primary_key=True)
    """Digest of day and dimensions: together they may be longer than an index takes."""


class FeedbackRow(SQLModel, table=True):
    """One rating, as it was given last."""

    __tablename__ = "feedback"

    id: str = Field(primary_key=True)
    call_id: str = Field(sa_type=IdType)
    tenant_id: str
    user_id: str | None = None
    """Who rates; for users the call's own user where nobody is named."""
    source: str
    scale: str
    ppm: int = Field(sa_type=BigInteger)
    label: str | None = None
    comment: str | None = None
    revision: int = Field(sa_type=BigInteger)
    """1, and one more for each change."""
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class OutcomeRow(SQLModel, table=True):
    """One thing that came of a call, as it was told last."""

    __tablename__ = "outcomes"

    id: str = Field(primary_key=True)
    call_id: str = Field(sa_type=IdType)
    tenant_id: str
    user_id: str | None = None
    result: str
    value_nano: int = Field(sa_type=BigInteger)
    """What a conversion was worth, nano-USD; else 0."""
    revision: int = Field(sa_type=BigInteger)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)


JUDGED = JudgedCall.__table__  # type: ignore[attr-defined]
DAILY = QualityDay.__table__  # type: ignore[attr-defined]
FEEDBACK = FeedbackRow.__table__  # type: ignore[attr-defined]
OUTCOMES = OutcomeRow.__table__  # type: ignore[attr-defined]
