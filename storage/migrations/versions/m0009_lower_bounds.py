"""What a call's price has to know when it is worked out again: of fees that nobody counted, and of requests added up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Two columns. Of calls that are there already it stays unknown."""
    op.add_column("model_requests", sa.Column("fees_unseen", sa.Boolean))
    op.add_column("model_requests", sa.Column("largest_input_tokens", sa.BigInteger))
