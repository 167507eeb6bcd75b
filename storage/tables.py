"""The tables as SQLModel sees them: what the API reads and serves. The migrations are the truth about the DDL.

The write path does not use these classes (:mod:`storage.rows` lists the columns by hand); a test holds the three
against each other.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, LargeBinary, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator, TypeEngine
from sqlmodel import Field, SQLModel

from storage.schema import DEAD_TABLE, TABLE


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time; SQLite, which has no time zones, keeps it as naive UTC text."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware in, whatever the database keeps out."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Always aware."""
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


class IdType(TypeDecorator[str]):
    """A UUID as canonical text in Python; ``uuid`` in PostgreSQL, text in SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The column's type in this database."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(Uuid(as_uuid=False))
        return dialect.type_descriptor(Text())


_Json = JSON().with_variant(JSONB(), "postgresql")


class CallFields(SQLModel):
    """One call, flat. Tokens and bytes are counts, ``*_us`` microseconds, ``*_nano`` nano-USD (1e-9 USD).

    ``None`` means unknown or not reported, never 0. ``cost_nano`` is ``None`` exactly when no price is known.
    """

    seq: int = Field(primary_key=True, sa_type=BigInteger)
    """Order in which rows were written; grows, with holes."""
    id: str = Field(sa_type=IdType)
    started_at: datetime = Field(sa_type=UtcDateTime)
    """UTC, from the id, to the millisecond."""
    tenant_id: str
    outcome: str
    team: str | None = None
    user_id: str | None = None
    project: str | None = None
    feature: str | None = None
    session_id: str | None = None
    environment: str | None = None
    agent: str | None = None
    parent_agent: str | None = None
    app: str | None = None
    key_id: str | None = None
    prompt_id: str | None = None
    prompt_version: str | None = None
    tags: dict[str, str] | None = Field(default=None, sa_type=_Json)
    attribute_sources: dict[str, str] | None = Field(default=None, sa_type=_Json)
    """Who said each attribute: ``key``, ``header``, ``baggage`` or ``body``."""
    provider: str
    wire: str | None = None
    operation: str | None = None
    method: str
    path: str
    request_model: str | None = None
    stream: bool
    max_tokens: int | None = Field(default=None, sa_type=BigInteger)
    request_bytes: int = Field(sa_type=BigInteger)
    server_address: str | None = None
    attempts: int = Field(sa_type=BigInteger)
    attempt_reason: str | None = None
    route_policy: str | None = None
    route_reason: str | None = None
    route_confidence_ppm: int | None = Field(default=None, sa_type=BigInteger)
    baseline_model: str | None = None
    baseline_nano: int | None = Field(default=None, sa_type=BigInteger)
    """What the same usage would have cost on the baseline model."""
    experiment: str | None = None
    variant: str | None = None
    started_ns: int = Field(sa_type=BigInteger)
    """UTC, nanoseconds since 1970."""
    duration_us: int = Field(sa_type=BigInteger)
    upstream_us: int | None = Field(default=None, sa_type=BigInteger)
    first_byte_us: int | None = Field(default=None, sa_type=BigInteger)
    first_chunk_us: int | None = Field(default=None, sa_type=BigInteger)
    overhead_us: int = Field(sa_type=BigInteger)
    dispatch_us: int | None = Field(default=None, sa_type=BigInteger)
    http_status: int | None = Field(default=None, sa_type=BigInteger)
    response_model: str | None = None
    response_id: str | None = None
    finish_reasons: list[str] | None = Field(default=None, sa_type=_Json)
    service_tier: str | None = None
    response_bytes: int = Field(sa_type=BigInteger)
    error_type: str | None = None
    error_code: str | None = None
    input_tokens: int | None = Field(default=None, sa_type=BigInteger)
    output_tokens: int | None = Field(default=None, sa_type=BigInteger)
    cache_read_tokens: int | None = Field(default=None, sa_type=BigInteger)
    cache_write_5m_tokens: int | None = Field(default=None, sa_type=BigInteger)
    cache_write_1h_tokens: int | None = Field(default=None, sa_type=BigInteger)
    reasoning_tokens: int | None = Field(default=None, sa_type=BigInteger)
    input_audio_tokens: int | None = Field(default=None, sa_type=BigInteger)
    cache_audio_read_tokens: int | None = Field(default=None, sa_type=BigInteger)
    output_audio_tokens: int | None = Field(default=None, sa_type=BigInteger)
    input_image_tokens: int | None = Field(default=None, sa_type=BigInteger)
    cache_image_read_tokens: int | None = Field(default=None, sa_type=BigInteger)
    output_image_tokens: int | None = Field(default=None, sa_type=BigInteger)
    input_video_tokens: int | None = Field(default=None, sa_type=BigInteger)
    output_video_tokens: int | None = Field(default=None, sa_type=BigInteger)
    tool_input_tokens: int | None = Field(default=None, sa_type=BigInteger)
    citation_tokens: int | None = Field(default=None, sa_type=BigInteger)
    billed_input_tokens: int | None = Field(default=None, sa_type=BigInteger)
    billed_output_tokens: int | None = Field(default=None, sa_type=BigInteger)
    web_searches: int | None = Field(default=None, sa_type=BigInteger)
    file_searches: int | None = Field(default=None, sa_type=BigInteger)
    search_units: int | None = Field(default=None, sa_type=BigInteger)
    pages: int | None = Field(default=None, sa_type=BigInteger)
    annotated_pages: int | None = Field(default=None, sa_type=BigInteger)
    images: int | None = Field(default=None, sa_type=BigInteger)
    characters: int | None = Field(default=None, sa_type=BigInteger)
    audio_ms: int | None = Field(default=None, sa_type=BigInteger)
    largest_input_tokens: int | None = Field(default=None, sa_type=BigInteger)
    """Input of the largest of several requests whose counts these are the sum of."""
    usage_source: str
    usage_also: list[dict[str, Any]] | None = Field(default=None, sa_type=_Json)
    """Counts with a price of their own within this call (other models, other tiers)."""
    cost_status: str
    cost_source: str
    fees_unseen: bool | None = None
    """Something was charged for that no count tells of; ``None``: written before this was kept."""
    cost_nano: int | None = Field(default=None, sa_type=BigInteger)
    cost_input_nano: int | None = Field(default=None, sa_type=BigInteger)
    cost_output_nano: int | None = Field(default=None, sa_type=BigInteger)
    cost_cache_read_nano: int | None = Field(default=None, sa_type=BigInteger)
    cost_cache_write_nano: int | None = Field(default=None, sa_type=BigInteger)
    cost_other_nano: int | None = Field(default=None, sa_type=BigInteger)
    price_snapshot: str | None = None
    price_rule: str | None = None
    trace_id: str | None = None
    server_span_id: str | None = None
    client_span_id: str | None = None
    parent_span_id: str | None = None
    trace_sampled: bool | None = None
    trace_state: str | None = None
    link_trace_id: str | None = None
    link_span_id: str | None = None
    repriced_nano: int | None = Field(default=None, sa_type=BigInteger)
    """What the call costs by later prices (``weighbridge prices reprice``); the recorded cost stays as it was."""
    repriced_status: str | None = None
    repriced_snapshot: str | None = None
    repriced_rule: str | None = None


class ModelRequest(CallFields, table=True):
    """The table of calls."""

    __tablename__ = TABLE

    usage_raw: bytes | None = Field(default=None, sa_type=LargeBinary)


class CallRow(CallFields):
    """One call as the API serves it."""

    usage_raw: str | None = None
    """The usage object as the provider sent it: JSON text, with what is no UTF-8 replaced."""


class DeadLetterRow(SQLModel, table=True):
    """A record the database takes no row of."""

    __tablename__ = DEAD_TABLE

    id: str = Field(primary_key=True)
    buried_at: datetime = Field(sa_type=UtcDateTime)
    reason: str
    record: bytes = Field(sa_type=LargeBinary)
    """The record as on the spool (:func:`telemetry.record.decode`)."""
