"""A hard budget under many clients and workers: never more than the limit, next to nothing of it left unused."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from rig.bodies import openai_chat
from rig.client import RawClient
from rig.connection import Peer, Seen
from rig.process import ServeProcess, free_port, serving
from rig.script import reply
from rig.upstream import ScriptedUpstream

from pricing.book import PriceBook, PriceQuery
from pricing.tokens import TokenCounter
from pricing.usage import Usage
from storage.address import parse
from storage.budgets import admin
from storage.budgets.model import Budget, Mode, Window
from storage.control import ControlDatabase, control_of
from storage.migrate import migrate

CHAT = "/openai/v1/chat/completions"
MODEL = "gpt-4o"
PROMPT = "How much is too much?"
OUTPUT = 40
CALLS = 50
CLIENTS = 200
INPUT = TokenCounter().count_chat([PROMPT], MODEL)
ASK = {"model": MODEL, "max_tokens": OUTPUT, "messages": [{"role": "user", "content": PROMPT}]}
SETTLED = 30.0


def cost() -> int:
    usage = Usage(input=INPUT, output=OUTPUT)
    found = PriceBook.load().price(PriceQuery("openai", MODEL, None, usage, time.time_ns())).total
    assert found
    return found


async def _provider(peer: Peer, seen: Seen) -> None:
    """Answers with as much as it was allowed to."""
    await peer.read_body(seen)
    await asyncio.sleep(0.02)
    assert json.loads(seen.body)["max_tokens"] == OUTPUT
    usage = {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT}
    await reply(json={**openai_chat(MODEL), "usage": usage})(peer, seen)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/budget.db"
    return str(request.getfixturevalue("empty_postgres"))


@asynccontextmanager
async def budgeted(url: str, limit: int) -> AsyncIterator[tuple[ControlDatabase, Budget]]:
    address = parse(url, Path())
    await asyncio.to_thread(migrate, address)
    budget = Budget(id="b1", name="everything", limit=limit, mode=Mode.HARD, window=Window.TOTAL)
    db = control_of(address)
    try:
        await admin.create(db, budget, "test", int(time.time()))
        yield db, budget
    finally:
        await db.close()


async def standing(db: ControlDatabase, budget: Budget) -> tuple[int, int]:
    """Spent and reserved."""
    (held,) = await admin.held(db, budget, int(time.time()))
    return held.standing.spent, held.standing.lent


async def settled(db: ControlDatabase, budget: Budget) -> int:
    """Waits until nothing is reserved; what was spent."""
    end = time.monotonic() + SETTLED
    while (found := await standing(db, budget))[1]:
        assert time.monotonic() < end, f"still reserved: {found}"
        await asyncio.sleep(0.1)
    return found[0]


async def client(port: int, calls: int, statuses: Counter[int]) -> None:
    app = await RawClient.open(port)
    try:
        for _ in range(calls):
            app.request("POST", CHAT, json=ASK)
            answer = await app.answer()
            statuses[answer.status] += 1
            if answer.status == 429:
                error = answer.json()["error"]
                assert error["code"] == "weighbridge_budget_exceeded"
                assert "everything" in error["message"]
                assert answer.header("retry-after") is not None
    finally:
        app.close()


async def run_clients(gateway: ServeProcess, count: int, calls: int) -> Counter[int]:
    port = await asyncio.to_thread(gateway.started)
    statuses: Counter[int] = Counter()
    await asyncio.gather(*(client(port, calls, statuses) for _ in range(count)))
    return statuses


@pytest.mark.parametrize("calls", [1, 3], ids=["once", "again-and-again"])
async def test_many_clients_share_what_there_is(tmp_path: Path, url: str, calls: int) -> None:
    async with (
        ScriptedUpstream(_provider) as upstream,
        budgeted(url, CALLS * cost()) as (db, budget),
    ):
        with serving(
            tmp_path,
            upstream.base,
            environ={"WEIGHBRIDGE_STORAGE__URL": url, "WEIGHBRIDGE_SERVER__WORKERS": "4"},
            port=free_port(),
        ) as gateway:
            statuses = await run_clients(gateway, CLIENTS, calls)
            assert set(statuses) == {200, 429}
            assert statuses[200] == len(upstream.requests)
            spent = await settled(db, budget)
            assert spent == statuses[200] * cost()
            assert CALLS * 98 // 100 <= statuses[200] <= CALLS
            gateway.signal(signal.SIGTERM)
            assert await asyncio.to_thread(gateway.wait) == 0
        assert await standing(db, budget) == (spent, 0)


async def test_what_killed_workers_and_gone_apps_held_comes_back(tmp_path: Path, url: str) -> None:
    async def slow(peer: Peer, seen: Seen) -> None:
        await peer.read_body(seen)
        await asyncio.sleep(30)

    async with ScriptedUpstream(slow) as upstream, budgeted(url, CALLS * cost()) as (db, budget):
        environ = {"WEIGHBRIDGE_STORAGE__URL": url, "WEIGHBRIDGE_SERVER__WORKERS": "4"}
        with serving(tmp_path, upstream.base, environ=environ, port=free_port()) as gateway:
            port = await asyncio.to_thread(gateway.started)
            apps = [await RawClient.open(port) for _ in range(20)]
            for app in apps:
                app.request("POST", CHAT, json=ASK)
            await upstream.seen(20)
            assert sum(await standing(db, budget)) >= 20 * cost()
            for app in apps[:10]:
                app.abort()
            for worker in gateway.workers():
                os.kill(worker, signal.SIGKILL)
            spent = await settled(db, budget)
            assert 0 < spent <= 20 * cost()
            upstream.default = _provider
            statuses: Counter[int] = Counter()
            await client(await asyncio.to_thread(gateway.started), 3, statuses)
            assert statuses == {200: 3}
            assert await settled(db, budget) == spent + 3 * cost()
