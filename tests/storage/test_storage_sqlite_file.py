"""Several connections of one process, and other processes beside them: nothing that was committed is lost."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from storage import sqlite_file
from storage.address import parse
from storage.privacy import database
from storage.privacy.database import PrivateDatabase
from storage.sqlite_file import connect, write_anew

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


GONE = b"ada.lovelace@example.com"


def with_one_gone(path: Path) -> sqlite3.Connection:
    """A connection to a file in whose log stands what was deleted."""
    db = connect(path, 20)
    db.execute("CREATE TABLE t (who TEXT)")
    db.execute("INSERT INTO t VALUES (?)", [GONE.decode()])
    db.execute("DELETE FROM t")
    assert GONE in log_of(path)
    return db


def log_of(path: Path) -> bytes:
    return path.with_name(f"{path.name}-wal").read_bytes()


def counted(monkeypatch: pytest.MonkeyPatch, *, with_room: bool = True) -> list[Path]:
    """The files that were opened. Without room the copy that VACUUM writes can't be made."""
    opened: list[Path] = []

    def refused(action: int, *_: object) -> int:
        return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_ATTACH else sqlite3.SQLITE_OK

    def connecting(path: Path, timeout_s: float) -> sqlite3.Connection:
        opened.append(path)
        db = connect(path, timeout_s)
        if not with_room:
            db.set_authorizer(refused)
        return db

    monkeypatch.setattr(sqlite_file, "connect", connecting)
    return opened


def test_the_log_is_emptied_also_where_the_file_cannot_be_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "calls.db"
    with contextlib.closing(with_one_gone(path)):
        counted(monkeypatch, with_room=False)
        with pytest.raises(sqlite3.Error, match="denied"):
            write_anew(path, 1.0)
        assert log_of(path) == b""


@pytest.mark.parametrize("is_small", [True, False])
async def test_a_log_in_use_is_waited_for_once_and_told_as_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_small: bool
) -> None:
    path = tmp_path / "calls.db"
    monkeypatch.setattr(database, "REWRITE_TIMEOUT_S", 0.05)
    if not is_small:
        monkeypatch.setattr(database, "REWRITTEN", 0)
    kept = PrivateDatabase(parse(f"sqlite:///{path}", tmp_path))
    with contextlib.closing(with_one_gone(path)) as db:
        opened = counted(monkeypatch)
        with contextlib.closing(connect(path, 1)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM t").fetchone()
            db.execute("INSERT INTO t VALUES ('bob')")
            assert not await kept.let_go()
        assert opened == [path]
        assert GONE in log_of(path)
        (line,) = caplog.messages
        assert line.startswith(f"copies of what was deleted may stay in {path}")
        assert "was not written anew" not in line
        caplog.clear()
        assert await kept.let_go() is is_small
        assert log_of(path) == b""
        assert not caplog.messages
    await kept.close()
