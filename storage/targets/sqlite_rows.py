"""Rows of ``model_requests`` into SQLite, as fast as the standard library's driver can.

Two things cost there. An empty value is asked how it wants to be adapted, which takes five times as long as binding a number
(PostgreSQL's driver knows nothing of it): so rows go in by shape, the columns that many rows leave empty only where they
are filled. And each statement lets go of Python's lock and takes it again, in turn with the loop that serves calls: so
many rows go in by one statement.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain, compress
from typing import Final

from storage.rows import COMMON_COLUMNS, NOTHING_RARE, RARE_COLUMNS, Row
from storage.schema import TABLE

MOST_PARAMETERS: Final = 4000
"""Of one statement, where this SQLite allows it (any allows 999, most 32,766); more win nothing."""
SOME: Final = 10
"""Rows of the shorter statement that takes what is left of a longer one's."""
_COMMON: Final = len(COMMON_COLUMNS)
FEW: Final = SOME
"""Fewer rows go in one by one."""

Shape = tuple[bool, ...]
"""Which of :data:`storage.rows.RARE_COLUMNS` are filled; empty: none."""


class _Statements:
    """How rows of one shape are written."""

    def __init__(self, shape: Shape, parameters: int) -> None:
        columns = (*COMMON_COLUMNS, *compress(RARE_COLUMNS, shape))
        self.one = _insert_of(columns, 1)
        self.many = [(rows, _insert_of(columns, rows)) for rows in (parameters // len(columns), SOME)]
        """Statements that take so many rows, the longest first."""


def _insert_of(columns: Sequence[str], rows: int) -> str:
    values = f"({', '.join('?' * len(columns))})"
    return (
        f"INSERT INTO {TABLE} ({', '.join(columns)}) VALUES {', '.join([values] * rows)}"
        " ON CONFLICT (id) DO NOTHING"
    )


_statements = lru_cache(maxsize=64)(_Statements)


def insert(db: sqlite3.Connection, rows: Sequence[Row]) -> int:
    """Insert within the transaction that is open; returns how many were new.

    A few rows keep their order; of more, those of one shape do.
    """
    most = min(MOST_PARAMETERS, db.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER))
    if len(rows) < FEW:
        short = [_short(row) for row in rows]
        return sum(db.execute(_statements(shape, most).one, row).rowcount for shape, row in short)
    by_shape: dict[Shape, list[Row]] = {}
    for row in rows:
        shape, filled = _short(row)
        by_shape.setdefault(shape, []).append(filled)
    return sum(_insert_alike(db, _statements(shape, most), alike) for shape, alike in by_shape.items())


def _short(row: Row) -> tuple[Shape, Row]:
    rare = row[_COMMON:]
    if rare == NOTHING_RARE:
        return (), row[:_COMMON]
    shape = tuple([value is not None for value in rare])
    return shape, (*row[:_COMMON], *compress(rare, shape))


def _insert_alike(db: sqlite3.Connection, statements: _Statements, rows: list[Row]) -> int:
    new = at = 0
    for count, statement in statements.many:
        while len(rows) - at >= count:
            new += db.execute(statement, [*chain.from_iterable(rows[at : at + count])]).rowcount
            at += count
    if at < len(rows):
        new += db.executemany(statements.one, rows[at:]).rowcount
    return new
