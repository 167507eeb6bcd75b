"""Opening the SQLite file: ours alone, with a write-ahead log."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

_PAUSE_S = 0.01
OVERWRITE = "PRAGMA secure_delete=ON"
"""For every connection that writes: what is deleted, or moves to another page, leaves no bytes behind."""


def connect(path: Path, timeout_s: float) -> sqlite3.Connection:
    """A connection that begins no transaction by itself; makes the file (0600) and its folder (0700) if need be.

    ``timeout_s`` is how long a statement waits for another process's lock. Raises ``OSError``, ``sqlite3.Error``.
    """
    _adapt_plainly()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _make(path)
    db = sqlite3.connect(path, timeout=timeout_s, isolation_level=None, check_same_thread=False)
    try:
        _use_wal(db, time.monotonic() + timeout_s)
        db.execute(OVERWRITE)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _make(path: Path) -> None:
    """The file, ours alone, if there is none. One that is there is not opened.

    Closing any descriptor of a file gives up all locks that the process holds on it (POSIX), those of its SQLite
    connections too. The next process to close the file would then take itself for the last, and delete the log that
    is still written to.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _adapt_plainly() -> None:
    """Spare empty values, truth values and bytes the driver's search for an adapter.

    CPython asks an object's type for ``__adapt__`` and ``__conform__`` for every value that is no ``int``, ``float``
    or ``str``, and makes and drops two exceptions on the way: 0.26 us for each ``None`` (measured on 3.11), and a
    row has some thirty of them. A registered adapter is found first.
    """
    sqlite3.register_adapter(type(None), {}.get)  # type: ignore[arg-type]
    sqlite3.register_adapter(bool, int)
    sqlite3.register_adapter(bytes, bytearray)


def _use_wal(db: sqlite3.Connection, until: float) -> None:
    """Changing the journal is the one thing SQLite does not wait for itself when another process is at it."""
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


PAGES_AT_ONCE = 1000
REWRITE_TIMEOUT_S = 60.0
"""How long others may hold a file that is to be written anew."""


def copy_database(source: Path, target: Path, told: Callable[[int, int], None]) -> None:
    """Copy a database that may be in use, a slice at a time, and check the copy.

    ``told(left, all)`` hears of pages. Raises ``sqlite3.Error`` and ``OSError``; then there is no copy.
    """
    part = target.with_name(target.name + ".part")
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    try:
        with (
            contextlib.closing(_reader(source, "mode=ro")) as db,
            contextlib.closing(sqlite3.connect(part)) as copy,
        ):
            db.backup(
                copy, pages=PAGES_AT_ONCE, progress=lambda _, left, pages: told(left, pages), sleep=0.01
            )
        damage = damage_of(part, "immutable=1")  # nobody else has it open: no log is laid beside it
        if damage:
            raise sqlite3.DatabaseError(damage)
        os.replace(part, target)
    except (sqlite3.Error, OSError):
        part.unlink(missing_ok=True)
        raise


def write_anew(path: Path, timeout_s: float) -> None:
    """Write the whole file anew, so that no copy of what was deleted stays in unused parts of pages whose rows had
    moved, and take what was overwritten out of the log too.

    Others read meanwhile, and wait to write. Needs room for the file twice: beside it and where SQLite keeps temporary
    files. Raises ``OSError`` and ``sqlite3.Error``; then copies may stay, be it in the log, which is emptied also
    where there is no room.
    """
    with contextlib.closing(connect(path, timeout_s)) as db:
        try:
            db.execute("VACUUM")
        finally:
            _empty_log(db, time.monotonic() + timeout_s)


def empty_log(path: Path, timeout_s: float) -> None:
    """Take what was overwritten out of the log. Raises ``OSError`` and ``sqlite3.Error``."""
    with contextlib.closing(connect(path, timeout_s)) as db:
        _empty_log(db, time.monotonic() + timeout_s)


def _empty_log(db: sqlite3.Connection, until: float) -> None:
    """SQLite does not wait itself for somebody else who is at it, such as a gateway that writes."""
    while db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        if time.monotonic() >= until:
            raise sqlite3.OperationalError("the log is in use")
        time.sleep(_PAUSE_S)


def damage_of(path: Path, how: str = "mode=ro") -> str:
    """What SQLite's integrity check finds wrong; empty for a sound file. ``how``: it is opened.

    Raises ``sqlite3.Error`` where it can't be looked into at all.
    """
    try:
        with contextlib.closing(_reader(path, how)) as db:
            found = [str(line) for (line,) in db.execute("PRAGMA integrity_check(5)")]
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", None) not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise
        return str(error)
    return "" if found == ["ok"] else "; ".join(found)


def _reader(path: Path, how: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True)
