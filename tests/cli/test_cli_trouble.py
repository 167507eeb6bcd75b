"""Every command on a database that is away, damaged, of another version or somebody else's: told, never a traceback."""

from __future__ import annotations

import socket
import sqlite3
from pathlib import Path

import pytest
from rig.ledger import record
from rig.migrated import with_tables

from gateway.cli.exits import Exit
from storage.store import Store

from .conftest import Weighbridge, put_records

READS = [
    "calls", "explain", "costs", "report --weekly", "export", "budgets", "keys", "tokens", "audit", "alerts list",
    "alerts evaluate", "prices unpriced", "prices reprice", "rollups verify", "optouts", "content abc",
    "check --integrity", "db letters", "db retry-letters", "export-user x", "erase-user x --yes", "backtest --seeds 1",
]  # fmt: skip
WRITES = ["keys create k", "budgets create b --limit 1", "optouts add x", "db migrate"]
ALL_TABLES = [
    "budgets",
    "keys",
    "export-user x",
    "erase-user x --yes",
    "rollups verify",
    "db migrate",
    "keys create k",
]
DATA = Path("weighbridge-data")
FILE = DATA / "weighbridge.db"


def said(weighbridge: Weighbridge, command: str) -> tuple[int, str]:
    """Exit code and output; an exception that got out is one here too."""
    result = weighbridge(*command.split())
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.mark.parametrize("command", [*READS, *WRITES])
def test_a_file_that_is_no_database(weighbridge: Weighbridge, command: str) -> None:
    DATA.mkdir()
    FILE.write_text("this is no database, and never was one")
    code, output = said(weighbridge, command)
    assert code == Exit.UNREACHABLE, output
    assert "file is not a database" in output
    assert f"It is the file {FILE}" in output


@pytest.mark.parametrize("command", [*READS, *WRITES])
def test_postgresql_that_is_away(
    weighbridge: Weighbridge, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("WEIGHBRIDGE_STORAGE__URL", "postgresql://me:hunter2@127.0.0.1:1/wb")
    code, output = said(weighbridge, command)
    assert code == Exit.UNREACHABLE, output
    assert "connection refused" in output
    assert "It is PostgreSQL at 127.0.0.1:1/wb" in output
    assert "hunter2" not in output


@pytest.mark.parametrize("command", READS)
def test_no_database_at_all(weighbridge: Weighbridge, command: str) -> None:
    if command.startswith("backtest"):
        return  # which has generated spend to try
    code, output = said(weighbridge, command)
    assert code == Exit.UNREACHABLE, output
    assert "in weighbridge-data" in output
    assert "weighbridge serve" in output
    assert not DATA.exists()


@pytest.mark.parametrize("command", ALL_TABLES)
def test_a_schema_that_is_newer_is_left_alone(weighbridge: Weighbridge, command: str) -> None:
    """What would go over tables it does not know says so."""
    with_tables(DATA)
    with sqlite3.connect(FILE) as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    code, output = said(weighbridge, command)
    assert code in (Exit.PROBLEM, Exit.UNREACHABLE), output
    assert "schema" in output
    assert "newer" in output or "another version" in output


@pytest.mark.parametrize("command", [*READS, "db check", "db backup copy.db"])
def test_a_folder_nobody_may_look_into(
    weighbridge: Weighbridge, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Of another user, say; a name that is too long is refused by the system for root as well."""
    if command.startswith("prices"):
        return  # reads the installed prices first
    monkeypatch.setenv("WEIGHBRIDGE_STORAGE__DATA_DIR", "x" * 300)
    code, output = said(weighbridge, command)
    assert code == Exit.UNREACHABLE, output
    assert "cannot be looked at: file name too long" in output


def test_calls_that_take_too_long_to_find(weighbridge: Weighbridge, monkeypatch: pytest.MonkeyPatch) -> None:
    put_records(record(1))
    assert weighbridge("calls").exit_code == 0
    monkeypatch.setattr("storage.engine._STEPS", 1)
    monkeypatch.setitem(Store.open.__kwdefaults__, "timeout_s", 0.0)
    result = weighbridge("calls", "--project", "rare")
    assert result.exit_code == 3
    assert "the database takes too long: a statement was not done in 0 s" in result.output
    assert "Ask for a shorter period, with --since" in result.output


def test_a_gateway_that_gives_no_answer_is_told_from_none(
    weighbridge: Weighbridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.cli.server_source.ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        result = weighbridge("calls", "--url", url)
    assert result.exit_code == 3
    assert f"the gateway at {url} gave no answer in 0.2 s" in result.output
    assert f"no gateway answers at {url}" in weighbridge("calls", "--url", url).output
