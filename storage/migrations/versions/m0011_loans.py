"""Which loan a lease was lent under last: one whose answer was lost is taken back by its number."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """The loan's number, 0 for none, and how much of the lease it is."""
    for name in ("loan", "loaned"):
        column = sa.Column(name, sa.BigInteger, nullable=False, server_default=sa.text("0"))
        op.add_column("budget_leases", column)
