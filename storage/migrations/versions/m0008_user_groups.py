"""In which groups a user's calls of a day were, beside the sums of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the columns. What is there already says "not known" (eight zero bytes) until it is rebuilt."""
    for column, default in (("group_ids", b"\0" * 8), ("group_sessions", b"")):
        literal = (
            f"X'{default.hex()}'"
            if op.get_bind().dialect.name == "sqlite"
            else f"'\\x{default.hex()}'::bytea"
        )
        op.add_column(
            "rollup_users",
            sa.Column(column, sa.LargeBinary, nullable=False, server_default=sa.text(literal)),
        )
    op.execute(
        "INSERT INTO rollup_state (name, value) SELECT 'rebuild_wanted', 1 WHERE EXISTS (SELECT 1 FROM rollup_users)"
        " AND NOT EXISTS (SELECT 1 FROM rollup_state WHERE name = 'rebuild_wanted')"
    )
