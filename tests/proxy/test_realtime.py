"""WebSockets pass through both ways and leave one record each."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig.client import RawClient
from rig.core import Core, LaneKind
from rig.script import fin, hang, interim, raw, reply, steps
from rig.upstream import ScriptedUpstream
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from gateway.wire.websocket import Messages
from pricing.cost import CostStatus
from telemetry.outcome import Outcome

PATH = "/openai/v1/realtime?model=gpt-realtime"
USAGE = {
    "total_tokens": 150,
    "input_tokens": 100,
    "output_tokens": 50,
    "input_token_details": {"text_tokens": 100, "audio_tokens": 0, "cached_tokens": 0},
    "output_token_details": {"text_tokens": 50, "audio_tokens": 0},
}
Talk = Callable[[ServerConnection], Awaitable[None]]


async def turns(connection: ServerConnection) -> None:
    """A provider: greets, and answers every message with a turn and its usage."""
    session = {"id": "sess_1", "model": "gpt-realtime"}
    await connection.send(json.dumps({"type": "session.created", "session": session}))
    async for message in connection:
        await connection.send(message)
        done = {"type": "response.done", "response": {"status": "completed", "usage": USAGE}}
        await connection.send(json.dumps(done))


@pytest.fixture(
    params=list(LaneKind),
    ids=lambda lane: lane.name.lower(),
)
def lane(request: pytest.FixtureRequest) -> LaneKind:
    """Both ways in which an app's connection is served can give its transport over."""
    kind: LaneKind = request.param
    return kind


@asynccontextmanager
async def provider(talk: Talk, lane: LaneKind) -> AsyncIterator[tuple[Core, list[Any]]]:
    seen: list[Any] = []

    async def handler(connection: ServerConnection) -> None:
        seen.append(connection.request)
        await talk(connection)

    async with serve(handler, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with Core(f"http://127.0.0.1:{port}", lane) as core:
            yield core, seen


def url(core: Core, path: str = PATH) -> str:
    return f"ws://127.0.0.1:{core.port}{path}"


async def test_messages_pass_and_their_usage_is_added_up(lane: LaneKind) -> None:
    async with provider(turns, lane) as (core, seen):
        lines = {
            "Authorization": "Bearer sk-app",
            "OpenAI-Beta": "realtime=v1",
            "x-weighbridge-team": "voice",
        }
        async with connect(url(core), additional_headers=lines) as app:
            assert json.loads(await app.recv())["type"] == "session.created"
            for message in ("hello", b"\x00\xff" * 70_000, "ü" * 40_000):
                await app.send(message)
                assert await app.recv() == message
                assert json.loads(await app.recv())["type"] == "response.done"
            assert await (await app.ping()) >= 0
        record = await core.record()
        assert record.outcome is Outcome.COMPLETED
        assert record.answer.status == 101
        assert (record.what.model, record.answer.model, record.answer.response_id) == (
            "gpt-realtime",
            "gpt-realtime",
            "sess_1",
        )
        assert record.usage is not None
        assert (record.usage.input, record.usage.output) == (300, 150)
        assert record.cost.status is CostStatus.PRICED
        assert record.who.team == "voice"
        assert record.answer.response_bytes > 200_000
        headers = seen[0].headers
        assert seen[0].path == "/v1/realtime?model=gpt-realtime"
        assert headers["Authorization"] == "Bearer sk-app"
        assert headers["OpenAI-Beta"] == "realtime=v1"
        assert "x-weighbridge-team" not in headers
        assert "Sec-WebSocket-Extensions" not in headers
        assert len(core.ledger.opened_records) == len(core.records) == 1
        assert not core.live


async def test_responses_over_a_socket_are_billed_turn_by_turn(lane: LaneKind) -> None:
    async def talk(connection: ServerConnection) -> None:
        async for _ in connection:
            usage = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110}
            response = {"id": "resp_1", "model": "gpt-5", "status": "completed", "usage": usage}
            await connection.send(json.dumps({"type": "response.completed", "response": response}))

    async with provider(talk, lane) as (core, _):
        async with connect(url(core, "/openai/v1/responses")) as app:
            for _ in range(2):
                await app.send(json.dumps({"type": "response.create", "model": "gpt-5", "input": "hi"}))
                await app.recv()
        record = await core.record()
        assert record.what.wire == "openai_responses_socket"
        assert record.usage is not None
        assert (record.usage.input, record.usage.output) == (200, 20)
        assert (record.cost.status, record.cost.total) == (CostStatus.PRICED, 200 * 1_250 + 20 * 10_000)


