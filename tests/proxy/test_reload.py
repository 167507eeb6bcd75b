"""A reload while calls run: the next ones are made under the new settings, those under way end under the old."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from otel.collector import Collector
from pydantic import SecretStr
from rig.bodies import openai_chat
from rig.client import WAIT, RawClient, call
from rig.gateway import gateway, settings_for
from rig.script import body_read, reply, steps, wait
from rig.upstream import ScriptedUpstream

from gateway.app import Gateway
from gateway.settings import Settings
from gateway.settings.changes import waiting
from storage.contents.keep import content_of
from storage.control import control_of

CHAT = "/openai/v1/chat/completions"
ASK: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "a question"}]}


@dataclasses.dataclass
class House:
    running: Gateway
    settings: Callable[..., Settings]

    def adopt(self, **sections: Any) -> None:
        self.running.adopt(self.settings(**sections))

    async def ask(self, *headers: tuple[str, str]) -> Any:
        return await call(self.running.port, "POST", CHAT, list(headers), json=ASK)

    async def get(self, path: str, **headers: str) -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.get(self.running.url + path, headers=headers) as answer,
        ):
            return answer.status


@pytest.fixture
async def house(upstream: ScriptedUpstream, tmp_path: Path) -> Any:
    def settings(**sections: Any) -> Settings:
        return settings_for(tmp_path, upstream.base, ("openai", "anthropic", "gemini"), **sections)

    upstream.default = reply(json=openai_chat(text="an answer"))
    async with gateway(tmp_path, upstream.base) as running:
        yield House(running, settings)


async def contents(running: Gateway, *ids: str) -> list[str | None]:
    """What is kept of each call's request, once the last of them is kept."""
    control = control_of(running._address)
    try:
        async with asyncio.timeout(WAIT):
            while await content_of(control, ids[-1]) is None:
                await asyncio.sleep(0.02)
        found = [await content_of(control, one) for one in ids]
        return [None if one is None else one.request.text for one in found]
    finally:
        await control.close()


async def test_capture(house: House, upstream: ScriptedUpstream) -> None:
    go = asyncio.Event()
    upstream.play(reply(json=openai_chat()), steps(body_read(), wait(go), reply(json={}, read=False)))
    before = await house.ask()
    under_way = asyncio.create_task(house.ask())
    await upstream.seen(2)
    house.adopt(capture={"content": "full", "request_bytes": 1024, "answer_bytes": 1024})
    go.set()
    ids = [one.header("x-weighbridge-request-id") for one in (before, await under_way, await house.ask())]
    assert await contents(house.running, *ids) == [None, None, json.dumps(ASK)]
    house.adopt(capture={"content": "hash"})
    ids = [(await house.ask()).header("x-weighbridge-request-id")]
    assert await contents(house.running, *ids) == [None], "a digest only"


async def test_what_is_kept_is_masked_with_the_keys_of_then(house: House) -> None:
    key = "planted-key-of-the-second-settings"
    house.adopt(capture={"content": "redacted"})
    await house.ask()
    fresh = house.settings(capture={"content": "redacted"})
    openai = fresh.providers["openai"].model_copy(update={"api_key": SecretStr(key)})
    house.running.adopt(fresh.model_copy(update={"providers": {**fresh.providers, "openai": openai}}))
    asked = {**ASK, "messages": [{"role": "user", "content": f"is it {key}?"}]}
    answer = await call(house.running.port, "POST", CHAT, json=asked)
    (text,) = await contents(house.running, answer.header("x-weighbridge-request-id"))
    assert text is not None
    assert key not in text
    assert "is it ***?" in text


async def test_limits(house: House) -> None:
    assert (await house.ask(("x-more", "y" * 3000))).status == 200
    house.adopt(limits={"header_bytes": 2048, "url_bytes": 256})
    assert (await house.ask(("x-more", "y" * 3000))).status == 400
    assert await house.get("/api/calls?" + "y" * 3000) == 400, "also where aiohttp reads"
    house.adopt(limits={"tap_bytes": 1024})
    assert (await house.ask()).status == 200
    assert house.running.proxy._gear.tap_limits.document == 1024
    assert house.running.proxy._gear.capture_limits.event == 1024


