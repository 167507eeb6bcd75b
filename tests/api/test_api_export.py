"""Calls as files over HTTP: what is in them, who may have them, and what happens when the database goes away."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr
from rig.bodies import openai_chat
from rig.client import call
from rig.gateway import gateway
from rig.script import reply
from rig.upstream import ScriptedUpstream

from gateway.api.export import FILTERS, open_exports
from gateway.api.viewer import Viewer
from pricing.book import PriceBook
from storage.export.read import CallPages
from storage.store import Store, StoreUnavailable

from .conftest import Connect, make_call

Keep = Callable[..., Awaitable[None]]
PATH = "/api/analytics/export"


@pytest.fixture
async def exports(tmp_path: Path, store: Store) -> AsyncIterator[CallPages]:
    opened = open_exports(None, tmp_path)
    yield opened
    await opened.close()


async def test_each_kind_of_file(connect: Connect, keep: Keep, book: PriceBook, exports: CallPages) -> None:
    records = [make_call(book, number, team="a" if number % 2 else "b") for number in range(7)]
    await keep(*records)
    total = sum(one.cost.total or 0 for one in records if one.who.team == "a")
    client = await connect(exports=exports)
    for kind, media in (
        ("csv", "text/csv"),
        ("jsonl", "application/x-ndjson"),
        ("parquet", "application/vnd.apache.parquet"),
    ):
        answer = await client.post(PATH, json={"format": kind, "filters": {"team": "a", "unpriced": False}})
        data = await answer.read()
        assert (answer.status, answer.content_type) == (200, media), data
        assert answer.headers["Content-Disposition"].startswith('attachment; filename="weighbridge-calls-2')
        rows: list[Any]
        if kind == "csv":
            rows = list(csv.DictReader(io.StringIO(data.decode())))
        elif kind == "jsonl":
            rows = [json.loads(line) for line in data.splitlines()]
        else:
            rows = pq.read_table(io.BytesIO(data)).to_pylist()
        assert [row["id"] for row in rows] == [one.id for one in records if one.who.team == "a"]
        assert sum(Decimal(row["cost_usd"]) * 10**9 for row in rows) == total


async def test_focus_says_how_many_calls_it_leaves_out(
    connect: Connect, keep: Keep, book: PriceBook, exports: CallPages
) -> None:
    await keep(make_call(book), make_call(book, 1, model="nobody-knows"))
    answer = await (await connect(exports=exports)).post(PATH, json={"shape": "focus"})
    lines = list(csv.DictReader(io.StringIO(await answer.text())))
    assert answer.headers["x-weighbridge-calls-left-out"] == "1"
    assert {line["ProviderName"] for line in lines} == {"openai"}
    assert {line["SkuMeter"] for line in lines} == {"Input Tokens", "Output Tokens", "Cached Input Tokens"}


async def test_nothing_to_export(connect: Connect, exports: CallPages) -> None:
    client = await connect(exports=exports)
    assert (await (await client.post(PATH, json={})).text()).count("\r\n") == 1
    assert await (await client.post(PATH, json={"format": "jsonl"})).text() == ""


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"format": "xlsx"}, "format"),
        ({"shape": "x"}, "shape"),
        ({"colour": 1}, "colour"),
        ({"filters": {"teem": "a"}}, "teem"),
        ({"filters": {"since": "whenever"}}, "since"),
        ({"filters": {"limit": 5}}, "limit"),
        ({"filters": {"status": 99}}, "status"),
    ],
)
async def test_a_bad_field_is_named(
    connect: Connect, exports: CallPages, body: dict[str, Any], param: str
) -> None:
    answer = await (await connect(exports=exports)).post(PATH, json=body)
    assert (answer.status, (await answer.json())["error"]["param"]) == (400, param)


async def test_a_viewer_gets_what_is_theirs(
    connect: Connect, keep: Keep, book: PriceBook, exports: CallPages
) -> None:
    async def tokens(told: str) -> Viewer | None:
        return Viewer("reader", team="a") if told == "reader" else None

    await keep(make_call(book, team="a"), make_call(book, 1, team="b"))
    client = await connect(exports=exports, tokens=tokens, admin_token=SecretStr("admin"))
    for filters, teams in (({}, ["a"]), ({"team": "b"}, [])):
        for shape, column in (("calls", "team"), ("focus", "SubAccountId")):
            answer = await client.post(
                PATH,
                json={"filters": filters, "shape": shape},
                headers={"Authorization": "Bearer reader"},
            )
            lines = list(csv.DictReader(io.StringIO(await answer.text())))
            assert sorted({line[column] for line in lines}) == teams
    assert (await client.post(PATH, json={})).status == 401


async def test_without_pyarrow_the_cure_is_named(
    connect: Connect, exports: CallPages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "storage.export.parquet", None)
    answer = await (await connect(exports=exports)).post(PATH, json={"format": "parquet"})
    error = (await answer.json())["error"]
    assert (answer.status, error["param"]) == (400, "format")
    assert "pip install pyarrow" in error["message"]


async def test_a_database_that_is_away_is_an_error(connect: Connect, tmp_path: Path) -> None:
    gone = open_exports(f"sqlite:///{tmp_path}/none/x.db", tmp_path)
    assert (await (await connect(exports=gone)).post(PATH, json={})).status == 503
    await gone.close()


async def test_a_file_that_breaks_off_does_not_look_whole(
    connect: Connect, keep: Keep, book: PriceBook, exports: CallPages, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keep(*[make_call(book, number) for number in range(6)])
    pages = CallPages(exports._engine, page_rows=2)
    whole, asked = pages._all, []

    async def fails(query: Any) -> Any:
        asked.append(query)
        if len(asked) == 3:
            raise StoreUnavailable("gone")
        return await whole(query)

    monkeypatch.setattr(pages, "_all", fails)
    answer = await (await connect(exports=pages)).post(PATH, json={})
    assert answer.status == 200
    with pytest.raises(aiohttp.ClientPayloadError):
        await answer.read()


async def test_through_the_whole_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ScriptedUpstream() as upstream, gateway(tmp_path, upstream.base) as running:
        upstream.default = reply(json=openai_chat("gpt-4o-mini"))
        for _ in range(3):
            await call(running.port, "POST", "/openai/v1/chat/completions", [], b'{"model":"gpt-4o-mini"}')
        assert await running.ledger.drained(20)
        async with aiohttp.ClientSession() as session:
            both = [session.post(f"{running.url}{PATH}", json={"format": "jsonl"}) for _ in range(2)]
            for answer in await asyncio.gather(*both):
                assert len((await answer.text()).splitlines()) == 3
            monkeypatch.setattr("storage.export.encoders.CsvEncoder.tail", lambda self: 1 / 0)
            with pytest.raises(aiohttp.ClientError):
                async with session.post(f"{running.url}{PATH}", json={}) as answer:
                    await answer.read()


def test_filters_are_those_of_the_listing() -> None:
    assert {"since", "until", "team", "user", "unpriced"} < set(FILTERS)
