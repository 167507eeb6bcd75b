"""What says that PostgreSQL does not do as asked, or is not there."""

from __future__ import annotations

from typing import Final

import asyncpg

TROUBLE: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""The first holds ``TimeoutError``; the last is what a connection that the server ended while nobody looked says at the
next statement."""
