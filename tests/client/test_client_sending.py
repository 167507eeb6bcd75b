"""The client apps import: every event arrives once or is counted, and nothing reaches the app."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from rig.process import free_port

from weighbridge.client import AsyncClient, Client, Stats
from weighbridge.sending import MOST_BATCH_BYTES, MOST_WARNINGS

ROOT = Path(__file__).parents[2]
NEVER = 3600.0


class Gateway:
    """Takes events as the gateway does; a test may script the first answers."""

    def __init__(self) -> None:
        self.batches: list[list[dict[str, Any]]] = []
        self.sizes: list[int] = []
        self.tokens: list[str | None] = []
        self.script: list[web.Response | dict[str, Any]] = []
        self.came = asyncio.Event()
        self.url = ""

    async def take(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        batch = json.loads(raw)["batch"]
        self.sizes.append(len(raw))
        self.tokens.append(request.headers.get("Authorization"))
        said = (
            self.script.pop(0) if self.script else {"accepted": len(batch), "duplicates": 0, "rejected": []}
        )
        if isinstance(said, dict):
            self.batches.append(batch)
            self.came.set()
            return web.json_response(said)
        return said

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for batch in self.batches for event in batch]


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    taking = Gateway()
    app = web.Application(client_max_size=2**22)
    app.router.add_post("/api/events", taking.take)
    async with TestServer(app) as server:
        taking.url = str(server.make_url("")).rstrip("/")
        yield taking


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
async def client(gateway: Gateway, pauses: list[float]) -> AsyncIterator[AsyncClient]:
    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async with AsyncClient(gateway.url, token="t", batch_seconds=NEVER, pause=pause, tries=4) as opened:
        yield opened


async def test_what_is_told_arrives_as_it_was_told(client: AsyncClient, gateway: Gateway) -> None:
    at = datetime(2026, 11, 20, 12, 0, 0, 5000)  # noqa: DTZ001 - what an app may hand over
    client.track("opened", "ada", {"n": 1, "at": at, "price": Decimal("1.50")}, message_id="m", timestamp=at)
    client.identify("ada", {"plan": "gold"}, anonymous="x")
    client.feedback(call_id="c", rating=1, comment="good")
    client.outcome("converted", response_id="r", value=Decimal("12.50"))
    client.track_ai_request("openai", "gpt-4o", {"input": 5}, user="ada", team="search", duration_ms=12)
    assert await client.flush()
    track, identify, feedback, outcome, call = gateway.events
    assert track == {
        "type": "track", "messageId": "m", "timestamp": "2026-11-20T12:00:00.005+00:00", "userId": "ada",
        "event": "opened", "properties": {"n": 1, "at": "2026-11-20 12:00:00.005000", "price": "1.50"},
    }  # fmt: skip
    assert (identify["anonymousId"], identify["traits"]) == ("x", {"plan": "gold"})
    assert feedback["feedback"] == {"call_id": "c", "rating": 1, "source": "user", "comment": "good"}
    assert outcome["outcome"] == {"outcome": "converted", "response_id": "r", "value": "12.50"}
    assert call["call"] == {
        "provider": "openai", "model": "gpt-4o", "usage": {"input": 5}, "team": "search", "duration_ms": 12,
    }  # fmt: skip
    assert gateway.tokens == ["Bearer t"]
    assert len({event["messageId"] for event in gateway.events}) == 5
    assert client.stats == Stats(accepted=5)


async def test_full_batches_go_at_once_and_the_rest_when_it_is_time(
    client: AsyncClient, gateway: Gateway
) -> None:
    for number in range(120):
        client.track("e", "ada", {"n": number})
    assert await client.flush()
    assert [len(batch) for batch in gateway.batches] == [50, 50, 20]
    assert [event["properties"]["n"] for event in gateway.events] == list(range(120))
    for _ in range(50):
        client.track("e", "ada")
    gateway.came.clear()
    await gateway.came.wait()
    async with AsyncClient(gateway.url, batch_seconds=0.01) as quick:
        gateway.came.clear()
        quick.track("alone", "ada")
        await gateway.came.wait()
    assert gateway.events[-1]["event"] == "alone"


async def test_a_gateway_in_trouble_is_tried_again(
    client: AsyncClient, gateway: Gateway, pauses: list[float]
) -> None:
    gateway.script = [web.Response(status=503, headers={"Retry-After": "7"}), web.Response(status=429)]
    client.track("e", "ada", message_id="m")
    assert await client.flush()
    assert [event["messageId"] for event in gateway.events] == ["m"]
    assert pauses[0] == 7
    assert 0.5 <= pauses[1] <= 1
    assert client.stats == Stats(accepted=1)


async def test_a_gateway_that_is_not_there_is_given_up(pauses: list[float]) -> None:
    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async with AsyncClient(f"http://127.0.0.1:{free_port()}", pause=pause, tries=6) as lonely:
        for _ in range(3):
            lonely.track("e", "ada")
        assert await lonely.flush()
        assert lonely.stats == Stats(failed=3)
    assert len(pauses) == 5
    assert all(2**n / 4 <= pause <= 2**n / 2 for n, pause in enumerate(pauses))


@pytest.mark.parametrize("status", [400, 401, 403, 413, 302])
async def test_what_is_refused_is_not_tried_again(
    client: AsyncClient, gateway: Gateway, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    refusals = [web.Response(status=status, text="no", headers={"Location": "/elsewhere"}) for _ in range(2)]
    gateway.script = [*refusals]
    for _ in range(2):
        client.track("e", "ada")
        assert await client.flush()
    assert client.stats == Stats(failed=2)
    assert len(gateway.tokens) == 2
    assert caplog.text.count(f"refuses events: {status} no") == 1


async def test_a_refusal_in_ever_different_words_is_told_once(
    client: AsyncClient, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.script = [web.Response(status=400, text=f"request {number}") for number in range(5)]
    for _ in range(5):
        client.track("e", "ada")
        assert await client.flush()
    assert client.stats == Stats(failed=5)
    assert [record.getMessage() for record in caplog.records] == ["the gateway refuses events: 400 request 0"]


async def test_what_is_told_has_an_end(
    client: AsyncClient, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(MOST_WARNINGS + 20):
        bad = {"index": 0, "code": f"code_{number}", "message": "no"}
        gateway.script.append({"accepted": 0, "duplicates": 0, "rejected": [bad]})
        client.track("e", "ada")
        assert await client.flush()
    assert client.stats.rejected == MOST_WARNINGS + 20
    assert len(caplog.records) == MOST_WARNINGS + 1
    assert caplog.records[-1].getMessage() == "what else goes wrong is not told, only counted"


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"rejected":[{}]}', '{"rejected":7}'])
async def test_an_answer_that_is_none_is_tried_again(
    client: AsyncClient, gateway: Gateway, body: str
) -> None:
    gateway.script = [web.Response(text=body)]
    client.track("e", "ada", message_id="m")
    assert await client.flush()
    assert len(gateway.tokens) == 2
    assert client.stats.failed == 0


async def test_rejected_events_are_counted(client: AsyncClient, gateway: Gateway) -> None:
    bad = {"index": 1, "code": "call_not_found", "message": "There is no such call."}
    gateway.script = [{"accepted": 1, "duplicates": 1, "rejected": [bad]}]
    for _ in range(3):
        client.feedback(call_id="x", rating=1)
    assert await client.flush()
    assert client.stats == Stats(accepted=1, duplicates=1, rejected=1)


async def test_more_than_fits_is_dropped(gateway: Gateway) -> None:
    async with AsyncClient(gateway.url, batch_seconds=NEVER, most_waiting=10) as client:
        for number in range(25):
            client.track("e", "ada", {"n": number})
        assert client.stats == Stats(waiting=10, dropped=15)
        assert await client.flush()
    assert [event["properties"]["n"] for event in gateway.events] == list(range(10))


async def test_large_events(client: AsyncClient, gateway: Gateway) -> None:
    client.track("too large", "ada", {"x": "y" * 33_000})
    for _ in range(40):
        client.track("large", "ada", {"x": "y" * 30_000})
    assert await client.flush()
    assert client.stats == Stats(accepted=40, dropped=1)
    assert max(gateway.sizes) <= MOST_BATCH_BYTES + 100


async def test_nothing_comes_back_at_the_app(client: AsyncClient, gateway: Gateway) -> None:
    circle: dict[str, Any] = {}
    circle["self"] = circle

    class Odd:
        def __str__(self) -> str:
            raise RuntimeError("odd")

    for value in (circle, float("nan"), Odd(), "\ud800"):
        client.track("e", "ada", {"x": value})
    client.track("fine", "ada")
    assert await client.flush()
    assert client.stats.dropped == 3
    assert gateway.events[0]["properties"] == {"x": "?"}
    assert gateway.events[-1]["event"] == "fine"
    threading.Thread(target=lambda: AsyncClient(gateway.url).track("no loop here", "ada")).start()


async def test_what_is_no_mapping_or_no_time_does_not_come_back_either(
    client: AsyncClient, gateway: Gateway
) -> None:
    wrong: Any = 5
    client.track("e", "ada", wrong)
    client.track("e", "ada", timestamp=wrong)
    client.identify("ada", wrong)
    client.track_ai_request("openai", "gpt-4o", wrong)
    client.track("a mapping all the same", "ada", MappingProxyType({"x": MappingProxyType({"y": 1})}))
    assert await client.flush()
    assert [event.get("properties") for event in gateway.events] == [5, {}, None, None, {"x": {"y": 1}}]


async def test_a_client_is_used_again_after_it_was_closed(gateway: Gateway) -> None:
    client = AsyncClient(gateway.url, batch_seconds=NEVER)
    for number in range(3):
        client.track("e", "ada", {"n": number})
        assert await client.flush(5)
        await client.close()
    assert client.stats == Stats(accepted=3)


def test_a_loop_that_ended_is_no_end() -> None:
    """As where each request of a function service gets a loop of its own."""
    client: list[AsyncClient] = []
    bodies: list[dict[str, Any]] = []

    async def serving(work: Callable[[AsyncClient], Awaitable[None]]) -> None:
        async def take(request: web.Request) -> web.Response:
            body = await request.json()
            if client[0].stats.waiting == 0 and not bodies:
                bodies.append(body)
                client[0].track("second", "ada")
                raise asyncio.CancelledError  # the loop goes down under a request
            bodies.append(body)
            return web.json_response({"accepted": len(body["batch"]), "duplicates": 0, "rejected": []})

        app = web.Application()
        app.router.add_post("/api/events", take)
        async with TestServer(app, port=port) as server:
            if not client:
                client.append(AsyncClient(str(server.make_url("")).rstrip("/"), batch_seconds=0))
            await work(client[0])

    async def first(telling: AsyncClient) -> None:
        telling.track("first", "ada")
        while not bodies:
            await asyncio.sleep(0)

    async def second(telling: AsyncClient) -> None:
        assert await telling.flush(5)

    port = free_port()
    asyncio.run(serving(first))
    assert client[0].stats.waiting == 2
    asyncio.run(serving(second))
    assert client[0].stats == Stats(accepted=2)
    told = [event["event"] for body in bodies[1:] for event in body["batch"]]
    assert told == ["first", "second"]


async def test_whatever_goes_wrong_with_one_batch_the_next_is_sent(
    client: AsyncClient, gateway: Gateway
) -> None:
    gateway.script = [web.Response(text="[" * 100_000) for _ in range(4)]
    client.track("lost", "ada")
    assert await client.flush(5)
    client.track("next", "ada")
    assert await client.flush(5)
    assert client.stats == Stats(accepted=1, failed=1)


def test_a_machine_without_file_descriptors_stops_no_app(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> asyncio.AbstractEventLoop:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(asyncio, "new_event_loop", none)
    client = Client("http://127.0.0.1:9")
    telling = threading.Thread(target=client.track, args=("e", "ada"), daemon=True)
    telling.start()
    telling.join(5)
    assert not telling.is_alive()
    assert client.stats == Stats(waiting=1)


async def test_closing_does_not_leave_another_thread_waiting_for_its_flush(gateway: Gateway) -> None:
    gateway.script = [web.Response(status=503) for _ in range(100)]
    client = Client(gateway.url, tries=100)
    client.track("e", "ada")
    flushing = asyncio.create_task(asyncio.to_thread(client.flush, None))
    while not gateway.tokens:
        await asyncio.sleep(0.01)
    await asyncio.to_thread(client.close, 0.01)
    assert not await asyncio.wait_for(flushing, 5)


async def test_what_is_left_at_the_end_is_dropped_and_counted(gateway: Gateway) -> None:
    forever = asyncio.Event()

    async def pause(seconds: float) -> None:
        await forever.wait()

    client = AsyncClient(gateway.url, pause=pause)
    gateway.script = [web.Response(status=503)]
    for _ in range(60):
        client.track("e", "ada")
    assert not await client.flush(0.05)
    await client.close(0.01)
    assert client.stats == Stats(failed=50, dropped=10)


async def test_threads_share_a_client(gateway: Gateway) -> None:
    client = Client(gateway.url, batch_seconds=NEVER)

    def work(thread: int) -> None:
        for number in range(200):
            client.track("e", f"{thread}", {"n": number})

    def all_of_it() -> None:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.flush()
        client.close()
        client.close()

    await asyncio.to_thread(all_of_it)
    assert client.stats == Stats(accepted=1600)
    counted = Counter((event["userId"], event["properties"]["n"]) for event in gateway.events)
    assert len(counted) == 1600
    assert set(counted.values()) == {1}


async def in_a_process(gateway: Gateway, program: str) -> None:
    """Runs a program that is given ``URL``."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", f"URL = {gateway.url!r}\n{program}", env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert await process.wait() == 0


