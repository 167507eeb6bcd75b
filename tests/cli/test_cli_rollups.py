"""The sums behind reports, looked after from the command line."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rig.ledger import STARTED_MS
from rig.ledger import record as any_record

from storage.address import parse
from storage.rollups.care import audit, tend

from .conftest import Weighbridge, put_records

FILE = Path("weighbridge-data") / "weighbridge.db"
DAY_MS = 86_400_000
NOW = datetime.fromtimestamp(STARTED_MS / 1000, UTC)


def change(statement: str) -> None:
    db = sqlite3.connect(FILE)
    with db:
        db.execute(statement)
    db.close()


def compacted() -> None:
    asyncio.run(tend(parse(None, FILE.parent), NOW + timedelta(days=3)))


def test_sums_that_agree(weighbridge: Weighbridge) -> None:
    put_records(*[any_record(n, ms=STARTED_MS - n % 2 * DAY_MS) for n in range(7)])
    for _ in range(2):
        found = weighbridge("rollups", "verify")
        assert found.exit_code == 0, found.output
        assert "7 calls of 2 days: rows = rollups, every figure" in found.output
        compacted()


def test_a_sum_that_is_off_is_shown_by_day_and_mended(weighbridge: Weighbridge) -> None:
    put_records(*[any_record(n, ms=STARTED_MS - n % 2 * DAY_MS) for n in range(6)])
    compacted()
    change("UPDATE rollup_days SET cost_nano = cost_nano + 1 WHERE day = (SELECT max(day) FROM rollup_days)")
    found = weighbridge("rollups", "verify")
    assert found.exit_code == 1
    assert found.stdout.splitlines()[-1].split() == [
        "2026-11-18", "rollup_days", "cost_nano", "750,000", "750,001", "1", "1",
    ]  # fmt: skip
    assert "6 calls of 2 days: 1 figure differs" in found.stderr
    assert "'weighbridge rollups rebuild --since 2026-11-18'" in found.stderr
    assert weighbridge("rollups", "verify", "--until", "2026-11-18").exit_code == 0
    done = weighbridge("rollups", "rebuild", "--since", "2026-11-18")
    assert (done.exit_code, done.output) == (0, "Made again: 1 day with 3 calls.\n")
    assert weighbridge("rollups", "verify").exit_code == 0


def test_a_day_of_which_everything_is_missing_is_not_listed_in_full(weighbridge: Weighbridge) -> None:
    put_records(any_record(1))
    change("DELETE FROM rollup_deltas")
    found = weighbridge("rollups", "verify")
    assert found.exit_code == 1
    assert "more" in found.stdout
    assert len(found.stdout.splitlines()) < 25


def test_before_there_is_anything(weighbridge: Weighbridge) -> None:
    found = weighbridge("rollups", "verify")
    assert found.exit_code == 3
    assert "there are no records in weighbridge-data" in found.stderr
    assert not FILE.exists()
    weighbridge("db", "migrate")
    found = weighbridge("rollups", "verify")
    assert (found.exit_code, found.output) == (
        0,
        "There is nothing to compare: no day has calls or sums.\n",
    )


def test_what_the_audit_found_is_part_of_the_account(weighbridge: Weighbridge) -> None:
    put_records(any_record(1))
    address = parse(None, FILE.parent)
    asyncio.run(audit(address, NOW + timedelta(days=1)))
    fine = weighbridge("check", "--integrity")
    assert "rows = rollups on 2026-11-18: 0 differences" in fine.output
    change("DELETE FROM rollup_deltas")
    asyncio.run(audit(address, NOW + timedelta(days=1)))
    wrong = weighbridge("check", "--integrity")
    assert wrong.exit_code == 1
    assert "see 'weighbridge rollups verify'" in wrong.output
