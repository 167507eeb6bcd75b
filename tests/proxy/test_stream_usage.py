"""The gateway asks a stream for its usage in the app's place, and the app does not see it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from rig.bodies import openai_events
from rig.client import RawClient, call
from rig.core import Core, LaneKind
from rig.script import fin, reply, sse
from rig.upstream import ScriptedUpstream

from telemetry.outcome import Outcome

CHAT = "/openai/v1/chat/completions"
EVENTS = openai_events()
USAGE = [event for event in EVENTS if b'"usage": {' in event or b'"usage":{' in event]
WITHOUT = [event for event in EVENTS if event not in USAGE]


@pytest.fixture
async def injecting(upstream: ScriptedUpstream, lane: LaneKind) -> AsyncIterator[Core]:
    async with Core(upstream.base, lane, inject=True) as running:
        yield running


async def test_usage_is_asked_for_recorded_and_hidden(injecting: Core, upstream: ScriptedUpstream) -> None:
    assert len(USAGE) == 1
    body = b'{"stream" : true,  "model":"gpt-4o"}'
    upstream.play(sse(EVENTS), sse(EVENTS, burst=True))
    for _ in range(2):
        answer = await call(injecting.port, "POST", CHAT, [("Accept-Encoding", "gzip")], body)
        assert answer.body == b"".join(WITHOUT)
        assert answer.complete
    sent = upstream.requests[0]
    assert json.loads(sent.body) == {
        "stream": True,
        "model": "gpt-4o",
        "stream_options": {"include_usage": True},
    }
    assert sent.header("accept-encoding") == "identity"
    assert sent.header("content-length") == str(len(sent.body))
    record = await injecting.record()
    assert record.usage is not None
    assert record.usage.input


async def test_an_app_that_asks_itself_is_left_alone(injecting: Core, upstream: ScriptedUpstream) -> None:
    body = b'{"model":"gpt-4o","stream":true,"stream_options":{"include_usage":true}}'
    upstream.play(sse(EVENTS))
    answer = await call(injecting.port, "POST", CHAT, [("Accept-Encoding", "gzip")], body)
    assert answer.body == b"".join(EVENTS)
    assert upstream.requests[0].body == body
    assert upstream.requests[0].header("accept-encoding") == "gzip"


async def test_calls_that_do_not_stream_are_left_alone(injecting: Core, upstream: ScriptedUpstream) -> None:
    body = b'{"model":"gpt-4o"}'
    await call(injecting.port, "POST", CHAT, body=body)
    assert upstream.requests[0].body == body


async def test_events_still_come_one_by_one(injecting: Core, upstream: ScriptedUpstream) -> None:
    gate = asyncio.Semaphore(0)
    upstream.play(sse(EVENTS, gate=gate))
    client = await RawClient.open(injecting.port)
    client.request("POST", CHAT, json={"model": "gpt-4o", "stream": True})
    for event in EVENTS:
        gate.release()
        if event in WITHOUT:
            await client.until(event)
    await client.until(b"0\r\n\r\n")
    assert USAGE[0] not in client.received


async def test_an_error_instead_of_the_stream_passes_whole(
    injecting: Core, upstream: ScriptedUpstream
) -> None:
    upstream.play(reply(400, json={"error": {"message": "stream_options not supported", "code": None}}))
    answer = await call(injecting.port, "POST", CHAT, json={"model": "gpt-4o", "stream": True})
    assert (answer.status, answer.json()["error"]["code"]) == (400, None)


async def test_an_old_client_gets_the_stream_unframed(injecting: Core, upstream: ScriptedUpstream) -> None:
    upstream.play(sse(EVENTS))
    client = await RawClient.open(injecting.port)
    client.send(b"POST %b HTTP/1.0\r\nContent-Length: 15\r\n\r\n" % CHAT.encode() + b'{"stream":true}')
    assert (await client.answer()).body == b"".join(WITHOUT)


async def test_a_cut_in_the_middle_of_an_event_shows_what_came(
    injecting: Core, upstream: ScriptedUpstream
) -> None:
    upstream.play(sse([WITHOUT[0], WITHOUT[1][:25]], then=fin()))
    answer = await call(injecting.port, "POST", CHAT, json={"model": "gpt-4o", "stream": True})
    assert answer.body == WITHOUT[0] + WITHOUT[1][:25]
    assert not answer.complete
    assert (await injecting.record()).outcome is Outcome.TRUNCATED
