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
from rig.shipped import shipped_counter, shipped_prices
from rig.upstream import ScriptedUpstream

from pricing.book import PriceQuery
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
TEAMS = {"once": 1, "again-and-again": 3}
"""How often each client of the team calls."""
ASK = {"model": MODEL, "max_tokens": OUTPUT, "messages": [{"role": "user", "content": PROMPT}]}
SETTLED = 30.0


def asked() -> int:
    """Tokens of the prompt."""
    return shipped_counter().count_chat([PROMPT], MODEL)


def cost() -> int:
    usage = Usage(input=asked(), output=OUTPUT)
    found = shipped_prices().price(PriceQuery("openai", MODEL, None, usage, time.time_ns())).total
    assert found
    return found


async def _provider(peer: Peer, seen: Seen) -> None:
    """Answers with as much as it was allowed to."""
    await peer.read_body(seen)
    await asyncio.sleep(0.02)
    assert json.loads(seen.body)["max_tokens"] == OUTPUT
    usage = {"prompt_tokens": asked(), "completion_tokens": OUTPUT, "total_tokens": asked() + OUTPUT}
    await reply(json={**openai_chat(MODEL), "usage": usage})(peer, seen)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/budget.db"
    return str(request.getfixturevalue("empty_postgres"))


def budget_of(team: str = "") -> Budget:
    """Of a team, or of everybody."""
    return Budget(
        id=f"b-{team}",
        name=f"that of {team}",
        limit=CALLS * cost(),
        window=Window.TOTAL,
        scope=(("team", team),) if team else (),
        mode=Mode.HARD,
    )


@asynccontextmanager
async def budgeted(url: str, *budgets: Budget) -> AsyncIterator[ControlDatabase]:
    address = parse(url, Path())
    await asyncio.to_thread(migrate, address)
    db = control_of(address)
    try:
        for budget in budgets:
            await admin.create(db, budget, "test", int(time.time()))
        yield db
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


async def client(port: int, calls: int, statuses: Counter[int], team: str = "") -> None:
    app = await RawClient.open(port)
    try:
        for _ in range(calls):
            app.request("POST", CHAT, [("X-Weighbridge-Team", team)], json=ASK)
            answer = await app.answer()
            statuses[answer.status] += 1
            if answer.status == 429:
                error = answer.json()["error"]
                assert error["code"] == "weighbridge_budget_exceeded"
                assert f"that of {team}" in error["message"]
                assert answer.header("retry-after") is not None
    finally:
        app.close()


async def run_clients(gateway: ServeProcess, count: int, team: str) -> Counter[int]:
    port = await asyncio.to_thread(gateway.started)
    statuses: Counter[int] = Counter()
    await asyncio.gather(*(client(port, TEAMS[team], statuses, team) for _ in range(count)))
    return statuses


async def test_many_clients_share_what_there_is(tmp_path: Path, url: str) -> None:
    budgets = {team: budget_of(team) for team in TEAMS}
    async with ScriptedUpstream(_provider) as upstream, budgeted(url, *budgets.values()) as db:
        with serving(
            tmp_path,
            upstream.base,
            environ={"WEIGHBRIDGE_STORAGE__URL": url, "WEIGHBRIDGE_SERVER__WORKERS": "4"},
            port=free_port(),
        ) as gateway:
            spent = {}
            for team, budget in budgets.items():
                before = len(upstream.requests)
                statuses = await run_clients(gateway, CLIENTS, team)
                assert set(statuses) == {200, 429}
                assert statuses[200] == len(upstream.requests) - before
                spent[team] = await settled(db, budget)
                assert spent[team] == statuses[200] * cost()
                assert CALLS * 98 // 100 <= statuses[200] <= CALLS
            gateway.signal(signal.SIGTERM)
            assert await asyncio.to_thread(gateway.wait) == 0
        assert {team: await standing(db, budget) for team, budget in budgets.items()} == {
            team: (spent[team], 0) for team in TEAMS
        }


async def test_what_killed_workers_and_gone_apps_held_comes_back(tmp_path: Path, url: str) -> None:
    async def slow(peer: Peer, seen: Seen) -> None:
        await peer.read_body(seen)
        await asyncio.sleep(30)

    budget = budget_of()
    async with ScriptedUpstream(slow) as upstream, budgeted(url, budget) as db:
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
