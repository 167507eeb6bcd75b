"""Sums of calls by hour, by day and by user, and the deltas they are made of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_DIMENSIONS = (
    "team project feature environment provider! model route_policy experiment variant outcome_class!"
)
_MEASURES = """
    calls streams cache_hits
    errors_rate_limited errors_client errors_server errors_in_stream errors_timeout errors_connection errors_gateway
    input_tokens output_tokens cache_read_tokens cache_write_tokens reasoning_tokens
    input_audio_tokens output_audio_tokens input_image_tokens output_image_tokens input_video_tokens output_video_tokens
    web_searches file_searches search_units pages images characters audio_ms
    cost_nano cost_input_nano cost_output_nano cost_cache_read_nano cost_cache_write_nano cost_other_nano
    estimated_calls estimated_nano partial_calls partial_nano unpriced_calls invalid_calls
    baseline_calls baseline_nano baseline_cost_nano
    duration_us ttft_calls ttft_us rate_tokens rate_us overhead_us
"""
_USER_MEASURES = """
    calls input_tokens output_tokens cache_read_tokens cache_write_tokens reasoning_tokens
    cost_nano estimated_calls estimated_nano partial_calls partial_nano unpriced_calls invalid_calls
"""

_ROUTE_MEASURES = """
    calls cost_nano estimated_calls estimated_nano partial_calls partial_nano unpriced_calls invalid_calls
    baseline_calls baseline_nano baseline_cost_nano confidence_calls confidence_ppm
"""


def upgrade() -> None:
    """Create the tables. Calls that are there already are not in them until they are rebuilt."""
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "rollup_deltas",
        sa.Column("id", number, sa.Identity(always=True), primary_key=True),
        sa.Column("payload", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "rollup_groups",
        sa.Column("group_id", number, primary_key=True, autoincrement=False),
        sa.Column("tenant_id", sa.Text, nullable=False),
        *[
            sa.Column(name.rstrip("!"), sa.Text, nullable=not name.endswith("!"))
            for name in _DIMENSIONS.split()
        ],
    )
    for table, period in (("rollup_hours", "hour"), ("rollup_days", "day")):
        op.create_table(
            table,
            sa.Column("tenant_id", sa.Text, nullable=False),
            sa.Column(period, sa.Integer, nullable=False),
            sa.Column("group_id", sa.BigInteger, nullable=False),
            *_sums(_MEASURES),
            *[sa.Column(name, sa.LargeBinary, nullable=False) for name in ("durations", "ttfts", "rates")],
            sa.PrimaryKeyConstraint("tenant_id", period, "group_id"),
            postgresql_with={"fillfactor": 80},
        )
        op.create_index(f"{table}_{period}", table, [period])
    op.create_table(
        "rollup_users",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("team", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        *_sums(_USER_MEASURES),
        sa.Column("sessions", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "day", "team", "user_id"),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index("rollup_users_day", "rollup_users", ["day"])
    op.create_index("rollup_users_user", "rollup_users", ["tenant_id", "user_id", "day"])
    _routes()
    op.create_table(
        "rollup_state",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO rollup_state (name, value) VALUES ('generation', 0)")
    op.execute(
        "INSERT INTO rollup_state (name, value) SELECT 'rebuild_wanted', 1 WHERE EXISTS (SELECT 1 FROM model_requests)"
    )


def _routes() -> None:
    op.create_table(
        "rollup_routes",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("route_id", sa.BigInteger, nullable=False),
        sa.Column("group_id", sa.BigInteger, nullable=False),
        sa.Column("route_reason", sa.Text),
        sa.Column("band", sa.Integer),
        *_sums(_ROUTE_MEASURES),
        sa.PrimaryKeyConstraint("tenant_id", "day", "route_id"),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index("rollup_routes_day", "rollup_routes", ["day"])


def _sums(names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False, server_default="0") for name in names.split()]
