"""Requests no honest client sends, made from a seed: the same seed makes the same bytes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

Maker = Callable[[random.Random], bytes]

PATHS = (
    b"/openai/v1/chat/completions",
    b"/openai/v1/responses",
    b"/openai/v1/embeddings",
    b"/openai/v1/audio/transcriptions",
    b"/anthropic/v1/messages",
    b"/gemini/v1beta/models/gemini-2.0-flash:generateContent",
    b"/gemini/v1beta/models/g:streamGenerateContent?alt=sse&key=sesame",
    b"/v1/messages",
    b"/v1/models",
    b"/openai/v1/files/abc",
    b"/",
    b"/healthz",
    b"/readyz",
    b"/metrics",
    b"/api/calls",
    b"/api/calls/0",
    b"/api/nothing",
    b"/nobody/v1/x",
)
METHODS = (b"POST", b"GET", b"PUT", b"DELETE", b"HEAD", b"PATCH", b"OPTIONS")
BODY = b'{"model":"gpt-4o","stream":false,"messages":[{"role":"user","content":"how heavy"}]}'


def _method(rng: random.Random) -> bytes:
    return rng.choice(METHODS) if rng.random() < 0.3 else b"POST"


def request(rng: random.Random, path: bytes | None = None, extra: bytes = b"", body: bytes = BODY) -> bytes:
    """A request that would be fine, with whole header lines ``extra`` in it."""
    return (
        b"%b %b HTTP/1.1\r\nHost: gateway.test\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n%b"
        % (
            _method(rng),
            path if path is not None else rng.choice(PATHS),
            extra,
            len(body),
            body,
        )
    )


def noise(rng: random.Random) -> bytes:
    return rng.randbytes(rng.randrange(1, 2000))


def other_protocols(rng: random.Random) -> bytes:
    return rng.choice(
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(200),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + rng.randbytes(30),
            b"\x05\x01\x00",
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"GET /\r\n",
            b"*1\r\n$4\r\nPING\r\n",
            b"\r\n" * rng.randrange(1, 300),
            b"GET / HTTP/0.9\r\n\r\n",
            b"POST /openai/v1/x HTTP/3.7\r\nHost: a\r\n\r\n",
            b"POST /openai/v1/x HTTP/1.1\nHost: a\n\n",
        )
    )


def mutated(rng: random.Random) -> bytes:
    """A good request with a few bytes changed, taken out, doubled or put in."""
    data = bytearray(request(rng))
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                del data[at : at + rng.randrange(1, 8)]
            case 2:
                data[at:at] = rng.randbytes(rng.randrange(1, 8))
            case _:
                data[at:at] = data[at : at + rng.randrange(1, 40)]
    return bytes(data)


def truncated(rng: random.Random) -> bytes:
    data = request(rng)
    return data[: rng.randrange(len(data))]


def bad_header_lines(rng: random.Random) -> bytes:
    line = rng.choice(
        (
            b"No-Colon\r\n",
            b": nameless\r\n",
            b"Spa ce: x\r\n",
            b"Trailing : x\r\n",
            b"\tFolded: x\r\n",
            b"A: b\r\n folded on\r\n",
            b"A: b\nB: c\r\n",
            b"A: b\rB: c\r\n",
            b"A: \x00\r\n",
            b"\xff\xfe: x\r\n",
            b"A: \xff\xc3\x28\r\n",
            b"Host: other\r\n",
            b"Host: \r\n",
            b"Connection: close, host, content-length, transfer-encoding\r\n",
            b"Authorization: " + b"Bearer " * rng.randrange(1, 50) + b"\r\n",
            b"x-weighbridge-team: " + rng.randbytes(40).replace(b"\r", b"").replace(b"\n", b"") + b"\r\n",
            b"x-weighbridge-tags: " + b"," * rng.randrange(1, 2000) + b"\r\n",
            b"baggage: " + b"a=b;" * rng.randrange(1, 2000) + b"\r\n",
            b"traceparent: 00-" + b"0" * 32 + b"-" + b"f" * 16 + b"-zz\r\n",
            b"Expect: 200-ok\r\n",
            b"Expect: 100-continue\r\n",
            b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
            b"Content-Encoding: gzip\r\n",
            b"Content-Type: multipart/form-data; boundary=\r\n",
        )
    )
    return request(rng, extra=line)


def too_much(rng: random.Random) -> bytes:
    match rng.randrange(4):
        case 0:
            return request(rng, extra=b"X-Big: " + b"a" * rng.randrange(60_000, 90_000) + b"\r\n")
        case 1:
            return request(rng, extra=b"X-Many: 1\r\n" * rng.randrange(100, 3000))
        case 2:
            return request(rng, path=b"/openai/v1/" + b"a" * rng.randrange(15_000, 70_000))
        case _:
            return request(rng, path=b"/openai/v1/x?" + b"q=1&" * rng.randrange(4000, 10_000))


def bad_lengths(rng: random.Random) -> bytes:
    value = rng.choice(
        (
            b"-1",
            b"+5",
            b"0x5",
            b"5 5",
            b"5,5",
            b"",
            b"5;",
            b"1e3",
            b"99999999999999999999999",
            b"\xb2",
            b"5\x00",
            b"NaN",
        )
    )
    second = rng.choice((b"", b"Content-Length: 7\r\n", b"Transfer-Encoding: chunked\r\n"))
    return b"POST /openai/v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: %b\r\n%b\r\nhello" % (value, second)


def bad_codings(rng: random.Random) -> bytes:
    value = rng.choice(
        (
            b"chunked, identity",
            b"identity, chunked",
            b"xchunked",
            b"chunked\x0b",
            b" chunked",
            b"chunked, chunked",
            b"gzip",
            b"chunk",
            b"\tchunked",
            b'"chunked"',
            b"chunked\r\nTransfer-Encoding: identity",
            b"chunked\r\nContent-Length: 5",
        )
    )
    return (
        b"POST /openai/v1/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:%b\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        % value
    )


def bad_chunks(rng: random.Random) -> bytes:
    body = rng.choice(
        (
            b"5\r\nhelloX\r\n0\r\n\r\n",
            b"5\nhello\n0\n\n",
            b"-5\r\nhello\r\n0\r\n\r\n",
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b"g\r\nhello\r\n0\r\n\r\n",
            b"fffffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
            b"7fffffffffffffff\r\nhello",
            b"5;" + b"x" * rng.randrange(10, 50_000) + b"\r\nhello\r\n0\r\n\r\n",
            b"5;a=\nb\r\nhello\r\n0\r\n\r\n",
            b"5 \r\nhello\r\n0\r\n\r\n",
            b"\r\n5\r\nhello\r\n0\r\n\r\n",
            b"0\r\n" + b"Trailer: x\r\n" * rng.randrange(1, 3000) + b"\r\n",
            b"0\r\nContent-Length: 50\r\n\r\n",
            b"1\r\na\r\n" * rng.randrange(1, 500) + b"zz",
            b"5\r\nhel",
        )
    )
    return (
        b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body
    )


def bad_targets(rng: random.Random) -> bytes:
    target = rng.choice(
        (
            b"/openai/../../etc/passwd",
            b"/openai/%2e%2e/%2e%2e/admin",
            b"/openai/v1/%252e%252e/%252e%252e/%252e%252e/x",
            b"/openai/..\\..\\x",
            b"/openai/v1/..;/..;/..;/x",
            b"//evil.test/openai/v1/x",
            b"/openai//evil.test/v1",
            b"http://evil.test/openai/v1/x",
            b"http://user:pw@evil.test/",
            b"evil.test:443",
            b"*",
            b"openai/v1/x",
            b"/openai/v1/x#frag",
            b"/openai/v1/\x00",
            b"/openai/v1/\xff\xfe",
            b"/openai/v1/%zz",
            b"/openai/v1/%",
            b"/openai@evil.test/v1",
            b"/openai:8080/v1",
            b"/openai/v1/a b",
            b"/openai/v1/a\tb",
            b"?",
            b"/?" + b"%00" * rng.randrange(1, 500),
            b"/api/calls?cursor=" + b"A" * rng.randrange(1, 500),
            b"/api/calls?limit=-1&since=" + b"9" * rng.randrange(1, 400),
            b"/api/calls/" + b"%2f.." * rng.randrange(1, 50),
            b"/api/../openai/v1/x",
        )
    )
    method = rng.choice((*METHODS, b"CONNECT", b"TRACE", b"post", b"P\x00ST", b"A" * 300))
    return b"%b %b HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n" % (method, target)


def _deep(rng: random.Random) -> bytes:
    depth = rng.choice((1_000, 20_000, 150_000))
    opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
    inner = opening * depth + b"1" + closing * depth
    return rng.choice(
        (inner, b'{"model":"gpt-4o","messages":%b}' % inner, b'{"model":%b}' % inner, opening * depth)
    )


def bad_bodies(rng: random.Random) -> bytes:
    body = rng.choice(
        (
            b"",
            b"null",
            b"[]",
            b'"text"',
            b"{",
            b'{"model":',
            b'{"model":7,"stream":"yes","max_tokens":-1}',
            b'{"model":"' + b"m" * rng.randrange(1, 5000) + b'"}',
            b'{"model":"\\ud800"}',
            b'{"model":"gpt-4o","max_tokens":' + b"9" * rng.randrange(10, 5000) + b"}",
            b'{"model":"gpt-4o","max_tokens":1e400}',
            b'{"stream":true,"stream_options":7,"model":"x"}',
            b'{"stream":true,"model":"x"' + b" " * rng.randrange(1, 5000) + b"}",
            b'{"model":"a","model":"b","stream":true,"stream":false}',
            b"\xef\xbb\xbf{}",
            b"\xff\xfe{\x00}\x00",
            b'{"user":{"a":[[[]]]},"metadata":[1],"model":null}',
            rng.randbytes(500),
            _deep(rng),
        )
    )
    return request(rng, body=body)


def doubled(rng: random.Random) -> bytes:
    """Two requests in one write, the first of them bad or good."""
    return rng.choice((request(rng), bad_lengths(rng), bad_chunks(rng))) + request(
        rng, path=b"/openai/v1/second"
    )


MAKERS: tuple[Maker, ...] = (
    noise,
    other_protocols,
    mutated,
    mutated,
    truncated,
    bad_header_lines,
    bad_header_lines,
    too_much,
    bad_lengths,
    bad_codings,
    bad_chunks,
    bad_targets,
    bad_targets,
    bad_bodies,
    doubled,
)


def hostile_requests(count: int, seed: int) -> Iterator[bytes]:
    """``count`` requests of all kinds in turn."""
    rng = random.Random(seed)
    for number in range(count):
        yield MAKERS[number % len(MAKERS)](rng)
