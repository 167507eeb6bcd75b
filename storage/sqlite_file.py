"""Opening the SQLite file: ours alone, with a write-ahead log."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path


def connect(path: Path, timeout_s: float) -> sqlite3.Connection:
    """A connection that begins no transaction by itself; makes the file (0600) and its folder (0700) if need be.

    ``timeout_s`` is how long a statement waits for another process's lock. Raises ``OSError``, ``sqlite3.Error``.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(path, timeout=timeout_s, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode=WAL")
    except sqlite3.Error:
        db.close()
        raise
    return db
