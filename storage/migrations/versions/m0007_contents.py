"""Prompts and answers that were captured."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.reader_policies import HAS_GROUP, MAKE_CONTENT_POLICIES

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the table. ``started_ms`` is milliseconds since 1970 (UTC), sizes are bytes."""
    op.create_table(
        "call_contents",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("call_id", sa.Text, primary_key=True),
        sa.Column("started_ms", sa.BigInteger, nullable=False),
        sa.Column("team", sa.Text),
        sa.Column("user_id", sa.Text),
        sa.Column("session_id", sa.Text),
        *_side("request"),
        *_side("answer"),
    )
    op.create_index("call_contents_call", "call_contents", ["call_id"])
    op.create_index("call_contents_started", "call_contents", ["started_ms"])
    for column in ("user_id", "session_id"):
        where = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            f"call_contents_{column}", "call_contents", [column], sqlite_where=where, postgresql_where=where
        )
    connection = op.get_bind()
    if connection.dialect.name == "postgresql" and connection.execute(sa.text(HAS_GROUP)).first() is not None:
        for statement in MAKE_CONTENT_POLICIES:
            op.execute(statement)


def _side(name: str) -> list[sa.Column[object]]:
    return [
        sa.Column(f"{name}_mode", sa.Text, nullable=False),
        sa.Column(f"{name}_size", sa.BigInteger, nullable=False),
        sa.Column(f"{name}_text", sa.Text),
        sa.Column(f"{name}_digest", sa.Text),
        sa.Column(f"{name}_cut", sa.Boolean, nullable=False),
        sa.Column(f"{name}_absent", sa.Text),
    ]
