"""Keys, tokens, budgets and the log of their changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """What a routed call would have cost on its baseline model."""
    op.add_column("model_requests", sa.Column("baseline_nano", sa.BigInteger))
