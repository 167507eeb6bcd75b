"""The table of calls and the table of records that could not become rows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

_TEXTS = """
    outcome! team user_id project feature session_id environment agent parent_agent app key_id prompt_id prompt_version
    provider! wire operation method! path! request_model server_address attempt_reason route_policy route_reason
    baseline_model experiment variant response_model response_id service_tier error_type error_code
    usage_source! cost_status! cost_source! price_snapshot price_rule
    trace_id server_span_id client_span_id parent_span_id trace_state link_trace_id link_span_id
"""
_NUMBERS = """
    max_tokens request_bytes! attempts! route_confidence_ppm
    started_ns! duration_us! upstream_us first_byte_us first_chunk_us overhead_us! dispatch_us
    http_status response_bytes!
    input_tokens output_tokens cache_read_tokens cache_write_5m_tokens cache_write_1h_tokens reasoning_tokens
    input_audio_tokens cache_audio_read_tokens output_audio_tokens
    input_image_tokens cache_image_read_tokens output_image_tokens input_video_tokens output_video_tokens
    tool_input_tokens citation_tokens billed_input_tokens billed_output_tokens
    web_searches file_searches search_units pages annotated_pages images characters audio_ms
    cost_nano cost_input_nano cost_output_nano cost_cache_read_nano cost_cache_write_nano cost_other_nano
"""
_JSON = "tags attribute_sources finish_reasons usage_also"


def upgrade() -> None:
    """Create both tables."""
    postgres = op.get_bind().dialect.name == "postgresql"
    if postgres:
        op.execute("CREATE SEQUENCE model_requests_seq")
    _model_requests(postgres)
    _indexes()
    if postgres:
        op.create_index("model_requests_seq_key", "model_requests", ["seq"])
        op.execute("ALTER SEQUENCE model_requests_seq OWNED BY model_requests.seq")
        op.execute("CREATE TABLE model_requests_default PARTITION OF model_requests DEFAULT")
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("buried_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
    )


def _model_requests(postgres: bool) -> None:
    json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    columns: list[sa.Column[object]] = [
        sa.Column("id", sa.Uuid(as_uuid=False) if postgres else sa.Text, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("stream", sa.Boolean, nullable=False),
        sa.Column("trace_sampled", sa.Boolean),
        sa.Column("usage_raw", sa.LargeBinary),
    ]
    for text in _TEXTS.split():
        columns.append(sa.Column(text.rstrip("!"), sa.Text, nullable=not text.endswith("!")))
    for number in _NUMBERS.split():
        columns.append(sa.Column(number.rstrip("!"), sa.BigInteger, nullable=not number.endswith("!")))
    for name in _JSON.split():
        columns.append(sa.Column(name, json))
    if postgres:
        seq = sa.Column(
            "seq", sa.BigInteger, nullable=False, server_default=sa.text("nextval('model_requests_seq')")
        )
        # The id alone decides started_at, so this key is unique on the id.
        key = sa.PrimaryKeyConstraint("id", "started_at")
        op.create_table("model_requests", seq, *columns, key, postgresql_partition_by="RANGE (started_at)")
    else:
        seq = sa.Column("seq", sa.Integer, primary_key=True)
        op.create_table("model_requests", seq, *columns, sa.UniqueConstraint("id"))


def _indexes() -> None:
    table = "model_requests"
    op.create_index("model_requests_tenant", table, ["tenant_id", "started_at"])
    for column, condition in (
        ("team", "team IS NOT NULL"),
        ("session_id", "session_id IS NOT NULL"),
        ("cost_status", "cost_nano IS NULL"),
    ):
        where = sa.text(condition)
        op.create_index(
            f"model_requests_{column}",
            table,
            ["tenant_id", column, "started_at"],
            sqlite_where=where,
            postgresql_where=where,
        )
