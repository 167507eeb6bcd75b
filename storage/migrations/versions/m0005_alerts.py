"""Alerts, their deliveries and silences."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the tables, and the two indexes that make an alert one: ever in its window, and open in its slot."""
    _alerts()
    _deliveries()
    op.create_table(
        "alert_rules",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("spec", _json(), nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("created_at", _time(), nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
    )
    op.create_table(
        "alert_silences",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("matchers", _json(), nullable=False),
        sa.Column("starts_at", _time(), nullable=False),
        sa.Column("until_at", _time(), nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("created_at", _time(), nullable=False),
    )
    op.create_table(
        "alert_channels",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("disabled_at", _time(), nullable=False),
        sa.Column("status", sa.BigInteger),
    )


def _alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("level", sa.Text, nullable=False),
        sa.Column("window_key", sa.Text, nullable=False),
        sa.Column("slot", sa.Text, nullable=False),
        sa.Column("window_start", _time(), nullable=False),
        sa.Column("window_end", _time(), nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.Column("limit_value", sa.BigInteger, nullable=False),
        sa.Column("unit", sa.Text, nullable=False),
        sa.Column("labels", _json(), nullable=False),
        sa.Column("tenant_id", sa.Text),
        sa.Column("team", sa.Text),
        sa.Column("user_id", sa.Text),
        sa.Column("fired_at", _time(), nullable=False),
        sa.Column("seen_at", _time(), nullable=False),
        sa.Column("notified_at", _time()),
        sa.Column("notified", sa.BigInteger, nullable=False),
        sa.Column("silence", sa.Text),
        sa.Column("resolved_at", _time()),
        sa.UniqueConstraint("rule", "subject", "window_key", "level", name="alerts_once"),
    )
    firing = sa.text("state = 'firing'")
    op.create_index(
        "alerts_open",
        "alerts",
        ["rule", "subject", "level", "slot"],
        unique=True,
        sqlite_where=firing,
        postgresql_where=firing,
    )
    op.create_index("alerts_fired", "alerts", ["fired_at", "id"])


def _deliveries() -> None:
    op.create_table(
        "alert_deliveries",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("alert_id", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("tries", sa.BigInteger, nullable=False),
        sa.Column("round", sa.BigInteger, nullable=False),
        sa.Column("due_at", _time(), nullable=False),
        sa.Column("lease", sa.Text),
        sa.Column("leased_until", _time()),
        sa.Column("created_at", _time(), nullable=False),
        sa.Column("done_at", _time()),
        sa.UniqueConstraint("alert_id", "channel", "number", name="alert_deliveries_once"),
    )
    pending = sa.text("state = 'pending'")
    op.create_index(
        "alert_deliveries_due",
        "alert_deliveries",
        ["due_at"],
        sqlite_where=pending,
        postgresql_where=pending,
    )
    op.create_index("alert_deliveries_created", "alert_deliveries", ["created_at", "id"])
    op.create_table(
        "alert_tries",
        sa.Column("delivery_id", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", _time(), nullable=False),
        sa.Column("duration_us", sa.BigInteger, nullable=False),
        sa.Column("fate", sa.Text, nullable=False),
        sa.Column("status", sa.BigInteger),
        sa.Column("trouble", sa.Text),
    )


def _time() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def _json() -> sa.types.TypeEngine[Any]:
    return sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
