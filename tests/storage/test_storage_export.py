"""Exports: every call once, sums equal to SQL's, nothing a spreadsheet would run, memory that does not grow."""

from __future__ import annotations

import csv
import io
import json
import random
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig.ledger import STARTED_MS, record, started
from sqlalchemy import event, text

from pricing.cost import NOT_BILLABLE, Cost, CostSource, CostStatus
from pricing.usage import Usage
from storage.address import parse
from storage.engine import reading_engine
from storage.export.calls import CALLS_SHAPE
from storage.export.columns import Column, Kind, Shape
from storage.export.encoders import CsvEncoder, Format, JsonLinesEncoder, harmless
from storage.export.files import NoParquet, encoder_of, exported
from storage.export.focus import FOCUS_SHAPE
from storage.export.read import CallPages, Extent
from storage.queries.calls import CallFilter
from storage.rows import COLUMNS, LATER_COLUMNS
from storage.store import StoreUnavailable
from storage.tables import CallFields
from telemetry.outcome import Outcome
from telemetry.record import CallRecord

DAY_MS = 86_400_000
FILTERS = [
    CallFilter(),
    CallFilter(tenant="acme"),
    CallFilter(team="a", failed=False),
    CallFilter(unpriced=True),
    CallFilter(model="gpt-4o"),
    CallFilter(scope=(("tenant_id", "globex"), ("user_id", "ada"))),
    CallFilter(
        since=datetime.fromtimestamp(STARTED_MS / 1000, UTC) + timedelta(days=1),
        until=datetime.fromtimestamp(STARTED_MS / 1000, UTC) + timedelta(days=3, milliseconds=1),
    ),
    CallFilter(min_cost_nano=500_000_000, until=datetime(2027, 1, 1, tzinfo=UTC)),
]


def random_call(number: int, chance: random.Random) -> CallRecord:
    parts = [chance.choice([0, chance.randint(0, 10**9)]) for _ in range(5)]
    cost = chance.choice(
        [
            Cost(CostStatus.PRICED, CostSource.CATALOGUE, sum(parts), *parts),
            Cost(CostStatus.ESTIMATED, CostSource.CATALOGUE, sum(parts), *parts),
            Cost(CostStatus.PRICED, CostSource.PROVIDER, sum(parts)),
            Cost(CostStatus.UNPRICED),
            NOT_BILLABLE,
        ]
    )
    usage = chance.choice(
        [
            Usage(1000, 200, 300, 50, 10),
            Usage(1000, 0, billed_input=7, billed_output=None),
            Usage(None, None, web_searches=2),
            None,
        ]
    )
    return record(
        number,
        ms=STARTED_MS + chance.randint(0, 4) * DAY_MS,
        cost=cost,
        usage=usage,
        outcome=chance.choice([Outcome.COMPLETED, Outcome.CANCELLED]),
        who={
            "tenant": chance.choice([None, "acme", "globex"]),
            "team": chance.choice([None, "a", '=HYPERLINK("x")']),
            "user": chance.choice(["ada", "bob"]),
            "tags": chance.choice([(), (("k", 'v,"w"\n'),)]),
        },
        what={"model": chance.choice(["gpt-4o", "@odd", None])},
        answer={"model": chance.choice([None, "gpt-4o"])},
    )


@pytest.fixture
async def source(database: str, tmp_path: Path) -> AsyncIterator[CallPages]:
    """Three hundred calls in pages of 37."""
    chance = random.Random(3)
    ledger = await started(tmp_path / "ledger", None, url=database)
    for number in range(300):
        ledger.closed(random_call(number, chance))
    assert await ledger.drained(20)
    await ledger.stop(5)
    pages = CallPages(reading_engine(parse(database, tmp_path)), page_rows=37)
    yield pages
    await pages.close()


async def file_of(source: CallPages, wanted: CallFilter, shape: Shape, kind: Format) -> bytes:
    return b"".join([piece async for piece in exported(source, wanted, shape, encoder_of(kind, shape))])


def lines_of(data: bytes, kind: Format) -> list[dict[str, Any]]:
    """The rows of a file, as whoever reads it sees them."""
    if kind is Format.CSV:
        return list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    if kind is Format.JSONL:
        return [json.loads(line) for line in data.decode().splitlines()]
    found: list[dict[str, Any]] = pq.read_table(io.BytesIO(data)).to_pylist()
    return found


def usd(cell: Any) -> int:
    """nano-USD of a cell; exact, or the test fails."""
    nano = Decimal(cell or 0) * 10**9
    assert nano == nano.to_integral_value()
    return int(nano)


