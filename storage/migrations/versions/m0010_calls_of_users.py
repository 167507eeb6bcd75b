"""The calls of one user, newest first."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """One index. No tenant leads it: who asks for a user's calls seldom names one, and users are rarer than tenants."""
    named = sa.text("user_id IS NOT NULL")
    op.create_index(
        "model_requests_user_id",
        "model_requests",
        ["user_id", "started_at"],
        sqlite_where=named,
        postgresql_where=named,
    )
