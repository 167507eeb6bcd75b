"""Several connections of one process, and other processes beside them: nothing that was committed is lost."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

from storage.sqlite_file import connect

OTHER = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1], timeout=20) as db:
    db.execute("INSERT INTO t VALUES ('other')")
db.close()
"""


def other_process(path: Path) -> None:
    """Writes a row and closes the file."""
    subprocess.run([sys.executable, "-c", OTHER, str(path)], check=True)


def test_a_second_connection_leaves_the_locks_of_the_first_alone(tmp_path: Path) -> None:
    path = tmp_path / "calls.db"
    first = connect(path, 20)
    first.execute("CREATE TABLE t (who TEXT)")
    second = connect(path, 20)
    other_process(path)
    assert path.with_name("calls.db-wal").exists(), "another process took itself for the last"
    first.execute("INSERT INTO t VALUES ('first')")
    second.execute("INSERT INTO t VALUES ('second')")
    with contextlib.closing(sqlite3.connect(path)) as third:
        rows = {who for (who,) in third.execute("SELECT who FROM t")}
    assert rows == {"other", "first", "second"}
    first.close()
    second.close()


def test_the_file_is_ours_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        connect(tmp_path / "folder" / "calls.db", 20).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "folder" / "calls.db").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o700
