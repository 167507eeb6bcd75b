"""Calls that cost something else by later prices, to be found without a look at all others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_CHANGED = "repriced_nano IS NOT NULL AND (cost_nano IS NULL OR cost_nano != repriced_nano)"
_SUMMED = ("cost_nano", "repriced_nano", "repriced_status")
_CUT_BY = (
    "tenant_id",
    "team",
    "user_id",
    "project",
    "feature",
    "environment",
    "provider",
    "response_model",
    "request_model",
    "route_policy",
    "experiment",
    "variant",
    "outcome",
)


def upgrade() -> None:
    """One index of those calls alone: a call that is recorded has no entry.

    It holds what is summed of them, and in SQLite what they are mostly cut by, too: reading their rows takes twice as
    long there. PostgreSQL takes no entry above 2.7 kB, which names together may be.
    """
    cut_by = _CUT_BY if op.get_bind().dialect.name == "sqlite" else ()
    op.create_index(
        "model_requests_repriced",
        "model_requests",
        ["started_at", *_SUMMED, *cut_by],
        sqlite_where=sa.text(_CHANGED),
        postgresql_where=sa.text(_CHANGED),
    )
