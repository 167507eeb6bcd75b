"""Rows of ``model_requests`` into SQLite, as fast as the standard library's driver can.

Two things cost there. An empty value is asked how it wants to be adapted, which takes five times as long as binding a number
(PostgreSQL's driver does not): so rows go in by shape, the columns that many rows leave empty only where they
are filled. And each statement lets go of Python's lock and takes it again, in turn with the loop that serves calls: so
many rows go in by one statement.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain, compress
from typing import Final

from storage.rows import COLUMNS, COMMON_COLUMNS, NOTHING_RARE, RARE_COLUMNS, Row
from storage.schema import TABLE

MOST_PARAMETERS: Final = 999
"""Of one statement, in any SQLite."""
_COMMON: Final = len(COMMON_COLUMNS)
FEW: Final = MOST_PARAMETERS // len(COLUMNS)
"""Fewer rows than one statement takes of any shape go in one by one."""

Shape = tuple[bool, ...]
"""Which of :data:`storage.rows.RARE_COLUMNS` are filled; empty: none."""


class _Statements:
    """How rows of one shape are written."""

    def __init__(self, shape: Shape) -> None:
        columns = (*COMMON_COLUMNS, *compress(RARE_COLUMNS, shape))
        self.at_once = MOST_PARAMETERS // len(columns)
        """Rows that one statement takes."""
        self.one = _insert_of(columns, 1)
        self.many = _insert_of(columns, self.at_once)


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
    if len(rows) < FEW:
        short = [_short(row) for row in rows]
        return sum(db.execute(_statements(shape).one, row).rowcount for shape, row in short)
    by_shape: dict[Shape, list[Row]] = {}
    for row in rows:
        shape, filled = _short(row)
        by_shape.setdefault(shape, []).append(filled)
    return sum(_insert_alike(db, _statements(shape), alike) for shape, alike in by_shape.items())


def _short(row: Row) -> tuple[Shape, Row]:
    rare = row[_COMMON:]
    if rare == NOTHING_RARE:
        return (), row[:_COMMON]
    shape = tuple([value is not None for value in rare])
    return shape, (*row[:_COMMON], *compress(rare, shape))


def _insert_alike(db: sqlite3.Connection, statements: _Statements, rows: list[Row]) -> int:
    count = statements.at_once
    whole = len(rows) - len(rows) % count
    new = 0
    for at in range(0, whole, count):
        new += db.execute(statements.many, [*chain.from_iterable(rows[at : at + count])]).rowcount
    if whole < len(rows):
        new += db.executemany(statements.one, rows[whole:]).rowcount
    return new