async def truth(source: CallPages, wanted: CallFilter) -> tuple[set[str], int, int]:
    """Ids, sum of costs and number of unpriced calls, by SQL written down by hand."""
    where = ["1 = 1"]
    values: dict[str, Any] = {}
    plain = {"tenant": "tenant_id", "team": "team"}
    for field, column in plain.items():
        if getattr(wanted, field) is not None:
            where.append(f"{column} = :{field}")
            values[field] = getattr(wanted, field)
    for column, value in wanted.scope:
        where.append(f"{column} = '{value}'")
    if wanted.model is not None:
        where.append(f"'{wanted.model}' IN (request_model, response_model)")
    if wanted.failed is False:
        where.append("outcome = 'completed'")
    if wanted.unpriced:
        where.append("cost_nano IS NULL")
    if wanted.min_cost_nano is not None:
        where.append(f"cost_nano >= {wanted.min_cost_nano}")
    for field, sign in (("since", ">="), ("until", "<")):
        moment = getattr(wanted, field)
        if moment is not None:
            where.append(f"started_ns {sign} {round(moment.timestamp() * 1000) * 1_000_000}")
    query = f"SELECT id, cost_nano FROM model_requests WHERE {' AND '.join(where)}"
    async with source._engine.connect() as connection:
        rows = (await connection.execute(text(query), values)).all()
    return (
        {str(row[0]) for row in rows},
        sum(int(row[1] or 0) for row in rows),
        sum(row[1] is None for row in rows),
    )


@pytest.mark.parametrize("kind", list(Format))
async def test_sums_are_those_of_the_database(source: CallPages, kind: Format) -> None:
    for wanted in FILTERS:
        ids, nano, unpriced = await truth(source, wanted)
        assert ids or wanted.min_cost_nano, wanted
        lines = lines_of(await file_of(source, wanted, CALLS_SHAPE, kind), kind)
        assert [line["id"] for line in lines] == sorted(ids), wanted
        assert sum(usd(line["cost_usd"]) for line in lines) == nano
        assert await source.extent(wanted) == Extent(len(ids), unpriced)
        focus = lines_of(await file_of(source, wanted, FOCUS_SHAPE, kind), kind)
        for column in ("BilledCost", "EffectiveCost", "ContractedCost", "ListCost"):
            assert sum(usd(line[column]) for line in focus) == nano, wanted
        by_call: dict[str, int] = {}
        for line in focus:
            by_call[line["x_CallId"]] = by_call.get(line["x_CallId"], 0) + usd(line["BilledCost"])
        for line in lines:
            assert by_call.get(line["id"], 0) == usd(line["cost_usd"])


async def test_what_is_known_of_a_call_is_in_its_row(source: CallPages) -> None:
    names = [column.name for column in CALLS_SHAPE.columns]
    assert set(names) == (set(COLUMNS) | set(LATER_COLUMNS) | {"cost_usd"}) - {"usage_raw"}
    lines = {kind: lines_of(await file_of(source, CallFilter(), CALLS_SHAPE, kind), kind) for kind in Format}
    for text_line, line, row in zip(
        lines[Format.CSV], lines[Format.JSONL], lines[Format.PARQUET], strict=True
    ):
        assert list(line) == list(text_line) == list(row) == names
        for name, cell in line.items():
            shown = text_line[name]
            if cell is None:
                assert (shown, row[name]) == ("", None)
            elif isinstance(cell, dict | list):
                assert json.loads(shown) == json.loads(row[name]) == cell
            elif isinstance(cell, bool):
                assert (shown == "true", row[name]) == (cell, cell)
            else:
                assert shown.removeprefix("'") == str(cell)
        assert line["started_at"].endswith("Z")
        assert datetime.fromisoformat(line["started_at"]) == row["started_at"]
        assert line["cost_nano"] == row["cost_nano"]
        assert line["team"] == row["team"], "only CSV is made harmless"
    teams = {line["team"] for line in lines[Format.CSV]}
    assert '\'=HYPERLINK("x")' in teams
    assert not any(team.startswith("=") for team in teams)


async def test_focus_says_what_it_must(source: CallPages) -> None:
    must = [
        "BilledCost",
        "BillingAccountId",
        "BillingAccountName",
        "BillingCurrency",
        "BillingPeriodEnd",
        "BillingPeriodStart",
        "ChargeCategory",
        "ChargeDescription",
        "ChargePeriodEnd",
        "ChargePeriodStart",
        "ContractedCost",
        "EffectiveCost",
        "InvoiceIssuerName",
        "ListCost",
        "PricingQuantity",
        "PricingUnit",
        "ProviderName",
        "PublisherName",
        "ServiceCategory",
        "ServiceName",
        "ServiceSubcategory",
        "ConsumedQuantity",
        "ConsumedUnit",
    ]
    lines = lines_of(await file_of(source, CallFilter(), FOCUS_SHAPE, Format.CSV), Format.CSV)
    assert len(lines) > 300
    for line in lines:
        assert all(line[name] for name in must)
        assert line["ChargeClass"] == ""
        assert line["BillingCurrency"] == "USD"
        assert int(line["ConsumedQuantity"]) > 0
        times = ("BillingPeriodStart", "ChargePeriodStart", "ChargePeriodEnd", "BillingPeriodEnd")
        moments = [datetime.strptime(line[name], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) for name in times]
        assert moments == sorted(moments)
        assert moments[1] < moments[2]
        assert (moments[0].day, moments[3].day) == (1, 1)
        assert isinstance(json.loads(line["Tags"]), dict)
    names = [column.name for column in FOCUS_SHAPE.columns]
    plain = [name for name in names if not name.startswith("x_")]
    assert plain == sorted(plain)
    assert all(name[0].isupper() for name in plain)


