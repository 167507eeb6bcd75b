"""Writing to SQLite: the standard library's driver, one connection, write-ahead log."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from storage.address import Address
from storage.mend import encode_anyhow, storable
from storage.privacy.erased import Erased
from storage.rows import SQLITE, Columns, RowError, columns_of
from storage.schema import DEAD_TABLE, HEAD, TABLE, VERSION_QUERY, Fit, Migrate, fit
from storage.sqlite_file import connect
from storage.targets.contract import (
    BuriedLetter,
    Companion,
    DeadLetter,
    Outage,
    RowRefused,
    SchemaBehind,
    SchemaTooNew,
)
from storage.targets.sqlite_rows import PIECE, Inserter
from storage.trouble import trouble_of
from telemetry.record import CallRecord

_BURY = f"INSERT INTO {DEAD_TABLE} (id, buried_at, reason, record) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
_ASK_AT_ONCE = 500


class SqliteTarget:
    """One SQLite file. Several processes may write to it: each batch takes the file's write lock in turn."""

    def __init__(
        self,
        address: Address,
        *,
        migrate: Migrate = Migrate.AUTO,
        timeout_s: float = 5.0,
        power_safe: bool = True,
        companions: Sequence[Companion] = (),
        erased: Callable[[], None] = lambda: None,
    ) -> None:
        """``power_safe``: a commit survives the loss of power, so that the spool may forget what was committed.

        ``erased`` hears, on the writer's thread, that somebody was erased.
        """
        self._address = address
        self._migrate = migrate
        self._timeout_s = timeout_s
        self._synchronous = "FULL" if power_safe else "NORMAL"
        self._companions = companions
        self._erased = Erased(heard=erased)
        self._rows = Inserter()
        self._db: sqlite3.Connection | None = None

    def connect(self) -> None:
        """Open the file, and bring its schema up to date if that is for us to do."""
        self.close()
        try:
            db = self._open()
            if fit(_version(db)) is Fit.BEHIND:
                db.close()
                self._upgrade()
                db = self._open()
        except sqlite3.Error as error:
            raise Outage(_reason(error)) from error
        except OSError as error:
            raise Outage(f"the database file cannot be made: {error.strerror}") from error
        found = _version(db)
        if fit(found) is Fit.TOO_NEW:
            db.close()
            raise SchemaTooNew(
                f"the database is at schema {found}, made by a newer version; this one knows {HEAD}"
            )
        self._db = db

    def _open(self) -> sqlite3.Connection:
        db = connect(Path(self._address.dsn), self._timeout_s)
        db.execute(f"PRAGMA synchronous={self._synchronous}")
        return db

    def _upgrade(self) -> None:
        if self._migrate is Migrate.MANUAL:
            raise SchemaBehind("the database needs a migration: run `weighbridge db migrate`")
        from sqlalchemy.exc import SQLAlchemyError

        from storage.migrate import migrate

        try:
            migrate(self._address, self._timeout_s)
        except SQLAlchemyError as error:
            raise Outage(f"the migration failed: {type(error).__name__}") from error

    def write(self, records: Sequence[CallRecord]) -> int:
        """Insert a batch in one transaction."""
        try:
            pieces = _pieces_of(records)
        except RowError as error:
            raise RowRefused(str(error)) from error
        except (ValueError, OverflowError) as error:
            raise RowRefused(type(error).__name__) from error
        db = self._connected()
        try:
            db.execute("BEGIN IMMEDIATE")
            spared = self._erased.in_sqlite(db, records)
            if spared is not records:
                records, pieces = spared, _pieces_of(spared)
            inserted = self._insert(db, records, pieces)
            for companion in self._companions:
                companion.in_sqlite(db, inserted)
            db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            _roll_back(db)
            raise Outage(_reason(error)) from error
        except (sqlite3.IntegrityError, sqlite3.DataError) as error:
            _roll_back(db)
            raise RowRefused(_reason(error)) from error
        except sqlite3.Error as error:
            _roll_back(db)
            raise Outage(_reason(error)) from error
        except (OverflowError, UnicodeError) as error:
            _roll_back(db)
            raise RowRefused(type(error).__name__) from error
        return len(inserted)

    def _insert(
        self, db: sqlite3.Connection, records: Sequence[CallRecord], pieces: list[Columns]
    ) -> Sequence[CallRecord]:
        """Insert, and say which were new. The write lock is held, so what is not there now will not appear."""
        db.execute("SAVEPOINT batch")
        if self._rows.insert(db, pieces) == len(records):
            return records
        db.execute("ROLLBACK TO batch")
        known: set[str] = set()
        for at in range(0, len(records), _ASK_AT_ONCE):
            ids = [record.id for record in records[at : at + _ASK_AT_ONCE]]
            query = f"SELECT id FROM {TABLE} WHERE id IN ({', '.join('?' * len(ids))})"
            known.update(found for (found,) in db.execute(query, ids))
        fresh: dict[str, int] = {}
        for index, record in enumerate(records):
            if record.id not in known:
                fresh.setdefault(record.id, index)
        new = [records[index] for index in fresh.values()]
        self._rows.insert(db, _pieces_of(new))
        return new

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Keep refused records, once each."""
        now = time.strftime("%Y-%m-%d %H:%M:%S.000000", time.gmtime())
        db = self._connected()
        try:
            with db:
                db.execute("BEGIN IMMEDIATE")
                records = self._erased.in_sqlite(db, [letter.record for letter in letters])
                rows = [
                    (storable(record.id), now, storable(letter.reason), encode_anyhow(record))
                    for letter, record in zip(letters, records, strict=True)
                ]
                db.executemany(_BURY, rows)
        except sqlite3.Error as error:
            _roll_back(db)
            raise Outage(_reason(error)) from error

    def letters(self, after: str, limit: int) -> list[BuriedLetter]:
        """Dead letters in the order of their ids."""
        query = f"SELECT id, reason, record FROM {DEAD_TABLE} WHERE id > ? ORDER BY id LIMIT ?"
        try:
            return [BuriedLetter(*found) for found in self._connected().execute(query, (after, limit))]
        except sqlite3.Error as error:
            raise Outage(_reason(error)) from error

    def unbury(self, ids: Sequence[str]) -> None:
        """Forget dead letters."""
        try:
            self._connected().executemany(f"DELETE FROM {DEAD_TABLE} WHERE id = ?", [(one,) for one in ids])
        except sqlite3.Error as error:
            raise Outage(_reason(error)) from error

    def _connected(self) -> sqlite3.Connection:
        if self._db is None:
            raise Outage("not connected")
        return self._db

    def close(self) -> None:
        """Close the connection."""
        if self._db is not None:
            self._db.close()
            self._db = None


def _pieces_of(records: Sequence[CallRecord]) -> list[Columns]:
    return [columns_of(records[at : at + PIECE], SQLITE) for at in range(0, len(records), PIECE)]


def _version(db: sqlite3.Connection) -> str | None:
    try:
        found = db.execute(VERSION_QUERY).fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise
    return None if found is None else str(found[0])


def _roll_back(db: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.Error):  # the connection is opened anew after every outage
        if db.in_transaction:
            db.execute("ROLLBACK")


def _reason(error: sqlite3.Error) -> str:
    """``database is locked (SQLITE_BUSY)``."""
    code = getattr(error, "sqlite_errorname", "")
    return f"{trouble_of(error)} ({code})" if code else trouble_of(error)
