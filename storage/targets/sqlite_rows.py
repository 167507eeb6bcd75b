"""Rows of ``model_requests`` into SQLite in the order in which they come, as fast as the standard library's driver can.

Three things cost there. Each value is bound by itself, which is half of the time of an insert, and most values of a row are
those of its neighbours (the provider, the operation, how it ended): what many rows share is bound once for all of them.
An empty value is asked how it wants to be adapted, which takes five times as long as binding a number
(PostgreSQL's driver does not): so of the columns that many rows leave empty only those go in that a piece of a batch
fills, and a row that fills many more of them goes in by itself. And each statement lets go of Python's lock and takes it
again, in turn with the loop that serves calls: so many rows go in by one statement.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain, compress
from operator import add, not_, or_
from typing import Final

from storage.rows import COLUMNS, COMMON_COLUMNS, RARE_COLUMNS, Column, Columns
from storage.schema import TABLE

MOST_PARAMETERS: Final = 999
"""Of one statement, in any SQLite."""
FEW: Final = MOST_PARAMETERS // len(COLUMNS)
"""Fewer rows than one statement takes of any shape go in one by one."""
PIECE: Final = 20 * (MOST_PARAMETERS // len(COMMON_COLUMNS))
"""Rows whose columns are looked at together; of the usual shape a number of whole statements."""
MOST_EMPTY: Final = 8
"""Empty values of a row in the mean for which rows still go in together."""
OFTEN: Final = 10
"""Otherwise columns that one row in so many fills; the others are odd."""
LOOK_EVERY: Final = 4
"""One statement in so many is looked at for what its rows share."""
LOOKS: Final = 16
"""After so many looks it is chosen anew what is bound once."""
MOSTLY: Final = 14
"""What rows share in so many of them; where they do not, a statement is written without sharing anything."""
MOST_TIMES: Final = 4
"""So many times the rows go into a statement that shares columns, as far as there are parameters for the others: the more,
the less it costs to look at them, and the more seldom they are alike."""
MOST_SHAPES: Final = 64

Shape = tuple[bool, ...]
"""Which of :data:`storage.rows.RARE_COLUMNS` are written."""
_NONE: Final = (False,) * len(RARE_COLUMNS)
_COMMON: Final = len(COMMON_COLUMNS)


class _Statements:
    """How rows of one shape are written."""

    def __init__(self, shape: Shape) -> None:
        self.columns = (*COMMON_COLUMNS, *compress(RARE_COLUMNS, shape))
        self.at_once = MOST_PARAMETERS // len(self.columns)
        """Rows that one statement takes."""
        self.one = _insert_of(self.columns, 1)
        self.many = _insert_of(self.columns, self.at_once)


def _insert_of(columns: Sequence[str], rows: int) -> str:
    """``OR ROLLBACK``: a row that is refused takes the whole transaction with it, as it would anyway; a statement of many rows
    that could be undone by itself would first put a copy of every page it changes into a file."""
    return _inserting(columns, f"VALUES {_places(len(columns), rows)}")


@lru_cache(maxsize=MOST_SHAPES)
def _insert_sharing(columns: tuple[str, ...], shared: tuple[bool, ...], rows: int) -> str:
    """The values of the columns that are shared come first, then row by row those of the others."""
    own = [not is_shared for is_shared in shared]
    names = [*compress(columns, shared), *compress(columns, own)]
    given = [*"?" * sum(shared), *[f"column{number}" for number in range(1, sum(own) + 1)]]
    return _inserting(names, f"SELECT {', '.join(given)} FROM (VALUES {_places(sum(own), rows)}) WHERE true")


def _inserting(columns: Sequence[str], values: str) -> str:
    return f"INSERT OR ROLLBACK INTO {TABLE} ({', '.join(columns)}) {values} ON CONFLICT (id) DO NOTHING"


def _places(columns: int, rows: int) -> str:
    return ", ".join([f"({', '.join('?' * columns)})"] * rows)


_statements = lru_cache(maxsize=MOST_SHAPES)(_Statements)


class _Habit:
    """What rows of one shape mostly share with their neighbours. Each choice is a statement, which takes its time to be made:
    so it holds for a while."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._statements = 0
        self._often = [0] * columns
        self.shared = (False,) * columns
        """The columns that are bound once."""
        self.own = (True,) * columns
        """The others."""
        self.times = 1
        """How many times the rows of a statement that shares nothing go into one that does."""

    def follow(self, columns: Sequence[Column]) -> None:
        """Look at what the rows of a statement share, now and then."""
        self._statements += 1
        if self._statements % LOOK_EVERY:
            return
        _, *others = columns  # ids differ
        self._often = [0, *map(add, self._often[1:], map(_is_shared, others))]
        if self._statements == LOOK_EVERY * LOOKS:
            self.shared = tuple([often >= MOSTLY for often in self._often])
            self.own = tuple(map(not_, self.shared))
            once = sum(self.shared)
            plain = (MOST_PARAMETERS // self._columns) * (self._columns - once)
            self.times = min(MOST_TIMES, (MOST_PARAMETERS - once) // plain) if once else 1
            self._often = [0] * self._columns
            self._statements = 0


def _is_shared(column: Column) -> bool:
    first = column[0]
    return bool(first == column[-1] and column.count(first) == len(column))


class Inserter:
    """Belongs to one writer: what its rows filled and shared lately, they are likely to fill and share again."""

    def __init__(self) -> None:
        self._lately = _NONE
        self._habits: dict[Shape, _Habit] = {}

    def insert(self, db: sqlite3.Connection, pieces: Sequence[Columns]) -> int:
        """Insert within the transaction that is open, in this order; returns how many were new. Pieces of :data:`PIECE`
        rows, the last of fewer, cost least."""
        return sum(self._insert_piece(db, piece) for piece in pieces)

    def _insert_piece(self, db: sqlite3.Connection, piece: Columns) -> int:
        if piece.rows < FEW:
            return sum(_insert_one(db, piece, row) for row in range(piece.rows))
        rare = piece.values[_COMMON:]
        if rare.count(None) == len(rare):
            return self._insert_alike(db, _NONE, piece)
        empty = [piece.rows if column is None else column.count(None) for column in rare]
        shape, is_all = self._shape(empty, piece.rows)
        if is_all:
            return self._insert_alike(db, shape, piece)
        return self._insert_with_odd(db, shape, piece)

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

    def _insert_with_odd(self, db: sqlite3.Connection, shape: Shape, piece: Columns) -> int:
        """Those that fill no more than ``shape`` together, the others each by itself."""
        beyond = [
            column
            for column, is_written in zip(piece.values[_COMMON:], shape, strict=True)
            if column is not None and not is_written
        ]
        odd = [
            row for row, values in enumerate(zip(*beyond, strict=True)) if values.count(None) < len(beyond)
        ]
        new, start = 0, 0
        for row in odd:
            new += self._insert_alike(db, shape, _part(piece, start, row - start)) + _insert_one(
                db, piece, row
            )
            start = row + 1
        return new + self._insert_alike(db, shape, _part(piece, start, piece.rows - start))

    def _insert_alike(self, db: sqlite3.Connection, shape: Shape, piece: Columns) -> int:
        statements = _statements(shape)
        empty = (None,) * piece.rows
        columns = [
            empty if column is None else column
            for column in (*piece.values[:_COMMON], *compress(piece.values[_COMMON:], shape))
        ]
        habit, count = self._habit(shape, len(columns)), statements.at_once
        at = new = 0
        while at + count <= piece.rows:
            rows = count * min(habit.times, (piece.rows - at) // count)
            new += _insert_many(db, statements, habit, [column[at : at + rows] for column in columns], rows)
            at += rows
        if at < piece.rows:
            rest = zip(*[column[at:] for column in columns], strict=True)
            new += db.executemany(statements.one, rest).rowcount
        return new

    def _habit(self, shape: Shape, columns: int) -> _Habit:
        habit = self._habits.get(shape)
        if habit is None:
            if len(self._habits) == MOST_SHAPES:
                self._habits.clear()
            habit = self._habits[shape] = _Habit(columns)
        return habit


def _insert_many(
    db: sqlite3.Connection, statements: _Statements, habit: _Habit, columns: list[Column], rows: int
) -> int:
    """As many rows as one statement takes, or some times as many."""
    shared, own = habit.shared, habit.own
    habit.follow(columns)
    alike = [*compress(columns, shared)]
    once = [column[0] for column in alike]
    if once and [*map(tuple.count, alike, once)] == [rows] * len(once):
        return db.execute(
            _insert_sharing(statements.columns, shared, rows),
            [*once, *chain.from_iterable(zip(*compress(columns, own), strict=True))],
        ).rowcount
    count, new = statements.at_once, 0
    for at in range(0, rows, count):
        part = zip(*[column[at : at + count] for column in columns], strict=True)
        new += db.execute(statements.many, [*chain.from_iterable(part)]).rowcount
    return new


def _part(columns: Columns, start: int, rows: int) -> Columns:
    if rows == columns.rows:
        return columns
    end = min(start + rows, columns.rows)
    return Columns(end - start, [column and column[start:end] for column in columns.values])


def _insert_one(db: sqlite3.Connection, columns: Columns, row: int) -> int:
    values = [None if column is None else column[row] for column in columns.values]
    shape = tuple([value is not None for value in values[_COMMON:]])
    return db.execute(
        _statements(shape).one, [*values[:_COMMON], *compress(values[_COMMON:], shape)]
    ).rowcount
