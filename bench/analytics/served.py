"""The API over a filled database, asked through a socket at the moment at which the traffic ends."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from aiohttp import ClientSession, web

from bench.analytics.endpoints import ENDPOINTS, FROM_CALLS, Params, requests
from bench.analytics.traffic import END
from gateway.api.analytics.deps import AnalyticsDeps
from gateway.api.app import ApiDeps, Health, api_app
from gateway.prices import price_book
from gateway.serve import settle_memory
from gateway.settings.sections import Pricing
from storage.address import Address, Engine
from storage.engine import reading_engine
from storage.quality.summary import QualityReader
from storage.queries.analytics.figures import Figures
from storage.store import Store


class Timed(msgspec.Struct, frozen=True):
    """One endpoint; milliseconds from the request to the last byte."""

    path: str
    took: tuple[float, ...]
    """In the order of the requests."""
    cpu: float
    """Of our process, the mean; a database server's is not in it."""
    slowest: str
    """The query of the slowest request."""
    judged: bool = True

    def percentile(self, percent: int) -> float:
        """By nearest rank."""
        ordered = sorted(self.took)
        return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


async def ask(address: Address, count: int, model: str) -> list[Timed]:
    """Each endpoint so many times, one request after the other, all with different parameters."""
    async with served(address) as session:
        found = [await _timed(session, path, list(requests(path, count + 1, model))) for path in ENDPOINTS]
        for path, params in FROM_CALLS:
            one = await _timed(session, path, [params] * 4)
            found.append(msgspec.structs.replace(one, judged=False))
        return found


@asynccontextmanager
async def served(address: Address) -> AsyncIterator[ClientSession]:
    """A client of the API on a database."""
    settle_memory()  # as in the gateway: else full collections pause every twentieth answer by a fifth of a second
    engine = reading_engine(address)
    url = f"sqlite:///{address.dsn}" if address.engine is Engine.SQLITE else address.dsn
    store = await Store.open(url, data_dir=Path())
    analytics = AnalyticsDeps(Figures(engine, lambda: END), QualityReader(engine), lambda: END)
    given = ApiDeps(
        store=store,
        book=lambda: price_book(Pricing()),
        price_as=lambda name: name,
        pending=lambda id_: None,
        health=Health,
        version="bench",
        loopback=True,
        analytics=analytics,
    )
    runner = web.AppRunner(api_app(given), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:
            yield session
    finally:
        await runner.cleanup()
        await store.close()
        await analytics.close()


async def _timed(session: ClientSession, path: str, every: Sequence[Params]) -> Timed:
    took: list[tuple[float, str]] = []
    first, *asked = every
    await _once(session, path, first)  # statements are prepared, modules are loaded
    begin = time.process_time()
    for params in asked:
        took.append((await _once(session, path, params), "&".join("=".join(one) for one in params)))
    cpu = (time.process_time() - begin) * 1000 / len(asked)
    return Timed(path, tuple(one for one, _ in took), cpu, max(took)[1])


async def _once(session: ClientSession, path: str, params: Iterable[tuple[str, str]]) -> float:
    """Milliseconds; for ever where there was no answer in time. Raises ``RuntimeError`` where there was another."""
    begin = time.perf_counter()
    async with session.get(f"/api/analytics{path}", params=list(params)) as response:
        body = await response.read()
        took = (time.perf_counter() - begin) * 1000
        if response.status == 503:
            return math.inf
        if response.status != 200:
            raise RuntimeError(f"{response.url}: {response.status} {body.decode()[:300]}")
        return took
