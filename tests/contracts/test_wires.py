"""What every wire promises, held against all wires and all recordings found by scan."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from gateway.wire.contract import AskFields, Exchanged, Wire
from gateway.wire.registry import WIRES
from gateway.wire.tap import Tap
from storage.budgets.amounts import NO_WORK
from tests.wire.recordings import ENCODINGS, FIXTURES, Recording, all_recordings, compressed

RECORDINGS = all_recordings()
STREAMS = [one for one in RECORDINGS if one.body.startswith((b"data:", b"event:")) and b"\r" not in one.body]
DOCUMENTS = [
    one for one in RECORDINGS if one.headers.get("content-type") == "application/json" and one.is_json
]
WIRE_LIST = list(WIRES)
each_recording = pytest.mark.parametrize("recording", RECORDINGS, ids=lambda r: r.id)
each_wire = pytest.mark.parametrize("wire", WIRE_LIST, ids=lambda w: w.name)


@each_recording
def test_is_read_as_expected(recording: Recording) -> None:
    reading, tap = recording.read([recording.body])
    assert reading == recording.expected()
    assert tap.errors == 0
    if recording.finished is not None:
        assert tap.finished is recording.finished


@each_recording
def test_raw_usage_is_json_of_at_most_4_kib(recording: Recording) -> None:
    tap = recording.tap()
    tap.feed(recording.body)
    tap.end()
    raw = tap.reading().usage_raw
    if raw is not None:
        assert len(raw) <= 4096
        assert isinstance(json.loads(raw), dict)
    else:
        # only counts of documents that have no usage object may come without one
        usage = recording.expected().usage or recording.expected().job_usage
        assert (
            usage is None or usage.characters or usage.images or usage.audio_ms or "predict" in recording.id
        )


@each_recording
def test_split_anywhere_reads_the_same(recording: Recording) -> None:
    body, expected = recording.body, recording.expected()
    for cut in range(len(body) + 1):
        assert recording.read([body[:cut], body[cut:]])[0] == expected, cut


@each_recording
def test_whole_at_once_reads_the_same(recording: Recording) -> None:
    for encoding in ENCODINGS:
        tap = recording.tap(encoding)
        tap.whole(compressed(recording.body, encoding))
        tap.end()
        assert msgspec.structs.replace(tap.reading(), usage_raw=None) == recording.expected(), encoding
        assert tap.errors == 0, encoding


@each_recording
def test_byte_by_byte_reads_the_same(recording: Recording) -> None:
    for encoding in ENCODINGS:
        body = compressed(recording.body, encoding)
        reading, tap = recording.read([body[i : i + 1] for i in range(len(body))], encoding)
        assert reading == recording.expected(), encoding
        assert tap.errors == 0, encoding
        assert recording.read([body], encoding)[0] == recording.expected(), encoding


BOM = b"\xef\xbb\xbf"
DRESSED: dict[str, Callable[[bytes], bytes]] = {
    "crlf": lambda body: body.replace(b"\n", b"\r\n"),
    "mark": lambda body: BOM + body,
    "comments": lambda body: b": hello\n\n" + body.replace(b"\n\n", b"\n\n: keep-alive\n\n"),
    "ids": lambda body: re.sub(rb"(?m)^data:", b"id: 7\nretry: 10\ndata:", body),
    "no space": lambda body: body.replace(b"data: ", b"data:"),
    "blank lines first": lambda body: b"\n\n" + body,
    "no blank line last": lambda body: body.rstrip(b"\n"),
    "no JSON between": lambda body: body.replace(b"\n\n", b"\n\ndata: not JSON\n\n", 1),
}


@pytest.mark.parametrize("recording", STREAMS, ids=lambda r: r.id)
def test_events_dressed_otherwise_read_the_same(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    for dress, dressed in DRESSED.items():
        body = dressed(recording.body)
        for kind in ("text/event-stream; charset=utf-8", "application/json", ""):
            monkeypatch.setitem(recording.headers, "content-type", kind)
            for size in (7, 64, len(body)):
                reading, tap = recording.read([body[i : i + size] for i in range(0, len(body), size)])
                assert reading == recording.expected(), (dress, kind, size)
                assert tap.errors == 0, (dress, kind, size)


@pytest.mark.parametrize("recording", DOCUMENTS, ids=lambda r: r.id)
def test_documents_dressed_otherwise_read_the_same(recording: Recording) -> None:
    value = json.loads(recording.body)
    for body in (BOM + recording.body, b" \n" + recording.body, json.dumps(value, indent=2).encode()):
        for size in (5, len(body)):
            reading, tap = recording.read([body[i : i + size] for i in range(0, len(body), size)])
            assert reading == recording.expected(), (body[:20], size)
            assert tap.errors == 0


@each_recording
def test_request_is_read_as_expected(recording: Recording) -> None:
    ask = recording.ask()
    for name, value in recording.ask_expected.items():
        got: Any = getattr(ask, name)
        assert ([list(pair) for pair in got] if name == "tags" else got) == value, name


@each_recording
def test_path_is_recognised_by_this_wire_alone(recording: Recording) -> None:
    assert WIRES.find(recording.method, recording.path) is recording.wire
    others = [w.name for w in WIRE_LIST if not w.fallback and w.matches(recording.method, recording.path)]
    assert others == ([] if recording.wire.fallback else [recording.wire_name])


def test_budgets_know_the_operations_that_cost_nothing() -> None:
    """They read them off records, which tell of no wire."""
    assert {wire.operation for wire in WIRES if wire.free} == set(NO_WORK)
    assert not any(wire.operation in NO_WORK for wire in WIRES if not wire.free)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/agents/a1/invoke",
        "/v1/organizations/o1/summaries",
        "/v1/skills/s1/run",
    ],
)
def test_what_runs_something_is_not_taken_for_managing(path: str) -> None:
    assert WIRES.find("POST", path) is None


@each_recording
def test_cut_short_anywhere_never_fails_and_never_invents(recording: Recording) -> None:
    """A prefix of an answer never shows more tokens than the whole, and never raises."""
    whole = recording.expected().usage
    for cut in range(0, len(recording.body), max(1, len(recording.body) // 40)):
        reading, tap = recording.read([recording.body[:cut]])
        assert tap.errors == 0
        if reading.usage is not None and whole is not None:
            assert (reading.usage.output or 0) <= (whole.output or 0)


@each_recording
def test_damaged_bytes_never_raise(recording: Recording) -> None:
    chance = random.Random(recording.id)
    for _ in range(30):
        body = bytearray(recording.body)
        for _ in range(chance.randint(1, 8)):
            if body:
                body[chance.randrange(len(body))] = chance.choice(b'{}[]":,\\\n\r\x00\xff09-eE.')
        tap = recording.tap(keep_text=1000)
        cut = chance.randrange(len(body) + 1)
        tap.feed(bytes(body[:cut]))
        tap.reading()
        tap.feed(bytes(body[cut:]))
        tap.end()
        reading = tap.reading()
        assert tap.errors == 0
        usage = reading.usage
        if usage is not None:
            counts = [value for value in msgspec.structs.astuple(usage) if value is not None]
            assert all(type(value) is int and 0 <= value <= 2**53 * 4 for value in counts)


TYPES = (
    "text/event-stream",
    "application/json",
    "application/x-ndjson",
    "application/vnd.amazon.eventstream",
    "",
    "text/plain",
    "audio/mpeg",
)


@each_wire
def test_garbage_never_raises(wire: Wire) -> None:
    chance = random.Random(wire.name)
    for kind in TYPES:
        for encoding in ("", "gzip", "br", "zstd", "deflate", "unheard-of"):
            call = Exchanged(
                "POST", "/x/model/a/b", "", AskFields(stream=True), chance.choice((200, 500)), ()
            )
            tap = Tap(wire, call, kind, encoding)
            for _ in range(4):
                tap.feed(chance.randbytes(chance.randint(0, 300)))
            tap.end()
            tap.end()
            tap.reading()


SHAPES: tuple[bytes, ...] = (
    b"null", b"[]", b"{}", b"17", b'"x"', b"[[]]", b'{"usage":null}', b'{"usage":[1]}', b'{"usage":"x"}', b'{"usage":{"a":{}}}',
    b'{"choices":[null]}', b'{"choices":"x"}', b'{"error":null}', b'{"error":{}}', b'{"error":[]}', b'{"error":true}',
    b'{"meta":{"billed_units":[1]}}', b'{"usageMetadata":{"promptTokensDetails":{"a":1}}}', b'{"response":[]}',
    b'{"type":7,"message":7,"delta":7,"usage":7}', b"[" * 20000, b'{"usage":' * 5000, b'{"a":' + b"9" * 5000 + b"}",
    b'{"usage":{"prompt_tokens":' + b"9" * 5000 + b"}}", b'{"model":"\\ud800","usage":{"prompt_tokens":1e999}}',
)  # fmt: skip


@each_wire
def test_odd_json_never_raises(wire: Wire) -> None:
    for shape in SHAPES:
        for kind, body in (("application/json", shape), ("text/event-stream", b"data: " + shape + b"\n\n")):
            for status in (200, 404):
                call = Exchanged("POST", "/v1/x", "", AskFields(), status, (), shape)
                tap = Tap(wire, call, kind)
                tap.feed(body)
                tap.end()
                reading = tap.reading()
                assert tap.errors == 0, shape[:60]
                msgspec.msgpack.encode(reading)


@each_wire
def test_request_reader_never_raises(wire: Wire) -> None:
    chance = random.Random(wire.name)
    bodies = [
        *SHAPES,
        b"",
        b"\xff\xfe",
        b'{"model":',
        b'{"model":7,"stream":"yes","metadata":[1],"stream_options":3}',
    ]
    bodies += [chance.randbytes(chance.randint(0, 200)) for _ in range(20)]
    bodies += [b"--" + chance.randbytes(50), b"--b\r\nContent-Disposition: form-data; name=model\r\n"]
    for body in bodies:
        for path in ("/", "/v1/models/x:generateContent", "/model/%ff%/invoke", "//model//"):
            msgspec.msgpack.encode(wire.read_ask(path, "", body))


@each_wire
def test_error_body_is_json_that_tells_code_and_message(wire: Wire) -> None:
    for status in (400, 401, 404, 413, 429, 500, 502, 504, 529):
        body = wire.error_body(status, "weighbridge_code", 'say "why" \n é')
        value = json.loads(body)
        assert isinstance(value, dict)
        text = json.dumps(value, ensure_ascii=False)
        assert "weighbridge_code" in text
        assert "why" in text


@each_wire
def test_every_wire_has_recordings(wire: Wire) -> None:
    assert list((FIXTURES / wire.name).glob("*.json"))


@each_recording
def test_text_is_kept_up_to_its_cap_and_changes_no_reading(recording: Recording) -> None:
    tap = recording.tap(keep_text=3)
    tap.feed(recording.body)
    tap.end()
    assert msgspec.structs.replace(tap.reading(), usage_raw=None) == recording.expected()
    assert len(tap.text) <= 3