async def test_a_client_nobody_closed_is_flushed_when_the_process_ends(gateway: Gateway) -> None:
    program = "from weighbridge.client import Client\nClient(URL).track('never kept', 'ada')\n"
    program += "client = Client(URL)\nfor n in range(60): client.track('e', 'ada', {'n': n})\n"
    await in_a_process(gateway, program)
    assert len([event for event in gateway.events if event["event"] == "e"]) == 60


async def test_a_forked_process_sends_its_own(gateway: Gateway) -> None:
    await in_a_process(
        gateway,
        "import os\n"
        "from weighbridge.client import Client\n"
        "client = Client(URL, batch_seconds=3600)\n"
        "client.track('parent', 'ada')\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    client.track('child', 'ada')\n"
        "    client.close()\n"
        "    os._exit(0 if client.stats.accepted == 1 else 1)\n"
        "client.close()\n"
        "assert os.waitpid(child, 0)[1] == 0\n",
    )
    assert sorted(event["event"] for event in gateway.events) == ["child", "parent"]


def test_nothing_of_the_gateway_is_imported() -> None:
    program = (
        "import sys, weighbridge.client\n"
        "ours = {'gateway', 'storage', 'telemetry', 'pricing', 'pydantic', 'sqlalchemy', 'msgspec'}\n"
        "sys.exit(bool(ours & {name.partition('.')[0] for name in sys.modules}))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_where_it_sends_and_with_what(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WEIGHBRIDGE_URL", "WEIGHBRIDGE_TOKEN", "WEIGHBRIDGE_ADMIN_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    def chosen(*given: str, **more: str) -> tuple[str, str | None]:
        options = AsyncClient(*given, **more)._options
        return options.url, options.token

    assert chosen() == ("http://127.0.0.1:8707", None)
    monkeypatch.setenv("WEIGHBRIDGE_URL", "http://gateway:1/")
    monkeypatch.setenv("WEIGHBRIDGE_ADMIN_TOKEN", "admin")
    assert chosen() == ("http://gateway:1", "admin")
    monkeypatch.setenv("WEIGHBRIDGE_TOKEN", "app")
    assert chosen() == ("http://gateway:1", "app")
    assert chosen("http://here", token="mine") == ("http://here", "mine")
