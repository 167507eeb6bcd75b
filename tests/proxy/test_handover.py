"""What the fast lane gives to aiohttp, and that the giving is not seen from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from rig.client import RawClient
from rig.core import Core, LaneKind
from rig.script import body_read, hang, reply, steps
from rig.upstream import ScriptedUpstream

CALL = b"POST /openai/v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
async def fast(upstream: ScriptedUpstream) -> AsyncIterator[Core]:
    async with Core(upstream.base, LaneKind.FAST) as running:
        yield running


def lanes(core: Core) -> tuple[int, int]:
    """Connections in the fast lane, and with aiohttp."""
    return len(core.lane.connections), core.server.open


async def test_a_plain_call_stays(fast: Core) -> None:
    client = await RawClient.open(fast.port)
    for _ in range(3):
        client.send(CALL)
        assert (await client.answer()).status == 200
    assert lanes(fast) == (1, 0)


ODD = {
    "own-path": (HEALTH, 200),
    "own-path-in-absolute-words": (b"GET /healthz?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
    "http10": (b"POST /openai/v1/x HTTP/1.0\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", 200),
    "http10-no-host": (b"POST /openai/v1/x HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}", 200),
    "upgrade": (b"GET /openai/v1/realtime HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 200),
    "websocket-with-body": (b"GET /openai/v1/realtime HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\n{}", 400),
    "no-host": (b"GET /openai/v1/x HTTP/1.1\r\n\r\n", 400),
}  # fmt: skip


@pytest.mark.parametrize("shape", ODD)
@pytest.mark.parametrize("at_once", [True, False], ids=["at-once", "byte-by-byte"])
async def test_odd_requests_are_answered_all_the_same(fast: Core, shape: str, at_once: bool) -> None:
    data, status = ODD[shape]
    client = await RawClient.open(fast.port)
    for piece in [data] if at_once else [data[at : at + 1] for at in range(len(data))]:
        client.send(piece)
        if not at_once:
            await fast.turn()
    answer = await client.answer("GET")
    assert answer.status == status
    assert b"Traceback" not in client.received


async def test_own_paths_and_calls_alternate_on_one_connection(
    fast: Core, upstream: ScriptedUpstream
) -> None:
    client = await RawClient.open(fast.port)
    for _ in range(3):
        client.send(CALL)
        assert (await client.answer()).json() == {"ok": True}
        client.send(HEALTH)
        assert (await client.answer("GET")).json() == {"status": "ok"}
    assert lanes(fast) == (0, 1)
    assert len(upstream.requests) == len(fast.records) == 3


@pytest.mark.parametrize("count", [2, 5])
async def test_requests_in_one_read_are_answered_in_order(
    fast: Core, upstream: ScriptedUpstream, count: int
) -> None:
    upstream.play(*(reply(json={"n": number}) for number in range(count)))
    client = await RawClient.open(fast.port)
    client.send(CALL * count)
    assert [(await client.answer()).json() for _ in range(count)] == [
        {"n": number} for number in range(count)
    ]
    await fast.record(count)
    assert len(fast.records) == len(upstream.requests) == count


async def test_a_request_behind_a_running_call_waits_for_it(fast: Core, upstream: ScriptedUpstream) -> None:
    upstream.play(reply(json={"n": 1}), reply(json={"n": 2}))
    client = await RawClient.open(fast.port)
    client.send(CALL)
    await upstream.seen(1)
    client.send(CALL[:30])
    await fast.turn()
    client.send(CALL[30:])
    assert (await client.answer()).json() == {"n": 1}
    assert (await client.answer()).json() == {"n": 2}
    assert lanes(fast) == (1, 0)


@pytest.mark.parametrize("first", [CALL, HEALTH], ids=["call", "own"])
@pytest.mark.parametrize("second", [CALL, HEALTH], ids=["call", "own"])
async def test_two_requests_in_one_read_whatever_they_are(fast: Core, first: bytes, second: bytes) -> None:
    client = await RawClient.open(fast.port)
    client.send(first + second)
    for data in (first, second):
        expected = {"ok": True} if data is CALL else {"status": "ok"}
        assert (await client.answer()).json() == expected


async def test_half_a_request_behind_a_whole_one(fast: Core) -> None:
    client = await RawClient.open(fast.port)
    client.send(CALL + CALL[:25])
    assert (await client.answer()).status == 200
    client.send(CALL[25:])
    assert (await client.answer()).status == 200
    await fast.record(2)
    assert len(fast.records) == 2


async def test_a_large_body_after_a_hand_over_streams_too(fast: Core, upstream: ScriptedUpstream) -> None:
    client = await RawClient.open(fast.port)
    client.send(HEALTH)
    assert (await client.answer("GET")).status == 200
    body = b"x" * 300_000
    client.request("POST", "/openai/v1/files", body=body, chunked=True)
    assert (await client.answer()).status == 200
    assert upstream.requests[0].body == body


async def test_an_app_that_leaves_after_the_hand_over_is_noticed(
    fast: Core, upstream: ScriptedUpstream
) -> None:
    upstream.play(steps(body_read(), hang()))
    client = await RawClient.open(fast.port)
    client.send(HEALTH)
    assert (await client.answer("GET")).status == 200
    client.send(CALL)
    await upstream.seen(1)
    client.close()
    await upstream.left()
    assert (await fast.record()).outcome.value == "cancelled"


UPGRADES = b"POST /openai/v1/x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"


@pytest.mark.parametrize("lane", LaneKind)
@pytest.mark.parametrize(
    "framed", [b"Content-Length: 4\r\n\r\nbody", b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"]
)
async def test_an_upgrade_that_is_not_known_is_ignored(
    upstream: ScriptedUpstream, lane: LaneKind, framed: bytes
) -> None:
    """As ``curl --http2`` asks for it; nothing is read behind it."""
    async with Core(upstream.base, lane) as core:
        client = await RawClient.open(core.port)
        client.send(UPGRADES + framed + CALL)
        answer = await client.answer()
        assert (answer.status, answer.header("connection")) == (200, "close")
        await client.closed()
        (seen,) = upstream.requests
        assert seen.body == b"body"
        assert seen.head.get("upgrade") is seen.head.get("http2-settings") is None
