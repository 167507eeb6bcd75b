"""Framings: cut anywhere, bounded, and true to their formats."""

from __future__ import annotations

import json
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.contract import Kept
from gateway.wire.document import DocumentFrames, excerpt
from gateway.wire.eventstream import EventStreamFrames
from gateway.wire.json_array import ArrayFrames
from gateway.wire.ndjson import LineFrames
from gateway.wire.sse import SseFrames


class Recorder:
    """Stands in for a reader: only its marks are asked for."""

    def __init__(self, marks: tuple[bytes, ...] = ()) -> None:
        self.marks = marks
        self.finished = False
        self.text: Kept | None = None
        self.events: list[tuple[bytes, bytes]] = []
        self.documents: list[bytes] = []

    def event(self, name: bytes, data: bytes) -> None:
        self.events.append((name, data))

    def document(self, body: bytes) -> None:
        self.documents.append(body)

    def reading(self):  # type: ignore[no-untyped-def]
        raise NotImplementedError


def sse(
    body: bytes, cuts: list[int], marks: tuple[bytes, ...] = (), limit: int = 10_000
) -> list[tuple[bytes, bytes]]:
    recorder = Recorder(marks)
    frames = SseFrames(recorder, recorder.event, limit)
    edges = [0, *sorted(cuts), len(body)]
    for start, end in pairwise(edges):
        frames.feed(body[start:end])
    frames.end()
    return recorder.events


SSE_CASES = {
    "plain": (b"data: a\n\ndata: b\n\n", [(b"", b"a"), (b"", b"b")]),
    "named": (b"event: x\ndata: a\n\n", [(b"x", b"a")]),
    "no space after the colon": (b"event:x\ndata:a\n\n", [(b"x", b"a")]),
    "one space only is taken": (b"data:  a\n\n", [(b"", b" a")]),
    "several data lines": (b"data: a\ndata: b\n\n", [(b"", b"a\nb")]),
    "comments and other fields": (b": hi\n\nid: 7\nretry: 9\ndata: a\n: there\n\n", [(b"", b"a")]),
    "crlf": (b"event: x\r\ndata: a\r\n\r\ndata: b\r\n\r\n", [(b"x", b"a"), (b"", b"b")]),
    "cr": (b"data: a\r\rdata: b\r\r", [(b"", b"a"), (b"", b"b")]),
    "mixed line ends": (b"data: a\r\n\ndata: b\n\r\ndata: c\r\r\n", [(b"", b"a"), (b"", b"b"), (b"", b"c")]),
    "byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [(b"", b"a")]),
    "extra blank lines": (b"\n\ndata: a\n\n\n\ndata: b\n\n", [(b"", b"a"), (b"", b"b")]),
    "no last blank line": (b"data: a\n\ndata: b", [(b"", b"a"), (b"", b"b")]),
    "no last blank line but a line end": (b"data: a\n\ndata: b\n", [(b"", b"a"), (b"", b"b")]),
    "event without data": (b"event: ping\n\ndata: a\n\n", [(b"", b"a")]),
    "field without colon": (b"data\n\ndata: a\n\n", [(b"", b""), (b"", b"a")]),
}


@pytest.mark.parametrize("name", SSE_CASES)
def test_sse_at_every_boundary(name: str) -> None:
    body, expected = SSE_CASES[name]
    for cut in range(len(body) + 1):
        assert sse(body, [cut]) == expected
    assert sse(body, list(range(len(body)))) == expected


@given(
    st.lists(st.tuples(st.sampled_from(["", "x", "done"]), st.text('ab {}":', max_size=12)), max_size=6),
    st.data(),
)
def test_sse_any_events_any_cuts_any_line_end(events: list[tuple[str, str]], data: st.DataObject) -> None:
    eol = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    body = "".join((f"event: {n}{eol}" if n else "") + f"data: {t}{eol}{eol}" for n, t in events).encode()
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=8))
    assert sse(body, cuts) == [(n.encode(), t.encode()) for n, t in events]


