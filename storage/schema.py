"""The schema's versions, known without Alembic: a start on a current schema must not pay for importing it.

A test holds :data:`REVISIONS` against the migration scripts.
"""

from __future__ import annotations

import enum

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011", "0012")
"""Every migration, oldest first."""
HEAD = REVISIONS[-1]
VERSION_QUERY = "SELECT version_num FROM alembic_version"
TABLE = "model_requests"
DEAD_TABLE = "dead_letters"


class Fit(enum.StrEnum):
    """How a database's schema stands to this version."""

    CURRENT = "current"
    BEHIND = "behind"
    TOO_NEW = "too_new"


def fit(found: str | None) -> Fit:
    """Judge the version found in a database; ``None`` means there is none yet."""
    if found == HEAD:
        return Fit.CURRENT
    if found is None or found in REVISIONS:
        return Fit.BEHIND
    return Fit.TOO_NEW


class Migrate(enum.StrEnum):
    """The ``storage.migrate`` setting."""

    AUTO = "auto"
    """Migrate at start."""
    MANUAL = "manual"
    """Leave it to ``weighbridge db migrate``; write nothing until it was run."""
