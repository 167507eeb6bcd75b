"""Rows of ``model_requests`` into SQLite in the order in which they come, as fast as the standard library's driver can.

Two things cost there. An empty value is asked how it wants to be adapted, which takes five times as long as binding a number
(PostgreSQL's driver does not): so of the columns that many rows leave empty only those go in that a piece of a batch
fills, and a row that fills many more of them goes in by itself. And each statement lets go of Python's lock and takes it
again, in turn with the loop that serves calls: so many rows go in by one statement.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain, compress
from operator import or_
from typing import Final

from storage.rows import COLUMNS, COMMON_COLUMNS, NOTHING_RARE, RARE_COLUMNS, Halves, Row
from storage.schema import TABLE

MOST_PARAMETERS: Final = 999
"""Of one statement, in any SQLite."""
FEW: Final = MOST_PARAMETERS // len(COLUMNS)
"""Fewer rows than one statement takes of any shape go in one by one."""
PIECE: Final = 100
"""Rows whose columns are looked at together."""
MOST_EMPTY: Final = 8
"""Empty values of a row in the mean for which rows still go in together."""
OFTEN: Final = 10
"""Otherwise columns that one row in so many fills; the others are odd."""

Shape = tuple[bool, ...]
"""Which of :data:`storage.rows.RARE_COLUMNS` are written; empty: none."""
_NONE: Final = (False,) * len(RARE_COLUMNS)


class _Statements:
    """How rows of one shape are written."""

    def __init__(self, shape: Shape) -> None:
        columns = (*COMMON_COLUMNS, *compress(RARE_COLUMNS, shape))
        self.at_once = MOST_PARAMETERS // len(columns)
        """Rows that one statement takes."""
        self.one = _insert_of(columns, 1)
        self.many = _insert_of(columns, self.at_once)


def _insert_of(columns: Sequence[str], rows: int) -> str:
    """``OR ROLLBACK``: a row that is refused takes the whole transaction with it, as it would anyway; a statement of many rows
    that could be undone by itself would first put a copy of every page it changes into a file."""
    values = f"({', '.join('?' * len(columns))})"
    return (
        f"INSERT OR ROLLBACK INTO {TABLE} ({', '.join(columns)}) VALUES {', '.join([values] * rows)}"
        " ON CONFLICT (id) DO NOTHING"
    )


_statements = lru_cache(maxsize=64)(_Statements)


class Inserter:
    """Belongs to one writer: what its rows filled lately, they are likely to fill again."""

    def __init__(self) -> None:
        self._lately = _NONE

    def insert(self, db: sqlite3.Connection, rows: Sequence[Halves]) -> int:
        """Insert within the transaction that is open, in this order; returns how many were new."""
        if len(rows) < FEW:
            return sum(_insert_one(db, row) for row in rows)
        return sum(self._insert_piece(db, rows[at : at + PIECE]) for at in range(0, len(rows), PIECE))

    def _insert_piece(self, db: sqlite3.Connection, rows: Sequence[Halves]) -> int:
        commons, rares = zip(*rows, strict=True)
        if rares.count(NOTHING_RARE) == len(rares):
            return _insert_alike(db, _statements(()), commons)
        shape, is_all = self._shape([column.count(None) for column in zip(*rares, strict=True)], len(rows))
        if not is_all:
            return _insert_with_odd(db, shape, rows)
        return _insert_alike(
            db, _statements(shape), [(*common, *compress(rare, shape)) for common, rare in rows]
        )

    def _shape(self, empty: list[int], rows: int) -> tuple[Shape, bool]:
        """What to write of rows of which so many leave each column empty, and whether that is all they fill.

        Where it fits, it is what was written before: each shape is a statement, which takes its time to be made.
        """
        used = tuple([number < rows for number in empty])
        for shape in (tuple(map(or_, used, self._lately)), used):
            if sum(compress(empty, shape)) <= MOST_EMPTY * rows:
                self._lately = shape
                return shape, True
        most = rows - max(1, rows // OFTEN)
        return tuple([number <= most for number in empty]), False


def _insert_with_odd(db: sqlite3.Connection, shape: Shape, rows: Sequence[Halves]) -> int:
    """Those that fill no more than ``shape`` together, the others each by itself."""
    beyond = len(shape) - sum(shape)
    new, alike = 0, list[Row]()
    for common, rare in rows:
        filled = (*compress(rare, shape),)
        if rare.count(None) - filled.count(None) == beyond:
            alike.append(common + filled)
        else:
            new += _insert_alike(db, _statements(shape), alike) + _insert_one(db, (common, rare))
            alike.clear()
    return new + _insert_alike(db, _statements(shape), alike)


def _insert_one(db: sqlite3.Connection, row: Halves) -> int:
    common, rare = row
    shape = () if rare is NOTHING_RARE else tuple([value is not None for value in rare])
    return db.execute(_statements(shape).one, (*common, *compress(rare, shape))).rowcount


def _insert_alike(db: sqlite3.Connection, statements: _Statements, rows: Sequence[Row]) -> int:
    count = statements.at_once
    whole = len(rows) - len(rows) % count
    new = 0
    for at in range(0, whole, count):
        new += db.execute(statements.many, [*chain.from_iterable(rows[at : at + count])]).rowcount
    if whole < len(rows):
        new += db.executemany(statements.one, rows[whole:]).rowcount
    return new
