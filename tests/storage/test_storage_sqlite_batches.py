"""Batches of SQLite: many rows to a statement, the rest one by one, and each call once."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rig.ledger import call_id, record

from pricing.usage import Usage
from storage.address import parse
from storage.rows import COLUMNS, COMMON_COLUMNS, SQLITE, columns_of, rows_of
from storage.targets.contract import RowRefused
from storage.targets.sqlite import SqliteTarget
from storage.targets.sqlite_rows import LOOK_EVERY, LOOKS, MOST_PARAMETERS, MOST_TIMES, PIECE

AT_ONCE = MOST_PARAMETERS // len(COMMON_COLUMNS)
RARE_PARTS = st.fixed_dictionaries(
    {},
    optional={
        "who": st.sampled_from([{"agent": "a"}, {"prompt_id": "p", "prompt_version": "2"}, {"team": None}]),
        "route": st.sampled_from([{"policy": "cheap", "reason": "r"}, {"confidence_ppm": 1, "variant": "b"}]),
        "answer": st.sampled_from([{"error_type": "429"}, {"error_type": "500", "error_code": "x"}]),
        "usage": st.sampled_from([None, Usage(1, 2, input_audio=0), Usage(1, citation=3, pages=4)]),
        "trace": st.none(),
        "baseline_nano": st.integers(0, 9),
    },
)


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


@pytest.mark.parametrize("place", [0, AT_ONCE + 3, 3 * AT_ONCE + 4])
def test_a_row_the_database_refuses_takes_all_of_the_batch_with_it(
    target: SqliteTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    records = [record(number) for number in range(3 * AT_ONCE + 5)]
    columns = columns_of(records, SQLITE)
    at = COMMON_COLUMNS.index("outcome")
    outcomes = columns.values[at]
    assert outcomes is not None
    columns.values[at] = (*outcomes[:place], None, *outcomes[place + 1 :])
    with monkeypatch.context() as patch:
        patch.setattr("storage.targets.sqlite.columns_of", lambda *_: columns)
        with pytest.raises(RowRefused):
            target.write(records)
    assert kept(tmp_path) == []
    assert target.write(records) == len(records)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shapes")


@given(parts=st.lists(RARE_PARTS, min_size=1, max_size=3 * AT_ONCE))
def test_rows_of_every_shape_are_kept_as_they_are(shared: Path, parts: list[dict[str, object]]) -> None:
    records = [record(number, **each) for number, each in enumerate(parts)]
    target = SqliteTarget(parse(None, shared))
    target.connect()
    assert target.write(records) == len(records)
    found = rows_in(shared)
    target._connected().execute("DELETE FROM model_requests")
    target.close()
    assert found == rows_of(records, SQLITE)


def rows_in(folder: Path) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(parse(None, folder).dsn)) as db:
        return db.execute(f"SELECT {', '.join(COLUMNS)} FROM model_requests ORDER BY id").fetchall()


WIDE = Usage(*range(1, len(Usage.__struct_fields__) + 1))
"""Fills every column there is for a count."""
ANY_PARTS = st.one_of(RARE_PARTS, st.just({"usage": WIDE}), st.just({"trace": None}))


@given(
    parts=st.lists(ANY_PARTS, min_size=1, max_size=3 * AT_ONCE),
    times=st.integers(1, 2 * PIECE // AT_ONCE),
    doubles=st.booleans(),
)
def test_rows_keep_their_order_whatever_they_fill(
    shared: Path, parts: list[dict[str, object]], times: int, doubles: bool
) -> None:
    """Followers read them by number: that is the order in which calls ended."""
    records = [record(number, **each) for number, each in enumerate(parts * times)]
    records = [*reversed(records)]
    target = SqliteTarget(parse(None, shared))
    target.connect()
    db = target._connected()
    try:
        if doubles:
            target.write(records[::3])
        target.write(records)
        found = [one for (one,) in db.execute("SELECT id FROM model_requests ORDER BY seq")]
        kept = rows_in(shared)
    finally:
        db.execute("DELETE FROM model_requests")
        target.close()
    before = records[::3] if doubles else []
    assert found == [one.id for one in (*before, *(one for one in records if one not in before))]
    assert kept == sorted(rows_of(records, SQLITE))


def test_what_a_batch_fills_is_written_with_the_next(target: SqliteTarget, tmp_path: Path) -> None:
    """The columns of the batch before are written along, and empty is empty."""
    batches = [
        [record(number, trace=None, who={"agent": "a"}) for number in range(20)],
        [record(number, trace=None) for number in range(20, 40)],
        [record(number, trace=None, usage=WIDE) for number in range(40, 60)],
        [record(number, trace=None, answer={"error_type": "429"}) for number in range(60, 80)],
    ]
    for batch in batches:
        assert target.write(batch) == 20
    assert rows_in(tmp_path) == [row for batch in batches for row in rows_of(batch, SQLITE)]


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


DIFFERENT = st.fixed_dictionaries(
    {},
    optional={
        "what": st.sampled_from([{"model": "m"}, {"model": None}, {"request_bytes": 3}]),
        "answer": st.sampled_from([{"status": 500}, {"response_id": "r"}, {"error_type": "429"}]),
        "usage": st.sampled_from([None, Usage(0, 0), Usage(1, 2, input_audio=0)]),
        "usage_raw": st.sampled_from([None, b"", b"{}"]),
    },
)


@pytest.mark.parametrize(("every", "looks", "mostly"), [(1, 1, 1), (1, 2, 1), (2, 3, 2)])
@settings(max_examples=25, deadline=None)
@given(runs=st.lists(st.tuples(DIFFERENT, st.integers(1, AT_ONCE)), min_size=4, max_size=24))
def test_what_rows_share_is_written_as_if_they_did_not(
    shared: Path, every: int, looks: int, mostly: int, runs: list[tuple[dict[str, object], int]]
) -> None:
    """Each choice rests on the statements before, and may fit those that follow or not."""
    kinds = [parts for parts, times in runs for _ in range(times)]
    records = [record(number, trace=None, **parts) for number, parts in enumerate(kinds)]
    target = SqliteTarget(parse(None, shared))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("LOOK_EVERY", every), ("LOOKS", looks), ("MOSTLY", mostly)):
            patch.setattr(f"storage.targets.sqlite_rows.{name}", value)
        target.connect()
        try:
            assert target.write(records) == len(records)
            assert target.write([*records, record(len(records), trace=None)]) == 1
            found = rows_in(shared)
            order = [
                one for (one,) in target._connected().execute("SELECT id FROM model_requests ORDER BY seq")
            ]
        finally:
            target._connected().execute("DELETE FROM model_requests")
            target.close()
    assert found == rows_of([*records, record(len(records), trace=None)], SQLITE)
    assert order == [call_id(number) for number in range(len(records) + 1)]


def test_what_most_rows_share_is_bound_once_for_a_statement(target: SqliteTarget) -> None:
    statements: list[str] = []
    target._connected().set_trace_callback(statements.append)
    rows = AT_ONCE * LOOK_EVERY * LOOKS
    for first in range(0, 3 * rows, rows):
        target.write([record(first + at, trace=None) for at in range(rows)])
    models = [one.count("'gpt-4o-mini'") for one in statements if "SELECT" not in one]
    plain = [times for times in models if times > 1]
    sharing = [one.count("'gpt-4o-mini'") for one in statements if "FROM (VALUES" in one]
    assert len(plain) == LOOK_EVERY * LOOKS
    assert len(sharing) >= 2 * LOOK_EVERY * LOOKS // MOST_TIMES
    assert {*sharing} == {1}
