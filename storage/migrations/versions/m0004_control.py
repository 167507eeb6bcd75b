"""Keys, tokens, budgets and the log of their changes; readers of one tenant in PostgreSQL."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.reader_policies import HAS_GROUP, MAKE_GROUP, MAKE_POLICIES

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Times are milliseconds since 1970 (UTC), amounts nano-USD, tokens or calls."""
    op.add_column("model_requests", sa.Column("baseline_nano", sa.BigInteger))
    _keys()
    _budgets()
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    versions = op.create_table(
        "control_versions",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(versions, [{"name": name, "version": 1} for name in ("keys", "budgets")])
    if op.get_bind().dialect.name == "postgresql":
        _readers()


def _keys() -> None:
    op.create_table(
        "gateway_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False, unique=True),
        sa.Column("previous_digest", sa.Text),
        sa.Column("previous_until_ms", sa.BigInteger),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("revoked_ms", sa.BigInteger),
    )
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False, unique=True),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("revoked_ms", sa.BigInteger),
    )


def _budgets() -> None:
    op.create_table(
        "budgets",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
    )
    account = ("budget_id", "window_key", "subject")  # in this order the accounts of a window lie together
    op.create_table(
        "budget_accounts",
        *(sa.Column(name, sa.Text, primary_key=True) for name in account),
        sa.Column("start_s", sa.BigInteger, nullable=False),
        sa.Column("end_s", sa.BigInteger, nullable=False),
        sa.Column("spent", sa.BigInteger, nullable=False),
        sa.Column("calls", sa.BigInteger, nullable=False),
        sa.Column("unpriced", sa.BigInteger, nullable=False),
        sa.Column("denied", sa.BigInteger, nullable=False),
    )
    op.create_index("budget_accounts_end", "budget_accounts", ["end_s"])
    op.create_table(
        "budget_leases",
        sa.Column("owner", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text, primary_key=True) for name in account),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("budget_leases_account", "budget_leases", list(account))


def _readers() -> None:
    """Database users for people's own SQL. Where the migration may not make roles, ``weighbridge db reader`` says so."""
    op.create_table(
        "database_readers",
        sa.Column("role_name", sa.Text, primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("team", sa.Text),
        sa.Column("user_id", sa.Text),
    )
    op.execute(MAKE_GROUP)
    if op.get_bind().execute(sa.text(HAS_GROUP)).first() is not None:
        for statement in MAKE_POLICIES:
            op.execute(statement)
