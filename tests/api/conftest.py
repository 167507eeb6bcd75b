"""The API over a real SQLite store with a few recorded calls in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from rig.ledger import config
from rig.migrated import with_tables

from gateway.api.app import ApiDeps, Health, api_app
from gateway.ids import call_id
from gateway.prices import price_book
from gateway.settings.sections import Pricing
from pricing.book import PriceBook, PriceQuery
from pricing.cost import NOT_BILLABLE, Cost
from pricing.usage import Usage
from storage.ledger import Ledger
from storage.store import Store
from telemetry.outcome import Outcome
from telemetry.record import Answer, CallRecord, Route, Timing, Trace, UsageSource, What, Who

NOON = 1_790_000_000_000_000_000
"""UTC nanoseconds of the first call."""
SECOND = 1_000_000_000

Client = TestClient[Any, Any]
Connect = Callable[..., Awaitable[Client]]


@pytest.fixture(scope="session")
def book() -> PriceBook:
    return price_book(Pricing())


def make_call(book: PriceBook, number: int = 0, **changed: Any) -> CallRecord:
    """A completed chat call; ``changed``: provider, model, team, outcome, status, usage, service_tier."""
    at = NOON + number * SECOND
    usage = changed.get("usage", Usage(1000, 200, cache_read=400))
    provider, model = changed.get("provider", "openai"), changed.get("model", "gpt-4o")
    outcome = changed.get("outcome", Outcome.COMPLETED)
    cost: Cost = NOT_BILLABLE
    if outcome is Outcome.COMPLETED:
        cost = book.price(PriceQuery(provider, model, model, usage, at))
    return CallRecord(
        call_id(at),
        outcome,
        Who(team=changed.get("team"), tags=(("tier", "gold"),), sources=(("team", "header"),)),
        What(provider, "openai_chat", "chat", "POST", "/v1/chat/completions", model, False, 64, 300),
        Route("api.openai.com", 1),
        Timing(at, 850_000, 840_000, 300_000, 310_000, 900),
        Answer(changed.get("status", 200), model, "resp-1", ("stop",), None, 900),
        usage,
        UsageSource.PROVIDER,
        cost,
        Trace(trace_id_low=0xABC, server_span_id=1, client_span_id=2),
        b'{"prompt_tokens":1000,"completion_tokens":200}',
    )


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(None, data_dir=with_tables(tmp_path))
    yield opened
    await opened.close()


@pytest.fixture
def keep(tmp_path: Path, store: Store) -> Callable[..., Awaitable[None]]:
    """Puts records into the store, through the ledger."""

    async def put(*records: CallRecord) -> None:
        ledger = Ledger(config(tmp_path))
        await ledger.start()
        for record in records:
            ledger.closed(record)
        assert await ledger.drained(20)
        await ledger.stop(5)

    return put


@pytest.fixture
async def connect(store: Store, book: PriceBook) -> AsyncIterator[Connect]:
    """``await connect(loopback=..., admin_token=..., health=...)``: a client of an API with these deps."""
    clients: list[Client] = []

    async def start(**changed: Any) -> Client:
        given: dict[str, Any] = {
            "store": store,
            "book": lambda: book,
            "price_as": lambda name: name,
            "pending": lambda id_: None,
            "health": Health,
            "version": "1.2.3",
            "loopback": True,
            "base_urls": lambda: {"openai": "/openai/v1"},
        }
        token = changed.pop("admin_token", None)
        given["admin_token"] = lambda: token
        client = TestClient(TestServer(api_app(ApiDeps(**{**given, **changed}))))
        await client.start_server()
        clients.append(client)
        return client

    yield start
    await asyncio.gather(*(client.close() for client in clients))
