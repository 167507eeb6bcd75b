"""Batches of SQLite: many rows to a statement, the rest one by one, and each call once."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
from rig.ledger import call_id, record

from storage.address import parse
from storage.rows import COMMON_COLUMNS
from storage.targets.contract import RowRefused
from storage.targets.sqlite import AT_ONCE, SqliteTarget


def test_a_statement_has_no_more_parameters_than_any_sqlite_allows() -> None:
    assert AT_ONCE * len(COMMON_COLUMNS) <= 999


def kept(folder: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(parse(None, folder).dsn)) as db:
        return [found for (found,) in db.execute("SELECT id FROM model_requests ORDER BY id")]


@pytest.fixture
def target(tmp_path: Path) -> SqliteTarget:
    made = SqliteTarget(parse(None, tmp_path))
    made.connect()
    return made


@pytest.mark.parametrize("count", [1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE, 3 * AT_ONCE + 5])
def test_every_row_of_a_batch_is_there_once(target: SqliteTarget, tmp_path: Path, count: int) -> None:
    records = [record(number) for number in range(count)]
    assert target.write(records) == count
    assert target.write(records) == 0
    more = [record(number) for number in range(count // 2, count + AT_ONCE)]
    assert target.write([*more, *more]) == AT_ONCE, "old ones and doubles among new ones"
    assert kept(tmp_path) == sorted(call_id(number) for number in range(count + AT_ONCE))


def test_a_row_that_is_refused_takes_its_batch_back(target: SqliteTarget, tmp_path: Path) -> None:
    good = [record(number) for number in range(2 * AT_ONCE)]
    db = target._connected()
    db.execute(
        "CREATE TRIGGER picky BEFORE INSERT ON model_requests WHEN NEW.id = "
        f"'{call_id(AT_ONCE + 3)}' BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    with pytest.raises(RowRefused):
        target.write(good)
    assert kept(tmp_path) == []
    db.execute("DROP TRIGGER picky")
    assert target.write(good) == len(good)
