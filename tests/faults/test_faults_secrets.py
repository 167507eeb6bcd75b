"""Planted secrets and planted words are looked for wherever the gateway leaves a trace: nowhere may they be."""

from __future__ import annotations

import asyncio
import inspect
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from otel.collector import Collector
from rig.bodies import DONE, data_event, openai_chat, openai_events
from rig.client import RawClient, call
from rig.process import ServeProcess, serving
from rig.script import Script, body_read, fin, garbage, hang, reply, rst, sse, steps
from rig.upstream import ScriptedUpstream

from gateway.api.guard import Guard

APP_KEY = "planted-app-key-0123456789abcdef"
GATEWAY_KEY = "planted-gateway-key-0123456789abcdef"
QUERY_KEY = "planted-query-key-0123456789abcdef"
ADMIN = "planted-admin-token-0123456789abcdef"
COLLECTOR_KEY = "planted-collector-key-0123456789abcdef"
PROMPT = "the planted question of how heavy the whale is"
ANSWER = "the planted answer of forty tonnes"
SECRETS = {
    "app key": APP_KEY,
    "gateway key": GATEWAY_KEY,
    "query key": QUERY_KEY,
    "admin token": ADMIN,
    "collector key": COLLECTOR_KEY,
    "prompt": PROMPT,
    "answer": ANSWER,
}

CHAT = "/openai/v1/chat/completions"
ASK: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": PROMPT}]}
STREAM = {**ASK, "stream": True}
CLAUDE = {**ASK, "model": "claude-sonnet-4-5", "max_tokens": 9}
GEMINI = {"contents": [{"parts": [{"text": PROMPT}]}]}


def _echo(where: str, key: str) -> Script:
    """A provider that answers 401 and tells the key it was given."""
    error = {
        "message": "Incorrect API key",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_api_key",
    }
    if where == "header":
        return reply(
            401,
            json={"error": error},
            headers=[("x-request-id", key), ("www-authenticate", f'Bearer "{key}"')],
        )
    if where == "text":
        return reply(401, f"bad key {key}".encode(), headers=[("Content-Type", "text/plain")])
    return reply(401, json={"error": {**error, where: f"bad key {key}"}, "type": "error"})


def _calls() -> Iterator[tuple[str, str, list[tuple[str, str]], Any, Script]]:
    """Name, path, headers, body, what the provider does."""
    bearer = [("Authorization", f"Bearer {APP_KEY}")]
    x_key = [("x-api-key", APP_KEY)]
    told = openai_chat(text=ANSWER)
    events = openai_events((ANSWER, "."))
    yield "ok", CHAT, bearer, ASK, reply(json=told)
    yield "ok-stream", CHAT, bearer, STREAM, sse(events)
    yield "ok-own-key", CHAT, [], ASK, reply(json=told)
    yield (
        "anthropic",
        "/anthropic/v1/messages",
        x_key,
        CLAUDE,
        reply(json={"content": [{"type": "text", "text": ANSWER}]}),
    )
    model = "/gemini/v1beta/models/gemini-2.0-flash"
    yield "query", f"{model}:generateContent?key={QUERY_KEY}", [], GEMINI, reply(json={"candidates": ANSWER})
    yield "query-refused", f"{model}:generateContent?key={QUERY_KEY}", [], GEMINI, _echo("message", QUERY_KEY)
    yield "query-nowhere", f"/nobody/x?key={QUERY_KEY}", bearer, GEMINI, reply()
    yield (
        "query-reset",
        f"{model}:generateContent?alt=sse&key={QUERY_KEY}",
        [],
        GEMINI,
        steps(body_read(), rst()),
    )
    for where in ("message", "code", "type", "param", "header", "text"):
        yield f"echo-{where}", CHAT, bearer, ASK, _echo(where, APP_KEY)
        yield f"echo-own-{where}", CHAT, [], STREAM, _echo(where, GATEWAY_KEY)
        yield f"echo-anthropic-{where}", "/anthropic/v1/messages", x_key, CLAUDE, _echo(where, APP_KEY)
    echoed = data_event({"error": {"message": f"bad {APP_KEY}", "code": APP_KEY, "type": f"no {APP_KEY}"}})
    yield "echo-in-stream", CHAT, bearer, STREAM, sse([*events[:2], echoed, DONE])
    yield "reset", CHAT, bearer, ASK, steps(body_read(), rst())
    yield "cut", CHAT, bearer, STREAM, sse(events[:3], then=fin())
    yield "garbage", CHAT, bearer, ASK, garbage(f"{APP_KEY} {ANSWER}\r\n\r\n".encode())
    yield (
        "broken-json",
        CHAT,
        bearer,
        ASK,
        reply(200, f'{{"id": "{ANSWER}'.encode(), headers=[("Content-Type", "application/json")]),
    )
    yield "unknown-wire", "/openai/v1/unheard-of", bearer, ASK, reply(json={"text": ANSWER, "key": APP_KEY})


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with Collector() as running:
        yield running


