"""``weighbridge erase-user``: asked first, done once, and told what was done."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from rig.ledger import record

from gateway.cli.exits import Exit
from storage.privacy import database

from .conftest import Weighbridge, put_records


@pytest.fixture
def calls() -> None:
    put_records(record(1), record(2, who={"user": "bob"}), record(3, who={"tenant": "globex"}))


def users() -> list[str | None]:
    with closing(sqlite3.connect("weighbridge-data/weighbridge.db")) as db:
        return [row[0] for row in db.execute("SELECT user_id FROM model_requests ORDER BY id")]


@pytest.mark.usefixtures("calls")
def test_what_was_done_is_told(weighbridge: Weighbridge) -> None:
    assert weighbridge("export").exit_code == 0
    result = weighbridge("erase-user", "ada", "--yes")
    assert result.exit_code == 0, result.output
    assert [line.strip().split(maxsplit=1) for line in result.stdout.splitlines()] == [
        ["2", "calls"],
        ["2", "sums by user and day"],
        ["1", "files in weighbridge-data/exports, deleted"],
    ]
    assert users() == [None, "bob", None]
    assert list(Path("weighbridge-data/exports").iterdir()) == []
    again = weighbridge("erase-user", "ada", "--yes")
    assert again.stdout == "Nothing is kept of this person.\n"


@pytest.mark.usefixtures("calls")
def test_a_file_too_large_to_be_written_anew_is_told(
    weighbridge: Weighbridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "REWRITTEN", 0)
    result = weighbridge("erase-user", "ada", "--yes")
    assert (result.exit_code, users()) == (0, [None, "bob", None])
    assert "copies may stay" in result.stderr
    assert "weighbridge db rewrite" in result.stderr
    assert weighbridge("db", "rewrite").exit_code == 0


@pytest.mark.usefixtures("calls")
def test_one_tenant(weighbridge: Weighbridge) -> None:
    assert weighbridge("erase-user", "ada", "--tenant", "globex", "--yes").exit_code == 0
    assert users() == ["ada", "bob", None]


@pytest.mark.usefixtures("calls")
def test_nobody_is_erased_unasked(weighbridge: Weighbridge) -> None:
    result = weighbridge("erase-user", "ada")
    assert (result.exit_code, "Give --yes" in result.stderr) == (Exit.USAGE, True)
    assert users() == ["ada", "bob", "ada"]


@pytest.mark.usefixtures("calls")
def test_hashed_ids_are_found(weighbridge: Weighbridge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALT", "pepper")
    Path("weighbridge.toml").write_text('[attribution]\nhash_users_salt_env = "SALT"\n')
    assert weighbridge("erase-user", "ada", "--yes").exit_code == 0
    assert users() == [None, "bob", None], "also what was kept before ids were hashed"


def test_what_is_wrong_is_said(weighbridge: Weighbridge, monkeypatch: pytest.MonkeyPatch) -> None:
    result = weighbridge("erase-user", "ada", "--yes")
    assert (result.exit_code, "no records in weighbridge-data" in result.stderr) == (Exit.UNREACHABLE, True)
    monkeypatch.setenv("WEIGHBRIDGE_STORAGE__URL", "postgresql://me:hunter2@127.0.0.1:1/x")
    result = weighbridge("erase-user", "ada", "--yes")
    assert (result.exit_code, "hunter2" in result.output) == (Exit.UNREACHABLE, False)
    assert weighbridge("erase-user", "--yes").exit_code == Exit.USAGE
