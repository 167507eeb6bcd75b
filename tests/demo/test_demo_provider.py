"""The demo provider behaves like the providers it stands for, and the sample traffic like several teams."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from gateway.app import running
from gateway.demo import provider, run, traffic
from gateway.demo.provider import DemoProvider, Pace
from gateway.demo.replies import Prompt, answer
from gateway.demo.run import run_demo, with_demo_provider
from gateway.demo.texts import HANDBOOK
from gateway.demo.traffic import Plan, Shape, samples
from gateway.settings import Settings

KEY = {"authorization": "Bearer k"}
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "How heavy?"}]}


@pytest.fixture
async def base() -> AsyncIterator[str]:
    runner, url = await provider.start(Pace())
    yield url
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


def events_of(raw: bytes) -> list[Any]:
    lines = [line[6:] for line in raw.replace(b"\r\n", b"\n").split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


async def test_usage_comes_in_a_stream_only_when_it_is_asked_for(base: str, http: ClientSession) -> None:
    url = f"{base}/v1/chat/completions"
    async with http.post(url, json={**CHAT, "stream": True}, headers=KEY) as plain:
        without = await plain.read()
    asked = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    async with http.post(url, json=asked, headers=KEY) as full:
        counted = await full.read()
    assert b"usage" not in without
    assert without.endswith(b"data: [DONE]\n\n")
    assert counted.endswith(b"data: [DONE]\n\n")
    last = events_of(counted)[-1]
    assert last["choices"] == []
    assert (
        last["usage"]["total_tokens"] == last["usage"]["prompt_tokens"] + last["usage"]["completion_tokens"]
    )


async def test_every_wire_reports_the_same_tokens_streamed_or_not(base: str, http: ClientSession) -> None:
    async def get(path: str, body: dict[str, Any]) -> bytes:
        async with http.post(base + path, json=body, headers=KEY) as response:
            assert response.status == 200
            return await response.read()

    message = {"model": "claude-haiku-4-5", "max_tokens": 500, "messages": CHAT["messages"]}
    whole = json.loads(await get("/v1/messages", message))["usage"]
    parts = events_of(await get("/v1/messages", {**message, "stream": True}))
    start = next(part for part in parts if part["type"] == "message_start")["message"]["usage"]
    end = next(part for part in parts if part["type"] == "message_delta")["usage"]
    assert {**start, **end} == whole

    asked = {"model": "gpt-5.5", "input": "How heavy?"}
    whole = json.loads(await get("/v1/responses", asked))["usage"]
    parts = events_of(await get("/v1/responses", {**asked, "stream": True}))
    assert parts[-1]["response"]["usage"] == whole
    assert [part["sequence_number"] for part in parts] == list(range(len(parts)))

    content = {"contents": [{"role": "user", "parts": [{"text": "How heavy?"}]}]}
    model = "/v1beta/models/gemini-2.5-pro"
    whole = json.loads(await get(f"{model}:generateContent", content))
    parts = events_of(await get(f"{model}:streamGenerateContent?alt=sse", content))
    array = json.loads(await get(f"{model}:streamGenerateContent", content))
    assert whole["usageMetadata"] == parts[-1]["usageMetadata"] == array[-1]["usageMetadata"]
    assert whole["usageMetadata"]["thoughtsTokenCount"] > 0
    texts = ["".join(p["candidates"][0]["content"]["parts"][0]["text"] for p in ps) for ps in (parts, array)]
    assert texts == [whole["candidates"][0]["content"]["parts"][0]["text"]] * 2


async def test_long_prompts_are_read_from_the_cache_and_limits_cut(base: str, http: ClientSession) -> None:
    long = [answer(Prompt(model="gpt-4o", text=f"{HANDBOOK} {n}")) for n in range(20)]
    assert any(reply.cached for reply in long)
    assert all(reply.cached <= reply.input and reply.cached % 128 == 0 for reply in long)
    short = answer(Prompt(model="gpt-4o", text="x", max_tokens=5))
    assert (short.cut, short.output) == (True, 5)
    assert answer(Prompt(model="gpt-4o", text="x")) == answer(Prompt(model="gpt-4o", text="x"))


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/v1/chat/completions", lambda body: body["error"]["code"]),
        ("/v1/messages", lambda body: body["error"]["type"]),
    ],
)
async def test_errors_have_the_shape_of_the_wire(
    base: str, http: ClientSession, path: str, where: Any
) -> None:
    kinds = {}
    for status in (429, 500):
        body = {**CHAT, "model": f"demo-error-{status}", "max_tokens": 5}
        async with http.post(base + path, json=body, headers=KEY) as response:
            assert response.status == status
            assert ("retry-after" in response.headers) == (status == 429)
            kinds[status] = where(await response.json())
    assert kinds[429] in ("rate_limit_exceeded", "rate_limit_error")
    for content, credential, status in (
        (b"{", KEY, 400),
        (b"[]", KEY, 400),
        (b"{}", {}, 401),
        (b"{}", KEY, 400),
    ):
        async with http.post(base + path, data=content, headers=credential) as response:
            assert response.status == status


async def test_errors_come_now_and_then_and_the_same_with_the_same_seed() -> None:
    async def run_of(seed: int) -> list[int]:
        spoken = DemoProvider(Pace(error_share=0.3, seed=seed))
        statuses = []
        for _ in range(200):
            try:
                await spoken._think(Prompt(model="gpt-4o", text="x"))
                statuses.append(200)
            except provider.DemoError as error:
                statuses.append(error.status)
        return statuses

    first = await run_of(1)
    assert first == await run_of(1)
    assert first != await run_of(2)
    assert set(first) == {200, 429, 500, 529}


def test_the_sample_traffic_is_spread_over_teams_models_and_shapes() -> None:
    calls = samples(Plan(calls=300))
    assert calls == samples(Plan(calls=300))
    teams = Counter(call.headers["x-weighbridge-team"] for call in calls)
    assert len(teams) == 4
    assert len({call.headers["x-weighbridge-user"] for call in calls}) == 8
    models = {call.body.get("model") or call.path.split("/")[-1].split(":")[0] for call in calls}
    assert models == {model for options in traffic.MODELS.values() for _, model in options}
    assert {call.stream for call in calls} == {True, False}
    assert any(call.leave_early for call in calls)
    assert len(Shape) == len({shape for options in traffic.MODELS.values() for shape, _ in options})


async def test_run_demo_points_the_providers_at_itself_and_tells_what_to_do_next(tmp_path: Any) -> None:
    pointed: list[Settings] = []

    @asynccontextmanager
    async def serve(settings: Settings) -> AsyncIterator[str]:
        pointed.append(settings)
        yield "http://127.0.0.1:1"

    lines: list[str] = []
    tally = await run_demo(Settings(), serve, lines.append, pace=Pace(), plan=Plan(calls=5))
    assert (tally.failed, tally.ok) == (5, 0)
    (settings,) = pointed
    bases = {settings.providers[name].base_url for name in run.SPOKEN}
    assert len(bases) == 1
    assert any("weighbridge calls" in line for line in lines)
    kept = Settings(providers={"mine": {"base_url": "http://127.0.0.1:2"}})
    assert set(with_demo_provider(kept, "http://127.0.0.1:3").providers) == {"mine", *run.SPOKEN}


async def test_the_whole_demo_leaves_one_record_per_call(tmp_path: Path) -> None:
    plan, started = Plan(calls=60, seed=3), []

    @asynccontextmanager
    async def serve(settings: Settings) -> AsyncIterator[str]:
        storage = settings.storage.model_copy(update={"data_dir": tmp_path})
        server = settings.server.model_copy(update={"port": 0})
        async with running(settings.model_copy(update={"storage": storage, "server": server})) as gateway:
            started.append(gateway)
            yield gateway.url

    async def all_recorded() -> None:
        async with asyncio.timeout(10):
            while started[0].ledger.stats().recorded < plan.calls:
                await asyncio.sleep(0.01)

    tally = await run_demo(
        Settings(), serve, lambda line: None, pace=Pace(error_share=0.1), plan=plan, until=all_recorded()
    )
    assert tally.ok + tally.failed + tally.left == plan.calls
    assert tally.failed
    with closing(sqlite3.connect(tmp_path / "weighbridge.db")) as store:
        rows = store.execute(
            "select team, feature, user_id, cost_status, outcome from model_requests"
        ).fetchall()
    assert len(rows) == plan.calls
    sent = Counter(
        tuple(call.headers[f"x-weighbridge-{name}"] for name in ("team", "feature", "user"))
        for call in samples(plan)
    )
    assert Counter(row[:3] for row in rows) == sent
    assert {"priced", "unpriced", "not_billable"} <= {row[3] for row in rows}
    assert sum(row[4] == "provider_error" for row in rows) == tally.failed