async def test_timeouts_of_apps(house: House) -> None:
    kept = await RawClient.open(house.running.port)
    house.adopt(timeouts={"client_head": 0.05, "keepalive": 0.05})
    late = await RawClient.open(house.running.port)
    late.send(b"POST / HTTP/1.1\r\n")
    await late.closed()
    kept.request("POST", CHAT, json=ASK)
    assert (await kept.answer()).status == 200, "a connection stays under the limits it was made with"
    kept.close()


async def test_who_may_read_and_call(house: House) -> None:
    assert await house.get("/api/calls") == 200
    house.adopt(auth={"admin_token": "first"})
    assert await house.get("/api/calls") == 401
    assert await house.get("/api/calls", authorization="Bearer first") == 200
    house.adopt(auth={"admin_token": "second", "mode": "keys"})
    assert await house.get("/api/calls", authorization="Bearer first") == 401
    assert await house.get("/api/calls", authorization="Bearer second") == 200
    assert (await house.ask()).status == 401, "a gateway key is needed now"
    house.adopt()
    assert (await house.ask()).status == 200


async def test_quality(house: House) -> None:
    async def comment() -> bool:
        answer = await house.ask()
        said = {"call_id": answer.header("x-weighbridge-request-id"), "rating": 1, "comment": "good"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(house.running.url + "/api/feedback", json=said) as told,
        ):
            assert told.status == 200
            return bool((await told.json())["comment_stored"])

    assert not await comment()
    house.adopt(quality={"store_comments": True})
    assert await comment()


async def test_spans_go_where_the_settings_say(house: House) -> None:
    async with Collector() as first, Collector() as second:
        await house.ask()
        for collector in (first, second):
            house.adopt(telemetry={"endpoint": collector.url})
            await asyncio.gather(*house.running._changing)
            await house.ask()
            await collector.until(lambda told: len(told.spans) >= 1)
        house.adopt()
        await asyncio.gather(*house.running._changing)
        await house.ask()
        assert house.running._lookers_on() == [house.running._admission.settle], "as if there were none"
        assert all("/v1/metrics" in told.requests or told.metrics for told in (first, second)), "to the end"
        ids = {span.trace_id for told in (first, second) for span in told.spans}
        assert len(ids) == 2, "one call each"


async def test_changed_twice_in_a_moment(house: House) -> None:
    async with Collector() as first, Collector() as second:
        house.adopt(telemetry={"endpoint": first.url})
        house.adopt(telemetry={"endpoint": second.url})
        await asyncio.gather(*house.running._changing)
        await house.ask()
        await second.until(lambda told: len(told.spans) >= 1)
        assert first.spans == []


async def test_trace_context_for_providers(house: House, upstream: ScriptedUpstream) -> None:
    told = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    await house.ask(told)
    house.adopt(proxy={"forward_traceparent": True})
    await house.ask(told)
    assert [seen.header("traceparent") for seen in upstream.requests] == [None, told[1]]


def test_what_asks_for_a_new_process_is_named_by_its_setting(tmp_path: Path) -> None:
    start = settings_for(tmp_path, "http://127.0.0.1:9", ())
    wanted = settings_for(
        tmp_path / "b",
        "http://127.0.0.1:9",
        (),
        server={"port": 1, "host": "::1", "workers": 3, "uvloop": False, "drain_seconds": 1},
        storage={"data_dir": tmp_path / "b", "batch_ms": 20},
        capture={"content": "full"},
        retention={"calls_days": 1},
    )
    found = waiting(start, wanted)
    assert found.for_start == ("server.host", "server.port", "server.workers", "storage.data_dir")
    assert found.for_workers == ("server.uvloop", "storage.batch_ms")
    assert waiting(start, start).names == ()


async def test_what_waits_is_told_until_it_is_done_or_taken_back(house: House) -> None:
    began_with = house.running.settings.storage
    for _ in range(2):
        house.adopt(storage={"data_dir": "elsewhere", "batch_ms": 99})
        assert house.running.waits.names == ("storage.data_dir", "storage.batch_ms")
    assert house.running.settings.storage == began_with, "until then, all hold to what runs"
    house.adopt()
    assert house.running.waits.names == ()
