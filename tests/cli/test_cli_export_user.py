"""``weighbridge export-user``: all rows of a person, in a file that nobody else reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rig.ledger import record

from gateway.cli.exits import Exit

from .conftest import Weighbridge, put_records


@pytest.fixture
def _calls() -> None:
    put_records(record(1), record(2, who={"user": "bob"}), record(3, who={"tenant": "globex"}))


@pytest.mark.usefixtures("_calls")
def test_all_rows_of_a_person(weighbridge: Weighbridge) -> None:
    result = weighbridge("export-user", "ada")
    assert result.exit_code == 0, result.output
    (path,) = Path("weighbridge-data/exports").iterdir()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert result.stdout == f"{len(rows):,} rows in {path}\n"
    assert {row["user_id"] for row in rows} == {"ada"}
    assert [row["table"] for row in rows].count("model_requests") == 2
    assert path.stat().st_mode & 0o777 == 0o600
    assert "ada" not in path.name
    told = weighbridge("export-user", "ada", "--tenant", "globex", "--output", "-").stdout
    assert {json.loads(line)["tenant_id"] for line in told.splitlines()} == {"globex"}
    assert weighbridge("erase-user", "ada", "--yes").exit_code == 0
    assert list(path.parent.iterdir()) == []


@pytest.mark.usefixtures("_calls")
def test_nobody_and_files_that_are_there(weighbridge: Weighbridge) -> None:
    nobody = weighbridge("export-user", "eve", "-o", "eve.jsonl")
    assert (nobody.exit_code, "nothing is kept" in nobody.stderr) == (Exit.PROBLEM, True)
    assert not Path("eve.jsonl").exists()
    Path("mine").write_text("mine")
    taken = weighbridge("export-user", "ada", "-o", "mine")
    assert (taken.exit_code, "can't be written" in taken.stderr) == (Exit.PROBLEM, True)
    assert Path("mine").read_text() == "mine"


def test_without_a_database(weighbridge: Weighbridge) -> None:
    assert weighbridge("export-user", "ada").exit_code == Exit.UNREACHABLE
