"""Every fact of a record has a column, in the table, in the migration and in both databases alike."""

from __future__ import annotations

import enum
import types
import typing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from alembic.script import ScriptDirectory
from hypothesis import given
from hypothesis import strategies as st
from otel.records import RECORDS
from rig.ledger import STARTED_MS, call_id, record, started

from pricing.cost import Cost
from pricing.usage import Usage
from storage import rows
from storage.mend import mend
from storage.migrate import config as alembic_config
from storage.rows import (
    COLUMNS,
    LATER_COLUMNS,
    POSTGRES,
    SQLITE,
    RowError,
    as_datetime,
    as_text,
    rows_of,
    started_ms,
)
from storage.schema import REVISIONS
from storage.store import Store, pending_row
from storage.tables import CallRow, ModelRequest
from telemetry.record import Answer, CallRecord, Route, Timing, Trace, What, Who, decode, encode

WHOSE = (
    Who(team="a"),
    Who(team="a"),
    Who("t", user="u", project="p"),
    Who(tags=(("a", "b"),)),
    Who(user="nul\x00"),
)
ROUTES = (Route("host", 1), Route("host", 1), Route("host", 2, policy="p"), Route())
"""Some are the same but not the same object."""


def distinct(kind: Any, seed: list[int]) -> Any:
    """A value of a type that is not its default and not used before."""
    seed[0] += 1
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return distinct(next(one for one in inner if one is not type(None)), seed)
    if origin is tuple:
        return (
            (distinct(inner[0], seed),) if inner[-1] is ... else tuple(distinct(one, seed) for one in inner)
        )
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind)
        return kind(*[distinct(hints[name], seed) for name in kind.__struct_fields__])
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return list(kind)[-1]
    return {int: seed[0], str: f"text-{seed[0]}", bool: True, bytes: b"bytes"}[kind]


def full_record() -> CallRecord:
    """A record in which no field has its default."""
    made: CallRecord = distinct(CallRecord, [1000])
    assert made.trace is not None
    trace = msgspec.structs.replace(
        made.trace, trace_id_low=1, link_trace_id_low=1, trace_id_high=2**63, link_trace_id_high=2**62
    )
    return msgspec.structs.replace(made, id=call_id(1), trace=trace)


@pytest.mark.parametrize(
    ("part", "columns", "elsewhere"),
    [
        (Who, rows.WHO_COLUMNS, {"tenant", "tags", "sources"}),
        (What, rows.WHAT_COLUMNS, {"stream"}),
        (Route, rows.ROUTE_COLUMNS, set()),
        (Timing, rows.TIMING_COLUMNS, set()),
        (Answer, rows.ANSWER_COLUMNS, {"finish_reasons"}),
        (Usage, rows.USAGE_COLUMNS, set()),
        (Cost, rows.COST_COLUMNS, {"status", "source"}),
        (Trace, rows.TRACE_COLUMNS, {"trace_id_high", "link_trace_id_high"}),
    ],
)
def test_every_field_of_a_record_has_a_column(
    part: type[msgspec.Struct], columns: dict[str, str], elsewhere: set[str]
) -> None:
    assert set(part.__struct_fields__) == set(columns) | elsewhere


def test_the_columns_are_those_of_the_table() -> None:
    table = ModelRequest.__table__  # type: ignore[attr-defined]
    assert sorted(COLUMNS) == sorted(set(table.columns.keys()) - {"seq", *LATER_COLUMNS})
    assert len(set(COLUMNS)) == len(COLUMNS)


def test_a_row_holds_every_value_of_a_full_record() -> None:
    full = full_record()
    values = dict(zip(COLUMNS, rows_of([full], SQLITE)[0], strict=True))
    assert not [name for name, value in values.items() if value is None]
    assert values["started_at"] == "2026-11-18 11:06:40.000000"
    assert values["cost_nano"] == full.cost.total
    assert values["trace_id"] == f"{2**127 + 1:032x}"
    plain = [value for value in rows_of([full], POSTGRES)[0] if type(value) is int]
    assert len(set(plain)) == len(plain), "each number stands in one column"


def test_both_databases_are_given_the_same_values() -> None:
    full = full_record()
    lite, postgres = rows_of([full], SQLITE)[0], rows_of([full], POSTGRES)[0]
    assert {type(value) for value in lite} == {str, int, bytearray}, "no value the driver has to ask"
    different = [name for name, one, other in zip(COLUMNS, lite, postgres, strict=True) if one != other]
    assert different == ["started_at"]


