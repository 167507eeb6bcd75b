"""Runs commands as a user would: in a folder of their own, without our environment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from click.testing import CliRunner, Result
from rig.ledger import config
from rig.migrated import with_tables

from gateway.api.app import ApiDeps, Health, api_app
from gateway.cli.group import main
from gateway.prices import price_book
from gateway.settings.sections import Pricing
from pricing.book import PriceBook
from storage.ledger import Ledger
from storage.store import Store
from telemetry.record import CallRecord

Weighbridge = Callable[..., Result]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("WEIGHBRIDGE_SERVER__PORT", "1")  # nothing answers there


@pytest.fixture
def weighbridge() -> Weighbridge:
    """``weighbridge("calls", "-n", "3")`` -> result with ``exit_code`` and ``output`` (stdout and stderr)."""

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments, prog_name="weighbridge")

    return run


@pytest.fixture(scope="session")
def book() -> PriceBook:
    return price_book(Pricing())


def put_records(*records: CallRecord) -> None:
    """Into the default store of the working directory."""

    async def put() -> None:
        ledger = Ledger(config(with_tables(Path("weighbridge-data"))))
        await ledger.start()
        for record in records:
            ledger.closed(record)
        assert await ledger.drained(20)
        await ledger.stop(5)

    asyncio.run(put())


@pytest.fixture
async def serving(book: PriceBook) -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """``await serving(**deps)``: the URL of an API over the store of the working directory."""
    servers: list[TestServer] = []
    stores: list[Store] = []

    async def start(**changed: Any) -> str:
        store = await Store.open(None, data_dir=with_tables(Path("weighbridge-data")))
        stores.append(store)
        given: dict[str, Any] = {
            "store": store,
            "book": lambda: book,
            "price_as": lambda name: name,
            "pending": lambda id_: None,
            "health": Health,
            "version": "1",
            "loopback": True,
        }
        server = TestServer(api_app(ApiDeps(**{**given, **changed})))
        await server.start_server()
        servers.append(server)
        return str(server.make_url("")).rstrip("/")

    yield start
    for server in servers:
        await server.close()
    for store in stores:
        await store.close()
