"""The analytics API over a real database, at a time of the test's choosing."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from rig.ledger import STARTED_MS
from rig.shipped import shipped_prices
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.api.analytics.deps import AnalyticsDeps
from gateway.api.analytics.feed import Feed
from gateway.api.app import ApiDeps, Health, api_app
from gateway.api.export import open_exports
from gateway.api.viewer import Viewer
from storage.address import parse
from storage.engine import reading_engine, writing_engine
from storage.quality.facts import facts_of
from storage.quality.keep import QualityLog, Rating
from storage.quality.summary import QualityReader
from storage.queries.analytics.figures import Figures
from storage.store import Store, pending_row
from telemetry.quality import Opinion
from telemetry.record import CallRecord

NOW = datetime.fromtimestamp(STARTED_MS / 1000, UTC)
"""2026-11-18 11:06:40 UTC."""


async def soon(seconds: float) -> None:
    """A pause of the feed's, a fiftieth as long."""
    await asyncio.sleep(seconds / 50)


class Asker:
    """Asks the API and looks at its answers."""

    def __init__(self, client: TestClient[Any, Any]) -> None:
        self.client = client

    async def __call__(self, path: str = "", status: int = 200, token: str = "", **params: Any) -> Any:
        """The answer of ``/api/analytics{path}``; a list is a parameter given several times."""
        given = [
            (name, str(value))
            for name, values in params.items()
            for value in (values if isinstance(values, list) else [values])
        ]
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.client.get(f"/api/analytics{path}", params=given, headers=headers) as response:
            assert response.status == status, await response.text()
            return await response.json()


@asynccontextmanager
async def analytics(
    url: str,
    now: datetime = NOW,
    viewers: Mapping[str, Viewer] | None = None,
    feed: Feed | None = None,
) -> AsyncIterator[Asker]:
    """The API on the database at ``url``; ``viewers``: token -> who that is."""
    engine = _reading(url)
    store = await Store.open(url, data_dir=Path())
    deps = AnalyticsDeps(
        Figures(engine, lambda: now), QualityReader(engine), lambda: now, feed=feed or Feed(store, pause=soon)
    )

    async def tokens(told: str) -> Viewer | None:
        return (viewers or {}).get(told)

    exports = open_exports(url, Path())
    given = ApiDeps(
        store=store,
        book=shipped_prices,
        price_as=lambda name: name,
        pending=lambda id_: None,
        health=Health,
        version="1.2.3",
        loopback=True,
        tokens=tokens,
        analytics=deps,
        exports=exports,
    )
    try:
        async with TestClient(TestServer(api_app(given))) as client:
            yield Asker(client)
    finally:
        await deps.close()
        await exports.close()
        await store.close()


@functools.lru_cache(maxsize=2)
def _reading(url: str) -> AsyncEngine:
    """Without connections when it is not in use; knows the statements of the examples before."""
    return reading_engine(parse(url, Path()))


async def judged(url: str, opinions: Iterable[tuple[CallRecord, Opinion]]) -> None:
    """Say what answers were worth."""
    log = QualityLog(writing_engine(parse(url, Path())))
    try:
        for call, opinion in opinions:
            await log.rate(facts_of(pending_row(call)), Rating(opinion, None, None, None, None))
    finally:
        await log.close()