@given(
    st.lists(
        st.sampled_from([b"data: dull\n\n", b"data: keep me\n\n", b"event: keep\ndata: x\n\n", b": c\n\n"]),
        max_size=12,
    ),
    st.data(),
)
def test_sse_marks_leave_out_only_what_has_none(blocks: list[bytes], data: st.DataObject) -> None:
    body = b"".join(blocks)
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=8))
    wanted = [event for block in blocks if b"keep" in block for event in sse(block, [])]
    assert sse(body, cuts, marks=(b"keep",)) == wanted


def test_sse_oversized_event_is_dropped_and_memory_stays_bounded() -> None:
    recorder = Recorder()
    frames = SseFrames(recorder, recorder.event, 100)
    frames.feed(b"data: a\n\ndata: ")
    for _ in range(1000):
        frames.feed(b"x" * 50)
        assert len(frames._rest) <= 200
    frames.feed(b"\n")
    frames.feed(b"\ndata: b\n\n")
    frames.end()
    assert recorder.events == [(b"", b"a"), (b"", b"b")]
    assert frames.dropped == 1


def test_lines_at_every_boundary() -> None:
    body = b'{"a":1}\n\r\n{"b":"\xc3\xa9"}\r\n\x1e{"c":3}\n{"d":4}'
    wanted = [b'{"a":1}', b'{"b":"\xc3\xa9"}', b'{"c":3}', b'{"d":4}']
    for cut in range(len(body) + 1):
        recorder = Recorder()
        frames = LineFrames(recorder, recorder.event, 1000)
        frames.feed(body[:cut])
        frames.feed(body[cut:])
        frames.end()
        assert [data for _, data in recorder.events] == wanted