def test_the_spool_gives_back_a_full_record() -> None:
    full = full_record()
    assert decode(encode(full)) == full


@given(RECORDS)
def test_the_spool_gives_back_any_record(made: CallRecord) -> None:
    clean = mend(made)
    assert decode(encode(clean)) == clean


@given(RECORDS)
def test_mending_twice_is_mending_once_and_keeps_every_number(made: CallRecord) -> None:
    once = mend(made)
    assert mend(once) == once
    assert (once.cost.total, once.usage, once.outcome, once.id) == (
        made.cost.total,
        made.usage,
        made.outcome,
        made.id,
    )


def test_a_number_no_database_holds_makes_usage_and_cost_invalid_and_never_another_number() -> None:
    mended = mend(record(usage=Usage(input=2**64), cost={"total": 2**64}))
    assert (mended.usage, mended.cost.total, mended.cost.status) == (None, None, "invalid_usage")


@given(st.integers(0, 253_402_300_799_999))
def test_time_within_an_id_is_the_same_in_both_databases(ms: int) -> None:
    found = started_ms(call_id(7, ms))
    assert found == ms
    moment = as_datetime(ms)
    assert moment == datetime.fromtimestamp(0, UTC) + (moment - datetime.fromtimestamp(0, UTC))
    assert datetime.strptime(as_text(ms), "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC) == moment
    assert moment.microsecond == ms % 1000 * 1000


@pytest.mark.parametrize(
    "text", ["", "x", "0193a5b0-1234-4abc-8def-0123456789ab", "zzzzzzzz-zzzz-7abc-8def-0123456789ab"]
)
def test_text_that_is_no_id_of_ours_makes_no_row(text: str) -> None:
    with pytest.raises(RowError):
        started_ms(text)


def test_the_known_revisions_are_the_migration_scripts() -> None:
    scripts = ScriptDirectory.from_config(alembic_config())
    assert tuple(script.revision for script in reversed(list(scripts.walk_revisions()))) == REVISIONS


async def read_back(url: str, tmp_path: Path, records: list[CallRecord]) -> list[CallRow | None]:
    ledger = await started(tmp_path, url=url)
    for one in records:
        ledger.opened(one)
        ledger.closed(one)
    assert await ledger.drained(20)
    assert (ledger.stats().recorded, ledger.stats().dead_letters) == (len(records), 0)
    await ledger.stop(5)
    store = await Store.open(url, data_dir=tmp_path)
    found = [await store.get_call(one.id) for one in records]
    await store.close()
    return found


async def test_both_databases_hold_the_same_rows(tmp_path: Path, sqlite: str, postgres: str) -> None:
    odd = record(
        2,
        what={"model": "nul \0 and half a pair \ud800"},
        answer={"response_id": "r" * 5000},
        who={"team": None, "tags": (("ключ", "значение"), ("\0", "\udfff"))},
        usage=None,
        cost=Cost(status=record(1).cost.status),
        usage_raw=b"\xff\x00 not text",
        trace=None,
    )
    nul = record(
        5,
        what={"model": "only \0 here"},
        who={"tags": (("\0", "x"), ("\\u0000", "\\"))},
        answer={"finish_reasons": ("\0",)},
    )
    bare = record(3, who={"tenant": None, "tags": (), "sources": ()}, answer={"finish_reasons": ()})
    records = [full_record(), odd, nul, bare, record(4, ms=STARTED_MS - 10**11)]
    in_sqlite = await read_back(sqlite, tmp_path / "a", records)
    in_postgres = await read_back(postgres, tmp_path / "b", records)
    assert None not in in_sqlite
    assert in_sqlite == in_postgres
    for kept, made in zip(in_sqlite, records, strict=True):
        assert kept is not None
        assert pending_row(made).model_dump() == kept.model_dump() | {"seq": 0}


@given(
    st.lists(
        st.tuples(st.sampled_from((*WHOSE, None)), st.sampled_from((*ROUTES, None)), RECORDS),
        min_size=1,
        max_size=8,
    )
)
def test_parts_that_records_share_make_the_rows_they_make_alone(
    given_parts: list[tuple[Who | None, Route | None, CallRecord]],
) -> None:
    """Also where one of them has to be mended, and all are made once more."""
    batch = [
        msgspec.structs.replace(
            one,
            id=call_id(number),
            who=one.who if who is None else who,
            route=one.route if route is None else route,
        )
        for number, (who, route, one) in enumerate(given_parts)
    ]
    alone = [rows_of([one], SQLITE)[0] for one in batch]
    assert rows_of(batch, SQLITE) == alone
