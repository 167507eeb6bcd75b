"""Calls over HTTP: listing, filters, pages, one call, its cost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from gateway.ids import call_id
from pricing.book import PriceBook
from pricing.usage import Usage
from storage.store import StoreTooSlow, StoreUnavailable
from telemetry.outcome import Outcome

from .conftest import NOON, SECOND, Connect, make_call

Keep = Callable[..., Awaitable[None]]


async def ids(client: Any, query: str = "") -> list[str]:
    answer = await client.get(f"/api/calls{query}")
    body = await answer.json()
    assert answer.status == 200, body
    return [item["id"] for item in body["items"]]


async def test_an_empty_store_is_an_empty_page(connect: Connect) -> None:
    answer = await (await connect()).get("/api/calls")
    assert (answer.status, await answer.json()) == (200, {"items": [], "next_cursor": None})


async def test_one_call_is_the_whole_record(connect: Connect, keep: Keep, book: PriceBook) -> None:
    record = make_call(book, team="search")
    await keep(record)
    answer = await (await connect()).get(f"/api/calls/{record.id}")
    body = await answer.json()
    assert answer.status == 200
    assert body["id"] == record.id
    assert body["started_at"] == "2026-09-21T14:13:20.000000Z"
    assert body["outcome"] == "completed"
    assert body["who"]["team"] == "search"
    assert body["who"]["tags"] == {"tier": "gold"}
    assert body["who"]["sources"] == {"team": "header"}
    assert body["what"]["model"] == "gpt-4o"
    assert body["timing"]["duration_us"] == 850_000
    assert body["answer"]["finish_reasons"] == ["stop"]
    assert body["usage"]["counts"] == {"input": 1000, "output": 200, "cache_read": 400}
    assert body["usage"]["reported"] == '{"prompt_tokens":1000,"completion_tokens":200}'
    assert body["trace"]["trace_id"] == f"{0xABC:032x}"


async def test_money_is_exact_text_and_whole_nano(connect: Connect, keep: Keep, book: PriceBook) -> None:
    record = make_call(book)
    await keep(record)
    cost = (await (await (await connect()).get(f"/api/calls/{record.id}")).json())["cost"]
    assert cost["total"]["nano_usd"] == record.cost.total
    assert Decimal(cost["total"]["usd"]) * 10**9 == record.cost.total
    assert sum(part["nano_usd"] for part in cost["components"].values()) == record.cost.total
    assert cost["status"] == "priced"


async def test_an_unknown_price_is_null_and_not_zero(connect: Connect, keep: Keep, book: PriceBook) -> None:
    record = make_call(book, model="nobody-knows-it")
    await keep(record)
    cost = (await (await (await connect()).get(f"/api/calls/{record.id}")).json())["cost"]
    assert cost["status"] == "unpriced"
    assert cost["total"] == {"usd": None, "nano_usd": None}


async def test_pages_meet_without_gap_or_overlap(connect: Connect, keep: Keep, book: PriceBook) -> None:
    records = [make_call(book, number) for number in range(7)]
    await keep(*records)
    client = await connect()
    seen: list[str] = []
    cursor = ""
    for expected in (3, 3, 1):
        body = await (await client.get(f"/api/calls?limit=3{cursor}")).json()
        assert len(body["items"]) == expected
        seen += [item["id"] for item in body["items"]]
        cursor = f"&cursor={body['next_cursor']}"
    assert body["next_cursor"] is None
    assert seen == [record.id for record in reversed(records)]


async def test_filters(connect: Connect, keep: Keep, book: PriceBook) -> None:
    plain = make_call(book, 0, team="a")
    other = make_call(book, 1, team="b", provider="anthropic", model="claude-sonnet-4-5")
    failed = make_call(book, 2, team="a", outcome=Outcome.TIMEOUT, status=504, usage=None)
    unknown = make_call(book, 3, model="nobody-knows-it")
    await keep(plain, other, failed, unknown)
    client = await connect()
    assert await ids(client, "?team=a") == [failed.id, plain.id]
    assert await ids(client, "?provider=anthropic") == [other.id]
    assert await ids(client, "?model=gpt-4o&failed=false") == [plain.id]
    assert await ids(client, "?outcome=timeout") == [failed.id]
    assert await ids(client, "?status=504") == [failed.id]
    assert await ids(client, "?unpriced=true") == [unknown.id]
    assert await ids(client, "?since=2026-09-21T14:13:21Z&until=2026-09-21T14:13:23Z") == [
        failed.id,
        other.id,
    ]
    assert await ids(client, "?since=2026-09-21T16:13:21+02:00&team=b") == [other.id]
    assert await ids(client, "?until=2026-09-21") == []


@pytest.mark.parametrize(
    ("query", "param", "text"),
    [
        ("outcome=timeuot", "outcome", "Did you mean timeout?"),
        ("limit=0", "limit", "greater than or equal to 1"),
        ("limit=1001", "limit", "less than or equal to 1000"),
        ("limit=x", "limit", "integer"),
        ("stauts=200", "stauts", "Did you mean status?"),
        ("status=20", "status", "100"),
        ("failed=perhaps", "failed", "true, false"),
        ("since=yesterday", "since", "ISO 8601"),
        ("since=999999w", "since", "ISO 8601"),
        ("team=a&team=b", "team", "twice"),
        ("team=", "team", "at least 1"),
        ("cursor=nonsense", "cursor", "cursor"),
        ("order=ended", "order", "recorded"),
        ("order=recorded&cursor=MTow", "cursor", "one page"),
    ],
)
async def test_a_bad_parameter_is_named(connect: Connect, query: str, param: str, text: str) -> None:
    answer = await (await connect()).get(f"/api/calls?{query}")
    error = (await answer.json())["error"]
    assert (answer.status, error["param"]) == (400, param)
    assert text in error["message"]


async def test_allowed_values_are_listed(connect: Connect) -> None:
    error = (await (await (await connect()).get("/api/calls?outcome=x")).json())["error"]
    assert error["allowed"] == [outcome.value for outcome in Outcome]


async def test_a_call_on_its_way_to_the_database_is_there_already(connect: Connect, book: PriceBook) -> None:
    record = make_call(book, team="new")
    client = await connect(pending=lambda id_: record if id_ == record.id else None)
    body = await (await client.get(f"/api/calls/{record.id}")).json()
    assert body["who"]["team"] == "new"
    assert body["cost"]["total"]["nano_usd"] == record.cost.total


@pytest.mark.parametrize(
    ("id_", "status"),
    [(call_id(NOON), 404), ("1", 400), ("x" * 500, 400), ("%00", 400)],
    ids=["unknown", "number", "long", "nul"],
)
@pytest.mark.parametrize("tail", ["", "/cost"])
async def test_calls_that_are_not(connect: Connect, id_: str, status: int, tail: str) -> None:
    answer = await (await connect()).get(f"/api/calls/{id_}{tail}")
    assert answer.status == status
    assert (await answer.json())["error"]["code"] in ("call_not_found", "invalid_parameter")


async def test_the_cost_is_explained_to_the_last_digit(connect: Connect, keep: Keep, book: PriceBook) -> None:
    record = make_call(book, usage=Usage(1001, 203, cache_read=407))
    await keep(record)
    body = await (await (await connect()).get(f"/api/calls/{record.id}/cost")).json()
    assert body["recorded"] == body["explained"]
    assert {line["unit"]: line["quantity"] for line in body["lines"]} == {
        "input": 594,
        "cache_read": 407,
        "output": 203,
    }
    for line in body["lines"]:
        assert Decimal(line["rate"]) * line["quantity"] / line["per"] == Decimal(line["amount_usd"])
    exact = sum(Decimal(line["amount_usd"]) for line in body["lines"])
    assert abs(exact - Decimal(body["recorded"]["total"]["usd"])) < Decimal("1e-9")
    assert body["rates_source"]


async def test_a_call_that_cost_nothing_says_so(connect: Connect, keep: Keep, book: PriceBook) -> None:
    record = make_call(book, outcome=Outcome.CONNECT_FAILED, status=502, usage=None)
    await keep(record)
    body = await (await (await connect()).get(f"/api/calls/{record.id}/cost")).json()
    assert body["lines"] == []
    assert body["recorded"]["total"]["nano_usd"] == 0
    assert "Nothing was billed" in body["notes"][0]


async def test_a_corrected_price_is_told(connect: Connect, keep: Keep, book: PriceBook) -> None:
    record = make_call(book)
    await keep(record)
    client = await connect(price_as=lambda name: "nowhere")
    body = await (await client.get(f"/api/calls/{record.id}/cost")).json()
    assert body["recorded"]["total"]["nano_usd"] == record.cost.total
    assert body["explained"]["status"] == "unpriced"
    assert any("Prices were changed" in note for note in body["notes"])


async def test_what_takes_too_long_is_told_with_what_to_do(connect: Connect) -> None:
    class Slow:
        async def list_calls(self, *args: Any) -> Any:
            raise StoreTooSlow("secret details")

    client = await connect(store=Slow())
    answer = await client.get("/api/calls", params={"project": "rare"})
    assert answer.status == 503
    assert "Retry-After" not in answer.headers, "it would take as long again"
    error = (await answer.json())["error"]
    assert error["code"] == "took_too_long"
    assert "since" in error["message"]
    assert "secret" not in await answer.text()


async def test_a_database_that_is_away_is_told(connect: Connect) -> None:
    class Away:
        async def get_call(self, call_id: str) -> Any:
            raise StoreUnavailable("secret details")

        async def list_calls(self, *args: Any) -> Any:
            raise StoreUnavailable("secret details")

    client = await connect(store=Away())
    for path in ("/api/calls", f"/api/calls/{call_id(NOON + SECOND)}"):
        answer = await client.get(path)
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "5"
        assert "secret" not in await answer.text()