def test_oversized_line_is_dropped_and_the_next_is_read() -> None:
    recorder = Recorder()
    frames = LineFrames(recorder, recorder.event, 100)
    for piece in (b"first\n", b"y" * 80, b"y" * 80, b"y" * 80, b"y\nlast\n"):
        frames.feed(piece)
        assert len(frames._rest) <= 180
    assert [data for _, data in recorder.events] == [b"first", b"last"]
    assert frames.dropped == 1


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab[]{}",\\ é\n', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('k"[', max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text("ab", max_size=2), JSON_VALUES, max_size=3), max_size=4), st.data())
def test_array_elements_come_one_by_one(elements: list[dict[str, object]], data: st.DataObject) -> None:
    ascii_only = data.draw(st.booleans())
    indent = data.draw(st.sampled_from([None, 2]))
    body = (" " + json.dumps(elements, ensure_ascii=ascii_only, indent=indent) + "\n").encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    recorder = Recorder()
    frames = ArrayFrames(recorder.event, recorder.document, 100_000)
    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        frames.feed(body[start:end])
    frames.end()
    assert [json.loads(data) for _, data in recorder.events] == elements
    assert not recorder.documents


def test_array_element_is_delivered_with_its_last_byte() -> None:
    recorder = Recorder()
    frames = ArrayFrames(recorder.event, recorder.document, 1000)
    frames.feed(b'[{"a":1}')
    assert len(recorder.events) == 1
    frames.feed(b',\r\n{"a":2')
    assert len(recorder.events) == 1
    frames.feed(b"}")
    assert len(recorder.events) == 2


@pytest.mark.parametrize("size", [7, 100, 30_000, 10_000_000])
def test_of_a_large_array_element_both_ends_are_read(size: int) -> None:
    recorder = Recorder()
    frames = ArrayFrames(recorder.event, recorder.document, 100_000)
    large = {"model": "m", "data": "]}\\" * 60_000, "usage": {"a": 1}}
    body = json.dumps([{"a": 1}, large, {"a": 2}, large]).encode()
    for at in range(0, len(body), size):
        frames.feed(body[at : at + size])
        assert len(frames._rest) <= 100_000 + size
    frames.end()
    first, second, third, fourth = [json.loads(data) for _, data in recorder.events]
    assert (first, third) == ({"a": 1}, {"a": 2})
    for read in (second, fourth):
        assert (read["model"], read["usage"]) == ("m", {"a": 1})
    assert frames.dropped == (0 if size > len(body) else 2)


def test_array_that_is_an_object_is_a_document() -> None:
    recorder = Recorder()
    frames = ArrayFrames(recorder.event, recorder.document, 1000)
    for piece in (b" \n", b'{"error"', b":{}}"):
        frames.feed(piece)
    frames.end()
    assert recorder.documents == [b'{"error":{}}']


@pytest.mark.parametrize("space", [b" ", b" \n\t\r", b"\xef\xbb\xbf "])
def test_space_before_an_array_is_not_kept(space: bytes) -> None:
    recorder = Recorder()
    frames = ArrayFrames(recorder.event, recorder.document, 100)
    for _ in range(1000):
        frames.feed(space)
        assert len(frames._rest) < 10
    frames.feed(b'[{"a":1}]')
    frames.end()
    assert recorder.events == [(b"", b'{"a":1}')]


def test_oversized_message_of_an_event_stream_is_skipped() -> None:
    import struct
    import zlib

    def message(size: int) -> bytes:
        name = b"\x0b:event-type\x07\x00\x01e"
        head = struct.pack(">II", 16 + len(name) + size, len(name))
        head += struct.pack(">I", zlib.crc32(head))
        whole = head + name + b"p" * size
        return whole + struct.pack(">I", zlib.crc32(whole))

    stream = message(5) + message(5000) + message(6)
    for step in (1, 7, 100, len(stream)):
        recorder = Recorder()
        frames = EventStreamFrames(recorder.event, 1000)
        for at in range(0, len(stream), step):
            frames.feed(stream[at : at + step])
            if step < 1000:
                assert len(frames._rest) <= 1000
        assert recorder.events == [(b"e", b"ppppp"), (b"e", b"pppppp")]
        assert frames.dropped == 1


def test_event_stream_headers_of_all_types_are_stepped_over() -> None:
    import struct
    import zlib

    def header(name: bytes, kind: int, value: bytes) -> bytes:
        return bytes([len(name)]) + name + bytes([kind]) + value

    headers = b"".join(
        [
            header(b"t", 0, b""), header(b"f", 1, b""), header(b"b", 2, b"\1"), header(b"s", 3, b"\1\2"),
            header(b"i", 4, b"\1\2\3\4"), header(b"l", 5, b"12345678"), header(b"y", 6, b"\0\2ab"),
            header(b"d", 8, b"12345678"), header(b"u", 9, b"1234567812345678"), header(b":event-type", 7, b"\0\2ok"),
        ]
    )  # fmt: skip
    head = struct.pack(">II", 16 + len(headers) + 1, len(headers))
    head += struct.pack(">I", zlib.crc32(head))
    whole = head + headers + b"p"
    recorder = Recorder()
    EventStreamFrames(recorder.event, 1000).feed(whole + struct.pack(">I", zlib.crc32(whole)))
    assert recorder.events == [(b"ok", b"p")]


def test_document_beyond_the_cap_tells_what_its_ends_tell() -> None:
    middle = [random.Random(7).random() for _ in range(20_000)]
    body = json.dumps(
        {
            "object": "list",
            "model": "embed-x",
            "data": middle,
            "usage": {"prompt_tokens": 8, "total_tokens": 8},
        }
    ).encode()
    recorder = Recorder()
    frames = DocumentFrames(recorder.document, 100_000)
    for at in range(0, len(body), 1000):
        frames.feed(body[at : at + 1000])
    frames.end()
    assert json.loads(recorder.documents[0]) == {
        "object": "list",
        "model": "embed-x",
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }
    assert frames.dropped == 1


def test_excerpt_takes_only_outermost_members() -> None:
    head = b'{"id":"a","nested":{"model":"not me"},"text":"\\"model\\":\\"nor me\\"","model":"me","data":['
    tail = b'{"usage":{"prompt_tokens":1}}],"usage":{"prompt_tokens":2},"note":"usage"}'
    assert json.loads(excerpt(head, tail)) == {
        "id": "a",
        "model": "me",
        "usage": {"prompt_tokens": 2},
        "note": "usage",
    }
    assert excerpt(b"[1,2", b"3]") == b""
