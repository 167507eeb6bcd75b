"""Keys, tokens, budgets and the log of their changes; readers of one tenant in PostgreSQL."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

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
    account = ("budget_id", "subject", "window_key")
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
    """A role for people's own SQL: it sees the calls its database user was granted, and nothing else.

    The scope hangs on the name of the database user, which no statement of theirs can change. Where the migration may
    not create roles there are none, and ``weighbridge db reader`` says so. Users that are no readers see what their
    grants say, as before.
    """
    op.execute(
        """
        CREATE TABLE database_readers (
            role_name TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, team TEXT, user_id TEXT
        )
        """
    )
    op.execute(
        """
        DO $$
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'weighbridge_reader') THEN
                CREATE ROLE weighbridge_reader NOLOGIN;
            END IF;
        EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN
            NULL;
        END $$
        """
    )
    op.execute(
        """
        DO $$
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'weighbridge_reader') THEN
                RETURN;
            END IF;
            ALTER TABLE database_readers ENABLE ROW LEVEL SECURITY;
            ALTER TABLE model_requests ENABLE ROW LEVEL SECURITY;
            GRANT SELECT ON model_requests, database_readers TO weighbridge_reader;
            CREATE POLICY own_line ON database_readers FOR SELECT TO weighbridge_reader
                USING (role_name = current_user);
            CREATE POLICY own_calls ON model_requests FOR SELECT TO weighbridge_reader
                USING (EXISTS (
                    SELECT FROM database_readers AS reader
                    WHERE reader.role_name = current_user
                        AND reader.tenant_id = model_requests.tenant_id
                        AND (reader.team IS NULL OR reader.team = model_requests.team)
                        AND (reader.user_id IS NULL OR reader.user_id = model_requests.user_id)
                ));
            CREATE POLICY others_lines ON database_readers
                USING (NOT pg_has_role(current_user, 'weighbridge_reader', 'MEMBER'));
            CREATE POLICY others_calls ON model_requests
                USING (NOT pg_has_role(current_user, 'weighbridge_reader', 'MEMBER'));
        END $$
        """
    )
