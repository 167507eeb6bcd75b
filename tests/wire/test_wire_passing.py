"""Tokens that pass in one step: whatever the cuts, the app gets every byte, and as much is known as without it."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.call import Progress
from gateway.looking_on import look
from gateway.passing import LONGEST, MOST_LESSONS, Passing
from gateway.upstream import Connection, Origin, Pool
from gateway.wire.contract import Reading
from gateway.wire.likeness import Likeness
from gateway.wire.tap import Tap, TapLimits
from pricing.usage import Usage
from tests.wire.recordings import Recording, all_recordings

STREAMS = [
    one
    for one in all_recordings()
    if one.headers.get("content-type", "").startswith("text/event-stream") and one.status == 200
]
CHAT = next(one for one in STREAMS if one.wire_name == "openai_chat")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Relay:
    """Receives an answer as an exchange does, without an app and a record."""

    def __init__(self, tap: Tap, *, passing: bool = True) -> None:
        self.written = b""
        self.connection = Connection(Pool(None, self.clock, idle_seconds=1), Origin("h", 1, False))  # type: ignore[arg-type]
        self.connection.receiver = self
        self.tap = tap
        self.progress = Progress(0.0)
        self.parsed = 0
        """Reads that were not passed on in one step."""
        self.time = 0.0
        self.passing = Passing(self, self.progress, tap, self.clock) if passing else None  # type: ignore[arg-type]

    def clock(self) -> float:
        self.time += 1
        return self.time

    def write(self, data: bytes) -> None:
        self.written += data

    def writer(self) -> Callable[[bytes], object]:
        return self.write

    def upstream_read(self, connection: Connection, data: bytes) -> None:
        if not connection.status:
            return
        self.parsed += 1
        self.progress.last_read_at = self.clock()
        self.written += connection.raw[connection.body_at :] if connection.raw else data
        connection.raw = b""
        if connection.pieces:
            look(connection.pieces, self.progress, self.tap)
        passing = self.passing
        if passing is not None and not connection.complete and passing.follows(data, connection.pieces):
            connection.passing = passing.passes

    def upstream_broken(self, connection: Connection, error: Exception | None) -> None:
        raise AssertionError(error)

    def upstream_mishap(self, error: Exception) -> None:
        raise error

    def upstream_paused(self) -> None: ...

    def upstream_resumed(self) -> None: ...


def played(relay: Relay, reads: list[bytes]) -> Relay:
    for read in [HEAD, *reads]:
        relay.connection.data_received(read)
    return relay


def events(body: bytes) -> list[bytes]:
    return [part for part in re.split(rb"(?<=\n\n)", body) if part]


def chunk(data: bytes, line: str = "{:x}\r\n") -> bytes:
    return line.format(len(data)).encode() + data + b"\r\n"


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(places), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]


def segmentations(body: bytes, chance: random.Random) -> Iterator[list[bytes]]:
    """Reads of a chunked body, as they come and as they might."""
    whole = events(body)
    yield [chunk(event) for event in whole]
    yield [chunk(event, "{:X}\r\n") for event in whole]
    yield [chunk(event, "{:04x};x=y\r\n") for event in whole]
    yield [chunk(event) for event in cut(body, chance.sample(range(len(body)), min(9, len(body))))]
    for share in (0.05, 0.3):  # reads that hold several, and reads that end within one
        reads: list[bytes] = []
        for event in whole:
            read = chunk(event)
            if reads and chance.random() < share:
                read = reads.pop() + read
            if chance.random() < share:
                at = chance.randrange(len(read))
                reads.append(read[:at])
                read = read[at:]
            if read:
                reads.append(read)
        yield reads


def known(tap: Tap) -> Reading:
    tap.end()
    return tap.reading()


@pytest.mark.parametrize("recording", STREAMS, ids=lambda one: one.id)
def test_every_stream_is_read_and_relayed_as_if_nothing_had_passed(recording: Recording) -> None:
    chance = random.Random(recording.id)
    for reads in segmentations(recording.body, chance):
        relay = played(Relay(recording.tap()), [*reads, b"0\r\n\r\n"])
        plain = played(Relay(recording.tap(), passing=False), [*reads, b"0\r\n\r\n"])
        assert relay.written == b"".join(reads) + b"0\r\n\r\n"
        assert known(relay.tap) == known(plain.tap)
        assert msgspec.structs.replace(known(relay.tap), usage_raw=None) == recording.expected()
        assert relay.progress.response_bytes == plain.progress.response_bytes == len(recording.body)
        assert relay.progress.last_read_at == relay.time
        kept, expected = relay.tap.sample, plain.tap.sample
        assert (b"".join(kept.pieces), kept.room) == (b"".join(expected.pieces), expected.room)
        assert relay.tap.errors == 0


def chat(text: str, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    return sent({"id": "c1", "model": "gpt-4o-mini", "created": 1, "choices": [choice], **more})


def sent(event: Any, name: str = "") -> bytes:
    text = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


def messages(text: str, number: int) -> bytes:
    said = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    event = sent(said, said["type"])  # type: ignore[arg-type]
    return event.replace(b"}}\n", b"}" + b" " * number + b"}\n")


def responses(text: str, number: int) -> bytes:
    said = {"type": "response.output_text.delta", "item_id": "m", "delta": text, "sequence_number": number}
    return sent({**said, "obfuscation": "x" * (16 - number % 16)}, "response.output_text.delta")


KINDS: dict[str, tuple[str, Callable[[str, int], bytes]]] = {
    "chat": ("openai_chat", lambda text, number: chat(text)),
    "padded chat": ("openai_chat", lambda text, number: chat(text, obfuscation="x" * (number % 16))),
    "messages": ("anthropic_messages", messages),
    "responses": ("openai_responses", responses),
}


def stream_of(kind: str, texts: list[str]) -> tuple[Relay, list[bytes], int]:
    """A stream of a kind up to its last token; how many reads of it were parsed."""
    wire, token = KINDS[kind]
    recording = next(one for one in STREAMS if one.wire_name == wire and not one.expect.get("error_type"))
    first = events(recording.body)[:1]
    tokens = [chunk(token(text, number)) for number, text in enumerate(["a", *texts])]
    relay = played(Relay(recording.tap()), [chunk(first[0]), *tokens])
    return relay, tokens, relay.parsed


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_of_every_wording_pass(kind: str) -> None:
    texts = [" the", "\n", ' "quoted"', "back\\slash\\", "é€😀", "", '\\"', "[DONE]", "message_stop", "error"]
    relay, tokens, parsed = stream_of(kind, texts * 20)
    assert relay.written.endswith(b"".join(tokens))
    assert relay.progress.last_read_at == len(tokens) + 2
    assert parsed <= 4  # the head, the first event, and one or two that were learned from


@given(st.sampled_from(sorted(KINDS)), st.text(max_size=40), st.text(max_size=40))
def test_what_differs_in_its_wording_is_like(kind: str, one: str, other: str) -> None:
    _, token = KINDS[kind]
    event = token(other, 7)
    assert Likeness(token(one, 3)).holds(event, 0, len(event))


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_more_is_not_like(kind: str) -> None:
    _, token = KINDS[kind]
    known_event, relay = token("known", 3), Relay(CHAT.tap())
    assert relay.passing is not None
    relay.passing._learn(known_event)
    like = Likeness(known_event)
    more = b'data: {"usage":{"total_tokens":1}}\n\n'
    for event in (known_event + more, more + known_event, known_event + b" ", known_event[:-1], b""):
        assert not like.holds(event, 0, len(event))
        assert not relay.passing.passes(chunk(event))
    read = chunk(known_event)
    size = read.partition(b"\r\n")[0]
    for lie in (b"%x" % (len(known_event) - 1), size[:-1] + b"g", b"-" * len(size), size.upper() + b" "):
        assert not relay.passing.passes(read.replace(size, lie, 1))
    assert not relay.passing.passes(read[:-2] + b"\n\n")
    for size in range(200, 300):  # of 262 bytes there is no chunk
        text = "x" * (size - len(token("", 4)) - 6)
        assert not relay.passing.passes(b"-" + token(text, 4) + b"\r\n")
    assert relay.passing.passes(read)


def test_events_with_one_text_are_told_by_their_two_ends() -> None:
    like = Likeness(chat("x"))
    assert (like.begin, like.end) == tuple(chat("@").split(b"@"))
    assert Likeness(chat("x", obfuscation="yy")).end == chat("", obfuscation="yy").partition(b'content":"')[2]
    assert not Likeness(sent({"sequence_number": 1, "delta": "x"})).end


def test_only_whole_chunks_pass() -> None:
    """The second read looks like a token, and is the middle of a chunk: the parser has to see it."""
    looks = chunk(chat(" looks"))
    long = chat(" a") + looks + b"\n\n"
    size, _, rest = chunk(long).partition(looks)
    relay, _, parsed = stream_of("chat", [" b"] * 5)
    connection = relay.connection
    for read in (size, looks, rest, chunk(chat(" c")), b"0\r\n\r\n"):
        connection.data_received(read)
    assert (relay.parsed, connection.complete) == (parsed + 5, True)


def test_only_whole_events_pass() -> None:
    """The second read is a whole chunk that ends an event, and would end none by itself."""
    relay, _, _ = stream_of("chat", [" b"] * 5)
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    last = sent({"id": "c1", "choices": [], "usage": usage})
    for part in (b'data: {"x":"', chat(" c"), last):
        relay.connection.data_received(chunk(part))
    assert known(relay.tap).usage == Usage(3, 2)


def test_events_that_matter_never_pass() -> None:
    relay, _, parsed = stream_of("chat", [" b"] * 5)
    for number in range(20):
        relay.connection.data_received(chunk(chat(f" {number}", usage={"prompt_tokens": 3})))
    assert relay.parsed == parsed + 20


def members(value: Any) -> Any:
    """The structure of a JSON value, with what may vary left out."""
    if isinstance(value, dict):
        free = ("content", "text", "delta", "obfuscation", "sequence_number")
        return {
            name: "" if name in free and not isinstance(item, dict | list) else members(item)
            for name, item in value.items()
        }
    return [members(item) for item in value] if isinstance(value, list) else value


@given(
    st.sampled_from(sorted(KINDS)),
    st.text(max_size=10),
    st.lists(
        st.tuples(
            st.floats(0, 1, exclude_max=True),
            st.integers(0, 3),
            st.sampled_from([b'"', b"\\", b'\\"', b"\n", b"\n\n", b"}", b'"usage":{"x":1}', b"data: ", b" "])
            | st.binary(max_size=3),
        ),
        max_size=3,
    ),
)
def test_what_is_like_has_the_same_members_or_is_no_json(
    kind: str, text: str, edits: list[tuple[float, int, bytes]]
) -> None:
    _, token = KINDS[kind]
    known_event = token("known", 3)
    event = token(text, 4)
    for where, drop, put in edits:
        at = int(where * len(event))
        event = event[:at] + put + event[at + drop :]
    read = chunk(event)
    wire, _ = KINDS[kind]
    recording = next(one for one in STREAMS if one.wire_name == wire)
    relay = Relay(recording.tap())
    assert relay.passing is not None
    relay.passing._learn(known_event)
    if not relay.passing.passes(read):
        return
    data = [line.removeprefix(b"data: ") for line in event.split(b"\n") if line.startswith(b"data: ")]
    try:
        parsed = json.loads(data[0])
    except ValueError:
        return  # no reader would make anything of it
    assert len(data) == 1
    assert members(parsed) == members(json.loads(known_event.partition(b"data: ")[2]))


def test_long_reads_and_events_unlike_all_others_are_parsed() -> None:
    relay, _, parsed = stream_of("chat", ["x" * LONGEST] * 5)
    assert parsed == 3 + 5
    relay, _, parsed = stream_of("chat", [" a", " b"] * 10)
    assert parsed == 4
    different = [chunk(chat("a", system_fingerprint=number)) for number in range(40)]
    relay = played(Relay(CHAT.tap()), [chunk(events(CHAT.body)[0]), *different])
    assert relay.parsed == 2 + len(different)
    assert relay.passing is not None
    assert relay.passing._lessons == MOST_LESSONS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("together", [2, 3, 40])
def test_tokens_that_come_together_pass_together(kind: str, together: int) -> None:
    relay, _, parsed = stream_of(kind, [" b", " c"])
    _, token = KINDS[kind]
    reads = [
        b"".join(chunk(token(f" {turn}-{number}", number)) for number in range(together)) for turn in range(5)
    ]
    bytes_before = relay.progress.response_bytes
    for read in reads:
        relay.connection.data_received(read)
    assert relay.parsed <= parsed + 1
    assert relay.written.endswith(b"".join(reads))
    framing = sum(
        len(chunk(token(f" 0-{number}", number))) - len(token(f" 0-{number}", number))
        for number in range(together)
    )
    assert relay.progress.response_bytes - bytes_before == sum(map(len, reads)) - 5 * framing


def test_one_among_several_that_matters_stops_them_all() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    odd = chunk(sent({"id": "c1", "choices": [], "usage": usage}))
    same = chunk(chat(" same"))
    for read in (
        odd + same,
        same + odd,
        same + odd + same,
        same + same[:-1],
        same + same[:9],
        same + b"0\r\n\r\n",
    ):
        relay, _, parsed = stream_of("chat", [" b"] * 5)
        relay.connection.data_received(read)
        assert relay.parsed == parsed + 1
        if odd in read:
            assert known(relay.tap).usage == Usage(3, 2)


def test_what_a_capture_keeps_does_not_pass_unread() -> None:
    """Where the text is wanted no event tells nothing."""
    first = events(CHAT.body)[0]
    tap = CHAT.tap(keep_text=10_000)
    relay = played(Relay(tap), [chunk(first), *[chunk(chat(f" {n}")) for n in range(30)], b"0\r\n\r\n"])
    tap.end()
    assert " 28 29" in tap.text
    assert relay.parsed == 33


def test_the_sample_ends_where_its_room_does() -> None:
    tap = CHAT.tap()
    tap._limits = TapLimits(sample=500)
    tap.room = 500
    body = [events(CHAT.body)[0], *[chat(f" {n}") for n in range(30)]]
    played(Relay(tap), [chunk(event) for event in body])
    assert b"".join(tap.sample.pieces) == b"".join(body)[:500]
    assert not tap.sample_is_whole