def _sweep(places: dict[str, bytes]) -> list[str]:
    return [
        f"{name} in {place}"
        for place, data in places.items()
        for name, secret in SECRETS.items()
        if secret.encode() in data or secret.encode("utf-16-le") in data
    ]


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _api(port: int, path: str, token: str | None = ADMIN) -> bytes:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        data: bytes = answer.read()
    return data


async def _hostile(port: int) -> None:
    """Secrets in requests that are refused before they are read."""
    for data in (
        f"GET /openai/v1/x?key={QUERY_KEY} HTTP/1.1\r\nHost: a\r\nBad Line {APP_KEY}\r\n\r\n",
        f"POST /openai/v1/{APP_KEY}/../../.. HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {APP_KEY}\r\n\r\n",
        f"{APP_KEY} / HTTP/1.1\r\n\r\n",
        f"GET /api/calls?cursor={APP_KEY} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {APP_KEY}\r\n\r\n",
        f"POST /openai/v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: {APP_KEY}\r\n\r\n{PROMPT}",
    ):
        client = await RawClient.open(port)
        client.send(data.encode())
        await client.until(b"HTTP/1.1 4")
        client.close()


async def _everything(gateway: ServeProcess, upstream: ScriptedUpstream, port: int) -> dict[str, bytes]:
    for name, path, headers, body, script in _calls():
        upstream.play(script)
        await call(port, "POST", path, headers, json=body)
        if name == "query-nowhere":
            upstream._queue.clear()
    await _hostile(port)
    upstream.play(sse(openai_events()[:1], then=hang()))
    leaver = await RawClient.open(port)
    leaver.request("POST", CHAT, [("Authorization", f"Bearer {APP_KEY}")], json=STREAM)
    await leaver.until(b"data: ")
    leaver.abort()
    await asyncio.sleep(0.5)
    listed = await asyncio.to_thread(_api, port, "/api/calls?limit=100")
    places = {"/api/calls": listed}
    for one in json.loads(listed)["items"]:
        for suffix in ("", "/cost"):
            path = f"/api/calls/{one['id']}{suffix}"
            places[path] = await asyncio.to_thread(_api, port, path)
    for path in ("/", "/readyz", "/healthz", "/api/openapi.json"):
        places[path] = await asyncio.to_thread(_api, port, path)
    process = psutil.Process(gateway.pid)
    places["process title"] = " ".join([process.name(), *process.cmdline()]).encode()
    return places


@pytest.mark.parametrize("options", [(), ("--debug",)], ids=["plain", "debug"])
async def test_secrets_are_nowhere(tmp_path: Path, collector: Collector, options: tuple[str, ...]) -> None:
    environ = {
        "OPENAI_KEY_OF_THE_GATEWAY": GATEWAY_KEY,
        "WEIGHBRIDGE_PROVIDERS__OPENAI__API_KEY_ENV": "OPENAI_KEY_OF_THE_GATEWAY",
        "WEIGHBRIDGE_ADMIN_TOKEN": ADMIN,
        "WEIGHBRIDGE_TELEMETRY__ENDPOINT": collector.url,
        "WEIGHBRIDGE_TELEMETRY__HEADERS": json.dumps({"authorization": f"Bearer {COLLECTOR_KEY}"}),
    }
    async with ScriptedUpstream() as upstream:
        with serving(tmp_path, upstream.base, *options, environ=environ) as gateway:
            port = await asyncio.to_thread(gateway.started)
            places = await _everything(gateway, upstream, port)
            count = len(list(_calls()))  # with the one that left, without the one that led nowhere
            await collector.until(lambda seen: len(seen.spans) >= count)
            places |= {f"alive: {name}": data for name, data in _files(gateway.data).items()}
            gateway.process.terminate()
            assert await asyncio.to_thread(gateway.wait) == 0
            places |= _files(gateway.data)
            places["log"] = gateway.log.encode()
            places["output"] = gateway.output.encode()
            places["spans"] = b"".join(one.SerializeToString() for one in collector.traces)
            places["metrics"] = b"".join(one.SerializeToString() for one in collector.metrics)
            found = _sweep(places)
            assert not found, "\n".join(found)
            # The sweep would have found them: they did travel.
            assert len(gateway.rows()) == count
            travelled = b"".join(seen.head.raw + seen.body for seen in upstream.requests)
            assert all(
                SECRETS[name].encode() in travelled
                for name in ("app key", "gateway key", "query key", "prompt")
            )
            assert any(COLLECTOR_KEY in headers["authorization"] for headers in collector.headers)


async def test_the_admin_token_is_compared_as_a_digest_in_constant_time() -> None:
    uses = [line.strip() for line in inspect.getsource(Guard).splitlines() if "get_secret_value" in line]
    compare = "hmac.compare_digest(_digest(told), _digest(token.get_secret_value()))"
    assert uses == [f"if token is not None and {compare}:"]
