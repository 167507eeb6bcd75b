"""Opening the SQLite file: ours alone, with a write-ahead log."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

_PAUSE_S = 0.01


def connect(path: Path, timeout_s: float) -> sqlite3.Connection:
    """A connection that begins no transaction by itself; makes the file (0600) and its folder (0700) if need be.

    ``timeout_s`` is how long a statement waits for another process's lock. Raises ``OSError``, ``sqlite3.Error``.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(path, timeout=timeout_s, isolation_level=None, check_same_thread=False)
    try:
        _use_wal(db, time.monotonic() + timeout_s)
    except sqlite3.Error:
        db.close()
        raise
    return db


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
