"""Looking after records: the account of every call, backups, damage, dead letters."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import pytest
from rig.ledger import record as any_record

from gateway.cli import db as care
from gateway.cli.exits import Exit
from storage.ledger import Ledger, LedgerConfig
from storage.vitals import read

from .conftest import Weighbridge, put_records

DATA = Path("weighbridge-data")
FILE = DATA / "weighbridge.db"


def test_every_call_is_accounted_for(weighbridge: Weighbridge) -> None:
    put_records(any_record(1), any_record(2))
    found = weighbridge("check", "--integrity")
    assert found.exit_code == 0, found.output
    assert "every accepted call is accounted for" in found.output
    assert "0 workers running" in found.output


def test_a_running_worker_tells_its_figures_and_a_dead_one_is_seen(weighbridge: Weighbridge) -> None:
    put_records(any_record(1))

    async def run() -> None:
        ledger = Ledger(LedgerConfig(data_dir=DATA))
        await ledger.start()
        ledger.opened(any_record(2))
        ledger.closed(any_record(3))
        assert await ledger.drained(20)
        ledger.tell()
        while not all(spool.vitals for spool in read(DATA / "spool")):
            await asyncio.sleep(0.01)
        found = await asyncio.to_thread(weighbridge, "check", "--integrity")
        assert found.exit_code == 0, found.output
        assert "1 worker running" in found.output
        assert "2 = " in found.output.replace("\n  ", " ")
        assert "1 recorded + 1 in flight" in found.output
        ledger._spool._claim.release(remove=False)  # as if it had died
        after = await asyncio.to_thread(weighbridge, "check", "--integrity")
        assert "1 spool of dead workers" in after.output
        await ledger.stop(5)

    asyncio.run(run())


def test_the_account_is_told_while_the_database_is_away(
    weighbridge: Weighbridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIGHBRIDGE_STORAGE__URL", "postgresql://127.0.0.1:1/wb")

    async def run() -> None:
        ledger = Ledger(LedgerConfig(data_dir=DATA, url="postgresql://127.0.0.1:1/wb"))
        await ledger.start()
        ledger.closed(any_record(1))
        ledger.tell()
        while not all(spool.vitals and spool.vitals.stats.accepted for spool in read(DATA / "spool")):
            await asyncio.sleep(0.01)
        found = await asyncio.to_thread(weighbridge, "check", "--integrity")
        assert "0 recorded + 0 in flight + 1 in the spool" in found.output
        assert "every accepted call" not in found.output
        assert "error  the database cannot be read: connection refused" in found.output
        assert found.exit_code == Exit.UNREACHABLE
        await ledger.stop(0.1)

    asyncio.run(run())


def test_a_backup_of_a_database_in_use(weighbridge: Weighbridge, tmp_path: Path) -> None:
    put_records(*[any_record(number) for number in range(50)])
    with sqlite3.connect(FILE) as db:
        db.execute("BEGIN IMMEDIATE")
        done = weighbridge("db", "backup", "copy.db")
        db.rollback()
    assert done.exit_code == 0, done.output
    assert [path.name for path in Path().glob("copy.db*")] == ["copy.db"]
    with sqlite3.connect("copy.db") as copy:
        assert copy.execute("SELECT count(*) FROM model_requests").fetchone() == (50,)
    assert Path("copy.db").stat().st_mode & 0o777 == 0o600
    again = weighbridge("db", "backup", "copy.db")
    assert again.exit_code == 1
    assert "exists already" in again.output


def test_the_file_is_written_anew_while_it_is_read(weighbridge: Weighbridge) -> None:
    put_records(*[any_record(number) for number in range(300)])
    with closing(sqlite3.connect(FILE, isolation_level=None)) as db:
        db.execute("PRAGMA secure_delete=OFF")
        (name,) = db.execute("SELECT user_id FROM model_requests WHERE user_id IS NOT NULL").fetchone()
        db.execute("DELETE FROM model_requests")
        db.execute("DELETE FROM rollup_users")
        db.execute("DELETE FROM rollup_deltas")
        assert name.encode() in Path(FILE).read_bytes() + Path(f"{FILE}-wal").read_bytes(), (
            "deleted, not gone"
        )
        done = weighbridge("db", "rewrite")
        assert done.exit_code == 0, done.output
        assert "bytes before" in done.stdout
        assert name.encode() not in Path(FILE).read_bytes() + Path(f"{FILE}-wal").read_bytes()
        db.execute("BEGIN IMMEDIATE")
        with patch.object(care, "REWRITE_TIMEOUT_S", 0.1):
            held = weighbridge("db", "rewrite")
        assert (held.exit_code, "copies may still be there" in held.stderr) == (1, True)
        db.execute("ROLLBACK")
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM events").fetchone()
        with patch.object(care, "REWRITE_TIMEOUT_S", 0.1):
            read = weighbridge("db", "rewrite")
        assert (read.exit_code, "copies may still be there" in read.stderr) == (1, True), (
            "they are in the log"
        )
        db.execute("ROLLBACK")
        assert weighbridge("db", "rewrite").exit_code == 0
    assert weighbridge("db", "check").exit_code == 0


def test_damage_is_found(weighbridge: Weighbridge) -> None:
    put_records(*[any_record(number) for number in range(300)])
    assert weighbridge("db", "check").exit_code == 0
    with sqlite3.connect(FILE) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(FILE.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4096] = b"\xff" * 4096
    FILE.write_bytes(data)
    found = weighbridge("db", "check")
    assert found.exit_code == 1
    assert "damaged" in found.output


def test_dead_letters_are_listed_and_tried_again(weighbridge: Weighbridge) -> None:
    put_records(any_record(1))
    assert "None" in weighbridge("db", "letters").output
    assert "0 became rows, 0 are still refused" in weighbridge("db", "retry-letters").output
    with sqlite3.connect(FILE) as db:
        db.execute("INSERT INTO dead_letters VALUES ('x', '2026-11-20 12:00:00', 'no UUIDv7', x'00')")
    assert "no UUIDv7" in weighbridge("db", "letters").output
    assert weighbridge("db", "retry-letters").exit_code == 1