async def test_tokens_of_focus_are_the_tokens_of_the_call(database: str, tmp_path: Path) -> None:
    cost = Cost(CostStatus.PRICED, CostSource.CATALOGUE, 111, 1, 10, 100, 0, 0)
    ledger = await started(tmp_path / "ledger", None, url=database)
    ledger.closed(record(1, usage=Usage(1000, 200, 300, 50, 10), cost=cost))
    assert await ledger.drained(20)
    await ledger.stop(5)
    source = CallPages(reading_engine(parse(database, tmp_path)))
    lines = lines_of(await file_of(source, CallFilter(), FOCUS_SHAPE, Format.JSONL), Format.JSONL)
    await source.close()
    found = {line["SkuMeter"]: (line["ConsumedQuantity"], line["BilledCost"]) for line in lines}
    assert found == {
        "Input Tokens": (640, "0.000000001"),
        "Output Tokens": (200, "0.00000001"),
        "Cached Input Tokens": (300, "0.0000001"),
        "Cache Write Tokens": (60, "0"),
    }
    assert lines[0]["Tags"]["weighbridge/team"] == "search"
    assert lines[0]["Tags"]["run"] == "17"


async def test_pages_follow_the_ids_and_nothing_is_sorted(source: CallPages) -> None:
    """One look-up in the index of ids for each page, whatever the filter."""
    if source._engine.dialect.name != "sqlite":
        return
    queries: list[tuple[str, Any]] = []

    @event.listens_for(source._engine.sync_engine, "before_cursor_execute")
    def _seen(_c: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        queries.append((statement, parameters))

    for wanted in FILTERS:
        queries.clear()
        async for _ in source.pages(wanted, CALLS_SHAPE):
            pass
        for statement, parameters in list(queries):
            async with source._engine.connect() as connection:
                plan = (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)).all()
            assert "TEMP B-TREE" not in str(plan), (statement, plan)


async def test_memory_does_not_grow_with_the_file(source: CallPages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.export.parquet.GROUP_ROWS", 50)
    encoder: Any = encoder_of(Format.PARQUET, FOCUS_SHAPE)
    held = [len(encoder._held) async for _ in exported(source, CallFilter(), FOCUS_SHAPE, encoder)]
    assert max(held) < 50 + 37 * 5
    assert encoder._out.getbuffer().nbytes == 0


async def test_progress_counts_calls(source: CallPages) -> None:
    done: list[int] = []
    pieces = exported(source, CallFilter(), CALLS_SHAPE, CsvEncoder(CALLS_SHAPE.columns), done.append)
    assert [piece async for piece in pieces]
    assert (sum(done), max(done)) == (300, 37)


async def test_without_pyarrow_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "storage.export.parquet", None)
    with pytest.raises(NoParquet, match="pyarrow"):
        encoder_of(Format.PARQUET, CALLS_SHAPE)


async def test_without_a_database_it_says_so(tmp_path: Path) -> None:
    gone = CallPages(reading_engine(parse(f"sqlite:///{tmp_path}/none.db", tmp_path)))
    with pytest.raises(StoreUnavailable):
        await gone.extent(CallFilter())
    await gone.close()


def test_kinds_are_those_of_the_table() -> None:
    kinds = {column.name: column.kind for column in CALLS_SHAPE.columns}
    assert kinds["started_at"] is Kind.TIME
    assert kinds["stream"] is kinds["trace_sampled"] is Kind.TRUTH
    assert kinds["cost_nano"] is kinds["input_tokens"] is Kind.NUMBER
    assert kinds["tags"] is kinds["finish_reasons"] is Kind.JSON
    assert kinds["request_model"] is Kind.TEXT
    assert len(kinds) == len(CallFields.model_fields)


@given(st.text(max_size=20))
def test_no_text_is_a_formula(content: str) -> None:
    shown = harmless(content)
    assert shown.lstrip()[:1] not in set("=+-@＝＋－＠") or not shown
    assert shown.removeprefix("'") == content.removeprefix("'") or shown == content


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)


@given(st.lists(st.tuples(TEXTS, st.integers(-(10**18), 10**18)), max_size=5))
def test_csv_and_json_lines_keep_what_they_are_given(rows: list[tuple[str, int]]) -> None:
    columns = [Column("a", Kind.TEXT), Column("b", Kind.MONEY)]
    as_csv, as_json = (
        (one.head() + one.rows(rows) + one.tail()).decode()
        for one in (CsvEncoder(columns), JsonLinesEncoder(columns))
    )
    found = list(csv.reader(io.StringIO(as_csv, newline="")))
    assert [(cell, usd(money)) for cell, money in found[1:]] == [
        (harmless(cell), nano) for cell, nano in rows
    ]
    lines = [json.loads(line) for line in as_json.split("\n")[:-1]]
    assert [(line["a"], usd(line["b"])) for line in lines] == rows