async def test_a_socket_that_nobody_reads_is_not_called_free(lane: LaneKind) -> None:
    async def talk(connection: ServerConnection) -> None:
        await connection.send("hello")

    async with provider(talk, lane) as (core, _):
        async with connect(url(core, "/mistral/v1/audio/transcriptions/realtime")) as app:
            await app.recv()
        assert (await core.record()).cost.status is CostStatus.UNPRICED


async def test_the_provider_closes_with_a_reason_that_the_app_sees(lane: LaneKind) -> None:
    async def talk(connection: ServerConnection) -> None:
        await connection.close(4002, "session expired")

    async with provider(talk, lane) as (core, _):
        async with connect(url(core)) as app:
            with pytest.raises(ConnectionClosed) as closed:
                await app.recv()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4002, "session expired")
        assert (await core.record()).outcome is Outcome.COMPLETED


async def test_an_app_that_vanishes(lane: LaneKind) -> None:
    left = asyncio.Event()

    async def talk(connection: ServerConnection) -> None:
        await connection.send("hello")
        await connection.wait_closed()
        left.set()

    async with provider(talk, lane) as (core, _):
        app = await connect(url(core))
        await app.recv()
        app.transport.abort()
        await asyncio.wait_for(left.wait(), 5)
        assert (await core.record()).outcome is Outcome.CANCELLED


async def test_a_provider_that_vanishes(lane: LaneKind) -> None:
    async def talk(connection: ServerConnection) -> None:
        await connection.send("hello")
        connection.transport.abort()

    async with provider(talk, lane) as (core, _):
        async with connect(url(core)) as app:
            assert await app.recv() == "hello"
            with pytest.raises(ConnectionClosed):
                await app.recv()
        record = await core.record()
        assert record.outcome is Outcome.TRUNCATED


async def test_shutdown_and_idle_time_end_it(lane: LaneKind) -> None:
    async def talk(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async with provider(talk, lane) as (core, _):
        for number, expected in ((1, Outcome.SHUTDOWN), (2, Outcome.STALLED)):
            app = await connect(url(core))
            if expected is Outcome.SHUTDOWN:
                for running in list(core.live):
                    running.shut_down()
            else:
                core.advance(301)
            with pytest.raises(ConnectionClosed):
                await app.recv()
            assert (await core.record(number)).outcome is expected


async def test_a_refusal_of_the_provider_passes_unchanged(upstream: ScriptedUpstream, lane: LaneKind) -> None:
    upstream.play(
        reply(401, b'{"error":"bad key"}', headers=[("Content-Type", "application/json"), ("X-Why", "key")])
    )
    async with Core(upstream.base, lane) as core:
        with pytest.raises(InvalidStatus) as refused:
            await connect(url(core))
        assert refused.value.response.status_code == 401
        assert refused.value.response.body == b'{"error":"bad key"}'
        assert refused.value.response.headers["X-Why"] == "key"
        record = await core.record()
        assert (record.outcome, record.answer.status) == (Outcome.PROVIDER_ERROR, 401)
        assert record.cost.status is CostStatus.NOT_BILLABLE


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nosuch/v1/realtime", 404), ("/openai/../x", 400), ("/openai/" + "x" * 17_000, 414)],
)
async def test_what_leads_nowhere_is_refused(
    upstream: ScriptedUpstream, lane: LaneKind, path: str, status: int
) -> None:
    async with Core(upstream.base, lane) as core:
        client = await RawClient.open(core.port)
        client.send(
            f"GET {path} HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".encode()
        )
        assert (await client.answer("GET")).status == status
        assert not upstream.requests


async def test_a_provider_that_cannot_be_reached_or_says_nothing(
    upstream: ScriptedUpstream, lane: LaneKind
) -> None:
    async with Core("http://127.0.0.1:1", lane) as core:
        with pytest.raises(InvalidStatus) as refused:
            await connect(url(core))
        assert refused.value.response.status_code == 502
        assert (await core.record()).outcome is Outcome.CONNECT_FAILED
    upstream.play(hang())
    async with Core(upstream.base, lane) as core:
        waiting = asyncio.create_task(connect(url(core)).__aenter__())
        await upstream.seen(1)
        core.advance(601)
        with pytest.raises(InvalidStatus) as refused:
            await waiting
        assert refused.value.response.status_code == 504
        assert (await core.record()).outcome is Outcome.TIMEOUT


