"""Requests whose end can be read in two ways are refused on both fronts: nothing of them reaches a provider."""

from __future__ import annotations

import pytest
from rig.client import RawClient
from rig.core import Core
from rig.upstream import ScriptedUpstream

SMUGGLED = b"GET /openai/v1/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /openai/v1/x HTTP/1.1\r\nHost: a\r\n"
CHUNKS = b"0\r\n\r\n"

REFUSED = {
    "length-and-chunked": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    "chunked-and-length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + CHUNKS,
    "two-lengths": POST + b"Content-Length: 0\r\nContent-Length: 45\r\n\r\n",
    "two-equal-lengths": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nab",
    "length-list": POST + b"Content-Length: 0, 45\r\n\r\n",
    "length-plus": POST + b"Content-Length: +2\r\n\r\nab",
    "length-minus": POST + b"Content-Length: -2\r\n\r\nab",
    "length-hex": POST + b"Content-Length: 0x2\r\n\r\nab",
    "length-space": POST + b"Content-Length: 1 2\r\n\r\nab",
    "length-empty": POST + b"Content-Length: \r\n\r\n",
    "length-superscript": POST + b"Content-Length: \xb2\r\n\r\nab",
    "length-huge": POST + b"Content-Length: 18446744073709551618\r\n\r\nab",
    "name-space": POST + b"Content-Length : 45\r\n\r\n",
    "name-tab": POST + b"Transfer-Encoding\t: chunked\r\n\r\n" + CHUNKS,
    "folded": POST + b"X: a\r\n Content-Length: 45\r\n\r\n",
    "folded-coding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + CHUNKS,
    "bare-lf": b"POST /openai/v1/x HTTP/1.1\nHost: a\nContent-Length: 0\n\n",
    "bare-lf-one-line": POST + b"X: a\nContent-Length: 45\r\n\r\n",
    "bare-lf-last": POST + b"X: a\n\r\n",
    "bare-cr": POST + b"X: a\rContent-Length: 45\r\n\r\n",
    "null": POST + b"X: a\x00b\r\n\r\n",
    "coding-unknown": POST + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKS,
    "coding-identity": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "coding-not-last": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + CHUNKS,
    "coding-twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + CHUNKS,
    "coding-doubled": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + CHUNKS,
    "coding-other-first": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKS,
    "coding-vertical-tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + CHUNKS,
    "coding-http10": b"POST /openai/v1/x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    "two-hosts": POST + b"Host: b\r\n\r\n",
    "no-host": b"POST /openai/v1/x HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "chunk-bare-lf": POST + b"Transfer-Encoding: chunked\r\n\r\n2\nab\r\n" + CHUNKS,
    "chunk-minus": POST + b"Transfer-Encoding: chunked\r\n\r\n-2\r\nab\r\n" + CHUNKS,
    "chunk-hex-prefix": POST + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\nab\r\n" + CHUNKS,
    "chunk-huge": POST + b"Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\nab\r\n" + CHUNKS,
    "chunk-space": POST + b"Transfer-Encoding: chunked\r\n\r\n2 \r\nab\r\n" + CHUNKS,
    "chunk-no-end": POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabXX" + CHUNKS,
    "chunk-extension-lf": POST + b"Transfer-Encoding: chunked\r\n\r\n2;a=\nb\r\nab\r\n" + CHUNKS,
    "version": b"POST /openai/v1/x HTTP/2.0\r\nHost: a\r\n\r\n",
    "target-space": b"POST /openai/v1/x y HTTP/1.1\r\nHost: a\r\n\r\n",
    "target-tab": b"POST\t/openai/v1/x HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("shape", REFUSED)
@pytest.mark.parametrize("pieces", [1, 7], ids=["at-once", "in-pieces"])
async def test_a_request_with_two_ends_is_refused(
    core: Core, upstream: ScriptedUpstream, shape: str, pieces: int
) -> None:
    data = REFUSED[shape] + SMUGGLED
    client = await RawClient.open(core.port)
    step = -(-len(data) // pieces)
    for at in range(0, len(data), step):
        client.send(data[at : at + step])
        if pieces > 1:
            await core.turn()
    core.advance(200)
    await client.closed()
    assert client.received == b"" or client.received.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert client.received.count(b"HTTP/1.") <= 1
    assert upstream.requests == []
    assert all(record.outcome.value == "refused" for record in core.records)


async def test_a_chunk_extension_does_not_travel(core: Core, upstream: ScriptedUpstream) -> None:
    client = await RawClient.open(core.port)
    client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n2;name=value\r\nab\r\n0\r\nX-Late: 1\r\n\r\n")
    assert (await client.answer()).status == 200
    assert upstream.requests[0].body == b"ab"
    assert upstream.requests[0].header("transfer-encoding") is None
    assert upstream.requests[0].header("x-late") is None


async def test_what_follows_a_whole_request_is_a_request_of_its_own(
    core: Core, upstream: ScriptedUpstream
) -> None:
    client = await RawClient.open(core.port)
    client.send(POST + b"Content-Length: 2\r\n\r\nab" + SMUGGLED)
    assert (await client.answer()).status == 200
    assert (await client.answer()).status == 200
    assert [(seen.method, seen.target, seen.body) for seen in upstream.requests] == [
        ("POST", "/v1/x", b"ab"),
        ("GET", "/v1/smuggled", b""),
    ]
    await core.record(2)
