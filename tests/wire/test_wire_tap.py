"""The tap: whatever comes, it counts, it stays small, it raises nothing."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import msgspec
import pytest
import zstandard
from rig.traced import kept

from gateway.wire.anthropic_messages import WIRE as ANTHROPIC
from gateway.wire.contract import AskFields, Exchanged, Reader, Reading, Wire
from gateway.wire.gemini_generate import WIRE as GEMINI
from gateway.wire.openai_chat import WIRE as CHAT
from gateway.wire.openai_completions import WIRE as COMPLETIONS
from gateway.wire.openai_images import WIRE as IMAGES
from gateway.wire.openai_responses import WIRE as RESPONSES
from gateway.wire.tap import Blind, Tap, TapLimits
from pricing.usage import Part, Usage

SSE = "text/event-stream; charset=utf-8"
DOCUMENT = json.dumps(
    {"id": "x", "model": "m", "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
).encode()


def call(stream: bool = False, status: int = 200, path: str = "/v1/chat/completions") -> Exchanged:
    return Exchanged("POST", path, "", AskFields(stream=stream), status, ())


def tapped(
    wire: Wire, kind: str, pieces: list[bytes], encoding: str = "", limits: TapLimits | None = None
) -> Tap:
    tap = Tap(wire, call(stream=kind == SSE), kind, encoding, limits or TapLimits())
    for piece in pieces:
        tap.feed(piece)
    tap.end()
    return tap


def test_several_gzip_members_and_raw_deflate() -> None:
    half = len(DOCUMENT) // 2
    members = gzip.compress(DOCUMENT[:half]) + gzip.compress(DOCUMENT[half:])
    raw = zlib.compressobj(wbits=-15)
    bare = raw.compress(DOCUMENT) + raw.flush()
    twice = brotli.compress(gzip.compress(DOCUMENT))
    frames = zstandard.ZstdCompressor().compress(DOCUMENT[:half]) + zstandard.ZstdCompressor().compress(
        DOCUMENT[half:]
    )
    for body, encoding in (
        (members, "gzip"),
        (bare, "deflate"),
        (twice, "gzip, br"),
        (frames, "ZSTD"),
        (members, "x-gzip"),
    ):
        for step in (1, 7, len(body)):
            tap = tapped(
                CHAT, "application/json", [body[i : i + step] for i in range(0, len(body), step)], encoding
            )
            assert tap.reading().usage == Usage(3, 2), encoding
            assert tap.errors == 0


@pytest.mark.parametrize("more", [0, 1])
def test_a_sample_knows_whether_it_is_the_whole_answer(more: int) -> None:
    limits = TapLimits(sample=100)
    for pieces in ([b" " * 100, b"x" * more], [b" " * (100 + more)], [b" " * 99, b"x" * (1 + more)]):
        tap = tapped(CHAT, "application/json", pieces, limits=limits)
        assert tap.sample_is_whole is not bool(more)
        assert (tap.sample.size, tap.sample.room < 0) == (100, bool(more))


def test_members_without_number_cost_no_more_than_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    handed = 0

    class Spy:
        def __init__(self, wbits: int) -> None:
            self._inflate = plain(wbits)

        def __getattr__(self, name: str) -> object:
            return getattr(self._inflate, name)

        def decompress(self, data: bytes, most: int) -> bytes:
            nonlocal handed
            handed += len(data)
            return self._inflate.decompress(data, most)

    plain = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", Spy)
    body = gzip.compress(b"") * 20_000 + gzip.compress(DOCUMENT)
    tap = tapped(CHAT, "application/json", [body], "gzip")
    assert tap.reading().usage == Usage(3, 2)
    assert handed < 1000 * len(body), "each of 20,000 members copied what follows it"


def test_encodings_upon_encodings_are_not_inflated() -> None:
    body, names = DOCUMENT, list[str]()
    for _ in range(4):
        body, names = gzip.compress(body), [*names, "gzip"]
        assert tapped(CHAT, "application/json", [body], ", ".join(names)).reading().usage == Usage(3, 2)
    tap = tapped(CHAT, "application/json", [gzip.compress(body)], ", ".join([*names, "gzip"]))
    assert (tap.blind, tap.errors) == (Blind.ENCODING, 1)


def test_cut_compressed_stream_is_read_as_far_as_it_came() -> None:
    packer = zlib.compressobj(wbits=31)
    event = b'data: {"id":"1","model":"m","choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
    cut = packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH)
    assert tapped(CHAT, SSE, [cut], "gzip").reading().usage == Usage(1, 2)


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("br", brotli.compress),
        ("zstd", zstandard.compress),
    ],
)
def test_a_body_that_inflates_without_end_is_left_alone(
    encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    bomb = pack(b" " * 40_000_000)
    tracemalloc.start()
    tap = Tap(CHAT, call(), "application/json", encoding)
    tap.feed(bomb)
    tap.feed(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert tap.blind is Blind.EXPANSION
    assert tap.errors == 1
    assert peak < 16_000_000
    tap.end()
    assert tap.reading() == Reading()


def test_unknown_and_damaged_encodings_are_counted() -> None:
    for encoding, body in (
        ("compress", b"x"),
        ("gzip", b"no gzip at all"),
        ("br", b"\xff" * 50),
        ("zstd", b"nope" * 9),
    ):
        tap = tapped(CHAT, "application/json", [body, body], encoding)
        assert tap.blind is Blind.ENCODING, encoding
        assert tap.errors == 1
        assert tap.reading().usage is None


def test_identity_is_no_encoding() -> None:
    assert tapped(CHAT, "application/json", [DOCUMENT], "identity").reading().usage == Usage(3, 2)


class Broken:
    finished = False
    marks: tuple[bytes, ...] = ()
    text = None

    def event(self, name: bytes, data: bytes) -> None:
        raise RuntimeError("event")

    def document(self, body: bytes) -> None:
        raise RuntimeError("document")

    def reading(self) -> Reading:
        raise RuntimeError("reading")


def test_whatever_a_reader_raises_is_counted() -> None:
    def broken(_: Exchanged) -> Reader:
        return Broken()

    def unmade(_: Exchanged) -> Reader:
        raise RuntimeError("reader")

    wire = msgspec.structs.replace(CHAT, reader=broken)
    tap = tapped(wire, SSE, [b"data: x\n\n"] * 3)
    assert tap.errors == 3
    assert tap.reading() == Reading()
    assert tap.errors == 4
    tap = tapped(wire, SSE, [b"data: x\n\n"] * 1000)
    assert tap.blind is Blind.ERRORS
    assert tap.errors < 40
    assert tapped(wire, "application/json", [b"{}"]).errors == 1
    tap = tapped(msgspec.structs.replace(CHAT, reader=unmade), SSE, [b"data: x\n\n"])
    assert (tap.errors, tap.finished, tap.reading()) == (1, False, Reading())


def test_an_open_stream_keeps_nothing_of_what_passed() -> None:
    event = b'data: {"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":null}]}\n\n'
    tap = Tap(CHAT, call(stream=True), SSE)
    tap.feed(event)

    def go_on() -> None:
        for _ in range(20_000):
            tap.feed(event)

    assert kept("gateway", go_on) < 16_384  # of two million bytes


def test_document_above_the_cap_still_tells_its_usage() -> None:
    body = json.dumps(
        {
            "id": "x",
            "model": "m",
            "data": ["y" * 1000] * 300,
            "usage": {"prompt_tokens": 3, "completion_tokens": 0},
        }
    )
    tap = tapped(CHAT, "application/json", [body.encode()], limits=TapLimits(document=100_000))
    assert tap.reading().usage == Usage(3, 0)
    assert tap.reading().model == "m"
    assert tap.dropped == 1


def delta(**fields: object) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": fields}]}).encode() + b"\n\n"


TEXTS = {
    "chat": (CHAT, delta(content="a") + delta(reasoning_content="b") + delta(tool_calls=[{"function": {"name": "f", "arguments": "{}"}}]), "abf{}"),
    "completions": (COMPLETIONS, b'data: {"choices":[{"text":"a"}]}\n\ndata: {"choices":[{"text":"b"}]}\n\n', "ab"),
    "responses": (RESPONSES, b'data: {"type":"response.output_text.delta","delta":"a"}\n\ndata: {"type":"response.output_text.delta","delta":"b"}\n\n', "ab"),
    "anthropic": (
        ANTHROPIC,
        b'data: {"type":"message_start","message":{}}\n\ndata: {"type":"content_block_delta","delta":{"text":"a"}}\n\n'
        b'data: {"type":"content_block_delta","delta":{"thinking":"b"}}\n\ndata: {"type":"content_block_delta","delta":{"partial_json":"c"}}\n\n',
        "abc",
    ),
    "gemini": (GEMINI, b'data: {"candidates":[{"content":{"parts":[{"text":"a"},{"text":"b"}]}}]}\n\n', "ab"),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_text_is_kept_where_asked_for(name: str) -> None:
    wire, body, text = TEXTS[name]
    assert tapped(wire, SSE, [body], limits=TapLimits(keep_text=100)).text == text
    capped = tapped(wire, SSE, [body], limits=TapLimits(keep_text=1))
    assert (capped.text, capped.text_cut) == (text[0], True)
    assert tapped(wire, SSE, [body]).text == ""


def test_end_twice_and_feed_after_end_change_nothing() -> None:
    tap = tapped(CHAT, "application/json", [DOCUMENT])
    tap.feed(b"garbage")
    tap.end()
    assert tap.reading().usage == Usage(3, 2)
    assert tap.errors == 0


def too_large(*, behind: bytes = b"") -> tuple[bytes, bytes]:
    """Streams whose last events hold a picture: of responses, and of images."""
    picture = b"A" * 5000
    usage = b'"usage":{"input_tokens":7,"output_tokens":9,"total_tokens":16}'
    response = (
        b'data: {"type":"response.created","response":{"id":"resp_1","model":"gpt-5","status":"in_progress"}}\n\n'
        b'event: response.completed\ndata: {"type":"response.completed","response":{"id":"resp_1","output":'
        b'[{"type":"image_generation_call","result":"%b"}],%b,"user":null},"sequence_number":9}%b'
    )
    image = b'data: {"type":"image_generation.completed","b64_json":"%b",%b}%b'
    return response % (picture, usage, behind), image % (picture, usage, behind)


@pytest.mark.parametrize("size", [7, 300, 100_000])
def test_what_an_event_above_the_limit_used_is_read_off_its_end(size: int) -> None:
    for wire, body in zip((RESPONSES, IMAGES), too_large(behind=b"\n\n"), strict=True):
        pieces = [body[i : i + size] for i in range(0, len(body), size)]
        tap = tapped(wire, SSE, pieces, limits=TapLimits(event=2000))
        usage = tap.reading().usage
        assert usage is not None
        assert (usage.input, usage.output) == (7, 9)
        assert tap.finished
        assert tap.reading().fees_unseen is (wire is RESPONSES)


@pytest.mark.parametrize("tool", ["web_search", "code_interpreter", "shell", "file_search"])
@pytest.mark.parametrize("streamed", [True, False])
def test_the_tokens_of_a_picture_above_the_limit_are_told_behind_it(streamed: bool, tool: str) -> None:
    answer = {
        "id": "resp_1",
        "status": "completed",
        "model": "gpt-5",
        "output": [{"type": "image_generation_call", "result": "A" * 150_000}],
        "tool_usage": {"image_gen": {"input_tokens": 5, "output_tokens": 40, "total_tokens": 45}},
        "tools": [{"type": tool}, {"type": "image_generation", "model": "gpt-image-2"}],
        "usage": {"input_tokens": 7, "output_tokens": 9, "total_tokens": 16},
    }
    if streamed:
        event = json.dumps({"type": "response.completed", "response": answer})
        tap = tapped(RESPONSES, SSE, [f"data: {event}\n".encode(), b"\n"], limits=TapLimits(event=2000))
    else:
        body = json.dumps(answer).encode()
        tap = tapped(RESPONSES, "application/json", [body], limits=TapLimits(document=2000))
    reading = tap.reading()
    assert tap.dropped == 1
    assert reading.usage == Usage(7, 9)
    assert reading.also == (Part("gpt-image-2", Usage(5, 40)),)
    assert reading.fees_unseen is (tool != "web_search")


def test_searches_beside_a_picture_above_the_limit_still_cost_more_than_their_rate() -> None:
    answer = {
        "id": "resp_1",
        "status": "completed",
        "model": "gpt-4.1-mini",
        "output": [{"type": "image_generation_call", "result": "A" * 150_000}],
        "tool_usage": {
            "image_gen": {"input_tokens": 5, "output_tokens": 40, "total_tokens": 45},
            "web_search": {"num_requests": 2},
        },
        "tools": [{"type": "web_search"}, {"type": "image_generation", "model": "gpt-image-2"}],
        "usage": {"input_tokens": 7, "output_tokens": 9, "total_tokens": 16},
    }
    tap = tapped(
        RESPONSES, "application/json", [json.dumps(answer).encode()], limits=TapLimits(document=2000)
    )
    assert tap.reading().usage == Usage(7, 9, web_searches=2)
    assert tap.reading().fees_unseen


def test_a_picture_above_the_limit_whose_tokens_nothing_tells_has_a_fee() -> None:
    body = json.dumps(
        {"id": "r", "output": ["A" * 150_000], "usage": {"input_tokens": 7, "output_tokens": 9}}
    )
    tap = tapped(RESPONSES, "application/json", [body.encode()], limits=TapLimits(document=2000))
    assert tap.reading().usage == Usage(7, 9)
    assert tap.reading().fees_unseen


def test_an_event_above_the_limit_that_is_cut_tells_nothing() -> None:
    for wire, body in zip((RESPONSES, IMAGES), too_large(), strict=True):
        tap = tapped(wire, SSE, [body[i : i + 64] for i in range(0, 4000, 64)], limits=TapLimits(event=2000))
        assert tap.reading().usage is None
        assert not tap.finished