UPGRADE = (
    b"GET /openai/v1/realtime HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
HIDDEN = b"POST /v1/hidden HTTP/1.1\r\nHost: provider\r\nContent-Length: 2\r\n\r\n{}"


async def test_nothing_goes_up_before_the_provider_agrees(upstream: ScriptedUpstream, lane: LaneKind) -> None:
    """Behind a refusal, what follows the request would be read by the provider as a request of its own."""
    upstream.play(reply(403, b"no"))
    async with Core(upstream.base, lane) as core:
        client = await RawClient.open(core.port)
        client.send(UPGRADE + HIDDEN)
        client.send(HIDDEN)
        answer = await client.answer("GET")
        assert (answer.status, answer.body) == (403, b"no")
        await client.closed()
        await core.record()
        assert [request.target for request in upstream.requests] == ["/v1/realtime"]
        assert len(core.records) == 1


async def test_what_is_sent_early_goes_up_after_the_provider_agreed(lane: LaneKind) -> None:
    early = Frame(Opcode.TEXT, b"early").serialize(mask=True)
    async with provider(turns, lane) as (core, _):
        client = await RawClient.open(core.port)
        client.send(UPGRADE + early)
        await client.until(b"response.done")
        assert client.received.startswith(b"HTTP/1.1 101 ")
        assert b"x-weighbridge-request-id: " in client.received.partition(b"\r\n\r\n")[0]
        assert b"early" in client.received
        client.close()
        assert (await core.record()).outcome is Outcome.CANCELLED


async def test_interim_answers_come_before_the_agreement(upstream: ScriptedUpstream, lane: LaneKind) -> None:
    agreed = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    message, goodbye = (
        Frame(opcode, data).serialize(mask=False)
        for opcode, data in ((Opcode.TEXT, b"hi"), (Opcode.CLOSE, b"\x03\xe8"))
    )
    upstream.play(steps(interim(103, [("Link", "</x>")]), raw(agreed + message), raw(goodbye), fin()))
    async with Core(upstream.base, lane) as core:
        client = await RawClient.open(core.port)
        client.send(UPGRADE)
        answer = await client.answer("GET")
        assert (answer.status, [head.start.split(" ")[1] for head in answer.interim]) == (101, ["103"])
        await client.closed()
        assert client.received.endswith(message + goodbye)
        record = await core.record()
        assert (record.outcome, record.answer.status) == (Outcome.COMPLETED, 101)


def frames(messages: list[str], chance: random.Random, *, masked: bool) -> bytes:
    """Messages cut into fragments, with pings in between."""
    out = b""
    for message in messages:
        data = message.encode()
        cuts = sorted(chance.randint(0, len(data)) for _ in range(chance.randint(0, 3)))
        pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        for index, piece in enumerate(pieces):
            opcode = Opcode.TEXT if index == 0 else Opcode.CONT
            out += Frame(opcode, piece, fin=index == len(pieces) - 1).serialize(mask=masked)
            if chance.random() < 0.3:
                out += Frame(Opcode.PING, b"?").serialize(mask=masked)
    return out


@given(st.lists(st.text(max_size=200), max_size=6), st.integers(0, 10**6), st.booleans())
def test_messages_are_read_however_they_are_cut(messages: list[str], seed: int, masked: bool) -> None:
    chance = random.Random(seed)
    data = frames(messages, chance, masked=masked)
    reader, found, at = Messages(10_000), [], 0
    while at < len(data):
        step = chance.randint(1, 40)
        found += [message.decode() for message in reader.feed(data[at : at + step])]
        at += step
    assert found == messages
    assert not reader.closed


@given(st.binary(max_size=400))
def test_no_bytes_at_all_upset_it(data: bytes) -> None:
    list(Messages(50).feed(data))


def test_what_is_too_large_is_passed_over_and_the_next_is_read() -> None:
    reader = Messages(100)
    large = Frame(Opcode.TEXT, b"x" * 5_000).serialize(mask=False)
    parts = Frame(Opcode.TEXT, b"y" * 90, fin=False).serialize(mask=False) + Frame(
        Opcode.CONT, b"y" * 90
    ).serialize(mask=False)
    small = Frame(Opcode.TEXT, b"next").serialize(mask=False)
    goodbye = Frame(Opcode.CLOSE, b"\x03\xe8bye").serialize(mask=False)
    found = []
    for at in range(0, len(data := large + parts + small + goodbye), 37):
        found += list(reader.feed(data[at : at + 37]))
    assert found == [b"next"]
    assert reader.dropped == 2
    assert (reader.closed, reader.close_code) == (True, 1000)
