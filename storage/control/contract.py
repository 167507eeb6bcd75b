"""The small tables that say who may do what: read and changed in short transactions, on either database.

Statements have a ``?`` for each value and are written so that both databases understand them. Every method raises
:class:`ControlUnavailable` when the database does not answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from typing import Any, Protocol

from storage.address import Engine

Row = Sequence[Any]


class ControlUnavailable(Exception):  # noqa: N818
    """The database does not answer, or has not the tables; the message holds no url."""


class NoTables(ControlUnavailable):
    """It answers, and lacks tables or columns of ours: they are being made, or wait for a migration."""


class Collision(ControlUnavailable):
    """Two transactions waited for each other; all of this one is undone, and it can be done again at once."""


class Transaction(Protocol):
    """Statements that take effect together, or not at all."""

    engine: Engine

    async def fetch(self, statement: str, *values: Any) -> list[Row]:
        """Rows of a query, or of a change that says ``RETURNING``."""

    async def run(self, statement: str, *values: Any) -> int:
        """Rows changed."""


class ControlDatabase(Protocol):
    """One database."""

    engine: Engine

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Commits at the end, rolls back when something is raised. SQLite's write lock is taken at the start."""

    async def fetch(self, statement: str, *values: Any) -> list[Row]:
        """Rows of one query."""

    async def close(self) -> None: ...


@lru_cache(maxsize=512)
def numbered(statement: str) -> str:
    """``?`` as PostgreSQL has it: ``$1``, ``$2``... Statements hold no question mark of their own."""
    first, *rest = statement.split("?")
    return first + "".join(f"${number}{part}" for number, part in enumerate(rest, 1))
