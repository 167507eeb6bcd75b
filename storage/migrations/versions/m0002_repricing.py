"""What a call costs by later prices, beside what was recorded."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Four columns, empty until a call is priced again; the recorded cost is never touched."""
    for column in (
        sa.Column("repriced_nano", sa.BigInteger),
        sa.Column("repriced_status", sa.Text),
        sa.Column("repriced_snapshot", sa.Text),
        sa.Column("repriced_rule", sa.Text),
    ):
        op.add_column("model_requests", column)
