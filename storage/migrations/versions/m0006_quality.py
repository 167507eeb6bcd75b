"""Feedback, outcomes and events; who was erased."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"

_DIMENSIONS = """
    tenant_id team project feature environment provider model
    route_policy experiment variant prompt_id prompt_version confidence_band
"""
_MEASURES = """
    calls user_count user_good user_ppm judge_count judge_good judge_ppm system_count system_good system_ppm
    stars_count stars_good stars_ppm accepted rejected resolved escalated resolved_escalated converted value_nano
    judged good priced priced_good cost_nano estimated_nano
"""


def upgrade() -> None:
    """Create the tables, and the indexes by which a call is found when its id is not known."""
    call_id = sa.Uuid(as_uuid=False) if op.get_bind().dialect.name == "postgresql" else sa.Text()
    _judged_calls(call_id)
    _said(call_id)
    _daily()
    _events()
    _erasures()
    for column in ("response_id", "trace_id"):
        where = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            f"model_requests_{column}",
            "model_requests",
            [column],
            sqlite_where=where,
            postgresql_where=where,
        )


def _judged_calls(call_id: sa.Uuid[str] | sa.Text) -> None:
    op.create_table(
        "judged_calls",
        sa.Column("call_id", call_id, primary_key=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("session_id", sa.Text),
        sa.Column("call_cost_nano", sa.BigInteger),
        sa.Column("call_cost_status", sa.Text, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        *_dimensions(),
        *_measures(),
    )
    op.create_index("judged_calls_tenant", "judged_calls", ["tenant_id", "started_at"])
    op.create_index("judged_calls_user", "judged_calls", ["user_id"])


def _said(call_id: sa.Uuid[str] | sa.Text) -> None:
    """What was said of calls, one row each."""
    op.create_table(
        "feedback",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("call_id", call_id, nullable=False),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("scale", sa.Text, nullable=False),
        sa.Column("ppm", sa.BigInteger, nullable=False),
        sa.Column("label", sa.Text),
        sa.Column("comment", sa.Text),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "outcomes",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("call_id", call_id, nullable=False),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("value_nano", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    )
    for table in ("feedback", "outcomes"):
        op.create_index(f"{table}_call", table, ["call_id"])
        op.create_index(f"{table}_user", table, ["user_id"])


def _daily() -> None:
    op.create_table(
        "quality_daily",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("day", sa.Date, nullable=False),
        *_dimensions(),
        *_measures(),
    )
    op.create_index("quality_daily_day", "quality_daily", ["tenant_id", "day"])
    op.create_index("quality_daily_days", "quality_daily", ["day"])


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("message_id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text),
        sa.Column("user_id", sa.Text),
        sa.Column("anonymous_id", sa.Text),
        sa.Column("session_id", sa.Text),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("data", sa.JSON().with_variant(postgresql.JSONB(), "postgresql")),
    )
    op.create_index("events_at", "events", ["at"])
    op.create_index("events_user", "events", ["user_id"])
    op.create_index("events_anonymous", "events", ["anonymous_id"])


def _erasures() -> None:
    """Times are milliseconds since 1970 (UTC)."""
    op.create_table(
        "erasures",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("tenant_id", sa.Text),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO control_versions (name, version) VALUES ('erasures', 1)")


def _dimensions() -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in _DIMENSIONS.split()]


def _measures() -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in _MEASURES.split()]
